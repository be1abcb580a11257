-- Several tasks give what one gives: random rule sets and records (tests/support/parallel_worlds.lua), any interleaving of
-- the tasks' steps, any commits, aborts and deaths. The tasks live in this process (tests/support/topology.lua).

local topology = require "tests.support.topology"
local worlds = require "tests.support.parallel_worlds"
local orders = require "tests.support.orders"
local lib = topology.lib

local SEED = tonumber(os.getenv "SEED") or os.time() % 100000
local WORLDS = tonumber(os.getenv "WORLDS") or 24

local config = [[
source "s" { topic = "s", event_time = "ts", watermark = "100ms", max_ahead = "none" }
rules "rules"
]]
local function record(time, kind, more)
    return { key = "k", value = ('{"ts":%d,"kind":"%s"%s}'):format(time, kind, more or "") }
end
local counting = 'rule "r" { from = "s", window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }, to = "out", time_format = "epoch_ms", select = { "kind", "window_end", "n" } }'

local function compare(seed, o)
    local world = worlds.make(seed, o)
    local one, n = worlds.run(world, 1, { seed = 1 }), 2 + seed % 3
    local trouble = seed % 2 == 0
    local many = worlds.run(world, n, { seed = seed, trouble = trouble, most = 1 + seed % 40 })
    local difference = worlds.difference(one, many, not trouble)
    assert(not difference, ("SEED=%d, %d tasks, rules %s\n%s"):format(seed, n, table.concat(world.names, " "), difference or ""))
    return #one.outputs
end

