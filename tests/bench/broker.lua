-- Section b: `run` on a real broker, beside the least that a program with the same settings can do on the same topic.

local bench = require "tests.bench.bench"
local live = require "tests.bench.live"

-- Reading alone is over too soon to be told from starting: it has more orders than what also writes.
local n_read, n_written = bench.number("KAFKA_READ_ORDERS", 3000000), bench.number("KAFKA_ORDERS", 400000)
local discard, relay = live.program "discard", live.program "relay"

local function row(what, results, n, ratio, target)
    bench.row("b", what, ("%.0f orders/s, %.2f CPU s per million, %.0f MB"):format(bench.median_of(results, "rate"),
        bench.median_of(results, "cpu") / n * 1e6, bench.median_of(results, "peak") / 1048576), ratio, target)
end

local function ratio_of(ours, theirs) return ("%.2f of it"):format(bench.median_of(ours, "rate") / bench.median_of(theirs, "rate")) end

local serial = 0
local function prefix(codec)
    serial = serial + 1
    return ("bench-%s-%d-"):format(codec, serial)
end

local targets = { none = ">= 0.9", lz4 = ">= 0.9", zstd = ">= 0.97", gzip = ">= 0.97" }

-- A broker that has just started compiles its own code, on a core that what is measured wants: these rounds do not count.
local unwarmed = 3

local function reading_rows(codec)
    local topic, n = "read-" .. codec, n_read
    live.fill(topic, n, codec)
    local measurements = {
        ["1 discard"] = function()
            local used = bench.run { discard, live.broker(), topic }
            local said = bench.json(used.out)
            assert(said.records == n)
            used.rate = n / said.seconds
            return used
        end,
        ["2 shadow"] = function() return live.run(prefix(codec), topic, n, { shadow = true }) end,
    }
    bench.interleaved(measurements, unwarmed)
    unwarmed = 0
    local results = bench.interleaved(measurements)
    live.remove(topic)
    row(codec .. ": consume and discard", results["1 discard"], n)
    row(codec .. ": run, all rules, shadow", results["2 shadow"], n, ratio_of(results["2 shadow"], results["1 discard"]), targets[codec])
end

local function writing_rows(codec)
    local topic, n = "orders-" .. codec, n_written
    live.fill(topic, n, codec)
    local written
    local results = bench.interleaved {
        ["3 writing"] = function()
            written = prefix(codec)
            return live.run(written, topic, n, {})
        end,
        ["4 relay"] = function()
            local copies = prefix(codec)
            local command = { relay, live.broker(), topic, copies }
            for _, name in ipairs(live.OUTPUTS) do
                live.topic(copies .. written .. name)
                command[#command + 1] = written .. name
            end
            local used = bench.run(command)
            local said = bench.json(used.out)
            used.rate, used.cpu, used.written = n / said.seconds, said.cpu, said.written
            return used
        end,
    }
    row(("%s: consume and produce the same %.1f records an order"):format(codec, results["4 relay"][1].written / n), results["4 relay"], n)
    row(codec .. ": run, writing, at least once", results["3 writing"], n, ratio_of(results["3 writing"], results["4 relay"]), ">= 0.9")
end

local ok, message = pcall(function()
    for codec in (os.getenv "CODECS" or "none lz4 zstd gzip"):gmatch "%S+" do
        reading_rows(codec)
        writing_rows(codec)
    end
end)
live.stop()
if not ok then error(message, 0) end
