-- test_rules: the words of rule tests. A spec feeds rows, idleness and watermarks to rules and says what must come out.
--
--   local t = rules_under_test("pizza.lua", { sources = { pizzas = { watermark = "5s" } } })
--   it("counts toppings", function()
--       t:feed("pizzas", at "00:00:01", { id = 7, ... })
--       t:watermark(at "00:00:10")
--       t:expect("topping_rush", { { topping = "🍓", nr_orders = 11, _at = at "00:00:10" } })
--   end)
--
-- What is fed is one recorded input; the first expectation after it replays it through the engine itself (`ananas replay`)
-- in one go. Every `it` begins with nothing fed.

local expect = require "test_expect"
local fault = require "fault"
local json = require "test_json"

local kit = { program = "ananas", config = nil, folder = nil, coloured = false, all = setmetatable({}, { __mode = "k" }) }

local Rules = {}
Rules.__index = Rules

-- ---- failing where the spec stands ----

local function spec_line()
    for level = 3, 30 do
        local info = debug.getinfo(level, "Sl")
        if not info then break end
        if info.source:match "_spec%.lua$" then return ("%s:%d"):format(info.short_src, info.currentline) end
    end
    return "?"
end

local failure = {}
failure.__index = failure
failure.__tostring = function(f) return f.text end
kit.failure = failure

local function fail(format, ...)
    error(setmetatable({ text = ("%s: %s"):format(spec_line(), format:format(...)) }, failure), 0)
end

