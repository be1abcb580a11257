-- A folder of rules that changes under a running engine, in every way that folders do; and what a topic's history says to
-- rules, without a group.

local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local T0 = 1700000000000

local config = [[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s" }
source "s" { topic = "%s", metadata = { at = "timestamp" }, event_time = "at", watermark = "0ms", max_ahead = "none", idle_after = "1h" }
rules "rules"
topics { partitions = 1, replication = 1 }
commit_interval "50ms"
]]

describe("rules in a folder that changes", function()
    local broker, folder, prefix, engine, sent

    local function rule(limit, more)
        return ('rule "high" { from = "s", where = function(r) return r.v > %d end, select = { "id" }, to = "%shigh" }\n'):format(limit, prefix) ..
            (more or "")
    end
    local function put(text, name)
        replay.write(folder .. "/rules/.new", text)
        assert(os.rename(folder .. "/rules/.new", folder .. "/rules/" .. (name or "r.lua")))
    end
    local function sh(text) assert(os.execute(("cd %s && %s"):format(folder, text)) == 0) end

    local function send(v)
        sent = sent + 1
        client.produce(broker, { { topic = prefix .. "in", partition = 0, timestamp = T0 + sent * 1000, value = ('{"id":%d,"v":%d}'):format(sent, v) } })
        return sent
    end
    local function found(name)
        local ids = {}
        for _, r in ipairs(client.read(broker, { topic = prefix .. (name or "high"), timeout = 20 })) do
            ids[tonumber(r.value:match '"id":(%d+)')] = true
        end
        return ids
    end
    -- The engine has read what was sent.
    local function settle()
        assert(process.eventually(30, function()
            engine:pump(0.02)
            return (client.committed(broker, prefix .. "group", prefix .. "in")[0] or -1) >= sent
        end, 0.1), engine.err:sub(-2000))
    end
    local function count(text)
        local _, n = engine.err:gsub(text:gsub("%p", "%%%0"), "")
        return n
    end
    -- Waits until the log says so `n` times more than before did, and a while for it to say so too often.
    local function expect(text, before, n)
        process.eventually(90, function() engine:pump(0.05) return count(text) >= before + n end, 0.02)
        engine:pump(0.4)
        assert.equal(before + n, count(text), text .. "\n" .. engine.err:sub(-3000))
    end
    -- The rules that run pass the first of two values and not the second.
    local function tells_apart(high, low)
        local yes, no = send(high), send(low)
        settle()
        local ids = found()
        assert.is_true(ids[yes])
        assert.is_nil(ids[no])
    end
    local NOT, NOW = "not reloaded, the old rules go on", "takes effect at"

    setup(function()
        broker = kafka.shared().bootstrap
        folder, prefix, sent = replay.folder(), kafka.name "folder" .. "_", 0
        client.create_topics(broker, { { name = prefix .. "in", partitions = 1 } })
        sh "mkdir rules"
        replay.write(folder .. "/ananas.lua", config:format(broker, prefix .. "group", prefix .. "in"))
        put(rule(10))
        engine = process.spawn { replay.binary, "run", "-c", "ananas.lua", cwd = folder }
        engine:expect("active", 30)
    end)
    teardown(function()
        if engine then engine:stop(10) end
        replay.remove(folder)
    end)

    it("goes on with the old rules while the folder is gone, says so once, and is mended by its return", function()
        local before = count(NOT)
        sh "mv rules gone"
        expect(NOT, before, 1)
        sh "touch beside other; rm other"                 -- what happens beside it is no news
        expect(NOT, before, 1)
        local id = send(11)
        settle()
        assert.is_true(found()[id])
        local mended = count "mended"
        sh "mv gone rules"
        expect("mended", mended, 1)
    end)

    for name, text in pairs {
        ["a syntax error"] = { "rule {\n", "b.lua:2:" },
        ["an error while loading"] = { "\nerror('no')", "b.lua:2:" },
        ["a second rule of a name"] = { 'rule "high" { from = "s" }', "r.lua:1:" },
        ["rules that read each other"] = { 'rule "x" { from = "y" }\nrule "y" { from = "x" }', "b.lua:1:" },
        ["a module that is missing"] = { '\n\nrequire "nowhere"', "b.lua:3:" },
        ["a loop without an end"] = { "while true do end", "b.lua:" },
    } do
        it("reports " .. name .. " once, at its line, and goes on; mending it recovers", function()
            local before, effects, mended = count(NOT), count(NOW), count "mended"
            put(text[1], "b.lua")
            expect(NOT, before, 1)
            assert.truthy(engine.err:sub(-3000):find(text[2], 1, true), engine.err:sub(-3000))
            sh "touch beside"
            expect(NOT, before, 1)
            tells_apart(11, 9)
            sh "rm rules/b.lua"
            expect("mended", mended, 1)
            assert.equal(effects, count(NOW))
        end)
    end

    it("tells who asks by SIGHUP of a fault that is known", function()
        local before = count(NOT)
        put("rule {", "b.lua")
        expect(NOT, before, 1)
        engine:signal "HUP"
        expect(NOT, before, 2)
        local mended = count "mended"
        sh "rm rules/b.lua"
        expect("mended", mended, 1)
    end)

    it("makes one reload of a burst of changes", function()
        local before = count(NOW)
        for i = 1, 30 do put(rule(10 + i)) end
        expect(NOW, before, 1)
        tells_apart(41, 40)
    end)

    it("says of each rule what became of it, and at which position", function()
        local before = count 'rule "more": added'
        put(rule(5, 'rule "more" { from = "s", mode = "shadow", select = { "id" }, to = "' .. prefix .. 'more" }'))
        expect('rule "more": added', before, 1)
        assert.truthy(engine.err:find('rule "high": kept: where', 1, true), engine.err:sub(-2000))
        assert.truthy(engine.err:find(("takes effect at %sin/0@%d"):format(prefix, sent), 1, true), engine.err:sub(-2000))
    end)

    it("follows the swap of links by which a ConfigMap is updated", function()
        local before = count(NOW)
        sh "mkdir -p map/..1 map/..2"
        replay.write(folder .. "/map/..1/r.lua", rule(20))
        replay.write(folder .. "/map/..2/r.lua", rule(30))
        sh "cd map && ln -s ..1 ..data && ln -s ..data/r.lua r.lua; cd ..; mv rules old; ln -s map rules"
        expect(NOW, before, 1)
        sh "cd map && ln -s ..2 ..data_tmp && mv -T ..data_tmp ..data && rm -r ..1"
        expect(NOW, before, 2)
        tells_apart(31, 30)
    end)

    it("goes back where the files go back before it took effect, or after", function()
        local first = replay.read(folder .. "/map/..2/r.lua")
        for _ = 1, 6 do
            replay.write(folder .. "/map/..2/r.lua", rule(50))
            engine:pump(math.random() * 0.3)
            replay.write(folder .. "/map/..2/r.lua", first)
            engine:pump(0.2)
        end
        engine:pump(0.5)
        local yes = send(31)
        settle()
        assert.is_true(found()[yes])
    end)

    describe("and the topic's history", function()
        local function history(args, rules)
            replay.write(folder .. "/past.lua", rules or rule(10))
            local words = { replay.binary, "replay", "-c", "ananas.lua", "--rules", "past.lua", "--from-topic", "--stats", "stats.json",
                cwd = folder, timeout = 60 }
            for _, word in ipairs(args) do words[#words + 1] = word end
            local ran = process.run(words)
            assert.equal(0, ran.code, ran.err)
            local ids = {}
            for id in ran.out:gmatch '{\\"id\\":(%d+)' do ids[#ids + 1] = tonumber(id) end
            return ids, replay.decode(replay.read(folder .. "/stats.json"))
        end
        local everything = 'rule "high" { from = "s", select = { "id" }, to = "past" }'

        it("is read from one time to another, and nothing is committed", function()
            local before = client.committed(broker, prefix .. "group", prefix .. "in")[0]
            local ids, stats = history({}, everything)
            assert.equal(sent, #ids)
            assert.equal(sent, stats.records_in)
            assert.same({ 3, 4, 5 }, (history({ "--since", tostring(T0 + 3000), "--until", tostring(T0 + 5000) }, everything)))
            assert.same({ 3, 4, 5 }, (history({ "--since", "2023-11-14T22:13:22.500Z", "--until", tostring(T0 + 5999) }, everything)))
            assert.same({}, (history({ "--since", "1h" }, everything)))
            assert.equal(before, client.committed(broker, prefix .. "group", prefix .. "in")[0])
        end)

        it("gives no window that began before it", function()
            local counts = 'rule "high" { from = "s", window = tumble "4s", aggregate = { n = count() }, select = { id = function(g) return g.n end }, to = "past" }'
            local all = history({}, counts)
            local some = history({ "--since", tostring(T0 + 5000) }, counts)
            assert.is_true(#some > 0 and #some < #all)
            assert.equal(all[#all], some[#some])
            for i = 1, #some - 1 do assert.equal(4, some[i]) end
        end)

        it("shows what a changed rule would have found", function()
            replay.write(folder .. "/one.lua", everything)
            replay.write(folder .. "/two.lua", 'rule "high" { from = "s", where = function(r) return r.id ~= 2 end, select = { "id" }, to = "past" }')
            local ran = process.run { replay.binary, "diff", "-c", "ananas.lua", "--from-topic", "one.lua", "two.lua", cwd = folder, timeout = 60 }
            assert.equal(0, ran.code, ran.err)
            local _, minus = ran.out:gsub("\n%- ", "")
            assert.equal(1, minus + (ran.out:sub(1, 2) == "- " and 1 or 0), ran.out)
            assert.truthy(ran.out:find '{\\"id\\":2', ran.out)
            assert.truthy(ran.out:find(("high +%d +%d +1 +0"):format(sent, sent - 1)), ran.out)
        end)
    end)

    it("a shadow rule wrote nothing", function()
        local topics = client.topics(broker)
        local read = topics[prefix .. "more"] and client.read(broker, { topic = prefix .. "more", timeout = 10 }) or {}
        assert.equal(0, #read)
    end)
end)
