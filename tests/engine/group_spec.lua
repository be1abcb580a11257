local group_engine = require "tests.support.group_engine"

local function count() return { n = { kind = "count_all" } } end
local function tumble(size) return { kind = "tumble", size = size } end

local function pick(rows, ...)
    local list = {}
    for i, r in ipairs(rows) do
        local parts = {}
        for k, name in ipairs { ... } do parts[k] = tostring(r[name]) end
        list[i] = table.concat(parts, " ")
    end
    return list
end

describe("group: tumbling windows", function()
    it("counts rows by group and fires when the watermark reaches the last instant", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count() }
        local out = g:run { { time = 1, k = "b" }, { time = 9, k = "a" }, { time = 3, k = "b" }, { wm = 8 } }
        assert.same({}, out)
        out = g:run { { wm = 9 } }
        assert.same({ '"a" 0 10 9 1 new', '"b" 0 10 9 2 new' }, pick(out, "k", "window_start", "window_end", "window_time", "n", "_kind"))
        assert.equal(9, out[1]._time)
        assert.equal(0, tonumber(group_engine.lib.group_open_windows(g.group)))
    end)

    it("gives the columns in the order group, window, aggregates by name", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k", "a" }, aggregates = {
            z = { kind = "count_all" }, b = { kind = "sum", column = "v" } } }
        assert.same({ "k", "a", "window_start", "window_end", "window_time", "b", "z" }, g:columns {})
    end)

    it("judges a row before its own tick moves the watermark, and counts what is late", function()
        local g = group_engine.new { window = tumble(10), aggregates = count() }
        local out = g:run { { time = 1 }, { wm = 9 }, { time = 5 }, { time = 15 }, { wm = 100 } }
        assert.same({ "0 1", "10 1" }, pick(out, "window_start", "n"))
        assert.equal(1, tonumber(g.stats.late))
    end)

    it("keeps the spelling of the row that made the group, and tells 1 from \"1\"", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count() }
        local out = g:run { { time = 1, k = { json = "1.0" } }, { time = 2, k = 1 }, { time = 3, k = "1" }, { time = 4 }, { wm = 9 } }
        assert.same({ "null 1", "1.0 2", '"1" 1' }, pick(out, "k", "n"))
    end)

    it("closes windows before 1970 and with negative offsets", function()
        local g = group_engine.new { window = { kind = "tumble", size = 10, offset = -3 }, aggregates = count() }
        local out = g:run { { time = -14 }, { time = -13 }, { time = -4 }, { time = -3 }, { wm = 1000 } }
        assert.same({ "-23 -13 1", "-13 -3 2", "-3 7 1" }, pick(out, "window_start", "window_end", "n"))
    end)

    it("flushes at the end of time", function()
        local g = group_engine.new { window = tumble(10), aggregates = count() }
        local out = g:run { { time = 9223372036854775806LL }, { time = -9223372036854775807LL }, { wm = group_engine.FOREVER } }
        assert.equal(2, #out)
    end)
end)

describe("group: hopping and cumulating windows", function()
    it("counts a row that is late for some windows in those still open", function()
        local g = group_engine.new { window = { kind = "hop", size = 3000, slide = 1000 }, group_by = { "k" }, aggregates = count() }
        g:run { { time = 3999, k = "x" }, { wm = 3999 } }
        local out = g:run { { time = 3500, k = "x" }, { wm = 4999 }, { time = 2999, k = "x" }, { wm = 9000 } }
        assert.same({ "2000 2", "3000 2" }, pick(out, "window_start", "n"))
        assert.equal(1, tonumber(g.stats.late))
    end)

    it("cumulates from one start", function()
        local g = group_engine.new { window = { kind = "cumulate", size = 30, step = 10 }, aggregates = count() }
        local out = g:run { { time = 5 }, { time = 15 }, { time = 25 }, { wm = 100 } }
        assert.same({ "0 10 1", "0 20 2", "0 30 3" }, pick(out, "window_start", "window_end", "n"))
    end)
end)

