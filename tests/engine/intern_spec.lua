local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("intern", "json", "mem")

local status = ffi.new "int[1]"
local function raw(t, body)
    local s = lib.intern_raw(t, engine.exact(body), #body, status)
    return s ~= nil and s or nil
end

describe("intern", function()
    local t
    before_each(function() t = lib.intern_new(100, 1e6) end)
    after_each(function() lib.intern_free(t) end)

    it("gives one symbol for one value, however spelt, and keeps its forms", function()
        local a = raw(t, "\\ud83c\\udf4d pineapple")
        assert.is_true(raw(t, "\\uD83C\\uDF4D pineapple") == a)
        assert.is_true(raw(t, "🍍 pineapple") == a)
        assert.is_true(lib.intern_bytes(t, "🍍 pineapple", #"🍍 pineapple") == a)
        assert.equal("🍍 pineapple", ffi.string(a.bytes, a.len))
        assert.equal("🍍 pineapple", ffi.string(a.body, a.body_len))
        assert.equal(1, lib.intern_count(t))
        assert.is_true(lib.intern_sym(t, a.id) == a)
        local quote = raw(t, "\\u0022")
        assert.equal('\\"', ffi.string(quote.body, quote.body_len))
        assert.equal('"', ffi.string(quote.bytes, quote.len))
        assert.is_true(lib.intern_sym(t, 99) == nil)
    end)
    it("tells bodies apart by length, zero bytes and everything else", function()
        local seen = {}
        for len = 0, 80 do
            local s = raw(t, ("x"):rep(len))
            assert.is_nil(seen[s.id])
            seen[s.id] = true
        end
    end)
    it("does not take a zero byte for the end of a known body", function()
        assert.is_truthy(raw(t, "corn"))
        assert.is_nil(raw(t, "corn\0"))
        assert.equal(lib.JSON_CONTROL_CHAR, status[0])
    end)
    it("refuses an invalid body, known or not, full or not", function()
        local tiny = lib.intern_new(1, 1000)
        raw(tiny, "a")
        for body, code in pairs { ["\\x"] = lib.JSON_BAD_ESCAPE, ["a\nb"] = lib.JSON_CONTROL_CHAR, ["\200"] = lib.JSON_BAD_UTF8,
            ["abc\\"] = lib.JSON_CUT_OFF, ['a"b'] = lib.JSON_SYNTAX } do
            for _, table in ipairs { t, tiny } do
                for _ = 1, 2 do
                    assert.is_nil(raw(table, body))
                    assert.equal(code, status[0])
                end
            end
        end
        lib.intern_free(tiny)
    end)
    it("is bounded in entries and bytes, and what it has goes on", function()
        local known = raw(t, "known")
        for i = 1, 1000 do raw(t, "value " .. i) end
        assert.equal(100, lib.intern_count(t))
        assert.is_nil(raw(t, "one more"))
        assert.equal(0, status[0])
        assert.is_true(raw(t, "known") == known)
        local small = lib.intern_new(1000, 1000)
        for i = 1, 1000 do raw(small, ("long value %04d "):format(i):rep(3)) end
        assert.is_true(lib.intern_count(small) < 20)
        lib.intern_free(small)
    end)
    it("never gives a wrong symbol under hostile cardinality, and recovers when it ends", function()
        math.randomseed(SEED or 1)
        local generation = lib.intern_generation(t)
        for batch = 1, 300 do
            for i = 1, 200 do
                local value = batch <= 200 and ("hostile %d"):format(math.random(1, 1e9)) or "calm " .. i % 20
                local s = raw(t, value)
                assert.equal(0, status[0])
                if s then assert.equal(value, ffi.string(s.bytes, s.len)) end
            end
            lib.intern_between_batches(t)
        end
        assert.is_true(lib.intern_generation(t) > generation)
        assert.is_truthy(raw(t, "calm 7"))
    end)
    it("leaves the symbols of a batch whole while the next is made, also where that starts a generation", function()
        math.randomseed(SEED or 1)
        local before, restarts = {}, 0
        for batch = 1, 600 do
            local generation, now = lib.intern_generation(t), {}
            lib.intern_between_batches(t)
            if lib.intern_generation(t) > generation then restarts = restarts + 1 end
            local hostile = batch % 100 > 80
            for i = 1, hostile and 200 or 3 do
                local value = hostile and i > 3 and ("hostile %d"):format(math.random(1, 1e9)) or "calm " .. i
                local s = raw(t, value)
                if s then now[#now + 1] = { s, value } end
            end
            for _, pair in ipairs(before) do assert.equal(pair[2], ffi.string(pair[1].bytes, pair[1].len)) end
            before = now
        end
        assert.is_true(restarts > 5)
    end)
    it("keeps its generation while it serves", function()
        for i = 1, 100 do raw(t, "value " .. i) end
        for _ = 1, 1000 do
            for i = 1, 100 do assert.is_truthy(raw(t, "value " .. i)) end
            raw(t, "rare")
            if _ % 100 == 0 then lib.intern_between_batches(t) end
        end
        assert.equal(0, lib.intern_generation(t))
    end)
    it("does not mind any number of spellings of one value", function()
        local a = raw(t, "aaaaaaaaaa")
        for i = 0, 1023 do
            local body = {}
            for k = 1, 10 do body[k] = math.floor(i / 2 ^ (k - 1)) % 2 == 1 and "\\u0061" or "a" end
            assert.is_true(raw(t, table.concat(body)) == a)
        end
        assert.equal(1, lib.intern_count(t))
    end)
end)
