local ffi = require "ffi"
local lib = require("tests.support.engine").use "http_guard"

local function listener(is_local, is_unix, host)
    local name = host and ffi.new("char[?]", #host + 1, host)
    local l = ffi.new("listener_t", { fd = -1, is_local = is_local, is_unix = is_unix, host = name })
    return { l = l, name = name }
end

describe("http_guard", function()
    it("lets a local listener answer to local names and its own only", function()
        local at = listener(1, 0, "127.0.0.1")
        for _, host in ipairs { "localhost", "LOCALHOST:9464", "127.0.0.1", "127.9.9.9:1", "[::1]:9464" } do
            assert.equal(1, lib.http_guard_host(at.l, host), host)
        end
        for _, host in ipairs { "", "evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1",
            "localhost:x", "local host", "[::1", "user@localhost", "localhost/", "[::2]" } do
            assert.equal(0, lib.http_guard_host(at.l, host), host)
        end
        local named = listener(1, 0, "ananas.internal")
        assert.equal(1, lib.http_guard_host(named.l, "ananas.internal:9464"))
    end)

    it("lets others answer to any well-formed name", function()
        local at = listener(0, 0, "0.0.0.0")
        assert.equal(1, lib.http_guard_host(at.l, "ananas.default.svc:9464"))
        assert.equal(1, lib.http_guard_host(at.l, "10.1.2.3:9464"))
        assert.equal(0, lib.http_guard_host(at.l, "a b"))
        assert.equal(1, lib.http_guard_host(listener(1, 1).l, "whatever"))
    end)

    it("takes changes from no page but its own", function()
        assert.equal(1, lib.http_guard_origin(nil, nil, "localhost:1"))
        assert.equal(1, lib.http_guard_origin("http://localhost:1", "same-origin", "localhost:1"))
        assert.equal(0, lib.http_guard_origin("http://localhost:2", nil, "localhost:1"))
        assert.equal(0, lib.http_guard_origin("null", nil, "localhost:1"))
        assert.equal(0, lib.http_guard_origin(nil, "cross-site", "localhost:1"))
        assert.equal(0, lib.http_guard_origin(nil, "same-site", "localhost:1"))
    end)

    it("knows the token, the whole token, and nothing but the token", function()
        assert.equal(1, lib.http_guard_token("s3cret", "Bearer s3cret"))
        assert.equal(1, lib.http_guard_token("s3cret", "bearer s3cret"))
        for _, wrong in ipairs { "", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret ", "Bearer S3cret", "Basic s3cret" } do
            assert.equal(0, lib.http_guard_token("s3cret", wrong), wrong)
        end
        assert.equal(0, lib.http_guard_token("s3cret", nil))
    end)
end)
