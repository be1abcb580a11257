-- A broker that restarts, dies, hangs, or is not there yet: what is committed is what an undisturbed run commits.
-- Runs in `make test-faults` only: each needs a broker of its own. SEED picks the orders.

local kafka = require "tests.support.kafka"
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local long = os.getenv "ANANAS_FAULTS" == "long"
local seed = os.getenv "SEED" or tostring(os.time() % 1000000)
if long then io.stderr:write("seed ", seed, "\n") end

local function none(differences)
    assert.equal(0, #differences, ("seed %s: %d differences (- missing, + too many):\n%s"):format(seed, #differences,
        table.concat(differences, "\n", 1, math.min(#differences, 20))))
end

local troubles = {
    { "is killed and restarted on its log", function(broker) broker:kill() broker:restart() end },
    { "hangs for 5 s", function(broker) broker:pause() process.sleep(5) broker:resume() end },
    { "restarts in order", function(broker) broker:restart() end },
    { "hangs for 20 s, longer than a transaction may take", function(broker) broker:pause() process.sleep(20) broker:resume() end },
    { "hangs for a minute", function(broker) broker:pause() process.sleep(60) broker:resume() end },
    { "is down for a minute", function(broker) broker:kill() process.sleep(60) broker:restart() end },
}

describe("a broker that", function()
    for _, trouble in ipairs(troubles) do
        it(trouble[1] .. ": the output is that of an undisturbed run", function()
            local broker = kafka.start()
            local run = pizza_run.new { name = "broker", broker = broker, orders = long and 20000 or 4000, seed = seed, portions = true, tidy = true }
            local engine = run:start()
            assert(engine:expect("is active", 20))
            for _ = 1, 3 do
                run:write(math.floor(#run.list / 4))
                process.sleep(0.3)
                trouble[2](broker)
            end
            run:write()
            local read = process.eventually(120, function()
                engine:pump(0)
                local ok, done = pcall(function() return run:caught_up() end)
                return ok and done
            end, 0.3)
            assert.truthy(read, engine.err:sub(-4000))
            engine:signal "TERM"
            local status = engine:wait(20)
            assert.equal(0, status and status.code, engine.err:sub(-4000))
            none(run:differences())
            run:close()
            broker:stop()
        end)
    end
end)
