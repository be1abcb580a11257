-- Checks the shape of the engine: `luajit tests/support/layers.lua`, from the top of the repository.
--
-- 1. Includes point down or sideways, never up.  2. lua.h and rdkafka.h stay behind their doors.
-- 3. Every header opens with its paragraph.  4. No file scope state, no exit() outside main.c, none of the words that say nothing.

-- From the ground up. A stem is placed by its own name, else by its longest prefix that ends in "_".
local LAYERS = {
    -- base: knows nothing of records
    { "mem", "arena", "map", "buf", "clock", "error", "log", "number", "timefmt", "json", "hash", "options", "profile", "input", "watch", "nearest",
        "version", "failpoint", "frame" },
    -- what travels, and the plan it travels by
    { "cell", "intern", "batch", "stream", "envelope", "decode", "unnest", "watermark", "pattern", "program", "rule", "config",
        "orders", "source", "sink", "placement", "parcel", "dispatch", "intake" },
    -- state, and the door into Lua
    { "store", "blob", "keystate", "rowlog", "distinct", "quantile", "total", "window", "panes", "sessions", "matcher", "script",
        "generation" },
    -- operators
    { "op", "outcome", "emission", "merge", "reorder", "rowpack", "cooldown", "select", "aggregate", "group", "match", "process",
        "leaving", "exchange" },
    -- edges
    { "complaint_kafka", "conf_kafka", "properties_kafka", "topics_kafka", "member_kafka", "outputs_kafka", "source_kafka", "sink_kafka", "sink_file", "changelog", "resume",
        "demo_kafka", "standby_kafka", "load", "headers_kafka", "source_history_kafka", "repartition_kafka", "spent_kafka" },
    -- the way of a record as a whole
    { "pipeline", "task", "report", "stats", "checkpoint", "source_file", "observer", "reload", "reloader", "share" },
    -- what drives it
    { "pulse", "notify", "snapshot", "shot", "feed", "metrics", "http", "observers", "serve", "status_line", "run", "rulebox", "gate",
        "worker", "rollout", "parallel", "replay", "active", "display", "command", "main" },
}
-- { what is included, who may include it }
local DOORS = {
    { "^lua%.h$", { "^script" } }, { "^lauxlib%.h$", { "^script" } }, { "^lualib%.h$", { "^script" } },
    { "^luajit%.h$", { "^script", "^main$", "^version$" } },
    { "^librdkafka/", { "_kafka$", "^changelog", "^checkpoint" } }, { "^rdkafka", { "_kafka$", "^changelog", "^checkpoint" } },
    { "^microhttpd%.h$", { "^http" } },
}
-- Names that are not ours to choose.
local FOREIGN_WORDS = { sa_handler = true }
local EMPTY_WORDS = { "manager", "handler", "helper", "util", "utils", "misc", "processor", "stub" }

local faults = 0
local function fault(path, line, ...)
    faults = faults + 1
    io.stderr:write(("%s:%d: %s\n"):format(path, line, string.format(...)))
end

local function layer_of(stem)
    local best, best_length
    for i, names in ipairs(LAYERS) do
        for _, name in ipairs(names) do
            local fits = stem == name or stem:sub(1, #name + 1) == name .. "_"
            if fits and #name > (best_length or 0) then best, best_length = i, #name end
        end
    end
    return best
end

local function may_open(stem, header)
    for _, door in ipairs(DOORS) do
        if header:find(door[1]) then
            for _, who in ipairs(door[2]) do
                if stem:find(who) then return true end
            end
            return false
        end
    end
    return true
end

local function check_include(path, line, stem, layer, header)
    if not may_open(stem, header) then fault(path, line, "%s may not include <%s>: that library has one door", stem, header) end
    local target = header:match "^([%w_]+)%.h$"
    local file = target and io.open("engine/" .. header)
    if not file then return end
    file:close()
    local below = layer_of(target)
    if below and layer and below > layer then
        fault(path, line, "%s (layer %d) includes %s (layer %d): includes point down", stem, layer, header, below)
    end
end

-- Names in code, comments left out: a comment may quote anything.
local function check_words(path, line, code)
    for word in code:gmatch "[%a_][%w_]*" do
        for part in (word:gsub("(%l)(%u)", "%1_%2"):lower() .. "_"):gmatch "([^_]+)_" do
            for _, empty in ipairs(EMPTY_WORDS) do
                if part == empty and not FOREIGN_WORDS[word] then fault(path, line, "the name %s says nothing: %s", word, empty) end
            end
        end
    end
end

local function check_state(path, line, code)
    if not code:find "^static " or code:find "%(" and not code:find "=" then return end
    -- What a signal sets has no other place to be.
    if code:find "sig_atomic_t" or code:find "_Atomic int" then return end
    local is_data = code:find "^static [^(]*;" or code:find "^static [^(]*="
    if is_data and not code:find "const" then fault(path, line, "mutable file-scope state: %s", code) end
end

local function strip_comments(text)
    text = text:gsub("/%*.-%*/", function(comment) return (comment:gsub("[^\n]", " ")) end)
    return (text:gsub("//[^\n]*", ""))
end

local function check_file(path)
    local stem, kind = path:match "([^/]+)%.([ch])$"
    local file = assert(io.open(path))
    local text = file:read "*a"
    file:close()
    local layer = layer_of(stem)
    if not layer then fault(path, 1, "%s is in no layer: give it its place in tests/support/layers.lua", stem) end
    if kind == "h" and not text:find("^/%* " .. stem .. ":") then
        fault(path, 1, "a header opens with a paragraph: /* %s: what it owns, what it does not, which thread, who frees", stem)
    end
    local number = 0
    for code in (strip_comments(text) .. "\n"):gmatch "([^\n]*)\n" do
        number = number + 1
        local header = code:match '^%s*#%s*include%s*[<"]([^>"]+)[>"]'
        if header then check_include(path, number, stem, layer, header) end
        if stem ~= "main" and code:find "%f[%w_]exit%s*%(" then fault(path, number, "exit() belongs to main.c") end
        check_words(path, number, (code:gsub('"[^"]*"', "")))
        check_state(path, number, code)
    end
    if number > 1000 then fault(path, number, "%d lines: a file fits in a head (600 is a lot)", number) end
    for mark in text:gmatch "%f[%w](%u+)%f[%W]" do
        if mark == "TODO" or mark == "FIXME" or mark == "XXX" then fault(path, 1, "%s in code", mark) end
    end
end

local list = assert(io.popen "ls engine/*.c engine/*.h 2>/dev/null")
for path in list:lines() do check_file(path) end
list:close()
if faults > 0 then
    io.stderr:write(faults, " faults in the shape of the engine\n")
    os.exit(1)
end
