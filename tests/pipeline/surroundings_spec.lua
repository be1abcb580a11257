-- What is around the process is not as it should be: no home, a read-only file system, a full disk, readers that go away, a
-- clock that jumps. Each has a defined end, or none.

local ffi = require "ffi"
local http_client = require "tests.support.http_client"
local net = require "tests.support.net"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local ROOT = replay.root
local ORDER = '{"topic":"pizzas","ts":1659426822541,"payload":{"id":7,"name":"Ada","pizzas":[{"additionalToppings":["🍍 pineapple"]}]}}\n'
local PINEAPPLE = "pizza_stream_out_filter"

describe("with surroundings that are not as they should be", function()
    local folder

    before_each(function()
        folder = replay.folder()
        replay.write(folder .. "/orders.jsonl", ORDER)
    end)
    after_each(function() replay.remove(folder) end)

    local function shell(command, env)
        return process.run { "sh", "-c", command, timeout = 60, env = env }
    end
    local function command(more)
        return ("%s replay -c %s/packaging/ananas.lua --rules %s/rules/pizza.lua --input %s/orders.jsonl %s"):format(replay.binary, ROOT, ROOT, folder, more or "")
    end

    it("it runs without HOME, without PATH and without an environment", function()
        local r = shell("cd / && env -i " .. command())
        assert.equal(0, r.code, r.err)
        assert.truthy(r.out:find(PINEAPPLE, 1, true))
        assert.equal("", r.err)
    end)

    it("it needs no file system that can be written", function()
        local ro = "unshare -m sh -c 'mount --make-rprivate / && mount -o remount,ro,bind / && ! touch /tmp/ananas-spec-written 2>/dev/null && %s'"
        if shell(ro:format "true").code ~= 0 then return pending "file systems cannot be made read-only here" end
        local r = shell(ro:format(command()))
        assert.equal(0, r.code, r.err)
        assert.truthy(r.out:find(PINEAPPLE, 1, true))
        r = shell(ro:format(command("--output " .. folder .. "/out")))
        assert.equal(1, r.code)
        assert.truthy(r.err:find("cannot open " .. folder .. "/out for writing: Read-only file system", 1, true), r.err)
        r = shell(ro:format(replay.binary .. " demo --orders 2000 --rate 2000 --rules " .. ROOT .. "/rules/pizza.lua"))
        assert.equal(0, r.code, r.err)
    end)

    it("a full disk ends a replay with status 1 and the name of what could not be written", function()
        for what, words in pairs {
            ["--output /dev/full"] = "cannot write /dev/full: No space left on device",
            ["--stats /dev/full"] = "cannot write /dev/full: No space left on device",
            ["> /dev/full"] = "cannot write standard output: No space left on device",
        } do
            local r = shell(command(what))
            assert.equal(1, r.code, what)
            assert.truthy(r.err:find(words, 1, true), what .. ": " .. r.err)
        end
        for _, words in ipairs { "version", "help", "check -c packaging/ananas.lua --rules rules/pizza.lua" } do
            local r = shell(("cd %s && %s %s > /dev/full"):format(ROOT, replay.binary, words))
            assert.equal(1, r.code, words)
            assert.truthy(r.err:find("standard output", 1, true), words .. ": " .. r.err)
        end
    end)

    it("a log that cannot be written stops nothing", function()
        local r = shell(command "--log-level debug 2> /dev/full")
        assert.equal(0, r.code)
        assert.truthy(r.out:find(PINEAPPLE, 1, true))
        r = shell(command "2>&-")
        assert.equal(0, r.code)
        assert.truthy(r.out:find(PINEAPPLE, 1, true))
    end)

    it("a reader of its output that goes away ends it with status 1, not a signal", function()
        local many = {}
        for i = 1, 20000 do many[i] = ORDER end
        replay.write(folder .. "/orders.jsonl", table.concat(many))
        local r = process.run { "bash", "-c", command "2> " .. folder .. "/err | head -n 1 > /dev/null; echo ${PIPESTATUS[0]}", timeout = 60 }
        assert.equal("1\n", r.out)
        assert.truthy(replay.read(folder .. "/err"):find("cannot write standard output: Broken pipe", 1, true))
    end)

    it("a client that goes away in the middle of an answer stops nothing", function()
        local port = net.free_port()
        local engine = process.spawn { replay.binary, "demo", "--rate", "300", "--rules", ROOT .. "/rules/pizza.lua", "--http", "127.0.0.1:" .. port }
        assert(process.eventually(30, function() return net.is_open(port) and http_client.get(port, "/readyz").status == 200 end, 0.2), engine.err)
        for _ = 1, 50 do
            for _, path in ipairs { "/metrics", "/events", "/" } do
                http_client.connect(port, false, 4096):send("GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n"):close()
            end
        end
        assert.equal(200, http_client.get(port, "/healthz").status)
        engine:signal "TERM"
        assert.equal(0, engine:wait(15).code, engine.err)
    end)

    it("a wall clock that jumps, forward or back, moves no interval: it goes on reading, committing and answering", function()
        local port, jump = net.free_port(), folder .. "/jump"
        local compiled = process.run { "gcc", "-shared", "-fPIC", "-O1", "-o", folder .. "/clock_jump.so", ROOT .. "/tests/support/clock_jump.c" }
        assert.equal(0, compiled.code, compiled.err)
        local function set(ms) -- in place: the program has it mapped
            local file = assert(io.open(jump, "r+b") or io.open(jump, "wb"))
            file:write(ffi.string(ffi.new("int64_t[1]", ms), 8))
            file:close()
        end
        set(0)
        local engine = process.spawn { replay.binary, "demo", "--rate", "300", "--rules", ROOT .. "/rules/pizza.lua", "--http", "127.0.0.1:" .. port,
            env = { LD_PRELOAD = folder .. "/clock_jump.so", CLOCK_JUMP = jump, ASAN_OPTIONS = "verify_asan_link_order=0" } }
        local function number(name) return tonumber(http_client.get(port, "/metrics").body:match("\n" .. name .. " ([%d.e+-]+)")) end
        local function goes_on(what)
            local commits, rows, from = number "ananas_commits_total", number 'ananas_rule_rows_total{rule="bad_toppings"}', process.now()
            assert(process.eventually(30, function() return number "ananas_commits_total" >= commits + 8 end, 0.1), what .. ": no commits")
            -- One in 100 ms, or in 50 where commits are slow: one a turn of the loop would be a clock that is believed.
            local more, seconds = number "ananas_commits_total" - commits, process.now() - from
            assert.is_true(more <= seconds * 20 + 5, ("%s: %d commits in %.1f s"):format(what, more, seconds))
            assert.is_true(number 'ananas_rule_rows_total{rule="bad_toppings"}' > rows, what)
            assert.equal(200, http_client.get(port, "/healthz").status, what)
            assert.is_true(number "ananas_loop_beat_age_seconds" < 5, what)
        end
        assert(process.eventually(30, function() return net.is_open(port) and http_client.get(port, "/readyz").status == 200 end, 0.2), engine.err)
        goes_on "before"
        for _, days in ipairs { 1, -2, 400, 0 } do
            set(days * 86400000)
            goes_on(days .. " days")
        end
        engine:signal "TERM"
        assert.equal(0, engine:wait(15).code, engine.err)
    end)
end)
