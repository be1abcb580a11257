-- Section c: the four jobs of rules/pizza.lua in Apache Flink SQL (flink/pizza.sql) and in Ananas, over one topic, one after
-- the other: orders a second, CPU seconds, memory, start to the first result. And a differential test: what Flink wrote must
-- be what Ananas wrote. `luajit tests/bench/flink.lua BROKER PREFIX` prints the digests of the output topics.

package.path = "./?.lua;" .. package.path
local bit = require "bit"
local ffi = require "ffi"
local bench = require "tests.bench.bench"
local client = require "tests.support.kafka_client"
local live = require "tests.bench.live"
local orders = require "tests.support.orders"
local process = require "tests.support.process"

local n = bench.number("FLINK_ORDERS", 1000000)
local heap = os.getenv "FLINK_HEAP" or "1g"
local parallelism = bench.number("FLINK_PARALLELISM", 1)
local HOUR, CLOSING = 3600000, [[{"id":-1,"name":"closing","pizzas":[]}]]

-- ---- what came out ----

-- Columns of the output topics; of those with a key the last record of each key counts, as after compaction.
local columns = {
    pizza_stream_out_filter = { "id", "name", "topping", "orderTimestamp" },
    pizza_stream_out_agg = { "id", "name", "orderTimestamp", "nr_bad_items", "toppings", key = "id" },
    pizza_stream_out_agg_windows = { "topping", "window_start", "window_end", "window_time", "nr_orders" },
    pizza_stream_out_trends = { "topping", "trend_detail", "trend_start" },
}

-- One spelling of a time: Flink leaves zeros at the end of a fraction out, and the zone of a window's bounds.
local function canonical(v)
    if type(v) ~= "string" then return tostring(v) end
    local day, time, fraction = v:match "^(%d%d%d%d%-%d%d%-%d%d)[T ](%d%d:%d%d:%d%d)%.?(%d*)Z?$"
    return day and day .. "T" .. time .. "." .. (fraction .. "000"):sub(1, 3) or v
end

