-- rule_check: one rule against the vocabulary, by itself: types, values, and which clauses go together.
-- What needs the other rules (inputs, columns, cycles) is in plan.lua. The result describes the rule in the engine's terms.

local check = require "check"
local fault = require "fault"
local pattern = require "pattern"
local rule = require "rule"

local rule_check = {}
local types = check.types

local function wrong(at, path, value, expected)
    if check.is_poison(value) then return nil end
    at:fault(path, "`%s`: expected %s, got %s", path, expected, check.describe(value))
end

local function sorted_names(at, path, map)
    local names, clean = {}, true
    for _, name in ipairs(check.keys(map)) do
        if type(name) == "string" and name ~= "" then
            names[#names + 1] = name
        else
            at:fault(path .. "." .. tostring(name), "`%s`: found %s without a name", path, check.describe(map[name]))
            clean = false
        end
    end
    return names, clean
end

-- "a[].b[] as x": name, members and brackets, then the name of the new column.
function types.unnest(at, path, value)
    if type(value) == "string" then value = { value } end
    if type(value) ~= "table" or value.is or #value == 0 then
        return wrong(at, path, value, '"array[] as name" or a list of them')
    end
    local out, aliases, clean = {}, {}, true
    for i = 1, #value do
        local where = path .. "." .. i
        local text, alias = nil, nil
        if type(value[i]) == "string" then
            text, alias = value[i]:match("^%s*(%S+)%s+[aA][sS]%s+([%w_]+)%s*$")
        end
        if not text or not text:match("^[^%[%].]+[%w_%[%].$@-]*%[%]$") or text:find("..", 1, true) then
            at:fault(where, '`%s`: expected a path such as "pizzas[].toppings[] as topping", got %s', path, check.describe(value[i]))
            clean = false
        elseif aliases[alias] then
            at:fault(where, "`%s`: the name `%s` is given twice", path, alias)
            clean = false
        else
            aliases[alias] = true
            out[#out + 1] = { text = text, alias = alias, root = text:match("^[^%[%].]+") }
        end
    end
    return clean and out or nil
end

function types.window(at, path, value)
    if type(value) ~= "table" or value.is ~= "window" then
        local hint = type(value) == "function" and "; write record() with its parentheses" or ""
        if check.is_poison(value) then return nil end
        at:fault(path, '`%s`: expected a window such as tumble "5s", got %s%s', path, check.describe(value), hint)
        return nil
    end
    local rows, given = rule.windows[value.kind], value.given
    if value.kind == "record" then
        if given ~= nil then at:fault(path, "`%s`: record() takes nothing", path) end
        return { kind = "record" }
    end
    if type(given) == "string" and #rows > 0 and not (rows[2] and rows[2].required) then given = { [rows[1].name] = given } end
    if type(given) ~= "table" then
        local names = {}
        for _, row in ipairs(rows) do if row.required then names[#names + 1] = row.name .. ' = "5s"' end end
        at:fault(path, "`%s`: expected %s{ %s }, got %s", path, value.kind, table.concat(names, ", "), check.describe(given))
        return nil
    end
    local out, bad = check.table(at, path, given, rows)
    if next(bad) then return nil end
    out.kind = value.kind
    local part = value.kind == "hop" and "slide" or value.kind == "cumulate" and "step"
    if part and out.size % out[part] ~= 0 then
        at:fault(path .. "." .. part, "`%s`: the %s (%s) does not divide the size (%s)", path, part, given[part], given.size)
        return nil
    end
    local turn = out.slide or out.step or out.size
    if out.offset and math.abs(out.offset) >= turn then
        at:fault(path .. ".offset", "`%s`: the offset (%s) must be shorter than %s", path, given.offset,
            value.kind == "hop" and "the slide" or value.kind == "cumulate" and "the step" or "the size")
        return nil
    end
    if value.kind == "tumble" then out.slide = out.size end
    return out
end

local function aggregate(at, path, name, value)
    if type(value) ~= "table" or value.is ~= "aggregate" then
        return wrong(at, path, value, "an aggregate such as count()")
    end
    local kind, row, args = value.kind, value.row, value.args
    if value.n < row.least or value.n > row.most then
        at:fault(path, "`%s`: %s takes %s, got %d", path, kind,
            row.least == row.most and row.least .. " argument" .. (row.least == 1 and "" or "s")
            or ("%d to %d arguments"):format(row.least, row.most), value.n)
        return nil
    end
    local out = { name = name, kind = kind }
    if kind == "fold" then
        for i = 2, value.n do
            if type(args[i]) ~= "function" then return wrong(at, path, args[i], i == 2 and "the step, a function(acc, row)" or "merge, a function(a, b)") end
        end
        if type(args[1]) == "function" then
            at:fault(path, "`%s`: the first argument of fold is the initial value, not a function", path)
            return nil
        end
        out.init, out.step, out.merge = args[1], args[2], args[3]
        return out
    end
    if value.n == 0 then
        out.kind = "count_all"
        return out
    end
    local arg = args[1]
    if check.is_poison(arg) then return nil end
    if type(arg) == "function" then
        out.fn = arg
    elseif type(arg) == "string" and arg ~= "" then
        out.column = arg
    else
        return wrong(at, path, arg, "a column or a function(r)")
    end
    if kind == "listagg" then
        if value.n == 2 and type(args[2]) ~= "string" then return wrong(at, path, args[2], "a separator, a string") end
        out.separator = args[2] or ","
    elseif kind == "quantile" then
        local q = args[2]
        if type(q) ~= "number" or not (q >= 0 and q <= 1) then
            return wrong(at, path, q, "a quantile from 0 to 1, such as 0.99")
        end
        out.q = q
    end
    return out
end

function types.aggregates(at, path, value)
    if type(value) ~= "table" or value.is then return wrong(at, path, value, "name = count(), ...") end
    local out = {}
    local names, clean = sorted_names(at, path, value)
    for _, name in ipairs(names) do
        local made = aggregate(at, path .. "." .. name, name, value[name])
        if made then out[#out + 1] = made else clean = false end
    end
    if clean and #out == 0 then
        at:fault(path, "`%s`: names no aggregate", path)
        return nil
    end
    return clean and out or nil
end

-- "column" or "column desc"
local function ordering(at, path, text)
    local column, way = nil, nil
    if type(text) == "string" then column, way = text:match("^%s*(%S+)%s*(%a*)%s*$") end
    way = way and way:lower()
    if not column or (way ~= "" and way ~= "asc" and way ~= "desc") then
        return wrong(at, path, text, '"column" or "column desc"')
    end
    return { column = column, desc = way == "desc" }
end

function types.top(at, path, value)
    if type(value) ~= "table" or value.is then return wrong(at, path, value, '{ n = 3, by = "column desc" }') end
    local out, bad = check.table(at, path, value, rule.top)
    if next(bad) then return nil end
    local by = ordering(at, path .. ".by", out.by)
    return by and { n = out.n, by = by.column, desc = by.desc } or nil
end

function types.order(at, path, value)
    if type(value) == "string" then value = { value } end
    if type(value) ~= "table" or value.is then return wrong(at, path, value, '{ "column", "other desc" }') end
    local out = {}
    for i = 1, #value do
        out[i] = ordering(at, path .. "." .. i, value[i])
        if not out[i] then return nil end
    end
    return out
end

function types.functions(at, path, value)
    if type(value) ~= "table" or value.is then return wrong(at, path, value, "name = function(...) end, ...") end
    local out = {}
    local names, clean = sorted_names(at, path, value)
    for _, name in ipairs(names) do
        if types["function"](at, path .. "." .. name, value[name]) then
            out[#out + 1] = { name = name, fn = value[name] }
        else
            clean = false
        end
    end
    return clean and out or nil
end

function types.subsets(at, path, value)
    if type(value) ~= "table" or value.is then return wrong(at, path, value, 'name = { "A", "B" }, ...') end
    local out = {}
    local names, clean = sorted_names(at, path, value)
    for _, name in ipairs(names) do
        local vars = types.names(at, path .. "." .. name, value[name], { at_least = 1 })
        if vars then out[#out + 1] = { name = name, vars = vars } else clean = false end
    end
    return clean and out or nil
end

local function set_of(names)
    local set = {}
    for _, name in ipairs(names) do set[name] = true end
    return set
end

local skips = { ["past last row"] = "past_last", ["to next row"] = "to_next" }

local function after_match(at, out, known, names)
    local text = out.after_match:lower():gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
    local rest = text:match("^skip (.*)$")
    out.skip = rest and skips[rest]
    if out.skip then return true end
    local which, var = out.after_match:match("^%s*[sS][kK][iI][pP]%s+[tT][oO]%s+([%a]+)%s+([%w_]+)%s*$")
    which = which and which:lower()
    if which ~= "first" and which ~= "last" then
        local forms = { "skip past last row", "skip to next row", "skip to first X", "skip to last X" }
        at:fault("match.after_match", '`match.after_match`: unknown form %s%s', check.describe(out.after_match),
            fault.suggest(text, forms))
        return false
    end
    out.skip, out.skip_var = "to_" .. which, var
    if not known[var] then
        at:fault("match.after_match", "`match.after_match`: `%s` is no variable of the pattern%s", var, fault.suggest(var, names))
        return false
    end
    return true
end

local function subsets(at, out, variables, known, names)
    local clean = true
    for _, subset in ipairs(out.subset) do
        local path = "match.subset." .. subset.name
        if known[subset.name] then
            at:fault(path, "`%s`: the pattern has a variable of that name", path)
            clean = false
        end
        for _, var in ipairs(subset.vars) do
            if not variables[var] then
                at:fault(path, "`%s`: `%s` is no variable of the pattern%s", path, var, fault.suggest(var, names))
                clean = false
            end
        end
    end
    for _, subset in ipairs(out.subset) do
        known[subset.name] = true
        names[#names + 1] = subset.name
    end
    return clean
end

function types.match(at, path, value)
    if type(value) ~= "table" or value.is then return wrong(at, path, value, "a table with pattern, define, measures") end
    local out, bad = check.table(at, path, value, rule.match)
    out.subset = out.subset or {}
    if out.on_timeout == "emit" and not out.within and not bad.within then
        at:fault(path .. ".on_timeout", '`%s.on_timeout`: "emit" needs `within`', path)
        bad.on_timeout = true
    end
    if not out.pattern then return nil end
    local names, position, words = pattern.variables(out.pattern)
    if not names then
        -- The words name the position already.
        at:fault(path .. ".pattern", "`%s.pattern`: %s%s", path, words,
            words:find("position", 1, true) and "" or (" (position %d)"):format(position))
        return nil
    end
    local variables, clean = set_of(names), true
    local known, all = set_of(names), { unpack(names) }
    for _, define in ipairs(out.define or {}) do
        if not variables[define.name] then
            at:fault(path .. ".define." .. define.name, "`%s.define`: `%s` is no variable of the pattern%s", path, define.name,
                fault.suggest(define.name, names))
            clean = false
        end
    end
    if not subsets(at, out, variables, known, all) then clean = false end
    if out.after_match and not after_match(at, out, known, all) then clean = false end
    out.variables, out.labels = names, all
    -- Also one with faults goes on, so that those in its functions are found too.
    out.define, out.measures, out.partition_by = out.define or {}, out.measures or {}, out.partition_by or {}
    out.broken = next(bad) ~= nil or not clean
    return out
end

function types.process(at, path, value)
    if type(value) ~= "table" or value.is then return wrong(at, path, value, "a table with by, on_row, ...") end
    local out, bad = check.table(at, path, value, rule.process)
    return next(bad) == nil and out or nil
end

-- A detector is a process that scripts/detect.lua wrote.
function types.detect(at, path, value)
    if type(value) ~= "table" or value.is ~= "detector" then
        return wrong(at, path, value, 'a detector such as ewma{ by = { "id" }, value = "price" }')
    end
    if type(value.options) ~= "table" then return wrong(at, path, value.options, value.kind .. "{ by = ..., value = ... }") end
    for name, option in pairs(value.options) do
        if check.is_poison(option) or check.is_poison(name) then return nil end
    end
    local ok, made = pcall(require("detect")[value.kind], value.options)
    if not ok then
        for words in tostring(made):gmatch("[^\n]+") do
            words = words:gsub("^[^:]*%.lua:%d+: ", "")
            -- The option that is named first is the one at fault.
            at:fault(path .. "." .. (words:match("`([%w_]+)`") or ""), "`%s`: %s", path, words)
        end
        return nil
    end
    made.detector, made.order = value.kind, made.order or "arrival"
    made.by = type(made.by) == "string" and { made.by } or made.by or {}
    if type(made.ttl) == "string" then made.ttl = types.duration(at, path .. ".ttl", made.ttl, {}) end
    return made
end

function types.select(at, path, value)
    if type(value) == "function" then return { fn = value } end
    if type(value) ~= "table" or value.is then return wrong(at, path, value, 'a list such as { "id", n = "nr" } or a function') end
    local items, seen, clean = {}, {}, true
    for i = 1, #value do
        local where = path .. "." .. i
        local name = types.string(at, where, value[i])
        if not name then
            clean = false
        elseif seen[name] then
            at:fault(where, "`%s`: `%s` is named twice", path, name)
            clean = false
        else
            seen[name] = true
            items[#items + 1] = { name = name, column = name }
        end
    end
    for _, name in ipairs(check.keys(value)) do
        local given, where = value[name], path .. "." .. tostring(name)
        if type(name) == "string" then
            local item = { name = name }
            if type(given) == "string" and given ~= "" then item.column = given
            elseif type(given) == "function" then item.fn = given
            else
                wrong(at, where, given, "a column or a function(r)")
                item = nil
            end
            if item and seen[name] then
                at:fault(where, "`%s`: `%s` is named twice", path, name)
                item = nil
            end
            if item then items[#items + 1] = item else clean = false end
        end
    end
    if clean and #items == 0 then
        at:fault(path, "`%s`: names no column", path)
        return nil
    end
    return clean and { items = items } or nil
end

-- Which clauses go together.
local function combinations(at, given, desc)
    local operators = {}
    for _, name in ipairs { "match", "process", "detect" } do
        if given[name] ~= nil then operators[#operators + 1] = name end
    end
    if given.window ~= nil or given.aggregate ~= nil or given.group_by ~= nil then
        table.insert(operators, 1, given.window ~= nil and "window" or given.aggregate ~= nil and "aggregate" or "group_by")
    end
    if #operators > 1 then
        at:fault(operators[2], "`%s` and `%s` cannot stand in one rule; write two rules, the second reading `from` the first",
            operators[1], operators[2])
        desc.broken = true
    end
    local function needs(key, other, why)
        if given[key] ~= nil and given[key] ~= false and given[other] == nil then
            at:fault(key, "`%s` needs `%s`%s", key, other, why or "")
            desc.broken = true
        end
    end
    if given.group_by ~= nil and given.window == nil and given.aggregate == nil then
        at:fault("group_by", "`group_by` needs `window` and `aggregate`: without them there is nothing to group for")
        desc.broken = true
    else
        needs("aggregate", "window", ": a group without a window is never complete")
        if given.aggregate == nil then needs("group_by", "window") end
    end
    if given.window ~= nil and given.aggregate == nil and given.group_by == nil then
        at:fault("window", "`window` needs `aggregate` or `group_by`")
        desc.broken = true
    end
    if given.having ~= nil and given.aggregate == nil then
        at:fault("having", "`having` needs `aggregate`; use `where` to keep rows")
        desc.broken = true
    end
    for _, key in ipairs { "top", "lateness", "early" } do
        if given[key] then needs(key, "window") end
    end
    if given.early and given.having == nil then
        at:fault("early", "`early` needs `having`: it says when a group is worth emitting before its window closes")
        desc.broken = true
    end
    if given.late_to ~= nil and given.window == nil and given.match == nil and given.process == nil and given.detect == nil then
        at:fault("late_to", "`late_to` needs `window`, `match` or `process`: nothing else is ever late")
        desc.broken = true
    end
    if given.mode ~= nil and given.to == nil then
        at:fault("mode", "`mode` needs `to`: a rule without it writes nothing anyway")
    end
end

-- given: what the user wrote; at: its place. The description, or nil when nothing can be said.
function rule_check.rule(entry, at)
    local given = entry.spec
    if given == nil or type(given) ~= "table" or given.is then
        if not check.is_poison(given) then
            at:fault(nil, 'expected `rule "%s" { ... }`, got %s', entry.name, check.describe(given or nil))
        end
        return nil
    end
    local desc, bad = check.table(at, "", given, rule.keys)
    desc.name, desc.file, desc.line, desc.at, desc.given = entry.name, entry.file, entry.line, at, given
    desc.bad = bad
    desc.broken = next(bad) ~= nil
    combinations(at, given, desc)
    if desc.late_to and desc.window and desc.window.kind == "record" then
        at:fault("late_to", "`late_to`: rows are never late for record()")
    end
    if desc.lateness > 0 and desc.window and (desc.window.kind == "record") then
        at:fault("lateness", "`lateness`: rows are never late for record()")
    end
    if desc.detect then
        desc.process = desc.detect
        desc.process.is_detect = true
    end
    desc.aggs, desc.aggregate = desc.aggregate or {}, nil
    desc.group_by = desc.group_by or {}
    desc.unnest = desc.unnest or {}
    return desc
end

return rule_check
