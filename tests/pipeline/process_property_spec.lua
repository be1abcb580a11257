-- A process with nested state, timers, forgetting and errors gives what brute force gives (tests/support/process_reference.py),
-- in both orders, for several keys, however the input is cut into batches. SEED repeats a run.

local replay = require "tests.support.replay"

local seed = _G.SEED or tonumber(os.getenv "SEED") or 1
local worlds = tonumber(os.getenv "WORLDS") or 60
local quote = replay.quote

-- Emissions of one rule in order: rows of one key follow each other, keys may not; so the order is compared per topic for
-- the rule without keys ("by" empty) and as a multiset for the others.
local function lines_of(output)
    local topics = {}
    for line in output:gmatch "[^\n]+" do
        local r = assert(replay.decode(line), line)
        local value = assert(replay.decode(r.payload), line)
        -- Columns of `by` are added to what was emitted.
        value.k, value.g = nil, nil
        topics[r.topic] = topics[r.topic] or {}
        table.insert(topics[r.topic], ("%d"):format(r.ts) .. " " .. replay.canonical(value))
    end
    return topics
end

local function expected(folder)
    local topics, counts = {}, nil
    for line in io.lines(folder .. "/expected.jsonl") do
        local r = assert(replay.decode(line))
        if r.counts then
            counts = r.counts
        else
            topics[r.topic] = topics[r.topic] or {}
            table.insert(topics[r.topic], ("%d"):format(r.ts) .. " " .. replay.canonical(r.value))
        end
    end
    return topics, counts
end

local function compare(name, wanted, got)
    if name ~= "r2" and name ~= "r3" then
        table.sort(wanted)
        table.sort(got)
    end
    for i = 1, math.max(#wanted, #got) do
        if wanted[i] ~= got[i] then
            error(("%s, record %d of %d: expected %s, got %s"):format(name, i, #wanted, tostring(wanted[i]), tostring(got[i])), 0)
        end
    end
end

describe(("%d random streams through processes, SEED=%d,"):format(worlds, seed), function()
    local folder

    setup(function()
        folder = replay.folder()
        local made = replay.shell(folder, ("python3 %s/tests/support/process_reference.py . %d %d"):format(
            quote(replay.root), seed, worlds))
        assert(made.status == 0, made.stderr)
    end)

    teardown(function() replay.remove(folder) end)

    it("give what brute force gives, and the same bytes for every cut into batches", function()
        for number = 0, worlds - 1 do
            local world = folder .. "/" .. number
            local whole
            for _, size in ipairs { 1024, 1, number % 9 + 2 } do
                local ran = replay.shell(world, ("env ANANAS_BATCH=%d %s replay --input input.jsonl --no-flush --stats stats.json")
                    :format(size, quote(replay.binary)))
                assert(ran.status == 0, ran.stderr)
                whole = whole or ran.text
                assert.is_true(whole == ran.text, ("world %d: batch size %d gives other bytes"):format(number, size))
            end
            local wanted, counts = expected(world)
            local got = lines_of(whole)
            local stats = replay.decode(replay.read(world .. "/stats.json"))
            for name, count in pairs(counts) do
                local fine, fault = pcall(compare, name, wanted[name] or {}, got[name] or {})
                assert.is_true(fine, ("world %d: %s"):format(number, tostring(fault)))
                assert.equal(count.errors, stats.rules[name].errors, ("errors of %s in world %d"):format(name, number))
                assert.equal(count.late, stats.rules[name].late, ("late rows of %s in world %d"):format(name, number))
            end
        end
    end)
end)
