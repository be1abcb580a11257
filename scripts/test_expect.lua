-- test_expect: what came out against what a spec expects, and the difference as a table for people.
-- Rows are compared by the columns that the expected one names; order does not count, number does. A row that is left over
-- on both sides is shown as one line with both values where they differ.

local json = require "test_json"

local expect = {}

-- ---- values ----

local function days_from(year, month, day)
    year = month <= 2 and year - 1 or year
    local era = math.floor(year / 400)
    local of_era = year - era * 400
    local of_year = math.floor((153 * (month + (month > 2 and -3 or 9)) + 2) / 5) + day - 1
    return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
end

local function is_day(year, month, day)
    if month < 1 or month > 12 or day < 1 then return false end
    local next_year, next_month = month == 12 and year + 1 or year, month % 12 + 1
    return day <= days_from(next_year, next_month, 1) - days_from(year, month, 1)
end

-- Epoch ms of "2022-08-02 07:53:42.541", "2022-08-02T07:53:42Z", "2022-08-02", or of "07:53:42" on the day of expect.day;
-- nil: it is none of these.
expect.day = days_from(2020, 1, 1) * 86400000
function expect.time(text)
    local year, month, day, rest = text:match "^(%d%d%d%d)-(%d%d)-(%d%d)(.*)$"
    if year and not is_day(tonumber(year), tonumber(month), tonumber(day)) then return nil end
    local ms = year and days_from(tonumber(year), tonumber(month), tonumber(day)) * 86400000 or expect.day
    rest = rest or text
    if year then
        if rest == "" then return ms end
        rest = rest:match "^[T ](.*)$"
        if not rest then return nil end
        rest = rest:gsub("Z$", "")
    end
    local hours, minutes, seconds = rest:match "^(%d%d):(%d%d):(%d%d%.?%d*)$"
    if not hours then hours, minutes, seconds = rest:match "^(%d%d):(%d%d)$" end
    if not hours or tonumber(hours) > 23 or tonumber(minutes) > 59 or tonumber(seconds or 0) >= 60 then return nil end
    return ms + tonumber(hours) * 3600000 + tonumber(minutes) * 60000 + math.floor(tonumber(seconds or 0) * 1000 + 0.5)
end

-- Text of an event time as a person writes it in a spec: without the day where it is the spec's own.
function expect.show_time(ms)
    if type(ms) ~= "number" then return tostring(ms) end
    local day = math.floor(ms / 86400000)
    local rest = ms - day * 86400000
    local clock = ("%02d:%02d:%02d"):format(math.floor(rest / 3600000), math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60)
    if rest % 1000 ~= 0 then clock = clock .. (".%03d"):format(rest % 1000) end
    if day * 86400000 == expect.day then return clock end
    local z = day + 719468
    local era = math.floor(z / 146097)
    local of_era = z - era * 146097
    local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local m = math.floor((5 * of_year + 2) / 153)
    local d, month = of_year - math.floor((153 * m + 2) / 5) + 1, m < 10 and m + 3 or m - 9
    return ("%04d-%02d-%02d %s"):format(year + era * 400 + (month <= 2 and 1 or 0), month, d, clock)
end

local function near(a, b)
    return a == b or math.abs(a - b) <= 1e-9 * math.max(math.abs(a), math.abs(b))
end

-- An expected number also equals the timestamp of that many ms; an expected time equals it in any spelling.
local function equal(wanted, got)
    if wanted == json.null then wanted = nil end
    if got == json.null then got = nil end
    if type(wanted) == "function" then return wanted(got) and true or false end
    if type(wanted) == "number" and type(got) == "number" then return near(wanted, got) end
    if type(wanted) == "number" and type(got) == "string" then return tonumber(got) == wanted or expect.time(got) == wanted end
    if type(wanted) ~= "table" or type(got) ~= "table" then return wanted == got end
    for k, v in pairs(wanted) do
        if not equal(v, got[k]) then return false end
    end
    for k, v in pairs(got) do
        if wanted[k] == nil and v ~= json.null then return false end
    end
    return true
end
expect.equal = equal

local function show(v)
    if v == nil or v == json.null then return "null" end
    if type(v) == "function" then return "(a condition)" end
    if type(v) == "string" then return v end
    return json.write(v)
end

local function show_wanted(v, got)
    if type(v) == "number" and type(got) == "string" and expect.time(got) then return expect.show_time(v) end
    return show(v)
end

-- ---- matching rows ----