describe("group: lateness", function()
    it("writes a fired window's result again, as an update", function()
        local g = group_engine.new { window = tumble(2000), aggregates = count(), lateness = 500 }
        local out = g:run { { time = 500 }, { wm = 2300 }, { time = 1997 }, { wm = 6000 }, { time = 1998 } }
        assert.same({ "1 new", "2 update" }, pick(out, "n", "_kind"))
        assert.equal(1, tonumber(g.stats.late))
    end)

    it("takes rows exactly until end - 1 + lateness", function()
        local g = group_engine.new { window = tumble(10), aggregates = count(), lateness = 5 }
        local out = g:run { { time = 0 }, { wm = 13 }, { time = 1 }, { wm = 14 }, { time = 2 } }
        assert.same({ "1", "2" }, pick(out, "n"))
        assert.equal(1, tonumber(g.stats.late))
    end)
end)

describe("group: sessions", function()
    local function sessions(spec)
        spec.window, spec.group_by, spec.aggregates = { kind = "session", gap = 10 }, { "k" }, spec.aggregates or count()
        return group_engine.new(spec)
    end

    it("joins sessions that touch, and no others", function()
        local g = sessions {}
        local out = g:run { { time = 0, k = 1 }, { time = 10, k = 1 }, { time = 21, k = 1 }, { time = 5, k = 2 }, { wm = 1000 } }
        assert.same({ "2 5 15 1", "1 0 20 2", "1 21 31 1" }, pick(out, "k", "window_start", "window_end", "n"))
    end)

    it("bridges two sessions by a row between them, and judges lateness after joining", function()
        local g = sessions {}
        local out = g:run { { time = 0, k = 1 }, { time = 15, k = 1 }, { wm = 8 }, { time = 7, k = 1 }, { wm = 24 }, { time = 14, k = 1 }, { wm = 99 } }
        assert.same({ "0 25 3" }, pick(out, "window_start", "window_end", "n"))
        assert.equal(1, tonumber(g.stats.late))
    end)

    it("moves the start of a session back", function()
        local g = sessions {}
        g:run { { time = 10, k = 1 } }
        g:run { { time = 3, k = 1 } }
        assert.same({ "3 20 2" }, pick(g:run { { wm = 99 } }, "window_start", "window_end", "n"))
    end)

    it("takes back the result of a fired session that a late row changes", function()
        local g = sessions { lateness = 100 }
        local out = g:run { { time = 0, k = 1 }, { time = 30, k = 1 }, { wm = 50 }, { time = 5, k = 1 }, { time = 12, k = 1 }, { time = 22, k = 1 } }
        assert.same({ "0 10 1 new", "30 40 1 new", "0 10 1 tombstone", "0 15 2 update", "0 15 2 tombstone", "0 22 3 update",
                      "0 22 3 tombstone", "30 40 1 tombstone", "0 40 5 update" },
            pick(out, "window_start", "window_end", "n", "_kind"))
    end)

    it("gives readers no second row of a session that opened again", function()
        local g = sessions { lateness = 100 }
        local out = g:run { { time = 0, k = 1 }, { wm = 9 }, { time = 8, k = 1 }, { wm = 30 } }
        assert.same({ "0 10 new", "0 10 tombstone", "0 18 update" }, pick(out, "window_start", "window_end", "_kind"))
    end)
end)

describe("group: record windows", function()
    local spec = { window = { kind = "record" }, group_by = { "k" }, aggregates = { n = { kind = "count_all" }, l = { kind = "listagg", column = "v" } } }

    it("groups the rows of one record, keeps its position and key, and leaves no state", function()
        local g = group_engine.new(spec)
        local out = g:run {
            { time = 5, offset = 7, partition = 2, key = "K", k = 1, v = "x" }, { same_tick = true, time = 5, offset = 7, partition = 2, sub = 1, k = 1, v = 3 },
            { time = 4, offset = 8, partition = 2, k = 1, v = "y" } }
        assert.same({ '1 2 "x,3" 5 7 K', '1 1 "y" 4 8 nil' }, pick(out, "k", "n", "l", "_time", "_offset", "_key"))
        assert.is_nil(out[1].window_start)
        assert.equal(0, tonumber(group_engine.lib.store_count(g.store)))
    end)

    it("tells the groups of one record apart", function()
        local g = group_engine.new(spec)
        local out = g:run { { time = 5, k = "b", v = 1 }, { same_tick = true, time = 5, sub = 1, k = "a", v = 2 },
                            { same_tick = true, time = 5, sub = 2, k = "b", v = 3 } }
        assert.same({ '"a" "2"', '"b" "1,3"' }, pick(out, "k", "l"))
    end)
end)

