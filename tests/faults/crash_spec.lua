-- Killed at every named point inside a commit and at random moments, `ananas run` commits what an uninterrupted run does.
-- Short within `make test`; `make test-faults` runs the long form. SEED picks orders and moments.

local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka" -- luacheck: ignore
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"

local long, seed = faults.long, faults.seed
local QUICK = ([[ ["session.timeout.ms"] = "%d", ["heartbeat.interval.ms"] = "300", ["transaction.timeout.ms"] = "5000" ]]):format(faults.long and 3000 or 1200)

-- Reads what has been written so far, undisturbed, and ends in order.
local function run_out(run, seconds)
    local engine = run:start()
    assert(engine:expect("is active", 30))
    faults.caught_up(run, { engine }, seconds or 60)
    faults.stop(engine)
end

-- After all that was done to it: what is open is what the input makes of an empty state, then the rest comes out.
local function finish(run, seconds)
    run_out(run, seconds)
    faults.nothing_left(run)
    local twin = run:twin()
    run_out(twin, seconds)
    faults.same_state(run, twin)
    twin:close()
    run:write()
    run_out(run, seconds)
    faults.none(run:differences())
    faults.nothing_left(run)
    run:close()
end

local POINTS = { "output-written", "begun", "entries-written", "meta-written", "offsets-sent", "committed", "barrier-written",
    "barrier-committed" }

-- once: always at the first time it gets there.
local function each_point(run, points, again, once)
    local share = math.floor(#run.list / (#points * again + 1))
    for _ = 1, again do
        for _, point in ipairs(points) do
            run:write(share)
            local n = long and not once and not point:find "^barrier" and math.random(1, 3) or 1
            local engine = run:start({ ANANAS_FAILPOINT = point .. ":" .. n }, "faults")
            local status = process.eventually(n > 1 and 5 or 30, function() engine:pump(0.02) return engine:poll_status() end)
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
    it("commits exactly what an uninterrupted run does, and leaves nothing behind", function()
        local run = pizza_run.new { name = "points", orders = long and 60000 or 4000, seed = seed, portions = true, tidy = true, kafka = QUICK,
            commit_interval = "20ms" }
        each_point(run, POINTS, long and 5 or 1)
        finish(run, long and 120)
    end)

    it("doubles output where exactly_once is switched off: the fault bites", function()
        local run = pizza_run.new { name = "bites", orders = 3000, seed = seed, portions = true, tidy = true, kafka = QUICK, delivery = "at_least_once",
            commit_interval = "20ms" }
        each_point(run, { "state-flushed", "output-written", "begun" }, 2, true)   -- a portion is one commit, mostly
        run:write()
        run_out(run)
        faults.none(run:differences(true))
        assert.is_true(#run:differences() > 0, "killed after its output was written, and nothing came twice")
        run:close()
    end)
end)

if not long then return end

describe("a commit that fails, seed " .. seed, function()
    for _, action in ipairs { "abort", "lost" } do
        it((action == "abort" and "refused by the broker" or "of which no answer came") .. ", again and again: nothing is lost or doubled",
            function()
                local run = pizza_run.new { name = action, orders = 30000, seed = seed, portions = true, tidy = true, kafka = QUICK,
                    commit_interval = "20ms" }
                local engine = run:start({ ANANAS_FAILPOINT = (action == "abort" and "meta-written" or "committed") .. ":3:" .. action }, "faults")
                for _ = 1, 6 do
                    run:write(math.floor(#run.list / 7))
                    process.sleep(0.5)
                    engine:pump(0)
                end
                faults.caught_up(run, { engine }, 60)
                assert.truthy(engine.err:find(action == "abort" and "rolled back" or "starting again", 1, true), engine.err)
                engine:signal "TERM"
                engine:wait(20)
                finish(run)
            end)
    end
end)

local function at_random_moments(o)
    local run = pizza_run.new { name = "moments", orders = o.orders, seed = seed, portions = true, tidy = true, kafka = QUICK, delivery = o.delivery }
    for _ = 1, o.times do
        run:write(math.floor(#run.list / (o.times + 2)))
        local engine = run:start()
        process.sleep(0.1 + math.random() * 1.5)
        engine:signal "KILL"
        engine:wait(5)
    end
    return run
end

describe("killed at 50 random moments, seed " .. seed, function()
    it("200,000 orders come out as from an uninterrupted run", function()
        finish(at_random_moments { orders = tonumber(os.getenv "ORDERS") or 200000, times = 50 }, 240)
    end)
end)

describe("restored again and again in one process, seed " .. seed, function()
    it("memory and descriptors stay flat", function()
        local run = pizza_run.new { name = "flat", orders = 30000, seed = seed, portions = true, tidy = true, kafka = QUICK, commit_interval = "20ms" }
        local engine = run:start({ ANANAS_FAILPOINT = "committed:2:lost" }, "faults")
        -- Several looks: a client for questions comes and goes with each restore, and reading the changelog back takes memory for
        -- a moment, the more the longer it has become. What stays is the most descriptors and the least memory.
        local function both(a, b) return { rss = math.min(a.rss, b.rss), fds = math.max(a.fds, b.fds) } end
        local before, after = { rss = math.huge, fds = 0 }, { rss = math.huge, fds = 0 }
        for round = 1, 60 do
            run:write(math.floor(#run.list / 61))
            process.sleep(1.2)
            engine:pump(0)
            if round > 10 and round <= 20 then before = both(before, engine:usage()) end
            if round > 50 then after = both(after, engine:usage()) end
        end
        local _, restores = engine.err:gsub("restored %d+ entries", "")
        io.stderr:write(("%d restores: %.1f -> %.1f MB, %d -> %d descriptors\n"):format(restores, before.rss / 1e6, after.rss / 1e6,
            before.fds, after.fds))
        assert.is_true(restores > 20, engine.err:sub(-2000))
        assert.is_true(after.fds <= before.fds + 4, ("%d -> %d descriptors"):format(before.fds, after.fds))
        assert.is_true(after.rss < before.rss * 1.25 + 8e6, ("%d -> %d bytes"):format(before.rss, after.rss))
        engine:signal "TERM"
        engine:wait(20)
        finish(run)
    end)
end)
