-- A reload that goes round several tasks: whatever the order in which frames arrive, all switch with the same bounds, and
-- none before everything of the old rules has arrived. Frames that come twice, and starts again in the middle, change nothing.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("rollout")

local seed = tonumber(os.getenv "SEED" or "") or os.time() % 100000

local function slice(s) return ffi.new("slice_t", { s, #s }) end
local function text(s) return ffi.string(s.s, s.len) end

local Task = {}
Task.__index = Task
local function task(number, n)
    return setmetatable({ r = lib.rollout_new(number, n), number = number, n = n, running = "old", log = {} }, Task)
end

function Task:take(frame, rounds)
    local c = ffi.new "frame_control_t"
    assert(lib.frame_control_read(slice(frame), c) == 0)
    lib.rollout_take(self.r, c, self.running, rounds)
    lib.frame_control_fini(c)
end

function Task:say(ends)
    local list = ffi.new("frame_bound_t[?]", #ends + 1)
    for i, e in ipairs(ends) do list[i - 1].rule, list[i - 1]["end"] = slice(e[1]), e[2] end
    local b = engine.buf()
    lib.rollout_say(self.r, list, #ends, b)
    return engine.bytes(b)
end

function Task:again()
    local b = engine.buf()
    lib.rollout_save(self.r, b)
    local bytes = engine.bytes(b)
    lib.rollout_free(self.r)
    self.r = lib.rollout_new(self.number, self.n)
    assert(lib.rollout_load(self.r, slice(bytes)) == 0)
end

local function proposal(t, version)
    local b = engine.buf()
    lib.rollout_propose(t.r, slice(version), slice("texts of " .. version), b)
    return engine.bytes(b)
end

describe("a rollout, seed " .. seed, function()
    it("switches every task once, with the greatest ends that any of them said", function()
        math.randomseed(seed)
        for _ = 1, 60 do
            local n, rounds = math.random(1, 5), math.random(0, 3)
            local tasks, queues, greatest = {}, {}, {}
            for i = 0, n - 1 do
                tasks[i] = task(i, n)
                queues[i] = {}
                for k = 0, n - 1 do queues[i][k] = {} end   -- from k, in k's order
            end
            local function send(from, frame)
                for i = 0, n - 1 do table.insert(queues[i][from], frame) end
            end
            send(0, proposal(tasks[0], "new"))
            local switched, spoken, steps = 0, {}, 0
            while switched < n do
                steps = steps + 1
                assert(steps < 100000, "it does not end")
                local t = tasks[math.random(0, n - 1)]
                if math.random() < 0.1 then t:again() end
                local from = math.random(0, n - 1)
                -- By the order of commits nobody hears a task that answers before what it answers to.
                local queue = lib.rollout_active(t.r) == 0 and t.running == "old" and queues[t.number][0] or queues[t.number][from]
                if #queue > 0 and t.running == "old" then
                    local frame = table.remove(queue, 1)
                    t:take(frame, rounds)
                    if math.random() < 0.2 then t:take(frame, rounds) end
                end
                local due = tonumber(lib.rollout_due(t.r))
                if due == tonumber(lib.ROLLOUT_SAY) then
                    local last = lib.rollout_says_ends(t.r) == 1
                    local ends = {}
                    if last then
                        for _, rule in ipairs { "a", "b" } do
                            if math.random() < 0.7 then
                                local e = math.random(1, 1000)
                                ends[#ends + 1] = { rule, e }
                                greatest[rule] = math.max(greatest[rule] or 0, e)
                            end
                        end
                    end
                    spoken[t.number] = (spoken[t.number] or 0) + 1
                    send(t.number, t:say(ends))
                elseif due == tonumber(lib.ROLLOUT_SWITCH) then
                    for i = 0, n - 1 do assert.equal(rounds + 1, spoken[i]) end
                    local count = ffi.new "uint32_t[1]"
                    local bounds, got = lib.rollout_bounds(t.r, count), {}
                    for i = 0, count[0] - 1 do got[text(bounds[i].rule)] = tonumber(bounds[i]["end"]) end
                    assert.same(greatest, got)
                    assert.equal("texts of new", text(lib.rollout_texts(t.r)))
                    t.running = "new"
                    lib.rollout_done(t.r, "new", rounds)
                    switched = switched + 1
                end
            end
            for i = 0, n - 1 do
                assert.equal(0, lib.rollout_active(tasks[i].r))
                lib.rollout_free(tasks[i].r)
            end
        end
    end)

    it("takes up a proposal that came meanwhile, when it is through; that of the rules that run begins nothing", function()
        local t = task(0, 1)
        t:take(proposal(t, "old"), 1)
        assert.equal(0, lib.rollout_active(t.r))
        t:take(proposal(t, "new"), 1)
        t:take(proposal(t, "newer"), 1)
        t:again()
        lib.rollout_done(t.r, "new", 1)
        assert.equal(1, lib.rollout_active(t.r))
        assert.equal("newer", text(lib.rollout_version(t.r)))
        lib.rollout_free(t.r)
    end)

    -- When a task is done with one is its own affair: whatever the last proposals are, all take part in the same ones.
    it("takes proposals one after the other, and none of the rules that run by then", function()
        local early, late = task(0, 1), task(0, 1)
        local function done(t, version) lib.rollout_done(t.r, version, 1) t.running = version end
        for _, t in ipairs { early, late } do t:take(proposal(t, "new"), 1) end
        done(early, "new")
        for _, t in ipairs { early, late } do
            for _, version in ipairs { "old", "new", "new", "newer" } do t:take(proposal(t, version), 1) end
        end
        late:again()
        done(late, "new")
        for _, version in ipairs { "old", "new", "newer" } do
            for _, t in ipairs { early, late } do
                assert.equal(1, lib.rollout_active(t.r))
                assert.equal(version, text(lib.rollout_version(t.r)))
                t:again()
                done(t, version)
            end
        end
        for _, t in ipairs { early, late } do
            assert.equal(0, lib.rollout_active(t.r))
            lib.rollout_free(t.r)
        end
    end)

    it("reads back only what it wrote itself", function()
        local t = task(0, 2)
        assert.equal(tonumber(lib.ERR_INVALID), tonumber(lib.rollout_load(t.r, slice "nonsense")))
        lib.rollout_free(t.r)
    end)
end)
