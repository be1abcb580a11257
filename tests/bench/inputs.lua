-- Files that sections read: made once under build/bench, and kept for the next run. Making them is a process of its own,
-- so that its memory does not count as that of the programs measured, which are forked from here.
-- `luajit tests/bench/inputs.lua NAME PATH COUNT [EXTRA]` makes one.

package.path = "./?.lua;" .. package.path
local bench = require "tests.bench.bench"
local shapes = require "tests.bench.shapes"

local inputs = {}
local makers = {}

function makers.orders(path, n) require("tests.support.orders").write(path, { n = n, raw = true }) end

-- With topics, partitions and offsets.
function makers.envelopes(path, n, partitions)
    require("tests.support.orders").write(path, { n = n, partitions = partitions, topic = "pizzas" })
end

for _, name in ipairs(shapes.names) do
    makers[name] = function(path, n) shapes.write(name, path, n) end
end

-- Small records over that many keys, a power of ten: first each of them once, in an order that is not theirs, then any.
function makers.each_key(path, n, keys)
    local file = assert(io.open(path, "wb"))
    file:setvbuf("full", 1048576)
    math.randomseed(7)
    for i = 1, n do
        local key = i <= keys and i * 7919 % keys or math.random(0, keys - 1)
        file:write(('{"ts":%d,"k":"key-%d","v":%d}\n'):format(i, key, i % 100))
    end
    file:close()
end

-- Records with ten strings each, out of that many.
function makers.values(path, n, count)
    local file = assert(io.open(path, "wb"))
    file:setvbuf("full", 1048576)
    math.randomseed(7)
    for i = 1, n do
        local list = {}
        for k = 1, 10 do list[k] = ('"value-%d"'):format(math.random(1, count)) end
        file:write(('{"ts":%d,"list":[%s]}\n'):format(i, table.concat(list, ",")))
    end
    file:close()
end

-- Records of about that many bytes, most of them in a member that no rule reads.
function makers.sizes(path, n, bytes)
    local file = assert(io.open(path, "wb"))
    file:setvbuf("full", 1048576)
    local rest = ("pizza \\u00fc "):rep(math.ceil(bytes / 13)):sub(1, math.max(0, bytes - 60)):gsub("\\[u0-9a-f]*$", "")
    for i = 1, n do file:write(('{"ts":%d,"k":"key-%d","note":"%s","v":%d}\n'):format(i, i % 100, rest, i % 100)) end
    file:close()
end

local function make(name, n, extra)
    local path = ("%s/%s-%d%s.jsonl"):format(bench.folder, name, n, extra and "-" .. extra or "")
    if not bench.exists(path) then
        bench.run { "luajit", "tests/bench/inputs.lua", name, path .. ".new", n, extra or 0 }
        assert(os.rename(path .. ".new", path))
    end
    return path
end

-- Bare payloads of n pizza orders, a thousand a second of event time.
function inputs.orders(n) return make("orders", n) end
function inputs.shape(name, n, extra) return make(name, n, extra) end

-- The five rules, counting only. Bare payloads carry no record timestamp, so event time is the payload's own.
function inputs.pizza_deployment(name)
    return bench.deployment(name, [[
source "pizzas" { topic = "pizzas", metadata = { orderTimestamp = "timestamp" }, event_time = "timestamp", watermark = "5s" }
rules "rules"
]], bench.pizza_rules(true))
end

if arg and arg[0] and arg[0]:find "inputs%.lua$" then
    makers[arg[1]](arg[2], tonumber(arg[3]), tonumber(arg[4]))
    return
end
return inputs
