-- Runaways by the hundred in one process: nothing of them stays.

local rows = require "tests.support.rows"
local process = require "tests.support.process"

local function read(path)
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    return text
end

local function measure()
    collectgarbage()
    collectgarbage()
    local pages = tonumber(read("/proc/self/statm"):match "^%d+ (%d+)")
    local _, maps = read("/proc/self/maps"):gsub("\n", "")
    local threads = tonumber(read("/proc/self/status"):match "Threads:%s*(%d+)")
    local code = 0
    for line in read("/proc/self/maps"):gmatch "[^\n]+" do
        if line:find "^%S+ r%-xp 00000000 00:00 0 *$" then code = code + 1 end
    end
    return { kb = pages * 4, maps = maps, threads = threads, code = code }
end

local bodies = {
    [[while true do end]],
    [[local x = 0 for i = 1, 1e18 do x = x + r.n end]],
    [[while true do pcall(error, "x") end]],
    [[while true do pcall(function() while true do end end) end]],
    [[local t = {} while true do t[#t + 1] = {} end]],
    [[local s = "x" while true do s = s .. s end]],
    [[return ("a"):rep(3000):find((".-"):rep(8) .. "b")]],
    [[local s = ("x"):rep(1e4) s:gsub(".", function() while true do end end)]],
    [[while true do local s = "" for i = 1, 300 do s = s .. i end end]],
    [[local t = {} for i = 1, 1000 do t[i] = i * 7 % 977 end while true do table.sort(t, function(a, b) return a > b end) end]],
    [[while true do local t = {} for i = 1, 100 do t[i] = { i } end end]],
    [[while true do local t = r.list end]],
}

local batch = rows.batch({ { n = 1, list = rows.json '[1,{"a":"\\u00e9x"}]' } }, {})

local function run_away(k)
    local s = assert(rows.open { time_ms = 1 + k % 3, memory = 8 })
    local fn = assert(rows.fn(s, "return function(r) " .. bodies[k % #bodies + 1] .. " end"))
    local results, why, rc = rows.map(s, fn, batch)
    assert.is_nil(results)
    assert.are.equal(-7, rc, why)
    rows.close(s)
end

describe("a thousand runaways", function()
    it("leave no memory, no mapping and no thread behind", function()
        local count = tonumber(os.getenv "ANANAS_RUNAWAYS") or 1000
        for k = 1, count / 5 do run_away(k) end
        local before = measure()
        local started = process.now()
        for k = 1, count do run_away(k) end
        local after = measure()
        print(("\nfigure: %d runaways in %.1f s: RSS %d -> %d kB, mappings %d -> %d (machine code %d -> %d), threads %d -> %d"):format(
            count, process.now() - started, before.kb, after.kb, before.maps, after.maps, before.code, after.code,
            before.threads, after.threads))
        assert.are.equal(before.threads, after.threads)
        assert.is_true(after.maps <= before.maps + 12, "mappings are left")
        assert.is_true(after.code <= before.code + 8, "machine code is left")   -- the test's own LuaJIT compiles, too
        assert.is_true(after.kb <= before.kb + 3000, "memory is left")
    end)
end)
