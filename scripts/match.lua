-- match: what conditions and measures of row patterns see (`m`), and the loop that asks them.
--
-- C asks one question at a time through a match_turn_t (engine/match.h); the driver answers it and asks for the next
-- one, so that many rows are matched in one call, in code compiled for the rule. Rows are numbered as in turn.rows.

local ffi = require "ffi"
local door = require "door"
local host = require "host"
local row = require "row"

ffi.cdef [[
typedef struct match_turn {
    void *match;
    const batch_t *rows;
    const uint16_t *labels;
    const char *const *names;
    const char *const *subset_names;
    const int32_t *subset_sizes;
    const int32_t *subset_members;
    arena_t *arena;
    cell_t *out;
    volatile int32_t *at;
    int32_t n_names, n_subsets;
    int32_t what, fn;
    int32_t layout;
    int32_t start;
    int32_t low;
    int32_t end_;
    int32_t current;
    int32_t n, n_final;
    int32_t finished;
    int32_t lookback;
    double number;
    int32_t holds, more, looked;
} match_turn_t;
int match_turn(match_turn_t *t);
void match_text(match_turn_t *t, const char *column, size_t len, int32_t row, slice_t *out);
]]

-- The part that depends on the rule: which labels a variable or subset stands for.
local vocabulary = {}

local EVERY = {}          -- "*"

