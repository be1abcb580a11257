-- Section d: the naive way, lua-cjson and plain Lua per order, over the same orders. Both must find the same anomalies.

local bench = require "tests.bench.bench"
local inputs = require "tests.bench.inputs"

local n = bench.number("ORDERS", 1000000) -- those of section a: of few orders the start of both programs is a good part
local path, config = inputs.orders(n), inputs.pizza_deployment "naive"
local results = bench.interleaved {
    ananas = function() return bench.replay(config, "pizzas", path) end,
    naive = function()
        local used = bench.run { "luajit", "tests/bench/naive.lua", path }
        used.emitted = bench.json(used.out).emitted
        return used
    end,
}
for rule, count in pairs(results.naive[1].emitted) do
    local ours = results.ananas[1].stats.rules[rule].emitted
    assert(ours == count, ("%s: %d here, %d the naive way"):format(rule, ours, count))
end
local ours, naive = bench.median_of(results.ananas, "wall"), bench.median_of(results.naive, "wall")
local cpu, naive_cpu = bench.median_of(results.ananas, "cpu"), bench.median_of(results.naive, "cpu")
bench.row("d", "replay, all rules, shadow", ("%.0f orders/s, %.0f ns of CPU each"):format(n / ours, cpu / n * 1e9))
bench.row("d", "lua-cjson + Lua per order, same anomalies", ("%.0f orders/s, %.0f ns of CPU each"):format(n / naive, naive_cpu / n * 1e9),
    ("%.1f times it, %.1f by CPU"):format(naive / ours, naive_cpu / cpu), ">= 12")
