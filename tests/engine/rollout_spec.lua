-- A reload that goes round several tasks, each of which may die at any moment and starts again from what it committed:
-- whatever the order in which frames arrive, nobody ever reads rows of another rule set than its own, all switch with the
-- same bounds, nobody waits for ever, and no row is lost. With transactions and without.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("rollout")

local seed = tonumber(os.getenv "SEED" or "") or os.time() % 100000

local function slice(s) return ffi.new("slice_t", { s, #s }) end
-- Held here: a slice does not keep its string.
local VERSIONS, TEXTS = {}, {}
for set = 1, 4 do VERSIONS[set], TEXTS[set] = tostring(set), "texts of " .. set end
local function text(s) return ffi.string(s.s, s.len) end
local SAY, SWITCH = tonumber(lib.ROLLOUT_SAY), tonumber(lib.ROLLOUT_SWITCH)
local PROPOSAL = tonumber(lib.FRAME_PROPOSAL)

local function with_frame(bytes, act)
    local c = ffi.new "frame_control_t"
    assert(lib.frame_control_read(slice(bytes), c) == 0)
    act(c)
    lib.frame_control_fini(c)
end

local function saved(r)
    local b = engine.buf()
    lib.rollout_save(r, b)
    return engine.bytes(b)
end

local function list_of(ends)
    local list = ffi.new("frame_bound_t[?]", #ends + 1)
    for i, e in ipairs(ends) do list[i - 1].rule, list[i - 1]["end"] = slice(e[1]), e[2] end
    return list, #ends
end

-- What parallel.c does with a rollout, over partitions that are lists: what was sent to one arrives in the order of its
-- sender, now or later.
local World = {}
World.__index = World

local function copy(list)
    local out = {}
    for k, v in pairs(list) do out[k] = v end
    return out
end

function World.new(n, depth, exact)
    local w = setmetatable({ n = n, depth = depth, exact = exact, logs = {}, flying = {}, tasks = {}, files = 1, bounds = {}, rows = 0, switches = 0 }, World)
    for i = 0, n - 1 do
        w.logs[i], w.flying[i] = {}, {}
        w.tasks[i] = { number = i, durable = false }
    end
    return w
end

-- One that begins: with what it committed last, or with nothing.
function World:start(t)
    local was = t.durable
    if t.r then lib.rollout_free(t.r) end
    t.r = lib.rollout_new(t.number, self.n)
    t.txn, t.word, t.owed, t.again, t.committing = {}, nil, false, was, nil
    t.unsent, t.levels, t.changed = {}, true, not was
    if was then
        assert(lib.rollout_load(t.r, slice(was.rollout)) == 0)
        t.running, t.at, t.seen, t.made = was.running, was.at, copy(was.seen), was.made
    else
        t.running, t.at, t.seen, t.made = nil, 1, {}, 0
        if t.number == 0 then
            t.running = self.files
            lib.rollout_found(t.r, slice(VERSIONS[t.running]), slice(TEXTS[t.running]))
        end
    end
end

-- To a transaction, or on its way at once.
function World:send(t, to, message)
    if self.exact then
        t.txn[#t.txn + 1] = { to, message }
    else
        table.insert(self.flying[t.number], { to, message })
    end
end

-- One of what a task has sent arrives: any, but the first to its partition.
function World:arrive(from)
    local flying = self.flying[from]
    if #flying == 0 then return end
    local k = math.random(#flying)
    for i = 1, k do
        if flying[i][1] == flying[k][1] then k = i break end
    end
    local one = table.remove(flying, k)
    table.insert(self.logs[one[1]], one[2])
end

function World:ends_of(t, serial)
    local key = t.number .. "/" .. serial
    self.bounds[key] = self.bounds[key] or { { "a", math.random(1000) }, math.random() < 0.5 and { "b", math.random(1000) } or nil }
    return list_of(self.bounds[key])
end

function World:tell_proposal(t)
    if lib.rollout_untold(t.r) == 0 then return end
    local b = engine.buf()
    lib.rollout_proposal(t.r, b)
    local frame = engine.bytes(b)
    for i = 1, self.n - 1 do self:send(t, i, { control = frame }) end
    lib.rollout_told(t.r)
end

function World:tell_word(t)
    if not t.word then return end
    for i = 0, self.n - 1 do self:send(t, i, { control = t.word }) end
    t.word = nil
end

function World:definite(t)
    if self.exact then return end
    if t.owed then
        self:tell_proposal(t)
        t.changed = true
    end
    t.owed = false
    self:tell_word(t)
end

-- The first half of a commit: what is sent before it, and what is taken down.
function World:commit(t)
    local active = lib.rollout_active(t.r) == 1
    local quiet = active and lib.rollout_said_ends(t.r) == 1 or not active and lib.rollout_untold(t.r) == 1
    if not quiet then
        for _, row in ipairs(t.unsent) do self:send(t, row.to, row) end
        if t.levels then   -- watermarks of the rules that run are told anew after a start and after a switch
            for i = 0, self.n - 1 do self:send(t, i, { level = true, set = t.running }) end
        end
        t.unsent, t.levels = {}, false
    end
    if tonumber(lib.rollout_due(t.r)) == SAY then
        local b = engine.buf()
        local list, n = self:ends_of(t, tonumber(lib.rollout_serial(t.r)))
        lib.rollout_say(t.r, list, n, b)
        t.word = engine.bytes(b)
    end
    if self.exact then
        self:tell_proposal(t)
        self:tell_word(t)
    end
    t.owed = t.owed or lib.rollout_untold(t.r) == 1
    assert(#t.unsent == 0, "rows are committed that nobody was sent")
    t.committing = { rollout = saved(t.r), running = t.running, at = t.at, seen = copy(t.seen), made = t.made }
    t.before = #self.flying[t.number]
    t.changed = false
    if self.exact then
        for _, one in ipairs(t.txn) do table.insert(self.logs[one[1]], one[2]) end
        t.txn = {}
        t.durable, t.committing = t.committing, nil
    end
end

-- The second, where there are no transactions: everything sent before has arrived.
function World:end_commit(t)
    while #self.flying[t.number] > 0 do self:arrive(t.number) end
    t.durable, t.committing = t.committing, nil
    self:definite(t)
end

function World:rounds() return self.depth + 1 end

function World:await(t)
    for _, message in ipairs(self.logs[t.number]) do
        if message.control then
            with_frame(message.control, function(c)
                if not t.running and tonumber(c.kind) == PROPOSAL then
                    lib.rollout_join(t.r, c)
                    t.running = tonumber(text(c.version))
                end
            end)
        end
        if t.running then return end
        assert(not self.exact, "with transactions a proposal is the first that is heard")
    end
end

function World:read(t)
    local message = self.logs[t.number][t.at]
    if not message then return end
    t.at = t.at + 1
    t.changed = true
    if message.control then
        with_frame(message.control, function(c) lib.rollout_take(t.r, c, self:rounds()) end)
        return
    end
    lib.rollout_take_rows(t.r, self:rounds())
    assert(message.set == t.running, ("task %d runs %s and reads rows of %s"):format(t.number, t.running, message.set))
    if message.level then return end
    if message.left > 0 then
        t.unsent[#t.unsent + 1] = { id = message.id, set = t.running, left = message.left - 1, to = (message.id + message.left) % self.n }
    else
        t.seen[message.id] = true
    end
end

function World:switch(t)
    local count = ffi.new "uint32_t[1]"
    local bounds, got, greatest = lib.rollout_bounds(t.r, count), {}, {}
    local serial = tonumber(lib.rollout_serial(t.r))
    for i = 0, count[0] - 1 do got[text(bounds[i].rule)] = tonumber(bounds[i]["end"]) end
    for i = 0, self.n - 1 do
        for _, e in pairs(self.bounds[i .. "/" .. serial]) do greatest[e[1]] = math.max(greatest[e[1]] or 0, e[2]) end
    end
    assert.same(greatest, got)
    assert.equal("texts of " .. text(lib.rollout_version(t.r)), text(lib.rollout_texts(t.r)))
    assert(#t.unsent == 0, "rows of the old rules would go out under the new ones")
    t.running = tonumber(text(lib.rollout_version(t.r)))
    lib.rollout_switched(t.r)
    t.changed, t.levels = true, true
    self.switches = self.switches + 1
end

function World:turn(t)
    if not t.running then return self:await(t) end
    if t.again then
        t.again = false
        if not self.exact then
            local b = engine.buf()
            local list, n = self:ends_of(t, tonumber(lib.rollout_serial(t.r)))
            if lib.rollout_repeat(t.r, list, n, b) == 1 then t.word = engine.bytes(b) end
            t.owed = lib.rollout_untold(t.r) == 1
            self:definite(t)
        end
    end
    local active, untold = lib.rollout_active(t.r) == 1, lib.rollout_untold(t.r) == 1
    if t.number == 0 and not active and not untold and t.running ~= self.files then
        lib.rollout_begin(t.r, slice(VERSIONS[self.files]), slice(TEXTS[self.files]), self:rounds())
        t.changed, active = true, true
    end
    if not active and not untold and self.rows < 400 and math.random() < 0.3 then
        self.rows, t.made, t.changed = self.rows + 1, t.made + 1, true
        local id = t.made * self.n + t.number   -- a start again makes the same ones again
        t.unsent[#t.unsent + 1] = { id = id, set = t.running, left = self.depth - 1, to = id % self.n }
    end
    if math.random() < 0.6 then self:read(t) end
    local due = tonumber(lib.rollout_due(t.r))
    local urgent = due == SAY or due == SWITCH or lib.rollout_untold(t.r) == 1
    if t.committing and (urgent or math.random() < 0.3) then self:end_commit(t) end
    if not t.committing and (t.changed or urgent) and (urgent or math.random() < 0.3) then
        self:commit(t)
        if tonumber(lib.rollout_due(t.r)) == SWITCH and not t.changed then self:switch(t) end
    end
end

function World:settled()
    for i = 0, self.n - 1 do
        local t = self.tasks[i]
        if t.running ~= self.files or lib.rollout_active(t.r) == 1 or t.changed or t.committing or #t.unsent > 0 or #self.flying[i] > 0
            or t.at <= #self.logs[i] then return false end
    end
    return true
end

local function live(exact)
    math.randomseed(seed)
    local switches = 0
    for round = 1, 120 do
        local n, depth = math.random(1, 5), math.random(1, 3)
        local deaths, slow = math.random() < 0.5 and 0.03 or 0.003, math.random(0, 5)   -- one task's frames may take long
        local w = World.new(n, depth, exact)
        for i = 0, n - 1 do w:start(w.tasks[i]) end
        for step = 1, 1500 do
            local t = w.tasks[math.random(0, n - 1)]
            w:turn(t)
            local from = math.random(0, n - 1)
            if from ~= slow or math.random() < 0.05 then w:arrive(from) end
            if math.random() < 0.01 then w.files = math.random(4) end
            if math.random() < (step < 60 and 0.1 or deaths) then   -- a group that begins has nothing yet to go back to
                -- What a process had sent when it died may arrive, or the last of it may not.
                local flying = w.flying[t.number]
                for _ = 1, math.random(0, #flying) do table.remove(flying) end
                while #flying > 0 do w:arrive(t.number) end
                w:start(t)
            end
        end
        local turns = 0
        while not w:settled() do
            turns = turns + 1
            assert(turns < 100000, ("round %d does not end: %d tasks, depth %d"):format(round, n, depth))
            w:turn(w.tasks[math.random(0, n - 1)])
            w:arrive(math.random(0, n - 1))
        end
        local seen = {}
        for i = 0, n - 1 do
            for id in pairs(w.tasks[i].seen) do seen[id] = true end
        end
        for i = 0, n - 1 do
            for k = 1, w.tasks[i].made do assert(seen[k * n + i], ("row %d of task %d is lost"):format(k, i)) end
            lib.rollout_free(w.tasks[i].r)
        end
        switches = switches + w.switches
    end
    assert(switches > 300, switches .. " switches")
end

describe("a rollout, seed " .. seed, function()
    it("has one rule set behind every row, whoever dies when, with transactions", function() live(true) end)
    it("has one rule set behind every row, whoever dies when, without transactions", function() live(false) end)

    it("takes up a proposal that came meanwhile when it is through, with what others said of it", function()
        local function frame(number, set)
            local b = engine.buf()
            local leader = lib.rollout_new(0, 2)
            for serial = 1, number do lib.rollout_begin(leader, slice(set .. serial), slice "texts", 0) end
            lib.rollout_proposal(leader, b)
            lib.rollout_free(leader)
            return engine.bytes(b)
        end
        local function word(from, number, rounds, said)
            local b = engine.buf()
            local r = lib.rollout_new(from, 2)
            for _ = 1, number do lib.rollout_begin(r, slice "any", slice "texts", rounds) end
            for _ = 1, said do
                b = engine.buf()
                lib.rollout_say(r, nil, 0, b)
            end
            lib.rollout_free(r)
            return engine.bytes(b)
        end
        local r = lib.rollout_new(1, 2)
        local function take(bytes) with_frame(bytes, function(c) lib.rollout_take(r, c, 1) end) end
        local function say()
            assert.equal(SAY, tonumber(lib.rollout_due(r)))
            local b = engine.buf()
            lib.rollout_say(r, nil, 0, b)
            take(engine.bytes(b))
        end
        take(word(0, 1, 1, 1))                -- before the proposal that it is about
        take(frame(1, "set "))
        assert.equal("set 1", text(lib.rollout_version(r)))
        say()                                 -- drained, which the other has said already
        say()                                 -- ends
        take(word(0, 1, 1, 2))
        assert.equal(SWITCH, tonumber(lib.rollout_due(r)))
        lib.rollout_switched(r)
        take(frame(2, "set "))                -- the others are ahead
        take(word(0, 2, 1, 1))
        take(frame(1, "set "))                -- and something comes again
        assert.equal(1, tonumber(lib.rollout_serial(r)))
        say()                                 -- switched
        take(word(0, 1, 1, 3))
        assert.equal(2, tonumber(lib.rollout_serial(r)))
        assert.equal("set 2", text(lib.rollout_version(r)))
        say()
        assert.equal(SAY, tonumber(lib.rollout_due(r)), "what the other had said of it is not known")
        lib.rollout_free(r)
    end)

    it("takes rows that come behind everybody's ends for the last word of all", function()
        local function word(from, said)
            local r, b = lib.rollout_new(from, 3), nil
            lib.rollout_begin(r, slice "any", slice "texts", 1)
            for _ = 1, said do
                b = engine.buf()
                lib.rollout_say(r, nil, 0, b)
            end
            lib.rollout_free(r)
            return engine.bytes(b)
        end
        local r = lib.rollout_new(0, 3)
        lib.rollout_begin(r, slice "any", slice "texts", 1)
        for said = 1, 3 do
            lib.rollout_take_rows(r, 1)   -- of the old rules still
            assert.equal(1, lib.rollout_active(r))
            if said == 3 then lib.rollout_switched(r) end
            lib.rollout_say(r, nil, 0, engine.buf())
            for from = 0, said < 3 and 2 or 1 do with_frame(word(from, said), function(c) lib.rollout_take(r, c, 1) end) end
        end
        assert.equal(1, lib.rollout_active(r), "the last of them has not said that it switched")
        lib.rollout_take_rows(r, 1)
        assert.equal(0, lib.rollout_active(r))
        with_frame(word(2, 3), function(c) lib.rollout_take(r, c, 1) end)   -- late
        assert.equal(0, lib.rollout_active(r))
        lib.rollout_free(r)
    end)

    it("reads back only what it wrote itself", function()
        local r = lib.rollout_new(0, 2)
        for _, bytes in ipairs { "nonsense", "" } do assert.equal(tonumber(lib.ERR_INVALID), tonumber(lib.rollout_load(r, slice(bytes)))) end
        lib.rollout_begin(r, slice "set", slice "texts", 2)
        local whole = saved(r)
        for cut = 0, #whole - 1 do
            local other = lib.rollout_new(0, 2)
            assert.equal(tonumber(lib.ERR_INVALID), tonumber(lib.rollout_load(other, slice(whole:sub(1, cut)))), cut .. " bytes")
            lib.rollout_free(other)
        end
        lib.rollout_free(r)
    end)
end)
