local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("timefmt", "error", "mem")

local function parse(text)
    local out = ffi.new "etime_t[1]"
    local code = lib.timefmt_parse(engine.exact(text), #text, out)
    return code == 0 and tonumber(out[0]) or nil
end
local function write(t, format)
    local b = engine.buf()
    lib.timefmt_write(b, t, format)
    return engine.bytes(b)
end
local function duration(text)
    local out = ffi.new "int64_t[1]"
    return lib.timefmt_duration(engine.exact(text), #text, out) == 0 and tonumber(out[0]) or nil
end

describe("timefmt", function()
    it("reads ISO 8601 and SQL timestamps, UTC without a zone", function()
        local t = 1659426822541
        for _, text in ipairs { "2022-08-02T07:53:42.541Z", "2022-08-02 07:53:42.541", "2022-08-02T09:53:42.541+02:00",
            "2022-08-02T05:23:42.541-0230", "20220802T075342.541Z", "2022-08-02T07:53:42.541999", "2022-08-02t07:53:42,541z",
            "2022-08-02 07:53:42.541 +00" } do
            assert.equal(t, parse(text), text)
        end
        assert.equal(1659398400000, parse "2022-08-02")
        assert.equal(1659426780000, parse "2022-08-02 07:53")
        assert.equal(-1, parse "1969-12-31T23:59:59.999Z")
        assert.equal(951782400000, parse "2000-02-29")
    end)
    it("refuses what is no time", function()
        for _, text in ipairs { "", "x", "2022", "2022-13-01", "2022-02-30", "1900-02-29", "2022-08-02T", "2022-08-02T25:00", "2022-08-02T07:60",
            "2022-08-02T07:53:42.", "2022-08-02T07:53:42Zx", "2022-08-02T07:53:42+99:00", "1659426822541", "2022-08-0207:53" } do
            assert.is_nil(parse(text), text)
        end
    end)
    it("writes the three formats", function()
        assert.equal("2022-08-02T07:53:42.541Z", write(1659426822541, lib.TIME_ISO8601))
        assert.equal("2022-08-02 07:53:42.541", write(1659426822541, lib.TIME_SQL))
        assert.equal("1659426822541", write(1659426822541, lib.TIME_EPOCH_MS))
        assert.equal("1969-12-31T23:59:59.999Z", write(-1, lib.TIME_ISO8601))
        assert.equal("+292278994-08-17T07:12:55.807Z", write(0x7fffffffffffffffLL, lib.TIME_ISO8601))
    end)
    it("reads what it wrote", function()
        math.randomseed(SEED or 1)
        for _ = 1, 20000 do
            local t = math.random(-62167219200, 253402300799) * 1000 + math.random(0, 999)
            assert.equal(t, parse(write(t, lib.TIME_ISO8601)))
            assert.equal(t, parse(write(t, lib.TIME_SQL)))
        end
    end)
    it("reads durations and nothing else", function()
        for text, ms in pairs { ["250ms"] = 250, ["5s"] = 5000, ["1m"] = 60000, ["1h"] = 3600000, ["1d"] = 86400000, ["1.5s"] = 1500, ["0s"] = 0 } do
            assert.equal(ms, duration(text), text)
        end
        for _, text in ipairs { "", "5", "s", "-5s", "5 s", "5S", "1.s", ".5s", "1.2.3s", "99999999999999999999d", "9223372036854775807s" } do
            assert.is_nil(duration(text), text)
        end
    end)
    it("writes a duration in the largest unit that divides it", function()
        for text, ms in pairs { ["90s"] = 90000, ["250ms"] = 250, ["2h"] = 7200000, ["1d"] = 86400000, ["0ms"] = 0, ["1500ms"] = 1500 } do
            local b = engine.buf()
            lib.timefmt_write_duration(b, ms)
            assert.equal(text, engine.bytes(b))
        end
    end)
end)
