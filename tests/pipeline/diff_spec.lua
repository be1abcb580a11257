-- `ananas diff` on recorded records: the anomalies of only one of two rule sets, and totals, as a plain computation has them.
-- SEED for other records.

local replay = require "tests.support.replay"

local config = [[
source "s" { topic = "s", event_time = "ts", watermark = "100ms", max_ahead = "none" }
rules "old"
]]

local function rules(limit, more)
    return ([[
rule "high" { from = "s", where = function(r) return r.v > %d end, select = { "id", "v" }, to = "high" }
rule "crowd" { from = "s", window = tumble "1s", group_by = { "k" }, aggregate = { n = count() },
  having = function(g) return g.n > %d end, to = "crowd" }
rule "same" { from = "s", where = function(r) return r.v == 7 end, select = { "id" }, to = "same" }
]]):format(limit, limit) .. (more or "")
end

local function records(n)
    math.randomseed(SEED)
    local list = {}
    for i = 1, n do list[i] = { id = i, ts = 1000 + i * 10, v = math.random(0, 20), k = "k" .. math.random(1, 12) } end
    return list
end

-- topic -> { payload = true } and counts, by hand. In a second of a hundred records no key is late.
local function expected(list, limit)
    local high, windows, crowd, same, n = {}, {}, {}, 0, { high = 0, crowd = 0 }
    for _, r in ipairs(list) do
        if r.v > limit then high[('{"id":%d,"v":%d}'):format(r.id, r.v)], n.high = true, n.high + 1 end
        if r.v == 7 then same = same + 1 end
        local at = math.floor(r.ts / 1000) .. r.k
        windows[at] = windows[at] or { k = r.k, start = math.floor(r.ts / 1000), n = 0 }
        windows[at].n = windows[at].n + 1
    end
    for _, w in pairs(windows) do
        if w.n > limit then crowd[("%s %d %d"):format(w.k, w.start, w.n)], n.crowd = true, n.crowd + 1 end
    end
    return high, crowd, same, n
end

local function diff(old, new, list, args)
    return replay.run { command = "diff old/r.lua new/r.lua --input input.jsonl", config = config,
        files = { ["old/r.lua"] = old, ["new/r.lua"] = new }, input = list, args = args }
end

-- sign, topic and what is in it, of each line with a sign; the totals by rule.
local function read(text)
    local lines, totals = { ["+"] = {}, ["-"] = {} }, {}
    for line in text:gmatch "[^\n]+" do
        local sign, json = line:match "^([+-]) (.*)$"
        if sign then
            local r = assert(replay.decode(json), line)
            local v = replay.decode(r.payload)
            local what = r.topic == "crowd" and ("crowd %s %d %d"):format(v.k, v.window_start:match "T00:00:(%d+)" + v.window_start:match "T00:(%d+)" * 60, v.n)
                or r.topic .. " " .. r.payload
            lines[sign][what] = (lines[sign][what] or 0) + 1
        else
            local rule, old, new, minus, plus = line:match "^(%S+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)$"
            if rule then totals[rule] = { tonumber(old), tonumber(new), tonumber(minus), tonumber(plus) } end
        end
    end
    return lines, totals
end

local function only(a, b, topic, into, count)
    for what in pairs(a) do
        if not b[what] then into[topic .. " " .. what], count = 1, count + 1 end
    end
    return count
end

for _, change in ipairs { { "loosened", 9, 6 }, { "tightened", 6, 9 }, { "left alone", 8, 8 } } do
    it(("a threshold %s shows as the reference says, exit 0, seed %d"):format(change[1], SEED), function()
        local list = records(3000)
        local ran = diff(rules(change[2]), rules(change[3]), list)
        assert.equal(0, ran.status, ran.stderr)
        local lines, totals = read(ran.text)
        local high1, crowd1, same, n1 = expected(list, change[2])
        local high2, crowd2, _, n2 = expected(list, change[3])
        local minus, plus = {}, {}
        local high_minus, crowd_minus = only(high1, high2, "high", minus, 0), only(crowd1, crowd2, "crowd", minus, 0)
        local high_plus, crowd_plus = only(high2, high1, "high", plus, 0), only(crowd2, crowd1, "crowd", plus, 0)
        assert.same(minus, lines["-"])
        assert.same(plus, lines["+"])
        assert.same({ high = { n1.high, n2.high, high_minus, high_plus }, crowd = { n1.crowd, n2.crowd, crowd_minus, crowd_plus },
            same = { same, same, 0, 0 } }, totals)
        if change[2] ~= change[3] then assert.is_true(high_minus + high_plus > 100 and crowd_minus + crowd_plus > 10) end
    end)
end

it("a rule that came or went shows with all it finds", function()
    local list = records(200)
    local ran = diff(rules(50), rules(50, 'rule "new" { from = "s", select = { "id" }, to = "new" }'), list)
    local lines, totals = read(ran.text)
    assert.same({ 0, 200, 0, 200 }, totals.new)
    assert.same({}, lines["-"])
    lines, totals = read(diff(rules(50, 'rule "new" { from = "s", select = { "id" }, to = "new" }'), rules(50), list).text)
    assert.same({ 200, 0, 200, 0 }, totals.new)
    assert.same({}, lines["+"])
end)

it("standard input serves both runs", function()
    local list = records(500)
    local file = diff(rules(9), rules(6), list)
    local piped = replay.run { command = "diff old/r.lua new/r.lua", config = config, stdin = true,
        files = { ["old/r.lua"] = rules(9), ["new/r.lua"] = rules(6) }, input = list }
    assert.equal(0, piped.status, piped.stderr)
    assert.equal(file.text, piped.text)
end)

it("rules that do not load are said with file:line, exit 1", function()
    local ran = diff(rules(9), "rule {", records(3))
    assert.equal(1, ran.status)
    assert.truthy(ran.stderr:find "new/r.lua:1:", ran.stderr)
end)
