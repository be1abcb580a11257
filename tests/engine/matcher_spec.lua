local reference = require "tests.support.match_reference"
local match_engine = require "tests.support.match_engine"
local match_random = require "tests.support.match_random"
local lib = match_engine.lib

local CASES = tonumber(os.getenv "CASES") or 12000

local function seed()
    local s = tonumber(os.getenv "SEED") or SEED or os.time()
    math.randomseed(s)
    return s
end

-- Runs body(case, job, expected events) over random jobs; those too hard for the reference are drawn again.
local function each_case(count, kinds, body)
    local s, done = seed(), 0
    while done < count do
        local job = match_random.job(kinds)
        job.holds = match_random.holds(job)
        local ok, expected = pcall(reference.run, job)
        if ok then
            done = done + 1
            local fine, fault = pcall(body, job, match_engine.show_all(expected))
            if not fine then error(("seed %s, case %d: %s\n%s"):format(s, done, tostring(fault), match_random.show(job)), 0) end
        else
            assert(expected == "budget", expected)
        end
    end
end

local function same(expected, got)
    if expected ~= got then error(("expected\n%s\ngot\n%s"):format(expected, got), 0) end
end

-- A matcher over a job with rows by letters: "aab" has three rows; conditions are `row.c == lower-case name` unless given.
local function letters(options)
    local job = { pattern = options.pattern, conditions = {}, skip_to = {} }
    for k, v in pairs(options) do job[k] = v end
    for name in options.pattern:gmatch "%f[%w]%u%f[%W]" do
        if job.conditions[name] == nil then job.conditions[name] = function(c) return c == name:lower() end end
    end
    for name, condition in pairs(job.conditions) do if not condition then job.conditions[name] = nil end end
    local runner = match_engine.new(match_engine.plan(job), options.saved)
    local rows = {}
    local function ask(name, view)
        return job.conditions[name](rows[tonumber(view.seq)], tonumber(view.seq), view, rows)
    end
    local self = { runner = runner, job = job }
    local next_seq = options.from or 0
    -- Feeds rows one by one (every `step` ms) and gives the events so far as text.
    function self.feed(text, times)
        for i = 1, #text do
            rows[next_seq] = text:sub(i, i)
            runner:feed(next_seq, times and times[i] or next_seq)
            next_seq = next_seq + 1
            runner:run(ask)
        end
        return self.events()
    end
    function self.skip_rows(text)
        for i = 1, #text do
            rows[next_seq] = text:sub(i, i)
            next_seq = next_seq + 1
        end
        return self
    end
    function self.advance(t) runner:advance(t):run(ask) return self.events() end
    function self.finish() runner:finish():run(ask) return self.events() end
    function self.events() return (match_engine.show_all(runner.events):gsub("\n", "; ")) end
    self.ask, self.rows = ask, rows
    return self
end

