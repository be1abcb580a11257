-- What goes into a parcel comes out of it: cells of every kind in every spelling, rows, partials, levels.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("parcel", "cell", "intern", "mem", "dispatch")
local out_dir = os.getenv "ANANAS_OUT" or "build"
assert(os.execute(("cc -std=c11 -shared -fPIC -Iengine -o %s/parcel_collect.so tests/support/parcel_collect.c -L%s -lananas -Wl,-rpath,'$ORIGIN'"):format(out_dir, out_dir)) == 0)
ffi.cdef "int parcel_collect(slice_t body, buf_t *out, intern_t *symbols);"
local collect = ffi.load((out_dir:sub(1, 1) == "/" and "" or "./") .. out_dir .. "/parcel_collect.so")

local SEED = tonumber(os.getenv "SEED") or os.time() % 100000
local function randomness(seed)
    local a = (seed * 7919 + 12345) % 2147483647
    return function(n)
        a = (a * 48271) % 2147483647
        return a % n + 1
    end
end

-- Texts of values, as records have them. A string of interned ones comes as a symbol with this row's spelling.
local TEXTS = { "null", "true", "false", "0", "-1", "7.0", "70e-1", "1E400", "-0", "9223372036854775807", "-9223372036854775808", "12345678901234567890123456789",
    "0.1", '""', '"a"', '"\\u0061"', '"🍍 pineapple"', '"\\ud83c\\udf4d pineapple"', '"\\n"', "[]", '{"a": [1, 2.50, {"b":null}]}', '"' .. ("x"):rep(500) .. '"' }

