local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "quantile"
local EXACT, ERROR = engine.defines.QUANTILE_EXACT, 0.01

local function state()
    local b = engine.buf()
    local blob = ffi.new "blob_t[1]"
    blob[0] = lib.blob_of_buf(b)
    lib.blob_init(blob, 0, 1)
    local function slice() return lib.region_bytes(blob[0].s, 0) end
    local out = ffi.new "double[1]"
    return {
        add = function(v) lib.quantile_add(blob, 0, v) end,
        merge = function(other) lib.quantile_merge(blob, 0, other.slice()) end,
        value = function(q) return lib.quantile_value(slice(), q, out) == 1 and out[0] or nil end,
        size = function() return tonumber(slice().len) end,
        slice = slice, keep = { b, blob },
    }
end

local function exact(values, q)
    table.sort(values)
    local at = q * (#values - 1)
    local low = math.floor(at)
    return values[low + 1] + ((values[low + 2] or values[low + 1]) - values[low + 1]) * (at - low)
end

-- Within the error of the values at the neighbouring ranks.
local function close(got, values, q)
    local at = q * (#values - 1)
    local low, high = values[math.floor(at) + 1], values[math.ceil(at) + 1]
    local least = math.min(low - ERROR * math.abs(low), high - ERROR * math.abs(high))
    local most = math.max(low + ERROR * math.abs(low), high + ERROR * math.abs(high))
    return got >= least - 1e-12 and got <= most + 1e-12
end

local SHAPES = {
    function() return math.random() * 1000 end,
    function() return -math.log(1 - math.random()) * 50 end,
    function() return math.exp(math.random() * 20 - 10) end,
    function() return (math.random() - 0.5) * 100 end,
    function() return math.random(-3, 3) end,
}

describe("quantile", function()
    it("is nothing of nothing, and leaves out what is not finite", function()
        local s = state()
        assert.is_nil(s.value(0.5))
        s.add(1 / 0)
        s.add(0 / 0)
        assert.is_nil(s.value(0.5))
        s.add(3)
        assert.equal(3, s.value(0))
        assert.equal(3, s.value(1))
    end)

    it("interpolates exactly up to the bound (300 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 300 do
            local s, values, shape = state(), {}, SHAPES[math.random(#SHAPES)]
            for i = 1, math.random(1, EXACT) do
                values[i] = shape()
                s.add(values[i])
            end
            for _, q in ipairs { 0, 0.25, 0.5, 0.9, 0.99, 1 } do
                assert.is_true(math.abs(s.value(q) - exact(values, q)) <= 1e-9 * (1 + math.abs(exact(values, q))), "seed " .. SEED)
            end
        end
    end)

    it("is within 1 % of the value at its rank beyond, for many shapes of data, in bounded memory (100 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 100 do
            local s, values, shape = state(), {}, SHAPES[math.random(#SHAPES)]
            for i = 1, math.random(EXACT + 1, 4000) do
                values[i] = shape()
                s.add(values[i])
            end
            table.sort(values)
            for _, q in ipairs { 0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1 } do
                assert.is_true(close(s.value(q), values, q), ("seed %d: q %g of %d"):format(SEED, q, #values))
            end
            assert.is_true(s.size() <= 56 + 2 * 8 * 2048)
        end
    end)

    it("does not depend on order nor on how it was merged (200 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 200 do
            local parts, whole, shape = { state(), state(), state() }, state(), SHAPES[math.random(#SHAPES)]
            for _ = 1, math.random(1, 2500) do
                local v = shape()
                whole.add(v)
                parts[math.random(3)].add(v)
            end
            local merged = state()
            for _, i in ipairs { 2, 3, 1 } do merged.merge(parts[i]) end
            for _, q in ipairs { 0, 0.1, 0.5, 0.95, 1 } do assert.equal(whole.value(q), merged.value(q), "seed " .. SEED) end
        end
    end)

    it("keeps the top when values spread over hundreds of orders of magnitude", function()
        local s = state()
        for i = -300, 300 do
            s.add(10 ^ i)
            s.add(-10 ^ i)
        end
        assert.is_true(math.abs(s.value(0.999) - 1e299) < 0.02e300)
        assert.equal(1e300, s.value(1))
        assert.equal(-1e300, s.value(0))
        assert.is_true(s.size() <= 56 + 2 * 8 * 2048)
    end)
end)
