-- The match operator under Lua, for specs: a random job (match_random.lua) as a rule, rows and watermarks in, rows out.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local process_engine = require "tests.support.process_engine"
local rows = require "tests.support.rows"
local lib = engine.use("match", "report", "store", "arena")

local match_run = { lib = lib }
local SKIP = { past_last_row = "SKIP_PAST_LAST", to_next_row = "SKIP_TO_NEXT", to_first = "SKIP_TO_FIRST", to_last = "SKIP_TO_LAST" }

local Runner = {}
Runner.__index = Runner

local function text(keep, s)
    local c = ffi.new("char[?]", #s + 1, s)
    keep[#keep + 1] = c
    return c
end

local function named(self, list)
    local at = ffi.new("named_fn_t[?]", #list + 1)
    self.keep[#self.keep + 1] = at
    for i, item in ipairs(list) do
        at[i - 1].name = text(self.keep, item[1])
        at[i - 1].fn = assert(rows.fn(self.script, "return " .. item[2]))
    end
    return at, #list
end

-- Each event as one row: its number, the labels of the whole match and the row it begins with.
local MEASURES = {
    { "at", 'function(m) local r = m.first("*") return r and r.i end' },
    { "labels", 'function(m) local names = {} for i, r in ipairs(m.rows()) do names[i] = r._label end return table.concat(names, " ") end' },
    { "number", "function(m) return m.match_number() end" },
}

local function make_rule(self, job)
    local keep = self.keep
    local r, m = ffi.new "rule_t", ffi.new "match_spec_t"
    keep[#keep + 1], keep[#keep + 2] = r, m
    r.name = text(keep, "r")
    ffi.copy(r.state_hash, "h")
    r.where, r.select_fn, r.having = -1, -1, -1
    r.provenance = 1
    m.pattern, m.rows, m.lookback = text(keep, job.pattern), lib.ROWS_ONE, job.lookback or 3
    local by, by_keep = process_engine.names { "k" }
    m.partition_by, keep[#keep + 1] = by, by_keep
    local needs, needs_keep = process_engine.names { "i", "k", "value" }
    m.needs, keep[#keep + 1] = needs, needs_keep
    local define, targets = {}, {}
    for name, condition in pairs(job.conditions) do
        define[#define + 1] = { name, ("function(row, m) %s end"):format(condition.code) }
    end
    for name in pairs(job.skip_to) do targets[#targets + 1] = name end
    m.define, m.n_define = named(self, define)
    m.measures, m.n_measures = named(self, MEASURES)
    local subset = ffi.new "subset_spec_t[1]"
    local vars, vars_keep = process_engine.names(targets)
    subset[0].name, subset[0].vars = text(keep, "TARGET"), vars
    keep[#keep + 1], keep[#keep + 2] = subset, vars_keep
    m.subset, m.n_subset = subset, #targets > 0 and 1 or 0
    m.skip, m.skip_var = lib[SKIP[job.skip]], text(keep, "TARGET")
    m.within, m.emit_timeout = job.within or 0, job.emit_timeout and 1 or 0
    r.match = m
    return r
end

local function make_report(self)
    local report, plan, errors = ffi.new "report_t", ffi.new "plan_t", ffi.new "last_error_t[1]"
    local extras = ffi.new "names_t[1]"
    report.plan, report.errors, report.extras = plan, errors, extras
    for _, x in ipairs { report, plan, errors, extras } do self.keep[#self.keep + 1] = x end
    return report
end

function match_run.new(job, script, store)
    local self = setmetatable({ job = job, script = script, keep = {} }, Runner)
    self.rule = make_rule(self, job)
    self.store = store or ffi.gc(lib.store_new(0), lib.store_free)
    self.match = ffi.gc(lib.match_new(self.rule, self.store), lib.match_free)
    lib.match_rebuild(self.match)
    self.arena, self.stats, self.report = rows.arena(), ffi.new "rule_stats_t", make_report(self)
    self.topics = ffi.new("const char *[2]", { text(self.keep, "t0") })
    self.wm = process_engine.NEVER
    return self
end

-- events: as process_engine.stream takes them. What comes out: "k at number labels".
function Runner:run(events)
    local keep, s, out = {}, ffi.new "step_t", ffi.new "result_t"
    s.arena, s.store, s.stats, s.topics, s.script, s.task = self.arena, self.store, self.stats, self.topics, self.script, self.report
    local stream, wm = process_engine.stream(events, self.wm, keep)
    stream.wm_before = self.wm
    assert(lib.match_run(self.match, s, stream, out) == 0)
    self.wm = wm
    local list = {}
    for i, r in ipairs(process_engine.rows_of(out.batch)) do list[i] = ("%s %s %s %s"):format(r.k, r.at, r.number, r.labels) end
    lib.arena_reset(self.arena)
    keep[1] = nil
    return list
end

function Runner:commit() lib.store_commit(self.store) end

function Runner:abort(wm)
    lib.store_abort(self.store)
    lib.match_rebuild(self.match)
    self.wm = wm
end

-- The same rule over a store that holds what this one would have written.
function Runner:restart()
    local fresh = ffi.gc(lib.store_new(0), lib.store_free)
    local sp = lib.store_next_space(self.store, nil)
    while sp ~= nil do
        local at = ffi.new "store_entry_t **[1]"
        for i = 0, tonumber(lib.space_sorted(sp, at)) - 1 do
            lib.store_restore(fresh, lib.space_name(sp), lib.entry_key(at[0][i]), lib.entry_value(at[0][i]))
        end
        lib.mem_free(at[0])
        sp = lib.store_next_space(self.store, sp)
    end
    local other = match_run.new(self.job, self.script, fresh)
    other.wm = self.wm
    return other
end

-- Entries of the store, all spaces.
function Runner:held() return tonumber(lib.store_count(self.store)) end

return match_run
