-- Row pattern matching by brute force, for property tests: a parser of its own and plain recursive backtracking in order
-- of preference over rows that are all there. It knows no streams, remembers nothing and shares no code with the engine.

local reference = {}

-- A budget of steps: random patterns can be exponential here (never in the answer).
reference.BUDGET = 60000

local function parser(text)
    local position = 1
    local p = {}
    local function skip() position = text:match("^%s*()", position) end
    function p.peek(what)
        skip()
        return text:sub(position, position + #what - 1) == what
    end
    function p.accept(what)
        if not p.peek(what) then return false end
        position = position + #what
        return true
    end
    function p.name()
        skip()
        local word, behind = text:match("^([%a_][%w_]*)()", position)
        if word then position = behind end
        return word
    end
    function p.number()
        skip()
        local digits, behind = text:match("^(%d+)()", position)
        if digits then position = behind end
        return tonumber(digits)
    end
    function p.at_end()
        skip()
        return position > #text
    end
    return p
end

local alternation

local function primary(p)
    if p.accept "{-" then
        local inner = alternation(p)
        assert(p.accept "-}")
        return { kind = "exclude", inner }
    elseif p.accept "(" then
        if p.accept ")" then return { kind = "empty" } end
        local inner = alternation(p)
        assert(p.accept ")")
        return inner
    elseif p.accept "^" then
        return { kind = "first" }
    elseif p.accept "$" then
        return { kind = "last" }
    end
    local name = assert(p.name(), "a variable")
    if name ~= "PERMUTE" then return { kind = "var", name = name } end
    assert(p.accept "(")
    local node = { kind = "permute" }
    repeat node[#node + 1] = alternation(p) until not p.accept ","
    assert(p.accept ")")
    return node
end

local function quantified(p)
    local inner = primary(p)
    local min, max
    if p.accept "*" then min, max = 0, math.huge
    elseif p.accept "+" then min, max = 1, math.huge
    elseif p.accept "?" then min, max = 0, 1
    elseif not p.peek "{-" and p.accept "{" then
        min = p.number()
        if p.accept "," then max = p.number() or math.huge else max = min end
        min = min or 0
        assert(p.accept "}")
    else
        return inner
    end
    return { kind = "loop", inner, min = min, max = max, reluctant = p.accept "?" }
end

local function sequence(p)
    local node = { kind = "concat" }
    repeat node[#node + 1] = quantified(p)
    until p.at_end() or p.peek "|" or p.peek ")" or p.peek "," or p.peek "-}"
    return node
end

function alternation(p)
    local node = { kind = "either" }
    repeat node[#node + 1] = sequence(p) until not p.accept "|"
    return node
end

function reference.parse(text)
    local p = parser(text)
    local tree = alternation(p)
    assert(p.at_end())
    return tree
end

-- One attempt: walks all labelings in order of preference; `found` is called with the first one.
-- job: rows (each with .time), holds(var, pos, start, labels, number), within.
local function attempt(job, tree, start, number)
    local labels, excluded = {}, 0
    local partial
    local steps = 0
    local walk

    local function snapshot()
        local copy = {}
        for i, label in ipairs(labels) do copy[i] = label end
        return copy
    end
    local function keep_partial()
        if job.within and job.emit_timeout and not partial then partial = snapshot() end
        return false
    end
    local function take(name, pos, go_on)
        local row = job.rows[pos + 1]
        if not row then return keep_partial() end
        if job.within and row.time - job.rows[start + 1].time >= job.within then return keep_partial() end
        labels[#labels + 1] = { name = name, excluded = excluded > 0 }
        local done = job.holds(name, pos, start, labels, number) and go_on(pos + 1)
        if not done then labels[#labels] = nil end
        return done
    end
    local function loop(node, count, pos, go_on)
        local function again()
            if count >= node.max then return false end
            return walk(node[1], pos, function(behind)
                if behind == pos and count >= node.min then return go_on(behind) end
                return loop(node, count + 1, behind, go_on)
            end)
        end
        if count < node.min then return again() end
        if node.reluctant then return go_on(pos) or again() end
        return again() or go_on(pos)
    end
    local function chain(items, i, pos, go_on)
        if i > #items then return go_on(pos) end
        return walk(items[i], pos, function(behind) return chain(items, i + 1, behind, go_on) end)
    end
    local function permute(items, used, left, pos, go_on)
        if left == 0 then return go_on(pos) end
        for i, item in ipairs(items) do
            if not used[i] then
                used[i] = true
                local done = walk(item, pos, function(behind)
                    local outer = used
                    local mine = {}
                    for k, v in pairs(outer) do mine[k] = v end
                    return permute(items, mine, left - 1, behind, go_on)
                end)
                used[i] = nil
                if done then return true end
            end
        end
        return false
    end
    function walk(node, pos, go_on)
        steps = steps + 1
        if steps > reference.BUDGET then error("budget", 0) end
        local kind = node.kind
        if kind == "var" then return take(node.name, pos, go_on)
        elseif kind == "empty" then return go_on(pos)
        elseif kind == "first" then return pos == 0 and go_on(pos)
        elseif kind == "last" then return pos == #job.rows and go_on(pos)
        elseif kind == "concat" then return chain(node, 1, pos, go_on)
        elseif kind == "loop" then return loop(node, 0, pos, go_on)
        elseif kind == "permute" then return permute(node, {}, #node, pos, go_on)
        elseif kind == "exclude" then
            local outer = excluded
            excluded = excluded + 1
            local done = walk(node[1], pos, function(behind)
                local inner = excluded
                excluded = outer
                local ok = go_on(behind)
                excluded = inner
                return ok
            end)
            excluded = outer
            return done
        end
        for _, choice in ipairs(node) do
            if walk(choice, pos, go_on) then return true end
        end
        return false
    end

    local matched
    walk(tree, start, function()
        matched = snapshot()
        return true
    end)
    return matched, partial
end

local function target(job, labels)
    local found
    for i, label in ipairs(labels) do
        if job.skip_to[label.name] then
            found = i - 1
            if job.skip == "to_first" then break end
        end
    end
    return found
end

-- The events of a partition, in order: { kind, start, number, labels }. job: pattern, rows, holds, within, emit_timeout,
-- unmatched, skip ("past_last_row", "to_next_row", "to_first", "to_last"), skip_to (set of variables).
function reference.run(job)
    local tree = reference.parse(job.pattern)
    local events, start, number, covered = {}, 0, 0, 0
    local function event(kind, labels)
        events[#events + 1] = { kind = kind, start = start, number = number, labels = labels or {} }
    end
    while start < #job.rows do
        local labels, partial = attempt(job, tree, start, number + 1)
        local next_start = start + 1
        if labels or partial then number = number + 1 end
        if not labels and partial then
            event("timed_out", partial)
            covered = math.max(covered, start + #partial)
        elseif not labels then
            if job.unmatched and start >= covered then event "unmatched" end
        elseif #labels == 0 then
            event "empty"
        else
            covered = math.max(covered, start + #labels)
            local kind = "match"
            if job.skip == "past_last_row" then
                next_start = start + #labels
            elseif job.skip ~= "to_next_row" then
                local t = target(job, labels)
                if not t then kind = "skip_missing"
                elseif t == 0 then kind = "skip_first"
                else next_start = start + t end
            end
            event(kind, labels)
        end
        start = next_start
    end
    return events
end

return reference
