local loading = require "tests.support.loading"

local function rules(text, options)
    local loaded = loading.rules(text, options)
    if #loaded.faults > 0 then error(table.concat(loaded.faults, "\n"), 2) end
    return loaded.rule, loaded
end

describe("output columns", function()
    for _, case in ipairs {
        { "of a list: as listed, then the named ones by name", 'from = "pizzas", select = { "z", "a", y = "b", x = function(r) return 1 end }', { "z", "a", "x", "y" } },
        { "of a window: its keys, its times, aggregates by name", 'from = "pizzas", window = tumble "1s", group_by = { "z", "a" }, aggregate = { y = count(), x = sum("b") }',
            { "z", "a", "window_start", "window_end", "window_time", "x", "y" } },
        { "of record(): without times", 'from = "pizzas", window = record(), group_by = { "id" }, aggregate = { n = count() }', { "id", "n" } },
        { "of distinct groups", 'from = "pizzas", window = tumble "1s", group_by = { "id" }', { "id", "window_start", "window_end", "window_time" } },
        { "of a match: its keys, then measures by name", 'from = "pizzas", match = { partition_by = { "z", "a" }, pattern = "A", measures = { y = function() end, x = function() end } }', { "z", "a", "x", "y" } },
        { "of a match that emits timeouts", 'from = "pizzas", match = { pattern = "A", within = "1s", on_timeout = "emit", measures = { x = function() end } }', { "x", "timed_out" } },
    } do
        it(case[1], function()
            local r = rules('rule "x" { ' .. case[2] .. " }").x
            assert.same(case[3], r.columns)
            assert.is_false(r.open)
        end)
    end

    it("of a match that gives all rows: those of the input, then measures", function()
        local r = rules [[
rule "a" { from = "pizzas", select = { "id", "name" } }
rule "x" { from = "a", match = { partition_by = "name", pattern = "A", rows_per_match = "all", measures = { m = function() end } } }]]
        assert.same({ "id", "name", "m" }, r.x.columns)
    end)
    it("of a rule that only keeps rows: all of the record, and those beside it", function()
        local r = rules 'rule "x" { from = "pizzas", unnest = "pizzas[].toppings[] as topping", where = function(r) return r.topping end }'
        assert.is_true(r.x.open)
        assert.same({ "orderTimestamp", "topping" }, r.x.columns)
    end)
    it("of a detector: those of the input and what it adds", function()
        local r = rules 'rule "x" { from = "pizzas", detect = ewma { by = "id", value = "price" } }'
        assert.is_true(r.x.open)
        assert.same({ "orderTimestamp", "score", "expected" }, r.x.columns)
        assert.is_true(r.x.process.is_detect)
        assert.same({ "id" }, r.x.key)
    end)
    it("of several inputs: each once, in the order of the inputs", function()
        local r = rules [[
rule "a" { from = "pizzas", select = { "id", "name" } }
rule "b" { from = "pizzas", select = { "name", "price" } }
rule "x" { from = { "b", "a" } }]]
        assert.same({ "name", "price", "id" }, r.x.columns)
    end)
end)

describe("the record key", function()
    it("is what the rule says, else its groups, else the record's", function()
        local r = rules [[
rule "said" { from = "pizzas", window = tumble "1s", group_by = "id", aggregate = { n = count() }, key = { "n" } }
rule "groups" { from = "pizzas", window = tumble "1s", group_by = { "id" }, aggregate = { n = count() } }
rule "one" { from = "pizzas", window = tumble "1s", aggregate = { n = count() } }
rule "matched" { from = "pizzas", match = { partition_by = "id", pattern = "A" } }
rule "processed" { from = "pizzas", process = { by = "id", on_row = function() end } }
rule "plain" { from = "pizzas" }]]
        assert.same({ "n" }, r.said.key)
        assert.same({ "id" }, r.groups.key)
        assert.same({}, r.one.key)
        assert.same({ "id" }, r.matched.key)
        assert.same({ "id" }, r.processed.key)
        assert.is_nil(r.plain.key)
    end)
end)

