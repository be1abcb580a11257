-- Pizza orders in bulk (engine/orders.c through FFI): files of `replay` input and records for a broker, the same for a seed.
--
--   local orders = require "tests.support.orders"
--   orders.write("build/tmp/orders.jsonl", { n = 100000, seed = 7, partitions = 3, disorder = 3000, late = 0.005, bad = 0.002 })
--   orders.write(path, { n = 1e6, raw = true })              -- bare payload lines, for replay --raw
--   for record in orders.each { n = 1000 } do ... end         -- { topic, partition, offset, ts, key, payload, kind }
--   orders.produce(bootstrap, { n = 100000, partitions = 3, topic = "pizzas" })   -- the same ones into a topic
--
-- Options: n, seed (1), topic ("pizzas"), partitions (1), start (epoch ms), rate (orders per second of event time, 1000),
-- disorder (ms that arrival may differ from time, 0), late and bad (shares, 0). `write` returns what it wrote:
-- { records, late, bad = { [kind] = n }, bytes }. kind is nil, "late", or one of orders.bad_kinds.

local ffi = require "ffi"
local ananas = require "tests.support.ananas"

ffi.cdef [[
typedef struct orders_tests orders_tests_t;
struct orders_tests_buf { char *s; size_t len, cap; };
orders_tests_t *orders_open(uint64_t seed);
void orders_close(orders_tests_t *);
void orders_next(orders_tests_t *, int64_t time, struct orders_tests_buf *key, struct orders_tests_buf *value);
void buf_fini(struct orders_tests_buf *);
]]

local orders = { START = 1659426820000, LATE_BY = 60000 }

-- A generator of our own: the seed decides everything, whatever else draws from math.random.
local function randomness(seed)
    local a = (seed * 7919 + 12345) % 2147483647
    return function()
        a = (a * 48271) % 2147483647
        return a / 2147483647
    end
end

