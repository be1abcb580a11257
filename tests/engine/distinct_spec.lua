local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "distinct"

-- A blob of one region.
local function state()
    local b = engine.buf()
    local blob = ffi.new "blob_t[1]"
    blob[0] = lib.blob_of_buf(b)
    lib.blob_init(blob, 0, 1)
    local function slice() return lib.region_bytes(blob[0].s, 0) end
    return {
        add = function(key) lib.distinct_add(blob, 0, key, #key) end,
        merge = function(other) lib.distinct_merge(blob, 0, other.slice()) end,
        count = function() return tonumber(lib.distinct_count(slice())) end,
        bytes = function() return engine.text(slice()) end,
        slice = slice, keep = { b, blob },
    }
end

describe("distinct: the number of different values", function()
    it("is 0 of nothing, and exact up to the bound whatever repeats", function()
        local s = state()
        assert.equal(0, s.count())
        for round = 1, 3 do
            for i = 1, engine.defines.DISTINCT_EXACT do s.add("key " .. (i * 7 * round) % 1031) end
        end
        assert.is_true(s.count() <= 1031)
        local exact = state()
        for i = 1, engine.defines.DISTINCT_EXACT do exact.add("k" .. i) end
        for i = engine.defines.DISTINCT_EXACT, 1, -1 do exact.add("k" .. i) end
        assert.equal(engine.defines.DISTINCT_EXACT, exact.count())
    end)

    it("is within 4.6 % (four standard errors) beyond, from 1,025 to a million", function()
        local s, n = state(), 0
        for _, upto in ipairs { 1025, 3000, 10000, 50000, 200000, 1000000 } do
            while n < upto do
                n = n + 1
                s.add("value-" .. n)
            end
            assert.is_true(math.abs(s.count() - upto) <= 0.046 * upto, upto .. " counted as " .. s.count())
        end
        assert.is_true(#s.bytes() <= 8193)
    end)

    it("does not depend on order nor on how it was merged (200 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 200 do
            local n = math.random(1, 3000)
            local parts, whole = { state(), state(), state() }, state()
            for i = 1, n do
                local key = ("%d"):format(math.random(1, 2 * n))
                whole.add(key)
                parts[math.random(3)].add(key)
                if i % 3 == 0 then parts[math.random(3)].add(key) end
            end
            local order = { 1, 2, 3 }
            for i = 3, 2, -1 do
                local k = math.random(i)
                order[i], order[k] = order[k], order[i]
            end
            local merged = state()
            for _, i in ipairs(order) do merged.merge(parts[i]) end
            assert.equal(whole.count(), merged.count(), "seed " .. SEED)
            if n > 2500 then assert.equal(whole.bytes(), merged.bytes(), "seed " .. SEED) end
        end
    end)

    it("hashes as it always did: state outlives the process", function()
        assert.equal("6393d51c06c618dc", bit.tohex(lib.distinct_hash("", 0), 16))
        assert.equal("5a13bd5cdc4f1d3e", bit.tohex(lib.distinct_hash("pineapple on pizza", 18), 16))
    end)
end)
