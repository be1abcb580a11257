-- flow_frame: one activation of a prototype in flow.lua: which atoms each register may hold at each instruction, until nothing
-- new comes.

local atoms = require "atoms"

local OTHER, ROW, ITER = atoms.OTHER, atoms.ROW, atoms.ITER
local value, other, has, join = atoms.value, atoms.other, atoms.has, atoms.join

local frame = { GIVE_UP = {} }
frame.__index = frame

-- What one analysis may cost, in instructions looked at; beyond, it gives up.
local BUDGET = 10000

-- owner: the loaded function that the prototype is, or is inside of. upvalue(i) gives what it captured, assign(i, v) changes it.
function frame.new(run, owner, proto, upvalue, assign)
    return setmetatable({ run = run, owner = owner, proto = proto, upvalue = upvalue, assign = assign, shared = {} }, frame)
end

-- What it gives back, as a value.
function frame:answer(args)
    local before
    repeat
        before = self.changed
        self:pass(args)
    until self.changed == before
    return self.returns or other
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
        if self.run.steps > BUDGET then error(frame.GIVE_UP, 0) end
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
for name in ("ISEQP ISNEP"):gmatch("%S+") do ops[name] = test end

-- What a value can still be where it is nil or false: nothing of which members could be read.
local function falsy(v)
    if not has(v, "column") then return v end
    local out = {}
    for _, atom in ipairs(v) do
        if atom.kind ~= "column" then out[#out + 1] = atom end
    end
    out.lost = v.lost
    return #out > 0 and out or other
end

-- The same state with another value in one slot, as of the way on which that is known.
local function with(state, slot, v)
    local out = {}
    for k, x in pairs(state) do out[k] = x end
    out[slot] = v
    return out
end

-- The instruction behind a test is a jump, which is taken when the test holds.
function ops.IST(self, pc, ins, state)
    self:go(pc + 1, state)
    self:go(pc + 2, with(state, ins.d, falsy(self:get(state, ins.d))))
end
function ops.ISF(self, pc, ins, state)
    self:go(pc + 1, with(state, ins.d, falsy(self:get(state, ins.d))))
    self:go(pc + 2, state)
end
for name in ("ISEQV ISNEV ISEQS ISNES ISEQN ISNEN"):gmatch("%S+") do
    local both = name:match "V$"
    ops[name] = function(self, pc, ins, state)
        self.run:whole(self:get(state, ins.a))
        if both then self.run:whole(self:get(state, ins.d)) end
        test(self, pc, ins, state)
    end
end
for name in ("ISLT ISGE ISLE ISGT"):gmatch("%S+") do
    ops[name] = function(self, pc, ins, state)
        self.run:escape(self:get(state, ins.a))
        self.run:escape(self:get(state, ins.d))
        test(self, pc, ins, state)
    end
end
function ops.ISTC(self, pc, ins, state)
    self:go(pc + 2, with(state, ins.d, falsy(self:get(state, ins.d))))
    self:set(state, ins.a, self:get(state, ins.d))
    self:go(pc + 1, state)
end
function ops.ISFC(self, pc, ins, state)
    self:go(pc + 2, state)
    self:set(state, ins.a, falsy(self:get(state, ins.d)))
    self:go(pc + 1, state)
end
function ops.MOV(self, _, ins, state) self:set(state, ins.a, self:get(state, ins.d)) end
function ops.NOT(self, _, ins, state) self:set(state, ins.a, other) end
function ops.UNM(self, _, ins, state)
    self.run:escape(self:get(state, ins.d))
    self:set(state, ins.a, other)
end
function ops.LEN(self, _, ins, state)
    local v = self:get(state, ins.d)
    self.run:whole(v)
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
function ops.KSTR(self, _, ins, state) self:set(state, ins.a, self.run:known(self.proto.constants[ins.d])) end
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
    self:set(state, ins.a, self.run:known(v))
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
    self.run:whole(base)
    if has(base, "row") or has(base, "known") then self.run:impure() end
end
ops.TSETS, ops.TSETB = put, put
function ops.TSETV(self, pc, ins, state)
    self.run:whole(self:get(state, ins.c))
    put(self, pc, ins, state)
end
ops.TSETR = ops.TSETV
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
    for slot = ins.a, ins.a + 2 do self.run:whole(self:get(state, slot)) end
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
    if not op then error(frame.GIVE_UP, 0) end
    op(self, pc, ins, state)
    if not own_flow[ins.op] then self:go(pc + 1, state) end
end

return frame
