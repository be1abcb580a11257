-- A part of `make fuzz` that fits into a run of the specs: the decoder against Python's json over mutated records.
local process = require "tests.support.process"

describe("decode, differentially", function()
    it("accepts and finds what Python's json does, in every way of walking", function()
        local run = process.run { "python3", "tests/fuzz/decode_fuzz.py", os.getenv "COUNT" or "20000", tostring(SEED) }
        assert.equal(0, run.code, run.out .. run.err)
        assert.is_truthy(run.out:find "no difference")
    end)
end)
