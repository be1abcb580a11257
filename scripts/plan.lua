-- plan: from checked rules to the description that the engine copies (engine/rule.h), in one fixed order, so that the same
-- texts always give the same numbers.

local check = require "check"
local columns = require "columns"
local graph = require "graph"
local uses = require "uses"

local plan = {}

local function sorted(set)
    local names = {}
    for name in pairs(set) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function rows_of_records(desc)
    for _, input in ipairs(desc.inputs) do
        if input.rule and not input.rule.of_records then return false, input.rule end
    end
    return true
end

-- record() gathers the rows of one record: they must not have been grouped or matched on the way.
local function check_record(desc)
    local still, culprit = rows_of_records(desc)
    desc.of_records = still and not desc.match and not desc.process and (not desc.window or desc.window.kind == "record")
    if desc.window and desc.window.kind == "record" and not still then
        desc.at:fault("window", "`window`: record() gathers the rows of one source record, but those of `%s` are no longer rows of records", culprit.name)
    end
end

local function reads_source_of(desc, topic, seen)
    for _, input in ipairs(desc.inputs) do
        if input.source then
            for _, name in ipairs(input.source.topic or {}) do
                if name == topic then return true end
            end
        elseif not seen[input.rule] then
            seen[input.rule] = true
            if reads_source_of(input.rule, topic, seen) then return true end
        end
    end
    return false
end

local function check_topics(rules, group, warn)
    local writers, own = {}, {}
    for _, what in ipairs { "changelog", "repartition" } do own[(group or "ananas") .. "-" .. what] = true end
    for _, desc in ipairs(rules) do
        for _, key in ipairs { "to", "late_to" } do
            local topic = desc[key]
            if own[topic] then
                desc.at:fault(key, "`%s`: the topic `%s` holds the state of the group; nothing else may be written to it", key, topic)
            elseif topic and reads_source_of(desc, topic, {}) then
                desc.at:fault(key, "`%s`: the rule would read its own output: `%s` is the topic of its source", key, topic)
            end
        end
        if desc.to then
            local other = writers[desc.to]
            if other then
                warn(desc, "to", ("the rules `%s` and `%s` both write to `%s`"):format(other.name, desc.name, desc.to))
            end
            writers[desc.to] = other or desc
        end
    end
end

-- Positions travel with the rows of every rule that one with `explain` reads, however far up.
local function mark_provenance(desc)
    if desc.provenance then return end
    desc.provenance = true
    for _, input in ipairs(desc.inputs) do
        if input.rule then mark_provenance(input.rule) end
    end
end

local function input_of(input, index_of_source)
    if input.rule then return { is_rule = true, index = input.rule.index } end
    return { is_rule = false, index = index_of_source[input.source.name] }
end

-- Puts the rule's functions into the script in a fixed order; `add` gives the number of each.
local function number_functions(desc, add)
    local out = {}
    local function put(what, fn)
        if not fn then return nil end
        local read = desc.reads[what]
        return add(fn, { what = what, rule = desc.index, desc = desc, memo_column = desc.memo[what], paths = read and sorted(read.paths) or {} })
    end
    out.where = put("where", desc.where)
    out.aggs = {}
    for i, agg in ipairs(desc.aggs) do
        local made = { name = agg.name, kind = agg.kind, column = agg.column, separator = agg.separator, q = agg.q }
        made.fn = put("aggregate." .. agg.name, agg.fn)
        if agg.kind == "fold" then
            made.fold = add({ init = agg.init, step = agg.step, merge = agg.merge },
                { what = "aggregate." .. agg.name, rule = desc.index, desc = desc, fold = true })
            made.fold_needs = agg.needs
        end
        out.aggs[i] = made
    end
    out.having = put("having", desc.having)
    if desc.match then
        local function numbered(list, clause)
            local fns = {}
            for i, item in ipairs(list) do fns[i] = { name = item.name, fn = put(clause .. "." .. item.name, item.fn) } end
            return fns
        end
        out.define = numbered(desc.match.define, "define")
        out.measures = numbered(desc.match.measures, "measures")
    end
    if desc.process then
        local clause = desc.process.is_detect and "detect" or "process"
        out.on_row = put(clause .. ".on_row", desc.process.on_row)
        out.on_timer = put(clause .. ".on_timer", desc.process.on_timer)
    end
    if desc.select then
        out.select_fn = put("select", desc.select.fn)
        if desc.select.items then
            out.select = {}
            for i, item in ipairs(desc.select.items) do
                out.select[i] = { name = item.name, column = item.column, fn = put("select." .. item.name, item.fn) }
            end
        end
    end
    return out
