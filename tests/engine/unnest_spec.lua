local ffi = require "ffi"
local engine = require "tests.support.engine"
local decoding = require "tests.support.decoding"
local lib = engine.use("unnest", "mem", "arena")

local function parse(text)
    local path, e = ffi.new "unnest_path_t", ffi.new "error_t"
    local code = lib.unnest_parse(text, path, e)
    if code ~= 0 then return nil, ffi.string(e.text) end
    return path
end

local function column(b, name)
    local at, out = lib.batch_column(b, name), {}
    for i = 0, b.n - 1 do
        local text = engine.buf()
        lib.cell_write(text, b.columns[at].cells + b.columns[at].map[i], lib.TIME_ISO8601)
        out[i + 1] = engine.bytes(text)
    end
    return out
end

local function subs(b)
    local out = {}
    for i = 0, b.n - 1 do out[i + 1] = ("%d.%d"):format(tonumber(b.origin[i]), tonumber(b.sub[i])) end
    return out
end

local RECORDS = { '{"id":1,"p":[{"n":"a","t":["x","y"]},{"n":"b","t":[]},{"n":"c","t":["z",null]}]}', '{"id":2,"p":7}', '{"id":3}', '{"id":4,"p":[{"n":"d","t":["w"]}]}' }

describe("unnest", function()
    it("parses paths, and says what is wrong with the others", function()
        local path = parse " pizzas[].additionalToppings[] as  topping "
        assert.same({ "pizzas[].additionalToppings[]", "topping" }, { ffi.string(path.text), ffi.string(path.alias) })
        for _, text in ipairs { "", "pizzas as p", "pizzas[]", "pizzas[] topping", "pizzas[] as", "[] as x", "a..b[] as x", "a[].b as x", "a[] as x y", "a[ ] as x", "a[]as x" } do
            local found, fault = parse(text)
            assert.is_nil(found, text)
            assert.is_truthy(fault:find(text, 1, true))
        end
    end)
    it("makes a row of each element with the other columns beside it", function()
        local d = decoding.new { columns = { "id" } }
        local b = lib.unnest_rows(d.arena, d:read(RECORDS).batch, parse "p[].t[] as t")
        assert.same({ '"x"', '"y"', '"z"', "null", '"w"' }, column(b, "t"))
        assert.same({ "1", "1", "1", "1", "4" }, column(b, "id"))
        assert.same({ "0.0", "0.1", "0.2", "0.3", "3.0" }, subs(b))
    end)
    it("goes on from an earlier name", function()
        local d = decoding.new { columns = { "id" } }
        local b = lib.unnest_rows(d.arena, d:read(RECORDS).batch, parse "p[] as pizza")
        b = lib.unnest_rows(d.arena, b, parse "pizza.t[] as t")
        assert.same({ '"x"', '"y"', '"z"', "null", '"w"' }, column(b, "t"))
        assert.same({ "1", "1", "1", "1", "4" }, column(b, "id"))
        assert.equal('{"n":"d","t":["w"]}', column(b, "pizza")[5])
        assert.same({ "0.0", "0.1", "0.2", "0.3", "3.0" }, subs(b))
    end)
    it("replaces a column of the same name", function()
        local d = decoding.new { columns = { "id", "p" } }
        local b = lib.unnest_rows(d.arena, d:read(RECORDS).batch, parse "p[] as p")
        assert.equal(2, b.n_columns)
        assert.equal('{"n":"b","t":[]}', column(b, "p")[2])
    end)
    it("is the same from what the decoder found, filtered or not", function()
        local d = decoding.new { columns = { "id" }, unnest = { "p[].t[]" }, intern = true }
        local batch = d:read(RECORDS).batch
        local b = lib.unnest_decoded(d.arena, batch, d.out.unnested, "t")
        assert.same({ '"x"', '"y"', '"z"', "null", '"w"' }, column(b, "t"))
        assert.same({ "1", "1", "1", "1", "4" }, column(b, "id"))
        assert.same({ "0.0", "0.1", "0.2", "0.3", "3.0" }, subs(b))
        local last = lib.batch_filter(d.arena, batch, ffi.new("uint8_t[4]", { 0, 1, 0, 1 }))
        b = lib.unnest_decoded(d.arena, last, d.out.unnested, "t")
        assert.same({ '"w"' }, column(b, "t"))
        assert.same({ "4" }, column(b, "id"))
    end)
    it("gives no rows where there is nothing", function()
        local d = decoding.new { columns = { "id" }, unnest = { "p[].t[]" } }
        local batch = d:read({ "{}", '{"p":[]}' }).batch
        assert.equal(0, lib.unnest_rows(d.arena, batch, parse "p[].t[] as t").n)
        assert.equal(0, lib.unnest_decoded(d.arena, batch, d.out.unnested, "t").n)
        assert.equal(0, lib.unnest_rows(d.arena, d:read({}).batch, parse "p[] as t").n)
    end)
end)
