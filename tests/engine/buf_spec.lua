local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "buf"

local function reader(text) return ffi.new("reader_t", { text, #text, 0, 0 }) end

describe("buf", function()
    it("formats, terminates and gives its bytes away", function()
        local b = engine.buf()
        lib.buf_printf(b, "%d-%s", ffi.new("int", 5), ("x"):rep(200))
        assert.equal("5-" .. ("x"):rep(200), ffi.string(lib.buf_cstr(b)))
        local s = lib.buf_take(b)
        assert.equal(202, #ffi.string(s))
        assert.is_true(b.s == nil and b.len == 0)
        engine.use("mem").mem_free(s)
    end)
    it("reads back the integers and bytes it wrote", function()
        math.randomseed(SEED or 1)
        local b, wrote = engine.buf(), {}
        for i = 1, 500 do
            local v = ffi.new("uint64_t", math.random(0, 2 ^ 31 - 1)) * math.random(0, 2 ^ 31 - 1)
            v = bit.rshift(v, math.random(0, 63))
            wrote[i] = v
            lib.buf_add_varint(b, v)
            lib.buf_add_u64(b, v)
            lib.buf_add_u32(b, tonumber(v % 4294967296ULL))
            lib.buf_add_bytes(b, ("y"):rep(i), i)
        end
        local r = ffi.new("reader_t", { b.s, b.len, 0, 0 })
        for i = 1, 500 do
            assert.is_true(lib.read_varint(r) == wrote[i])
            assert.is_true(lib.read_u64(r) == wrote[i])
            assert.is_true(lib.read_u32(r) == wrote[i] % 4294967296ULL)
            assert.equal(("y"):rep(i), engine.text(lib.read_bytes(r)))
        end
        assert.equal(0, r.bad)
        assert.equal(tonumber(r.len), tonumber(r.pos))
    end)
    it("says so when a reader runs past the end, and gives zeros", function()
        local r = reader "\1\2\3"
        assert.equal(0, lib.read_u32(r))
        assert.equal(1, r.bad)
        assert.equal(0, lib.read_u8(r))
        r = reader "\200hello"
        assert.equal("", engine.text(lib.read_bytes(r)))
        assert.equal(1, r.bad)
        r = reader(("\255"):rep(11))
        assert.is_true(lib.read_varint(r) == 0ULL)
        assert.equal(1, r.bad)
    end)
end)
