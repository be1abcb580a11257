-- flow: what a rule's function does with its row, found in its bytecode before it ever runs.
-- An abstract interpretation: every register holds a set of atoms that say where its value may come from. It follows local
-- closures and captured functions. Where it loses sight of the row, the answer is "all columns": it is never wrong, only
-- less sharp. From the answer come the columns that are decoded, the faults for names that no input has, and which
-- predicates may be asked once per distinct value.

local bytecode = require "bytecode"

local flow = {}

-- What one analysis may cost, in instructions looked at; beyond, the answer is "all".
local BUDGET = 10000
local MAX_ATOMS = 12
local MAX_DEPTH = 20

-- ---- values: interned sets of atoms ----

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
            elseif atom.kind ~= "string" and atom.kind ~= "column" and atom ~= OTHER then kept.lost = true end
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
flow.m_functions = m_functions

local facts = { _time = true, _from = true, _label = true }

-- ---- one analysis ----

local run = {}
run.__index = run

local GIVE_UP = {}

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

local function known(self, v)
    if v == nil then return other end
    local kind = type(v)
    if kind == "string" then return value(interned(self, "string", v)) end
    if kind == "number" or kind == "boolean" then return other end
    return value(interned(self, "known", v))
end

-- A row or m that goes where it cannot be followed; closures that go there may be called from there.
function run:escape(v)
    if v == nil then return end
    if has(v, "row") or has(v, "rows") or has(v, "m") or has(v, "m_function") or v.lost then self:all() end
    if has(v, "m") or has(v, "m_function") then self.out.history = true end
    for _, atom in ipairs(v) do
        if atom.kind == "closure" or (atom.kind == "known" and type(atom.v) == "function") then
            local given = self:call_atom(atom, {}, 0)
            if has(given, "row") or has(given, "rows") or has(given, "m") or has(given, "m_function") then self:all() end
        end
    end
end

-- Members of a captured table: followed while it is plain data or a library.
local function member(self, holder, key)
    local kind = type(holder)
    if kind == "table" and debug.getmetatable(holder) == nil then return known(self, rawget(holder, key)) end
    if kind == "userdata" then
        local ok, v = pcall(function() return holder[key] end)
        if ok then return known(self, v) end
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
            got = value(atom)
            if names and string_methods[names[1]] then got = value(atom, STRING_METHOD) end
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
            return known(self, v)
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
    if kind ~= "string_method" and kind ~= "column" then self:impure() end
    for _, arg in ipairs(args) do self:escape(arg) end
    if kind == "row" or kind == "m" then self:all() end
    return other
end

-- ---- one activation of a prototype ----

local frame = {}
frame.__index = frame

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
            if has(arg, "row") or has(arg, "m") or has(arg, "rows") then self:all() end
        end
        self:impure()
        return other
    end
    active[key] = true
    self.depth = self.depth + 1
    local source = self.source
    self.source = debug.getinfo(owner, "S").source:gsub("^@", "")
    local f = setmetatable({ run = self, owner = owner, proto = proto, upvalue = upvalue, assign = assign, shared = {} }, frame)
    local before
    repeat
        before = f.changed
        f:pass(args)
    until f.changed == before
    self.source = source
    self.depth = self.depth - 1
    active[key] = nil
    seen[key] = { epoch = self.epoch, value = f.returns or other }
    return f.returns or other
end

-- A slot that closures captured holds whatever was ever put there.
function frame:get(state, slot)
    local v = state[slot] or other
    local shared = self.shared[slot]
    return shared and join(v, shared) or v
end

function frame:share(slot, v)
    local joined = join(self.shared[slot], v)
    if joined ~= self.shared[slot] then
        self.shared[slot] = joined
        self.changed = (self.changed or 0) + 1
        self.run.epoch = self.run.epoch + 1
    end
end

function frame:set(state, slot, v)
    state[slot] = v
    if self.captured[slot] then self:share(slot, v) end
end

local function captured_slots(proto)
    local slots = {}
    for _, child in ipairs(proto.children) do
        for _, uv in ipairs(child.upvalues) do
            if uv.is_local then slots[uv.slot] = true end
        end
    end
    return slots
end