local function read_file(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local text = file:read "*a"
    file:close()
    return text
end

local function write_file(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- ---- time ----

-- Epoch ms of "00:00:01.500" (on 2020-01-01), "2022-08-02 07:53:42" (UTC), or of a number as it is.
function kit.at(text)
    if type(text) == "number" then return text end
    local ms = type(text) == "string" and expect.time(text)
    if not ms then fail('at "HH:MM:SS" or at "YYYY-MM-DD HH:MM:SS", not %s', tostring(text)) end
    return ms
end

-- ---- which rules, and over which sources ----

local function folder_of_spec()
    for level = 3, 30 do
        local info = debug.getinfo(level, "S")
        if not info then break end
        local path = info.source:match "^@(.*_spec%.lua)$"
        if path then return path:match "^(.*)/[^/]*$" or "." end
    end
    return "."
end

local function resolve(path, folder) return path:sub(1, 1) == "/" and path or folder .. "/" .. path end

local function literal(v)
    if type(v) ~= "table" then return type(v) == "string" and ("%q"):format(v) or tostring(v) end
    local parts, names = {}, {}
    for i, item in ipairs(v) do parts[i] = literal(item) end
    for name in pairs(v) do if type(name) == "string" then names[#names + 1] = name end end
    table.sort(names)
    for _, name in ipairs(names) do parts[#parts + 1] = ("[%q] = %s"):format(name, literal(v[name])) end
    return "{ " .. table.concat(parts, ", ") .. " }"
end

-- Sources of a spec: a list of names or name = settings. Nothing moves event time but what the spec says, unless it sets
-- a watermark.
local function sources_of(given)
    local sources = {}
    for k, v in pairs(given) do
        local name, settings = k, v
        if type(k) == "number" then name, settings = v, {} end
        local source = { topic = name, watermark = "none", max_ahead = "none" }
        for key, value in pairs(settings) do source[key] = value end
        sources[name] = source
    end
    return sources
end

local function config_text(sources)
    local names, parts = {}, {}
    for name in pairs(sources) do names[#names + 1] = name end
    table.sort(names)
    for i, name in ipairs(names) do parts[i] = ("source %q %s\n"):format(name, literal(sources[name])) end
    return table.concat(parts)
end

-- The sources of a configuration file, as it declares them.
local function sources_in(path)
    local sources, quiet = {}, function() return function() end end
    local env = setmetatable({
        source = function(name) return function(spec) sources[name] = spec end end,
        env = function(_, default) return default or "" end, secret_file = function() return "" end,
    }, { __index = function() return quiet end })
    local chunk, why = loadfile(path)
    if not chunk then fail("%s", why) end
    setfenv(chunk, env)
    local ok, problem = pcall(chunk)
    if not ok then fail("%s", problem) end
    for name, spec in pairs(sources) do spec.topic = spec.topic or name end
    return sources
end

-- path: a rule file or a folder, beside the spec. options: sources (list of names, or name = settings as in `source`), or
-- config (path of an ananas.lua; that of `ananas test -c` is taken where there is one); now (for max_ahead).
function kit.rules_under_test(path, options)
    options = options or {}
    local folder = folder_of_spec()
    local self = setmetatable({ rules = resolve(path, folder), now = options.now, events = {}, offsets = {} }, Rules)
    if not io.open(self.rules, "r") then fail("rules_under_test: there is no %s", self.rules) end
    local config = options.config and resolve(options.config, folder) or not options.sources and kit.config
    if options.sources then
        self.sources, self.config_text = sources_of(options.sources), nil
        self.config_text = config_text(self.sources)
    elseif config then
        self.sources, self.config = sources_in(config), config
    else
        fail('rules_under_test needs the sources of the rules: { sources = { "name" } }, or a configuration (ananas test -c)')
    end
    kit.all[self] = true
    return self
end

-- ---- feeding ----

function Rules:reset()
    self.events, self.offsets, self.result, self.flushed = {}, {}, nil, nil
end

local function add(self, line)
    self.events[#self.events + 1] = line
    self.result = nil
end

local function source_named(self, name)
    local source = self.sources[name]
    if source then return source end
    local names = {}
    for known in pairs(self.sources) do names[#names + 1] = known end
    table.sort(names)
    fail("there is no source `%s`%s", tostring(name), fault.suggest(tostring(name), names))
end

local function topic_of(source, more)
    if more and more.topic then return more.topic end
    return type(source.topic) == "table" and source.topic[1] or source.topic
end

local function with_event_time(source, time, value)
    local name = source.event_time
    if type(value) ~= "table" or not name or value[name] ~= nil or (source.metadata and source.metadata[name]) then return value end
    local copy = {}
    for k, v in pairs(value) do copy[k] = v end
    copy[name] = source.event_unit == "s" and time / 1000 or time
    return copy
end

-- A record. value: a table, the text of a payload, or nil (a tombstone); more: partition, key, topic, offset, headers. Where
-- the source takes its event time from a column that value lacks, `time` is put there.
function Rules:feed(name, time, value, more)
    local source = source_named(self, name)
    time, more = kit.at(time), more or {}
    if value ~= nil and type(value) ~= "table" and type(value) ~= "string" then
        fail("feed(source, time, row): the row must be a table or the text of a payload, not a %s", type(value))
    end
    local topic, partition = topic_of(source, more), more.partition or 0
    local place = topic .. "/" .. partition
    local offset = more.offset or self.offsets[place] or 0
    self.offsets[place] = offset + 1
    add(self, { topic = topic, partition = partition, offset = offset, ts = time, key = more.key or json.null,
        headers = more.headers, payload = value == nil and json.null or with_event_time(source, time, value) })
end

-- Partition n of a source has nothing more for now.
function Rules:idle(name, partition)
    add(self, { topic = topic_of(source_named(self, name)), partition = partition or 0, idle = true })
end

-- The source has that many partitions, also those that no row comes from.
function Rules:partitions(name, n)
    add(self, { topic = topic_of(source_named(self, name)), partitions = n })
end

-- Every source is at least there in event time.
function Rules:watermark(time) add(self, { watermark = kit.at(time) }) end

-- Other rules from here on; path as in rules_under_test.
function Rules:reload(path) add(self, { rules = resolve(path, folder_of_spec()) }) end

-- The end of the input: everything open closes.
function Rules:flush()
    self.flushed, self.result = true, nil
end

-- ---- running ----

local function written_input(self)
    local lines = {}
    for i, event in ipairs(self.events) do
        local good, line = pcall(json.write, event)
        if not good then fail("a row that was fed cannot be written: %s", line) end
        lines[#lines + 1] = line
        lines[#lines + 1] = ('{"mark":%d}'):format(i)
    end
    return table.concat(lines, "\n") .. "\n"
end

local function row_of(record)
    local row
    if type(record.payload) == "string" then
        local ok, value = pcall(json.read, record.payload)
        row = ok and type(value) == "table" and value or { _payload = record.payload }
    else
        row = { _tombstone = true }
    end
    row._time, row._topic = record.ts, record.topic
    if type(record.key) == "string" then
        local ok, key = pcall(json.read, record.key)
        row._key = ok and key or record.key
    end
    local headers = type(record.headers) == "table" and record.headers or {}
    for i = 1, #headers, 2 do
        if headers[i] == "ananas-rule" then row._rule = headers[i + 1] end
    end
    return row
end

-- Rows in order; each knows by the next mark at which watermark it came out.
local function read_output(text)
    local rows, waiting = {}, {}
    for line in text:gmatch "[^\n]+" do
        local record = json.read(line)
        if record.topic == "ananas.mark" then
            local watermark = json.read(record.payload).watermark
            for _, row in ipairs(waiting) do row._at = watermark end
            waiting = {}
        else
            local row = row_of(record)
            rows[#rows + 1], waiting[#waiting + 1] = row, row
        end
    end
    for _, row in ipairs(waiting) do row._at = "end" end
    return rows
end

local function replay(self)
    local folder = kit.folder
    local config = self.config or folder .. "/ananas.lua"
    if self.config_text then write_file(config, self.config_text) end
    write_file(folder .. "/input", written_input(self))
    os.remove(folder .. "/stats")
    local command = ("%s replay -c %s --rules %s --input %s --output %s --stats %s --log-level warn%s%s 2> %s"):format(
        quote(kit.program), quote(config), quote(self.rules), quote(folder .. "/input"), quote(folder .. "/output"),
        quote(folder .. "/stats"), self.flushed and "" or " --no-flush",
        self.now and (" --now " .. quote(("%d"):format(kit.at(self.now)))) or "", quote(folder .. "/log"))
    local status = os.execute(command)
    local log = (read_file(folder .. "/log") or ""):gsub("%s+$", "")
    local stats = read_file(folder .. "/stats")
    if (status ~= 0 and status ~= true) or not stats then fail("the rules do not run:\n%s", log) end
    local refused = log:match "[^\n]*; the rules that ran go on"
    if refused then fail("the rules of reload(path) do not load:\n%s", refused) end
    return { rows = read_output(read_file(folder .. "/output") or ""), stats = json.read(stats), log = log }
end

local function result(self)
    self.result = self.result or replay(self)
    return self.result
end

local function rule_stats(self, name)
    local rules = result(self).stats.rules
    if rules[name] then return rules[name] end
    local names = {}
    for known in pairs(rules) do names[#names + 1] = known end
    table.sort(names)
    fail("there is no rule `%s`%s", tostring(name), fault.suggest(tostring(name), names))
end

-- ---- expecting ----

-- Rows that came out of a rule, or with "topic:NAME" on a topic, in order. Besides their columns they have _key, _time,
-- _topic, _at (the watermark at which they came out; "end" for the end of the input), _tombstone.
function Rules:emitted(name)
    local topic, out = tostring(name):match "^topic:(.*)$", {}
    if not topic then rule_stats(self, name) end
    for _, row in ipairs(result(self).rows) do
        if (topic and row._topic == topic) or (not topic and row._rule == name) then out[#out + 1] = row end
    end
    return out
end

local function notes(self, name)
    local stats, text = result(self).stats.rules[name], ""
    if stats and stats.emitted > 0 and #self:emitted(name) == 0 then
        text = text .. "\n    (the rule gave rows, but it writes to no topic, or is in shadow mode: test a rule that reads it)"
    end
    if result(self).log ~= "" then text = text .. "\n    log: " .. result(self).log:gsub("\n", "\n         ") end
    return text
end

local function count(n, what) return ("%d row%s %s"):format(n, n == 1 and "" or "s", what) end

-- Exactly these rows came out, in any order. A row is compared by the columns named; a column may be a value, an event time
-- (at "..."), or a function that says whether it will do.
function Rules:expect(name, wanted)
    if type(wanted) ~= "table" then fail("expect(rule, rows): the rows must be a list of tables, not a %s", type(wanted)) end
    for _, row in ipairs(wanted) do
        if type(row) ~= "table" then fail("expect(rule, rows): each row must be a table, not a %s", type(row)) end
    end
    local got = self:emitted(name)
    local lines, counts = expect.compare(wanted, got)
    if not lines then return end
    local parts = {}
    if counts.different > 0 then parts[#parts + 1] = count(counts.different, "came out otherwise") end
    if counts.missing > 0 then parts[#parts + 1] = count(counts.missing, "missing") end
    if counts.extra > 0 then parts[#parts + 1] = count(counts.extra, "too many") end
    fail("%s: %s\n%s%s", name, table.concat(parts, ", "), expect.table(lines, kit.coloured), notes(self, name))
end

function Rules:expect_nothing(name) self:expect(name, {}) end

local function expect_count(self, name, field, wanted)
    local got = rule_stats(self, name)[field]
    if got ~= wanted then fail("%s: %d %s, expected %d%s", name, got, field, wanted, notes(self, name)) end
end

-- So many rows were too late for everything they belong to.
function Rules:expect_late(name, n) expect_count(self, name, "late", n) end
-- So many evaluations of the rule's functions failed.
function Rules:expect_errors(name, n) expect_count(self, name, "errors", n) end
-- So many anomalies were held back by `cooldown`.
function Rules:expect_held_back(name, n) expect_count(self, name, "held_back", n) end
-- So many records were bad and became dead letters.
function Rules:expect_bad(n)
    local got = result(self).stats.bad_records
    if got ~= n then fail("%d bad records, expected %d", got, n) end
end

function kit.reset_all()
    for rules in pairs(kit.all) do rules:reset() end
end

return kit
