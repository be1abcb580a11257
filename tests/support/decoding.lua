-- Records through the decoder, for specs: `decoding.new { columns = {"id"}, unnest = {"a[].b[]"}, ... }`, then
-- `:read { value, ... }` gives rows as JSON text per column, elements per path and what was refused.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("decode", "intern", "arena", "mem")

local decoding = {}
decoding.__index = decoding

local METAS = { timestamp = lib.META_TIMESTAMP, key = lib.META_KEY, topic = lib.META_TOPIC, partition = lib.META_PARTITION,
    offset = lib.META_OFFSET, headers = lib.META_HEADERS }

-- options: columns (names), metadata (name -> kind), unnest (paths), intern, event_time, unit, symbols, predict
function decoding.new(options)
    local self = setmetatable({ keep = { options } }, decoding)
    local names, columns = options.columns or {}, {}
    for _, name in ipairs(names) do columns[#columns + 1] = { name, -1 } end
    for name, kind in pairs(options.metadata or {}) do columns[#columns + 1] = { name, METAS[kind] } end
    local list = ffi.new("decode_column_t[?]", #columns + 1)
    for i, column in ipairs(columns) do
        list[i - 1].name, list[i - 1].meta, list[i - 1].intern = column[1], column[2], options.intern and 1 or 0
    end
    local paths = options.unnest or {}
    local unnests = ffi.new("decode_unnest_t[?]", #paths + 1)
    for i, path in ipairs(paths) do unnests[i - 1].path, unnests[i - 1].intern = path, options.intern and 1 or 0 end
    local spec = ffi.new("decode_spec_t", { list, #columns, unnests, #paths, options.event_time, options.unit or 1 })
    self.columns, self.paths = columns, paths
    self.intern = ffi.gc(lib.intern_new(options.symbols or 1000, 1e6), lib.intern_free)
    self.decoder = ffi.gc(lib.decoder_new(spec, self.intern), lib.decoder_free)
    if options.predict == false then lib.decoder_predict(self.decoder, 0) end
    self.arena = ffi.gc(ffi.new "arena_t", lib.arena_fini)
    return self
end

local scratch = engine.buf()
local function text_of(cell)
    scratch.len = 0
    lib.cell_write(scratch, cell, lib.TIME_ISO8601)
    return engine.bytes(scratch)
end

-- Every value stands in memory of its exact size. records: a value each, or a table {value=, timestamp=, key=, ...}.
function decoding:read(records, latest)
    lib.arena_reset(self.arena)
    lib.intern_between_batches(self.intern)
    local n, keep = #records, {}
    local list = ffi.new("record_t[?]", n + 1)
    local function slice(text)
        if not text then return ffi.new "slice_t" end
        local copy = engine.exact(text)
        keep[#keep + 1] = copy
        return ffi.new("slice_t", { copy, #text })
    end
    for i, record in ipairs(records) do
        if type(record) == "string" then record = { value = record } end
        local r = list[i - 1]
        r.value, r.key, r.headers = slice(record.value), slice(record.key), slice(record.headers)
        r.timestamp, r.offset, r.partition, r.topic = record.timestamp or 1000, record.offset or i - 1, record.partition or 0, 0
        r.tick = i - 1
    end
    local out = ffi.new "decoded_t"
    lib.decode_records(self.decoder, list, n, latest or ffi.cast("int64_t", 2 ^ 62), self.arena, out)
    self.out, self.held = out, { keep, list }
    local result = { rows = {}, bad = {}, elements = {}, batch = out.batch }
    for i = 0, out.batch.n - 1 do
        local row = { time = tonumber(out.batch.origins[i].time), offset = tonumber(out.batch.origins[i].offset) }
        for c = 0, out.batch.n_columns - 1 do
            row[self.columns[c + 1][1]] = text_of(out.batch.columns[c].cells + out.batch.columns[c].map[i])
        end
        result.rows[i + 1] = row
    end
    for u = 1, #self.paths do
        local found, elements = out.unnested[u - 1], {}
        for i = 0, found.n - 1 do
            elements[i + 1] = ("%d.%d:%s"):format(tonumber(found.origin[i]), tonumber(found.sub[i]), text_of(found.cells + i))
        end
        result.elements[u] = elements
    end
    for i = 0, out.n_bad - 1 do
        result.bad[i + 1] = { record = tonumber(out.bad[i].record) + 1, reason = ffi.string(out.bad[i].reason), tombstone = out.bad[i].is_tombstone == 1 }
    end
    return result
end

return decoding