describe("what a rule needs of its input", function()
    it("is what its clauses and functions read, and nothing that only goes on", function()
        local r = rules 'rule "x" { from = "other", where = function(r) return r.a and r.b.c end, to = "t" }'
        assert.same({ "a", "b", "b\255c" }, r.x.needs)
        assert.is_false(r.x.needs_all)
    end)
    it("leaves out what unnest makes, and where it starts", function()
        local r = rules 'rule "x" { from = "pizzas", unnest = { "a[] as x", "x.b[] as y" }, where = function(r) return r.y == r.c end, select = { "x" } }'
        assert.same({ "c" }, r.x.needs)
    end)
    it("includes what readers ask for that it passes on", function()
        local r = rules [[
rule "a" { from = "pizzas", where = function(r) return r.kind == 1 end }
rule "b" { from = "a", unnest = "list[] as item", where = function(r) return r.item > r.limit end }
rule "c" { from = "b", window = tumble "1s", group_by = "shop", aggregate = { s = sum("price") } }]]
        assert.same({ "kind", "limit", "list", "price", "shop" }, r.a.needs)
        assert.same({ "limit", "price", "shop" }, r.b.needs)
        assert.same({ "price", "shop" }, r.c.needs)
    end)
    it("does not reach through a select", function()
        local r = rules [[
rule "a" { from = "pizzas", select = { "id", n = "count", f = function(r) return r.g end } }
rule "b" { from = "a", where = function(r) return r.n end }]]
        assert.same({ "count", "g", "id" }, r.a.needs)
    end)
    it("is everything where a function hides what it reads", function()
        local r = rules [[
rule "a" { from = "pizzas" }
rule "b" { from = "a", where = function(r) return next(r) end }
rule "c" { from = "pizzas", select = { "x", "y" } }
rule "d" { from = "c", where = function(r) return next(r) end }]]
        assert.is_true(r.a.needs_all)
        assert.is_true(r.b.needs_all)
        assert.is_false(r.d.needs_all)
        assert.same({ "x", "y" }, r.d.needs)
    end)
    it("of a match that gives one row is what conditions and measures read", function()
        local r = rules [[
rule "x" { from = "pizzas", to = "t", match = { partition_by = "id", order_by = "seq desc", pattern = "A",
  define = { A = function(row) return row.a end }, measures = { z = function(m) return m.last("A").z end } } }]]
        assert.same({ "a", "id", "seq", "z" }, r.x.match.needs)
        assert.same({ { column = "seq", desc = true } }, r.x.match.order_by)
    end)
    it("of a match that gives all rows of records is everything", function()
        local r = rules 'rule "x" { from = "pizzas", to = "t", match = { pattern = "A", rows_per_match = "all" } }'
        assert.is_nil(r.x.match.needs)
    end)
    it("of a match that gives all rows of a list is that list", function()
        local r = rules [[
rule "a" { from = "pizzas", select = { "id", "name" } }
rule "x" { from = "a", to = "t", match = { pattern = "A", rows_per_match = "all" } }]]
        assert.same({ "id", "name" }, r.x.match.needs)
    end)
    it("of a fold is what its step reads", function()
        local r = rules 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { f = fold(0, function(acc, r) return acc + r.n end) } }'
        assert.same({ "n" }, r.x.aggs[1].fold_needs)
        assert.same({ "n" }, r.x.needs)
    end)
end)

describe("rules run", function()
    it("after their inputs, among equals by name", function()
        local _, loaded = rules [[
rule "d" { from = "b" }
rule "c" { from = { "d", "a" } }
rule "b" { from = "pizzas" }
rule "a" { from = "pizzas" }]]
        local order = {}
        for i, r in ipairs(loaded.plan.rules) do order[i] = r.name .. r.index end
        assert.same({ "a0", "b1", "d2", "c3" }, order)
        local many, names = {}, {}
        for i = 1, 40 do many[i] = ('rule "r%02d" { from = "pizzas" }'):format((i * 17) % 41) end
        for i, r in ipairs(select(2, rules(table.concat(many, "\n"))).plan.rules) do names[i] = r.name end
        for i = 1, 40 do assert.equal(("r%02d"):format(i), names[i]) end
        assert.same({ { is_rule = true, index = 2 }, { is_rule = true, index = 0 } }, loaded.rule.c.from)
        assert.same({ { is_rule = false, index = 1 } }, loaded.rule.a.from) -- sources by name: other, pizzas
    end)
end)

