-- Rows through rules: unnest, where, select, key and the exactness of what passes through. Small cases, checked by hand.

local replay = require "tests.support.replay"

-- Output payloads of topic "out" for one rule set and rows of source "s".
local function out(rules, input, more)
    local options = { rules = rules, input = input }
    for k, v in pairs(more or {}) do options[k] = v end
    local ran = replay.ok(options)
    return ran:payloads "out", ran
end

-- A rule "r" from "s" to "out" with these clauses.
local function rule(clauses)
    return 'rule "r" { from = "s", to = "out",\n' .. clauses .. "\n}\n"
end

local function payloads(...)
    local list = {}
    for i, text in ipairs { ... } do list[i] = { topic = "s", payload = text } end
    return list
end

describe("unnest", function()
    local order = '{"ts":1,"id":7,"pizzas":[{"name":"a","tops":["x","y"]},{"name":"b","tops":[]},{"name":"c"},{"tops":["z"]}]}'

    it("walks arrays in arrays, in order", function()
        assert.same({ '{"id":7,"top":"x"}', '{"id":7,"top":"y"}', '{"id":7,"top":"z"}' },
            out(rule 'unnest = "pizzas[].tops[] as top", select = { "id", "top" }', payloads(order)))
    end)

    it("takes a list of paths, where a later one may start from an earlier name", function()
        assert.same({ '{"id":7,"top":"x","of":"a"}', '{"id":7,"top":"y","of":"a"}', '{"id":7,"top":"z","of":null}' },
            out(rule [[unnest = { "pizzas[] as pizza", "pizza.tops[] as top" },
                select = { "id", "top", of = function(r) return r.pizza.name end }]], payloads(order)))
    end)

    it("of two independent arrays gives every pair", function()
        assert.same({ '{"x":1,"y":"a"}', '{"x":1,"y":"b"}', '{"x":2,"y":"a"}', '{"x":2,"y":"b"}' },
            out(rule 'unnest = { "xs[] as x", "ys[] as y" }, select = { "x", "y" }', payloads '{"ts":1,"xs":[1,2],"ys":["a","b"]}'))
    end)

    it("walks through objects between arrays", function()
        assert.same({ '{"v":1}', '{"v":2}' },
            out(rule 'unnest = "a.b.list[] as v", select = { "v" }', payloads(
                '{"ts":1,"a":{"b":{"list":[1,2]}}}', '{"ts":2,"a":{"b":[3]}}', '{"ts":3,"a":5}')))
    end)

    it("of an array of arrays opens both", function()
        assert.same({ '{"v":1}', '{"v":2}', '{"v":3}' },
            out(rule 'unnest = "grid[][] as v", select = { "v" }', payloads '{"ts":1,"grid":[[1,2],[],[3],4]}'))
    end)

    it("keeps a null element as a row with null", function()
        assert.same({ '{"v":null}', '{"v":1}' }, out(rule 'unnest = "l[] as v", select = { "v" }', payloads '{"ts":1,"l":[null,1]}'))
    end)

    it("leaves strings, numbers and objects inside as they came", function()
        assert.same({ '{"v":"\\ud83c\\udf4d \\"x\\""}', '{"v":1.50}', '{"v":{"b": 1,"a":[ ]}}', '{"v":9007199254740993}' },
            (out(rule 'unnest = "l[] as v", select = { "v" }',
                payloads '{"ts":1,"l":["\\ud83c\\udf4d \\"x\\"", 1.50 , {"b": 1,"a":[ ]},9007199254740993]}')))
    end)
end)

