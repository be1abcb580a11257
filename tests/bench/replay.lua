-- Section a: everything but the pipe. `replay --raw` with all rules in shadow mode, against simdjson taking out of the same
-- bytes what those rules read. Both by CPU seconds of the whole process (replay's include reading the file, loading the rules
-- and writing statistics; the parser's clock runs over bytes in memory and stops at its last line).

local bench = require "tests.bench.bench"
local inputs = require "tests.bench.inputs"
local shapes = require "tests.bench.shapes"

local extract = bench.program("simdjson_extract.cpp", "g++ -O3 -march=native -std=c++17 -Wall -Wextra", "-lsimdjson")

local function measure(name, config, source, path, n, target)
    local results = bench.interleaved {
        ananas = function() return bench.replay(config, source, path) end,
        simdjson = function() return bench.json(bench.run({ extract, name, path }).out) end,
    }
    local ours, theirs = bench.median_of(results.ananas, "cpu"), bench.median_of(results.simdjson, "cpu")
    local stats = results.ananas[1].stats
    assert(stats.records_in == n and stats.bad_records == 0, "not every record was read")
    bench.row("a", name .. ": replay, all rules, shadow", ("%.0f records/s a core, %.0f ns each"):format(n / ours, ours / n * 1e9))
    bench.row("a", name .. ": simdjson On-Demand extraction alone", ("%.0f records/s a core, %.0f ns each"):format(n / theirs, theirs / n * 1e9),
        ("%.2f of it"):format(theirs / ours), target)
    bench.row("a", name .. ": peak memory of replay", ("%.1f MB"):format(bench.median_of(results.ananas, "peak") / 1048576))
end

local n = bench.number("ORDERS", 1000000)
measure("orders", inputs.pizza_deployment "replay", "pizzas", inputs.orders(n), n, ">= 1.3")

local m = math.floor(n / 2)
for _, name in ipairs(shapes.names) do
    measure(name, bench.deployment("replay-" .. name, shapes.config[name], shapes.rules[name]), name, inputs.shape(name, m), m)
end
