-- Rules that keep one state between them give what each would give alone, whatever happens on the way.

local task_engine = require "tests.support.task_engine"

local seed = _G.SEED or tonumber(os.getenv "SEED") or 1
local cases = tonumber(os.getenv "CASES") or 24

local WINDOWS = { 'tumble "10ms"', 'tumble "7ms"', 'hop { size = "20ms", slide = "5ms" }', 'cumulate { size = "20ms", step = "5ms" }',
    'session { gap = "4ms" }' }
local WHERES = { "", "where = function(r) return r.v > 2 end,", "where = function(r) return r.v + r.n > 3 end,", 'where = function(r) return r.k ~= "b" end,' }
local GROUPS = { 'group_by = { "k" },', 'group_by = { "k", "v" },', "" }
local AGGREGATES = { "n = count(), total = sum(\"v\")", "n = count()", "n = count(), all = listagg(\"v\"), top = max(\"n\")",
    "n = count(function(r) return r.v > 1 end), worst = first(\"v\")" }

local function pick(list) return list[math.random(#list)] end

-- What shapes the state, from a few that occur often, so that rules meet.
local function shape()
    return { window = pick(WINDOWS), where = pick(WHERES), group = pick(GROUPS), aggregates = pick(AGGREGATES) }
end

local function decision()
    local roll = math.random(12)
    if roll == 1 then return 'having = function(g) if g.n > 3 then error "too many" end return g.n > 0 end,' end
    if roll == 2 then return "having = function(g) while g.n > 4 do end return true end," end
    if roll == 3 then return 'top = { n = 2, by = "n desc" },' end
    if roll == 4 then return "" end
    return ("having = function(g) return g.n > %d end,"):format(math.random(0, 4))
end

local function text_of(name, rule)
    local s = rule.shape
    return ('rule "%s" { from = "s", %s window = %s, %s aggregate = { %s }, %s late_to = "late_%s", time_format = "epoch_ms", to = "%s" }\n')
        :format(name, s.where, s.window, s.group, s.aggregates, rule.decision, name, name)
end

-- Rules by name, changed a little.
local function changed(rules, shapes)
    local after = {}
    for i = 1, 6 do
        local name, roll = "r" .. i, math.random(10)
        local rule = rules[name]
        if not rule then
            rule = math.random(3) > 1 and { shape = pick(shapes), decision = decision() } or nil
        elseif roll == 1 then
            rule = nil
        elseif roll == 2 then
            rule = { shape = pick(shapes), decision = rule.decision }
        elseif roll <= 4 then
            rule = { shape = rule.shape, decision = decision() }
        end
        after[name] = rule
    end
    return after
end

local ALWAYS = 'rule "other" { from = "s", select = { "ts" }, to = "other" }\n'

local function text_of_set(rules, only)
    local out = { ALWAYS }
    for name, rule in pairs(rules) do
        if not only or only == name then out[#out + 1] = text_of(name, rule) end
    end
    table.sort(out)
    return table.concat(out)
end

-- What happens, in order: steps of records, reloads (just behind a commit), and what must not show.
local function story()
    local shapes, happenings, offset, at = { shape(), shape() }, {}, 0, 0
    local rules = changed({}, shapes)
    local first = rules
    for _ = 1, math.random(6, 14) do
        local events = {}
        for _ = 1, math.random(0, 12) do
            at = at + math.random(0, 4)
            local ts = math.random(8) == 1 and at - math.random(30) or at - math.random(0, 3)
            local v = math.random(20) == 1 and '"x"' or tostring(math.random(0, 5))
            events[#events + 1] = { offset = offset, text = ('{"ts":%d,"k":"%s","v":%s,"n":%d}'):format(ts, pick { "a", "b", "c" }, v, math.random(3)) }
            offset = offset + 1
        end
        happenings[#happenings + 1] = { step = events }
        local roll = math.random(8)
        if roll <= 3 then
            rules = changed(rules, shapes)
            happenings[#happenings + 1] = { commit = true }
            happenings[#happenings + 1] = { reload = rules }
            happenings[#happenings + 1] = { commit = true }
        elseif roll == 4 then
            happenings[#happenings + 1] = { commit = true }
        elseif roll == 5 then
            happenings[#happenings + 1] = { crash = "abort" }
        elseif roll == 6 then
            happenings[#happenings + 1] = { crash = "restart" }
        end
    end
    happenings[#happenings + 1] = { step = { { watermark = at + 1000 } } }
    happenings[#happenings + 1] = { commit = true }
    return first, happenings
end

local function line(r) return ("%s %d %s %s"):format(r.topic, r.time, r.key or "-", r.value or "-") end

-- Runs a story with all rules or with one; output lines by topic, and statistics at the end. Crashes only where asked for:
-- what followed the last commit then happens again.
local function tell(first, happenings, only, crashes)
    local task = task_engine.new(text_of_set(first, only), { time_ms = 40 })
    local out, pending, since = {}, {}, {}
    task:commit()
    local saved = task:saved()
    local function step(events)
        for _, r in ipairs(task:step(events)) do pending[#pending + 1] = r end
    end
    for _, h in ipairs(happenings) do
        if h.step then
            since[#since + 1] = h.step
            step(h.step)
        elseif h.reload then
            task:reload(text_of_set(h.reload, only))
        elseif h.commit then
            task:commit()
            saved = task:saved()
            for _, r in ipairs(pending) do
                out[r.topic] = out[r.topic] or {}
                table.insert(out[r.topic], line(r))
            end
            pending, since = {}, {}
        elseif crashes then
            pending = {}
            if h.crash == "abort" and not saved.hands_over and not task:hands_over() then task:abort(saved) else task:restart(saved) end
            for _, events in ipairs(since) do step(events) end
        end
    end
    local stats = task:stats()
    task:free()
    return out, stats
end

local function compare(first, happenings, case)
    local together, stats = tell(first, happenings, nil, false)
    local crashed = tell(first, happenings, nil, true)
    for i = 1, 6 do
        local name = "r" .. i
        local alone, own = tell(first, happenings, name, false)
        for _, topic in ipairs { name, "late_" .. name } do
            assert.same(alone[topic], together[topic], ("case %d: %s beside the others"):format(case, topic))
            assert.same(alone[topic], crashed[topic], ("case %d: %s beside the others, with crashes"):format(case, topic))
        end
        assert.same(own[name], stats[name], ("case %d: counters of %s"):format(case, name))
    end
end

describe(("rules that share a state, SEED=%d,"):format(seed), function()
    it(("give, each, what it gives alone: %d random sets through reloads, aborts, restarts and quarantines"):format(cases), function()
        for case = 1, cases do
            math.randomseed(seed * 100003 + case)
            local first, happenings = story()
            compare(first, happenings, case)
        end
    end)

    local function copies(n, from)
        local list = {}
        for i = from or 1, n do
            list[#list + 1] = ('rule "r%03d" { from = "s", window = tumble "1000ms", group_by = { "k" }, aggregate = { n = count() }, having = function(g) return g.n > %d end, to = "r" }\n')
                :format(i, i)
        end
        return table.concat(list)
    end

    local function keys(n, from)
        local events = {}
        for i = 1, n do events[i] = { offset = (from or 0) + i, text = ('{"ts":%d,"k":"key %d"}'):format(i % 50, i) } end
        return events
    end

    it("keep it once", function()
        local task = task_engine.new(copies(20))
        task:step(keys(100))
        assert.is_true(task:entries() < 100 + 2 * 20 + 2)      -- each rule has two entries of its own
        task:free()
    end)

    it("pass it on when the one that has it is taken away", function()
        local task = task_engine.new(copies(20))
        task:step(keys(100))
        task:commit()
        task:reload(copies(20, 2))
        task:commit()
        assert.is_true(task:entries() < 100 + 2 * 20 + 2)      -- each rule has two entries of its own
        local stats = task:stats()
        assert.equal(100, stats.r002.open)
        assert.equal(100, stats.r020.open)
        task:free()
    end)

    it("leave it to one that keeps it where others of them hand over", function()
        local function set(window)
            local list = {}
            for i, size in ipairs { window, window, "1000ms" } do
                list[i] = ('rule "r%d" { from = "s", window = tumble "%s", group_by = { "k" }, aggregate = { n = count() }, having = function(g) return g.n > %d end, to = "r%d" }\n')
                    :format(i, size, i - 1, i)
            end
            return table.concat(list)
        end
        local task = task_engine.new(set "1000ms")
        for _ = 1, 3 do task:step(keys(10)) end
        task:commit()
        task:reload(set "700ms")
        local seen = {}
        for _, r in ipairs(task:step { { watermark = 5000 } }) do seen[r.topic] = (seen[r.topic] or 0) + 1 end
        task:free()
        assert.same({ r1 = 10, r2 = 10, r3 = 10 }, seen)
    end)

    it("take in one that came later as soon as its state is the same", function()
        local task = task_engine.new(copies(2))
        task:step(keys(100))
        task:commit()
        task:reload(copies(3))
        task:step(keys(10, 100))
        task:commit()
        assert.is_true(task:entries() > 105 and task:stats().r003.open == 10)
        task:step { { watermark = 2000 } }
        for i = 1, 8 do task:step { { offset = 200 + i, text = ('{"ts":2500,"k":"key %d"}'):format(i) } } end
        task:commit()
        assert.is_true(task:entries() < 8 + 3 + 4)
        task:free()
    end)

    it("stay away where a version of them overran on its way out, whenever the task is made again", function()
        local function set(window)
            return ('rule "r1" { from = "s", window = %s, group_by = { "k" }, aggregate = { n = count() }, having = function(g) while g.n > 2 do end return true end, time_format = "epoch_ms", to = "r1" }\n')
                :format(window)
        end
        local function at(offset, ts) return { offset = offset, text = ('{"ts":%d,"k":"a"}'):format(ts) } end
        for restarts = 0, 1 do
            local task = task_engine.new(set 'hop { size = "20ms", slide = "10ms" }', { time_ms = 40 })
            task:step { at(1, 5), at(2, 12), at(3, 15) }
            task:commit()
            task:reload(set 'tumble "20ms"')
            task:commit()
            assert.same({}, task:step { { watermark = 25 } })       -- [0, 20) has three: it overran, with [10, 30) still open
            task:commit()
            if restarts == 1 then task:restart(task:saved()) end
            assert.same({}, task:step { at(4, 41) }, ("%d restarts"):format(restarts))
            assert.is_false(task:hands_over())
            task:free()
        end
    end)
end)
