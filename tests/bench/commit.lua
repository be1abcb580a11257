-- Section g: what exactly once costs, and how long a task stands still when another process takes it over.

package.path = "./?.lua;" .. package.path
local bench = require "tests.bench.bench"
local client = require "tests.support.kafka_client"
local process = require "tests.support.process"

-- `luajit tests/bench/commit.lua BROKERS TOPIC N KEYS FIRST` writes N small records for keys in turn, in a process of its own.
if arg and arg[0] and arg[0]:find "commit%.lua$" then
    local brokers, topic, n, keys, first = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])
    local producer = client.producer(brokers, { ["linger.ms"] = 50, ["batch.size"] = 1000000, ["compression.type"] = "lz4" })
    for i = first, first + n - 1 do
        -- Large strides: a commit's keys lie anywhere, as keys do.
        producer:send { topic = topic, partition = i % 3, timestamp = 1659426822000, value = ('{"key":"customer-%d","n":%d}'):format(i * 7919 % keys, i) }
    end
    producer:flush(300)
    producer:close()
    return
end

local live = require "tests.bench.live"
local entries, updates = bench.number("ENTRIES", 1000000), bench.number("UPDATES", 5)
local orders = bench.number("KAFKA_ORDERS", 400000)

-- ---- throughput ----

local function throughput()
    live.fill("commit-orders", orders, "lz4")
    local serial = 0
    local function with(delivery)
        return function()
            serial = serial + 1
            return live.run(("commit-%d-"):format(serial), "commit-orders", orders, { delivery = delivery })
        end
    end
    local results = bench.interleaved { ["1 at least once"] = with "at_least_once", ["2 exactly once"] = with "exactly_once" }
    for name, list in pairs(results) do
        local of = name == "2 exactly once" and ("%.2f of it"):format(bench.median_of(list, "rate") / bench.median_of(results["1 at least once"], "rate"))
        bench.row("g", name:sub(3) .. ", writing, 100 ms commits", ("%.0f orders/s, %.2f CPU s per million"):format(bench.median_of(list, "rate"),
            bench.median_of(list, "cpu") / orders * 1e6), of or nil, of and ">= 0.85")
    end
end

-- ---- restoring ----

local RULES = [[
rule "per_key" { from = "events", window = tumble "1h", group_by = { "key" }, aggregate = { n = count(), total = sum("n") } }
]]
local CONFIG = [[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "restore", ["session.timeout.ms"] = "6000", ["heartbeat.interval.ms"] = "500" }
source "events" { topic = "events", metadata = { at = "timestamp" }, event_time = "at", idle_after = "1d" }
rules "rules"
topics { partitions = 3, replication = 1 }
max_state "8GB"
]]

local config

local function start(name)
    return process.spawn { bench.binary, "run", "-c", config, stdout = bench.folder .. "/run.out", stderr = ("%s/restore-%s.err"):format(bench.folder, name) }
end

local function said(name, pattern, seconds)
    return process.eventually(seconds, function() return (bench.read(("%s/restore-%s.err"):format(bench.folder, name)) or ""):match(pattern) end, 0.02)
        or error(("process %s never said %q:\n%s"):format(name, pattern, bench.read(("%s/restore-%s.err"):format(bench.folder, name))), 0)
end

local function write(n, first)
    bench.run { "luajit", "tests/bench/commit.lua", live.broker(), "events", n, entries, first }
end

local function read_to(n)
    assert(process.eventually(300, function()
        local sum = 0
        for _, offset in pairs(client.committed(live.broker(), "restore", "events")) do sum = sum + math.max(0, offset) end
        return sum >= n
    end, 0.3), "the input was not read in time")
end

-- Records in the changelog, as a restore reads them, once the broker has cleaned what it will.
local function settled()
    local last, since = nil, process.now()
    process.eventually(60, function()
        local size = bench.folder_size(live.log_folder() .. "/restore-changelog-0")
        if size ~= last then last, since = size, process.now() end
        return process.now() - since > 8
    end, 0.5)
    return last
end

-- Starts a process that finds all of the state in the changelog: { ms, records }, medians over RUNS.
local function restore(what, target)
    local list = {}
    for i = 1, bench.runs do
        local name = "cold" .. i
        local child = start(name)
        said(name, "restored %d+ entries", 120)
        local count, records, ms = bench.read(("%s/restore-%s.err"):format(bench.folder, name)):match "restored (%d+) entries of state from (%d+) records in (%d+) ms"
        -- Beside the groups, a rule with windows keeps an entry of its own.
        assert(tonumber(count) == entries + 1, count .. " entries")
        list[i] = { ms = tonumber(ms), records = tonumber(records), peak = child:usage().peak }
        child:signal "KILL"
        bench.finish(child)
        process.sleep(6.5)   -- until the group has noticed
    end
    bench.row("g", what, ("%.1f s, %.1f M records, %.0f MB"):format(bench.median_of(list, "ms") / 1000, bench.median_of(list, "records") / 1e6,
        bench.median_of(list, "peak") / 1048576), "", target)
end

local function take_over()
    local owner = start "owner"
    said("owner", "restored %d+ entries", 120)
    local standby = start "standby"
    said("standby", "standing by", 60)
    process.sleep(8)   -- reads along meanwhile
    owner:signal "TERM"
    local left = process.now()
    bench.finish(owner)
    said("standby", "restored %d+ entries", 120)
    local took = process.now() - left
    local records, ms = bench.read(bench.folder .. "/restore-standby.err"):match "from (%d+) records in (%d+) ms"
    bench.row("g", "a standby takes over, SIGTERM to state restored", ("%.2f s, of that %.3f s for %s records"):format(took, tonumber(ms) / 1000, records))
    standby:signal "KILL"
    bench.finish(standby)
    process.sleep(6.5)
end

local function restoring()
    config = bench.deployment("restore", CONFIG:format(live.broker()), RULES)
    live.topic("events")
    local child = start "first"
    write(entries, 0)
    read_to(entries)
    child:signal "TERM"
    bench.finish(child)
    restore(("restore of %.0f live entries, written once"):format(entries), "< 4 s")
    child = start "more"
    for i = 1, updates do write(entries, i * entries) end
    read_to(entries * (updates + 1))
    child:signal "TERM"
    bench.finish(child)
    local bytes = settled()
    restore(("the same after %.0f changes more, %.0f MB of changelog"):format(entries * updates, bytes / 1048576), "< 4 s")
    take_over()
end

local ok, message = pcall(function()
    throughput()
    restoring()
end)
live.stop()
if not ok then error(message, 0) end
