-- A task under Lua, for specs: rule texts and records in, output records out; commits, aborts, restarts and reloads.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local rows = require "tests.support.rows"
local lib = engine.use("task", "config", "log", "task_view", "rule")
ffi.cdef [[
int open(const char *path, int flags, ...);
]]

local task_engine = { lib = lib }
local log = ffi.gc(lib.log_open(ffi.C.open("/dev/null", 1), 0, 0), lib.log_close)

local CONFIG = [[
source "s" { topic = "s", event_time = "ts", watermark = "%s", max_ahead = "none", idle_after = "1d" }
]]

local function faults_text(faults)
    local list = {}
    for i = 0, tonumber(faults.n) - 1 do list[#list + 1] = ffi.string(faults.at[i].text) end
    lib.faults_fini(faults)
    return table.concat(list, "\n")
end

local Task = {}
Task.__index = Task

-- options: watermark ("3ms"), time_ms (budget of one evaluation).
function task_engine.new(text, options)
    local self = setmetatable({ options = options or {}, texts = {} }, Task)
    self.opener = assert(rows.open { log = log })
    local config, faults = ffi.new "config_t *[1]", ffi.new "faults_t"
    local config_text = CONFIG:format(self.options.watermark or "3ms")
    assert(lib.script_load_config_text(self.opener, "ananas.lua", config_text, #config_text, config, faults) == 0, faults_text(faults))
    self.config = ffi.gc(config[0], lib.config_free)
    self:make(text, lib.store_new(0))
    return self
end

-- A script and a plan from the text of a rules file.
function Task:load(text)
    local s = ffi.gc(assert(rows.open { time_ms = self.options.time_ms or 1000, log = log }), nil)
    local name, body = engine.exact("rules.lua\0"), engine.exact(text .. "\0")
    local one = ffi.new("rule_text_t[1]", { { name, body, #text } })
    local texts = ffi.new("rule_texts_t", { one, 1 })
    local plan, faults = ffi.new "plan_t *[1]", ffi.new "faults_t"
    local rc = lib.script_load_texts(s, texts, self.config, plan, faults)
    assert(rc == 0, rc ~= 0 and faults_text(faults))
    return s, plan[0], texts, { one, name, body }
end

function Task:make(text, store, meta, format)
    local s, plan = self:load(text)
    local options = ffi.new "task_options_t"
    options.config, options.log, options.store = self.config, log, store
    options.limits.time_ms, options.limits.memory, options.limits.jit = self.options.time_ms or 1000, 2 ^ 26, 1
    self.task = lib.task_new(options, s, plan)
    self.text = text
    if not meta then return end
    for _, old in ipairs(self.texts) do
        local other, other_plan, texts, keep = self:load(old)
        -- As in the program: what runs is known already.
        if ffi.string(other_plan.version) ~= ffi.string(lib.task_plan(self.task).version) then lib.task_add_texts(self.task, texts) end
        lib.plan_free(other_plan)
        lib.script_close(other)
        self.keep = keep
    end
    local reader = ffi.new("reader_t", { meta, #meta })
    assert(lib.task_load_meta(self.task, reader, format or engine.defines.STATE_FORMAT) == 0, "meta record")
    lib.task_settle(self.task)
    lib.task_rebuild(self.task)
end

function Task:free()
    lib.task_free(self.task)
    self.task = nil
end

-- events: { ts = .., ... } as JSON text, or { watermark = ms }. Returns the output as a list of { topic, key, value }.
function Task:step(events)
    local list, keep = ffi.new("event_t[?]", #events + 1), {}
    for i, e in ipairs(events) do
        local ev = list[i - 1]
        if e.watermark then
            ev.kind, ev.time = lib.EVENT_WATERMARK, e.watermark
        else
            local value = engine.exact(e.text)
            keep[i] = value
            ev.kind = lib.EVENT_RECORD
            ev.record.value.s, ev.record.value.len = value, #e.text
            ev.record.offset, ev.record.timestamp = e.offset, -1
        end
    end
    self.events = keep      -- their bytes, for as long as the step's output borrows from them
    local e = ffi.new "error_t"
    assert(lib.task_step(self.task, list, #events, ffi.new "wall_t", e) == 0, "step")
    local box, out = lib.task_outbox(self.task), {}
    for i = 0, tonumber(box.n) - 1 do
        local r = box.at[i]
        out[#out + 1] = { topic = ffi.string(r.topic), key = engine.text(r.key), value = engine.text(r.value), time = tonumber(r.time) }
    end
    return out
end

function Task:reload(text)
    self.texts[#self.texts + 1] = self.text
    local s, plan = self:load(text)
    lib.task_reload(self.task, s, plan)
    self.text = text
end

function Task:commit() lib.task_commit(self.task) end

-- What is committed: the entries by space and key, and the meta record.
function Task:saved()
    local entries, meta = {}, engine.buf()
    local sp = lib.store_next_space(lib.task_store(self.task), nil)
    while sp ~= nil do
        local e = lib.space_next(sp, nil)
        while e ~= nil do
            entries[#entries + 1] = { ffi.string(lib.space_name(sp)), engine.text(lib.entry_key(e)), engine.text(lib.entry_value(e)) }
            e = lib.space_next(sp, e)
        end
        sp = lib.store_next_space(lib.task_store(self.task), sp)
    end
    lib.task_save_meta(self.task, meta)
    return { entries = entries, meta = engine.bytes(meta), text = self.text, hands_over = self:hands_over() }
end

-- Are windows of an older version still open? Then there is no abort: the task is made again.
function Task:hands_over() return lib.task_hands_over(self.task) ~= 0 end

function Task:abort(saved)
    lib.task_abort(self.task)
    local reader = ffi.new("reader_t", { saved.meta, #saved.meta })
    assert(lib.task_load_meta(self.task, reader, engine.defines.STATE_FORMAT) == 0, "meta record")
end

function Task:restart(saved, format)
    self:free()
    local store = lib.store_new(0)
    for _, e in ipairs(saved.entries) do lib.store_restore(store, e[1], engine.slice(e[2]), engine.slice(e[3])) end
    self:make(saved.text, store, saved.meta, format)
end

-- By rule name.
function Task:stats()
    local plan, out = lib.task_plan(self.task), {}
    for i = 0, plan.n_rules - 1 do
        local st = lib.task_rule_stats(self.task, i)
        local view = ffi.new "rule_view_t"
        lib.task_view_rule(self.task, i, view)
        out[ffi.string(plan.rules[i].name)] = {
            rows_in = tonumber(st.rows_in), emitted = tonumber(st.emitted), late = tonumber(st.late), errors = tonumber(st.errors),
            skipped = tonumber(st.skipped), dropped = tonumber(st.dropped_windows), quarantined = st.quarantined,
            open = tonumber(view.open_windows), verdict = view.verdict ~= nil and ffi.string(view.verdict) or nil,
        }
    end
    return out
end

function Task:entries() return tonumber(lib.store_count(lib.task_store(self.task))) end

return task_engine
