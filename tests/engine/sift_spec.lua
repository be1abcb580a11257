-- Where thousands of groups close at once, `having` is asked as they come and what does not stand is forgotten. What a rule
-- writes and counts is what it writes where nothing may be forgotten, since another rule reads the same state.

local engine = require "tests.support.engine"
local task_engine = require "tests.support.task_engine"
engine.use "task_parts"

local seed = _G.SEED or tonumber(os.getenv "SEED") or 1
local cases = tonumber(os.getenv "CASES") or 24

local function pick(list) return list[math.random(#list)] end

local WINDOWS = { 'tumble "1s"', 'tumble "100ms"', 'hop { size = "400ms", slide = "200ms" }', 'cumulate { size = "600ms", step = "300ms" }',
    'session { gap = "50ms" }' }
local AGGREGATES = { "n = count(), total = sum(\"v\")", "n = count()", "n = count(), all = listagg(\"note\"), least = min(\"note\"), mean = avg(\"v\")",
    "n = count(), worst = first(\"list\"), sum = fold(0, function(a, r) return a + r.v end)" }
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
    local out = {}
    local function step(list)
        for _, r in ipairs(task:step(list)) do
            if r.topic ~= "twin" then out[#out + 1] = ("%s %d %s %s"):format(r.topic, r.time, r.key or "-", r.value or "-") end
        end
        task:commit()
    end
    for from = 1, #events, 1500 do step { unpack(events, from, math.min(#events, from + 1499)) } end
    step { { watermark = 5000 } }
    local stats = task:stats().r
    task:free()
    return out, stats
end

describe(("groups that close by the thousand, SEED=%d,"):format(seed), function()
    it(("write and count the same, sifted or not: %d random rules"):format(cases), function()
        local written = 0
        for case = 1, cases do
            math.randomseed(seed * 100003 + case)
            local shape, having, top = { window = pick(WINDOWS), aggregates = pick(AGGREGATES) }, random_having(), math.random(4) == 1
            local events = records(math.random(2000, 6000), math.random(1000, 5000))
            local alone, own = tell(rule("r", shape, having, top), events)
            local beside, stats = tell(rule("r", shape, having, top) .. rule("twin", shape, "function(g) return false end"), events)
            assert.same(beside, alone, ("case %d: %s having %s"):format(case, shape.window, having))
            assert.same(stats, own, ("case %d: counters"):format(case))
            written = written + #alone
        end
        assert.is_true(written > 0)
    end)

    it("take the room of what is written", function()
        local function used(having)
            local task = task_engine.new(rule("r", { window = 'tumble "1s"', aggregates = "n = count()" }, having))
            for from = 0, 19 do
                local events = {}
                for i = 1, 1000 do events[i] = { offset = from * 1000 + i, text = ('{"ts":%d,"k":"key %d"}'):format(i % 900, from * 1000 + i) } end
                task:step(events)
                task:commit()
            end
            local out = task:step { { watermark = 5000 } }
            local bytes = tonumber(task.task.arena.used)
            task:free()
            return bytes, #out
        end
        local none, n_none = used "function(g) return g.n > 1 end"
        local all, n_all = used "function(g) return g.n == 1 end"
        assert.same({ 0, 20000 }, { n_none, n_all })
        assert.is_true(none < all / 10, ("%d bytes where nothing is written, %d where all is"):format(none, all))
    end)
end)