-- name -> label, or a set of labels, or EVERY.
function vocabulary.of(turn)
    local known, names = { ["*"] = EVERY }, {}
    for i = 0, turn.n_names - 1 do
        local name = ffi.string(turn.names[i])
        known[name], names[#names + 1] = i, name
    end
    local at = 0
    for i = 0, turn.n_subsets - 1 do
        local set = {}
        for k = 0, turn.subset_sizes[i] - 1 do set[turn.subset_members[at + k]] = true end
        at = at + turn.subset_sizes[i]
        known[ffi.string(turn.subset_names[i])] = set
    end
    return known, names
end

-- For a name that is none.
function vocabulary.wrong(name, names)
    if type(name) ~= "string" then
        error(("expected a variable of the pattern, got %s"):format(row.type(name)), 0)
    end
    error(("`%s` is no variable of the pattern (%s)"):format(name, table.concat(names, ", ")), 0)
end

door.template("match.run", [[
local _, ffi, row, host, door, vocabulary, EVERY = ...
local C = ffi.C
local turn_t = ffi.typeof "match_turn_t *"
local CONDITION, HISTORY, NUMBER = 1, 1, 2
local FURTHEST = 100000
local band = bit.band
local new_row, learn, layouts, forget, value_put, label_reads = row.new, row.learn, row.layouts, row.forget, row.put, row.label_reads
local floor, type = math.floor, type

local t, measures                   -- the turn; is the question a measure?
local known, names                  -- vocabulary, made at the first question
local functions = {}

local function caller_error(text) error(text, 0) end

local function labels_of(v)
    local set = known[v]
    if set == nil then vocabulary.wrong(v, names) end
    return set
end

local function offset_of(n, default)
    if n == nil then return default end
    if type(n) ~= "number" or n < 0 or n ~= floor(n) then caller_error "expected a number of rows: 0, 1, 2, ..." end
    return n
end

local function make(i)
    local r = new_row()
    r["\255b"], r["\255layout"], r["\255i"] = t.rows, t.layout, i
    local k = i - t.start
    if k >= 0 and k < t.n_final then r["\255label"] = t.names[band(t.labels[k], 0x7fff)] end
    return r
end

-- A row by its number, wherever it is in the partition.
local function physical(i)
    local current = t.current
    if i > current then
        if i < t.end_ then return make(i) end
        if t.finished ~= 0 then return nil end
        if i - current > FURTHEST then caller_error("a row more than " .. FURTHEST .. " rows ahead") end
        t.more = 1
        error("more", 0)
    end
    -- Whether a row that far back is there depends on where the attempt began.
    if current - i > t.lookback then t.looked = HISTORY end
    if i < t.low then return nil end
    return make(i)
end

local function count_of(set, n)
    local labels, found = t.labels, 0
    if set == EVERY then return n end
    if type(set) == "number" then
        for k = 0, n - 1 do if band(labels[k], 0x7fff) == set then found = found + 1 end end
    else
        for k = 0, n - 1 do if set[band(labels[k], 0x7fff)] then found = found + 1 end end
    end
    return found
end

-- Index in the match of the first or last row of a set, `skip` rows inwards; or nil.
local function first_of(set, skip, n)
    local labels = t.labels
    if set == EVERY then
        if skip < n then return skip end
        return nil
    end
    local one = type(set) == "number"
    for k = 0, n - 1 do
        local label = band(labels[k], 0x7fff)
        if one and label == set or not one and set[label] then
            if skip == 0 then return k end
            skip = skip - 1
        end
    end
    return nil
end

local function last_of(set, skip, n)
    local labels = t.labels
    if set == EVERY then
        if skip < n then return n - 1 - skip end
        return nil
    end
    local one = type(set) == "number"
    for k = n - 1, 0, -1 do
        local label = band(labels[k], 0x7fff)
        if one and label == set or not one and set[label] then
            if skip == 0 then return k end
            skip = skip - 1
        end
    end
    return nil
end

local reader = new_row()            -- for reading columns in the loops below

local function bind_reader() reader["\255b"], reader["\255layout"] = t.rows, t.layout end

local function count_values(set, column, n)
    bind_reader()
    local labels, start, found = t.labels, t.start, 0
    for k = 0, n - 1 do
        local label = band(labels[k], 0x7fff)
        if set == EVERY or set == label or type(set) == "table" and set[label] then
            reader["\255i"] = start + k
            if reader[column] ~= nil then found = found + 1 end
        end
    end
    return found
end

-- Sum and number of the values.
local function total_of(set, column, n)
    bind_reader()
    local labels, start, found, sum = t.labels, t.start, 0, 0
    for k = 0, n - 1 do
        local label = band(labels[k], 0x7fff)
        if set == EVERY or set == label or type(set) == "table" and set[label] then
            reader["\255i"] = start + k
            local v = reader[column]
            if v ~= nil then
                if type(v) ~= "number" then v = row.ms(v) end
                found, sum = found + 1, sum + v
            end
        end
    end
    return sum, found
end

local function best_of(set, column, n, greater)
    bind_reader()
    local labels, start = t.labels, t.start
    local best
    for k = 0, n - 1 do
        local label = band(labels[k], 0x7fff)
        if set == EVERY or set == label or type(set) == "table" and set[label] then
            reader["\255i"] = start + k
            local v = reader[column]
            if v ~= nil and (best == nil or greater and v > best or not greater and v < best) then best = v end
        end
    end
    return best
end

local function column_of(column)
    if type(column) ~= "string" then caller_error "expected the name of a column" end
    return column
end

local function at_index(k)
    if k == nil then return nil end
    return make(t.start + k)
end

local function count_to(v, column, n)
    t.looked = HISTORY
    local set = labels_of(v)
    if column == nil then return count_of(set, n) end
    return count_values(set, column_of(column), n)
end

local function sum_to(v, column, n)
    t.looked = HISTORY
    local sum, found = total_of(labels_of(v), column_of(column), n)
    if found == 0 then return nil end
    return sum
end

local function avg_to(v, column, n)
    t.looked = HISTORY
    local sum, found = total_of(labels_of(v), column_of(column), n)
    if found == 0 then return nil end
    return sum / found
end

local f = {}
function f.prev(n)
    if t.current < 0 then return nil end
    return physical(t.current - offset_of(n, 1))
end
function f.next_row(n)
    if t.current < 0 then return nil end
    return physical(t.current + offset_of(n, 1))
end
function f.first(v, i)
    t.looked = HISTORY
    return at_index(first_of(labels_of(v), offset_of(i, 0), t.n))
end
function f.last(v, i)
    t.looked = HISTORY
    return at_index(last_of(labels_of(v), offset_of(i, 0), t.n))
end
function f.count(v, column) return count_to(v, column, t.n) end
function f.sum(v, column) return sum_to(v, column, t.n) end
function f.avg(v, column) return avg_to(v, column, t.n) end
function f.min(v, column)
    t.looked = HISTORY
    return best_of(labels_of(v), column_of(column), t.n, false)
end
function f.max(v, column)
    t.looked = HISTORY
    return best_of(labels_of(v), column_of(column), t.n, true)
end

local text = ffi.new "slice_t"
function f.listagg(v, column, separator)
    t.looked = HISTORY
    local set, labels = labels_of(v), t.labels
    local parts = {}
    column_of(column)
    for k = 0, t.n - 1 do
        local label = band(labels[k], 0x7fff)
        if set == EVERY or set == label or type(set) == "table" and set[label] then
            C.match_text(t, column, #column, t.start + k, text)
            if text.s ~= nil then parts[#parts + 1] = ffi.string(text.s, text.len) end
        end
    end
    if #parts == 0 then return nil end
    return table.concat(parts, separator or ",")
end

function f.match_number()
    t.looked = bit.bor(t.looked, NUMBER)
    return t.number
end
function f.classifier(v)
    t.looked = HISTORY
    local k
    if v == nil then
        if t.current < 0 then return nil end
        k = t.n - 1
    else
        k = last_of(labels_of(v), 0, t.n)
    end
    if k == nil then return nil end
    return ffi.string(t.names[band(t.labels[k], 0x7fff)])
end
function f.rows(v)
    t.looked = HISTORY
    local set, labels, out = labels_of(v == nil and "*" or v), t.labels, {}
    for k = 0, t.n - 1 do
        local label = band(labels[k], 0x7fff)
        if set == EVERY or set == label or type(set) == "table" and set[label] then out[#out + 1] = make(t.start + k) end
    end
    return out
end

local function number_of(r)
    if not row.is(r) or r["\255b"] ~= t.rows then caller_error "expected a row of the match, such as m.first(\"A\")" end
    return r["\255i"]
end
function f.prev_of(r, n)
    if r == nil then return nil end
    return physical(number_of(r) - offset_of(n, 1))
end
function f.next_of(r, n)
    if r == nil then return nil end
    return physical(number_of(r) + offset_of(n, 1))
end

local function whole(name)
    if not measures then caller_error(name .. " is known to measures only: the match is not complete") end
    return t.n_final
end
function f.final_first(v, i) return at_index(first_of(labels_of(v), offset_of(i, 0), whole "final_first")) end
function f.final_last(v, i) return at_index(last_of(labels_of(v), offset_of(i, 0), whole "final_last")) end
function f.final_count(v, column) return count_to(v, column, whole "final_count") end
function f.final_sum(v, column) return sum_to(v, column, whole "final_sum") end
function f.final_avg(v, column) return avg_to(v, column, whole "final_avg") end

local m = setmetatable({}, {
    __index = f,
    __newindex = function() error("m cannot be changed", 2) end,
    __metatable = false,
})

local function start()
    known, names = vocabulary.of(t)
end

local function answer(fn)
    if t.layout < 0 then
        t.layout = C.script_layout(t.rows)
        if not layouts[t.layout] then learn(t.layout, t.rows) end
    end
    if t.what == CONDITION then
        measures = false
        label_reads[0] = 0
        local holds = fn(make(t.current), m)
        if label_reads[0] ~= 0 then t.looked = HISTORY end
        t.holds = holds == true and 1 or 0
    else
        measures = true
        local current
        if t.current >= 0 then current = make(t.current) end
        value_put(t.out, fn(m, current), t.arena)
    end
end

return function(arg)
    t = ffi.cast(turn_t, arg)
    if not known then start() end
    forget()
    repeat
        local id = t.fn
        local fn = functions[id]
        if not fn then
            fn = door.fn(id)
            functions[id] = fn
        end
        answer(fn)
    until C.match_turn(t) == 0
end]], ffi, row, host, door, vocabulary, EVERY)

return vocabulary
