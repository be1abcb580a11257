-- flow: what a rule's function does with its row, found in its bytecode before it ever runs.
-- An abstract interpretation: every register holds a set of atoms that say where its value may come from. It follows local
-- closures and captured functions. Where it loses sight of the row, the answer is "all columns": it is never wrong, only
-- less sharp. From the answer come the columns that are decoded, the faults for names that no input has, and which
-- predicates may be asked once per distinct value.

local atoms = require "atoms"
local bytecode = require "bytecode"
local frame = require "flow_frame"

local flow = { m_functions = atoms.m_functions }

local MAX_DEPTH = 20
local MAX_PATHS, MAX_STEPS = 48, 12     -- members of nested values that one function is followed to, and how far down
local DOWN = atoms.DOWN

local ROW, M, ROWS, OTHER, ITER, STRING_METHOD = atoms.ROW, atoms.M, atoms.ROWS, atoms.OTHER, atoms.ITER, atoms.STRING_METHOD
local value, other, has, join = atoms.value, atoms.other, atoms.has, atoms.join
local string_methods, is_pure_word, m_functions, facts = atoms.string_methods, atoms.is_pure_word, atoms.m_functions, atoms.facts

-- ---- one analysis ----

local run = {}
run.__index = run

function run:all()
    self.out.all = true
end

function run:column(name, line)
    if facts[name] then
        self.out.facts[name] = true
        if name == "_label" then self.out.history = true end
        if name == "_time" or name == "_from" then self.out.pure = false end
        return
    end
    self.out.columns[name] = self.out.columns[name] or { file = self.source, line = line }
end

function run:impure() self.out.pure = false end

local function interned(self, kind, key)
    local of_kind = self.atoms[kind]
    if not of_kind then
        of_kind = {}
        self.atoms[kind] = of_kind
    end
    local atom = of_kind[key]
    if not atom then
        atom = { kind = kind, v = key }
        of_kind[key] = atom
    end
    return atom
end

function run:known(v)
    if v == nil then return other end
    local kind = type(v)
    if kind == "string" then return value(interned(self, "string", v)) end
    if kind == "number" or kind == "boolean" then return other end
    return value(interned(self, "known", v))
end

-- The values themselves are looked at, not only members of what is nested in them.
function run:whole(v)
    for _, atom in ipairs(v) do
        if atom.kind == "column" then atom.whole = true end
    end
end

-- A named member of a column's nested value.
function run:member(atom, name)
    local path = atom.v .. DOWN .. name
    local known = self.atoms.column[path]
    if known then return value(known) end
    if atom.whole or self.paths >= MAX_PATHS or (atom.depth or 1) >= MAX_STEPS or name:find(DOWN, 1, true) then
        atom.whole = true
        return value(atom)
    end
    self.paths = self.paths + 1
    local found = interned(self, "column", path)
    found.parent, found.depth = atom, (atom.depth or 1) + 1
    return value(found)
end

-- A row or m that goes where it cannot be followed; closures that go there may be called from there.
function run:escape(v)
    if v == nil then return end
    self:whole(v)
    if has(v, "row") or has(v, "rows") or has(v, "m") or has(v, "m_function") or v.lost then self:all() end
    if has(v, "m") or has(v, "m_function") then self.out.history = true end
    for _, atom in ipairs(v) do
        if atom.kind == "closure" or (atom.kind == "known" and type(atom.v) == "function") then
            local given = self:call_atom(atom, {}, 0)
            self:whole(given)
            if has(given, "row") or has(given, "rows") or has(given, "m") or has(given, "m_function") then self:all() end
        end
    end
end

-- Members of a captured table: followed while it is plain data or a library.
local function member(self, holder, key)
    local kind = type(holder)
    if kind == "table" and debug.getmetatable(holder) == nil then return self:known(rawget(holder, key)) end
    if kind == "userdata" then
        local ok, v = pcall(function() return holder[key] end)
        if ok then return self:known(v) end
    end
    self:impure()
    return other
end

local function holds_functions(t, seen)
    if type(t) ~= "table" or seen[t] then return false end
    seen[t] = true
    if debug.getmetatable(t) then return true end
    for _, v in next, t do
        if type(v) == "function" or (type(v) == "table" and holds_functions(v, seen)) then return true end
    end
    return false
