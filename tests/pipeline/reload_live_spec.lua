-- Rules change while orders flow through a real broker: every row of a tumbling or session window is counted by exactly
-- one version, and the stream does not wait for it. ORDERS and RELOADS for more of them (2,000,000 and 50), SEED for others.

local cjson = require "cjson"
local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local orders = require "tests.support.orders"
local process = require "tests.support.process"
local replay = require "tests.support.replay"

local total = tonumber(os.getenv("ORDERS") or "150000")
local reloads = tonumber(os.getenv("RELOADS") or "25")
local seed = tonumber(os.getenv("SEED") or "1")
local HOUR = 3600000

local config = [[
kafka { ["bootstrap.servers"] = "%s", ["group.id"] = "%s", ["session.timeout.ms"] = "2000", ["heartbeat.interval.ms"] = "300" }
source "pizzas" { topic = "%s", metadata = { p = "partition", o = "offset" }, event_time = "timestamp", watermark = "5s", max_ahead = "none" }
rules "rules"
topics { partitions = 1, replication = 1 }
]]

-- One generation of the rules. Every form changes something that has open windows.
local function rules_text(o, prefix)
    local text = ([[
rule "rows" { from = "pizzas", where = function(r) return r.id >= 0 end, select = { "id", "shop", "name" } }
rule "tumbled" {
  from = "rows", window = tumble "%ds", group_by = { "%s" }, aggregate = { n = count() }, to = "PREFIXtumbled",
}
rule "sessions" {
  from = "rows", window = session { gap = "%dms" }, group_by = { "shop" }, aggregate = { n = count() }, to = "PREFIXsessions",
}
rule "fixed" {
  from = "rows", window = tumble "10s", group_by = { "shop" }, aggregate = { n = count() },
  having = function(g) return g.n > %d end, to = "PREFIXfixed",
}
rule "runs%d" {
  from = "fixed", match = { partition_by = { "shop" }, pattern = "A UP{%d}", define = {
    UP = function(row, m) return row.n >= m.prev().n end }, measures = { n = function(m) return m.count("*") end } },
  to = "PREFIXruns",
}
rule "steps" { from = "fixed", match = { partition_by = { "shop" }, pattern = "A UP{%d}", define = { UP = function(row, m) return row.n >= m.prev().n end } } }
rule "picked" {
  from = "pizzas", where = function(r) return r.id >= 0 and r.id %% %d == 0 end, to = "PREFIXpicked",
  select = { "p", "o", d = function() return %d end },
}
rule "all%d" { from = "pizzas", select = { "p", "o" }, to = "PREFIXall%d" }
rule "swapped" { from = "%s", select = { "shop" } }
]]):format(o.size, o.key, o.gap, o.limit, o.name, o.length, o.length, o.divisor, o.divisor, o.name, o.name, o.name == 1 and "fixed" or "rows")
    return (text:gsub("PREFIX", prefix))
end

local function sum(broker, topic)
    local n, versions, partial = 0, {}, 0
    for _, r in ipairs(client.read(broker, { topic = topic, timeout = 60 })) do
        local v = r.value and cjson.decode(r.value)
        if v then
            n = n + v.n
            partial = partial + (v.partial and 1 or 0)
            for _, h in ipairs(r.headers) do if h[1] == "ananas-rule-version" then versions[h[2]] = true end end
        end
    end
    local count = 0
    for _ in pairs(versions) do count = count + 1 end
    return n, count, partial
end

