local ffi = require "ffi"
local engine = require "tests.support.engine"
local replay = require "tests.support.replay"
local lib = engine.use("profile", "buf")

local function burn()
    local n = 0
    for i = 1, 3e6 do n = n + i % 7 end
    return n
end

local function table_of(p, records)
    local b = engine.buf()
    lib.profile_write(p, records, b)
    local rows, order = {}, {}
    for line in engine.bytes(b):gmatch "[^\n]+" do
        local what, ns, share = line:match "^(.-)%s+([%d.]+)%s+([%d.]+)$"
        if what then
            rows[what], order[#order + 1] = { ns = tonumber(ns), share = tonumber(share) }, what
        end
    end
    return rows, order
end

describe("profile", function()
    it("charges time to the stage that took it, in the order of a record's way", function()
        local p = ffi.gc(lib.profile_new(), lib.profile_free)
        for _ = 1, 2 do
            lib.profile_take(p, lib.PROFILE_INPUT, nil)
            burn()
            lib.profile_take(p, lib.PROFILE_WHERE, "a")
            lib.profile_take(p, lib.PROFILE_WHERE, "b")
        end
        local rows, order = table_of(p, 10)
        assert.same({ "input", "rule a: where", "rule b: where", "all" }, order)
        assert.is_true(rows["rule a: where"].ns > rows["rule b: where"].ns)
        assert.is_true(math.abs(rows.input.ns + rows["rule a: where"].ns + rows["rule b: where"].ns - rows.all.ns) < 1)
        assert.equal(100, rows.all.share)
    end)
    it("has nothing to divide by where there were no records", function()
        local p = ffi.gc(lib.profile_new(), lib.profile_free)
        lib.profile_take(p, lib.PROFILE_INPUT, nil)
        assert.equal(0, table_of(p, 0).all.ns)
    end)
    it("is printed by replay with every stage of every rule, and only where it is asked for", function()
        local options = { rules = 'rule "one" { from = "s", to = "one" }\nrule "two" { from = "one", to = "two" }',
            input = { { topic = "s", payload = '{"ts":1}' } }, args = { "--profile" } }
        local err = replay.ok(options).stderr
        for _, what in ipairs { "input", "decode", "watermark", "rule one: where", "rule two: operator", "rule two: select", "write", "commit", "all" } do
            assert.is_truthy(err:find("\n" .. what .. " ", 1, true), what .. "\n" .. err)
        end
        options.args = nil
        assert.is_nil(replay.ok(options).stderr:find("ns/record", 1, true))
    end)
end)
