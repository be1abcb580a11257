-- What the engine answers over HTTP, asked with plain sockets, so that bad clients can be played as well.

local client = require "tests.support.kafka_client"
local http_client = require "tests.support.http_client"
local kafka = require "tests.support.kafka"
local net = require "tests.support.net"
local process = require "tests.support.process"
local promtool = require "tests.support.promtool"
local replay = require "tests.support.replay"

local ROOT = replay.root

local connect, ask, get, post = http_client.connect, http_client.ask, http_client.get, http_client.post

local function start(address, rules)
    return process.spawn { replay.binary, "demo", "--rate", "2000", "--rules", rules, "--http", address }
end
local function ready(port)
    return process.eventually(30, function() return net.is_open(port) and get(port, "/readyz").status == 200 end, 0.2)
end

describe("HTTP", function()
    local folder, rules, port, engine, slow

    setup(function()
        folder = replay.folder()
        rules = folder .. "/pizza.lua"
        replay.write(rules, replay.read(ROOT .. "/rules/pizza.lua"))
        port = net.free_port()
        engine = start("127.0.0.1:" .. port, rules)
        assert(ready(port), engine.err)
        -- It never reads, for as long as the other specs take: its socket holds little.
        slow = connect(port, false, 4096):send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    end)
    teardown(function()
        engine:signal("TERM")
        local status = engine:wait(15)
        replay.remove(folder)
        assert(status and status.code == 0, engine.err)
    end)

    it("says that the loop turns", function() assert.equal(200, get(port, "/healthz").status) end)

    it("has counters of every rule and partition", function()
        local body
        assert(process.eventually(15, function()   -- the broker has to be asked for the ends of partitions first
            body = get(port, "/metrics").body
            for partition = 0, 2 do
                local sample = 'ananas_partition_consumer_lag_records{source="pizzas",topic="pizzas",partition="%d"} '
                if not body:find(sample:format(partition), 1, true) then return false end
            end
            return true
        end, 0.2))
        for _, rule in ipairs { "bad_toppings", "topping_rush", "topping_trend" } do
            assert.truthy(body:find('ananas_rule_emitted_total{rule="' .. rule .. '"} ', 1, true), rule)
        end
        for partition = 0, 2 do
            assert.truthy(body:find(('ananas_partition_consumer_lag_records{source="pizzas",topic="pizzas",partition="%d"} '):format(partition), 1, true))
        end
        local seen = {}
        for line in body:gmatch "[^\n]+" do
            local name, kind = line:match "^# TYPE (%S+) (%S+)"
            if name then
                assert.is_nil(seen[name], name .. " twice")
                seen[name] = kind
                assert.equal(kind == "counter", name:find "_total$" ~= nil, name)
            elseif not line:find "^#" then
                local sample = line:match "^([%w_]+)"
                assert.truthy(seen[sample] or seen[sample:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")], line)
                assert.truthy(tonumber(line:match " (%S+)$"), line)
            end
        end
    end)

    -- Their text is shared between scrapes; what it says must not grow old by that.
    it("answers a hundred scrapes a second, none with numbers that are old", function()
        local took, first, last, begin = {}, nil, 0, process.now()
        for i = 1, 100 do
            local asked = process.now()
            local answer = get(port, "/metrics")
            took[i] = process.now() - asked
            assert.equal(200, answer.status)
            local records = tonumber(answer.body:match '\nananas_source_records_total{source="pizzas"} (%d+)')
            assert.is_true(records >= last)
            first, last = first or records, records
            process.sleep(math.max(0, begin + i / 100 - process.now()))
        end
        assert.is_true(last > first)
        table.sort(took)
        print(("figure: scrapes took %.1f ms in the middle, %.1f ms at most"):format(took[50] * 1000, took[100] * 1000))
    end)

    it("has metrics that Prometheus' own check finds nothing wrong with", function()
        if not promtool.is_there() then return pending "promtool is not to be had" end
        replay.write(folder .. "/metrics", get(port, "/metrics").body)
        local checked = promtool.run("check metrics < " .. replay.quote(folder .. "/metrics"))
        assert.equal(0, checked.code, checked.out .. checked.err)
    end)

    it("has what the alerts and the dashboard ask for", function()
        local body, asked = get(port, "/metrics").body, 0
        for _, path in ipairs { "packaging/alerts.yml", "packaging/dashboard.json" } do
            for name in replay.read(ROOT .. "/" .. path):gmatch "%f[%w_]ananas_[%w_]+" do
                asked = asked + 1
                assert.truthy(body:find("# TYPE " .. name:gsub("_bucket$", "") .. " ", 1, true), path .. ": " .. name)
            end
        end
        assert.is_true(asked > 20)
    end)

    it("says what a window waits for, and which partition holds it back", function()
        local found
        assert(process.eventually(10, function()
            found = replay.decode(get(port, "/rules").body)
            for _, r in ipairs(found.rules) do
                if r.name == "topping_rush" and r.open_windows > 0 then
                    found.rush = r
                    return true
                end
            end
        end, 0.2))
        assert.equal("active", found.phase)
        assert.equal("number", type(found.rush.next_window_end))
        assert.truthy(found.rush.waits_for:find "the window fires when event time reaches .* and waits for pizzas/%d")
        local held, holders = found.sources[1].held_back_by, 0
        for _, p in ipairs(found.sources[1].partitions) do
            if p.holds_back then
                holders = holders + 1
                assert.equal(held.partition, p.partition)
            end
        end
        assert.equal(1, holders)
    end)

    it("shows anomalies as they are committed", function()
        local reader = connect(port):send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        local text = reader:read(5, '"rule":"bad_toppings".-\n\n')
        reader:close()
        assert.truthy(text:find("text/event-stream", 1, true))
        local event = replay.decode(text:match "data: ({.-})\r?\n")
        assert.truthy(event.rule and event.value and event.at, text)
    end)

    it("serves a page that runs nothing but its own script", function()
        local page = get(port, "/")
        local nonce = page.head:match "script%-src 'nonce%-(%x+)'"
        assert.truthy(nonce and page.body:find('<script nonce="' .. nonce .. '"', 1, true))
        assert.falsy(page.body:find "PAGE_NONCE")
        assert.falsy(page.body:find "innerHTML" or page.body:find "src=" or page.body:find "href=")
        assert.not_equal(nonce, get(port, "/").head:match "script%-src 'nonce%-(%x+)'")
    end)

    it("answers to local names only, and takes changes from no other page", function()
        assert.equal(403, get(port, "/rules", { Host = "evil.example" }).status)
        assert.equal(200, get(port, "/rules", { Host = "127.0.0.1:" .. port }).status)
        assert.equal(403, post(port, "/-/reload", { Origin = "http://evil.example" }).status)
        assert.equal(403, post(port, "/-/reload", { ["Sec-Fetch-Site"] = "cross-site" }).status)
        assert.equal(405, get(port, "/-/reload").status)
        assert.equal(405, post(port, "/rules").status)
        assert.equal(404, get(port, "/etc/passwd").status)
    end)

    it("reloads on request and says what came of it", function()
        local text = replay.read(rules)
        replay.write(rules, text:gsub("nr_bad_items > 3", "nr_bad_items > 2"))
        local answer = post(port, "/-/reload", { Origin = "http://localhost:" .. port })
        assert.equal(200, answer.status, answer.text)
        assert(process.eventually(5, function()
            for _, r in ipairs(replay.decode(get(port, "/rules").body).rules) do
                if r.name == "too_many_bad_toppings" and tostring(r.verdict):find "^kept" then return true end
            end
        end, 0.2))
        replay.write(rules, text .. "\nrule 'broken' {")
        answer = post(port, "/-/reload")
        assert.equal(422, answer.status, answer.text)
        assert.truthy(answer.body:find "pizza.lua:%d+", answer.body)
        replay.write(rules, text)
        assert.equal(200, post(port, "/-/reload").status)
    end)

    it("gives a head without a body, of events as well, and wants one Host", function()
        for _, path in ipairs { "/", "/metrics", "/rules", "/events" } do
            local answer = ask(port, "HEAD " .. path .. " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 5)
            assert.equal(200, answer.status, path)
            assert.equal("", answer.body, path)
        end
        assert.equal(400, get(port, "/healthz", { ["X: y\r\nHost"] = "evil.example" }).status)
    end)

    it("bounds bodies and heads, and survives nonsense", function()
        assert.equal(413, ask(port, "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n").status)
        assert.truthy(({ [431] = 1, [414] = 1, [400] = 1 })[ask(port, "GET / HTTP/1.1\r\nHost: localhost\r\nX: " .. ("x"):rep(100000) .. "\r\n\r\n").status])
        for _, request in ipairs { "\0\1\2\3\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", ("A"):rep(70000) } do ask(port, request, 0.5) end
        assert.equal(200, get(port, "/healthz").status)
    end)

    it("goes on while a thousand clients connect and hang, and lets others in again", function()
        local hanging, commits = {}, replay.decode((get(port, "/rules").body)).commits
        for i = 1, 1000 do hanging[i] = connect(port, true):send("GET /metrics HTTP/1.1\r\nHost: loc") end
        local seen
        assert(process.eventually(30, function()
            local status
            status, seen = pcall(function() return get(port, "/metrics").body end)
            return status and seen
        end, 0.2))
        assert.is_true(tonumber(seen:match "\nananas_commits_total (%d+)") > commits)
        assert.is_true(tonumber(seen:match "\nananas_http_connections (%d+)") <= 128)
        for _, one in ipairs(hanging) do one:close() end
        assert(process.eventually(10, function() return get(port, "/healthz").status == 200 end))
    end)

    it("drops a reader of events that does not read, while another one gets all of them", function()
        local function readers() return tonumber(get(port, "/metrics").body:match "\nananas_http_event_readers (%d+)") end
        local reader = connect(port):send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert(process.eventually(60, function()
            reader:read(0.2)
            return readers() == 1
        end), "the slow reader is still there")
        slow:close()
        local last, n = nil, 0
        for id in reader.text:gmatch "\nid: (%d+)" do
            assert.equal((last or tonumber(id) - 1) + 1, tonumber(id))
            last, n = tonumber(id), n + 1
        end
        assert.is_true(n > 100, n .. " events")
        reader:close()
    end)

    it("says so when the port is taken, with status 1", function()
        local second = start("127.0.0.1:" .. port, rules)
        assert.equal(1, second:wait(15).code)
        assert.truthy(second.err:find("the address is in use", 1, true), second.err)
    end)

    it("listens on a socket with mode 0600, replaces a dead one, and leaves other files alone", function()
        local path = folder .. "/http.sock"
        for _ = 1, 2 do
            local one = start("unix:" .. path, rules)
            assert(process.eventually(15, function()
                return process.run({ "sh", "-c", "stat -c '%a %F' " .. path }).out == "600 socket\n"
            end, 0.1), one.err)
            one:signal("KILL")
            one:wait(5)
        end
        replay.write(folder .. "/file", "kept")
        local other = start("unix:" .. folder .. "/file", rules)
        assert.equal(1, other:wait(15).code)
        assert.truthy(other.err:find("no socket", 1, true), other.err)
        assert.equal("kept", replay.read(folder .. "/file"))
    end)

    describe("where others can reach it", function()
        local broker = kafka.shared()
        local one

        local function run(settings)
            local names = { input = kafka.name "reach", output = kafka.name "reach-out", group = kafka.name "reach-group" }
            client.create_topics(broker.bootstrap, { { name = names.input, partitions = 1 } })
            local at = net.free_port()
            replay.write(folder .. "/ananas.lua", ([[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s" }
source "logins" { topic = "%s" }
rules "reach.lua"
topics { partitions = 1, replication = 1 }
http "0.0.0.0:%d"
%s
]]):format(broker.bootstrap, names.group, names.input, at, settings))
            replay.write(folder .. "/reach.lua", ('rule "all" { from = "logins", to = %q }'):format(names.output))
            one = process.spawn { replay.binary, "run", "-c", folder .. "/ananas.lua", env = { TOKEN = "s3cret-t0ken" } }
            assert(process.eventually(30, function() return net.is_open(at) and get(at, "/readyz").status == 200 end, 0.1), one.err)
            return at, names
        end
        after_each(function() one:stop(15) end)

        it("shows no lag where all is read, also behind the mark that ends a transaction", function()
            local at, names = run ""
            local producer = client.producer(broker.bootstrap, { ["transactional.id"] = kafka.name "writer" })
            producer:init_transactions()
            producer:begin()
            producer:send { topic = names.input, partition = 0, value = '{"user":"ada"}' }
            producer:commit()
            producer:close()
            local topic = names.input:gsub("%p", "%%%0")
            local function sample(what)
                return get(at, "/metrics").body:match("\nananas_partition_" .. what .. '{source="logins",topic="' .. topic .. '",partition="0"} (%d+)')
            end
            local lag
            assert(process.eventually(15, function()
                lag = sample "consumer_lag_records"
                return sample "records_total" == "1" and lag == "0"
            end, 0.1), "lag " .. tostring(lag))
            for _ = 1, 15 do   -- brokers are asked for the end every second
                assert.equal("0", sample "consumer_lag_records")
                process.sleep(0.1)
            end
        end)

        it("reloads for those who send the token, and shows it to nobody", function()
            local at = run 'http_token (env "TOKEN")'
            assert.equal(401, post(at, "/-/reload").status)
            assert.equal(401, post(at, "/-/reload", { Authorization = "Bearer s3cret-t0keN" }).status)
            assert.equal(401, post(at, "/-/reload", { Authorization = "Basic s3cret-t0ken" }).status)
            assert.equal(200, post(at, "/-/reload", { Authorization = "Bearer s3cret-t0ken" }).status)
            for _, path in ipairs { "/", "/rules", "/metrics", "/healthz" } do
                local answer = get(at, path, { Host = "ananas.example:9464" })   -- by whatever name it is reached
                assert.equal(200, answer.status)
                assert.falsy(answer.text:find("s3cret", 1, true))
            end
            assert.falsy(one.err:find("s3cret", 1, true))
        end)

        it("reloads for nobody where no token is set, and says so at the start", function()
            local at = run ""
            assert.equal(403, post(at, "/-/reload").status)
            assert.equal(403, post(at, "/-/reload", { Authorization = "Bearer " }).status)
            assert.equal(200, get(at, "/rules").status)
            one:pump(0)
            assert.truthy(one.err:find("everybody who reaches it may read, nobody may reload", 1, true), one.err)
        end)
    end)
end)
