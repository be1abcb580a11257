local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("rowlog", "store", "arena")

local function log(space)
    local b = engine.buf()
    local blob, chunks = ffi.new "blob_t[1]", ffi.new("rowlog_chunks_t[1]", { { space, 1 } })
    blob[0] = lib.blob_of_buf(b)
    lib.blob_init(blob, 0, 1)
    local self = { blob = blob, chunks = chunks, keep = b }
    function self.add(row)
        local order = ffi.new("row_order_t[1]", { { row.time, row.offset or 0, row.topic or 0, row.partition or 0, row.sub or 0, 0 } })
        lib.rowlog_add(blob, 0, order, row.text, #row.text)
    end
    function self.state() return lib.region_bytes(blob[0].s, 0) end
    function self.read(from)
        local arena, out = ffi.gc(ffi.new "arena_t", lib.arena_fini), ffi.new "slice_t *[1]"
        lib.arena_init(arena)
        local list = {}
        for i = 0, lib.rowlog_read(self.state(), space, arena, out) - 1 do list[i + 1] = engine.text(out[0][i]) end
        return list, from
    end
    return self
end

local FIELDS = { "time", "topic", "partition", "offset", "sub" }
local function before(a, b)
    for _, f in ipairs(FIELDS) do if a[f] ~= b[f] then return a[f] < b[f] end end
    return a.came < b.came
end

describe("rowlog: rows in the order of rows", function()
    it("are read by time, topic, partition, offset and number, equal ones as they came (500 cases)", function()
        math.randomseed(SEED)
        for _ = 1, 500 do
            local l, rows, want = log(nil), {}, {}
            for i = 1, math.random(0, 40) do
                rows[i] = { time = math.random(-2, 2), topic = math.random(-1, 1), partition = math.random(0, 1), offset = math.random(0, 2),
                            sub = math.random(0, 1), came = i, text = tostring(i) }
                l.add(rows[i])
            end
            table.sort(rows, before)
            for i, r in ipairs(rows) do want[i] = r.text end
            assert.same(want, (l.read()), "seed " .. SEED)
        end
    end)

    it("move to chunks that never change, are read with them, merged and dropped with them", function()
        local store = ffi.gc(lib.store_new(0), lib.store_free)
        local space = lib.store_space(store, "rows")
        local a, b, want = log(space), log(space), {}
        b.chunks[0].next = 1000
        for i = 1, 4000 do
            local l = i % 2 == 0 and a or b
            want[i] = ("%06d"):format(i)
            l.add { time = i, text = want[i] }
            if lib.rowlog_spill(l.blob, 0, l.chunks) == 1 then assert.is_true(tonumber(l.state().len) < 1000) end
        end
        assert.is_true(tonumber(lib.space_count(space)) >= 4)
        lib.rowlog_merge(a.blob, 0, b.state())
        assert.same(want, (a.read()))
        lib.rowlog_drop(a.state(), space)
        assert.equal(0, tonumber(lib.space_count(space)))
    end)
end)
