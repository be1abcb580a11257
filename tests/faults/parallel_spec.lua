-- Parallelism 4: several processes share the tasks, come, go, die and change their rules. What is committed is what one
-- process alone commits, per key in the same order. SEED picks orders and moments.

local client = require "tests.support.kafka_client"
local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka" -- luacheck: ignore
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local long, seed = faults.long, faults.seed
local QUICK = [[ ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300", ["transaction.timeout.ms"] = "5000" ]]
local TASKS = 4

local function new(name, orders, more)
    return pizza_run.new { name = name, orders = orders, seed = seed, portions = true, tidy = true, kafka = QUICK, partitions = 6,
        settings = ("parallelism (%d)\n%s"):format(TASKS, more or "") }
end

local function active(engine) assert(engine:expect("this process is active", 30), engine.err) end

-- All frames were read as well: nothing is on its way between tasks, and windows that they close are closed.
local function settled(run, engines)
    faults.caught_up(run, engines, long and 180 or 60)
    local topic, before = run.group .. "-repartition", nil
    assert(process.eventually(60, function()
        for _, engine in ipairs(engines) do engine:pump(0) end
        local committed, last = client.committed(run.broker.bootstrap, run.group, topic), {}
        for _, r in ipairs(client.read(run.broker.bootstrap, { topic = topic, isolation = "read_committed", timeout = 30 })) do
            last[r.partition] = r.offset
        end
        local text = {}
        for task = 0, TASKS - 1 do
            text[#text + 1] = tostring(last[task])
            if last[task] and (committed[task] or -1) <= last[task] then text[#text + 1] = "more" end
        end
        local now = table.concat(text, " ")
        local same = now == before and not now:find "more"
        before = now
        return same
    end, 0.5), "frames were not read to their end: " .. tostring(before) .. engines[1].err:sub(-2000))
end

local function nothing_left(run)
    local topics = { run.group .. "-changelog", run.group .. "-repartition" }
    for name in pairs(client.topics(run.broker.bootstrap)) do
        if name:sub(1, #run.prefix) == run.prefix then topics[#topics + 1] = name end
    end
    for _, topic in ipairs(topics) do
        assert(process.eventually(10, function() return #client.open_transactions(run.broker.bootstrap, topic) == 0 end, 0.2),
            "a transaction is still open on " .. topic)
    end
    local metas = {}
    for _, r in ipairs(client.read(run.broker.bootstrap, { topic = topics[1], isolation = "read_committed", timeout = 60 })) do
        if r.key == "m" then metas[r.partition] = faults.positions(r.value) end
    end
    for _, topic in ipairs { run.topic, topics[2] } do
        for partition, offset in pairs(client.committed(run.broker.bootstrap, run.group, topic)) do
            local at = metas[partition % TASKS] and metas[partition % TASKS][topic .. "/" .. partition]
            assert(at == offset, ("%s/%d: committed %d, state %s"):format(topic, partition, offset, tostring(at)))
        end
    end
end

local function finish(run, engines)
    run:write()
    settled(run, engines)
    for _, engine in ipairs(engines) do faults.stop(engine) end
    faults.none(run:differences())
    nothing_left(run)
end

describe("parallelism " .. TASKS .. ", seed " .. seed, function()
    it("gives in three processes, one that joins and one that dies, what one process gives", function()
        local run = new("par", long and 100000 or 8000)
        local engines = { run:start() }
        active(engines[1])
        local share = math.floor(#run.list / 5)
        run:write(share)
        engines[2] = run:start()
        engines[3] = run:start()
        active(engines[2])
        active(engines[3])
        run:write(share)
        process.sleep(math.random())
        local dead = table.remove(engines, math.random(3))
        dead:signal "KILL"
        dead:wait(5)
        run:write(share)
        process.sleep(long and 5 or 1)
        engines[3] = run:start()
        run:write(share)
        run:write()
        settled(run, engines)
        assert(process.eventually(30, function()   -- what was read is deleted
            for _, engine in ipairs(engines) do engine:pump(0) end
            for _, ends in pairs(client.offsets(run.broker.bootstrap, run.group .. "-repartition")) do
                if ends[2] > 0 and ends[1] == 0 then return false end
            end
            return true
        end, 0.5), "the repartition topic is not purged\n" .. engines[1].err:sub(-3000))
        finish(run, engines)
        run:close()
    end)

    it("runs the leader's rules everywhere, and says so where the files are others", function()
        local run = new("other", 2000)
        local engines = { run:start() }
        active(engines[1])
        run:write(700)
        local folder, binary = run.folder .. "/other", replay.binary
        assert(os.execute(("mkdir -p %s/rules"):format(replay.quote(folder))) == 0)
        replay.write(folder .. "/ananas.lua", replay.read(run.folder .. "/ananas.lua"))
        replay.write(folder .. "/rules/pizza.lua", replay.read(run.folder .. "/rules/pizza.lua") .. '\nrule "mine" { from = "bad_toppings" }\n')
        engines[2] = process.spawn { binary, "run", "-c", folder .. "/ananas.lua", cwd = folder }
        active(engines[2])
        run:write(700)
        assert(engines[2]:expect("the rules of this process are not those that the group runs", 30), engines[2].err)
        finish(run, engines)
        assert.is_nil((engines[1].err .. engines[2].err):find("takes effect", 1, true))
        run:close()
    end)

    it("refuses another parallelism than the state's, and says what to do", function()
        local run = new("refused", 100)
        local engine = run:start()
        active(engine)
        finish(run, { engine })
        local config = run.folder .. "/ananas.lua"
        replay.write(config, (replay.read(config):gsub("parallelism %(%d%)", "parallelism (2)")))
        local other = run:start()
        local status = other:wait(20)
        assert.equal(1, status and status.code, other.err)
        assert.truthy(other.err:find("parallelism is 2, but the state of group " .. run.group .. " was made with 4", 1, true), other.err)
        assert.truthy(other.err:find("kafka-consumer-groups --group", 1, true), other.err)
        run:close()
    end)

    it("has changed rules go round: every task runs them, and the output is that of the same rules", function()
        local run = new("round", long and 30000 or 3000)
        local engines = { run:start(), run:start() }
        active(engines[1])
        active(engines[2])
        for i = 1, long and 8 or 2 do
            run:write(math.floor(#run.list / (long and 10 or 4)))
            if i == 1 then faults.caught_up(run, engines, 60) end   -- or the tasks may begin with the changed rules
            process.sleep(0.3)
            run:rules(('\nrule "extra" { from = "bad_toppings", where = function(r) return r.id == %d end }\n'):format(-i))
            for _, engine in ipairs(engines) do engine:signal "HUP" end
            assert(process.eventually(30, function()
                local n = 0
                for _, engine in ipairs(engines) do
                    engine:pump(0)
                    for _ in engine.err:gmatch "takes effect at" do n = n + 1 end
                end
                return n >= i * TASKS
            end), engines[1].err .. engines[2].err)
        end
        finish(run, engines)
        run:close()
    end)
end)
