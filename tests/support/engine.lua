-- The engine through LuaJIT's FFI, for unit specs: `local engine = require "tests.support.engine"` then
-- `engine.use("buf", "json")`, which declares what those headers (and those they include) declare and returns the library.
--
-- Headers are read as they are; what FFI cannot take (inline functions, attributes, 128-bit integers) is left out.

local ffi = require "ffi"

local engine = {}
local library
local declared = {}
engine.defines = {}       -- #define NAME integer

ffi.cdef "typedef union { char bytes[40]; long align; } pthread_mutex_t;"   -- as large as glibc's

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

-- Bodies of `static inline` functions: from the word to the brace that closes at column 1, or on the same line.
local function drop_inline(text)
    text = text:gsub("\nstatic inline[^\n]*{[^\n]*}\n", "\n\n")
    text = text:gsub("\nstatic inline[^\n]*{[^\n]*}\n", "\n\n")
    return (text:gsub("\nstatic inline.-\n}", "\n"))
end

local function declare(stem)
    if declared[stem] then return end
    declared[stem] = true
    local text = "\n" .. read("engine/" .. stem .. ".h"):gsub("/%*.-%*/", " "):gsub("//[^\n]*", "")
    for name in text:gmatch '#include "([%w_]+)%.h"' do declare(name) end
    for name, value in text:gmatch "#define%s+([%w_]+)%s+%(?(%-?%d+)%)?%s*\n" do engine.defines[name] = tonumber(value) end
    text = drop_inline(text:gsub("__attribute__%s*%b()", ""))
    text = text:gsub("\n%s*#define[^\n]*", "\n"):gsub("[%u][%u%d_]+", function(name)
        return engine.defines[name] and tostring(engine.defines[name])
    end)
    text = text:gsub("\\\n", " "):gsub("\n%s*#[^\n]*", "\n"):gsub("\n%s*#[^\n]*", "\n")
    text = text:gsub("_Atomic%s+", ""):gsub("__extension__[^;]*;", ""):gsub("[^;{}]*__int128[^;]*;", "")
    text = text:gsub("extern%s+", "extern "):gsub("_Noreturn", "")
    local ok, fault = pcall(ffi.cdef, text)
    if not ok then error(("engine/%s.h: %s"):format(stem, fault), 0) end
end

function engine.use(...)
    library = library or ffi.load((os.getenv "ANANAS_OUT" or "build") .. "/libananas.so")
    declare "buf"
    for i = 1, select("#", ...) do declare((select(i, ...))) end
    return library
end

-- A buf_t that frees its bytes with itself.
function engine.buf()
    local lib = engine.use "buf"
    return ffi.gc(ffi.new "buf_t", function(b) lib.buf_fini(b) end)
end

function engine.bytes(b)
    return b.len == 0 and "" or ffi.string(b.s, b.len)
end

function engine.slice(text)
    return ffi.new("slice_t", { text, text and #text or 0 })
end

-- The text of a slice; nil when it is absent.
function engine.text(slice)
    if slice.s == nil then return nil end
    return ffi.string(slice.s, slice.len)
end

-- A copy of exact size from malloc, so that a sanitizer sees a read past the end.
function engine.exact(text)
    local lib = engine.use "mem"
    local copy = ffi.gc(ffi.cast("char *", lib.mem_alloc(#text)), function(p) lib.mem_free(p) end)
    ffi.copy(copy, text, #text)
    return copy
end

return engine
