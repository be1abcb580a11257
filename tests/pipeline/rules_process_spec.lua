-- `process` and `detect` through rules: keyed state, both orders, timers, ttl, errors. Small cases, checked by hand.

local replay = require "tests.support.replay"

local function run(rules, input, more)
    local options = { rules = rules, input = input }
    for k, v in pairs(more or {}) do options[k] = v end
    return replay.ok(options)
end

local function rule(body, more)
    return ('rule "r" { from = "s", to = "out", time_format = "epoch_ms", process = {\n%s\n}, %s }\n'):format(body, more or "")
end

local function row(ts, k, v) return { ts = ts, k = k, v = v } end

local function rows(...)
    local list = {}
    for i, item in ipairs { ... } do list[i] = item.topic and item or row(unpack(item)) end
    return list
end

-- What a process emitted, each as the values of these columns.
local function emitted(ran, ...)
    local list = {}
    for i, record in ipairs(ran:topic "out") do
        local parts = {}
        for n, column in ipairs { ... } do parts[n] = tostring(record.value[column]) end
        list[i] = table.concat(parts, " ")
    end
    return list
end

describe("process", function()
    local counting = [[by = { "k" }, on_row = function(row, state, emit)
        state.n = (state.n or 0) + 1
        emit { k = row.k, n = state.n, ts = row.ts }
    end]]

    it("keeps state per key", function()
        assert.same({ "a 1", "b 1", "a 2", "a 3" },
            emitted(run(rule(counting), rows({ 1, "a" }, { 2, "b" }, { 3, "a" }, { 4, "a" })), "k", "n"))
    end)

    it("takes keys as groups do: 1 and 1.0 are one, 1 and \"1\" are two", function()
        local input = {}
        for i, k in ipairs { "1", '"1"', "1.0", "null" } do input[i] = { topic = "s", payload = ('{"ts":%d,"k":%s}'):format(i, k) } end
        assert.same({ "1", "1", "2", "1" }, emitted(run(rule(counting), input), "n"))
    end)

    it("in order of arrival sees rows as they come, never late", function()
        local ran = run(rule(counting), rows({ 5, "a" }, { 1, "a" }, { 9, "a" }))
        assert.same({ "5 1", "1 2", "9 3" }, emitted(ran, "ts", "n"))
        assert.equal(0, ran.stats.rules.r.late)
    end)

    it("in event-time order sees rows by time, and counts those behind the watermark as late", function()
        local config = 'source "s" { topic = "s", event_time = "ts", watermark = "10ms", max_ahead = "none" }\nrules "rules"'
        local ran = run(rule(counting .. ', order = "event_time"'), rows({ 5, "a" }, { 1, "a" }, { 20, "a" }, { 9, "a" }, { 15, "a" }, { 10, "a" }),
            { config = config })
        assert.same({ "1 1", "5 2", "15 3", "20 4" }, emitted(ran, "ts", "n"))
        assert.equal(2, ran.stats.rules.r.late)
    end)

    it("in event-time order gives the same whatever the interleaving of partitions", function()
        local config = 'source "s" { topic = "s", event_time = "ts", watermark = "5ms", max_ahead = "none" }\nrules "rules"'
        local function place(partition, ts) return { topic = "s", partition = partition, payload = row(ts, "a") } end
        local rules = rule(counting .. ', order = "event_time"')
        local one = run(rules, { place(0, 1), place(0, 3), place(0, 6), place(1, 2), place(1, 4), place(1, 5) }, { config = config })
        local two = run(rules, { place(1, 2), place(0, 1), place(1, 4), place(0, 3), place(1, 5), place(0, 6) }, { config = config })
        assert.same({ "1 1", "2 2", "3 3", "4 4", "5 5", "6 6" }, emitted(one, "ts", "n"))
        assert.same(emitted(one, "ts", "n"), emitted(two, "ts", "n"))
    end)

    it("may emit nothing, or several rows, in order", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit)
            for i = 1, row.v do emit { v = row.v, i = i } end end]], rows({ 1, "a", 2 }, { 2, "a", 0 }, { 3, "a", 1 }))
        assert.same({ "2 1", "2 2", "1 1" }, emitted(ran, "v", "i"))
        assert.equal(3, ran.stats.rules.r.emitted)
    end)

    -- Other rules make the decoder look for columns, members of nested objects among them, that are none of this rule's rows.
    it("gives a row on as it came, with metadata and what unnest made, whatever other rules look at", function()
        local config = replay.config:gsub('max_ahead = "none"', '%0, metadata = { at = "timestamp" }')
        local others = [[
rule "others" { from = "s", where = function(r) return r.absent == nil and r.o.a.b > 0 and r._from == "s" end,
    window = tumble "1s", group_by = { "nowhere" }, aggregate = { n = count("nothing") }, to = "others" }
]]
        local input = { { topic = "s", ts = 5, payload = '{"ts":1,"o":{"a":{"b":2}},"l":[1.50,{"x":2}]}' } }
        for _, order in ipairs { "arrival", "event_time" } do
            local ran = run(others .. [[
rule "r" { from = "s", unnest = "l[] as e", to = "out", time_format = "epoch_ms", process = { order = "]] .. order ..
                [[", on_row = function(row, state, emit) emit(row) emit(row, { q = row._from }) end } }]], input, { config = config })
            assert.same({ '{"ts":1,"o":{"a":{"b":2}},"l":[1.50,{"x":2}],"at":5,"e":1.50}',
                '{"ts":1,"o":{"a":{"b":2}},"l":[1.50,{"x":2}],"at":5,"e":1.50,"q":"s"}',
                '{"ts":1,"o":{"a":{"b":2}},"l":[1.50,{"x":2}],"at":5,"e":{"x":2}}',
                '{"ts":1,"o":{"a":{"b":2}},"l":[1.50,{"x":2}],"at":5,"e":{"x":2},"q":"s"}' }, ran:payloads "out")
        end
    end)

    -- Who reads the rule finds a number and writes it in its own way, whatever keeps the row meanwhile.
    describe("hands a timestamp on as one", function()
        local makers = {
            ["emitted"] = 'process = { on_row = function(row, state, emit) emit { k = row.k, t = timestamp(row.ts + 1), n = row.ts + 1 } end }',
            ["of a timer"] = [[process = { by = { "k" }, on_row = function(row, state) state:wake(1) end,
                on_timer = function(state, time, emit) emit { t = timestamp(time), n = time } end }]],
            ["added to a row"] = [[select = { "k" , n = function(r) return r.ts + 1 end } }
                rule "added" { from = "made", process = { on_row = function(row, state, emit) emit(row, { t = timestamp(row.n) }) end }]],
            ["of a row that goes on"] = [[select = { "k", t = function(r) return timestamp(r.ts + 1) end, n = function(r) return r.ts + 1 end } }
                rule "added" { from = "made", process = { on_row = function(row, state, emit) emit(row) end }]],
            ["of a row that goes on twice"] = [[select = function(r) return { k = r.k, t = timestamp(r.ts + 1), n = r.ts + 1 } end }
                rule "again" { from = "made", process = { on_row = function(row, state, emit) emit(row, { x = 1 }) end } }
                rule "added" { from = "again", process = { by = { "t" }, on_row = function(row, state, emit) emit(row) end }]],
            ["by which it is keyed"] = [[select = { "k", t = function(r) return timestamp(r.ts + 1) end, n = function(r) return r.ts + 1 end } }
                rule "added" { from = "made", process = { by = { "t", "k" }, on_row = function(row, state, emit) emit { n = row.n } end }]],
            ["by which its timer is keyed"] = [[select = { "k", t = function(r) return timestamp(r.ts + 1) end, n = function(r) return r.ts + 1 end } }
                rule "added" { from = "made", process = { by = { "t", "k" }, on_row = function(row, state) state:wake(1) end,
                    on_timer = function(state, time, emit) emit { n = time } end }]],
            ["of a select function"] = 'select = function(r) return { k = r.k, t = timestamp(r.ts + 1), n = r.ts + 1 } end',
        }
        local readers = {
            ["read at once"] = 'select = { "t", same = function(r) return r.t == r.n end },',
            ["read whole"] = 'where = function(r) return r.t == r.n end,',
            ["kept by match"] = [[match = { pattern = "A", define = { A = function(r) return r.t == r.n end },
                measures = { t = function(m) return timestamp(m.first("A").t) end }, rows_per_match = "all" }, ]],
            ["kept by process"] = [[process = { by = { "k" }, order = "event_time", on_row = function(r, state, emit)
                if r.t == r.n then emit(r) end end },]],
        }
        for made, maker in pairs(makers) do
            for read, reader in pairs(readers) do
                it(made .. ", " .. read, function()
                    local rules = ('rule "made" { from = "s", %s, time_format = "sql", to = "made" }\n'):format(maker)
                    rules = rules .. ('rule "r" { from = "%s", %s time_format = "iso8601", to = "out" }'):format(maker:match '"added"' and "added" or "made", reader)
                    local ran = run(rules, rows({ 1659426822540, "a" }))
                    assert.equal(0, ran.stats.rules.r.errors)
                    assert.same({ "2022-08-02T07:53:42.541Z" }, ran:column("out", "t"))
                    assert.is_true(ran:topic("out")[1].value.same ~= false)
                    assert.same({ "2022-08-02 07:53:42.541" }, #ran:topic "made" == 1 and ran:column("made", "t") or {})
                end)
            end
        end

        it("and leaves a number alone that is spelt as one marked on the way", function()
            local ran = run([[
rule "t" { from = "s", process = { on_row = function(row, state, emit) emit(row, { t = timestamp(0) }) end } }
rule "by" { from = "s", process = { by = { "v" }, on_row = function(row, state, emit) emit { t = timestamp(0) } end }, to = "by" }
rule "r" { from = "t", to = "out" }]], { { topic = "s", payload = '{"ts":1,"v":5E+000,"k":"5E+000"}' } })
            assert.same({ '{"ts":1,"v":5E+000,"k":"5E+000","t":"1970-01-01T00:00:00.000Z"}' }, ran:payloads "out")
            assert.same({ '{"t":"1970-01-01T00:00:00.000Z","v":5}' }, ran:payloads "by")
        end)
    end)

    it("emits rows of the event time of the row behind them, keyed by its `by` columns", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit) emit { x = 1, k = row.k } end]], rows({ 7, "a" }))
        assert.equal(7, ran:topic("out")[1].ts)
        assert.equal('{"k":"a"}', ran:topic("out")[1].key)
    end)

    it("keeps nested state: tables, lists, strings, booleans, and forgets what is set to nil", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit)
            state.list = state.list or {}
            state.list[#state.list + 1] = row.v
            state.seen = state.seen or { deep = { n = 0 } }
            state.seen.deep.n = state.seen.deep.n + 1
            if row.v == 2 then state.flag = true elseif row.v == 3 then state.flag = nil end
            emit { list = table.concat(state.list, ","), n = state.seen.deep.n, flag = tostring(state.flag) }
        end]], rows({ 1, "a", 1 }, { 2, "a", 2 }, { 3, "b", 9 }, { 4, "a", 3 }))
        assert.same({ "1 1 nil", "1,2 2 true", "9 1 nil", "1,2,3 3 nil" }, emitted(ran, "list", "n", "flag"))
    end)

    it("keeps state across batches of any size", function()
        local input = {}
        for i = 1, 300 do input[i] = row(i, "k" .. i % 7, i) end
        local whole = run(rule(counting), input).text
        for _, size in ipairs { 1, 7, 1024 } do
            assert.is_true(whole == run(rule(counting), input, { env = { ANANAS_BATCH = size } }).text, "batch size " .. size)
        end
    end)

    it("without `by` has one state for all rows", function()
        assert.same({ "1", "2", "3" }, emitted(run(rule [[on_row = function(row, state, emit)
            state.n = (state.n or 0) + 1 emit { n = state.n } end]], rows({ 1, "a" }, { 2, "b" }, { 3, "c" })), "n"))
    end)

    it("that raises undoes what this row changed, emitted and woke, and counts", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit)
            state.n = (state.n or 0) + 1
            state.l = state.l or {}
            state.l[#state.l + 1] = row.v
            emit { n = state.n, l = table.concat(state.l, ",") }
            if row.v == 2 then state:wake(50) error("no") end
        end, on_timer = function(state, time, emit) emit { n = "timer", l = "" } end]],
            rows({ 1, "a", 1 }, { 2, "a", 2 }, { 3, "a", 3 }))
        assert.same({ "1 1", "2 1,3" }, emitted(ran, "n", "l"))
        assert.equal(1, ran.stats.rules.r.errors)
        assert.truthy(ran.stderr:find "rules%.lua:%d+", ran.stderr)
    end)

    it("feeds rules that read it", function()
        local ran = run(rule(counting) .. 'rule "b" { from = "r", where = function(r) return r.n == 2 end, select = { "k" }, to = "below" }',
            rows({ 1, "a" }, { 2, "b" }, { 3, "a" }))
        assert.same({ "a" }, ran:column("below", "k"))
    end)

    it("does not let state of one rule reach another", function()
        local ran = run(rule(counting) .. [[
rule "q" { from = "s", to = "other", process = { by = { "k" }, on_row = function(row, state, emit) emit { n = state.n == nil } end } }]],
            rows({ 1, "a" }, { 2, "a" }))
        assert.same({ true, true }, ran:column("other", "n"))
    end)
