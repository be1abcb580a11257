local ffi = require "ffi"
local rows = require "tests.support.rows"
local engine = require "tests.support.engine"
local process = require "tests.support.process"
local lib = rows.lib
engine.use "script_arena"

local RUNAWAY = -7

local function fn_of(s, text, memo) return assert(rows.fn(s, text, memo)) end

describe("script", function()
    local s
    before_each(function() s = assert(rows.open { time_ms = 50 }) end)
    after_each(function() rows.close(s) end)

    it("keeps the rows whose answer is neither nil nor false", function()
        local fn = fn_of(s, "local answers = { true, 1, 0, '', 'x' } return function(r) return answers[r.n] end")
        local batch = rows.batch { { n = 1 }, { n = 2 }, { n = 3 }, { n = 4 }, { n = 5 }, { n = 6 }, {} }
        assert.are.same({ true, true, true, true, true, false, false }, (rows.where(s, fn, batch)))
    end)

    it("asks nothing of no rows", function()
        local fn = fn_of(s, "return function(r) error 'asked' end")
        local none = rows.batch({}, { columns = { "n" } })
        assert.are.same({}, (rows.where(s, fn, none)))
        assert.are.same({}, (rows.map(s, fn, none)))
        assert.are.same({}, (rows.table(s, fn, none)))
    end)

    it("costs one row where one row raises, and says where", function()
        local fn = fn_of(s, "return function(r)\n return r.n + 1 > 2\nend")
        local batch = rows.batch { { n = 1 }, { n = 2 }, { n = "x" }, { n = 4 }, {} }
        local pass, count, first, row = rows.where(s, fn, batch)
        assert.are.same({ false, true, false, true, false }, pass)
        assert.are.equal(2, count)
        assert.are.equal(2, row)
        assert.is_truthy(first:find("test.lua:2:", 1, true))
    end)

    it("gives null for a value that raises", function()
        local fn = fn_of(s, "return function(r) return r.n * 2 end")
        local texts, count = rows.map(s, fn, rows.batch { { n = 1 }, {}, { n = 2.25 } })
        assert.are.same({ "2", "null", "4.5" }, texts)
        assert.are.equal(1, count)
    end)

    it("tells what kind of value was raised, and asks it nothing", function()
        for body, expected in pairs {
            ["error(nil)"] = "the error is a nil value",
            ["error {}"] = "the error is a table value",
            ["error(true)"] = "the error is a boolean value",
            ["error(12, 0)"] = "12",
            ["error('plain', 0)"] = "plain",
        } do
            local _, count, first = rows.where(s, fn_of(s, "return function(r) " .. body .. " end"), rows.batch { { n = 1 } })
            assert.are.equal(1, count)
            assert.are.equal(expected, first)
        end
    end)

    it("writes every kind of value", function()
        local fn = fn_of(s, [[
            local values = { 1, -0.5, 2 ^ 53, 2 ^ 60, 1e300, 0 / 0, 1 / 0, "x", "a\"\n🍍", true, false, { 1, 2 }, { b = 1, a = { c = {} } },
                timestamp(1659426822541), {} }
            return function(r) return values[r.n] end]])
        local list = {}
        for i = 1, 16 do list[i] = { n = i } end
        local texts, count, why = rows.map(s, fn, rows.batch(list))
        assert.are.equal(0, count, why)
        assert.are.same({ "1", "-0.5", "9007199254740992", "1152921504606847000", "1e+300", "null", "null", '"x"', '"a\\"\\n🍍"', "true",
            "false", "[1,2]", '{"a":{"c":{}},"b":1}', '"2022-08-02T07:53:42.541Z"', "{}", "null" }, texts)
    end)

    it("writes tables with members sorted, nil left out, timestamps marked, and in the format asked for deeper down", function()
        local fn = fn_of(s, "return function(r) return { z = r.n, a = r.none, t = timestamp(r._time), [1] = { timestamp(r._time) } } end")
        local batch = rows.batch({ { n = 1 } }, { times = { 1659426822541 } })
        assert.are.same({ '{"1":["2022-08-02T07:53:42.541Z"],"t":1659426822541E+000,"z":1}' }, (rows.table(s, fn, batch, 0)))
        assert.are.same({ '{"1":["2022-08-02 07:53:42.541"],"t":1659426822541E+000,"z":1}' }, (rows.table(s, fn, batch, 1)))
        assert.are.same({ '{"1":[1659426822541],"t":1659426822541E+000,"z":1}' }, (rows.table(s, fn, batch, 2)))
    end)

    it("wants a table where a table is asked for", function()
        local fn = fn_of(s, "local kinds = { 1, 'x', true } return function(r) return kinds[r.n] end")
        local texts, count, first = rows.table(s, fn, rows.batch { { n = 1 }, { n = 2 }, { n = 4 } })
        assert.are.same({ "null", "null", "null" }, texts)
        assert.are.equal(3, count)
        assert.is_truthy(first:find "number")
    end)

    it("folds in order, from a fresh init each time, over a row that raises", function()
        local fn = fn_of(s, "return { init = {}, step = function(a, r) a[#a + 1] = r.n + 0 return a end }")
        local batch = rows.batch { { n = 3 }, {}, { n = 1 } }
        for _ = 1, 3 do
            local text, count = rows.fold(s, fn, batch)
            assert.are.equal("[3,1]", text)
            assert.are.equal(1, count)
        end
        assert.are.equal("{}", (rows.fold(s, fn, rows.batch({}, { columns = { "n" } }))))
    end)

    it("takes back what a fold's step did to its table before it raised", function()
        local fn = fn_of(s, [[return { init = { n = 0, seen = {} }, step = function(acc, r)
            acc.n = acc.n + 1
            acc.seen[#acc.seen + 1] = r.n
            if r.n % 3 == 0 then error "no" end
            return acc
        end }]])
        local list = {}
        for i = 1, 10 do list[i] = { n = i } end
        local text, count = rows.fold(s, fn, rows.batch(list))
        assert.are.equal('{"n":7,"seen":[1,2,4,5,7,8,10]}', text)
        assert.are.equal(3, count)
        text, count = rows.fold(s, fn, rows.batch { { n = 3 }, { n = 6 }, { n = 9 }, { n = 1 } })
        assert.are.equal('{"n":1,"seen":[1]}', text)
        assert.are.equal(3, count)
        -- What is folded becomes a table on the way.
        fn = fn_of(s, [[return { init = 0, step = function(acc, r)
            if r.n == 0 then error "no" end
            if acc == 0 then return { r.n } end
            acc[#acc + 1] = r.n
            if r.n < 0 then error "no" end
            return acc
        end }]])
        assert.are.equal("[1,2,3]", (rows.fold(s, fn, rows.batch { { n = 0 }, { n = 1 }, { n = -1 }, { n = 2 }, { n = -5 }, { n = 0 }, { n = 3 } })))
    end)

    it("keeps apart the rows that a fold holds on to", function()
        local fn = fn_of(s, [[return { init = false, step = function(best, r)
            if not best or r.n > best.n then return r end
            return best
        end }]])
        assert.are.equal('{"n":9,"x":"b"}', (rows.fold(s, fn, rows.batch { { n = 1, x = "a" }, { n = 9, x = "b" }, { n = 3, x = "c" } })))
    end)

    describe("with a memo", function()
        it("answers as without, asking once per distinct string", function()
            local intern = rows.intern()
            local list = {}
            for i = 1, 500 do list[i] = { name = i % 11 ~= 0 and "n" .. i % 7 or nil, other = i } end
            list[100].name, list[200].name = 5, true
            local batch = rows.batch(list, { intern = intern })
            local text = "local bad = set { 'n1', 'n3', 5 } return function(r) return bad[r.name] end"
            assert.are.same((rows.where(s, fn_of(s, text), batch)), (rows.where(s, fn_of(s, text, "name"), batch)))
        end)

        it("counts every row of a string that raises, and asks again in the next batch", function()
            local intern = rows.intern()
            local batch = rows.batch({ { name = "a" }, { name = "b" }, { name = "a" }, { name = "a" }, {} }, { intern = intern })
            local fn = fn_of(s, "return function(r) if r.name == 'a' then error 'no' end return r.name end", "name")
            for _ = 1, 3 do
                local pass, count, first, row = rows.where(s, fn, batch)
                assert.are.same({ false, true, false, false, false }, pass)
                assert.are.equal(3, count)
                assert.are.equal(0, row)
                assert.is_truthy(first:find "no")
            end
        end)

        it("never takes a string of another generation for the one it knew", function()
            local fn = fn_of(s, "return function(r) return r.name == 'old' end", "name")
            local plain = fn_of(s, "return function(r) return r.name end")
            local first = rows.intern()
            lib.script_symbols(s, 1)
            local batch = rows.batch({ { name = "old" }, { name = "x" } }, { intern = first })
            assert.are.same({ true, false }, (rows.where(s, fn, batch)))
            assert.are.same({ '"old"', '"x"' }, (rows.map(s, plain, batch)))
            lib.script_symbols(s, 2)
            local second = rows.intern()
            batch = rows.batch({ { name = "new" }, { name = "old" } }, { intern = second })
            assert.are.same({ false, true }, (rows.where(s, fn, batch)))
            assert.are.same({ '"new"', '"old"' }, (rows.map(s, plain, batch)))
        end)

        it("is not fooled by a number reused without being told", function()
            local fn = fn_of(s, "return function(r) return r.name == 'a1' end", "name")
            for round = 1, 20 do
                local intern = rows.intern()
                local batch = rows.batch({ { name = "a" .. round }, { name = "a1" } }, { intern = intern })
                assert.are.same({ round == 1, true }, (rows.where(s, fn, batch)))
            end
        end)
    end)

    describe("budgets", function()
        it("are of one evaluation, not of a batch", function()
            local fn = fn_of(s, "return function(r) local x = 0 for i = 1, 2e6 do x = (x + i % 7) % 1000 end return x >= 0 end")
            local list = {}
            for i = 1, 64 do list[i] = { n = i } end   -- some 0.3 s in all
            local before = os.clock()
            local pass, why = rows.where(s, fn, rows.batch(list))
            assert.is_truthy(pass, why)
            assert.is_true(os.clock() - before > 0.05, "too quick to show anything")
        end)

        it("count CPU time: a process that is stopped for a while quarantines nobody", function()
            -- Some 10 ms of CPU each, through a second in which the process is stopped, with a budget of 50 ms.
            local list = {}
            for i = 1, 20 do list[i] = { n = i } end
            local fn = fn_of(s, "return function(r) local x = 0 for i = 1, 2e6 do x = (x + i % 7) % 1000 end return x >= 0 end")
            local pid = ffi.C.getpid()
            local before = process.now()
            local stopper = process.spawn { "sh", "-c", ("sleep 0.1; kill -STOP %d; sleep 1; kill -CONT %d"):format(pid, pid) }
            local pass, why
            repeat
                pass, why = rows.where(s, fn, rows.batch(list))
            until not pass or process.now() - before > 1.5
            stopper:wait(5)
            assert.is_truthy(pass, why)
            assert.is_true(process.now() - before > 1.1, "it was never stopped")
        end)

        it("stop within fifty milliseconds past their end, and say which one it was", function()
            local fn = fn_of(s, "return function(r) while true do end end")
            local before = os.clock()
            local pass, why, rc = rows.where(s, fn, rows.batch { { n = 1 } })
            assert.is_nil(pass)
            assert.are.equal(RUNAWAY, rc)
            assert.is_true(os.clock() - before < 0.1)
            assert.is_truthy(why:find "ms of CPU time")
            assert.is_true(tonumber(lib.script_last_cpu_ns(s)) >= 50e6)
        end)

        it("hold also after a long silence, in which the watchdog sleeps", function()
            local function wakeups()
                local total = 0
                for tid in io.popen("ls /proc/" .. ffi.C.getpid() .. "/task"):read("*a"):gmatch "%d+" do
                    local file = tonumber(tid) ~= ffi.C.getpid() and io.open("/proc/self/task/" .. tid .. "/status")
                    if file then
                        total = total + tonumber(file:read("*a"):match "voluntary_ctxt_switches:%s*(%d+)")
                        file:close()
                    end
                end
                return total
            end
            process.sleep(1.6)
            local before = wakeups()
            process.sleep(0.5)
            assert.is_true(wakeups() - before <= 3, "the watchdog does not sleep")
            local fn = fn_of(s, "return function(r) while true do end end")
            local started = os.clock()
            local pass, _, rc = rows.where(s, fn, rows.batch { { n = 1 } })
            assert.is_nil(pass)
            assert.are.equal(RUNAWAY, rc)
            assert.is_true(os.clock() - started < 0.1)
        end)

        it("of memory end the script, also inside pcall", function()
            local small = assert(rows.open { time_ms = 2000, memory = 8 })
            local fn = fn_of(small, "return function(r) local t = {} while true do pcall(function() t[#t + 1] = {} end) end end")
            local pass, why, rc = rows.where(small, fn, rows.batch { { n = 1 } })
            assert.is_nil(pass)
            assert.are.equal(RUNAWAY, rc)
            assert.is_truthy(why:find "memory of 8 MB")
            rows.close(small)
        end)

        it("leave a dead script, which answers with the same and closes", function()
            local fn = fn_of(s, "return function(r) while true do end end")
            local good = fn_of(s, "return function(r) return true end")
            local batch = rows.batch { { n = 1 } }
            assert.is_nil((rows.where(s, fn, batch)))
            local pass, why, rc = rows.where(s, good, batch)
            assert.is_nil(pass)
            assert.are.equal(RUNAWAY, rc)
            assert.is_truthy(why:find "CPU time")
        end)

        it("let a long garbage collection within memory pass", function()
            local fn = fn_of(s, "return function(r) local t for i = 1, 5000 do t = { i, { i } } end return #t == 2 end")
            for _ = 1, 20 do
                local pass, why = rows.where(s, fn, rows.batch { { n = 1 }, { n = 2 } })
                assert.are.same({ true, true }, pass, why)
            end
            assert.is_true(tonumber(lib.script_memory(s)) < 64 * 2 ^ 20)
        end)
    end)

    it("says what is wrong with a text that does not load", function()
        local _, why = rows.fn(s, "return function(r) return end end")
        assert.is_truthy(why:find("test.lua:1:", 1, true))
        _, why = rows.fn(s, "error 'at the top'")
        assert.is_truthy(why:find "at the top")
    end)

    it("knows no driver that does not exist", function()
        assert.are.equal(-2, lib.script_entry(s, "row.nothing"))
        assert.is_true(lib.script_entry(s, "row.where") >= 0)
    end)
end)

describe("script without compiled code", function()
    local texts = {
        where = "local bad = set { 'a' } return function(r) return bad[r.name] or r.n + 1 > 3 end",
        map = [[local values = { 1.5, "x", true, { 1 }, timestamp(5), 2 ^ 53 } return function(r) return values[r.n] or r.list[1] .. r.text end]],
        table = "return function(r) if r.n == 2 then return 5 end return { n = r.n, name = r.name, t = timestamp(r._time), list = r.list } end",
    }
    it("answers the same", function()
        local list = {}
        for i = 1, 40 do
            list[i] = { n = i % 9 ~= 8 and i % 9 or nil, name = i % 3 == 0 and "a" or "b" .. i, list = rows.json '[1,{"k":"\\u00e9"},null]',
                text = rows.json '"tab\\there"' }
        end
        local compiled, plain = assert(rows.open {}), assert(rows.open { jit = false })
        for kind, text in pairs(texts) do
            local one = { rows[kind](compiled, fn_of(compiled, text), rows.batch(list, { intern = rows.intern() })) }
            local two = { rows[kind](plain, fn_of(plain, text), rows.batch(list, { intern = rows.intern() })) }
            assert.are.same(one, two)
            local memo = { rows[kind](plain, fn_of(plain, text), rows.batch(list)) }
            assert.are.same(one, memo)
        end
        rows.close(compiled)
        rows.close(plain)
    end)

    it("is chosen, with one line in the log, where the system forbids writing machine code", function()
        -- The library of a sanitizer's build wants its runtime first in this process, too.
        local run = process.run { "luajit", "-joff", "tests/engine/script_no_code.lua", timeout = 20,
            env = { LD_PRELOAD = os.getenv "ANANAS_PRELOAD", ASAN_OPTIONS = "detect_leaks=0" } }
        if run.out:find "^unknown here" then return pending "this kernel cannot forbid it" end
        assert.are.equal("true false\nstopped after\n", run.out, run.err)
        local _, lines = run.err:gsub("machine code", "")
        assert.are.equal(1, lines, run.err)
    end)

    it("stops a runaway all the same", function()
        local plain = assert(rows.open { jit = false, time_ms = 20 })
        local fn = fn_of(plain, "return function(r) while true do end end")
        local pass, _, rc = rows.where(plain, fn, rows.batch { { n = 1 } })
        assert.is_nil(pass)
        assert.are.equal(RUNAWAY, rc)
        rows.close(plain)
    end)
end)

describe("script_arena", function()
    it("keeps what it was given through random sizes, within its limit", function()
        math.randomseed(SEED)
        local a = ffi.new "script_arena_t"
        local limit = 4 * 2 ^ 20
        assert.are.equal(0, lib.script_arena_init(a, limit))
        local live, n = {}, 0
        local function check(b)
            local p = ffi.cast("uint8_t *", b.p)
            assert(p[0] == b.mark and p[b.size - 1] == b.mark and p[math.floor(b.size / 2)] == b.mark, "seed " .. SEED)
        end
        for k = 1, 30000 do
            local size = math.random() < 0.95 and math.random(1, 600) or math.random(1, 200000)
            if n > 0 and math.random() < 0.5 then
                local i = math.random(n)
                local b = live[i]
                check(b)
                if math.random() < 0.4 then
                    local q = lib.script_arena_resize(a, b.p, b.size, size)
                    if q ~= nil then
                        local kept = math.min(b.size, size)
                        local bytes = ffi.cast("uint8_t *", q)
                        assert(bytes[0] == b.mark and bytes[kept - 1] == b.mark, "seed " .. SEED)
                        b.p, b.size = q, size
                        ffi.fill(q, size, b.mark)
                    else
                        assert(size > b.size, "a block failed to shrink, seed " .. SEED)
                        check(b)
                    end
                else
                    lib.script_arena_resize(a, b.p, b.size, 0)
                    live[i], live[n] = live[n], nil
                    n = n - 1
                end
            else
                local p = lib.script_arena_resize(a, nil, 0, size)
                if p ~= nil then
                    n = n + 1
                    live[n] = { p = p, size = size, mark = k % 251 }
                    ffi.fill(p, size, k % 251)
                end
            end
            assert(tonumber(a.used) <= limit, "seed " .. SEED)
        end
        for i = 1, n do lib.script_arena_resize(a, live[i].p, live[i].size, 0) end
        assert.are.equal(0, tonumber(a.used))
        lib.script_arena_fini(a)
    end)
end)