describe("group: having over the groups of a record", function()
    local rows = require "tests.support.rows"

    it("gives the same whether one column decides or all are worked out first (500 cases)", function()
        math.randomseed(SEED)
        local script = assert(rows.open())
        local text = "return function(g) return g.n %% %d == 1 end"
        for case = 1, 500 do
            local events, modulo = {}, math.random(2, 3)
            for i = 1, math.random(0, 12) do
                events[i] = { time = i, offset = i, k = math.random(1, 2), v = math.random() < 0.8 and math.random(1, 3) or nil,
                              same_tick = i > 1 and math.random() < 0.6 }
            end
            local list = {}
            for i, memo in ipairs { false, "n" } do
                local g = group_engine.new { window = { kind = "record" }, group_by = { "k" }, provenance = true, aggregates = {
                    n = { kind = "count", column = "v" }, l = { kind = "listagg", column = "v" } },
                    having = assert(rows.fn(script, text:format(modulo), memo or nil)) }
                g.script = script
                list[i] = g:run(events)
            end
            assert.same(list[1], list[2], "seed " .. SEED .. " case " .. case)
        end
    end)
end)

describe("group: top", function()
    it("emits the first groups of a window by rank, equal ones by key", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count(), top = { n = 2, by = "n", desc = true } }
        local out = g:run { { time = 1, k = "a" }, { time = 2, k = "b" }, { time = 3, k = "b" }, { time = 4, k = "c" }, { time = 11, k = "z" }, { wm = 99 } }
        assert.same({ '"b" 2', '"a" 1', '"z" 1' }, pick(out, "k", "n"))
    end)

    it("takes back who falls out of a window's first groups by a late row", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count(), top = { n = 1, by = "n", desc = true }, lateness = 100 }
        local out = g:run { { time = 1, k = "a" }, { time = 2, k = "b" }, { wm = 9 }, { time = 3, k = "b" }, { time = 4, k = "a" } }
        assert.same({ '"a" 1 new', '"a" 1 tombstone', '"b" 2 update', '"b" 2 tombstone', '"a" 2 update' }, pick(out, "k", "n", "_kind"))
    end)
end)

describe("group: early", function()
    it("emits a group once per window, as soon as it is there", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count(), early = true }
        assert.same({ "1 1" }, pick(g:run { { time = 1, k = 1 }, { time = 2, k = 1 } }, "k", "n"))
        assert.same({ "2 1" }, pick(g:run { { time = 3, k = 1 }, { time = 4, k = 2 } }, "k", "n"))
        assert.same({ "1 1" }, pick(g:run { { wm = 9 }, { time = 15, k = 1 } }, "k", "n"))
    end)
end)

describe("group: more lateness than before", function()
    it("opens no window that was given up already, also after further restarts", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count() }
        assert.same({ "1 1" }, pick(g:run { { time = 1, k = 1 }, { wm = 15 } }, "k", "n"))
        g:commit()
        g.spec.lateness = 60
        g = g:restart()
        assert.same({ "1 1" }, pick(g:run { { time = 3, k = 1 }, { time = 12, k = 1 }, { wm = 21 } }, "k", "n"))
        g:commit()
        g = g:restart()
        assert.same({ "1 2" }, pick(g:run { { time = 4, k = 1 }, { time = 13, k = 1 } }, "k", "n"))
    end)
end)

