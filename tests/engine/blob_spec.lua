local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("blob", "store")

local function in_buf(fixed, regions)
    local b = engine.buf()
    local blob = ffi.new "blob_t[1]"
    blob[0] = lib.blob_of_buf(b)
    lib.blob_init(blob, fixed, regions)
    return blob, b
end

local function in_store(fixed, regions)
    local store = ffi.gc(lib.store_new(0), lib.store_free)
    local space = lib.store_space(store, "s")
    local blob = ffi.new "blob_t[1]"
    blob[0] = lib.blob_of_entry(space, lib.store_put(space, "k", 1, nil))
    lib.blob_init(blob, fixed, regions)
    return blob, store
end

describe("blob: a flat value with regions that grow", function()
    for where, make in pairs { ["a buffer"] = in_buf, ["a store entry"] = in_store } do
        it("keeps every region's bytes whatever the others do, in " .. where .. " (2,000 random changes)", function()
            math.randomseed(SEED)
            local fixed, n = 24, 5
            local blob, keep = make(fixed, n)
            local want = {}
            for k = 0, n - 1 do want[k] = "" end
            ffi.fill(blob[0].s, fixed, 7)
            for _ = 1, 2000 do
                local k, dice = math.random(0, n - 1), math.random()
                local at = lib.region_at(blob[0].s, fixed, k)
                local text = ("%c"):format(math.random(97, 122)):rep(math.random(0, 60))
                if dice < 0.5 and #want[k] < 3000 then
                    ffi.copy(lib.region_extend(blob, at, #text), text, #text)
                    want[k] = want[k] .. text
                elseif dice < 0.8 then
                    lib.region_set(blob, at, text, #text)
                    want[k] = text
                elseif dice < 0.9 then
                    local len = math.random(0, #want[k])
                    lib.region_resize(blob, at, len)
                    want[k] = want[k]:sub(1, len)
                else
                    lib.region_trim(blob, at)
                end
                for j = 0, n - 1 do
                    assert.equal(want[j], engine.text(lib.region_bytes(blob[0].s, lib.region_at(blob[0].s, fixed, j))), "seed " .. SEED)
                end
                for i = 0, fixed - 1 do assert.equal(7, blob[0].s[i]) end
            end
            assert.is_truthy(keep)
        end)
    end

    it("gives spare capacity back when trimmed", function()
        local blob, keep = in_buf(0, 2)
        lib.region_resize(blob, 0, 1000)
        lib.region_resize(blob, 0, 1001)
        lib.region_resize(blob, 0, 10)
        lib.region_trim(blob, 0)
        assert.equal(10 + 2 * engine.defines.BLOB_REGION, tonumber(blob[0].len))
        assert.is_truthy(keep)
    end)
end)
