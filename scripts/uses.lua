-- uses: which columns each function and clause of a rule reads, and from that what the rule needs of its input.

local code = require "code"
local fault = require "fault"
local flow = require "flow"
local atoms = require "atoms"
local DOWN, FROM = atoms.DOWN, atoms.FROM

local uses = {}

local function add_all(set, names)
    for _, name in ipairs(names) do set[name] = true end
end

-- The columns that were read, and the members of nested values that are columns of their own.
local function add_read(set, read)
    for name in pairs(read.columns) do set[name] = true end
    for path in pairs(read.paths) do set[path] = true end
end

-- Every function of a rule: { what, fn, parameters (roles), rows (schema that its row has) }.
local function functions(desc)
    local list = {}
    local function put(what, path, fn, parameters, rows)
        if fn then list[#list + 1] = { what = what, path = path, fn = fn, parameters = parameters, rows = rows } end
    end
    put("where", "where", desc.where, { "row" }, desc.rows)
    for _, agg in ipairs(desc.aggs) do
        local what = "aggregate." .. agg.name
        put(what, what, agg.fn, { "row" }, desc.rows)
        put(what .. ".step", what, agg.step, { "other", "row" }, desc.rows)
        put(what .. ".merge", what, agg.merge, { "other", "other" }, desc.rows)
    end
    put("having", "having", desc.having, { "row" }, desc.made)
    if desc.match then
        for _, item in ipairs(desc.match.define) do
            put("define." .. item.name, "match.define." .. item.name, item.fn, { "row", "m" }, desc.rows)
        end
        for _, item in ipairs(desc.match.measures) do
            put("measures." .. item.name, "match.measures." .. item.name, item.fn, { "m", "row" }, desc.rows)
        end
    end
    if desc.process and not desc.process.is_detect then
        put("process.on_row", "process.on_row", desc.process.on_row, { "row", "other", "other" }, desc.rows)
        put("process.on_timer", "process.on_timer", desc.process.on_timer, { "other", "other", "other" }, desc.rows)
    end
    if desc.select then
        put("select", "select", desc.select.fn, { "row" }, desc.made)
        for _, item in ipairs(desc.select.items or {}) do
            put("select." .. item.name, "select." .. item.name, item.fn, { "row" }, desc.made)
        end
    end
    return list
end
uses.functions = functions

-- Names that the row, the pattern or m do not have.
local function check_names(desc, entry, read, faults)
    local function each(found, report)
        for _, name in ipairs(uses.sorted(found)) do report(name, found[name]) end
    end
    if not entry.rows.open then
        each(read.columns, function(name, at)
            if not entry.rows.set[name] then
                faults:add(at.file, at.line, "`%s` of `%s`: there is no column `%s`%s", entry.what, desc.name, name,
                    fault.suggest(name, entry.rows.list))
            end
        end)
    end
    each(read.unknown_m, function(name, at)
        faults:add(at.file, at.line, "`%s` of `%s`: `m` has no function `%s`%s", entry.what, desc.name, name,
            fault.suggest(name, uses.sorted(flow.m_functions)))
    end)
    if not desc.match then return end
    local known = { ["*"] = true }
    add_all(known, desc.match.labels)
    each(read.labels, function(name, at)
        if not known[name] then
            faults:add(at.file, at.line, "`%s` of `%s`: `%s` is no variable of the pattern%s", entry.what, desc.name, name,
                fault.suggest(name, desc.match.labels))
        end
    end)
end

-- Whose result is looked at as a whole, not only whether it holds.
local function gives_value(what)
    return not (what == "where" or what == "having" or what:match("^define%."))
end

-- Members of nested values can be columns of their own where rows still are whole records: of sources, or of rules that let
-- them through as they are.
local function rows_of_sources(desc)
    for _, input in ipairs(desc.inputs) do
        local above = input.rule
        if above and (above.window or above.match or above.process or above.select or not rows_of_sources(above)) then return false end
    end
    return #desc.inputs > 0
end

-- Of the members that a function reads those that are columns of its rows: none where the outermost name is not a member of
-- the record. Only these questions see rows through them (scripts/row.lua).
local function paths_of(desc, entry, read)
    local paths = {}
    local asked = entry.what == "where" or (entry.what:match "^aggregate%." and #entry.parameters == 1)
        or (entry.what:match "^select" and not desc.match and not desc.process)
    if not asked or read.all or not entry.rows.open or not rows_of_sources(desc) then return paths end
    for path in pairs(read.paths) do
        local root = path:match("^[^" .. DOWN .. "]*")
        if not entry.rows.set[root] and read.columns[root] then paths[path] = true end
    end
    return paths
end

-- The one column that decides: the only one read, or the only member of it that is read. What is on the way there was an
-- object when there is something at its end.
local function only_column(read)
    local one = next(read.columns)
    if not one or next(read.columns, one) ~= nil then return nil end
    local above = {}
    for path in pairs(read.paths) do above[path:match("^(.*)" .. DOWN)] = true end
    local leaf
    for path in pairs(read.paths) do
        if not above[path] then
            if leaf then return nil end
            leaf = path
        end
    end
    return leaf or one
end

-- desc.reads: what -> what flow.lua found; desc.memo: what -> the one column that a pure predicate reads.
function uses.analyse(desc, settings)
    desc.reads, desc.memo, desc.history_free = {}, {}, desc.match ~= nil
    for _, entry in ipairs(functions(desc)) do
        code.check(entry.fn, settings.functions)
        local read = flow.analyse(entry.fn, entry.parameters, settings.functions, not gives_value(entry.what))
        if read.returns_row and gives_value(entry.what) then read.all = true end
        check_names(desc, entry, read, settings.faults)
        read.paths = paths_of(desc, entry, read)
        if (entry.what == "where" or entry.what == "having") and read.pure and not read.all and next(read.facts) == nil then
            desc.memo[entry.what] = only_column(read)
        end
        if entry.what:match("^define%.") and (read.history or read.all) then desc.history_free = false end
        desc.reads[entry.what] = read
    end
end

-- Columns of the rows after unnest that the operator and the clauses before it use.
local function own_needs(desc)
    local need, all = {}, false
    local function of(what)
        local read = desc.reads[what]
        if not read then return end
        add_read(need, read)
        all = all or read.all
    end
    of "where"
    add_all(need, desc.group_by)
    for _, agg in ipairs(desc.aggs) do
        if agg.column then need[agg.column] = true end
        of("aggregate." .. agg.name)
        of("aggregate." .. agg.name .. ".step")
        if agg.step then
            local read = desc.reads["aggregate." .. agg.name .. ".step"]
            agg.needs = not read.all and uses.sorted(read.columns) or nil
        end
    end
    return need, all
end

function uses.sorted(set)
    local names = {}
    for name in pairs(set) do names[#names + 1] = name end
    table.sort(names)
    return names
end

-- What the output stage reads of the rows that the operator made.
local function output_needs(desc)
    local need, all = {}, false
    local function of(what)
        local read = desc.reads[what]
        add_read(need, read)
        all = all or read.all
    end
    if desc.select and desc.select.fn then
        of "select"
    elseif desc.select then
        for _, item in ipairs(desc.select.items) do
            if item.column then need[item.column] = true else of("select." .. item.name) end
        end
    else
        -- Without select everything goes on: what readers ask for, or all of it when it is written.
        for _, reader in ipairs(desc.readers) do
            for name in pairs(reader.asks or {}) do need[name] = true end
            all = all or reader.needs_all
        end
        if desc.to then
            add_all(need, desc.made.list)
            all = all or desc.made.open
        end
    end
    add_all(need, desc.key or {})
    return need, all
end

-- Columns that match and process hold back with their rows.
local function operator_needs(desc)
    local need, all = {}, false
    local function of(what)
        local read = desc.reads[what]
        if not read then return end
        for name in pairs(read.columns) do need[name] = true end
        all = all or read.all
    end
    if desc.match then
        add_all(need, desc.match.partition_by)
        for _, item in ipairs(desc.match.order_by or {}) do need[item.column] = true end
        for _, item in ipairs(desc.match.define) do of("define." .. item.name) end
        for _, item in ipairs(desc.match.measures) do of("measures." .. item.name) end
    elseif desc.process then
        add_all(need, desc.process.by)
        if desc.process.is_detect then
            add_all(need, desc.process.needs or {})
        else
            of "process.on_row"
        end
    end
    return need, all
end

-- The input a row came from is a column of it where some function asks for that; it never goes on to readers.
local function asks_from(desc)
    for _, read in pairs(desc.reads) do
        if read.facts[FROM] then return true end
    end
    return false
end

-- Sets desc.needs (columns of the input), desc.needs_all, desc.asks (the same with the roots of unnest, for the rule
-- that it reads), desc.operator_needs (nil: all), desc.intern. Readers come first.
function uses.needs(desc)
    local need, all = own_needs(desc)
    local out, out_all = output_needs(desc)
    local passes = not desc.window and not (desc.match and desc.match.rows_per_match == "one")
        and not (desc.process and not desc.process.is_detect)
    if desc.match or desc.process then
        local held, held_all = operator_needs(desc)
        if passes then
            held_all = held_all or out_all
            for name in pairs(out) do
                if desc.rows.open or desc.rows.set[name] then held[name] = true end
            end
        end
        if held_all and not desc.rows.open then
            add_all(held, desc.rows.list)
            held_all = false
        end
        if not held_all then desc.operator_needs = uses.sorted(held) end
        for name in pairs(held) do need[name] = true end
        all = all or held_all
    elseif passes then
        for name in pairs(out) do need[name] = true end
        -- A record goes on as it came: that asks for no column of it.
        if desc.select or not desc.rows.open then all = all or out_all
        else
            for _, what in ipairs { "where" } do all = all or (desc.reads[what] and desc.reads[what].all) or false end
            for _, reader in ipairs(desc.readers) do all = all or reader.needs_all end
        end
    end
    if all and not desc.rows.open then
        add_all(need, desc.rows.list)
        all = false
    end
    desc.needs_all = all
    desc.asks = need
    desc.needs, desc.intern = {}, {}
    for i = #desc.unnest, 1, -1 do
        need[desc.unnest[i].alias] = nil
    end
    for name in pairs(need) do desc.needs[name] = true end
    for _, path in ipairs(desc.unnest) do
        if desc.input.open or desc.input.set[path.root] then need[path.root] = true end
    end
    if asks_from(desc) then
        desc.needs[FROM] = true
        if desc.operator_needs then table.insert(desc.operator_needs, FROM) end
    end
    add_all(desc.intern, desc.group_by)
    for name in pairs(desc.reads.where and desc.reads.where.columns or {}) do desc.intern[name] = true end
    if desc.match then add_all(desc.intern, desc.match.partition_by) end
    if desc.process then add_all(desc.intern, desc.process.by) end
end

return uses
