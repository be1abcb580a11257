-- Bad situations that only a person can mend: each has one outcome and one message that says what to do.

local admin = require "tests.support.kafka_admin"
local client = require "tests.support.kafka_client"
local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local RULES = [[
rule "twice" { from = "numbers", select = { "n", pad = function(r) return r.pad end }, key = { "n" }, to = "%s_out" }
rule "sums" { from = "numbers", window = tumble "1h", group_by = { "k" }, aggregate = { total = sum("n") }, to = "%s_sums" }
]]
local CONFIG = [[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s", ["session.timeout.ms"] = "3000", ["heartbeat.interval.ms"] = "500", %s }
source "numbers" { topic = "%s_in", metadata = { at = "timestamp" }, event_time = "at", watermark = "0s", max_ahead = "none", %s }
rules "rules.lua"
topics { partitions = 1, replication = 1 }
%s
]]

local Case = {}
Case.__index = Case

local function case(o)
    o = o or {}
    local self = setmetatable({ broker = o.broker or kafka.shared(), folder = replay.folder(), name = kafka.name "refuse", sent = 0 }, Case)
    self.group, self.input, self.out = self.name .. "-group", self.name .. "_in", self.name .. "_out"
    replay.write(self.folder .. "/rules.lua", RULES:format(self.name, self.name))
    replay.write(self.folder .. "/ananas.lua", CONFIG:format(o.bootstrap or self.broker.bootstrap, self.group, o.kafka or "", self.name,
        o.source or "", o.settings or ""))
    if not o.no_input then client.create_topics(self.broker.bootstrap, { { name = self.input, partitions = o.partitions or 1 } }) end
    return self
end

function Case:send(n, partition, pad)
    local p = client.producer(self.broker.bootstrap, {})
    for _ = 1, n do
        self.sent = self.sent + 1
        p:send { topic = self.input, partition = partition or 0, timestamp = 1659426822000 + self.sent,
            value = ('{"n":%d,"k":"a","pad":"%s"}'):format(self.sent, pad or "") }
    end
    p:flush()
    p:close()
end

-- With failpoints in its environment it is the program that has some.
function Case:start(environment)
    local binary = environment and replay.binary:gsub("ananas$", "faults/ananas") or replay.binary
    return process.spawn { binary, "run", "-c", self.folder .. "/ananas.lua", cwd = self.folder, env = environment }
end