end)

describe("a timer", function()
    local silent = [[by = { "k" }, on_row = function(row, state, emit) state.k = row.k state:wake(10) end,
        on_timer = function(state, time, emit) emit { k = state.k, at = time } end]]

    it("fires when the watermark reaches its time, once", function()
        local ran = run(rule(silent) .. 'rule "m" { from = "s", select = { "ts" }, to = "marks" }',
            rows({ 1, "a" }, { 10, "b" }, { 11, "b" }, { 12, "c" }), { args = { "--no-flush" } })
        assert.same({ "a 11" }, emitted(ran, "k", "at"))
        local topics = {}
        for i, record in ipairs(ran.records) do topics[i] = record.topic end
        assert.same({ "marks", "marks", "marks", "out", "marks" }, topics)
        assert.equal(11, ran:topic("out")[1].ts)
    end)

    it("may be set for a point in time, moved, and taken back", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit)
            if row.v == 1 then state:wake_at(20) elseif row.v == 2 then state:wake_at(30) elseif row.v == 3 then state:sleep()
            elseif row.v == 4 then state:wake("5ms") end end,
            on_timer = function(state, time, emit) emit { at = time } end]],
            rows({ 1, "a", 1 }, { 2, "b", 1 }, { 3, "b", 2 }, { 4, "c", 1 }, { 5, "c", 3 }, { 6, "d", 4 }, { 50, "x", 0 }), { args = { "--no-flush" } })
        assert.same({ "11", "20", "30" }, emitted(ran, "at"))
    end)

    it("fires at the end of bounded input", function()
        assert.same({ "a 11" }, emitted(run(rule(silent), rows({ 1, "a" })), "k", "at"))
    end)

    it("fires per key, in order of time", function()
        assert.same({ "b 12", "a 15" }, emitted(run(rule(silent), rows({ 5, "a" }, { 2, "b" }, { 40, "c" }), { args = { "--no-flush" } }), "k", "at"))
    end)

    it("may change state, emit, and set another", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit) state.n = 0 state:wake(10) end,
            on_timer = function(state, time, emit) state.n = state.n + 1 emit { n = state.n, at = time } if state.n < 3 then state:wake(10) end end]],
            rows({ 0, "a" }, { 100, "b" }), { args = { "--no-flush" } })
        assert.same({ "1 10", "2 20", "3 30" }, emitted(ran, "n", "at"))
    end)

    it("that always sets the next one does not keep a bounded replay from ending", function()
        local ran = replay.run { rules = rule [[by = { "k" }, on_row = function(row, state, emit) state:wake(10) end,
            on_timer = function(state, time, emit) emit { at = time } state:wake(10) end]], input = rows({ 0, "a" }, { 25, "b" }) }
        assert.equal(0, ran.status, ran.stderr)
        local got = emitted(ran, "at")
        assert.same({ "10", "20" }, { got[1], got[2] })
    end)

    it("that raises changes nothing and counts", function()
        local ran = run(rule [[by = { "k" }, on_row = function(row, state, emit) state.n = (state.n or 0) + 1 state:wake(5) emit { n = state.n } end,
            on_timer = function(state, time, emit) state.n = 100 emit { n = state.n } local x = nil + 1 end]],
            rows({ 0, "a" }, { 10, "b" }, { 20, "a" }), { args = { "--no-flush" } })
        assert.same({ "1", "1", "2" }, emitted(ran, "n"))
        assert.is_true(ran.stats.rules.r.errors >= 1)
    end)

    it("in event-time order comes between the rows that it belongs between", function()
        local config = 'source "s" { topic = "s", event_time = "ts", watermark = "100ms", max_ahead = "none" }\nrules "rules"'
        local ran = run(rule [[by = { "k" }, order = "event_time",
            on_row = function(row, state, emit) emit { x = "row " .. row.ts } state:wake(10) end,
            on_timer = function(state, time, emit) emit { x = "timer " .. time } end]],
            rows({ 40, "a" }, { 0, "a" }, { 20, "a" }), { config = config })
        assert.same({ "row 0", "timer 10", "row 20", "timer 30", "row 40", "timer 50" }, emitted(ran, "x"))
    end)
