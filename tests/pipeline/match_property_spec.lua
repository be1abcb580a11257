-- Row patterns through `replay` against brute force: random patterns over the whole grammar, random rows, conditions, skip
-- and output modes, in any arrival order that the watermark allows. Each rule of a run is a case of its own.

local reference = require "tests.support.match_reference"
local match_random = require "tests.support.match_random"
local replay = require "tests.support.replay"

local CASES = tonumber(os.getenv "CASES") or 3000
local PER_RUN = 50
local DISORDER = 20
local MODES = { "one", "all", "all omit empty", "all with unmatched" }
local SKIPS = { past_last_row = "skip past last row", to_next_row = "skip to next row", to_first = "skip to first", to_last = "skip to last" }
local random = math.random

local function variables(pattern)
    local set = {}
    for name in pattern:gmatch "%f[%w]%u%f[%W]" do set[name] = true end
    return set
end

-- A job that can be written as a rule, with its expected events; those too hard for the reference are drawn again.
local function draw()
    while true do
        local job = match_random.job()
        local vars = variables(job.pattern)
        for name, condition in pairs(job.conditions) do
            if not vars[name] then job.conditions[name] = nil
            elseif condition.var and not vars[condition.var] then condition.code = "return true" end
        end
        for name in pairs(job.skip_to) do
            if not vars[name] then job.skip_to[name] = nil end
        end
        if job.skip:find "^to_[fl]" and not next(job.skip_to) then job.skip = "past_last_row" end
        job.mode = MODES[random(#MODES)]
        job.unmatched = job.mode == "all with unmatched"
        job.holds = match_random.holds(job)
        local ok, events = pcall(reference.run, job)
        if ok then
            job.events = events
            return job
        end
        assert(events == "budget", events)
    end
end

local function rule_text(job, index)
    local define, subset = {}, {}
    for name, condition in pairs(job.conditions) do
        define[#define + 1] = ("      %s = function(row, m) %s end"):format(name, condition.code)
    end
    for name in pairs(job.skip_to) do subset[#subset + 1] = ("%q"):format(name) end
    local skip = SKIPS[job.skip] .. (job.skip:find "^to_[fl]" and " TARGET" or "")
    return ([[
rule "case%d" {
  from = "s", where = function(r) return r.case == %d end,
  match = {
    order_by = "i", pattern = %q, after_match = %q, rows_per_match = %q, %s
    subset = { %s },
    define = {
%s },
    measures = {
      number = function(m) return m.match_number() end,
      label = function(m) return m.classifier() end,
      labels = function(m)
        local names = {}
        for i, r in ipairs(m.rows()) do names[i] = r._label end
        return table.concat(names, " ")
      end,
      whole = function(m) return m.final_count("*") end,
      sum = function(m) return m.sum("*", "value") end,
      ahead = function(m) local r = m.next_row() return r and r.value end,
      before = function(m) local r = m.prev(2) return r and r.value end,
      at = function(m, row) return row and row.i end,
    },
  },
  to = "out",
}
]]):format(index, index, job.pattern, skip, job.mode,
        job.within and ("within = %q, on_timeout = %q,"):format(job.within .. "ms", job.emit_timeout and "emit" or "drop") or "",
        #subset > 0 and "TARGET = { " .. table.concat(subset, ", ") .. " }" or "", table.concat(define, ",\n"))
end

-- The output of an event at its row k (0: an empty match), as text.
local function row_text(job, event, k)
    local pos = event.start + math.max(k - 1, 0)
    local names, sum = {}, nil
    for i = 1, k do
        names[i] = event.labels[i].name
        sum = (sum or 0) + job.rows[event.start + i].value
    end
    local v = {
        number = event.number, labels = table.concat(names, " "), whole = #event.labels, sum = sum,
        label = k > 0 and names[k] or nil, at = k > 0 and pos or nil,
        ahead = k > 0 and job.rows[pos + 2] and job.rows[pos + 2].value or nil,
        before = k > 0 and job.rows[pos - 1] and job.rows[pos - 1].value or nil,
    }
    if event.kind == "unmatched" then v = {} end
    if job.mode ~= "one" then v.i, v.value, v.case, v.ts = pos, job.rows[pos + 1].value, job.index, job.rows[pos + 1].time end
    if job.emit_timeout then v.timed_out = event.kind == "timed_out" end
    local stamp = job.rows[pos + 1].time
    return stamp .. " " .. replay.canonical(v)
end

local function expected(job)
    local lines, errors = {}, 0
    for _, event in ipairs(job.events) do
        if event.kind:find "^skip" then
            errors = errors + 1
        elseif event.kind == "unmatched" or #event.labels == 0 then
            if event.kind ~= "empty" or job.mode ~= "all omit empty" then lines[#lines + 1] = row_text(job, event, 0) end
        elseif job.mode == "one" then
            lines[#lines + 1] = row_text(job, event, #event.labels)
        else
            for k, label in ipairs(event.labels) do
                if not label.excluded then lines[#lines + 1] = row_text(job, event, k) end
            end
        end
    end
    return table.concat(lines, "\n"), errors
end

local function without_nulls(v)
    local out = {}
    for name, x in pairs(v) do if x ~= replay.null then out[name] = x end end
    return out
end

-- Rows of all jobs in an order that a watermark DISORDER behind allows.
local function arrival(jobs)
    local rows = {}
    for index, job in ipairs(jobs) do
        for i, row in ipairs(job.rows) do
            rows[#rows + 1] = { at = row.time + random(0, DISORDER - 1), tie = random(), partition = random(0, 2),
                payload = { case = index, i = i - 1, value = row.value, ts = row.time } }
        end
    end
    table.sort(rows, function(a, b) return a.at < b.at or a.at == b.at and a.tie < b.tie end)
    local input = {}
    for i, row in ipairs(rows) do input[i] = { topic = "s", partition = 0, payload = row.payload } end
    return input
end

local total = 0       -- rows compared

local function run(jobs)
    local rules = {}
    for index, job in ipairs(jobs) do
        job.index = index
        rules[index] = rule_text(job, index)
    end
    local ran = replay.ok {
        config = ('source "s" { topic = "s", event_time = "ts", watermark = "%dms", max_ahead = "none" }\nrules "rules"\n'):format(DISORDER),
        rules = table.concat(rules), input = arrival(jobs), env = { ANANAS_BATCH = tostring(random(2) == 1 and random(1, 7) or 1000) },
    }
    local got = {}
    total = total + #ran:topic "out"
    for _, record in ipairs(ran:topic "out") do
        local name = record.header["ananas-rule"]
        got[name] = got[name] or {}
        table.insert(got[name], record.ts .. " " .. replay.canonical(without_nulls(record.value)))
    end
    for index, job in ipairs(jobs) do
        local name = "case" .. index
        local wanted, errors = expected(job)
        local have = table.concat(got[name] or {}, "\n")
        if have ~= wanted or errors ~= ran.stats.rules[name].errors then
            error(("%s (%s)\nexpected, errors %d\n%s\ngot, errors %d\n%s\n%s"):format(match_random.show(job), job.mode, errors, wanted,
                ran.stats.rules[name].errors, have, ran.stderr), 0)
        end
    end
end

describe("match", function()
    it("gives what brute force gives, in every output mode, whatever the order of arrival and the size of batches", function()
        local seed = tonumber(os.getenv "SEED") or SEED
        math.randomseed(seed)
        for n = 1, CASES, PER_RUN do
            local jobs = {}
            for i = 1, PER_RUN do jobs[i] = draw() end
            local ok, fault = pcall(run, jobs)
            if not ok then error(("seed %s, cases from %d: %s"):format(seed, n, fault), 0) end
        end
        assert.is_true(total > CASES)
    end)
end)
