local ananas = require "tests.support.ananas"
local ffi = require "ffi"

ffi.cdef [[
void complaint_explain(const char *reason, char *out);
void complaint_refuse(void *c, const char *text);
void complaint_refused(void *c, char *out);
]]
local lib = ananas.library()

local function explain(reason)
    local out = ffi.new "char[600]"
    lib.complaint_explain(reason, out)
    return ffi.string(out)
end

describe("a complaint of librdkafka", function()
    it("loses its thread and how long it took, so that the same fault reads the same each time", function()
        local one = explain "[thrd:ssl://b:9093/bootstrap]: ssl://b:9093/bootstrap: Something (after 12ms in state CONNECT)"
        assert.equal("ssl://b:9093/bootstrap: Something", one)
        assert.equal(one, explain "ssl://b:9093/bootstrap: Something (after 9ms in state CONNECT, 3 identical error(s) suppressed)")
    end)

    it("tells what to do where that is known, and nothing where it is not", function()
        assert.truthy(explain("b: SASL authentication error: no"):find("look at sasl.username, sasl.password", 1, true))
        assert.truthy(explain("b: Connect to ipv4#127.0.0.1:1 failed: Connection refused"):find("Nothing listens there", 1, true))
        assert.equal("b: odd", explain "b: odd")
    end)

    it("of a transaction names the partition that was refused, not those that were left out for its sake, in any order", function()
        local left_out = "b: Failed to add partition \"out\" [0] to transaction: Broker: Operation not attempted"
        local refused = "b: Failed to add partition \"log\" [1] to transaction: Broker: Unknown topic or partition"
        for _, lines in ipairs { { left_out, refused }, { refused, left_out }, { left_out, refused, left_out } } do
            local complaints, out = ffi.new "char[4096]", ffi.new "char[600]"
            for _, line in ipairs(lines) do lib.complaint_refuse(complaints, line) end
            lib.complaint_refused(complaints, out)
            assert.equal(refused:sub(4), ffi.string(out))
        end
    end)

    it("keeps within its bounds however long it is, with the advice whole", function()
        local text = explain(("x"):rep(5000) .. " certificate verify failed")
        assert.is_true(#text < 600)
        assert.truthy(text:find("ssl.ca.location names the authority's certificate$"))
    end)
end)
