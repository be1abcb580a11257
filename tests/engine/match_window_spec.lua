local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("match_window", "batch", "cell")

-- A batch of one row: columns { { name, integer } ... }.
local function row(time, columns)
    local n = #columns
    local keep = { cells = ffi.new("cell_t[?]", n + 1), columns = ffi.new("column_t[?]", n + 1), names = ffi.new("const char *[?]", n + 1),
        zero = ffi.new("uint32_t[1]"), origin = ffi.new("origin_t[1]"), text = columns }
    keep.origin[0].time = time
    for i, column in ipairs(columns) do
        keep.cells[i - 1].kind, keep.cells[i - 1].u.i = lib.CELL_INT, column[2]
        keep.columns[i - 1].cells, keep.columns[i - 1].map = keep.cells + i - 1, keep.zero
        keep.names[i - 1] = column[1]
    end
    local b = ffi.new "batch_t"
    b.n, b.n_origins, b.n_columns = 1, 1, n
    b.origin, b.sub, b.origins, b.columns, b.names = keep.zero, keep.zero, keep.origin, keep.columns, keep.names
    return b, keep
end

local function shown(w)
    local b, lines = w.batch, {}
    for i = 0, b.n - 1 do
        local parts = { tostring(tonumber(b.origins[b.origin[i]].time)) }
        for c = 0, b.n_columns - 1 do
            local cell = b.columns[c].cells[b.columns[c].map[i]]
            if cell.kind ~= 0 then parts[#parts + 1] = ffi.string(b.names[c]) .. "=" .. tonumber(cell.u.i) end
        end
        table.sort(parts)
        lines[i + 1] = table.concat(parts, " ")
    end
    return table.concat(lines, "; ")
end

describe("match_window", function()
    it("is a batch of the rows added and not dropped, as a Lua list is", function()
        math.randomseed(SEED)
        local w, model, first = ffi.new "match_window_t", {}, 0
        lib.match_window_init(w, 0)
        local names = { "a", "b", "c", "d", "e" }
        for step = 1, 3000 do
            if math.random(3) > 1 then
                local columns, parts = {}, { tostring(step) }
                for i = 1, math.random(0, 5) do
                    local at = math.random(#columns + 1)
                    table.insert(columns, at, { names[i], step * 10 + i })
                end
                for _, column in ipairs(columns) do parts[#parts + 1] = column[1] .. "=" .. column[2] end
                table.sort(parts)
                model[#model + 1] = table.concat(parts, " ")
                local b, keep = row(step, columns)
                lib.match_window_add(w, b, ffi.cast("void *", step))
                assert.equal(columns, keep.text)      -- alive until here
                assert.equal(step, tonumber(ffi.cast("intptr_t", lib.match_window_source(w, first + #model - 1))))
            else
                local n = math.random(0, math.min(#model, 4))
                if math.random(50) == 1 then n = #model end
                for _ = 1, n do table.remove(model, 1) end
                first = first + n
                lib.match_window_drop(w, first)
            end
            assert.equal(first, tonumber(w.first))
            if step % 17 == 0 then assert.equal(table.concat(model, "; "), shown(w)) end
        end
        lib.match_window_fini(w)
    end)
end)
