-- Where the build under test is, and its two doors: the library (unit specs, over FFI) and the program.

local ffi = require "ffi"
local process = require "tests.support.process"

local ananas = {}

-- The build folder: build, or build/asan and so on under `make asan`.
ananas.out = os.getenv "ANANAS_OUT" or "build"
ananas.program = ananas.out .. "/ananas"

-- All engine objects but main.o. Declare what you call with ffi.cdef first.
local library
function ananas.library()
    library = library or ffi.load("./" .. ananas.out .. "/libananas.so")
    return library
end

-- ananas.run { "replay", "-c", path, timeout = 10 }: to its end, as process.run; ananas.spawn: as process.spawn.
local function command(options)
    local all = {}
    for name, value in pairs(options) do
        if type(name) ~= "number" then all[name] = value end
    end
    all[1] = options.cwd and process.absolute(ananas.program) or ananas.program
    for i, argument in ipairs(options) do all[i + 1] = argument end
    return all
end

function ananas.run(options)
    return process.run(command(options))
end

function ananas.spawn(options)
    return process.spawn(command(options))
end

return ananas
