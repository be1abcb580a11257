-- Several tasks in one process, without a broker: records in source partitions, frames in repartition partitions, commits,
-- aborts and restarts at will. What one task or N of them commit is read back as output records.
--
--   local t = topology.open { config = text, rules = text, n = 3, log = path }
--   t:append("orders", 0, { key =, value =, ts = })       -- before or while it runs
--   t:run { seed = 7 }                                     -- in random order until nothing is left, then to the end of time
--   t.outputs                                              -- committed, in order: { topic, key, value, time, kind, task }

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("task", "task_view", "load", "log", "exchange")
local C = ffi.C
pcall(ffi.cdef, "int open(const char *, int, ...);")

local topology = { lib = lib }
local Topology = {}
Topology.__index = Topology

topology.NEVER = ffi.cast("int64_t", -9223372036854775807LL - 1LL)
topology.FOREVER = ffi.cast("int64_t", 9223372036854775807LL)
local KINDS = { [0] = "anomaly", "late", "dead letter", "mark", "frame" }

local function write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local function load_faults(faults)
    local list = {}
    for i = 0, tonumber(faults.n) - 1 do
        local f = faults.at[i]
        list[#list + 1] = ("%s:%d: %s"):format(ffi.string(f.file), f.line, ffi.string(f.text))
    end
    return table.concat(list, "\n")
end

-- ---- one task ----

local function load_rules(self)
    local script, plan, faults = ffi.new "script_t *[1]", ffi.new "plan_t *[1]", ffi.new "faults_t"
    if lib.load_rules(self.config, self.folder .. "/rules", self.log, script, plan, faults) ~= 0 then error(load_faults(faults), 0) end
    lib.faults_fini(faults)
    return script[0], plan[0]
end

local function make(self, k, store)
    local script, plan = load_rules(self)
    local o = ffi.new "task_options_t"
    o.config, o.log, o.limits = self.config, self.log, lib.load_limits(self.config)
    o.store, o.number, o.parallelism = store, k.number, self.n > 1 and self.n or 0
    k.task = lib.task_new(o, script, plan)
end

local function save_meta(k)
    local b = engine.buf()
    lib.task_save_meta(k.task, b)
    return engine.bytes(b)
end

local function load_meta(k, bytes)
    local r = ffi.new "reader_t"
    r.s, r.len = bytes, #bytes
    assert(lib.task_load_meta(k.task, r, engine.defines.STATE_FORMAT) == 0, "the meta record does not load")
end

local function copy(list)
    local out = {}
    for key, v in pairs(list) do out[key] = v end
    return out
end

function topology.open(options)
    local self = setmetatable({ n = options.n or 1, topics = {}, order = {}, frames = {}, tasks = {}, outputs = {}, clock = 0 }, Topology)
    local pipe = assert(io.popen "mktemp -d /tmp/ananas-spec.XXXXXX")
    self.folder = pipe:read "*l"
    pipe:close()
    self.log_path = options.log or self.folder .. "/log"
    self.log = lib.log_open(C.open(self.log_path, 1 + 64 + 1024, ffi.cast("int", 420)), lib.LOG_WARN, lib.LOG_TEXT)
    assert(os.execute("mkdir " .. self.folder .. "/rules") == 0)
    self:write_rules(options.rules)
    local loaded, faults = ffi.new "loaded_t", ffi.new "faults_t"
    if lib.load_all_text("ananas.lua", options.config, self.folder .. "/rules", self.log, loaded, faults) ~= 0 then error(load_faults(faults), 0) end
    self.loaded, self.config = loaded, loaded.config
    for i = 0, self.n - 1 do
        self.frames[i] = {}
        local k = { number = i, at = {}, frame_at = 0, outbox = {}, sent = {}, committed = {} }
        self.tasks[i] = k
        make(self, k)
    end
    return self
end

function Topology:write_rules(rules)
    os.execute("rm -f " .. self.folder .. "/rules/*")
    if type(rules) == "string" then rules = { ["rules.lua"] = rules } end
    for name, text in pairs(rules) do write(self.folder .. "/rules/" .. name, text) end
end

function Topology:close()
    for _, k in pairs(self.tasks) do lib.task_free(k.task) end
    lib.load_fini(self.loaded)
    lib.log_close(self.log)
    os.execute("rm -rf " .. self.folder)
end

-- ---- what it reads ----

function Topology:partitions(topic, n)
    if not self.topics[topic] then
        self.topics[topic] = {}
        self.order[#self.order + 1] = topic
    end
    for p = 0, n - 1 do self.topics[topic][p] = self.topics[topic][p] or {} end
end

function Topology:append(topic, partition, record)
    local list = self.topics[topic][partition]
    list[#list + 1] = record
end

local function topic_number(k, topic)
    return lib.task_topic(k.task, engine.slice(topic))
end

function Topology:owned(k)
    local list = {}
    for _, topic in ipairs(self.order) do
        for p = 0, #self.topics[topic] do
            if p % self.n == k.number then list[#list + 1] = { topic, p } end
        end
    end
    return list
end

-- ---- steps, commits, and what undoes them ----

local function take_outbox(self, k)
    local o = lib.task_outbox(k.task)
    for i = 0, tonumber(o.n) - 1 do
        local r = o.at[i]
        if tonumber(r.kind) == 4 then
            k.sent[#k.sent + 1] = { partition = r.partition, value = engine.text(r.value), from = k.number }
        else
            k.outbox[#k.outbox + 1] = { topic = ffi.string(r.topic), key = engine.text(r.key), value = engine.text(r.value),
                time = tonumber(r.time), kind = KINDS[tonumber(r.kind)], task = k.number }
        end
    end
end

-- events: { "record", topic, partition, offset, record }, { "partition", topic, p }, { "idle", topic, p }, { "watermark", t },
-- { "clock", t }, { "frame", offset, frame }.
local function fill(k, ev, e)
    ffi.fill(ev, ffi.sizeof "event_t")
    if e[1] == "frame" then
        ev.kind = lib.EVENT_FRAME
        ev.record.partition, ev.record.offset, ev.record.value = k.number, e[2], engine.slice(e[3].value)
    elseif e[1] == "watermark" or e[1] == "clock" then
        ev.kind, ev.time = e[1] == "clock" and lib.EVENT_CLOCK or lib.EVENT_WATERMARK, e[2]
    else
        ev.kind = e[1] == "record" and lib.EVENT_RECORD or e[1] == "idle" and lib.EVENT_IDLE or lib.EVENT_PARTITION
        local r = ev.record
        r.topic, r.partition = topic_number(k, e[2]), e[3]
        if e[1] == "record" then
            r.offset, r.timestamp = e[4], e[5].ts or -1
            r.key, r.value = engine.slice(e[5].key), engine.slice(e[5].value)
        end
    end
end

function Topology:step(k, events)
    local array, err = ffi.new("event_t[?]", #events + 1), ffi.new "error_t"
    for i, e in ipairs(events) do fill(k, array[i - 1], e) end
    local wall = ffi.new "wall_t"
    wall.ms = self.wall or 4e12
    local rc = lib.task_step(k.task, array, #events, wall, err)
    if rc ~= 0 then error(ffi.string(err.text), 0) end
    take_outbox(self, k)
end

function Topology:commit(k)
    lib.task_close_interval(k.task)
    if self.n > 1 then take_outbox(self, k) end
    lib.task_commit(k.task)
    for _, f in ipairs(k.sent) do
        if not (self.tamper and self.tamper(f)) then table.insert(self.frames[f.partition], f) end
    end
    for _, out in ipairs(k.outbox) do self.outputs[#self.outputs + 1] = out end
    k.sent, k.outbox = {}, {}
    k.committed = { at = copy(k.at), frame_at = k.frame_at, meta = save_meta(k), ended = k.ended }
end

-- The transaction was refused.
function Topology:abort(k)
    lib.task_abort(k.task)
    load_meta(k, k.committed.meta)
    k.at, k.frame_at, k.sent, k.outbox, k.ended = copy(k.committed.at), k.committed.frame_at, {}, {}, k.committed.ended
end

-- The process died; another takes the task over from what was committed.
function Topology:kill(k)
    lib.task_abort(k.task)
    local old, store = lib.task_store(k.task), lib.store_new(0)
    local space = lib.store_next_space(old, nil)
    while space ~= nil do
        local e = lib.space_next(space, nil)
        while e ~= nil do
            lib.store_restore(store, lib.space_name(space), lib.entry_key(e), lib.entry_value(e))
            e = lib.space_next(space, e)
        end
        space = lib.store_next_space(old, space)
    end
    lib.task_free(k.task)
    make(self, k, store)
    load_meta(k, k.committed.meta)
    lib.task_rebuild(k.task)
    k.at, k.frame_at, k.sent, k.outbox, k.ended = copy(k.committed.at), k.committed.frame_at, {}, {}, k.committed.ended
end

-- ---- a random run ----

local function randomness(seed)
    local a = (seed * 7919 + 12345) % 2147483647
    return function(n)
        a = (a * 48271) % 2147483647
        return a % n + 1
    end
end
topology.randomness = randomness

local function key_of(topic, p) return topic .. "/" .. p end

-- Some events of a task, of its partitions in random order. idle: partitions that are said to be idle at their end.
function Topology:some(k, random, most, idle)
    local events, owned, waits = {}, self:owned(k), lib.task_waits(k.task) ~= 0
    for _ = 1, random(most) do
        local frames = self.frames[k.number]
        if self.n > 1 and frames[k.frame_at + 1] and (waits or #owned == 0 or random(3) == 1) then
            events[#events + 1] = { "frame", k.frame_at, frames[k.frame_at + 1] }
            k.frame_at = k.frame_at + 1
        elseif #owned > 0 and not waits then
            local o = owned[random(#owned)]
            local name = key_of(o[1], o[2])
            local at, list = k.at[name] or 0, self.topics[o[1]][o[2]]
            local record = list[at + 1]
            if record and record.idle then
                events[#events + 1] = { "idle", o[1], o[2] }
                k.at[name] = at + 1
            elseif record then
                events[#events + 1] = { "record", o[1], o[2], at, record }
                k.at[name] = at + 1
            elseif idle and idle[name] and not k.at[name .. "!"] then
                events[#events + 1] = { "idle", o[1], o[2] }
                k.at[name .. "!"] = 1
            end
        end
    end
    return events
end

local function is_done(self, k)
    if k.frame_at < #self.frames[k.number] then return false end
    for _, o in ipairs(self:owned(k)) do
        if (k.at[key_of(o[1], o[2])] or 0) < #self.topics[o[1]][o[2]] then return false end
    end
    return true
end

function Topology:begin()
    for i = 0, self.n - 1 do
        local k, events = self.tasks[i], {}
        for _, o in ipairs(self:owned(k)) do events[#events + 1] = { "partition", o[1], o[2] } end
        self:step(k, events)
        self:commit(k)
    end
end

-- Commits and reads until nobody has anything to say: what the reload protocol and the end wait for. Returns the rounds.
function Topology:settle()
    for round = 1, 100 do
        local busy = false
        for i = 0, self.n - 1 do
            local k, events = self.tasks[i], {}
            while k.frame_at < #self.frames[i] do
                events[#events + 1] = { "frame", k.frame_at, self.frames[i][k.frame_at + 1] }
                k.frame_at = k.frame_at + 1
            end
            if #events > 0 then self:step(k, events) end
            if #events > 0 or lib.task_unsent(k.task) ~= 0 then
                busy = true
                self:commit(k)
            end
        end
        if not busy then return round end
    end
    error "tasks talk to each other without end"
end

-- o.seed, o.most (events of a step), o.trouble (aborts and kills), o.idle, o.on_turn(turn)
function Topology:run(o)
    local random = randomness(o.seed)
    if not self.begun then self:begin() end
    self.begun = true
    local turn, left = 0, true
    while left do
        turn = turn + 1
        if turn > 5e5 then error "no end of turns" end
        local k = self.tasks[random(self.n) - 1]
        local events = self:some(k, random, o.most or 20, o.idle)
        if #events > 0 then self:step(k, events) end
        local dice = random(100)
        if dice <= 20 then self:commit(k)
        elseif o.trouble and dice == 21 then self:abort(k)
        elseif o.trouble and dice == 22 then self:kill(k) end
        left = false
        for i = 0, self.n - 1 do left = left or not is_done(self, self.tasks[i]) end
    end
    if o.stay then return end
    self:settle()
    for i = 0, self.n - 1 do
        self:step(self.tasks[i], { { "watermark", topology.FOREVER } })
        self:commit(self.tasks[i])
    end
    self:settle()
end

-- Another rule set at a cut that all tasks share: nothing is on its way, and the rules' ends are those of all tasks.
function Topology:reload(rules)
    if self.n > 1 then self:settle() end
    self:write_rules(rules)
    local plan, ends = lib.task_plan(self.tasks[0].task), {}
    for r = 0, plan.n_rules - 1 do
        local name, greatest = ffi.string(plan.rules[r].name), topology.NEVER
        for i = 0, self.n - 1 do
            local e = lib.task_last_end(self.tasks[i].task, engine.slice(name))
            if e > greatest then greatest = e end
        end
        if greatest > topology.NEVER then ends[#ends + 1] = { name, greatest } end
    end
    local bounds = ffi.new("frame_bound_t[?]", #ends + 1)
    for i, b in ipairs(ends) do bounds[i - 1].rule, bounds[i - 1]["end"] = engine.slice(b[1]), b[2] end
    for i = 0, self.n - 1 do
        local k = self.tasks[i]
        local script, made = load_rules(self)
        lib.task_reload_at(k.task, script, made, bounds, #ends)
        self:commit(k)
    end
    if self.n > 1 then self:settle() end
end

-- Sums over the tasks: rows and partials sent, by rule; frames and bytes; rows that were late.
function Topology:late(rule)
    local n = 0
    for i = 0, self.n - 1 do
        local plan = lib.task_plan(self.tasks[i].task)
        for r = 0, plan.n_rules - 1 do
            if not rule or ffi.string(plan.rules[r].name) == rule then n = n + tonumber(lib.task_rule_stats(self.tasks[i].task, r).late) end
        end
    end
    return n
end

return topology