-- Each spoils a good order (text, number of the order) in one way.
local spoil = {
    not_json = function() return "pizza? now!" end,
    scalar = function(_, i) return tostring(i) end,
    array = function(text) return "[" .. text .. "]" end,
    cut_off = function(text, i) return text:sub(1, 20 + i % 200) end,
    trailing_garbage = function(text) return text .. " x" end,
    two_values = function(text) return text .. text end,
    invalid_utf8 = function(text) return (text:gsub('"name": "', '"name": "\195\40', 1)) end,
    lone_surrogate = function(text) return (text:gsub('"name": "', '"name": "\\ud83c', 1)) end,
    control_character = function(text) return (text:gsub('"name": "', '"name": "\1', 1)) end,
    deep_nesting = function() return ('{"a":'):rep(100) .. "1" .. ("}"):rep(100) end,
    bad_number = function(text) return (text:gsub('"id": ', '"id": 0', 1)) end,
    empty = function() return "" end,
}
orders.bad_kinds = {}
for kind in pairs(spoil) do orders.bad_kinds[#orders.bad_kinds + 1] = kind end
table.sort(orders.bad_kinds)

-- Orders that are no bad records, but in which a rule finds nothing: fields missing or of another type.
local odd = {
    no_pizzas = function(text) return (text:gsub('"pizzas": %[.*%]', '"pizzas": null', 1)) end,
    pizzas_text = function(text) return (text:gsub('"pizzas": %[.*%]', '"pizzas": "none"', 1)) end,
    topping_number = function(text) return (text:gsub('"additionalToppings": %[', '"additionalToppings": [7, ', 1):gsub("7, %]", "7]", 1)) end,
    no_name = function(text) return (text:gsub('"name": "[^"]*", ', "", 1)) end,
    id_text = function(text) return (text:gsub('"id": (%d+)', '"id": "%1"', 1)) end,
    id_huge = function(text) return (text:gsub('"id": (%d+)', '"id": 900719925474099%1', 1)) end,
    twice = function(text) return (text:gsub('^{', '{"name": "first", ', 1)) end,
}
orders.odd_kinds = {}
for kind in pairs(odd) do orders.odd_kinds[#orders.odd_kinds + 1] = kind end
table.sort(orders.odd_kinds)

local function with_defaults(options)
    local o = { n = 1000, seed = 1, topic = "pizzas", partitions = 1, start = orders.START, rate = 1000, disorder = 0, late = 0, bad = 0, odd = 0 }
    for name, value in pairs(options or {}) do o[name] = value end
    return o
end

-- Event time and arrival of each order. Sorted by arrival, times are out of order by at most `disorder` (late ones beside).
local function schedule(o, random)
    local slots = {}
    for i = 1, o.n do
        local time = o.start + math.floor((i - 1) * 1000 / o.rate)
        local slot = { time = time, arrival = time + random() * o.disorder, i = i }
        local draw = random()
        if draw < o.late then
            -- Only where the watermark has surely passed it, so that it is late and not merely out of order.
            slot.kind, slot.time = "late", math.max(o.start, time - orders.LATE_BY)
        elseif draw < o.late + o.bad then
            slot.kind = orders.bad_kinds[1 + math.floor(random() * #orders.bad_kinds)]
        elseif draw < o.late + o.bad + o.odd then
            slot.kind = orders.odd_kinds[1 + math.floor(random() * #orders.odd_kinds)]
        end
        slots[i] = slot
    end
    if o.disorder > 0 then
        table.sort(slots, function(a, b) return a.arrival < b.arrival or a.arrival == b.arrival and a.i < b.i end)
    end
    return slots
end

-- Iterates over records in the order of arrival.
function orders.each(options)
    local o = with_defaults(options)
    local random = randomness(o.seed)
    local lib = ananas.library()
    local slots = schedule(o, random)
    local generator = ffi.gc(lib.orders_open(o.seed), lib.orders_close)
    local key, value = ffi.new "struct orders_tests_buf", ffi.new "struct orders_tests_buf"
    local offsets, i = {}, 0
    return function()
        i = i + 1
        local slot = slots[i]
        if not slot then
            lib.buf_fini(ffi.cast("void *", key))
            lib.buf_fini(ffi.cast("void *", value))
            return nil
        end
        lib.orders_next(generator, slot.time, key, value)
        local payload = ffi.string(value.s, value.len)
        local change = spoil[slot.kind] or odd[slot.kind]
        if change then payload = change(payload, slot.i) end
        -- As a producer's partitioner does it: by key, so a shop stays in its partition.
        local key_text = ffi.string(key.s, key.len)
        local partition = (#key_text * 31 + key_text:byte(11) + key_text:byte(-3)) % o.partitions
        local offset = offsets[partition] or 0
        offsets[partition] = offset + 1
        return { topic = o.topic, partition = partition, offset = offset, ts = slot.time, key = key_text, payload = payload, kind = slot.kind }
    end
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function json_string(s)
    return '"' .. s:gsub('[%c"\\]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

-- Writes them as `kcat -C -J` prints records (with raw = true, payloads alone). Invalid UTF-8 goes in as it is: kcat does
-- the same.
function orders.write(path, options)
    local file = assert(io.open(path, "wb"))
    file:setvbuf("full", 1048576)
    local counts = { records = 0, late = 0, bad = {}, odd = {}, bytes = 0 }
    for r in orders.each(options) do
        local line
        if options.raw then
            line = r.payload .. "\n"
        else
            line = ('{"topic":"%s","partition":%d,"offset":%d,"tstype":"create","ts":%d,"broker":1,"key":%s,"payload":%s}\n'):format(
                r.topic, r.partition, r.offset, r.ts, json_string(r.key), json_string(r.payload))
        end
        file:write(line)
        counts.records, counts.bytes = counts.records + 1, counts.bytes + #line
        if r.kind == "late" then
            counts.late = counts.late + 1
        elseif r.kind then
            local by_kind = spoil[r.kind] and counts.bad or counts.odd
            by_kind[r.kind] = (by_kind[r.kind] or 0) + 1
        end
    end
    file:close()
    return counts
end

-- Sends them to a topic, which must exist with that many partitions, with their event times as record timestamps.
function orders.produce(bootstrap, options, properties)
    local client = require "tests.support.kafka_client"
    local producer = client.producer(bootstrap, properties)
    for r in orders.each(options) do
        producer:send { topic = r.topic, partition = r.partition, key = r.key, value = r.payload, timestamp = r.ts }
    end
    producer:flush(300)
    producer:close()
end

return orders