describe("between rules", function()
    for _, case in ipairs {
        { "an unknown input", 'rule "x" {\n from = "pizas" }', 2, "there is no source or rule `pizas`; did you mean `pizzas`?" },
        { "an unknown one of several", 'rule "x" { from = {\n "pizzas",\n "nothing_like_it" } }', 3, "there is no source or rule `nothing_like_it`" },
        { "a circle", 'rule "b" { from = "c" }\nrule "c" { from = "d" }\nrule "d" { from = "b" }\nrule "e" { from = "b" }', 1, "`from` goes in a circle: b -> c -> d -> b" },
        { "a rule that reads itself", 'rule "x" { from = { "pizzas", "x" } }', 1, "`from` goes in a circle: x -> x" },
        { "a source's name", 'rule "pizzas" { from = "other" }', 1, "`pizzas` is the name of a source (ananas.lua:1)" },
        { "a column in select", 'rule "a" { from = "pizzas", select = { "name" } }\nrule "x" { from = "a",\n select = { "nam" } }', 3, "there is no column `nam`; did you mean `name`?" },
        { "a column in group_by", 'rule "a" { from = "pizzas", select = { "name" } }\nrule "x" { from = "a", window = tumble "1s", aggregate = { n = count() }, group_by = "nam" }', 2,
            "`group_by`: there is no column `nam`" },
        { "a column in an aggregate", 'rule "a" { from = "pizzas", select = { "name" } }\nrule "x" { from = "a", window = tumble "1s", aggregate = {\n n = count("nam") } }', 3,
            "`aggregate.n`: there is no column `nam`" },
        { "a column of a group in having", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { nr = count() }, having = function(g)\n return g.n > 1 end }', 2,
            "`having` of `x`: there is no column `n`; did you mean `nr`?" },
        { "a column in top", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { nr = count() }, top = { n = 1, by = "nm desc" } }', 1, "`top.by`: there is no column `nm`" },
        { "a column in key", 'rule "x" { from = "pizzas", select = { "id" }, window = tumble "1s", aggregate = { id = count() }, key = { "idd" } }', 1, "`key.1`: there is no column `idd`; did you mean `id`?" },
        { "a column in partition_by", 'rule "a" { from = "pizzas", select = { "name" } }\nrule "x" { from = "a", match = { partition_by = "nam", pattern = "A" } }', 2, "there is no column `nam`" },
        { "a column of a detector", 'rule "a" { from = "pizzas", select = { "name" } }\nrule "x" { from = "a", detect = ewma { value = "nam" } }', 2, "there is no column `nam`" },
        { "a column of unnest", 'rule "a" { from = "pizzas", select = { "list" } }\nrule "x" { from = "a", unnest = "lists[] as x" }', 2, "there is no column `lists`; did you mean `list`?" },
        { "a fact of rows as a column", 'rule "x" { from = "pizzas", select = { "_time" } }', 1, "`_time` is known to functions only" },
        { "an aggregate with a key's name", 'rule "x" { from = "pizzas", window = tumble "1s", group_by = "n", aggregate = { n = count() } }', 1, "`n` is a column of `group_by` already" },
        { "an aggregate with a window column's name", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { window_end = count() } }', 1, "`window_end` is a column of `window` already" },
        { "a measure with a key's name", 'rule "x" { from = "pizzas", match = { partition_by = "n", pattern = "A", measures = { n = function() end } } }', 1, "`n` is a column of `partition_by` already" },
        { "record() over windows", 'rule "a" { from = "pizzas", window = tumble "1s", aggregate = { n = count() } }\nrule "x" { from = "a",\n window = record(), aggregate = { n = count() } }', 3,
            "those of `a` are no longer rows of records" },
        { "record() over a match", 'rule "a" { from = "pizzas", match = { pattern = "A" } }\nrule "b" { from = "a" }\nrule "x" { from = "b", window = record(), aggregate = { n = count() } }', 3,
            "those of `b` are no longer" },
        { "a rule that would read its own output", 'rule "a" { from = "pizzas" }\nrule "x" { from = "a",\n to = "pizzas" }', 3, "the rule would read its own output" },
    } do
        it("refuses " .. case[1], function()
            local words, line = loading.fault(case[2])
            assert.is_truthy(words:find(case[4], 1, true), words)
            assert.equal(case[3], line)
        end)
    end

    it("names both places of two rules of one name", function()
        local loaded = loading.rules { ["a.lua"] = '\nrule "x" { from = "pizzas" }', ["b.lua"] = '\n\nrule "x" { from = "pizzas" }' }
        assert.same({ "rules/b.lua:3: the rule `x` is defined twice; the first is at rules/a.lua:2" }, loaded.faults)
    end)
    it("does not report what follows from another fault", function()
        local loaded = loading.rules 'rule "a" { from = "pizzas", select = 5 }\nrule "x" { from = "a", where = function(r) return r.what end, select = { "ever" } }'
        assert.equal(1, #loaded.faults, table.concat(loaded.faults, "\n"))
    end)
    it("warns of names with dots where they may be members of members, and says how those are written", function()
        local before = "; if a member of a member is meant, "
        local function of(clause, name, hint) return ("rules/rules.lua:1: `%s`: `%s` is a member of just that name%s%s"):format(clause, name, before, hint) end
        local select = "give it a name in a rule before, select = { a = function(r) return r.o.a end }"
        for clauses, want in pairs {
            ['window = tumble "1s", group_by = { "k", "o.a" }, aggregate = { n = count() }'] = of("group_by.2", "o.a", select),
            ['window = tumble "1s", group_by = { "k" }, aggregate = { n = sum("o.a") }'] = of("aggregate.n", "o.a", "write function(r) return r.o.a end"),
            ['match = { pattern = "A", partition_by = { "o.a" } }'] = of("match.partition_by.1", "o.a", select),
            ['match = { pattern = "A", order_by = { "o.a desc" } }'] = of("match.order_by.1", "o.a", select),
            ['process = { by = { "o.a" }, on_row = function() end }'] = of("process.by.1", "o.a", select),
            ['select = { "k", "p.o.a" }'] = of("select.2", "p.o.a", "write a = function(r) return r.p.o.a end"),
            ['select = { x = "o.a" }'] = of("select.x", "o.a", "write x = function(r) return r.o.a end"),
            ['key = { "o.a" }'] = of("key.1", "o.a", select),
        } do
            local loaded = loading.rules(('rule "a" { from = "pizzas", %s }'):format(clauses))
            assert.same({}, loaded.faults)
            assert.same({ want }, loaded.warnings)
        end
    end)
    it("takes names with dots where it knows them as columns, and faults them where it knows that they are none", function()
        local loaded = loading.rules [[rule "a" { from = "pizzas", select = { ["o.a"] = function(r) return r["o.a"] end, "o", "1.5", "a..b" } }
            rule "b" { from = "a", window = tumble "1s", group_by = { "o.a" }, aggregate = { n = count() }, key = { "o.a" } }]]
        assert.same({}, loaded.faults)
        assert.same({}, loaded.warnings)
        loaded = loading.rules [[rule "a" { from = "pizzas", select = { "o" } }
            rule "b" { from = "a", process = { by = { "o.a" }, on_row = function() end } }]]
        assert.same({ "rules/rules.lua:2: `process.by.1`: there is no column `o.a`; for a member of a column give it a name in a rule before, select = { a = function(r) return r.o.a end }" }, loaded.faults)
    end)
    it("warns where two write to one topic", function()
        local loaded = loading.rules 'rule "a" { from = "pizzas", to = "t" }\nrule "b" { from = "pizzas",\n to = "t" }'
        assert.same({ "rules/rules.lua:3: the rules `a` and `b` both write to `t`" }, loaded.warnings)
    end)
end)

