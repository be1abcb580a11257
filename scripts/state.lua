-- state: the values that `process` keeps for a key, as bytes and back.
-- Equal values give equal bytes (keys sorted, numbers before strings), so a state that did not change is not written
-- again. A table whose keys are 1..n is written as a list; other tables may have strings and numbers as keys. What comes
-- back is plain tables: a row or a timestamp that was put there has become a table or stays a timestamp.

local ffi = require "ffi"
local row = require "row"
local sandbox = require "sandbox"

local state = {}

local FALSE, TRUE, NUMBER, SMALL, STRING, SHORT, LIST, MAP, TIME, NUMBERS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local DEPTH = 64

local sort, floor = table.sort, math.floor
local new_table = require "table.new"

-- ---- a growing buffer of bytes ----

local buffer = {}
buffer.__index = buffer

function state.buffer(size)
    return setmetatable({ at = ffi.new("uint8_t[?]", size or 4096), cap = size or 4096, len = 0 }, buffer)
end

local function grow(b, need)
    local cap = b.cap
    while cap < need do cap = cap * 2 end
    local at = ffi.new("uint8_t[?]", cap)
    ffi.copy(at, b.at, b.len)
    b.at, b.cap = at, cap
end

local scalar = ffi.new "union { double d; uint32_t u; int32_t i; int64_t l; uint8_t bytes[8]; }"

function buffer.u8(b, v)
    local len = b.len
    if len + 1 > b.cap then grow(b, len + 1) end
    b.at[len] = v
    b.len = len + 1
end

function buffer.u32(b, v)
    local len = b.len
    if len + 4 > b.cap then grow(b, len + 4) end
    scalar.u = v
    ffi.copy(b.at + len, scalar, 4)
    b.len = len + 4
end

function buffer.i64(b, v)
    local len = b.len
    if len + 8 > b.cap then grow(b, len + 8) end
    scalar.l = v
    ffi.copy(b.at + len, scalar, 8)
    b.len = len + 8
end

function buffer.double(b, v)
    local len = b.len
    if len + 8 > b.cap then grow(b, len + 8) end
    scalar.d = v
    ffi.copy(b.at + len, scalar, 8)
    b.len = len + 8
end

function buffer.bytes(b, s)
    local len, n = b.len, #s
    if len + n > b.cap then grow(b, len + n) end
    ffi.copy(b.at + len, s, n)
    b.len = len + n
end

-- Overwrites a u32 that was written as a place holder.
function buffer.patch(b, pos, v)
    scalar.u = v
    ffi.copy(b.at + pos, scalar, 4)
end

-- ---- writing ----

local function compare(a, b)
    local ka, kb = type(a), type(b)
    if ka ~= kb then return ka == "number" end
    return a < b
end

local write

