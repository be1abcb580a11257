-- A rule that overruns its budget in the middle of a run of records: what came of the records before it stands, from there
-- on the rule is quarantined, and how records are cut into batches makes no difference. SEED for other rows.

local replay = require "tests.support.replay"

local config = [[
source "s" { topic = "s", event_time = "ts", watermark = "30ms", max_ahead = "none" }
rules "rules"
budget { time = "30ms" }
]]
local ROWS = 120
local bomb = "if %s then while true do end end "

-- By what runs away: the clauses of rule "bad". BOMB(condition) stands for a loop that does not end.
local cases = {
    ["where"] = [[where = function(r) BOMB(r.id == 61) return r.n < 7 end, select = { "id", "n" }]],
    ["where of one column"] = [[where = function(r) BOMB(r.word == "w61") return r.word ~= "w7" end, select = { "id", "word" }]],
    ["where over unnested rows"] = [[unnest = "list[] as x", where = function(r) BOMB(r.id == 61 and r.x == 2) return true end, select = { "id", "x" }]],
    ["an aggregate's argument"] = [[window = tumble "50ms", group_by = { "n" }, lateness = "0s", late_to = "late",
        aggregate = { x = sum(function(r) BOMB(r.id == 61) return r.id end) }]],
    ["having of windows"] = [[window = tumble "50ms", group_by = { "n" }, late_to = "late", aggregate = { x = count(), i = max "id" },
        having = function(g) BOMB(g.i >= 61) return g.x > 0 end]],
    ["having of early looks"] = [[window = tumble "50ms", group_by = { "n" }, aggregate = { x = count(), i = max "id" }, early = true,
        having = function(g) BOMB(g.i >= 61) return g.i == 40 end]],
    ["having with top"] = [[window = tumble "50ms", group_by = { "n" }, aggregate = { x = count(), i = max "id" },
        having = function(g) BOMB(g.i >= 61) return true end, top = { n = 2, by = "x desc" }]],
    ["having of sessions"] = [[window = session { gap = "4ms" }, group_by = { "n" }, aggregate = { x = count(), i = max "id" },
        having = function(g) BOMB(g.i >= 61) return true end]],
    ["having of record()"] = [[unnest = "list[] as x", window = record(), group_by = { "id" }, aggregate = { x = count(), i = max "id", s = sum "x" },
        having = function(g) BOMB(g.i == 61) return true end]],
    ["having of one column of record()"] = [[unnest = "list[] as x", window = record(), group_by = { "id" }, aggregate = { x = count(), i = max "id" },
        having = function(g) BOMB(g.i == 61) return true end]],
    ["a fold's step"] = [[window = tumble "50ms", group_by = { "n" },
        aggregate = { x = fold(0, function(a, r) BOMB(r.id == 61) return a + r.id end) }]],
    ["a fold's step in record()"] = [[unnest = "list[] as x", window = record(), group_by = { "id" },
        aggregate = { x = fold(0, function(a, r) BOMB(r.id == 61) return a + r.x end) }]],
    ["a column of select"] = [[select = { "id", twice = function(r) BOMB(r.id == 61) return r.id * 2 end }]],
    ["select as a function"] = [[select = function(r) BOMB(r.id == 61) return { id = r.id, n = r.n } end]],
    ["a select over windows"] = [[window = tumble "50ms", group_by = { "n" }, aggregate = { x = count(), i = max "id" },
        select = { "x", y = function(g) BOMB(g.i >= 61) return g.x end }]],
    ["a condition of match"] = [[match = { partition_by = { "n" }, pattern = "A B", define = {
        B = function(row, m) BOMB(row.id >= 61) return row.id > m.prev().id end }, measures = { b = function(m) return m.last("B").id end } }]],
    ["a measure of match"] = [[match = { partition_by = { "n" }, pattern = "A B", define = { B = function(row) return row.id % 2 == 1 end },
        measures = { b = function(m) BOMB(m.last("B").id >= 61) return m.last("B").id end } }]],
    ["on_row"] = [[process = { by = { "n" }, on_row = function(row, state, emit)
        state.k = (state.k or 0) + 1 BOMB(row.id == 61) emit { id = row.id, k = state.k } end }]],
    ["on_row in event order"] = [[process = { by = { "n" }, order = "event_time", on_row = function(row, state, emit)
        state.k = (state.k or 0) + 1 BOMB(row.id >= 61) emit { id = row.id, k = state.k } end }]],
    ["on_timer"] = [[process = { by = { "n" }, on_row = function(row, state, emit) state.id = row.id state:wake(20) emit { id = row.id } end,
        on_timer = function(state, time, emit) BOMB(state.id >= 61) emit { timer = state.id } end }]],
    ["a rule behind a cooldown"] = [[where = function(r) BOMB(r.id == 61) return true end, select = { "id", "n" }, key = { "n" }, cooldown = "20ms"]],
}

local function rules(clauses)
    clauses = clauses:gsub("BOMB(%b())", function(condition) return bomb:format(condition:sub(2, -2)) end)
    return 'rule "bad" { from = "s", to = "bad", ' .. clauses .. ' }\n' ..
        'rule "ok" { from = "s", where = function(r) return r.id > 0 end, to = "ok" }\n' ..
        'rule "below" { from = "bad", window = tumble "40ms", group_by = {}, aggregate = { n = count() }, to = "below" }\n' ..
        'rule "both" { from = { "bad", "s" }, select = { f = function(r) return r._from end }, to = "both" }\n'
end

math.randomseed(SEED)
local input = {}
for i = 1, ROWS do
    input[i] = { topic = "s", payload = { ts = 1000 + 5 * i + math.random(-20, 20) - (i % 17 == 0 and 60 or 0), id = i, n = math.random(1, 3),
        word = "w" .. (i % 90), list = { 1, 2, 3 } } }
end

describe("what came before a runaway stands, in any batches: it ran away in", function()
    for name, clauses in pairs(cases) do
        it(name .. ", seed " .. SEED, function()
            local text, skipped
            for _, batch in ipairs { 1, 7, 1000 } do
                local ran = replay.ok { config = config, rules = rules(clauses), input = input, env = { ANANAS_BATCH = batch } }
                assert.is_true(ran.stats.rules.bad.quarantined, ran.stderr)
                assert.is_true(ran.stats.rules.below.quarantined)
                assert.is_true(ran.stats.rules.both.quarantined)
                assert.is_false(ran.stats.rules.ok.quarantined)
                assert.equal(ROWS, #ran:topic "ok")
                local _, told = ran.stderr:gsub("it is quarantined", "")
                assert.equal(1, told, ran.stderr)
                text, skipped = text or ran.text, skipped or ran.stats.rules.bad.skipped
                assert.is_true(#ran:topic "bad" > 0, "nothing stands")
                assert.is_true(skipped > 10)
                assert.equal(text, ran.text, "in batches of " .. batch)
                assert.equal(skipped, ran.stats.rules.bad.skipped)
            end
        end)
    end
end)
