local loading = require "tests.support.loading"
local hash = require "hash"

describe("SHA-256", function()
    it("is that of FIPS 180-4", function()
        assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", hash.sha256 "")
        assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hash.sha256 "abc")
        assert.equal("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            hash.sha256 "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
        assert.equal("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", hash.sha256(("a"):rep(1000000)))
    end)
end)

local base = [[
local limit = 3
local bad = set { "a", "b" }
local function cheap(r) return r.price < limit end
rule "first" { from = "pizzas", where = function(r) return bad[r.topping] and cheap(r) end, select = { "id", "topping" } }
rule "second" { from = "first", window = tumble "5s", group_by = { "topping" }, aggregate = { n = count() },
  having = function(w) return w.n > 10 end, to = "out" }
rule "third" { from = "pizzas", match = { partition_by = "id", pattern = "A B+", define = { B = function(row, m) return row.x > m.prev().x end },
  measures = { n = function(m) return m.count("B") end } } }
]]

local function versions(text, config)
    local loaded = loading.rules(type(text) == "string" and { ["a.lua"] = text } or text, { config = config })
    assert.same({}, loaded.faults)
    local out = { set = loaded.plan.version }
    for name, rule in pairs(loaded.rule) do out[name] = rule.version end
    return out, loaded.rule
end

-- The rules whose version differs, by name.
local function changed(text, config)
    local before, after, out = versions(base), versions(text, config), {}
    for name in pairs(before) do
        if before[name] ~= after[name] and name ~= "set" then out[#out + 1] = name end
    end
    assert.equal(#out > 0, before.set ~= after.set)
    table.sort(out)
    return table.concat(out, " ")
end

local function edited(from, to)
    local i, j = base:find(from, 1, true)
    assert(i, from)
    return base:sub(1, i - 1) .. to .. base:sub(j + 1)
end

describe("a version", function()
    it("is 32 hexadecimal digits, the same every time", function()
        local one = versions(base)
        assert.same(one, versions(base))
        assert.is_truthy(one.first:match("^%x+$") and #one.first == 32)
    end)

    for _, case in ipairs {
        { "comments and blank lines", "-- nothing\n\n\n" .. base },
        { "names of locals", (base:gsub("cheap", "not_dear"):gsub("%f[%w]r%f[%W]", "order")) },
        { "the order of a set's members", edited('{ "a", "b" }', '{ "b", "a" }') },
        { "the order of clauses", edited('select = { "id", "topping" } }', '}'):gsub('from = "pizzas", where', 'select = { "id", "topping" }, from = "pizzas", where') },
        { "the order of rules", (function() local i = base:find('rule "third"', 1, true) local j = base:find('rule "first"', 1, true) return base:sub(1, j - 1) .. base:sub(i) .. base:sub(j, i - 1) end)() },
        { "the form of a duration", edited('"5s"', '"5000ms"') },
        { "a list of one for a name", edited('partition_by = "id"', 'partition_by = { "id" }') },
    } do
        it("does not change with " .. case[1], function() assert.equal("", changed(case[2])) end)
    end

    it("does not change with the file's name", function()
        assert.same(versions(base), versions { ["other.lua"] = base })
    end)

    for _, case in ipairs {
        { "a constant outside of the function, also downstream", "local limit = 3", "local limit = 4", "first second" },
        { "a member of a set outside of the function", '"a", "b"', '"a", "c"', "first second" },
        { "a function that the function calls", "r.price < limit", "r.price <= limit", "first second" },
        { "a constant in a function", "w.n > 10", "w.n > 11", "second" },
        { "a clause", '"id", "topping" }', '"id", "topping", "price" }', "first second" },
        { "a window", '"5s"', '"6s"', "second" },
        { "a topic", '"out"', '"elsewhere"', "second" },
        { "a pattern", "A B+", "A B*", "third" },
        { "a condition", "row.x > m.prev", "row.x < m.prev", "third" },
        { "a measure", 'm.count("B")', 'm.count("A")', "third" },
    } do
        it("changes with " .. case[1], function() assert.equal(case[4], changed(edited(case[2], case[3]))) end)
    end

    it("changes with what a module holds", function()
        local function rules(n)
            return { ["a.lua"] = 'local m = require "m"\nrule "x" { from = "pizzas", where = function(r) return r.n > m.deep.limit end }',
                ["m.lua"] = "return { deep = { limit = " .. n .. " } }" }
        end
        assert.not_equal(versions(rules(1)).x, versions(rules(2)).x)
        assert.equal(versions(rules(1)).x, versions(rules(1)).x)
    end)
    it("changes with a global that the function reads", function()
        local function text(n) return "limit = " .. n .. '\nrule "x" { from = "pizzas", where = function(r) return r.n > limit end }' end
        assert.not_equal(versions(text(1)).x, versions(text(2)).x)
    end)
    it("changes with the source's event time", function()
        local config = loading.config 'source "pizzas" { topic = "pizzas", event_time = "other" }\nsource "other" {}'
        assert.equal("first second third", changed(base, config))
    end)
    it("knows tables that hold themselves", function()
        local function text(n) return "local t = { n = " .. n .. ' } t.self = t\nrule "x" { from = "pizzas", where = function(r) return t.self.n end }' end
        assert.not_equal(versions(text(1)).x, versions(text(2)).x)
    end)
end)

describe("the hash of the state's shape", function()
    local function shapes(text)
        local _, rules = versions(text)
        return rules.second.state_hash, rules.third.state_hash
    end
    it("stays with predicates, thresholds, select, sink and pattern", function()
        local second, third = shapes(base)
        for _, case in ipairs { { "local limit = 3", "local limit = 4" }, { "w.n > 10", "w.n > 11" }, { '"out"', '"elsewhere"' }, { "A B+", "A B*" } } do
            local other_second, other_third = shapes(edited(case[1], case[2]))
            assert.same({ second, third }, { other_second, other_third }, case[1])
        end
    end)
    it("changes with the window, the keys and the aggregates", function()
        for _, case in ipairs { { '"5s"', '"6s"' }, { 'group_by = { "topping" }', 'group_by = { "id" }' }, { "n = count()", "n = count(), s = sum('id')" } } do
            assert.not_equal((shapes(base)), (shapes(edited(case[1], case[2]))), case[1])
        end
    end)
end)
