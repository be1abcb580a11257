-- Section f: how cost grows with rules, partitions, keys and record sizes; one table and build/bench/growth.svg.

local bench = require "tests.bench.bench"
local inputs = require "tests.bench.inputs"
local plot = require "tests.bench.plot"

local n = math.floor(bench.number("GROWTH_ORDERS", 100000))
local runs = math.min(bench.runs, 3)
local curves = {}

-- CPU microseconds per record beyond those of a run over nothing (starting and loading the rules), the peak memory, and the
-- CPU milliseconds of that run over nothing; medians.
local function cost(config, source, path, records)
    local full, none = {}, {}
    for i = 1, runs do
        full[i] = bench.replay(config, source, path)
        none[i] = bench.replay(config, source, "/dev/null")
    end
    local stats = full[1].stats
    assert(stats.records_in == records, "not every record was read")
    for name, rule in pairs(stats.rules) do assert(rule.limits == 0, name .. " refused groups: max_state is too small") end
    local start = bench.median_of(none, "cpu")
    return (bench.median_of(full, "cpu") - start) / records * 1e6, bench.median_of(full, "peak") / 1048576, start * 1e3
end

local function curve(title, unit, points)
    local line = { title = title, unit = unit }
    for _, point in ipairs(points) do
        local per, peak, start = point.measure()
        line[#line + 1] = { x = point.x, y = per }
        bench.row("f", ("%s: %s %s"):format(title, point.x, unit), ("%.2f us/record, %.1f MB, start %.0f ms"):format(per, peak, start),
            ("%.2f of the first"):format(per / line[1].y), point.target)
    end
    curves[#curves + 1] = line
end

local PIZZAS = [[
source "pizzas" { topic = "pizzas", metadata = { orderTimestamp = "timestamp" }, event_time = "timestamp", watermark = "5s" }
rules "rules"
]]

-- Copies that differ in `having` alone and write nothing, each with the whole prefix.
local function copies(count)
    local rules = { 'local bad = set { "🍍 pineapple", "🍓 strawberry", "🍌 banana" }' }
    for i = 1, count do
        rules[#rules + 1] = ([[
rule "rush_%d" { from = "pizzas", unnest = "pizzas[].additionalToppings[] as topping", where = function(r) return bad[r.topping] end,
  window = tumble "5s", group_by = { "topping" }, aggregate = { n = count() }, having = function(w) return w.n > %d end }]]):format(i, i)
    end
    return table.concat(rules, "\n")
end

-- The same, reading one rule that has the prefix.
local function readers(count)
    local rules = { [[
local bad = set { "🍍 pineapple", "🍓 strawberry", "🍌 banana" }
rule "bad" { from = "pizzas", unnest = "pizzas[].additionalToppings[] as topping", where = function(r) return bad[r.topping] end }]] }
    for i = 1, count do
        rules[#rules + 1] = ([[
rule "rush_%d" { from = "bad", window = tumble "5s", group_by = { "topping" }, aggregate = { n = count() }, having = function(w) return w.n > %d end }]])
            :format(i, i)
    end
    return table.concat(rules, "\n")
end

local function rule_points(make)
    local points = {}
    for _, count in ipairs { 1, 10, 100, 1000 } do
        points[#points + 1] = { x = count, target = count == 100 and "<= 3" or nil, measure = function()
            return cost(bench.deployment("rules", PIZZAS, make(count)), "pizzas", inputs.orders(n), n)
        end }
    end
    return points
end
curve("copies of a rule", "rules", rule_points(copies))
curve("rules reading one", "rules", rule_points(readers))

local partitions = {}
for _, count in ipairs { 1, 4, 16, 64 } do
    partitions[#partitions + 1] = { x = count, measure = function()
        return cost(inputs.pizza_deployment "partitions", nil, inputs.shape("envelopes", n, count), n)
    end }
end
curve("pizza rules, kcat lines", "partitions", partitions)

local KEYED = 'source "s" { topic = "s", event_time = "ts", watermark = "1s" }\nrules "rules"\nmax_state "8GB"\n'
local SUMS = [[
rule "sums" { from = "s", window = tumble "24h", group_by = { "k" }, aggregate = { n = count(), total = sum("v") },
  having = function(g) return g.n > 1e9 end, to = "out", mode = "shadow" }
]]
local keys = {}
for _, count in ipairs { 10, 1000, 100000, 1000000, 10000000 } do
    local m = math.max(n * 10, count)
    keys[#keys + 1] = { x = count, measure = function()
        return cost(bench.deployment("keys", KEYED, SUMS), "s", inputs.shape("each_key", m, count), m)
    end }
end
curve("one window, sums by key", "keys", keys)

local sizes = {}
for _, bytes in ipairs { 100, 1000, 10000, 100000 } do
    local m = math.max(1000, math.min(n, math.floor(2e8 / bytes)))
    sizes[#sizes + 1] = { x = bytes, measure = function()
        return cost(bench.deployment("sizes", KEYED, SUMS), "s", inputs.shape("sizes", m, bytes), m)
    end }
end
curve("record size, sums by key", "bytes", sizes)

-- A row belongs to ever more windows.
local overlaps = {}
for _, count in ipairs { 1, 10, 60 } do
    overlaps[#overlaps + 1] = { x = count, measure = function()
        return cost(bench.deployment("overlaps", PIZZAS, ([[
rule "counts" { from = "pizzas", unnest = "pizzas[].additionalToppings[] as topping", window = hop { size = "60s", slide = "%ds" },
  group_by = { "topping" }, aggregate = { n = count() }, having = function(w) return w.n > 1e9 end }]]):format(60 / count)), "pizzas", inputs.orders(n), n)
    end }
end
curve("counts in windows that overlap", "windows a row", overlaps)

-- Values that arrays hold, from a handful to hardly ever the same one twice.
local VALUES = [[
rule "values" { from = "s", unnest = "list[] as value", where = function(r) return r.value ~= "value-1" end, window = tumble "1s",
  group_by = { "value" }, aggregate = { n = count() }, having = function(g) return g.n > 1e9 end }
]]
local values = {}
for _, count in ipairs { 10, 1000, 100000, 10000000 } do
    values[#values + 1] = { x = count, measure = function()
        return cost(bench.deployment("values", KEYED, VALUES), "s", inputs.shape("values", n, count), n)
    end }
end
curve("unnested values, counts by value", "different values", values)

plot.write(bench.folder .. "/growth.svg", curves, "CPU microseconds per record")
