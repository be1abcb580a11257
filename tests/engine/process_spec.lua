local process_engine = require "tests.support.process_engine"
local new, FOREVER = process_engine.new, process_engine.FOREVER

local COUNTER = {
    by = { "id" },
    on_row = [[function(r, state, emit)
        state.n = (state.n or 0) + 1
        emit { n = state.n, v = r.v }
    end]],
}

describe("process", function()
    it("gives each row the state of its key, and emits in the order of the rows", function()
        local p = new(COUNTER)
        assert.same({ '{"id":"a","n":1,"v":10}', '{"id":"b","n":1,"v":20}', '{"id":"a","n":2,"v":30}' },
            p:texts { { time = 1, id = "a", v = 10 }, { time = 2, id = "b", v = 20 }, { time = 3, id = "a", v = 30 } })
        assert.same({ '{"id":"a","n":3,"v":40}' }, p:texts { { time = 4, id = "a", v = 40 } })
    end)

    it("gives emitted rows the event time, tick, position and key of their row", function()
        local list = new(COUNTER):run { { time = 7, id = "a", v = 1, offset = 5, topic = 1, key = '"k"' }, { wm = 7 },
            { time = 9, id = "a", v = 2, offset = 6, topic = 1 } }
        assert.same({ 7, 9 }, { list[1]._time, list[2]._time })
        assert.same({ 0, 2 }, { list[1]._tick, list[2]._tick })
        assert.same({ 5, 1, '"k"' }, { list[1]._offset, list[1]._topic, list[1]._key })
    end)

    it("numbers the rows that one record led to", function()
        local p = new { by = {}, on_row = "function(r, state, emit) for i = 1, r.n do emit { i = i } end end" }
        local list = p:run { { time = 1, n = 2, offset = 1 }, { time = 1, n = 1, offset = 1, sub = 1, same_tick = true }, { time = 2, n = 1, offset = 2 } }
        local subs = {}
        for i, r in ipairs(list) do subs[i] = r._sub end
        assert.same({ 0, 1, 2, 0 }, subs)
    end)

    it("writes by columns exactly as they came, also beyond 2^53 and when emit names them", function()
        local rows = require "tests.support.rows"
        local p = new { by = { "id" }, on_row = "function(r, state, emit) emit { x = 1 } emit { id = r.id, a = 2 } end" }
        assert.same({ '{"id":9007199254740993,"x":1}', '{"a":2,"id":9007199254740993}' },
            p:texts { { time = 1, id = rows.json "9007199254740993" } })
    end)

    it("passes a row on as it came, with what is added", function()
        local rows = require "tests.support.rows"
        local p = new { by = {}, on_row = "function(r, state, emit) emit(r) emit(r, { b = 2, v = 9 }) end" }
        assert.same({ '{"id":9007199254740993,"v":1.50}', '{"id":9007199254740993,"b":2,"v":9}' },
            p:texts { { time = 1, id = rows.json "9007199254740993", v = rows.json "1.50" } })
    end)

    it("keeps nested values, numbers as keys, and tells lists from objects", function()
        local p = new { by = {}, on_row = [[function(r, state, emit)
            state.seen = state.seen or { list = {}, by_number = {}, text = {} }
            local s = state.seen
            s.list[#s.list + 1] = r.v
            s.by_number[r.v * 1000] = true
            s.text[tostring(r.v)] = { deep = { r.v } }
            emit { list = s.list, has = s.by_number[1000] or false, deep = s.text["1"] }
        end]] }
        p:texts { { time = 1, v = 1 } }
        assert.same({ '{"deep":{"deep":[1]},"has":true,"list":[1,2]}' }, p:texts { { time = 2, v = 2 } })
    end)

    it("undoes what a failing on_row changed, emitted and woke, counts it, and goes on", function()
        local p = new { by = { "id" }, on_row = [[function(r, state, emit)
            state.n = (state.n or 0) + 1
            state.list = state.list or {}
            state.list[#state.list + 1] = r.v
            state:wake(10)
            emit { n = state.n }
            if r.bad then state.n = 100 state.list[1] = "spoilt" error("no") end
        end]], on_timer = "function(state, time, emit) emit { timer = time, n = state.n } end" }
        assert.same({ '{"id":"a","n":1}', '{"id":"a","n":2}' },
            p:texts { { time = 1, id = "a", v = 1 }, { time = 50, id = "a", v = 2, bad = true }, { time = 3, id = "a", v = 3 } })
        assert.equal(1, tonumber(p.stats.errors))
        assert.truthy(p:last_error():find("no", 1, true))
        assert.same({ '{"id":"a","n":2,"timer":13}' }, p:texts { { wm = 1000 } })
        assert.same({ '{"id":"a","n":3}' }, p:texts { { time = 1001, id = "a", v = 4 } })
    end)

    it("refuses what cannot be kept as an error of that row", function()
        local p = new { by = {}, on_row = [[function(r, state, emit)
            state.n = (state.n or 0) + 1
            if r.v == 2 then state.f = function() end end
            emit { n = state.n }
        end]] }
        assert.same({ '{"n":1}', '{"n":2}' }, p:texts { { time = 1, v = 1 }, { time = 2, v = 2 }, { time = 3, v = 3 } })
        assert.equal(1, tonumber(p.stats.errors))
    end)

    it("keeps rows that were put into state as tables", function()
        local p = new { by = {}, on_row = [[function(r, state, emit)
            if state.last then emit { last = state.last.v } end
            state.last = r
        end]] }
        assert.same({ '{"last":1}' }, p:texts { { time = 1, v = 1 }, { time = 2, v = 2 } })
        assert.same({ '{"last":2}' }, p:texts { { time = 3, v = 3 } })
    end)
end)

describe("process timers", function()
    local SILENCE = {
        by = { "id" },
        on_row = "function(r, state, emit) state.v = r.v state:wake(10) end",
        on_timer = "function(state, time, emit) emit { silent = time, v = state.v } end",
    }

    it("fire when the watermark reaches them, at its tick, and not before", function()
        local p = new(SILENCE)
        assert.same({}, p:texts { { time = 5, id = "a", v = 1 }, { wm = 14 } })
        local list = p:run { { time = 20, id = "b", v = 2 }, { wm = 15 }, { time = 21, id = "b", v = 3 } }
        assert.same('{"id":"a","silent":15,"v":1}', list[1].text)
        assert.same({ 15, 1 }, { list[1]._time, list[1]._tick })
        assert.equal(1, #list)
    end)

    it("fire in (time, key) order, and what is emitted orders after them downstream", function()
        local p = new(SILENCE)
        local list = p:run { { time = 3, id = "c", v = 1 }, { time = 1, id = "b", v = 1 }, { time = 1, id = "a", v = 1 }, { wm = 100 } }
        local ids = {}
        for i, r in ipairs(list) do ids[i] = r.text:match '"id":"(%a)"' .. r._offset end
        assert.same({ "a1", "b2", "c3" }, ids)
    end)

    it("are moved by setting them again, and fire once", function()
        local p = new(SILENCE)
        p:run { { time = 1, id = "a", v = 1 }, { time = 8, id = "a", v = 2 } }
        assert.same({}, p:texts { { wm = 17 } })
        assert.same({ '{"id":"a","silent":18,"v":2}' }, p:texts { { wm = 18 } })
        assert.same({}, p:texts { { wm = 1000 } })
    end)

    it("may fire between two rows of one batch", function()
        local p = new { by = { "id" }, on_row = "function(r, state, emit) emit { row = r.v, fired = state.fired or 0 } state:wake(10) end",
            on_timer = "function(state, time, emit) state.fired = (state.fired or 0) + 1 emit { timer = time } end" }
        assert.same({ '{"fired":0,"id":"a","row":1}', '{"id":"a","timer":11}', '{"fired":1,"id":"a","row":2}' },
            p:texts { { time = 1, id = "a", v = 1 }, { wm = 12 }, { time = 20, id = "a", v = 2 } })
    end)

    it("have names: one timer of a name", function()
        local p = new { by = {}, on_row = [[function(r, state, emit)
            state:wake(10, "b") state:wake(10, "a") state:wake("0.005s", "c") state:sleep("b")
        end]], on_timer = "function(state, time, emit, name) emit { name = name, time = time } end" }
        assert.same({ '{"name":"c","time":6}', '{"name":"a","time":11}' }, p:texts { { time = 1 }, { wm = 50 } })
    end)

    it("of one key and of others fire in the order of their times", function()
        local p = new { by = { "id" }, on_row = [[function(r, state, emit)
            if r.id == "a" then state:wake(10) state:wake(12, "second") else state:wake(13) end
        end]], on_timer = "function(state, time, emit) emit { time = time } end" }
        assert.same({ '{"id":"a","time":10}', '{"id":"a","time":12}', '{"id":"b","time":13}' },
            p:texts { { time = 0, id = "a" }, { time = 0, id = "b" }, { wm = 50 } })
    end)

    it("set by a timer fire in turn", function()
        local p = new { by = { "id" }, on_row = "function(r, state, emit) state:wake(10) end",
            on_timer = [[function(state, time, emit)
                state.n = (state.n or 0) + 1
                emit { n = state.n }
                if state.n < 3 then state:wake(10) end
            end]] }
        local list = p:run { { time = 0, id = "a" }, { time = 5, id = "b" }, { wm = 100 } }
        local seen = {}
        for i, r in ipairs(list) do seen[i] = r.text:match '"id":"(%a)"' .. r._time end
        assert.same({ "a10", "b15", "a20", "b25", "a30", "b35" }, seen)
    end)

    it("that is set for the past comes at once, with a time that is not late downstream", function()
        local p = new { by = {}, on_row = "function(r, state, emit) state:wake_at(3) end",
            on_timer = "function(state, time, emit) emit { time = time } end" }
        p:run { { wm = 10 } }
        local list = p:run { { time = 5 }, { time = 6 } }
        assert.same({ '{"time":3}', '{"time":3}' }, { list[1].text, list[2].text })
        assert.same({ 11, 0 }, { list[1]._time, list[1]._tick })
    end)

    it("all fire at the end of the input, once, also when they set themselves again", function()
        local p = new { by = { "id" }, on_row = "function(r, state, emit) state.n = 0 state:wake(10) end",
            on_timer = "function(state, time, emit) state.n = state.n + 1 state:wake(10) emit { at = time, n = state.n } end" }
        assert.same({ '{"at":11,"id":"a","n":1}', '{"at":12,"id":"b","n":1}' },
            p:texts { { time = 2, id = "b" }, { time = 1, id = "a" }, { wm = FOREVER } })
    end)

    it("that fails is over, its changes undone", function()
        local p = new { by = {}, on_row = "function(r, state, emit) state.n = 1 state:wake(10) end",
            on_timer = "function(state, time, emit) state.n = 2 emit { x = 1 } error('bad timer') end" }
        assert.same({}, p:texts { { time = 1 }, { wm = 50 } })
        assert.equal(1, tonumber(p.stats.errors))
        assert.same({}, p:texts { { wm = 100 } })
    end)

    it("survive a restart and an abort", function()
        local p = new(SILENCE)
        p:run { { time = 1, id = "a", v = 1 } }
        p:commit()
        p:run { { time = 5, id = "a", v = 2 }, { time = 5, id = "b", v = 2 } }
        p:abort(process_engine.NEVER)
        p = p:restart()
        assert.same({ '{"id":"a","silent":11,"v":1}' }, p:texts { { wm = 100 } })
    end)
end)

describe("process with provenance", function()
    local sources = function(list)
        local out = {}
        for i, r in ipairs(list) do out[i] = r._explain end
        return out
    end

    it("gives a row's own position, and a timer that of its key's last row", function()
        local p = new { by = { "id" }, provenance = true, on_row = "function(r, state, emit) emit { v = r.v } state:wake(10) end",
            on_timer = "function(state, time, emit) emit { time = time } end" }
        assert.same({ '[["t0",2,7]]', '[["t1",0,9]]', '[["t1",0,9]]' }, sources(p:run {
            { time = 1, id = "a", v = 1, offset = 7, partition = 2 }, { time = 3, id = "a", v = 2, offset = 9, topic = 1 }, { wm = 100 } }))
    end)

    it("passes on what came with a row", function()
        local rows = require "tests.support.rows"
        local given = rows.json '[["t0",0,1],["t0",0,2]]'
        local p = new { by = {}, provenance = true, on_row = "function(r, state, emit) emit { v = r.v } end" }
        assert.same({ '[["t0",0,1],["t0",0,2]]' }, sources(p:run { { time = 1, v = 1, _explain = given } }))
        p = new { by = {}, provenance = true, detect = true, on_row = "function(r, state, emit) emit { score = 1 } end" }
        assert.same({ '[["t0",0,1],["t0",0,2]]' }, sources(p:run { { time = 1, v = 1, _explain = given } }))
    end)
end)

describe("detectors in the engine", function()
    it("put their columns behind those of the row, as it came", function()
        local rows = require "tests.support.rows"
        local p = new { by = {}, detect = true, on_row = "function(r, state, emit) if r.v > 1 then emit { score = r.v, expected = 1 } end end" }
        local list = p:run { { time = 1, v = 1 }, { time = 2, v = rows.json "2.50", id = rows.json "9007199254740993" } }
        assert.equal(1, #list)
        assert.same({ "2.50", "9007199254740993", "2.5", "1", 2 }, { list[1].v, list[1].id, list[1].score, list[1].expected, list[1]._time })
    end)

    it("speak at a timer of the key's last row by event time, also after a restart", function()
        local p = new { by = { "id" }, detect = true, provenance = true, needs = { "id", "v" },
            on_row = "function(r, state, emit) state:wake_at(20) end", on_timer = "function(state, time, emit) emit { score = 7 } end" }
        p:run { { time = 5, id = "a", v = 1, offset = 3 }, { time = 2, id = "a", v = 2, offset = 4 } }
        p = p:restart()
        p:run { { time = 4, id = "a", v = 3, offset = 5 } }
        local list = p:run { { wm = 100 } }
        assert.same({ "1", '"a"', "7", 20, '[["t0",0,3]]' }, { list[1].v, list[1].id, list[1].score, list[1]._time, list[1]._explain })
    end)
end)

describe("process ttl", function()
    local spec = { by = { "id" }, ttl = 10, on_row = COUNTER.on_row }

    it("forgets a key that was not touched for as long in event time", function()
        local p = new(spec)
        p:run { { time = 1, id = "a", v = 0 }, { wm = 10 } }
        assert.same({ '{"id":"a","n":2,"v":0}' }, p:texts { { time = 10, id = "a", v = 0 }, { wm = 19 } })
        assert.same({ '{"id":"a","n":3,"v":0}' }, p:texts { { time = 9, id = "a", v = 0 }, { wm = 20 } })
        assert.equal(0, tonumber(process_engine.lib.process_keys(p.process)))
        assert.same({ '{"id":"a","n":1,"v":0}' }, p:texts { { time = 21, id = "a", v = 0 } })
    end)

    it("ends between two rows of one batch", function()
        assert.same({ '{"id":"a","n":1,"v":0}', '{"id":"a","n":1,"v":1}' },
            new(spec):texts { { time = 1, id = "a", v = 0 }, { wm = 11 }, { time = 30, id = "a", v = 1 } })
    end)

    it("waits for a timer", function()
        local p = new { by = { "id" }, ttl = 10, on_row = "function(r, state) state.v = r.v state:wake(50) end",
            on_timer = "function(state, time, emit) emit { v = state.v } end" }
        assert.same({ '{"id":"a","v":7}' }, p:texts { { time = 1, id = "a", v = 7 }, { wm = 40 }, { wm = 51 } })
    end)

    it("drops nothing that is still used, and keeps nothing that is empty", function()
        local p = new { by = { "id" }, on_row = "function(r, state) state.v = r.v end" }
        p:run { { time = 1, id = "a", v = 1 }, { time = 1, id = "b" } }
        assert.equal(1, tonumber(process_engine.lib.process_keys(p.process)))
        p:run { { time = 2, id = "a" } }
        assert.equal(0, tonumber(process_engine.lib.process_keys(p.process)))
    end)
end)

describe("process in event time", function()
    local spec = { by = { "id" }, order = "event_time", on_row = COUNTER.on_row, needs = { "id", "v" } }

    it("sees rows in order of event time once the watermark has passed them; later ones are late", function()
        local p = new(spec)
        assert.same({}, p:texts { { time = 5, id = "a", v = 5 }, { time = 3, id = "a", v = 3 }, { time = 9, id = "a", v = 9 } })
        local list = p:run { { wm = 6 }, { time = 6, id = "a", v = 66 }, { time = 7, id = "a", v = 7 }, { wm = 8 } }
        assert.same({ '{"id":"a","n":1,"v":3}', '{"id":"a","n":2,"v":5}', '{"id":"a","n":3,"v":7}' },
            { list[1].text, list[2].text, list[3].text })
        assert.same({ 0, 0, 3 }, { list[1]._tick, list[2]._tick, list[3]._tick })
        assert.equal(1, tonumber(p.stats.late))
        p = p:restart()
        assert.same({ '{"id":"a","n":4,"v":9}' }, p:texts { { wm = FOREVER } })
    end)

    it("fires a timer between the rows around its time, whatever the watermark does", function()
        local p = new { by = { "id" }, order = "event_time", on_row = "function(r, state, emit) emit { row = r.v } state:wake(10) end",
            on_timer = "function(state, time, emit) emit { timer = time } end" }
        assert.same({ '{"id":"a","row":1}', '{"id":"a","timer":11}', '{"id":"a","row":2}', '{"id":"a","timer":30}' },
            p:texts { { time = 20, id = "a", v = 2 }, { time = 1, id = "a", v = 1 }, { wm = 100 } })
    end)

    it("sees a row before a timer of the same time", function()
        local p = new { by = { "id" }, order = "event_time", on_row = "function(r, state, emit) emit { row = r.v } state:wake(10) end",
            on_timer = "function(state, time, emit) emit { timer = time } end" }
        assert.same({ '{"id":"a","row":1}', '{"id":"a","row":2}', '{"id":"a","timer":21}' },
            p:texts { { time = 11, id = "a", v = 2 }, { time = 1, id = "a", v = 1 }, { wm = 100 } })
    end)
end)

describe("process and its surroundings", function()
    it("leaves the state alone and says so when on_row runs away", function()
        local p = new { by = {}, on_row = "function(r, state, emit) state.n = (state.n or 0) + 1 while r.v == 2 do end emit { n = state.n } end" }
        assert.same({ '{"n":1}' }, p:texts { { time = 1, v = 1 } })
        local list, status = p:run { { time = 2, v = 1 }, { time = 3, v = 2 } }
        assert.is_nil(list)
        assert.equal(-7, status)
        local q = process_engine.new(p.spec, p.store)
        assert.same({ '{"n":2}' }, q:texts { { time = 4, v = 1 } })
    end)

    it("refuses new keys, and counts it, when max_state is reached", function()
        local p = new { by = { "id" }, max_state = 3000, on_row = "function(r, state, emit) state.x = ('x'):rep(500) emit { ok = 1 } end" }
        local events = {}
        for i = 1, 50 do events[i] = { time = i, id = i } end
        local n = 0
        for _, e in ipairs(events) do n = n + #p:texts { e } end
        assert.is_true(n > 1 and n < 50)
        assert.equal(50 - n, tonumber(p.stats.limits))
    end)

    it("gives the same whatever the steps are, over random rows, timers and errors", function()
        local random = math.random
        local source = { by = { "id" }, ttl = 400, on_row = [[function(r, state, emit)
            state.n = (state.n or 0) + 1
            if r.v % 7 == 0 then state.spoilt = true emit { never = 1 } state:wake(1) error "seven" end
            if r.v % 3 == 0 then state:wake(r.v) end
            if r.v % 5 == 0 then state:wake_at(r._time - 50, "past") end
            if r.v % 11 == 0 then state:sleep() end
            emit { n = state.n, v = r.v, spoilt = state.spoilt }
        end]], on_timer = [[function(state, time, emit, name)
            state.t = (state.t or 0) + 1
            if state.t % 4 == 0 then state:wake(30, "again") end
            if state.t % 13 == 0 then error "thirteen" end
            emit { timer = time, name = name, t = state.t, n = state.n }
        end]] }
        for _, order in ipairs { "arrival", "event_time" } do
            source.order = order
            for round = 1, 15 do
                local events, now = {}, 1000
                for _ = 1, 120 do
                    now = now + random(0, 20)
                    if random() < 0.3 then events[#events + 1] = { wm = now - 60 }
                    else events[#events + 1] = { time = now - random(0, 80), id = "k" .. random(1, 4), v = random(1, 60), offset = #events } end
                end
                local function emitted(size, restarts)
                    local p, list = new(source), {}
                    for from = 1, #events, size do
                        local part = {}
                        for i = from, math.min(from + size - 1, #events) do part[#part + 1] = events[i] end
                        for _, r in ipairs(assert(p:run(part))) do
                            list[#list + 1] = ("%d@%d %s %d/%d"):format(r._time, from - 1 + r._tick, r.text, r._topic, r._offset)
                        end
                        if restarts then p = p:restart() end
                    end
                    list[#list + 1] = tonumber(p.stats.errors)
                    return list, p
                end
                local whole = emitted(#events)
                assert.same(whole, (emitted(1)), "seed " .. SEED .. " round " .. round)
                assert.same(whole, (emitted(7)), "seed " .. SEED .. " round " .. round)
                local restarted = emitted(5, true)
                restarted[#restarted], whole[#whole] = nil, nil
                assert.same(whole, restarted, "seed " .. SEED .. " round " .. round)
            end
        end
    end)
end)