describe("several tasks", function()
    it("commit what one does, rows beyond the bound and order of arrival included, where one partition fixes them; SEED " .. SEED, function()
        local outputs = 0
        for seed = SEED, SEED + WORLDS - 1 do outputs = outputs + compare(seed, { late = true }) end
        assert.is_true(outputs > WORLDS * 20)
    end)

    it("commit what one does over several partitions, of which one has nothing; SEED " .. SEED, function()
        local outputs = 0
        for seed = SEED, SEED + WORLDS - 1 do outputs = outputs + compare(seed, { partitioned_by = seed % 3 == 0 }) end
        assert.is_true(outputs > WORLDS * 20)
    end)

    it("commit something else where a frame is lost", function()
        local found = 0
        for seed = 1, 6 do
            local world, lost = worlds.make(seed, { late = true }), 0
            local one = worlds.run(world, 1, { seed = 1 })
            local ok, many = pcall(worlds.run, world, 3, { seed = seed, tamper = function(f)
                if #f.value > 200 then lost = lost + 1 end
                return #f.value > 200 and lost % 5 == 1
            end })
            if not ok or worlds.difference(one, many) then found = found + 1 end
        end
        assert.is_true(found >= 5, found .. " of 6 were found")
    end)

    it("refuse a frame that is torn, of another topology or of other rules", function()
        local t = topology.open { config = config, rules = counting, n = 2 }
        t:partitions("s", 2)
        t:begin()
        local whole = t.frames[1][1].value
        local k = t.tasks[1]
        assert.has_error(function() t:step(k, { { "frame", 0, { value = whole:sub(1, -2) } } }) end)
        assert.has_error(function() t:step(k, { { "frame", 0, { value = '{"id":7}' } } }) end)
        local other = topology.open { config = config, rules = counting, n = 3 }
        other:partitions("s", 2)
        other:begin()
        assert.has_error(function() t:step(k, { { "frame", 0, other.frames[1][1] } }) end)
        other:close()
        other = topology.open { config = config, rules = counting:gsub('"r"', '"q"'), n = 2 }
        other:partitions("s", 2)
        other:begin()
        assert.has_error(function() t:step(k, { { "frame", 0, other.frames[1][1] } }) end)
        other:close()
        t:close()
    end)

    it("wait for each other's first word, and no longer", function()
        local t = topology.open { config = config, rules = counting, n = 3 }
        t:partitions("s", 1)
        for i = 0, 2 do assert.equal(1, lib.task_waits(t.tasks[i].task)) end
        t:begin()
        for i = 0, 2 do assert.equal(1, lib.task_waits(t.tasks[i].task)) end
        t:settle()
        for i = 0, 2 do assert.equal(0, lib.task_waits(t.tasks[i].task)) end
        t:kill(t.tasks[1])
        assert.equal(0, lib.task_waits(t.tasks[1].task))
        t:close()
    end)

    it("close windows of an idle partition's keys with the others' watermark, and all with the clock", function()
        local t = topology.open { config = config, rules = counting .. '\nrule "own" { from = "s", window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }, to = "own" }', n = 2 }
        t:partitions("s", 2)
        t:append("s", 0, record(1000, "a"))
        t:append("s", 0, { idle = true })
        t:append("s", 1, record(1100, "b"))
        t:append("s", 1, record(2200, "b"))
        t:run { seed = 1, stay = true }
        t:settle()
        local function of_r()
            local list = {}
            for _, o in ipairs(t.outputs) do if o.topic == "out" then list[#list + 1] = o.value end end
            table.sort(list)
            return list
        end
        assert.same({ '{"kind":"a","window_end":2000,"n":1}', '{"kind":"b","window_end":2000,"n":1}' }, of_r())
        -- One partition is still awake: the clock moves nothing.
        for _, time in ipairs { 5000, 9000 } do
            for i = 0, 1 do t:step(t.tasks[i], { { "clock", time } }) t:commit(t.tasks[i]) end
            t:settle()
        end
        assert.equal(2, #of_r())
        t:append("s", 1, { idle = true })
        t:run { seed = 1, stay = true }
        t:settle()
        for _, time in ipairs { 20000, 21000 } do
            for i = 0, 1 do t:step(t.tasks[i], { { "clock", time } }) t:commit(t.tasks[i]) end
            t:settle()
        end
        assert.same({ '{"kind":"a","window_end":2000,"n":1}', '{"kind":"b","window_end":2000,"n":1}', '{"kind":"b","window_end":3000,"n":1}' }, of_r())
        t:close()
    end)

    it("have nothing to say when nothing happened", function()
        local t = topology.open { config = config, rules = counting, n = 2 }
        t:partitions("s", 2)
        t:append("s", 0, record(1000, "a"))
        t:run { seed = 1 }
        for i = 0, 1 do
            assert.equal(0, lib.task_unsent(t.tasks[i].task))
            t:step(t.tasks[i], { { "clock", 5 } })
            assert.equal(0, lib.task_unsent(t.tasks[i].task))
        end
        t:close()
    end)

    it("make as many rounds as task_rounds says until nothing is on its way", function()
        local chain = counting .. '\nrule "two" { from = "r", window = tumble "2s", group_by = { "n" }, aggregate = { k = count() }, to = "two" }\n' ..
            'rule "three" { from = "two", window = tumble "4s", group_by = { "k" }, aggregate = { j = count() }, to = "three" }'
        local t = topology.open { config = config, rules = chain, n = 4 }
        assert.equal(4, lib.task_rounds(t.tasks[0].task))
        t:partitions("s", 4)
        local random = topology.randomness(SEED)
        for i = 1, 400 do t:append("s", i % 4, record(i * 20 - random(50), "k" .. random(5))) end
        t:run { seed = SEED, stay = true }
        for i = 0, 3 do t:commit(t.tasks[i]) end
        assert.is_true(t:settle() <= 4 + 1, "one more that finds nothing")
        t:close()
    end)
end)

-- What one task commits around a reload between two records, several do around one at a cut they share.
describe("a reload of several tasks", function()
    local function rule(clauses) return 'rule "r" { from = "s", to = "out", time_format = "epoch_ms", ' .. clauses .. " }" end
    local CASES = {
        { "kept state", rule 'window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }, having = function(g) return g.n > 1 end',
            rule 'window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }, having = function(g) return g.n > 2 end' },
        { "another aggregate", rule 'window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }',
            rule 'window = tumble "1s", group_by = { "kind" }, aggregate = { n = count(), v = sum "v" }' },
        { "another size", rule 'window = tumble "3s", group_by = { "kind" }, aggregate = { n = count() }',
            rule 'window = tumble "2s", group_by = { "kind" }, aggregate = { n = count() }' },
        { "other keys", rule 'window = tumble "2s", group_by = { "kind" }, aggregate = { n = count() }',
            rule 'window = tumble "2s", group_by = { "shop" }, aggregate = { n = count() }' },
        { "no keys any more", rule 'window = tumble "2s", group_by = { "kind" }, aggregate = { n = count() }',
            rule 'window = tumble "2s", aggregate = { n = count() }' },
        { "other keys of overlapping windows", rule 'window = hop { size = "2s", slide = "500ms" }, group_by = { "kind" }, aggregate = { n = count() }',
            rule 'window = hop { size = "2s", slide = "500ms" }, group_by = { "shop" }, aggregate = { n = count() }' },
        { "another gap", rule 'window = session { gap = "60ms" }, group_by = { "shop" }, aggregate = { n = count() }',
            rule 'window = session { gap = "90ms" }, group_by = { "shop" }, aggregate = { n = count() }', partitions = 1 }, -- arrival decides
        { "a rule added", rule 'window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }',
            rule 'window = tumble "1s", group_by = { "kind" }, aggregate = { n = count() }' ..
            '\nrule "more" { from = "r", window = tumble "2s", group_by = { "n" }, aggregate = { k = count() }, to = "more" }' },
    }
    local function run(case, n, seed)
        local t, random = topology.open { config = config, rules = case[2], n = n }, topology.randomness(5)
        t:partitions("s", case.partitions or 3)
        local function some(from, to)
            for i = from, to do
                t:append("s", random(case.partitions or 3) - 1, record(i * 10 - random(40), "k" .. random(5), (',"shop":"s%d","v":%d'):format(random(4), random(9))))
            end
        end
        some(1, 300)
        t:run { seed = seed, most = 10, trouble = true, stay = true }
        for i = 0, n - 1 do t:commit(t.tasks[i]) end
        t:reload(case[3])
        some(301, 600)
        t:run { seed = seed + 1, most = 10 }
        t.lates = {}
        t:close()
        return t
    end
    for _, case in ipairs(CASES) do
        it("gives what one of one task does: " .. case[1], function()
            local one = run(case, 1, 1)
            assert.is_true(#one.outputs > 8)
            for n = 2, 4 do
                local difference = worlds.difference(one, run(case, n, SEED + n))
                assert(not difference, ("SEED=%d, %d tasks\n%s"):format(SEED, n, difference or ""))
            end
        end)
    end
end)

local function sent(t)
    local s = { rows = 0, gathered = 0, partials = 0, bytes = 0, frames = 0 }
    for i = 0, t.n - 1 do
        local task = t.tasks[i].task
        local d = lib.task_view_dispatch(task)
        s.bytes, s.frames = s.bytes + tonumber(d.bytes), s.frames + tonumber(d.frames)
        for r = 0, lib.task_plan(task).n_rules - 1 do
            local x = lib.task_view_exchange(task, r)
            if x ~= nil then
                s.rows, s.gathered, s.partials = s.rows + tonumber(x.rows), s.gathered + tonumber(x.gathered), s.partials + tonumber(x.partials)
            end
        end
    end
    return s
end

local pizza_config = [[
source "pizzas" { topic = "pizzas", metadata = { orderTimestamp = "timestamp" }, event_time = "orderTimestamp", watermark = "5s", max_ahead = "none" }
rules "rules"
]]
local function pizza_rules()
    local file = assert(io.open "rules/pizza.lua")
    local text = file:read "*a"
    file:close()
    return text
end

describe("the shipped rules", function()
    local ORDERS = tonumber(os.getenv "ORDERS") or 50000

    local function run(rules, n, seed, o)
        local t = topology.open { config = pizza_config, rules = rules, n = n }
        t:partitions("pizzas", 3)
        for r in orders.each { n = o.n or ORDERS, seed = 7, partitions = 3, disorder = 3000, bad = 0.002 } do
            t:append("pizzas", r.partition, { key = r.key, value = r.payload, ts = r.ts })
        end
        t:run { seed = seed, most = 3000, trouble = o.trouble }
        t.sent = n > 1 and sent(t)
        t.lates = {}
        t:close()
        return t
    end

    it("give over " .. ORDERS .. " orders in four tasks, with aborts and deaths, what they give in one; SEED " .. SEED, function()
        local one = run(pizza_rules(), 1, 1, {})
        local many = run(pizza_rules(), 4, SEED, { trouble = true })
        assert.is_true(#one.outputs > ORDERS / 10)
        local difference = worlds.difference(one, many)
        assert(not difference, difference)
    end)

    it("send sums instead of rows where aggregates merge", function()
        local window = 'rule "bad" { from = "pizzas", unnest = "pizzas[].additionalToppings[] as topping", select = { "topping" } }\n' ..
            'rule "rush" { from = "bad", window = tumble "5s", group_by = { "topping" }, aggregate = { n = count() }, to = "rush"%s }'
        local added = run(window:format "", 4, 3, { n = 5000 })
        local plain = run(window:format ', lateness = "1ms"', 4, 3, { n = 5000 })
        print(("\n5000 orders, toppings counted in 5 s windows by 4 tasks: %d rows in %d frames of %d bytes; added up: %d rows, %d partials, %d frames of %d bytes"):format(
            plain.sent.rows, plain.sent.frames, plain.sent.bytes, added.sent.rows, added.sent.partials, added.sent.frames, added.sent.bytes))
        assert.equal(plain.sent.rows, added.sent.rows + added.sent.gathered)
        assert.is_true(added.sent.partials * 5 < plain.sent.rows)
        assert.is_true(added.sent.bytes * 3 < plain.sent.bytes)
    end)
end)
