-- Messages that nobody needs any more are freed, each once, and by the client that made them as long as it fetches.

local ffi = require "ffi"
require "tests.support.librdkafka"
local engine = require "tests.support.engine"
local lib = engine.use("spent_kafka", "demo_kafka")
local out_dir = os.getenv "ANANAS_OUT" or "build"
assert(os.execute(("cc -std=c11 -D_GNU_SOURCE -shared -fPIC -Iengine -o %s/spent_watch.so tests/support/spent_watch.c -L%s -lananas -lrdkafka -Wl,-rpath,'$ORIGIN'"):format(out_dir, out_dir)) == 0)
ffi.cdef [[
typedef struct watch_counts { int64_t by_reader, by_client, given; } watch_counts_t;
spent_t *watch_new(void);
void watch_give(spent_t *, int first, int n, size_t value, size_t key);
void watch_answer(spent_t *, int api, int err);
int watch_destroyed(int i);
int watch_unmade(const char *const *properties);
int watch_read(const char *at, const char *topic, int64_t n, watch_counts_t *out);
]]
local watch = ffi.load((out_dir:sub(1, 1) == "/" and "" or "./") .. out_dir .. "/spent_watch.so")

local SEED = tonumber(os.getenv "SEED") or os.time() % 100000
local MESSAGES, BYTES = engine.defines.SPENT_MESSAGES, 8 * 2 ^ 20 -- as SPENT_BYTES
local ORDERS = 4000 -- the broker in the process keeps that many
local FETCH, TIMED_OUT = 1, -185
local OTHERS = { -1, 0, 3, 18 } -- unknown, Produce, Metadata, ApiVersions

describe("spent messages", function()
    -- What waits is what was given since a fetch was last answered, as far as it is within the bounds; all else is gone.
    local function story(seed)
        math.randomseed(seed)
        local s, given, waiting, waiting_n, waiting_bytes = assert(watch.watch_new()), 0, {}, 0, 0
        local function settle()
            waiting, waiting_n, waiting_bytes = {}, 0, 0
        end
        for _ = 1, 120 do
            local dice, n = math.random(10), math.random(0, 1000)
            local large = math.random(6) == 1 and 20000 or 700
            local value, key = math.random(0, large), math.random(0, large / 10)
            if dice <= 8 then
                watch.watch_give(s, given, n, value, key)
                if waiting_n + n <= MESSAGES and waiting_bytes + n * (value + key) <= BYTES then
                    for i = given, given + n - 1 do waiting[i] = true end
                    waiting_n, waiting_bytes = waiting_n + n, waiting_bytes + n * (value + key)
                end
                given = given + n
            elseif dice == 9 then
                watch.watch_answer(s, OTHERS[math.random(#OTHERS)], 0)
            elseif math.random(3) == 1 then
                watch.watch_answer(s, FETCH, math.random(2) == 1 and TIMED_OUT or 0)
                settle()
            end
            for i = 0, given - 1 do
                if watch.watch_destroyed(i) ~= (waiting[i] and 0 or 1) then
                    error(("SEED=%d: message %d of %d was destroyed %d times"):format(seed, i, given, watch.watch_destroyed(i)))
                end
            end
        end
        local left = waiting_n
        watch.spent_clear(s)
        for i = 0, given - 1 do assert.equal(1, watch.watch_destroyed(i)) end
        watch.spent_free(s)
        return left
    end

    it("wait for the next answer to a fetch, no more than fit, and are freed once", function()
        local left = 0
        for seed = SEED, SEED + 5 do left = left + story(seed) end
        assert.is_true(left > 0)
    end)

    it("never wait above their bounds, in number and in bytes", function()
        for _, case in ipairs { { n = 1000, value = 0, fits = 16 }, { n = 10, value = 100000, fits = 8 }, { n = 1, value = BYTES + 1, fits = 0 } } do
            local s = watch.watch_new()
            local gone = 0
            for i = 0, 29 do
                watch.watch_give(s, i * case.n, case.n, case.value, 0)
                gone = gone + watch.watch_destroyed(i * case.n)
            end
            assert.equal(30 - case.fits, gone)
            watch.spent_clear(s)
            watch.spent_free(s)
        end
    end)

    it("of a client are freed by its own thread", function()
        local demo, e = ffi.new "demo_kafka_t *[1]", ffi.new "error_t"
        local orders = ffi.new("demo_kafka_options_t", { topic = "pizzas", partitions = 1, orders = ORDERS, seed = 7 })
        assert.equal(0, lib.demo_kafka_open(demo, orders, e), ffi.string(e.text))
        finally(function() lib.demo_kafka_close(demo[0]) end)
        assert.equal(0, lib.demo_kafka_start(demo[0], e), ffi.string(e.text))
        local counts = ffi.new "watch_counts_t"
        local rc = watch.watch_read(lib.demo_kafka_bootstrap(demo[0]), "pizzas", ORDERS, counts)
        assert.equal(0, rc)
        assert.same({ by_reader = 0, by_client = tonumber(counts.given) }, { by_reader = tonumber(counts.by_reader), by_client = tonumber(counts.by_client) })
        assert.is_true(counts.given >= ORDERS)
    end)

    -- What the client calls is then freed by librdkafka, or still ours to free.
    it("need no client: one that cannot be made breaks nothing", function()
        local function unmade(...) return watch.watch_unmade(ffi.new("const char *[10]", { ... })) end
        assert.equal(1, unmade("security.protocol", "ssl", "ssl.ca.location", "/dev/null"))
        assert.equal(0, unmade("session.timeout.ms", "10000", "max.poll.interval.ms", "1000"))
    end)
end)
