-- A connection that breaks at the worst moments: cut, silent, refused, and with the reply to a request lost that the broker
-- has carried out. What is committed is what an undisturbed run commits. SEED picks orders and moments.

local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka" -- luacheck: ignore
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local QUICK = ([[ ["session.timeout.ms"] = "%d", ["heartbeat.interval.ms"] = "300", ["transaction.timeout.ms"] = "5000" ]]):format(faults.long and 3000 or 1200)
local REQUESTS = { produce = 0, heartbeat = 12, ["start of a producer"] = 22, ["add partitions"] = 24, ["add offsets"] = 25,
    ["end of a transaction"] = 26, ["offsets of a transaction"] = 28 }

-- Orders come in portions with a disturbance after each (and perhaps one before the start); then all has to come out.
local function disturbed(o, times, disturb, before)
    local broker = faults.broker()
    local proxy = faults.proxy(broker)
    local run = pizza_run.new { name = o.name, broker = broker, bootstrap = proxy.bootstrap, orders = o.orders, seed = faults.seed, portions = true,
        tidy = true, kafka = QUICK, commit_interval = "20ms" }
    if before then before(proxy) end
    local engine = run:start()
    assert(engine:expect("is active", 20))
    for i = 1, times do
        run:write(math.floor(#run.list / (times + 1)))
        disturb(proxy, i)
        engine:pump(0)
    end
    faults.ends_well(run, engine, 90)
    proxy:close()
    broker:stop()
end

local function lose_replies(api)
    local lost, times = 0, faults.long and 8 or 3
    local function lose(proxy)
        proxy:ask("swallow " .. api)
        if proxy:swallowed(4) then lost = lost + 1 end
        process.sleep(math.random() * 0.3)
    end
    local at_start = api == 22   -- nobody asks for it afterwards
    disturbed({ name = "lost", orders = faults.long and 6000 or 3000 }, at_start and 1 or times, at_start and function() end or lose,
        at_start and function(proxy) proxy:ask("swallow " .. api) end)
    assert(at_start or lost > 0, "no such request was seen")
end

describe("a connection that breaks, seed " .. faults.seed, function()
    for name, api in pairs(REQUESTS) do
        if api == 26 or faults.long then
            it("with the reply to a request lost (" .. name .. "): nothing is lost or doubled", function() lose_replies(api) end)
        end
    end

    it("cut again and again: nothing is lost or doubled", function()
        disturbed({ name = "cut", orders = faults.long and 20000 or 3000 }, faults.long and 60 or 6, function(proxy)
            process.sleep(math.random() * 0.7)
            proxy:ask "cut"
        end)
    end)

    if not faults.long then return end

    it("silent for longer than the session and the transaction last: nothing is lost or doubled", function()
        disturbed({ name = "silent", orders = 8000 }, 3, function(proxy, i)
            process.sleep(0.3)
            proxy:ask "hold"
            process.sleep(({ 2, 7, 15 })[i])
            proxy:ask "pass"
        end)
    end)

    it("refused for a while: it comes back by itself", function()
        disturbed({ name = "refused", orders = 8000 }, 3, function(proxy, i)
            process.sleep(0.3)
            proxy:ask "deny"
            process.sleep(({ 1, 6, 12 })[i])
            proxy:ask "allow"
        end)
    end)
end)