describe("where", function()
    it("keeps rows for which it gives neither nil nor false", function()
        assert.same({ '{"id":1}', '{"id":2}' }, out(rule 'where = function(r) return r.v end, select = { "id" }', payloads(
            '{"ts":1,"id":1,"v":true}', '{"ts":1,"id":2,"v":0}', '{"ts":1,"id":3,"v":false}', '{"ts":1,"id":4,"v":null}', '{"ts":1,"id":5}')))
    end)

    it("that raises lets the row not pass, is counted, and is logged with rule, file:line and position", function()
        local got, ran = out(rule 'where = function(r)\n return r.price > 3 end, select = { "id" }', payloads(
            '{"ts":1,"id":1}', '{"ts":1,"id":2,"price":5}', '{"ts":1,"id":3,"price":"4"}', '{"ts":1,"id":4,"price":2}', '{"ts":1,"id":5,"price":{}}'))
        assert.same({ '{"id":2}' }, got)
        assert.equal(3, ran.stats.rules.r.errors)
        assert.equal(5, ran.stats.rules.r.rows_in)
        assert.equal(1, ran.stats.rules.r.emitted)
        for _, part in ipairs { "rules%.lua:3:", '"r"', "where", "s/0@0" } do assert.truthy(ran.stderr:find(part), ran.stderr) end
    end)

    it("sees nested objects, and arrays from 1", function()
        local got, ran = out(rule [[
            where = function(r) return r.customer.city == "Roma" and r.l[1] == "a" and r.l[0] == nil end,
            select = { city = function(r) return r.customer.city end, last = function(r) return r.l[4] end,
                       n = function(r) return #r.l end, second = function(r) return r["l"][2] end }]],
            payloads('{"ts":1,"customer":{"city":"Roma"},"l":["a","b","c"]}', '{"ts":1,"customer":{"city":null},"l":[]}', '{"ts":1}'))
        assert.same({ '{"city":"Roma","last":null,"n":3,"second":"b"}' }, got)
        assert.equal(1, ran.stats.rules.r.errors)
    end)

    it("sees null and absent as nil, at every depth", function()
        assert.same({ '{"id":1}' }, out(rule [[select = { "id" },
            where = function(r) return r.a == nil and r.b == nil and r.c.x == nil and r.c.y == nil and r.l[2] == nil end]],
            payloads '{"ts":1,"id":1,"a":null,"c":{"x":null},"l":[1,null]}'))
    end)

    it("can walk arrays and objects with ipairs and pairs", function()
        assert.same({ '{"names":"a,b","sum":6}' }, out(rule [[select = {
            sum = function(r) local s = 0 for _, v in ipairs(r.l) do s = s + v end return s end,
            names = function(r) local n = {} for k in pairs(r.o) do n[#n + 1] = k end table.sort(n) return table.concat(n, ",") end }]],
            payloads '{"ts":1,"l":[1,2,3],"o":{"b":1,"a":{"x":1}}}'))
    end)

    it("asks with r._time and r._from", function()
        assert.same({ '{"id":2}' }, out(rule 'where = function(r) return r._time > 1 and r._from == "s" end, select = { "id" }',
            payloads('{"ts":1,"id":1}', '{"ts":2,"id":2}')))
    end)

    it("of a set asks for membership, of any value", function()
        assert.same({ '{"v":"a"}', '{"v":2}' }, out('local good = set { "a", 2 }\n' ..
            rule 'where = function(r) return good[r.v] end, select = { "v" }',
            payloads('{"ts":1,"v":"a"}', '{"ts":1,"v":"b"}', '{"ts":1,"v":2}', '{"ts":1,"v":"2"}', '{"ts":1,"v":null}', '{"ts":1,"v":{}}')))
    end)

    it("cannot change its row, nor what it captures", function()
        local got, ran = out('local t = { n = 0 }\n' .. [[
rule "a" { from = "s", to = "out", select = { "id" }, where = function(r) r.id = 9 return true end }
rule "b" { from = "s", to = "out", select = { "id" }, where = function(r) t.n = t.n + 1 return true end }
rule "c" { from = "s", to = "out", select = { "id" }, where = function(r) return t.n == 0 end }
]], payloads '{"ts":1,"id":1}')
        assert.same({ '{"id":1}' }, got)
        assert.equal(1, ran.stats.rules.a.errors)
        assert.equal(1, ran.stats.rules.b.errors)
    end)
end)

describe("without select", function()
    it("a row goes out with all its members, in their order and spelling", function()
        local text = '{"b":1.0,"ts":5,"a":{"y":1,"x":[1,{"z":null}]},"c":null,"d":"\\u00e9\\/","e":12345678901234567890,"f":-0}'
        assert.same({ text }, out(rule 'where = function(r) return true end', payloads(text)))
    end)

    it("metadata columns follow", function()
        local ran = replay.ok { rules = rule "", config = [[
source "s" { topic = "s", event_time = "ts", max_ahead = "none",
  metadata = { at = "timestamp", k = "key", t = "topic", p = "partition", o = "offset" } }
rules "rules"
]], input = { { topic = "s", partition = 3, offset = 12, ts = 1659426822541, key = "k1", payload = '{"ts":5,"id":1}' } } }
        local row = ran:topic("out")[1].value
        assert.same({ ts = 5, id = 1, at = "2022-08-02T07:53:42.541Z", k = "k1", t = "s", p = 3, o = 12 }, row)
    end)

    it("unnested names follow", function()
        assert.same({ '{"ts":1,"l":[1,2],"v":1}', '{"ts":1,"l":[1,2],"v":2}' },
            out(rule 'unnest = "l[] as v"', payloads '{"ts":1,"l":[1,2]}'))
    end)
end)

describe("select", function()
    it("as a list gives these columns in this order, then the named ones by name", function()
        assert.same({ '{"z":1,"a":2,"b":3,"y":2}' }, out(rule [[select = { "z", "a", y = "a", b = function(r) return r.z + r.a end }]],
            payloads '{"a":2,"ts":1,"z":1,"x":5}'))
    end)

    it("writes a column that is not there as null", function()
        assert.same({ '{"id":1,"none":null,"other":null}' }, out(rule 'select = { "id", "none", other = "nothing" }', payloads '{"ts":1,"id":1}'))
    end)

    it("with a function that raises writes null and counts", function()
        local got, ran = out(rule 'select = { "id", x = function(r) return r.v * 2 end }', payloads('{"ts":1,"id":1}', '{"ts":1,"id":2,"v":4}'))
        assert.same({ '{"id":1,"x":null}', '{"id":2,"x":8}' }, got)
        assert.equal(1, ran.stats.rules.r.errors)
    end)

    it("as a function gives what its table holds, nested too", function()
        local ran = replay.ok { rules = rule [[select = function(r)
            return { id = r.id, list = { 1, 2, { x = r.id } }, empty = nil, text = "a\n\"b\"", yes = true, at = timestamp(r._time) } end]],
            input = payloads '{"ts":1659426822541,"id":7}' }
        assert.same({ id = 7, list = { 1, 2, { x = 7 } }, text = "a\n\"b\"", yes = true, at = "2022-08-02T07:53:42.541Z" },
            ran:topic("out")[1].value)
    end)

    it("as a function passes nested values of the row on, by value", function()
        local ran = replay.ok { rules = rule 'select = function(r) return { c = r.c, n = r.n } end',
            input = payloads '{"ts":1,"c":{"l":[1.0,2,{"k":null,"b":{}}]},"n":7}' }
        assert.same({ c = { l = { 1, 2, { b = {} } } }, n = 7 }, ran:topic("out")[1].value)
    end)

    it("as a function that gives no table, or raises, gives no row", function()
        local got, ran = out(rule 'select = function(r) if r.id == 1 then return nil end return { v = r.v + 1 } end',
            payloads('{"ts":1,"id":1}', '{"ts":1,"id":2}', '{"ts":1,"id":3,"v":1}'))
        assert.same({ '{"v":2}' }, got)
        assert.is_true(ran.stats.rules.r.errors >= 1)
    end)

    it("that is a function and gives a list leaves the row out, and says why", function()
        local got, ran = out(rule 'select = function(r) return r.id == 1 and { "a", "b" } or { a = {} } end',
            payloads('{"ts":1,"id":1}', '{"ts":1,"id":2}'))
        assert.same({ '{"a":{}}' }, got)
        assert.equal(1, ran.stats.rules.r.errors)
        assert.truthy(ran.stderr:find("rules/rules.lua:2: select gave a list where a table with names is needed", 1, true), ran.stderr)
    end)

    it("with functions may give tables, booleans and strings", function()
        assert.same({ '{"b":false,"l":[1,"x"],"s":"\\u0001é","t":{"k":1}}' }, out(rule [[select = {
            b = function() return false end, l = function() return { 1, "x" } end, s = function() return "\1é" end,
            t = function() return { k = 1 } end }]], payloads '{"ts":1}'))
    end)

    it("writes computed numbers shortest, whole ones without a point, NaN and infinities as null", function()
        local got = out(rule [[select = { a = function() return 0.1 end, b = function() return 1/3 end, c = function() return 6/2 end,
            d = function() return -7 end, f = function() return 0/0 end, g = function() return 1/0 end,
            h = function() return 2251799813685249.5 end, i = function() return 1e14 end, j = function() return 2^53 end }]],
            payloads '{"ts":1}')
        assert.same({ '{"a":0.1,"b":0.3333333333333333,"c":3,"d":-7,"f":null,"g":null,"h":2251799813685249.5,"i":100000000000000,"j":9007199254740992}' }, got)
    end)
end)

describe("what is only passed through", function()
    for name, text in pairs {
        ["an integer beyond 2^53"] = "9007199254740993", ["an integer beyond 2^64"] = "123456789012345678901234567890",
        ["a trailing zero"] = "1.50", ["an exponent"] = "1E+2", ["minus zero"] = "-0", ["a small number"] = "1e-7",
        ["an escaped string"] = [["\u00e9\/\ud83c\udf4d"]], ["an emoji"] = '"🍍"', ["a nested object"] = '{"b": 1, "a" : [ 1.0,null ]}',
        ["an empty object"] = "{}", ["an empty array"] = "[]", ["true"] = "true", ["a timestamp in the payload"] = '"2022-08-02 07:53:42.541"',
    } do
        it("stays as it came: " .. name, function()
            local value = '{"ts":1,"x":' .. text .. "}"
            assert.same({ '{"x":' .. text .. "}" }, out(rule 'select = { "x" }', payloads(value)))
            assert.same({ '{"x":' .. text .. ',"y":1}' }, out([[
rule "first" { from = "s", select = { "x", y = function() return 1 end } }
rule "second" { from = "first", where = function(r) return r.y == 1 end, to = "out" }]], payloads(value)))
        end)
    end
end)

describe("key", function()
    local function keys(rules, input) return replay.ok({ rules = rules, input = input }):keys "out" end

    it("is the source record's where the rule names none", function()
        assert.same({ '{"shop": "x"}', "plain", replay.null }, keys(rule 'select = { "id" }', {
            { topic = "s", key = '{"shop": "x"}', payload = '{"ts":1,"id":1}' },
            { topic = "s", key = "plain", payload = '{"ts":1,"id":2}' }, { topic = "s", payload = '{"ts":1,"id":3}' } }))
    end)

    it("given as an object in the input is its JSON text", function()
        assert.same({ '{"shop":"x"}' }, keys(rule 'select = { "id" }', { { topic = "s", key = { shop = "x" }, payload = '{"ts":1,"id":1}' } }))
    end)

    it("is an object of its columns in the order given, with types and spelling kept", function()
        assert.same({ '{"name":"é","id":9007199254740993,"ok":true,"no":null}' },
            keys(rule 'key = { "name", "id", "ok", "no" }', payloads '{"ts":1,"id":9007199254740993,"ok":true,"name":"é"}'))
    end)

    it("may be one name, may be computed, and may be left out by select", function()
        assert.same({ '{"id":4}' }, keys(rule 'key = "id", select = { "v" }', payloads '{"ts":1,"id":4,"v":1}'))
        assert.same({ '{"big":8}' }, keys(rule 'key = { "big" }, select = { big = function(r) return r.id * 2 end }', payloads '{"ts":1,"id":4}'))
    end)

    it("keeps a window's columns, as time_format writes them", function()
        assert.same({ '{"k":"a","window_end":"1970-01-01T00:00:01.000Z"}' },
            keys(rule 'window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }, key = { "k", "window_end" }', payloads '{"ts":1,"k":"a"}'))
        assert.same({ '{"k":"a"}' }, keys(rule 'window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }', payloads '{"ts":1,"k":"a"}'))
    end)
end)

describe("time_format", function()
    for format, text in pairs { iso8601 = '"2022-08-02T07:53:42.541Z"', sql = '"2022-08-02 07:53:42.541"', epoch_ms = "1659426822541" } do
        it(format .. " writes metadata timestamps and marked numbers, and leaves payloads alone", function()
            local clauses = [[select = { "at", "ts", "day", m = function(r) return timestamp(r.ts) end, n = function(r) return r.at end },
                time_format = "]] .. format .. '"'
            local got = out(rule(clauses), { { topic = "s", ts = 1659426822541, payload = '{"ts":1659426822541,"day":"2022-08-02"}' } }, {
                config = 'source "s" { topic = "s", event_time = "ts", max_ahead = "none", metadata = { at = "timestamp" } }\nrules "rules"' })
            assert.same({ ('{"at":%s,"ts":1659426822541,"day":"2022-08-02","m":%s,"n":1659426822541}'):format(text, text) }, got)
        end)
    end

    it("writes times before 1970", function()
        assert.same({ '{"m":"1969-12-31T23:59:59.999Z"}' },
            out(rule 'select = { m = function(r) return timestamp(r.ts) end }', payloads '{"ts":-1}'))
    end)
end)

describe("from", function()
    local two = [[
source "a" { topic = "ta", event_time = "ts", max_ahead = "none" }
source "b" { topic = { "tb", "tc" }, event_time = "ts", max_ahead = "none" }
rules "rules"
]]
    local input = { { topic = "ta", payload = { ts = 1, id = 1 } }, { topic = "tb", payload = { ts = 1, id = 2 } },
        { topic = "tc", payload = { ts = 1, id = 3 } }, { topic = "ta", payload = { ts = 1, id = 4 } } }

    it("reads a list of sources, and r._from tells which", function()
        assert.same({ '{"id":1,"of":"a"}', '{"id":2,"of":"b"}', '{"id":3,"of":"b"}', '{"id":4,"of":"a"}' }, out(
            [[rule "r" { from = { "a", "b" }, select = { "id", of = function(r) return r._from end }, to = "out" }]], input, { config = two }))
    end)

    it("reads rules and sources together", function()
        assert.same({ '{"id":2,"of":"b"}', '{"id":3,"of":"b"}', '{"id":4,"of":"late"}' }, out([[
rule "late" { from = "a", where = function(r) return r.id > 3 end }
rule "r" { from = { "late", "b" }, select = { "id", of = function(r) return r._from end }, to = "out" }]], input, { config = two }))
    end)

    it("tells the nearest input where the rule that gave the rows asked, too", function()
        assert.same({ '{"f":"kept"}' }, out([[
rule "kept" { from = "s", where = function(r) return r._from == "s" end }
rule "r" { from = "kept", match = { pattern = "A", define = { A = function(r) return r._from == "kept" end },
    measures = { f = function(m, r) return r._from end } }, to = "out" }]], { { ts = 1 } }))
        assert.same({ '{"f":"kept"}' }, out([[
rule "kept" { from = "s", where = function(r) return r._from == "s" end }
rule "w" { from = "kept", window = tumble "1s", aggregate = { f = listagg(function(r) return r._from end) }, to = "w" }
rule "r" { from = "w", select = { "f" }, to = "out" }]], { { ts = 1 } }))
    end)

    it("has no column for the input: neither walked over nor written", function()
        assert.same({ '{"all":{"ts":1,"v":2},"names":"ts,v"}' }, out(rule [[select = {
            names = function(r) local n = {} for k in pairs(r) do n[#n + 1] = k end table.sort(n) return table.concat(n, ",") end,
            all = function(r) return r end }]], payloads '{"ts":1,"v":2}'))
    end)

    it("writes times of a window's rows by time_format among rows that are whole records", function()
        for format, start in pairs { iso8601 = '"1970-01-01T00:00:00.000Z"', epoch_ms = "0", sql = '"1970-01-01 00:00:00.000"' } do
            local got = out(([[
rule "w" { from = "s", window = tumble "1s", aggregate = { n = count() } }
rule "both" { from = { "w", "s" } }
rule "r" { from = "both", where = function(r) return r.n end, time_format = "%s", to = "out" }]]):format(format), { { ts = 1 } })
            assert.equal(('{"window_start":%s,'):format(start), got[1]:match '^{"window_start":[^,]*,')
        end
    end)

    it("reads a rule that is written further down or in another file", function()
        assert.same({ '{"id":1}', '{"id":4}' }, out({
            ["a.lua"] = 'rule "second" { from = "first", select = { "id" }, to = "out" }',
            ["b.lua"] = 'rule "first" { from = "a" }' }, input, { config = two }))
    end)

    it("one record gives rows to every rule, in the order of the rules", function()
        local ran = replay.ok { rules = [[
rule "b" { from = "s", to = "t2" } rule "a" { from = "s", to = "t1" } rule "c" { from = "a", to = "t3" }]],
            input = { { ts = 1 }, { ts = 2 } } }
        local topics = {}
        for i, record in ipairs(ran.records) do topics[i] = record.topic .. "@" .. record.ts end
        assert.same({ "t1@1", "t2@1", "t3@1", "t1@2", "t2@2", "t3@2" }, topics)
    end)
end)

describe("every record that goes out", function()
    it("carries its rule and the rule's version, which is the same in every run and changes with the rule", function()
        local function version(rules, name)
            for _, record in ipairs(replay.ok({ rules = rules, input = { { ts = 1, id = 1 } } }).records) do
                if record.header["ananas-rule"] == name then return record.header["ananas-rule-version"] end
            end
        end
        local rules = 'local bad = set { "a" }\nrule "r" { from = "s", where = function(r) return not bad[r.id] end, to = "out" }\n' ..
            'rule "t" { from = "r", to = "out2" }\nrule "u" { from = "s", to = "out3" }\n'
        local one = version(rules, "r")
        assert.truthy(one:match "^%x+$", one)
        assert.equal(one, version(rules, "r"))
        assert.equal(one, version("-- a comment\n\n" .. rules, "r"))
        local other = rules:gsub('"a"', '"b"')
        assert.not_equal(one, version(other, "r"))
        assert.not_equal(version(rules, "t"), version(other, "t"))
        assert.equal(version(rules, "u"), version(other, "u"))
    end)

    it("has the event time of its row", function()
        local ran = replay.ok { rules = 'rule "r" { from = "s", to = "out" }', input = { { ts = 5 }, { ts = -3 } } }
        assert.equal(5, ran:topic("out")[1].ts)
        assert.equal(-3, ran:topic("out")[2].ts)
    end)
end)

describe("a rule file", function()
    it("may require modules of its folder, which count into the version", function()
        local function run(limit)
            local ran = replay.ok { rules = { ["rules.lua"] = 'local m = require "limits"\n' ..
                'rule "r" { from = "s", where = function(r) return r.v > m.limit end, select = { "v" }, to = "out" }',
                ["limits.lua"] = "return { limit = " .. limit .. " }" }, input = { { ts = 1, v = 1 }, { ts = 1, v = 5 } } }
            return ran:payloads "out", ran:topic("out")[1].header["ananas-rule-version"]
        end
        local got, version = run(3)
        assert.same({ '{"v":5}' }, got)
        local other, changed = run(0)
        assert.same({ '{"v":1}', '{"v":5}' }, other)
        assert.not_equal(version, changed)
    end)

    it("has what rules may use", function()
        local got, ran = out([[
local words = {}
for name in pairs { math = math, string = string, table = table, bit = bit } do words[#words + 1] = name end
table.sort(words)
rule "r" { from = "s", to = "out", select = {
  a = function() return table.concat({ math.floor(2.5), ("x"):rep(2), bit.band(6, 3), select("#", 1, 2), tostring(nil), tonumber("7"), type({}) }, " ") end,
  b = function() local ok, why = pcall(error, "no") return tostring(ok) .. why end,
  c = function() return #words end,
  d = function() log("info", "seen from a rule") return assert(next({ 1 })) end,
  e = function() return (unpack { 5, 6 }) end,
} }]], payloads '{"ts":1}')
        assert.same({ '{"a":"2 xx 2 2 nil 7 table","b":"falseno","c":4,"d":1,"e":5}' }, got)
        assert.truthy(ran.stderr:find "seen from a rule", ran.stderr)
    end)

    for _, name in ipairs { "io", "os", "package", "debug", "ffi", "jit", "load", "loadstring", "dofile", "getfenv", "setfenv", "coroutine",
        "collectgarbage", "newproxy", "rawset", "print" } do
        it("does not have " .. name, function()
            local ran = replay.run { rules = rule("select = { x = function() return " .. name .. " == nil end }"), input = { { ts = 1 } } }
            if ran.status == 0 then
                assert.same({ '{"x":true}' }, ran:payloads "out")
            else
                assert.equal(1, ran.status)
                assert.truthy(ran.stderr:find(name, 1, true), ran.stderr)
            end
        end)
    end
end)

describe("metadata", function()
    it("has the record's headers as an object", function()
        local ran = replay.ok { rules = rule 'select = { "h", a = function(r) return r.h.a end }', config = [[
source "s" { topic = "s", event_time = "ts", max_ahead = "none", metadata = { h = "headers" } }
rules "rules"
]], input = { '{"topic":"s","partition":0,"offset":1,"headers":["a","1","b","x y"],"payload":"{\\"ts\\":5}"}',
            '{"topic":"s","partition":0,"offset":2,"payload":"{\\"ts\\":6}"}' } }
        local one, two = ran:topic("out")[1].value, ran:topic("out")[2].value
        assert.same({ a = "1", b = "x y" }, one.h)
        assert.equal("1", one.a)
        assert.equal(replay.null, two.a)
    end)

    it("takes the place of a member of the same name", function()
        local ran = replay.ok { rules = rule 'select = { "ts" }', config = [[
source "s" { topic = "s", event_time = "ts", max_ahead = "none", metadata = { ts = "timestamp" } }
rules "rules"
]], input = { { topic = "s", ts = 1659426822541, payload = '{"ts":5}' } } }
        assert.same({ '{"ts":"2022-08-02T07:53:42.541Z"}' }, ran:payloads "out")
        assert.equal(1659426822541, ran:topic("out")[1].ts)
    end)
end)

describe("errors of a rule", function()
    -- A last call is handed over, so that Lua knows no place of it; a value without a JSON form is found after the function.
    it("name the function's file and line, whoever raises them", function()
        for body, words in pairs {
            ["timestamp('x')"] = "timestamp() takes a number of milliseconds, not a string",
            ["setmetatable('x', {})"] = "setmetatable takes a table, not a string",
            ["log('loud', 'x')"] = "bad argument",
            ["error('odd', 0)"] = "odd",
            ["error"] = "a function has no JSON form",
        } do
            local _, ran = out(rule("select = { x = function(r) return " .. body .. " end }"), payloads '{"ts":1}')
            assert.truthy(ran.stderr:find('select.x of rule "r" failed: rules/rules.lua:2: ' .. words, 1, true), body .. ": " .. ran.stderr)
        end
    end)

    it("are all counted, and logged the first time and then now and then", function()
        local input = {}
        for i = 1, 2000 do input[i] = { ts = i } end
        local _, ran = out(rule "where = function(r) return r.none > 3 end", input)
        assert.equal(2000, ran.stats.rules.r.errors)
        local _, lines = ran.stderr:gsub("rules%.lua:2:", "")
        assert.is_true(lines >= 1 and lines <= 10, lines .. " lines")
    end)

    it("of odd values are errors too", function()
        local got, ran = out(rule [[where = function(r) if r.id == 1 then error({}) elseif r.id == 2 then error(nil) elseif r.id == 3 then error() end return true end,
            select = { "id" }]], payloads('{"ts":1,"id":1}', '{"ts":2,"id":2}', '{"ts":3,"id":3}', '{"ts":4,"id":4}'))
        assert.same({ '{"id":4}' }, got)
        assert.equal(3, ran.stats.rules.r.errors)
    end)
end)

describe("a runaway", function()
    local others = 'rule "ok" { from = "s", select = { "id" }, to = "out" }\n'

    for name, body in pairs {
        ["an endless loop"] = "while true do end", ["an endless loop that catches errors"] = "while true do pcall(error) end",
        ["endless recursion through pcall"] = "local function f() return pcall(f) and pcall(f) end return f()",
        ["a table that grows"] = "local t = {} for i = 1, 1e9 do t[i] = { i } end",
        ["a string that doubles"] = "local s = 'x' for i = 1, 60 do s = s .. s end",
        ["a pattern that explodes"] = "return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40) .. ('.-'):rep(20) .. 'b')",
    } do
        it(name .. " is stopped; the rule and those that read it are quarantined; the others do not notice", function()
            local ran = replay.ok { rules = others ..
                'rule "bad" { from = "s", to = "bad", where = function(r)\n if r.id == 3 then ' .. body .. " end return true end, select = { \"id\" } }\n" ..
                'rule "below" { from = "bad", to = "below" }\n', input = payloads('{"ts":1,"id":1}', '{"ts":2,"id":2}', '{"ts":3,"id":3}',
                    '{"ts":4,"id":4}', '{"ts":5,"id":5}'), env = { ANANAS_BATCH = 1 } }
            assert.same({ 1, 2, 3, 4, 5 }, ran:column("out", "id"))
            local bad = ran.stats.rules.bad
            if bad.quarantined then
                assert.same({ 1, 2 }, ran:column("bad", "id"))
                assert.is_true(ran.stats.rules.below.quarantined)
                assert.is_true(bad.skipped >= 2)
                assert.truthy(ran.stderr:find('"bad"', 1, true), ran.stderr)
            else
                -- Ended by an error of its own (a stack overflow, a pattern too complex): an error like any other.
                assert.equal(1, bad.errors)
                assert.same({ 1, 2, 4, 5 }, ran:column("bad", "id"))
            end
            assert.is_false(ran.stats.rules.ok.quarantined)
        end)
    end
end)
