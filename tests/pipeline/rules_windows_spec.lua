-- Windows, aggregates, lateness and time through rules. Small cases, checked by hand.

local replay = require "tests.support.replay"

-- A rule "r" from "s" to "out" with these clauses, times as numbers.
local function rule(clauses)
    return 'rule "r" { from = "s", to = "out", time_format = "epoch_ms",\n' .. clauses .. "\n}\n"
end

local function run(rules, input, more)
    local options = { rules = rules, input = input }
    for k, v in pairs(more or {}) do options[k] = v end
    return replay.ok(options)
end

local function payloads(...)
    local list = {}
    for i, text in ipairs { ... } do list[i] = { topic = "s", payload = text } end
    return list
end

-- Rows at these times; a table stands for itself.
local function at(...)
    local list = {}
    for i, item in ipairs { ... } do list[i] = type(item) == "number" and { ts = item } or item end
    return list
end

local function spans(ran)
    local list = {}
    for i, record in ipairs(ran:topic "out") do
        local v = record.value
        list[i] = v and ("%d..%d: %s"):format(v.window_start, v.window_end, tostring(v.n)) or "tombstone " .. record.key
    end
    return list
end

local explicit = 'source "s" { topic = "s", event_time = "ts", watermark = "none", max_ahead = "none" }\nrules "rules"'

