-- A rule that overran, live: a restart does not forget it and says so, a changed text ends it; and what a source says that
-- holds its event time.

local client = require "tests.support.kafka_client"
local http_client = require "tests.support.http_client"
local kafka = require "tests.support.kafka"
local net = require "tests.support.net"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

describe("a rule that overran", function()
    local broker, folder, name, port, engine

    local function put(limit)
        replay.write(folder .. "/rules/.new", ([[
rule "bad" { from = "s", where = function(r) while r.v > %d do end return true end, to = "%s-bad" }
rule "windows" { from = "s", window = tumble "1s", aggregate = { n = count() }, to = "%s-windows" }
]]):format(limit, name, name))
        assert(os.rename(folder .. "/rules/.new", folder .. "/rules/r.lua"))
    end
    local function start()
        engine = process.spawn { replay.binary, "run", "-c", folder .. "/ananas.lua", cwd = folder }
        engine:expect("active", 30)
    end
    local function stop()
        engine:signal("TERM")
        assert.equal(0, engine:wait(15).code, engine.err)
    end
    local function send(...)
        local records = {}
        for i, v in ipairs { ... } do records[i] = { topic = name, partition = 0, value = ('{"ts":%d,"v":%d}'):format(1000 + v, v) } end
        client.produce(broker, records)
    end
    local function rule(wanted)
        for _, r in ipairs(replay.decode(http_client.get(port, "/rules").body).rules) do
            if r.name == wanted then return r end
        end
    end
    local function becomes(wanted, what)
        assert(process.eventually(20, function()
            local r = rule(wanted)
            return r and what(r)
        end, 0.2), engine.err)
    end
    local function count()
        return #client.read(broker, { topic = name .. "-bad", timeout = 20 })
    end

    setup(function()
        broker, folder, name, port = kafka.shared().bootstrap, replay.folder(), kafka.name "quarantine", net.free_port()
        assert(os.execute("mkdir -p " .. replay.quote(folder .. "/rules")) == 0)
        replay.write(folder .. "/ananas.lua", ([[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s-group", ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300" }
source "s" { topic = "%s", event_time = "ts", watermark = "0s", max_ahead = "none", idle_after = "300ms", on_all_idle = "hold" }
rules "rules"
http "127.0.0.1:%d"
topics { partitions = 1, replication = 1 }
]]):format(broker, name, name, port))
        put(5)
        client.create_topics(broker, { { name = name, partitions = 1 } })
        start()
        send(1, 2)
        becomes("bad", function(r) return r.counters.emitted == 2 end)
        send(9)
        becomes("bad", function(r) return r.quarantined end)
        send(3)
        becomes("bad", function(r) return r.counters.skipped == 2 end)
    end)
    teardown(function()
        stop()
        replay.remove(folder)
    end)

    it("beside a window of a source that holds when all is idle is told what that window waits for", function()
        becomes("windows", function(r) return r.idle end)
        assert.truthy(rule("windows").waits_for:find('holds its event time then (on_all_idle = "hold")', 1, true), rule("windows").waits_for)
    end)

    it("stays quarantined over a restart, in words, until its text changes", function()
        stop()
        start()
        engine:expect('rule "bad" %(.*r%.lua:1%): it, or a rule that it reads, overran its budget before; it stays quarantined', 20)
        send(4)
        becomes("bad", function(r) return r.counters.skipped == 1 end)
        assert.is_true(rule("bad").quarantined)
        assert.truthy(rule("bad").last_error:find("overran", 1, true))
        put(6)
        becomes("bad", function(r) return not r.quarantined end)
        send(5)
        becomes("bad", function(r) return r.counters.emitted == 1 end)
        assert(process.eventually(20, function() return count() == 3 end, 0.5))
        assert.truthy(rule("bad").last_error == replay.null or not rule("bad").last_error:find("overran", 1, true))
    end)
end)
