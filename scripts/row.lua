-- row: how Lua sees the rows of a batch.
-- A row is a small struct, (batch, number), whose index operation reads the cell by FFI, so a rule's function compiles to
-- loads from the columns; no table is made per record. Below are the drivers of the questions over rows (script_where and
-- its sisters), which C calls with a rows_arg_t.

local ffi = require "ffi"
local host = require "host"
local door = require "door"
local sandbox = require "sandbox"
local atoms = require "atoms"
local DOWN, FROM = atoms.DOWN, atoms.FROM

-- As in engine/cell.h, batch.h, buf.h and script_api.h; a spec compares sizes and offsets.
-- Fields of row_t begin with a byte that is not UTF-8, so no column can have their name.
ffi.cdef((([[
typedef struct slice { const char *s; size_t len; } slice_t;
typedef struct arena arena_t;
typedef struct sym { uint32_t id, len, body_len, hash; const char *bytes; const char *body; } sym_t;
typedef struct cell {
    uint8_t kind, flags;
    uint16_t spare;
    uint32_t len;
    const char *raw;
    union { int64_t i; double d; const sym_t *sym; } u;
} cell_t;
typedef struct origin {
    int64_t time, offset;
    int32_t topic, partition;
    uint32_t tick, flags;
    slice_t key, value;
} origin_t;
typedef struct column { const cell_t *cells; const uint32_t *map; } column_t;
typedef struct batch {
    uint32_t n, n_origins, n_columns, open;
    const uint32_t *origin, *sub;
    const origin_t *origins;
    const column_t *columns;
    const char *const *names;
} batch_t;
typedef struct known_symbol { const sym_t *sym; uint32_t hash, spare; } known_symbol_t;
typedef struct rows_arg {
    const batch_t *rows;
    uint8_t *pass;
    cell_t *out;
    arena_t *arena;
    const uint32_t *some;
    volatile int32_t *at;
    int32_t first, n, layout, format;
} rows_arg_t;
typedef struct row { const batch_t *@b; const char *@label; uint32_t @i; int32_t @layout; } row_t;
typedef struct opened { const batch_t *@b; const cell_t *@cell; uint32_t @i; int32_t @node; } opened_t;
typedef struct timestamp { double @ms; } timestamp_t;

int script_stack_deep(void);
int script_layout(const batch_t *b);
void script_lookup(const batch_t *b, const char *name, size_t len, uint32_t row, cell_t *out);
double script_number(const cell_t *c);
void script_text(const cell_t *c, slice_t *out);
void script_put_string(arena_t *a, cell_t *out, const char *s, size_t len);
void script_put_json(arena_t *a, cell_t *out, const char *s, size_t len);
]]):gsub("@", "\255")))

local C = ffi.C
local FALSE, TRUE, INT, NUM, NUMRAW, SYM, STR, JSON = 1, 2, 3, 4, 5, 6, 7, 8
local ESCAPED, TIME = 1, 4
local SYMBOLS = 65536
local LARGEST = 2 ^ 53

local band, rshift = bit.band, bit.rshift
local floor, abs, huge = math.floor, math.abs, math.huge
local tonumber, type = tonumber, type

local row = {}

-- ---- reading a cell ----

local known = ffi.cast("known_symbol_t *", host.symbols)
local strings = {}

local function symbol(sym)
    local id = sym.id
    if id >= SYMBOLS then return ffi.string(sym.bytes, sym.len) end
    local k = known[id]
    if k.sym == sym and k.hash == sym.hash then return strings[id + 1] end
    local s = ffi.string(sym.bytes, sym.len)
    strings[id + 1] = s
    k.sym, k.hash = sym, sym.hash
    return s
end

local slice = ffi.new "slice_t"
-- The nested value read last: `for i = 1, #r.list do ... r.list[i]` decodes once.
local last_raw, last_row, last_value = nil, -1, nil
local last = {}     -- the same, of the C function that reads rows where nothing is compiled

