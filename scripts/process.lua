-- process: asks on_row and on_timer, many items per call (engine/process.h).
-- The answers go into a buffer that the engine reads when the call has returned; until then nothing has happened. An item
-- that raises takes back what it did: its part of the buffer is cut off, and the whole call is run again carefully, that
-- is with each item's state written down before the next. Rules are pure but for their state, so the second run does what
-- the first did. While a rule keeps raising it stays careful.

local ffi = require "ffi"
local check = require "check"
local door = require "door"
local host = require "host"
local row = require "row"
local sandbox = require "sandbox"
local state = require "state"

-- As in engine/process.h; a spec compares sizes and offsets.
ffi.cdef [[
typedef struct process_item {
    int64_t time, wm;
    uint32_t row, slot;
    const char *name;
    uint32_t name_len, spare;
} process_item_t;
typedef struct process_slot { const char *state; uint32_t len, spare; } process_slot_t;
typedef struct process_call {
    const batch_t *rows;
    const process_item_t *items;
    const process_slot_t *slots;
    volatile int32_t *at;
    int64_t due;
    uint32_t n_items, n_slots;
    int32_t format, ends, timers;
    uint32_t done;
    const char *out;
    uint64_t out_len;
} process_call_t;
]]

local STATE, WAKE, SLEEP, EMIT, PASS, ERROR = 1, 2, 3, 4, 5, 6
-- Calls without an error after which a rule is trusted again.
local PATIENCE = 64
local NEVER = 2 ^ 63

local process = {}

-- ---- what on_row and on_timer are given ----

-- One context per bound function: which item runs, and what it did so far.
local function new_context(kind)
    return { out = state.buffer(), can_wake = true, item = 0, slot = 0, time = 0, due = NEVER, timer = kind == "on_timer", format = 0 }
end

local function milliseconds(v, what)
    local ms
    if type(v) == "string" then
        local why
        ms, why = check.duration_ms(v)
        if not ms then error(what .. ": " .. why, 3) end
    else
        ms = row.ms(v)
    end
    if type(ms) ~= "number" or ms ~= ms or ms > 2 ^ 53 or ms < -2 ^ 53 then
        error(what .. " takes milliseconds or a duration such as \"30s\", not " .. sandbox.type(v), 3)
    end
    return math.floor(ms)
end

local function timer_name(name)
    if name == nil then return "" end
    if type(name) ~= "string" then error("a timer's name must be a string, not a " .. sandbox.type(name), 3) end
    return name
end

