-- The group operator under Lua, for specs: rules of a window from a table, rows and watermarks in, rows out.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("group", "aggregate", "store", "arena", "cell", "intern", "log", "mem")
local symbols = ffi.gc(lib.intern_new(1000, 1e6), lib.intern_free)

local group_engine = { lib = lib }

local WINDOWS = { tumble = lib.WINDOW_TUMBLE, hop = lib.WINDOW_HOP, cumulate = lib.WINDOW_CUMULATE, session = lib.WINDOW_SESSION,
                  record = lib.WINDOW_RECORD }
local AGGREGATES = { count_all = lib.AGG_COUNT_ALL, count = lib.AGG_COUNT, sum = lib.AGG_SUM, avg = lib.AGG_AVG, min = lib.AGG_MIN,
                     max = lib.AGG_MAX, first = lib.AGG_FIRST, last = lib.AGG_LAST, count_distinct = lib.AGG_COUNT_DISTINCT,
                     listagg = lib.AGG_LISTAGG, quantile = lib.AGG_QUANTILE, fold = lib.AGG_FOLD }
group_engine.KINDS = { [0] = "new", "update", "tombstone" }
group_engine.NEVER = ffi.cast("int64_t", -9223372036854775807LL - 1LL)
group_engine.FOREVER = ffi.cast("int64_t", 9223372036854775807LL)

