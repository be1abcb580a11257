-- The engine's pattern, program and matcher under Lua, for specs: a matcher whose conditions are Lua functions.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("pattern", "program", "matcher", "error", "mem")

local match_engine = { lib = lib }

match_engine.SKIP = { past_last_row = lib.SKIP_PAST_LAST, to_next_row = lib.SKIP_TO_NEXT, to_first = lib.SKIP_TO_FIRST, to_last = lib.SKIP_TO_LAST }
match_engine.KINDS = {
    [tonumber(lib.MATCHER_MATCH)] = "match", [tonumber(lib.MATCHER_EMPTY)] = "empty", [tonumber(lib.MATCHER_TIMED_OUT)] = "timed_out",
    [tonumber(lib.MATCHER_UNMATCHED)] = "unmatched", [tonumber(lib.MATCHER_SKIP_MISSING)] = "skip_missing",
    [tonumber(lib.MATCHER_SKIP_FIRST)] = "skip_first", [tonumber(lib.MATCHER_TOO_MANY_STEPS)] = "too_many_steps",
    [tonumber(lib.MATCHER_TOO_MANY_ROWS)] = "too_many_rows",
}

-- The tree, or nil with words and the position.
function match_engine.parse(text)
    local out, at, e = ffi.new "pattern_t *[1]", ffi.new "uint32_t[1]", ffi.new "error_t"
    if lib.pattern_parse(out, text, at, e) ~= 0 then return nil, ffi.string(e.text), at[0] end
    return ffi.gc(out[0], lib.pattern_free)
end

function match_engine.compile(tree)
    local out, at, e = ffi.new "program_t *[1]", ffi.new "uint32_t[1]", ffi.new "error_t"
    if lib.program_compile(out, tree, at, e) ~= 0 then return nil, ffi.string(e.text), at[0] end
    return out[0]
end

-- job: pattern, conditions (name -> true for those that are defined), skip, skip_to, within, emit_timeout, unmatched,
-- lookback, max_rows, max_steps.
function match_engine.plan(job)
    local tree = assert(match_engine.parse(job.pattern))
    local program = assert(match_engine.compile(tree))
    local names, n = {}, lib.pattern_variables(tree)
    local defined, skip_vars = ffi.new("uint8_t[?]", n + 1), ffi.new("uint8_t[?]", n + 1)
    for i = 0, n - 1 do
        names[i] = ffi.string(lib.pattern_variable(tree, i))
        defined[i] = job.conditions[names[i]] and 1 or 0
        skip_vars[i] = job.skip_to and job.skip_to[names[i]] and 1 or 0
    end
    local o = ffi.new "matcher_options_t"
    o.within = job.within or 0
    o.skip = match_engine.SKIP[job.skip or "past_last_row"]
    o.skip_vars, o.defined = skip_vars, defined
    o.emit_timeout = job.emit_timeout and 1 or 0
    o.report_unmatched = job.unmatched and 1 or 0
    o.lookback = job.lookback or 0
    o.max_rows, o.max_steps = job.max_rows or 0, job.max_steps or 0
    return { plan = ffi.gc(lib.matcher_plan_new(program, o), lib.matcher_plan_free), names = names, job = job }
end

local Runner = {}
Runner.__index = Runner

function match_engine.new(plan, saved)
    local self = setmetatable({ plan = plan, m = ffi.gc(lib.matcher_new(plan.plan), lib.matcher_free), events = {}, asked = 0 }, Runner)
    if saved then
        local r = ffi.new("reader_t", { saved, #saved, 0, 0 })
        assert(lib.matcher_load(self.m, r) == 0)
    end
    return self
end

local function labels_of(self, labels, n)
    local list = {}
    for i = 0, n - 1 do
        local label = labels[i]
        list[i + 1] = { name = self.plan.names[label % 0x8000], excluded = label >= 0x8000 }
    end
    return list
end

-- ask(name, view, labels) -> boolean or "more", looked
function Runner:run(ask)
    while true do
        local status = lib.matcher_run(self.m)
        if status == lib.MATCHER_IDLE then return self end
        if status == lib.MATCHER_ASK then
            self.asked = self.asked + 1
            local v = lib.matcher_view(self.m)
            local answer, looked = ask(self.plan.names[v.var], v, function() return labels_of(self, v.labels, v.n) end)
            if answer == "more" then answer = lib.MATCHER_MORE
            else answer = answer and lib.MATCHER_HOLDS or lib.MATCHER_FAILS end
            lib.matcher_answer(self.m, answer, looked or 0)
        else
            local e = lib.matcher_event(self.m)
            local kind = match_engine.KINDS[tonumber(e.kind)]
            self.events[#self.events + 1] = {
                kind = kind, start = tonumber(e.start), number = tonumber(e.number), n = tonumber(e.n),
                labels = e.labels == nil and {} or labels_of(self, e.labels, e.n),
            }
            lib.matcher_accept(self.m)
        end
    end
end

function Runner:feed(seq, time) lib.matcher_feed(self.m, seq, time) return self end
function Runner:advance(watermark) lib.matcher_advance(self.m, watermark) return self end
function Runner:finish() lib.matcher_finish(self.m) return self end
function Runner:low() return tonumber(lib.matcher_low(self.m)) end
function Runner:expires() return lib.matcher_expires(self.m) end
function Runner:save()
    local b = engine.buf()
    lib.matcher_save(self.m, b)
    return engine.bytes(b)
end

-- "match 3 #2 A B -C-": what specs compare.
function match_engine.show(event)
    local words = { event.kind, tostring(event.start) }
    if event.kind ~= "unmatched" then words[#words + 1] = "#" .. event.number end
    for _, label in ipairs(event.labels) do words[#words + 1] = label.excluded and "-" .. label.name .. "-" or label.name end
    return table.concat(words, " ")
end

function match_engine.show_all(events)
    local lines = {}
    for i, event in ipairs(events) do lines[i] = match_engine.show(event) end
    return table.concat(lines, "\n")
end

return match_engine