for _, kills in ipairs { false, true } do
local n_orders, n_reloads = kills and math.ceil(total / 3) or total, kills and math.ceil(reloads / 3) or reloads
describe(("%d orders while the rules are changed %d times%s, seed %d"):format(n_orders, n_reloads,
    kills and " and the engine is killed" or "", seed), function()
    local broker, folder, prefix, log, engine

    setup(function()
        math.randomseed(seed)
        broker = kafka.shared().bootstrap
        folder, prefix = replay.folder(), kafka.name "live" .. "_"
        local topic = prefix .. "pizzas"
        assert(os.execute("mkdir -p " .. replay.quote(folder .. "/rules")) == 0)
        replay.write(folder .. "/ananas.lua", config:format(broker, prefix .. "group", topic))
        local function put(text)                       -- as an editor does: a file beside, then a rename
            replay.write(folder .. "/rules/.new", text)
            assert(os.rename(folder .. "/rules/.new", folder .. "/rules/live.lua"))
        end
        put(rules_text({ size = 5, key = "shop", gap = 2000, limit = 0, name = 0, length = 2, divisor = 2 }, prefix))
        client.create_topics(broker, { { name = topic, partitions = 3 } })
        log = ""
        local function start()
            if engine then log = log .. engine.err end
            engine = process.spawn { replay.binary, "run", "-c", folder .. "/ananas.lua", cwd = folder }
        end
        start()
        engine:expect("active", 20)
        local step = math.ceil(n_orders / (n_reloads + 1))
        local made = 0
        for round = 0, n_reloads do
            local n = math.min(step, n_orders - made)
            if n > 0 then
                orders.produce(broker, { n = n, seed = seed * 1000 + round, partitions = 3, topic = topic, rate = 500,
                    start = orders.START + math.floor(made * 2), exact = true })
                made = made + n
            end
            if round < n_reloads then
                if round % 5 == 3 then
                    put "rule {"                        -- broken: the old ones go on
                else
                    put(rules_text({ size = math.random(1, 9), key = round % 2 == 0 and "name" or "shop", gap = 500 + 250 * math.random(0, 9),
                        limit = math.random(0, 3), name = round % 3, length = math.random(2, 3), divisor = math.random(2, 7) }, prefix))
                end
                engine:pump(0.25)
                if kills and round % 3 == 2 and round % 5 ~= 3 then      -- in the middle of handing over, for most
                    process.sleep(math.random() * 0.5)
                    engine:signal "KILL"
                    engine:wait(10)
                    start()
                    engine:expect("active", 30)    -- or the changes that follow would meet nobody
                end
            end
        end
        local producer = client.producer(broker)
        for partition = 0, 2 do
            producer:send { topic = topic, partition = partition, key = "{}",
                value = cjson.encode { id = -1, shop = "closing", timestamp = orders.START + n_orders * 2 + HOUR } }
        end
        producer:flush(30)
        producer:close()
        local ends = client.offsets(broker, topic)
        assert(process.eventually(180, function()
            engine:pump(0.05)
            local committed = client.committed(broker, prefix .. "group", topic)
            for p = 0, 2 do if (committed[p] or -1) < ends[p][2] then return false end end
            return true
        end, 0.3), "not read to the end\n" .. engine.err:sub(-2000))
        engine:signal("TERM")
        assert.equal(0, (engine:wait(15) or {}).code, engine.err)
        log = log .. engine.err
    end)
    teardown(function() replay.remove(folder) end)

    it("every row of a tumbling window is counted by exactly one version", function()
        local n, versions = sum(broker, prefix .. "tumbled")
        assert.equal(n_orders, n)
        assert.is_true(versions > 2, versions .. " versions wrote")
    end)

    it("every row of a session is counted by exactly one version", function()
        assert.equal(n_orders, (sum(broker, prefix .. "sessions")))
    end)

    it("broken files are reported at file:line", function()
        assert.truthy(log:find "live%.lua:%d+:", log)
    end)

    if not kills then
        -- For each record the number of the version that judged it: how many took effect at or before its position.
        local function periods()
            local taken = {}
            for place in log:gmatch "takes effect at ([^;\n]+);" do
                local at = {}
                for partition, offset in place:gmatch "/(%d+)@(%d+)" do at[tonumber(partition)] = tonumber(offset) end
                taken[#taken + 1] = at
            end
            return #taken, function(partition, offset)
                local n = 0
                while taken[n + 1] and offset >= taken[n + 1][partition] do n = n + 1 end
                return n
            end
        end

        -- { [period] = { ["partition/offset"] = id } }
        local function input()
            local n, of = periods()
            local reader, rows = client.reader(broker, { topic = prefix .. "pizzas" }), {}
            for i = 0, n do rows[i] = {} end
            while not reader.at_end do
                local r = reader:poll(10)
                if r then rows[of(r.partition, r.offset)][r.partition .. "/" .. r.offset] = tonumber(r.value:match '"id": ?(%-?%d+)') end
            end
            reader:close()
            return n, of, rows
        end

        it("each record is judged by the version that is in force at its position, and by no other", function()
            local n, of, rows = input()
            local found, divisors = {}, {}
            for i = 0, n do found[i] = {} end
            for _, r in ipairs(client.read(broker, { topic = prefix .. "picked", timeout = 60 })) do
                local v = cjson.decode(r.value)
                local period, place = of(v.p, v.o), v.p .. "/" .. v.o
                assert.is_nil(found[period][place], place .. " twice")
                found[period][place] = true
                divisors[period] = divisors[period] or v.d
                assert.equal(divisors[period], v.d, "two versions between two reloads")
            end
            for period = 0, n do
                local want, have = 0, 0
                for place, id in pairs(rows[period]) do
                    if divisors[period] and id >= 0 and id % divisors[period] == 0 then
                        want = want + 1
                        assert.is_true(found[period][place], place .. " is missing")
                    end
                end
                for _ in pairs(found[period]) do have = have + 1 end
                assert.equal(want, have)
            end
        end)

        it("an added rule sees the records from its first position on, a removed one none from its last", function()
            local n, of, rows = input()
            for name = 0, 2 do
                local seen, count = {}, 0
                local topic = prefix .. "all" .. name
                for _, r in ipairs(client.topics(broker)[topic] and client.read(broker, { topic = topic, timeout = 60 }) or {}) do
                    local v = cjson.decode(r.value)
                    local period = of(v.p, v.o)
                    seen[period], count = (seen[period] or 0) + 1, count + 1
                end
                for period, have in pairs(seen) do
                    local want = 0
                    for _ in pairs(rows[period]) do want = want + 1 end
                    assert.equal(want, have, ("rule all%d between reload %d and the next of %d"):format(name, period, n))
                end
                print(("\nfigure: rule all%d saw %d records"):format(name, count))
            end
        end)

        it("there was every kind of verdict", function()
            local counts, line = {}, {}
            for verdict in log:gmatch 'rule "[%w_]+": (%a+)' do counts[verdict] = (counts[verdict] or 0) + 1 end
            for _, verdict in ipairs { "unchanged", "kept", "handover", "rebuilt", "added", "removed", "reset" } do
                line[#line + 1] = ("%d %s"):format(counts[verdict] or 0, verdict)
                if n_reloads >= 20 then assert.truthy(counts[verdict], verdict .. "\n" .. log:sub(-3000)) end
            end
            print("\nfigure: " .. table.concat(line, ", "))
        end)
    end

    it("the stream waits for the swap alone, which is measured", function()
        local waits = {}
        for ms in log:gmatch "the stream waited ([%d.]+) ms" do waits[#waits + 1] = tonumber(ms) end
        table.sort(waits)
        assert.is_true(#waits > 0, log)
        print(("\nfigure: %d reloads took effect; the stream waited %.1f ms at least, %.1f in the middle, %.1f at most"):format(#waits, waits[1],
            waits[math.ceil(#waits / 2)], waits[#waits]))
    end)
end)
end
