-- Attacks of rules on the process that runs them. Each is either refused (it does not load, or its evaluation raises, or it
-- gets nothing), or stopped (the state is gone; how late, is told); after each, another rule in another state
-- gives what it gave before.

local rows = require "tests.support.rows"

local BUDGET_MS, MEMORY_MB = 20, 16
-- A sanitizer's functions may not be jumped out of, and there are many of them. On a machine that is busy with other things
-- CPU time goes by faster, too: how late the stops are is told as a figure, and only what would not stop fails.
local LATE_MS = os.getenv "ANANAS_PRELOAD" and 5000 or 1000
local latest = 0

local data = {}
for i = 1, 3 do data[i] = { n = i, name = i % 3 == 0 and "pineapple" or "cheese", list = rows.json "[3,1,2]" } end

local function many(n)
    local list = {}
    for i = 1, n do list[i] = { n = i } end
    return list
end

-- What another rule says, in another state, is checked after each attack.
local other, other_fn, other_batch, other_first
local INNOCENT = [[
local bad = set { "pineapple" }
return function(r)
    local sum = 0
    for i, v in ipairs(r.list) do sum = sum + i * v end
    local ok, message = pcall(error, "x")
    return { bad = bad[r.name] or false, n = r.n, sum = sum, ok = ok, message = message }
end]]

local function innocent()
    local texts, count = rows.table(other, other_fn, other_batch)
    assert.are.equal(0, count)
    return table.concat(texts, "\n")
end

