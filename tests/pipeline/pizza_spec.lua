-- The shipped pizza rules over 100,000 generated orders (3 partitions, 3 s of disorder, 0.5 % late, 0.2 % bad), held
-- against tests/support/pizza_reference.py. SEED picks other orders, ORDERS another number of them.

local replay = require "tests.support.replay"

local seed = os.getenv("SEED") or "1"
local orders = os.getenv("ORDERS") or "100000"
local quote, root = replay.quote, replay.root

local config = [[
source "pizzas" {
  topic      = "pizzas",
  metadata   = { orderTimestamp = "timestamp" },
  event_time = "orderTimestamp",
  watermark  = "5s",
}
rules ("]] .. root .. [[/rules/pizza.lua")
]]

-- Columns of each topic's value and key; anything more or less in a record is a difference.
local shape = {
    ["pizza_stream_out_filter"] = { { "id", "name", "topping", "orderTimestamp" }, { "shop" } },
    ["pizza_stream_out_agg"] = { { "id", "name", "orderTimestamp", "nr_bad_items", "toppings" }, { "id" } },
    ["pizza_stream_out_agg_windows"] = {
        { "topping", "window_start", "window_end", "window_time", "nr_orders" }, { "topping", "window_start", "window_end" } },
    ["pizza_stream_out_trends"] = { { "topping", "trend_detail", "trend_start" }, { "topping", "trend_start" } },
}

