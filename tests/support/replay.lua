-- Runs the binary over recorded records and reads what came out.
--
-- Each run gets a folder of its own with ananas.lua, rules/ and input.jsonl; the process starts inside it. The folder is
-- removed unless KEEP is set. `replay.run` never fails by itself: status, standard error and results are for the spec.

local cjson = require("cjson.safe").new()
cjson.decode_max_depth(200)
cjson.encode_keep_buffer(false)

local M = { null = cjson.null }

local function first_line(command)
    local pipe = assert(io.popen(command))
    local line = pipe:read("*l")
    pipe:close()
    return line
end

local root = first_line("pwd")
M.root = root
local out = os.getenv("ANANAS_OUT") or "build"
M.binary = (out:sub(1, 1) == "/" and out or root .. "/" .. out) .. "/ananas"

function M.quote(word)
    return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end
local quote = M.quote

function M.write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

function M.read(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local text = file:read("*a")
    file:close()
    return text
end

function M.folder()
    return first_line("mktemp -d /tmp/ananas-spec.XXXXXX")
end

function M.remove(folder)
    if not os.getenv("KEEP") and folder:match("^/tmp/ananas%-spec%.") then os.execute("rm -rf " .. quote(folder)) end
end

M.decode = cjson.decode

local function is_list(t)
    if t == cjson.empty_array then return true end
    local n = 0
    for _ in pairs(t) do n = n + 1 end
    return n == #t and n > 0
end

-- JSON with sorted keys and numbers by value, so that two spellings of one value are one text.
function M.canonical(v)
    local kind = type(v)
    if v == nil or v == cjson.null then return "null" end
    if kind == "number" then
        if v == math.floor(v) and math.abs(v) < 2 ^ 53 then return ("%d"):format(v) end
        return ("%.9g"):format(v)
    end
    if kind == "boolean" then return tostring(v) end
    if kind == "string" then return cjson.encode(v) end
    local parts = {}
    if is_list(v) then
        for i, x in ipairs(v) do parts[i] = M.canonical(x) end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    local names = {}
    for name in pairs(v) do names[#names + 1] = name end
    table.sort(names)
    for i, name in ipairs(names) do parts[i] = cjson.encode(name) .. ":" .. M.canonical(v[name]) end
    return "{" .. table.concat(parts, ",") .. "}"
end

-- A source called "s" over topic "s", event time in column ts, no tolerance of disorder, clock of no importance.
M.config = [[
source "s" { topic = "s", event_time = "ts", watermark = "0ms", max_ahead = "none" }
rules "rules"
]]

-- Input lines: text as it is; { ts = , ... } a record of topic "s"; control lines and envelopes as tables with topic,
-- watermark or rules. A record without offset gets the next one of its partition.
function M.record(value, where)
    local r = { topic = "s", partition = 0, payload = value }
    for k, v in pairs(where or {}) do r[k] = v end
    return r
end

local function input_text(input)
    local lines, next_offset = {}, {}
    for i, item in ipairs(input) do
        if type(item) == "string" then
            lines[i] = item
        else
            if item.topic == nil and item.watermark == nil and item.rules == nil then item = M.record(item) end
            if item.topic and item.idle == nil and item.partitions == nil then
                local place = item.topic .. "/" .. tostring(item.partition or 0)
                local copy = {}
                for k, v in pairs(item) do copy[k] = v end
                copy.partition = item.partition or 0
                copy.offset = item.offset or next_offset[place] or 0
                next_offset[place] = copy.offset + 1
                item = copy
            end
            lines[i] = cjson.encode(item)
        end
    end
    lines[#lines + 1] = ""
    return table.concat(lines, "\n")
end

-- One shell command inside a folder: status, standard output and standard error.
function M.shell(folder, command)
    os.execute(("cd %s && { %s ; } > .out 2> .err; echo $? > .rc"):format(quote(folder), command))
    return {
        status = tonumber(M.read(folder .. "/.rc")),
        text = M.read(folder .. "/.out"),
        stderr = M.read(folder .. "/.err"),
    }
end

local function parsed(text)
    local records = {}
    for line in text:gmatch("[^\n]+") do
        local record = cjson.decode(line)
        if not record then
            record = { broken = line, topic = "?", payload = cjson.null }
        elseif type(record.payload) == "string" then
            record.value = cjson.decode(record.payload)
        end
        if type(record.key) == "string" then record.key_value = cjson.decode(record.key) end
        record.header = {}
        for i = 1, #(record.headers or {}), 2 do record.header[record.headers[i]] = record.headers[i + 1] end
        records[#records + 1] = record
    end
    return records
end

local Result = {}
Result.__index = Result

function Result:topic(name)
    local list = {}
    for _, record in ipairs(self.records) do
        if record.topic == name then list[#list + 1] = record end
    end
    return list
end

-- Values of one topic as raw payload texts, in emission order; tombstones as "null".
function Result:payloads(name)
    local list = {}
    for i, record in ipairs(self:topic(name)) do
        list[i] = record.payload == cjson.null and "null" or record.payload
    end
    return list
end

function Result:keys(name)
    local list = {}
    for i, record in ipairs(self:topic(name)) do list[i] = record.key end
    return list
end

-- One column of a topic's values, in emission order.
function Result:column(topic, column)
    local list = {}
    for i, record in ipairs(self:topic(topic)) do
        local v = record.value and record.value[column]
        if v == nil then v = cjson.null end
        list[i] = v
    end
    return list
end

local function write_files(folder, options)
    M.write(folder .. "/ananas.lua", options.config or M.config)
    os.execute("mkdir -p " .. quote(folder .. "/rules"))
    local rules = options.rules or {}
    if type(rules) == "string" then rules = { ["rules.lua"] = rules } end
    for name, text in pairs(rules) do M.write(folder .. "/rules/" .. name, text) end
    for name, text in pairs(options.files or {}) do
        local dir = name:match("^(.*)/")
        if dir then os.execute("mkdir -p " .. quote(folder .. "/" .. dir)) end
        M.write(folder .. "/" .. name, text)
    end
end

-- options: config, rules (text or {name = text}), files, input (list or text), args (list), env (table),
-- stdin (true: through a pipe), trickle (true: line by line through a pipe), folder (kept by the caller), command.
function M.run(options)
    local folder = options.folder or M.folder()
    write_files(folder, options)
    local input = options.input or {}
    if type(input) == "table" then input = input_text(input) end
    M.write(folder .. "/input.jsonl", input)

    local words = {}
    for name, value in pairs(options.env or {}) do words[#words + 1] = name .. "=" .. quote(value) end
    words[#words + 1] = quote(M.binary)
    words[#words + 1] = options.command or "replay"
    if not options.command then
        words[#words + 1] = "--stats stats.json --input " .. ((options.stdin or options.trickle) and "-" or "input.jsonl")
    end
    for _, arg in ipairs(options.args or {}) do words[#words + 1] = quote(arg) end
    local command = table.concat(words, " ")
    if options.trickle then
        command = "python3 -u " .. quote(root .. "/tests/support/trickle.py") .. " input.jsonl | " .. command
    elseif options.stdin then
        command = command .. " < input.jsonl"
    end
    local result = setmetatable(M.shell(folder, command), Result)
    result.records = options.command and {} or parsed(result.text)
    result.stats = cjson.decode(M.read(folder .. "/stats.json") or "")
    result.folder = folder
    if not options.folder then M.remove(folder) end
    return result
end

-- The same, and the run must end well.
function M.ok(options)
    local result = M.run(options)
    if result.status ~= 0 then
        error(("status %s\n%s"):format(tostring(result.status), result.stderr), 2)
    end
    return result
end

return M
