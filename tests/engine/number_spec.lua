local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("number", "mem")

local function scan(text)
    local is_int = ffi.new "int[1]"
    return tonumber(lib.number_scan(engine.exact(text), #text, is_int)), is_int[0]
end
local function written(d)
    local b = engine.buf()
    lib.number_write_double(b, d)
    return engine.bytes(b)
end
local function key(text)
    local b = engine.buf()
    lib.number_key(b, engine.exact(text), #text)
    return engine.bytes(b)
end
local function key_double(d)
    local b = engine.buf()
    lib.number_key_double(b, d)
    return engine.bytes(b)
end
local function key_int(i)
    local b = engine.buf()
    lib.number_key_int64(b, i)
    return engine.bytes(b)
end
local bits = ffi.new "union { uint32_t u[2]; double d; }"
local function random_double()
    repeat   -- a NaN with a payload would confuse LuaJIT itself: it must not be read as a number
        bits.u[0], bits.u[1] = math.random(0, 2 ^ 32 - 1), math.random(0, 2 ^ 32 - 1)
    until bit.band(bits.u[1], 0x7ff00000) ~= 0x7ff00000
    return bits.d
end

describe("number", function()
    it("scans exactly the JSON grammar", function()
        for text, len in pairs { ["0"] = 1, ["-0"] = 2, ["12"] = 2, ["01"] = 1, ["-"] = 0, [""] = 0, ["1."] = 0, ["1.5"] = 3,
            ["1e"] = 0, ["1e+"] = 0, ["1E-7"] = 4, [".5"] = 0, ["+1"] = 0, ["1.5e3x"] = 5, ["-a"] = 0, ["NaN"] = 0 } do
            assert.equal(len, (scan(text)), text)
        end
        assert.equal(1, select(2, scan "-17"))
        assert.equal(0, select(2, scan "1e3"))
    end)
    it("takes only canonical integers that fit for int64", function()
        local out = ffi.new "int64_t[1]"
        local function int(text) return lib.number_int64(engine.exact(text), #text, out) == 1 and tostring(out[0]) or nil end
        assert.equal("0LL", int "0")
        assert.equal("-17LL", int "-17")
        assert.equal("9223372036854775807LL", int "9223372036854775807")
        assert.equal("-9223372036854775808LL", int "-9223372036854775808")
        for _, text in ipairs { "-0", "9223372036854775808", "-9223372036854775809", "1e3", "1.0", "12345678901234567890", "" , "-" } do
            assert.is_nil(int(text), text)
        end
    end)
    it("reads doubles as strtod does", function()
        math.randomseed(SEED or 1)
        local function same(text) assert.equal(tonumber(text), lib.number_double(engine.exact(text), #text), text) end
        for _, text in ipairs { "0.1", "1e22", "1e23", "123456789012345678", "9007199254740993", "1e-400", "1e400", "-1.5e-7",
            "0.000000000000000000000000000001", "179769313486231570000e289", ("1"):rep(300), "0." .. ("3"):rep(300), "5e-324" } do
            same(text)
        end
        for _ = 1, 20000 do
            local d = random_double()
            same(("%.17g"):format(d))
            same(("%.6f"):format(math.random() * 1e6))
        end
        assert.equal(-math.huge, 1 / lib.number_double("-0", 2))
    end)
    it("writes the shortest text that reads back as the same double", function()
        math.randomseed(SEED or 1)
        for text, d in pairs { ["0"] = 0, ["1"] = 1, ["0.1"] = 0.1, ["-1.5"] = -1.5, ["1e+21"] = 1e21, ["100000000000000000000"] = 1e20,
            ["1e-7"] = 1e-7, ["0.000001"] = 1e-6, ["5e-324"] = 5e-324, ["1.7976931348623157e+308"] = 1.7976931348623157e308,
            ["9007199254740991"] = 9007199254740991, ["9007199254740992"] = 9007199254740992, ["0.30000000000000004"] = 0.1 + 0.2,
            ["123456.789"] = 123456.789, ["null"] = math.huge, ["-0"] = -0.0 } do
            assert.equal(text, written(d))
        end
        for i = 1, 20000 do
            local d = i % 2 == 0 and random_double() or math.random(1, 10 ^ 9) / 10 ^ math.random(0, 12)
            local text = written(d)
            assert.equal(d, tonumber(text))
            local digits = #text:gsub("e.*", ""):gsub("[-.]", ""):gsub("^0+", ""):gsub("0+$", "")
            for fewer = 1, digits - 1 do
                assert.is_true(tonumber(("%%.%de"):format(fewer - 1):format(d)) ~= d, text)
            end
        end
    end)
    it("writes every integer", function()
        for _, text in ipairs { "0", "-1", "9223372036854775807", "-9223372036854775808" } do
            local out, b = ffi.new "int64_t[1]", engine.buf()
            lib.number_int64(text, #text, out)
            lib.number_write_int64(b, out[0])
            assert.equal(text, engine.bytes(b))
        end
    end)
    it("makes equal keys of equal numbers, however spelt", function()
        for _, pair in ipairs { { "1", "1.0" }, { "1", "1e0" }, { "1", "10e-1" }, { "0", "-0" }, { "0", "0.0e9" },
            { "9007199254740993", "9007199254740993.0" }, { "1e20", "100000000000000000000" }, { "-12e18", "-12000000000000000000" },
            { "1e400", "10e399" } } do
            assert.equal(key(pair[1]), key(pair[2]), pair[1])
        end
        assert.equal(key "9007199254740993", key_int(9007199254740993LL))
        assert.equal(key "1152921504606846976", key_double(2 ^ 60))
        assert.equal(key "1e300", key_double(1e300))
        assert.equal(key "-0.1", key_double(-0.1))
        assert.equal(key "0", key_double(-0.0))
        assert.equal(8, #key "9007199254740991")
    end)
    it("orders keys as the numbers, exactly for integers beyond 2^53", function()
        local rising = { "-1e400", "-1e300", "-9007199254740994", "-9007199254740993", "-9007199254740992", "-9007199254740991", "-2",
            "-1.5", "-1e-300", "0", "5e-324", "0.1", "1", "1.5", "2", "10", "9007199254740991", "9007199254740992", "9007199254740993",
            "9007199254740994", "9223372036854775806", "9223372036854775807", "9223372036854775808", "18446744073709551615",
            "18446744073709551616", "99999999999999999999", "100000000000000000000", "100000000000000000001", "1e300", "1e400", "1e401" }
        for i = 2, #rising do assert.is_true(key(rising[i - 1]) < key(rising[i]), rising[i]) end
        math.randomseed(SEED or 1)
        for _ = 1, 20000 do
            local a, b = random_double(), random_double()
            assert.equal(a < b, key_double(a) < key_double(b))
        end
    end)
end)
