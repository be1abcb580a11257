-- Decoding ahead of the rules, on a thread of its own, changes nothing: the output is byte for byte that of one thread,
-- whatever the sizes of steps, with reloads and marks in between, tables of symbols that fill up and start anew while a
-- step's symbols are still looked at, and a source that stops at its first bad record. SEED picks other input.

local process = require "tests.support.process"
local replay = require "tests.support.replay"

local seed = tonumber(os.getenv "SEED") or 1
local records = tonumber(os.getenv "RECORDS") or 25000

local CONFIG = [[
source "s" { topic = "s", event_time = "ts", watermark = "40ms", max_ahead = "none", on_bad_record = "%s" }
threads (%d)
rules "rules"
]]

-- Predicates of one string column make it interned; the others look at its bytes in other ways.
local RULES = [[
rule "even" { from = "s", where = function(r) return #r.k %% 2 == %d end, select = { "k", "n" }, to = "even" }
rule "listed" { from = "s", unnest = { "list[] as item" }, where = function(r) return r.item:sub(-1) == "7" end,
  select = { "item", "k" }, to = "listed" }
rule "counts" { from = "s", group_by = { "k" }, window = tumble "300ms", aggregate = { n = count(), all = listagg("n") },
  having = function(g) return g.n > 1 end, to = "counts" }
rule "held" { from = "s", process = { by = { "k" }, order = "event_time", ttl = "1m", on_row = function(row, state, emit)
  state.n = (state.n or 0) + 1
  if state.n %% 5 == 0 then emit { n = row.n } end
end }, to = "held" }
]]

-- Few keys, then among them so many others that the table of symbols fills up (were there more of them, a column would not be
-- interned any more; the keys' is now and then), and few again; some lines are no record.
local function input(with_faults, with_reloads)
    math.randomseed(seed)
    local lines, at = {}, 0
    for i = 1, records do
        local crowded = i > 1000 and i < records - 1000
        local function name(share)
            local many = crowded and math.random() < share
            -- Two spellings of one letter: what goes out is that of the row, or for a group always the same.
            local word = many and "many" or math.random(4) > 1 and "few" or math.random(2) == 1 and "caf\\u00e9" or "caf\xc3\xa9"
            return ("%s-%d"):format(word, math.random(many and 1e9 or 30))
        end
        at = at + math.random(0, 3)
        local list = {}
        for k = 1, math.random(0, 40) do list[k] = '"' .. name(0.23) .. '"' end
        lines[#lines + 1] = ('{"topic":"s","partition":0,"offset":%d,"payload":{"ts":%d,"k":"%s","n":%d,"list":[%s]}}')
            :format(i, at - math.random(0, 60), name(0.25), i, table.concat(list, ","))
        if with_faults and i % 997 == 0 then
            lines[#lines + 1] = ('{"topic":"s","partition":0,"offset":%d,"payload":"{\\"ts\\":%d,\\"k\\":"}'):format(records + i, at)
        end
        if with_reloads and i % 3001 == 0 then lines[#lines + 1] = ('{"rules":"rules-%d"}'):format(math.random(2)) end
        if with_reloads and i % 1009 == 0 then lines[#lines + 1] = ('{"mark":%d}'):format(i) end
    end
    lines[#lines + 1] = ""
    return table.concat(lines, "\n")
end

-- What a run writes, and how it ends.
local function run(folder, on_bad, threads, batch, pipe)
    replay.write(folder .. "/ananas.lua", CONFIG:format(on_bad, threads))
    local command = ("ANANAS_BATCH=%d %s replay -c ananas.lua --log-level error --output output.jsonl --input "):format(batch, replay.quote(replay.binary))
    local r = replay.shell(folder, pipe and "cat input.jsonl 2> cat.err | " .. command .. "-" or command .. "input.jsonl")
    return replay.read(folder .. "/output.jsonl"), r.status, r.stderr
end

describe(("decoding ahead, SEED=%d,"):format(seed), function()
    local folder
    before_each(function()
        folder = replay.folder()
        for i, name in ipairs { "rules-1", "rules-2", "rules" } do      -- the last is what the configuration names
            assert(os.execute(("mkdir %s/%s"):format(folder, name)) == 0)
            replay.write(("%s/%s/rules.lua"):format(folder, name), RULES:format(i % 2))
        end
    end)
    after_each(function() replay.remove(folder) end)

    local function same(on_bad, ends, text)
        replay.write(folder .. "/input.jsonl", text)
        local want, status, err = run(folder, on_bad, 1, 1024)
        assert.equal(ends, status, err)
        assert.is_true(#want > 10000, "too little comes out to compare")
        for _, batch in ipairs { 1, 13, 1024, 100000 } do
            for _, pipe in ipairs { false, true } do
                local got, other, said = run(folder, on_bad, 2, batch, pipe)
                assert.equal(status, other)
                assert.equal(err, said)
                assert.is_true(want == got, ("steps of %d%s: the output is another one"):format(batch, pipe and " from a pipe" or ""))
            end
        end
    end

    it("gives the same with reloads and marks on the way", function() same("dead_letter", 0, input(true, true)) end)

    it("reads a file that standard input is like one that it is given by name", function()
        local text = input(true, true)
        replay.write(folder .. "/input.jsonl", text)
        local want = run(folder, "dead_letter", 2, 1024)
        local r = replay.shell(folder, replay.quote(replay.binary) .. " replay -c ananas.lua --log-level error --output output.jsonl < input.jsonl")
        assert.equal(0, r.status, r.stderr)
        assert.is_true(want == replay.read(folder .. "/output.jsonl"))
    end)

    it("hands on what comes out of a pipe that is never empty, since the rules are slower than who writes", function()
        replay.write(folder .. "/input.jsonl", input(false, false))
        replay.write(folder .. "/rules/rules.lua",
            ('rule "rare" { from = "s", where = function(r) local x = r.n for i = 1, 4000 do x = (x * 7 + i) %% 1009 end return r.n == %d and x >= 0 end, select = { "n" }, to = "rare" }\n')
                :format(math.floor(records / 10)))
        replay.write(folder .. "/ananas.lua", CONFIG:format("skip", 2))
        assert(os.execute("mkfifo " .. folder .. "/pipe") == 0)
        local writer = process.spawn { "sh", "-c", "exec > pipe; while cat input.jsonl; do :; done", cwd = folder }
        local reader = process.spawn { "sh", "-c", ("exec %s replay -c ananas.lua --log-level error --input - --output output.jsonl < pipe")
            :format(replay.quote(replay.binary)), cwd = folder }
        local seen = process.eventually(20, function() return #(replay.read(folder .. "/output.jsonl") or "") > 0 end, 0.1)
        reader:stop(0)
        writer:stop(5)      -- nobody reads any more
        assert.is_true(seen)
    end)

    it("stops where it has to, with what came before", function()
        local text = input(false, false)
        local at = text:find("\n", math.floor(#text / 2), true)
        same("stop", 1, text:sub(1, at) .. '{"topic":"s","partition":0,"offset":99999999,"payload":"{"}\n' .. text:sub(at + 1))
    end)
end)
