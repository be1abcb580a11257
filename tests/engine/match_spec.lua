local match_random = require "tests.support.match_random"
local match_run = require "tests.support.match_run"
local process_engine = require "tests.support.process_engine"
local reference = require "tests.support.match_reference"
local rows = require "tests.support.rows"

local CASES = tonumber(os.getenv "CASES") or 1500
local random = math.random

local function variables(pattern)
    local set = {}
    for name in pattern:gmatch "%f[%w]%u%f[%W]" do set[name] = true end
    return set
end

-- A job with rows for two keys, and what brute force makes of each.
local function draw()
    while true do
        local job, lines = match_random.job(), {}
        local vars = variables(job.pattern)
        for name, condition in pairs(job.conditions) do
            if not vars[name] then job.conditions[name] = nil
            elseif condition.var and not vars[condition.var] then condition.code = "return true" end
        end
        for name in pairs(job.skip_to) do if not vars[name] then job.skip_to[name] = nil end end
        if job.skip:find "^to_[fl]" and not next(job.skip_to) then job.skip = "past_last_row" end
        job.unmatched = false
        local first, second = job.rows, {}
        local time = random(-5, 5)
        for i = 1, #first do
            time = time + random(0, 3)
            second[i] = { time = time, value = random(0, 3) }
        end
        job.keys, job.expected = { first, second }, {}
        local ok
        for k, list in ipairs(job.keys) do
            job.rows = list
            job.holds = match_random.holds(job)
            local events
            ok, events = pcall(reference.run, job)
            if not ok then break end
            for _, event in ipairs(events) do
                if not event.kind:find "^skip" then
                    local names = {}
                    for i, label in ipairs(event.labels) do names[i] = label.name end
                    lines[#lines + 1] = ("%d %s %d %s"):format(k, #names > 0 and event.start or "null", event.number,
                        ("%q"):format(table.concat(names, " ")))
                end
            end
        end
        job.rows = first
        if ok then
            table.sort(lines)
            job.expected = table.concat(lines, "\n")
            return job
        end
    end
end

-- Rows of both keys in event-time order with watermarks between, as events.
local function events_of(job)
    local list = {}
    for k, of_key in ipairs(job.keys) do
        for i, row in ipairs(of_key) do
            list[#list + 1] = { time = row.time, offset = i * 2 + k, k = k, i = i - 1, value = row.value }
        end
    end
    table.sort(list, function(a, b) return a.time < b.time or a.time == b.time and a.offset < b.offset end)
    local events = {}
    for i, e in ipairs(list) do
        events[#events + 1] = e
        if list[i + 1] and random(3) == 1 and list[i + 1].time > e.time then events[#events + 1] = { wm = random(e.time, list[i + 1].time - 1) } end
    end
    events[#events + 1] = { wm = process_engine.FOREVER }
    return events
end

local function play(job, script)
    local x, events, out = match_run.new(job, script), events_of(job), {}
    local i = 1
    while i <= #events do
        local portion = {}
        for k = i, math.min(#events, i + random(0, 3)) do portion[#portion + 1] = events[k] end
        local wm = x.wm
        local got = x:run(portion)
        local fate = random(5)
        if fate == 1 then
            x:abort(wm)                      -- as if it had not been; it is done again
        else
            for _, line in ipairs(got) do out[#out + 1] = line end
            i = i + #portion
            x:commit()
            if fate == 2 and i <= #events then x = x:restart() end
        end
    end
    table.sort(out)
    return table.concat(out, "\n"), x
end

describe("match", function()
    it("goes on after any abort and restart as if nothing had happened", function()
        local seed = tonumber(os.getenv "SEED") or SEED
        math.randomseed(seed)
        local script
        for case = 1, CASES do
            if case % 200 == 1 then script = rows.open { memory = 256, jit = case % 400 == 1 } end   -- compiled and not
            local job = draw()
            local ok, got = pcall(play, job, script)
            if not ok or got ~= job.expected then
                error(("seed %s, case %d\n%s\nexpected\n%s\ngot\n%s"):format(seed, case, match_random.show(job), job.expected, tostring(got)), 0)
            end
        end
    end)

    local function simple(pattern)
        local job = { pattern = pattern, conditions = {}, skip = "past_last_row", skip_to = {}, lookback = 2 }
        for name in pairs(variables(pattern)) do
            job.conditions[name] = { code = ("return row.value == %d"):format(name:byte() - 64) }
        end
        return job
    end

    it("holds no more of a key than its header, its attempt and the look back", function()
        local x = match_run.new(simple "A B", rows.open())
        for i = 0, 999 do
            x:run { { time = i, offset = i, k = 1, i = i, value = 3 }, { wm = i } }
            x:commit()
        end
        assert.equal(1 + 2, x:held())
        x:run { { time = 1000, offset = 1000, k = 1, i = 1000, value = 1 }, { wm = 1000 } }
        assert.equal(1 + 2 + 1, x:held())
        assert.same({ '1 1000 1 "A B"' }, x:run { { time = 1001, offset = 1001, k = 1, i = 1001, value = 2 }, { wm = 1001 } })
        assert.equal(1 + 2, x:held())
    end)

    it("ends an attempt in time also after a restart or an abort", function()
        local job = simple "A B"
        job.within, job.emit_timeout = 10, true
        local x = match_run.new(job, rows.open())
        assert.same({}, x:run { { time = 5, k = 1, i = 0, value = 1 }, { time = 6, offset = 1, k = 2, i = 0, value = 1 }, { wm = 7 } })
        x:commit()
        x = x:restart()
        assert.same({}, x:run { { wm = 13 } })
        assert.same({ '1 0 1 "A"' }, x:run { { wm = 14 } })
        x:abort(13)
        assert.same({ '1 0 1 "A"', '2 0 1 "A"' }, x:run { { wm = 15 } })
    end)

    it("holds rows whose time has not come in the store, and gives them up when it has", function()
        local x = match_run.new(simple "A B", rows.open())
        assert.same({}, x:run { { time = 5, k = 1, i = 0, value = 1 }, { time = 6, offset = 1, k = 1, i = 1, value = 2 }, { wm = 4 } })
        assert.equal(2, x:held())
        x:commit()
        assert.same({ '1 0 1 "A B"' }, x:restart():run { { wm = 6 } })
    end)
end)