local function write_string(b, s)
    if #s < 256 then
        b:u8(SHORT)
        b:u8(#s)
    else
        b:u8(STRING)
        b:u32(#s)
    end
    b:bytes(s)
end

local function write_number(b, v)
    if v == floor(v) and v > -2147483648 and v < 2147483648 and not (v == 0 and 1 / v < 0) then
        b:u8(SMALL)
        b:u32(v < 0 and v + 4294967296 or v)
    else
        b:u8(NUMBER)
        b:double(v)
    end
end

-- Whether the keys are 1..n; raises for a key that cannot be kept.
local function is_list(t, n)
    local count = 0
    for k in next, t do
        local kind = type(k)
        if kind == "string" then return false end
        if kind ~= "number" then error("a key of state must be a string or a number, not a " .. sandbox.type(k), 0) end
        if k < 1 or k > n or k ~= floor(k) then return false end
        count = count + 1
    end
    return count == n and (n > 0 or debug.getmetatable(t) == sandbox.array)
end

local doubles = ffi.typeof "double *"

-- A list of numbers alone is its numbers in a row. Gives false, with nothing written, where it is none.
local function write_numbers(b, t, n)
    for i = 1, n do
        if type(t[i]) ~= "number" then return false end
    end
    b:u8(NUMBERS)
    b:u32(n)
    local len = b.len
    if len + 8 * n > b.cap then grow(b, len + 8 * n) end
    local p = ffi.cast(doubles, b.at + len)
    for i = 1, n do p[i - 1] = t[i] end
    b.len = len + 8 * n
    return true
end

local function write_list(b, t, n, depth)
    if n >= 4 and write_numbers(b, t, n) then return end
    b:u8(LIST)
    b:u32(n)
    for i = 1, n do write(b, t[i], depth + 1) end
end

local function write_table(b, t, depth)
    if depth > DEPTH then error("state is nested too deep, or a table in it contains itself", 0) end
    local n = #t
    if is_list(t, n) then return write_list(b, t, n, depth) end
    local keys, count = {}, 0
    for k in next, t do
        local kind = type(k)
        if kind ~= "string" and kind ~= "number" then
            error("a key of state must be a string or a number, not a " .. sandbox.type(k), 0)
        end
        count = count + 1
        keys[count] = k
    end
    if count > 1 then sort(keys, compare) end
    b:u8(MAP)
    b:u32(count)
    for i = 1, count do
        local k = keys[i]
        if type(k) == "string" then write_string(b, k) else write_number(b, k) end
        write(b, t[k], depth + 1)
    end
end

write = function(b, v, depth)
    local kind = type(v)
    if kind == "number" then write_number(b, v)
    elseif kind == "string" then write_string(b, v)
    elseif kind == "boolean" then b:u8(v and TRUE or FALSE)
    elseif kind == "table" then write_table(b, v, depth)
    elseif kind == "userdata" then write(b, sandbox.thaw(v), depth)
    elseif kind == "cdata" and row.is_timestamp(v) then
        b:u8(TIME)
        b:double(row.ms(v))
    elseif kind == "cdata" and row.is(v) then write_table(b, row.table(v), depth)
    else error("state cannot keep a " .. sandbox.type(v), 0) end
end

-- The table's bytes into a buffer; an empty one has none.
function state.write(b, t)
    if next(t) ~= nil then write_table(b, t, 1) end
end

-- ---- reading ----

local pointer, numbers = ffi.typeof "const uint8_t *", ffi.typeof "const double *"
local read

local function read_scalar(p, pos, n)
    ffi.copy(scalar, p + pos, n)
    return pos + n
end

read = function(p, pos)
    local tag = p[pos]
    pos = pos + 1
    if tag == SMALL then
        pos = read_scalar(p, pos, 4)
        return tonumber(scalar.i), pos
    elseif tag == NUMBER then
        pos = read_scalar(p, pos, 8)
        return scalar.d, pos
    elseif tag == SHORT then
        local n = p[pos]
        return ffi.string(p + pos + 1, n), pos + 1 + n
    elseif tag == STRING then
        pos = read_scalar(p, pos, 4)
        local n = scalar.u
        return ffi.string(p + pos, n), pos + n
    elseif tag == TRUE then return true, pos
    elseif tag == FALSE then return false, pos
    elseif tag == TIME then
        pos = read_scalar(p, pos, 8)
        return row.timestamp(scalar.d), pos
    end
    pos = read_scalar(p, pos, 4)
    local n = scalar.u
    local t = tag == MAP and {} or new_table(n, 0)
    if tag == LIST then
        for i = 1, n do t[i], pos = read(p, pos) end
        return n == 0 and setmetatable(t, sandbox.array) or t, pos
    end
    if tag == NUMBERS then
        local d = ffi.cast(numbers, p + pos)
        for i = 1, n do t[i] = d[i - 1] end
        return t, pos + 8 * n
    end
    if tag ~= MAP then error("state was written by another version", 0) end
    for _ = 1, n do
        local k, v
        k, pos = read(p, pos)
        v, pos = read(p, pos)
        t[k] = v
    end
    return t, pos
end

-- A new table from len bytes at a pointer.
function state.read(at, len)
    if len == 0 then return {} end
    local t = read(ffi.cast(pointer, at), 0)
    return t
end

-- The same as Lua strings.
function state.encode(t)
    local b = state.buffer(64)
    state.write(b, t)
    return ffi.string(b.at, b.len)
end

function state.decode(s) return state.read(s, #s) end

return state
