local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "arena"

describe("arena", function()
    local a
    before_each(function()
        a = ffi.new "arena_t"
        lib.arena_init(a)
    end)
    after_each(function() lib.arena_fini(a) end)

    it("hands out pieces that do not overlap, small and large", function()
        local pieces = {}
        for i = 1, 2000 do
            local size = i % 50 == 0 and 300000 or i % 97
            local p = ffi.cast("uint8_t *", lib.arena_alloc_slow(a, bit.band(size + 7, -8)))
            assert.equal(0, tonumber(ffi.cast("uintptr_t", p) % 8))
            ffi.fill(p, size, i % 251)
            pieces[i] = { p, size, i % 251 }
        end
        for _, piece in ipairs(pieces) do
            if piece[2] > 0 then
                assert.equal(piece[3], piece[1][0])
                assert.equal(piece[3], piece[1][piece[2] - 1])
            end
        end
    end)
    it("gives nothing a place as well, also when fresh and after a reset", function()
        for _ = 1, 2 do
            assert.is_true(lib.arena_alloc_slow(a, 0) ~= nil)
            lib.arena_reset(a)
        end
        assert.is_true(lib.arena_dup(a, nil, 0) ~= nil)
    end)

    it("uses its blocks again after a reset", function()
        local first = lib.arena_dup(a, "hello", 5)
        assert.equal("hello", ffi.string(first, 5))
        lib.arena_reset(a)
        assert.equal(0, tonumber(a.used))
        assert.is_true(lib.arena_dup(a, "world", 5) == first)
    end)
    it("does not keep more than its bound", function()
        for _ = 1, 200 do lib.arena_alloc_slow(a, 256 * 1024) end
        lib.arena_reset(a)
        local blocks, at = 0, ffi.cast("void **", a.spare)
        while at ~= nil do
            blocks = blocks + 1
            at = ffi.cast("void **", at[0])
        end
        assert.equal(64, blocks)
    end)
end)
