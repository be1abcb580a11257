local loading = require "tests.support.loading"

-- What is wrong, in a rule by itself: { what it shows, text, line, what the message says }.
local faults = {
    { "an unknown key, with the nearest one", 'rule "x" {\n  from = "pizzas",\n  grup_by = { "id" },\n}', 3, "unknown key `grup_by`; did you mean `group_by`?" },
    { "an unknown word called while loading", 'rule "x" {\n from = "pizzas",\n window = tumbel "5s", aggregate = { n = count() } }', 3, "unknown name `tumbel`; did you mean `tumble`?" },
    { "a missing key, at the rule", '\nrule "x" { to = "t" }', 2, "the key `from` is missing" },
    { "a type", 'rule "x" { from = "pizzas",\n where = "no" }', 2, "`where`: expected a function, got \"no\"" },
    { "a choice", 'rule "x" { from = "pizzas",\n time_format = "iso" }', 2, 'unknown value "iso"; there is "iso8601"' },
    { "a misspelt choice", 'rule "x" { from = "pizzas",\n time_format = "iso8602" }', 2, 'did you mean "iso8601"?' },
    { "a unit", 'rule "x" { from = "pizzas", window = tumble\n{ size = "5 sec" }, aggregate = { n = count() } }', 2, "unknown unit `sec` in \"5 sec\"; did you mean `5s`?" },
    { "a duration that is none", 'rule "x" { from = "pizzas", cooldown = "soon" }', 1, '"soon" is no duration' },
    { "a number as a duration", 'rule "x" { from = "pizzas", cooldown = 5 }', 1, 'expected a duration such as "5s", got 5' },
    { "a part of a millisecond", 'rule "x" { from = "pizzas", cooldown = "1.0001s" }', 1, "not a whole number of milliseconds" },
    { "a negative duration", 'rule "x" { from = "pizzas", window = session{ gap = "-5s" }, aggregate = { n = count() } }', 1, 'cannot be negative: "-5s"' },
    { "a duration of nothing", 'rule "x" { from = "pizzas", window = tumble "0s", aggregate = { n = count() } }', 1, "0s is out of range" },
    { "a hop that does not divide", 'rule "x" { from = "pizzas", aggregate = { n = count() },\n window = hop {\n size = "10s",\n slide = "3s" } }', 4, "the slide (3s) does not divide the size (10s)" },
    { "a step that does not divide", 'rule "x" { from = "pizzas", aggregate = { n = count() }, window = cumulate { size = "10s", step = "4s" } }', 1, "the step (4s) does not divide the size (10s)" },
    { "an offset as long as the window", 'rule "x" { from = "pizzas", aggregate = { n = count() }, window = tumble { size = "10s", offset = "-10s" } }', 1, "must be shorter than the size" },
    { "a hop without a slide", 'rule "x" { from = "pizzas", aggregate = { n = count() }, window = hop { size = "10s" } }', 1, "`slide` is missing" },
    { "a hop of one duration", 'rule "x" { from = "pizzas", aggregate = { n = count() }, window = hop "10s" }', 1, 'expected hop{ size = "5s", slide = "5s" }' },
    { "an unknown key of a window", 'rule "x" { from = "pizzas", aggregate = { n = count() }, window = tumble { size = "10s", ofset = "1s" } }', 1, "did you mean `offset`?" },
    { "record without parentheses", 'rule "x" { from = "pizzas", aggregate = { n = count() }, window = record }', 1, "write record() with its parentheses" },
    { "group_by alone", 'rule "x" { from = "pizzas",\n group_by = { "id" } }', 2, "`group_by` needs `window` and `aggregate`" },
    { "an aggregate without a window", 'rule "x" { from = "pizzas",\n aggregate = { n = count() } }', 2, "`aggregate` needs `window`" },
    { "a window without anything to do", 'rule "x" { from = "pizzas", window = tumble "1s" }', 1, "`window` needs `aggregate` or `group_by`" },
    { "having without an aggregate", 'rule "x" { from = "pizzas",\n having = function() return true end }', 2, "`having` needs `aggregate`; use `where`" },
    { "early without having", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { n = count() },\n early = true }', 2, "`early` needs `having`" },
    { "late_to without anything that can be late", 'rule "x" { from = "pizzas", late_to = "t" }', 1, "nothing else is ever late" },
    { "a window and a process", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { n = count() },\n process = { on_row = function() end } }', 2, "`window` and `process` cannot stand in one rule" },
    { "a match and a process", 'rule "x" { from = "pizzas", process = { on_row = function() end }, match = { pattern = "A" } }', 1, "`match` and `process` cannot stand in one rule" },
    { "too many arguments", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = {\n s = sum("a", "b") } }', 2, "sum takes 1 argument, got 2" },
    { "too few arguments", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { f = fold(0) } }', 1, "fold takes 2 to 3 arguments, got 1" },
    { "a quantile in percent", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { q = quantile("a", 99) } }', 1, "a quantile from 0 to 1, such as 0.99, got 99" },
    { "an aggregate that is none", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { n = "count" } }', 1, "expected an aggregate such as count()" },
    { "an unnest without a name", 'rule "x" { from = "pizzas", unnest = "pizzas[]" }', 1, "expected a path such as" },
    { "a topic name", 'rule "x" { from = "pizzas", to = "a topic" }', 1, "is no topic name" },
    { "a column named twice", 'rule "x" { from = "pizzas", select = { "id",\n "id" } }', 2, "`id` is named twice" },
    { "top without by", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { n = count() }, top = { n = 3 } }', 1, "the key `by` is missing" },
    { "a fraction where a number is counted", 'rule "x" { from = "pizzas", window = tumble "1s", aggregate = { n = count() }, top = { n = 1.5, by = "n" } }', 1, "expected a whole number, got 1.5" },
    { "a pattern that does not parse, with the position", 'rule "x" { from = "pizzas", match = {\n pattern = "A B{" } }', 2, "position 5" },
    { "a define of no variable", 'rule "x" { from = "pizzas", match = { pattern = "UP DOWN", define = {\n UPP = function() return true end } } }', 2, "`UPP` is no variable of the pattern; did you mean `UP`?" },
    { "a skip to no variable", 'rule "x" { from = "pizzas", match = { pattern = "AAA BBB",\n after_match = "skip to last BBC" } }', 2, "did you mean `BBB`?" },
    { "a skip that is none", 'rule "x" { from = "pizzas", match = { pattern = "A",\n after_match = "skip past last rov" } }', 2, "did you mean `skip past last row`?" },
    { "a subset of no variable", 'rule "x" { from = "pizzas", match = { pattern = "A B", subset = { U = { "A", "C" } } } }', 1, "`C` is no variable of the pattern" },
    { "a subset with a variable's name", 'rule "x" { from = "pizzas", match = { pattern = "A B", subset = { B = { "A" } } } }', 1, "the pattern has a variable of that name" },
    { "a timeout without within", 'rule "x" { from = "pizzas", match = { pattern = "A",\n on_timeout = "emit" } }', 2, '"emit" needs `within`' },
    { "a match without a pattern", 'rule "x" { from = "pizzas", match = {} }', 1, "the key `pattern` is missing" },
    { "a process without on_row", 'rule "x" { from = "pizzas", process = { by = "id" } }', 1, "the key `on_row` is missing" },
    { "an option of a detector", 'rule "x" { from = "pizzas",\n detect = ewma { value = "x",\n treshold = 4 } }', 3, "did you mean `threshold`?" },
    { "a body that is no table", 'rule "x" (7)', 1, 'expected `rule "x" { ... }`, got 7' },
    { "no body at all", '\nrule "x"', 2, "the rule `x` has no body" },
    { "a name that is none", 'rule (7) {}', 1, 'expected `rule "name" { ... }`' },
}

