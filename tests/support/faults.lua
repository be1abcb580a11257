-- What the specs of faults share: how long they run, what must hold afterwards, and the proxy between engine and broker.
--
--   faults.long, faults.seed           -- `make test-faults`; SEED or one of the clock's
--   faults.none(run:differences())
--   faults.stop(engine)                -- SIGTERM; status 0
--   faults.caught_up(run, engines, 60) -- all input is read and committed
--   faults.nothing_left(run)           -- no open transaction, state as of the committed offsets
--   faults.ends_well(run, engine, 60)  -- the rest of the orders, and all of that; the run is closed
--   local proxy = faults.proxy(run.broker)   -- broker made with faults.broker(); proxy:ask "cut"

local client = require "tests.support.kafka_client"
local kafka = require "tests.support.kafka"
local net = require "tests.support.net"
local process = require "tests.support.process"

local faults = { long = os.getenv "ANANAS_FAULTS" == "long", seed = os.getenv "SEED" or tostring(os.time() % 1000000) }
if faults.long then io.stderr:write("seed ", faults.seed, "\n") end
math.randomseed(tonumber(faults.seed))

function faults.none(differences)
    assert(#differences == 0, ("seed %s: %d differences (- missing, + too many):\n%s"):format(faults.seed, #differences,
        table.concat(differences, "\n", 1, math.min(#differences, 20))))
end

local function said(engines)
    local out = {}
    for i, engine in ipairs(engines) do out[#out + 1] = ("--- process %d\n%s"):format(i, engine.err:sub(-4000)) end
    return table.concat(out, "\n")
end

function faults.stop(engine)
    engine:signal "TERM"
    local status = engine:wait(20)
    assert(status and status.code == 0, ("status %s\n%s"):format(status and (status.code or status.signal) or "none", engine.err:sub(-4000)))
end

-- A broker that is away for the moment has committed nothing new.
function faults.caught_up(run, engines, seconds)
    local read = process.eventually(seconds or 60, function()
        for _, engine in ipairs(engines) do engine:pump(0) end
        local ok, done = pcall(run.caught_up, run)
        return ok and done
    end, 0.3)
    assert(read, "not read to the end\n" .. said(engines))
end

-- ---- nothing left behind ----

-- The changelog as a restore sees it, the last value of each key: entries, and the meta record's positions.
local function varint(s, at)
    local value, shift = 0, 1
    while true do
        local byte = s:byte(at)
        at = at + 1
        value = value + byte % 128 * shift
        if byte < 128 then return value, at end
        shift = shift * 128
    end
end

local function number(s, at, bytes)
    local value = 0
    for i = bytes - 1, 0, -1 do value = value * 256 + s:byte(at + i) end
    return value, at + bytes
end

function faults.positions(meta)
    local _, first = number(meta, 1, 4)
    local positions, n, at = {}, varint(meta, first)
    for _ = 1, n do
        local len, partition, offset
        len, at = varint(meta, at)
        local topic = meta:sub(at, at + len - 1)
        partition, at = number(meta, at + len, 4)
        offset, at = number(meta, at, 8)
        positions[topic .. "/" .. partition] = offset
    end
    return positions
end

-- { [key] = value } of live entries, and the meta record.
function faults.state(run)
    local entries, meta = {}, nil
    for _, r in ipairs(client.read(run.broker.bootstrap, { topic = run.group .. "-changelog", isolation = "read_committed", timeout = 60 })) do
        local kind = r.key:sub(1, 1)
        if kind == "e" then entries[r.key] = r.value end
        if kind == "m" then meta = r.value end
    end
    return entries, meta
end

function faults.nothing_left(run)
    assert(run:caught_up(), "not all was read")
    local topics = { run.group .. "-changelog", "__consumer_offsets" }
    for name in pairs(client.topics(run.broker.bootstrap)) do
        if name:sub(1, #run.prefix) == run.prefix then topics[#topics + 1] = name end
    end
    for _, topic in ipairs(topics) do
        local open = "not known"
        assert(process.eventually(20, function()
            local asked, list = pcall(client.open_transactions, run.broker.bootstrap, topic)
            open = asked and #list or list
            return open == 0
        end, 0.2), ("transactions still open on %s: %s"):format(topic, tostring(open)))
    end
    local _, meta = faults.state(run)
    local positions = faults.positions(meta)
    for partition, offset in pairs(client.committed(run.broker.bootstrap, run.group, run.topic)) do
        local at = positions[run.topic .. "/" .. partition]
        assert(at == offset, ("partition %d: committed %d, state %s"):format(partition, offset, tostring(at)))
    end
end

-- Nothing but entries of `run` may differ from those that another run made of the same input.
function faults.same_state(run, other)
    local ours, theirs, out = faults.state(run), faults.state(other), {}
    for key, value in pairs(theirs) do
        if ours[key] ~= value then
            out[#out + 1] = ("%s %q: %q instead of %q"):format(ours[key] and "differs" or "missing", key, ours[key] or "", value)
        end
    end
    for key in pairs(ours) do
        if not theirs[key] then out[#out + 1] = ("left behind %q"):format(key) end
    end
    table.sort(out)
    assert(#out == 0, ("%d entries of the state differ:\n%s"):format(#out, table.concat(out, "\n", 1, math.min(#out, 10))))
    assert(next(theirs), "there is no state to compare")
end

-- ---- the proxy ----

local Proxy = {}
Proxy.__index = Proxy

-- A broker with a second address: who asks there is told to come through the proxy.
function faults.broker()
    local ports = net.free_ports(3)
    local broker = kafka.start { port = ports[1], proxied = { listen = ports[2], tell = ports[3] } }
    broker.proxied = { listen = ports[2], tell = ports[3] }
    return broker
end

function faults.proxy(broker)
    local p = process.spawn { "python3", "tests/support/proxy.py", broker.proxied.tell, broker.proxied.listen, stdin = "pipe" }
    assert(p:expect("ready", 10))
    return setmetatable({ process = p, bootstrap = "127.0.0.1:" .. broker.proxied.tell }, Proxy)
end

function Proxy:ask(command)
    self.process.out = ""
    self.process:write(command .. "\n")
    assert(self.process:expect("done " .. command, 5))
end

-- Whether the reply that was to be swallowed was, within so many seconds.
function Proxy:swallowed(seconds) return self.process:expect("swallowed", seconds) ~= nil end

function Proxy:close() self.process:stop() end

function faults.ends_well(run, engine, seconds)
    run:write()
    faults.caught_up(run, { engine }, seconds)
    faults.stop(engine)
    faults.none(run:differences())
    faults.nothing_left(run)
    run:close()
end

return faults
