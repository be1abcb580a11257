local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("total", "arena", "cell")

local arena = ffi.gc(ffi.new "arena_t", lib.arena_fini)
lib.arena_init(arena)

local function number(text)
    local c = ffi.new("cell_t[1]")
    c[0] = lib.cell_from_json(ffi.new("slice_t", { text, #text }))
    return c, text
end

local function total(list)
    local state = ffi.new "char[48]"
    for _, text in ipairs(list) do
        local c, keep = number(text)
        assert.equal(1, lib.total_add(state, c), keep)
    end
    return state
end

local function text(cell)
    local c, out = ffi.new("cell_t[1]", { cell }), engine.buf()
    lib.cell_write(out, c, lib.TIME_EPOCH_MS)
    return engine.bytes(out)
end

local function sum(state) return text(lib.total_sum(state, arena)) end
local function average(state) return text(lib.total_average(state)) end

describe("total: sums", function()
    it("of nothing are null", function()
        assert.equal("null", sum(total {}))
        assert.equal("null", average(total {}))
    end)

    it("of integers are exact, however large and however spelled", function()
        assert.equal("9007199254740993", sum(total { "9007199254740992", "1.0" }))
        assert.equal("27670116110564327421", sum(total { "9223372036854775807", "9223372036854775807", "9223372036854775807" }))
        assert.equal("-1", sum(total { "99999999999999999999999999999999999999", "-100000000000000000000000000000000000000" }))
        assert.equal("0", sum(total { "12345678901234567890", "-12345678901234567890" }))
        assert.equal("1003", sum(total { "1e3", "3" }))
    end)

    it("go on as a double beyond 128 bits", function()
        local list = {}
        for i = 1, 5 do list[i] = "100000000000000000000000000000000000000" end
        assert.is_true(math.abs(tonumber(sum(total(list))) - 5e38) < 1e24)
    end)

    it("of floats keep what a plain sum would lose", function()
        assert.equal("2", sum(total { "1.5", "1e100", "0.5", "-1e100" }))
        local list = {}
        for i = 1, 100000 do list[i] = "0.1" end
        assert.equal("10000", sum(total(list)))
        assert.equal("0.1", average(total(list)))
    end)

    it("do not depend on how they are merged (1,000 cases of integers and quarters)", function()
        math.randomseed(SEED)
        for _ = 1, 1000 do
            local list, parts = {}, { {}, {}, {} }
            for i = 1, math.random(1, 20) do
                list[i] = ("%.17g"):format(math.random(-1000, 1000) / (math.random() < 0.5 and 1 or 4))
                local p = parts[math.random(3)]
                p[#p + 1] = list[i]
            end
            local whole, merged = total(list), ffi.new "char[48]"
            for _, k in ipairs { 3, 1, 2 } do lib.total_merge(merged, total(parts[k])) end
            assert.equal(sum(whole), sum(merged), "seed " .. SEED)
            assert.equal(average(whole), average(merged), "seed " .. SEED)
            assert.equal(#list, tonumber(lib.total_count(merged)))
        end
    end)

    it("leave out what is no number, and say so", function()
        local state = total { "1" }
        for _, other in ipairs { '"2"', "true", "null", "[3]" } do
            local c, keep = number(other)
            assert.equal(0, lib.total_add(state, c), keep)
        end
        assert.equal("1", sum(state))
    end)
end)
