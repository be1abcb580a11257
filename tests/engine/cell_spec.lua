local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("cell", "intern", "mem")

local function cell(json) return ffi.new("cell_t[1]", { lib.cell_from_json(engine.slice(json)) }) end
local function with(write, c, ...)
    local b = engine.buf()
    write(b, c, ...)
    return engine.bytes(b)
end
local function key(c) return with(lib.cell_key, c) end
local function write(c, format) return with(lib.cell_write, c, format or lib.TIME_ISO8601) end
local function made(fields) return ffi.new("cell_t[1]", { fields }) end

describe("cell", function()
    it("is 24 bytes", function() assert.equal(24, ffi.sizeof "cell_t") end)

    it("leaves exactly as it came", function()
        for _, json in ipairs { "null", "true", "false", "0", "-0", "1.0", "1e3", "9007199254740993", "123456789012345678901234567890", '""', '"a"',
            '"\\u0061\\/"', '"🍍"', "{}", '{ "a" : [1, 2] }', "[1,2]", "-9223372036854775808" } do
            assert.equal(json, write(cell(json)))
        end
    end)
    it("knows kinds: integers that fit, other numbers by their text", function()
        assert.equal(lib.CELL_INT, cell("9223372036854775807")[0].kind)
        assert.equal(lib.CELL_NUMRAW, cell("9223372036854775808")[0].kind)
        assert.equal(lib.CELL_NUMRAW, cell("-0")[0].kind)
        assert.equal(lib.CELL_NUMRAW, cell("1.5")[0].kind)
        assert.equal(1.5, lib.cell_double(cell "1.5"))
        assert.equal(7, lib.cell_double(cell "7"))
    end)
    it("gives integers of every spelling that is one", function()
        local out = ffi.new "int64_t[1]"
        for json, i in pairs { ["7"] = 7, ["7.0"] = 7, ["1e3"] = 1000, ["-0"] = 0 } do
            assert.equal(1, lib.cell_int64(cell(json), out))
            assert.equal(i, tonumber(out[0]))
        end
        for _, json in ipairs { "7.5", "1e19", "9223372036854775808", '"7"', "null", "[]" } do
            assert.equal(0, lib.cell_int64(cell(json), out), json)
        end
    end)
    it("gives the UTF-8 value of a string", function()
        local b = engine.buf()
        assert.equal("a🍍\n", engine.text(lib.cell_text(cell '"\\u0061\\ud83c\\udf4d\\n"', b)))
        assert.equal("plain", engine.text(lib.cell_text(cell '"plain"', nil)))
        assert.equal("", engine.text(lib.cell_text(cell '""', nil)))
    end)
    it("writes strings that Lua made, and times by format", function()
        local text = 'say "hi"'
        assert.equal('"say \\"hi\\""', write(made { kind = lib.CELL_STR, len = #text, raw = text }))
        local time = made { kind = lib.CELL_INT, flags = lib.CELL_TIME, u = { i = 1659426822541 } }
        assert.equal('"2022-08-02T07:53:42.541Z"', write(time))
        assert.equal('"2022-08-02 07:53:42.541"', write(time, lib.TIME_SQL))
        assert.equal("1659426822541", write(time, lib.TIME_EPOCH_MS))
        local half = made { kind = lib.CELL_NUM, flags = lib.CELL_TIME, u = { d = 1659426822541.7 } }
        assert.equal('"2022-08-02T07:53:42.541Z"', write(half))
    end)
    it("loads what it saved, symbols as strings", function()
        local t, status = lib.intern_new(10, 1000), ffi.new "int[1]"
        local sym = made { kind = lib.CELL_SYM, u = { sym = lib.intern_raw(t, "\\ud83c\\udf4d", 12, status) } }
        local b, cells = engine.buf(), { sym }
        for _, json in ipairs { "null", "true", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.50", '"a\\n"', '"b"', "[ 1]" } do
            cells[#cells + 1] = cell(json)
        end
        cells[#cells + 1] = made { kind = lib.CELL_NUM, u = { d = 0.1 } }
        cells[#cells + 1] = made { kind = lib.CELL_NUM, len = 4, raw = "0.10", u = { d = 0.1 } }
        cells[#cells + 1] = made { kind = lib.CELL_INT, flags = lib.CELL_TIME, u = { i = 5 } }
        for _, c in ipairs(cells) do lib.cell_save(b, c) end
        local r = ffi.new("reader_t", { b.s, b.len, 0, 0 })
        for _, c in ipairs(cells) do
            local back = ffi.new("cell_t[1]", { lib.cell_load(r) })
            assert.equal(write(c), write(back))
            assert.equal(key(c), key(back))
        end
        assert.equal(0, r.bad)
        assert.equal(tonumber(r.len), tonumber(r.pos))
        lib.cell_load(r)
        assert.equal(1, r.bad)
        lib.intern_free(t)
    end)

    it("keeps a row's spelling, and a key's value: whether a string was interned shows in neither", function()
        local t, status = lib.intern_new(10, 1000), ffi.new "int[1]"
        local function saved(save, c)
            local b = engine.buf()
            save(b, c)
            return engine.bytes(b)
        end
        local one_key
        for _, body in ipairs { "caf\\u00e9 \\/", "café /", "caf\\u00E9 /" } do
            local raw = engine.exact(body)
            local plain = cell('"' .. body .. '"')
            local sym = made { kind = lib.CELL_SYM, len = #body, raw = raw, u = { sym = lib.intern_raw(t, raw, #body, status) } }
            assert.equal(saved(lib.cell_save, plain), saved(lib.cell_save, sym))
            one_key = one_key or saved(lib.cell_save_key, plain)
            assert.equal(one_key, saved(lib.cell_save_key, plain))
            assert.equal(one_key, saved(lib.cell_save_key, sym))
        end
        lib.intern_free(t)
    end)

    local rising = { "null", "false", "true", "-1e400", "-9007199254740993", "-9007199254740992", "-2.5", "0", "0.1", "1", "2", "9007199254740992",
        "9007199254740993", "9223372036854775808", "1e300", '""', '"\\u0000"', '"\\u0000\\u0000"', '"\\u0000a"', '"1"', '"a"', '"a\\u0000"', '"ab"', '"b"',
        '"é"', '"🍍"', "[1]", "{}" }
    it("orders keys and compares alike: null, false, true, numbers, strings, the rest", function()
        for i = 1, #rising do
            for j = 1, #rising do
                local a, b = cell(rising[i]), cell(rising[j])
                assert.equal(i < j, key(a) < key(b), rising[i] .. " " .. rising[j])
                assert.equal(i < j, lib.cell_compare(a, b) < 0)
                assert.equal(i == j, lib.cell_compare(a, b) == 0)
            end
        end
    end)
    it("takes 1 and 1.0 as one key, 1 and \"1\" as two, and any spelling of a string as one", function()
        assert.equal(key(cell "1"), key(cell "1.0"))
        assert.equal(key(cell "1"), key(made { kind = lib.CELL_NUM, u = { d = 1 } }))
        assert.equal(0, lib.cell_compare(cell "1", cell "1.0"))
        assert.not_equal(key(cell "1"), key(cell '"1"'))
        assert.equal(key(cell '"a/"'), key(cell '"\\u0061\\/"'))
    end)
    it("delimits keys: tuples are equal only where all their parts are, and sort by the first that differs", function()
        math.randomseed(SEED or 1)
        local parts = { "null", "true", "0", "-1", "1.5", "9007199254740993", "1e300", '""', '"\\u0000"', '"\\u0001"', '"\\u0000\\u0001"', '"a"', '"a\\u0000"', '"ab"', "[]" }
        local function tuple()
            local ranks, keys = {}, {}
            for i = 1, 3 do
                local n = math.random(#parts)
                ranks[i], keys[i] = n, key(cell(parts[n]))
            end
            return ranks, table.concat(keys)
        end
        for _ = 1, 20000 do
            local a, ka = tuple()
            local b, kb = tuple()
            local order = 0
            for i = 3, 1, -1 do
                local c = lib.cell_compare(cell(parts[a[i]]), cell(parts[b[i]]))
                if c ~= 0 then order = c end
            end
            assert.equal(order < 0, ka < kb)
            assert.equal(order == 0, ka == kb)
        end
    end)
end)
