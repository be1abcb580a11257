-- columns: which columns a rule's rows have at each stage, and which of its input it needs.
-- A schema is { open =, list =, set = }: open rows have all members of their records, and the list holds the columns
-- beside them; other rows have the columns of the list and nothing else.

local fault = require "fault"

local columns = {}

-- Known of a row beside its columns, in functions only.
columns.row_facts = { _time = true, _from = true, _label = true }

local function schema(open, list)
    local out = { open = open, list = {}, set = {} }
    for _, name in ipairs(list) do
        if not out.set[name] then
            out.set[name] = true
            out.list[#out.list + 1] = name
        end
    end
    return out
end
columns.schema = schema

local function extended(base, names)
    local list = { unpack(base.list) }
    for _, name in ipairs(names) do list[#list + 1] = name end
    return schema(base.open, list)
end

local function names_of(items)
    local names = {}
    for i, item in ipairs(items) do names[i] = item.name end
    return names
end

-- Rows of a source: all members, and the columns that it takes from the record itself.
function columns.of_source(source)
    return schema(true, names_of(source.metadata))
end

-- "o.a" is one name, here as in the records: how member `a` of `o` is written instead. nil where nobody would mean that.
local function member_hint(path, name)
    local last = name:match("^[%a_][%w_.]*%.([%a_][%w_]*)$")
    if not last or name:find("..", 1, true) then return nil end
    local reading, clause = ("function(r) return r.%s end"):format(name), path:match("^%a+")
    if clause == "aggregate" then return ("write %s"):format(reading) end
    if clause == "select" then return ("write %s = %s"):format(path:match("^select%.([%a_][%w_]*)$") or last, reading) end
    return ("give it a name in a rule before, select = { %s = %s }"):format(last, reading)
end

-- A name that is no column of these rows is a fault, where that can be known. Gives whether it is one. warn(desc, path, text).
function columns.known(desc, path, name, rows, warn)
    if columns.row_facts[name] then
        desc.at:fault(path, "`%s`: `%s` is known to functions only; write function(r) return r.%s end", path, name, name)
        return false
    end
    if rows.set[name] then return true end
    local hint = member_hint(path, name)
    if rows.open then
        if hint and warn then
            warn(desc, path, ("`%s`: `%s` is a member of just that name; if a member of a member is meant, %s"):format(path, name, hint))
        end
        return true
    end
    desc.at:fault(path, "`%s`: there is no column `%s`%s", path, name,
        hint and rows.set[name:match("^[^.]+")] and "; for a member of a column " .. hint or fault.suggest(name, rows.list))
    return false
end

local function all_known(desc, path, names, rows, warn)
    for i, name in ipairs(names) do
        columns.known(desc, type(desc.given[path]) == "table" and path .. "." .. i or path, name, rows, warn)
    end
end

local window_columns = { "window_start", "window_end", "window_time" }

-- A group's columns must have different names.
local function check_group(desc)
    local place = {}
    for _, name in ipairs(desc.group_by) do place[name] = "group_by" end
    if desc.window and desc.window.kind ~= "record" then
        for _, name in ipairs(window_columns) do
            if place[name] then
                desc.at:fault("group_by", "`group_by`: `%s` is written by this rule's own window; leave it out, or give the upstream column another name", name)
            end
            place[name] = "window"
        end
    end
    for _, agg in ipairs(desc.aggs) do
        if place[agg.name] then
            desc.at:fault("aggregate." .. agg.name, "`aggregate`: `%s` is a column of `%s` already; choose another name", agg.name, place[agg.name])
        end
    end
end

local function group_schema(desc)
    check_group(desc)
    local list = { unpack(desc.group_by) }
    if desc.window and desc.window.kind ~= "record" then
        for _, name in ipairs(window_columns) do list[#list + 1] = name end
    end
    for _, name in ipairs(names_of(desc.aggs)) do list[#list + 1] = name end
    return schema(false, list)
end

local function match_schema(desc)
    local match = desc.match
    if match.rows_per_match ~= "one" then
        local out = extended(desc.rows, names_of(match.measures))
        return match.on_timeout == "emit" and extended(out, { "timed_out" }) or out
    end
    local list, taken = { unpack(match.partition_by) }, {}
    for _, name in ipairs(list) do taken[name] = true end
    for _, measure in ipairs(match.measures) do
        if taken[measure.name] then
            desc.at:fault("match.measures." .. measure.name, "`match.measures`: `%s` is a column of `partition_by` already", measure.name)
        end
        list[#list + 1] = measure.name
    end
    if match.on_timeout == "emit" then list[#list + 1] = "timed_out" end
    return schema(false, list)
end

-- desc.input: rows as they come; desc.rows: after unnest; desc.made: after the operator; desc.output: after select.
function columns.follow(desc, output_of)
    local open, list = false, {}
    for _, input in ipairs(desc.inputs) do
        local rows = output_of(input)
        open = open or rows.open
        for _, name in ipairs(rows.list) do list[#list + 1] = name end
    end
    desc.input = schema(open or desc.broken, list)
    desc.rows = desc.input
    for i, path in ipairs(desc.unnest) do
        columns.known(desc, type(desc.given.unnest) == "table" and "unnest." .. i or "unnest", path.root, desc.rows)
        if desc.rows.set[path.alias] then
            desc.at:fault("unnest", "`unnest`: the rows have a column `%s` already", path.alias)
        end
        desc.rows = extended(desc.rows, { path.alias })
    end

    if desc.window then
        desc.made = group_schema(desc)
        desc.default_key = desc.group_by
    elseif desc.match then
        desc.made = match_schema(desc)
        desc.default_key = desc.match.partition_by
    elseif desc.process then
        desc.made = desc.process.is_detect and extended(desc.rows, desc.process.columns or { "score" }) or schema(true, {})
        desc.default_key = desc.process.by
    else
        desc.made = desc.rows
    end
    if desc.select and desc.select.fn then
        desc.output = schema(true, {})
    elseif desc.select then
        desc.output = schema(false, names_of(desc.select.items))
    else
        desc.output = desc.made
    end
    if desc.bad.select or desc.bad.match or desc.bad.process or desc.bad.detect or desc.bad.window or desc.bad.aggregate
        or desc.bad.group_by or desc.bad.unnest then
        desc.output = schema(true, {})
        desc.made = desc.bad.select and desc.made or desc.output
    end
end

-- Names in lists against the rows that they are looked up in.
function columns.check(desc, warn)
    all_known(desc, "group_by", desc.group_by, desc.rows, warn)
    for _, agg in ipairs(desc.aggs) do
        if agg.column then columns.known(desc, "aggregate." .. agg.name, agg.column, desc.rows, warn) end
    end
    if desc.top then columns.known(desc, "top.by", desc.top.by, desc.made, warn) end
    if desc.match then
        for i, name in ipairs(desc.match.partition_by) do columns.known(desc, "match.partition_by." .. i, name, desc.rows, warn) end
        for i, item in ipairs(desc.match.order_by or {}) do columns.known(desc, "match.order_by." .. i, item.column, desc.rows, warn) end
    end
    if desc.process then
        local clause = desc.process.is_detect and "detect" or "process"
        for i, name in ipairs(desc.process.by) do
            columns.known(desc, ("%s.by.%d"):format(clause, i), name, desc.rows, warn)
        end
        for _, name in ipairs(desc.process.needs or {}) do columns.known(desc, clause .. ".value", name, desc.rows, warn) end
    end
    for i, item in ipairs(desc.select and desc.select.items or {}) do
        if item.column then
            columns.known(desc, item.column == item.name and "select." .. i or "select." .. item.name, item.column, desc.made, warn)
        end
    end
    -- A key column may be one that select leaves out.
    local rows = schema(desc.made.open or desc.output.open, {})
    for name in pairs(desc.made.set) do rows.list[#rows.list + 1], rows.set[name] = name, true end
    for name in pairs(desc.output.set) do
        if not rows.set[name] then rows.list[#rows.list + 1], rows.set[name] = name, true end
    end
    table.sort(rows.list)
    all_known(desc, "key", desc.key or {}, rows, warn)
end

return columns
