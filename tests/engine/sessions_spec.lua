local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("sessions", "store")

describe("sessions: due times that move", function()
    it("each is given exactly when it is due, whatever it did before (3,000 random cases)", function()
        math.randomseed(SEED)
        local store = ffi.gc(lib.store_new(0), lib.store_free)
        local entry = lib.store_put(lib.store_space(store, "s"), "k", 1, nil)
        for _ = 1, 3000 do
            local s, live, now = ffi.gc(ffi.new "sessions_t", lib.sessions_fini), {}, 0
            for step = 1, math.random(1, 40) do
                local dice, n = math.random(), #live
                if dice < 0.4 or n == 0 then
                    local key = tostring(math.random(1, 3))
                    local x = lib.sessions_add(s, ffi.new("slice_t", { key, #key }), ffi.new("span_t", { step, step + 1 }), entry)
                    live[n + 1] = { x = x, due = now + math.random(1, 30), key = key }
                    lib.sessions_set_due(s, x, live[n + 1].due)
                elseif dice < 0.7 then
                    local one = live[math.random(n)]
                    one.due = now + math.random(1, 40)            -- later or sooner
                    lib.sessions_set_due(s, one.x, one.due)
                elseif dice < 0.8 then
                    local i = math.random(n)
                    lib.sessions_remove(s, live[i].x)
                    table.remove(live, i)
                else
                    now = now + math.random(0, 15)
                    local want, got = {}, {}
                    for _, one in ipairs(live) do if one.due <= now then want[#want + 1] = tostring(one.x) end end
                    while true do
                        local x = lib.sessions_take_due(s, now)
                        if x == nil then break end
                        got[#got + 1] = tostring(x)
                    end
                    table.sort(want)
                    table.sort(got)
                    assert.same(want, got, "seed " .. SEED)
                    for i = #live, 1, -1 do
                        if live[i].due <= now then
                            if math.random() < 0.5 then
                                lib.sessions_remove(s, live[i].x)
                                table.remove(live, i)
                            else
                                live[i].due = now + math.random(1, 20)
                                lib.sessions_set_due(s, live[i].x, live[i].due)
                            end
                        end
                    end
                end
                local least = math.huge
                for _, one in ipairs(live) do least = math.min(least, one.due) end
                assert.is_true(tonumber(lib.sessions_next_due(s)) <= least, "seed " .. SEED)
            end
        end
    end)

    it("stand in order of their start within a group", function()
        local store = ffi.gc(lib.store_new(0), lib.store_free)
        local entry = lib.store_put(lib.store_space(store, "s"), "k", 1, nil)
        local s = ffi.gc(ffi.new "sessions_t", lib.sessions_fini)
        local key = ffi.new("slice_t", { "a", 1 })
        for _, start in ipairs { 30, 10, 20 } do lib.sessions_add(s, key, ffi.new("span_t", { start, start + 5 }), entry) end
        local list, x = {}, lib.sessions_of(s, key)
        while x ~= nil do
            list[#list + 1] = tonumber(x.span.start)
            x = x.next
        end
        assert.same({ 10, 20, 30 }, list)
        assert.is_true(lib.sessions_of(s, ffi.new("slice_t", { "b", 1 })) == nil)
    end)
end)