end

local function describe(desc, numbers, index_of_source)
    local out = {
        name = desc.name, file = desc.file, line = desc.line, index = desc.index, from = {}, unnest = desc.unnest,
        where = numbers.where, window = desc.window, group_by = desc.group_by, aggs = numbers.aggs, having = numbers.having,
        top = desc.top, early = desc.early, lateness = desc.lateness, late_to = desc.late_to,
        select = numbers.select, select_fn = numbers.select_fn, cooldown = desc.cooldown, to = desc.to,
        time_format = desc.time_format, mode = desc.mode, explain = desc.explain, provenance = desc.provenance or false,
        open = desc.output.open, columns = desc.output.list, key = desc.key or desc.default_key,
        needs = sorted(desc.needs), needs_all = desc.needs_all, intern = sorted(desc.intern),
        version = desc.version, state_hash = desc.state_hash, logic_hash = desc.logic_hash, hashes = desc.hashes,
    }
    for i, input in ipairs(desc.inputs) do out.from[i] = input_of(input, index_of_source) end
    if desc.match then
        local m = desc.match
        out.match = {
            partition_by = m.partition_by, order_by = m.order_by or {}, pattern = m.pattern, define = numbers.define,
            measures = numbers.measures, subset = m.subset, skip = m.skip, skip_var = m.skip_var, rows = m.rows_per_match,
            within = m.within, emit_timeout = m.on_timeout == "emit", lookback = m.lookback, max_rows = m.max_rows,
            max_steps = m.max_steps,
            history_free = desc.history_free or false, needs = desc.operator_needs,
        }
    end
    if desc.process then
        local p = desc.process
        out.process = {
            by = p.by, event_order = p.order == "event_time", ttl = p.ttl, on_row = numbers.on_row, on_timer = numbers.on_timer,
            is_detect = p.is_detect or false, needs = desc.operator_needs,
        }
    end
    return out
end

-- found: entries of rule.vocabulary with desc (checked by rule_check). settings: { faults, sources (list), warn, add, versions }.
-- Gives the plan; where faults were added it is incomplete.
function plan.make(found, settings)
    local faults, sources, index_of_source = settings.faults, {}, {}
    for i, source in ipairs(settings.sources) do
        sources[source.name] = source
        index_of_source[source.name] = i - 1
    end
    local names, rules = {}, {}
    for _, entry in ipairs(found) do names[entry.name] = true end
    for _, entry in ipairs(graph.unique(found, sources, faults)) do
        if entry.desc then rules[#rules + 1] = entry.desc end
    end
    graph.connect(rules, sources, names)
    local ordered = graph.order(rules)
    local function output_of(input)
        return input.rule and (input.rule.output or columns.schema(true, {})) or columns.of_source(input.source)
    end
    for i, desc in ipairs(ordered) do
        desc.index = i - 1
        for _, twice in ipairs(desc.at:keys_twice()) do settings.warn(desc, twice.path, twice.text .. "; the last one counts") end
        columns.follow(desc, output_of)
        columns.check(desc, settings.warn)
        check_record(desc)
        uses.analyse(desc, settings)
    end
    check_topics(ordered, settings.group, settings.warn)
    for i = #ordered, 1, -1 do
        uses.needs(ordered[i])
        if ordered[i].explain then mark_provenance(ordered[i]) end
    end
    local out = { rules = {}, sources = settings.sources, ordered = ordered }
    if faults:count() > 0 then return out end
    out.version = settings.versions(ordered, settings)
    for i, desc in ipairs(ordered) do
        out.rules[i] = describe(desc, number_functions(desc, settings.add), index_of_source)
    end
    return out
end

plan.sorted = sorted
plan.keys = check.keys
return plan
