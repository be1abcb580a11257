-- atoms: what flow.lua knows of a value: a set of atoms, each one origin it may have. { kind = "row" }, "m", "rows" (a list of
-- rows), "iter" (what walks one), "column" (of the row; v = its name, or the names down to a member of a nested value, joined by
-- atoms.DOWN; whole = somebody looks at the value itself and not only at members of it), "string" (v = the constant), "known" (v = a Lua value that
-- was there before the rule ran), "closure", "m_function" (v = its name), "string_method", "other" (nothing of these).

local atoms = {}

local MAX_ATOMS = 12

-- Between the names of a path; no byte of UTF-8, so no member's name has it.
atoms.DOWN = "\255"
-- The input a row came from, as a column where a function asks for it; it never goes on.
atoms.FROM = "_from"

local OTHER = { kind = "other" }
local ROW, M, ROWS, ITER = { kind = "row" }, { kind = "m" }, { kind = "rows" }, { kind = "iter" }
local STRING_METHOD = { kind = "string_method" }

local function value(...) return { ... } end
local other = value(OTHER)

local function has(v, kind)
    for _, atom in ipairs(v) do
        if atom.kind == kind then return true end
    end
    return false
end

local function contains(v, atom)
    for _, a in ipairs(v) do
        if a == atom then return true end
    end
    return false
end

local function join(a, b)
    if a == b or b == nil then return a end
    if a == nil then return b end
    local out
    for _, atom in ipairs(b) do
        if not contains(out or a, atom) then
            out = out or { unpack(a) }
            out[#out + 1] = atom
        end
    end
    if not out then return a end
    if #out > MAX_ATOMS then
        local kept = { OTHER }
        for _, atom in ipairs(out) do
            if atom == ROW or atom == M or atom == ROWS then kept[#kept + 1] = atom
            elseif atom.kind == "column" then atom.whole = true     -- what becomes of it is no longer followed
            elseif atom.kind ~= "string" and atom ~= OTHER then kept.lost = true end
        end
        kept.lost = kept.lost or a.lost or b.lost
        return kept
    end
    out.lost = a.lost or b.lost
    return out
end

-- Words whose answer depends on their arguments alone.
local pure = {}
for name in ([[type tostring tonumber select next pairs ipairs unpack assert error pcall set timestamp rawequal
    string.byte string.char string.find string.format string.gmatch string.gsub string.len string.lower string.match
    string.rep string.reverse string.sub string.upper table.concat table.insert table.maxn table.remove table.sort
    table.move setmetatable getmetatable]]):gmatch("%S+") do pure[name] = true end

local string_methods = {}
for name in pairs(pure) do
    local method = name:match("^string%.(.*)$")
    if method then string_methods[method] = true end
end

local function is_pure_word(word)
    return pure[word] or word:match("^math%.") and word ~= "math.random" and word ~= "math.randomseed" or word:match("^bit%.") or false
end

-- What the functions of m give and take: `row` = a row, `column` = which argument is a column's name.
local m_functions = {
    prev = { row = true, local_only = true }, next_row = { row = true, local_only = true },
    first = { row = true, var = true }, last = { row = true, var = true },
    final_first = { row = true, var = true }, final_last = { row = true, var = true },
    count = { var = true, column = true }, sum = { var = true, column = true }, avg = { var = true, column = true },
    min = { var = true, column = true }, max = { var = true, column = true }, listagg = { var = true, column = true },
    final_count = { var = true, column = true }, final_sum = { var = true, column = true }, final_avg = { var = true, column = true },
    match_number = {}, classifier = { var = true }, rows = { var = true, rows = true },
    prev_of = { row = true, of = true }, next_of = { row = true, of = true },
}

local facts = { _time = true, [atoms.FROM] = true, _label = true }

atoms.OTHER, atoms.ROW, atoms.M, atoms.ROWS, atoms.ITER, atoms.STRING_METHOD = OTHER, ROW, M, ROWS, ITER, STRING_METHOD
atoms.value, atoms.other, atoms.has, atoms.join = value, other, has, join
atoms.string_methods, atoms.is_pure_word, atoms.m_functions, atoms.facts = string_methods, is_pure_word, m_functions, facts
return atoms