function Case:outputs(n)
    local found = {}
    for _, r in ipairs(client.read(self.broker.bootstrap, { topic = self.out, count = n, timeout = n and 15 or 8, isolation = "read_committed" })) do
        found[#found + 1] = replay.decode(r.value).n
    end
    table.sort(found)
    return found
end

-- Runs until `n` outputs in all are committed, then ends in order.
function Case:run_until(n)
    local engine = self:start()
    assert(engine:expect("is active", 20))   -- a signal before would just end it
    local found = process.eventually(30, function()
        engine:pump(0)
        return client.topics(self.broker.bootstrap)[self.out] and pcall(function() assert(#self:outputs(n) >= n) end)
    end, 0.1)
    assert.truthy(found, engine.err)
    engine:signal "TERM"
    local status = engine:wait(20)
    assert.equal(0, status and status.code, engine.err)
    return engine
end

function Case:refuses(...)
    local engine = self:start()
    local status = engine:wait(30)
    assert.truthy(status, "still runs\n" .. engine.err)
    assert.equal(1, status.code, engine.err)
    for _, text in ipairs { ... } do assert.truthy(engine.err:find(text, 1, true), engine.err) end
    return engine
end

local function numbers(n)
    local list = {}
    for i = 1, n do list[i] = i end
    return list
end

local at_length = faults.long and it or function() end

describe("a bad situation", function()
    it("the changelog was deleted", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        client.delete_topics(c.broker.bootstrap, { c.group .. "-changelog" })
        process.sleep(0.5)
        c:refuses("has no state for it (deleted?)", "kafka-consumer-groups --group " .. c.group .. " --delete")
    end)

    at_length("the changelog is deleted while it runs", function()
        local c = case()
        c:send(5)
        local engine = c:start()
        assert(engine:expect("is active", 15))
        process.eventually(20, function() return pcall(function() assert(#c:outputs(5) == 5) end) end)
        client.delete_topics(c.broker.bootstrap, { c.group .. "-changelog" })
        process.sleep(0.5)
        c:send(5)
        local status = engine:wait(90)
        assert.equal(1, status and status.code, engine.err)
        assert.truthy(engine.err:find(c.group .. "-changelog", 1, true), engine.err)
        assert.truthy(engine.err:find "deleted", engine.err)
    end)

    at_length("the group was deleted, and with it its offsets; put back to where the state is, it goes on", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        admin.delete_group(c.broker.bootstrap, c.group)
        c:refuses("no committed offset any more", "--to-offset 5", "delete topic " .. c.group .. "-changelog")
        client.commit(c.broker.bootstrap, c.group, { [c.input] = { [0] = 5 } })
        c:send(1)
        c:run_until(6)
        assert.same(numbers(6), c:outputs())
    end)

    at_length("records were deleted (expired) that were not read yet", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        c:send(10)
        admin.delete_records(c.broker.bootstrap, c.input, { [0] = 10 })
        c:refuses("stopped at offset 5, but the broker has only 10 to 15", "--reset-offsets", "delete topic " .. c.group .. "-changelog")
    end)

    at_length("the input was deleted and made anew", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        client.delete_topics(c.broker.bootstrap, { c.input })
        process.eventually(10, function() return not client.topics(c.broker.bootstrap)[c.input] end)
        client.create_topics(c.broker.bootstrap, { c.input })
        c:send(2)
        c:refuses("the changelog holds state up to offset 5", "delete topic " .. c.group .. "-changelog")
    end)

    it("the rules are broken at a start: the fault is said, nothing runs, and mended it goes on where it was", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        c:send(2)
        local good = replay.read(c.folder .. "/rules.lua")
        replay.write(c.folder .. "/rules.lua", good .. '\nrule "broken" { from = "numbrs" }\n')
        c:refuses("rules.lua:", 'numbrs')
        assert.same(numbers(5), c:outputs())
        replay.write(c.folder .. "/rules.lua", good)
        c:run_until(7)
        assert.same(numbers(7), c:outputs())
    end)

    at_length("a record in the changelog that is not ours", function()
        local c = case()
        c:send(2)
        c:run_until(2)
        client.produce(c.broker.bootstrap, { { topic = c.group .. "-changelog", partition = 0, key = "hello", value = "world" } })
        c:refuses("no state of this program", c.group .. "-changelog")
    end)

    it("the changelog was made by hand and is not compacted", function()
        local c = case()
        client.create_topics(c.broker.bootstrap, { { name = c.group .. "-changelog", config = { ["cleanup.policy"] = "compact,delete" } } })
        c:refuses(c.group .. "-changelog", "cleanup.policy=compact,delete", "--add-config cleanup.policy=compact")
    end)

    it("entries of the state are gone from the changelog", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        local lost
        for _, r in ipairs(client.read(c.broker.bootstrap, { topic = c.group .. "-changelog" })) do
            if r.key:sub(1, 1) == "e" and r.value then lost = r.key end
        end
        client.produce(c.broker.bootstrap, { { topic = c.group .. "-changelog", partition = 0, key = lost } })
        c:refuses("it lost some", "cleanup.policy", "kafka-consumer-groups --group " .. c.group .. " --delete")
    end)

    it("commits that are further apart than a transaction may last", function()
        local c = case { kafka = [[ ["transaction.timeout.ms"] = "5000" ]], settings = [[commit_interval "8s"]] }
        c:refuses("commit_interval", "transaction.timeout.ms")
    end)

    it("an operator rewound the group; moved back to where the state is, it goes on", function()
        local c = case()
        c:send(5)
        c:run_until(5)
        client.commit(c.broker.bootstrap, c.group, { [c.input] = { [0] = 2 } })
        c:refuses("somebody moved the offsets", "--to-offset 5")
        client.commit(c.broker.bootstrap, c.group, { [c.input] = { [0] = 5 } })
        c:send(3)
        c:run_until(8)
        assert.same(numbers(8), c:outputs())
    end)

    it("partitions are added between two runs: they are read from their beginning", function()
        local c = case { source = [[ start = "earliest" ]] }
        c:send(5)
        c:run_until(5)
        client.grow_topic(c.broker.bootstrap, c.input, 3)
        process.sleep(0.5)
        c:send(4, 2)
        local engine = c:run_until(9)
        assert.same(numbers(9), c:outputs())
        assert.truthy(engine.err:find("new since the state was made", 1, true), engine.err)
    end)

    at_length("partitions are added while it runs: it notices by itself, and a restart agrees", function()
        local c = case()
        c:send(5)
        local engine = c:start()
        assert(engine:expect("is active", 15))
        assert.truthy(process.eventually(20, function() return pcall(function() assert(#c:outputs(5) == 5) end) end))
        client.grow_topic(c.broker.bootstrap, c.input, 2)
        process.sleep(0.5)
        c:send(4, 1)
        assert.same(numbers(9), c:outputs(9), engine.err)
        engine:pump(0)
        assert.truthy(engine.err:find("_in/1 was added", 1, true), engine.err)
        engine:signal "KILL"
        engine:wait(5)
        c:send(2, 1)
        c:run_until(11)
        assert.same(numbers(11), c:outputs())
    end)

    it("state of a newer format", function()
        local c = case()
        c:send(2)
        c:run_until(2)
        local p = client.producer(c.broker.bootstrap, {})
        p:send { topic = c.group .. "-changelog", partition = 0, key = "m", value = "\255\0\0\0\0\0\0" }
        p:flush()
        p:close()
        c:refuses("written by a newer ananas", "Run the newer one")
    end)

    it("an output topic takes only smaller records", function()
        local c = case()
        client.create_topics(c.broker.bootstrap, { { name = c.out, config = { ["max.message.bytes"] = 2000 } } })
        c:send(2, 0, ("x"):rep(5000))
        c:refuses(c.out, "Message size too large", "Raise max.message.bytes of the topic")
    end)

    if faults.long then describe("a right is missing:", function()
        local broker
        setup(function() broker = kafka.start { settings = admin.AUTHORIZER } end)
        teardown(function() broker:stop() end)

        it("to write an output topic", function()
            local c = case { broker = broker }
            client.create_topics(broker.bootstrap, { { name = c.out } })
            admin.deny(broker.bootstrap, "topic", c.out, "write")
            c:send(2)
            c:refuses(c.out, "authorization failed", "Allow this client to write")
        end)

        it("to write an output topic, at_least_once", function()
            local c = case { broker = broker, settings = [[delivery "at_least_once"]] }
            client.create_topics(broker.bootstrap, { { name = c.out } })
            admin.deny(broker.bootstrap, "topic", c.out, "write")
            c:send(2)
            c:refuses(c.out, "authorization failed", "Allow this client to write")
        end)

        it("to read the input", function()
            local c = case { broker = broker }
            c:send(2)
            admin.deny(broker.bootstrap, "topic", c.input, "read")
            c:refuses(c.input, "authorization failed", "Allow this client to read")
        end)

        it("to join the group", function()
            local c = case { broker = broker }
            c:send(2)
            admin.deny(broker.bootstrap, "group", c.group, "read")
            c:refuses(c.group, "authorization failed", "Allow this client to read")
        end)
    end) end

    at_length("records that are being read are deleted under it", function()
        local c = case()
        c:send(5)
        local engine = c:start()
        assert(engine:expect("is active", 15))
        process.eventually(20, function() return pcall(function() assert(#c:outputs(5) == 5) end) end)
        engine:signal "STOP"
        process.sleep(1.5)   -- until nothing it asked for before is on its way: the broker answers within half a second, or later when busy
        c:send(10)
        admin.delete_records(c.broker.bootstrap, c.input, { [0] = 10 })
        engine:signal "CONT"
        local status = engine:wait(30)
        assert.equal(1, status and status.code, engine.err)
        assert.truthy(engine.err:find("the broker has only 10 to 15", 1, true), engine.err)
    end)

    at_length("a transaction that takes longer than it may: nothing is lost or doubled", function()
        local c = case { kafka = [[ ["transaction.timeout.ms"] = "5000" ]] }
        c:send(5)
        local engine = c:start { ANANAS_FAILPOINT = "entries-written:2:pause" }
        assert(engine:expect("is active", 15))
        process.sleep(3)
        c:send(5)
        local found = process.eventually(60, function()
            engine:pump(0)
            return pcall(function() assert(#c:outputs(10) == 10) end)
        end, 0.2)
        assert.truthy(found, engine.err)
        assert.truthy(engine.err:find("transaction", 1, true), engine.err)
        engine:signal "KILL"
        engine:wait(5)
        c:run_until(10)
        assert.same(numbers(10), c:outputs())
    end)

    it("transaction.max.timeout.ms of the broker is below ours", function()
        local c = case { kafka = [[ ["transaction.timeout.ms"] = "2000000" ]] }
        c:refuses("transaction.max.timeout.ms", "lower the latter")
    end)

    it("the source's topic does not exist", function()
        local c = case { no_input = true }
        c:refuses(c.input .. '" does not exist', "Make it, or mend the name")
    end)

    at_length("no broker can be reached: one clear line, no busy loop, and SIGTERM ends it", function()
        local c = case { bootstrap = "127.0.0.1:1" }
        local engine = c:start()
        process.sleep(8)
        engine:pump(0)
        local usage = engine:usage()
        local _, lines = engine.err:gsub("\n", "")
        assert.truthy(engine.err:find("no broker can be reached", 1, true), engine.err)
        assert.is_true(lines <= 2, engine.err)
        assert.is_true(usage.cpu < 1.5, usage.cpu .. " s of processor in 8 s")
        engine:signal "TERM"
        assert.truthy(engine:wait(10), "does not end")
    end)
end)