local function part(parts, object, columns)
    local named = 0
    for _ in pairs(object) do named = named + 1 end
    if named ~= #columns then parts[#parts + 1] = "columns: " .. replay.canonical(object) end
    for _, column in ipairs(columns) do
        local v = object[column]
        parts[#parts + 1] = type(v) == "number" and ("%.17g"):format(v) or tostring(v)
    end
end

local function text_of(topic, ts, key, value)
    local columns = shape[topic]
    if not columns then return "unexpected topic " .. tostring(topic) end
    local parts = { topic, ("%d"):format(ts) }
    part(parts, key, columns[2])
    part(parts, value, columns[1])
    return table.concat(parts, "\t")
end

local function emitted(path)
    local next_line = io.lines(path)
    return function()
        local line = next_line()
        if not line then return nil end
        local r = assert(replay.decode(line), line)
        if r.topic == "pizzas.dead-letters" then return "dead\t" .. tostring(r.payload), r.topic end
        return text_of(r.topic, r.ts, replay.decode(r.key), replay.decode(r.payload)), r.topic
    end
end

local function expected(path, counts)
    local next_line = io.lines(path)
    return function()
        local line = next_line()
        local r = line and replay.decode(line)
        if not r then return nil end
        if r.counts then
            for name, n in pairs(r.counts) do counts[name] = n end
            return nil
        end
        if r.raw then return "dead\t" .. r.raw, r.topic end
        return text_of(r.topic, r.ts, r.key, r.value), r.topic
    end
end

local function difference(folder, counts)
    local balance, topics = {}, {}
    for text, topic in expected(folder .. "/expected.jsonl", counts) do
        balance[text] = (balance[text] or 0) - 1
        topics[topic] = (topics[topic] or 0) + 1
    end
    for text, topic in emitted(folder .. "/output.jsonl") do
        balance[text] = (balance[text] or 0) + 1
        if balance[text] == 0 then balance[text] = nil end
        topics[topic] = (topics[topic] or 0)
    end
    local found = {}
    for text, n in pairs(balance) do
        if n ~= 0 then found[#found + 1] = ("%+d  %s"):format(n, text) end
    end
    table.sort(found)
    return found, topics
end

describe("the pizza rules over " .. orders .. " generated orders, seed " .. seed, function()
    local folder, stats, counts, found, topics

    setup(function()
        folder = replay.folder()
        counts = {}
        replay.write(folder .. "/ananas.lua", config)
        local made = replay.shell(folder, ("python3 %s/tests/support/orders.py %s %s > input.jsonl"):format(
            quote(root), orders, seed))
        assert(made.status == 0, made.stderr)
        local ran = replay.shell(folder, ("python3 %s/tests/support/pizza_reference.py input.jsonl expected.jsonl & " ..
            "%s replay --input input.jsonl --output output.jsonl --stats stats.json; s=$?; wait; exit $s"):format(
            quote(root), quote(replay.binary)))
        assert(ran.status == 0, ran.stderr)
        stats = replay.decode(replay.read(folder .. "/stats.json"))
        found, topics = difference(folder, counts)
    end)

    teardown(function() replay.remove(folder) end)

    it("give the same multiset of records per topic as the reference", function()
        assert.equal(0, #found, #found .. " differences (- missing, + too many):\n" ..
            table.concat(found, "\n", 1, math.min(#found, 20)))
        for _, topic in ipairs { "pizza_stream_out_filter", "pizza_stream_out_agg", "pizza_stream_out_agg_windows",
            "pizza_stream_out_trends", "pizzas.dead-letters" } do
            assert.is_true((topics[topic] or 0) > 0, "the data does not exercise " .. topic)
        end
    end)

    it("count the same records, bad ones and late rows as the reference", function()
        assert.is_true(counts["late for 5 s"] > 0 and counts.bad > 0)
        assert.equal(counts.records, stats.records_in)
        assert.equal(counts.bad, stats.bad_records)
        assert.equal(counts["late for 5 s"], stats.rules.topping_rush.late)
        assert.equal(counts["late for 1 s"], stats.rules.topping_counts.late)
        assert.equal(0, stats.rules.bad_toppings.late)
        assert.equal(0, stats.rules.topping_trend.late)
    end)

    it("count per rule what went in and what came out", function()
        assert.equal(counts.rows, stats.rules.bad_toppings.emitted)
        assert.equal(counts.rows, stats.rules.topping_rush.rows_in)
        assert.equal(counts.pizza_stream_out_agg, stats.rules.too_many_bad_toppings.emitted)
        assert.equal(counts.pizza_stream_out_agg_windows, stats.rules.topping_rush.emitted)
        assert.equal(counts.pizza_stream_out_trends, stats.rules.topping_trend.emitted)
        for name, rule in pairs(stats.rules) do
            assert.equal(0, rule.errors, name)
            assert.equal(false, rule.quarantined, name)
        end
    end)
end)

describe("the same orders", function()
    local folder, status = nil, {}

    local function run(name, environment, input, output)
        local ran = replay.shell(folder, ("%s | env %s %s replay --input %s --output %s"):format(
            input or ":", environment, quote(replay.binary), input and "-" or "input.jsonl", output or name))
        status[name] = ran.status .. ran.stderr
        return replay.read(folder .. "/" .. name)
    end

    setup(function()
        folder = replay.folder()
        replay.write(folder .. "/ananas.lua", config)
        replay.shell(folder, ([[echo '{"topic":"pizzas","partitions":3}' > input.jsonl; python3 %s/tests/support/orders.py 20000 %s >> input.jsonl]])
            :format(quote(root), seed))
    end)

    teardown(function() replay.remove(folder) end)

    it("give byte-identical output whatever the batch size", function()
        local whole = run("default", "A=1")
        assert.is_true(whole ~= nil and #whole > 1000000, status.default)
        for _, size in ipairs { 1, 7, 1024 } do
            assert.is_true(whole == run("batch" .. size, "ANANAS_BATCH=" .. size), "batch size " .. size)
        end
    end)

    it("give byte-identical output when they trickle through a pipe", function()
        local whole = run("default2", "A=1")
        assert.is_true(whole ~= nil and #whole > 1000000, status.default2)
        local trickled = run("trickled", "A=1", "python3 -u " .. quote(root) .. "/tests/support/trickle.py input.jsonl")
        assert.is_true(whole == trickled, status.trickled)
    end)

    it("give the same output from gzip and zstd, recognised by their first bytes", function()
        local whole = run("default3", "A=1")
        assert.is_true(whole ~= nil and #whole > 1000000, status.default3)
        replay.shell(folder, "gzip -1 -k input.jsonl; (zstd -q -1 input.jsonl || true)")
        for _, kind in ipairs { "gz", "zst" } do
            if replay.read(folder .. "/input.jsonl." .. kind) then
                local ran = replay.shell(folder, ("%s replay --input input.jsonl.%s --output out.%s"):format(
                    quote(replay.binary), kind, kind))
                assert.equal(0, ran.status, ran.stderr)
                assert.is_true(whole == replay.read(folder .. "/out." .. kind), kind)
            end
        end
    end)
end)
