-- The process operator under Lua, for specs: a rule from a table, rows and watermarks in, emitted rows out.
--
--   local p = process_engine.new { by = { "id" }, on_row = "function(r, state, emit) ... end" }
--   p:run { { time = 1, id = "a" }, { wm = 5 } }   -- { { _time = 1, _tick = 0, text = '{"id":"a",...}' }, ... }

local ffi = require "ffi"
local engine = require "tests.support.engine"
local rows = require "tests.support.rows"
local lib = engine.use("process", "reorder", "rowpack", "keystate", "report", "store", "arena", "cell", "mem", "select")

local process_engine = { lib = lib }
process_engine.NEVER = ffi.cast("int64_t", -9223372036854775807LL - 1LL)
process_engine.FOREVER = ffi.cast("int64_t", 9223372036854775807LL)

local function text(keep, s)
    local c = ffi.new("char[?]", #s + 1, s)
    keep[#keep + 1] = c
    return c
end

local function names(keep, list)
    if not list then return ffi.new "names_t" end
    local at = ffi.new("char *[?]", #list + 1)
    for i, s in ipairs(list) do at[i - 1] = text(keep, s) end
    keep[#keep + 1] = at
    return ffi.new("names_t", { at, #list })
end
process_engine.names = function(list)
    local keep = {}
    return names(keep, list), keep
end

local Runner = {}
Runner.__index = Runner

local function load_function(script, body)
    if not body then return -1 end
    return assert(rows.fn(script, "return " .. body))
end

local function make_rule(self, spec)
    local keep = self.keep
    local r, p = ffi.new "rule_t", ffi.new "process_spec_t"
    keep[#keep + 1], keep[#keep + 2] = r, p
    r.name = text(keep, spec.name or "r")
    ffi.copy(r.state_hash, "h")
    r.where, r.select_fn, r.having = -1, -1, -1
    r.provenance = spec.provenance and 1 or 0
    r.time_format = lib.TIME_ISO8601
    p.by, p.needs = names(keep, spec.by or {}), names(keep, spec.needs)
    p.event_order, p.ttl, p.is_detect = spec.order == "event_time" and 1 or 0, spec.ttl or 0, spec.detect and 1 or 0
    p.on_row, p.on_timer = load_function(self.script, spec.on_row), load_function(self.script, spec.on_timer)
    r.process = p
    return r
end

-- What a step needs to report to: one rule's last error, and a log that nobody reads.
local function make_report(self)
    local keep = self.keep
    local report, plan, errors = ffi.new "report_t", ffi.new "plan_t", ffi.new "last_error_t[1]"
    local extras = ffi.new "names_t[1]"
    report.plan, report.errors, report.extras = plan, errors, extras
    for _, x in ipairs { report, plan, errors, extras } do keep[#keep + 1] = x end
    self.errors = errors
    return report
end

function process_engine.new(spec, store, script)
    local self = setmetatable({ spec = spec, keep = {} }, Runner)
    self.script = script or rows.open { jit = spec.jit }
    self.rule = make_rule(self, spec)
    self.store = store or ffi.gc(lib.store_new(spec.max_state or 0), lib.store_free)
    self.process = ffi.gc(lib.process_new(self.rule, self.store), lib.process_free)
    self.arena = rows.arena()
    self.stats, self.log = ffi.new "rule_stats_t", ffi.new "char[4096]"
    self.report = make_report(self)
    self.wm = process_engine.NEVER
    self.topics = ffi.new("const char *[3]", { text(self.keep, "t0"), text(self.keep, "t1") })
    return self
end

local POSITION = { time = true, topic = true, partition = true, offset = true, sub = true, wm = true, same_tick = true, key = true,
    open = true }

-- events: rows { time =, partition =, offset =, ... columns } and watermarks { wm = }, each a tick of its own unless
-- same_tick = true joins a row to the one before. The stream keeps what it points to in `keep`.
function process_engine.stream(events, wm, keep)
    local list, places, marks, open = {}, {}, {}, nil
    local tick = -1
    for _, e in ipairs(events) do
        if not e.same_tick then tick = tick + 1 end
        if e.time then
            local row = {}
            for name, value in pairs(e) do if not POSITION[name] then row[name] = value end end
            list[#list + 1], places[#list + 1] = row, { e, tick }
            if e.open then open = open or {}; open[#list] = e.open end
        elseif e.wm > wm then
            wm = ffi.cast("int64_t", e.wm)
            marks[#marks + 1] = { wm, tick }
        end
    end
    local batch = rows.batch(list, { open = open })
    local sub = ffi.new("uint32_t[?]", #list + 1)
    local origins = ffi.cast("origin_t *", batch.origins)
    for i, place in ipairs(places) do
        local o, e = origins[i - 1], place[1]
        o.time, o.topic, o.partition, o.offset, o.tick = e.time, e.topic or 0, e.partition or 0, e.offset or 0, place[2]
        sub[i - 1] = e.sub or 0
        if e.key then o.key = { text(keep, e.key), #e.key } end
    end
    batch.sub = sub
    local mark, s = ffi.new("mark_t[?]", #marks + 1), ffi.new "stream_t"
    for i, m in ipairs(marks) do mark[i - 1].wm, mark[i - 1].tick = m[1], m[2] end
    s.batch, s.marks, s.n_marks = batch, mark, #marks
    for _, x in ipairs { batch, sub, mark, s } do keep[#keep + 1] = x end
    return s, wm
end

function process_engine.rows_of(batch)
    local list, b = {}, engine.buf()
    for row = 0, batch.n - 1 do
        local o = batch.origins[batch.origin[row]]
        local r = { _time = tonumber(o.time), _tick = o.tick, _topic = o.topic, _offset = tonumber(o.offset), _sub = batch.sub[row],
            text = engine.text(o.value) }
        if o.key.s ~= nil then r._key = engine.text(o.key) end
        for c = 0, batch.n_columns - 1 do
            b.len = 0
            lib.cell_write(b, batch.columns[c].cells + batch.columns[c].map[row], lib.TIME_ISO8601)
            r[ffi.string(batch.names[c])] = engine.bytes(b)
        end
        list[#list + 1] = r
    end
    return list
end

function Runner:step()
    local s = ffi.new "step_t"
    s.arena, s.store, s.stats, s.topics, s.script, s.task = self.arena, self.store, self.stats, self.topics, self.script, self.report
    return s
end

-- One step: the rows that come out; nil and the status after a runaway.
function Runner:run(events)
    local keep, s, out = {}, self:step(), ffi.new "result_t"
    local stream, wm = process_engine.stream(events, self.wm, keep)
    stream.wm_before = self.wm
    local status = lib.process_run(self.process, s, stream, out)
    self.wm = wm
    if status ~= 0 then return nil, status end
    local list = process_engine.rows_of(out.batch)
    lib.arena_reset(self.arena)
    keep[1] = nil
    return list
end

-- The JSON texts of what one step emits.
function Runner:texts(events)
    local list = {}
    for i, r in ipairs(assert(self:run(events))) do list[i] = r.text end
    return list
end

function Runner:last_error() return ffi.string(self.errors[0].text) end

-- What a restart leaves: the same rule over a store that holds what this one would have written.
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
    local other = process_engine.new(self.spec, fresh, self.script)
    other.wm = self.wm
    lib.process_rebuild(other.process)
    return other
end

function Runner:commit() lib.store_commit(self.store) end

function Runner:abort(wm)
    lib.store_abort(self.store)
    lib.process_rebuild(self.process)
    self.wm = wm
end

return process_engine
