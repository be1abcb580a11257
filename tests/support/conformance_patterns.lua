-- Turns the cases of tests/conformance/patterns.json into rules, and what `replay` makes of them into the rows a case
-- expects; and the same for the matcher by itself. The cases are facts from other projects' suites
-- (tests/conformance/README.md); nothing here knows one by name.

local cjson = require "cjson"
local replay = require "tests.support.replay"

local M = {}
local null = cjson.null

function M.cases(path)
    return cjson.decode(assert(replay.read(replay.root .. "/" .. path)))
end

-- The names of `m` that expressions use as globals.
local NAMES = {
    "prev", "next_row", "first", "last", "count", "sum", "avg", "min", "max", "listagg", "match_number", "classifier", "rows",
    "prev_of", "next_of", "final_first", "final_last", "final_count", "final_sum", "final_avg",
}

-- function(row, m) or function(m, row) with an expression as its body.
local function function_text(parameters, expression)
    local names, members = {}, {}
    for _, name in ipairs(NAMES) do
        if expression:find("%f[%w_]" .. name .. "%s*%(") then
            names[#names + 1], members[#members + 1] = name, "m." .. name
        end
    end
    local locals = #names > 0 and ("local %s = %s; "):format(table.concat(names, ", "), table.concat(members, ", ")) or ""
    return ("function(%s) %sreturn %s end"):format(parameters, locals, expression)
end

local function functions_text(parameters, expressions)
    local parts = {}
    for name, expression in pairs(expressions) do
        parts[#parts + 1] = ("    [%q] = %s"):format(name, function_text(parameters, expression))
    end
    table.sort(parts)
    return "{\n" .. table.concat(parts, ",\n") .. " }"
end

local function names_text(names)
    local quoted = {}
    for i, name in ipairs(names) do quoted[i] = ("%q"):format(name) end
    return "{ " .. table.concat(quoted, ", ") .. " }"
end

local SKIPS = { past_last_row = "skip past last row", to_next_row = "skip to next row" }
local function skip_text(after_match)
    local which, var = after_match:match "^to_(%a+):(.+)$"
    return which and ("skip to %s %s"):format(which, var) or SKIPS[after_match]
end

local function order_of(case)
    local order = type(case.order_by) == "table" and case.order_by or { case.order_by }
    return order, case.time_col or order[1]
end

function M.rule(case)
    local order, time = order_of(case)
    local rest = {}
    for _, item in ipairs(order) do
        if item ~= time then rest[#rest + 1] = item end
    end
    local subset = {}
    for name, vars in pairs(case.subset or {}) do subset[#subset + 1] = ("[%q] = %s"):format(name, names_text(vars)) end
    local more = {}
    if #rest > 0 then more[#more + 1] = ("order_by = %s"):format(names_text(rest)) end
    if case.within_ms and case.within_ms ~= null then more[#more + 1] = ("within = %q"):format(("%dms"):format(case.within_ms)) end
    more[#more + 1] = ""
    return ([[
rule "case" {
  from = "s",
  match = {
    partition_by = %s, pattern = %q, after_match = %q, rows_per_match = %q, subset = { %s }, %s
    define = %s,
    measures = %s,
  },
  time_format = "epoch_ms",
  to = "out",
}
]]):format(names_text(case.partition_by), case.pattern, skip_text(case.after_match), (case.rows_per_match:gsub("_", " ")),
        table.concat(subset, ", "), table.concat(more, ", "), functions_text("row, m", case.define), functions_text("m, row", case.measures))
end

-- One row as text: the columns a case lists, by value.
local function row_text(row, columns)
    local picked = {}
    for _, column in ipairs(columns) do
        local v = row[column]
        picked[column] = v == nil and null or v
    end
    return replay.canonical(picked)
end

local function sorted(list)
    table.sort(list)
    return list
end

-- got, wanted (sorted lists of texts) and what replay said.
function M.run(case)
    local _, time = order_of(case)
    local input = {}
    for i, item in ipairs(case.rows) do
        input[i] = item.watermark and { watermark = item.watermark } or { topic = "s", partition = 0, payload = item }
    end
    local ran = replay.run {
        config = ('source "s" { topic = "s", event_time = %q, watermark = "none", max_ahead = "none" }\nrules "rules"\n'):format(time),
        rules = M.rule(case),
        input = input,
    }
    local got, wanted = {}, {}
    for _, record in ipairs(ran:topic "out") do got[#got + 1] = row_text(record.value, case.output_columns) end
    for _, row in ipairs(case.expected ~= null and case.expected or {}) do wanted[#wanted + 1] = row_text(row, case.output_columns) end
    return sorted(got), sorted(wanted), ran
end

return M