function frame:pass(args)
    local proto = self.proto
    self.captured = self.captured or captured_slots(proto)
    local first = {}
    for i = 1, proto.params do self:set(first, i - 1, args[i] or other) end
    if proto.flags % 4 >= 2 then
        -- Beyond the named ones, they are `...`.
        for i = proto.params + 1, #args do self.run:escape(args[i]) end
    end
    self.states, self.todo = { [1] = first }, { 1 }
    while #self.todo > 0 do
        local pc = table.remove(self.todo)
        self.run.steps = self.run.steps + 1
        if self.run.steps > BUDGET then error(GIVE_UP, 0) end
        self:step(pc)
    end
end

function frame:go(pc, state)
    if pc < 1 or pc > #self.proto.code then return end
    local before = self.states[pc]
    if not before then
        local copy = {}
        for slot, v in pairs(state) do copy[slot] = v end
        self.states[pc] = copy
        self.todo[#self.todo + 1] = pc
        return
    end
    local changed = false
    for slot, v in pairs(state) do
        local joined = join(before[slot] or other, v)
        if joined ~= before[slot] and not (before[slot] == nil and joined == other) then
            before[slot] = joined
            changed = true
        end
    end
    if changed then self.todo[#self.todo + 1] = pc end
end

local function jump(pc, ins) return pc + 1 + ins.d - 0x8000 end

function frame:closure(proto)
    local atom = self.closures and self.closures[proto]
    if not atom then
        atom = { kind = "closure", proto = proto, owner = self.owner }
        atom.upvalue = function(i)
            local uv = proto.upvalues[i]
            if not uv then return other end
            if uv.is_local then return self.shared[uv.slot] or other end
            return self.upvalue(uv.slot + 1)
        end
        atom.assign = function(i, v)
            local uv = proto.upvalues[i]
            if uv and uv.is_local then self:share(uv.slot, v) elseif self.assign then self.assign(uv.slot + 1, v) else self.run:escape(v) end
        end
        self.closures = self.closures or {}
        self.closures[proto] = atom
    end
    return atom
end

function frame:arguments(state, base, n, multi)
    local args = {}
    for i = 0, n - 1 do args[#args + 1] = self:get(state, base + self.run.gap + i) end
    if multi then args[#args + 1] = state.multi or other end
    return args
end

function frame:results(state, base, wanted, v)
    if wanted < 0 then
        state.multi = v
        return
    end
    for i = 0, wanted - 1 do self:set(state, base + i, v) end
end

local arithmetic = {}
for name in ([[ADDVN SUBVN MULVN DIVVN MODVN ADDNV SUBNV MULNV DIVNV MODNV]]):gmatch("%S+") do arithmetic[name] = 1 end
for name in ([[ADDVV SUBVV MULVV DIVVV MODVV POW]]):gmatch("%S+") do arithmetic[name] = 2 end

local ops = {}

local function test(self, pc, ins, state)
    self:go(pc + 1, state)
    self:go(pc + 2, state)
end
for name in ("ISEQV ISNEV ISEQS ISNES ISEQN ISNEN ISEQP ISNEP IST ISF"):gmatch("%S+") do ops[name] = test end
for name in ("ISLT ISGE ISLE ISGT"):gmatch("%S+") do
    ops[name] = function(self, pc, ins, state)
        self.run:escape(self:get(state, ins.a))
        self.run:escape(self:get(state, ins.d))
        test(self, pc, ins, state)
    end
end
function ops.ISTC(self, pc, ins, state)
    self:set(state, ins.a, join(state[ins.a], self:get(state, ins.d)))
    test(self, pc, ins, state)
end
ops.ISFC = ops.ISTC
function ops.MOV(self, _, ins, state) self:set(state, ins.a, self:get(state, ins.d)) end
function ops.NOT(self, _, ins, state) self:set(state, ins.a, other) end
function ops.UNM(self, _, ins, state)
    self.run:escape(self:get(state, ins.d))
    self:set(state, ins.a, other)
end
function ops.LEN(self, _, ins, state)
    local v = self:get(state, ins.d)
    if has(v, "row") or has(v, "m") then self.run:escape(v) end
    self:set(state, ins.a, other)
end
for name, operands in pairs(arithmetic) do
    ops[name] = function(self, _, ins, state)
        self.run:escape(self:get(state, ins.b))
        if operands == 2 then self.run:escape(self:get(state, ins.c)) end
        self:set(state, ins.a, other)
    end
end
function ops.CAT(self, _, ins, state)
    for slot = ins.b, ins.c do self.run:escape(self:get(state, slot)) end
    self:set(state, ins.a, other)
end
function ops.KSTR(self, _, ins, state) self:set(state, ins.a, known(self.run, self.proto.constants[ins.d])) end
local function constant(self, _, ins, state) self:set(state, ins.a, other) end
for name in ("KCDATA KSHORT KNUM KPRI TNEW TDUP"):gmatch("%S+") do ops[name] = constant end
function ops.KNIL(self, _, ins, state)
    for slot = ins.a, ins.d do self:set(state, slot, other) end
end
function ops.UGET(self, _, ins, state) self:set(state, ins.a, self.upvalue(ins.d + 1)) end
function ops.USETV(self, _, ins, state)
    local v = self:get(state, ins.d)
    if self.assign then self.assign(ins.a + 1, v) else self.run:escape(v) end
end
local function nothing() end
ops.USETS, ops.USETN, ops.USETP, ops.ISTYPE, ops.ISNUM, ops.LOOP, ops.ILOOP, ops.JLOOP = nothing, nothing, nothing, nothing,
    nothing, nothing, nothing, nothing
function ops.FNEW(self, _, ins, state)
    self:set(state, ins.a, value(self:closure(self.proto.constants[ins.d].child)))
end
function ops.GGET(self, _, ins, state)
    local v = self.run.lookup(self.owner, self.proto.constants[ins.d])
    self:set(state, ins.a, known(self.run, v))
end
function ops.GSET(self, _, ins, state)
    self.run:escape(self:get(state, ins.a))
    self.run:impure()
end
function ops.TGETV(self, pc, ins, state)
    self:set(state, ins.a, self.run:index(self:get(state, ins.b), nil, self:get(state, ins.c), self.proto.lines[pc] or 0))
end
ops.TGETR = ops.TGETV
function ops.TGETS(self, pc, ins, state)
    self:set(state, ins.a, self.run:index(self:get(state, ins.b), self.proto.constants[ins.c], nil, self.proto.lines[pc] or 0))
end
function ops.TGETB(self, pc, ins, state)
    self:set(state, ins.a, self.run:index(self:get(state, ins.b), nil, other, self.proto.lines[pc] or 0))
end
local function put(self, _, ins, state)
    self.run:escape(self:get(state, ins.a))
    local base = self:get(state, ins.b)
    if has(base, "row") or has(base, "known") then self.run:impure() end
end
ops.TSETV, ops.TSETS, ops.TSETB, ops.TSETR = put, put, put, put
function ops.TSETM(self, _, _, state) self.run:escape(state.multi) end

local function call(self, pc, ins, state, n, multi, wanted)
    local args = self:arguments(state, ins.a, n, multi)
    local callee = self:get(state, ins.a)
    local v = self.run:call(callee, args, self.proto.lines[pc] or 0, multi)
    if has(v, "iter") then
        -- ipairs(m.rows(...)): the iterator, its list, the count.
        self:set(state, ins.a, value(ITER))
        self:set(state, ins.a + 1, args[1] or other)
        self:set(state, ins.a + 2, other)
        return v
    end
    if wanted then self:results(state, ins.a, wanted, v) end
    return v
end
function ops.CALL(self, pc, ins, state) call(self, pc, ins, state, ins.c - 1, false, ins.b - 1) end
function ops.CALLM(self, pc, ins, state) call(self, pc, ins, state, ins.c, true, ins.b - 1) end
function ops.ITERC(self, pc, ins, state)
    local callee, list = self:get(state, ins.a - 3), self:get(state, ins.a - 2)
    local v
    if has(callee, "iter") then
        v = value(ROW, OTHER)
    else
        v = self.run:call(callee, { list, self:get(state, ins.a - 1) }, self.proto.lines[pc] or 0)
        if has(list, "row") then self.run:all() end
    end
    self:results(state, ins.a, ins.b - 1, v)
end
ops.ITERN = ops.ITERC
function ops.VARG(self, _, ins, state)
    self:results(state, ins.a, ins.b - 1, other)
end
function ops.FORI(self, pc, ins, state)
    self:set(state, ins.a + 3, other)
    self:go(pc + 1, state)
    self:go(jump(pc, ins), state)
end
ops.JFORI = ops.FORI
function ops.FORL(self, pc, ins, state)
    self:set(state, ins.a + 3, other)
    self:go(jump(pc, ins), state)
    self:go(pc + 1, state)
end
ops.IFORL, ops.JFORL = ops.FORL, ops.FORL
function ops.ITERL(self, pc, ins, state)
    -- The control variable becomes the first result.
    self:set(state, ins.a - 1, join(state[ins.a - 1], self:get(state, ins.a)))
    self:go(jump(pc, ins), state)
    self:go(pc + 1, state)
end
ops.IITERL, ops.JITERL = ops.ITERL, ops.ITERL
function ops.JMP(self, pc, ins, state) self:go(jump(pc, ins), state) end
ops.UCLO, ops.ISNEXT = ops.JMP, ops.JMP

local function gives(self, v)
    self.returns = join(self.returns, v)
end
function ops.RET(self, _, ins, state)
    for i = 0, ins.d - 2 do gives(self, self:get(state, ins.a + i)) end
end
function ops.RET1(self, _, ins, state) gives(self, self:get(state, ins.a)) end
function ops.RET0() end
function ops.RETM(self, _, ins, state)
    for i = 0, ins.d - 1 do gives(self, self:get(state, ins.a + i)) end
    gives(self, state.multi or other)
end
function ops.CALLT(self, pc, ins, state) gives(self, call(self, pc, ins, state, ins.d - 1, false)) end
function ops.CALLMT(self, pc, ins, state) gives(self, call(self, pc, ins, state, ins.d, true)) end

-- These say themselves where it goes on, or that it does not.
local own_flow = {}
for name in ([[ISLT ISGE ISLE ISGT ISEQV ISNEV ISEQS ISNES ISEQN ISNEN ISEQP ISNEP ISTC ISFC IST ISF FORI JFORI FORL IFORL
    JFORL ITERL IITERL JITERL JMP UCLO ISNEXT RET RET0 RET1 RETM CALLT CALLMT]]):gmatch("%S+") do own_flow[name] = true end

function frame:step(pc)
    local ins = self.proto.code[pc]
    local state = {}
    for slot, v in pairs(self.states[pc]) do state[slot] = v end
    local op = ops[ins.op]
    if not op then error(GIVE_UP, 0) end
    op(self, pc, ins, state)
    if not own_flow[ins.op] then self:go(pc + 1, state) end
end

-- ---- the question ----

local roles = { row = value(ROW, OTHER), m = value(M), other = other }

-- parameters: what each parameter is: "row", "m", "other". settings: { words = function -> name, lookup = function(f, name) ->
-- the global of that name for f, is_user = function(f) -> written in a rule file? }. Gives { columns, labels, unknown_m = name ->
-- place, all, facts, pure, history, returns_row }.
function flow.analyse(f, parameters, settings)
    local out = { columns = {}, facts = {}, labels = {}, unknown_m = {}, all = false, pure = true, history = false }
    local proto = settings.is_user(f) and bytecode.read(f)
    if not proto then
        out.all, out.pure, out.history = true, false, true
        return out
    end
    local self = setmetatable({ out = out, words = settings.words, lookup = settings.lookup, is_user = settings.is_user, atoms = {},
        active = {}, answers = {}, captures = {}, epoch = 0, steps = 0, depth = 0, gap = proto.gap }, run)
    local args = {}
    for i, role in ipairs(parameters) do args[i] = roles[role] end
    local ok, why = pcall(function()
        return self:enter(f, proto, self:captured(f), args)
    end)
    if not ok then
        if why ~= GIVE_UP then error(why, 0) end
        out.all, out.pure, out.history = true, false, true
    elseif has(why, "row") or has(why, "m") or has(why, "rows") or has(why, "m_function") then
        -- What is returned is looked at as a whole, where it is looked at.
        out.returns_row = true
    end
    return out
end

return flow
