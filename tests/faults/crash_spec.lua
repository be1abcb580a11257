-- Killed at every named point inside a commit and at random moments, `ananas run` commits what an uninterrupted run does.
-- Short within `make test`; `make test-faults` runs the long form. SEED picks orders and moments.

local client = require "tests.support.kafka_client"
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local long = os.getenv "ANANAS_FAULTS" == "long"
local seed = os.getenv "SEED" or tostring(os.time() % 1000000)
if long then io.stderr:write("seed ", seed, "\n") end

local QUICK = [[ ["session.timeout.ms"] = "3000", ["heartbeat.interval.ms"] = "500", ["transaction.timeout.ms"] = "5000" ]]

local function none(differences)
    assert.equal(0, #differences, ("seed %s: %d differences (- missing, + too many):\n%s"):format(seed, #differences,
        table.concat(differences, "\n", 1, math.min(#differences, 20))))
end

local function finish(run, seconds)
    run:write()
    local engine = run:start()
    assert(engine:expect("is active", 20))
    local read = process.eventually(seconds or 60, function() engine:pump(0) return not engine:alive() or run:caught_up() end, 0.3)
    engine:signal "TERM"
    local status = engine:wait(20)
    assert.truthy(read, engine.err)
    assert.equal(0, status and status.code, engine.err)
end

-- Nothing left behind: the group's offsets are the ends of the input, and no transaction is open on any topic.
local function nothing_left(run)
    assert.is_true(run:caught_up())
    local topics = { run.group .. "-changelog" }
    for name in pairs(client.topics(run.broker.bootstrap)) do
        if name:find(run.prefix .. "pizza_stream", 1, true) then topics[#topics + 1] = name end
    end
    -- An open transaction holds back readers of committed records: then the end is not reached.
    for _, topic in ipairs(topics) do
        assert.has_no.errors(function()
            client.read(run.broker.bootstrap, { topic = topic, isolation = "read_committed", timeout = 8 })
        end)
    end
end

local POINTS = { "output-written", "begun", "entries-written", "meta-written", "offsets-sent", "committed", "barrier-written",
    "barrier-committed" }

local function each_point(run, points, again)
    local share = math.floor(#run.list / (#points * again + 1))
    for _ = 1, again do
        for _, point in ipairs(points) do
            run:write(share)
            local n = long and not point:find "^barrier" and math.random(1, 3) or 1
            local engine = run:start({ ANANAS_FAILPOINT = point .. ":" .. n }, "faults")
            local status = process.eventually(n > 1 and 5 or 20, function() engine:pump(0.02) return engine:poll_status() end)
            if not status and n > 1 then   -- all was read before the n-th commit
                engine:signal "KILL"
                engine:wait(5)
            else
                assert.truthy(status and status.signal == 9, point .. ": not reached\n" .. engine.err)
            end
        end
    end
end

describe("killed at every point of a commit, seed " .. seed, function()
    setup(function() math.randomseed(tonumber(seed)) end)

    it("commits exactly what an uninterrupted run does, and leaves nothing behind", function()
        local run = pizza_run.new { name = "points", orders = long and 60000 or 4000, seed = seed, portions = true, tidy = true, kafka = QUICK,
            commit_interval = "20ms" }
        each_point(run, POINTS, long and 5 or 1)
        finish(run)
        none(run:differences())
        nothing_left(run)
        run:close()
    end)

    it("doubles output where exactly_once is switched off: the fault bites", function()
        local run = pizza_run.new { name = "bites", orders = 3000, seed = seed, portions = true, tidy = true, kafka = QUICK, delivery = "at_least_once",
            commit_interval = "20ms" }
        each_point(run, { "state-flushed", "output-written", "begun" }, 2)
        finish(run)
        none(run:differences(true))
        assert.is_true(#run:differences() > 0, "killed after its output was written, and nothing came twice")
        run:close()
    end)
end)

if not long then return end

describe("a commit that fails, seed " .. seed, function()
    for _, action in ipairs { "abort", "lost" } do
        it((action == "abort" and "refused by the broker" or "of which no answer came") .. ", again and again: nothing is lost or doubled",
            function()
                local run = pizza_run.new { name = action, orders = long and 30000 or 3000, seed = seed, portions = true, tidy = true, kafka = QUICK,
                    commit_interval = "20ms" }
                local engine = run:start({ ANANAS_FAILPOINT = (action == "abort" and "meta-written" or "committed") .. ":3:" .. action }, "faults")
                for _ = 1, 6 do
                    run:write(math.floor(#run.list / 7))
                    process.sleep(0.5)
                    engine:pump(0)
                end
                run:write()
                assert.truthy(process.eventually(60, function() engine:pump(0) return not engine:alive() or run:caught_up() end, 0.3), engine.err)
                assert.truthy(engine.err:find(action == "abort" and "rolled back" or "starting again", 1, true), engine.err)
                engine:signal "TERM"
                engine:wait(20)
                finish(run)
                none(run:differences())
                run:close()
            end)
    end
end)

describe("killed at 50 random moments, seed " .. seed, function()
    it("200,000 orders come out as from an uninterrupted run", function()
        local run = pizza_run.new { name = "moments", orders = tonumber(os.getenv "ORDERS") or 200000, seed = seed, portions = true, tidy = true,
            kafka = QUICK }
        for _ = 1, 50 do
            run:write(math.floor(#run.list / 52))
            local engine = run:start()
            process.sleep(0.1 + math.random() * 1.5)
            engine:signal "KILL"
            engine:wait(5)
        end
        finish(run, 180)
        none(run:differences())
        nothing_left(run)
        run:close()
    end)
end)

describe("restored again and again in one process, seed " .. seed, function()
    it("memory and descriptors stay flat", function()
        local run = pizza_run.new { name = "flat", orders = 30000, seed = seed, portions = true, tidy = true, kafka = QUICK, commit_interval = "20ms" }
        local engine = run:start({ ANANAS_FAILPOINT = "committed:2:lost" }, "faults")
        local before
        for round = 1, 60 do
            run:write(math.floor(#run.list / 61))
            process.sleep(1.2)
            engine:pump(0)
            if round == 20 then before = engine:usage() end
        end
        local after = engine:usage()
        local _, restores = engine.err:gsub("restored %d+ entries", "")
        io.stderr:write(("%d restores: %.1f -> %.1f MB, %d -> %d descriptors\n"):format(restores, before.rss / 1e6, after.rss / 1e6,
            before.fds, after.fds))
        assert.is_true(restores > 20, engine.err:sub(-2000))
        assert.is_true(after.fds <= before.fds + 4, ("%d -> %d descriptors"):format(before.fds, after.fds))
        assert.is_true(after.rss < before.rss * 1.25 + 8e6, ("%d -> %d bytes"):format(before.rss, after.rss))
        engine:signal "TERM"
        engine:wait(20)
        finish(run)
        none(run:differences())
        run:close()
    end)
end)

