local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("store", "mem")

local function put(space, key) return lib.store_put(space, key, #key, nil) end
local function set(space, key, value) lib.entry_set(space, put(space, key), value, #value) end
local function get(space, key)
    local e = lib.store_get(space, key, #key)
    return e ~= nil and engine.text(lib.entry_value(e)) or nil
end
local function del(space, key)
    local e = lib.store_get(space, key, #key)
    if e ~= nil then lib.store_del(space, e) end
end

local out_dir = os.getenv "ANANAS_OUT" or "build"
assert(os.execute(("cc -std=c11 -shared -fPIC -Iengine -o %s/store_collect.so tests/support/store_collect.c"):format(out_dir)) == 0)
local collect = ffi.load(out_dir .. "/store_collect.so")
ffi.cdef [[
int store_collect(void *ctx, const char *space, slice_t key, slice_t value);
int store_refuse(void *ctx, const char *space, slice_t key, slice_t value);
]]

-- What a commit would write, in order.
local function dirty(store)
    local b = engine.buf()
    lib.buf_reserve_slow(b, 4e6)
    assert.equal(0, lib.store_dirty(store, collect.store_collect, b))
    local r, list = ffi.new("reader_t", { b.s, b.len, 0, 0 }), {}
    local function item()
        local len = lib.read_u32(r)
        return len ~= 4294967295 and engine.text(lib.read_raw(r, len))
    end
    while r.pos < r.len do list[#list + 1] = { item(), item(), item() } end
    return list
end

local function content(store)
    local all, space = {}, lib.store_next_space(store, nil)
    while space ~= nil do
        local name, e, n = ffi.string(lib.space_name(space)), lib.space_next(space, nil), 0
        while e ~= nil do
            all[name] = all[name] or {}
            all[name][engine.text(lib.entry_key(e))] = engine.text(lib.entry_value(e))
            e, n = lib.space_next(space, e), n + 1
        end
        assert.equal(n, tonumber(lib.space_count(space)))
        space = lib.store_next_space(store, space)
    end
    return all
end

local function copy(tables)
    local out = {}
    for name, entries in pairs(tables) do
        out[name] = {}
        for k, v in pairs(entries) do out[name][k] = v end
        if next(out[name]) == nil then out[name] = nil end
    end
    return out
end

describe("store", function()
    local s
    before_each(function() s = lib.store_new(0) end)
    after_each(function() lib.store_free(s) end)

    it("keeps what is put, by space and by bytes", function()
        local a, b = lib.store_space(s, "a"), lib.store_space(s, "b")
        set(a, "k", "1")
        set(b, "k", "2")
        set(a, "", "empty")
        set(a, "k\0", "nul")
        assert.same({ "1", "2", "empty", "nul" }, { get(a, "k"), get(b, "k"), get(a, ""), get(a, "k\0") })
        assert.is_nil(get(b, ""))
        assert.equal(4, tonumber(lib.store_count(s)))
    end)

    it("says whether an entry is new, and starts it empty", function()
        local a, is_new = lib.store_space(s, "a"), ffi.new "int[1]"
        local e = lib.store_put(a, "k", 1, is_new)
        assert.equal(1, is_new[0])
        assert.equal("", engine.text(lib.entry_value(e)))
        assert.is_true(lib.store_put(a, "k", 1, is_new) == e)
        assert.equal(0, is_new[0])
    end)

    it("zeroes what a resize adds, and keeps the rest", function()
        local a = lib.store_space(s, "a")
        local e = put(a, "k")
        for _, len in ipairs { 3, 8, 100, 5000, 10, 4000 } do
            local before = engine.text(lib.entry_value(e))
            lib.entry_resize(a, e, len)
            assert.equal((before .. ("\0"):rep(len)):sub(1, len), engine.text(lib.entry_value(e)))
            ffi.fill(lib.entry_edit(a, e), len, 120)
        end
    end)

    it("writes each changed entry once, sorted, with its final value", function()
        local a, b = lib.store_space(s, "b"), lib.store_space(s, "a")
        set(a, "z", "1")
        set(a, "y", "1")
        set(b, "q", "1")
        set(a, "z", "2")
        assert.same({ { "a", "q", "1" }, { "b", "y", "1" }, { "b", "z", "2" } }, dirty(s))
        lib.store_commit(s)
        assert.same({}, dirty(s))
        del(a, "z")
        set(a, "gone", "1")
        del(a, "gone")
        del(a, "y")
        set(a, "y", "again")
        assert.same({ { "b", "y", "again" }, { "b", "z", false } }, dirty(s))
        assert.equal(2, tonumber(lib.store_dirty_count(s)))
    end)

    it("stops a commit's walk where its reader says so", function()
        local a, calls = lib.store_space(s, "a"), ffi.new "int[1]"
        set(a, "x", "1")
        set(a, "y", "1")
        assert.equal(-4, lib.store_dirty(s, collect.store_refuse, calls))
        assert.equal(1, calls[0])
    end)

    it("brings a dropped space back when the commit fails, and forgets it when it succeeds", function()
        local a = lib.store_space(s, "a")
        set(a, "x", "1")
        lib.store_commit(s)
        lib.store_drop_space(s, a)
        assert.is_true(lib.store_next_space(s, nil) == nil)
        assert.same({ { "a", "x", false } }, dirty(s))
        lib.store_abort(s)
        assert.same({ a = { x = "1" } }, content(s))
        lib.store_drop_space(s, lib.store_space(s, "a"))
        lib.store_commit(s)
        assert.same({}, content(s))
        assert.equal(0, tonumber(lib.store_bytes(s)))
    end)

    it("restores without making anything dirty", function()
        lib.store_restore(s, "a", engine.slice "x", engine.slice "1")
        lib.store_restore(s, "a", engine.slice "y", engine.slice "")
        lib.store_restore(s, "a", engine.slice "x", engine.slice(("2"):rep(500)))
        assert.same({}, dirty(s))
        assert.same({ a = { x = ("2"):rep(500), y = "" } }, content(s))
        lib.store_restore(s, "a", engine.slice "x", engine.slice(nil))
        lib.store_abort(s)
        assert.same({ a = { y = "" } }, content(s))
    end)

    it("gives entries in key order, shorter first", function()
        local a = lib.store_space(s, "a")
        for _, key in ipairs { "b", "a", "ab", "", "\255", "a\0" } do set(a, key, key) end
        local out = ffi.new "store_entry_t **[1]"
        local keys = {}
        for i = 0, tonumber(lib.space_sorted(a, out)) - 1 do keys[#keys + 1] = engine.text(lib.entry_key(out[0][i])) end
        lib.mem_free(out[0])
        assert.same({ "", "a", "a\0", "ab", "b", "\255" }, keys)
    end)

    it("sorts any keys by their bytes", function()
        math.randomseed(SEED or 1)
        for round = 1, 30 do
            local space, model = lib.store_space(s, "sort " .. round), {}
            local prefix = ("\0p"):rep(math.random(0, 5))
            for _ = 1, 200 do
                local bytes = {}
                for i = 1, math.random(0, 12) do bytes[i] = string.char(math.random() < 0.7 and math.random(0, 2) or math.random(0, 255)) end
                local key = prefix .. table.concat(bytes)
                if lib.store_get(space, key, #key) == nil then model[#model + 1] = key end
                set(space, key, key)
            end
            table.sort(model, function(a, b) return a < b end)
            local out, keys = ffi.new "store_entry_t **[1]", {}
            for i = 0, tonumber(lib.space_sorted(space, out)) - 1 do keys[i + 1] = engine.text(lib.entry_key(out[0][i])) end
            lib.mem_free(out[0])
            assert.same(model, keys)
            local written = {}
            for i, change in ipairs(dirty(s)) do written[i] = change[2] end
            assert.same(model, written)
            lib.store_commit(s)
        end
    end)

    it("is full from its bound on, and not when entries have gone", function()
        local small = lib.store_new(2000)
        local a = lib.store_space(small, "a")
        assert.equal(0, lib.store_full(small))
        for i = 1, 30 do set(a, "key" .. i, ("v"):rep(20)) end
        assert.equal(1, lib.store_full(small))
        for i = 1, 30 do del(a, "key" .. i) end
        assert.equal(0, lib.store_full(small))
        lib.store_free(small)
    end)

    it("keeps tags until the entry dies", function()
        local a = lib.store_space(s, "a")
        local e = put(a, "k")
        assert.is_true(lib.entry_tag(e) == nil)
        lib.entry_set_tag(e, e)
        assert.is_true(lib.entry_tag(put(a, "k")) == ffi.cast("void *", e))
        lib.store_del(a, e)
        assert.is_true(lib.entry_tag(put(a, "k")) == nil)
    end)

    it("does what plain tables do, through random changes, commits and aborts", function()
        math.randomseed(SEED or 1)
        local model, committed = {}, {}
        local names = { "rule/1/open", "rule/1/groups", "other/2/open" }
        for step = 1, 60000 do
            local name = names[math.random(#names)]
            local space = lib.store_space(s, name)
            local key = ("k%d"):format(math.random(1, step % 5000 < 2500 and 40 or 400)):rep(math.random(1, 2))
            model[name] = model[name] or {}
            local entries, roll = model[name], math.random()
            if roll < 0.35 then
                local value = ("v"):rep(math.random(0, math.random() < 0.1 and 600 or 24)) .. step
                set(space, key, value)
                entries[key] = value
            elseif roll < 0.55 then
                local e = lib.store_get(space, key, #key)
                assert.equal(entries[key] ~= nil, e ~= nil)
                if e ~= nil and #entries[key] > 0 then
                    lib.entry_edit(space, e)[0] = 65 + step % 26
                    entries[key] = string.char(65 + step % 26) .. entries[key]:sub(2)
                end
            elseif roll < 0.7 then
                local len = math.random(0, 100)
                lib.entry_resize(space, put(space, key), len)
                entries[key] = ((entries[key] or "") .. ("\0"):rep(len)):sub(1, len)
            elseif roll < 0.95 then
                del(space, key)
                entries[key] = nil
            elseif roll < 0.9505 then
                lib.store_drop_space(s, space)
                model[name] = {}
            elseif roll < 0.97 then
                local written = copy(committed)
                for _, change in ipairs(dirty(s)) do
                    written[change[1]] = written[change[1]] or {}
                    written[change[1]][change[2]] = change[3] or nil
                end
                assert.same(copy(model), copy(written))   -- what is written brings the changelog up to date
                lib.store_commit(s)
                committed = copy(model)
            elseif roll < 0.98 then
                lib.store_abort(s)
                model = copy(committed)
            end
            assert.equal((model[name] or {})[key], get(lib.store_space(s, name), key))
            if step % 500 == 0 then assert.same(copy(model), content(s)) end
        end
        lib.store_abort(s)
        assert.same(copy(committed), content(s))
        local space = lib.store_next_space(s, nil)
        while space ~= nil do
            lib.store_drop_space(s, space)
            space = lib.store_next_space(s, nil)
        end
        lib.store_commit(s)
        assert.equal(0, tonumber(lib.store_bytes(s)))
        assert.equal(0, tonumber(lib.store_count(s)))
    end)
end)
