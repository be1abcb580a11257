local ffi = require "ffi"
local engine = require "tests.support.engine"
local process_engine = require "tests.support.process_engine"
local rows = require "tests.support.rows"
local lib = process_engine.lib

local keep = {}

local function names_of(...)
    local list = { ... }
    local at = ffi.new("const char *[?]", #list + 1)
    for i, name in ipairs(list) do at[i - 1] = name end
    keep[#keep + 1] = { at, list }
    return at
end
local topics = names_of("alpha", "beta")

local function pack(batch, needs, with)
    local b = engine.buf()
    local packs = {}
    for row = 0, batch.n - 1 do
        b.len = 0
        lib.rowpack_write(b, batch, row, needs, with or topics)
        packs[row + 1] = engine.bytes(b)
    end
    return packs
end

local function unpack_rows(packs, needs, with)
    local arena = rows.arena()
    local slices = ffi.new("slice_t[?]", #packs + 1)
    for i, p in ipairs(packs) do slices[i - 1] = { p, #p } end
    keep[#keep + 1] = { arena, slices, packs }
    return lib.rowpack_read(arena, slices, #packs, needs, with or topics, nil)
end

local function batch_of(events) return (process_engine.stream(events, process_engine.NEVER, keep)).batch end

describe("rowpack", function()
    local events = {
        { time = -5, topic = 1, partition = 3, offset = 2 ^ 40, sub = 7, key = '"k"', a = 1, b = "zwei", c = true },
        { time = 9, topic = 0, partition = 0, offset = 1, a = rows.json "9007199254740993", b = rows.json '"\\ud83c\\udf4d"', c = rows.json '{"x":[1, 2]}' },
        { time = 10, topic = 0, b = rows.json "null" },
    }

    it("gives back event time, position, key and every value as it was written", function()
        local list = process_engine.rows_of(unpack_rows(pack(batch_of(events)), nil))
        assert.same({ -5, 1, 2 ^ 40, 7, '"k"' }, { list[1]._time, list[1]._topic, list[1]._offset, list[1]._sub, list[1]._key })
        assert.same({ "1", '"zwei"', "true" }, { list[1].a, list[1].b, list[1].c })
        assert.same({ "9007199254740993", '{"x":[1, 2]}' }, { list[2].a, list[2].c })
        assert.truthy(list[2].b == '"\\ud83c\\udf4d"' or list[2].b == '"🍍"')
        assert.same({ "null", "null", "null" }, { list[3].a, list[3].b, list[3].c })
        assert.is_nil(list[3]._key)
    end)

    it("keeps only what is needed, and gives it in that order with nulls for what is absent", function()
        local needs, alive = process_engine.names { "c", "nowhere", "a" }
        local b = unpack_rows(pack(batch_of(events), needs), needs)
        assert.same({ "c", "nowhere", "a" }, { ffi.string(b.names[0]), ffi.string(b.names[1]), ffi.string(b.names[2]) })
        local list = process_engine.rows_of(b)
        assert.same({ "true", "null", "1" }, { list[1].c, list[1].nowhere, list[1].a })
        assert.is_nil(list[1].b)
        assert.is_not_nil(alive)
    end)

    it("reads what was packed for other needs", function()
        local before, x = process_engine.names { "a", "b" }
        local after, y = process_engine.names { "b", "z" }
        local list = process_engine.rows_of(unpack_rows(pack(batch_of(events), before), after))
        assert.same({ '"zwei"', "null" }, { list[1].b, list[1].z })
        assert.is_true(x ~= nil and y ~= nil)
    end)

    it("lets provenance travel whatever is needed", function()
        local needs, alive = process_engine.names { "a" }
        local batch = batch_of { { time = 1, a = 1, _explain = rows.json '[["alpha",0,1]]' } }
        local list = process_engine.rows_of(unpack_rows(pack(batch, needs), needs))
        assert.equal('[["alpha",0,1]]', list[1]._explain)
        assert.is_not_nil(alive)
    end)

    it("carries the whole record of an open batch when all is needed", function()
        local batch = batch_of { { time = 1, a = 1, open = '{"a": 1, "more": 1.50}' } }
        local back = unpack_rows(pack(batch), nil)
        assert.equal(1, back.open)
        local c = lib.batch_lookup(back, "more", 4, 0)
        assert.equal("1.50", rows.text_of(ffi.new("cell_t[1]", { c }) + 0))
    end)

    it("knows topics by name, and says so of one that is gone", function()
        local packs = pack(batch_of(events))
        local list = process_engine.rows_of(unpack_rows(packs, nil, names_of("aaa", "alpha", "beta")))
        assert.same({ 2, 1 }, { list[1]._topic, list[2]._topic })
        list = process_engine.rows_of(unpack_rows(packs, nil, names_of("alpha")))
        assert.same({ -1, 0 }, { list[1]._topic, list[2]._topic })
    end)
end)