describe("a rule by itself", function()
    for _, case in ipairs(faults) do
        it("refuses " .. case[1], function()
            local words, line = loading.fault(case[2])
            assert.is_truthy(words:find(case[4], 1, true), words)
            assert.equal(case[3], line, words)
        end)
    end

    it("shows every fault at once", function()
        local loaded = loading.rules {
            ["a.lua"] = 'rule "x" { from = "pizzas", wher = 1,\n windo = 2 }',
            ["b.lua"] = 'rule "y" { from = "pizzas", to = 5 }\nrule "z" {\n}',
            ["c.lua"] = "rule (",
        }
        assert.equal(5, #loaded.faults, table.concat(loaded.faults, "\n"))
        for i, start in ipairs { "rules/a.lua:1:", "rules/a.lua:2:", "rules/b.lua:1:", "rules/b.lua:2:", "rules/c.lua:1:" } do
            assert.equal(start, loaded.faults[i]:sub(1, #start))
        end
    end)

    it("is found in its text whatever stands around its keys", function()
        local words, line = loading.fault [==[
--[[ rule "x" { to = 5 } ]]
local s = "rule \"x\" { to = 7"
rule "x" {  -- a comment, with to = 3, } and {{
  from = "pizzas", where = function(r)
    if r.a == "}" then return { to = 1 } end
    return true
  end,
  select = { "id", [ [[n]] ] = function() return ({ to = 9 }).to end },
  to = 5,
}
]==]
        assert.equal(9, line, words)
    end)

    it("takes the line of the call where a key was not written out", function()
        local words, line = loading.fault 'local spec = { from = "pizzas" }\nspec.to = 5\nrule "x" (spec)'
        assert.equal(3, line, words)
    end)
end)

describe("a window", function()
    local function window(text)
        local loaded = loading.rules('rule "x" { from = "pizzas", window = ' .. text .. ", aggregate = { n = count() } }")
        assert.same({}, loaded.faults)
        return loaded.rule.x.window
    end

    it("is in milliseconds", function()
        assert.same({ kind = "tumble", size = 5000, slide = 5000, offset = 0 }, window 'tumble "5s"')
        assert.same({ kind = "tumble", size = 86400000, slide = 86400000, offset = -3600000 }, window 'tumble { size = "1d", offset = "-1h" }')
        assert.same({ kind = "hop", size = 60000, slide = 500, offset = 0 }, window 'hop { size = "1m", slide = "500ms" }')
        assert.same({ kind = "cumulate", size = 3600000, step = 90000, offset = 0 }, window 'cumulate { size = "1h", step = "1.5m" }')
        assert.same({ kind = "session", gap = 30000 }, window 'session "30s"')
        assert.same({ kind = "session", gap = 30000 }, window 'session { gap = "30s" }')
        assert.same({ kind = "record" }, window "record()")
    end)
end)