local function line_of(names, value)
    local row, parts, count = bench.json(value), {}, 0
    for _ in pairs(row) do count = count + 1 end
    assert(count == #names, "other columns than expected: " .. value)
    for i, name in ipairs(names) do parts[i] = canonical(row[name]) end
    return table.concat(parts, "\t")
end

local function hash_of(text)
    local a, b = 0x811c9dc5, 0
    for i = 1, #text do
        local c = text:byte(i)
        a = bit.bxor(a, c)
        a = bit.tobit(bit.lshift(a, 24) + a * 403)
        b = bit.tobit(bit.rol(b, 5) + c * 2654435)
    end
    return tonumber(ffi.cast("uint32_t", a)) * 1048576 + bit.band(b, 1048575)
end

-- each(line) for every record that counts, in whatever order.
local function each_line(broker, prefix, topic, each)
    local names = columns[topic]
    local reader = client.reader(broker, { topic = prefix .. topic })
    local last, by_key = process.now(), {}
    while not reader.at_end do
        local record = reader:poll(1)
        if record then
            last = process.now()
            if not names.key then
                each(line_of(names, record.value))
            else -- a tombstone takes the row of its key back
                by_key[bench.json(record.key)[names.key]] = record.value and line_of(names, record.value)
            end
        end
        assert(process.now() - last < 30, "no record of " .. prefix .. topic .. " for 30 seconds")
    end
    reader:close()
    for _, line in pairs(by_key) do each(line) end
end

local function digests(broker, prefix)
    local out = {}
    for _, topic in ipairs(live.OUTPUTS) do
        local count, sum = 0, 0
        each_line(broker, prefix, topic, function(line)
            count, sum = count + 1, (sum + hash_of(line)) % 2 ^ 52   -- stays exact
        end)
        out[#out + 1] = ("%s %d %.0f"):format(topic, count, sum)
    end
    return table.concat(out, "\n") .. "\n"
end

-- Lines that only one side has, as `diff` shows them.
local function differences(broker, topic, ours, theirs)
    local paths = {}
    for i, prefix in ipairs { ours, theirs } do
        paths[i] = ("%s/%s.%d"):format(bench.folder, topic, i)
        local pipe = assert(io.popen("LC_ALL=C sort > " .. paths[i], "w"))
        each_line(broker, prefix, topic, function(line) pipe:write(line, "\n") end)
        pipe:close()
    end
    local pipe = io.popen(("diff %s %s | head -20"):format(paths[1], paths[2]))
    local text = pipe:read "*a"
    pipe:close()
    return text
end

if arg and arg[0] and arg[0]:find "flink%.lua$" then
    io.write(digests(arg[1], arg[2]))
    return
end

-- ---- runs ----

local function running(child)
    local stat = bench.read(("/proc/%d/stat"):format(child.pid))
    return stat ~= nil and stat:match "%) (%a)" ~= "Z"
end

-- Runs start() and says when the topic has its first record: the program, when it was started, and the seconds from then on
-- (NaN: no topic, or it ended before).
local function watch(topic, start)
    local reader = topic and client.reader(live.broker(), { topic = topic })
    local started = process.now()
    local child, first = start(), 0 / 0
    while reader and first ~= first and running(child) do
        if reader:poll(0.02) then first = process.now() - started end
        process.sleep(0.002)
    end
    if reader then reader:close() end
    return child, started, first
end

local function sql(prefix, topic, writing)
    local broker = live.broker()
    local text = assert(bench.read "tests/bench/flink/pizza.sql")
    local producer = "'properties.bootstrap.servers' = '" .. broker .. "', 'properties.linger.ms' = '5', 'properties.batch.size' = '262144'"
    local function sink(name)
        return writing and ("'connector' = 'kafka', 'topic' = '%s%s', %s, 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'"):format(
            prefix, name, producer) or "'connector' = 'blackhole'"
    end
    local function upsert(name)
        return writing and ("'connector' = 'upsert-kafka', 'topic' = '%s%s', %s, 'key.format' = 'json', 'value.format' = 'json', 'value.json.timestamp-format.standard' = 'ISO-8601', " ..
            "'sink.buffer-flush.max-rows' = '1000', 'sink.buffer-flush.interval' = '1s'"):format(
            prefix, name, producer) or "'connector' = 'blackhole'"
    end
    text = text:gsub("@SINK%(([%w_]+)%)", sink):gsub("@UPSERT%(([%w_]+)%)", upsert)
    for name, value in pairs { TOPIC = topic, BROKER = broker, PREFIX = prefix, PARALLELISM = tostring(parallelism) } do
        text = text:gsub("@" .. name, value)
    end
    local path = bench.folder .. "/pizza.sql"
    bench.write(path, text)
    return path
end

local function make_topics(prefix) for _, name in ipairs(live.OUTPUTS) do live.topic(prefix .. name) end end

local function flink(prefix, topic, writing)
    if writing then make_topics(prefix) end
    local path = sql(prefix, topic, writing)
    local child, started, first = watch(writing and prefix .. live.OUTPUTS[1], function()
        return process.spawn { "java", "-Xmx" .. heap, "-Dlog4j.configuration=file:tests/bench/flink/log4j.properties",
            "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
            "-cp", bench.read "build/flink/classpath" .. ":build/flink", "Sql", path,
            stdout = bench.folder .. "/flink.out", stderr = bench.folder .. "/flink.err" }
    end)
    local used = bench.finish(child)
    used.wall, used.first = process.now() - started, first
    if not used.ok then error("Flink failed: " .. bench.read(bench.folder .. "/flink.err"):sub(-4000), 0) end
    return used
end

local function ananas(prefix, topic, writing)
    if writing then make_topics(prefix) end
    local config = live.deployment(prefix, topic, { shadow = not writing })
    local child, started, first = watch(writing and prefix .. live.OUTPUTS[1], function() return live.start(config) end)
    local ok, seen = pcall(bench.run, { live.program "progress", live.broker(), prefix, topic, n + 3 })
    local wall = process.now() - started
    child:signal "TERM"
    local used = bench.finish(child)
    used.wall, used.first = wall, first
    if not ok then error(("run did not get through: %s\n%s"):format(seen, bench.read(bench.folder .. "/run.err")), 0) end
    return used
end

-- ---- the section ----

-- The topic, with an empty order an hour later in each partition, so that every window closes for both.
local function fill(topic)
    live.fill(topic, n, "none")
    local producer = client.producer(live.broker())
    for partition = 0, 2 do
        producer:send { topic = topic, partition = partition, key = "{}", value = CLOSING, timestamp = orders.START + n + HOUR }
    end
    producer:flush(30)
    producer:close()
end

local function row(what, results, ratio, target)
    local first = bench.median_of(results, "first")
    bench.row("c", what, ("%.0f orders/s, %.1f CPU s per million, %.0f MB%s"):format(n / bench.median_of(results, "wall"),
        bench.median_of(results, "cpu") / n * 1e6, bench.median_of(results, "peak") / 1048576,
        first == first and (", first after %.2f s"):format(first) or ""), ratio, target)
end

local function ratios(theirs, ours)
    local function of(field) return bench.median_of(theirs, field) / bench.median_of(ours, field) end
    local text = ("%.1fx per CPU second, %.1fx less memory"):format(of "cpu", of "peak")
    local first = of "first"
    return first == first and text .. (", %.1fx sooner"):format(first) or text
end

local function same_output(ours, theirs)
    local broker, found = live.broker(), {}
    for i, prefix in ipairs { ours, theirs } do found[i] = bench.run({ "luajit", "tests/bench/flink.lua", broker, prefix }).out end
    if found[1] == found[2] then
        local counts = {}
        for topic, count in found[1]:gmatch "pizza_stream_out_(%S+) (%d+)" do counts[#counts + 1] = count .. " " .. topic end
        bench.row("c", "what Flink wrote is what ananas wrote", table.concat(counts, ", "), "equal", "equal")
        return
    end
    local shown = {}
    for topic, digest in found[1]:gmatch "(%S+) ([^\n]+)\n" do
        if not found[2]:find(topic .. " " .. digest .. "\n", 1, true) then shown[#shown + 1] = topic .. "\n" .. differences(broker, topic, ours, theirs) end
    end
    error("Flink's output differs (< ananas, > Flink):\n" .. table.concat(shown, "\n"), 0)
end

local ok, message = pcall(function()
    assert(os.execute ".ci/flink-jars" == 0)
    local topic, serial, last = "orders-flink", 0, {}
    fill(topic)
    local function measure(run, who, writing)
        return function()
            serial = serial + 1
            local prefix = ("c-%s-%d-"):format(who, serial)
            if writing then last[who] = prefix end
            return run(prefix, topic, writing)
        end
    end
    local results = bench.interleaved {
        ["1 flink"] = measure(flink, "flink", false), ["2 ananas"] = measure(ananas, "ananas", false),
        ["3 flink"] = measure(flink, "flink", true), ["4 ananas"] = measure(ananas, "ananas", true),
    }
    row("Flink SQL, four jobs, discarding", results["1 flink"])
    row("run, all rules, shadow", results["2 ananas"], ratios(results["1 flink"], results["2 ananas"]), ">= 15x, >= 10x")
    row("Flink SQL, four jobs, writing", results["3 flink"])
    row("run, writing, at least once", results["4 ananas"], ratios(results["3 flink"], results["4 ananas"]), ">= 8x, >= 10x, >= 10x")
    same_output(last.ananas, last.flink)
end)
live.stop()
if not ok then error(message, 0) end
