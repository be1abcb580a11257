local ffi = require "ffi"
local engine = require "tests.support.engine"
local decoding = require "tests.support.decoding"
local lib = engine.use("decode", "json", "timefmt")

-- The same with and without learned layouts, three times over so that what was learned is used.
local function each_way(options, check)
    for _, predict in ipairs { true, false } do
        options.predict = predict
        local d = decoding.new(options)
        for _ = 1, 3 do check(d) end
    end
end

local ORDER = '{"id": 7, "shop": "Marios Pizza", "name": "Ada \\u00e9", "address": "1 Street\\nTown", "pizzas": ' ..
    '[{"pizzaName": "Salami", "additionalToppings": ["\\ud83c\\udf4d pineapple", "corn"]}, {"pizzaName": "Marinara", "additionalToppings": []}, ' ..
    '{"pizzaName": "Diavola", "additionalToppings": ["corn"]}], "timestamp": 1659426822541}'

describe("decode", function()
    it("takes the wanted members and leaves them as they came", function()
        each_way({ columns = { "id", "name", "timestamp", "none" }, unnest = { "pizzas[].additionalToppings[]" }, intern = true, event_time = "timestamp" }, function(d)
            local r = d:read { ORDER, ORDER }
            assert.same({}, r.bad)
            assert.same({ id = "7", name = '"Ada \\u00e9"', timestamp = "1659426822541", none = "null", time = 1659426822541, offset = 1 }, r.rows[2])
            assert.same({ '0.0:"\\ud83c\\udf4d pineapple"', '0.1:"corn"', '0.2:"corn"', '1.0:"\\ud83c\\udf4d pineapple"', '1.1:"corn"', '1.2:"corn"' }, r.elements[1])
            assert.equal(lib.CELL_SYM, d.out.unnested[0].cells[0].kind)
            assert.is_true(d.out.unnested[0].cells[1].u.sym == d.out.unnested[0].cells[2].u.sym)
            assert.equal(1, d.out.batch.open)
        end)
    end)
    it("keeps integers beyond 2^53, numbers, strings and nested values to the byte", function()
        each_way({ columns = { "a" } }, function(d)
            for _, json in ipairs { "9007199254740993", "123456789012345678901234567890", "-0", "0", "-17", "1.50", "1E5", '""', '"\\u0061\\/"', '"🍍"', "true",
                "false", "null", '{ "x" : [1, {"y":null}] }', "[ ]", "1234567890123456789", ('"%s"'):format(("x"):rep(100)) } do
                local r = d:read { '{"b":1,"a":' .. json .. ',"c":{}}', '{"a":' .. json .. "}" }
                assert.equal(json, r.rows[1].a)
                assert.equal(json, r.rows[2].a)
            end
        end)
    end)
    it("refuses each kind of bad record with its reason, and no neighbour is lost", function()
        each_way({ columns = { "id" }, unnest = { "a[]" }, event_time = "t" }, function(d)
            local good = '{"id":1,"a":[1],"t":5}'
            for value, reason in pairs {
                ["x"] = "not JSON: syntax error", [""] = "not JSON: cut off", ['{"id":1,"t":'] = "not JSON: cut off", ['{"id":1,"t":5} x'] = "not JSON: trailing garbage",
                ["17"] = "not a JSON object", ['"s"'] = "not a JSON object", ["[1]"] = "not a JSON object", ["[1"] = "not JSON: cut off",
                ['{"id":1,"z":"\200","t":5}'] = "not JSON: invalid UTF-8", ['{"z":"\\ud83c","t":5}'] = "not JSON: invalid escape",
                ['{"z":"a\nb","t":5}'] = "not JSON: control character in a string", ['{"z":01,"t":5}'] = "not JSON: malformed number",
                ['{"t":5,"z":' .. ("["):rep(64) .. ("]"):rep(64) .. "}"] = "not JSON: nested deeper than 64 levels",
                ['{"id":1}'] = "no usable event time", ['{"t":"soon"}'] = "no usable event time", ['{"t":null}'] = "no usable event time",
                ['{"t":1e300}'] = "no usable event time", ['{"t":9223372036854775807}'] = "no usable event time", ['{"t":100001}'] = "event time too far ahead",
                ['{"a":[1,2,3],"t":"x"}'] = "no usable event time" } do
                local r = d:read({ good, value, good }, 100000)
                assert.same({ { record = 2, reason = reason, tombstone = false } }, r.bad)
                assert.equal(2, #r.rows)
                assert.same({ "0.0:1", "1.0:1" }, r.elements[1])
                assert.equal("1", r.rows[2].id)
            end
            local r = d:read { good, {}, good }
            assert.same({ { record = 2, reason = "tombstone", tombstone = true } }, r.bad)
            assert.equal(2, r.rows[2].offset)
            r = d:read { '{"t":5,"z":' .. ("["):rep(63) .. ("]"):rep(63) .. "}" }
            assert.same({}, r.bad)
        end)
    end)
    it("does not take a broken string for a known one", function()
        each_way({ unnest = { "a[]" }, intern = true }, function(d)
            local pad = (' '):rep(40) .. '{}'
            local r = d:read { '{"a":["corn"],"z":' .. pad .. "}", '{"a":["corn\0"],"z":' .. pad .. "}", '{"a":["corn\\"],"z":' .. pad .. "}", '{"a":["corn" "corn"],"z":' .. pad .. "}" }
            assert.same({ 2, 3, 4 }, { r.bad[1].record, r.bad[2].record, r.bad[3].record })
            assert.same({ '0.0:"corn"' }, r.elements[1])
        end)
    end)
    it("takes no string for a known one that ends where it has an escaped quote", function()
        each_way({ columns = { "a" }, unnest = { "l[]" }, intern = true }, function(d)
            local texts, list, elements = { '\\"', '\\"x', 'a \\"', 'a \\"quoted\\" one', 'a \\"quoted\\"', '\\\\', '\\\\\\"', "" }, {}, {}
            for i, text in ipairs(texts) do
                list[i] = ('"%s"'):format(text)
                elements[i] = ("0.%d:%s"):format(i - 1, list[i])
            end
            for _, text in ipairs(list) do
                local r = d:read { ('{"l": [%s], "a": %s, "padding": "%s"}'):format(table.concat(list, ", "), text, ("x"):rep(40)) }
                assert.same({}, r.bad)
                assert.equal(text, r.rows[1].a)
                assert.same(elements, r.elements[1])
            end
        end)
    end)
    it("lets the last of repeated members win, in columns and on paths", function()
        each_way({ columns = { "id", "p" }, unnest = { "p[].t[]" } }, function(d)
            local r = d:read { '{"id":1,"id":2}', '{"id":1,"\\u0069d":3}', '{"p":[{"t":[1]}],"p":[{"t":[2]},{"t":[3],"x":0,"t":[4,5]}]}', '{"p":[{"t":[1]}],"p":7}',
                '{"p":[{"t":[1],"\\u0074":[2]},{"t":[3]}]}' }
            assert.same({}, r.bad)
            assert.equal("2", r.rows[1].id)
            assert.equal("3", r.rows[2].id)
            assert.equal("7", r.rows[4].p)
            assert.same({ "2.0:2", "2.1:4", "2.2:5", "4.0:2", "4.1:3" }, r.elements[1])
        end)
    end)
    it("gives no elements where a path meets something else, and a null for a null", function()
        each_way({ unnest = { "p[].t[]", "p[]", "q.r[]" }, columns = { "p" } }, function(d)
            local r = d:read { "{}", '{"p":null}', '{"p":"x"}', '{"p":{"t":[1]}}', '{"p":[1,null,"s",[2],{"t":null},{"t":{}},{"t":[]},{"t":[null,{"a":1},[3],true]}]}', '{"q":{"r":[8,9]}}', '{"q":[8]}' }
            assert.same({}, r.bad)
            assert.same({ "4.0:null", '4.1:{"a":1}', "4.2:[3]", "4.3:true" }, r.elements[1])
            assert.same({ "4.0:1", "4.1:null", '4.2:"s"', "4.3:[2]", '4.4:{"t":null}', '4.5:{"t":{}}', '4.6:{"t":[]}', '4.7:{"t":[null,{"a":1},[3],true]}' }, r.elements[2])
            assert.same({ "5.0:8", "5.1:9" }, r.elements[3])
        end)
    end)
    it("takes members of nested objects as columns, with what is on the way", function()
        local D = "\255"
        each_way({ columns = { "a", "a" .. D .. "b", "a" .. D .. "b" .. D .. "c", "a" .. D .. "x" }, unnest = { "a.l[]" }, intern = true }, function(d)
            local function check(json, a, b, c, x)
                local r = d:read { '{"a":{"b":{"c":"before"},"x":true}}', json, '{"a":{"b":{"c":"behind"}}}' }
                assert.same({}, r.bad)
                local row = r.rows[2]
                assert.same({ a, b, c, x }, { row.a, row["a" .. D .. "b"], row["a" .. D .. "b" .. D .. "c"], row["a" .. D .. "x"] }, json)
                return r
            end
            check('{"a":{"b":{"c":"s"},"x":1}}', '{"b":{"c":"s"},"x":1}', '{"c":"s"}', '"s"', "1")
            check('{ "a" : { "x" : [1] , "b" : { } } }', '{ "x" : [1] , "b" : { } }', "{ }", "null", "[1]")
            check("{}", "null", "null", "null", "null")
            check('{"a":[{"b":1}]}', '[{"b":1}]', "null", "null", "null")
            check('{"a":"b"}', '"b"', "null", "null", "null")
            check('{"a":{"b":[{"c":1}]}}', '{"b":[{"c":1}]}', '[{"c":1}]', "null", "null")
            check('{"a":{"b":{"c":{"c":2}}}}', '{"b":{"c":{"c":2}}}', '{"c":{"c":2}}', '{"c":2}', "null")
            check('{"\\u0061":{"b":{"\\u0063":3}}}', '{"b":{"\\u0063":3}}', '{"\\u0063":3}', "3", "null")
            -- Of repeated members the last counts, at every depth, and nothing of the others is left.
            check('{"a":{"b":{"c":1},"x":2},"a":{"b":{}}}', '{"b":{}}', "{}", "null", "null")
            check('{"a":{"b":{"c":1},"x":2},"a":7}', "7", "null", "null", "null")
            check('{"a":{"b":{"c":1},"b":{"d":2},"x":3}}', '{"b":{"c":1},"b":{"d":2},"x":3}', '{"d":2}', "null", "3")
            local r = check('{"a":{"l":[1,2],"x":0,"l":[3]}}', '{"l":[1,2],"x":0,"l":[3]}', "null", "null", "0")
            assert.same({ "1.0:3" }, r.elements[1])
        end)
    end)
    it("reads names in any spelling, and names that look like one", function()
        each_way({ columns = { "a b", "é", 'q"', "\\u0061", "a" } }, function(d)
            local r = d:read { '{"a\\u0020b":1,"\\u00e9":2,"q\\"":3,"\\\\u0061":4,"\\u0061":5}', '{"a b":1,"é":2,"q\\u0022":3,"\\u005cu0061":4,"a":5}' }
            for _, row in ipairs(r.rows) do
                assert.same({ "1", "2", "3", "4", "5" }, { row["a b"], row["é"], row['q"'], row["\\u0061"], row.a })
            end
        end)
    end)
    it("fills metadata columns from the record", function()
        local d = decoding.new { metadata = { ts = "timestamp", key = "key", part = "partition", off = "offset", heads = "headers", topic = "topic" }, event_time = "ts" }
        local topics = ffi.new("const char *[1]", { "pizzas" })
        lib.decoder_name_topics(d.decoder, topics, 1)
        local r = d:read { { value = "{}", timestamp = 1659426822541, key = '{"shop":"x"} ', partition = 3, offset = 42, headers = '{"a":"b"}' },
            { value = '{"key":"not this"}', key = 'plain "text' }, { value = "{}", timestamp = -1 } }
        local row = r.rows[1]
        assert.same({ '"2022-08-02T07:53:42.541Z"', '{"shop":"x"}', "3", "42", '{"a":"b"}', '"pizzas"', 1659426822541 },
            { row.ts, row.key, row.part, row.off, row.heads, row.topic, row.time })
        assert.equal('"plain \\"text"', r.rows[2].key)
        assert.same({ { record = 3, reason = "no usable event time", tombstone = false } }, r.bad)
    end)
    it("takes event times as numbers by their unit, and as text", function()
        local cases = { { '{"t":1659426822}', 1000, 1659426822000 }, { '{"t":1659426822.5}', 1000, 1659426822500 }, { '{"t":1659426822541.9}', 1, 1659426822541 },
            { '{"t":"2022-08-02 07:53:42.541"}', 1, 1659426822541 }, { '{"t":"2022-08-02T07:53:42.541\\u005a"}', 1, 1659426822541 }, { '{"t":-5}', 1, -5 } }
        for _, case in ipairs(cases) do
            local r = decoding.new({ event_time = "t", unit = case[2] }):read { case[1] }
            assert.equal(case[3], r.rows[1].time, case[1])
        end
        assert.equal(1000, decoding.new({}):read({ "{}" }).rows[1].time)
    end)
    it("keeps a 5 MB record, and 20,000 different names, within its bounds", function()
        each_way({ columns = { "id", "last" } }, function(d)
            local many = {}
            for i = 1, 20000 do many[i] = ('"k%d_%d":%d'):format(i, math.random(1, 1e6), i) end
            local r = d:read { '{"id":"' .. ("x"):rep(5e6) .. '","last":1}', "{" .. table.concat(many, ",") .. ',"last":2}' }
            assert.equal(5e6 + 2, #r.rows[1].id)
            assert.equal("2", r.rows[2].last)
        end)
    end)
    it("stops interning what is always new, and gives the same values", function()
        local d = decoding.new { columns = { "s" }, intern = true, symbols = 2000 }
        local kinds = {}
        for batch = 1, 12 do
            local values = {}
            for i = 1, 100 do values[i] = ('{"s":"unique %d"}'):format(batch * 1000 + i) end
            local r = d:read(values)
            for i = 1, 100 do assert.equal(('"unique %d"'):format(batch * 1000 + i), r.rows[i].s) end
            kinds[batch] = d.out.batch.columns[0].cells[0].kind
        end
        assert.equal(lib.CELL_SYM, kinds[1])
        assert.equal(lib.CELL_STR, kinds[8])
    end)
    it("ends every record at its last byte, whatever its length", function()
        each_way({ columns = { "id", "s" }, unnest = { "a[]" }, intern = true }, function(d)
            local values = {}
            for len = 0, 80 do
                values[#values + 1] = ('{"s":"%s","id":%d,"a":["%s"]}'):format(("x"):rep(len), len, ("y"):rep(len % 35))
                values[#values + 1] = ('{"id":%d,"a":["%s"],"s":"%s"}'):format(len, ("y"):rep(len % 35), ("x"):rep(len))
            end
            local r = d:read(values)
            assert.same({}, r.bad)
            for i, row in ipairs(r.rows) do
                local len = math.floor((i - 1) / 2)
                assert.same({ tostring(len), '"' .. ("x"):rep(len) .. '"' }, { row.id, row.s })
            end
        end)
    end)
end)
