-- Where thousands of groups close at once, `having` is asked as they come and what does not stand is forgotten. What a rule
-- writes and counts is what it writes where nothing may be forgotten: since another rule reads the same state, or since its
-- windows take rows for a millisecond longer (none is late).

local engine = require "tests.support.engine"
local task_engine = require "tests.support.task_engine"
engine.use "task_parts"

local seed = _G.SEED or tonumber(os.getenv "SEED") or 1
local cases = tonumber(os.getenv "CASES") or 24

local function pick(list) return list[math.random(#list)] end

local WINDOWS = { 'tumble "1s"', 'tumble "100ms"', 'hop { size = "400ms", slide = "200ms" }', 'cumulate { size = "600ms", step = "300ms" }',
    'session { gap = "50ms" }' }
local FOLD = "n = count(), worst = last(\"list\"), sum = fold({}, function(a, r) a[#a + 1] = r.v return a end)" -- nobody shares it
local AGGREGATES = { "n = count(), total = sum(\"v\")", "n = count()", "n = count(), all = listagg(\"note\"), least = min(\"note\"), mean = avg(\"v\")",
    "n = count(), worst = first(\"list\")", FOLD }
local HAVING = {
    "function(g) return false end", "function(g) return true end", "function(g) return g.n > 1 end", 'function(g) return g.k:find("7", 1, true) ~= nil end',
    'function(g) if g.k:find("99", 1, true) then error "no nines" end return g.n % 2 == 1 end' }

-- Some overrun, in one window or another.
local function random_having()
    local n = math.random(4, 14)
    return math.random(3) == 1 and ("function(g) while g.n > %d do end return g.n < 3 end"):format(n) or pick(HAVING)
end

local function rule(name, shape, having, top)
    return ('rule "%s" { from = "s", window = %s, group_by = { "k" }, aggregate = { %s }, having = %s, %s late_to = "late", time_format = "epoch_ms", to = "%s" }\n')
        :format(name, shape.window, shape.aggregates, having, top and 'top = { n = 5, by = "n desc" },' or "", name)
end

-- Most keys once or twice, a few often; some need escapes, some are long.
local function records(n, keys)
    local events = {}
    for i = 1, n do
        local k = math.random(40) == 1 and math.random(3) or math.random(keys)
        events[i] = { offset = i, text = ('{"ts":%d,"k":"key %d \\u00e9\\n%s","v":%d,"note":"n\\"%d","list":[%d,"x"]}'):format(
            math.floor(i / n * 900), k, k % 5 == 0 and ("long"):rep(10) or "", i % 7, i % 100, i) }
    end
    return events
end

local function tell(text, events)
    local task = task_engine.new(text, { time_ms = 60 })
    local out, most = {}, 0
    local function step(list)
        for _, r in ipairs(task:step(list)) do
            if r.topic ~= "twin" then out[#out + 1] = ("%s %d %s %s"):format(r.topic, r.time, r.key or "-", r.value or "-") end
        end
        task:commit()
        most = math.max(most, task:entries())
        assert.equal(0, tonumber(task.task.sieve.used))
    end
    for from = 1, #events, 1500 do step { unpack(events, from, math.min(#events, from + 1499)) } end
    step { { watermark = 5000 } }
    local stats = task:stats().r
    task:free()
    return out, stats, most
end

describe(("groups that close by the thousand, SEED=%d,"):format(seed), function()
    it(("write and count the same, sifted or not: %d random rules"):format(cases), function()
        local written = 0
        for case = 1, cases do
            math.randomseed(seed * 100003 + case)
            local shape, having, top = { window = pick(WINDOWS), aggregates = pick(AGGREGATES) }, random_having(), math.random(4) == 1
            local events = records(math.random(2000, 6000), math.random(1000, 5000))
            local text = rule("r", shape, having, top)
            local alone, own, most = tell(text, events)
            local kept, stats, most_kept
            if shape.aggregates == FOLD then
                kept, stats = tell(text:gsub("late_to", 'lateness = "1ms", late_to'), events)
                own.open, stats.open = nil, nil             -- fired windows are still there where it overran
            else
                kept, stats, most_kept = tell(text .. rule("twin", shape, "function(g) return false end", top), events)
                assert.is_true(own.quarantined == 1 or most_kept < most * 1.5, ("case %d: they do not share a state"):format(case))
            end
            assert.same(kept, alone, ("case %d: %s having %s"):format(case, shape.window, having))
            assert.same(stats, own, ("case %d: counters"):format(case))
            written = written + #alone
        end
        assert.is_true(written > 0)
    end)

    -- Bytes of the step in which all windows close.
    local function used(window, having)
        local task = task_engine.new(rule("r", { window = window, aggregates = "n = count()" }, having))
        for from = 0, 19 do
            local events = {}
            for i = 1, 1000 do events[i] = { offset = from * 1000 + i, text = ('{"ts":%d,"k":"key %d"}'):format(i % 20, from * 1000 + i) } end
            task:step(events)
            task:commit()
        end
        local out = task:step { { watermark = 5000 } }
        local bytes = tonumber(task.task.arena.used)
        task:free()
        return bytes, #out
    end

    it("take the room of what is written", function()
        local none, n_none = used('tumble "1s"', "function(g) return g.n > 1 end")
        local all, n_all = used('tumble "1s"', "function(g) return g.n == 1 end")
        assert.same({ 0, 20000 }, { n_none, n_all })
        assert.is_true(none < all / 10, ("%d bytes where nothing is written, %d where all is"):format(none, all))
    end)

    it("take the same room a row however many windows close at once", function()
        local one, rows = used('tumble "1s"', "nil")
        local many, more = used('hop { size = "1s", slide = "25ms" }', "nil")
        assert.is_true(more > 30 * rows)
        assert.is_true(many / more < 2.5 * one / rows, ("%.0f bytes a row, %.0f in one window"):format(many / more, one / rows))
    end)
end)
