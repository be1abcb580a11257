-- Bad records, bad lines and bad files: each has a defined outcome, and never costs a neighbour.

local replay = require "tests.support.replay"

local config = [[
source "s" { topic = "s", event_time = "ts", watermark = "0ms", max_ahead = "none" }
rules "rules"
]]

local rules = [[
rule "all"   { from = "s", select = { "id" }, to = "out" }
rule "count" { from = "s", window = tumble "1s", aggregate = { n = count() }, time_format = "epoch_ms", to = "windows" }
]]

local function deep(levels)
    return ('{"ts":2,"id":2,"x":%s%s}'):format(("["):rep(levels - 1), ("]"):rep(levels - 1))
end

-- Name, value of the record between two good ones; all have an event time far ahead where they have one at all.
local bad = {
    { "an empty value", "" },
    { "white space only", "  " },
    { "text", "pizza" },
    { "a number", "17" },
    { "a string", '"pizza"' },
    { "a boolean", "true" },
    { "the literal null", "null" },
    { "an array", '[{"ts":9000000,"id":2}]' },
    { "cut-off JSON", '{"ts":9000000,"id":2' },
    { "JSON cut off inside a string", '{"ts":9000000,"name":"mar' },
    { "JSON cut off inside an escape", '{"ts":9000000,"name":"\\u00' },
    { "JSON cut off inside an array", '{"ts":9000000,"x":[1,2' },
    { "JSON cut off after a colon", '{"ts":9000000,"x":' },
    { "trailing garbage", '{"ts":9000000,"id":2} x' },
    { "two objects", '{"ts":9000000,"id":2}{"ts":9000000}' },
    { "a trailing comma", '{"ts":9000000,"id":2,}' },
    { "single quotes", "{'ts':9000000}" },
    { "a comment", '{"ts":9000000/*ms*/}' },
    { "a name without quotes", "{ts:9000000}" },
    { "a member without value", '{"ts":9000000,"id"}' },
    { "a number with a leading zero", '{"ts":9000000,"id":02}' },
    { "a number with a bare point", '{"ts":9000000,"id":2.}' },
    { "a number with a plus sign", '{"ts":9000000,"id":+2}' },
    { "a hexadecimal number", '{"ts":9000000,"id":0x2}' },
    { "NaN", '{"ts":9000000,"id":NaN}' },
    { "a wrong literal", '{"ts":9000000,"id":nil}' },
    { "an unknown escape", '{"ts":9000000,"name":"\\x41"}' },
    { "a lone high surrogate", '{"ts":9000000,"name":"\\ud83c"}' },
    { "a lone low surrogate", '{"ts":9000000,"name":"\\udf4d"}' },
    { "a control character inside a string", '{"ts":9000000,"name":"a\1b"}' },
    { "invalid UTF-8", '{"ts":9000000,"name":"\255\254"}', raw = true, broken = true },
    { "an overlong encoding", '{"ts":9000000,"name":"\192\175"}', raw = true, broken = true },
    { "an encoded surrogate", '{"ts":9000000,"name":"\237\160\188"}', raw = true, broken = true },
    { "UTF-8 cut off", '{"ts":9000000,"name":"\240\159\141"}', raw = true, broken = true },
    { "a byte order mark", '\239\187\191{"ts":9000000,"id":2}' },
    { "a NUL byte", '{"ts":9000000,"id":2}\0', raw = true },
    { "65 levels of nesting", (deep(65):gsub('"ts":2', '"ts":9000000')) },
    { "100,000 levels of nesting", (deep(100000):gsub('"ts":2', '"ts":9000000')) },
    { "100,000 open brackets", ("["):rep(100000) },
    { "no event time", '{"id":2}' },
    { "an empty object", "{}" },
    { "an event time of null", '{"ts":null,"id":2}' },
    { "an event time that is a boolean", '{"ts":true,"id":2}' },
    { "an event time that is an object", '{"ts":{"ms":9000000},"id":2}' },
    { "an event time that is an array", '{"ts":[9000000],"id":2}' },
    { "an event time that is no time", '{"ts":"yesterday","id":2}' },
    { "an event time that is an empty string", '{"ts":"","id":2}' },
    { "an event time of a day that is none", '{"ts":"2022-02-30 00:00:00","id":2}' },
    { "an event time beyond all time", '{"ts":1e300,"id":2}' },
    { "an event time one level down", '{"x":{"ts":9000000},"id":2}' },
}