describe("group: provenance", function()
    it("lists the positions behind a row in order, each once", function()
        local g = group_engine.new { window = tumble(10), aggregates = count(), provenance = true }
        local out = g:run { { time = 2, offset = 5 }, { time = 1, offset = 9, partition = 1 }, { time = 2, offset = 5, sub = 1 },
                            { time = 3, offset = 0, topic = 1 }, { wm = 9 } }
        assert.equal('[["t0",1,9],["t0",0,5],["t1",0,0]]', out[1]._explain)
    end)
end)

describe("group: long lists", function()
    local lib = group_engine.lib

    local function largest(store)
        local most, sp = 0, lib.store_next_space(store, nil)
        while sp ~= nil do
            local e = lib.space_next(sp, nil)
            while e ~= nil do
                most = math.max(most, tonumber(lib.entry_value(e).len))
                e = lib.space_next(sp, e)
            end
            sp = lib.store_next_space(store, sp)
        end
        return most
    end

    for _, window in ipairs { { kind = "tumble", size = 100000 }, { kind = "session", gap = 1000 } } do
        it("stand in pieces of bounded size, survive a restart and leave nothing behind: " .. window.kind, function()
            local g = group_engine.new { window = window, aggregates = { l = { kind = "listagg", column = "v" } }, provenance = true }
            local want, n = {}, 0
            for _ = 1, 30 do
                local events = {}
                for _ = 1, 200 do
                    n = n + 1
                    -- Two sessions that grow side by side, until the last row joins them.
                    local first = window.kind == "session" and n % 2 == 0 and 3000 or 0
                    events[#events + 1] = { time = first + n % 700, offset = n, v = ("value %05d %s"):format(n, ("x"):rep(20)) }
                    want[n] = { first + n % 700, n, events[#events].v }
                end
                assert.equal(0, #g:run(events))
                g:commit()
                if n % 1000 == 0 then g = g:restart() end
                assert.is_true(largest(g.store) < 150000)
            end
            local bridge = {}
            for t = 1000, 2900, 100 do
                n = n + 1
                bridge[#bridge + 1] = { time = t, offset = n, v = "bridge" }
                want[n] = { t, n, "bridge" }
            end
            g:run(bridge)
            g:commit()
            g = g:restart()
            local out = g:run { { wm = group_engine.FOREVER } }
            assert.equal(1, #out)
            table.sort(want, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
            local list, positions = {}, {}
            for i, w in ipairs(want) do list[i], positions[i] = w[3], ('["t0",0,%d]'):format(w[2]) end
            assert.is_true(out[1].l == '"' .. table.concat(list, ",") .. '"')
            assert.is_true(out[1]._explain == "[" .. table.concat(positions, ",") .. "]")
            g:commit()
            assert.equal(2, tonumber(lib.store_count(g.store)))      -- its numbers, and by which lateness it was kept
        end)
    end
end)

describe("group: state", function()
    it("is complete in the store: a restart changes nothing", function()
        for _, spec in ipairs {
            { window = tumble(10), group_by = { "k" }, aggregates = count(), lateness = 20 },
            { window = { kind = "session", gap = 10 }, group_by = { "k" }, aggregates = count(), lateness = 20 },
        } do
            local g = group_engine.new(spec)
            g:run { { time = 1, k = "a" }, { time = 25, k = "a" }, { wm = 12 } }
            local again = g:restart()
            local events = { { time = 2, k = "a" }, { time = 26, k = "b" }, { wm = 30 }, { time = 19, k = "b" }, { wm = 1000 } }
            assert.same(g:run(events), again:run(events))
        end
    end)

    it("comes back after an abort", function()
        local g = group_engine.new { window = tumble(10), group_by = { "k" }, aggregates = count() }
        g:run { { time = 1, k = "a" } }
        g:commit()
        local events = { { time = 2, k = "a" }, { time = 3, k = "b" }, { wm = 9 } }
        local wm = g.wm
        local first = g:run(events)
        g:abort(wm)
        assert.same(first, g:run(events))
    end)
end)