describe("matcher", function()
    it("finds what brute force finds, with rows one by one", function()
        each_case(CASES, nil, function(job, expected)
            local runner = match_engine.new(match_engine.plan(job))
            local ask = match_random.ask(job)
            for i, row in ipairs(job.rows) do runner:feed(i - 1, row.time):run(ask) end
            runner:finish():run(ask)
            same(expected, match_engine.show_all(runner.events))
        end)
    end)

    it("finds the same with rows in any portions, between any watermarks, and after any restart", function()
        each_case(CASES, nil, function(job, expected)
            local plan = match_engine.plan(job)
            local runner = match_engine.new(plan)
            local ask = match_random.ask(job)
            local events = {}
            local function move_events()
                for _, event in ipairs(runner.events) do events[#events + 1] = event end
                runner.events = {}
            end
            for i, row in ipairs(job.rows) do
                runner:feed(i - 1, row.time)
                local next_row = job.rows[i + 1]
                if next_row and math.random(3) == 1 then runner:advance(math.random(row.time - 1, next_row.time - 1)) end
                if math.random(2) == 1 then runner:run(ask) end
                if math.random(4) == 1 then
                    move_events()
                    local saved, low = runner:save(), runner:low()
                    runner = match_engine.new(math.random(2) == 1 and plan or match_engine.plan(job), saved)
                    for k = low, i - 1 do runner:feed(k, job.rows[k + 1].time) end
                end
            end
            runner:finish():run(ask)
            move_events()
            same(expected, match_engine.show_all(events))
        end)
    end)

    it("asks a condition once per row, variable and attempt when its answer cannot differ", function()
        each_case(3000, 3, function(job, expected)
            local runner = match_engine.new(match_engine.plan(job))
            local seen = {}
            job.asked = function(name, pos, start)
                local key = name .. pos .. "/" .. start
                assert(not seen[key], "asked twice: " .. key)
                seen[key] = true
            end
            local ask = match_random.ask(job)
            for i, row in ipairs(job.rows) do runner:feed(i - 1, row.time):run(ask) end
            runner:finish():run(ask)
            same(expected, match_engine.show_all(runner.events))
        end)
    end)

    it("tells of a match as soon as no later row can change it", function()
        local m = letters { pattern = "A B+ C" }
        assert.equal("", m.feed "abb")
        assert.equal("match 0 #1 A B B C", m.feed "c")
        m = letters { pattern = "A B+" }
        assert.equal("", m.feed "abb")
        assert.equal("match 0 #1 A B B", m.feed "x")
        m = letters { pattern = "A B+?" }
        assert.equal("match 0 #1 A B", m.feed "ab")
        m = letters { pattern = "A B{1,2}" }
        assert.equal("match 0 #1 A B B", m.feed "abb")
        m = letters { pattern = "A B C | A B" }
        assert.equal("", m.feed "ab")
        assert.equal("match 0 #1 A B", m.feed "b")
        m = letters { pattern = "A B | A B C" }
        assert.equal("match 0 #1 A B", m.feed "ab")
    end)

    it("waits for the end only where the pattern is about it", function()
        local m = letters { pattern = "A B $" }
        assert.equal("", m.feed "ab")
        assert.equal("match 0 #1 A B", m.finish())
        m = letters { pattern = "A B $" }
        m.feed "aba"
        assert.equal("", m.finish())
        m = letters { pattern = "A+" }
        assert.equal("", m.feed "aa")
        assert.equal("match 0 #1 A A", m.finish())
    end)

    it("takes ^ for the first row the partition ever had", function()
        assert.equal("match 0 #1 A", letters { pattern = "^ A" }.feed "aaa")
        local first = letters { pattern = "^ A" }
        first.feed "a"
        local again = letters { pattern = "^ A", saved = first.runner:save(), from = 1 }
        assert.equal("", again.feed "aa")
    end)

    it("asks again when the row a condition looked ahead for has come", function()
        local function rising(c, seq, view, rows)
            if seq + 1 >= view["end"] then return view.finished == 0 and "more" end
            return c < rows[seq + 1]
        end
        local m = letters { pattern = "A+", conditions = { A = rising } }
        assert.equal("", m.feed "abc")
        assert.equal("match 0 #1 A A", m.feed "a")
        assert.equal("match 0 #1 A A", m.finish())
    end)

    it("ends an attempt when the first row's time and `within` have passed, not before", function()
        local m = letters { pattern = "A B", within = 10, emit_timeout = true }
        m.feed("a", { 100 })
        assert.equal(109, tonumber(m.runner:expires()))
        assert.equal("", m.advance(108))
        assert.equal("timed_out 0 #1 A", m.advance(109))
        assert.equal(match_engine.lib.matcher_expires(m.runner.m), m.runner:expires())
        m = letters { pattern = "A B", within = 10, emit_timeout = true }
        assert.equal("match 0 #1 A B", m.feed("ab", { 100, 109 }))
        m = letters { pattern = "A B", within = 10 }
        assert.equal("", m.feed("ab", { 100, 110 }))
    end)

    it("prefers a complete match to a partial one when the time is over, and resumes at the next row", function()
        local m = letters { pattern = "A B+", within = 10, emit_timeout = true }
        m.feed("abb", { 0, 1, 2 })
        assert.equal("match 0 #1 A B B", m.advance(9))
        m = letters { pattern = "A A+ C", within = 10, emit_timeout = true }
        m.feed("aaa", { 0, 1, 2 })
        assert.equal("timed_out 0 #1 A A A", m.advance(9))
        assert.equal("timed_out 0 #1 A A A; timed_out 1 #2 A A", m.advance(10))
        assert.equal("timed_out 0 #1 A A A; timed_out 1 #2 A A; timed_out 2 #3 A", m.advance(11))
    end)

    it("gives up a match whose skip target is missing or its own first row, and goes on at the next row", function()
        local m = letters { pattern = "A B? C", skip = "to_last", skip_to = { B = true } }
        assert.equal("skip_missing 0 #1 A C; match 2 #2 A B C", m.feed "acabc")
        m = letters { pattern = "A B", skip = "to_first", skip_to = { A = true } }
        assert.equal("skip_first 0 #1 A B; skip_first 2 #2 A B", m.feed "abab")
    end)

    it("frees rows that no attempt needs, but for the look back", function()
        local m = letters { pattern = "A B C", lookback = 2 }
        m.feed "xxxxx"
        assert.equal(3, m.runner:low())
        m.feed "ab"
        assert.equal(3, m.runner:low())
        m.feed "c"
        assert.equal(6, m.runner:low())
    end)

    it("does not repeat a match after a restart under another pattern or skip mode", function()
        local m = letters { pattern = "A B+ C", skip = "to_next_row" }
        assert.equal("match 0 #1 A B C", m.feed "abcab")
        local low, saved = m.runner:low(), m.runner:save()
        local again = letters { pattern = "A B D", saved = saved, from = 0 }
        assert.equal(3, low)
        assert.equal("match 3 #2 A B D", again.skip_rows("abc").feed "abd")
        again = letters { pattern = "B", skip = "past_last_row", saved = letters { pattern = "A B+ C", skip = "to_next_row" }.runner:save() }
        assert.equal("match 1 #1 B", again.feed "ab")
        local overlap = letters { pattern = "A B+ C", skip = "to_next_row" }
        overlap.feed "abc"
        again = letters { pattern = "B", saved = overlap.runner:save() }
        assert.equal("match 4 #2 B", again.feed "abcab")
    end)

    it("is linear in rows for a hard alternation over conditions on rows", function()
        local n, asked = 10000, 0
        local yes = function() asked = asked + 1 return true end
        local m = letters { pattern = "(A|B|A B)* C", conditions = { A = yes, B = yes, C = function() asked = asked + 1 return false end } }
        for _ = 1, n / 100 do m.feed(("x"):rep(100)) end
        assert.equal("", m.finish())
        assert.is_true(asked <= 3 * n, asked .. " questions")
    end)

    it("is linear for nested repetitions whose condition looks at labels", function()
        local asked = 0
        local m = letters { pattern = "(A+)+ B", conditions = { A = function() asked = asked + 1 return true, match_random.HISTORY end } }
        m.feed(("a"):rep(300))
        assert.equal("", m.finish())
        assert.equal(300 * 301 / 2, asked)
    end)

    it("ends an attempt that explodes, says so, and goes on behind it", function()
        local last_is_a = function(_, _, view) return view.labels[0] == 99, match_random.HISTORY end
        local yes = function() return true end
        local m = letters { pattern = "(A|B|A B)* C", max_steps = 20000, conditions = { A = yes, B = yes, C = last_is_a } }
        for _ = 1, 10 do m.feed(("x"):rep(1000)) end
        assert.equal("", m.events())
        assert.equal("too_many_steps 0 #1", m.finish())
        assert.equal(10000, m.runner.events[1].n)
        m = letters { pattern = "(A|B)* C", max_steps = 2000, conditions = {
            A = function(c) return c == "x" end, B = function(c) return c == "x" end,
            C = function(c) return c == "c", match_random.HISTORY end } }
        assert.equal("too_many_steps 0 #1; match 31 #1 A A C", m.feed(("x"):rep(30) .. "yxxc"))
    end)

    it("bounds the rows of an attempt", function()
        local m = letters { pattern = "A B* C", max_rows = 5 }
        assert.equal("", m.feed "abbb")
        assert.equal("too_many_rows 0 #1", m.feed "b")
        assert.equal("too_many_rows 0 #1; match 5 #1 A B C", m.feed "abc")
        local batch = letters { pattern = "A B* C", max_rows = 5 }
        for i, c in ipairs { "a", "b", "b", "b", "b", "a", "b", "c" } do
            batch.rows[i - 1] = c
            batch.runner:feed(i - 1, i)
        end
        batch.runner:run(batch.ask)
        assert.equal("too_many_rows 0 #1; match 5 #1 A B C", batch.events())
    end)

    it("finds out by itself which conditions look at labels", function()
        -- Whether X looks at labels shows only at the second row; paths merged before must not be lost.
        local m = letters { pattern = "(A|B) (A|B) X", conditions = {
            A = function() return true end, B = function() return true end,
            X = function(c, _, view)
                if c ~= "x" then return false end
                return view.labels[0] == 1 and view.labels[1] == 1, match_random.HISTORY
            end } }
        assert.equal("match 1 #1 B B X", m.feed "aaax")
    end)

    it("refuses a saved state that is cut short", function()
        local m = match_engine.new(match_engine.plan { pattern = "A", conditions = {} })
        local r = require("ffi").new("reader_t", { "\1", 1, 0, 0 })
        assert.equal(lib.ERR_INVALID, lib.matcher_load(m.m, r))
    end)
end)
