-- test_json: JSON for the tests of rules: tables to text for what a spec feeds, text to tables for what came out.
-- Members are written sorted by name. null is `json.null` where it has to be told from absent. A number whose digits a Lua
-- number cannot hold is read as the text of its digits.

local json = {}

json.null = setmetatable({}, { __tostring = function() return "null" end })

-- ---- writing ----

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b", ["\f"] = "\\f" }

local function quoted(s)
    return '"' .. s:gsub('[%c"\\]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function number_text(v)
    if v ~= v or v == math.huge or v == -math.huge then return "null" end
    if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
    for digits = 15, 17 do
        local text = ("%." .. digits .. "g"):format(v)
        if tonumber(text) == v then return text end
    end
end

local write

local function write_table(t)
    local n, count, parts = #t, 0, {}
    for _ in pairs(t) do count = count + 1 end
    if n > 0 and count == n then
        for i = 1, n do parts[i] = write(t[i]) end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    local names = {}
    for name in pairs(t) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for i, name in ipairs(names) do
        local v = t[name]
        if v == nil then v = t[tonumber(name)] end
        parts[i] = quoted(name) .. ":" .. write(v)
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

-- json.raw(text) goes out as it is; json.list {} is an empty list.
local raw_mark, list_mark = {}, {}
function json.raw(text) return setmetatable({ text = text }, raw_mark) end
function json.list(t) return setmetatable(t, list_mark) end

write = function(v)
    if v == nil or v == json.null then return "null" end
    local kind = type(v)
    if kind == "string" then return quoted(v) end
    if kind == "number" then return number_text(v) end
    if kind == "boolean" then return tostring(v) end
    if kind ~= "table" then error("a " .. kind .. " has no JSON form", 0) end
    if getmetatable(v) == raw_mark then return v.text end
    if getmetatable(v) == list_mark and #v == 0 then return "[]" end
    return write_table(v)
end
json.write = write

-- ---- reading ----

local function fail(text, at, what) error(("not JSON: %s at byte %d of %s"):format(what, at, text:sub(1, 200)), 0) end

local plain = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8(code)
    if code < 0x80 then return string.char(code) end
    if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
    if code < 0x10000 then
        return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
    end
    return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
        0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function unescape(body)
    body = body:gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(high, low)
        return utf8(0x10000 + (tonumber(high, 16) - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00)
    end)
    return (body:gsub("\\(.)(%x?%x?%x?%x?)", function(c, hex)
        if c == "u" and #hex == 4 then return utf8(tonumber(hex, 16)) end
        return (plain[c] or c) .. hex
    end))
end

local function read_string(text, at)
    local from = at + 1
    while true do
        local stop = text:find('["\\]', at + 1)
        if not stop then fail(text, at, "a string without an end") end
        if text:sub(stop, stop) == '"' then
            local body = text:sub(from, stop - 1)
            if body:find("\\", 1, true) then body = unescape(body) end
            return body, stop + 1
        end
        at = stop + 1
    end
end

local read

local function read_members(text, at, closing, take)
    at = text:find("%S", at) or fail(text, at, "the end")
    if text:sub(at, at) == closing then return at + 1 end
    while true do
        at = take(at)
        at = text:find("%S", at) or fail(text, at, "the end")
        local c = text:sub(at, at)
        if c == closing then return at + 1 end
        if c ~= "," then fail(text, at, "an unexpected " .. c) end
        at = at + 1
    end
end

local function read_object(text, at)
    local out = {}
    at = read_members(text, at + 1, "}", function(pos)
        pos = text:find('"', pos, true) or fail(text, pos, "no name")
        local name, v
        name, pos = read_string(text, pos)
        pos = text:match("^%s*:()", pos) or fail(text, pos, "no colon")
        v, pos = read(text, pos)
        out[name] = v
        return pos
    end)
    return out, at
end

local function read_list(text, at)
    local out, n = {}, 0
    at = read_members(text, at + 1, "]", function(pos)
        n = n + 1
        out[n], pos = read(text, pos)
        return pos
    end)
    return out, at
end

local words = { ["true"] = true, ["false"] = false, null = json.null }

read = function(text, at)
    at = text:find("%S", at) or fail(text, at, "the end")
    local c = text:sub(at, at)
    if c == "{" then return read_object(text, at) end
    if c == "[" then return read_list(text, at) end
    if c == '"' then return read_string(text, at) end
    local number, after = text:match("^(%-?%d[%d.eE+-]*)()", at)
    if number then
        local v = tonumber(number)
        local exact = not number:match "^%-?%d+$" or math.abs(v) < 2 ^ 53
        return exact and v or number, after
    end
    local word = text:match("^%a+", at) or ""
    if words[word] == nil then fail(text, at, "an unexpected " .. c) end
    return words[word], at + #word
end

function json.read(text)
    local v = read(text, 1)
    return v
end

return json
