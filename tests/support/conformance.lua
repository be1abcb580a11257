-- Turns the cases of tests/conformance/windows.json into rules and lines of `replay`, and what came out into the rows a
-- case expects. The cases are facts from other projects' suites (tests/conformance/README.md); nothing here knows one by
-- name.

local cjson = require "cjson.safe"
local replay = require "tests.support.replay"

local M = {}
local null = cjson.null

function M.cases(path)
    local text = assert(replay.read(replay.root .. "/" .. path))
    local by_family = {}
    for _, case in ipairs(assert(cjson.decode(text))) do
        if not case.reference_only then
            by_family[case.family] = by_family[case.family] or {}
            table.insert(by_family[case.family], case)
        end
    end
    return by_family
end

local function ms(n) return ("%dms"):format(n) end

local function window_text(w)
    local offset = (w.offset_ms or 0) ~= 0 and (", offset = %q"):format(ms(w.offset_ms)) or ""
    if w.type == "tumble" then return ("tumble { size = %q%s }"):format(ms(w.size_ms), offset) end
    if w.type == "hop" then
        return ("hop { size = %q, slide = %q%s }"):format(ms(w.size_ms), ms(w.slide_ms), offset)
    end
    if w.type == "cumulate" then
        return ("cumulate { size = %q, step = %q%s }"):format(ms(w.size_ms), ms(w.step_ms), offset)
    end
    return ("session { gap = %q }"):format(ms(w.gap_ms))
end

local function names_text(names)
    local quoted = {}
    for i, name in ipairs(names) do quoted[i] = ("%q"):format(name) end
    return "{ " .. table.concat(quoted, ", ") .. " }"
end

