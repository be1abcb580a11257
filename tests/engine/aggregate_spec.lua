-- Aggregates through the group operator: rows added one by one (a tumbling window), states that are merged (sessions that a
-- last row joins), and all rows at hand (record()), against definitions over the list of rows.

local group_engine = require "tests.support.group_engine"

local AGGREGATES = {
    n = { kind = "count_all" }, c = { kind = "count", column = "v" }, s = { kind = "sum", column = "v" }, a = { kind = "avg", column = "v" },
    mn = { kind = "min", column = "v" }, mx = { kind = "max", column = "v" }, f = { kind = "first", column = "v" }, l = { kind = "last", column = "v" },
    d = { kind = "count_distinct", column = "v" }, t = { kind = "listagg", column = "v", separator = "|" },
    q = { kind = "quantile", column = "v", q = 0.25 },
}

local function values(list, kind)
    local aggregates = {}
    for name, a in pairs(AGGREGATES) do aggregates[name] = a end
    local rows = {}
    for i, r in ipairs(list) do
        rows[i] = { time = r.time, partition = r.partition, offset = r.offset, sub = r.sub, v = r.v, same_tick = kind == "record" and i > 1 }
    end
    local window = kind == "record" and { kind = "record" } or kind == "session" and { kind = "session", gap = 10 } or { kind = "tumble", size = 100000 }
    local g = group_engine.new { window = window, aggregates = aggregates }
    local out
    if kind == "record" then
        out = g:run(rows)
    else
        out = g:run(rows)
        assert(#out == 0)
        out = g:run { { wm = group_engine.FOREVER } }
    end
    assert(#out == 1, #out)
    for name in pairs(out[1]) do
        if name:match "^_" or name:match "^window" then out[1][name] = nil end
    end
    return out[1], g
end

-- The same from their definitions. Values here are integers, so sums are exact and nothing is spelled two ways.
local function brute(rows)
    local list = {}
    for i, r in ipairs(rows) do list[i] = r end
    table.sort(list, function(x, y)
        for _, k in ipairs { "time", "partition", "offset", "sub" } do if x[k] ~= y[k] then return x[k] < y[k] end end
        return false
    end)
    local v, seen, distinct = {}, {}, 0
    for _, r in ipairs(list) do
        if r.v ~= nil then
            v[#v + 1] = r.v
            if not seen[r.v] then seen[r.v], distinct = true, distinct + 1 end
        end
    end
    local sum, sorted = 0, {}
    for i, x in ipairs(v) do sum, sorted[i] = sum + x, x end
    table.sort(sorted)
    local function text(x) return x == nil and "null" or ("%.14g"):format(x) end
    local at = 0.25 * (#v - 1)
    local low = math.floor(at)
    local q = #v > 0 and sorted[low + 1] + ((sorted[low + 2] or sorted[low + 1]) - sorted[low + 1]) * (at - low) or nil
    return { n = text(#list), c = text(#v), s = text(#v > 0 and sum or nil), a = #v > 0 and sum / #v or "null", mn = text(sorted[1]),
             mx = text(sorted[#sorted]), f = text(v[1]), l = text(v[#v]), d = text(distinct),
             t = #v > 0 and '"' .. table.concat(v, "|") .. '"' or "null", q = text(q) }
end

local function check(rows, kind, message)
    local want, got = brute(rows), values(rows, kind)
    if want.a ~= "null" then
        assert.is_true(math.abs(tonumber(got.a) - want.a) < 1e-9 * (1 + math.abs(want.a)), message)
        want.a = got.a
    end
    assert.same(want, got, message)
end

local function shuffle(list)
    for i = #list, 2, -1 do
        local k = math.random(i)
        list[i], list[k] = list[k], list[i]
    end
    return list
end

describe("aggregate: over any rows in any order", function()
    local function random_rows(n, spread)
        local rows = {}
        for i = 1, n do
            rows[i] = { time = math.random(0, spread), partition = math.random(0, 2), offset = i, sub = math.random(0, 1),
                        v = math.random() < 0.2 and nil or math.random(-9, 9) }
        end
        return rows
    end

    it("adds row by row what the definitions say (2,000 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 2000 do check(shuffle(random_rows(math.random(1, 12), 20)), "tumble", "seed " .. SEED) end
    end)

    it("gives the same when sessions merge (2,000 cases)", function()
        math.randomseed(SEED + 1)
        for _ = 1, 2000 do
            -- Clusters further apart than the gap, then rows that bridge them in random order.
            local rows, n = {}, 0
            for cluster = 0, math.random(1, 4) do
                for _ = 1, math.random(1, 3) do
                    n = n + 1
                    rows[n] = { time = cluster * 20 + math.random(0, 3), partition = 0, offset = n, sub = 0, v = math.random(-9, 9) }
                end
                for _, bridge in ipairs { 10, 17 } do
                    n = n + 1
                    rows[n] = { time = cluster * 20 + bridge, partition = 0, offset = n, sub = 0, v = math.random(-9, 9) }
                end
            end
            check(shuffle(rows), "session", "seed " .. SEED)
        end
    end)

    it("gives the same with all rows at hand (2,000 cases)", function()
        math.randomseed(SEED + 2)
        for _ = 1, 2000 do
            local rows = random_rows(math.random(1, 12), 0)
            for i, r in ipairs(rows) do r.partition, r.offset, r.sub = 0, 5, i end
            check(rows, "record", "seed " .. SEED)
        end
    end)
end)

local function one(kind, list, more)
    local a = { kind = kind, column = "v" }
    for k, v in pairs(more or {}) do a[k] = v end
    local g = group_engine.new { window = { kind = "tumble", size = 100 }, aggregates = { x = a } }
    local rows = {}
    for i = 1, list.n or #list do rows[i] = { time = i % 100, offset = i, v = list[i] } end
    rows[#rows + 1] = { wm = 1000 }
    return g:run(rows)[1].x, g
end

describe("aggregate: null, as in SQL", function()
    it("is no value: counts give 0, the others null", function()
        local none = { n = 3 }
        assert.equal("0", (one("count", none)))
        assert.equal("0", (one("count_distinct", none)))
        assert.equal("3", (one("count_all", none)))
        for _, kind in ipairs { "sum", "avg", "min", "max", "first", "last", "listagg" } do assert.equal("null", (one(kind, none)), kind) end
        assert.equal("null", (one("quantile", none, { q = 0.5 })))
    end)

    it("count leaves out false as well, count_distinct does not", function()
        assert.equal("2", (one("count", { true, false, 0 })))
        assert.equal("3", (one("count_distinct", { true, false, 0 })))
    end)

    it("first and last skip it", function()
        assert.equal("1", (one("first", { n = 4, nil, 1, 2 })))
        assert.equal("2", (one("last", { n = 4, nil, 1, 2 })))
    end)
end)

describe("aggregate: values", function()
    it("sum is exact for integers beyond 2^53 and beyond 2^63", function()
        assert.equal("9007199254740995", (one("sum", { { json = "9007199254740993" }, 2 })))
        assert.equal("18446744073709551614", (one("sum", { { json = "9223372036854775807" }, { json = "9223372036854775807" } })))
        assert.equal("10000000000000000000000000000000000002", (one("sum", { { json = "10000000000000000000000000000000000001" }, 1 })))
    end)

    it("float sums do not lose small parts to large ones", function()
        assert.equal("2", (one("sum", { 1, 1e100, 1, -1e100 })))
        assert.equal("0.6", (one("sum", { 0.1, 0.2, 0.3 })))
    end)

    it("min and max keep the spelling, and of two spellings the shorter whatever the order", function()
        assert.equal("1e0", (one("min", { { json = "1e0" }, 2 })))
        assert.equal("1.0", (one("max", { { json = "1.00" }, { json = "1.0" } })))
        assert.equal("1.0", (one("max", { { json = "1.0" }, { json = "1.00" } })))
        assert.equal('"b"', (one("max", { "a", "b" })))
    end)

    it("first keeps numbers, strings and objects as they came", function()
        assert.equal("1.50", (one("first", { { json = "1.50" } })))
        assert.equal('{"a":[1, 2]}', (one("first", { { json = '{"a":[1, 2]}' } })))
        assert.equal('"\\u00e9\\n"', (one("last", { { json = '"\\u00e9\\n"' } })))
    end)

    it("listagg writes strings as they are, other values as JSON", function()
        assert.equal('"a,1.50,true,[1],\xc3\xa9\\n"', (one("listagg", { "a", { json = "1.50" }, true, { json = "[1]" }, { json = '"\\u00e9\\n"' } })))
    end)

    it("count_distinct tells 1 from \"1\" and not from 1.0", function()
        assert.equal("2", (one("count_distinct", { 1, { json = "1.0" }, "1" })))
    end)
end)
