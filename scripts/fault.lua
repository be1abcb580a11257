-- fault: everything that is wrong with what the user wrote, each at its place.
-- Loading never stops at the first fault: it collects them here, so that one look shows all of them.

local fault = {}

-- Values that must never show. They are taken out of a text before it is cut short, quoted or put into one line, since what
-- is left of them then is no longer found. One Lua state loads one configuration, so they are that one's.
local hidden = {}

function fault.hide(value)
    if value == "" or hidden[value] then return end
    hidden[value] = true
    hidden[#hidden + 1] = value
    table.sort(hidden, function(a, b) return #a > #b end) -- one within another leaves no remainder
end

function fault.mask(text)
    for _, value in ipairs(hidden) do
        local first, last = text:find(value, 1, true)
        while first do
            text = text:sub(1, first - 1) .. "***" .. text:sub(last + 1)
            first, last = text:find(value, first + 3, true)
        end
    end
    return text
end

local list = {}
list.__index = list

function fault.new()
    return setmetatable({ items = {}, seen = {} }, list)
end

-- Adds "file:line: text". The same text at the same place is kept once.
function list:add(file, line, format, ...)
    local text = select("#", ...) > 0 and format:format(...) or format
    text = fault.mask(text):gsub("[%c]+", " ")
    local key = ("%s\0%d\0%s"):format(file, line or 0, text)
    if self.seen[key] then return end
    self.seen[key] = true
    self.items[#self.items + 1] = { file = file, line = line or 0, text = text, at = #self.items }
end

-- Adds what Lua itself said: the place is taken from the message where it names one of the user's files.
function list:add_error(message, file, line)
    local kind = type(message)
    message = (kind == "string" or kind == "number") and tostring(message) or "it raised an error that is a " .. kind .. " and no text"
    local in_file, in_line, text = message:match("^([^\n]-):(%d+): (.*)$")
    if in_file and (in_file == file or in_file:match("%.lua$")) then
        self:add(in_file, tonumber(in_line), "%s", text)
    else
        self:add(file, line, "%s", message)
    end
end

function list:count() return #self.items end

-- By file and line, else in the order they were found.
function list:sorted()
    local out = {}
    for i, item in ipairs(self.items) do out[i] = item end
    table.sort(out, function(a, b)
        if a.file ~= b.file then return a.file < b.file end
        if a.line ~= b.line then return a.line < b.line end
        return a.at < b.at
    end)
    return out
end

-- Edit distance with swaps of neighbours (optimal string alignment).
local function distance(a, b)
    local before, last, row = {}, {}, {}
    for j = 0, #b do last[j] = j end
    for i = 1, #a do
        row[0] = i
        for j = 1, #b do
            local cost = a:byte(i) == b:byte(j) and 0 or 1
            local best = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
            if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
                best = math.min(best, before[j - 2] + 1)
            end
            row[j] = best
        end
        before, last, row = last, row, before
    end
    return last[#b]
end
fault.distance = distance

-- The candidate nearest to the name, or nil when none is near. Candidates: a list of names.
function fault.nearest(name, candidates)
    if type(name) ~= "string" or #name > 100 then return nil end
    local best, best_distance
    local allowed = math.max(1, math.floor(#name / 3))
    for _, candidate in ipairs(candidates) do
        local d = candidate:lower() == name:lower() and 0 or distance(name:lower(), candidate:lower())
        if candidate ~= name and d <= allowed and math.abs(#candidate - #name) <= allowed then
            if not best or d < best_distance or (d == best_distance and candidate < best) then
                best, best_distance = candidate, d
            end
        end
    end
    return best
end

-- "; did you mean `x`?" or, when nothing is near, what there is.
function fault.suggest(name, candidates)
    local near = fault.nearest(name, candidates)
    if near then return ("; did you mean `%s`?"):format(near) end
    if #candidates == 0 or #candidates > 12 then return "" end
    local names = {}
    for i, candidate in ipairs(candidates) do names[i] = "`" .. candidate .. "`" end
    return "; there is " .. table.concat(names, ", ")
end

return fault
