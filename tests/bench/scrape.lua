-- Section h: what it costs to be watched: 100 scrapes of /metrics a second and a reader of /events while a topic is caught up.

package.path = "./?.lua;" .. package.path
local http_client = require "tests.support.http_client"
local net = require "tests.support.net"
local process = require "tests.support.process"

local PER_SECOND = 100

-- `luajit tests/bench/scrape.lua PORT` scrapes until it is ended, a connection each, and says how often, after every one.
if arg and arg[0] and arg[0]:find "scrape%.lua$" then
    local port, n, next_at = tonumber(arg[1]), 0, process.now()
    io.stdout:setvbuf "no"
    local reader
    while true do
        if net.is_open(port) then
            reader = reader or http_client.connect(port):send "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            reader.text = ""
            reader:read(0.001)
            local there, answer = pcall(http_client.get, port, "/metrics")
            if there and answer.status == 200 then
                n = n + 1
                print(n)
            end
        end
        next_at = math.max(next_at + 1 / PER_SECOND, process.now() - 0.5)   -- what was missed is made up for
        process.sleep(math.max(0, next_at - process.now()))
    end
end

local bench = require "tests.bench.bench"
local live = require "tests.bench.live"
local orders = bench.number("SCRAPE_ORDERS", 2000000)

live.fill("scrape-orders", orders, "lz4")
local serial, scrapes, seconds = 0, 0, 0
local function with(watched)
    return function()
        serial = serial + 1
        local port = net.free_port()
        local used = live.run(("scrape-%d-"):format(serial), "scrape-orders", orders, { delivery = "exactly_once",
            settings = watched and ('http "127.0.0.1:%d"'):format(port) or "", beside = watched and { "luajit", "tests/bench/scrape.lua", port } or nil })
        if watched then
            scrapes = scrapes + (tonumber(used.beside:match "(%d+)\n$") or 0)
            seconds = seconds + orders / used.rate
        end
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
bench.row("h", "scrapes that were answered", ("%.0f a second"):format(scrapes / seconds))
live.stop()
