-- config: the vocabulary of ananas.lua, what the deployment decides, and the check of what was written there.
-- Every setting is a row of data; the check, the error text and the documentation come from it.

local check = require "check"
local fault = require "fault"
local locate = require "locate"

local config = {}

local hour = 3600000
local GB = 1024 ^ 3

-- Settings with one value, written `name (value)`.
config.settings = {
    { name = "rules", type = "string", default = "rules", doc = "folder or file with the rules" },
    { name = "delivery", type = "choice", default = "exactly_once", range = { "exactly_once", "at_least_once" },
        doc = "whether offsets, anomalies and state commit in one transaction" },
    { name = "commit_interval", type = "duration", default = "100ms", range = { 1, hour, words = { "1ms", "1h" } },
        doc = "how often offsets, anomalies and state are committed" },
    { name = "parallelism", type = "integer", default = 1, range = { 1, 1024 },
        doc = "how many ways the work of a group of processes is split" },
    { name = "threads", type = "integer", range = { 1, 1024 }, doc = "threads of this process; default as cores allow" },
    { name = "http", type = "listener", doc = '"127.0.0.1:9464" or "unix:/run/ananas.sock"; absent: no listener' },
    { name = "http_token", type = "string", doc = "token that changing requests must carry where the listener is not local" },
    { name = "topics", type = "topics", doc = "partitions and replication of topics that it creates" },
    { name = "max_state", type = "size", default = "1GB", range = { 1024 ^ 2, 1024 * GB, words = { "1MB", "1024GB" } },
        doc = "bytes of state that the rules may keep" },
    { name = "budget", type = "budget", doc = "what rules may use: time per evaluation and memory" },
    { name = "prefetch", type = "size", default = "16MB", range = { 1024 ^ 2, 16 * GB, words = { "1MB", "16GB" } },
        doc = "bytes of records fetched ahead" },
}

config.topics = {
    { name = "partitions", type = "integer", default = 3, range = { 1, 10000 }, doc = "partitions of an output topic that it creates" },
    { name = "replication", type = "integer", default = 1, range = { 1, 100 }, doc = "replication factor of topics that it creates" },
}

config.budget = {
    { name = "time", type = "duration", default = "100ms", range = { 1, hour, words = { "1ms", "1h" } },
        doc = "CPU time of one evaluation" },
    { name = "memory", type = "size", default = "64MB", range = { 4 * 1024 ^ 2, 1024 * GB, words = { "4MB", "1024GB" } },
        doc = "Lua memory of the rule set" },
}

-- Keys of `source "name" { ... }`.
config.source = {
    { name = "topic", type = "names", single = true, item = "topic name", at_least = 1, doc = "a topic or a list of topics; default: the source's name" },
    { name = "metadata", type = "metadata", doc = "columns from the record: timestamp, key, topic, partition, offset, headers" },
    { name = "event_time", type = "string", doc = "column with the event time; default: the record's timestamp" },
    { name = "event_unit", type = "choice", default = "ms", range = { "ms", "s" }, doc = "unit of event times that are numbers" },
    { name = "watermark", type = "duration", also = "none", default = "5s", range = { 0, 366 * 24 * hour, words = { "0s", "366d" } },
        doc = 'how far out of order records may be; "none": only explicit watermarks' },
    { name = "idle_after", type = "duration", default = "30s", range = { 1, 366 * 24 * hour, words = { "1ms", "366d" } },
        doc = "silence after which a partition at its end no longer holds the watermark back" },
    { name = "on_all_idle", type = "choice", default = "advance", range = { "advance", "hold" },
        doc = "whether the watermark goes on with the wall clock when all partitions are idle" },
    { name = "max_ahead", type = "duration", also = "none", default = "1h", range = { 0, 3660 * 24 * hour, words = { "0s", "3660d" } },
        doc = "how far ahead of the wall clock an event time may be" },
    { name = "start", type = "choice", default = "earliest", range = { "earliest", "latest" }, doc = "where to start without a committed offset" },
    { name = "on_bad_record", type = "choice", default = "dead_letter", range = { "dead_letter", "skip", "stop" },
        doc = "what becomes of a record that cannot be read" },
    { name = "partitioned_by", type = "names", default = {}, doc = "columns that the producer partitions by" },
}

config.metadata_kinds = { "timestamp", "key", "topic", "partition", "offset", "headers" }

function check.types.listener(at, path, value)
    if not check.types.string(at, path, value) then return nil end
    if value:match("^unix:/.") then return value end
    local port = tonumber(value:match("^[%w.-]*:(%d+)$") or value:match("^%[[%x:.]+%]:(%d+)$"))
    if not port or port > 65535 then
        at:fault(path, '`%s`: expected "host:port" or "unix:/path", got %s', path, check.describe(value))
        return nil
    end
    return value