local function sorted_names(row)
    local names = {}
    for name in pairs(row) do names[#names + 1] = name end
    table.sort(names)
    return names
end

local function agreeing(wanted, got)
    local same, all = 0, 0
    for name, v in pairs(wanted) do
        all = all + 1
        if equal(v, got[name]) then same = same + 1 end
    end
    return same, all
end

local function take_exact(wanted, got, pairs_of, free)
    for i, row in ipairs(wanted) do
        for k in ipairs(got) do
            if free[k] then
                local same, all = agreeing(row, got[k])
                if same == all then
                    pairs_of[i], free[k] = k, nil
                    break
                end
            end
        end
    end
end

-- What is left on both sides goes together where most columns agree.
local function take_near(wanted, got, near_of, pairs_of, free)
    for i, row in ipairs(wanted) do
        local best, best_same = nil, 0
        for k in ipairs(got) do
            local same = free[k] and not pairs_of[i] and agreeing(row, got[k]) or 0
            if same > best_same then best, best_same = k, same end
        end
        if best then near_of[i], free[best] = best, nil end
    end
end

-- nil when all is as expected; else lines { mark, wanted, got }, and counts.
function expect.compare(wanted, got)
    local pairs_of, near_of, free = {}, {}, {}
    for k in ipairs(got) do free[k] = true end
    take_exact(wanted, got, pairs_of, free)
    take_near(wanted, got, near_of, pairs_of, free)
    local lines, missing, extra, different = {}, 0, 0, 0
    for i, row in ipairs(wanted) do
        if pairs_of[i] then lines[#lines + 1] = { mark = " ", wanted = row, got = got[pairs_of[i]] }
        elseif near_of[i] then
            different = different + 1
            lines[#lines + 1] = { mark = "~", wanted = row, got = got[near_of[i]] }
        else
            missing = missing + 1
            lines[#lines + 1] = { mark = "-", wanted = row }
        end
    end
    for k, row in ipairs(got) do
        if free[k] then
            extra = extra + 1
            lines[#lines + 1] = { mark = "+", got = row }
        end
    end
    if missing + extra + different == 0 then return nil end
    return lines, { missing = missing, extra = extra, different = different }
end

-- ---- the table ----

local function columns_of(lines)
    local seen, names = {}, {}
    for _, line in ipairs(lines) do
        for name in pairs(line.wanted or {}) do
            if not seen[name] then seen[name], names[#names + 1] = true, name end
        end
    end
    if #names == 0 then
        for _, line in ipairs(lines) do
            for _, name in ipairs(sorted_names(line.got or {})) do
                if not seen[name] and name:sub(1, 1) ~= "_" then seen[name], names[#names + 1] = true, name end
            end
        end
    end
    table.sort(names)
    return names
end

local function cell(line, name)
    local wanted, got = line.wanted and line.wanted[name], line.got and line.got[name]
    local time = name == "_at" or name == "_time"
    if line.mark == "-" then return wanted == nil and "" or time and expect.show_time(wanted) or show(wanted) end
    if wanted == nil and (got == nil or got == json.null) then return "" end
    if line.mark == "~" and wanted ~= nil and not equal(wanted, got) then
        if time then return ("%s (expected %s)"):format(expect.show_time(got), expect.show_time(wanted)) end
        return ("%s (expected %s)"):format(show(got), show_wanted(wanted, got))
    end
    return time and expect.show_time(got) or show(got)
end

local function width(text)
    local _, continuation = text:gsub("[\128-\191]", "")
    local _, wide = text:gsub("[\240-\244]", "")     -- emoji take two columns
    return #text - continuation + wide
end

local meaning = { ["-"] = "expected, did not come out", ["+"] = "came out, not expected", ["~"] = "came out otherwise" }
local colour = { ["-"] = "\27[31m", ["+"] = "\27[32m", ["~"] = "\27[33m", [" "] = "" }

function expect.table(lines, coloured)
    local names = columns_of(lines)
    local grid, widths = { {} }, {}
    for c, name in ipairs(names) do grid[1][c] = name end
    for i, line in ipairs(lines) do
        grid[i + 1] = {}
        for c, name in ipairs(names) do
            local text = cell(line, name)
            grid[i + 1][c] = width(text) > 60 and text:sub(1, 57) .. "..." or text
        end
    end
    for _, row in ipairs(grid) do
        for c, text in ipairs(row) do widths[c] = math.max(widths[c] or 0, width(text)) end
    end
    local out = {}
    for i, row in ipairs(grid) do
        local parts = {}
        for c, text in ipairs(row) do parts[c] = text .. (" "):rep(widths[c] - width(text)) end
        local mark = i > 1 and lines[i - 1].mark or " "
        local text = ("    %s %s  %s"):format(mark, table.concat(parts, "  "), meaning[mark] or ""):gsub("%s+$", "")
        out[i] = coloured and mark ~= " " and colour[mark] .. text .. "\27[0m" or text
    end
    return table.concat(out, "\n")
end

return expect
