local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "mem"

describe("mem", function()
    it("copies strings with a final NUL", function()
        local s = lib.mem_strndup("abcdef", 3)
        assert.equal("abc", ffi.string(s))
        lib.mem_free(s)
        s = lib.mem_printf("%s-%d", "a", ffi.new("int", 7))
        assert.equal("a-7", ffi.string(s))
        lib.mem_free(s)
    end)
    it("never returns NULL, not even for nothing", function()
        for _, p in ipairs { lib.mem_alloc(0), lib.mem_zalloc(0), lib.mem_dup("", 0) } do
            assert.is_true(p ~= nil)
            lib.mem_free(p)
        end
    end)
    it("grows an array by doubling and keeps what is in it", function()
        local items, cap = ffi.new "int *[1]", ffi.new "size_t[1]"
        local grown = 0
        for i = 0, 999 do
            local before = tonumber(cap[0])
            lib.mem_grow(items, cap, i + 1, ffi.sizeof "int")
            if tonumber(cap[0]) ~= before then grown = grown + 1 end
            items[0][i] = i
        end
        for i = 0, 999 do assert.equal(i, items[0][i]) end
        assert.is_true(grown <= 10)
        lib.mem_free(items[0])
    end)
end)
