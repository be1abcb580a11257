local cjson = require "cjson"
local ffi = require "ffi"
local ananas = require "tests.support.ananas"
local client = require "tests.support.kafka_client"
local process = require "tests.support.process"

ffi.cdef [[
typedef struct demo_kafka demo_kafka_t;
struct demo_kafka_test_options { const char *topic; int32_t partitions; int64_t rate, orders; uint64_t seed; };
struct demo_kafka_test_error { int code; char text[1000]; };
int demo_kafka_open(demo_kafka_t **, const struct demo_kafka_test_options *, struct demo_kafka_test_error *);
void demo_kafka_close(demo_kafka_t *);
const char *demo_kafka_bootstrap(const demo_kafka_t *);
int demo_kafka_topic(demo_kafka_t *, const char *name, int32_t partitions, struct demo_kafka_test_error *);
int demo_kafka_start(demo_kafka_t *, struct demo_kafka_test_error *);
void demo_kafka_progress(demo_kafka_t *, int32_t partition, int64_t next_offset);
int64_t demo_kafka_sent(const demo_kafka_t *);
int64_t demo_kafka_refused(const demo_kafka_t *);
int demo_kafka_done(const demo_kafka_t *);
]]

describe("the broker inside the process", function()
    local lib = ananas.library()
    local e = ffi.new "struct demo_kafka_test_error"

    local function open(options)
        local demo = ffi.new "demo_kafka_t *[1]"
        local o = ffi.new("struct demo_kafka_test_options", { "pizzas", options.partitions or 3, options.rate or 0, options.orders or 0, 7 })
        assert.equal(0, lib.demo_kafka_open(demo, o, e), ffi.string(e.text))
        finally(function() lib.demo_kafka_close(demo[0]) end)
        return demo[0], ffi.string(lib.demo_kafka_bootstrap(demo[0]))
    end

    local function read_all(demo, at, n, seconds)
        local reader, records, next_offset = client.reader(at, { topic = "pizzas", isolation = "read_uncommitted" }), {}, {}
        local deadline = process.now() + seconds
        while #records < n and process.now() < deadline do
            local record = reader:poll(0.1)
            if record then
                assert.equal(next_offset[record.partition] or 0, record.offset)
                next_offset[record.partition] = record.offset + 1
                lib.demo_kafka_progress(demo, record.partition, record.offset + 1)
                records[#records + 1] = record
            end
        end
        reader:close()
        return records
    end

    it("carries every order to a reader, however far it could run ahead of it, and says when it is done", function()
        local demo, at = open { orders = 30000 }
        assert.equal(0, lib.demo_kafka_start(demo, e))
        local records = read_all(demo, at, 30000, 30)
        assert.equal(30000, #records)
        assert.is_true(process.eventually(5, function() return lib.demo_kafka_done(demo) == 1 end))
        assert.equal(30000, tonumber(lib.demo_kafka_sent(demo)))
        assert.equal(0, tonumber(lib.demo_kafka_refused(demo)))
        local ids, late, bad, now = {}, 0, 0, os.time() * 1000
        for _, record in ipairs(records) do
            local id = record.value:match '^{"id": (%d+), "shop"'
            assert.is_nil(ids[id])
            ids[id] = true
            assert.is_true(record.timestamp < now + 5000 and record.timestamp > now - 90000)
            assert.is_truthy(record.key:find '^{"shop": ".+"}$')
            local is_good = pcall(cjson.decode, record.value) -- one that is cut off may still end with a brace
            if not is_good then bad = bad + 1 end
            if is_good and now - record.timestamp > 60000 then late = late + 1 end
        end
        assert.equal(6, bad)
        assert.is_true(late >= 0)
    end)

    it("keeps to the rate", function()
        local demo, at = open { rate = 500, partitions = 2 }
        assert.equal(0, lib.demo_kafka_start(demo, e))
        local started = process.now()
        local records = read_all(demo, at, 1e9, 2)
        local seconds = process.now() - started     -- more than two where the machine is busy
        assert.is_true(#records > 200 and #records < 500 * seconds + 200, #records .. " in " .. seconds)
        assert.equal(0, lib.demo_kafka_done(demo))
    end)

    it("waits for a reader that stands still", function()
        local demo = open {}
        assert.equal(0, lib.demo_kafka_start(demo, e))
        local sent, before = 0, -1
        assert.is_true(process.eventually(60, function()
            sent, before = tonumber(lib.demo_kafka_sent(demo)), sent
            return sent > 1000 and sent == before
        end, 0.5))
        assert.is_true(sent <= 3 * 4500, sent .. " were sent")
    end)

    it("has more topics when asked, and refuses a number of partitions it cannot have", function()
        local demo, at = open { partitions = 1 }
        assert.equal(0, lib.demo_kafka_topic(demo, "out", 4, e))
        assert.equal(0, lib.demo_kafka_topic(demo, "out", 4, e))
        assert.same({ pizzas = 1, out = 4 }, client.topics(at))
        client.produce(at, { { topic = "out", partition = 3, value = "x" } })
        assert.equal("x", client.read(at, { topic = "out" })[1].value)
        local none = ffi.new "demo_kafka_t *[1]"
        assert.is_true(lib.demo_kafka_open(none, ffi.new("struct demo_kafka_test_options", { "pizzas", 0, 0, 0, 1 }), e) < 0)
        assert.is_truthy(ffi.string(e.text):find "partitions")
    end)
end)
