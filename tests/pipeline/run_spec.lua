-- `ananas run` on a real broker, held against the independent reference. SEED picks other orders and moments.

local ananas = require "tests.support.ananas"
local client = require "tests.support.kafka_client"
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local seed = os.getenv("SEED") or "1"
local orders = tonumber(os.getenv("ORDERS") or "100000")

local function none(differences)
    assert.equal(0, #differences, #differences .. " differences (- missing, + too many):\n" ..
        table.concat(differences, "\n", 1, math.min(#differences, 20)))
end

describe("the pizza rules on a real broker, " .. orders .. " orders, seed " .. seed, function()
    local run, stopped, rest

    setup(function()
        run = pizza_run.new { name = "run", orders = orders, seed = seed, settings = "threads (3)" }      -- decodes ahead
        local engine = run:start()
        run:wait(120)
        process.eventually(40, function()
            rest = engine:usage()
            return rest.rss < rest.peak * 0.8
        end, 0.5)
        engine:signal("TERM")
        stopped = { status = engine:wait(15), err = engine.err }
    end)
    teardown(function() run:close() end)

    it("write the same multiset of records per topic as the reference", function() none(run:differences()) end)

    it("stop on SIGTERM with status 0", function() assert.equal(0, stopped.status.code, stopped.err) end)

    it("give back the memory that the stream took, when it has run dry", function()
        print(("figure: resident memory %.1f MB at rest, %.1f MB at most"):format(rest.rss / 2 ^ 20, rest.peak / 2 ^ 20))
        if ananas.out:find "[at]san$" then return end -- a sanitizer keeps what was freed, and most of this is its own
        assert.is_true(rest.rss < rest.peak * 0.8)
        assert.is_true(rest.peak < 150 * 2 ^ 20)
    end)

    it("carry the rule and its version as headers, keys as JSON objects", function()
        local records = client.read(run.broker.bootstrap, { topic = run.prefix .. "pizza_stream_out_agg", count = 1, timeout = 20 })
        local names = {}
        for _, h in ipairs(records[1].headers) do names[h[1]] = h[2] end
        assert.equal("too_many_bad_toppings", names["ananas-rule"])
        assert.truthy(names["ananas-rule-version"]:match("^%x+$"))
        assert.truthy(records[1].key:match('^{"id":%d+}$'), records[1].key)
    end)
end)

for _, delivery in ipairs { "exactly_once", "at_least_once" } do
    describe("stopped and killed at random moments, " .. delivery, function()
        it(delivery == "exactly_once" and "gives exactly what an uninterrupted run gives" or "loses nothing", function()
            local run = pizza_run.new { name = delivery, orders = 20000, seed = seed, delivery = delivery,
                settings = delivery == "exactly_once" and "threads (3)" or "threads (1)" }
            math.randomseed(tonumber(seed) or 1)
            for round = 1, 6 do
                local engine = run:start()
                process.sleep(0.2 + math.random() * 1.2)
                engine:signal(round % 3 == 0 and "TERM" or "KILL")
                engine:wait(15)
            end
            local engine = run:start()
            run:wait(90)
            engine:signal("TERM")
            assert.equal(0, engine:wait(15).code, engine.err)
            none(run:differences(delivery == "at_least_once"))
            run:close()
        end)
    end)
end