local function rare(cell, i)
    local kind = cell.kind
    if kind == NUMRAW then return C.script_number(cell) end
    if kind == STR then
        C.script_text(cell, slice)
        return ffi.string(slice.s, slice.len)
    end
    if kind == JSON then
        if last_raw == cell.raw and last_row == i then return last_value end
        local value = host.decode(cell + 0)
        last_raw, last_row, last_value = cell.raw, i, value
        return value
    end
    return nil
end

-- cell: a pointer. i: the row, or nil.
local function value_of(cell, i)
    local kind = cell.kind
    if kind == SYM then return symbol(cell.u.sym) end
    if kind == INT then return tonumber(cell.u.i) end
    if kind == NUM then return cell.u.d end
    if kind == TRUE then return true end
    if kind == FALSE then return false end
    if kind == 0 then return nil end
    if kind == STR and band(cell.flags, ESCAPED) == 0 then return ffi.string(cell.raw, cell.len) end
    return rare(cell, i)
end
row.value = value_of

-- Nested values are read anew from here on: what one function did to a table shows in no other.
function row.forget()
    last_raw, last_value = nil, nil
    last[1], last[3] = nil, nil
end

-- ---- rows ----

-- By layout number: column name -> number, from 0.
local layouts = {}
row.layouts = layouts

function row.learn(layout, batch)
    if layouts[layout] then return end
    local columns, names = {}, {}
    for i = 0, batch.n_columns - 1 do
        local name = ffi.string(batch.names[i])
        columns[name] = i
        names[i + 1] = name
    end
    layouts[layout] = columns
    row.names[layout] = names
end
row.names = {}

-- Nested values of which a function reads nothing but members by constant names (uses.lua) are never made into tables for it: it
-- sees its rows by a layout of its own, in which such a column, and each member on the way, is marked as opened. The members
-- are columns of the batch. Opened is only what is an object; anything else that stands there is read as ever.
local OPENED = 65536            -- a column's number in a layout, plus this times the number of its node
local OPENED_MOST = 32767
local nodes = {}                -- node -> member's name -> number of its column, again opened or not
local own_layouts = {}          -- paths -> layout -> the function's own
local n_own = 1000000           -- beyond all that C gives out

