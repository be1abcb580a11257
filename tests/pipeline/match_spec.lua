-- Row patterns as rules: what comes out, when, and what is said when something is wrong.

local replay = require "tests.support.replay"

local CONFIG = 'source "s" { topic = "s", event_time = "ts", watermark = "none", max_ahead = "none" }\nrules "rules"\n'

-- Rows by letters, one a second, each followed by its watermark: "ab" is a at 0, b at 1000. A digit is no row but lets
-- that many seconds pass.
local function letters(text, more)
    local input, t = {}, 0
    for c in text:gmatch "." do
        if c:match "%d" then
            t = t + 1000 * tonumber(c)
            input[#input + 1] = { watermark = t - 1000 }
        else
            local payload = { ts = t, c = c, i = t / 1000 }
            for k, v in pairs(more or {}) do payload[k] = v end
            input[#input + 1] = payload
            input[#input + 1] = { watermark = t }
            t = t + 1000
        end
    end
    return input
end

-- Conditions `row.c == "a"` for every variable A that is not given.
local function rule(options)
    local define = {}
    for name in options.pattern:gmatch "%f[%w]%u%f[%W]" do
        define[#define + 1] = ("%s = function(row, m) return %s end"):format(name,
            options.define and options.define[name] or ("row.c == %q"):format(name:lower()))
    end
    return ([[
rule "case" {
  from = "s", to = "out", time_format = "epoch_ms", %s
  match = {
    pattern = %q, define = { %s }, %s
    measures = { labels = function(m)
      local names = {}
      for i, r in ipairs(m.rows()) do names[i] = r._label end
      return table.concat(names)
    end, at = function(m) local f = m.first("*") return f and f.i end, %s },
  },
}
]]):format(options.rule or "", options.pattern, table.concat(define, ", "), options.match or "", options.measures or "")
end

local function run(options, input, more)
    local all = { config = CONFIG, rules = type(options) == "string" and options or rule(options), input = input }
    for k, v in pairs(more or {}) do all[k] = v end
    return replay.ok(all)
end

-- "at:labels" of each output row.
local function matches(ran)
    local list = {}
    for i, record in ipairs(ran:topic "out") do
        local v = record.value
        list[i] = ("%s:%s"):format(replay.canonical(v.at), v.labels == replay.null and "null" or v.labels)
    end
    return table.concat(list, " ")
end

local ECHO = 'rule "echo" { from = "s", select = { "c" }, to = "echo" }\n'

-- The order in which rows pass and matches come out: rows as letters, matches in brackets.
local function sequence(ran)
    local parts = {}
    for i, record in ipairs(ran.records) do
        parts[i] = record.topic == "echo" and record.value.c or "[" .. record.value.labels .. "]"
    end
    return table.concat(parts)
end

describe("match", function()
    it("gives a match with the row that decides it, long before the end", function()
        local function order(pattern, text) return sequence(run(ECHO .. rule { pattern = pattern }, letters(text))) end
        assert.equal("abbc[ABBC]xx", order("A B+ C", "abbcxx"))
        assert.equal("abbx[ABB]x", order("A B+", "abbxx"))
        assert.equal("ab[AB]bxx", order("A B+?", "abbxx"))
        assert.equal("abx[AB]x", order("A B C | A B", "abxx"))
        assert.equal("abb[ABB]xx", order("A B{1,2}", "abbxx"))
        assert.equal("xxab[AB]", order("A B $", "xxab"))
    end)

    it("waits for the watermark, not for arrival, and drops what it has passed", function()
        local input = {
            { ts = 3000, c = "b", i = 3 }, { ts = 2000, c = "a", i = 2 }, { watermark = 1999 }, { watermark = 3000 },
            { ts = 3000, c = "c", i = 9 }, { ts = 4000, c = "c", i = 4 }, { watermark = 4000 },
        }
        local ran = run({ pattern = "A B C", rule = 'late_to = "late",' }, input)
        assert.equal("2:ABC", matches(ran))
        assert.equal(1, ran.stats.rules.case.late)
        assert.equal(9, ran:topic "late"[1].value.i)
    end)

    it("orders rows of one time by order_by, then by position", function()
        local input = {
            { ts = 1, c = "b", i = 1, n = 5 }, { ts = 1, c = "c", i = 2, n = 3 }, { ts = 1, c = "a", i = 3, n = 7 },
        }
        assert.equal("3:ABC", matches(run({ pattern = "A B C", match = 'order_by = "n desc",' }, input)))
        assert.equal("2:CBA", matches(run({ pattern = "C B A", match = 'order_by = { "n" },' }, input)))
        assert.equal("1:BCA", matches(run({ pattern = "B C A" }, input)))
    end)

    it("keeps partitions apart; null is one, 1 and 1.0 are one, 1 and \"1\" are two", function()
        local input = {
            '{"topic":"s","partition":0,"offset":0,"payload":{"ts":1,"c":"a","i":1,"k":1}}',
            '{"topic":"s","partition":0,"offset":1,"payload":{"ts":2,"c":"a","i":2}}',
            '{"topic":"s","partition":0,"offset":2,"payload":{"ts":3,"c":"b","i":3,"k":"1"}}',
            '{"topic":"s","partition":0,"offset":3,"payload":{"ts":4,"c":"b","i":4,"k":1.0}}',
            '{"topic":"s","partition":0,"offset":4,"payload":{"ts":5,"c":"b","i":5,"k":null}}',
        }
        local ran = run({ pattern = "A B", match = 'partition_by = "k",' }, input)
        assert.equal("1:AB 2:AB", matches(ran))
        assert.same({ '{"k":1}', '{"k":null}' }, ran:keys "out")
    end)

    it("ends an attempt at first row + within - 1 and gives its preferred part when asked to", function()
        local options = { pattern = "A B", match = 'within = "3s", on_timeout = "emit",' }
        local function timed_out(input)
            local ran = run(options, input, { args = { "--no-flush" } })
            local list = {}
            for i, record in ipairs(ran:topic "out") do
                list[i] = ("%s %s %s"):format(record.value.labels, tostring(record.value.timed_out), record.ts)
            end
            return table.concat(list, ", ")
        end
        local first = { ts = 1000, c = "a", i = 1 }
        assert.equal("", timed_out { first, { watermark = 3998 } })
        assert.equal("A true 1000", timed_out { first, { watermark = 3999 } })
        assert.equal("AB false 3999", timed_out { first, { ts = 3999, c = "b", i = 2 }, { watermark = 9000 } })
        assert.equal("A true 1000", timed_out { first, { ts = 4000, c = "b", i = 2 }, { watermark = 9000 } })
    end)

    it("writes the same whatever the size of batches", function()
        local input = letters("xabbcabxxabcbbacabbbcx3ab9abc2a")
        local texts = {}
        for i, batch in ipairs { 1, 2, 5, 1000 } do
            texts[i] = run({ pattern = "A B* C?", match = 'within = "4s", on_timeout = "emit", rows_per_match = "all with unmatched",' },
                input, { env = { ANANAS_BATCH = tostring(batch) } }).text
            assert.equal(texts[1], texts[i])
        end
        assert.is_true(#texts[1] > 1000)
    end)

    it("passes records through as they came in all-rows modes, measures behind", function()
        local line = '{"topic":"s","partition":0,"offset":0,"payload":"{\\"ts\\":1, \\"c\\":\\"a\\",\\"id\\":12345678901234567890,\\"x\\":1.50}"}'
        local ran = run({ pattern = "A", match = 'rows_per_match = "all",' }, { line })
        assert.equal('{"ts":1,"c":"a","id":12345678901234567890,"x":1.50,"at":null,"labels":"A"}', ran:payloads "out"[1])
        ran = run({ pattern = "A", match = 'rows_per_match = "all with unmatched", within = "1s", on_timeout = "emit",',
            rule = 'select = { "id", "labels", "timed_out" },' }, { line, { ts = 2, c = "z", id = 7 } })
        assert.same({ '{"id":12345678901234567890,"labels":"A","timed_out":false}', '{"id":7,"labels":null,"timed_out":false}' },
            ran:payloads "out")
    end)

    it("gives partition columns, then measures by name, with timestamps and lists as they are written", function()
        local rules = [[
rule "case" {
  from = "s", to = "out",
  match = {
    partition_by = { "k", "j" }, pattern = "A+",
    measures = {
      z = function(m) return timestamp(m.first("A").ts) end,
      list = function(m) return m.listagg("A", "v") end,
      dashed = function(m) return m.listagg("*", "w", " - ") end,
      none = function(m) return m.listagg("A", "nothing") end,
      nested = function(m) return { first = m.first("A").v, all = m.count("A", "w") } end,
    },
  },
}
]]
        local ran = run(rules, {
            '{"topic":"s","partition":0,"offset":0,"payload":{"ts":0,"k":"x","j":1,"v":1.50,"w":"ä"}}',
            '{"topic":"s","partition":0,"offset":1,"payload":{"ts":1,"k":"x","j":1,"v":2,"w":null}}',
            '{"topic":"s","partition":0,"offset":2,"payload":{"ts":2,"k":"x","j":1,"v":9007199254740993,"w":true}}',
        })
        assert.equal('{"k":"x","j":1,"dashed":"ä - true","list":"1.50,2,9007199254740993","nested":{"all":2,"first":1.5},' ..
            '"none":null,"z":"1970-01-01T00:00:00.000Z"}', ran:payloads "out"[1])
        assert.equal('{"k":"x","j":1}', ran:keys "out"[1])
    end)

    it("shows measures the running match, or the whole one by the final functions", function()
        local ran = run({ pattern = "A B+", match = 'rows_per_match = "all", subset = { U = { "A", "B" } },', measures = [[
            n = function(m) return m.count("*") .. "/" .. m.final_count("*") end,
            u = function(m) return m.sum("U", "i") .. "/" .. m.final_sum("U", "i") .. "/" .. m.final_avg("U", "i") end,
            f = function(m) return m.final_last("B").i .. m.final_first("B", 1).i end,
            c = function(m, row) return m.classifier() .. (m.classifier("B") or "-") .. row._label .. row.i end,
            mm = function(m) return m.min("U", "i") .. m.max("U", "i") end]] }, letters "abb")
        assert.same({ "1/3", "2/3", "3/3" }, ran:column("out", "n"))
        assert.same({ "0/3/1", "1/3/1", "3/3/1" }, ran:column("out", "u"))
        assert.same({ "22", "22", "22" }, ran:column("out", "f"))
        assert.same({ "A-A0", "BBB1", "BBB2" }, ran:column("out", "c"))
        assert.same({ "00", "01", "02" }, ran:column("out", "mm"))
    end)

    it("holds a match back until the rows that its measures look ahead for have come", function()
        local ahead = 'ahead = function(m) local r = m.next_row(2) return r and r.c end'
        local ran = run(ECHO .. rule { pattern = "A B", measures = ahead }, letters "abxyab")
        assert.equal("abxy[AB]ab[AB]", sequence(ran))
        assert.same({ "y", replay.null }, ran:column("out", "ahead"))
    end)

    it("lets prev reach `lookback` rows before the attempt and no further", function()
        local options = { pattern = "A", match = "lookback = 3,", measures = [[
            p3 = function(m) return m.prev(3).i end, p4 = function(m) local r = m.prev(4) return r and r.i end]] }
        local ran = run(options, letters "xxxxxxa")
        assert.same({ 3 }, ran:column("out", "p3"))
        assert.same({ replay.null }, ran:column("out", "p4"))
    end)

    it("counts what raises, says where, and goes on", function()
        local ran = run({ pattern = "A B", define = { B = "row.c == 'b' and row.missing.x > 1" },
            measures = "bad = function(m) return m.prev().i end" }, letters "abxa")
        assert.equal("", matches(ran))
        assert.equal(1, ran.stats.rules.case.errors)
        assert.is_truthy(ran.stderr:find('define.B of rule "case" failed: ', 1, true), ran.stderr)
        assert.is_truthy(ran.stderr:find("rules.lua:%d+: .-%(record s/0@1%)"), ran.stderr)
        ran = run({ pattern = "A", measures = "bad = function(m) return m.first('V' .. m.match_number()).i end" }, letters "a")
        assert.equal("0:A", matches(ran))
        assert.same({ replay.null }, ran:column("out", "bad"))
        assert.is_truthy(ran.stderr:find("`V1` is no variable of the pattern (A)", 1, true), ran.stderr)
        ran = run({ pattern = "A", define = { A = 'm.final_count("A") == 1' } }, letters "a")
        assert.is_truthy(ran.stderr:find("final_count is known to measures only", 1, true), ran.stderr)
        for _, bad in ipairs { "m.prev(-1)", "m.prev(0.5)", "m.prev('x')", "m.prev_of(1)", "m.sum('A')", "m.count(1)" } do
            ran = run({ pattern = "A", define = { A = bad .. " == 1" } }, letters "a")
            assert.equal(1, ran.stats.rules.case.errors, bad)
            assert.is_truthy(ran.stderr:find("expected", 1, true), ran.stderr)
        end
    end)

    it("holds only where the condition is exactly true", function()
        assert.equal("", matches(run({ pattern = "A", define = { A = "row.i" } }, letters "a")))
        assert.equal("", matches(run({ pattern = "A", define = { A = "nil" } }, letters "a")))
    end)

    it("counts a skip target that is missing or the first row, and goes on at the next row", function()
        local ran = run({ pattern = "A B? C", match = 'after_match = "skip to last B",' }, letters "acabc")
        assert.equal("2:ABC", matches(ran))
        assert.equal(1, ran.stats.rules.case.errors)
        assert.is_truthy(ran.stderr:find("no row of the match is mapped to B", 1, true))
        ran = run({ pattern = "A B", match = 'after_match = "skip to first A",' }, letters "abab")
        assert.equal("", matches(ran))
        assert.equal(2, ran.stats.rules.case.errors)
    end)

    it("gives up an attempt that explodes and says so", function()
        local ran = run({ pattern = "(A|B|A B)* C", define = { A = "true", B = "true", C = 'm.count("A") < 0' } },
            letters(("x"):rep(300)))
        assert.equal("", matches(ran))
        assert.equal(1, ran.stats.rules.case.limits)
        assert.is_truthy(ran.stderr:find("given up after 250000 steps of backtracking (max_steps) over 300 rows", 1, true), ran.stderr)
        ran = run({ pattern = "A B* C", match = "max_rows = 3," }, letters "abbbabc")
        assert.equal("4:ABC", matches(ran))
        assert.equal(1, ran.stats.rules.case.limits)
    end)

    it("stops a condition that does not end and quarantines its rule only", function()
        local ran = run(ECHO .. rule { pattern = "A", define = { A = "(function() while true do end end)()" } }, letters "xa")
        assert.is_true(ran.stats.rules.case.quarantined)
        assert.is_false(ran.stats.rules.echo.quarantined)
        assert.equal(2, #ran:topic "echo")
    end)

    it("explains a match by the positions of its rows, through a chain of rules", function()
        local ran = run({ pattern = "A B+", rule = "explain = true," }, letters "xabb")
        assert.equal('[["s",0,1],["s",0,2],["s",0,3]]', ran:topic "out"[1].header["ananas-source"])
        ran = run([[
rule "pairs" { from = "s", match = { pattern = "A B",
  define = { A = function(row) return row.c == "a" end, B = function(row) return row.c == "b" end },
  measures = { i = function(m) return m.first("A").i end } } }
rule "case" { from = "pairs", match = { pattern = "P{2}", measures = { n = function(m) return m.count("*") end } },
  explain = true, to = "out" }
]], letters "abxab")
        assert.equal('[["s",0,0],["s",0,1],["s",0,3],["s",0,4]]', ran:topic "out"[1].header["ananas-source"])
    end)

    it("explains each position once, whatever rows of one record and windows of one row meet in the match", function()
        local ran = run([[
rule "parts" { from = "s", unnest = "l[] as e", select = { "e" } }
rule "case" { from = "parts", match = { pattern = "A+" }, explain = true, to = "out" }
rule "counts" { from = "parts", window = tumble "10ms", group_by = { "e" }, aggregate = { n = count() } }
rule "chain" { from = "counts", match = { pattern = "A+" }, explain = true, to = "chain" }
]], { { ts = 1, l = { 1, 1, 2 } }, { ts = 2, l = { 1, 2 } } })
        assert.equal('[["s",0,0],["s",0,1]]', ran:topic "out"[1].header["ananas-source"])
        assert.equal('[["s",0,0],["s",0,1]]', ran:topic "chain"[1].header["ananas-source"])
    end)

    it("is never late for the rules that read it", function()
        local ran = run([[
rule "runs" { from = "s", match = { pattern = "A+", define = { A = function(row) return row.c == "a" end },
  measures = { n = function(m) return m.count("A") end } } }
rule "case" { from = "runs", window = tumble "1s", aggregate = { n = sum "n" }, select = { "n", "window_start" },
  time_format = "epoch_ms", to = "out" }
]], letters "aax9aaaxa")
        assert.equal(0, ran.stats.rules.case.late)
        assert.same({ 2, 3, 1 }, ran:column("out", "n"))
    end)

    it("re-matches what it holds after a reload, and repeats nothing", function()
        local rules = { ["rules/rules.lua"] = rule { pattern = "A B C" }, ["next/rules.lua"] = rule { pattern = "A B D" } }
        local input = letters "abcab"
        input[#input + 1] = { rules = "next" }
        for _, item in ipairs { { ts = 5000, c = "d", i = 5 }, { ts = 6000, c = "c", i = 6 } } do input[#input + 1] = item end
        local ran = replay.ok { config = CONFIG, files = rules, rules = {}, input = input }
        assert.equal("0:ABC 3:ABD", matches(ran))
        rules["next/rules.lua"] = rule { pattern = "A B", match = 'after_match = "skip to next row",' }
        assert.equal("0:ABC 3:AB", matches(replay.ok { config = CONFIG, files = rules, rules = {}, input = input }))
    end)

    it("keeps an attempt through a reload that does not touch its pattern", function()
        local rules = { ["rules/rules.lua"] = rule { pattern = "A B C", match = 'within = "10s", on_timeout = "emit",' },
            ["next/rules.lua"] = rule { pattern = "A B C", match = 'within = "10s", on_timeout = "emit",', rule = 'select = { "at", "labels" },' } }
        local input = letters "xab"
        input[#input + 1] = { rules = "next" }
        input[#input + 1] = { ts = 5000, c = "c", i = 5 }
        assert.equal("1:ABC", matches(replay.ok { config = CONFIG, files = rules, rules = {}, input = input }))
        input[#input] = { watermark = 10999 }
        assert.equal("1:AB", matches(replay.ok { config = CONFIG, files = rules, rules = {}, input = input, args = { "--no-flush" } }))
    end)

    it("refuses what cannot be a pattern at its line, with the place inside the pattern", function()
        local function refused(text, ...)
            local ran = replay.run { config = CONFIG, rules = text, input = {} }
            assert.equal(1, ran.status)
            for _, words in ipairs { ... } do assert.is_truthy(ran.stderr:find(words, 1, true), ran.stderr) end
        end
        refused('rule "case" { from = "s",\n match = { pattern = "A (B C" }, to = "out" }', "rules.lua:2", "position 7", "')'")
        refused('rule "case" { from = "s",\n match = { pattern = "A (B{1000} C{1000}){1000}" }, to = "out" }', "rules.lua:2", "unrolls")
        refused('rule "case" { from = "s", match = {\n pattern = "START UP",\n define = { UPP = function(row) return true end } }, to = "out" }',
            "rules.lua:3", "`UPP`", "UP")
        refused('rule "case" { from = "s", match = { pattern = "A B",\n after_match = "skip to last C" }, to = "out" }', "rules.lua:2", "`C`")
    end)
end)
