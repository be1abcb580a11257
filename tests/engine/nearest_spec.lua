local ffi = require "ffi"
local engine = require "tests.support.engine"
local fault = require "fault"
local lib = engine.use "nearest"

local function nearest(name, names)
    local at = ffi.new("const char *[?]", #names + 1)
    for i, one in ipairs(names) do at[i - 1] = one end
    local found = lib.nearest(name, at, #names)
    return found ~= nil and ffi.string(found) or nil
end

local function random_name(length)
    local letters = {}
    for i = 1, length do letters[i] = ("abcA."):sub(math.random(5)):sub(1, 1) end
    return table.concat(letters)
end

describe("nearest", function()
    it("finds what is a slip away: a letter changed, added, dropped, or swapped with its neighbour", function()
        local names = { "replay", "run", "check", "bootstrap.servers" }
        for _, slip in ipairs { "repley", "repplay", "rplay", "relpay", "REPLAY" } do assert.equal("replay", nearest(slip, names)) end
        assert.equal("run", nearest("rn", names))
        assert.equal("bootstrap.servers", nearest("bootstrp.server", names))
    end)

    it("finds nothing where more than a third of the letters would have to change, nor the name itself", function()
        assert.is_nil(nearest("rip", { "replay" }))
        assert.is_nil(nearest("abcdef", { "abcxyz" }))
        assert.is_nil(nearest("run", { "run" }))
        assert.is_nil(nearest("", { "run" }))
        assert.is_nil(nearest("run", {}))
    end)

    it("has no longest name", function()
        local long = ("group.instance.id."):rep(200)
        assert.equal(long, nearest(long:sub(2), { "x", long }))
    end)

    it("is the one that the loader's words name, for random names (20,000 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 20000 do
            local name, names = random_name(math.random(0, 12)), {}
            for i = 1, math.random(0, 6) do names[i] = random_name(math.random(1, 14)) end
            local where = ("seed %d: %s of %s"):format(SEED, name, table.concat(names, " "))
            assert.equal(fault.nearest(name, names), nearest(name, names), where)
        end
    end)
end)
