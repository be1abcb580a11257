-- A real Apache Kafka broker (KRaft, one node) on free loopback ports, for specs and for `make kafka`.
--
--   local kafka = require "tests.support.kafka"
--   local broker = kafka.shared()          -- the one broker of this test run; never stop it; topics are named per spec
--   local broker = kafka.start { settings = { ["message.max.bytes"] = 100000 } }   -- one of your own, for faults
--   broker.bootstrap                       -- "127.0.0.1:40123"
--   broker:stop()                          -- ends it and removes its folder
--   broker:kill(); broker:restart()        -- kill -9, then the same log folder again, on the same port
--   broker:pause(); broker:resume()        -- SIGSTOP, SIGCONT
--
--   local broker = kafka.start { secure = { users = { ada = "her password" } } }
--   broker.tls                             -- a listener that wants the client's certificate
--   broker.sasl                            -- one with TLS that wants a user, by SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN
--   broker.certificates                    -- tests/support/certificates.lua
--
-- Clients are in tests/support/kafka_client.lua.

local certificates = require "tests.support.certificates"
local ffi = require "ffi"
local net = require "tests.support.net"
local process = require "tests.support.process"

local kafka = {}
local Broker = {}
Broker.__index = Broker

local FOLDER = "build/kafka"

-- Two more listeners. Their files are made before the broker starts.
local function secure_settings(broker, users)
    local c, plain = broker.certificates, {}
    for name, password in pairs(users) do plain[#plain + 1] = ('user_%s="%s"'):format(name, password) end
    local scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        ["ssl.keystore.type"] = "PEM", ["ssl.keystore.location"] = c.server,
        ["ssl.truststore.type"] = "PEM", ["ssl.truststore.location"] = c.authority,
        ["listener.name.tls.ssl.client.auth"] = "required",
        ["listener.name.sasl.sasl.enabled.mechanisms"] = "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        ["listener.name.sasl.scram-sha-256.sasl.jaas.config"] = scram,
        ["listener.name.sasl.scram-sha-512.sasl.jaas.config"] = scram,
        ["listener.name.sasl.plain.sasl.jaas.config"] = "org.apache.kafka.common.security.plain.PlainLoginModule required " ..
            table.concat(plain, " ") .. ";",
    }
end

