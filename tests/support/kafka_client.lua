-- Producing, reading and asking a broker from specs: librdkafka over FFI.
--
--   local client = require "tests.support.kafka_client"
--   client.create_topics(bootstrap, { { name = "pizzas", partitions = 3, config = { ["cleanup.policy"] = "compact" } } })
--   local p = client.producer(bootstrap, { ["linger.ms"] = 0 })
--   p:send { topic = "pizzas", key = "k", value = "v", partition = 0, timestamp = 1659426822541, headers = { { "a", "1" } } }
--   p:flush(); p:close()                       -- flush raises when a record was refused
--   local records = client.read(bootstrap, { topic = "pizzas", count = 3, timeout = 10 })
--   records[1]  -- { topic, partition, offset, timestamp, key, value, headers = { { name, value }, ... } }; nil key/value: null
--
-- Properties of librdkafka may be given wherever a table of them is taken (TLS, SASL, ...). Everything here raises a message
-- on failure, so that a spec stops where the fault is. Use one handle on one thread only.

local ffi = require "ffi"
local process = require "tests.support.process"
local rd = require "tests.support.librdkafka"

local PRODUCER, CONSUMER = 0, 1
local EVENT_DR, EVENT_ERROR = 1, 8
local V_TOPIC, V_PARTITION, V_VALUE, V_KEY, V_MSGFLAGS, V_TIMESTAMP, V_HEADER = 1, 3, 4, 5, 7, 8, 9
local MSG_F_COPY = 2
local OFFSET_BEGINNING = -2
local PARTITION_EOF, QUEUE_FULL, TOPIC_EXISTS = -191, -184, 36
local DESTROY_NO_CONSUMER_CLOSE = 8

local client = { err2str = function(code) return ffi.string(rd.rd_kafka_err2str(code)) end }

local function new_handle(kind, bootstrap, ...)
    local conf, errstr = rd.rd_kafka_conf_new(), ffi.new "char[512]"
    local function set(name, value)
        if rd.rd_kafka_conf_set(conf, name, tostring(value), errstr, 512) ~= 0 then error(ffi.string(errstr), 0) end
    end
    set("bootstrap.servers", bootstrap)
    set("log_level", 2)
    set("socket.nagle.disable", true)
    for _, properties in ipairs { ... } do
        for name, value in pairs(properties) do set(name, value) end
    end
    if kind == PRODUCER then rd.rd_kafka_conf_set_events(conf, EVENT_DR + EVENT_ERROR) end
    local handle = rd.rd_kafka_new(kind, conf, errstr, 512)
    if handle == nil then error(ffi.string(errstr), 0) end
    return handle
end

-- Raises the words of a rd_kafka_error_t; nothing when it is NULL.
local function check(what, e)
    if e == nil then return end
    local message = ffi.string(rd.rd_kafka_error_string(e))
    rd.rd_kafka_error_destroy(e)
    error(what .. ": " .. message, 0)
end

local function check_code(what, code)
    if code ~= 0 then error(what .. ": " .. client.err2str(code), 0) end
end

