-- Where reading goes on after a start, as a table: what broker, group and changelog say, and what follows.

local engine = require "tests.support.engine"
local ffi = require "ffi"
local lib = engine.use("resume", "error")

local NONE = -1
local EXACTLY_ONCE, AT_LEAST_ONCE = 0, 1

local function decide(case)
    local topic, changelog, group = "pizzas", "shop-changelog", "shop"
    local facts = ffi.new("resume_facts_t", {
        topic = topic, partition = 3, low = case.low or 0, high = case.high or 100, committed = case.committed or NONE,
        state = case.state or NONE, has_state = case.has_state and 1 or 0,
        start = case.start == "latest" and ffi.C.START_LATEST or ffi.C.START_EARLIEST,
        delivery = case.delivery or EXACTLY_ONCE, changelog = changelog, group = group,
    })
    local offset, note, e = ffi.new "int64_t[1]", ffi.new "const char *[1]", ffi.new "error_t"
    local rc = lib.resume_offset(facts, offset, note, e)
    return rc, rc == 0 and tonumber(offset[0]) or nil, note[0] ~= nil and ffi.string(note[0]) or nil, ffi.string(e.text)
end

describe("where reading goes on", function()
    local goes_on = {
        { "a first start from the earliest", { low = 7 }, 7 },
        { "a first start from the latest", { low = 7, start = "latest" }, 100 },
        { "a partition added since the state was made begins at its beginning, also with start = latest",
            { low = 0, high = 20, has_state = true, start = "latest" }, 0, "new since the state" },
        { "group and state agree", { committed = 42, state = 42, has_state = true }, 42 },
        { "group and state agree at the end", { committed = 100, state = 100, has_state = true }, 100 },
        { "group and state agree at the beginning that is left", { low = 42, committed = 42, state = 42, has_state = true }, 42 },
        { "nothing was read yet when the group committed", { committed = 0 }, 0 },
        { "at least once: killed between state and offsets", { committed = 40, state = 42, has_state = true, delivery = AT_LEAST_ONCE },
            42, "from the state" },
        { "at least once: killed between the first state and the first offsets", { state = 42, has_state = true, delivery = AT_LEAST_ONCE },
            42, "from where the state was made" },
    }
    for _, case in ipairs(goes_on) do
        it(case[1], function()
            local rc, offset, note = decide(case[2])
            assert.equal(0, rc)
            assert.equal(case[3], offset)
            if case[4] then assert.truthy(note and note:find(case[4], 1, true), note) else assert.is_nil(note) end
        end)
    end

    local refused = {
        { "the changelog was deleted", { committed = 42 }, "has no state for it", "kafka-consumer-groups --group shop --delete" },
        { "the changelog knows other partitions, not this one", { committed = 42, has_state = true }, "has no state for it", "--delete" },
        { "the group's offsets expired", { state = 42, has_state = true }, "no committed offset any more", "--to-offset 42" },
        { "an operator rewound the group", { committed = 10, state = 42, has_state = true }, "somebody moved the offsets", "--to-offset 42" },
        { "an operator moved the group forward", { committed = 50, state = 42, has_state = true }, "somebody moved", "delete topic shop-changelog" },
        { "at least once: moved forward", { committed = 50, state = 42, has_state = true, delivery = AT_LEAST_ONCE }, "somebody moved", "--to-offset 42" },
        { "the records expired", { low = 60, committed = 42, state = 42, has_state = true }, "has only 60 to 100", "--reset-offsets" },
        { "the topic was made anew", { high = 5, committed = 42, state = 42, has_state = true }, "has only 0 to 5", "made anew" },
        { "at least once: no offsets, and the records expired", { low = 60, state = 40, has_state = true, delivery = AT_LEAST_ONCE },
            "has only 60 to 100", "--reset-offsets" },
        { "at least once: the records expired", { low = 60, committed = 40, state = 42, has_state = true, delivery = AT_LEAST_ONCE },
            "stopped at offset 42, but the broker has only 60 to 100", "--reset-offsets" },
    }
    for _, case in ipairs(refused) do
        it("refused: " .. case[1], function()
            local rc, _, _, text = decide(case[2])
            assert.equal(-1, rc)
            assert.truthy(text:find("pizzas/3: ", 1, true), text)
            assert.truthy(text:find(case[3], 1, true), text)
            assert.truthy(text:find(case[4], 1, true), text)
        end)
    end

    it("never starts over in silence: at random, either group and state agree or something is said", function()
        for _ = 1, 2000 do
            local function some() return math.random(0, 4) == 0 and NONE or math.random(0, 12) end
            local case = { low = math.random(0, 6), high = math.random(6, 12), committed = some(), state = some(),
                delivery = math.random(0, 1), start = math.random() < 0.5 and "latest" or "earliest" }
            case.has_state = case.state ~= NONE or math.random() < 0.5
            local rc, offset, _, text = decide(case)
            if rc ~= 0 then
                assert.is_true(#text > 40, text)
            elseif case.committed ~= NONE and case.state ~= NONE then
                assert.equal(case.state, offset, "seed " .. SEED)
            end
            if rc == 0 then assert.is_true(offset >= case.low and offset <= case.high, "seed " .. SEED) end
        end
    end)
end)
