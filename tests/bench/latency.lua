-- Section e: how long an anomaly takes at a steady rate, how soon the first one comes after a start, and what waiting costs.

local bench = require "tests.bench.bench"
local client = require "tests.support.kafka_client"
local inputs = require "tests.bench.inputs"
local live = require "tests.bench.live"
local process = require "tests.support.process"

local seconds = bench.number("SECONDS", 10)
local path = inputs.orders(100000)
local latency = live.program "latency"

local function committed(group, topic)
    local sum = 0
    for _, offset in pairs(client.committed(live.broker(), group, topic)) do sum = sum + math.max(0, offset) end
    return sum
end

-- The broker says when it appended an order: what waits in the generator before is not in the latency.
local function input(topic)
    live.topic(topic, 3, { ["message.timestamp.type"] = "LogAppendTime" })
    live.fill(topic, 1000, "none")
end

-- What the tools and the broker take by themselves: the consumer reads the very topic that the orders go to.
local function floor(rate)
    local topic = ("latency-floor-%d"):format(rate)
    input(topic)
    local said = bench.json(bench.run({ latency, live.broker(), topic, topic, path, rate, seconds }).out)
    bench.row("e", ("without Ananas, %.0f orders/s: p50, p99, p99.9"):format(said.rate), ("%.1f, %.1f, %.1f ms"):format(said.p50, said.p99, said.p999),
        ("of %d"):format(said.anomalies))
end

local serial = 0
local function watch(delivery, rate)
    serial = serial + 1
    local prefix = ("latency-%s-%d-%d-"):format(delivery, rate, serial)
    local topic, output = prefix .. "in", prefix .. "pizza_stream_out_filter"
    input(topic)
    live.topic(output)
    local child = live.start(live.deployment(prefix, topic, { delivery = delivery }))
    assert(process.eventually(30, function() return committed(prefix, topic) >= 1000 end, 0.2), "run did not begin")
    local said = bench.json(bench.run({ latency, live.broker(), topic, output, path, rate, seconds }).out)
    child:signal "TERM"
    return said, bench.finish(child)
end

-- A broker that has just started compiles its own code for minutes, and answers ten times later meanwhile: runs do not count
-- until one is hardly faster than the one before.
local MOST_WARM_UPS = 6
local function warm_up(rate)
    local before = math.huge
    for _ = 1, MOST_WARM_UPS do
        local p50 = watch("at_least_once", rate).p50
        watch("exactly_once", rate)
        if p50 > 0.9 * before then return end
        before = p50
    end
end

local function at_rate(delivery, rate, target)
    local said, used = watch(delivery, rate)
    bench.row("e", ("%s, %.0f orders/s: p50, p99, p99.9"):format(delivery:gsub("_", " "), said.rate),
        ("%.1f, %.1f, %.1f ms"):format(said.p50, said.p99, said.p999), ("of %d, %.0f MB"):format(said.anomalies, used.peak / 1048576), target)
end

local function start_and_idle()
    live.fill("idle-in", 1000, "none")
    local firsts = {}
    for i = 1, bench.runs do firsts[i] = live.run(("start-%d-"):format(i), "idle-in", 1000, { shadow = true }) end
    bench.row("e", "start of the process to its first commit", ("%.2f s"):format(bench.median_of(firsts, "first")))
    local child = live.start(live.deployment("idle-", "idle-in", {}))
    assert(process.eventually(30, function() return committed("idle-", "idle-in") >= 1000 end, 0.2), "run did not begin")
    process.sleep(7)
    local before = child:usage()
    process.sleep(10)
    local after = child:usage()
    child:signal "TERM"
    bench.finish(child)
    bench.row("e", "idle: resident memory", ("%.1f MB"):format(after.rss / 1048576), "", "<= 16 MB")
    bench.row("e", "idle: processor", ("%.2f %% of a core"):format((after.cpu - before.cpu) * 10), "", "<= 0.5 %")
end

local ok, message = pcall(function()
    start_and_idle()
    local rates = {}
    for rate in (os.getenv "RATE" or "5000 20000 50000"):gmatch "%d+" do rates[#rates + 1] = tonumber(rate) end
    warm_up(math.max(unpack(rates)))
    for _, rate in ipairs(rates) do
        floor(rate)
        at_rate("at_least_once", rate, "p99 <= 15 ms")
        at_rate("exactly_once", rate, "p99 <= 150 ms")
    end
end)
live.stop()
if not ok then error(message, 0) end
