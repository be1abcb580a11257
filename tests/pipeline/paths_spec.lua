-- Members of nested values that functions read by constant names are columns of their own; what a function finds is what it would
-- find in tables made of the whole value.

local replay = require "tests.support.replay"

math.randomseed(SEED)
local random = math.random
local function pick(list) return list[random(#list)] end

local NAMES = { "a", "b", "c", "find" }

-- JSON text of nested values over a few names, so that functions meet objects, lists, scalars and nothing at every depth.
local function value(depth)
    local kind = random(depth > 0 and 10 or 6)
    if kind == 1 then return tostring(random(0, 9)) end
    if kind == 2 then return '"' .. pick { "x", "yy", "\\u0061", "" } .. '"' end
    if kind == 3 then return pick { "true", "false", "null" } end
    if kind == 4 then return ("%.2f"):format(random()) end
    if kind == 5 then return pick { "[]", "{}", '[{"a":1}]' } end
    if kind == 6 then return tostring(random(0, 2)) end
    local members = {}
    for i = 1, random(0, 4) do members[i] = ('"%s":%s'):format(pick(NAMES), value(depth - 1)) end
    return "{" .. table.concat(members, ",") .. "}"
end

local function records(n)
    local out = {}
    for i = 1, n do
        out[i] = { topic = "s", payload = ('{"ts":%d,"n":%d,"body":%s,"other":%s}'):format(i, i, value(4), value(3)) }
    end
    return out
end

-- A chain of members of r, some of them guarded; `at` joins a value and a name.
local function chain(at)
    local text = at("r", pick { "body", "other" })
    for _ = 1, random(1, 4) do
        if random(4) == 1 then text = ("(%s or {})"):format(text) end
        text = at(text, pick(NAMES))
    end
    return text
end

local function expression(at)
    local kind = random(9)
    local one, two = chain(at), chain(at)
    if kind == 1 then return ("%s == %s"):format(one, pick { "1", '"x"', "nil", "true" }) end
    if kind == 2 then return ("%s and %s"):format(one, two) end
    if kind == 3 then return ("type(%s) == %q"):format(one, pick { "table", "number", "nil", "string" }) end
    if kind == 4 then return ("%s > 1"):format(one) end
    if kind == 5 then return ("not %s"):format(one) end
    if kind == 6 then return ("#%s > 0"):format(one) end
    if kind == 7 then return ("%s == %s"):format(one, two) end
    if kind == 8 then return ("pcall(function() return %s end)"):format(one) end
    return ("(function(t) return t and %s end)(%s)"):format(at("t", pick(NAMES)), one)
end

-- The same seed makes the same expression, once by constant names and once through a function that no analysis follows.
local function both(seed)
    math.randomseed(seed)
    local constant = expression(function(of, name) return ("%s.%s"):format(of, name) end)
    math.randomseed(seed)
    local dynamic = expression(function(of, name) return of == "r" and "r." .. name or ("at(%s, %q)"):format(of, name) end)
    return constant, dynamic
end

local RULES = [[
local names = { a = "a", b = "b", c = "c", find = "find" }
local function at(t, name) return t[names[name]:rep(1)] end
rule "constant" { from = "s", where = function(r) return %s end, select = { "n", v = function(r) return %s end }, to = "constant" }
rule "dynamic" { from = "s", where = function(r) return %s end, select = { "n", v = function(r) return %s end }, to = "dynamic" }
]]

describe("members of nested values", function()
    it("are the same as columns and in tables, errors and all", function()
        for round = 1, 25 do
            local seeds = { random(1e9), random(1e9) }
            math.randomseed(SEED + round)
            local input = records(300)
            local where, where_dynamic = both(seeds[1])
            local select, select_dynamic = both(seeds[2])
            local rules = RULES:format(where, select, where_dynamic, select_dynamic)
            local ran = replay.ok { rules = rules, input = input }
            local what = ("SEED %d, round %d: %s; %s"):format(SEED, round, where, select)
            assert.same(ran:payloads "dynamic", ran:payloads "constant", what)
            assert.equal(ran.stats.rules.dynamic.errors, ran.stats.rules.constant.errors, what)
            math.randomseed(SEED + 7919 * round)
        end
    end)

    it("are found behind an unnest, in aggregates, and through rules that let rows pass", function()
        local rules = [[
rule "pass" { from = "s", where = function(r) return r.body.kind ~= "no" end }
rule "out" { from = "pass", unnest = "tops[] as top", where = function(r) return r.body.deep.n > 1 and r.top ~= "z" end,
  select = { "top", deep = function(r) return r.body.deep.n end }, to = "out" }
rule "sums" { from = "pass", window = tumble "1s", group_by = "shop", aggregate = { s = sum(function(r) return r.body.deep.n end) }, to = "sums" }
]]
        local ran = replay.ok { rules = rules, input = {
            { topic = "s", payload = '{"ts":1,"shop":"p","body":{"deep":{"n":2}},"tops":["x","z"]}' },
            { topic = "s", payload = '{"ts":2,"shop":"p","body":{"deep":{"n":1}},"tops":["x"]}' },
            { topic = "s", payload = '{"ts":3,"shop":"p","body":{"kind":"no","deep":{"n":5}},"tops":["x"]}' },
            { topic = "s", payload = '{"ts":4,"shop":"p","body":{"kind":"no"},"body":{"deep":{"n":7}},"tops":["y"]}' },
        } }
        assert.same({ '{"top":"x","deep":2}', '{"top":"y","deep":7}' }, ran:payloads "out")
        assert.same({ "10" }, { ran:payloads("sums")[1]:match '"s":(%d+)' })
    end)

    it("that are written to are the function's own", function()
        local rules = [[
rule "out" { from = "s", where = function(r) local b = r.body b.n = (b.n or 0) + 1 return b.n == 2 and r.body.deep.x == 1 end, to = "out" }
]]
        local ran = replay.ok { rules = rules, input = { { topic = "s", payload = '{"ts":1,"body":{"n":1,"deep":{"x":1}}}' } } }
        assert.equal(1, #ran:payloads "out")
    end)
end)
