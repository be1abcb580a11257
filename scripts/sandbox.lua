-- sandbox: what a rule may use, as data.
-- Rules are text, never bytecode; they see the names listed here and nothing else; what their functions captured from
-- outside is read-only; and whatever they are given answers the same for the same rows: there is no clock, no random
-- number, and `pairs` goes in order. Runaways are stopped from outside (engine/script_watchdog.c), not here.
--
-- A table is made read-only by standing in for it: a userdata whose index operation is the table itself. LuaJIT compiles
-- that as it does a table, `#` works on it (it would not on a table with a metatable), and there is no way from it to the
-- table but `thaw`, which rules do not have.

local sandbox = {}

local type, next, select, rawget, error, tostring, unpack = type, next, select, rawget, error, tostring, unpack
local getmetatable, setmetatable, newproxy = getmetatable, setmetatable, newproxy
local getinfo, getupvalue, setupvalue = debug.getinfo, debug.getupvalue, debug.setupvalue
local sort, concat, insert, remove, maxn, move = table.sort, table.concat, table.insert, table.remove, table.maxn, table.move
local trusted = getfenv(0)

-- ---- read-only tables ----

local inner_of, frozen_of = {}, {}      -- frozen -> table, table -> frozen

local function is_frozen(v) return type(v) == "userdata" and inner_of[v] ~= nil end
sandbox.is_frozen = is_frozen

-- The table behind a frozen one, any other value as it is. For trusted code only.
local function thaw(v)
    if type(v) == "userdata" then return inner_of[v] or v end
    return v
end
sandbox.thaw = thaw

local function refuse(_, name)
    error(("a table from outside of the function is read-only (writing to '%s')"):format(tostring(name)), 2)
end

local OPERATORS = { "__call", "__add", "__sub", "__mul", "__div", "__mod", "__pow", "__unm", "__concat", "__eq", "__lt", "__le",
    "__tostring" }

local freeze

-- Index operation of a frozen table that has a metatable of its own: its functions get the frozen table, not what is behind.
local function index_through(inner, index)
    if type(index) == "function" then
        return function(self, name)
            local v = rawget(inner, name)
            if v ~= nil then return v end
            return index(self, name)
        end
    end
    return function(_, name)
        local v = rawget(inner, name)
        if v ~= nil then return v end
        return index[name]
    end
end

local function freeze_table(t, seen)
    if frozen_of[t] then return frozen_of[t] end
    local proxy = newproxy(true)
    inner_of[proxy], frozen_of[t] = t, proxy
    local meta = getmetatable(proxy)
    meta.__index, meta.__newindex, meta.__metatable = t, refuse, false
    meta.__len = function() return #t end
    meta.__tostring = function() return "table" end
    for k, v in next, t do
        local kind = type(v)
        if kind == "table" or kind == "function" then t[k] = freeze(v, seen) end
    end
    local own = debug.getmetatable(t)
    if own and own ~= sandbox.array then
        for _, name in ipairs(OPERATORS) do
            if own[name] ~= nil then meta[name] = freeze(own[name], seen) end
        end
        if own.__index ~= nil then meta.__index = index_through(t, freeze(own.__index, seen)) end
        for k, v in next, own do
            if type(v) == "table" or type(v) == "function" then own[k] = freeze(v, seen) end
        end
    end
    return proxy
end

-- A function of the program is left alone; one of a rule cannot change what it captured, at any depth.
local function freeze_function(f, seen)
    if seen[f] or getinfo(f, "S").what == "C" or debug.getfenv(f) == trusted then return f end
    seen[f] = true
    local i = 1
    while true do
        local name, v = getupvalue(f, i)
        if not name then break end
        local kind = type(v)
        if kind == "table" then
            setupvalue(f, i, freeze(v, seen))
        elseif kind == "function" then
            freeze_function(v, seen)
        end
        i = i + 1
    end
    return f
end

-- The value read-only: a table becomes its stand-in, with everything in it; a function stays itself, with read-only
-- upvalues. To be called when loading is done: the tables themselves now hold stand-ins where they held tables.
function freeze(v, seen)
    local kind = type(v)
    if kind == "table" then return freeze_table(v, seen or {}) end
    if kind == "function" then return freeze_function(v, seen or {}) end
    return v
end
sandbox.freeze = freeze

-- A plain copy of a value that may be changed, at every depth.
local function copy(v, seen)
    v = thaw(v)
    if type(v) ~= "table" then return v end
    seen = seen or {}
    if seen[v] then return seen[v] end
    local out = {}
    seen[v] = out
    for k, x in next, v do out[k] = copy(x, seen) end
    return setmetatable(out, debug.getmetatable(v))
end
sandbox.copy = copy

-- Metatable of arrays that came empty from JSON: it keeps [] from becoming {}.
sandbox.array = { __metatable = false }

-- ---- words of the language that have to know about stand-ins ----

local type_names = { userdata = "table", cdata = "table" }
local function type_of(v)
    local kind = type(v)
    return type_names[kind] or kind
end
sandbox.type = type_of

local ranks = { number = 1, string = 2, boolean = 3 }
local function in_order(a, b)
    local ra, rb = ranks[type(a)] or 4, ranks[type(b)] or 4
    if ra ~= rb then return ra < rb end
    if ra <= 2 then return a < b end
    return ra == 3 and not a and b
end

local FEW = 12
local function sort_keys(keys, n)
    if n > FEW then return sort(keys, in_order) end
    for i = 2, n do
        local k, j = keys[i], i - 1
        while j > 0 and in_order(k, keys[j]) do
            keys[j + 1] = keys[j]
            j = j - 1
        end
        keys[j + 1] = k
    end
end