for _, case in ipairs(bad) do
    if case.broken then case.shown = case[2]:gsub("[\128-\255]", "\239\191\189") end
end

local good = { '{"ts":1,"id":1}', '{"ts":999,"id":3}' }

local function between(case)
    if case.raw then
        return replay.ok { config = config, rules = rules, args = { "--raw", "s" },
            input = good[1] .. "\n" .. case[2] .. "\n" .. good[2] .. "\n" }
    end
    return replay.ok { config = config, rules = rules, input = {
        { topic = "s", payload = good[1] }, { topic = "s", key = "k", payload = case[2] }, { topic = "s", payload = good[2] } } }
end

describe("a record that is", function()
    for _, case in ipairs(bad) do
        it(case[1] .. " becomes a dead letter, unchanged, moves no watermark and costs no neighbour", function()
            local ran = between(case)
            assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
            assert.same({ case.shown or case[2] }, ran:payloads "s.dead-letters")
            assert.equal(3, ran.stats.records_in)
            assert.equal(1, ran.stats.bad_records)
            -- 9000000 would have closed the first window before its second row.
            assert.equal(0, ran.stats.rules.count.late)
            assert.same({ 2 }, ran:column("windows", "n"))
            local letter = ran:topic("s.dead-letters")[1]
            if not case.raw then assert.equal("k", letter.key) end
            local said = table.concat(letter.headers, " ")
            assert.truthy(said:find("s") and said:find("1"), "no reason and position: " .. said)
            assert.truthy(letter.header["ananas-reason"], said)
        end)
    end
end)

describe("the reason in a dead letter", function()
    local reasons = {
        ["cut off"] = '{"ts":9', ["trailing"] = '{"ts":9} x', ["object"] = "17", ["event time"] = '{"id":1}',
        ["UTF%-8"] = { '{"ts":9,"x":"\255"}' }, ["deep"] = deep(90), ["escape"] = '{"ts":1,"x":"\\q"}',
    }
    for words, value in pairs(reasons) do
        it("says what is wrong: " .. words, function()
            local ran = between { "", type(value) == "table" and value[1] or value, raw = type(value) == "table" }
            local letter = ran:topic("s.dead-letters")[1]
            assert.truthy(letter.header["ananas-reason"]:gsub("-", " "):find((words:gsub("%%%-", " "))),
                letter.header["ananas-reason"])
        end)
    end

    it("comes with the topic, partition and offset of the record", function()
        local ran = replay.ok { config = config, rules = rules, input = {
            { topic = "s", partition = 2, offset = 4711, payload = "x" } } }
        local said = table.concat(ran:topic("s.dead-letters")[1].headers, " ")
        assert.truthy(said:find "4711", said)
        assert.truthy(said:find "%f[%w]2%f[%W]", said)
    end)
end)

