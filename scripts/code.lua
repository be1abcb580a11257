-- code: what rules may not have in their functions, whatever the functions do: names that nobody knows, writes to globals,
-- writes to what was captured from outside. Looks at every function that can be reached from a rule's.

local bytecode = require "bytecode"
local fault = require "fault"

local code = {}

-- file and line of the instruction, for the function f that the prototype belongs to.
local function place(proto, pc, source)
    return source, proto.lines[pc] or proto.first_line or 0
end

local function upvalue_name(f, proto, i, chain)
    -- From a function inside, go up to the one that was loaded.
    for level = #chain, 1, -1 do
        local uv = proto.upvalues[i]
        if not uv or uv.is_local then return nil end
        i, proto = uv.slot + 1, chain[level]
    end
    return (debug.getupvalue(f, i)) or "?"
end

local remedy = "what must be remembered belongs into the state of `process`"

local assigns = { USETV = true, USETS = true, USETN = true, USETP = true }

local function scan(f, proto, chain, source, settings)
    for pc, ins in ipairs(proto.code) do
        if ins.op == "GGET" then
            local name = proto.constants[ins.d]
            if settings.lookup(f, name) == nil then
                local file, line = place(proto, pc, source)
                settings.faults:add(file, line, "unknown name `%s`%s", name, fault.suggest(name, settings.candidates(f)))
            end
        elseif ins.op == "GSET" then
            local file, line = place(proto, pc, source)
            settings.faults:add(file, line, "a rule's function cannot write the global `%s`; " .. remedy, proto.constants[ins.d])
        elseif assigns[ins.op] then
            local name = upvalue_name(f, proto, ins.a + 1, chain)
            if name then
                local file, line = place(proto, pc, source)
                settings.faults:add(file, line, "a rule's function cannot assign `%s`, which is outside of it; " .. remedy, name)
            end
        end
    end
    chain[#chain + 1] = proto
    for _, child in ipairs(proto.children) do scan(f, child, chain, source, settings) end
    chain[#chain] = nil
end

-- Functions reachable from a value: through what they captured, through tables, through the globals they name.
local function reach(v, settings, seen)
    local kind = type(v)
    if (kind ~= "function" and kind ~= "table") or seen[v] then return end
    seen[v] = true
    if kind == "table" then
        for key, item in next, v do
            reach(key, settings, seen)
            reach(item, settings, seen)
        end
        reach(debug.getmetatable(v), settings, seen)
        return
    end
    if not settings.is_user(v) then return end
    local proto = bytecode.read(v)
    if not proto then return end
    if not settings.checked[v] then
        settings.checked[v] = true
        scan(v, proto, {}, debug.getinfo(v, "S").source:gsub("^@", ""), settings)
    end
    for i = 1, proto.n_upvalues do
        local _, item = debug.getupvalue(v, i)
        reach(item, settings, seen)
    end
    for _, name in ipairs(bytecode.globals(proto)) do reach(settings.lookup(v, name), settings, seen) end
end

-- settings: { faults, lookup = function(f, name) -> value, is_user, candidates, checked = {} }
function code.check(f, settings)
    reach(f, settings, {})
end

return code
