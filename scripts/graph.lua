-- graph: which rule reads what: names, inputs, cycles, and the order in which rules run.

local fault = require "fault"

local graph = {}

local function report_cycle(cycle)
    local names = {}
    for i, desc in ipairs(cycle) do names[i] = desc.name end
    names[#names + 1] = cycle[1].name
    cycle[1].at:fault("from", "`from` goes in a circle: %s", table.concat(names, " -> "))
end

-- Follows inputs among the rules that are left until one comes round again.
local function find_cycle(left)
    local start
    for _, desc in pairs(left) do
        if not start or desc.name < start.name then start = desc end
    end
    local path, seen, desc = {}, {}, start
    while not seen[desc] do
        path[#path + 1], seen[desc] = desc, #path + 1
        for _, input in ipairs(desc.inputs) do
            if input.rule and left[input.rule.name] then
                desc = input.rule
                break
            end
        end
    end
    local cycle = {}
    for i = seen[desc], #path do cycle[#cycle + 1] = path[i] end
    return cycle
end

-- Rules of one name: the first one stays, the others are faults that name both places.
function graph.unique(found, sources, faults)
    local rules, by_name = {}, {}
    for _, entry in ipairs(found) do
        local earlier = by_name[entry.name]
        if earlier then
            faults:add(entry.file, entry.line, "the rule `%s` is defined twice; the first is at %s:%d", entry.name, earlier.file, earlier.line)
        elseif sources[entry.name] then
            faults:add(entry.file, entry.line, "`%s` is the name of a source (%s:%d); give the rule another one", entry.name,
                sources[entry.name].file, sources[entry.name].line)
        else
            by_name[entry.name] = entry
            rules[#rules + 1] = entry
        end
    end
    return rules
end

-- Sets desc.inputs and desc.readers; inputs that are not there are faults. `names`: every name that was given to a rule,
-- also to those that have faults of their own, so that one mistake is not reported twice.
function graph.connect(rules, sources, names)
    local by_name, candidates = {}, {}
    for _, desc in ipairs(rules) do
        by_name[desc.name] = desc
        desc.inputs, desc.readers = {}, {}
    end
    for name in pairs(names) do candidates[#candidates + 1] = name end
    for name in pairs(sources) do candidates[#candidates + 1] = name end
    table.sort(candidates)
    for _, desc in ipairs(rules) do
        for i, name in ipairs(desc.from or {}) do
            if by_name[name] then
                desc.inputs[#desc.inputs + 1] = { rule = by_name[name], name = name }
                table.insert(by_name[name].readers, desc)
            elseif sources[name] then
                desc.inputs[#desc.inputs + 1] = { source = sources[name], name = name }
            else
                desc.broken = true
                if not names[name] then
                    local path = type(desc.given.from) == "table" and "from." .. i or "from"
                    desc.at:fault(path, "`from`: there is no source or rule `%s`%s", name, fault.suggest(name, candidates))
                end
            end
        end
    end
end

-- Inputs before readers, among equals by name. Rules in a circle are left out and reported.
function graph.order(rules)
    local out, left, waiting = {}, {}, {}
    for _, desc in ipairs(rules) do
        left[desc.name], waiting[desc] = desc, 0
        for _, input in ipairs(desc.inputs) do
            if input.rule then waiting[desc] = waiting[desc] + 1 end
        end
    end
    while next(left) do
        local chosen
        for name, desc in pairs(left) do
            if waiting[desc] == 0 and (not chosen or name < chosen.name) then chosen = desc end
        end
        if not chosen then
            local cycle = find_cycle(left)
            report_cycle(cycle)
            for _, desc in ipairs(cycle) do
                desc.broken = true
                left[desc.name] = nil
                for _, reader in ipairs(desc.readers) do waiting[reader] = waiting[reader] - 1 end
            end
        else
            left[chosen.name] = nil
            out[#out + 1] = chosen
            for _, reader in ipairs(chosen.readers) do waiting[reader] = waiting[reader] - 1 end
        end
    end
    return out
end

return graph
