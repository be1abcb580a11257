-- check: what a user wrote against rows of data that say what may stand there.
-- A row is { name, type, default =, range =, required =, doc = }. Each type is one function below; it gives the value in
-- the form the engine wants, or adds a fault at the line of the key and gives nil. Nothing here stops at the first fault.

local fault = require "fault"

local check = {}

-- A place knows where keys were written. `fields` comes from locate.fields.
local place = {}
place.__index = place

function check.place(faults, file, line, fields)
    return setmetatable({ faults = faults, file = file, line = line, fields = fields or {} }, place)
end

-- The line of the deepest part of the path that is known.
function place:line_of(path)
    while path do
        local field = self.fields[path]
        if field then return field.line end
        path = path:match("^(.*)%.[^.]*$")
    end
    return self.line
end

function place:fault(path, format, ...)
    self.faults:add(self.file, self:line_of(path), format, ...)
end

-- Keys that are given more than once, as { path, text }: Lua keeps the last value and says nothing.
function place:keys_twice()
    local list = {}
    for path, field in pairs(self.fields) do
        if field.earlier then
            list[#list + 1] = { path = path, text = ("`%s` is given twice; the first is at line %d"):format(path, field.earlier) }
        end
    end
    table.sort(list, function(a, b) return a.path < b.path end)
    return list
end

function place:no_key_twice()
    for _, twice in ipairs(self:keys_twice()) do self:fault(twice.path, "%s", twice.text) end
end

function check.is_poison(value)
    return type(value) == "table" and rawget(value, "is") == "poison"
end

-- What stands there, in words.
function check.describe(value)
    local kind = type(value)
    if kind == "string" then
        value = fault.mask(value)
        return ("%q"):format(#value > 40 and value:sub(1, 40) .. "..." or value)
    end
    if kind == "number" or kind == "boolean" then return tostring(value) end
    if kind == "table" and rawget(value, "is") then return (value.is:match "^[aeiou]" and "an " or "a ") .. value.is end
    if kind == "nil" then return "nothing" end
    return "a " .. kind
end

local units = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }

-- Milliseconds of "250ms" "5s" "1m" "1h" "1d" "1.5s", or nil and why not. Negative ones only where signed.
function check.duration_ms(text, signed)
    if type(text) ~= "string" then
        return nil, ('expected a duration such as "5s", got %s'):format(check.describe(text))
    end
    local sign, digits, unit = text:match("^%s*([+-]?)(%d+%.?%d*)%s*(%a+)%s*$")
    if not digits then
        return nil, ('%s is no duration; write a number and ms, s, m, h or d, such as "5s"'):format(check.describe(text))
    end
    local factor = units[unit]
    if not factor then
        local near = ({ sec = "s", secs = "s", second = "s", seconds = "s", min = "m", mins = "m", minute = "m",
            minutes = "m", hour = "h", hours = "h", hr = "h", day = "d", days = "d", millis = "ms", msec = "ms",
            S = "s", M = "m", H = "h", D = "d", MS = "ms" })[unit]
        return nil, ("unknown unit `%s` in %s%s"):format(unit, check.describe(text),
            near and ("; did you mean `%s%s`?"):format(digits, near) or "; units are ms, s, m, h, d")
    end
    local ms = tonumber(digits) * factor
    if ms ~= math.floor(ms) then return nil, ("%s is not a whole number of milliseconds"):format(check.describe(text)) end
    if ms > 2 ^ 53 / 1000 then return nil, ("%s is too long"):format(check.describe(text)) end
    if sign == "-" then
        if not signed then return nil, ("a duration cannot be negative: %s"):format(check.describe(text)) end
        ms = -ms
    end
    return ms
end

local bytes = { B = 1, KB = 1024, MB = 1024 ^ 2, GB = 1024 ^ 3, KiB = 1024, MiB = 1024 ^ 2, GiB = 1024 ^ 3 }

local types = {}
check.types = types

local function wrong(at, path, value, expected)
    at:fault(path, "`%s`: expected %s, got %s", path, expected, check.describe(value))
end

local function in_range(at, path, number, row, written)
    if row.range and (number < row.range[1] or number > row.range[2]) then
        at:fault(path, "`%s`: %s is out of range, from %s to %s", path, tostring(written),
            tostring(row.range.words and row.range.words[1] or row.range[1]),
            tostring(row.range.words and row.range.words[2] or row.range[2]))
        return nil
    end
    return number
end

function types.string(at, path, value)
    if type(value) ~= "string" then return wrong(at, path, value, "a string") end
    if value == "" then return wrong(at, path, value, "a string that is not empty") end
    if value:find("%z") then return wrong(at, path, value, "a string without NUL") end
    return value
end

types["topic name"] = function(at, path, value)
    if not types.string(at, path, value) then return nil end
    if #value > 249 or value == "." or value == ".." or value:find("[^%w._-]") then
        at:fault(path, "`%s`: %s is no topic name; use up to 249 of a-z A-Z 0-9 . _ -", path, check.describe(value))
        return nil
    end
    return value
end

function types.boolean(at, path, value)
    if type(value) ~= "boolean" then return wrong(at, path, value, "true or false") end
    return value
end

function types.integer(at, path, value, row)
    if type(value) ~= "number" or value ~= math.floor(value) then return wrong(at, path, value, "a whole number") end
    return in_range(at, path, value, row, value)
end

function types.number(at, path, value, row)
    if type(value) ~= "number" or value ~= value then return wrong(at, path, value, "a number") end
    return in_range(at, path, value, row, value)
end

types["function"] = function(at, path, value)
    if type(value) ~= "function" then return wrong(at, path, value, "a function") end
    return value
end

function types.duration(at, path, value, row)
    if row.also and value == row.also then return value end
    local ms, why = check.duration_ms(value, row.signed)
    if not ms then
        at:fault(path, "`%s`: %s%s", path, why, row.also and (' (or "%s")'):format(row.also) or "")
        return nil
    end
    return in_range(at, path, ms, row, value)
end

function types.size(at, path, value, row)
    local number, unit = nil, nil
    if type(value) == "number" then number, unit = value, "B" end
    if type(value) == "string" then number, unit = value:match("^%s*(%d+%.?%d*)%s*(%a+)%s*$") end
    if not number or not bytes[unit] then return wrong(at, path, value, 'a size such as "64MB"') end
    return in_range(at, path, math.floor(tonumber(number) * bytes[unit]), row, value)
end

function types.choice(at, path, value, row)
    for _, choice in ipairs(row.range) do
        if value == choice then return value end
    end
    if type(value) ~= "string" then return wrong(at, path, value, 'one of "' .. table.concat(row.range, '", "') .. '"') end
    local near = fault.nearest(value, row.range)
    at:fault(path, '`%s`: unknown value %s%s', path, check.describe(value),
        near and ('; did you mean "%s"?'):format(near) or '; there is "' .. table.concat(row.range, '", "') .. '"')
    return nil
end

-- A list of names; one string stands for a list of one where the row says so.
function types.names(at, path, value, row)
    if type(value) == "string" and row.single then value = { value } end
    if type(value) ~= "table" or rawget(value, "is") then
        return wrong(at, path, value, row.single and "a name or a list of names" or 'a list of names such as { "id" }')
    end
    local out, seen, clean = {}, {}, true
    for key in pairs(value) do
        if type(key) ~= "number" then
            at:fault(path .. "." .. tostring(key), "`%s`: expected a list of names, found the key `%s`", path, tostring(key))
            clean = false
        end
    end
    for i = 1, #value do
        local name = (types[row.item or "string"])(at, path .. "." .. i, value[i], row)
        if not name then
            clean = false
        elseif seen[name] then
            at:fault(path .. "." .. i, "`%s`: `%s` is named twice", path, name)
            clean = false
        else
            seen[name] = true
            out[#out + 1] = name
        end
    end
    if clean and row.at_least and #out < row.at_least then
        at:fault(path, "`%s`: must name at least %d", path, row.at_least)
        return nil
    end
    return clean and out or nil
end

-- Names of the rows, for suggestions.
function check.names(rows)
    local names = {}
    for _, row in ipairs(rows) do names[#names + 1] = row.name or row[1] end
    return names
end

-- Names of a map, sorted.
function check.keys(map)
    local names = {}
    for name in pairs(map) do names[#names + 1] = name end
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
    return names
end

local function default_of(at, row)
    local default = row.default
    if row.type == "duration" and default ~= row.also then return check.duration_ms(default, true) end
    if row.type == "size" then return types.size(at, row.name, default, {}) end
    return default
end

-- A table against rows; prefix is the path of the table ("" for the outermost). Gives the checked values; a key that
-- had a fault has its default there, or nothing, and is named in the second result.
function check.table(at, prefix, value, rows)
    local out, bad = {}, {}
    local by_name = {}
    for _, row in ipairs(rows) do by_name[row.name] = row end
    local function path(name) return prefix == "" and tostring(name) or prefix .. "." .. tostring(name) end

    for _, key in ipairs(check.keys(value)) do
        if type(key) == "number" then
            at:fault(path(key), "%sfound %s without a key", prefix == "" and "" or "`" .. prefix .. "`: ", check.describe(value[key]))
        elseif not by_name[key] then
            at:fault(path(key), "unknown key `%s`%s%s", tostring(key), prefix == "" and "" or (" in `%s`"):format(prefix),
                fault.suggest(tostring(key), check.names(rows)))
        end
    end
    for _, row in ipairs(rows) do
        local given, name = value[row.name], row.name
        if given == nil and row.required then
            bad[name] = true
            at:fault(prefix ~= "" and prefix or nil, "%sthe key `%s` is missing: %s",
                prefix == "" and "" or ("`%s`: "):format(prefix), name, row.doc)
        elseif check.is_poison(given) then
            bad[name] = true
        elseif given ~= nil then
            out[name] = types[row.type](at, path(name), given, row)
            if out[name] == nil then bad[name] = true end
        end
        -- Also for a value with a fault: what is looked at further always has one.
        if out[name] == nil and row.default ~= nil then out[name] = default_of(at, row) end
    end
    return out, bad
end

return check
