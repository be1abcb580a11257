local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "map"

describe("map", function()
    it("does what a Lua table does, through random puts and deletions", function()
        math.randomseed(SEED or 1)
        local m, model, keep = ffi.new "map_t", {}, {}
        local function pointer(n) return ffi.cast("void *", n) end
        for step = 1, 20000 do
            local key = "k" .. math.random(1, 300)
            keep[key] = keep[key] or engine.exact(key)   -- keys are borrowed
            local roll, old = math.random(), model[key]
            if roll < 0.5 then
                assert.is_true(lib.map_put(m, keep[key], #key, pointer(step)) == pointer(old or 0))
                model[key] = step
            elseif roll < 0.9 then
                assert.is_true(lib.map_del(m, key, #key) == pointer(old or 0))
                model[key] = nil
            elseif roll > 0.9995 then
                lib.map_clear(m)
                model = {}
            end
            assert.is_true(lib.map_get(m, key, #key) == pointer(model[key] or 0))
        end
        local seen, slot = 0, lib.map_next(m, nil)
        while slot ~= nil do
            local key = ffi.string(slot.key, slot.len)
            assert.is_true(slot.value == pointer(model[key]))
            seen, slot = seen + 1, lib.map_next(m, slot)
        end
        local expected = 0
        for _ in pairs(model) do expected = expected + 1 end
        assert.equal(expected, seen)
        assert.equal(expected, tonumber(m.count))
        lib.map_fini(m)
    end)
    it("tells keys apart by length and takes the empty key", function()
        local m = ffi.new "map_t"
        lib.map_put(m, "a\0b", 3, ffi.cast("void *", 1))
        lib.map_put(m, "a", 1, ffi.cast("void *", 2))
        lib.map_put(m, "", 0, ffi.cast("void *", 3))
        assert.equal(1, tonumber(ffi.cast("intptr_t", lib.map_get(m, "a\0b", 3))))
        assert.equal(2, tonumber(ffi.cast("intptr_t", lib.map_get(m, "a", 1))))
        assert.equal(3, tonumber(ffi.cast("intptr_t", lib.map_get(m, "", 0))))
        assert.is_true(lib.map_get(m, "b", 1) == nil)
        lib.map_fini(m)
    end)
end)
