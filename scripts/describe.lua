-- describe: a checked plan for people (text) and for programs (JSON): sources, rules, the state each keeps, where it writes.

local check = require "check"

local DOWN = require "atoms".DOWN

local describe = {}

-- ---- JSON ----

local function quoted(s)
    return '"' .. s:gsub('[%c"\\]', function(c)
        local short = ({ ["\n"] = "\\n", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" })[c]
        return short or ("\\u%04x"):format(c:byte())
    end) .. '"'
end

-- Members sorted by name; a table with `list` set, or with elements, is an array.
local function encode(v)
    local kind = type(v)
    if kind == "string" then return quoted(v) end
    if kind ~= "table" then return kind == "number" and ("%.14g"):format(v) or tostring(v) end
    local out = {}
    if v.list or #v > 0 then
        for i, item in ipairs(v) do out[i] = encode(item) end
        return "[" .. table.concat(out, ",") .. "]"
    end
    for _, key in ipairs(check.keys(v)) do out[#out + 1] = quoted(key) .. ":" .. encode(v[key]) end
    return "{" .. table.concat(out, ",") .. "}"
end
describe.encode = encode

local function list(names)
    local out = { list = true }
    for i, name in ipairs(names or {}) do out[i] = name end
    return out
end

-- ---- words ----

local units = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" } }

-- The largest unit that divides: 90000 -> "90s".
local function duration(ms)
    for _, unit in ipairs(units) do
        if ms ~= 0 and ms % unit[1] == 0 then return ("%d%s"):format(ms / unit[1], unit[2]) end
    end
    return ("%dms"):format(ms)
end
describe.duration = duration

local function window_text(w)
    if w.kind == "record" then return "record()" end
    if w.kind == "tumble" then return "tumble " .. duration(w.size) .. (w.offset ~= 0 and " offset " .. duration(w.offset) or "") end
    if w.kind == "session" then return "session gap " .. duration(w.gap) end
    return ("%s %s by %s%s"):format(w.kind, duration(w.size), duration(w.slide or w.step), w.offset ~= 0 and " offset " .. duration(w.offset) or "")
end

local function per(names)
    return #names > 0 and "per " .. table.concat(names, ", ") or "one for all rows"
end

-- What a rule keeps between records.
local function state_text(rule)
    local out = {}
    local w = rule.window
    if w and w.kind == "record" then
        out[1] = "none: a window is one record"
    elseif w then
        local kept = {}
        for i, agg in ipairs(rule.aggs) do kept[i] = agg.name end
        out[1] = ("%s and open window (%s): %s"):format(per(rule.group_by), window_text(w),
            #kept > 0 and table.concat(kept, ", ") or "that it was there")
        if rule.lateness > 0 then out[1] = out[1] .. ", for another " .. duration(rule.lateness) end
    elseif rule.match then
        local m = rule.match
        local columns = m.needs and (#m.needs > 0 and table.concat(m.needs, ", ") or "no column") or "all columns"
        out[1] = ("%s: rows that a live attempt needs, and %d before it: %s"):format(per(m.partition_by), m.lookback, columns)
        if m.within then out[1] = out[1] .. ", at most " .. duration(m.within) .. " of them" end
    elseif rule.process then
        local p = rule.process
        out[1] = ("%s: what the %s remembers"):format(per(p.by), p.is_detect and "detector" or "function")
            .. (p.ttl and ", forgotten after " .. duration(p.ttl) or ", never forgotten")
    end
    if rule.cooldown then out[#out + 1] = ("the time of the last anomaly %s"):format(per(rule.key or { "record key" })) end
    return #out > 0 and table.concat(out, "; ") or "none"
end

local function inputs_of(rule, plan)
    local names = {}
    for i, input in ipairs(rule.from) do
        local of = input.is_rule and plan.rules or plan.sources
        names[i] = of[input.index + 1].name
    end
    return names
end

local function sink_text(rule)
    if not rule.to then return "none: it feeds other rules" end
    local key = rule.key and (#rule.key > 0 and "key " .. table.concat(rule.key, ", ") or "no key") or "key of the record"
    return ("%s (%s)%s"):format(rule.to, key, rule.mode == "shadow" and ", shadow: counted, not written" or "")
end

local function columns_text(rule)
    local names = table.concat(rule.columns, ", ")
    if not rule.open then return names end
    return names == "" and "all members of the record" or "all members of the record, " .. names
end

-- What is read, in the words of the rule: of members that are columns of their own, the outer ones go without saying.
local function reads_of(rule)
    local above, out = {}, {}
    for _, name in ipairs(rule.needs) do
        local up = name:match("^(.*)" .. DOWN)
        if up then above[up] = true end
    end
    for _, name in ipairs(rule.needs) do
        if not above[name] then out[#out + 1] = (name:gsub(DOWN, ".")) end
    end
    return out
end

local function reads_text(rule)
    if rule.needs_all then return "everything: a function uses its row in a way that hides which columns" end
    return #rule.needs > 0 and table.concat(reads_of(rule), ", ") or "no column"
end

local function source_lines(source, put)
    put("topic", table.concat(source.topic or {}, ", "))
    put("event time", source.event_time or "of the record")
    local wm = source.watermark
    put("watermark", (wm == nil or wm == "none" or wm < 0) and "explicit only" or duration(wm) .. " behind")
end

local function rule_lines(rule, plan, put)
    put("from", table.concat(inputs_of(rule, plan), ", "))
    for _, path in ipairs(rule.unnest) do put("unnest", path.text .. " as " .. path.alias) end
    put("reads", reads_text(rule))
    if rule.window then put("window", window_text(rule.window)) end
    if rule.match then put("match", rule.match.pattern) end
    put("state", state_text(rule))
    put("gives", columns_text(rule))
    put("to", sink_text(rule))
    if rule.late_to then put("late rows to", rule.late_to) end
    put("version", rule.version)
end

-- plan: what plan.make gave, with sources.
function describe.text(plan)
    local out = {}
    local function block(kind, name, place)
        out[#out + 1] = ("%s %s%s"):format(kind, name, place and ("  (%s)"):format(place) or "")
        return function(word, text) out[#out + 1] = ("  %-12s %s"):format(word, text) end
    end
    for _, source in ipairs(plan.sources) do source_lines(source, block("source", source.name)) end
    for _, rule in ipairs(plan.rules) do rule_lines(rule, plan, block("rule", rule.name, rule.file .. ":" .. rule.line)) end
    out[#out + 1] = ("%d source%s, %d rule%s, version %s"):format(#plan.sources, #plan.sources == 1 and "" or "s", #plan.rules,
        #plan.rules == 1 and "" or "s", plan.version)
    return table.concat(out, "\n") .. "\n"
end

function describe.json(plan)
    local sources, rules = { list = true }, { list = true }
    for i, source in ipairs(plan.sources) do
        local wm = source.watermark
        sources[i] = { name = source.name, topics = list(source.topic), event_time = source.event_time,
            watermark_ms = type(wm) == "number" and wm >= 0 and wm or nil }
    end
    for i, rule in ipairs(plan.rules) do
        rules[i] = {
            name = rule.name, file = rule.file, line = rule.line, from = list(inputs_of(rule, plan)), to = rule.to,
            late_to = rule.late_to, mode = rule.mode, key = rule.key and list(rule.key) or nil, columns = list(rule.columns),
            open = rule.open, reads = list(reads_of(rule)), reads_all = rule.needs_all, window = rule.window and window_text(rule.window) or nil,
            pattern = rule.match and rule.match.pattern or nil, state = state_text(rule), version = rule.version,
            history_free = rule.match and rule.match.history_free or nil,
        }
    end
    return encode { version = plan.version, sources = sources, rules = rules }
end

return describe
