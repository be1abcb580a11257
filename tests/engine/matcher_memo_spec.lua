local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use "matcher_memo"

local function key(seq, place, history, mask)
    return ffi.new("memo_key_t", { seq = seq, place = place, history = history or 0, mask = mask or 0 })
end

describe("matcher_memo", function()
    it("knows exactly the places it was given, whatever their number", function()
        math.randomseed(SEED)
        local m, model = ffi.new "memo_t", {}
        for _ = 1, 20000 do
            local seq, place, history, mask = math.random(0, 20), math.random(0, 10), math.random(0, 10), math.random(0, 3)
            local name = table.concat({ seq, place, history, mask }, ",")
            assert.equal(model[name] and 1 or 0, lib.memo_try(m, key(seq, place, history, mask)))
            model[name] = true
        end
        lib.memo_clear(m)
        assert.equal(0, lib.memo_try(m, key(1, 1)))
        lib.memo_fini(m)
    end)
    it("keeps answers apart from places", function()
        local m = ffi.new "memo_t"
        assert.equal(0, tonumber(lib.memo_answer(m, key(1, 2, 3))))
        lib.memo_set_answer(m, key(1, 2, 3), 1)
        lib.memo_set_answer(m, key(1, 2, 4), 0)
        assert.equal(tonumber(lib.MEMO_HOLDS), tonumber(lib.memo_answer(m, key(1, 2, 3))))
        assert.equal(tonumber(lib.MEMO_FAILS), tonumber(lib.memo_answer(m, key(1, 2, 4))))
        assert.equal(0, tonumber(lib.memo_answer(m, key(1, 2, 5))))
        assert.equal(0, lib.memo_try(m, key(1, 2, 3)))
        assert.equal(1, lib.memo_try(m, key(1, 2, 3)))
        assert.equal(tonumber(lib.MEMO_HOLDS), tonumber(lib.memo_answer(m, key(1, 2, 3))))
        lib.memo_fini(m)
    end)
    it("gives equal label sequences equal numbers, and others others", function()
        math.randomseed(SEED)
        local h, model, back = ffi.new "history_t", {}, {}
        for _ = 1, 5000 do
            local id, text = 0, ""
            for _ = 1, math.random(0, 6) do
                local label = math.random(0, 3)
                id, text = lib.history_of(h, id, label), text .. label
            end
            assert.equal(model[text] or id, id)
            assert.equal(back[id] or text, text)
            model[text], back[id] = id, text
        end
        lib.history_fini(h)
    end)
end)