local function set_timer(ctx, time, name)
    local out = ctx.out
    out:u8(WAKE)
    out:u32(ctx.slot)
    out:i64(time)
    out:u32(#name)
    out:bytes(name)
    if time < ctx.due then ctx.due = time end
end

-- The methods of a state table: they are found where the table has no field of that name.
local function new_methods(ctx)
    local methods = {}

    -- Calls on_timer when event time has gone `ms` on from now (the row's or the timer's time). A state has one timer of a
    -- name: setting it again moves it.
    function methods.wake(_, ms, name)
        local after = milliseconds(ms, "state:wake")
        name = timer_name(name)
        if not ctx.can_wake then error("state:wake needs an on_timer", 2) end
        if after < 1 then error("state:wake takes a positive number of milliseconds", 2) end
        set_timer(ctx, ctx.time + after, name)
    end

    -- The same at a point in event time; one that is over comes at once.
    function methods.wake_at(_, time, name)
        local at = milliseconds(time, "state:wake_at")
        name = timer_name(name)
        if not ctx.can_wake then error("state:wake_at needs an on_timer", 2) end
        if ctx.timer and at <= ctx.time then error("state:wake_at in on_timer takes a time after the timer's", 2) end
        set_timer(ctx, at, name)
    end

    -- Takes the timer back.
    function methods.sleep(_, name)
        name = timer_name(name)
        local out = ctx.out
        out:u8(SLEEP)
        out:u32(ctx.slot)
        out:u32(#name)
        out:bytes(name)
    end

    return { __index = methods, __metatable = false }
end

local function put_text(ctx, what, text)
    local out = ctx.out
    out:u8(what)
    out:u32(ctx.item)
    out:u32(#text)
    out:bytes(text)
end

-- emit(table), or emit(row) with what is to be added: the row goes on as it came.
local function new_emit(ctx)
    return function(v, more)
        if type(v) == "cdata" and row.is(v) then
            if more ~= nil and type(more) ~= "table" and type(more) ~= "userdata" then
                error("emit(row, more): more must be a table, not a " .. sandbox.type(more), 2)
            end
            put_text(ctx, PASS, more and host.encode(more, ctx.format) or "")
            return
        end
        if type(v) ~= "table" and type(v) ~= "userdata" then
            error("emit takes a table or the row, not a " .. sandbox.type(v), 2)
        end
        local text = host.encode(v, ctx.format)
        if text:byte() ~= 123 then
            if next(sandbox.thaw(v)) ~= nil then error("emit takes a table with names, not a list", 2) end
            text = "{}"
        end
        put_text(ctx, EMIT, text)
    end
end

-- ---- one run over the items of a call ----

-- States of a run, by slot: tables, and in careful runs the bytes of each before the item that runs now.
local function new_states(meta)
    local states = {}

    function states.begin(call) states.call, states.open, states.bytes = call, {}, {} end

    function states.get(slot)
        local t = states.open[slot]
        if t then return t end
        local bytes = states.bytes[slot]
        if bytes then
            t = state.decode(bytes)
        else
            local given = states.call.slots[slot]
            t = state.read(given.state, given.len)
        end
        setmetatable(t, meta)
        states.open[slot] = t
        return t
    end

    -- Writes the state down; from now on it is read from there. Raises for what cannot be kept.
    function states.settle(slot)
        states.bytes[slot] = state.encode(states.open[slot])
        states.open[slot] = nil
    end

    function states.undo(slot) states.open[slot] = nil end

    function states.write(out, n)
        for slot = 0, n - 1 do
            local open, bytes = states.open[slot], states.bytes[slot]
            if open or bytes then
                out:u8(STATE)
                out:u32(slot)
                local at = out.len
                out:u32(0)
                if open then state.write(out, open) else out:bytes(bytes) end
                out:patch(at, out.len - at - 4)
            end
        end
    end
    return states
end

local function message_of(problem)
    if type(problem) == "string" or type(problem) == "number" then return tostring(problem) end
    return "the error is a " .. sandbox.type(problem) .. " value"
end

local function fail(ctx, mark, problem)
    ctx.out.len = mark
    put_text(ctx, ERROR, message_of(problem))
end

-- The loop is compiled anew for each rule's function, see door.template. run(call, careful) gives how many items ran, or
-- nil when an item raised in a run that was not careful.
local loop = [[
local fn, ffi, row, ctx, states, emit, fail, pcall, tonumber, NEVER = ...
local forget, layouts = row.forget, row.layouts
return function(call, careful)
    local items, n, at, out = call.items, call.n_items, call.at, ctx.out
    local first = row.bind(row.new(), call.rows, 0)
    local batch, layout = call.rows, first["\255layout"]
    local due, ends = tonumber(call.due), call.ends ~= 0
    out.len, ctx.due = 0, NEVER
    local i = 0
    while i < n do
        local item = items[i]
        if i > 0 and tonumber(item.wm) >= due then break end
        at[0] = i
        local slot, mark = item.slot, out.len
        ctx.item, ctx.slot, ctx.time = i, slot, tonumber(item.time)
        forget()
        local state = states.get(slot)
        local good, problem
        CALL
        if good and careful then good, problem = pcall(states.settle, slot) end
        if not good then
            if not careful then return nil end
            states.undo(slot)
            fail(ctx, mark, problem)
        end
        if not ends and ctx.due < due then due = ctx.due end
        i = i + 1
    end
    return i
end]]

local calls = {
    on_row = [[local r = row.new()
        r["\255b"], r["\255layout"], r["\255i"] = batch, layout, item.row
        good, problem = pcall(fn, r, state, emit)]],
    on_timer = [[good, problem = pcall(fn, state, ctx.time, emit, ffi.string(item.name, item.name_len))]],
}

local call_t = ffi.typeof "process_call_t *"

-- The driver of one function: quick, and careful while errors are near.
local function driver(fn, kind)
    local ctx = new_context(kind)
    local states, emit = new_states(new_methods(ctx)), new_emit(ctx)
    local text = loop:gsub("CALL", function() return calls[kind] end)
    local run = assert(loadstring(text, "=process." .. kind))(fn, ffi, row, ctx, states, emit, fail, pcall, tonumber, NEVER)
    local caution = 0

    local function attempt(call, careful)
        states.begin(call)
        local done = run(call, careful)
        if done and not pcall(states.write, ctx.out, call.n_slots) then return nil end
        return done
    end

    return function(arg)
        local call = ffi.cast(call_t, arg)
        ctx.format, ctx.can_wake = call.format, call.timers ~= 0
        local done = caution == 0 and attempt(call, false) or nil
        if done then
            call.done = done
        else
            caution = caution == 0 and PATIENCE or caution - 1
            call.done = attempt(call, true)
        end
        call.out, call.out_len = ffi.cast("const char *", ctx.out.at), ctx.out.len
        states.begin(nil)
    end
end

for _, kind in ipairs { "on_row", "on_timer" } do
    door.template("process." .. kind, "local fn, driver, kind = ... return driver(fn, kind)", driver, kind)
end

process.driver = driver
return process