-- SCRAM users are written with the format; where they are wanted, no kept folder will do.
local function scram_arguments(users)
    local words = {}
    for name, password in pairs(users) do
        for _, mechanism in ipairs { "SCRAM-SHA-256", "SCRAM-SHA-512" } do
            words[#words + 1] = "--add-scram"
            words[#words + 1] = ("%s=[name=%s,password=%s]"):format(mechanism, name, password)
        end
    end
    return words
end

local function secure(broker, options)
    local ports = net.free_ports(2)
    broker.tls, broker.sasl = "127.0.0.1:" .. ports[1], "127.0.0.1:" .. ports[2]
    broker.certificates = certificates.make(broker.folder)
    options.format = scram_arguments(options.secure.users)
end

-- One node is controller and broker; internal topics are small; nothing waits that need not.
local function settings_of(broker, options)
    local settings = {
        ["process.roles"] = "broker,controller",
        ["node.id"] = "1",
        ["controller.quorum.voters"] = "1@127.0.0.1:" .. broker.controller_port,
        ["controller.listener.names"] = "CONTROLLER",
        ["listeners"] = ("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d"):format(broker.port, broker.controller_port),
        ["advertised.listeners"] = "PLAINTEXT://127.0.0.1:" .. broker.port,
        ["listener.security.protocol.map"] = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_SSL",
        ["inter.broker.listener.name"] = "PLAINTEXT",
        ["log.dirs"] = broker.folder .. "/log",
        ["num.partitions"] = "1",
        ["num.network.threads"] = "2",
        ["num.io.threads"] = "4",
        ["auto.create.topics.enable"] = "false",
        ["default.replication.factor"] = "1",
        ["offsets.topic.num.partitions"] = "1",
        ["offsets.topic.replication.factor"] = "1",
        ["transaction.state.log.num.partitions"] = "1",
        ["transaction.state.log.replication.factor"] = "1",
        ["transaction.state.log.min.isr"] = "1",
        ["transaction.abort.timed.out.transaction.cleanup.interval.ms"] = "1000",
        ["group.initial.rebalance.delay.ms"] = "0",
        ["group.min.session.timeout.ms"] = "500",
        ["log.cleaner.dedupe.buffer.size"] = "8388608",
        ["log.retention.check.interval.ms"] = "600000",
        ["log.initial.task.delay.ms"] = "60000",
        -- Event times of the specs lie in the past: retention by them would delete what was just written.
        ["log.retention.ms"] = "-1",
        -- After a restart the controller first waits for the old broker's session to end.
        ["broker.session.timeout.ms"] = "3000",
        ["broker.heartbeat.interval.ms"] = "300",
    }
    if options.secure then
        local more = (",TLS://%s,SASL://%s"):format(broker.tls, broker.sasl)
        settings["listeners"] = settings["listeners"] .. more
        settings["advertised.listeners"] = settings["advertised.listeners"] .. more
        for name, value in pairs(secure_settings(broker, options.secure.users)) do settings[name] = value end
    end
    if options.proxied then   -- who asks here is told another port
        settings["listeners"] = ("%s,PROXIED://127.0.0.1:%d"):format(settings["listeners"], options.proxied.listen)
        settings["advertised.listeners"] = ("%s,PROXIED://127.0.0.1:%d"):format(settings["advertised.listeners"], options.proxied.tell)
        settings["listener.security.protocol.map"] = settings["listener.security.protocol.map"] .. ",PROXIED:PLAINTEXT"
    end
    for name, value in pairs(options.settings or {}) do settings[name] = tostring(value) end
    return settings
end

local function write_settings(path, settings)
    local names = {}
    for name in pairs(settings) do names[#names + 1] = name end
    table.sort(names)
    local file = assert(io.open(path, "w"))
    for _, name in ipairs(names) do file:write(name, "=", settings[name], "\n") end
    file:close()
end

local function class_path()
    local file = io.open(FOLDER .. "/classpath")
    if not file then error("the broker's class path is missing: run `make build/kafka/classpath`", 0) end
    local text = file:read "*a"
    file:close()
    return text
end

local function java(options, main, ...)
    local heap = options.fast and { "-Xms1g", "-Xmx1g" } or { "-Xms64m", "-Xmx512m" }   -- 1 GB is what Kafka's own script gives
    local command = { "java", heap[1], heap[2], "-XX:+UseSerialGC", "-XX:-UsePerfData",
        "-Xlog:disable", "-Xlog:all=warning:stderr", "-Dlog4j.configuration=file:" .. (options.log4j or "tests/kafka/log4j.properties") }
    -- Quick to start is what specs want; a bench asks for the optimising compiler.
    if not options.fast then command[#command + 1] = "-XX:TieredStopAtLevel=1" end
    for _, flag in ipairs(options.java or {}) do command[#command + 1] = flag end
    for _, word in ipairs { "-cp", class_path(), main, ... } do command[#command + 1] = word end
    return command
end

-- StorageTool takes a second of Java, so a formatted folder is kept and copied; it holds no port and no path.
local function format(broker, options)
    local log = broker.folder .. "/log"
    local template = FOLDER .. "/formatted"
    if not options.format and process.run({ "test", "-f", template .. "/meta.properties" }).code == 0 then
        assert(process.run({ "cp", "-r", template, log }).code == 0)
        return
    end
    local command = java(options, "kafka.tools.StorageTool", "format", "-t", "YW5hbmFzLXRlc3RzLTAwMA", "-c", broker.settings_path)
    for _, word in ipairs(options.format or {}) do command[#command + 1] = word end
    local result = process.run(command)
    if result.code ~= 0 then error("cannot format the broker's folder:\n" .. result.out .. result.err, 0) end
    if not options.format then
        -- Moved into place in one step: another run may be doing the same.
        local new = ("%s.%d"):format(template, ffi.C.getpid())
        process.run { "cp", "-r", log, new }
        if process.run({ "mv", "-T", new, template }).code ~= 0 then process.run { "rm", "-rf", new } end
    end
end

function Broker:launch()
    local command = java(self.options, "kafka.Kafka", self.settings_path)
    command.stdout, command.stderr = self.log_path, self.log_path .. ".err"
    if self.options.foreground then command.stdout, command.stderr = "inherit", "inherit" end
    self.process = process.spawn(command)
end

-- True once it serves requests; nil when it did not within `seconds` or ended.
function Broker:wait_ready(seconds)
    local client = require "tests.support.kafka_client"
    return process.eventually(seconds, function()
        if not self.process:alive() then return false end
        return net.is_open(self.port) and client.answers(self.bootstrap, self.options.client)
    end, 0.05) or nil
end

function Broker:log_tail(bytes)
    local file = io.open(self.log_path)
    if not file then return "" end
    local text = file:read "*a"
    file:close()
    return text:sub(-(bytes or 4000))
end

function Broker:pause() self.process:signal "STOP" end
function Broker:resume() self.process:signal "CONT" end

function Broker:kill()
    self.process:signal "CONT"
    self.process:signal "KILL"
    self.process:wait(10)
end

-- Starts it again on the log it had. An orderly end before, unless it was killed.
function Broker:restart(seconds)
    if self.process:alive() then self.process:stop(20) end
    self:launch()
    if not self:wait_ready(seconds or 120) then error("the broker did not come back:\n" .. self:log_tail(), 0) end
end

-- Its folder goes; the log stays where log_path says when keep_log is set.
function Broker:stop(options)
    if self.process:alive() then self:kill() end
    if options and options.keep_log then
        local kept = FOLDER .. "/kept.log"
        process.run { "cp", self.log_path, kept }
        self.log_path = kept
    end
    process.remove(self.folder)
end

-- Two that are free, and not about to be taken by what the options name.
local function free_ports(options)
    local taken, proxied = {}, options.proxied or {}
    for _, port in ipairs { options.port or 0, proxied.listen or 0, proxied.tell or 0 } do taken[port] = true end
    for _ = 1, 100 do
        local ports = net.free_ports(2)
        if not taken[ports[1]] and not taken[ports[2]] then return ports end
    end
    error "no free ports"
end

-- Options: settings (server.properties, laid over the usual ones), port, fast (optimising compiler and more heap, for
-- benches), secure = { users = { name = password } }, java (more JVM flags), format (more StorageTool arguments), client
-- (librdkafka properties to reach it with), foreground, wait = false (then call wait_ready yourself), proxied = { listen =
-- port, tell = port } (a second address, which tells its clients to go on at another port of the loopback).
function kafka.start(options)
    options = options or {}
    local ports = free_ports(options)
    local broker = setmetatable({ options = options, port = options.port or ports[1], controller_port = ports[2] }, Broker)
    broker.bootstrap = "127.0.0.1:" .. broker.port
    broker.folder = process.folder "kafka"
    broker.settings_path = broker.folder .. "/server.properties"
    broker.log_path = broker.folder .. "/broker.log"
    if options.secure then secure(broker, options) end
    write_settings(broker.settings_path, settings_of(broker, options))
    format(broker, options)
    broker:launch()
    if options.wait ~= false and not broker:wait_ready(options.seconds or 120) then   -- a busy machine takes its time
        local log = broker:log_tail()
        broker:stop()
        error("the broker did not start:\n" .. log, 0)
    end
    return broker
end

-- Another user of a broker with `secure`, by SCRAM-SHA-512, while it runs.
function kafka.add_user(broker, name, password)
    local command = java(broker.options, "kafka.admin.ConfigCommand", "--bootstrap-server", broker.bootstrap, "--alter", "--entity-type", "users",
        "--entity-name", name, "--add-config", "SCRAM-SHA-512=[password=" .. password .. "]")
    local r = process.run(command)
    if r.code ~= 0 then error("cannot add a user:\n" .. r.out .. r.err, 0) end
end

-- The broker of the run. A spec that is run by itself gets one that ends with it.
local shared
function kafka.shared()
    if shared then return shared end
    local bootstrap = os.getenv "ANANAS_TEST_KAFKA"
    if bootstrap then
        shared = { bootstrap = bootstrap, port = tonumber(bootstrap:match ":(%d+)$") }
        return shared
    end
    shared = kafka.start()
    local busted = require "busted"
    busted.subscribe({ "suite", "end" }, function()
        shared:stop()
        return nil, true
    end)
    return shared
end

-- A name nobody else in this run uses: "pizzas-4711-3".
local names = 0
function kafka.name(stem)
    names = names + 1
    return ("%s-%d-%d"):format(stem, ffi.C.getpid(), names)
end

return kafka