-- "sum(cents)" -> sum "cents", "count(*)" -> count()
local function aggregate_text(aggregates)
    local parts = {}
    for name, call in pairs(aggregates) do
        local fn, column = call:match "^([%w_]+)%((.-)%)$"
        parts[#parts + 1] = ("%s = %s"):format(name, column == "*" and fn .. "()" or ("%s %q"):format(fn, column))
    end
    table.sort(parts)
    return "{ " .. table.concat(parts, ", ") .. " }"
end

local function watermark_text(w)
    if w.strategy == "punctuated" then return "none" end
    local more = w.strategy == "datastream_bounded" and 1 or 0
    return ms(w.out_of_orderness_ms + more)
end

local function source_text(name, watermark)
    return ('source %q { topic = %q, event_time = "ts", watermark = %q, max_ahead = "none" }\n'):format(
        name, name, watermark)
end

local function event_line(event)
    if event.watermark then return { watermark = event.watermark } end
    if event.idle then return { topic = "s", partition = event.idle, idle = true } end
    return { topic = "s", partition = event.partition, payload = event }
end

-- One row as text: the columns a case lists, by value.
local function row_text(row, columns)
    local picked = {}
    for _, column in ipairs(columns) do
        local v = row[column]
        picked[column] = v == nil and null or v
    end
    return replay.canonical(picked)
end

local function expected_columns(case)
    local seen, columns = {}, {}
    for _, row in ipairs(case.expected) do
        for column in pairs(row) do
            if column ~= "op" and not seen[column] then
                seen[column] = true
                columns[#columns + 1] = column
            end
        end
    end
    table.sort(columns)
    return columns
end

local function window_run(case)
    local input = {}
    for i, event in ipairs(case.events) do input[i] = event_line(event) end
    local columns = expected_columns(case)
    local ran = replay.run {
        config = source_text("s", watermark_text(case.watermark)) .. 'rules "rules"\n',
        rules = ([[
rule "case" {
  from = "s", window = %s, group_by = %s, aggregate = %s, lateness = %q,
  select = %s, time_format = "epoch_ms", to = "out",
}
]]):format(window_text(case.window), names_text(case.key), aggregate_text(case.aggregates),
            ms(case.allowed_lateness_ms or 0), names_text(columns)),
        input = input,
        args = case.flush_at_end and {} or { "--no-flush" },
    }
    local got, wanted = {}, {}
    for _, record in ipairs(ran:topic "out") do
        if record.value then got[#got + 1] = row_text(record.value, columns) end
    end
    for _, row in ipairs(case.expected) do
        if row.op ~= "-U" then wanted[#wanted + 1] = row_text(row, columns) end
    end
    if case.late_dropped then
        wanted[#wanted + 1] = "late " .. case.late_dropped
        got[#got + 1] = "late " .. (ran.stats and ran.stats.rules.case.late or "?")
    end
    return got, wanted, ran
end

-- The windows of one timestamp: each timestamp is a group of its own, so that nothing merges.
local function assign_run(case)
    local input, wanted, got = {}, {}, {}
    for i, item in ipairs(case.assign) do
        input[i] = { ts = item.ts, i = i }
        for _, w in ipairs(item.windows) do wanted[#wanted + 1] = ("%d: %d .. %d"):format(i, w[1], w[2]) end
    end
    local ran = replay.run {
        config = source_text("s", "none") .. 'rules "rules"\n',
        rules = ('rule "case" { from = "s", window = %s, group_by = { "i" }, aggregate = { n = count() },\n' ..
            '  time_format = "epoch_ms", to = "out" }\n'):format(window_text(case.window)),
        input = input,
    }
    for _, record in ipairs(ran:topic "out") do
        local v = record.value
        got[#got + 1] = ("%d: %d .. %d"):format(v.i, v.window_start, v.window_end)
    end
    return got, wanted, ran
end

-- How watermarks merge, seen through windows of 1 ms: a partition that is idle from then on leaves one row at every
-- millisecond, and each watermark that comes out fires the windows up to it. The steps of a case are rows, late by
-- BOUND, of sources (valve) or of partitions of one source (multiplexer); a rule of its own marks where a step begins.
local BOUND = 100000

local function step_line(case, state, step)
    local at = state[step.input]
    if step.idle then
        at.idle = true
        return { topic = at.topic, partition = at.partition, idle = true }
    end
    if step.active then
        -- A partition comes back by a record; one that says nothing new leaves its watermark where it was.
        at.idle = false
        return { topic = at.topic, partition = at.partition, payload = { ts = (at.last or -1000) + BOUND } }
    end
    -- With records, nothing can be said of an idle partition without its being active again.
    if case.rule == "valve" and at.idle then return nil end
    at.idle, at.last = false, math.max(at.last or step.watermark, step.watermark)
    return { topic = at.topic, partition = at.partition, payload = { ts = step.watermark + BOUND } }
end

local function merge_sources(case)
    local state, sources, names = {}, {}, {}
    for i = 0, case.inputs - 1 do
        local topic = case.rule == "valve" and "s" .. i or "s0"
        state[i] = { topic = topic, partition = case.rule == "valve" and 0 or i }
        if not sources[topic] then
            sources[topic] = true
            names[#names + 1] = topic
        end
    end
    return state, names
end

local function highest(case)
    local most = 0
    for _, step in ipairs(case.steps) do most = math.max(most, step.watermark or 0) end
    return most
end

local function merge_run(case)
    local state, names = merge_sources(case)
    local config = source_text("mark", "none")
    for _, name in ipairs(names) do config = config .. source_text(name, ms(BOUND)) end
    local input, wanted, got = {}, {}, {}
    for ts = 0, highest(case) + 5 do
        input[#input + 1] = { topic = "s0", partition = 99, payload = { ts = ts, probe = true } }
    end
    input[#input + 1] = { topic = "s0", partition = 99, idle = true }
    for number, step in ipairs(case.steps) do
        input[#input + 1] = { topic = "mark", payload = { ts = 0, step = number } }
        input[#input + 1] = step_line(case, state, step)
        for _, emitted in ipairs(step.emits) do
            if type(emitted) == "number" then wanted[#wanted + 1] = ("step %d: %d"):format(number, emitted) end
        end
    end
    local ran = replay.run {
        config = config .. 'rules "rules"\n',
        rules = ([[
rule "step" { from = "mark", select = { "step" }, to = "out" }
rule "case" {
  from = %s, where = function(r) return r.probe end, window = tumble "1ms", aggregate = { n = count() },
  select = { "window_time" }, time_format = "epoch_ms", to = "out",
}
]]):format(names_text(names)),
        input = input,
        args = { "--no-flush" },
    }
    local step, reached, fired = 0, -1, nil
    local function done()
        if fired then got[#got + 1] = ("step %d: %d"):format(step, fired) end
        fired = nil
    end
    for _, record in ipairs(ran:topic "out") do
        if record.value.step then
            done()
            step = record.value.step
        else
            -- Every millisecond up to the watermark must have fired, in order.
            reached = reached + 1
            fired = record.value.window_time == reached and reached or ("%d out of order"):format(record.value.window_time)
        end
    end
    done()
    return got, wanted, ran
end

M.run = { window = window_run, assign = assign_run, watermark_merge = merge_run }

-- Two multisets of texts: nil when equal, else what a person wants to see.
function M.difference(got, wanted)
    local balance, lines = {}, {}
    for _, text in ipairs(got) do balance[text] = (balance[text] or 0) + 1 end
    for _, text in ipairs(wanted) do balance[text] = (balance[text] or 0) - 1 end
    for text, n in pairs(balance) do
        if n ~= 0 then lines[#lines + 1] = ("%s %s%s"):format(n > 0 and "unexpected" or "missing   ", text,
            math.abs(n) > 1 and " x" .. math.abs(n) or "") end
    end
    table.sort(lines)
    return #lines > 0 and table.concat(lines, "\n") or nil
end

return M
