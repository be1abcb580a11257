-- The broker of the bench, topics with orders in them, and `ananas run` watched from outside.

package.path = "./?.lua;" .. package.path
local bench = require "tests.bench.bench"
local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"

local live = { OUTPUTS = { "pizza_stream_out_filter", "pizza_stream_out_agg", "pizza_stream_out_agg_windows", "pizza_stream_out_trends" } }

local CC = "gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra"

function live.program(name) return bench.program(name .. ".c", CC, "-lrdkafka", "-lpthread") end

-- With the usual heap the broker stands still for 50 to 100 ms every few seconds, or every second where the collector does it
-- in pieces (G1), and that would be what latencies show. Kafka's manual has 6 GB. Each stop copied the log cleaner's buffer of
-- 128 MB, which is as young as all else until it has been copied fifteen times: what is that large begins among what is old.
local SELDOM_SWEPT = { "-Xms4g", "-Xmx4g", "-Xmn3g", "-XX:PretenureSizeThreshold=4m" }

local broker
function live.broker()
    broker = broker or kafka.start { fast = true, java = SELDOM_SWEPT, settings = { ["log.retention.hours"] = "-1",
        -- The cleaner as a broker has it by itself; what it leaves is part of section g.
        ["log.cleaner.dedupe.buffer.size"] = "134217728", ["log.cleaner.backoff.ms"] = "1000", ["log.initial.task.delay.ms"] = "1000" } }
    return broker.bootstrap
end

function live.log_folder() return broker.folder .. "/log" end

function live.stop()
    if broker then broker:stop() end
    broker = nil
end

function live.topic(name, partitions, config)
    client.create_topics(live.broker(), { { name = name, partitions = partitions or 3, config = config } })
end

function live.remove(name) client.delete_topics(live.broker(), { name }) end

-- n orders in a topic, compressed as the producer says; made by a process of its own, for memory's sake.
function live.fill(name, n, codec, partitions)
    live.topic(name, partitions)
    bench.run { "luajit", "tests/bench/live.lua", live.broker(), name, n, codec, partitions or 3 }
end

-- Names of the output topics begin with `prefix`, which is the group's name as well.
function live.deployment(prefix, topic, o)
    local rules = bench.pizza_rules(o.shadow):gsub('"pizza_stream_out', '"' .. prefix .. "pizza_stream_out")
    return bench.deployment(prefix, ([[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s" }
source "pizzas" { topic = "%s", metadata = { orderTimestamp = "timestamp" }, event_time = "orderTimestamp", watermark = "5s", idle_after = "5s" }
rules "rules"
topics { partitions = 3, replication = 1 }
commit_interval "100ms"
delivery "%s"
%s
]]):format(live.broker(), prefix, topic, o.delivery or "at_least_once", o.settings or ""), rules)
end

function live.start(config)
    return process.spawn { bench.binary, "run", "-c", config, "--log-level", "warn", stdout = bench.folder .. "/run.out", stderr = bench.folder .. "/run.err" }
end

-- Runs until the group has committed n records, then ends it: { rate, first, cpu, peak }. The rate is taken between the first
-- committed position and the last before the end (where there are none between, over all). o.settings: more configuration;
-- o.beside: gives the command that runs meanwhile, for the process's number; what it wrote is in `beside`.
function live.run(prefix, topic, n, o)
    local child = live.start(live.deployment(prefix, topic, o))
    local beside = o.beside and o.beside(child.pid)
    if beside then
        beside.stdout = bench.folder .. "/beside.out"
        beside = process.spawn(beside)
    end
    local ok, seen = pcall(bench.run, { live.program "progress", live.broker(), prefix, topic, n })
    child:signal "TERM"
    local used = bench.finish(child)
    if beside then beside:stop() end
    used.beside = beside and bench.read(bench.folder .. "/beside.out")
    if not ok then error(("run did not get through %s: %s\n%s"):format(topic, seen, bench.read(bench.folder .. "/run.err")), 0) end
    local points = bench.json(seen.out).points
    local first, last = points[1], points[#points - 1]
    if #points < 3 then first, last = { 0, 0 }, points[#points] end
    used.rate, used.first = (last[2] - first[2]) / (last[1] - first[1]), points[1][1]
    return used
end

if arg and arg[0] and arg[0]:find "live%.lua$" then
    require("tests.support.orders").produce(arg[1], { n = tonumber(arg[3]), topic = arg[2], partitions = tonumber(arg[5]) },
        { ["compression.type"] = arg[4], ["linger.ms"] = 20, ["batch.size"] = 1000000 })
    return
end
return live
