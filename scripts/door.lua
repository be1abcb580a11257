-- door: the numbers by which C knows Lua functions.
-- A rule's function is added once, in load order, and asked by its number from then on. A driver is trusted code that asks
-- it: `door.driver(name, function(fn, arg) ... end)`, or `door.template(name, text, ...)` for drivers with a loop of their
-- own. A template is compiled again for each rule function, because LuaJIT's traces belong to bytecode: a loop shared by
-- many functions would compile well for the first of them only. arg is a pointer (`void *`) to what C gave to script_call.

local ffi = require "ffi"
local host = require "host"
local sandbox = require "sandbox"

-- The pointer that a call is about stands here: compiled code cannot take a pointer as a Lua argument.
local slot = ffi.cast("void **", host.arg)

local door = {}

local fns, infos, count = {}, {}, 0
local drivers, templates = {}, {}
local frozen = {}

local paths = setmetatable({}, { __mode = "k" })

-- fn: a function, or a table of functions (a fold: {init=, step=, merge=}). info: {what=, file=, line=, rule=, memo_column=,
-- paths= (members of nested values that it reads by constant names alone, see uses.lua)}
function door.add(fn, info)
    local id = count
    count = count + 1
    fns[id], infos[id] = fn, info or {}
    if info and info.paths and #info.paths > 0 then paths[fn] = info.paths end
    return id
end

function door.fn(id) return fns[id] end
function door.info(id) return infos[id] end
function door.paths(fn) return paths[fn] end
function door.count() return count end
function door.memo_column(id) return infos[id] and infos[id].memo_column end

function door.driver(name, driver) drivers[name] = driver end

-- The chunk gets (fn, ...) and returns the function of arg.
function door.template(name, text, ...)
    templates[name] = { text = text, n = select("#", ...), ... }
end

-- Loading is done when a function is first asked: what it captured is read-only from then on.
local function freeze(fn)
    if type(fn) == "function" then return sandbox.freeze(fn) end
    for _, part in next, fn do
        if type(part) == "function" then sandbox.freeze(part) end
    end
end

local function load_for(name)
    if not drivers[name] and not templates[name] then require((name:match "^[^.]+")) end
end

function door.has(name)
    load_for(name)
    return (drivers[name] or templates[name]) ~= nil
end

-- The function of nothing that asks fn by the driver of that name, about the pointer in the slot.
function door.bind(name, id)
    load_for(name)
    local fn = fns[id]
    if id >= 0 and fn == nil then error(("there is no function number %d"):format(id), 0) end
    if fn and not frozen[id] then
        frozen[id] = true
        freeze(fn)
    end
    local template = templates[name]
    if template then
        local chunk = assert(loadstring(template.text, "=" .. name))
        local bound = chunk(fn, unpack(template, 1, template.n))
        return loadstring("local bound, slot = ... return function() bound(slot[0]) end", "=" .. name)(bound, slot)
    end
    return loadstring("local driver, fn, slot = ... return function() driver(fn, slot[0]) end", "=" .. name)(drivers[name], fn, slot)
end

-- One function from a text that returns it, without a rule around it.
function door.load(name, text, memo_column)
    local words = sandbox.environment()
    local env = setmetatable({}, {
        __index = words,
        __newindex = function(_, word) error(("rules cannot write globals: `%s`"):format(tostring(word)), 2) end,
    })
    local chunk = assert(sandbox.load(text, "@" .. name, env))
    local fn = chunk()
    if type(fn) ~= "function" and type(fn) ~= "table" then error(name .. " gives no function", 0) end
    return door.add(fn, { what = "function", file = name, line = 1, memo_column = memo_column })
end

return door