local function walk(state)
    local keys, t, i = state.keys, state.t, state.i
    while true do
        i = i + 1
        local k = keys[i]
        if k == nil then return nil end
        local v = t[k]
        if v ~= nil then
            state.i = i
            return k, v
        end
    end
end

-- In order: numbers, strings, false and true, then the rest. LuaJIT's own order differs between two runs, and an output
-- that depends on it would not be the same after a restart.
local function pairs_in_order(t)
    if type(t) == "cdata" then t = sandbox.row_table(t) end
    local inner = thaw(t)
    if type(inner) ~= "table" then error(("bad argument #1 to 'pairs' (table expected, got %s)"):format(type(t)), 2) end
    local keys, n, sorted, last = {}, 0, true, nil
    for k in next, inner do
        if n > 0 and sorted and not in_order(last, k) then sorted = false end
        n = n + 1
        keys[n] = k
        last = k
    end
    if not sorted then sort_keys(keys, n) end
    -- The state is in the rule's hands: t must be what it has already.
    return walk, { keys = keys, t = t, i = 0 }, nil
end

local function step(t, i)
    i = i + 1
    local v = t[i]
    if v ~= nil then return i, v end
end

local function tables_only(v, where)
    if type(v) ~= "table" then
        if is_frozen(v) then error(("a table from outside of the function is read-only (%s)"):format(where), 3) end
        error(("%s takes a table, not a %s"):format(where, type_of(v)), 3)
    end
    return v
end

-- What C calls back into Lua is bounded by the C stack, which LuaJIT does not watch.
function sandbox.stack_is_deep() return false end
local function mind_the_stack()
    if sandbox.stack_is_deep() then error("stack overflow", 3) end
end

local base = {
    assert = assert, error = error, pcall = pcall, select = select,
    type = type_of,
    pairs = pairs_in_order,
    ipairs = function(t)
        if t == nil then error("bad argument #1 to 'ipairs' (table expected, got nil)", 2) end
        return step, t, 0
    end,
    next = function(t, k) return next(thaw(t), k) end,
    unpack = function(t, i, j)
        t = thaw(t)
        return unpack(t, i or 1, j or #t)
    end,
    tonumber = function(v, radix)
        if type(v) == "cdata" then v = sandbox.number_of(v) end
        if radix then return tonumber(v, radix) end
        return tonumber(v)
    end,
    -- Without addresses: they differ between two runs.
    tostring = function(v)
        local kind = type(v)
        if kind == "function" then return "function" end
        if kind == "table" then
            local meta = debug.getmetatable(v)
            if not (meta and meta.__tostring) then return "table" end
        end
        return tostring(v)
    end,
    setmetatable = function(t, meta)
        return setmetatable(tables_only(t, "setmetatable"), thaw(meta))
    end,
    getmetatable = function(t)
        if type(t) ~= "table" then return nil end
        local meta = getmetatable(t)
        return type(meta) == "table" and frozen_of[meta] or meta
    end,
    set = function(list)
        list = thaw(list)
        if type(list) ~= "table" then error(("set takes a list of values: set { \"a\", \"b\" }, not %s"):format(type_of(list)), 2) end
        local out = {}
        for _, v in next, list do out[v] = true end
        return out
    end,
}

sandbox.tostring = base.tostring

local function only(library, names)
    local out = {}
    for name in names:gmatch "%a%w*" do out[name] = library[name] end
    return out
end

local function not_here(name)
    return function() error(name .. " is not for rules: the same rows would not give the same answer twice", 2) end
end

local libraries = {
    string = only(string, "byte char find format gmatch gsub len lower match rep reverse sub upper"),
    math = only(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi " ..
        "pow rad sin sinh sqrt tan tanh"),
    bit = only(bit, "tobit tohex bnot band bor bxor lshift rshift arshift rol ror bswap"),
    table = {
        concat = function(t, ...) return concat(thaw(t), ...) end,
        maxn = function(t) return maxn(thaw(t)) end,
        insert = function(t, ...) return insert(tables_only(t, "table.insert"), ...) end,
        remove = function(t, ...) return remove(tables_only(t, "table.remove"), ...) end,
        sort = function(t, ...)
            mind_the_stack()
            return sort(tables_only(t, "table.sort"), ...)
        end,
        move = function(from, first, last, at, to)
            to = tables_only(to or from, "table.move")
            return move(thaw(from), first, last, at, to)
        end,
    },
}
local gsub, format = string.gsub, string.format
function libraries.string.gsub(s, pattern, by, n)
    if type(by) ~= "string" then mind_the_stack() end
    if is_frozen(by) then
        local stand_in = by
        by = function(k) return stand_in[k] end
    end
    return gsub(s, pattern, by, n)
end
function libraries.string.format(...)
    mind_the_stack()
    return format(...)
end
libraries.math.random, libraries.math.randomseed = not_here "math.random", not_here "math.randomseed"
for name, library in next, libraries do base[name] = freeze(library) end

-- Strings have methods, all states of a string share their metatable, and `getmetatable("").__index` is the classic way
-- out of a sandbox: so its index is the list above, read-only, and the metatable itself is out of reach.
do
    local meta = debug.getmetatable ""
    meta.__index, meta.__metatable = libraries.string, false
end

-- One more word, from another part of the program.
function sandbox.provide(name, value) base[name] = value end

-- The words as a new table.
function sandbox.environment(_)
    local env = {}
    for name, value in next, base do env[name] = value end
    return env
end

-- A chunk with that environment, from text: bytecode can do to the process what it likes, so it is not taken.
-- nil and a message where it is not a chunk.
function sandbox.load(text, chunkname, env)
    if text:byte(1) == 27 then return nil, (chunkname:gsub("^[@=]", "")) .. ":1: this is bytecode, not the text of a rule" end
    return load(text, chunkname, "t", env)
end

return sandbox
