-- The live page in Debian's Chromium, through playwright-core, beside a running demo. What is looked at is in page.js.

local net = require "tests.support.net"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local CHROMIUM = "/usr/bin/chromium"

local function packages()
    local folder = process.absolute "build/page"
    if process.run({ "test", "-d", folder .. "/node_modules/playwright-core" }).code ~= 0 then
        process.run { "mkdir", "-p", folder }
        process.run { "cp", replay.root .. "/tests/page/package.json", folder }
        local installed = process.run { "npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", folder, timeout = 120 }
        assert(installed.code == 0, installed.err)
    end
    return folder .. "/node_modules"
end

describe("the live page", function()
    it("shows what happens, on any screen, and says nothing that a record could run", function()
        local modules = packages()
        local folder, port = replay.folder(), net.free_port()
        local rules = folder .. "/pizza.lua"
        replay.write(rules, replay.read(replay.root .. "/rules/pizza.lua"))
        local function demo()
            return process.spawn { replay.binary, "demo", "--rate", "300", "--rules", rules, "--http", "127.0.0.1:" .. port }
        end
        local engine = demo()
        assert(process.eventually(20, function() return net.is_open(port) end, 0.1), engine.err)
        local browser = process.spawn { "node", replay.root .. "/tests/page/page.js", CHROMIUM, "http://127.0.0.1:" .. port .. "/", rules,
            env = { NODE_PATH = modules, HOME = folder }, stdin = "pipe" }
        local waited = pcall(browser.expect, browser, "\nwait\n", 90)
        if waited then
            engine:signal("TERM")
            engine:wait(10)
            replay.write(rules, replay.read(replay.root .. "/rules/pizza.lua"))
            engine = demo()
            browser:write("go\n")
        end
        local status = browser:wait(60)
        engine:signal("TERM")
        engine:wait(10)
        assert(status and status.code == 0, browser.out .. browser.err .. engine.err)
        assert.falsy(browser.out:find "not ok", browser.out)
        assert.truthy(browser.out:find "ok survives the engine's restart", browser.out)
        replay.remove(folder)
    end)
end)
