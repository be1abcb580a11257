-- Section a: everything but the pipe. `replay --raw` with all rules in shadow mode, against simdjson taking out of the same
-- bytes what those rules read: by rate, since a replay uses two threads, and by CPU seconds. Replay's are those of the whole
-- process, reading the file, loading the rules and writing statistics included; the parser's clocks run over bytes in memory and
-- stop at its last line.

local bench = require "tests.bench.bench"
local inputs = require "tests.bench.inputs"
local shapes = require "tests.bench.shapes"

local extract = bench.program("simdjson_extract.cpp", "g++ -O3 -march=native -std=c++17 -Wall -Wextra", "-lsimdjson")

local function measure(name, config, source, path, n, target)
    local results = bench.interleaved {
        ananas = function() return bench.replay(config, source, path) end,
        simdjson = function() return bench.json(bench.run({ extract, name, path }).out) end,
    }
    local ours, theirs = bench.median_of(results.ananas, "wall"), bench.median_of(results.simdjson, "seconds")
    local cpu, parser_cpu = bench.median_of(results.ananas, "cpu"), bench.median_of(results.simdjson, "cpu")
    local stats = results.ananas[1].stats
    assert(stats.records_in == n and stats.bad_records == 0, "not every record was read")
    local function figure(seconds, used) return ("%.0f records/s, %.0f ns of CPU each"):format(n / seconds, used / n * 1e9) end
    bench.row("a", name .. ": replay, all rules, shadow", figure(ours, cpu))
    bench.row("a", name .. ": simdjson On-Demand extraction alone", figure(theirs, parser_cpu),
        ("%.2f of it, %.2f by CPU"):format(theirs / ours, parser_cpu / cpu), target)
    bench.row("a", name .. ": peak memory of replay", ("%.1f MB"):format(bench.median_of(results.ananas, "peak") / 1048576))
end

local n = bench.number("ORDERS", 1000000)
measure("orders", inputs.pizza_deployment "replay", "pizzas", inputs.orders(n), n, ">= 1.3")

local m = math.floor(n / 2)
for _, name in ipairs(shapes.names) do
    measure(name, bench.deployment("replay-" .. name, shapes.config[name], shapes.rules[name]), name, inputs.shape(name, m), m)
end
