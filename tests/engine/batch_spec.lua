local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("batch", "arena")

local keep

-- A batch of one int column "n" with the given values, on one origin each, open over {"id":<10 n>}.
local function batch(values)
    local n = #values
    local cells, origins = ffi.new("cell_t[?]", n), ffi.new("origin_t[?]", n)
    local iota, sub = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n)
    local columns, names = ffi.new "column_t[2]", ffi.new("const char *[2]", { "n", "same" })
    keep = { cells, origins, iota, sub, columns, names }
    for i = 0, n - 1 do
        local value = ('{"id":%d}'):format(values[i + 1] * 10)
        keep[#keep + 1] = value
        cells[i].kind, cells[i].u.i = lib.CELL_INT, values[i + 1]
        origins[i].value.s, origins[i].value.len = value, #value
        origins[i].offset = i
        iota[i], sub[i] = i, 0
    end
    for c = 0, 1 do columns[c].cells, columns[c].map = cells, iota end
    local b = ffi.new("batch_t", { n = n, n_origins = n, n_columns = 2, open = 1 })
    b.origin, b.sub, b.origins, b.columns, b.names = iota, sub, origins, columns, names
    return b
end

local function values(b, column)
    local out = {}
    for i = 0, b.n - 1 do out[i + 1] = tonumber(b.columns[column or 0].cells[b.columns[column or 0].map[i]].u.i) end
    return out
end

describe("batch", function()
    local a
    before_each(function()
        a = ffi.new "arena_t"
        lib.arena_init(a)
    end)
    after_each(function() lib.arena_fini(a) end)

    it("filters and selects by maps, columns and origins alike", function()
        local b = batch { 5, 6, 7, 8 }
        local odd = lib.batch_filter(a, b, ffi.new("uint8_t[4]", { 1, 0, 9, 0 }))
        assert.same({ 5, 7 }, values(odd))
        assert.same({ 5, 7 }, values(odd, 1))
        assert.is_true(odd.columns[0].map == odd.columns[1].map)
        assert.equal(2, odd.origin[1])
        local back = lib.batch_select(a, odd, ffi.new("uint32_t[3]", { 1, 0, 1 }), 3)
        assert.same({ 7, 5, 7 }, values(back))
        assert.same({}, values(lib.batch_filter(a, b, ffi.new "uint8_t[4]")))
        assert.same({ 5, 6, 7, 8 }, values(lib.batch_filter(a, b, ffi.new("uint8_t[4]", { 1, 1, 1, 1 }))))
    end)
    it("looks names up in columns, then in the record, then says null", function()
        local b = lib.batch_filter(a, batch { 5, 6 }, ffi.new("uint8_t[2]", { 0, 1 }))
        assert.equal(0, lib.batch_column(b, "n"))
        assert.equal(-1, lib.batch_column(b, "id"))
        assert.equal(6, tonumber(lib.batch_lookup(b, "n", 1, 0).u.i))
        assert.equal(60, tonumber(lib.batch_lookup(b, "id", 2, 0).u.i))
        assert.equal(lib.CELL_NULL, lib.batch_lookup(b, "none", 4, 0).kind)
        b.open = 0
        assert.equal(lib.CELL_NULL, lib.batch_lookup(b, "id", 2, 0).kind)
    end)
    it("orders rows by time, topic, partition, offset, number", function()
        local b = batch { 1, 2 }
        local o, sub = keep[2], keep[4]
        assert.is_true(lib.batch_row_order(b, 0, b, 1) < 0)
        o[0].offset = 1
        assert.equal(0, lib.batch_row_order(b, 0, b, 1))
        sub[0] = 1
        assert.is_true(lib.batch_row_order(b, 0, b, 1) > 0)
        o[1].partition = 1
        assert.is_true(lib.batch_row_order(b, 0, b, 1) < 0)
        o[0].topic = 1
        assert.is_true(lib.batch_row_order(b, 0, b, 1) > 0)
        o[1].time = 1
        assert.is_true(lib.batch_row_order(b, 0, b, 1) < 0)
    end)
end)
