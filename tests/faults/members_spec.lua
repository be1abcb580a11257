-- More than one process of a group: a zombie, processes that join and leave, and an orderly hand-over. What is committed is
-- what one process alone commits. SEED picks orders and moments.

local client = require "tests.support.kafka_client"
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local long = os.getenv "ANANAS_FAULTS" == "long"
local seed = os.getenv "SEED" or tostring(os.time() % 1000000)
if long then io.stderr:write("seed ", seed, "\n") end

local QUICK = [[ ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300", ["transaction.timeout.ms"] = "5000" ]]

local function none(differences)
    assert.equal(0, #differences, ("seed %s: %d differences (- missing, + too many):\n%s"):format(seed, #differences,
        table.concat(differences, "\n", 1, math.min(#differences, 20))))
end

local function active(engine, seconds)
    assert(engine:expect("this process is active.-restored", seconds or 15) or engine:expect("this process is active", 1))
end

local function caught_up(run, engines, seconds)
    local read = process.eventually(seconds or 60, function()
        for _, engine in ipairs(engines) do engine:pump(0) end
        return run:caught_up()
    end, 0.3)
    local said = {}
    for i, engine in ipairs(engines) do said[#said + 1] = ("--- process %d\n%s"):format(i, engine.err:sub(-3000)) end
    assert.truthy(read, table.concat(said, "\n"))
end

local function stop(engine)
    engine:signal "TERM"
    local status = engine:wait(20)
    assert.equal(0, status and status.code, engine.err:sub(-3000))
end

describe("a group of processes, seed " .. seed, function()
    setup(function() math.randomseed(tonumber(seed)) end)

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
        active(other, 20)
        run:write(700)
        process.sleep(0.5)
        zombie:signal "CONT"
        run:write()
        caught_up(run, { zombie, other })
        stop(zombie)
        stop(other)
        none(run:differences())
        run:close()
    end)

    it("SIGTERM hands over at once: the other goes on from the last commit, without waiting for a timeout", function()
        local run = pizza_run.new { name = "handover", orders = 3000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local first = run:start()
        active(first)
        local second = run:start()
        assert(second:expect("standing by", 15))
        run:write(1500)
        process.sleep(0.3)
        local from = process.now()
        stop(first)
        active(second, 10)
        assert.is_true(process.now() - from < 5, ("%.1f s"):format(process.now() - from))
        run:write()
        caught_up(run, { second })
        stop(second)
        none(run:differences())
        run:close()
    end)

    local at_length = long and it or function() end
    at_length("processes join, leave and die: every output once", function()
        local run = pizza_run.new { name = "crowd", orders = long and 60000 or 4000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local engines, rounds = { run:start() }, long and 40 or 5
        for _ = 1, rounds do
            run:write(math.floor(#run.list / (rounds + 1)))
            if #engines < 3 and (math.random() < 0.6 or #engines == 0) then
                engines[#engines + 1] = run:start()
            elseif #engines > 0 then
                local gone = table.remove(engines, math.random(#engines))
                gone:signal(math.random() < 0.5 and "KILL" or "TERM")
                gone:wait(20)
            end
            process.sleep(0.5 + math.random() * (long and 2.5 or 1))
        end
        run:write()
        if #engines == 0 then engines[1] = run:start() end
        caught_up(run, engines, 90)
        for _, engine in ipairs(engines) do stop(engine) end
        none(run:differences())
        run:close()
    end)
end)

if not long then return end

describe("a stranger with the transactional id of the group", function()
    it("is not fought for ever: the process gives up and says why", function()
        local run = pizza_run.new { name = "rival", orders = 3000, seed = seed, portions = true, tidy = true, kafka = QUICK }
        local engine = run:start()
        active(engine)
        for _ = 1, 40 do
            run:write(50)
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
