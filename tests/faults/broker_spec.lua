-- A broker that restarts, dies, hangs, or is not there for a while: what is committed is what an undisturbed run commits.
-- Runs in `make test-faults` only: each needs a broker of its own. SEED picks the orders.

local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka"
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local function hang(seconds)
    return function(broker)
        broker:pause()
        process.sleep(seconds)
        broker:resume()
    end
end

local troubles = {
    { "is killed and restarted on its log", 3, function(broker) broker:kill() broker:restart() end },
    { "restarts in order", 3, function(broker) broker:restart() end },
    { "hangs for 5 s", 3, hang(5) },
    { "hangs for 20 s, longer than a transaction may take", 2, hang(20) },
    { "hangs for a minute", 1, hang(60) },
    { "is down for a minute", 1, function(broker) broker:kill() process.sleep(60) broker:restart() end },
}

-- The run's options, and what happens to its broker once the engine is active; all orders come out once, whatever that is.
local function undisturbed(o, trouble)
    local broker = kafka.start()
    o.broker, o.seed, o.portions, o.tidy = broker, faults.seed, true, true
    local run = pizza_run.new(o)
    local engine = run:start()
    assert(engine:expect("is active", 30))
    trouble(broker, run)
    faults.ends_well(run, engine, 120)
    broker:stop()
end

describe("a broker that", function()
    for _, trouble in ipairs(troubles) do
        it(trouble[1] .. ": the output is that of an undisturbed run", function()
            undisturbed({ name = "broker", orders = 20000 }, function(broker, run)
                for _ = 1, trouble[2] do
                    run:write(math.floor(#run.list / 4))
                    process.sleep(0.1 + math.random() * 0.4)
                    trouble[3](broker)
                end
            end)
        end)
    end

    it("hangs during the first commit of all: there is nothing to go back to, and it begins anew", function()
        undisturbed({ name = "first", orders = 2000, commit_interval = "3s" }, function(broker)
            process.sleep(2)
            hang(15.5)(broker)      -- longer than a session, and the commit is refused when it is over
        end)
    end)
end)
