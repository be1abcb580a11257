local loading = require "tests.support.loading"

describe("a rules folder", function()
    it("is loaded in the order of names, whatever order files come in", function()
        local loaded = loading.rules {
            ["b.lua"] = 'rule "b" { from = "pizzas", where = function(r) return r.x end }',
            ["a.lua"] = 'rule "a" { from = "b", where = function(r) return r.y end }',
            ["a_spec.lua"] = "this is not Lua",
            ["lib/unused.lua"] = "nor is this",
        }
        assert.same({}, loaded.faults)
        assert.same({ "b", "a" }, { loaded.plan.rules[1].name, loaded.plan.rules[2].name })
        assert.equal("a.lua", loaded.plan.used[1].name)
        assert.equal(2, #loaded.plan.used)
    end)

    it("shares modules, which run once", function()
        local loaded = loading.rules {
            ["a.lua"] = 'local shops = require "lib.shops"\nrule "a" { from = "pizzas", where = function(r) return shops.good[r.shop] end }',
            ["b.lua"] = 'local shops = require "lib.shops"\nshops.count = (shops.count or 0) + 1\nrule "b" { from = "pizzas", where = function(r) return shops.count == 1 end }',
            ["lib/shops.lua"] = 'return { good = set { "Luigis Pizza" } }',
        }
        assert.same({}, loaded.faults)
        assert.equal(3, #loaded.plan.used)
    end)

    it("may have modules at its top, which are rule files too and still run once", function()
        local loaded = loading.rules {
            ["z.lua"] = 'rule "in_module" { from = "pizzas" }\nreturn { n = 3 }',
            ["a.lua"] = 'local z = require "z"\nrule "a" { from = "pizzas", where = function(r) return r.n == z.n end }',
        }
        assert.same({}, loaded.faults)
        assert.equal(2, #loaded.plan.rules)
    end)

    it("may be one file", function()
        local loaded = loading.rules({ ["a.lua"] = 'rule "a" { from = "pizzas" }', ["b.lua"] = "not Lua" }, { only = "a.lua" })
        assert.same({}, loaded.faults)
        assert.equal(1, #loaded.plan.rules)
    end)

    for _, case in ipairs {
        { "a syntax error", { ["a.lua"] = 'rule "x" {\n from = ,\n}' }, "rules/a.lua:2: unexpected symbol near ','" },
        { "an error while loading", { ["a.lua"] = "local t\nlocal x = t.field" }, "rules/a.lua:2: attempt to index local 't'" },
        { "an error in a module", { ["a.lua"] = 'require "m"', ["m.lua"] = "\nerror 'no'" }, "rules/m.lua:2: no" },
        { "a module that is missing", { ["a.lua"] = '\nlocal m = require "shps"', ["lib/shops.lua"] = "" }, "rules/a.lua:2: there is no module `shps` in the rules folder" },
        { "a misspelt module", { ["a.lua"] = 'local m = require "lib.shosp"\nm.x = 1', ["lib/shops.lua"] = "" }, "did you mean `lib/shops`?" },
        { "a path as a module", { ["a.lua"] = 'require "../secret"' }, "there is no module `../secret`" },
        { "a file that cannot be read", { ["a.lua"] = false }, "rules/a.lua:0: cannot be read: Permission denied" },
        { "modules in a circle", { ["a.lua"] = 'require "lib.b"', ["lib/b.lua"] = 'require "lib.c"', ["lib/c.lua"] = '\nrequire "lib.b"' }, "rules/lib/c.lua:2: the module `lib.b` requires itself" },
        { "bytecode", { ["a.lua"] = string.dump(function() end) }, "this is bytecode" },
        { "an empty folder", {}, "rules:0: no rule file (*.lua) was found" },
    } do
        it("reports " .. case[1], function()
            local loaded = loading.rules(case[2])
            assert.equal(1, #loaded.faults, table.concat(loaded.faults, "\n"))
            assert.is_truthy(loaded.faults[1]:find(case[3], 1, true), loaded.faults[1])
        end)
    end

    it("goes on after an unknown name, whatever is done with it", function()
        local loaded = loading.rules 'local a = foo.bar(1) .. "x"\nlocal b = foo + 1\nrule "x" { from = "pizzas", wher = 1 }'
        assert.equal(3, #loaded.faults, table.concat(loaded.faults, "\n"))
    end)

    it("keeps the globals of a file to the file", function()
        local loaded = loading.rules {
            ["a.lua"] = 'limit = 3\nrule "a" { from = "pizzas", where = function(r) return r.n > limit end }',
            ["b.lua"] = 'rule "b" { from = "pizzas", where = function(r)\n return r.n > limit end }',
        }
        assert.same({ "rules/b.lua:2: unknown name `limit`" }, loaded.faults)
    end)
end)

describe("functions, once loaded", function()
    local function first(text)
        local loaded = loading.rules(text)
        assert.same({}, loaded.faults)
        return loaded.fns[1].fn
    end
    it("read the globals of their file, and cannot write any", function()
        assert.is_true(first 'limit = 3\nrule "a" { from = "pizzas", where = function(r) return r.n > limit end }' { n = 4 })
        local f = first 'rule "a" { from = "pizzas", where = function(r) return pcall(r.f) end }'
        local g = setfenv(function() sneaky = 1 end, getfenv(f)) -- luacheck: ignore
        assert.has_error(g)
    end)
    it("cannot change what they captured", function()
        local f = first 'local t = { n = 1 }\nrule "a" { from = "pizzas", where = function(r) t.n = 2 end }'
        assert.has_error(function() f {} end)
    end)
    it("make no rules and load no modules", function()
        for _, body in ipairs { 'rule "y" { from = "pizzas" }', 'require "m"' } do
            local loaded = loading.rules { ["a.lua"] = 'rule "a" { from = "pizzas", where = function(r) ' .. body .. " end }", ["m.lua"] = "" }
            assert.same({}, loaded.faults)
            local ok, why = pcall(loaded.fns[1].fn, {})
            assert.is_false(ok)
            assert.is_truthy(why:find("rules/a.lua:1: ", 1, true) and why:find("loaded", 1, true), why)
        end
    end)
    it("have numbers in the order of rules and clauses", function()
        local loaded = loading.rules [[
            rule "b" { from = "a", where = function() return true end }
            rule "a" { from = "pizzas", window = tumble "1s", aggregate = { y = sum(function(r) return r.y end), x = sum(function(r) return r.x end) },
                having = function() return true end, select = { "x", z = function() return 1 end }, where = function() return true end }
        ]]
        local order = {}
        for i, fn in ipairs(loaded.fns) do order[i] = fn.rule .. "." .. fn.what end
        assert.same({ "a.where", "a.aggregate.x", "a.aggregate.y", "a.having", "a.select.z", "b.where" }, order)
    end)
end)
