-- What a service manager hears: the datagrams of sd_notify's protocol, on a socket of the spec's own.

local client = require "tests.support.kafka_client"
local ffi = require "ffi"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"
local replay = require "tests.support.replay"
require "tests.support.net"

ffi.cdef "struct notify_address { uint16_t family; char path[108]; };"
local C = ffi.C
local DATAGRAM_CLOEXEC = 2 + 524288

local Service = {}
Service.__index = Service
-- path: "/a/path", or "@name" in the abstract namespace.
local function listen(path)
    local fd = C.socket(1, DATAGRAM_CLOEXEC, 0)
    local address = ffi.new("struct notify_address", { family = 1 })
    ffi.copy(address.path, path, #path)
    if path:sub(1, 1) == "@" then address.path[0] = 0 end
    assert(C.bind(fd, ffi.cast("const struct net_address *", address), 2 + #path) == 0, "cannot bind " .. path)
    return setmetatable({ fd = fd, heard = {} }, Service)
end
function Service:pump(seconds)
    local fds, bytes = ffi.new("struct process_pollfd[1]", { { self.fd, 1, 0 } }), ffi.new "char[4096]"
    while C.poll(fds, 1, math.ceil(seconds * 1000)) > 0 do
        self.heard[#self.heard + 1] = ffi.string(bytes, C.read(self.fd, bytes, 4096))
        seconds = 0
    end
end
-- The first message from number `from` on that has the words, and the number after it.
function Service:expect(words, seconds, from)
    local i, deadline = from or 1, process.now() + seconds
    while true do
        for k = i, #self.heard do
            if self.heard[k]:find(words) then return self.heard[k], k + 1 end
        end
        i = #self.heard + 1
        if process.now() > deadline then return nil, "never heard " .. words .. ":\n" .. table.concat(self.heard, "\n") end
        self:pump(0.1)
    end
end
function Service:count(words, seconds)
    local before, deadline, n = #self.heard, process.now() + seconds, 0
    while process.now() < deadline do self:pump(0.1) end
    for i = before + 1, #self.heard do
        if self.heard[i]:find(words) then n = n + 1 end
    end
    return n
end
function Service:close() C.close(self.fd) end

describe("a service manager", function()
    local broker = kafka.shared()
    local folder, service, names, engine

    before_each(function()
        folder = replay.folder()
        names = { input = kafka.name "notify", output = kafka.name "notify-out", group = kafka.name "notify-group" }
    end)
    after_each(function()
        engine:stop(30)
        service:close()
        replay.remove(folder)
    end)

    local function rules(text)
        replay.write(folder .. "/rules.lua", ('rule "all" { from = "logins", to = %q %s }'):format(names.output, text))
    end

    local function start(socket, o)
        o = o or {}
        if not o.bootstrap then client.create_topics(broker.bootstrap, { { name = names.input, partitions = 1 } }) end
        replay.write(folder .. "/ananas.lua", ([[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s" }
source "logins" { topic = "%s" }
rules "rules.lua"
topics { partitions = 1, replication = 1 }
]]):format(o.bootstrap or broker.bootstrap, names.group, names.input))
        rules ""
        service = listen(socket)
        engine = process.spawn { o.program or replay.binary, "run", "-c", folder .. "/ananas.lua",
            env = { NOTIFY_SOCKET = socket, WATCHDOG_USEC = o.watchdog or false, WATCHDOG_PID = false, ANANAS_FAILPOINT = o.failpoint or false } }
    end

    it("hears when the task is active, of each reload whatever comes of it, how it goes, and of the stop before its end", function()
        start(folder .. "/socket", { watchdog = 900000 })
        assert(service:expect("^STATUS=waiting for the broker$", 5))
        local _, at = assert(service:expect("^READY=1$", 30))
        assert(service:expect("^STATUS=active: ", 10, at))
        assert(service:expect("^WATCHDOG=1$", 5))
        for _, text in ipairs { ", where = function(r) return r.user == 'ada' end", ", wher = 1" } do
            rules(text)
            engine:signal "HUP"
            local reloading, after = assert(service:expect("^RELOADING=1\nMONOTONIC_USEC=%d+$", 10, at))
            assert.is_true(math.abs(tonumber(reloading:match "%d+$") / 1e6 - process.now()) < 60)
            _, at = assert(service:expect("^READY=1$", 20, after))
        end
        engine:signal "TERM"
        assert(service:expect("^STOPPING=1", 10))
        assert.equal(0, engine:wait(20).code, engine.err)
        service:pump(0)
        assert.falsy(service:expect("READY=1", 0, at))
    end)

    it("is told that a process which waits for its broker is up, and what it waits for", function()
        local socket = "@ananas-spec-" .. names.group
        start(socket, { bootstrap = "127.0.0.1:1" })
        assert(service:expect("^STATUS=waiting for the broker$", 5))
        assert(service:expect("^READY=1$", 15))
    end)

    it("hears no sign of life while the loop is stuck", function()
        start(folder .. "/socket", { program = replay.root .. "/build/faults/ananas", watchdog = 1000000, failpoint = "output-written:1:pause" })
        assert(service:expect("^READY=1$", 30))
        client.produce(broker.bootstrap, { { topic = names.input, partition = 0, value = '{"user":"ada"}' } })
        assert(process.eventually(20, function() return service:count("WATCHDOG", 2) == 0 end))
    end)

    it("hears signs of life while a commit waits for the broker", function()
        start(folder .. "/socket", { program = replay.root .. "/build/faults/ananas", watchdog = 1000000, failpoint = "begun:1:pause" })
        assert(service:expect("^READY=1$", 30))
        client.produce(broker.bootstrap, { { topic = names.input, partition = 0, value = '{"user":"ada"}' } })
        process.sleep(1)
        assert.is_true(service:count("WATCHDOG", 4) >= 3)
    end)

    it("that is not there, or is none, is no reason to stop", function()
        start(folder .. "/socket")
        service:close()
        engine:stop(20)
        for _, socket in ipairs { folder .. "/nobody", "nonsense", "/" .. ("x"):rep(300) } do
            engine = process.spawn { replay.binary, "run", "-c", folder .. "/ananas.lua", env = { NOTIFY_SOCKET = socket } }
            assert(engine:expect("NOTIFY_SOCKET", 15), engine.err)
            assert(engine:expect("this process is active", 30), engine.err)
            engine:signal "TERM"
            assert.equal(0, engine:wait(20).code, engine.err)
        end
    end)
end)
