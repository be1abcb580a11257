-- Kafka as people run it: TLS, certificates of clients, users and passwords, on a real broker with certificates of its own.
-- What is wrong is said in words that name the property to look at.

local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local PASSWORD = "correct horse battery staple"

describe("a broker with TLS and SASL", function()
    local broker, folder, names

    setup(function()
        broker = kafka.start { secure = { users = { ada = PASSWORD } } }
    end)
    teardown(function() broker:stop() end)

    before_each(function()
        folder = replay.folder()
        names = { input = kafka.name "secure", output = kafka.name "secure-out", group = kafka.name "secure-group" }
        client.create_topics(broker.bootstrap, { { name = names.input, partitions = 1 } })
    end)
    after_each(function() replay.remove(folder) end)

    local function configure(at, properties)
        local lines = {}
        for name, value in pairs(properties) do lines[#lines + 1] = ("[%q] = %s,"):format(name, value) end
        replay.write(folder .. "/ananas.lua", ([[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s", %s }
source "logins" { topic = "%s" }
rules "rules.lua"
topics { partitions = 1, replication = 1 }
]]):format(at, names.group, table.concat(lines, " "), names.input))
        replay.write(folder .. "/rules.lua", ('rule "all" { from = "logins", to = %q }'):format(names.output))
    end

    local function quoted(t)
        local out = {}
        for name, value in pairs(t) do out[name] = ("%q"):format(value) end
        return out
    end

    local function start(command)
        return process.spawn { replay.binary, command, "-c", folder .. "/ananas.lua", command == "replay" and "--from-topic" or nil,
            env = { ADAS_PASSWORD = PASSWORD } }
    end

    -- A record goes in, an anomaly comes out, all of it through the listener in question.
    local function works(at, properties)
        configure(at, properties)
        local engine = start "run"
        client.produce(broker.bootstrap, { { topic = names.input, partition = 0, value = '{"user":"ada"}' } })
        local found = process.eventually(30, function()
            if not client.topics(broker.bootstrap)[names.output] then return false end
            local there, records = pcall(client.read, broker.bootstrap, { topic = names.output })   -- it may have no leader yet
            return there and records[1] and records[1].value
        end, 0.1)
        engine:signal "TERM"
        local status = engine:wait(15)
        assert.equal('{"user":"ada"}', found, engine.err)
        assert.equal(0, status.code, engine.err)
        return engine
    end

    -- Each of { listener, properties, words } is tried, all at the same time; none of them ends the process.
    local function say(cases)
        for i, case in ipairs(cases) do
            configure(case[1], case[2])
            os.execute(("mkdir %s/%d && mv %s/*.lua %s/%d"):format(folder, i, folder, folder, i))
            case.engine = process.spawn { replay.binary, "run", "-c", ("%s/%d/ananas.lua"):format(folder, i) }
        end
        for _, case in ipairs(cases) do
            case.said = case.engine:expect(case[3], 30)
            case.alive = case.engine:alive()
        end
        for _, case in ipairs(cases) do case.engine:signal "TERM" end
        for _, case in ipairs(cases) do
            case.engine:stop(15)
            assert.truthy(case.said, case[3] .. " was not said:\n" .. case.engine.err)
            assert.is_true(case.alive, case.engine.err)
            assert.falsy(case.engine.err:find("battery horse", 1, true), case.engine.err)
        end
    end

    local function tls(more)
        local c = broker.certificates
        local t = { ["security.protocol"] = "ssl", ["ssl.ca.location"] = c.authority,
            ["ssl.certificate.location"] = c.client, ["ssl.key.location"] = c.client_key }
        for name, value in pairs(more or {}) do t[name] = value or nil end
        return quoted(t)
    end

    local function user(more)
        local t = { ["security.protocol"] = "sasl_ssl", ["ssl.ca.location"] = broker.certificates.authority,
            ["sasl.mechanism"] = "SCRAM-SHA-512", ["sasl.username"] = "ada", ["sasl.password"] = PASSWORD }
        for name, value in pairs(more or {}) do t[name] = value or nil end
        return quoted(t)
    end

    it("is used with a client's certificate", function() works(broker.tls, tls()) end)

    for _, mechanism in ipairs { "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN" } do
        it("is used by a user with a password, " .. mechanism, function()
            works(broker.sasl, user { ["sasl.mechanism"] = mechanism })
        end)
    end

    it("takes a password from a file or the environment, and neither of them is ever printed", function()
        replay.write(folder .. "/password", PASSWORD .. "\n")
        for _, expression in ipairs { 'secret_file("' .. folder .. '/password")', 'env("ADAS_PASSWORD")' } do
            local properties = user()
            properties["sasl.password"] = expression
            local engine = works(broker.sasl, properties)
            assert.falsy((engine.err .. engine.out):find(PASSWORD, 1, true))
            names.group, names.output = kafka.name "secure-group", kafka.name "secure-out"
        end
    end)

    it("that refuses the password is said with what to look at, the secret is not, and the process goes on trying", function()
        local words = "does not take this user with this password: look at sasl.username, sasl.password"
        say {
            { broker.sasl, user { ["sasl.mechanism"] = "SCRAM-SHA-256", ["sasl.password"] = "battery horse" }, words },
            { broker.sasl, user { ["sasl.mechanism"] = "PLAIN", ["sasl.password"] = "battery horse" }, words },
        }
    end)

    it("whose certificate is not trusted, or that wants one, is said with the property to set", function()
        local words = "ssl%.ca%.location names the authority's certificate"
        say {
            { broker.tls, tls { ["ssl.ca.location"] = broker.certificates.stranger }, words },
            { broker.tls, tls { ["ssl.ca.location"] = false }, words },
            { broker.tls, tls { ["ssl.certificate.location"] = false, ["ssl.key.location"] = false }, "set ssl%.certificate%.location and ssl%.key%.location" },
        }
    end)

    it("spoken to by the wrong protocol is said with the property to look at", function()
        say {
            { broker.tls, {}, "Look at security%.protocol" },
            { broker.sasl, tls(), "Look at security%.protocol" },
            { broker.bootstrap, tls(), "is security%.protocol right" },
            { broker.bootstrap, user { ["security.protocol"] = "sasl_plaintext" }, "Set sasl%.mechanism" },
        }
    end)

    it("where nobody listens is said so", function()
        say { { "127.0.0.1:1", {}, "Nothing listens there: is bootstrap%.servers right" }, { "nowhere.invalid:9092", {}, "The name is not known here" } }
    end)

    it("properties that do not fit together end the start, in words", function()
        for words, properties in pairs {
            ["sasl.mechanism is GSSAPI %(Kerberos%) unless it is set"] = user { ["sasl.mechanism"] = false },
            ["ssl.ca.location"] = tls { ["ssl.ca.location"] = "/nowhere.pem" },
            ['ananas.lua:1: kafka: `security.protocol` = "tls": Invalid value'] = tls { ["security.protocol"] = "tls" },
        } do
            configure(broker.tls, properties)
            local engine = start "run"
            local status = engine:wait(15)
            assert.equal(1, status and status.code, engine.err)
            assert.truthy(engine.err:find(words), engine.err)
        end
    end)

    it("ends a replay of its topics with the reason", function()
        configure(broker.sasl, user { ["sasl.password"] = "battery horse" })
        local engine = start "replay"
        local status = engine:wait(30)
        assert.equal(1, status and status.code, engine.err)
        assert.truthy(engine.err:find("look at sasl.username, sasl.password", 1, true), engine.err)
        configure(broker.sasl, user())
        client.produce(broker.bootstrap, { { topic = names.input, partition = 0, value = '{"user":"ada"}' } })
        engine = start "replay"
        status = engine:wait(30)
        assert.equal(0, status and status.code, engine.err)
        assert.truthy(engine.out:find('"payload":"{\\"user\\":\\"ada\\"}"', 1, true), engine.out)
    end)

    it("takes a new password when the broker does: what was refused goes on without a restart", function()
        configure(broker.sasl, user { ["sasl.username"] = "grace", ["sasl.password"] = "of her own" })
        local engine = start "run"
        assert(engine:expect("look at sasl.username", 20))
        kafka.add_user(broker, "grace", "of her own")
        client.produce(broker.bootstrap, { { topic = names.input, partition = 0, value = '{"user":"grace"}' } })
        local active = engine:expect("this process is active", 40)
        engine:stop(15)
        assert.truthy(active, engine.err)
    end)
end)
