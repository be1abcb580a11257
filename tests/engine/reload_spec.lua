-- Verdicts of a reload, as a table: what changed, what becomes of the rule's state, why.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local rows = require "tests.support.rows"
local lib = engine.use("reload", "script", "rule", "config", "mem")

local CONFIG = 'source "pizzas" {}\nsource "other" {}\n'

local kept_alive = {}

local function fault_lines(faults)
    local out = {}
    for i = 0, tonumber(faults.n) - 1 do
        out[#out + 1] = ("%s:%d: %s"):format(ffi.string(faults.at[i].file), faults.at[i].line, ffi.string(faults.at[i].text))
    end
    return table.concat(out, "\n")
end

local function load_config(text)
    local s, faults, config = assert(rows.open()), ffi.new "faults_t", ffi.new "config_t *[1]"
    assert(lib.script_load_config_text(s, "ananas.lua", text, #text, config, faults) == 0, fault_lines(faults))
    return ffi.gc(config[0], lib.config_free)
end

local function load_rules(text, config)
    local s, faults, plan = assert(rows.open()), ffi.new "faults_t", ffi.new "plan_t *[1]"
    local name, body = ffi.new("char[?]", 8, "r.lua"), ffi.new("char[?]", #text + 1, text)
    local one = ffi.new("rule_text_t[1]", { { name, body, #text } })
    local texts = ffi.new("rule_texts_t", { one, 1 })
    assert(lib.script_load_texts(s, texts, config, plan, faults) == 0, fault_lines(faults))
    kept_alive[#kept_alive + 1] = config
    return ffi.gc(plan[0], lib.plan_free)
end

local function verdicts(old, new, old_config, new_config)
    local config = load_config(old_config or CONFIG)
    local a, b = load_rules(old, config), load_rules(new, new_config and load_config(new_config) or config)
    local v = ffi.new "verdicts_t"
    lib.reload_diff(a, b, v)
    local out, order = {}, {}
    for i = 0, v.n - 1 do
        local at = v.at[i]
        local name = ffi.string(at.rule)
        order[#order + 1] = name
        out[name] = { ffi.string(lib.verdict_name(at.kind)), ffi.string(at.reason), at.old_index, at.new_index }
    end
    lib.verdicts_fini(v)
    return out, order
end

local base = [[
local limit = 3
rule "plain" { from = "pizzas", where = function(r) return r.price > limit end, select = { "id", "topping", "price", "list" } }
rule "windows" { from = "plain", window = tumble "5s", group_by = { "topping" }, aggregate = { n = count(), s = sum("price") },
  having = function(w) return w.n > 10 end, lateness = "1s", to = "out" }
rule "records" { from = "plain", window = record(), group_by = { "id" }, aggregate = { n = count() }, to = "records_out" }
rule "matches" { from = "windows", match = { partition_by = { "topping" }, pattern = "A B+ C", within = "10s",
  define = { B = function(row, m) return row.n > m.prev().n end }, measures = { x = function(m) return m.first("A").n end } } }
rule "states" { from = "plain", process = { by = "id", on_row = function(row, state) state.n = (state.n or 0) + 1 end } }
rule "detects" { from = "plain", detect = ewma { by = "id", value = "price" } }
]]

-- { what, from, to, rule, verdict, reason (a part of it) }
local cases = {
    { "nothing", "limit = 3", "limit = 3", "windows", "unchanged", "" },
    { "a predicate", "r.price > limit", "r.price >= limit", "plain", "kept", "where" },
    { "a constant that a predicate captured", "limit = 3", "limit = 4", "plain", "kept", "where" },
    { "a predicate upstream", "limit = 3", "limit = 4", "windows", "kept", "upstream `plain`" },
    { "a predicate two rules upstream", "limit = 3", "limit = 4", "matches", "kept", "upstream `windows`" },
    { "a threshold", "w.n > 10", "w.n > 11", "windows", "kept", "output" },
    { "the sink", '"out"', '"elsewhere"', "windows", "kept", "output" },
    { "lateness", '"1s", to', '"2s", to', "windows", "kept", "output" },
    { "what goes out", '"list" }', '"list", more = "x" }', "plain", "kept", "output" },
    { "the size of the window", '"5s"', '"6s"', "windows", "handover", "window" },
    { "the kind of the window", 'tumble "5s"', 'hop { size = "5s", slide = "1s" }', "windows", "handover", "window" },
    { "a tumbling window into sessions", 'tumble "5s"', 'session "5s"', "windows", "handover", "window" },
    { "the keys", 'group_by = { "topping" }, aggregate', 'group_by = { "topping", "id" }, aggregate', "windows", "handover", "keys" },
    { "an aggregate", 'sum("price")', 'max("price")', "windows", "handover", "aggregates" },
    { "one more aggregate", "n = count(), s", "n = count(), c = count('id'), s", "windows", "handover", "aggregates" },
    { "window and keys", 'tumble "5s", group_by = { "topping" }', 'tumble "6s", group_by = { "id", "topping" }', "windows", "handover", "window, keys" },
    { "a window upstream", '"5s"', '"6s"', "matches", "kept", "upstream `windows`" },
    { "the aggregates of a record", "{ n = count() }, to = \"records_out\"", "{ n = count('id') }, to = \"records_out\"", "records", "kept", "aggregates" },
    { "a record's window into one in time", "window = record()", 'window = tumble "1s"', "records", "reset", "record() has no windows in time" },
    { "a pattern", "A B+ C", "A B* C", "matches", "rebuilt", "pattern" },
    { "a condition", "row.n > m.prev", "row.n < m.prev", "matches", "rebuilt", "conditions" },
    { "a condition, which reads one more column", "row.n > m.prev", "row.s > m.prev", "matches", "rebuilt", "conditions; it begins with the rows from here on, as those held so far lack `s`" },
    { "a measure, which reads one more column", 'm.first("A").n', 'm.first("A").s', "matches", "kept", "output; it begins with the rows from here on, as those held so far lack `s`" },
    { "a process in order of arrival, which reads one more column", "+ 1 end", "+ row.price end", "states", "kept", "code" },
    { "the skip mode", 'pattern =', 'after_match = "skip to next row", pattern =', "matches", "rebuilt", "skip mode" },
    { "within", '"10s"', '"20s"', "matches", "rebuilt", "within" },
    { "a measure", 'm.first("A").n', 'm.last("A").n', "matches", "kept", "output" },
    { "how many rows a match gives", "within =", 'rows_per_match = "all", within =', "matches", "kept", "output" },
    { "a match's keys", 'partition_by = { "topping" }', "partition_by = {}", "matches", "reset", "`partition_by` changed" },
    { "a match's order", 'pattern =', 'order_by = "n", pattern =', "matches", "reset", "`order_by` changed" },
    { "a process", "+ 1 end", "+ 2 end", "states", "kept", "code" },
    { "a process's keys", 'by = "id", on_row', 'by = { "id", "topping" }, on_row', "states", "reset", "`by` changed" },
    { "a process's order", 'by = "id", on_row', 'by = "id", order = "event_time", on_row', "states", "reset", "`order` changed" },
    { "a detector's threshold", 'value = "price" }', 'value = "price", threshold = 9 }', "detects", "kept", "code" },
    { "a detector into another", "ewma {", "zscore {", "detects", "reset", "another detector" },
    { "the source", 'from = "pizzas"', 'from = "other"', "plain", "reset", "its rows come from elsewhere" },
    { "the source of what is upstream", 'from = "pizzas"', 'from = "other"', "windows", "reset", "upstream `plain` was reset" },
    { "the source two rules upstream", 'from = "pizzas"', 'from = "other"', "matches", "reset", "upstream `windows` was reset" },
    { "the input", 'rule "windows" { from = "plain"', 'rule "windows" { from = "pizzas"', "windows", "reset", "its rows come from elsewhere" },
    { "one more input", 'rule "windows" { from = "plain"', 'rule "windows" { from = { "plain", "other" }', "windows", "reset", "its rows come from elsewhere" },
    { "unnest of a window", 'rule "windows" { from = "plain"', 'rule "windows" { from = "plain", unnest = "list[] as x"', "windows", "handover", "unnest" },
    { "unnest of a process", 'rule "states" { from = "plain"', 'rule "states" { from = "plain", unnest = "list[] as x"', "states", "reset", "`unnest` changed" },
    { "unnest of a filter", 'rule "plain" { from = "pizzas"', 'rule "plain" { from = "pizzas", unnest = "l[] as x"', "plain", "kept", "unnest" },
    { "a match into a process", 'match = { partition_by = { "topping" }, pattern = "A B+ C", within = "10s",\n  define = { B = function(row, m) '
        .. 'return row.n > m.prev().n end }, measures = { x = function(m) return m.first("A").n end } }',
        "process = { on_row = function() end }", "matches", "reset", "it was a match and is a process" },
}

local function edited(from, to)
    local i, j = base:find(from, 1, true)
    assert(i, from)
    return base:sub(1, i - 1) .. to .. base:sub(j + 1)
end

describe("the verdict after a change of", function()
    for _, case in ipairs(cases) do
        it(case[1] .. " is " .. case[5], function()
            local found = verdicts(base, edited(case[2], case[3]))[case[4]]
            assert.equal(case[5], found[1], found[2])
            if case[6] == "" then assert.equal("", found[2]) else assert.is_truthy(found[2]:find(case[6], 1, true), found[2]) end
        end)
    end
end)

describe("a reload", function()
    it("names rules that came and went", function()
        local found, order = verdicts(base, [[rule "windows" { from = "pizzas", to = "out" } rule "new" { from = "pizzas" }]])
        assert.same({ "new", "windows", "detects", "matches", "plain", "records", "states" }, order)
        assert.same({ "added", "", -1, 0 }, found.new)
        assert.equal("removed", found.plain[1])
        assert.equal(-1, found.plain[4])
        assert.equal("reset", found.windows[1])
    end)
    it("leaves rules alone that nothing changed for", function()
        local found = verdicts(base, "-- a comment\n" .. edited("w.n > 10", "w.n > 11"))
        for _, name in ipairs { "plain", "records", "states", "detects" } do assert.equal("unchanged", found[name][1], name) end
        assert.equal("kept", found.windows[1])
    end)
    it("minds no order of inputs", function()
        local found = verdicts('rule "a" { from = { "pizzas", "other" }, process = { on_row = function() end } }',
            'rule "a" { from = { "other", "pizzas" }, process = { on_row = function() end } }')
        assert.equal("kept", found.a[1], found.a[2])
    end)
    it("resets everything behind a source whose event time changed", function()
        local found = verdicts(base, base, CONFIG, 'source "pizzas" { event_time = "t" }\nsource "other" {}\n')
        for _, name in ipairs { "plain", "windows", "records", "matches", "states", "detects" } do assert.equal("reset", found[name][1], name) end
    end)
end)
