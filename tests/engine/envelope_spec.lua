local ffi = require "ffi"
local cjson = require "cjson"
local engine = require "tests.support.engine"
local lib = engine.use("envelope", "arena", "json")

local arena = ffi.gc(ffi.new "arena_t", lib.arena_fini)
local function parse(line)
    lib.arena_reset(arena)
    local e, keep = ffi.new "envelope_t", engine.exact(line)
    lib.envelope_parse(ffi.new("slice_t", { keep, #line }), arena, e)
    local function text(s) return s.s ~= nil and ffi.string(s.s, s.len) or nil end
    local kind = tonumber(e.kind)
    return { kind = kind, reason = kind == lib.LINE_BAD and ffi.string(e.reason) or nil, topic = text(e.topic), partition = tonumber(e.partition),
        partitions = tonumber(e.partitions), offset = tonumber(e.offset), ts = tonumber(e.ts), key = text(e.key), payload = text(e.payload),
        headers = text(e.headers), watermark = tonumber(e.watermark), rules = text(e.rules), mark = tonumber(e.mark) }
end

describe("envelope", function()
    it("is what kcat prints, and what people write", function()
        local e = parse('{"topic":"pizzas","partition":3,"offset":7,"tstype":"create","ts":1659426822541,"broker":0,"key":"{\\"shop\\":\\"M\\"}","payload":"{\\"id\\":7,\\"n\\":\\"\\\\u00e9\\"}",' ..
            '"headers":["a","1","b",null]}')
        assert.same({ kind = tonumber(lib.LINE_RECORD), topic = "pizzas", partition = 3, partitions = 0, offset = 7, ts = 1659426822541, key = '{"shop":"M"}',
            payload = '{"id":7,"n":"\\u00e9"}', headers = '{"a":"1","b":null}', watermark = 0, mark = 0 }, e)
        e = parse ' { "payload" : {"id": 7} , "topic" : "p" } '
        assert.same({ '{"id": 7}', "p", -1, -1 }, { e.payload, e.topic, e.offset, e.ts })
        assert.is_nil(parse('{"topic":"p","payload":null}').payload)
        assert.equal("", parse('{"topic":"p","payload":""}').payload)
        assert.equal("b", parse('{"topic":"p","payload":"a","payload":"b"}').payload)
    end)
    it("may be a control line", function()
        assert.same({ tonumber(lib.LINE_PARTITIONS), 3 }, { parse('{"topic":"p","partitions":3}').kind, parse('{"topic":"p","partitions":3}').partitions })
        assert.equal(tonumber(lib.LINE_IDLE), parse('{"topic":"p","partition":1,"idle":true}').kind)
        assert.equal(5, parse('{"watermark":5}').watermark)
        assert.equal("a b", parse('{"rules":"a b"}').rules)
        assert.equal(9, parse('{"mark":9}').mark)
        assert.equal(tonumber(lib.LINE_EMPTY), parse("  \t").kind)
    end)
    it("says what is wrong, and that it is no JSON before all else", function()
        for line, reason in pairs {
            ["x"] = "not JSON: syntax error", ["[1]"] = "not a JSON object; a line is what `kcat -C -J` prints, or a control line", ['{"topic":"p"'] = "not JSON: cut off",
            ['{"topic":"p"} x'] = "not JSON: trailing garbage", ['{"topic":7}'] = "topic must be a string", ['{"topic":7,"payload":"\\x"}'] = "not JSON: invalid escape",
            ['{"topic":"p","payload":7}'] = "payload must be a string, an object or null", ['{"topic":"p","payload":"\200"}'] = "not JSON: invalid UTF-8",
            ['{"topic":"p","payload":"' .. ("x"):rep(70) .. '\\ud83c"}'] = "not JSON: invalid escape", ['{"topic":"p","payload":"a\nb"}'] = "not JSON: control character in a string",
            ['{"topic":"p","payload":"' .. ("x"):rep(100)] = "not JSON: cut off", ['{"topic":"p","payload":"x\\'] = "not JSON: cut off",
            ['{"payload":"x"}'] = "no topic; a line is what `kcat -C -J` prints, or a control line", ['{"topic":"p",}'] = "not JSON: syntax error",
            ['{"topic":"p","idle":1}'] = "idle must be true; a partition returns with its next record", ['{"topic":"p" "ts":1}'] = "not JSON: syntax error",
            ['{"topic":"p","z":' .. ("["):rep(64) .. ("]"):rep(64) .. "}"] = "not JSON: nested deeper than 64 levels" } do
            assert.equal(reason, parse(line).reason, line)
        end
        assert.is_nil(parse('{"topic":"p","z":' .. ("["):rep(63) .. ("]"):rep(63) .. "}").reason)
    end)
    it("gives the payload to the byte, whatever is escaped in it, at every length", function()
        math.randomseed(SEED)
        local pieces = { "x", '"', "\\", "/", "\b", "\f", "\n", "\r", "\t", "é", "🍍", "\1", "plain text of some length, longer than a block", "\\n", '\\"' }
        local escapes = { '"', "\\", "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
        for case = 1, 3000 do
            local value = {}
            for i = 1, math.random(0, 60) do value[i] = pieces[math.random(#pieces)] end
            value = table.concat(value)
            local body = value:gsub('[%z\1-\31"\\]', function(c)
                for name, plain in pairs(escapes) do
                    if plain == c and math.random(4) > 1 then return "\\" .. (type(name) == "string" and name or plain) end
                end
                return ("\\u%04x"):format(c:byte())
            end):gsub("🍍", function() return math.random(2) == 1 and "\\ud83c\\udf4d" or nil end)
            local line = ('{"topic":"p","payload":"%s"%s}'):format(body, case % 2 == 0 and ',"ts":1' or "")
            assert.equal(value, parse(line).payload, ("SEED %d, case %d: %s"):format(SEED, case, line))
            assert.equal(value, cjson.decode(line).payload)
        end
    end)
end)
