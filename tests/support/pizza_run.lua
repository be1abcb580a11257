-- The pizza rules through a real broker: topics of their own, orders from tests/support/orders.py, what must come out by
-- tests/support/pizza_reference.py, and what did come out, as multisets of one-line texts and in the order of each key.
--
--   local run = pizza_run.new { orders = 20000, seed = 1 }    -- makes topics, writes the orders into them
--   local engine = run:start()                                -- build/ananas run, a process.lua process
--   run:wait(60)                                              -- until the closing windows have been written
--   local differences = run:differences()                     -- {} when output == reference
--   run:close()
--
-- With `portions = true` nothing is written at first: run:write(n) writes the next n orders, run:write() all that is left.
-- `tidy = true` leaves late and bad orders out: what is late depends on when who writes what. Options: partitions
-- (of the input), delivery, commit_interval,
-- kafka (text of more properties), settings (text of more configuration), broker, bootstrap (where the engine looks for it).
-- run:start(env, "faults") starts the program that has failpoints; run:twin() is another group on the same input, and
-- run:rules(more, from, to) writes its rules again, changed.
--
-- After the orders each partition gets one empty order an hour later, so that every window closes without a flush.

local cjson = require "cjson"
local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local Run = {}
Run.__index = Run
local M = {}

local OUTPUTS = { "pizza_stream_out_filter", "pizza_stream_out_agg", "pizza_stream_out_agg_windows", "pizza_stream_out_trends" }
local CLOSING = [[{"id":-1,"name":"closing","pizzas":[]}]]

local config = [[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s", %s }
source "pizzas" {
  topic      = "%s",
  metadata   = { orderTimestamp = "timestamp" },
  event_time = "orderTimestamp",
  watermark  = "5s",
  idle_after = "1h",
}
rules "rules"
topics { partitions = 2, replication = 1 }
commit_interval "%s"
delivery "%s"
%s
]]

