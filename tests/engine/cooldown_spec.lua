local ffi = require "ffi"
local process_engine = require "tests.support.process_engine"
local lib, NEVER = process_engine.lib, process_engine.NEVER
require("tests.support.engine").use "cooldown"

local NEW, UPDATE, TOMBSTONE = lib.ROW_NEW, lib.ROW_UPDATE, lib.ROW_TOMBSTONE

-- A cooldown of a rule; w: { cooldown =, lateness =, session = }.
local function new(w)
    local self = process_engine.new { by = {}, on_row = "function() end" }
    self.rule.cooldown, self.rule.lateness = w.cooldown, w.lateness or 0
    if w.session then self.rule.window.kind = lib.WINDOW_SESSION end
    self.cooldown = ffi.gc(lib.cooldown_new(self.rule, self.store), lib.cooldown_free)
    self.space = lib.store_space(self.store, "r/h/cooldown")
    self.wm = NEVER
    -- Results { time =, key =, kind =, v = number } and watermarks { wm = }: the numbers of those that go on.
    function self.pass(events)
        local keep, s, rows, list = {}, self:step(), ffi.new "result_t", {}
        local stream, wm = process_engine.stream(events, self.wm, keep)
        stream.wm_before = self.wm
        self.wm = wm
        local kind, stamps, n = ffi.new("uint8_t[?]", #events + 1), ffi.new("etime_t[?]", #events + 1), 0
        for _, e in ipairs(events) do
            if e.time then kind[n], stamps[n], n = e.kind or NEW, e.v * 10, n + 1 end
        end
        rows.batch, rows.kind, rows.stamps = stream.batch, kind, stamps
        lib.cooldown_run(self.cooldown, s, stream, rows)
        for i = 0, rows.batch.n - 1 do
            local o = rows.batch.origins[rows.batch.origin[i]]
            list[i + 1] = ("%d kind %d stamp %d"):format(tonumber(o.offset), rows.kind[i], tonumber(rows.stamps[i]))
        end
        lib.arena_reset(self.arena)
        return list
    end
    return self
end

local function shown(e) return ("%d kind %d stamp %d"):format(e.v, e.kind, e.v * 10) end

-- Results of a few keys, with updates and tombstones as long as the watermark lets them come; times of a key never repeat.
local function random_events(lateness)
    local events, results, taken, now, wm = {}, {}, {}, 0, -math.huge
    for v = 1, 60 do
        now = now + math.random(0, 6)
        local dice, old = math.random(), #results > 0 and results[math.random(#results)]
        if dice < 0.3 then
            local t = now - math.random(0, 20)
            wm = math.max(wm, t)
            events[v] = { wm = t }
        elseif old and dice < 0.55 and lateness > 0 and old.time > wm - lateness then
            events[v] = { time = old.time, key = old.key, kind = math.random() < 0.7 and UPDATE or TOMBSTONE, result = old.v }
        else
            local key, t = "k" .. math.random(3), now - math.random(0, 12)
            if lateness > 0 then t = math.max(t, wm - lateness + 1) end   -- a window's are never later
            while taken[key .. t] do t = t + 1 end
            taken[key .. t] = true
            events[v] = { time = t, key = key, kind = NEW }
            results[#results + 1] = events[v]
        end
        events[v].v, events[v].offset = v, v
    end
    return events
end

-- The plain way: what passed is never forgotten, and a result's updates go the way that it went.
local function reference(events, w)
    local list, held, last, went, wm = {}, 0, {}, {}, -math.huge
    for _, e in ipairs(events) do
        if e.wm then
            wm = math.max(wm, e.wm)
        elseif e.kind == NEW then
            local before = last[e.key]
            went[e.v] = not before or before <= wm - w.cooldown or e.time - before >= w.cooldown
            if went[e.v] then last[e.key], list[#list + 1] = e.time, shown(e) else held = held + 1 end
        elseif went[e.result] or (w.session and e.kind == UPDATE) then
            list[#list + 1] = shown(e)
        end
    end
    return list, held
end

describe("cooldown", function()
    it("lets through what a plain reference does, whatever the steps, aborts and restarts (120 random streams)", function()
        math.randomseed(SEED)
        for round = 1, 120 do
            local w = { cooldown = math.random(1, 40), lateness = ({ 0, math.random(1, 10), math.random(1, 60) })[math.random(3)],
                        session = math.random() < 0.2 }
            local events = random_events(w.lateness)
            local want, held = reference(events, w)
            for _, size in ipairs { #events, 1, math.random(2, 20) } do
                local c, got = new(w), {}
                for from = 1, #events, size do
                    local part = { unpack(events, from, math.min(from + size - 1, #events)) }
                    lib.store_commit(c.store)
                    if math.random() < 0.3 then                 -- rolled back, and done again
                        local wm, counted = c.wm, c.stats.held_back
                        c.pass(part)
                        lib.store_abort(c.store)
                        lib.cooldown_rebuild(c.cooldown)
                        c.wm, c.stats.held_back = wm, counted
                    elseif math.random() < 0.3 then             -- made anew over the same store
                        c.cooldown = ffi.gc(lib.cooldown_new(c.rule, c.store), lib.cooldown_free)
                        lib.cooldown_rebuild(c.cooldown)
                    end
                    for _, text in ipairs(c.pass(part)) do got[#got + 1] = text end
                end
                local where = ("seed %d round %d size %d cooldown %d lateness %d"):format(SEED, round, size, w.cooldown, w.lateness)
                assert.same(want, got, where)
                assert.equal(held, tonumber(c.stats.held_back), where)
            end
        end
    end)

    it("forgets a key once the watermark has left behind all that may still be asked of it, and not before", function()
        local c = new { cooldown = 100, lateness = 10 }
        c.pass { { time = 0, key = "a", v = 1 }, { time = 95, key = "a", v = 2 }, { wm = 104 } }
        assert.equal(1, tonumber(lib.space_count(c.space)))
        assert.same({}, c.pass { { time = 95, key = "a", kind = UPDATE, v = 3 } })
        c.pass { { wm = 110 } }
        assert.equal(0, tonumber(lib.space_count(c.space)))
    end)

    it("keeps what later anomalies of a key held back, where a late row's passed behind them", function()
        local c = new { cooldown = 5, lateness = 100 }
        c.pass { { time = 50, key = "a", v = 1 }, { time = 53, key = "a", v = 2 }, { wm = 60 } }
        assert.equal(1, #c.pass { { time = 40, key = "a", v = 3 }, { wm = 150 } })
        assert.same({}, c.pass { { time = 53, key = "a", kind = UPDATE, v = 4 } })
    end)

    it("judges by the watermark before the tick of a row", function()
        local c = new { cooldown = 10 }
        assert.same({ "1 kind 0 stamp 10", "3 kind 0 stamp 30" }, c.pass {
            { time = 0, key = "a", v = 1, offset = 1 }, { time = 9, key = "a", v = 2, offset = 2 }, { wm = 10 },
            { time = 9, key = "a", v = 3, offset = 3 } })
    end)
end)
