-- reference: the rows of data behind ananas.lua and rule files, as Markdown tables for people: what `ananas help config` and
-- `ananas help rules` print.

local config = require "config"
local rule = require "rule"

local reference = {}

local function range_of(row)
    local range = row.range or row.choices
    if not range then return row.also and ('or "%s"'):format(row.also) or "" end
    if row.type == "choice" then return '"' .. table.concat(range, '", "') .. '"' end
    local words = range.words or range
    local text = words[2] == "any" and ("from %s"):format(tostring(words[1]))
        or words[2] == 2 ^ 53 and ("from %s"):format(tostring(words[1])) or ("%s to %s"):format(tostring(words[1]), tostring(words[2]))
    return row.also and ('%s, or "%s"'):format(text, row.also) or text
end

local function default_of(row)
    if row.required then return "required" end
    local default = row.default
    if default == nil then return "" end
    if type(default) == "table" then return "{}" end
    return type(default) == "string" and ('"%s"'):format(default) or tostring(default)
end

local function cell(text) return (text:gsub("|", "\\|")) end

local function put_table(out, title, rows)
    out[#out + 1] = ("### %s\n"):format(title)
    out[#out + 1] = "| name | type | default | range | meaning |\n| --- | --- | --- | --- | --- |"
    for _, row in ipairs(rows) do
        out[#out + 1] = ("| `%s` | %s | %s | %s | %s |"):format(row.name, row.type or "names", cell(default_of(row)), cell(range_of(row)), cell(row.doc))
    end
    out[#out + 1] = ""
end

local topics = {}

function topics.config(out)
    put_table(out, "Settings: `name (value)`", config.settings)
    put_table(out, 'Keys of `source "name" { ... }`', config.source)
    put_table(out, "Keys of `topics { ... }`", config.topics)
    put_table(out, "Keys of `budget { ... }`", config.budget)
    out[#out + 1] = "`kafka { ... }` takes any librdkafka property but those that the engine decides. `env(name, default)` and"
    out[#out + 1] = "`secret_file(path)` give values that are never shown."
end

function topics.rules(out)
    put_table(out, 'Keys of `rule "name" { ... }`, in the order in which they run', rule.keys)
    for _, kind in ipairs { "tumble", "hop", "cumulate", "session" } do
        put_table(out, ("Keys of `%s { ... }`"):format(kind), rule.windows[kind])
    end
    put_table(out, "Keys of `top = { ... }`", rule.top)
    put_table(out, "Keys of `match = { ... }`", rule.match)
    put_table(out, "Keys of `process = { ... }`", rule.process)
    local detect = require "detect"
    for _, kind in ipairs(rule.detectors) do
        put_table(out, ("Keys of `detect = %s { ... }`"):format(kind), detect.options(kind))
    end
    local names = {}
    for i, row in ipairs(rule.aggregates) do names[i] = ("`%s`"):format(row.name) end
    out[#out + 1] = "Aggregates: " .. table.concat(names, ", ") .. "."
end

-- The text of a topic, or nil.
function reference.text(topic)
    if not topics[topic] then return nil end
    local out = {}
    topics[topic](out)
    return table.concat(out, "\n") .. "\n"
end

return reference