end)

describe("ttl", function()
    it("forgets state that was not touched for so long", function()
        local ran = run(rule [[by = { "k" }, ttl = "10ms", on_row = function(row, state, emit)
            state.n = (state.n or 0) + 1 emit { k = row.k, n = state.n } end]],
            rows({ 0, "a" }, { 5, "a" }, { 14, "a" }, { 14, "b" }, { 20, "b" }, { 25, "b" }, { 29, "a" }, { 60, "c" }, { 61, "b" }))
        assert.same({ "a 1", "a 2", "a 3", "b 1", "b 2", "b 3", "a 1", "c 1", "b 1" }, emitted(ran, "k", "n"))
    end)
end)

describe("detect", function()
    -- 60 calm values between 49 and 51 per key, then a spike for key "a".
    local function calm_then(spike)
        local input = {}
        for i = 1, 60 do
            for _, k in ipairs { "a", "b" } do
                input[#input + 1] = { ts = i * 1000, k = k, v = 50 + (i % 2 == 0 and 1 or -1) * (i % 7) / 7, id = #input }
            end
        end
        input[#input + 1] = { ts = 61000, k = "a", v = spike, id = "spike" }
        input[#input + 1] = { ts = 61000, k = "b", v = 50 - 5 / 7, id = "calm" }
        input[#input + 1] = { ts = 62000, k = "c", v = spike, id = "new" }
        return input
    end

    local function detect(call, input)
        return run(('rule "r" { from = "s", to = "out", detect = %s }'):format(call), input)
    end

    for _, call in ipairs {
        'zscore { by = { "k" }, value = "v" }', 'ewma { by = { "k" }, value = "v", threshold = 4, warmup = 20 }',
        'mad { by = { "k" }, value = "v", threshold = 8 }', 'cusum { by = { "k" }, value = "v", threshold = 20 }',
        'rate_of_change { by = { "k" }, value = "v", threshold = 10, per = "1s" }',
        'seasonal { by = { "k" }, value = "v", period = 14, threshold = 8 }',
    } do
        it(call:match "^%w+[_%w]*" .. " lets the row through that stands out, whole and with its score, and no other", function()
            local ran = detect(call, calm_then(90))
            local ids = ran:column("out", "id")
            assert.same({ "spike" }, ids)
            local found = ran:topic("out")[1]
            assert.equal(90, found.value.v)
            assert.equal("a", found.value.k)
            assert.is_true(found.value.score > 3)
            assert.equal('{"k":"a"}', found.key)
            assert.equal(61000, found.ts)
            assert.equal(0, ran.stats.rules.r.errors)
        end)
    end

    it("passes values that are null, absent or no number over, without an error", function()
        local input = calm_then(90)
        for i, v in ipairs { replay.null, "x", true } do table.insert(input, 50 + i, { ts = 30000, k = "a", v = v, id = "odd" }) end
        table.insert(input, 60, { ts = 30000, k = "a", id = "odd" })
        local ran = detect('zscore { by = { "k" }, value = "v" }', input)
        assert.same({ "spike" }, ran:column("out", "id"))
        assert.equal(0, ran.stats.rules.r.errors)
    end)

    it("absence says when a key has gone silent, once, at the time it should have spoken", function()
        local ran = run([[rule "r" { from = "s", to = "out", detect = absence { by = { "k" }, after = "10s" } }]],
            rows({ 1000, "a" }, { 4000, "b" }, { 5000, "a" }, { 13000, "b" }, { 20000, "b" }, { 40000, "a" }), { args = { "--no-flush" } })
        local got = {}
        for i, record in ipairs(ran:topic "out") do got[i] = record.value.k .. " " .. record.ts end
        assert.same({ "a 15000", "b 30000" }, got)
    end)

    it("gives the same bytes for every cut into batches", function()
        local rule_text = 'rule "r" { from = "s", to = "out", detect = zscore { by = { "k" }, value = "v", threshold = 1, warmup = 3 } }'
        local whole = run(rule_text, calm_then(90)).text
        assert.is_true(#whole > 500)
        for _, size in ipairs { 1, 7 } do
            assert.is_true(whole == run(rule_text, calm_then(90), { env = { ANANAS_BATCH = size } }).text, "batch size " .. size)
        end
    end)

    it("feeds rules that read it, with the columns of the row and the score", function()
        local ran = run([[rule "spikes" { from = "s", detect = zscore { by = { "k" }, value = "v" } }
rule "r" { from = "spikes", where = function(r) return r.score > 3 and r.v > 60 end, select = { "id" }, to = "out" }]], calm_then(90))
        assert.same({ "spike" }, ran:column("out", "id"))
    end)

    it("is refused with all that is wrong with it, each at its line", function()
        local ran = replay.run { rules = 'rule "r" { from = "s", to = "out", detect = ewma {\n by = 5,\n valu = "v",\n treshold = 3,\n alpha = "x",\n} }',
            input = {} }
        assert.equal(1, ran.status)
        for _, part in ipairs { "2: `detect`: `by`: expected a list of columns", "3: `detect`: ewma has no option `valu`; did you mean `value`?",
            "1: `detect`: ewma needs `value`", "4: `detect`: ewma has no option `treshold`; did you mean `threshold`?",
            "5: `detect`: `alpha`: expected a number" } do
            assert.truthy(ran.stderr:find("rules/rules.lua:" .. part, 1, true), part .. "\n" .. ran.stderr)
        end
    end)

    it("is refused where an option is unknown or wrong, with a suggestion", function()
        local ran = replay.run { rules = 'rule "r" { from = "s", to = "out",\n detect = ewma { by = { "k" }, valu = "v", value = "v" } }', input = {} }
        assert.equal(1, ran.status)
        assert.truthy(ran.stderr:find "rules%.lua:2:", ran.stderr)
        assert.truthy(ran.stderr:find("value", 1, true), ran.stderr)
    end)
end)
