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
    it("are known to, also where the text that leaves is the one that runs", function()
        local sessions = rule('session { gap = "50ms" }', 'group_by = { "k" },')
        local t = task_engine.new(sessions, { watermark = "10ms" })
        t:step { row(1, 50) }
        for _, text in ipairs { rule 'tumble "10ms"', sessions } do
            t:commit()
            t:reload(text)
            t:step { row(2, 51, 2) }
        end
        t:commit()
        t:restart(t:saved())
        assert.is_true(t:hands_over())
        t:free()
    end)

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

-- The meta record as it was in format 2: the same without the numbers of reigns.
local function older(meta)
    local at, kept = 1, {}
    local function take(n, keep)
        if keep ~= false then kept[#kept + 1] = meta:sub(at, at + n - 1) end
        at = at + n
    end
    local function varint(keep)
        local n, shift, from = 0, 1, at
        repeat
            local byte = meta:byte(at)
            n, shift, at = n + byte % 128 * shift, shift * 128, at + 1
        until byte < 128
        if keep ~= false then kept[#kept + 1] = meta:sub(from, at - 1) end
        return n
    end
    local function bytes()
        local n = varint()
        take(n)
        return n
    end
    local function reign()
        take(8)
        varint(false)
    end
    for _ = 1, varint() do bytes() end                      -- topics
    for _ = 1, 2 * varint() do bytes() end                  -- sources: names and watermarks
    for _ = 1, varint() do                                  -- rules: name, whether it is quarantined, valve, versions
        bytes()
        take(1)
        bytes()
        reign()
        for _ = 1, varint() do
            bytes()
            bytes()
            reign()
            take(8)
        end
    end
    while bytes() > 0 do reign() end                        -- those that overran
    assert.equal(#meta + 1, at)
    return table.concat(kept)
end

describe("state of the format before", function()
    -- Its texts and steps but the last, then a start on what that left in format 2, and another behind the last step.
    local function upgraded(story)
        local t = task_engine.new(story[1], { watermark = story.watermark, time_ms = 40 })
        local out = {}
        for i = 2, #story - 1 do
            if type(story[i]) == "string" then t:reload(story[i]) else add(out, t:step(story[i])) end
            t:commit()
        end
        local saved = t:saved()
        saved.meta = older(saved.meta)
        t:restart(saved, 2)
        add(out, t:step(story[#story]))
        t:commit()
        t:restart(t:saved())
        add(out, t:step(END))
        t:free()
        return spans(out), saved
    end

    it("is read, of a version that leaves as of the one that came", function()
        local got, saved = upgraded { rule 'tumble "30ms"', { row(1, 5), row(2, 20) }, rule 'tumble "10ms"', { row(3, 29), row(4, 31) },
            { row(5, 25), row(6, 35) }, watermark = "10ms" }
        assert.same({ "0..30: 1,2,5,3", "30..40: 4,6" }, got)
        local names = {}
        for _, entry in ipairs(saved.entries) do names[#names + 1] = entry[1]:match "^r/%x+(@?%d*)/group$" end
        table.sort(names)
        assert.equal("", names[1])
        assert.equal("@30", names[#names])
    end)

    it("is read where a version overran on its way out", function()
        local loops = "having = function(g) while g.n > 2 do end return true end,"
        local got = upgraded { rule('hop { size = "20ms", slide = "10ms" }', loops), { row(1, 5), row(2, 12), row(3, 15) },
            rule('tumble "20ms"', loops), { { watermark = 25 } }, { row(4, 41) }, watermark = "3ms" }
        assert.same({ "-10..10: 1", "40..60: 4" }, got)
    end)

    it("is one version's where two had the same text and moment", function()
        local a, b = rule 'tumble "10ms"', rule 'tumble "20ms"'
        local got = upgraded { rule 'tumble "30ms"', { row(1, 5), row(2, 20) }, a, b, a, { row(3, 29), row(4, 30), row(5, 35) }, watermark = "10ms" }
        assert.same({ "0..30: 1,2,3", "30..40: 4,5" }, got)
    end)
end)
