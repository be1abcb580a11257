-- Several tasks in one process, on a real broker, as HTTP shows them: each of them, their sums, and a reload of all; and in two
-- processes: what a window waits for, wherever that is.

local client = require "tests.support.kafka_client"
local http_client = require "tests.support.http_client"
local kafka = require "tests.support.kafka" -- luacheck: ignore
local net = require "tests.support.net"
local pizza_run = require "tests.support.pizza_run"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local get, post = http_client.get, http_client.post
local TASKS, PARTITIONS, ORDERS = 3, 4, 2000

describe("several tasks in one process", function()
    local run, port, engine

    setup(function()
        port = net.free_port()
        run = pizza_run.new { name = "par-http", orders = ORDERS, tidy = true, partitions = PARTITIONS,
            settings = ("parallelism (%d)\nhttp \"127.0.0.1:%d\""):format(TASKS, port) }
        engine = run:start()
        assert(process.eventually(60, function() return net.is_open(port) and get(port, "/readyz").status == 200 end, 0.1), engine.err)
    end)
    teardown(function()
        engine:signal "TERM"
        local status = engine:wait(30)
        run:close()
        assert(status and status.code == 0, engine.err)
    end)

    local function rules() return replay.decode(get(port, "/rules").body) end

    it("are each shown, with every partition at the task that reads it", function()
        local shown
        assert(process.eventually(30, function()
            shown = rules()
            return #shown.sources[1].partitions == PARTITIONS
        end, 0.1))
        assert.equal(TASKS, #shown.tasks)
        for i, task in ipairs(shown.tasks) do
            assert.equal(i - 1, task.task)
            assert.equal("active", task.phase)
            assert.equal(shown.version, task.version)
        end
        for _, p in ipairs(shown.sources[1].partitions) do assert.equal(p.partition % TASKS, p.task) end
    end)

    it("count together what one task would", function()
        local records
        assert(process.eventually(60, function()
            records = tonumber(get(port, "/metrics").body:match '\nananas_source_records_total{source="pizzas"} (%d+)')
            return records == #run.list
        end, 0.1), tostring(records))
    end)

    it("answer a reload when all of them run the new rules, with the verdicts on these", function()
        for i = 1, 3 do
            local before = rules().version
            run:rules(('\nrule "extra" { from = "bad_toppings", where = function(r) return r.id == %d end }\n'):format(-i))
            local answer = post(port, "/-/reload")
            assert.equal(200, answer.status, answer.text)
            assert.truthy(answer.body:find(i == 1 and "extra: added" or "extra: kept", 1, true), answer.body)
            assert.truthy(answer.body:find("topping_rush: unchanged", 1, true), answer.body)
            local after = rules()
            assert.not_equal(before, after.version)
            for _, task in ipairs(after.tasks) do assert.equal(after.version, task.version) end
        end
    end)
end)

describe("two tasks in two processes", function()
    it("say what a window waits for: the partition where it is read, its task elsewhere", function()
        local run = pizza_run.new { name = "par-waits", orders = 300, tidy = true, partitions = 2, portions = true,
            settings = "parallelism (2)\n" }
        run:rules('\nrule "names" { from = "pizzas", window = tumble "5s", group_by = { "name" }, aggregate = { n = count() } }\n')
        local config, ports, engines = replay.read(run.folder .. "/ananas.lua"), net.free_ports(2), {}
        for i = 1, 2 do
            local path = ("%s/process%d.lua"):format(run.folder, i)
            replay.write(path, ('%s\nhttp "127.0.0.1:%d"\n'):format(config, ports[i]))
            engines[i] = process.spawn { replay.binary, "run", "-c", path, cwd = run.folder }
        end
        local function rules(i) return replay.decode(get(ports[i], "/rules").body) end
        local function names(i)
            for _, rule in ipairs(rules(i).rules) do
                if rule.name == "names" then return tostring(rule.waits_for) end
            end
        end
        assert(process.eventually(60, function()
            for i = 1, 2 do
                engines[i]:pump(0)
                if not net.is_open(ports[i]) or get(ports[i], "/readyz").status ~= 200 or #rules(i).tasks ~= 1 then return false end
            end
            return true
        end, 0.2), engines[1].err .. engines[2].err)
        local task = rules(1).tasks[1].task
        assert.equal(1 - task, rules(2).tasks[1].task)
        local producer = client.producer(run.broker.bootstrap, {})   -- what the first one reads; nothing for the second
        for i = 1, 300 do
            if run.list[i].partition == task then producer:send(run.list[i]) end
        end
        producer:flush()
        producer:close()
        local said = {}
        assert(process.eventually(30, function()
            said = { names(1), names(2) }
            return said[1]:find("task " .. 1 - task .. ", which another process has", 1, true)
                and said[2]:find(("waits for %s/%d, which gave no record yet"):format(run.topic, 1 - task), 1, true)
        end, 0.2), table.concat(said, "\n"))
        for _, engine in ipairs(engines) do
            engine:signal "TERM"
            local status = engine:wait(30)
            assert(status and status.code == 0, engine.err)
        end
        run:close()
    end)
end)