describe("explain", function()
    it("is carried by every rule that leads to it", function()
        local r = rules [[
rule "a" { from = "pizzas" }
rule "b" { from = "a" }
rule "c" { from = "b", explain = true }
rule "d" { from = "a" }]]
        assert.same({ true, true, true, false }, { r.a.provenance, r.b.provenance, r.c.provenance, r.d.provenance })
    end)
end)

describe("the shipped rules", function()
    it("are loaded with every column known", function()
        local r, loaded = rules { ["pizza.lua"] = loading.read "rules/pizza.lua" }
        assert.same({ "id", "name", "orderTimestamp" }, r.bad_toppings.needs)
        assert.equal("topping", loaded.desc.bad_toppings.memo.where)
        assert.same({ "id", "name", "orderTimestamp", "nr_bad_items", "toppings" }, r.too_many_bad_toppings.columns)
        assert.same({ "nr_orders", "topping", "window_time" }, r.topping_trend.match.needs)
        assert.is_true(r.topping_trend.match.history_free)
    end)
end)

describe("a plan in words", function()
    local describe_plan = require "describe"
    it("tells sources, rules, state and sinks", function()
        local _, loaded = rules { ["pizza.lua"] = loading.read "rules/pizza.lua" }
        local text = describe_plan.text(loaded.plan)
        for _, words in ipairs { "source pizzas", "rule topping_rush  (rules/pizza.lua:33)", "per topping and open window (tumble 5s): nr_orders",
            "pizza_stream_out_agg (key id)", "2 sources, 5 rules, version " .. loaded.plan.version } do
            assert.is_truthy(text:find(words, 1, true), words .. "\n" .. text)
        end
    end)
    it("is JSON with members sorted", function()
        assert.equal('{"a":[],"b":[1,"x"],"c":{"d":true}}', describe_plan.encode { b = { 1, "x" }, a = { list = true }, c = { d = true } })
        assert.equal('"\\"\\\\\\n\\u0001"', describe_plan.encode '"\\\n\1')
    end)
    it("has durations in the largest unit that divides", function()
        assert.same({ "90s", "1h", "2d", "1500ms", "0ms" }, { describe_plan.duration(90000), describe_plan.duration(3600000),
            describe_plan.duration(172800000), describe_plan.duration(1500), describe_plan.duration(0) })
    end)
end)
