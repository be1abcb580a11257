-- Parallelism 4: several processes share the tasks, come, go, die and change their rules. What is committed is what one
-- process alone commits, per key in the same order, and each output is from one version of its rule: in every partition the
-- next one begins where its task says that it switched. SEED picks orders and moments.

local client = require "tests.support.kafka_client"
local faults = require "tests.support.faults"
local kafka = require "tests.support.kafka" -- luacheck: ignore
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local long, seed = faults.long, faults.seed
local QUICK = [[ ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300", ["transaction.timeout.ms"] = "5000" ]]
local TASKS = 4

local function new(name, orders, delivery)
    return pizza_run.new { name = name, orders = orders, seed = seed, portions = true, tidy = true, kafka = QUICK, partitions = 6,
        delivery = delivery, settings = ("parallelism (%d)\n"):format(TASKS) }
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

-- ---- which rules said what ----

-- One rule says of each order that it saw it, one counts it in some window; both change with n, and what the shipped rules give
-- does not.
local WITNESSES = [[
rule "seen" { from = "pizzas", where = function(r) return r.id >= 0 and r.id ~= -100 - %d end, select = { "id" }, key = { "id" }, to = "%sseen" }
rule "tally" { from = "pizzas", where = function(r) return r.id >= 0 end, window = tumble "%ds", group_by = { "shop" },
    aggregate = { n = count() }, to = "%stally" }
]]

-- Writes the files of change n; gives the versions of the set and of "seen".
local function change(run, n)
    run:rules("\n" .. WITNESSES:format(n, run.prefix, 3 + n % 3, run.prefix), "w%.nr_orders > 10", ("w.nr_orders > 10 - %d + %d"):format(n, n))
    local plan = process.run { replay.binary, "check", "--json", cwd = run.folder }
    assert.equal(0, plan.code, plan.err)
    plan = replay.decode(plan.out)
    local made = { n = n, set = plan.version }
    for _, rule in ipairs(plan.rules) do
        if rule.name == "seen" then made.seen = rule.version end
    end
    return made
end

local function committed(run, topic)
    return client.read(run.broker.bootstrap, { topic = run.prefix .. topic, isolation = "read_committed", timeout = 60 })
end

-- By rule set and partition: the offsets at which tasks said that they switched to it. Who was killed says it again elsewhere.
local function cuts_of(run, engines)
    local cuts, place = {}, run.topic:gsub("%W", "%%%0") .. "/(%d+)@(%d+)"
    for _, engine in ipairs(engines) do
        engine:pump(0)
        for set, places in engine.err:gmatch "rule set (%x+) takes effect at ([^;]*);" do
            for partition, offset in places:gmatch(place) do cuts[set .. "/" .. partition .. "@" .. offset] = true end
        end
    end
    return cuts
end

-- As text: some are greater than what a Lua number tells apart.
local function id_of(r) return r.value:match '"id":%s*(%-?%d+)' end

-- `changes` in the order in which they went round; `all`: every process that there was. Returns how many of them judged orders.
local function one_version_each(run, changes, all)
    local judged, counted, orders, used = {}, 0, 0, {}
    for _, r in ipairs(committed(run, "seen")) do
        local id = id_of(r)
        assert(not judged[id], ("order %s was judged twice"):format(id))
        for _, header in ipairs(r.headers) do
            if header[1] == "ananas-rule-version" then judged[id] = header[2] end
        end
    end
    local cuts, at, next_offset = cuts_of(run, all), {}, {}
    for _, r in ipairs(run.list) do
        local id, p = id_of(r), r.partition
        local offset = next_offset[p] or 0
        next_offset[p] = offset + 1
        if id:sub(1, 1) ~= "-" then
            orders = orders + 1
            local was = at[p]
            at[p] = was or 1
            while changes[at[p]] and changes[at[p]].seen ~= judged[id] do at[p] = at[p] + 1 end
            local now = changes[at[p]]
            assert(now, ("%d/%d: order %s was judged by %s, which was over"):format(p, offset, id, tostring(judged[id])))
            used[at[p]] = true
            assert(not was or was == at[p] or cuts[("%s/%d@%d"):format(now.set, p, offset)],
                ("%d/%d is the first of change %d, but nobody switched there"):format(p, offset, now.n))
        end
    end
    for _, r in ipairs(committed(run, "tally")) do counted = counted + replay.decode(r.value).n end
    assert.equal(orders, counted, "orders in windows")
    local n = 0
    for _ in pairs(used) do n = n + 1 end
    return n
end

-- Without transactions: nothing is missing, and windows have counted every order, perhaps more often.
local function nothing_lost(run, engines)
    run:write()
    settled(run, engines)
    for _, engine in ipairs(engines) do faults.stop(engine) end
    local judged, counted, orders = {}, 0, 0
    for _, r in ipairs(committed(run, "seen")) do judged[id_of(r)] = true end
    for _, r in ipairs(run.list) do
        local id = id_of(r)
        if id:sub(1, 1) ~= "-" then
            orders = orders + 1
            assert(judged[id], ("order %s was judged by no rule"):format(id))
        end
    end
    for _, r in ipairs(committed(run, "tally")) do counted = counted + replay.decode(r.value).n end
    assert(counted >= orders, ("%d orders in windows, of %d"):format(counted, orders))
end

-- A process of the group in a folder of its own, with the rules as they are now and perhaps more; kafka: properties of its own.
local function elsewhere(run, more, kafka_more)
    local folder = run.folder .. "/other"
    assert(os.execute(("mkdir -p %s/rules"):format(replay.quote(folder))) == 0)
    replay.write(folder .. "/ananas.lua", (replay.read(run.folder .. "/ananas.lua"):gsub("kafka {", "%0" .. (kafka_more or ""), 1)))
    replay.write(folder .. "/rules/pizza.lua", replay.read(run.folder .. "/rules/pizza.lua") .. (more or ""))
    return function() return process.spawn { replay.binary, "run", "-c", folder .. "/ananas.lua", cwd = folder } end
end

local function said(engine, pattern)
    engine:pump(0)
    local n = 0
    for _ in engine.err:gmatch(pattern) do n = n + 1 end
    return n
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
        settled(run, engines)
        for _, engine in ipairs(engines) do faults.stop(engine) end
        local twin = run:twin()   -- alone and undisturbed, over the same input
        local alone = { twin:start() }
        settled(twin, alone)
        faults.stop(alone[1])
        faults.same_state(run, twin)
        twin:close()
        for i = 1, 3 do engines[i] = run:start() end
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

    it("stays as large as it is while tasks go to another process and come back", function()
        local run, times = new("flat", long and 20000 or 3000), long and 20 or 4
        local engine, seen = run:start(), {}
        active(engine)
        for i = 1, times do
            run:write(math.floor(#run.list / (times + 1)))
            local other = run:start()
            active(other)
            process.sleep(0.5)
            other:signal "KILL"
            other:wait(5)
            assert(process.eventually(30, function()
                return said(engine, "it has tasks 0, 1, 2, 3") >= i + 1
            end), engine.err:sub(-3000))
            faults.caught_up(run, { engine }, 60)
            seen[i] = { rss = 0, fds = 0 }
            for _ = 1, 10 do   -- clients for questions come and go
                local now = engine:usage()
                seen[i] = { rss = math.max(seen[i].rss, now.rss), fds = math.max(seen[i].fds, now.fds) }
                process.sleep(0.05)
            end
        end
        local first, last = seen[2], seen[times]
        io.stderr:write(("%d moves of tasks: %.1f -> %.1f MB, %d -> %d descriptors\n"):format(times, first.rss / 1e6, last.rss / 1e6, first.fds, last.fds))
        assert.is_true(last.fds <= first.fds + 8, ("%d -> %d descriptors"):format(first.fds, last.fds))
        assert.is_true(last.rss < first.rss * 1.25 + 8e6, ("%d -> %d bytes"):format(first.rss, last.rss))
        finish(run, { engine })
        run:close()
    end)

    it("runs the leader's rules everywhere, and says so where the files are others", function()
        local run = new("other", 2000)
        local engines = { run:start() }
        active(engines[1])
        run:write(700)
        engines[2] = elsewhere(run, '\nrule "mine" { from = "bad_toppings" }\n')()
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
                return said(engines[1], "takes effect at") + said(engines[2], "takes effect at") >= i * TASKS
            end), engines[1].err .. engines[2].err)
        end
        finish(run, engines)
        run:close()
    end)

    it("keeps on through a rolling restart, with other rules in the middle of it", function()
        local run = new("rolling", long and 30000 or 4000)
        local changes, engines, all = { change(run, 0) }, {}, {}
        local function start(i)
            engines[i] = run:start()
            all[#all + 1] = engines[i]
        end
        for i = 1, 3 do start(i) end
        active(engines[1])
        local rounds = long and 4 or 1
        for round = 1, rounds do
            for i = 1, 3 do
                run:write(math.floor(#run.list / (3 * rounds + 2)))
                process.sleep(0.5 + math.random() / 2)
                if i == 2 then
                    changes[#changes + 1] = change(run, round)
                    for _, engine in ipairs(engines) do engine:signal "HUP" end
                    process.sleep(math.random() * 0.6)
                end
                faults.stop(engines[i])
                start(i)
                process.sleep(1 + math.random())
            end
        end
        finish(run, engines)
        assert.is_true(one_version_each(run, changes, all) > 1, "all orders were judged by one version")
        run:close()
    end)

    if long then it("keeps on while a process joins, leaves or dies every few seconds for two minutes, and the rules change in between", function()
        local run = new("crowd", 60000)
        local changes, engines, all = { change(run, 0) }, {}, {}
        local function join()
            engines[#engines + 1] = run:start()
            all[#all + 1] = engines[#engines]
        end
        join()
        local began, rounds = process.now(), 0
        while process.now() - began < 120 do
            rounds = rounds + 1
            run:write(math.floor(#run.list / 80))
            if rounds % 5 == 0 then changes[#changes + 1] = change(run, #changes) end
            if #engines == 0 or #engines < 3 and math.random() < 0.6 then
                join()
            else
                local gone = table.remove(engines, math.random(#engines))
                gone:signal(math.random() < 0.5 and "KILL" or "TERM")
                assert(gone:wait(20), "does not end\n" .. gone.err:sub(-3000))
            end
            process.sleep(0.5 + math.random() * 2.5)
            for _, engine in ipairs(engines) do engine:pump(0) end
        end
        if #engines == 0 then join() end
        finish(run, engines)
        one_version_each(run, changes, all)
        run:close()
    end) end

    local POINTS = long and { "proposal-written", "proposal-read", "drained-written", "ends-written", "switch-due", "switched", "switched-written" }
        or { "proposal-read", "ends-written", "switched" }

    for _, delivery in ipairs { "exactly_once", "at_least_once" } do it("goes on where processes are killed while rules go round, " .. delivery, function()
        local run, again = new("inside", long and 40000 or 5000, delivery), long and 3 or 1
        local changes, all = { change(run, 0) }, {}
        local function start(point)
            local times = point == "proposal-written" and 1 or math.random(2)   -- only the leader gets there
            all[#all + 1] = run:start(point and { ANANAS_FAILPOINT = point .. ":" .. times }, point and "faults")
            return all[#all]
        end
        local engine = start()
        active(engine)
        local share = math.floor(#run.list / (2 * again * #POINTS + 3))
        run:write(share)
        faults.caught_up(run, { engine }, 60)   -- who begins without state begins with the files as they are
        for round = 1, again * #POINTS do
            local point = POINTS[(round - 1) % #POINTS + 1]
            local doomed = { start(point), start(point) }
            local function dead()
                for _, d in ipairs(doomed) do
                    d:pump(0)
                    if d:poll_status() then return true end
                end
            end
            assert(process.eventually(30, function()
                return dead() or said(doomed[1], "process is active") > 0 and said(doomed[2], "process is active") > 0
            end), doomed[1].err .. doomed[2].err)
            faults.stop(engine)
            run:write(share)
            changes[#changes + 1] = change(run, round)
            for _, d in ipairs(doomed) do d:signal "HUP" end
            assert(process.eventually(60, dead), point .. " was not reached\n" .. doomed[1].err:sub(-3000) .. doomed[2].err:sub(-3000))
            for _, d in ipairs(doomed) do
                assert(not d:poll_status() or d:poll_status().signal == 9, d.err:sub(-3000))
            end
            engine = start()
            run:write(share)
            process.sleep(math.random())
            for _, d in ipairs(doomed) do
                d:signal "KILL"
                d:wait(5)
            end
            active(engine)
        end
        -- Every task gets to the last of them, whatever happened.
        assert(process.eventually(60, function() return said(engine, changes[#changes].set .. " takes effect at") >= TASKS end), engine.err)
        if delivery == "exactly_once" then
            finish(run, { engine })
            local used = one_version_each(run, changes, all)
            assert.is_true(used > 1, used .. " versions judged orders")   -- how many more, is how soon they die
        else
            nothing_lost(run, { engine })
        end
        run:close()
    end) end

    -- What was said before it was committed would be the rules of some tasks, and those of the next leader of others.
    it("begins with the rules of the leader that is, where the first died before its first commit", function()
        local run = new("founder", 1000, "at_least_once")
        change(run, 0)
        local first = run:start({ ANANAS_FAILPOINT = "begun:1" }, "faults")
        local status = first:wait(30)
        assert(status and status.signal == 9, first.err)
        local now = change(run, 1)
        local second = run:start()
        active(second)
        nothing_lost(run, { second })
        for _, r in ipairs(committed(run, "seen")) do
            for _, header in ipairs(r.headers) do
                if header[1] == "ananas-rule-version" then assert.equal(now.seen, header[2]) end
            end
        end
        run:close()
    end)

    -- The next leader's files are those that ran before. What a leader proposed goes through where that was committed, since
    -- some task may have switched; then the files of the one that leads go round.
    for _, case in ipairs { { "proposal-written", false }, { "proposal-read", true }, { "ends-written", true } } do
        local point, proposed = case[1], case[2]
        it(("ends with the files of the leader that is, where the one before died at %q"):format(point), function()
            local run = new("heir", 3000)
            local before = change(run, 0)
            local heir = elsewhere(run, nil, [[ ["fetch.min.bytes"] = "1000000", ["fetch.wait.max.ms"] = "400", ]])   -- it leads before it hears
            local first = run:start({ ANANAS_FAILPOINT = point .. (point == "ends-written" and ":1" or ":2") }, "faults")
            active(first)
            run:write(1000)
            faults.caught_up(run, { first }, 60)
            local after = change(run, 1)
            first:signal "HUP"
            local status = first:wait(30)
            assert(status and status.signal == 9, first.err)
            local second = heir()
            active(second)
            run:write(500)
            local changes = proposed and { before, after, before } or { before }
            -- At least so often: a task that starts again once more says it once more.
            local there, back = after.set .. " takes effect at", before.set .. " takes effect at"
            assert(process.eventually(60, function()
                return not proposed or said(second, there) >= TASKS and said(second, back) >= TASKS
            end), second.err)
            run:write(500)
            finish(run, { second })
            assert.equal(proposed, said(second, "was proposed before and is not that of this process, which leads") > 0, second.err)
            assert.equal(proposed, said(second, back) > 0, second.err)
            one_version_each(run, changes, { first, second })
            run:close()
        end)
    end
end)