-- Handles for questions, one per broker and properties, kept for the life of the process.
local askers = {}
local function asker(bootstrap, properties)
    local words = { bootstrap }
    for name, value in pairs(properties or {}) do words[#words + 1] = name .. "=" .. tostring(value) end
    table.sort(words)
    local id = table.concat(words, "\n")
    askers[id] = askers[id] or new_handle(PRODUCER, bootstrap, { ["allow.auto.create.topics"] = false }, properties or {})
    return askers[id]
end

client.asker = asker   -- for kafka_admin.lua

-- { topic name = number of partitions }
function client.topics(bootstrap, properties)
    local metadata = ffi.new "const struct rd_kafka_metadata *[1]"
    check_code("metadata", rd.rd_kafka_metadata(asker(bootstrap, properties), 1, nil, metadata, 10000))
    local topics = {}
    for i = 0, metadata[0].topic_cnt - 1 do
        local topic = metadata[0].topics[i]
        topics[ffi.string(topic.topic)] = topic.partition_cnt
    end
    rd.rd_kafka_metadata_destroy(metadata[0])
    return topics
end

-- Whether it serves requests now; used while it starts.
function client.answers(bootstrap, properties)
    local handle = new_handle(PRODUCER, bootstrap, properties or {})
    local metadata = ffi.new "const struct rd_kafka_metadata *[1]"
    local answered = rd.rd_kafka_metadata(handle, 1, nil, metadata, 2000) == 0
    local brokers = answered and metadata[0].broker_cnt or 0
    if answered then rd.rd_kafka_metadata_destroy(metadata[0]) end
    rd.rd_kafka_destroy(handle)
    return brokers > 0
end

-- Runs one administrative request and gives { topic = error code } of its answer.
local function administer(bootstrap, properties, what, send, result_of, topics_of)
    local handle = asker(bootstrap, properties)
    local queue = rd.rd_kafka_queue_new(handle)
    send(handle, queue)
    local event = rd.rd_kafka_queue_poll(queue, 30000)
    if event == nil then error(what .. ": no answer within 30 s", 0) end
    local failed = rd.rd_kafka_event_error(event)
    if failed ~= 0 then error(what .. ": " .. ffi.string(rd.rd_kafka_event_error_string(event)), 0) end
    local n, codes = ffi.new "size_t[1]", {}
    local results = topics_of(result_of(event), n)
    for i = 0, tonumber(n[0]) - 1 do
        codes[ffi.string(rd.rd_kafka_topic_result_name(results[i]))] = rd.rd_kafka_topic_result_error(results[i])
    end
    rd.rd_kafka_event_destroy(event)
    rd.rd_kafka_queue_destroy(queue)
    return codes
end

-- topics: names, or { name, partitions (1), replication (1), config }. One that exists already is left as it is.
function client.create_topics(bootstrap, topics, properties)
    local list, errstr = ffi.new("rd_kafka_NewTopic_t *[?]", #topics), ffi.new "char[512]"
    for i, topic in ipairs(topics) do
        if type(topic) == "string" then topic = { name = topic } end
        local new = rd.rd_kafka_NewTopic_new(topic.name, topic.partitions or 1, topic.replication or 1, errstr, 512)
        if new == nil then error(ffi.string(errstr), 0) end
        for name, value in pairs(topic.config or {}) do rd.rd_kafka_NewTopic_set_config(new, name, tostring(value)) end
        list[i - 1] = new
    end
    local codes = administer(bootstrap, properties, "create topics", function(handle, queue)
        rd.rd_kafka_CreateTopics(handle, list, #topics, nil, queue)
    end, rd.rd_kafka_event_CreateTopics_result, rd.rd_kafka_CreateTopics_result_topics)
    for i = 0, #topics - 1 do rd.rd_kafka_NewTopic_destroy(list[i]) end
    for name, code in pairs(codes) do
        if code ~= 0 and code ~= TOPIC_EXISTS then error(("create topic %s: %s"):format(name, client.err2str(code)), 0) end
    end
    -- The broker answers before every listener knows the partitions' leader.
    for _, topic in ipairs(topics) do client.partitions(bootstrap, type(topic) == "string" and topic or topic.name, properties) end
end

function client.delete_topics(bootstrap, names, properties)
    local list = ffi.new("rd_kafka_DeleteTopic_t *[?]", #names)
    for i, name in ipairs(names) do list[i - 1] = rd.rd_kafka_DeleteTopic_new(name) end
    local codes = administer(bootstrap, properties, "delete topics", function(handle, queue)
        rd.rd_kafka_DeleteTopics(handle, list, #names, nil, queue)
    end, rd.rd_kafka_event_DeleteTopics_result, rd.rd_kafka_DeleteTopics_result_topics)
    for i = 0, #names - 1 do rd.rd_kafka_DeleteTopic_destroy(list[i]) end
    for name, code in pairs(codes) do check_code("delete topic " .. name, code) end
end

-- Raises the number of partitions of a topic to `total`.
function client.grow_topic(bootstrap, topic, total, properties)
    local list, errstr = ffi.new "rd_kafka_NewPartitions_t *[1]", ffi.new "char[512]"
    list[0] = rd.rd_kafka_NewPartitions_new(topic, total, errstr, 512)
    local codes = administer(bootstrap, properties, "create partitions", function(handle, queue)
        rd.rd_kafka_CreatePartitions(handle, list, 1, nil, queue)
    end, rd.rd_kafka_event_CreatePartitions_result, rd.rd_kafka_CreatePartitions_result_topics)
    rd.rd_kafka_NewPartitions_destroy(list[0])
    check_code("grow topic " .. topic, codes[topic])
end

-- The number of partitions; waits for the topic, at most `seconds` (default 10).
function client.partitions(bootstrap, topic, properties, seconds)
    local n = process.eventually(seconds or 10, function() return client.topics(bootstrap, properties)[topic] end)
    if not n or n == 0 then error("no such topic: " .. topic, 0) end
    return n
end

-- A client that has only just heard of the topic, or whose broker was away, may not know the partition yet.
local UNKNOWN_PARTITION = -190
local function ask_ends(handle, topic, partition, low, high)
    local code
    process.eventually(10, function()
        code = rd.rd_kafka_query_watermark_offsets(handle, topic, partition, low, high, 10000)
        return code ~= UNKNOWN_PARTITION
    end, 0.1)
    check_code("ends of " .. topic, code)
end

-- { [partition] = { low, high } }; high counts control records too.
function client.offsets(bootstrap, topic, properties)
    local low, high, all = ffi.new "int64_t[1]", ffi.new "int64_t[1]", {}
    local handle = asker(bootstrap, properties)
    for partition = 0, client.partitions(bootstrap, topic, properties) - 1 do
        ask_ends(handle, topic, partition, low, high)
        all[partition] = { tonumber(low[0]), tonumber(high[0]) }
    end
    return all
end

-- Partitions in which a transaction is open: what readers of committed records may see ends before the end.
function client.open_transactions(bootstrap, topic)
    local ends, open = {}, {}
    for i, isolation in ipairs { "read_committed", "read_uncommitted" } do
        local low, high = ffi.new "int64_t[1]", ffi.new "int64_t[1]"
        local handle = new_handle(CONSUMER, bootstrap, { ["isolation.level"] = isolation, ["group.id"] = "nobody" }, {})
        ends[i] = {}
        for partition = 0, client.partitions(bootstrap, topic) - 1 do
            ask_ends(handle, topic, partition, low, high)
            ends[i][partition] = tonumber(high[0])
        end
        rd.rd_kafka_destroy_flags(handle, DESTROY_NO_CONSUMER_CLOSE)
    end
    for partition, stable in pairs(ends[1]) do
        if stable < ends[2][partition] then open[#open + 1] = partition end
    end
    return open
end

local function partition_list(offsets)
    local list = rd.rd_kafka_topic_partition_list_new(8)
    for topic, partitions in pairs(offsets) do
        for partition, offset in pairs(partitions) do
            rd.rd_kafka_topic_partition_list_add(list, topic, partition).offset = offset
        end
    end
    return list
end

local COORDINATOR_AWAY = { [14] = true, [15] = true, [16] = true }   -- loading, not known, no longer: it passes

-- What a group has committed: { [partition] = offset }; a partition without one is absent.
function client.committed(bootstrap, group, topic, properties)
    -- Committed ones only ("stable") would make it wait for transactions that are open.
    local handle = new_handle(CONSUMER, bootstrap, { ["group.id"] = group, ["isolation.level"] = "read_uncommitted" }, properties or {})
    local wanted = {}
    for partition = 0, client.partitions(bootstrap, topic, properties) - 1 do wanted[partition] = -1001 end
    local list = partition_list { [topic] = wanted }
    local code
    process.eventually(10, function()
        code = rd.rd_kafka_committed(handle, list, 10000)
        return not COORDINATOR_AWAY[code]
    end, 0.2)
    local offsets = {}
    for i = 0, list.cnt - 1 do
        local offset = tonumber(list.elems[i].offset)
        if offset >= 0 then offsets[list.elems[i].partition] = offset end
    end
    rd.rd_kafka_topic_partition_list_destroy(list)
    rd.rd_kafka_destroy_flags(handle, DESTROY_NO_CONSUMER_CLOSE)
    check_code("committed offsets", code)
    return offsets
end

-- Commits offsets for a group without members, as an operator's tool does: { [topic] = { [partition] = offset } }.
function client.commit(bootstrap, group, offsets, properties)
    local handle = new_handle(CONSUMER, bootstrap, { ["group.id"] = group }, properties or {})
    local list = partition_list(offsets)
    local code = rd.rd_kafka_commit(handle, list, 0)
    rd.rd_kafka_topic_partition_list_destroy(list)
    rd.rd_kafka_destroy_flags(handle, DESTROY_NO_CONSUMER_CLOSE)
    check_code("commit", code)
end

-- Producer ---------------------------------------------------------------------------------------------------------------

local Producer = {}
Producer.__index = Producer

function client.producer(bootstrap, properties)
    local self = { refused = {}, sent = 0, units = ffi.new "rd_kafka_vu_t[64]" }
    self.handle = new_handle(PRODUCER, bootstrap, { ["linger.ms"] = 5, ["queue.buffering.max.kbytes"] = 262144 }, properties or {})
    self.queue = rd.rd_kafka_queue_get_main(self.handle)
    return setmetatable(self, Producer)
end

-- Takes the delivery reports that are there, waiting at most that long for the first.
function Producer:serve(timeout_ms)
    local event = rd.rd_kafka_queue_poll(self.queue, timeout_ms)
    while event ~= nil do
        if rd.rd_kafka_event_type(event) == EVENT_DR then
            local message = rd.rd_kafka_event_message_next(event)
            while message ~= nil do
                if message.err ~= 0 then self.refused[#self.refused + 1] = client.err2str(message.err) end
                message = rd.rd_kafka_event_message_next(event)
            end
        end
        rd.rd_kafka_event_destroy(event)
        event = rd.rd_kafka_queue_poll(self.queue, 0)
    end
end

-- record: topic, value (nil: tombstone), key, partition (nil: by key), timestamp (ms; nil: now), headers { { name, value } }.
function Producer:send(record)
    local units, n = self.units, 0
    local function unit(vtype)
        local u = units[n]
        u.vtype = vtype
        n = n + 1
        return u.u
    end
    unit(V_TOPIC).cstr = record.topic
    unit(V_PARTITION).i32 = record.partition or -1
    unit(V_MSGFLAGS).i = MSG_F_COPY
    if record.timestamp then unit(V_TIMESTAMP).i64 = record.timestamp end
    if record.value then
        local mem = unit(V_VALUE).mem
        mem.ptr, mem.size = ffi.cast("const char *", record.value), #record.value
    end
    if record.key then
        local mem = unit(V_KEY).mem
        mem.ptr, mem.size = ffi.cast("const char *", record.key), #record.key
    end
    for _, pair in ipairs(record.headers or {}) do
        local header = unit(V_HEADER).header
        header.name, header.val, header.size = pair[1], ffi.cast("const char *", pair[2] or ""), pair[2] and #pair[2] or 0
        if not pair[2] then header.val = nil end
    end
    local e = rd.rd_kafka_produceva(self.handle, units, n)
    while e ~= nil and rd.rd_kafka_error_code(e) == QUEUE_FULL do
        rd.rd_kafka_error_destroy(e)
        self:serve(50)
        e = rd.rd_kafka_produceva(self.handle, units, n)
    end
    check("produce to " .. record.topic, e)
    self.sent = self.sent + 1
    if self.sent % 1000 == 0 then self:serve(0) end
end

-- Until the broker has answered for everything sent. Raises when it refused a record, or after `seconds` (default 30).
function Producer:flush(seconds)
    local deadline = process.now() + (seconds or 30)
    while rd.rd_kafka_outq_len(self.handle) > 0 do
        if process.now() > deadline then error("records are still not delivered", 0) end
        self:serve(20)
    end
    if #self.refused > 0 then
        local first = self.refused[1]
        self.refused = {}
        error("a record was refused: " .. first, 0)
    end
end

function Producer:close()
    rd.rd_kafka_queue_destroy(self.queue)
    rd.rd_kafka_destroy(self.handle)
    self.handle, self.queue = nil, nil
end

-- Transactions, for a producer with transactional.id.
function Producer:init_transactions() check("init transactions", rd.rd_kafka_init_transactions(self.handle, 30000)) end
function Producer:begin() check("begin", rd.rd_kafka_begin_transaction(self.handle)) end
function Producer:commit()
    self:flush()
    check("commit", rd.rd_kafka_commit_transaction(self.handle, -1))
end
function Producer:abort() check("abort", rd.rd_kafka_abort_transaction(self.handle, -1)) end
-- { [topic] = { [partition] = offset } }, for a group without members.
function Producer:send_offsets(group, offsets)
    local list, metadata = partition_list(offsets), rd.rd_kafka_consumer_group_metadata_new(group)
    local e = rd.rd_kafka_send_offsets_to_transaction(self.handle, list, metadata, 30000)
    rd.rd_kafka_consumer_group_metadata_destroy(metadata)
    rd.rd_kafka_topic_partition_list_destroy(list)
    check("send offsets", e)
end

-- Sends a list of records and waits for them.
function client.produce(bootstrap, records, properties)
    local producer = client.producer(bootstrap, properties)
    for _, record in ipairs(records) do producer:send(record) end
    producer:flush(120)
    producer:close()
end

-- Reading ----------------------------------------------------------------------------------------------------------------

local function headers_of(message)
    local headers, list = ffi.new "rd_kafka_headers_t *[1]", {}
    if rd.rd_kafka_message_headers(message, headers) ~= 0 then return list end
    local name, value, size = ffi.new "const char *[1]", ffi.new "const void *[1]", ffi.new "size_t[1]"
    local i = 0
    while rd.rd_kafka_header_get_all(headers[0], i, name, value, size) == 0 do
        i = i + 1
        list[i] = { ffi.string(name[0]), value[0] ~= nil and ffi.string(value[0], size[0]) or nil }
    end
    return list
end

local function record_of(message)
    return {
        topic = ffi.string(rd.rd_kafka_topic_name(message.rkt)),
        partition = message.partition,
        offset = tonumber(message.offset),
        timestamp = tonumber(rd.rd_kafka_message_timestamp(message, nil)),
        key = message.key ~= nil and ffi.string(message.key, message.key_len) or nil,
        value = message.payload ~= nil and ffi.string(message.payload, message.len) or nil,
        headers = headers_of(message),
    }
end

local Reader = {}
Reader.__index = Reader

-- A reader that stays: client.reader(bootstrap, { topics = {...}, isolation = "read_committed", from = "end" or nil }).
-- reader:poll(seconds) gives the next record or nil; reader.at_end is true while every partition is at its end.
-- It belongs to no group: looking for a coordinator would cost half a second each time.
function client.reader(bootstrap, options)
    local self = setmetatable({ bootstrap = bootstrap, ended = {}, open = 0, at_end = false, topics = {} }, Reader)
    self.handle = new_handle(CONSUMER, bootstrap, {
        ["enable.partition.eof"] = true,
        ["auto.offset.reset"] = "earliest",
        ["isolation.level"] = options.isolation or "read_committed",
        ["fetch.wait.max.ms"] = 20,
        ["fetch.error.backoff.ms"] = 20,
    }, options.properties or {})
    self.queue = rd.rd_kafka_queue_new(self.handle)
    for _, name in ipairs(options.topics or { options.topic }) do
        local topic = { name = name, handle = rd.rd_kafka_topic_new(self.handle, name, nil), partitions = {} }
        self.topics[#self.topics + 1] = topic
        for partition, bounds in pairs(client.offsets(bootstrap, name, options.properties)) do
            local offset = options.from == "end" and bounds[2] or OFFSET_BEGINNING
            if rd.rd_kafka_consume_start_queue(topic.handle, partition, offset, self.queue) ~= 0 then
                check_code("read " .. name, rd.rd_kafka_last_error())
            end
            topic.partitions[#topic.partitions + 1] = partition
            self.open = self.open + 1
        end
    end
    return self
end

function Reader:mark(message, ended)
    local id = ffi.string(rd.rd_kafka_topic_name(message.rkt)) .. "/" .. message.partition
    if self.ended[id] ~= ended then
        self.ended[id] = ended
        self.open = self.open + (ended and -1 or 1)
        self.at_end = self.open == 0
    end
end

-- The broker thread of librdkafka may sleep up to a second before it sees what it should fetch; any request wakes it.
function Reader:wake()
    local low, high = ffi.new "int64_t[1]", ffi.new "int64_t[1]"
    rd.rd_kafka_query_watermark_offsets(self.handle, self.topics[1].name, 0, low, high, 1000)
end

-- The next record, or nil when none came within `seconds` or every partition reached its end meanwhile.
function Reader:poll(seconds)
    local deadline = process.now() + seconds
    repeat
        local left = math.max(0, math.ceil((deadline - process.now()) * 1000))
        local message = rd.rd_kafka_consume_queue(self.queue, math.min(left, 20))
        if message == nil then
            self:wake()
        else
            local record
            if message.err == 0 then
                self:mark(message, nil)
                record = record_of(message)
            elseif message.err == PARTITION_EOF then
                self:mark(message, true)
            else
                self.last_error = client.err2str(message.err)
            end
            rd.rd_kafka_message_destroy(message)
            if record then return record end
            if self.at_end then return nil end
        end
    until process.now() >= deadline
end

function Reader:close()
    for _, topic in ipairs(self.topics) do
        for _, partition in ipairs(topic.partitions) do rd.rd_kafka_consume_stop(topic.handle, partition) end
        rd.rd_kafka_topic_destroy(topic.handle)
    end
    rd.rd_kafka_queue_destroy(self.queue)
    rd.rd_kafka_destroy(self.handle)
    self.handle = nil
end

-- All records of topic(s), in the order of topic, partition, offset. options: topic or topics, isolation ("read_committed"),
-- timeout (10 s), properties; with `count` it waits for at least that many instead of stopping at the end.
function client.read(bootstrap, options)
    local reader, records = client.reader(bootstrap, options), {}
    local deadline = process.now() + (options.timeout or 10)
    while process.now() < deadline do
        local record = reader:poll(math.max(0.001, deadline - process.now()))
        if record then records[#records + 1] = record end
        if not record and reader.at_end then
            if not options.count or #records >= options.count then break end
            process.sleep(0.01)
        end
    end
    local complete, trouble = reader.at_end, reader.last_error
    reader:close()
    if not complete and not options.count then error("did not reach the end: " .. (trouble or "time is up"), 0) end
    table.sort(records, function(a, b)
        if a.topic ~= b.topic then return a.topic < b.topic end
        if a.partition ~= b.partition then return a.partition < b.partition end
        return a.offset < b.offset
    end)
    return records
end

return client
