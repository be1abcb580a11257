-- locate: at which line of a text a key of a constructor was written.
-- Lua tells the line of a call but not those of the keys in its table, so the text is read once more, token by token,
-- from the call on. What cannot be followed (a table built elsewhere) has no line of its own and takes the call's.

local locate = {}

-- Next token from position i: kind ("name" "string" "number" "symbol" or nil at the end), value, start, end, line after.
local function next_token(text, i, line)
    while true do
        local _, stop = text:find("^[ \t\r]+", i)
        if stop then i = stop + 1 end
        local c = text:sub(i, i)
        if c == "" then return nil, nil, i, i, line end
        if c == "\n" then
            i, line = i + 1, line + 1
        elseif text:sub(i, i + 1) == "--" then
            local level = text:match("^%-%-%[(=*)%[", i)
            if level then
                local _, close = text:find("]" .. level .. "]", i + 4 + #level, true)
                close = close or #text
                line = line + select(2, text:sub(i, close):gsub("\n", ""))
                i = close + 1
            else
                i = text:find("\n", i, true) or #text + 1
            end
        else
            break
        end
    end
    local word = text:match("^[%a_][%w_]*", i)
    if word then return "name", word, i, i + #word - 1, line end
    local number = text:match("^%.?%d[%w_.]*", i)
    if number then return "number", number, i, i + #number - 1, line end
    local level = text:match("^%[(=*)%[", i)
    if level then
        local start = i + 2 + #level
        local from, close = text:find("]" .. level .. "]", start, true)
        from, close = from or #text + 1, close or #text
        local body = text:sub(start, from - 1)
        return "string", body:gsub("^\n", ""), i, close, line + select(2, body:gsub("\n", ""))
    end
    local quote = text:match("^[\"']", i)
    if quote then
        local j = i + 1
        while j <= #text do
            local d = text:sub(j, j)
            if d == "\\" then
                if text:sub(j + 1, j + 1) == "\n" then line = line + 1 end
                j = j + 1
            elseif d == quote or d == "\n" then
                break
            end
            j = j + 1
        end
        return "string", text:sub(i + 1, j - 1), i, math.min(j, #text), line
    end
    return "symbol", text:sub(i, i), i, i, line
end

local reader = {}
reader.__index = reader

local function read(text, i, line)
    local self = setmetatable({ text = text }, reader)
    self.stop, self.after = i - 1, line
    self:step()
    return self
end

function reader:step()
    self.kind, self.value, self.start, self.stop, self.after = next_token(self.text, self.stop + 1, self.after)
    -- A token that spans lines belongs to the line it starts on.
    self.line = self.after
    if self.kind == "string" then
        self.line = self.after - select(2, self.text:sub(self.start, self.stop):gsub("\n", ""))
    end
end

function reader:is(value) return (self.kind == "symbol" or self.kind == "name") and self.value == value end

function reader:peek()
    return next_token(self.text, self.stop + 1, self.after)
end

local opens = { ["("] = true, ["{"] = true, ["["] = true, ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local closes = { [")"] = true, ["}"] = true, ["]"] = true, ["end"] = true, ["until"] = true }

local read_table

-- Reads a value up to its separator; a table in it is read under the same path.
local function read_value(self, path, fields)
    local depth, first = 0, true
    while self.kind do
        if depth == 0 and self.kind == "symbol" and (self.value == "," or self.value == ";" or self.value == "}") then return end
        if depth == 0 and self:is("{") and first then
            first = false
            read_table(self, path, fields)
        else
            if self.kind ~= "string" and opens[self.value] then depth = depth + 1 end
            if self.kind ~= "string" and closes[self.value] then depth = depth - 1 end
            self:step()
        end
    end
end

function read_table(self, path, fields)
    local index, seen = 0, {}
    self:step()
    while self.kind and not self:is("}") do
        local key, line = nil, self.line
        if self.kind == "name" then
            local kind, value, start = self:peek()
            if kind == "symbol" and value == "=" and self.text:sub(start + 1, start + 1) ~= "=" then
                key = self.value
                self:step()
                self:step()
            end
        elseif self:is("[") then
            self:step()
            key = self.value
            while self.kind and not self:is("]") do self:step() end
            self:step()
            self:step()
        end
        if not key then
            index = index + 1
            key = index
        end
        local name = path == "" and tostring(key) or path .. "." .. key
        fields[name] = { line = line, start = self.start, kind = self.kind, earlier = seen[name] }
        seen[name] = line
        read_value(self, name, fields)
        if self:is(",") or self:is(";") then self:step() end
    end
    self:step()
end

local function line_start(text, line)
    local i = 1
    for _ = 2, line do
        i = text:find("\n", i, true)
        if not i then return nil end
        i = i + 1
    end
    return i
end

-- Where the keys of `word "name" { ... }` (or `word { ... }` when name is nil), written at this line, stand:
-- a table from path ("match.pattern", "select.2") to { line, start, earlier = the line where it was given before }; empty
-- when it was not written that way.
function locate.fields(text, word, name, line)
    local fields = {}
    local i = text and line_start(text, line)
    if not i then return fields end
    local self = read(text, i, line)
    while self.kind and self.line <= line do
        if self.kind == "name" and self.value == word then
            self:step()
            if self:is("(") then self:step() end
            if self.kind == "string" and (name == nil or self.value == name) then
                self:step()
                if self:is(")") then self:step() end
            end
            if self:is("(") then self:step() end
            if self:is("{") then
                read_table(self, "", fields)
                return fields
            end
        else
            self:step()
        end
    end
    return fields
end

return locate
