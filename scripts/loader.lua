-- loader: texts of rule files to a checked plan.
-- A text is { name = "pizza.lua" (inside the rules folder), path = as messages show it, text =, error = }. Files at the top
-- of the folder are rule files, but for specs; the others are there for require. Each file runs at most once, in the order
-- of names or when it is required first; what it returns is what require gives. Nothing here stops at the first fault.

local bytecode = require "bytecode"
local check = require "check"
local config = require "config"
local fault = require "fault"
local hash = require "hash"
local locate = require "locate"
local plan = require "plan"
local rule = require "rule"
local rule_check = require "rule_check"
local sandbox = require "sandbox"

local loader = {}

-- A name nobody knows: reported where it was first used, and then harmless.
local poison_meta = {}
function poison_meta.__index(self) return self end
function poison_meta.__call(self) return self end
function poison_meta.__concat(self) return self end
function poison_meta.__unm(self) return self end
for _, event in ipairs { "__add", "__sub", "__mul", "__div", "__mod", "__pow" } do
    poison_meta[event] = function(a, b) return check.is_poison(a) and a or b end
end
local poison = setmetatable({ is = "poison" }, poison_meta)

-- The environment of one file: the allow-list, the vocabulary, and its own globals. Unknown names become faults. The table
-- itself stays empty, so that every write is seen. Gives it and { lookup = function(name), seal = function(freeze) }; sealing
-- ends loading: from then on nothing can be written.
local function environment(faults, path, words, candidates)
    local base, own = sandbox.environment(faults), {}
    local function lookup(name)
        local known = own[name]
        if known == nil then known = words[name] end
        if known == nil then known = base[name] end
        return known
    end
    local env = setmetatable({}, {
        __index = function(_, name)
            local known = lookup(name)
            if known ~= nil or type(name) ~= "string" then return known end
            local info = debug.getinfo(2, "Sl")
            faults:add(path, info and info.currentline or 0, "unknown name `%s`%s", name, fault.suggest(name, candidates(own)))
            return poison
        end,
        __newindex = function(_, name, given) own[name] = given end,
    })
    local function seal(freeze)
        local all = {}
        for name, known in pairs(base) do all[name] = known end
        for name, known in pairs(words) do all[name] = known end
        for name, known in pairs(own) do all[name] = freeze(known) end
        setmetatable(env, {
            __index = all,
            __newindex = function(_, name) error(("rules cannot write globals: `%s`"):format(tostring(name)), 2) end,
            __metatable = false,
        })
    end
    return env, { lookup = lookup, seal = seal, own = own }
end