-- The orders, as records to write and as the reference's input.
local function make_orders(run, orders, seed, tidy)
    local made = replay.shell(run.folder, ("python3 %s/tests/support/orders.py %d %s %s --partitions=%d > orders.jsonl"):format(
        replay.quote(replay.root), orders, seed, tidy and "--tidy" or "", run.partitions))
    assert(made.status == 0, made.stderr)
    local out, last = assert(io.open(run.folder .. "/input.jsonl", "w")), 0
    local list = {}
    local function put(r)
        list[#list + 1] = { topic = run.topic, partition = r.partition, key = r.key, value = r.payload, timestamp = r.ts }
    end
    for line in io.lines(run.folder .. "/orders.jsonl") do
        local r = replay.decode(line)
        if r.payload == replay.null then r.payload = nil end
        if r.ts and r.ts ~= replay.null then   -- a broker stamps every record, so there are none without
            out:write(line, "\n")
            last = math.max(last, r.ts)
            put(r)
        end
    end
    for partition = 0, run.partitions - 1 do
        local r = { topic = "pizzas", partition = partition, offset = 10000000, ts = last + 3600000, key = "{}", payload = CLOSING }
        out:write(cjson.encode(r), "\n")
        put(r)
    end
    out:close()
    local ran = replay.shell(run.folder, ("python3 %s/tests/support/pizza_reference.py input.jsonl expected.jsonl"):format(
        replay.quote(replay.root)))
    assert(ran.status == 0, ran.stderr)
    run.list, run.written = list, 0
end

-- One text per record, the same for the reference and for the broker: topic, time, key, value.
local function text_of(topic, ts, key, value)
    return table.concat({ topic, ("%d"):format(ts), replay.canonical(key), replay.canonical(value) }, "\t")
end

-- Numbers that a Lua number cannot hold are told apart by their text.
local function exact(text) return replay.decode((text:gsub("([:%[,]%s*)(%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d+)", '%1"%2"'))) end

-- Adds a text to { count = text -> n, order = topic and key -> texts, in order }.
local function note(into, text, topic, key)
    into.count[text] = (into.count[text] or 0) + 1
    if not key then return end
    local id = topic .. "\t" .. replay.canonical(key)
    local list = into.order[id]
    if not list then
        list = {}
        into.order[id] = list
    end
    list[#list + 1] = text
end

-- A group with its folder and names; the input is its own, or that of another run.
local function deploy(o, topic)
    local run = setmetatable({ options = o, partitions = o.partitions or 3, broker = o.broker or kafka.shared(),
        folder = replay.folder() }, Run)
    run.prefix = kafka.name(o.name or "pizza") .. "_"
    run.topic, run.group = topic or run.prefix .. "pizzas", run.prefix .. "group"
    assert(os.execute("mkdir -p " .. replay.quote(run.folder .. "/rules")) == 0)
    run:rules()
    replay.write(run.folder .. "/ananas.lua", config:format(o.bootstrap or run.broker.bootstrap, run.group, o.kafka or "", run.topic,
        o.commit_interval or "100ms", o.delivery or "exactly_once", o.settings or ""))
    return run
end

-- The shipped rules, with `more` at their end and whatever gsub(from, to) makes of them.
function Run:rules(more, from, to)
    local text = replay.read(replay.root .. "/rules/pizza.lua"):gsub('"pizza_stream_out', '"' .. self.prefix .. "pizza_stream_out")
    if from then
        local n
        text, n = text:gsub(from, to)
        assert(n > 0, "the rules have no " .. from)
    end
    replay.write(self.folder .. "/rules/pizza.lua", text .. (more or ""))
end

-- Another group that reads the same input into topics of its own, undisturbed.
function Run:twin()
    local o = { name = "twin", broker = self.broker, bootstrap = self.options.bootstrap, partitions = self.partitions,
        settings = self.options.settings }
    return deploy(o, self.topic)
end

function M.new(o)
    local run = deploy(o)
    client.create_topics(run.broker.bootstrap, { { name = run.topic, partitions = run.partitions } })
    make_orders(run, o.orders or 20000, o.seed or "1", o.tidy)
    if not o.portions then run:write() end
    run.expected = { count = {}, order = {} }
    for line in io.lines(run.folder .. "/expected.jsonl") do
        local r = exact(line)
        if r.counts then
            run.counts = r.counts
        elseif r.raw then
            note(run.expected, "dead\t" .. r.raw)
        else
            note(run.expected, text_of(r.topic, r.ts, r.key, r.value), r.topic, r.key)
        end
    end
    return run
end

-- The next n orders, or all that are left.
function Run:write(n)
    -- A broker that has just come back may refuse a batch and take the next: order is kept by idempotence only.
    local producer = client.producer(self.broker.bootstrap, { ["linger.ms"] = 5, ["enable.idempotence"] = true })
    local last = math.min(#self.list, self.written + (n or #self.list))
    for i = self.written + 1, last do producer:send(self.list[i]) end
    self.written = last
    producer:flush(60)
    producer:close()
end

function Run:start(environment, variant)
    local binary = variant and replay.binary:gsub("ananas$", variant .. "/ananas") or replay.binary
    return process.spawn { binary, "run", "-c", self.folder .. "/ananas.lua", env = environment, cwd = self.folder }
end

-- Committed offsets at the ends of the input: everything was read and committed.
function Run:caught_up()
    local ends = client.offsets(self.broker.bootstrap, self.topic)
    local committed = client.committed(self.broker.bootstrap, self.group, self.topic)
    for partition = 0, self.partitions - 1 do
        if (committed[partition] or -1) < ends[partition][2] then return false end
    end
    return true
end

function Run:wait(seconds)
    assert(process.eventually(seconds, function() return self:caught_up() end, 0.3), "the input was not read to its end in time")
end

local function read(run, topic)
    return client.read(run.broker.bootstrap, { topic = topic, timeout = 30, isolation = "read_committed" })
end

-- Output as it is on the broker now.
function Run:output()
    local found = { count = {}, order = {} }
    for _, topic in ipairs(OUTPUTS) do
        for _, r in ipairs(read(self, self.prefix .. topic)) do
            local key = exact(r.key)
            note(found, text_of(topic, r.timestamp, key, exact(r.value)), topic, key)
        end
    end
    for _, r in ipairs(read(self, self.topic .. ".dead-letters")) do note(found, "dead\t" .. r.value) end
    return found
end

-- Lines "-1 text" (missing) and "+1 text" (too many), and where there are none of these, "order ..." for each key whose
-- records are all there, but in another order. missing_only leaves the latter two out.
function Run:differences(missing_only)
    local found, out = self:output(), {}
    for text, n in pairs(self.expected.count) do
        local have = found.count[text] or 0
        if have < n then out[#out + 1] = ("%d  %s"):format(have - n, text) end
    end
    if missing_only then return out end
    for text, n in pairs(found.count) do
        local want = self.expected.count[text] or 0
        if n > want then out[#out + 1] = ("+%d  %s"):format(n - want, text) end
    end
    for id, texts in pairs(#out == 0 and self.expected.order or {}) do
        for i, text in ipairs(texts) do
            if found.order[id][i] ~= text then
                out[#out + 1] = ("order %s: record %d is %s instead of %s"):format(id, i, tostring(found.order[id][i]), text)
                break
            end
        end
    end
    table.sort(out)
    return out
end

function Run:close() replay.remove(self.folder) end

return M
