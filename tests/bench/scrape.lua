-- Section h: what it costs to be watched: 100 scrapes of /metrics a second and a reader of /events while a topic is caught up.

package.path = "./?.lua;" .. package.path
local http_client = require "tests.support.http_client"
local net = require "tests.support.net"
local process = require "tests.support.process"

local PER_SECOND = 100

-- CPU time of the thread that serves, in ns.
local function listener_cpu(pid)
    local path = process.run({ "sh", "-c", ("grep -lx http /proc/%d/task/*/comm"):format(pid) }).out:match "%S+"
    return tonumber(io.open((path:gsub("comm$", "schedstat"))):read("*a"):match "^%d+")
end

-- `luajit tests/bench/scrape.lua PORT PID` scrapes until it is ended, a connection each, and says, a line for each hundred
-- answers: the listener's CPU time so far (ns), the time since it began (s), and how long each answer took (ms).
if arg and arg[0] and arg[0]:find "scrape%.lua$" then
    local port, pid, started = tonumber(arg[1]), tonumber(arg[2]), process.now()
    io.stdout:setvbuf "no"
    process.eventually(60, function() return net.is_open(port) end, 0.01)
    local reader = http_client.connect(port):send "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    local next_at, took = process.now(), {}
    while true do
        local began = process.now()
        local there, answer = pcall(http_client.get, port, "/metrics")
        if there and answer.status == 200 then took[#took + 1] = ("%.1f"):format((process.now() - began) * 1000) end
        if #took == 100 then
            print(("%d %.3f %s"):format(listener_cpu(pid), process.now() - started, table.concat(took, " ")))
            took = {}
        end
        reader.text = ""
        reader:read(0)
        next_at = math.max(next_at + 1 / PER_SECOND, process.now() - 0.5)   -- what was missed is made up for
        process.sleep(math.max(0, next_at - process.now()))
    end
end

local bench = require "tests.bench.bench"
local live = require "tests.bench.live"
local orders = bench.number("SCRAPE_ORDERS", 2000000)

live.fill("scrape-orders", orders, "lz4")
local serial, seconds, took = 0, 0, {}

-- What the scraper said: each answer's time goes into `took`, how long it went on into `seconds`. The listener's CPU seconds.
local function count(said)
    local cpu, lasted = 0, 0
    for ns, at, times in said:gmatch "(%d+) (%S+) ([^\n]+)\n" do
        cpu, lasted = tonumber(ns) / 1e9, tonumber(at)
        for ms in times:gmatch "%S+" do took[#took + 1] = tonumber(ms) end
    end
    seconds = seconds + lasted
    return cpu
end

local function with(watched)
    return function()
        serial = serial + 1
        local port = net.free_port()
        local used = live.run(("scrape-%d-"):format(serial), "scrape-orders", orders, { delivery = "exactly_once",
            settings = watched and ('http "127.0.0.1:%d"'):format(port) or "", 
            beside = watched and function(pid) return { "luajit", "tests/bench/scrape.lua", port, pid } end or nil })
        if watched then used.listener = count(used.beside) end
        return used
    end
end
local results = bench.interleaved { ["1 nobody looks"] = with(false), ["2 100 scrapes a second and a reader of events"] = with(true) }
local alone = results["1 nobody looks"]
for name, list in pairs(results) do
    local of
    if list ~= alone then
        local function more(field) return (bench.median_of(list, field) / bench.median_of(alone, field) - 1) * 100 end
        of = ("rate %+.1f %%, CPU %+.1f %%"):format(more "rate", more "cpu")
    end
    bench.row("h", name:sub(3), ("%.0f orders/s, %.2f CPU s per million, %.1f MB"):format(bench.median_of(list, "rate"), bench.median_of(list, "cpu") / orders * 1e6,
        bench.median_of(list, "peak") / 2 ^ 20), of, of and "rate -2 % at most")
end
table.sort(took)
bench.row("h", "scrapes that were answered", ("%.0f a second; p50, p99: %.1f, %.1f ms"):format(#took / seconds, bench.median(took),
    took[math.ceil(#took * 0.99)] or 0 / 0))
local watched = results["2 100 scrapes a second and a reader of events"]
bench.row("h", "the listener's thread", ("%.1f ms of CPU a second"):format(bench.median_of(watched, "listener") * 1000 * bench.runs / seconds),
    ("%.1f %% of the process's"):format(bench.median_of(watched, function(used) return used.listener / used.cpu * 100 end)), "2 % at most")
live.stop()
