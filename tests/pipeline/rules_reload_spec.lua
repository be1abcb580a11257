-- Another rule set takes effect between two records ({"rules": PATH} lines): what each verdict does to state and output.

local replay = require "tests.support.replay"

local explicit = 'source "s" { topic = "s", event_time = "ts", watermark = "none", max_ahead = "none" }\n' ..
    'source "t" { topic = "t", event_time = "ts", watermark = "none", max_ahead = "none" }\nrules "rules"'

local reload = { rules = "rules2" }

-- Rows before and after a reload from one rule text to another.
local function run(one, two, input, more)
    local options = { config = explicit, rules = one, files = { ["rules2/rules.lua"] = two }, input = input }
    for k, v in pairs(more or {}) do options[k] = v end
    return replay.ok(options)
end

local function window(name, clauses)
    return ('rule "%s" { from = "s", time_format = "epoch_ms", to = "out", %s }\n'):format(name or "r", clauses)
end

local function rows(...)
    local list = {}
    for i, item in ipairs { ... } do list[i] = type(item) == "number" and { ts = item } or item end
    return list
end

local function spans(ran)
    local list = {}
    for i, record in ipairs(ran:topic "out") do
        local v = record.value
        list[i] = ("%d..%d: %s%s"):format(v.window_start, v.window_end, tostring(v.n), v.partial and " partial" or "")
    end
    return list
end

local function says(ran, name, verdict)
    for line in ran.stderr:gmatch "[^\n]+" do
        if line:find(name, 1, true) and line:find(verdict, 1, true) then return true end
    end
    error(("no line says that %s is %s:\n%s"):format(name, verdict, ran.stderr), 2)
end

local function versions(ran, topic)
    local list = {}
    for i, record in ipairs(ran:topic(topic or "out")) do list[i] = record.header["ananas-rule-version"] end
    return list
end

