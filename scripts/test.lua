-- test: `ananas test`: runs the specs beside the rules with busted, in a Lua of their own with everything that Lua has.
-- This file finds the specs, sets busted up with the words of test_rules.lua, and prints what it tells.

local test = {}

local kit = require "test_rules"

local function lines_of(command)
    local pipe = assert(io.popen(command, "r"))
    local list = {}
    for line in pipe:lines() do list[#list + 1] = line end
    pipe:close()
    return list
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function exists(path)
    local file = io.open(path, "r")
    if file then file:close() end
    return file ~= nil
end

-- *_spec.lua files of the paths, sorted; nil and the path that is not there.
local function find_specs(paths)
    local specs, seen = {}, {}
    for _, path in ipairs(paths) do
        if not exists(path) then return nil, path end
        local found = path:match "%.lua$" and { path } or lines_of("find -L " .. quote(path) .. " -name '*_spec.lua' -type f | LC_ALL=C sort")
        for _, spec in ipairs(found) do
            if not seen[spec] then
                seen[spec] = true
                specs[#specs + 1] = spec
            end
        end
    end
    return specs
end

-- ---- what busted tells, as lines ----

local function indented(text) return "        " .. text:gsub("\n", "\n        ") end

local function message_of(message, trace)
    if type(message) == "table" and getmetatable(message) == kit.failure then return message.text end
    local text = type(message) == "string" and message or tostring(type(message) == "table" and message.message or message)
    local place = trace and trace.short_src and trace.currentline and ("%s:%d: "):format(trace.short_src, trace.currentline) or ""
    if place:match "^scripts/" or text:sub(1, #place) == place then place = "" end
    return place .. text
end

local function reporter(counts, coloured)
    local function paint(code, text) return coloured and ("\27[%sm%s\27[0m"):format(code, text) or text end
    return function()
        local busted, file, problems = require "busted", nil, {}
        local function name_of(element)
            local parts = { element.name }
            local parent = busted.parent(element)
            while parent and parent.descriptor == "describe" do
                table.insert(parts, 1, parent.name)
                parent = busted.parent(parent)
            end
            return table.concat(parts, ": ")
        end
        local function heading(element)
            local parent = element
            while parent and parent.descriptor ~= "file" do parent = busted.parent(parent) end
            if parent and parent.name ~= file then
                file = parent.name
                io.write(paint("1", file), "\n")
            end
        end
        local function problem(element, _, message, trace)
            local text = message_of(message, trace)
            if element.descriptor == "it" then problems[#problems + 1] = text
            else
                heading(element)
                counts.failed = counts.failed + 1
                io.write("  ", paint("31", "FAIL"), "  ", element.name or element.descriptor, "\n", indented(text), "\n")
            end
            return nil, true
        end
        local function ended(element, _, status)
            heading(element)
            local label = status == "success" and paint("32", "ok  ") or status == "pending" and paint("33", "todo") or paint("31", "FAIL")
            io.write("  ", label, "  ", name_of(element), "\n")
            for _, text in ipairs(problems) do io.write(indented(text), "\n") end
            problems = {}
            local what = status == "success" and "passed" or status == "pending" and "pending" or "failed"
            counts[what] = counts[what] + 1
            kit.reset_all()
            return nil, true
        end
        return { subscribe = function()
            busted.subscribe({ "error" }, problem)
            busted.subscribe({ "failure" }, problem)
            busted.subscribe({ "test", "end" }, ended)
        end }
    end
end

-- Runs busted as its command would; it ends by raising when something failed, which `counts` tell better.
local function run_busted(specs, counts, coloured)
    package.loaded["ananas.test.report"] = reporter(counts, coloured)
    local config = kit.folder .. "/busted.lua"
    local file = assert(io.open(config, "w"))
    file:write "return {}\n"
    file:close()
    _G.arg = { "--config-file=" .. config, "--output=ananas.test.report", "--pattern=_spec%.lua$", "--keep-going", unpack(specs) }
    _G.arg[0] = "ananas test"
    local exit = os.exit
    rawset(os, "exit", function() error("end", 0) end)
    local chunk = assert(loadstring("require 'busted.runner'({ standalone = false })", "@ananas test"))
    local ok, problem = xpcall(chunk, function(e) return e ~= nil and debug.traceback(tostring(e), 2) or nil end)
    rawset(os, "exit", exit)
    if not ok and problem and counts.passed + counts.failed == 0 then
        io.stderr:write("ananas test: ", problem, "\n")
        counts.failed = counts.failed + 1
    end
end

-- options: paths (list), config (path or nil), rules (where specs are when no path is given), program, coloured. Gives the
-- exit status.
function test.main(options)
    local specs, missing = find_specs(#options.paths > 0 and options.paths or { options.rules })
    if not specs then
        io.stderr:write(("ananas test: there is no %s\n"):format(missing))
        return 2
    end
    if #specs == 0 then
        io.stderr:write(("ananas test: no *_spec.lua in %s\n"):format(table.concat(#options.paths > 0 and options.paths or { options.rules }, ", ")))
        return 1
    end
    if not pcall(require, "busted.core") then
        io.stderr:write "ananas test: rule tests run on busted, which is not installed (Debian: apt install lua-busted)\n"
        return 1
    end
    kit.program, kit.config, kit.coloured = options.program, options.config, options.coloured
    kit.folder = lines_of "mktemp -d"[1]
    _G.rules_under_test, _G.at, _G.null = kit.rules_under_test, kit.at, require("test_json").null
    local counts = { passed = 0, failed = 0, pending = 0 }
    run_busted(specs, counts, options.coloured)
    os.execute("rm -rf " .. quote(kit.folder))
    io.write(("\n%d passed, %d failed%s\n"):format(counts.passed, counts.failed,
        counts.pending > 0 and (", %d pending"):format(counts.pending) or ""))
    return counts.failed > 0 and 1 or 0
end

return test
