-- More than one process of a group: a zombie, processes that join and leave, an orderly hand-over, a rolling restart, with
-- other rules in between. What is committed is what one process alone commits. SEED picks orders and moments.

local client = require "tests.support.kafka_client"
local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka" -- luacheck: ignore
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local long, seed = faults.long, faults.seed
local QUICK = [[ ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300", ["transaction.timeout.ms"] = "5000" ]]

local function active(engine, seconds) assert(engine:expect("this process is active", seconds or 20)) end

describe("a group of processes, seed " .. seed, function()
    it("a process that was stopped for longer than the session commits nothing when it comes back", function()
        local run = pizza_run.new { name = "zombie", orders = 4000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local zombie = run:start()
        active(zombie)
        run:write(1500)
        process.sleep(0.3)
        local other = run:start()
        assert(other:expect("standing by", 15))
        run:write(1000)
        process.sleep(0.15)
        zombie:signal "STOP"
        active(other)
        run:write(700)
        process.sleep(0.5)
        zombie:signal "CONT"
        run:write()
        faults.caught_up(run, { zombie, other })
        faults.stop(zombie)
        faults.stop(other)
        faults.none(run:differences())
        faults.nothing_left(run)
        run:close()
    end)

    it("a standby knows the state already: taking over reads the tail only, and so does coming back", function()
        local run = pizza_run.new { name = "warm", orders = 4000, seed = seed, portions = true, tidy = true, kafka = QUICK, commit_interval = "20ms" }
        local engines = { run:start() }
        active(engines[1])
        for i = 2, 3 do
            engines[i] = run:start()
            assert(engines[i]:expect("standing by", 15))
            run:write(1000)
            faults.caught_up(run, engines)
        end
        process.sleep(0.5)
        engines[1]:signal "KILL"
        assert(process.eventually(20, function()
            for i = 2, 3 do engines[i]:pump(0) end
            return (engines[2].err .. engines[3].err):find "restored %d+ entries"
        end), engines[2].err)
        local all = #client.read(run.broker.bootstrap, { topic = run.group .. "-changelog", timeout = 20 })
        local function few(engine)
            local restored, last = 0, nil
            for n in engine.err:gmatch "restored %d+ entries of state from (%d+) records" do restored, last = restored + 1, tonumber(n) end
            if restored > 0 then assert.is_true(last < all / 10, ("%d of %d records\n%s"):format(last, all, engine.err)) end
            for _ in engine.err:gmatch "it goes on where it was" do restored = restored + 1 end
            return restored
        end
        assert.equal(1, few(engines[2]) + few(engines[3]))
        engines[4] = run:start()   -- joins: everybody gives up what it has, and gets it again
        assert(engines[4]:expect("standing by", 20))
        run:write()
        faults.caught_up(run, { engines[2], engines[3], engines[4] })
        few(engines[2])   -- whoever has it again has not read all of it
        few(engines[3])
        for i = 2, 4 do faults.stop(engines[i]) end
        faults.none(run:differences())
        faults.nothing_left(run)
        run:close()
    end)

    it("SIGTERM hands over at once: the other goes on from the last commit, without waiting for a timeout", function()
        local run = pizza_run.new { name = "handover", orders = 3000, seed = seed, portions = true, tidy = true,
            kafka = [[ ["session.timeout.ms"] = "30000", ["transaction.timeout.ms"] = "30000" ]] }
        local first = run:start()
        active(first)
        local second = run:start()
        assert(second:expect("standing by", 15))
        run:write(1500)
        process.sleep(0.3)
        local from = process.now()
        faults.stop(first)
        active(second)
        assert.is_true(process.now() - from < 15, ("%.1f s"):format(process.now() - from))
        run:write()
        faults.caught_up(run, { second })
        faults.stop(second)
        faults.none(run:differences())
        run:close()
    end)
end)

if not long then return end

-- Says the same in other words: the rules get another version, what comes out does not change. Every other time a rule comes or goes.
local function change_rules(run, n)
    local more = n % 2 == 1 and ('\nrule "orders_seen" { from = "pizzas", window = tumble "1s", aggregate = { n = count() }, to = "%sseen" }\n'):format(run.prefix) or nil
    run:rules(more, "w%.nr_orders > 10", ("w.nr_orders > 10 - %d + %d"):format(n, n))
end

describe("a crowd of processes, seed " .. seed, function()
    it("one joins, leaves or dies every few seconds for two minutes, the rules change in between: every output once", function()
        local run = pizza_run.new { name = "crowd", orders = 60000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local engines, began, rounds = { run:start() }, process.now(), 0
        while process.now() - began < 120 do
            rounds = rounds + 1
            run:write(math.floor(#run.list / 80))
            if rounds % 5 == 0 then change_rules(run, rounds / 5) end
            if #engines < 3 and (math.random() < 0.6 or #engines == 0) then
                engines[#engines + 1] = run:start()
            elseif #engines > 0 then
                local gone = table.remove(engines, math.random(#engines))
                gone:signal(math.random() < 0.5 and "KILL" or "TERM")
                assert(gone:wait(20), "does not end\n" .. gone.err:sub(-3000))
            end
            process.sleep(0.5 + math.random() * 2.5)
            for _, engine in ipairs(engines) do engine:pump(0) end
        end
        run:write()
        if #engines == 0 then engines[1] = run:start() end
        faults.caught_up(run, engines, 120)
        for _, engine in ipairs(engines) do faults.stop(engine) end
        faults.none(run:differences())
        faults.nothing_left(run)
        run:close()
    end)

    it("a rolling restart, with a reload in the middle: every output once", function()
        local run = pizza_run.new { name = "rolling", orders = 20000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local engines = {}
        for i = 1, 3 do engines[i] = run:start() end
        for round = 1, 3 do
            for i = 1, 3 do
                run:write(math.floor(#run.list / 10))
                process.sleep(1)
                if i == 2 then
                    change_rules(run, round)
                    for _, engine in ipairs(engines) do engine:signal "HUP" end
                end
                faults.stop(engines[i])
                engines[i] = run:start()
                process.sleep(1 + math.random())
            end
        end
        run:write()
        faults.caught_up(run, engines, 90)
        for _, engine in ipairs(engines) do faults.stop(engine) end
        faults.none(run:differences())
        faults.nothing_left(run)
        run:close()
    end)
end)

describe("a stranger with the transactional id of the group", function()
    it("is not fought for ever: the process gives up and says why", function()
        local run = pizza_run.new { name = "rival", orders = 3000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local engine = run:start()
        active(engine)
        for _ = 1, 60 do
            run:write(30)
            process.sleep(0.3)
            engine:pump(0)
            if not engine:alive() then break end
            local rival = client.producer(run.broker.bootstrap, { ["transactional.id"] = run.group .. "-0" })
            rival:init_transactions(20)
            rival:close()
        end
        local status = engine:wait(10)
        assert.equal(1, status and status.code, engine.err:sub(-3000))
        assert.truthy(engine.err:find("keeps taking over the transactional id", 1, true), engine.err:sub(-2000))
        run:close()
    end)
end)