-- C strings and arrays live as long as `keep`.
local function text(keep, s)
    local c = ffi.new("char[?]", #s + 1, s)
    keep[#keep + 1] = c
    return c
end

local function names(keep, list)
    local at = ffi.new("char *[?]", #list + 1)
    for i, s in ipairs(list) do at[i - 1] = text(keep, s) end
    keep[#keep + 1] = at
    return ffi.new("names_t", { at, #list })
end

-- spec: window = { kind =, size =, ... }, group_by = {...}, aggregates = { name = { kind =, column =, ... } }, lateness, early,
-- top = { n =, by =, desc = }, having (a number of the script), provenance.
function group_engine.rule(spec)
    local keep = {}
    local r = ffi.new "rule_t"
    keep[1] = r
    r.name = text(keep, spec.name or "r")
    ffi.copy(r.state_hash, "h")
    r.where, r.select_fn, r.having = -1, -1, spec.having or -1
    local w = r.window
    w.kind = WINDOWS[spec.window.kind]
    w.size, w.gap, w.step = spec.window.size or 0, spec.window.gap or 0, spec.window.step or 0
    w.slide, w.offset = spec.window.slide or spec.window.size or 0, spec.window.offset or 0
    r.group_by = names(keep, spec.group_by or {})
    local list = {}
    for name in pairs(spec.aggregates or {}) do list[#list + 1] = name end
    table.sort(list)
    local aggs = ffi.new("agg_spec_t[?]", #list + 1)      -- read back from the struct it would be a mere pointer
    keep[#keep + 1] = aggs
    r.aggs, r.n_aggs = aggs, #list
    for i, name in ipairs(list) do
        local a, from = r.aggs[i - 1], spec.aggregates[name]
        a.name, a.kind, a.arg.fn, a.fold = text(keep, name), AGGREGATES[from.kind], from.fn or -1, from.fold or -1
        if from.column then a.arg.column = text(keep, from.column) end
        a.separator, a.q = text(keep, from.separator or ","), from.q or 0
    end
    r.lateness, r.early, r.provenance = spec.lateness or 0, spec.early and 1 or 0, spec.provenance and 1 or 0
    if spec.top then
        r.top_n, r.top_by, r.top_desc = spec.top.n, text(keep, spec.top.by), spec.top.desc and 1 or 0
    end
    r.time_format = lib.TIME_EPOCH_MS
    return r, keep
end

local Runner = {}
Runner.__index = Runner

function group_engine.new(spec, store)
    local self = setmetatable({ spec = spec }, Runner)
    self.rule, self.keep = group_engine.rule(spec)
    self.store = store or ffi.gc(lib.store_new(spec.max_state or 0), lib.store_free)
    self.group = ffi.gc(lib.group_new(self.rule, self.store), lib.group_free)
    self.arena = ffi.gc(ffi.new "arena_t", lib.arena_fini)
    lib.arena_init(self.arena)
    self.stats = ffi.new "rule_stats_t"
    self.log = ffi.new "char[4096]"
    self.wm = group_engine.NEVER
    self.topics = ffi.new("const char *[3]", { text(self.keep, "t0"), text(self.keep, "t1") })
    return self
end

-- A Lua value as a cell: nil, booleans, numbers, strings, or { json = text } for a spelling.
local function cell(keep, out, v)
    if v == nil then
        out.kind = lib.CELL_NULL
    elseif type(v) == "boolean" then
        out.kind = v and lib.CELL_TRUE or lib.CELL_FALSE
    elseif type(v) == "number" and v == math.floor(v) and math.abs(v) < 2 ^ 53 then
        out.kind, out.u.i = lib.CELL_INT, v
    elseif type(v) == "number" then
        out.kind, out.u.d = lib.CELL_NUM, v
    elseif type(v) == "table" then
        local c = text(keep, v.json)
        ffi.copy(out, lib.cell_from_json(ffi.new("slice_t", { c, #v.json })), ffi.sizeof "cell_t")
    elseif v:byte(-1) and v:byte(-1) % 2 == 1 then       -- some strings interned, some not
        out.kind, out.u.sym = lib.CELL_SYM, lib.intern_bytes(symbols, v, #v)
    else
        out.kind, out.raw, out.len = lib.CELL_STR, text(keep, v), #v
    end
end

local function fresh(type, n) return ffi.new(type .. "[?]", n + 1) end

-- Column names of rows: everything that is no position.
local POSITION = { time = true, topic = true, partition = true, offset = true, sub = true, wm = true, same_tick = true, key = true }
local function columns_of(spec, events)
    local seen, list = {}, {}
    local function add(name)
        if not seen[name] then seen[name], list[#list + 1] = true, name end
    end
    for _, e in ipairs(events) do
        if e.time then
            for name in pairs(e) do if not POSITION[name] then add(name) end end
        end
    end
    for _, name in ipairs(spec.group_by or {}) do add(name) end
    for _, a in pairs(spec.aggregates or {}) do if a.column then add(a.column) end end
    table.sort(list)
    return list
end

-- events: rows { time =, partition =, offset =, ... columns } and watermarks { wm = }, each a tick (same_tick = true joins
-- a row to the tick before).
function Runner:stream(events, keep)
    local columns = columns_of(self.spec, events)
    local n, marks = 0, 0
    for _, e in ipairs(events) do if e.time then n = n + 1 else marks = marks + 1 end end
    local b, s = ffi.new "batch_t", ffi.new "stream_t"
    local origins, origin, sub = fresh("origin_t", n), fresh("uint32_t", n), fresh("uint32_t", n)
    local cols, map, mark = fresh("column_t", #columns), fresh("uint32_t", n), fresh("mark_t", marks)
    local cells, labels = {}, fresh("const char *", #columns)
    for i, name in ipairs(columns) do
        cells[i] = fresh("cell_t", n)
        cols[i - 1].cells, cols[i - 1].map, labels[i - 1] = cells[i], map, text(keep, name)
    end
    local row, m, tick, wm = 0, 0, -1, self.wm
    for _, e in ipairs(events) do
        if not e.same_tick then tick = tick + 1 end
        if e.time then
            local o = origins[row]
            o.time, o.topic, o.partition, o.offset, o.tick = e.time, e.topic or 0, e.partition or 0, e.offset or 0, tick
            if e.key then o.key = { text(keep, e.key), #e.key } end
            origin[row], sub[row], map[row] = row, e.sub or 0, row
            for i, name in ipairs(columns) do cell(keep, cells[i][row], e[name]) end
            row = row + 1
        elseif e.wm > wm then
            wm = ffi.cast("int64_t", e.wm)
            mark[m].wm, mark[m].tick = wm, tick
            m = m + 1
        end
    end
    b.n, b.n_origins, b.n_columns, b.origin, b.sub, b.origins, b.columns, b.names = n, n, #columns, origin, sub, origins, cols, labels
    s.batch, s.marks, s.n_marks, s.wm_before = b, mark, m, self.wm
    self.wm = wm
    for _, x in ipairs { b, s, origins, origin, sub, cols, map, mark, labels, cells } do keep[#keep + 1] = x end
    return s
end

local function rows_of(result)
    local list, b, out = {}, result.batch, engine.buf()
    for row = 0, b.n - 1 do
        local o = b.origins[b.origin[row]]
        local r = { _time = tonumber(o.time), _tick = o.tick, _offset = tonumber(o.offset), _sub = b.sub[row], _topic = o.topic,
                    _kind = group_engine.KINDS[result.kind ~= nil and result.kind[row] or 0] }
        if o.key.s ~= nil then r._key = engine.text(o.key) end
        for c = 0, b.n_columns - 1 do
            out.len = 0
            lib.cell_write(out, b.columns[c].cells + b.columns[c].map[row], lib.TIME_EPOCH_MS)
            r[ffi.string(b.names[c])] = engine.bytes(out)
        end
        list[#list + 1] = r
    end
    return list
end

-- One step: the rows that come out, each a table of JSON texts.
function Runner:run(events)
    local keep, s, out = {}, ffi.new "step_t", ffi.new "result_t"
    s.arena, s.store, s.stats, s.topics, s.script = self.arena, self.store, self.stats, self.topics, self.script
    s.task = self.report
    local status = lib.group_run(self.group, s, self:stream(events, keep), out)
    if status ~= 0 then return nil, status end
    local list = rows_of(out)
    lib.arena_reset(self.arena)
    keep[1] = nil
    return list
end

function Runner:columns(events)
    local keep, s, out = {}, ffi.new "step_t", ffi.new "result_t"
    s.arena, s.store, s.stats, s.topics = self.arena, self.store, self.stats, self.topics
    assert(lib.group_run(self.group, s, self:stream(events, keep), out) == 0)
    local list = {}
    for c = 0, out.batch.n_columns - 1 do list[c + 1] = ffi.string(out.batch.names[c]) end
    return list
end

-- What a restart leaves: the same group over a store that holds what this one would have written.
function Runner:restart()
    local fresh_store = ffi.gc(lib.store_new(0), lib.store_free)
    local sp = lib.store_next_space(self.store, nil)
    while sp ~= nil do
        local at = ffi.new "store_entry_t **[1]"
        for i = 0, tonumber(lib.space_sorted(sp, at)) - 1 do
            lib.store_restore(fresh_store, lib.space_name(sp), lib.entry_key(at[0][i]), lib.entry_value(at[0][i]))
        end
        lib.mem_free(at[0])
        sp = lib.store_next_space(self.store, sp)
    end
    local other = group_engine.new(self.spec, fresh_store)
    other.wm, other.stats, other.script = self.wm, self.stats, self.script
    lib.group_rebuild(other.group)
    return other
end

function Runner:commit() lib.store_commit(self.store) end

-- Back to the last commit, with the watermark of that time.
function Runner:abort(wm)
    lib.store_abort(self.store)
    lib.group_rebuild(self.group)
    self.wm = wm
end

return group_engine