local Keep = {}
local function cell(text, symbols)
    local c = ffi.new "cell_t"
    Keep[#Keep + 1] = text
    ffi.copy(c, lib.cell_from_json(engine.slice(text)), ffi.sizeof "cell_t")
    if symbols and text:sub(1, 1) == '"' and #text < 100 then
        local status = ffi.new "int[1]"
        c.kind, c.flags, c.u.sym = lib.CELL_SYM, 0, lib.intern_raw(symbols, c.raw, c.len, status)
    end
    return c
end

local topics = ffi.new("const char *[3]", { "t0", "a longer topic" })

local function stream(name, columns)
    local s, list = ffi.new "parcel_stream_t", ffi.new("slice_t[?]", #columns + 1)
    for i, c in ipairs(columns) do list[i - 1] = engine.slice(c) end
    s.rule, s.shape, s.n_columns, s.columns = engine.slice(name), 77, #columns, list
    Keep[#Keep + 1] = { name, columns, list }
    return s
end

-- Random items into a parcel; what should be read of them, as lines (see parcel_collect.c).
local function fill(parcel, random, n, symbols)
    local streams, lines = { stream("r", { "a", "b" }), stream("another rule", { "x" }), stream("r", {}) }, {}
    local widths, numbers = { 2, 1, 0 }, { 5, 9, 5 }
    local current
    local function use(i)
        lib.parcel_put_stream(parcel, numbers[i], streams[i])
        current = i
    end
    for _ = 1, n do
        local what = random(10)
        use(random(3))
        local name = current == 2 and "another rule" or "r"
        if what <= 7 then
            local o, cells, texts = ffi.new "origin_t", ffi.new("cell_t[?]", 3), {}
            o.time, o.offset, o.partition, o.topic = random(1000000) - 500000, random(1000), random(5) - 1, random(3) - 2
            o.flags = random(5) == 1 and 1 or 0
            local key = random(2) == 1 and ("k" .. random(9)) or nil
            local value = random(4) == 1 and '{"v":1}' or nil
            local partial, marked = o.flags, value and random(2) == 1 and lib.ORIGIN_MARKED or 0
            o.flags = partial + marked
            o.key, o.value = engine.slice(key), engine.slice(value)
            Keep[#Keep + 1] = { key, value }
            for i = 0, widths[current] - 1 do
                local text = TEXTS[random(#TEXTS)]
                ffi.copy(cells + i, cell(text, random(2) == 1 and symbols or nil), ffi.sizeof "cell_t")
                texts[#texts + 1] = text
            end
            local sub, with_key, with_value = random(3) - 1, random(2) - 1, random(2) - 1
            lib.parcel_put_row(parcel, o, sub, cells, widths[current], with_key, with_value, topics)
            lines[#lines + 1] = ("row %s %d %s %d %d %d %d [%s] [%s]%s"):format(name, tonumber(o.time), o.topic < 0 and "-" or ffi.string(topics[o.topic]),
                o.partition, tonumber(o.offset), sub, partial + with_value * marked, with_key == 1 and key or "", with_value == 1 and value or "",
                #texts > 0 and " " .. table.concat(texts, " ") or "")
        elseif what == 8 then
            local level = ffi.new("parcel_level_t", { random(100000), random(2) - 1 })
            if random(4) == 1 then level.wm = -9223372036854775807LL - 1LL end
            lib.parcel_put_level(parcel, level)
            lines[#lines + 1] = ("level %s %s %d"):format(name, tostring(level.wm):gsub("LL", ""), level.idle)
        elseif what == 9 then
            local start = random(100000) - 50000
            lib.parcel_put_partial(parcel, start, start + random(1000), random(9), engine.slice("state" .. start))
            lines[#lines + 1] = ("partial %s %d state%d"):format(name, start, start)
        else
            lib.parcel_put_source(parcel, engine.slice "pizzas", ffi.new("parcel_level_t", { 5, 1 }))
            lines[#lines + 1] = "source pizzas 5 1"
        end
    end
    return lines
end

local function read(bytes)
    local out, symbols = engine.buf(), ffi.gc(lib.intern_new(1000, 1e6), lib.intern_free)
    local copy = engine.exact(bytes)
    lib.buf_reserve_slow(out, 1e6 + #bytes * 60)
    local rc = collect.parcel_collect(ffi.new("slice_t", { copy, #bytes }), out, symbols)
    local lines = {}
    for l in engine.bytes(out):gmatch "[^\n]+" do lines[#lines + 1] = l end
    return rc, lines
end

describe("a parcel", function()
    it("comes out as it went in, cells as they were spelt, SEED " .. SEED, function()
        local random, parcel = randomness(SEED), ffi.gc(lib.parcel_new(), lib.parcel_free)
        local symbols = ffi.gc(lib.intern_new(1000, 1e6), lib.intern_free)
        for _ = 1, 60 do
            local lines = fill(parcel, random, random(60), symbols)
            local rc, found = read(engine.text(lib.parcel_body(parcel)))
            assert.equal(0, rc)
            assert.same(lines, found)
            if random(2) == 1 then lib.parcel_forget_symbols(parcel) end
            lib.parcel_clear(parcel)
            Keep = {}
        end
    end)

    it("may lose its symbols in the middle", function()
        local parcel = ffi.gc(lib.parcel_new(), lib.parcel_free)
        local random, lines = randomness(SEED), {}
        for _ = 1, 3 do
            local symbols = lib.intern_new(1000, 1e6)
            for _, l in ipairs(fill(parcel, random, 20, symbols)) do lines[#lines + 1] = l end
            lib.parcel_forget_symbols(parcel)
            lib.intern_free(symbols)
        end
        local rc, found = read(engine.text(lib.parcel_body(parcel)))
        assert.equal(0, rc)
        assert.same(lines, found)
    end)

    it("is refused, and nothing read beyond it, where it is cut or changed, SEED " .. SEED, function()
        local random, parcel = randomness(SEED), ffi.gc(lib.parcel_new(), lib.parcel_free)
        local symbols = ffi.gc(lib.intern_new(1000, 1e6), lib.intern_free)
        fill(parcel, random, 30, symbols)
        local bytes = engine.text(lib.parcel_body(parcel))
        local refused = 0
        for n = 0, #bytes - 1, 1 + math.floor(#bytes / 300) do refused = refused + (read(bytes:sub(1, n)) ~= 0 and 1 or 0) end
        assert.is_true(refused > 100)
        for _ = 1, 500 do
            local at = random(#bytes)
            read(bytes:sub(1, at - 1) .. string.char(random(256) - 1) .. bytes:sub(at + 1))      -- no crash is what is asked
        end
    end)

    it("says what repeats once", function()
        local parcel, symbols = ffi.gc(lib.parcel_new(), lib.parcel_free), ffi.gc(lib.intern_new(1000, 1e6), lib.intern_free)
        local s, o, cells = stream("topping_rush", { "topping" }), ffi.new "origin_t", ffi.new "cell_t[1]"
        ffi.copy(cells, cell('"\\ud83c\\udf4d pineapple"', symbols), ffi.sizeof "cell_t")
        for i = 1, 1000 do
            o.time, o.offset = 1659426820000LL + i, i
            lib.parcel_put_stream(parcel, 0, s)
            lib.parcel_put_row(parcel, o, 0, cells, 1, 0, 0, topics)
        end
        assert.is_true(tonumber(lib.parcel_size(parcel)) < 1000 * 10 + 200)
    end)
end)