describe("a record that is odd but good", function()
    local function rows(rule, payloads)
        local input = {}
        for i, payload in ipairs(payloads) do input[i] = { topic = "s", payload = payload } end
        return replay.ok { config = config, rules = rule, input = input }
    end
    local pass = 'rule "all" { from = "s", to = "out" }'

    it("keeps 64 levels of nesting", function()
        local ran = rows(pass, { deep(64) })
        assert.same({ deep(64) }, ran:payloads "out")
        assert.equal(0, ran.stats.bad_records)
    end)

    it("keeps 5 MB", function()
        local big = '{"ts":2,"x":"' .. ("pizza "):rep(900000) .. '","id":2}'
        local ran = rows('rule "all" { from = "s", to = "out" } rule "id" { from = "s", select = { "id" }, to = "ids" }',
            { '{"ts":1,"id":1}', big, '{"ts":3,"id":3}' })
        assert.equal(3, #ran:payloads "out")
        assert.is_true(big == ran:payloads("out")[2])
        assert.same({ 1, 2, 3 }, ran:column("ids", "id"))
    end)

    it("of 5 MB that is cut off is a dead letter of 5 MB", function()
        local big = '{"ts":2,"x":"' .. ("pizza "):rep(900000)
        local ran = rows(pass, { '{"ts":1,"id":1}', big, '{"ts":3,"id":3}' })
        assert.equal(2, #ran:payloads "out")
        assert.is_true(big == ran:payloads("s.dead-letters")[1])
    end)

    it("with a null value is skipped: neither row nor dead letter", function()
        local ran = replay.ok { config = config, rules = rules, input = {
            { topic = "s", payload = good[1] }, { topic = "s", key = "k", payload = replay.null },
            { topic = "s", payload = good[2] } } }
        assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
        assert.same({}, ran:payloads "s.dead-letters")
        assert.equal(0, ran.stats.bad_records)
        assert.equal(3, ran.stats.records_in)
    end)

    it("with a name twice counts with the last value", function()
        local ran = rows('rule "all" { from = "s", where = function(r) return r.id == 2 end, select = { "id" }, to = "out" }',
            { '{"ts":1,"id":1,"id":2}', '{"ts":1,"id":2,"id":1}' })
        assert.same({ '{"id":2}' }, ran:payloads "out")
    end)

    it("with an escaped name has that column", function()
        local ran = rows('rule "all" { from = "s", select = { "id" }, to = "out" }', { '{"ts":1,"\\u0069d":7}' })
        assert.same({ '{"id":7}' }, ran:payloads "out")
    end)

    it("with white space in every place is read", function()
        local ran = rows('rule "all" { from = "s", select = { "id", "x" }, to = "out" }',
            { ' { "ts" : 1 ,\t"id" :\r 7 , "x" : [ 1 , 2 ] } ' })
        assert.equal(0, ran.stats.bad_records)
        assert.same({ 7 }, ran:column("out", "id"))
    end)

    it("keeps ids beyond 2^53 and nested values as they came", function()
        local value = '{"id": 9007199254740993,"ts":1,"x":{"b": [1.0, 1e2, -0],"a":{"é":"\\u00e9"}}}'
        local ran = rows('rule "all" { from = "s", select = { "id", "x" }, to = "out" }', { value })
        assert.same({ '{"id":9007199254740993,"x":{"b": [1.0, 1e2, -0],"a":{"é":"\\u00e9"}}}' }, ran:payloads "out")
    end)

    it("without the arrays that unnest looks for gives no rows", function()
        local ran = rows([[rule "t" { from = "s", unnest = "pizzas[].tops[] as top", select = { "id", "top" }, to = "out" }]], {
            '{"ts":1,"id":1}', '{"ts":1,"id":2,"pizzas":"none"}', '{"ts":1,"id":3,"pizzas":{"tops":["a"]}}',
            '{"ts":1,"id":4,"pizzas":[]}', '{"ts":1,"id":5,"pizzas":[7,null,"x",[],{}]}',
            '{"ts":1,"id":6,"pizzas":[{"tops":null},{"tops":"a"},{"tops":{}}]}',
            '{"ts":1,"id":7,"pizzas":[{"tops":[]},{"tops":["last"]}]}' })
        assert.same({ '{"id":7,"top":"last"}' }, ran:payloads "out")
        assert.equal(0, ran.stats.bad_records)
    end)

    it("with elements of other types than expected gives rows that have them", function()
        local ran = rows([[
rule "t" { from = "s", unnest = "tops[] as top", select = { "top", kind = function(r) return type(r.top) end }, to = "out" }]],
            { '{"ts":1,"tops":[7,null,"x",true,{"a":1},[1]]}' })
        assert.same({ '{"top":7,"kind":"number"}', '{"top":null,"kind":"nil"}', '{"top":"x","kind":"string"}',
            '{"top":true,"kind":"boolean"}', '{"top":{"a":1},"kind":"table"}', '{"top":[1],"kind":"table"}' }, ran:payloads "out")
    end)
end)

describe("event times", function()
    local function time_of(value, more)
        local ran = replay.ok {
            config = ('source "s" { topic = "s", event_time = "ts", watermark = "0ms", max_ahead = "none" %s }\nrules "rules"')
                :format(more or ""),
            rules = 'rule "all" { from = "s", select = { t = function(r) return r._time end }, to = "out" }',
            input = { { topic = "s", payload = '{"ts":' .. value .. "}" } },
        }
        return ran:column("out", "t")[1], ran:topic("out")[1] and ran:topic("out")[1].ts
    end

    for value, expected in pairs {
        ["1659426822541"] = 1659426822541, ["-5"] = -5, ["0"] = 0, ["1659426822541.0"] = 1659426822541,
        ['"2022-08-02T07:53:42.541Z"'] = 1659426822541, ['"2022-08-02T09:53:42.541+02:00"'] = 1659426822541,
        ['"2022-08-02 07:53:42.541"'] = 1659426822541, ['"2022-08-02T07:53:42"'] = 1659426822000,
        ['"1969-12-31T23:59:59.999Z"'] = -1,
    } do
        it("are read from " .. value, function()
            local t, ts = time_of(value)
            assert.equal(expected, t)
            assert.equal(expected, ts)
        end)
    end

    it("are read in seconds where the source says so", function()
        assert.equal(1659426822541, (time_of("1659426822.541", ', event_unit = "s"')))
        assert.equal(1659426822000, (time_of("1659426822", ', event_unit = "s"')))
    end)

    it("further ahead of now than max_ahead are bad and never move the watermark", function()
        local ran = replay.ok {
            config = 'source "s" { topic = "s", event_time = "ts", watermark = "0ms", max_ahead = "1s" }\nrules "rules"',
            rules = rules, args = { "--now", "5000" },
            input = { { topic = "s", payload = good[1] }, { topic = "s", payload = '{"ts":6001,"id":2}' },
                { topic = "s", payload = good[2] }, { topic = "s", payload = '{"ts":6000,"id":4}' } },
        }
        assert.same({ '{"id":1}', '{"id":3}', '{"id":4}' }, ran:payloads "out")
        assert.same({ '{"ts":6001,"id":2}' }, ran:payloads "s.dead-letters")
        assert.equal(0, ran.stats.rules.count.late)
    end)

    it("of the year 2100 do not pass by default", function()
        local ran = replay.ok {
            config = 'source "s" { topic = "s", event_time = "ts" }\nrules "rules"', rules = rules,
            input = { { topic = "s", payload = '{"ts":"2100-01-01T00:00:00Z","id":1}' } },
        }
        assert.equal(1, ran.stats.bad_records)
    end)

    it("come from the record's timestamp where the source names no column", function()
        local ran = replay.ok {
            config = 'source "s" { topic = "s", max_ahead = "none" }\nrules "rules"',
            rules = 'rule "all" { from = "s", select = { t = function(r) return r._time end }, to = "out" }',
            input = { { topic = "s", ts = 77, payload = '{"ts":5}' }, { topic = "s", payload = '{"ts":5}' } },
        }
        assert.same({ 77 }, ran:column("out", "t"))
        assert.equal(1, ran.stats.bad_records)
    end)
end)

describe("on_bad_record", function()
    local function with(policy)
        return replay.run {
            config = ('source "s" { topic = "s", event_time = "ts", max_ahead = "none", on_bad_record = %q }\nrules "rules"')
                :format(policy),
            rules = rules,
            input = { { topic = "s", payload = good[1] }, { topic = "s", offset = 41, payload = "x" }, { topic = "s", payload = good[2] } },
        }
    end

    it('"skip" counts and writes no dead letter', function()
        local ran = with "skip"
        assert.equal(0, ran.status, ran.stderr)
        assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
        assert.same({}, ran:payloads "s.dead-letters")
        assert.equal(1, ran.stats.bad_records)
    end)

    it('"stop" ends with status 1, names the record, and what came before it is written', function()
        local ran = with "stop"
        assert.equal(1, ran.status)
        assert.same({ '{"id":1}' }, ran:payloads "out")
        assert.truthy(ran.stderr:find "41", ran.stderr)
    end)
end)

describe("a line of input that is no envelope", function()
    for name, line in pairs {
        ["no JSON"] = "pizza", ["a scalar"] = "17", ["an array"] = "[]", ["an object without topic"] = '{"payload":"{}"}',
        ["cut off"] = '{"topic":"s","partition":0,"payl', ["of a wrong partition"] = '{"topic":"s","partition":"x","payload":"{}"}',
        ["of a wrong payload"] = '{"topic":"s","partition":0,"offset":9,"payload":17}',
    } do
        it("(" .. name .. ") is said to be so and costs no neighbour", function()
            local ran = replay.run { config = config, rules = rules, input =
                { { topic = "s", payload = good[1] }, line, { topic = "s", payload = good[2] } } }
            assert.equal(0, ran.status, ran.stderr)
            assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
            assert.is_true(ran.stats.bad_records == 1, replay.canonical(ran.stats))
            assert.same({ 2 }, ran:column("windows", "n"))
        end)
    end

    it("(empty) is no line at all", function()
        local ran = replay.ok { config = config, rules = rules, input =
            { "", { topic = "s", payload = good[1] }, "", "  ", { topic = "s", payload = good[2] }, "" } }
        assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
        assert.equal(0, ran.stats.bad_records)
    end)

    it("(the first, behind a byte order mark) is read", function()
        local ran = replay.ok { rules = rules, input = '\239\187\191{"topic":"s","payload":{"ts":1,"id":5}}\n' }
        assert.same({ '{"id":5}' }, ran:payloads "out")
    end)

    it("(the last, without a newline) counts", function()
        local ran = replay.ok { config = config, rules = rules, args = { "--raw", "s" }, input = good[1] .. "\n" .. good[2] }
        assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
    end)

    it("(of a topic that no source reads) is left alone", function()
        local ran = replay.ok { config = config, rules = rules, input =
            { { topic = "s", payload = good[1] }, { topic = "other", payload = "x" }, { topic = "s", payload = good[2] } } }
        assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
        assert.same({}, ran:payloads "other.dead-letters")
    end)

    it("(ending in CR LF) is read", function()
        local ran = replay.ok { config = config, rules = rules, args = { "--raw", "s" }, input = good[1] .. "\r\n" .. good[2] .. "\r\n" }
        assert.same({ '{"id":1}', '{"id":3}' }, ran:payloads "out")
    end)
end)

describe("check", function()
    local pizzas = 'source "pizzas" { topic = "pizzas", event_time = "ts" }\nrules "rules"\n'

    local function check(options)
        options.command = "check"
        options.config = options.config or pizzas
        return replay.run(options)
    end

    it("reports five mistakes in three files at once, each with its line and a suggestion", function()
        local ran = check {
            config = 'source "pizzas" {\n  topic = "pizzas",\n  evnt_time = "ts",\n}\nrules "rules"\n',
            rules = {
                ["a.lua"] = 'rule "counts" {\n  form = "pizzas",\n  from = "pizzas",\n  window = tumbel "5s",\n' ..
                    '  group_by = { "id" },\n  aggregate = { n = count() },\n}\n',
                ["b.lua"] = '\nrule "high" {\n  from = "cuonts",\n  to = "out",\n}\n\nrule "low" {\n  from = "pizzas",\n' ..
                    '  window = tumble "5 parsecs",\n  aggregate = { n = count() },\n  to = "out2",\n}\n',
            },
        }
        assert.equal(1, ran.status)
        local said = ran.text .. ran.stderr
        for _, expected in ipairs {
            { "ananas.lua:3:", "event_time" }, { "a.lua:2:", "from" }, { "a.lua:4:", "tumble" },
            { "b.lua:3:", "counts" }, { "b.lua:9:", "parsecs" },
        } do
            local line = said:match("[^\n]*" .. expected[1]:gsub("%.", "%%.") .. "[^\n]*")
            assert.truthy(line, expected[1] .. " is not reported:\n" .. said)
            assert.truthy(line:find(expected[2], 1, true), line)
        end
    end)

    for name, case in pairs {
        ["a syntax error"] = { 'rule "a" {\n  from = "pizzas"\n  to = "out",\n}\n', "rules.lua:3:" },
        ["an error while loading"] = { 'local x = nil\nlocal y = x.y\n', "rules.lua:2:" },
        ["a cycle of rules"] = { 'rule "a" { from = "b", to = "x" }\nrule "b" { from = "a", to = "y" }\n', "circle" },
        ["two rules of one name"] = { 'rule "a" { from = "pizzas", to = "x" }\n\nrule "a" { from = "pizzas", to = "y" }\n', "rules.lua:3:" },
        ["an unknown source"] = { 'rule "a" { from = "pizas", to = "x" }\n', "pizzas" },
        ["a required module that is missing"] = { 'local m = require "tops"\nrule "a" { from = "pizzas", to = "x" }\n', "tops" },
        ["an unknown global"] = { 'rule "a" { from = "pizzas", where = function(r) return tabel.concat(r) end, to = "x" }\n', "tabel" },
        ["a hop that does not divide"] = { 'rule "a" { from = "pizzas",\n window = hop { size = "10s", slide = "3s" },\n' ..
            'aggregate = { n = count() }, to = "x" }\n', "rules.lua:2:" },
        ["a cumulate that does not divide"] = { 'rule "a" { from = "pizzas",\n window = cumulate { size = "10s", step = "3s" },\n' ..
            'aggregate = { n = count() }, to = "x" }\n', "rules.lua:2:" },
        ["a negative duration"] = { 'rule "a" { from = "pizzas",\n window = tumble "-5s",\n aggregate = { n = count() }, to = "x" }\n', "negative" },
        ["a group without window"] = { 'rule "a" { from = "pizzas", group_by = { "id" }, aggregate = { n = count() }, to = "x" }\n', "window" },
        ["a column that the upstream rule does not have"] = { 'rule "a" { from = "pizzas", select = { "id", "name" } }\n' ..
            'rule "b" { from = "a", window = tumble "1s",\n group_by = { "nmae" }, aggregate = { n = count() }, to = "x" }\n', "name" },
        ["a pattern that does not parse"] = { 'rule "a" { from = "pizzas", match = {\n pattern = "A (B|C", define = {} }, to = "x" }\n', "rules.lua:2:" },
        ["a variable that the pattern does not have"] = { 'rule "a" { from = "pizzas", match = {\n pattern = "START UP+",\n' ..
            'define = { UPP = function(row) return true end } }, to = "x" }\n', "UP" },
        ["a skip target that is no variable"] = { 'rule "a" { from = "pizzas", match = {\n pattern = "START UP+",\n' ..
            'after_match = "skip to first UPS" }, to = "x" }\n', "UP" },
        ["an assigned upvalue"] = { 'local n = 0\nrule "a" { from = "pizzas", where = function(r)\n n = n + 1 return n > 3 end, to = "x" }\n', "n" },
        ["a topic name that is none"] = { 'rule "a" { from = "pizzas", to = "no topic" }\n', "topic" },
        ["a quantile out of range"] = { 'rule "a" { from = "pizzas", window = tumble "1s", aggregate = { p = quantile("x", 1.5) }, to = "x" }\n', "quantile" },
        ["a rule that reads itself"] = { 'rule "a" { from = "a", to = "x" }\n', "a" },
        ["record() after a window"] = { 'rule "a" { from = "pizzas", window = tumble "1s", aggregate = { n = count() } }\n' ..
            'rule "b" { from = "a", window = record(), aggregate = { n = count() }, to = "x" }\n', "record" },
    } do
        it("refuses " .. name .. ", at its place", function()
            local ran = check { rules = case[1] }
            local said = ran.text .. ran.stderr
            assert.equal(1, ran.status, said)
            assert.truthy(said:match("rules%.lua:%d+:"), said)
            assert.truthy(said:find(case[2], 1, true), said)
        end)
    end

    it("says where inside a pattern the mistake is", function()
        local ran = check { rules = 'rule "a" { from = "pizzas", match = {\n pattern = "A B{3,1} C" }, to = "x" }\n' }
        assert.equal(1, ran.status)
        assert.truthy((ran.text .. ran.stderr):find "rules%.lua:2:", ran.text .. ran.stderr)
    end)

    it("refuses a rules folder that is not there", function()
        local ran = replay.run { command = "check", config = 'source "s" { topic = "s" }\nrules "nowhere"\n' }
        assert.equal(1, ran.status)
        assert.truthy((ran.text .. ran.stderr):find "nowhere", ran.stderr)
    end)

    it("passes a good set and prints sources, rules, state and topics", function()
        local ran = check { rules = [[
rule "counts" { from = "pizzas", window = tumble "5s", group_by = { "id" }, aggregate = { n = count() }, to = "out" }
]] }
        assert.equal(0, ran.status, ran.stderr)
        for _, word in ipairs { "pizzas", "counts", "out", "5s" } do
            assert.truthy(ran.text:find(word, 1, true), word .. " is not in:\n" .. ran.text)
        end
    end)

    it("prints one JSON object with --json", function()
        local ran = check { args = { "--json" }, rules = 'rule "a" { from = "pizzas", to = "x" }\n' }
        assert.equal(0, ran.status, ran.stderr)
        assert.equal("table", type(replay.decode(ran.text)), ran.text)
        ran = check { args = { "--json" }, rules = 'rule "a" { form = "pizzas", to = "x" }\n' }
        assert.equal(1, ran.status)
        assert.equal("table", type(replay.decode(ran.text)), ran.text)
    end)
end)

describe("replay refuses", function()
    it("rules with mistakes, with status 1 and without any output", function()
        local ran = replay.run { rules = 'rule "a" { form = "s", to = "out" }\n', input = { { ts = 1 } } }
        assert.equal(1, ran.status)
        assert.equal("", ran.text)
        assert.truthy(ran.stderr:find "rules%.lua:1:", ran.stderr)
    end)

    it("a configuration that is not there", function()
        local ran = replay.run { command = "replay", args = { "-c", "nowhere.lua" } }
        assert.equal(1, ran.status)
        assert.truthy(ran.stderr:find "nowhere%.lua", ran.stderr)
    end)

    it("compressed input that is cut off, at whatever byte: half of the records are not all of them", function()
        local folder = replay.folder()
        local lines = {}
        for i = 1, 300 do lines[i] = ('{"topic":"s","partition":0,"offset":%d,"payload":"{\\"ts\\":%d}"}'):format(i, i * i) end
        local options = { folder = folder, rules = 'rule "a" { from = "s", to = "out" }', input = table.concat(lines, "\n") .. "\n" }
        replay.run(options)
        replay.shell(folder, "gzip -k input.jsonl && zstd -q input.jsonl")
        for _, kind in ipairs { "gz", "zst" } do
            local whole = replay.read(folder .. "/input.jsonl." .. kind)
            assert.is_true(#whole > 500)
            for _, cut in ipairs { 5, 20, 300, #whole - 1, #whole } do
                replay.write(folder .. "/cut", whole:sub(1, cut))
                local ran = replay.shell(folder, replay.quote(replay.binary) .. " replay --input cut")
                assert.equal(cut == #whole and 0 or 1, ran.status, kind .. " " .. cut)
                assert.equal(cut < #whole, ran.stderr:find("cut after line %d+: it ends in the middle of its compressed data") ~= nil, ran.stderr)
            end
            replay.write(folder .. "/cut", whole .. whole) -- members and frames may follow one another
            local ran = replay.shell(folder, replay.quote(replay.binary) .. " replay --input cut")
            assert.equal(600, select(2, ran.text:gsub("\n", "")))
        end
        replay.remove(folder)
    end)

    it("an input that is not there", function()
        local ran = replay.run { command = "replay", rules = 'rule "a" { from = "s", to = "out" }', args = { "--input", "nowhere.jsonl" } }
        assert.equal(1, ran.status)
        assert.truthy(ran.stderr:find "nowhere%.jsonl", ran.stderr)
    end)

    it("a source of --raw that is none", function()
        local ran = replay.run { rules = 'rule "a" { from = "s", to = "out" }', args = { "--raw", "ss" }, input = "{}\n" }
        assert.is_true(ran.status == 1 or ran.status == 2, tostring(ran.status))
        assert.truthy(ran.stderr:find "ss", ran.stderr)
    end)

    it("counts that cannot be written, before the work, and its own input as output, and counts over the output", function()
        local folder = replay.folder()
        local options = { folder = folder, rules = 'rule "a" { from = "s", to = "out" }', input = { { ts = 1 } } }
        options.args = { "--output", "out.jsonl", "--stats", "/nowhere/stats" }
        local ran = replay.run(options)
        assert.equal(1, ran.status)
        assert.truthy(ran.stderr:find("cannot write /nowhere/stats", 1, true), ran.stderr)
        assert.is_nil(replay.read(folder .. "/out.jsonl"))
        options.args = { "--output", "./input.jsonl" }
        ran = replay.run(options)
        assert.equal(1, ran.status)
        assert.truthy(ran.stderr:find("would be written over", 1, true), ran.stderr)
        options.args = { "--output", "both", "--stats", "./both" }
        ran = replay.run(options)
        assert.equal(1, ran.status)
        assert.truthy(ran.stderr:find("./both is the output", 1, true), ran.stderr)
        assert.truthy(#replay.read(folder .. "/input.jsonl") > 10)
        replay.remove(folder)
    end)

    it("an output that cannot be written", function()
        local ran = replay.run { rules = 'rule "a" { from = "s", to = "out" }', args = { "--output", "/nowhere/x" }, input = { { ts = 1 } } }
        assert.is_true(ran.status ~= 0)
        assert.truthy(ran.stderr:find "/nowhere/x", ran.stderr)
    end)
end)

describe("replay", function()
    local one = 'rule "r" { from = "s", select = { "id" }, to = "out" }'

    it("writes to --output, takes rules from --rules, and nothing but results goes to standard output", function()
        local folder = replay.folder()
        local ran = replay.ok { folder = folder, rules = one, files = { ["other/x.lua"] = 'rule "x" { from = "s", select = { x = "id" }, to = "out" }' },
            args = { "--output", "results.jsonl", "--rules", "other" }, input = { { ts = 1, id = 7 } } }
        local written = replay.read(folder .. "/results.jsonl")
        replay.remove(folder)
        assert.equal("", ran.text)
        assert.equal('{"x":7}', replay.decode(written).payload)
    end)

    it("takes one file of rules as well as a folder", function()
        local ran = replay.ok { files = { ["one.lua"] = one }, args = { "--rules", "one.lua" }, input = { { ts = 1, id = 7 } } }
        assert.same({ '{"id":7}' }, ran:payloads "out")
    end)

    it("logs one line of JSON each with --log-format json", function()
        local ran = replay.ok { rules = one, args = { "--log-format", "json" }, input = { { topic = "s", payload = "x" } } }
        assert.truthy(#ran.stderr > 0)
        for line in ran.stderr:gmatch "[^\n]+" do assert.equal("table", type(replay.decode(line)), line) end
    end)

    it("logs nothing below --log-level", function()
        local ran = replay.ok { rules = one, args = { "--log-level", "error" }, input = { { topic = "s", payload = "x" } } }
        assert.equal("", ran.stderr)
    end)

    it("of an empty input writes nothing and ends well", function()
        local ran = replay.ok { rules = one, input = "" }
        assert.equal("", ran.text)
        assert.equal(0, ran.stats.records_in)
    end)

    it("ends quietly when the reader of its output goes away early", function()
        local folder = replay.folder()
        local input = {}
        for i = 1, 20000 do input[i] = ('{"topic":"s","partition":0,"offset":%d,"payload":"{\\"ts\\":1}"}'):format(i) end
        replay.run { folder = folder, rules = one, input = table.concat(input, "\n") .. "\n" }
        local ran = replay.shell(folder, replay.quote(replay.binary) .. " replay --input input.jsonl | head -n 1")
        replay.remove(folder)
        assert.equal(1, select(2, ran.text:gsub("\n", "")))
        assert.is_nil(ran.stderr:find "Segmentation")
    end)
end)