-- "refused": true comes out nowhere. "stopped": ERR_RUNAWAY. Both are asserted on what actually happens.
local attacks = {
    -- ways out
    { "bytecode as a rule", "refused", bytecode = true },
    { "load", "refused", [[return load "return true" () ]] },
    { "loadstring", "refused", [[return loadstring "return true" () ]] },
    { "loadfile", "refused", [[return loadfile "/etc/passwd" ]] },
    { "dofile", "refused", [[return dofile "/etc/passwd" ]] },
    { "require of a file", "refused", [[return require "/etc/passwd" ]] },
    { "require of ffi", "refused", [[return require "ffi" ]] },
    { "require of the program's own modules", "refused", [[return require "host" ]] },
    { "package.loaded", "refused", [[return package.loaded.os ]] },
    { "package.loadlib", "refused", [[return package.loadlib "libc.so.6" ]] },
    { "os.execute", "refused", [[return os.execute "true" ]] },
    { "io.open", "refused", [[return io.open "/etc/passwd" ]] },
    { "debug", "refused", [[return debug.getregistry() ]] },
    { "ffi", "refused", [[return ffi.C ]] },
    { "jit", "refused", [[return jit.off() ]] },
    { "_G", "refused", [[return _G.os ]] },
    { "getfenv", "refused", [[return getfenv(0) ]] },
    { "setfenv", "refused", [[setfenv(1, {}) return true ]] },
    { "module", "refused", [[module "x" return true ]] },
    { "newproxy", "refused", [[return newproxy(true) ]] },
    { "collectgarbage", "refused", [[return collectgarbage "stop" ]] },
    { "coroutine", "refused", [[return coroutine.create(function() end) ]] },
    { "xpcall", "refused", [[return xpcall(error, function() return true end) ]] },
    { "rawset on the environment", "refused", [[return rawset(string, "x", 1) ]] },
    { "print", "refused", [[print "x" return true ]] },
    { "string.dump", "refused", [[return string.dump(function() end) ]] },
    { "string.dump as a method", "refused", [[return (""):dump() ]] },
    { "table.foreach", "refused", [[return table.foreach({}, error) ]] },
    { "math.random", "refused", [[return math.random() ]] },
    { "the metatable of strings", "refused", [[return getmetatable("") ]] },
    { "the index of strings", "refused", [[return getmetatable("").__index ]] },
    { "a new method of strings", "refused", [[string.trim = function() end return true ]] },
    { "replacing string.format", "refused", [[string.format = function() return "no" end return true ]] },
    { "setmetatable of a string", "refused", [[setmetatable("", {}) return true ]] },
    { "setmetatable of a library", "refused", [[setmetatable(string, {}) return true ]] },
    { "table.insert into a library", "refused", [[table.insert(string, 1) return true ]] },
    { "table.sort of a library", "refused", [[table.sort(table) return true ]] },
    { "a new global", "refused", [[leak = 1 return true ]] },
    { "replacing a global", "refused", [[pairs = nil return true ]] },
    { "writing to the row", "refused", [[r.n = 2 return true ]] },
    { "the metatable of the row", "refused", [[return getmetatable(r) ]] },
    { "setmetatable of the row", "refused", [[setmetatable(r, {}) return true ]] },
    { "the row as a pointer", "refused", [[return r[0] or r[1] or r[-1] or r[2 ^ 40] ]] },
    { "the row in arithmetic", "refused", [[return (r + 1) ]] },
    { "fields of the row's struct", "refused", [[return r.b or r.i or r.layout or r.batch ]] },
    { "calling the row", "refused", [[return r() ]] },
    { "next on the row", "refused", [[return next(r) ]] },
    { "a timestamp as a pointer", "refused", [[local t = timestamp(1) t.ms = 5 return true ]] },
    { "a timestamp of a table", "refused", [[return timestamp {} ]] },
    { "writing to a captured table", "refused", [[captured.x = 1 return true ]] },
    { "writing into a captured table", "refused", [[captured.deep.x = 1 return true ]] },
    { "table.insert into a captured table", "refused", [[table.insert(captured, 1) return true ]] },
    { "table.remove from a captured table", "refused", [[return table.remove(captured) ]] },
    { "table.sort of a captured table", "refused", [[table.sort(captured) return true ]] },
    { "table.move into a captured table", "refused", [[table.move({ 1 }, 1, 1, 1, captured) return true ]] },
    { "setmetatable of a captured table", "refused", [[setmetatable(captured, { __index = {} }) return true ]] },
    { "getmetatable of a captured table", "refused", [[return getmetatable(captured) ]] },
    { "a captured table's table by pairs", "refused", [[local _, state = pairs(captured) state.t.x = 1 return captured.x ]] },
    { "a captured table's table by its __index", "refused", [[return memo.anything and memo.self ]] },
    { "writing through __newindex of a captured table", "refused", [[logged.x = 1 return true ]] },
    { "a captured metatable", "refused", [[getmetatable(setmetatable({}, class)).x = 1 return true ]] },
    -- errors
    { "an error that is nil", "refused", [[error(nil) ]] },
    { "an error that is a table", "refused", [[error { x = 1 } ]] },
    { "an error whose __tostring raises", "refused", [[error(setmetatable({}, { __tostring = function() error "x" end })) ]] },
    { "an error whose __tostring never ends", "refused", [[error(setmetatable({}, { __tostring = function() while true do end end })) ]] },
    { "an error that is a function", "refused", [[error(error) ]] },
    { "an error of a megabyte", "refused", [[error(("x"):rep(1e6)) ]] },
    { "an error with a zero in it", "refused", [[error "a\0b" ]] },
    { "unpack of a huge range", "refused", [[return unpack({}, 1, 1e8) ]] },
    { "unpack over the end of integers", "refused", [[return unpack({}, -2 ^ 31, 2 ^ 31 - 1) ]] },
    { "select with a wild index", "refused", [[return select(-5, 1) ]] },
    { "a string longer than any memory", "refused", [[return (("x"):rep(2 ^ 31 - 1)) ]] },
    { "a format of a wild width", "refused", [[return ("%99999999d"):format(1) ]] },
    { "deep recursion", "refused", [[local function f(n) return 1 + f(n + 1) end return f(1) ]] },
    { "recursion through a metatable", "refused", [[local t = {} setmetatable(t, { __index = function(t, k) return t[k + 1] end }) return t[1] ]] },
    { "recursion through gsub", "refused", [[local function f() return (("x"):gsub(".", f)) end return f() ]] },
    { "recursion through sort", "stopped", [[local function f() table.sort({ 2, 1 }, f) return true end return f() and nil ]] },
    { "an __index that is its own", "refused", [[local t = {} setmetatable(t, { __index = t }) getmetatable(t).__index = t return t.x ]] },
    { "a comparator that contradicts itself", "refused",
        [[local t = {} for i = 1, 500 do t[i] = i % 7 end table.sort(t, function() return true end) return nil ]] },
    { "a pattern that is malformed", "refused", [[return ("x"):find("[") ]] },
    { "a pattern of deep captures", "refused", [[return ("x"):find(("("):rep(100)) ]] },
    -- runaways
    { "a loop", "stopped", [[while true do end ]] },
    { "a counting loop", "stopped", [[local x = 0 for i = 1, 1e18 do x = x + i end return x ]] },
    { "a loop through a call", "stopped", [[local function f(i) return i + 1 end local x = 0 while true do x = f(x) end ]] },
    { "tail calls", "stopped", [[local function f(n) return f(n + 1) end return f(1) ]] },
    { "a loop in pcall in a loop", "stopped", [[while true do pcall(function() while true do end end) end ]] },
    { "errors in pcall in a loop", "stopped", [[while true do pcall(error, "x") end ]] },
    { "nested pcall", "stopped", [[local function f() while true do pcall(f) end end f() ]] },
    { "a loop over the row", "stopped", [[local x = 0 while true do x = x + r.n end ]] },
    { "a loop over a nested value", "stopped", [[while true do local x = r.list[1] end ]] },
    { "a loop of ipairs", "stopped", [[for _ in ipairs(setmetatable({}, { __index = function() return 1 end })) do end ]] },
    { "a loop in a comparator", "stopped", [[table.sort({ 2, 1, 3 }, function() while true do end end) ]] },
    { "sorting for ever", "stopped", [[local t = {} for i = 1, 1000 do t[i] = i * 7 % 977 end while true do table.sort(t, function(a, b) return a > b end) end ]] },
    { "a loop in a gsub callback", "stopped", [[local s = ("x"):rep(1e4) s:gsub(".", function() while true do end end) ]] },
    { "a loop in a gmatch", "stopped", [[for _ in ("x"):rep(1e5):gmatch "()" do while true do end end ]] },
    { "a loop in a metamethod", "stopped", [[return setmetatable({}, { __add = function() while true do end end }) + 1 ]] },
    { "a loop in __tostring", "stopped", [[return tostring(setmetatable({}, { __tostring = function() while true do end end })) ]] },
    { "a pattern bomb", "stopped", [[return ("a"):rep(3000):find((".-"):rep(8) .. "b") ]] },
    { "a pattern bomb in pcall", "stopped", [[while true do pcall(string.find, ("a"):rep(30), ("a?"):rep(30) .. ("a"):rep(30)) end ]] },
    { "a greedy pattern bomb", "stopped", [[return ("a"):rep(500):match(("(.*)"):rep(10) .. "b") ]] },
    { "a loop of string building", "stopped", [[while true do local s = "" for i = 1, 300 do s = s .. i end end ]] },
    { "a loop of formats", "stopped", [[while true do local s = ("%s %5.2f"):format("x", 1.5) end ]] },
    { "a loop of concat", "stopped", [[local t = {} for i = 1, 1000 do t[i] = "xxxxxxxx" end while true do local s = table.concat(t) end ]] },
    { "garbage for ever", "stopped", [[while true do local t = {} for i = 1, 100 do t[i] = { i } end end ]] },
    { "rep without end", "stopped", [[while true do local s = ("x"):rep(1e6) end ]] },
    { "closures without end", "stopped", [[local f = function() end while true do local g = f f = function() return g end if not f then return 1 end end ]] },
    { "a growing table", "stopped", [[local t = {} while true do t[#t + 1] = {} end ]] },
    { "a growing table in pcall", "stopped", [[local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = {} end end) end ]] },
    { "a growing array of numbers", "stopped", [[local t = {} for i = 1, 1e9 do t[i] = i end ]] },
    { "a growing hash", "stopped", [[local t = {} for i = 1, 1e9 do t["k" .. i] = true end ]] },
    { "a growing string", "stopped", [[local s = "x" while true do s = s .. s end ]] },
    { "a rep bomb within memory's reach", "stopped", [[local t = {} for i = 1, 1e6 do t[i] = ("x"):rep(1e5 + i) end ]] },
    { "a huge concat", "stopped", [[local t, s = {}, ("x"):rep(1e6) for i = 1, 1e4 do t[i] = s end return table.concat(t) ]] },
    { "results larger than memory", "stopped", [[return ("x"):rep(1e6 + r.n) ]], map = true, rows = 40 },
    { "a table that shares its parts", "stopped", [[local t = { 1 } for i = 1, 60 do t = { t, t } end return { t = t } ]], table = true },
    { "a table inside itself", "refused", [[local t = {} t.t = t return t ]], table = true },
    { "a function in the result", "refused", [[return { f = error } ]], table = true },
    { "a table with table keys", "refused", [[return { [{}] = 1 } ]], table = true },
    { "a loop at the top of the text", "stopped", nil, text = "while true do end" },
    { "a log without end", "stopped", [[while true do log("info", "x") end ]] },
}

local PRELUDE = [[
local captured = { 1, 2, 3, deep = { y = 1 } }
local memo = setmetatable({}, { __index = function(t, k) t[k] = t return t end })
local logged = setmetatable({}, { __newindex = function(t, k, v) end })
local class = { __index = { m = 1 } }
return function(r)
local _ = captured, memo, logged, class
]]

local function cpu_ms() return os.clock() * 1000 end

-- How one attack ended: "stopped" or "refused", or what came of it; and how long it took.
local function attempt(attack)
    local s = assert(rows.open { time_ms = attack.text and 0 or BUDGET_MS, memory = MEMORY_MB })
    local text = attack.text or PRELUDE .. (attack[3] or "return true ") .. "end"
    if attack.bytecode then text = string.dump(assert(loadstring(text))) end
    local before = cpu_ms()
    local fn, why = rows.fn(s, text)
    local ended
    if not fn then
        ended = why:find "^stopped" and "stopped" or "refused"
    else
        local ask = attack.table and rows.table or attack.map and rows.map or rows.where
        local batch = rows.batch(attack.rows and many(attack.rows) or data, {})
        before = cpu_ms()
        local results, count, rc = ask(s, fn, batch)
        if not results then
            ended = rc == -7 and "stopped" or ("failed with %d: %s"):format(rc, count)
            why = count
        else
            ended, why = "refused", rc
            for i, result in ipairs(results) do
                if result and result ~= "null" then ended = ("row %d gave %s"):format(i, tostring(result):sub(1, 60)) end
            end
        end
    end
    local took = cpu_ms() - before
    rows.close(s)
    return ended, took, why
end

describe("a rule that attacks", function()
    teardown(function() print(("figure: the latest stop came %.1f ms of CPU time past its budget"):format(latest)) end)
    setup(function()
        other = assert(rows.open { time_ms = 1000 })
        other_fn = assert(rows.fn(other, INNOCENT, nil, "other.lua"))
        other_batch = rows.batch(data, { intern = rows.intern() })
        other_first = innocent()
    end)

    for _, attack in ipairs(attacks) do
        it(("%s: %s"):format(attack[1], attack[2]), function()
            local ended, took, why = attempt(attack)
            assert.are.equal(attack[2], ended, why)
            -- Loading has five seconds; everything else its budget.
            local limit = attack.text and 5000 or BUDGET_MS
            latest = math.max(latest, took - limit)
            assert.is_true(took <= limit + LATE_MS, ("took %.1f ms"):format(took))
            assert.are.equal(other_first, innocent())
        end)
    end

    it("leaves the state usable where it was only refused", function()
        local s = assert(rows.open { time_ms = BUDGET_MS, memory = MEMORY_MB })
        local fn = assert(rows.fn(s, INNOCENT))
        local batch = rows.batch(data, {})
        local before = table.concat((rows.table(s, fn, batch)), "\n")
        local failed = {}
        for _, attack in ipairs(attacks) do
            if attack[2] == "refused" and attack[3] and not attack.bytecode then
                local bad = rows.fn(s, PRELUDE .. attack[3] .. "end")
                if bad then
                    local ok = rows.where(s, bad, batch)
                    if not ok then failed[#failed + 1] = attack[1] end
                end
            end
        end
        assert.are.same({}, failed)
        assert.are.equal(before, table.concat((rows.table(s, fn, batch)), "\n"))
        rows.close(s)
    end)

    it("is at least sixty different ones", function() assert.is_true(#attacks >= 60, tostring(#attacks)) end)
end)
