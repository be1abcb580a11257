-- Versions of a rule that hand over: whose row is it, also where the process starts again while several leave.

local task_engine = require "tests.support.task_engine"

local seed = _G.SEED or tonumber(os.getenv "SEED") or 1
local cases = tonumber(os.getenv "CASES") or 60

local function rule(window, more)
    return ('rule "r" { from = "s", window = %s, aggregate = { ids = listagg("id"), n = count() }, time_format = "epoch_ms", to = "out", %s }\n')
        :format(window, more or "")
end

local function row(id, ts, k) return { text = ('{"id":%d,"ts":%d,"k":%d}'):format(id, ts, k or 1), offset = id } end

local function spans(out)
    local list = {}
    for i, record in ipairs(out) do
        local from, to, ids = record.value:match '"window_start":(%-?%d+),"window_end":(%-?%d+),.-"ids":"([%d,]*)"'
        list[i] = ("%s..%s: %s"):format(from, to, ids)
    end
    return list
end

local function add(list, more) for _, item in ipairs(more) do list[#list + 1] = item end end

-- Runs texts and steps in turn; again says whether the process ends and starts again behind a step.
local function play(story, again)
    local t = task_engine.new(story[1], { watermark = story.watermark })
    local out = {}
    for i = 2, #story do
        local item = story[i]
        if type(item) == "string" then t:reload(item) else add(out, t:step(item)) end
        t:commit()
        if again(i) then t:restart(t:saved()) end
    end
    t:free()
    return out
end

local function never() return false end
local function always() return true end

local END = { { watermark = 10000 } }

describe("a version that leaves before a window of its own was open", function()
    for name, again in pairs { ["in one run"] = never, ["with a restart behind each step"] = always } do
        it("shares nothing with the same text that comes back: tumble, " .. name, function()
            local a, b, first = rule 'tumble "10ms"', rule 'tumble "20ms"', rule 'tumble "30ms"'
            local out = play({ first, { row(1, 5), row(2, 20) }, a, b, a, { row(3, 29), row(4, 30), row(5, 35), row(6, 41) }, END,
                watermark = "10ms" }, again)
            assert.same({ "0..30: 1,2,3", "30..40: 4,5", "40..50: 6" }, spans(out))
        end)

        it("shares nothing with other aggregates of the same shape: hop, " .. name, function()
            local window = 'hop { size = "10ms", slide = "5ms" }'
            local function fold(step)
                return ([[rule "r" { from = "s", window = %s, aggregate = { ids = listagg("id"), n = fold(0, function(acc, r) return acc + %d end) },
                    time_format = "epoch_ms", to = "out" }]]):format(window, step)
            end
            local out = play({ rule 'tumble "30ms"', { row(1, 5) }, fold(1), fold(2), { row(2, 31) }, END, watermark = "10ms" }, again)
            assert.same({ "0..30: 1", "30..40: 2" }, spans(out))
            assert.truthy(out[2].value:find '"n":2')
        end)

        it("keeps its sessions from the same text that comes back: " .. name, function()
            local first, a, b = 'session { gap = "50ms" }', 'session { gap = "10ms" }', 'session { gap = "20ms" }'
            local by = 'group_by = { "k" },'
            local out = play({ rule(first, by), { row(1, 50, 1) }, rule(a, by), { row(2, 50, 2) }, rule(b, by), rule(a, by),
                { row(3, 55, 2), row(4, 90, 1), row(5, 200, 2) }, END, watermark = "100ms" }, again)
            assert.same({ "50..65: 2,3", "50..140: 1,4", "200..210: 5" }, spans(out))
        end)
    end
end)

describe("versions that hand over", function()
    local WINDOWS = { 'tumble "8ms"', 'tumble "20ms"', 'session { gap = "4ms" }', 'session { gap = "9ms" }' }
    local MORE = { "", 'group_by = { "k" },', 'group_by = { "k" }, lateness = "10ms",' }

    local function story()
        local function text() return rule(WINDOWS[math.random(#WINDOWS)], MORE[math.random(#MORE)]) end
        local list, id, now = { text(), watermark = "10ms" }, 0, 0
        for _ = 1, math.random(3, 12) do
            if math.random(2) == 1 then
                list[#list + 1] = text()
            else
                local rows = {}
                for i = 1, math.random(6) do
                    id, now = id + 1, now + math.random(0, 5)
                    rows[i] = row(id, now - math.random(0, 9), math.random(2))
                end
                list[#list + 1] = rows
            end
        end
        list[#list + 1] = END
        return list
    end

    it(("write the same through restarts at random (%d stories, SEED=%d)"):format(cases, seed), function()
        math.randomseed(seed)
        for number = 1, cases do
            local told = story()
            local want = spans(play(told, never))
            assert.same(want, spans(play(told, function() return math.random(3) == 1 end)), "story " .. number)
        end
    end)
end)

describe("state of the format before", function()
    it("is read: its versions have no numbers", function()
        local t = task_engine.new(rule 'tumble "10ms"', { watermark = "10ms" })
        t:step { row(1, 5), row(2, 12) }
        t:commit()
        local saved = t:saved()
        -- It ends with the rule's begin (8 bytes), its number, that nothing leaves, and that nothing is dead.
        assert.equal(("\0"):rep(7) .. "\128" .. ("\0"):rep(3), saved.meta:sub(-11))
        saved.meta = saved.meta:sub(1, -4) .. ("\0"):rep(2)
        t:restart(saved, 2)
        assert.same({ "0..10: 1", "10..20: 2,3" }, spans(t:step { row(3, 13), { watermark = 100 } }))
        t:free()
    end)
end)