end

-- base[key] where key is a constant string, or a value, or a number.
function run:index(base, name, key, line)
    local out
    local names = name and { name } or nil
    if not names and key then
        self:whole(key)
        local all_strings = #key > 0
        for _, atom in ipairs(key) do
            if atom.kind ~= "string" then all_strings = false end
        end
        if all_strings then
            names = {}
            for _, atom in ipairs(key) do names[#names + 1] = atom.v end
        end
    end
    for _, atom in ipairs(base or other) do
        local kind, got = atom.kind, other
        if kind == "row" then
            if names then
                for _, n in ipairs(names) do
                    if n:find(DOWN, 1, true) then self:all() end
                    self:column(n, line)
                    got = join(got ~= other and got or nil, value(interned(self, "column", n)))
                end
            else
                self:all()
            end
        elseif kind == "m" then
            for _, n in ipairs(names or {}) do
                if m_functions[n] then
                    got = value(interned(self, "m_function", n))
                else
                    self.out.unknown_m[n] = self.out.unknown_m[n] or { file = self.source, line = line }
                end
            end
            if not names then self:escape(value(M)) end
        elseif kind == "rows" then
            got = (not names) and value(ROW) or other
        elseif kind == "column" then
            if names then
                for _, n in ipairs(names) do got = join(got ~= other and got or nil, self:member(atom, n)) end
                if string_methods[names[1]] then got = join(got, value(STRING_METHOD)) end
            else
                atom.whole = true
                got = value(atom)
            end
        elseif kind == "known" then
            if names and #names == 1 then
                got = member(self, atom.v, names[1])
            elseif holds_functions(atom.v, {}) or type(atom.v) ~= "table" then
                self:impure()
            end
        elseif names and string_methods[names[1]] then
            got = value(STRING_METHOD)
        end
        out = join(out, got)
    end
    return out or other
end

-- Arguments are values, `more` says that there may be further ones that are not listed. Gives the joined results.
function run:call(callee, args, line, more)
    local out
    if callee == nil then callee = other end
    if callee.lost then self:impure() for _, arg in ipairs(args) do self:escape(arg) end end
    for _, atom in ipairs(callee) do
        out = join(out, self:call_atom(atom, args, line, more) or other)
    end
    return out or other
end

function run:call_m(name, args, line)
    local spec = m_functions[name]
    if not spec.local_only then self.out.history = true end
    if spec.var and args[1] then
        for _, atom in ipairs(args[1]) do
            if atom.kind == "string" then self.out.labels[atom.v] = self.out.labels[atom.v] or { file = self.source, line = line } end
        end
    end
    if spec.column and args[2] then
        for _, atom in ipairs(args[2]) do
            if atom.kind == "string" then self:column(atom.v, line) else self:all() end
        end
    end
    for i, arg in ipairs(args) do
        if not (spec.of and i == 1) then self:escape(arg) end
    end
    if spec.row then return value(ROW, OTHER) end
    if spec.rows then return value(ROWS, OTHER) end
    return other
end

function run:call_word(word, args, line)
    if word == "pcall" then
        local rest = { unpack(args, 2) }
        return join(self:call(args[1], rest, line), other)
    elseif word == "assert" then
        local out = other
        for _, arg in ipairs(args) do out = join(out, arg) end
        return out
    elseif (word == "ipairs" or word == "pairs") and args[1] and has(args[1], "rows") then
        return value(ITER, OTHER)
    elseif word == "type" then
        return other
    end
    if not is_pure_word(word) then self:impure() end
    for _, arg in ipairs(args) do self:escape(arg) end
    return other
end

-- What a loaded function captured, as a function of the upvalue's number.
function run:captured(fn)
    local upvalue = self.captures[fn]
    if not upvalue then
        upvalue = function(i)
            local _, v = debug.getupvalue(fn, i)
            return self:known(v)
        end
        self.captures[fn] = upvalue
    end
    return upvalue
end

function run:call_atom(atom, args, line, more)
    local kind = atom.kind
    if kind == "closure" then return self:enter(atom.owner, atom.proto, atom.upvalue, args, atom.assign) end
    if kind == "m_function" then return self:call_m(atom.v, args, line) end
    if kind == "known" and type(atom.v) == "function" then
        local word = self.words[atom.v]
        if word then return self:call_word(word, args, line) end
        if self.is_user(atom.v) then
            local proto = bytecode.read(atom.v)
            if proto then return self:enter(atom.v, proto, self:captured(atom.v), args) end
        end
    end
    if kind == "column" then atom.whole = true
    elseif kind ~= "string_method" then self:impure() end
    for _, arg in ipairs(args) do self:escape(arg) end
    if kind == "row" or kind == "m" then self:all() end
    return other
end

local function key_of(args)
    local parts = {}
    for i, arg in ipairs(args) do
        local names = {}
        for k, atom in ipairs(arg) do
            local id = atom.kind == "other" and "o" or tostring(atom)
            names[k] = id
        end
        table.sort(names)
        parts[i] = table.concat(names, "+")
    end
    return table.concat(parts, ",")
end

-- owner: the loaded function that the prototype is, or is inside of. upvalue(i) gives what it captured, assign(i, v) changes it.
function run:enter(owner, proto, upvalue, args, assign)
    local key = key_of(args)
    -- The same call says the same as long as no captured local holds anything new.
    local seen = self.answers[upvalue]
    if not seen then
        seen = {}
        self.answers[upvalue] = seen
    end
    local earlier = seen[key]
    if earlier and earlier.epoch == self.epoch then return earlier.value end
    local active = self.active[proto]
    if not active then
        active = {}
        self.active[proto] = active
    end
    if active[key] or self.depth >= MAX_DEPTH then
        -- Recursion: what comes back is not known.
        for _, arg in ipairs(args) do
            self:whole(arg)
            if has(arg, "row") or has(arg, "m") or has(arg, "rows") then self:all() end
        end
        self:impure()
        return other
    end
    active[key] = true
    self.depth = self.depth + 1
    local source = self.source
    self.source = debug.getinfo(owner, "S").source:gsub("^@", "")
    local answer = frame.new(self, owner, proto, upvalue, assign):answer(args)
    self.source = source
    self.depth = self.depth - 1
    active[key] = nil
    seen[key] = { epoch = self.epoch, value = answer }
    return answer
end

-- ---- the question ----

local roles = { row = value(ROW, OTHER), m = value(M), other = other }

-- Members that the function reads of nested values by constant names alone, down from columns of which it looks at nothing
-- else, with every value on the way.
function run:opened()
    local paths = {}
    for path, atom in pairs(self.atoms.column or {}) do
        local up = atom.parent
        while up and not up.whole do up = up.parent end
        if atom.parent and not up then paths[path] = true end
    end
    return paths
end

-- parameters: what each parameter is: "row", "m", "other". settings: { words = function -> name, lookup = function(f, name) ->
-- the global of that name for f, is_user = function(f) -> written in a rule file? }. Gives { columns, labels, unknown_m = name ->
-- place, paths, all, facts, pure, history, returns_row }. condition: of its result nobody asks more than whether it holds.
function flow.analyse(f, parameters, settings, condition)
    local out = { columns = {}, paths = {}, facts = {}, labels = {}, unknown_m = {}, all = false, pure = true, history = false }
    local proto = settings.is_user(f) and bytecode.read(f)
    if not proto then
        out.all, out.pure, out.history = true, false, true
        return out
    end
    local self = setmetatable({ out = out, words = settings.words, lookup = settings.lookup, is_user = settings.is_user, atoms = {},
        active = {}, answers = {}, captures = {}, epoch = 0, steps = 0, depth = 0, paths = 0, gap = proto.gap }, run)
    local args = {}
    for i, role in ipairs(parameters) do args[i] = roles[role] end
    local ok, why = pcall(function()
        return self:enter(f, proto, self:captured(f), args)
    end)
    if not ok then
        if why ~= frame.GIVE_UP then error(why, 0) end
        out.all, out.pure, out.history = true, false, true
    elseif has(why, "row") or has(why, "m") or has(why, "rows") or has(why, "m_function") then
        -- What is returned is looked at as a whole, where it is looked at.
        out.returns_row = true
    end
    if not out.all and not out.returns_row then
        if not condition then self:whole(why) end
        out.paths = self:opened()
    end
    return out
end

return flow
