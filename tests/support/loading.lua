-- Loading rule texts in the specs' own Lua, without the engine: `loading.rules { ["a.lua"] = "rule ..." }`.

local ffi = require "ffi"
local sandbox = require "sandbox"

local loading = {}

-- What the engine provides to rules, in the least form that loads. The same way as the program would: by name.
if not sandbox.environment().timestamp then
    sandbox.provide("timestamp", function(ms) return ms end)
    sandbox.provide("log", function() end)
end
-- The pattern grammar is the engine's.
loading.engine = ffi.load((os.getenv "ANANAS_OUT" or "build") .. "/libananas.so", true)

local loader = require "loader"

loading.pizzas = [[
source "pizzas" { topic = "pizzas", metadata = { orderTimestamp = "timestamp" }, event_time = "orderTimestamp" }
source "other" { topic = "other" }
]]

function loading.read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

local function lines(faults)
    local out = {}
    for i, fault in ipairs(faults:sorted()) do out[i] = ("%s:%d: %s"):format(fault.file, fault.line, fault.text) end
    return out
end

-- The configuration of a text and its faults as lines. host: see loader.load_config.
function loading.config(text, host)
    local config, faults = loader.load_config("ananas.lua", text, host or { getenv = function() end, read = function(path) return nil, path .. ": no such file" end })
    return config, lines(faults)
end

-- files: name -> text, or one text for "rules.lua". Gives { plan, faults = lines, warnings = lines, fns, rule = name -> rule,
-- desc = name -> checked rule }.
function loading.rules(files, options)
    options = options or {}
    if type(files) == "string" then files = { ["rules.lua"] = files } end
    local config = options.config or loader.load_config("ananas.lua", loading.pizzas, {})
    local texts = {}
    for name, text in pairs(files) do
        texts[#texts + 1] = { name = name, path = "rules/" .. name, text = text or nil, error = text == false and "Permission denied" or nil }
    end
    table.sort(texts, function(a, b) return a.name < b.name end)
    local fns = {}
    local plan, faults, warnings = loader.load(texts, {
        sources = config.sources, from = "rules", only = options.only,
        add = function(fn, info)
            fns[#fns + 1] = { fn = fn, what = info.what, rule = info.desc.name, memo_column = info.memo_column }
            return #fns - 1
        end,
    })
    local out = { plan = plan, faults = lines(faults), warnings = {}, fns = fns, rule = {}, desc = {} }
    for i, warning in ipairs(warnings) do out.warnings[i] = ("%s:%d: %s"):format(warning.file, warning.line, warning.text) end
    for _, rule in ipairs(plan.rules) do out.rule[rule.name] = rule end
    for _, desc in ipairs(plan.ordered) do out.desc[desc.name] = desc end
    return out
end

-- The only fault of a text, without its place; the place is asserted by line.
function loading.fault(text, options)
    local loaded = loading.rules(text, options)
    if #loaded.faults ~= 1 then
        error(("expected one fault, found %d:\n%s"):format(#loaded.faults, table.concat(loaded.faults, "\n")), 2)
    end
    local line, words = loaded.faults[1]:match("^rules/[^:]+:(%d+): (.*)$")
    return words, tonumber(line)
end

return loading
