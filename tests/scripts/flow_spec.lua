local loading = require "tests.support.loading"

-- What is found out about one where function; `above` stands before the rule.
local function where(body, above, files)
    files = files or {}
    files["rules.lua"] = (above or "") .. '\nrule "x" { from = "pizzas", where = function(r) ' .. body .. " end }"
    local loaded = loading.rules(files)
    if #loaded.faults > 0 then error(table.concat(loaded.faults, "\n"), 2) end
    return loaded.desc.x.reads.where, loaded.rule.x, loaded.desc.x
end

local function columns(read)
    if read.all then return "all" end
    local names = {}
    for name in pairs(read.columns) do names[#names + 1] = name end
    table.sort(names)
    return table.concat(names, " ")
end

describe("the columns that a function reads", function()
    for _, case in ipairs {
        { "are those it names", "return r.a > r.b", "a b" },
        { "are the outermost ones of nested objects", "return r.customer.city == 'Bath'", "customer" },
        { "include those behind a condition", "if r.a then return r.b else return r.c end", "a b c" },
        { "include those read in loops", "local n = 0 for i = 1, 3 do n = n + r.a end while n > 1 do n = n - r.b end return n == r.c", "a b c" },
        { "include those of a copy", "local s = r local t = s return t.a", "a" },
        { "include those of a copy made on one way only", "local s = {} if r.a then s = r end return s.b", "a b" },
        { "include those that a constant names", "local k = 'a' return r[k]", "a" },
        { "include those that one of two constants names", "local k = r.c and 'a' or 'b' return r[k]", "a b c" },
        { "are all where the name is computed", "return r['a' .. r.b]", "all" },
        { "are all where the row is walked over", "for k, v in pairs(r) do if v then return true end end", "all" },
        { "are all where the row is put into a table", "local t = { r } return t[1].a", "all" },
        { "are all where the row is compared by order", "return r < r", "all" },
        { "are not all where it is only looked whether it is there", "return r and type(r) == 'table' and r.a", "a" },
        { "are none where none is read", "return true", "" },
        { "are not the facts of the row", "return r._time > 5 and r._from == 'x'", "" },
        { "include those of a function inside", "local function f(x) return x.a end return f(r) and r.b", "a b" },
        { "include those of a function inside that captured the row", "local function f() return r.a end return f()", "a" },
        { "include those of a function that captured it two levels down", "local function f() return (function() return r.a end)() end return f()", "a" },
        { "include what a captured local may hold later", "local s local function f() return s.a end s = r return f()", "a" },
        { "include what an inner function put into a local", "local s local function f() s = r end f() return s.a", "a" },
        { "are all where an inner function hands it to nowhere known", "local t = {} function t.f() return r end return t.f().a", "all" },
        { "include those of callbacks", "return (r.a:gsub('x', function(c) return c .. r.b end))", "a b" },
        { "include those behind pcall", "local ok, v = pcall(function() return r.a end) return ok and v", "a" },
        { "include those behind pcall with the row", "return pcall(function(x) return x.a end, r)", "a" },
        { "survive assert", "return assert(r).a", "a" },
        { "are all where the row goes to a word that may look at it", "return tostring(r)", "all" },
        { "are not all where a value of it goes to a word", "return tostring(r.a):lower():find('x')", "a" },
        { "are those read before the function gives up", "if not r.a then return end return r.b", "a b" },
        { "are found through and, or and not", "return not (r.a and r.b or r.c)", "a b c" },
        { "are found in tail calls", "local function f(x) return x.a end return f(r)", "a" },
        { "are found through repeated calls", "local function f(x, n) if n == 0 then return x.a end return x.b end return f(r, 0) and f(r, 1)", "a b" },
        { "are all where a function calls itself with the row", "local function f(x, n) if n == 0 then return x.a end return f(x, n - 1) end return f(r, 3)", "all" },
        { "are all where the row goes into ...", "local function f(...) return (...) end return f(r).a", "all" },
        { "are found where the length of a column is taken", "return #r.list > 3 and r.list[1]", "list" },
        { "are found where ipairs walks a column", "for i, v in ipairs(r.list) do if v.x then return r.b end end", "b list" },
    } do
        it(case[1], function() assert.equal(case[3], columns(where(case[2]))) end)
    end

    local function paths(read)
        local out = {}
        for path in pairs(read.paths) do out[#out + 1] = (path:gsub("\255", ".")) end
        table.sort(out)
        return table.concat(out, " ")
    end
    for _, case in ipairs {
        { "are followed by constant names", "return r.a.b.c == 1", "a.b a.b.c" },
        { "are followed through locals, guards and functions", "local x = r.a local function f(t) return t and t.b end return f(x or {}) == 1 and x.c", "a.b a.c" },
        { "end where a value is compared", "return r.a.b == r.c", "a.b" },
        { "are not followed where the value above is looked at", "return r.a.b == 1 and tostring(r.a)", "" },
        { "are followed where the value above is there or not", "return r.a and r.a.b or r.a and r.a.c", "a.b a.c" },
        { "are not followed where the value above is kept", "local t = { x = r.a } return r.a.b and t", "" },
        { "are not followed where the value above is written to", "r.a.n = 1 return r.a.b", "" },
        { "are not followed where a name is computed", "return r.a[r.k] and r.a.b", "" },
        { "are not followed by numbers", "return r.a[1] and r.a.b", "" },
        { "are not followed where the value above is walked over", "for k in pairs(r.a) do if k then return r.a.b end end", "" },
        { "are not followed where its length is taken", "return #r.a > 1 and r.a.b", "" },
        { "are not followed where it is put into a table", "local t = { r.a } return t[1].b or r.a.b", "" },
        { "are not followed where a function that nobody follows gets it", "return g(r.a) and r.a.b", "" },
        { "are not followed in methods", "return r.a:find('x') and r.a.b", "" },
        { "are followed under asked-for types", "return type(r.a) == 'table' and r.a.b", "a.b" },
        { "are not followed in loops without end", "local t = r.a while t do t = t.next end return r.a.b.c", nil },
    } do
        it("the members of nested values " .. case[1], function()
            local found = paths(where(case[2], "function g(x) return tostring(x) end\n"))
            if case[3] then assert.equal(case[3], found) else assert.is_nil(found:find("next.next.next.next.next.next.next.next.next.next.next.next", 1, true)) end
        end)
    end

    it("include those of functions above the rule", function()
        assert.equal("a b", columns(where("return f(r) and g(r)", "local function f(x) return x.a end function g(x) return x.b end")))
        assert.equal("a", columns(where("return t.inner.f(r)", "local t = { inner = { f = function(x) return x.a end } }")))
    end)
    it("include those of functions in modules", function()
        local read = where("return m.cheap(r)", 'local m = require "m"', { ["lib/m.lua"] = "", ["m.lua"] = "local M = {} function M.cheap(r) return r.price < 3 end return M" })
        assert.equal("price", columns(read))
    end)
    it("are all where a function is chosen at run time", function()
        assert.equal("all", columns(where("return t[r.kind](r)", "local t = { a = function(x) return x.a end }")))
    end)
end)

describe("a function of m", function()
    local function match(define, measures)
        local loaded = loading.rules(('rule "x" { from = "pizzas", match = { pattern = "A B+", subset = { U = { "A", "B" } }, define = { B = function(row, m) %s end }, measures = { z = function(m, row) %s end } } }')
            :format(define, measures or "return 1"))
        if #loaded.faults > 0 then error(table.concat(loaded.faults, "\n"), 2) end
        return loaded.desc.x.reads["define.B"], loaded.desc.x.reads["measures.z"], loaded.rule.x.match
    end
    for _, case in ipairs {
        { "gives rows whose columns count", "return row.a > m.prev().b", "a b", true },
        { "looks ahead as well", "return row.a > m.next_row(2).b", "a b", true },
        { "looks at labels when it asks for a variable", "return row.a > m.last('A').b", "a b", false },
        { "looks at labels when it sums", "return m.sum('B', 'a') > 3", "a", false },
        { "needs all where the column is computed", "return m.sum('B', row.a) > 3", "all", false },
        { "may be kept", "local p = m.prev return row.a > p().b", "a b", true },
        { "may be called through pcall", "local ok, p = pcall(m.prev) return p.b", "b", true },
        { "may walk rows", "for i, x in ipairs(m.rows('*')) do if x.a then return true end end", "a", false },
        { "may index rows", "return m.rows('*')[1].a", "a", false },
        { "may go from a row", "return m.prev_of(row, 2).a", "a", false },
        { "needs all where m itself is handed on", "local t = { m } return t", "all", false },
        { "sees through a function that gets m", "local function up(x) return row.a > x.prev().b end return up(m)", "a b", true },
        { "looks at labels by a row's own", "return m.prev()._label == 'A'", "", false },
    } do
        it(case[1], function()
            local read, _, plan = match(case[2])
            assert.equal(case[3], columns(read))
            assert.equal(case[4], plan.history_free)
        end)
    end
    it("in a measure does not touch the conditions", function()
        local _, read, plan = match("return row.a > 1", "return m.count('U')")
        assert.equal("", columns(read))
        assert.is_true(plan.history_free)
    end)
    it("that gives a row as a measure needs all of it", function()
        local _, read = match("return true", "return m.first('A')")
        assert.is_true(read.all)
    end)
    it("is known by name, and so are the variables", function()
        local words = loading.fault [[
rule "x" { from = "pizzas", match = { pattern = "A B+", define = {
  B = function(row, m) return m.frist("A").a end } } }]]
        assert.is_truthy(words:find("`m` has no function `frist`; did you mean `first`?", 1, true), words)
        local other, line = loading.fault [[
rule "x" { from = "pizzas", match = { pattern = "UP DOWN", measures = {
  a = function(m) return 1 end,
  z = function(m)
    return m.first("UPP").a
  end } } }]]
        assert.is_truthy(other:find("`UPP` is no variable of the pattern; did you mean `UP`?", 1, true), other)
        assert.equal(4, line)
    end)
end)

describe("a predicate may be asked once per value", function()
    local function memo(body, above)
        local _, _, desc = where(body, above)
        return desc.memo.where
    end
    it("when it reads one column and nothing that changes", function()
        assert.equal("topping", memo("return bad[r.topping]", 'local bad = set { "a" }'))
        assert.equal("topping", memo("return r.topping == 'a' or r.topping:find('^b') ~= nil"))
        assert.equal("n", memo("return math.floor(r.n / 2) > limit", "local limit = 3"))
        assert.equal("s", memo("return check(r.s)", "local function check(s) return s:lower() == 'x' end"))
    end)
    for _, case in ipairs {
        { "two columns", "return r.a == r.b" }, { "none", "return true" }, { "the time", "return r.a and r._time > 5" },
        { "a log line", "log('info', 'x') return r.a" }, { "the whole row", "return r.a and tostring(r)" },
        { "a function chosen at run time", "return t[r.a]()", "local t = { a = function() return true end }" },
    } do
        it("but not when it has " .. case[1], function() assert.is_nil(memo(case[2], case[3])) end)
    end
end)

describe("names that are not there", function()
    it("are found in functions, at their line", function()
        local words, line = loading.fault 'local bad = set { "a" }\nrule "x" { from = "pizzas",\n where = function(r)\n  return bda[r.x]\n end }'
        assert.equal("unknown name `bda`; did you mean `bad`?", words)
        assert.equal(4, line)
    end)
    it("are found in functions that are only called from others", function()
        local words, line = loading.fault 'local function f(x)\n  return strng.lower(x)\nend\nrule "x" { from = "pizzas", where = function(r) return f(r.x) end }'
        assert.equal("unknown name `strng`; did you mean `string`?", words)
        assert.equal(2, line)
    end)
    it("are found in the columns of a rule that has a fixed list", function()
        local words, line = loading.fault 'rule "a" { from = "pizzas", select = { "id", "name" } }\nrule "b" { from = "a", where = function(r)\n  return r.nmae end }'
        assert.is_truthy(words:find("there is no column `nmae`; did you mean `name`?", 1, true), words)
        assert.equal(3, line)
    end)
end)

describe("a write to what outlives the call is refused", function()
    for _, case in ipairs {
        { "a local of the file", "local n = 0", "n = n + 1 return n > 3", "cannot assign `n`" },
        { "one by a function inside", "local n = 0", "local function f() n = n + 1 end f() return n > 3", "cannot assign `n`" },
        { "one by a function above", "local n = 0 local function f() n = n + 1 return n end", "return f() > 3", "cannot assign `n`" },
        { "one by a function in a table", "local n = 0 local t = { f = function() n = n + 1 return n end }", "return t.f() > 3", "cannot assign `n`" },
        { "a global", "", "count_of = 1 return true", "cannot write the global `count_of`" },
    } do
        it(case[1], function()
            local words = loading.fault(case[2] .. '\nrule "x" { from = "pizzas", where = function(r) ' .. case[3] .. " end }")
            assert.is_truthy(words:find(case[4], 1, true), words)
        end)
    end
    it("but not one to the function's own locals, also from inside", function()
        assert.has_no.errors(function() where("local n = 0 local function f() n = n + 1 end f() f() return n == 2") end)
    end)
end)
