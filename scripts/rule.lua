-- rule: the vocabulary of rule files.
-- Constructors only note what was written, as tables marked with `is`; rule_check.lua judges them, when the whole set is known.

local check = require "check"

local rule = {}

-- Keys of `rule "name" { ... }`, in the order in which they run.
rule.keys = {
    { name = "from", type = "names", single = true, at_least = 1, required = true, doc = "a source or a rule, or a list of them" },
    { name = "unnest", type = "unnest", doc = 'arrays that become rows: "pizzas[].toppings[] as topping"' },
    { name = "where", type = "function", doc = "function(r): keep the row?" },
    { name = "window", type = "window", doc = "tumble, hop, cumulate, session or record()" },
    { name = "group_by", type = "names", single = true, doc = "columns that make a group" },
    { name = "aggregate", type = "aggregates", doc = "name = count(), sum(x), ..." },
    { name = "having", type = "function", doc = "function(g): keep the group?" },
    { name = "top", type = "top", doc = '{ n = 3, by = "nr desc" }: the first n groups of each window' },
    { name = "early", type = "boolean", default = false, doc = "emit a group as soon as having first holds" },
    { name = "lateness", type = "duration", default = "0s", doc = "how long a fired window still takes late rows" },
    { name = "late_to", type = "topic name", doc = "topic for rows that are too late" },
    { name = "match", type = "match", doc = "row pattern matching" },
    { name = "process", type = "process", doc = "free-form detector with keyed state" },
    { name = "detect", type = "detect", doc = "a ready-made detector" },
    { name = "select", type = "select", doc = "what goes out: a list of columns and name = function(r), or a function" },
    { name = "key", type = "names", single = true, doc = "columns of the record key" },
    { name = "cooldown", type = "duration", range = { 1, 2 ^ 53, words = { "1ms", "any" } }, doc = "at most one anomaly per key in this much event time" },
    { name = "to", type = "topic name", doc = "topic that anomalies are written to" },
    { name = "time_format", type = "choice", default = "iso8601", range = { "iso8601", "sql", "epoch_ms" }, doc = "how timestamps are written" },
    { name = "mode", type = "choice", default = "active", range = { "active", "shadow" }, doc = "shadow: counted, never written" },
    { name = "explain", type = "boolean", default = false, doc = "each anomaly carries the positions of the rows behind it" },
}

rule.match = {
    { name = "partition_by", type = "names", single = true, default = {}, doc = "columns that keep rows apart" },
    { name = "order_by", type = "order", doc = 'order after event time: "column" or "column desc"' },
    { name = "pattern", type = "string", required = true, doc = "the row pattern" },
    { name = "define", type = "functions", default = {}, doc = "variable = function(row, m)" },
    { name = "subset", type = "subsets", doc = "name = a list of variables" },
    { name = "measures", type = "functions", default = {}, doc = "column = function(m, row)" },
    { name = "after_match", type = "string", default = "skip past last row", doc = "where the search goes on" },
    { name = "rows_per_match", type = "choice", default = "one", range = { "one", "all", "all omit empty", "all with unmatched" },
        doc = "what a match gives" },
    { name = "within", type = "duration", range = { 1, 2 ^ 53, words = { "1ms", "any" } }, doc = "longest time from first to last row, exclusive" },
    { name = "on_timeout", type = "choice", default = "drop", range = { "drop", "emit" }, doc = "what becomes of an attempt that took too long" },
    { name = "lookback", type = "integer", default = 100, range = { 0, 1000000 }, doc = "rows before the attempt that prev can reach" },
    { name = "max_rows", type = "integer", default = 100000, range = { 1, 10000000 }, doc = "rows after which an attempt is given up, and counted as a limit" },
    { name = "max_steps", type = "integer", default = 250000, range = { 1, 2 ^ 53 },
        doc = "steps of backtracking after which an attempt is given up, likewise" },
}

