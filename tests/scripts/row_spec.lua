local ffi = require "ffi"
local rows = require "tests.support.rows"
local lib = rows.lib

-- What those headers declare besides needs lua.h.
for header, name in pairs { script_api = "rows_arg", script_state = "known_symbol" } do
    local file = assert(io.open("engine/" .. header .. ".h"))
    local text = file:read("*a"):gsub("/%*.-%*/", "")
    file:close()
    ffi.cdef((assert(text:match("typedef struct " .. name .. " {.-} " .. name .. "_t;"))))
end

-- Both ways a row is read: compiled, and by C where nothing may be compiled.
for _, way in ipairs { "compiled", "interpreted" } do
    describe("a row, " .. way, function()
        local s
        setup(function() s = assert(rows.open { time_ms = 200, jit = way == "compiled" }) end)
        teardown(function() rows.close(s) end)

        local function gives(expected, body, batch)
            local fn = assert(rows.fn(s, "return function(r) " .. body .. " end"))
            local texts, count, why = rows.map(s, fn, batch)
            assert.are.equal(0, count, why)
            assert.are.same(expected, texts)
        end
        local function raises(pattern, body, batch)
            local fn = assert(rows.fn(s, "return function(r) " .. body .. " end"))
            local _, count, why = rows.map(s, fn, batch)
            assert.are.equal(batch.n, count)
            assert.is_truthy(why:find(pattern), why)
        end

        it("gives its columns, whatever their kind", function()
            local list = { { v = 1 }, { v = 2.5 }, { v = true }, { v = false }, {}, { v = "text" }, { v = rows.json '"a\\tb\\ud83c\\udf4d"' },
                { v = rows.json "12345678901234567890" }, { v = rows.json "1e3" }, { v = rows.json "-0.0" }, { v = "" } }
            local expected = { "1", "2.5", "true", "false", "null", '"text"', '"a\\tb🍍"', "12345678901234567000", "1000", "0", '""' }
            gives(expected, "return r.v", rows.batch(list))
            gives(expected, "return r.v", rows.batch(list, { intern = rows.intern() }))
        end)

        it("gives nil for null, for absent, and for a name that is no column", function()
            local batch = rows.batch { { a = rows.json "null", b = 1 }, { b = 1 } }
            gives({ "true", "true" }, "return r.a == nil and r.none == nil and r[1] == nil and r[true] == nil", batch)
        end)

        it("gives nested values as tables, arrays from 1, null as nil", function()
            local batch = rows.batch { { o = rows.json [[{"c":{"city":"Üb\u00e9r","zip":null},"l":[1,[2,3],{"x":"y"}],"e":[],"n":-1.5e2}]] } }
            gives({ '"Übér"' }, "return r.o.c.city", batch)
            gives({ "true" }, "return r.o.c.zip == nil and #r.o.l == 3", batch)
            gives({ "3" }, "return r.o.l[2][2]", batch)
            gives({ '"y"' }, "return r.o.l[3].x", batch)
            gives({ "-150" }, "return r.o.n", batch)
            gives({ '{"c":{"city":"Übér"},"e":[],"l":[1,[2,3],{"x":"y"}],"n":-150}' }, "return r.o", batch)
            raises("index field 'd'", "return r.o.d.x", batch)
        end)

        it("decodes a value again for each evaluation: a change shows in no other", function()
            local batch = rows.batch { { l = rows.json "[2,1]" }, { l = rows.json "[2,1]" } }
            gives({ '"12"', '"12"' }, "local l = r.l table.sort(l) return table.concat(l)", batch)
            gives({ "[2,1]", "[2,1]" }, "return r.l", batch)
            -- Rows of one record share their cells.
            local arena = rows.arena()
            local shared = lib.batch_select(arena, batch, ffi.new("uint32_t[3]", { 0, 0, 0 }), 3)
            gives({ "1", "1", "1" }, "local l = r.l l[3] = 7 return r.l[2]", shared)
            gives({ "3", "3", "3" }, "table.insert(r.l, 7) return #r.l", shared)
            gives({ "2", "2", "2" }, "local n = #r.l table.insert(r.l, 7) return n", shared)
        end)

        it("knows when and where it came from", function()
            local batch = rows.batch({ { n = 1 }, { n = 2 } }, { times = { -5, 1659426822541 } })
            gives({ "-5", "1659426822541" }, "return r._time", batch)
            gives({ '"0 3"', '"1 3"' }, "return r._offset .. ' ' .. r._partition", batch)
            gives({ "null", "null" }, "return r._from", batch)
            gives({ '"x"' }, "return r._from", rows.batch { { _from = "x" } })
        end)

        it("of an open batch has the members of its record, too", function()
            local batch = rows.batch({ { a = 1 }, { a = 2 } }, { open = { '{"a":1,"b":"x","c":{"d":[1]}}', '{"a":2,"b":null}' } })
            gives({ '"x"', "null" }, "return r.b", batch)
            gives({ "1", "null" }, "return r.c and r.c.d[1]", batch)
            gives({ '{"a":1,"b":"x","c":{"d":[1]}}', '{"a":2}' }, "return r", batch)
        end)

        it("cannot be changed", function()
            raises("cannot be changed %(column 'n'%)", "r.n = 1 return 1", rows.batch { { n = 1 } })
            raises("cannot be changed", "r.other = 1 return 1", rows.batch { { n = 1 } })
        end)

        it("goes through its columns in order", function()
            gives({ '"a=1 b=x "' }, "local out = '' for k, v in pairs(r) do out = out .. k .. '=' .. v .. ' ' end return out",
                rows.batch { { b = "x", a = 1, c = rows.json "null" } })
        end)

        it("is a table by type, and equal to itself", function()
            gives({ "true" }, "return type(r) == 'table' and r == r and r ~= nil and not (r == nil) and r ~= 5", rows.batch { { n = 1 } })
        end)

        it("is seen by each batch's own columns, in whatever order they come", function()
            local fn = assert(rows.fn(s, "return function(r) return r.x - (r.y or 0) end"))
            for _ = 1, 3 do
                assert.are.same({ "3" }, (rows.map(s, fn, rows.batch({ { x = 5, y = 2 } }, { columns = { "x", "y" } }))))
                assert.are.same({ "3" }, (rows.map(s, fn, rows.batch({ { x = 5, y = 2 } }, { columns = { "y", "x" } }))))
                assert.are.same({ "5" }, (rows.map(s, fn, rows.batch({ { x = 5 } }, { columns = { "x" } }))))
                assert.are.same({ "4" }, (rows.map(s, fn, rows.batch({ { a = 1, x = 5, y = 1 } }))))
            end
        end)

        it("reads the same through filtered maps", function()
            local batch = rows.batch { { n = 1 }, { n = 2 }, { n = 3 }, { n = 4 } }
            local arena = rows.arena()
            local some = lib.batch_filter(arena, batch, ffi.new("uint8_t[4]", { 0, 1, 0, 1 }))
            local fn = assert(rows.fn(s, "return function(r) return r.n * 10 end"))
            assert.are.same({ "20", "40" }, (rows.map(s, fn, some)))
        end)

        it("agrees with a plain reading of many random rows", function()
            math.randomseed(SEED)
            local values = { 1, 2.5, "x", "yy", true, false, "zzz", -3, rows.json '"\\u0041"', rows.json "[1]" }
            local plain = { "1", "2.5", '"x"', '"yy"', "true", "false", '"zzz"', "-3", '"A"', "[1]" }
            local list, expected = {}, {}
            for i = 1, 3000 do
                local k = math.random(#values + 1)
                list[i], expected[i] = { v = values[k] }, plain[k] or "null"
            end
            gives(expected, "return r.v", rows.batch(list, { intern = rows.intern() }))
        end)
    end)
end

describe("the layout that Lua knows", function()
    it("is the engine's", function()
        -- scripts/row.lua declares the structs by itself; what it declares is compared with the headers.
        local file = assert(io.open "scripts/row.lua")
        local text = file:read "*a"
        file:close()
        local declared = text:match("%(%[%[\n(.-)\n%]%]%)")
        declared = declared:gsub("@", "hidden_"):gsub("int script_.-;", ""):gsub("void script_.-;", ""):gsub("double script_.-;", "")
        -- The same names again, in front of them "lua_".
        for name in declared:gmatch "typedef struct ([%w_]+)" do
            declared = declared:gsub("struct " .. name .. "([%s{;])", "struct lua_" .. name .. "%1")
                :gsub("([^%w_])" .. name .. "_t([^%w_])", "%1lua_" .. name .. "_t%2")
        end
        ffi.cdef(declared)
        local checked = 0
        for name, fields in pairs {
            slice = "s len", sym = "id len body_len hash bytes body", cell = "kind flags spare len raw u", origin = "time offset topic partition tick flags key value",
            column = "cells map", batch = "n n_origins n_columns open origin sub origins columns names", known_symbol = "sym hash spare",
            rows_arg = "rows pass out arena some at first n layout format",
        } do
            local theirs, ours = name .. "_t", "lua_" .. name .. "_t"
            assert.are.equal(ffi.sizeof(theirs), ffi.sizeof(ours), name)
            for field in fields:gmatch "%S+" do
                assert.are.equal(ffi.offsetof(theirs, field), ffi.offsetof(ours, field), name .. "." .. field)
                checked = checked + 1
            end
        end
        assert.is_true(checked > 40)
    end)
end)