describe("a window row", function()
    it("has group columns, window columns, then aggregates by name", function()
        assert.same({ '{"b":"x","a":1,"window_start":0,"window_end":1000,"window_time":999,"last":5,"n":1,"zz":5}' },
            run(rule [[window = tumble "1s", group_by = { "b", "a" }, aggregate = { zz = sum("v"), n = count(), last = max("v") }]],
                payloads '{"ts":5,"a":1,"b":"x","v":5}'):payloads "out")
    end)

    it("of record() has no window columns, and comes with its record", function()
        local ran = run([[
rule "tops" { from = "s", unnest = "l[] as v" }
rule "r" { from = "tops", window = record(), group_by = { "id" }, aggregate = { n = count(), all = listagg("v") }, to = "out" }
]], payloads('{"ts":5,"id":1,"l":[3,1,2]}', '{"ts":5,"id":2,"l":[]}', '{"ts":1,"id":3,"l":[1]}'), { args = { "--no-flush" } })
        assert.same({ '{"id":1,"all":"3,1,2","n":3}', '{"id":3,"all":"1","n":1}' }, ran:payloads "out")
        assert.equal(0, ran.stats.rules.r.late)
        assert.equal(5, ran:topic("out")[1].ts)
    end)

    it("of record() keeps records of equal columns apart", function()
        assert.same({ '{"id":1,"n":1}', '{"id":1,"n":1}' }, run(rule 'window = record(), group_by = { "id" }, aggregate = { n = count() }',
            payloads('{"ts":5,"id":1}', '{"ts":5,"id":1}')):payloads "out")
    end)

    it("has window_time as its event time", function()
        assert.equal(999, run(rule 'window = tumble "1s", aggregate = { n = count() }', at(5)):topic("out")[1].ts)
    end)

    it("comes out as soon as the watermark reaches end - 1, not before", function()
        local ran = run([[
rule "mark" { from = "s", select = { "ts" }, to = "out" }
rule "r" { from = "s", window = tumble "10ms", aggregate = { n = count() }, select = { "n" }, to = "out" }]],
            at(1, 8, 9, 11, 19), { args = { "--no-flush" } })
        assert.same({ '{"ts":1}', '{"ts":8}', '{"ts":9}', '{"n":3}', '{"ts":11}', '{"ts":19}', '{"n":2}' }, ran:payloads "out")
    end)

    it("does not come out at the end with --no-flush", function()
        local rules = rule 'window = tumble "1s", aggregate = { n = count() }'
        assert.same({}, run(rules, at(5), { args = { "--no-flush" } }):payloads "out")
        assert.equal(1, #run(rules, at(5)):payloads "out")
    end)
end)

describe("windows", function()
    local function of(window, ...)
        return spans(run(rule("window = " .. window .. ", aggregate = { n = count() }"), at(...), { config = explicit }))
    end

    it("tumble without gap or overlap, also before 1970 and with offsets", function()
        assert.same({ "-10..0: 2", "0..10: 1", "10..20: 1" }, of('tumble "10ms"', -10, -1, 0, 10))
        assert.same({ "-7..3: 2", "3..13: 1" }, of('tumble { size = "10ms", offset = "3ms" }', -7, 2, 3))
        assert.same({ "-3..7: 2", "7..17: 1" }, of('tumble { size = "10ms", offset = "-3ms" }', -3, 6, 7))
    end)

    it("hop with each row in size / slide of them", function()
        assert.same({ "-5..5: 1", "0..10: 2", "5..15: 1" }, of('hop { size = "10ms", slide = "5ms" }', 4, 5))
    end)

    it("cumulate with one start and growing ends", function()
        assert.same({ "0..5: 1", "0..10: 2", "0..15: 2" }, of('cumulate { size = "15ms", step = "5ms" }', 4, 5))
    end)

    it("session while rows are at most gap apart", function()
        assert.same({ "0..15: 3", "16..21: 1" }, of('session { gap = "5ms" }', 0, 5, 10, 16))
        assert.same({ "0..15: 3" }, of('session { gap = "5ms" }', 0, 10, 5))
    end)

    it("of sessions are apart per key", function()
        assert.same({ '{"k":"b","n":1}', '{"k":"a","n":2}' }, run(rule [[window = session { gap = "5ms" }, group_by = { "k" },
            aggregate = { n = count() }, select = { "k", "n" }]], payloads('{"ts":0,"k":"a"}', '{"ts":3,"k":"b"}', '{"ts":5,"k":"a"}'),
            { config = explicit }):payloads "out")
    end)
end)

describe("aggregates", function()
    local rows = payloads('{"ts":3,"v":4,"s":"d","b":true}', '{"ts":1,"v":1.5,"s":"b","b":false}', '{"ts":2,"v":null,"s":null,"b":null}',
        '{"ts":4}', '{"ts":5,"v":-2,"s":"d","b":true}')

    local function value(call, input)
        local ran = run(rule('window = tumble "1s", aggregate = { x = ' .. call .. ' }, select = { "x" }'), input or rows, { config = explicit })
        return ran:payloads("out")[1], ran
    end

    for call, expected in pairs {
        ["count()"] = "5", ['count("v")'] = "3", ['count("b")'] = "2", ['count("none")'] = "0",
        ["count(function(r) return r.v and r.v > 0 end)"] = "2",
        ['sum("v")'] = "3.5", ['sum("none")'] = "null", ["sum(function(r) return r.v and r.v * 2 end)"] = "7",
        ['avg("none")'] = "null", ['min("v")'] = "-2", ['max("v")'] = "4", ['min("s")'] = '"b"', ['max("s")'] = '"d"', ['max("none")'] = "null",
        ['first("s")'] = '"b"', ['last("s")'] = '"d"', ['first("none")'] = "null", ['count_distinct("s")'] = "2", ['count_distinct("none")'] = "0",
        ['listagg("s")'] = '"b,d,d"', ['listagg("s", "; ")'] = '"b; d; d"', ['listagg("v", "")'] = '"1.54-2"', ['listagg("none")'] = "null",
        ['listagg(function(r) return r.s and r.s .. "!" end)'] = '"b!,d!,d!"',
        ['quantile("v", 0)'] = "-2", ['quantile("v", 1)'] = "4", ['quantile("v", 0.5)'] = "1.5", ['quantile("none", 0.5)'] = "null",
        ["fold(0, function(acc, r) return acc * 10 + r.ts end)"] = "12345",
        ["fold({}, function(acc, r) acc[#acc + 1] = r.ts return acc end)"] = "[1,2,3,4,5]",
    } do
        it(call .. " leave nulls out and see rows in event-time order", function()
            assert.equal('{"x":' .. expected .. "}", (value(call)))
        end)
    end

    it("avg divides by the values that there are", function()
        assert.near(3.5 / 3, run(rule 'window = tumble "1s", aggregate = { x = avg("v") }', rows, { config = explicit }):column("out", "x")[1], 1e-12)
    end)

    it("sum integers exactly", function()
        assert.equal('{"x":9007199254740995}', (value('sum("v")', payloads('{"ts":1,"v":9007199254740993}', '{"ts":2,"v":2}'))))
        assert.equal('{"x":18446744073709551614}', (value('sum("v")', payloads('{"ts":1,"v":9223372036854775807}', '{"ts":2,"v":9223372036854775807}'))))
        assert.equal('{"x":0}', (value('sum("v")', payloads('{"ts":1,"v":9223372036854775807}', '{"ts":2,"v":-9223372036854775807}'))))
    end)

    it("sum leaves what is no number out", function()
        assert.equal('{"x":3}', (value('sum("v")', payloads('{"ts":1,"v":"a"}', '{"ts":2,"v":3}', '{"ts":3,"v":{}}'))))
    end)

    it("min and max keep the spelling of the value they choose", function()
        assert.equal('{"x":9007199254740993}', (value('max("v")', payloads('{"ts":1,"v":9007199254740992}', '{"ts":2,"v":9007199254740993}'))))
        assert.equal('{"x":1.50}', (value('min("v")', payloads('{"ts":1,"v":2}', '{"ts":2,"v":1.50}'))))
    end)

    it("count_distinct takes 1 and 1.0 as one value, 1 and \"1\" and true as three", function()
        assert.equal('{"x":3}', (value('count_distinct("v")', payloads('{"ts":1,"v":1}', '{"ts":2,"v":1.0}', '{"ts":3,"v":"1"}', '{"ts":4,"v":true}'))))
    end)

    it("of a function that raises leave that row out, and count the error", function()
        local got, ran = value('sum(function(r) return r.v + 1 end)')
        assert.equal('{"x":6.5}', got)
        assert.equal(2, ran.stats.rules.r.errors)
    end)

    it("fold starts anew in every group", function()
        assert.same({ '{"k":1,"x":[1,3]}', '{"k":2,"x":[2]}' }, run(rule [[window = tumble "1s", group_by = { "k" }, select = { "k", "x" },
            aggregate = { x = fold({}, function(acc, r) acc[#acc + 1] = r.ts return acc end) }]],
            payloads('{"ts":1,"k":1}', '{"ts":2,"k":2}', '{"ts":3,"k":1}')):payloads "out")
    end)

    it("fold that raises keeps what it had and counts", function()
        local got, ran = value("fold(0, function(acc, r) return acc + r.v end)")
        assert.equal('{"x":3.5}', got)
        assert.equal(2, ran.stats.rules.r.errors)
    end)

    it("of sessions come together when sessions merge", function()
        local ran = run(rule [[window = session { gap = "5ms" }, select = { "n", "s", "a", "lo", "d", "l", "f" }, aggregate = { n = count(), s = sum("v"),
            a = avg("v"), lo = min("v"), d = count_distinct("v"), l = listagg("v"),
            f = fold(0, function(a, r) return a * 10 + r.v end, function(a, b) return a * 100 + b end) }]],
            payloads('{"ts":10,"v":3}', '{"ts":0,"v":1}', '{"ts":11,"v":1}', '{"ts":5,"v":2}'), { config = explicit })
        local row = ran:topic("out")[1].value
        assert.same({ n = 4, s = 7, a = 1.75, lo = 1, d = 3, l = "1,2,3,1" }, { n = row.n, s = row.s, a = row.a, lo = row.lo, d = row.d, l = row.l })
        assert.equal(1, #ran:topic "out")
    end)

    it("group_by without aggregate gives each group once", function()
        assert.same({ '{"k":"a"}', '{"k":"b"}' }, run(rule 'window = tumble "1s", group_by = { "k" }, select = { "k" }',
            payloads('{"ts":1,"k":"a"}', '{"ts":2,"k":"b"}', '{"ts":3,"k":"a"}')):payloads "out")
    end)
end)

describe("group keys", function()
    local function groups(...)
        local list = {}
        for i, key in ipairs { ... } do list[i] = ('{"ts":%d,"k":%s}'):format(i, key) end
        return run(rule 'window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }, select = { "k", "n" }', payloads(unpack(list))):payloads "out"
    end
    local function sorted(list) table.sort(list) return list end

    it("take 1 and 1.0 as one, 1 and \"1\" as two", function()
        assert.same({ '{"k":"1","n":1}', '{"k":1,"n":3}' }, sorted(groups("1", '"1"', "1.0", "1e0")))
    end)

    it("tell integers beyond 2^53 apart and write them as they came", function()
        assert.same({ '{"k":9007199254740992,"n":1}', '{"k":9007199254740993,"n":2}' },
            sorted(groups("9007199254740993", "9007199254740992", "9007199254740993")))
    end)

    it("take null as a group of its own, absent as null, and tell true, \"true\" and 1 apart", function()
        local got = run(rule 'window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }, select = { "k", "n" }',
            payloads('{"ts":1,"k":null}', '{"ts":2}', '{"ts":3,"k":true}', '{"ts":4,"k":"true"}', '{"ts":5,"k":1}', '{"ts":6,"k":"null"}')):payloads "out"
        assert.same({ '{"k":"null","n":1}', '{"k":"true","n":1}', '{"k":1,"n":1}', '{"k":null,"n":2}', '{"k":true,"n":1}' }, sorted(got))
    end)

    it("take strings by value, however they are escaped", function()
        assert.equal(1, #groups('"é"', '"\\u00e9"', '"\\u00E9"'))
        assert.equal(1, #groups('"🍍"', '"\\ud83c\\udf4d"'))
    end)

    it("may be objects and arrays", function()
        assert.equal(2, #groups('{"a":1}', '{"a":2}', '{"a":1}'))
    end)

    it("of two columns do not run into each other", function()
        local got = run(rule 'window = tumble "1s", group_by = { "a", "b" }, aggregate = { n = count() }, select = { "n" }',
            payloads('{"ts":1,"a":"x","b":"yz"}', '{"ts":2,"a":"xy","b":"z"}', '{"ts":3,"a":"x","b":"yz"}')):payloads "out"
        assert.same({ '{"n":1}', '{"n":2}' }, sorted(got))
    end)
end)

describe("having", function()
    it("keeps groups by their aggregates, keys and window", function()
        local ran = run(rule [[window = tumble "10ms", group_by = { "k" }, aggregate = { n = count() }, select = { "k", "n" },
            having = function(g) return g.n > 1 and g.k ~= "b" and g.window_start == 0 and g.window_time == 9 end]],
            payloads('{"ts":1,"k":"a"}', '{"ts":2,"k":"a"}', '{"ts":3,"k":"b"}', '{"ts":4,"k":"b"}', '{"ts":5,"k":"c"}',
                '{"ts":11,"k":"a"}', '{"ts":12,"k":"a"}'))
        assert.same({ '{"k":"a","n":2}' }, ran:payloads "out")
    end)

    it("that raises lets the group not pass, and counts", function()
        local ran = run(rule [[window = tumble "10ms", group_by = { "k" }, aggregate = { s = sum("v") },
            having = function(g) return g.s > 1 end, select = { "k" }]],
            payloads('{"ts":1,"k":"a","v":2}', '{"ts":2,"k":"b"}'))
        assert.same({ '{"k":"a"}' }, ran:payloads "out")
        assert.equal(1, ran.stats.rules.r.errors)
    end)
end)

describe("top", function()
    local rows = {}
    for i, k in ipairs { "a", "b", "b", "c", "c", "c", "d", "d", "d", "d" } do rows[i] = { ts = i, k = k } end

    it("keeps the first n groups of each window", function()
        local more = { unpack(rows) }
        more[#more + 1] = { ts = 1001, k = "z" }
        assert.same({ '{"k":"d","n":4}', '{"k":"c","n":3}', '{"k":"z","n":1}' }, run(rule [[window = tumble "1s", group_by = { "k" },
            aggregate = { n = count() }, top = { n = 2, by = "n desc" }, select = { "k", "n" }]], more):payloads "out")
    end)

    it("ascending, and after having", function()
        assert.same({ '{"k":"b","n":2}' }, run(rule [[window = tumble "1s", group_by = { "k" }, aggregate = { n = count() },
            having = function(g) return g.n > 1 end, top = { n = 1, by = "n" }, select = { "k", "n" }]], rows):payloads "out")
    end)
end)

describe("early", function()
    local rules = rule [[window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }, having = function(g) return g.n >= 2 end,
        early = true, select = { "k", "n" }]]

    it("emits a group when having first holds, and not again when the window closes", function()
        local ran = run(rules .. 'rule "mark" { from = "s", select = { "ts" }, to = "out" }',
            { { ts = 1, k = "a" }, { ts = 2, k = "a" }, { ts = 3, k = "a" }, { ts = 4, k = "b" }, { ts = 1500, k = "b" } })
        assert.same({ '{"ts":1}', '{"k":"a","n":2}', '{"ts":2}', '{"ts":3}', '{"ts":4}', '{"ts":1500}' },
            (function() local l = ran:payloads "out"
                -- Within one record rule "mark" may come before "r" or after it.
                if l[2] == '{"ts":2}' then l[2], l[3] = l[3], l[2] end
                return l end)())
    end)

    -- Two sessions, both written early (one has grown since), and a row that joins them.
    it("takes results of sessions back when they merge, under the windows they were written with, and writes the merged one", function()
        local clauses = [[window = session { gap = "5ms" }, group_by = { "k" }, aggregate = { n = count() }, early = true,
            having = function(g) return g.n >= 2 and g.n ~= %d end, key = { "window_start", "window_end" }]]
        local config = 'source "s" { topic = "s", event_time = "ts", watermark = "1s", max_ahead = "none" }\nrules "rules"'
        local input = { { ts = 0 }, { ts = 1 }, { ts = 4 }, { ts = 12 }, { ts = 13 }, { ts = 14 }, { ts = 8 }, { ts = 30 }, { ts = 9 } }
        local gone = { "0..6: 2", "12..18: 2", 'tombstone {"window_start":0,"window_end":6}', 'tombstone {"window_start":12,"window_end":18}' }
        for _, size in ipairs { 1024, 1 } do
            local ran = run(rule(clauses:format(-1)), input, { config = config, env = { ANANAS_BATCH = size } })
            assert.same({ gone[1], gone[2], gone[3], gone[4], "0..19: 7" }, spans(ran), "batch size " .. size)
            -- The merged session is written when its condition holds, here one row later.
            ran = run(rule(clauses:format(7)), input, { config = config, env = { ANANAS_BATCH = size } })
            assert.same({ gone[1], gone[2], gone[3], gone[4], "0..19: 8" }, spans(ran), "batch size " .. size)
        end
    end)

    it("writes an update of a session that grew since its early result in that result's place", function()
        local ran = run(rule [[window = session { gap = "5ms" }, aggregate = { n = count() }, early = true, lateness = "1s",
            having = function(g) return g.n >= 2 end, key = { "window_start", "window_end" }]],
            { { ts = 0 }, { ts = 1 }, { ts = 4 }, { ts = 40 }, { ts = 2 } }, { args = { "--no-flush" } })
        assert.same({ "0..6: 2", 'tombstone {"window_start":0,"window_end":6}', "0..9: 4" }, spans(ran))
    end)

    it("emits again in the next window", function()
        assert.equal(2, #run(rules, { { ts = 1, k = "a" }, { ts = 2, k = "a" }, { ts = 1001, k = "a" }, { ts = 1002, k = "a" } }):payloads "out")
    end)
end)

describe("cooldown", function()
    -- Under one key stand the results of many windows: a tombstone for what was never written would take another one away.
    it("holds back updates and tombstones of what it held back, and of nothing else", function()
        local clauses = [[window = tumble "1s", group_by = { "k" }, aggregate = { n = count() }, lateness = "1m", cooldown = "3s",
            having = function(g) return g.n ~= 3 end, key = { "k" }]]
        local input = { { ts = 100 }, { ts = 1100 }, { ts = 5100 }, { watermark = 6000 },     -- 0 s passes, 1 s is held back, 5 s passes
            { ts = 1200 }, { ts = 1300 }, { ts = 1400 },                                       -- 1 s: an update, a tombstone, a result again
            { ts = 200 }, { ts = 300 }, { ts = 400 }, { ts = 5200 } }                          -- 0 s: the same; 5 s: an update
        assert.same({ "0..1000: 1", "5000..6000: 1", "0..1000: 2", 'tombstone {"k":null}', "0..1000: 4", "5000..6000: 2" },
            spans(run(rule(clauses), input, { config = explicit })))
    end)

    it("holds them back for as long as they may come, wherever steps are cut", function()
        local clauses = [[window = tumble "100ms", group_by = { "k" }, aggregate = { n = count() }, lateness = "1s", cooldown = "3s", key = { "k" }]]
        local input = { { ts = 950 }, { ts = 3850 }, { watermark = 4000 }, { ts = 3860 } }     -- 3.8 s is held back by 0.9 s
        for _, batch in ipairs { "1", "100" } do
            assert.same({ "900..1000: 1" }, spans(run(rule(clauses), input, { config = explicit, env = { ANANAS_BATCH = batch } })))
        end
    end)

    it("lets one anomaly per key pass in this much event time, and counts those held back", function()
        local ran = run(rule 'key = { "k" }, cooldown = "10ms", select = { "ts", "k" }', payloads('{"ts":0,"k":"a"}', '{"ts":5,"k":"a"}',
            '{"ts":6,"k":"b"}', '{"ts":9,"k":"a"}', '{"ts":10,"k":"a"}', '{"ts":15,"k":"a"}', '{"ts":20,"k":"a"}'))
        assert.same({ '{"ts":0,"k":"a"}', '{"ts":6,"k":"b"}', '{"ts":10,"k":"a"}', '{"ts":20,"k":"a"}' }, ran:payloads "out")
        assert.equal(3, ran.stats.rules.r.held_back)
    end)
end)

describe("lateness", function()
    local function rules(more)
        return rule('window = tumble "10ms", group_by = { "k" }, aggregate = { n = count() }, lateness = "20ms", key = { "k", "window_end" }, ' .. (more or ""))
    end
    local function row(ts) return { ts = ts, k = "a" } end

    it("writes an updated result for each late row until end - 1 + lateness", function()
        local ran = run(rules(), { row(1), row(9), row(5), row(28), row(6), row(29), row(7) }, { args = { "--no-flush" } })
        assert.same({ "0..10: 2", "0..10: 3", "0..10: 4", "20..30: 2" }, spans(ran))
        assert.equal(1, ran.stats.rules.r.late)
    end)

    it("writes a result first when a late row makes the group", function()
        assert.same({ "0..10: 1" }, spans(run(rules(), { row(15), row(5) }, { args = { "--no-flush" } })))
    end)

    it("writes a tombstone when a result no longer stands, and the result again when it does", function()
        local ran = run(rules "having = function(g) return g.n ~= 2 end", { row(1), row(9 + 1), row(5), row(6) }, { args = { "--no-flush" } })
        assert.same({ "0..10: 1", 'tombstone {"k":"a","window_end":10}', "0..10: 3" }, spans(ran))
        assert.equal(replay.null, ran:topic("out")[2].payload)
    end)

    it("writes a tombstone for a session that was merged away", function()
        local ran = run(rule 'window = session { gap = "5ms" }, aggregate = { n = count() }, lateness = "1s", key = { "window_start", "window_end" }',
            { row(0), row(10), row(30), row(5) }, { args = { "--no-flush" } })
        local got = spans(ran)
        table.sort(got)
        assert.same({ "0..15: 3", "0..5: 1", "10..15: 1", 'tombstone {"window_start":0,"window_end":5}',
            'tombstone {"window_start":10,"window_end":15}' }, got)
    end)

    it("goes to the topic only: a rule that reads this one sees each window once", function()
        local ran = run(rules() .. 'rule "below" { from = "r", select = { "n" }, to = "below" }', { row(1), row(9), row(5), row(6) })
        assert.same({ 2 }, ran:column("below", "n"))
    end)
end)

describe("late_to", function()
    it("takes rows too late for every window, whole", function()
        local ran = run(rule 'window = tumble "10ms", group_by = { "k" }, aggregate = { n = count() }, late_to = "late"', {
            { topic = "s", key = "k1", payload = '{"ts":1,"k":"a"}' }, { topic = "s", payload = '{"ts":19,"k":"a"}' },
            { topic = "s", key = "k3", payload = '{"ts":2,"k":"a","x":9007199254740993}' } })
        assert.same({ '{"ts":2,"k":"a","x":9007199254740993}' }, ran:payloads "late")
        assert.equal("k3", ran:topic("late")[1].key)
        assert.equal("r", ran:topic("late")[1].header["ananas-rule"])
        assert.equal(1, ran.stats.rules.r.late)
    end)

    it("does not take rows that still count in an open window", function()
        local ran = run(rule 'window = hop { size = "20ms", slide = "10ms" }, aggregate = { n = count() }, late_to = "late"', at(5, 18, 7, 40, 7))
        assert.equal(1, #ran:payloads "late")
        assert.same({ "-10..10: 1", "0..20: 3", "10..30: 1", "30..50: 1", "40..60: 1" }, spans(ran))
    end)
end)

describe("watermarks", function()
    local rules = [[
rule "mark" { from = { "s", "t" }, select = { "ts" }, to = "out" }
rule "r" { from = { "s", "t" }, window = tumble "10ms", aggregate = { n = count() }, select = { "n", "window_end" }, time_format = "epoch_ms", to = "out" }]]
    local two = [[
source "s" { topic = "s", event_time = "ts", watermark = "0ms", max_ahead = "none" }
source "t" { topic = "t", event_time = "ts", watermark = "2ms", max_ahead = "none" }
rules "rules"
]]
    local function fired(input)
        local list = {}
        for i, text in ipairs(run(rules, input, { config = two, args = { "--no-flush" } }):payloads "out") do
            list[i] = text:match '"ts":(-?%d+)' or "fired " .. text:match '"window_end":(%d+)'
        end
        return table.concat(list, " ")
    end
    local function s(ts, partition) return { topic = "s", partition = partition or 0, payload = { ts = ts } } end
    local function t(ts) return { topic = "t", payload = { ts = ts } } end

    it("of a rule with two inputs are their minimum", function()
        assert.equal("1 50 11 fired 10 60 22 fired 20", fired { t(1), s(50), t(11), s(60), t(22) })
    end)

    it("of a source are the minimum of its partitions, which all take part from the start", function()
        assert.equal("90 5 11 fired 10", fired { t(90), s(5), s(11) })
        assert.equal("90 5 50 8 9 fired 10", fired { t(90), s(5), s(50), s(8, 1), s(9, 1) })
    end)

    it("of partitions on a pipe count from their first record, or as declared", function()
        local rules1 = [[rule "r" { from = "s", window = tumble "10ms", aggregate = { n = count() }, time_format = "epoch_ms", to = "out" }]]
        local input = { s(5), s(50), s(8, 1), s(60, 1) }
        local function of(list, trickle) return spans(run(rules1, list, { trickle = trickle, args = { "--no-flush" } })) end
        assert.same({ "0..10: 2" }, of(input, false))
        assert.same({ "0..10: 1" }, of(input, true))
        assert.same({ "0..10: 2" }, of({ { topic = "s", partitions = 2 }, unpack(input) }, true))
        assert.same({}, of({ { topic = "s", partitions = 3 }, unpack(input) }, true))
        assert.same({}, of({ { topic = "s", partitions = 3 }, unpack(input) }, false))
    end)

    it("leave idle partitions out, until they speak again", function()
        assert.equal("90 5 1 19 fired 10 fired 20 15 39 40 fired 40",
            fired { t(90), s(5), s(1, 1), s(19), { topic = "s", partition = 1, idle = true }, s(15, 1), s(39), s(40, 1) })
    end)

    it("advance to what a control line says, for every source", function()
        assert.equal("5 5 fired 10", fired { s(5), t(5), { watermark = 8 }, { watermark = 9 }, { watermark = 3 } })
    end)

    it('of a source with "none" move by control lines only', function()
        local ran = run(rule 'window = tumble "10ms", aggregate = { n = count() }', at(5, 500, 7, { watermark = 9 }, 8, 11),
            { config = explicit, args = { "--no-flush" } })
        assert.same({ "0..10: 2" }, spans(ran))
        assert.equal(1, ran.stats.rules.r.late)
    end)
end)

describe("chained rules", function()
    it("carry event time whatever select keeps", function()
        assert.same({ "0..10: 2", "10..20: 1" }, spans(run('rule "a" { from = "s", select = { "id" } }\n' ..
            'rule "r" { from = "a", window = tumble "10ms", aggregate = { n = count() }, time_format = "epoch_ms", to = "out" }',
            { { ts = 1, id = 1 }, { ts = 2, id = 2 }, { ts = 15, id = 3 } })))
    end)

    it("see a window as a row of its window_time, never late", function()
        local ran = run([[
rule "small" { from = "s", window = tumble "5ms", aggregate = { n = count() } }
rule "r" { from = "small", window = tumble "10ms", aggregate = { n = sum("n"), w = count() }, time_format = "epoch_ms", to = "out" }]],
            at(1, 2, 6, 9, 17, 31))
        assert.same({ "0..10: 4", "10..20: 1", "30..40: 1" }, spans(ran))
        assert.same({ 2, 1, 1 }, ran:column("out", "w"))
        assert.equal(0, ran.stats.rules.r.late)
    end)

    it("see a match as a row of the watermark that emitted it, or of its last row", function()
        local ran = run([[
rule "m" { from = "s", match = { pattern = "A B", define = { B = function(row, m) return row.v > m.prev().v end },
  measures = { v = function(m) return m.last("B").v end } } }
rule "r" { from = "m", window = tumble "10ms", aggregate = { n = count() }, time_format = "epoch_ms", to = "out" }]],
            { { ts = 1, v = 1 }, { ts = 2, v = 2 }, { ts = 25, v = 1 }, { ts = 40, v = 0 } })
        local total = 0
        for _, n in ipairs(ran:column("out", "n")) do total = total + n end
        assert.equal(1, total)
        assert.equal(0, ran.stats.rules.r.late)
    end)
end)

describe("explain", function()
    it("gives each anomaly the positions of the rows behind it", function()
        local function positions(rules, ...)
            local ran = run(rules, payloads(...))
            local list = {}
            for i, record in ipairs(ran:topic "out") do list[i] = replay.decode(record.header["ananas-source"] or "null") end
            return list
        end
        local function flat(list)
            local text = {}
            for i, p in ipairs(list or {}) do text[i] = replay.canonical(p) end
            return table.concat(text, " ")
        end
        local got = positions(rule 'explain = true, where = function(r) return r.ts ~= 2 end', '{"ts":1}', '{"ts":2}', '{"ts":3}')
        assert.equal(2, #got)
        assert.equal('["s",0,0]', flat(got[1]))
        assert.equal('["s",0,2]', flat(got[2]))
        got = positions(rule 'explain = true, window = tumble "10ms", aggregate = { n = count() }', '{"ts":1}', '{"ts":2}', '{"ts":13}')
        assert.equal('["s",0,0] ["s",0,1]', flat(got[1]))
        assert.equal('["s",0,2]', flat(got[2]))
    end)

    it("is absent without it", function()
        assert.is_nil(run(rule "", at(1)):topic("out")[1].header["ananas-source"])
    end)
end)

describe("shadow", function()
    it("counts and feeds readers, but writes nothing", function()
        local ran = run('rule "r" { from = "s", mode = "shadow", to = "out" }\nrule "b" { from = "r", select = { "ts" }, to = "below" }', at(1, 2))
        assert.same({}, ran:payloads "out")
        assert.same({ 1, 2 }, ran:column("below", "ts"))
        assert.equal(2, ran.stats.rules.r.emitted)
    end)
end)

describe("order", function()
    it("of first, last and listagg is event time, then topic, partition and offset, whatever the arrival", function()
        local config = [[source "s" { topic = { "b", "a" }, event_time = "ts", watermark = "none", max_ahead = "none" } rules "rules"]]
        local function row(topic, partition, ts, v) return { topic = topic, partition = partition, payload = { ts = ts, v = v } } end
        local ran = run(rule 'window = tumble "10ms", aggregate = { l = listagg("v"), f = first("v"), z = last("v") }, select = { "l", "f", "z" }',
            { row("b", 0, 5, "b0"), row("a", 1, 5, "a1"), row("a", 0, 5, "a0"), row("a", 0, 5, "a0'"), row("b", 0, 4, "early") }, { config = config })
        assert.same({ '{"l":"early,a0,a0\',a1,b0","f":"early","z":"b0"}' }, ran:payloads "out")
    end)
end)

describe("stats", function()
    it("count records, rows, emitted, late, errors, and give the watermark", function()
        local ran = run(rule 'window = tumble "10ms", aggregate = { n = count() }', at(1, 15, 2), { args = { "--no-flush" } })
        assert.equal(3, ran.stats.records_in)
        assert.equal(0, ran.stats.bad_records)
        assert.equal(15, ran.stats.watermark)
        assert.equal("number", type(ran.stats.seconds))
        local r = ran.stats.rules.r
        assert.same({ 3, 1, 1, 0, false }, { r.rows_in, r.emitted, r.late, r.errors, r.quarantined })
    end)
end)