rule.process = {
    { name = "by", type = "names", single = true, default = {}, doc = "columns of the state's key" },
    { name = "order", type = "choice", default = "arrival", range = { "arrival", "event_time" }, doc = "order of the rows" },
    { name = "ttl", type = "duration", range = { 1, 2 ^ 53, words = { "1ms", "any" } }, doc = "state not touched for this long is forgotten" },
    { name = "on_row", type = "function", required = true, doc = "function(row, state, emit)" },
    { name = "on_timer", type = "function", doc = "function(state, time, emit)" },
}

rule.top = {
    { name = "n", type = "integer", required = true, range = { 1, 1000000 }, doc = "how many groups" },
    { name = "by", type = "string", required = true, doc = '"column" or "column desc"' },
}

local positive = { 1, 2 ^ 53, words = { "1ms", "any" } }
rule.windows = {
    tumble = {
        { name = "size", type = "duration", required = true, range = positive, doc = "length" },
        { name = "offset", type = "duration", signed = true, default = "0s", doc = "shift of the window starts" },
    },
    hop = {
        { name = "size", type = "duration", required = true, range = positive, doc = "length" },
        { name = "slide", type = "duration", required = true, range = positive, doc = "distance of starts; divides size" },
        { name = "offset", type = "duration", signed = true, default = "0s", doc = "shift of the window starts" },
    },
    cumulate = {
        { name = "size", type = "duration", required = true, range = positive, doc = "greatest length" },
        { name = "step", type = "duration", required = true, range = positive, doc = "growth; divides size" },
        { name = "offset", type = "duration", signed = true, default = "0s", doc = "shift of the window starts" },
    },
    session = {
        { name = "gap", type = "duration", required = true, range = positive, doc = "silence that ends a session" },
    },
    record = {},
}

-- name, least and greatest number of arguments, kind in the plan when called with none
rule.aggregates = {
    { name = "count", least = 0, most = 1 }, { name = "sum", least = 1, most = 1 }, { name = "avg", least = 1, most = 1 },
    { name = "min", least = 1, most = 1 }, { name = "max", least = 1, most = 1 }, { name = "first", least = 1, most = 1 },
    { name = "last", least = 1, most = 1 }, { name = "count_distinct", least = 1, most = 1 },
    { name = "listagg", least = 1, most = 2 }, { name = "quantile", least = 2, most = 2 }, { name = "fold", least = 2, most = 3 },
}

rule.detectors = { "ewma", "zscore", "mad", "cusum", "rate_of_change", "seasonal", "absence" }

-- Members of a list as keys with the value true: `bad[r.topping]`.
function rule.set(list)
    if type(list) ~= "table" then error("set: expected a list such as set { \"a\", \"b\" }, got " .. check.describe(list), 2) end
    local out = {}
    for _, member in ipairs(list) do out[member] = true end
    return out
end

-- Line of the rule file from which the function that called this was called.
local function line_above()
    local info = debug.getinfo(3, "l")
    return info and info.currentline or 0
end

-- The words of rule files. `found` collects { name, file, line, spec, source } of each rule; current() gives the file that is
-- being loaded, { path =, text = }.
function rule.vocabulary(faults, found, current)
    local words = { set = rule.set }

    function words.rule(name)
        local line, source = line_above(), current()
        if not source then error("rules are made while their file is loaded, not by their functions", 2) end
        local file = source.path
        if check.is_poison(name) then name = nil
        elseif type(name) ~= "string" or name == "" then
            faults:add(file, line, 'expected `rule "name" { ... }`, got rule %s', check.describe(name))
            name = nil
        end
        local entry = { name = name, file = file, line = line, source = source }
        if name then found[#found + 1] = entry end
        return function(spec)
            if entry.spec == nil then entry.spec = spec == nil and false or spec end
        end
    end

    for kind in pairs(rule.windows) do
        words[kind] = function(given)
            return { is = "window", kind = kind, given = given, line = line_above() }
        end
    end
    for _, row in ipairs(rule.aggregates) do
        words[row.name] = function(...)
            return { is = "aggregate", kind = row.name, row = row, n = select("#", ...), args = { ... }, line = line_above() }
        end
    end
    for _, name in ipairs(rule.detectors) do
        words[name] = function(options)
            return { is = "detector", kind = name, options = options, line = line_above() }
        end
    end
    return words
end

return rule