-- The columns of these paths in a batch of that layout, as nodes; nil: it does not have them.
local function open_columns(layout, paths)
    local columns, below = layouts[layout], {}
    for _, path in ipairs(paths) do
        if not columns[path] or #nodes >= OPENED_MOST then return nil end
        local above, name = path:match("^(.*)" .. DOWN .. "(.*)$")
        if not columns[above] then return nil end
        below[above] = below[above] or {}
        below[above][name] = path
    end
    local function number(path)
        if not below[path] then return columns[path] end
        local members = {}
        nodes[#nodes + 1] = members
        local node = #nodes
        for name, member in pairs(below[path]) do members[name] = number(member) end
        return columns[path] + node * OPENED
    end
    local out = {}
    for name in pairs(columns) do
        if name ~= FROM and not name:find(DOWN, 1, true) then out[name] = number(name) end
    end
    return out
end

-- The layout by which a function with such paths sees rows of that layout.
function row.own_layout(paths, layout, batch)
    local of = own_layouts[paths]
    if not of then
        of = {}
        own_layouts[paths] = of
    end
    if of[layout] then return of[layout] end
    row.learn(layout, batch)
    local columns = open_columns(layout, paths)
    if columns then
        n_own = n_own + 1
        layouts[n_own] = columns
        of[layout] = n_own
    else
        of[layout] = layout
    end
    return of[layout]
end

local found = ffi.new "cell_t[1]"

-- Counts reads of `_label`: row patterns must know which conditions look at labels.
local label_reads = ffi.new "int32_t[1]"
row.label_reads = label_reads

local new_opened

-- number: of a column in a layout. The value of that column in row i.
local function read(b, i, number)
    if number < OPENED then
        local c = b.columns[number]
        return value_of(c.cells + c.map[i], i)
    end
    local c = b.columns[band(number, OPENED - 1)]
    local cell = c.cells + c.map[i]
    if cell.kind == JSON and cell.raw[0] == 123 then -- an object
        local o = new_opened()
        o["\255b"], o["\255cell"], o["\255i"], o["\255node"] = b, cell, i, rshift(number, 16)
        return o
    end
    return value_of(cell, i)
end

-- Names that are no column: facts of the origin, or a member of the record of an open batch.
local function other(r, name)
    if type(name) ~= "string" then return nil end
    local b, i = r["\255b"], r["\255i"]
    local number = layouts[r["\255layout"]][name]
    if number then return read(b, i, number) end -- an opened one, where nothing is compiled
    if name == "_time" then return tonumber(b.origins[b.origin[i]].time) end
    if name == "_label" then
        label_reads[0] = label_reads[0] + 1
        return r["\255label"] ~= nil and ffi.string(r["\255label"]) or nil
    end
    if name == "_offset" then return tonumber(b.origins[b.origin[i]].offset) end
    if name == "_partition" then return b.origins[b.origin[i]].partition end
    if b.open == 0 then return nil end
    C.script_lookup(b, name, #name, i, found)
    return value_of(found + 0, i)
end

local function index(r, name)
    local number = layouts[r["\255layout"]][name]
    if number then return read(r["\255b"], r["\255i"], number) end
    return other(r, name)
end

-- Functions do nothing with it but ask for members that are columns, or whether it is there.
new_opened = ffi.metatype("opened_t", {
    __index = function(o, name)
        local number = nodes[o["\255node"]][name]
        if number then return read(o["\255b"], o["\255i"], number) end
        return host.decode(o["\255cell"])[name]
    end,
    __newindex = function(_, name) error(("a row cannot be changed (member '%s')"):format(tostring(name)), 2) end,
    __eq = function() return false end,
    __tostring = function() return "table" end,
})

local row_plain, timestamp_plain = ffi.typeof "row_t", ffi.typeof "timestamp_t"

local function is_row(v) return ffi.istype(row_plain, v) end
row.is = is_row

local row_t = ffi.metatype("row_t", {
    __index = host.compiled and index or host.indexer(layouts, strings, other, last),
    __newindex = function(_, name) error(("a row cannot be changed (column '%s')"):format(tostring(name)), 2) end,
    __eq = function(a, b)
        return is_row(a) and is_row(b) and a["\255b"] == b["\255b"] and a["\255i"] == b["\255i"]
    end,
    __tostring = function() return "row" end,
})

-- A row of its own; row.bind moves it.
function row.new() return row_t() end

-- batch: a pointer to a batch_t. Returns r.
function row.bind(r, batch, i)
    local layout = C.script_layout(batch)
    if not layouts[layout] then row.learn(layout, batch) end
    r["\255b"], r["\255layout"], r["\255i"], r["\255label"] = batch, layout, i, nil
    return r
end

-- Another row of the same batch; label: a C string that outlives r, or nil.
function row.move(r, i, label)
    r["\255i"], r["\255label"] = i, label
    return r
end

-- All columns of a row as a plain table (of an open batch: all members of its record, too). The facts of a row that are
-- asked for by name, `_time` and `_from`, are none.
function row.table(r)
    local out = {}
    local b, i = r["\255b"], r["\255i"]
    if b.open ~= 0 then
        local value = b.origins[b.origin[i]].value
        if value.s ~= nil then
            for k, v in pairs(host.parse(ffi.string(value.s, value.len))) do out[k] = v end
        end
    end
    for name, number in pairs(layouts[r["\255layout"]]) do
        if name ~= FROM and not name:find(DOWN, 1, true) then out[name] = read(b, i, band(number, OPENED - 1)) end
    end
    return out
end

-- ---- timestamps ----

local function ms_of(v) return type(v) == "cdata" and ffi.istype(timestamp_plain, v) and v["\255ms"] or v end

-- A number that is written as a point in time. It goes on being a number where it is calculated with.
local timestamp_t = ffi.metatype("timestamp_t", {
    __add = function(a, b) return ms_of(a) + ms_of(b) end,
    __sub = function(a, b) return ms_of(a) - ms_of(b) end,
    __mul = function(a, b) return ms_of(a) * ms_of(b) end,
    __div = function(a, b) return ms_of(a) / ms_of(b) end,
    __mod = function(a, b) return ms_of(a) % ms_of(b) end,
    __unm = function(a) return -a["\255ms"] end,
    __eq = function(a, b) return ms_of(a) == ms_of(b) end,
    __lt = function(a, b) return ms_of(a) < ms_of(b) end,
    __le = function(a, b) return ms_of(a) <= ms_of(b) end,
    __concat = function(a, b) return tostring(a) .. tostring(b) end,
    __tostring = function(a) return ("%.0f"):format(a["\255ms"]) end,
    __index = function() return nil end,
    __newindex = function() error("a timestamp cannot be changed", 2) end,
})
row.is_timestamp = function(v) return ffi.istype(timestamp_t, v) end
row.ms = ms_of

function row.timestamp(v)
    if v == nil then return nil end
    v = ms_of(v)
    if type(v) ~= "number" then error("timestamp() takes a number of milliseconds, not a " .. sandbox.type(v), 2) end
    return timestamp_t(v)
end

-- ---- writing a cell ----

-- v as a cell. Tables, frozen tables and rows are put by `nested(i, v)`.
local function put(out, v, arena)
    local kind = type(v)
    if kind == "number" then
        if v == floor(v) and abs(v) <= LARGEST then
            out.kind, out.flags, out.len, out.raw, out.u.i = INT, 0, 0, nil, v
        elseif v == v and abs(v) ~= huge then
            out.kind, out.flags, out.len, out.raw, out.u.d = NUM, 0, 0, nil, v
        else
            out.kind, out.flags = 0, 0
        end
    elseif kind == "string" then
        C.script_put_string(arena, out, v, #v)
    elseif kind == "boolean" then
        out.kind, out.flags = v and TRUE or FALSE, 0
    elseif v == nil then
        out.kind, out.flags = 0, 0
    elseif kind == "cdata" and ffi.istype(timestamp_t, v) then
        out.kind, out.flags, out.len, out.raw, out.u.i = INT, TIME, 0, nil, v["\255ms"]
    else
        return false
    end
    return true
end

-- Any value as a cell whose text lives in the arena. Raises where the value has no JSON form.
function row.put(out, v, arena)
    if put(out, v, arena) then return end
    local json = host.encode(v)
    C.script_put_json(arena, out, json, #json)
end

sandbox.row_table = function(v)
    if is_row(v) then return row.table(v) end
    error(("a table is needed, not a %s"):format(row.is_timestamp(v) and "timestamp" or "value of the program"), 3)
end
sandbox.number_of = ms_of
sandbox.stack_is_deep = function() return C.script_stack_deep() ~= 0 end
sandbox.provide("timestamp", row.timestamp)
sandbox.provide("log", function(level, text)
    if text == nil then level, text = "info", level end
    host.log(level, sandbox.tostring(text))
end)

-- What a userdata or cdata stands for, for C: a table, or milliseconds and true.
host.keep("unwrap", function(v)
    if type(v) == "userdata" then return sandbox.thaw(v), false end
    if ffi.istype(timestamp_t, v) then return v["\255ms"], true end
    if ffi.istype(row_t, v) then return row.table(v), false end
    return nil, false
end)
host.keep("array", sandbox.array)

-- ---- drivers ----

-- Each evaluation gets a row of its own: compiled code never makes it, for it can see that nobody keeps it.
local begin = [[
local fn, ffi, row, put, host = ...
local rows_arg = ffi.typeof "rows_arg_t *"
local learn, forget, layouts, own_layout = row.learn, row.forget, row.layouts, row.own_layout
local new = row.new
local paths = row.paths(fn)
local function start(a)
    if not layouts[a.layout] then learn(a.layout, a.rows) end
    forget()
    return a.rows, paths and own_layout(paths, a.layout, a.rows) or a.layout
end
]]

if host.compiled then

door.template("row.where", begin .. [[
return function(arg)
    local a = ffi.cast(rows_arg, arg)
    local rows, layout = start(a)
    local pass, at = a.pass, a.at
    for i = a.first, a.n - 1 do
        at[0] = i
        local r = new()
        r["\255b"], r["\255layout"], r["\255i"] = rows, layout, i
        if fn(r) then pass[i] = 1 else pass[i] = 0 end
    end
end]], ffi, row, put, host)

door.template("row.where_some", begin .. [[
return function(arg)
    local a = ffi.cast(rows_arg, arg)
    local rows, layout = start(a)
    local pass, at, some = a.pass, a.at, a.some
    for k = a.first, a.n - 1 do
        at[0] = k
        local i = some[k]
        local r = new()
        r["\255b"], r["\255layout"], r["\255i"] = rows, layout, i
        if fn(r) then pass[i] = 1 else pass[i] = 0 end
    end
end]], ffi, row, put, host)

door.template("row.map", begin .. [[
return function(arg)
    local a = ffi.cast(rows_arg, arg)
    local rows, layout = start(a)
    local out, at, arena = a.out, a.at, a.arena
    for i = a.first, a.n - 1 do
        at[0] = i
        local r = new()
        r["\255b"], r["\255layout"], r["\255i"] = rows, layout, i
        local v = fn(r)
        if not put(out + i, v, arena) then host.put(i, v) end
    end
end]], ffi, row, put, host)

door.template("row.table", begin .. [[
local is_row = row.is
return function(arg)
    local a = ffi.cast(rows_arg, arg)
    local rows, layout = start(a)
    local at, out = a.at, a.out
    for i = a.first, a.n - 1 do
        at[0] = i
        local r = new()
        r["\255b"], r["\255layout"], r["\255i"] = rows, layout, i
        local v = fn(r)
        if type(v) == "table" or type(v) == "userdata" or is_row(v) then
            host.put(i, v)
            if out[i].raw[0] == 91 then error("select gave a list where a table with names is needed", 0) end
        else
            error("select gave a " .. row.type(v) .. " where a table is needed", 0)
        end
    end
end]], ffi, row, put, host)

else
    -- Without compiled code one row serves all, and C does the loop.
    local ask = host.asker(function(v) return row.is_timestamp(v) and ms_of(v) or nil end)
    for _, kind in ipairs { "where", "where_some", "map", "table" } do
        door.template("row." .. kind, begin .. [[
local ask, kind = select(6, ...)
local r = new()
return function(arg)
    local a = ffi.cast(rows_arg, arg)
    r["\255b"], r["\255layout"] = start(a)
    ask(fn, r, kind)
end]], ffi, row, put, host, ask, kind)
    end
end

-- fn: {init =, step =}. What was folded so far stays here while C notes an error and goes on with the next row. A step may
-- have changed a table before it raised: the rows since `clean` are folded again, without the one that raised. The last of
-- the n places is the result's.
door.template("row.fold", begin .. [[
local step, init, copy = fn.step, fn.init, row.copy
local folded, clean, since
local function fold(rows, layout, from, to, at)
    local v = folded
    for i = from, to do
        if at then at[0] = i end
        local r = new()
        r["\255b"], r["\255layout"], r["\255i"] = rows, layout, i
        v = step(v, r)
        folded = v
    end
end
return function(arg)
    local a = ffi.cast(rows_arg, arg)
    local rows, layout = start(a)
    local at, first, last = a.at, a.first, a.n - 1
    if first == 0 then
        folded, clean, since = copy(init), init, 0
    elseif type(folded) == "table" or type(clean) == "table" then
        at[0] = first
        folded = copy(clean)
        fold(rows, layout, since, first - 2)
        clean, since = copy(folded), first
    else
        clean, since = folded, first
    end
    fold(rows, layout, first, last - 1, at)
    at[0] = last
    local v = folded
    folded, clean = nil, nil
    if not put(a.out, v, a.arena) then host.put(0, v) end
end]], ffi, row, put, host)

row.paths = door.paths
row.type = sandbox.type
row.copy = sandbox.copy

return row
