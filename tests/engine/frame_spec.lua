local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("frame", "error")

local function control(c)
    local out = ffi.new "frame_control_t"
    out.kind, out.from, out.parallelism, out.serial, out.round = c.kind, c.from, c.parallelism, c.serial or 0, c.round or 0
    out.version, out.texts = engine.slice(c.version), engine.slice(c.texts)
    local bounds = ffi.new("frame_bound_t[?]", #(c.bounds or {}) + 1)
    for i, b in ipairs(c.bounds or {}) do bounds[i - 1].rule, bounds[i - 1]["end"] = engine.slice(b[1]), b[2] end
    out.bounds, out.n_bounds = bounds, #(c.bounds or {})
    local b = engine.buf()
    lib.frame_control_write(b, out)
    return engine.bytes(b), bounds
end

local function read(bytes)
    local out = ffi.new "frame_control_t"
    local copy = engine.exact(bytes)
    local rc = lib.frame_control_read(ffi.new("slice_t", { copy, #bytes }), out)
    if rc ~= 0 then return nil, rc end
    local c = { kind = tonumber(out.kind), from = out.from, parallelism = out.parallelism, serial = tonumber(out.serial), round = out.round,
                version = engine.text(out.version) or "", texts = engine.text(out.texts) or "", bounds = {} }
    for i = 0, out.n_bounds - 1 do c.bounds[i + 1] = { engine.text(out.bounds[i].rule), tonumber(out.bounds[i]["end"]) } end
    lib.frame_control_fini(out)
    return c
end

local CONTROLS = {
    { kind = lib.FRAME_PROPOSAL, from = 0, parallelism = 4, serial = 1, round = 0, version = "abc", texts = ("t"):rep(100000), bounds = {} },
    { kind = lib.FRAME_DRAINED, from = 3, parallelism = 4, serial = 2 ^ 40, round = 2, version = "abc", texts = "", bounds = {} },
    { kind = lib.FRAME_SWITCHED, from = 1, parallelism = 2, serial = 3, round = 4, version = "", texts = "", bounds = {} },
    { kind = lib.FRAME_END, from = 300, parallelism = 1000, serial = 3, round = 0, version = "abc", texts = "",
      bounds = { { "topping_rush", 5000 }, { "before 1970", -1 } } },
}

describe("frame", function()
    it("gives a control frame back as it was", function()
        for _, c in ipairs(CONTROLS) do
            local bytes = control(c)
            assert.same(c, (read(bytes)))
            assert.equal(tonumber(c.kind), lib.frame_kind(engine.slice(bytes)))
        end
    end)

    it("refuses one that is torn at any place", function()
        local bytes = control(CONTROLS[#CONTROLS])
        for n = 0, #bytes - 1 do
            assert.is_nil((read(bytes:sub(1, n))))
            assert.is_true(lib.frame_kind(ffi.new("slice_t", { bytes, n })) < 0)
        end
    end)

    it("refuses one of which any bit was changed", function()
        local bytes = control(CONTROLS[#CONTROLS])
        for i = 1, #bytes do
            for bit_of = 0, 7 do
                local changed = bytes:sub(1, i - 1) .. string.char(bit.bxor(bytes:byte(i), bit.lshift(1, bit_of))) .. bytes:sub(i + 1)
                assert.is_nil((read(changed)))
            end
        end
    end)

    it("refuses what was never a frame", function()
        assert.is_true(lib.frame_kind(engine.slice "{\"id\":7}") < 0)
        assert.is_true(lib.frame_kind(engine.slice "") < 0)
        assert.is_true(lib.frame_kind(ffi.new "slice_t") < 0)
    end)

    -- Where a key lives must not change with a version of the program: these values may never change.
    it("hashes as it always did", function()
        local function hash(s) return bit.tohex(lib.frame_hash(s, #s)) end
        assert.equal("9ca066f1a4ab2eea", hash "")
        assert.equal("97956212fcbbd79a", hash "a")
        assert.equal("196ae35c835e7fe0", hash "12345678")
        assert.equal("ae1c4617bd2b2ae5", hash "a longer key than one word")
    end)
end)
