-- Rules that begin alike share the work of their beginning: what they give is what each would give by itself.

local replay = require "tests.support.replay"

local function rule(name, where, more)
    return ('rule "%s" { from = "s", unnest = "tops[] as top", where = function(r) return %s end, select = { "id", "top" }, to = "%s", %s }\n'):format(
        name, where, name, more or "")
end

local input = {
    { topic = "s", payload = '{"ts":1,"id":1,"tops":["x","y",7,"x"]}' },
    { topic = "s", payload = '{"ts":2,"id":2,"tops":["y","z"]}' },
}

-- What each rule gives beside the others, and alone.
local function together_and_alone(head, rules)
    local texts, alone = {}, {}
    for name, text in pairs(rules) do
        texts[#texts + 1] = text
        alone[name] = replay.ok({ rules = head .. text, input = input }):payloads(name)
    end
    table.sort(texts)
    local ran = replay.ok { rules = head .. table.concat(texts), input = input }
    for name in pairs(rules) do assert.same(alone[name], ran:payloads(name)) end
    return ran, alone
end

describe("rules that begin alike", function()
    it("give the same rows each", function()
        local _, alone = together_and_alone('local few = set { "x", "y" }\n', { a = rule("a", "few[r.top]"), b = rule("b", "few[r.top]"), c = rule("c", "few[r.top]") })
        assert.equal(4, #alone.a)
        assert.same(alone.a, alone.b)
    end)

    it("are not alike where the condition reads another set", function()
        local _, alone = together_and_alone('local few, other = set { "x" }, set { "z" }\n', { a = rule("a", "few[r.top]"), b = rule("b", "other[r.top]") })
        assert.equal(2, #alone.a)
        assert.equal(1, #alone.b)
    end)

    it("are not alike where the name of what is unnested differs", function()
        together_and_alone("", {
            a = rule("a", 'r.top == "y"'),
            b = 'rule "b" { from = "s", unnest = "tops[] as it", where = function(r) return r.it == "y" end, select = { "id", "it" }, to = "b" }\n',
        })
    end)

    it("count their errors each for itself", function()
        local ran = together_and_alone("", { a = rule("a", "r.top < \"y\""), b = rule("b", "r.top < \"y\"") })
        assert.equal(1, ran.stats.rules.a.errors)
        assert.equal(1, ran.stats.rules.b.errors)
    end)

    it("count the rows each for itself", function()
        local ran = together_and_alone('local few = set { "x" }\n', { a = rule("a", "few[r.top]"), b = rule("b", "few[r.top]") })
        assert.equal(6, ran.stats.rules.a.rows_in)
        assert.equal(6, ran.stats.rules.b.rows_in)
    end)
end)