end

local function nested(rows)
    return function(at, path, value)
        if type(value) ~= "table" then
            at:fault(path, "`%s`: expected a table, got %s", path, check.describe(value))
            return nil
        end
        local out, bad = check.table(at, path, value, rows)
        return next(bad) == nil and out or nil
    end
end
check.types.topics = nested(config.topics)
check.types.budget = nested(config.budget)

function check.types.metadata(at, path, value)
    if type(value) ~= "table" then
        at:fault(path, "`%s`: expected a table such as { ts = \"timestamp\" }, got %s", path, check.describe(value))
        return nil
    end
    local out, clean = {}, true
    for _, name in ipairs(check.keys(value)) do
        local where = path .. "." .. tostring(name)
        if type(name) ~= "string" then
            at:fault(where, "`%s`: write column = %s", path, check.describe(value[name]))
            clean = false
        elseif not check.types.choice(at, where, value[name], { range = config.metadata_kinds }) then
            clean = false
        else
            out[#out + 1] = { name = name, kind = value[name] }
        end
    end
    return clean and out or nil
end

-- Names of environment variables and properties whose values must never show.
local function looks_secret(name)
    local lower = name:lower()
    for _, word in ipairs { "password", "passwd", "secret", "token", "credential", "api_key", "apikey", "private" } do
        if lower:find(word, 1, true) then return true end
    end
    return lower:match("[._]key$") ~= nil or lower:match("[._]key[._]pem$") ~= nil or lower:match("jaas") ~= nil
end

local function keep_secret(state, value)
    if value == "" then return end
    state.secrets[value] = true
    fault.hide(value)
end

-- The functions that ananas.lua may call; what they were given is kept in `state` for finish().
-- host = { getenv = function(name), read = function(path) -> text | nil, error } or nil for the machine's own.
function config.vocabulary(state)
    local words = {}

    local function here() local info = debug.getinfo(3, "l") return info and info.currentline or 0 end

    for _, row in ipairs(config.settings) do
        words[row.name] = function(value)
            local line = here()
            local earlier = state.given[row.name]
            if earlier then
                state.faults:add(state.file, line, "`%s` is given twice; the first is at line %d", row.name, earlier.line)
                return
            end
            state.given[row.name] = { value = value, line = line }
        end
    end

    function words.kafka(value)
        state.kafka[#state.kafka + 1] = { value = value, line = here() }
    end

    function words.source(name)
        local line = here()
        if type(name) ~= "string" or name == "" then
            state.faults:add(state.file, line, 'expected `source "name" { ... }`, got source %s', check.describe(name))
            name = nil
        end
        return function(value)
            if name then state.sources[#state.sources + 1] = { name = name, value = value, line = line } end
        end
    end

    function words.env(name, default)
        if type(name) ~= "string" then
            if not check.is_poison(name) then
                state.faults:add(state.file, here(), "env: expected the name of a variable, got %s", check.describe(name))
            end
            return ""
        end
        local value = state.host.getenv(name)
        if value == nil and default == nil then
            state.faults:add(state.file, here(), "the environment variable `%s` is not set and has no default", name)
            return ""
        end
        if value ~= nil and looks_secret(name) then keep_secret(state, value) end
        return value == nil and default or value
    end

    function words.secret_file(path)
        if check.is_poison(path) then return "" end
        local text, why = nil, "expected a path, got " .. check.describe(path)
        if type(path) == "string" then
            local full = path:sub(1, 1) == "/" and path or state.folder .. path
            text, why = state.host.read(full)
        end
        if not text then
            state.faults:add(state.file, here(), "secret_file: %s", tostring(why))
            return ""
        end
        text = text:gsub("%s+$", "")
        keep_secret(state, text)
        return text
    end
    return words
end

local function kafka_properties(state)
    local properties, seen = {}, {}
    for _, given in ipairs(state.kafka) do
        local at = check.place(state.faults, state.file, given.line, locate.fields(state.text, "kafka", nil, given.line))
        if type(given.value) ~= "table" then
            at:fault(nil, "expected `kafka { ... }`, got %s", check.describe(given.value))
            given.value = {}
        end
        at:no_key_twice()
        for _, name in ipairs(check.keys(given.value)) do
            local value = given.value[name]
            if type(name) ~= "string" then
                at:fault(tostring(name), "kafka: found %s without a property name", check.describe(value))
            elseif check.is_poison(value) then
                seen[name] = true
            elseif type(value) ~= "string" and type(value) ~= "number" and type(value) ~= "boolean" then
                at:fault(name, "kafka: `%s`: expected a string, a number, true or false, got %s", name, check.describe(value))
            elseif seen[name] then
                at:fault(name, "kafka: `%s` is given twice", name)
            else
                seen[name] = true
                local text = type(value) == "number" and ("%.14g"):format(value) or tostring(value)
                properties[#properties + 1] = { name = name, value = text, secret = looks_secret(name) or state.secrets[text] or false,
                    line = at:line_of(name) }
                if looks_secret(name) then keep_secret(state, text) end
            end
        end
    end
    table.sort(properties, function(a, b) return a.name < b.name end)
    return properties
end

-- Properties that belong to the engine, with the setting to use instead.
local reserved = {
    ["enable.auto.commit"] = "commit_interval", ["enable.auto.offset.store"] = "commit_interval",
    ["auto.offset.reset"] = "`start` of the source", ["transactional.id"] = "delivery",
    ["enable.idempotence"] = "delivery", ["isolation.level"] = "delivery",
    ["partition.assignment.strategy"] = "parallelism",
}

local function check_kafka(state, properties)
    for _, property in ipairs(properties) do
        local instead = reserved[property.name]
        if instead then
            if not instead:find("`", 1, true) then instead = "`" .. instead .. "`" end
            state.faults:add(state.file, property.line, "kafka: `%s` is decided by the engine; use %s", property.name, instead)
        end
    end
end

-- A transaction begins with the first record after a commit and has to last until the next.
local function check_interval(state, out)
    for _, property in ipairs(out.kafka) do
        local limit = property.name == "transaction.timeout.ms" and tonumber(property.value)
        if limit and out.delivery == "exactly_once" and out.commit_interval and limit < out.commit_interval + 1000 then
            state.faults:add(state.file, property.line, "kafka: `transaction.timeout.ms` = %s is too short for `commit_interval` (%d ms): the broker " ..
                "would abort every transaction before it is committed; make it %d or more, or leave it out", property.value, out.commit_interval,
                out.commit_interval + 1000)
        end
    end
end

local function check_sources(state)
    local sources, places, topics = {}, {}, {}
    for _, given in ipairs(state.sources) do
        local at = check.place(state.faults, state.file, given.line,
            locate.fields(state.text, "source", given.name, given.line))
        local earlier = places[given.name]
        if earlier then
            at:fault(nil, "the source `%s` is defined twice; the first is at line %d", given.name, earlier)
        elseif type(given.value) ~= "table" then
            at:fault(nil, "expected `source \"%s\" { ... }`, got %s", given.name, check.describe(given.value))
        else
            places[given.name] = given.line
            at:no_key_twice()
            local source, bad = check.table(at, "", given.value, config.source)
            source.name, source.file, source.line = given.name, state.file, given.line
            if not source.topic and not bad.topic then
                source.topic = check.types.names(at, "topic", { given.name }, { item = "topic name" })
            end
            source.metadata = source.metadata or {}
            for _, topic in ipairs(source.topic or {}) do
                if topics[topic] then
                    at:fault("topic", "the topic `%s` is read by the source `%s` already; one source may feed many rules", topic, topics[topic])
                end
                topics[topic] = topics[topic] or given.name
            end
            sources[#sources + 1] = source
        end
    end
    table.sort(sources, function(a, b) return a.name < b.name end)
    if #state.sources == 0 then
        state.faults:add(state.file, 1, 'no source is defined; write `source "name" { topic = "name" }`')
    end
    return sources
end

-- The checked configuration from what the file's functions were given.
function config.finish(state)
    local out = {}
    for _, row in ipairs(config.settings) do
        local given = state.given[row.name]
        local written = given and { [row.name] = given.value } or {}
        local fields = locate.fields(state.text, row.name, nil, given and given.line or 0)
        local inner = { [row.name] = { line = given and given.line or 1 } }
        for path, field in pairs(fields) do inner[row.name .. "." .. path] = field end
        local at = check.place(state.faults, state.file, given and given.line or 1, inner)
        local value = check.table(at, "", written, { row })
        out[row.name] = value[row.name]
    end
    local defaults = check.place(state.faults, state.file, 1)
    out.topics = out.topics or check.table(defaults, "topics", {}, config.topics)
    out.budget = out.budget or check.table(defaults, "budget", {}, config.budget)
    out.kafka = kafka_properties(state)
    check_kafka(state, out.kafka)
    check_interval(state, out)
    out.sources = check_sources(state)
    out.group_id = "ananas"
    for _, property in ipairs(out.kafka) do
        if property.name == "group.id" then out.group_id = property.value end
    end
    out.path = state.file
    if out.rules and out.rules:sub(1, 1) ~= "/" then out.rules = state.folder .. out.rules end
    out.secrets = check.keys(state.secrets)
    return out
end

config.unknown = fault.suggest
return config
