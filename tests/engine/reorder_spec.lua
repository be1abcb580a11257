local ffi = require "ffi"
local process_engine = require "tests.support.process_engine"
local rows = require "tests.support.rows"
local lib, NEVER, FOREVER = process_engine.lib, process_engine.NEVER, process_engine.FOREVER

-- A buffer with the rule and report of a process; order: { { "column", desc } }.
local function new(order, needs, base)
    local self = base or process_engine.new { by = {}, on_row = "function() end" }
    local items = ffi.new("order_item_t[?]", #(order or {}) + 1)
    self.alive = { items, order }
    for i, item in ipairs(order or {}) do items[i - 1].column, items[i - 1].desc = ffi.cast("char *", item[1]), item[2] and 1 or 0 end
    if needs then self.needs, self.alive[3] = process_engine.names(needs) end
    self.buffer = ffi.gc(lib.reorder_new(lib.store_space(self.store, "rows"), items, #(order or {}), self.needs), lib.reorder_free)
    self.wm = NEVER
    function self.pass(events)
        local keep, s, out = {}, self:step(), ffi.new "stream_t"
        local stream, wm = process_engine.stream(events, self.wm, keep)
        stream.wm_before = self.wm
        self.wm = wm
        lib.reorder_run(self.buffer, s, self.rule, stream, out)
        local list = process_engine.rows_of(out.batch)
        lib.arena_reset(self.arena)
        keep[1] = nil
        return list
    end
    return self
end

local function column(list, name)
    local out = {}
    for i, r in ipairs(list) do out[i] = r[name] end
    return out
end

describe("reorder", function()
    it("lets rows go in event time when the watermark reaches them, at its tick", function()
        local r = new()
        local list = r.pass { { time = 5, v = 1 }, { time = 3, v = 2 }, { wm = 4 }, { time = 9, v = 3 }, { wm = 8 } }
        assert.same({ "2", "1" }, column(list, "v"))
        assert.same({ 2, 4 }, column(list, "_tick"))
        assert.equal(1, tonumber(lib.reorder_waiting(r.buffer)))
        assert.equal(9, tonumber(lib.reorder_next(r.buffer)))
        assert.same({ "3" }, column(r.pass { { wm = 9 } }, "v"))
        assert.equal(0, tonumber(lib.reorder_waiting(r.buffer)))
    end)

    it("counts a row as late when the watermark before it has reached its time, and only then", function()
        local r = new()
        r.pass { { wm = 10 } }
        assert.same({ "2", "3" }, column(r.pass { { time = 10, v = 1 }, { time = 11, v = 2 }, { time = 12, v = 3 }, { wm = 12 }, { time = 12, v = 4 } }, "v"))
        assert.equal(2, tonumber(r.stats.late))
    end)

    it("breaks ties by order columns, topic, partition, offset and number in the record", function()
        local r = new { { "a" }, { "b", true } }
        local list = r.pass {
            { time = 1, a = 2, b = 1, v = 5 }, { time = 1, a = 1, b = 1, topic = 1, v = 4 }, { time = 1, a = 1, b = 1, partition = 2, v = 3 },
            { time = 1, a = 1, b = 1, partition = 1, offset = 9, sub = 2, v = 2.5 }, { time = 1, a = 1, b = 1, partition = 1, offset = 9, sub = 1, v = 2 },
            { time = 1, a = 1, b = 2, v = 1 }, { wm = FOREVER } }
        assert.same({ "1", "2", "2.5", "3", "4", "5" }, column(list, "v"))
    end)

    it("keeps two rows of one position, in order of arrival", function()
        local r = new()
        r.pass { { time = 1, v = 1 }, { time = 1, v = 2 } }
        assert.same({ "1", "2", "3" }, column(r.pass { { time = 1, v = 3 }, { wm = 5 } }, "v"))
    end)

    it("keeps whole records when nothing says what is needed", function()
        local r = new()
        r.pass { { time = 1, v = 1, open = '{"v": 1, "x": 2.50}' } }
        local list = r.pass { { time = 2, v = 2, open = '{"v": 2}' }, { wm = 5 } }
        assert.same({ '{"v": 1, "x": 2.50}', '{"v": 2}' }, column(list, "text"))
    end)

    it("gives the same whatever the steps, restarts and aborts, over random rows", function()
        local random = math.random
        for round = 1, 60 do
            local events, now = {}, 0
            for i = 1, 80 do
                now = now + random(0, 5)
                if random() < 0.3 then events[i] = { wm = now - random(5, 25) }
                else events[i] = { time = now - random(0, 30), v = i, o = random(1, 3), partition = random(0, 1), offset = i } end
            end
            events[#events + 1] = { wm = FOREVER }
            -- The plain way: a row is late or waits; each watermark lets the sorted rows below it go.
            local waiting, expected, late, wm = {}, {}, 0, -math.huge
            for _, e in ipairs(events) do
                if e.time then
                    if e.time <= wm then late = late + 1 else waiting[#waiting + 1] = e end
                elseif e.wm == FOREVER or e.wm > wm then
                    wm = e.wm == FOREVER and math.huge or e.wm
                    table.sort(waiting, function(a, b)
                        if a.time ~= b.time then return a.time < b.time end
                        if a.o ~= b.o then return a.o > b.o end
                        if a.partition ~= b.partition then return a.partition < b.partition end
                        return a.offset < b.offset
                    end)
                    while waiting[1] and waiting[1].time <= wm do expected[#expected + 1] = tostring(table.remove(waiting, 1).v) end
                end
            end
            for _, size in ipairs { #events, 1, 6 } do
                local r, got = new({ { "o", true } }, { "o", "v" }), {}
                for from = 1, #events, size do
                    local part = {}
                    for i = from, math.min(from + size - 1, #events) do part[#part + 1] = events[i] end
                    if random() < 0.3 then                     -- a step that is rolled back and done again
                        lib.store_commit(r.store)
                        local before, counted = r.wm, r.stats.late
                        r.pass(part)
                        lib.store_abort(r.store)
                        lib.reorder_rebuild(r.buffer)
                        r.wm, r.stats.late = before, counted
                    end
                    for _, row in ipairs(r.pass(part)) do got[#got + 1] = row.v end
                end
                assert.same(expected, got, ("seed %d round %d size %d"):format(SEED, round, size))
                assert.equal(late, tonumber(r.stats.late))
            end
        end
    end)

    it("does not touch the store for rows that come and go in one step", function()
        local r = new()
        lib.store_commit(r.store)
        r.pass { { time = 1, v = 1 }, { time = 2, v = 2 }, { wm = 2 } }
        assert.equal(0, tonumber(lib.store_dirty_count(r.store)))
        assert.is_not_nil(rows)
    end)
end)
