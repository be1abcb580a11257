-- Random window rules over random streams give what brute force gives (tests/support/window_reference.py), however the
-- input is cut into batches and however partitions interleave within the bound. A case is one rule over one stream; many
-- rules run in one process. SEED repeats a run, WORLDS x RULES is the number of cases.

local replay = require "tests.support.replay"

local seed = _G.SEED or tonumber(os.getenv "SEED") or 1
local worlds = tonumber(os.getenv "WORLDS") or 104
local rules = tonumber(os.getenv "RULES") or 100
local quote = replay.quote

local function text_of(topic, ts, key, value)
    if not value or value == replay.null then return topic .. " tombstone " .. ts .. " " .. replay.canonical(key) end
    return topic .. " " .. ts .. " " .. replay.canonical(value)
end

local function expected(folder)
    local balance, late = {}, nil
    for line in io.lines(folder .. "/expected.jsonl") do
        local r = assert(replay.decode(line))
        if r.late then
            late = r.late
        else
            local text = text_of(r.topic, r.ts, r.key, r.value)
            balance[text] = (balance[text] or 0) + 1
        end
    end
    return balance, late
end

local function output_lines(output)
    return output:gmatch "[^\n]+"
end

-- What differs: missing (-) and unexpected (+), as a list; empty when equal.
local function differences(wanted, output)
    local balance, list = {}, {}
    for text, n in pairs(wanted) do balance[text] = -n end
    for line in output_lines(output) do
        local r = assert(replay.decode(line), line)
        local value = r.payload == replay.null and r.payload or assert(replay.decode(r.payload), line)
        local text = text_of(r.topic, ("%d"):format(r.ts), replay.decode(r.key), value)
        balance[text] = (balance[text] or 0) + 1
    end
    for text, n in pairs(balance) do
        if n ~= 0 then list[#list + 1] = ("%+d %s"):format(n, text) end
    end
    table.sort(list, function(a, b) return a:sub(4) < b:sub(4) end)
    return list
end

local function replayed(folder, input, environment)
    local ran = replay.shell(folder, ("env A=1 %s %s replay --input %s --stats stats.json"):format(
        environment or "", quote(replay.binary), input or "input.jsonl"))
    assert(ran.status == 0, "status " .. tostring(ran.status) .. "\n" .. ran.stderr)
    return ran.text, replay.decode(replay.read(folder .. "/stats.json"))
end

describe(("%d random window rules over random streams, SEED=%d,"):format(worlds * rules, seed), function()
    local folder

    setup(function()
        folder = replay.folder()
        local made = replay.shell(folder, ("python3 %s/tests/support/window_reference.py . %d %d %d"):format(
            quote(replay.root), seed, worlds, rules))
        assert(made.status == 0, made.stderr)
    end)

    teardown(function() replay.remove(folder) end)

    local function each_world(check)
        local failed = {}
        for number = 0, worlds - 1 do
            local world = folder .. "/" .. number
            local fine, fault = pcall(check, world, number)
            if not fine then failed[#failed + 1] = ("world %d: %s"):format(number, tostring(fault)) end
            if #failed > 3 then break end
        end
        assert.equal(0, #failed, table.concat(failed, "\n"))
    end

    local function explain(list)
        return ("%d differences (- missing, + unexpected)\n%s"):format(#list,
            table.concat(list, "\n", 1, math.min(#list, 12)))
    end

    local outputs = {}

    it("give the same rows, updates and tombstones as brute force, and the same count of late rows", function()
        each_world(function(world, number)
            local wanted, late = expected(world)
            local output, stats = replayed(world)
            outputs[number] = output
            local list = differences(wanted, output)
            for name, n in pairs(late) do
                local got = stats.rules[name].late
                if got ~= n then list[#list + 1] = ("%s late: %d instead of %d"):format(name, got, n) end
            end
            if #list > 0 then error(explain(list), 0) end
        end)
    end)

    it("give the same bytes for every cut into batches", function()
        each_world(function(world, number)
            local size = ({ 1, 2, 7, 1024 })[number % 4 + 1]
            local output = replayed(world, nil, "ANANAS_BATCH=" .. size)
            local whole = outputs[number] or replayed(world)
            if output ~= whole then error("batch size " .. size .. " gives other bytes", 0) end
        end)
    end)

    it("give the same multiset for every interleaving of partitions within the bound", function()
        local calm = 0
        each_world(function(world)
            for n = 1, 2 do
                local input = ("input%d.jsonl"):format(n)
                if replay.read(world .. "/" .. input) then
                    calm = calm + 1
                    local list = differences((expected(world)), (replayed(world, input)))
                    if #list > 0 then error(input .. ": " .. explain(list), 0) end
                end
            end
        end)
        assert.is_true(calm >= worlds / 4)
    end)
end)