-- Every name that a file may use, for suggestions.
local function candidates_of(...)
    local names, seen = {}, {}
    for i = 1, select("#", ...) do
        for name in pairs((select(i, ...)) or {}) do
            if type(name) == "string" and not seen[name] then
                seen[name] = true
                names[#names + 1] = name
            end
        end
    end
    table.sort(names)
    return names
end

-- Names that a text gives to locals, wherever: enough to suggest one that was misspelt.
local function locals_of(text)
    local names = {}
    for name in text:gmatch("local%s+([%a_][%w_]*)") do names[name] = true end
    for name in text:gmatch("local%s+function%s+([%a_][%w_]*)") do names[name] = true end
    names["function"] = nil
    return names
end

-- What functions of the vocabulary are called: a value -> "string.find", "count".
local function names_of(words)
    local out = {}
    for name, known in pairs(words) do
        if type(known) == "function" or type(known) == "userdata" then out[known] = name end
        local library = type(known) == "userdata" and sandbox.thaw(known)
        for inner, fn in pairs(type(library) == "table" and library or {}) do
            if type(fn) == "function" then out[fn] = name .. "." .. inner end
        end
    end
    return out
end

local function is_rule_file(name)
    return name:match("^[^/]+%.lua$") ~= nil and not name:match("_spec%.lua$")
end
loader.is_rule_file = is_rule_file

-- Runs a file once. Its state is nil, "running", "done" or "failed".
local function run(state, file)
    if file.state then return end
    file.state = "running"
    state.used[#state.used + 1] = file
    local function failed(message)
        state.faults:add_error(message, file.path, 1)
        file.state = "failed"
    end
    if not file.text then return failed(("%s:0: cannot be read: %s"):format(file.path, file.error or "no such file")) end
    file.env, file.names = environment(state.faults, file.path, state.words, state.candidates)
    state.by_env[file.env] = file
    local chunk, why = sandbox.load(file.text, "@" .. file.path, file.env)
    if not chunk then return failed(why) end
    local before = state.current
    state.current = file
    state.running(file.path)
    local ok, result = pcall(chunk)
    state.current = before
    state.running(before and before.path)
    if not ok then return failed(result) end
    file.state, file.result = "done", result
end

local function require_in(state)
    local modules = {}
    for _, file in ipairs(state.files) do
        local name = file.name:gsub("%.lua$", "")
        modules[name] = modules[name] or file
        local short = name:match("^(.*)/init$")
        if short then modules[short] = modules[short] or file end
    end
    local names = check.keys(modules)
    return function(name)
        if not state.current then error("modules are required while files are loaded, not by functions of rules", 2) end
        local info = debug.getinfo(2, "l")
        local line, here = info and info.currentline or 0, state.current.path
        if check.is_poison(name) then return poison end
        if type(name) ~= "string" then
            state.faults:add(here, line, "require: expected the name of a module, got %s", check.describe(name))
            return poison
        end
        local file = not name:find("[/\\]") and modules[(name:gsub("%.", "/"))]
        if not file then
            state.faults:add(here, line, "there is no module `%s` in the rules folder%s", name, fault.suggest(name, names))
            return poison
        end
        run(state, file)
        if file.state == "running" then
            state.faults:add(here, line, "the module `%s` requires itself, directly or not", name)
        end
        if file.state ~= "done" then return poison end
        if file.result == nil then return true end
        return file.result
    end
end

local function check_rules(state, found)
    for _, entry in ipairs(found) do
        local file = entry.source
        local at = check.place(state.faults, entry.file, entry.line, locate.fields(file.text, "rule", entry.name, entry.line))
        if entry.spec == nil then
            at:fault(nil, 'the rule `%s` has no body; write `rule "%s" { ... }`', entry.name, entry.name)
        else
            entry.desc = rule_check.rule(entry, at)
            if entry.desc then entry.desc.source_file = file end
        end
    end
end

-- What the analysis of functions asks about them.
local function function_facts(state, words)
    local function file_of(f) return state.by_env[debug.getfenv(f)] end
    return {
        faults = state.faults, words = words, checked = {},
        is_user = function(f) return file_of(f) ~= nil end,
        lookup = function(f, name)
            local file = file_of(f)
            return file and file.names.lookup(name)
        end,
        candidates = function(f)
            local file = file_of(f)
            return state.candidates(file and file.names.own, locals_of(file and file.text or ""))
        end,
    }
end

-- files: texts sorted by name. settings: { sources = checked sources, add = function(fn, info) -> number, only = name of a
-- single rule file or nil, running = function(path) told which file runs }. Gives the plan and the faults
-- (loader's fault list); warnings are { file, line, text }.
function loader.load(files, settings)
    local faults, found, warnings = fault.new(), {}, {}
    local state = { faults = faults, files = files, used = {}, by_env = {}, running = settings.running or function() end }
    state.words = rule.vocabulary(faults, found, function() return state.current end)
    state.words.require = require_in(state)
    local base = sandbox.environment(faults)
    state.candidates = function(own, locals) return candidates_of(own or {}, locals or {}, state.words, base) end
    local any = false
    for _, file in ipairs(files) do
        if (settings.only and file.name == settings.only) or (not settings.only and is_rule_file(file.name)) then
            any = true
            run(state, file)
        end
    end
    if not any and settings.from then faults:add(settings.from, 0, "no rule file (*.lua) was found") end
    check_rules(state, found)
    local words = names_of(base)
    for known, name in pairs(names_of(state.words)) do words[known] = name end
    -- Only now, when all is judged and hashed: what functions captured becomes read-only.
    local function add(fn, info)
        if type(fn) == "table" then
            sandbox.freeze(fn.step)
            sandbox.freeze(fn.merge)
        else
            sandbox.freeze(fn)
        end
        return settings.add(fn, info)
    end
    local made = plan.make(found, {
        faults = faults, sources = settings.sources, group = settings.group, add = add, versions = hash.versions, functions = function_facts(state, words),
        warn = function(desc, path, text) warnings[#warnings + 1] = { file = desc.file, line = desc.at:line_of(path), text = text } end,
    })
    for _, file in ipairs(state.used) do
        if file.names then file.names.seal(sandbox.freeze) end
    end
    made.used = state.used
    -- The functions live on, and through their environments the words; what those noted goes.
    for i = #found, 1, -1 do found[i] = nil end
    bytecode.forget()
    return made, faults, warnings
end

-- The configuration of a text: the checked settings and the faults; where it could not be run to its end only the secrets
-- that it had read by then.
function loader.load_config(path, text, host)
    local faults = fault.new()
    local state = {
        faults = faults, file = path, text = text, folder = path:match("^(.*/)[^/]*$") or "", host = host, given = {}, kafka = {},
        sources = {}, secrets = {},
    }
    if state.folder == "./" then state.folder = "" end
    local words = config.vocabulary(state)
    local base = sandbox.environment(faults)
    local env = environment(faults, path, words, function(own) return candidates_of(own, words, base) end)
    local chunk, why = sandbox.load(text, "@" .. path, env)
    if not chunk then
        faults:add_error(why, path, 1)
        return nil, faults
    end
    local ok, message = pcall(chunk)
    if not ok then
        faults:add_error(message, path, 1)
        return { secrets = check.keys(state.secrets) }, faults
    end
    return config.finish(state), faults
end

-- ---- for script_plan.c and script_config.c, which read what is left in `last` and `last_config` ----

local function function_info(fn, info)
    local place = type(fn) == "table" and (fn.step or fn.init) or fn
    local known = type(place) == "function" and debug.getinfo(place, "S")
    local in_file = known and known.what ~= "C" and known.source:match("^@(.*%.lua)$")
    return {
        what = info.what, rule = info.rule, memo_column = info.memo_column, paths = info.paths, desc = info.desc,
        file = in_file or info.desc.file, line = in_file and known.linedefined or info.desc.line,
    }
end

function loader.load_into_door(files, settings)
    local door = require "door"
    local fns = {}
    settings.add = function(fn, info)
        info = function_info(fn, info)
        info.desc = nil
        local id = door.add(fn, info)
        for i = #fns + 1, id + 1 do fns[i] = { what = "", file = "", line = 0 } end
        fns[id + 1] = info
        return id
    end
    local made, faults, warnings = loader.load(files, settings)
    local used = {}
    for i, file in ipairs(made.used) do used[i] = file.name end
    for _, file in ipairs(files) do file.text = nil end
    loader.last = { rules = made.rules, sources = made.sources, fns = fns, version = made.version, faults = faults:sorted(), warnings = warnings, used = used }
end

-- The plan that was loaded last, in words.
function loader.describe_last(json)
    local describe = require "describe"
    return json and describe.json(loader.last) or describe.text(loader.last)
end

function loader.load_config_file(path, text)
    local host = {
        getenv = os.getenv,
        read = function(name)
            local file, why = io.open(name, "rb")
            if not file then return nil, why end
            local content = file:read("*a")
            file:close()
            if not content then return nil, name .. ": cannot be read" end
            return content
        end,
    }
    local made, faults = loader.load_config(path, text, host)
    made = made or {}
    made.faults = faults:sorted()
    made.secrets = made.secrets or {}
    loader.last_config = made
end

return loader
