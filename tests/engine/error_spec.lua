local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "error"

describe("error", function()
    it("keeps code and words, and gives the code back", function()
        local e = ffi.new "error_t"
        assert.equal(lib.ERR_IO, lib.error_set(e, lib.ERR_IO, "cannot read %s", "a.lua"))
        assert.equal(lib.ERR_IO, e.code)
        assert.equal("cannot read a.lua", ffi.string(e.text))
    end)
    it("takes a missing error_t", function()
        assert.equal(lib.ERR_KAFKA, lib.error_set(nil, lib.ERR_KAFKA, "x"))
    end)
    it("prefixes what a caller knows more", function()
        local e = ffi.new "error_t"
        lib.error_set(e, lib.ERR_INVALID, "no such column")
        assert.equal(lib.ERR_INVALID, lib.error_prefix(e, "rule %s", "a"))
        assert.equal("rule a: no such column", ffi.string(e.text))
    end)
    it("cuts a long text instead of overrunning", function()
        local e = ffi.new "error_t"
        local long = ("x"):rep(3000)
        lib.error_set(e, lib.ERR_INVALID, "%s", long)
        lib.error_prefix(e, "%s", long)
        assert.equal(999, #ffi.string(e.text))
    end)
end)
