local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("json", "mem", "error")

local function status(text) return lib.json_valid(engine.exact(text), #text) end
local function is(expected, ...)
    for _, text in ipairs { ... } do assert.equal(lib[expected], status(text), ("%q"):format(text)) end
end
local function unescaped(body)
    local out = ffi.new("char[?]", #body + 1)
    return ffi.string(out, lib.json_unescape(engine.exact(body), #body, out))
end
local function quoted(text)
    local b = engine.buf()
    lib.json_write_string(b, engine.exact(text), #text)
    return engine.bytes(b)
end
local function member(object, name)
    local out = ffi.new "slice_t[1]"
    local text = engine.exact(object)
    if lib.json_member(ffi.new("slice_t", { text, #object }), engine.slice(name), out) ~= 0 then return nil end
    return ffi.string(out[0].s, out[0].len)
end

describe("json", function()
    it("takes what RFC 8259 takes", function()
        is("JSON_OK", "{}", "[]", " [ ] ", "null", "true", "false", "0", "-0", "-1.5e+10", '""', '"a"', '{"a":1,"b":[1,2,{"c":null}]}',
            "\t\r\n{\n\"a\" : 1 }\n", '"\\u0000\\ud83c\\udf4d\\"\\\\\\/\\b\\f\\n\\r\\t"', '"🍍 é \127"', '{"a":1,"a":2}', "1" .. ("0"):rep(400))
    end)
    it("refuses each kind of wrong text with its reason", function()
        is("JSON_CUT_OFF", "", " ", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', "[1", "[1,", '"abc', '"abc\\', '"\\u12', "tru", "nul", "-")
        is("JSON_SYNTAX", "x", "}", "[1 2]", '{"a" 1}', "{1:2}", "[,]", "[1,]", '{"a":1,}', "{,}", "treu", "+1", ".5", "'a'", "\239\187\191{}")
        is("JSON_TRAILING", "{} x", "1 2", "null null", "[]]", "{}\0")
        is("JSON_BAD_NUMBER", "01", "-01", "1.", "1.e5", "1e", "1e+", "-a", "[00]")
        is("JSON_CONTROL_CHAR", '"a\nb"', '"\0"', '"\31"', '{"a\tb":1}')
        is("JSON_BAD_ESCAPE", '"\\x"', '"\\u12g4"', '"\\ud83c"', '"\\ud83cx\\udf4d"', '"\\udf4d"', '"\\ud83c\\ud83c"', '"\\\0"', '"\\ud83c\\n     "')
        is("JSON_BAD_UTF8", '"\128"', '"\255"', '"\192\175"', '"\193\191"', '"\224\159\191"', '"\237\160\188"', '"\240\143\191\191"',
            '"\244\144\128\128"', '"\245\128\128\128"', '"\226\130"', '"\226\130x"', '{"\200":1}')
    end)
    it("takes 64 levels and refuses 65", function()
        is("JSON_OK", ("["):rep(64) .. ("]"):rep(64), ('{"a":'):rep(63) .. "{}" .. ("}"):rep(63))
        is("JSON_TOO_DEEP", ("["):rep(65) .. ("]"):rep(65), ("["):rep(1000000), ('{"a":['):rep(40))
    end)
    it("finds the byte that ends a string at every alignment and length", function()
        for len = 0, 70 do
            local plain = ("x"):rep(len)
            is("JSON_OK", '"' .. plain .. '"')
            is("JSON_CUT_OFF", '"' .. plain)
            is("JSON_CONTROL_CHAR", '"' .. plain .. '\1' .. plain .. '"')
            is("JSON_BAD_UTF8", '"' .. plain .. '\254' .. plain .. '"')
            is("JSON_OK", '"' .. plain .. '\\n' .. plain .. '"')
            is("JSON_CUT_OFF", '"' .. plain .. '\\"')
        end
    end)
    it("unescapes and writes back what a reader reads the same", function()
        assert.equal("a\"\\/\b\f\n\r\t\0é🍍", unescaped '\\u0061\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\ud83c\\udf4d')
        assert.equal('"a\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u000b\\u001f\127é🍍"', quoted "a\"\\/\b\f\n\r\t\0\v\31\127é🍍")
        assert.equal('"a\239\191\189\239\191\189b"', quoted "a\255\200b")
        math.randomseed(SEED or 1)
        for _ = 1, 3000 do
            local bytes = {}
            for i = 1, math.random(0, 40) do bytes[i] = string.char(math.random(0, 127)) end
            local text = table.concat(bytes) .. "🍍é"
            local json = quoted(text)
            assert.equal(0, status(json))
            assert.equal(text, unescaped(json:sub(2, -2)))
        end
    end)
    it("knows bodies that are their own value", function()
        for text, plain in pairs { ["abc"] = 1, ["🍍"] = 1, [""] = 1, ['a"'] = 0, ["\\"] = 0, ["\n"] = 0, ["\200"] = 0 } do
            assert.equal(plain, lib.json_plain(engine.exact(text), #text))
        end
    end)
    it("walks members and elements", function()
        local it_, text = ffi.new "json_iter_t", '{"a" : 1, "b\\n":[1,{"x":2}] ,"c":"d"}'
        assert.equal(0, lib.json_iter_open(it_, engine.slice(text)))
        local seen = {}
        while lib.json_iter_next(it_) == 1 do seen[#seen + 1] = engine.text(it_.key) .. "=" .. engine.text(it_.value) end
        assert.same({ "a=1", 'b\\n=[1,{"x":2}]', 'c="d"' }, seen)
        lib.json_iter_open(it_, engine.slice "[ 1 , [2] ]")
        seen = {}
        while lib.json_iter_next(it_) == 1 do seen[#seen + 1] = engine.text(it_.value) end
        assert.same({ "1", "[2]" }, seen)
        assert.is_true(lib.json_iter_open(it_, engine.slice "7") < 0)
    end)
    it("finds the last member of a name, however it is spelt", function()
        assert.equal("2", member('{"a":1,"a":2}', "a"))
        assert.equal("3", member('{"a":1,"\\u0061":3}', "a"))
        assert.equal("1", member('{"\\ud83c\\udf4d":1}', "🍍"))
        assert.equal("1", member('{"":1}', ""))
        assert.is_nil(member('{"ab":1,"\\u0061b":2}', "a"))
        assert.is_nil(member('{"a":1}', "ab"))
        assert.is_nil(member("[1]", "a"))
    end)
end)