describe("a reload", function()
    local count = window("r", 'window = tumble "10ms", aggregate = { n = count() }')

    it("of the same texts is `unchanged`: windows go on, under the same version", function()
        local ran = run(count, "-- a comment\n" .. count, rows(1, 2, reload, 3, 15, { watermark = 30 }))
        assert.same({ "0..10: 3", "10..20: 1" }, spans(ran))
        assert.equal(versions(ran)[1], versions(ran)[2])
        says(ran, "r", "unchanged")
    end)

    -- What is left of such a window are its last rows: they would be written over its result.
    it("that raises the lateness opens no window again that was given up before", function()
        local late = window("r", 'window = %s, group_by = { "k" }, aggregate = { n = count() }, %s')
        for kind, want in pairs { ['tumble "10ms"'] = { "0..10: 2", "20..30: 1", "20..30: 2" },
            ['session { gap = "10ms" }'] = { "1..12: 2", "25..35: 1", "20..35: 2" } } do
            for _, size in ipairs { 1024, 1 } do
                local ran = run(late:format(kind, ""), late:format(kind, 'lateness = "1m"'),
                    rows(1, 2, { watermark = 15 }, reload, 3, 25, { watermark = 40 }, 4, 20, { watermark = 60 }),
                    { env = { ANANAS_BATCH = size }, args = { "--no-flush" } })
                local list = {}
                for _, record in ipairs(ran:topic "out") do
                    local v = record.value      -- the session that grows has a tombstone
                    if v then list[#list + 1] = ("%d..%d: %d"):format(v.window_start, v.window_end, v.n) end
                end
                assert.same(want, list, kind)
                assert.equal(2, ran.stats.rules.r.late)
            end
        end
    end)

    it("with a rule more is `added`: it sees rows from then on, and the others do not notice", function()
        local ran = run(count, count .. 'rule "b" { from = "s", select = { "ts" }, to = "b" }\n', rows(1, reload, 2, { watermark = 9 }))
        assert.same({ "0..10: 2" }, spans(ran))
        assert.same({ 2 }, ran:column("b", "ts"))
        says(ran, "b", "added")
    end)

    it("with a rule less is `removed`: its open windows are dropped, counted and named", function()
        local ran = run(count .. window("old", 'window = tumble "10ms", aggregate = { n = count() }'), count,
            rows(1, reload, 2, { watermark = 20 }))
        assert.same({ "0..10: 2" }, spans(ran))
        says(ran, "old", "removed")
    end)

    it("of a threshold is `kept`: counts go on under the new code, with a new version", function()
        local one = window("r", 'window = tumble "10ms", aggregate = { n = count() }, having = function(g) return g.n > 100 end')
        local two = window("r", 'window = tumble "10ms", aggregate = { n = count() }, having = function(g) return g.n > 2 end')
        local ran = run(one, two, rows(1, 2, reload, 3, { watermark = 9 }))
        assert.same({ "0..10: 3" }, spans(ran))
        says(ran, "r", "kept")
    end)

    it("of a predicate is `kept`", function()
        local function with(limit)
            return window("r", 'window = tumble "10ms", aggregate = { n = count() }, where = function(r) return r.ts > ' .. limit .. " end")
        end
        local ran = run(with(1), with(4), rows(1, 2, 3, reload, 4, 5, { watermark = 9 }))
        assert.same({ "0..10: 3" }, spans(ran))
        says(ran, "r", "kept")
    end)

    it("of a constant above the rule is seen", function()
        local function with(limit)
            return "local limit = " .. limit .. "\n" ..
                window("r", 'window = tumble "10ms", aggregate = { n = count() }, having = function(g) return g.n > limit end')
        end
        local ran = run(with(100), with(1), rows(1, 2, reload, { watermark = 9 }))
        assert.same({ "0..10: 2" }, spans(ran))
        says(ran, "r", "kept")
    end)

    it("of select and sink is `kept`", function()
        local ran = run(count, 'rule "r" { from = "s", window = tumble "10ms", aggregate = { n = count() }, select = { m = "n" }, to = "other" }',
            rows(1, reload, 2, { watermark = 9 }))
        assert.same({}, ran:payloads "out")
        assert.same({ '{"m":2}' }, ran:payloads "other")
        says(ran, "r", "kept")
    end)

    it("of a process is `kept`: its state goes on", function()
        local function with(times)
            return ([[rule "r" { from = "s", to = "out", process = { by = { "k" }, on_row = function(row, state, emit)
                state.n = (state.n or 0) + 1 emit { n = state.n * %d } end } }]]):format(times)
        end
        local ran = run(with(1), with(10), rows({ ts = 1, k = "a" }, { ts = 2, k = "a" }, reload, { ts = 3, k = "a" }))
        assert.same({ 1, 2, 30 }, ran:column("out", "n"))
    end)

    it("that is wrong in any part changes nothing, and says why at file:line", function()
        local ran = run(count, count .. '\nrule "b" {\n form = "s", to = "b" }\n', rows(1, reload, 2, { watermark = 9 }))
        assert.same({ "0..10: 2" }, spans(ran))
        assert.truthy(ran.stderr:find "rules2/rules%.lua:4:", ran.stderr)
    end)

    it("that is wrong is mended by the next one", function()
        local ran = replay.ok { config = explicit, rules = count, files = { ["bad/rules.lua"] = "rule {", ["good/rules.lua"] =
            'rule "b" { from = "s", select = { "ts" }, to = "b" }' }, input = rows(1, { rules = "bad" }, 2, { rules = "good" }, 3) }
        assert.same({ 3 }, ran:column("b", "ts"))
    end)

    it("of a path that is not there changes nothing", function()
        local ran = replay.ok { config = explicit, rules = count, input = rows(1, { rules = "nowhere" }, 2, { watermark = 9 }) }
        assert.same({ "0..10: 2" }, spans(ran))
        assert.truthy(ran.stderr:find "nowhere", ran.stderr)
    end)

    it("gives the same output whatever the batch size", function()
        local input = {}
        for i = 1, 50 do input[i] = i == 25 and reload or i % 10 == 0 and { watermark = i - 3 } or { ts = i } end
        local two = window("r", 'window = tumble "20ms", aggregate = { n = count() }')
        local whole = run(count, two, input).text
        for _, size in ipairs { 1, 7, 1024 } do
            assert.is_true(whole == run(count, two, input, { env = { ANANAS_BATCH = size } }).text, "batch size " .. size)
        end
    end)
end)

describe("a reload that hands over", function()
    it("a tumbling window: rows before the end of the last open window go to the old version, the others to the new", function()
        local ran = run(window("r", 'window = tumble "10ms", aggregate = { n = count() }'),
            window("r", 'window = tumble "20ms", aggregate = { n = count() }'),
            rows(1, 2, reload, 3, 11, 12, 25, { watermark = 9 }, 13, { watermark = 100 }))
        assert.same({ "0..10: 3", "10..20: 3 partial", "20..40: 1" }, spans(ran))
        says(ran, "r", "handover")
        local v = versions(ran)
        assert.not_equal(v[1], v[2])
        assert.equal(v[2], v[3])
    end)

    it("group keys: each row is counted once, in time order of the versions", function()
        local ran = run(window("r", 'window = tumble "10ms", group_by = { "a" }, aggregate = { n = count() }'),
            window("r", 'window = tumble "10ms", group_by = { "b" }, aggregate = { n = count() }'),
            rows({ ts = 1, a = 1, b = 1 }, reload, { ts = 2, a = 1, b = 2 }, { ts = 12, a = 1, b = 1 }, { ts = 13, a = 2, b = 1 }, { watermark = 30 }))
        assert.same({ "0..10: 2", "10..20: 2" }, spans(ran))
        assert.equal(1, ran:topic("out")[1].value.a)
        assert.equal(1, ran:topic("out")[2].value.b)
    end)

    it("aggregates", function()
        local ran = run(window("r", 'window = tumble "10ms", aggregate = { n = count() }'),
            window("r", 'window = tumble "10ms", aggregate = { n = sum("ts") }'), rows(1, reload, 2, 12, 13, { watermark = 30 }))
        assert.same({ "0..10: 2", "10..20: 25" }, spans(ran))
    end)

    it("a hop: each version emits only windows that it saw whole, none twice", function()
        local input = {}
        for ts = 0, 99 do input[#input + 1] = { ts = ts } end
        table.insert(input, 51, reload)
        input[#input + 1] = { watermark = 200 }
        local ran = run(window("r", 'window = hop { size = "20ms", slide = "10ms" }, aggregate = { n = count() }'),
            window("r", 'window = hop { size = "30ms", slide = "10ms" }, aggregate = { n = count() }'), input)
        local seen, old, new = {}, 0, 0
        for _, record in ipairs(ran:topic "out") do
            local v = record.value
            local span = v.window_start .. ".." .. v.window_end
            assert.is_nil(seen[span], span .. " twice")
            seen[span] = true
            local size = v.window_end - v.window_start
            if size == 20 then old = old + 1 else new = new + 1 end
            assert.equal(math.min(v.window_end, 100) - math.max(v.window_start, 0), v.n, span)
        end
        assert.is_true(old >= 5 and new >= 4, ("%d old, %d new"):format(old, new))
    end)

    it("a session: open ones end under the old gap, each row is counted once", function()
        local ran = run(window("r", 'window = session { gap = "10ms" }, aggregate = { n = count() }'),
            window("r", 'window = session { gap = "2ms" }, aggregate = { n = count() }'),
            rows(1, 5, reload, 12, 40, 45, { watermark = 200 }))
        local got, total = spans(ran), 0
        for _, n in ipairs(ran:column("out", "n")) do total = total + n end
        assert.equal(5, total)
        assert.equal("1..22: 3", got[1])
        assert.same({ "40..42: 1", "45..47: 1" }, { got[2], got[3] })
    end)
end)

describe("a reload of a match", function()
    local function with(pattern, limit)
        return ([[rule "r" { from = "s", to = "out", match = { pattern = %q, define = { UP = function(row, m) return row.v > %d end },
            measures = { from_ts = function(m) return m.first("A").ts end, n = function(m) return m.count("UP") end } } }]]):format(pattern, limit)
    end

    it("is `rebuilt`: matched again over the rows that wait, and no match comes twice", function()
        local ran = run(with("A UP UP", 0), with("A UP UP UP", 0),
            rows({ ts = 1, v = 1 }, { ts = 2, v = 1 }, { ts = 3, v = 1 }, { watermark = 3 }, { ts = 4, v = 1 }, { ts = 5, v = 1 }, { watermark = 5 },
                reload, { ts = 6, v = 1 }, { ts = 7, v = 1 }, { watermark = 100 }))
        assert.same({ 1, 4 }, ran:column("out", "from_ts"))
        assert.same({ 2, 3 }, ran:column("out", "n"))
        says(ran, "r", "rebuilt")
    end)

    it("of a condition is `rebuilt`", function()
        local ran = run(with("A UP UP", 5), with("A UP UP", 0),
            rows({ ts = 1, v = 1 }, { watermark = 1 }, reload, { ts = 2, v = 1 }, { ts = 3, v = 1 }, { watermark = 100 }))
        assert.same({ 1 }, ran:column("out", "from_ts"))
        says(ran, "r", "rebuilt")
    end)
end)

-- What waits was packed with the columns that the old version read.
describe("a reload to a version that reads what held rows lack", function()
    local function match(column)
        return ([[rule "r" { from = "s", to = "out", match = { pattern = "A UP UP", define = { UP = function(row, m) return (row.%s or 99) > 0 end },
            measures = { from_ts = function(m) return m.first("A").ts end } } }]]):format(column)
    end
    local function row(ts) return { ts = ts, v = 1, w = 1 } end

    it("lets the rows of a match go: it never sees nil in their place, and says so", function()
        local ran = run(match "v", match "w", rows(row(1), row(2), { watermark = 2 }, row(3), reload, row(4), row(5), row(6), { watermark = 100 }))
        assert.same({ 4 }, ran:column("out", "from_ts"))
        says(ran, "r", "rebuilt: conditions; it begins with the rows from here on, as those held so far lack `w`, which it reads now")
        says(ran, "r", "3 rows held for it are dropped")
    end)

    it("keeps them where it reads less", function()
        local less = [[rule "r" { from = "s", to = "out", match = { pattern = "A UP UP",
            measures = { from_ts = function(m) return m.first("A").ts end } } }]]
        local ran = run(match "v", less, rows(row(1), row(2), { watermark = 2 }, reload, row(3), row(4), { watermark = 100 }))
        assert.same({ 1 }, ran:column("out", "from_ts"))
    end)

    it("lets the rows go that wait for a process in event order, and keeps its state", function()
        local function counting(column)
            return ([[rule "r" { from = "s", to = "out", process = { order = "event_time", on_row = function(row, state, emit)
                state.n = (state.n or 0) + 1 emit { ts = row.ts, n = state.n, x = row.%s } end } }]]):format(column)
        end
        local ran = run(counting "v", counting "w", rows(row(1), { watermark = 1 }, row(5), reload, row(6), { watermark = 100 }))
        assert.same({ 1, 6 }, ran:column("out", "ts"))
        assert.same({ 1, 2 }, ran:column("out", "n"))
        assert.same({ 1, 1 }, ran:column("out", "x"))
        says(ran, "r", "1 rows held for it are dropped")
    end)
end)

describe("a reload that resets", function()
    it("gives the reason: another source", function()
        local ran = run(window("r", 'window = tumble "10ms", aggregate = { n = count() }'),
            'rule "r" { from = "t", time_format = "epoch_ms", to = "out", window = tumble "10ms", aggregate = { n = count() } }',
            { { ts = 1 }, reload, { ts = 2 }, { topic = "t", payload = { ts = 3 } }, { watermark = 20 } })
        assert.same({ "0..10: 1" }, spans(ran))
        says(ran, "r", "reset")
        says(ran, "r", "source")
    end)

    it("takes the rules that read it along", function()
        local function two(source)
            return ('rule "a" { from = %q }\n'):format(source) ..
                'rule "r" { from = "a", time_format = "epoch_ms", to = "out", window = tumble "10ms", aggregate = { n = count() } }'
        end
        local ran = run(two "s", two "t", { { ts = 1 }, reload, { topic = "t", payload = { ts = 3 } },
            { topic = "t", payload = { ts = 4 } }, { watermark = 20 } })
        assert.same({ "0..10: 2" }, spans(ran))
        says(ran, "r", "reset")
    end)
end)

describe("many reloads at random", function()
    local seed = _G.SEED or 1
    local cases = tonumber(os.getenv "CASES") or 60

    local windows = {
        tumble = function(n) return ('tumble "%dms"'):format(n or math.random(1, 40)) end,
        session = function(n) return ('session { gap = "%dms" }'):format(n or math.random(1, 12)) end,
    }

    -- Rows in disorder within the bound, reloads in between; returns input and how many rows it has.
    local function world(kind)
        local files, input, n, now = {}, {}, 0, 0
        local few = math.random(2) == 1     -- changes are taken back while the version before still leaves
        local function rules()
            return ([[rule "r" { from = "s", time_format = "epoch_ms", to = "out", window = %s, %s
                aggregate = { ids = listagg("id"), n = count() } }]]):format(windows[kind](few and math.random(2) * 8),
                math.random() < 0.5 and 'group_by = { "k" },' or "")
        end
        local first = rules()
        for i = 1, math.random(60, 200) do
            now = now + math.random(0, 4)
            input[i] = { ts = now - math.random(0, 9), id = i, k = math.random(1, 3) }
            n = i
        end
        local reloads = math.random(1, 5)
        for i = 1, reloads do
            files[("set%d/rules.lua"):format(i)] = rules()
        end
        local at = {}
        for i = 1, reloads do at[i] = math.random(1, n) end
        table.sort(at)
        for i = reloads, 1, -1 do table.insert(input, at[i], { rules = "set" .. i }) end
        return { rules = first, files = files, input = input }, n
    end

    for kind in pairs(windows) do
        it(("count each row of a %s window by exactly one version (%d cases, SEED=%d)"):format(kind, cases, seed), function()
            math.randomseed(seed)
            for number = 1, cases do
                local options, n = world(kind)
                options.config = 'source "s" { topic = "s", event_time = "ts", watermark = "10ms", max_ahead = "none" }\nrules "rules"'
                options.env = { ANANAS_BATCH = math.random() < 0.5 and 3 or 1024 }
                local ran = replay.ok(options)
                local seen = {}
                for _, record in ipairs(ran:topic "out") do
                    local v = record.value
                    for id in tostring(v.ids):gmatch "%d+" do
                        assert.is_nil(seen[id], ("case %d: row %s is counted twice"):format(number, id))
                        seen[id] = true
                        local row = nil
                        for _, item in ipairs(options.input) do if item.id == tonumber(id) then row = item end end
                        assert.is_true(row.ts >= v.window_start and row.ts < v.window_end,
                            ("case %d: row %s of %d is not in %d..%d"):format(number, id, row.ts, v.window_start, v.window_end))
                    end
                end
                for id = 1, n do
                    assert.is_true(seen[tostring(id)], ("case %d: row %d is counted by no version"):format(number, id))
                end
            end
        end)
    end
end)
