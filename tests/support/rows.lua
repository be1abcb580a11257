-- Batches and scripts through FFI, for specs of what asks rules something:
--
--   local rows = require "tests.support.rows"
--   local s = rows.open { time_ms = 100, memory = 64 }           -- a script_t; MB
--   local fn = rows.fn(s, "return function(r) return r.n > 2 end")
--   local batch = rows.batch { { n = 1 }, { n = 3, name = "x" } }   -- values as JSON text: rows.json "[1]"
--   local pass, errors = rows.where(s, fn, batch)                 -- { false, true }, 0, "file:line: ..."

require "tests.support.hooked"
local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("script", "intern", "batch", "arena", "mem")

local rows = { lib = lib }
local started = false
local json_mark = {}

function rows.json(text) return setmetatable({ text = text }, json_mark) end

function rows.open(options)
    options = options or {}
    local e = ffi.new "error_t"
    if not started then
        assert(lib.script_watchdog_start(e) == 0, ffi.string(e.text))
        started = true
    end
    local limits = ffi.new("script_limits_t", options.time_ms or 100, (options.memory or 64) * 2 ^ 20, options.jit == false and 0 or 1)
    local out = ffi.new "script_t *[1]"
    local rc = lib.script_open(out, limits, options.log, e)
    if rc ~= 0 then return nil, ffi.string(e.text) end
    return ffi.gc(out[0], lib.script_close)
end

function rows.close(s) lib.script_close(ffi.gc(s, nil)) end

-- The number of the function that the text returns; nil and the message where it does not load.
function rows.fn(s, text, memo_column, name)
    local e = ffi.new "error_t"
    local fn = lib.script_load_function(s, name or "test.lua", text, memo_column, e)
    if fn < 0 then return nil, ffi.string(e.text) end
    return fn
end

function rows.arena()
    local arena = ffi.gc(ffi.new "arena_t", function(a) lib.arena_fini(a) end)
    lib.arena_init(arena)
    return arena
end

function rows.intern(symbols) return ffi.gc(lib.intern_new(symbols or 100000, 2 ^ 26), lib.intern_free) end

local function cell_of(value, intern, keep)
    local c = ffi.new "cell_t"
    if value == nil then return c end
    if type(value) == "boolean" then
        c.kind = value and 2 or 1
    elseif type(value) == "number" then
        if value % 1 == 0 and math.abs(value) < 2 ^ 53 then
            c.kind, c.u.i = 3, value
        else
            c.kind, c.u.d = 4, value
        end
    elseif type(value) == "string" then
        local copy = engine.exact(value)
        keep[#keep + 1] = copy
        local sym = intern and lib.intern_bytes(intern, copy, #value) or nil
        if sym ~= nil then
            c.kind, c.u.sym = 6, sym
        else
            c.kind, c.raw, c.len = 7, copy, #value
        end
    elseif getmetatable(value) == json_mark then
        local copy = engine.exact(value.text)
        keep[#keep + 1] = copy
        return lib.cell_from_json(ffi.new("slice_t", { copy, #value.text }))
    end
    return c
end

-- list: rows as tables; options: intern (an intern_t: strings become symbols), columns (names, else all that occur),
-- times, open (record texts by row: an open batch). The batch keeps what it points to alive.
function rows.batch(list, options)
    options = options or {}
    local names, seen = options.columns or {}, {}
    if not options.columns then
        for _, row in ipairs(list) do
            for name in pairs(row) do
                if not seen[name] then
                    seen[name] = true
                    names[#names + 1] = name
                end
            end
        end
        table.sort(names)
    end
    local n = #list
    local keep = { options.intern }
    local function array(ctype, size)
        local a = ffi.new(ctype .. "[?]", math.max(size, 1))
        keep[#keep + 1] = a
        return a
    end
    local batch = ffi.new "batch_t"
    local origins, map = array("origin_t", n), array("uint32_t", n)
    local columns, texts = array("column_t", #names), array("const char *", #names)
    for i = 0, n - 1 do
        map[i] = i
        local o = origins[i]
        o.time, o.offset, o.partition = options.times and options.times[i + 1] or i * 1000, i, 3
        if options.open then
            local text = engine.exact(options.open[i + 1])
            keep[#keep + 1] = text
            o.value.s, o.value.len = text, #options.open[i + 1]
        end
    end
    for c, name in ipairs(names) do
        local cells = array("cell_t", n)
        for i = 1, n do cells[i - 1] = cell_of(list[i][name], options.intern, keep) end
        columns[c - 1].cells, columns[c - 1].map = cells, map
        local text = engine.exact(name .. "\0")
        keep[#keep + 1] = text
        texts[c - 1] = text
    end
    batch.n, batch.n_origins, batch.n_columns, batch.open = n, n, #names, options.open and 1 or 0
    batch.origin, batch.sub, batch.origins, batch.columns, batch.names = map, map, origins, columns, texts
    return ffi.gc(batch, function() keep = nil end)
end

local function told(errors)
    return errors.count, errors.count > 0 and ffi.string(errors.first) or nil, errors.first_row
end

-- { true, false, ... }, count of errors, the first one's text and row; nil and the reason after a runaway.
function rows.where(s, fn, batch)
    local pass, errors = ffi.new("uint8_t[?]", math.max(batch.n, 1)), ffi.new "eval_errors_t"
    local rc = lib.script_where(s, fn, batch, pass, errors)
    if rc ~= 0 then return nil, ffi.string(lib.script_error(s)), rc end
    local out = {}
    for i = 0, batch.n - 1 do out[i + 1] = pass[i] ~= 0 end
    return out, told(errors)
end

local function text_of(cell, format)
    local b = engine.buf()
    lib.cell_write(b, cell, format or 0)
    return engine.bytes(b)
end
rows.text_of = text_of

-- JSON texts of the results, else as where.
function rows.map(s, fn, batch, format)
    local out, errors, arena = ffi.new("cell_t[?]", math.max(batch.n, 1)), ffi.new "eval_errors_t", rows.arena()
    local rc = lib.script_map(s, fn, batch, arena, out, errors)
    if rc ~= 0 then return nil, ffi.string(lib.script_error(s)), rc end
    local texts = {}
    for i = 0, batch.n - 1 do texts[i + 1] = text_of(out + i, format) end
    return texts, told(errors)
end

function rows.table(s, fn, batch, format)
    local out, errors, arena = ffi.new("cell_t[?]", math.max(batch.n, 1)), ffi.new "eval_errors_t", rows.arena()
    local rc = lib.script_table(s, fn, batch, arena, format or 0, out, errors)
    if rc ~= 0 then return nil, ffi.string(lib.script_error(s)), rc end
    local texts = {}
    for i = 0, batch.n - 1 do texts[i + 1] = text_of(out + i, format) end
    return texts, told(errors)
end

function rows.fold(s, fn, batch)
    local out, errors, arena = ffi.new "cell_t[1]", ffi.new "eval_errors_t", rows.arena()
    local rc = lib.script_fold(s, fn, batch, arena, out, errors)
    if rc ~= 0 then return nil, ffi.string(lib.script_error(s)), rc end
    return text_of(out + 0), told(errors)
end

return rows
