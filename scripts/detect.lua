-- detect: ready-made detectors, `detect = ewma { by = { "sensor" }, value = "celsius", threshold = 4, warmup = 30 }`.
-- Each is a process (scripts/process.lua) over the numbers of one column, apart for each key of `by`. A row whose score
-- reaches the threshold goes out as it came, with `score` and what the detector had expected behind it. A row is judged by
-- what was known before it. Rows whose value is null or no number are passed over. All states are small and are kept like
-- those of any process rule.

local check = require "check"
local fault = require "fault"

local detect = {}

local abs, floor, huge, max, sqrt = math.abs, math.floor, math.huge, math.max, math.sqrt

-- ---- options, as data ----

local common = {
    { name = "by", doc = "columns of the key" },
    { name = "value", type = "column", required = true, doc = "the column with the number" },
    { name = "threshold", type = "number", least = 0, doc = "score from which a row goes out" },
    { name = "warmup", type = "count", doc = "values that are only learned from, for each key" },
    { name = "order", type = "choice", default = "arrival", choices = { "arrival", "event_time" }, doc = "order of the rows" },
    { name = "ttl", type = "duration text", doc = "a key not seen for this long is forgotten" },
}

local direction = { name = "direction", type = "choice", default = "both", choices = { "both", "up", "down" },
    doc = "which deviations count" }
local learn = { name = "learn", type = "choice", default = "all", choices = { "all", "normal" },
    doc = "whether rows that went out are learned from" }
local least_scale = { name = "least_scale", type = "number", default = 0, least = 0,
    doc = "deviations are never measured by less than this" }

-- Defaults of the common ones that differ, and the options of its own.
local own = {
    zscore = { threshold = 3, warmup = 30, direction, learn, least_scale },
    ewma = { threshold = 3, warmup = 30, direction, learn, least_scale,
        { name = "alpha", type = "number", default = 0.1, least = 0, most = 1, doc = "weight of the newest value" } },
    mad = { threshold = 3.5, warmup = 10, direction, learn, least_scale,
        { name = "window", type = "count", default = 100, least = 3, doc = "values that the median is taken of" } },
    cusum = { threshold = 5, warmup = 30, direction, least_scale,
        { name = "drift", type = "number", default = 0.5, least = 0, doc = "deviation that is borne, in standard deviations" } },
    rate_of_change = { threshold = false, warmup = 1, direction,
        { name = "per", type = "duration", default = 1000, doc = "the time that the change is counted for" },
        { name = "relative", type = "boolean", default = false, doc = "change as a part of the value before" } },
    seasonal = { threshold = 3, warmup = false, direction, learn, least_scale,
        { name = "period", type = "count", required = true, least = 2, doc = "values, or parts of `season`, until things repeat" },
        { name = "season", type = "duration", doc = "the time until things repeat; absent: values are counted" },
        { name = "alpha", type = "number", default = 0.2, least = 0, most = 1, doc = "weight of the newest value in the level" },
        { name = "beta", type = "number", default = 0.02, least = 0, most = 1, doc = "the same in the trend" },
        { name = "gamma", type = "number", default = 0.2, least = 0, most = 1, doc = "the same in the season" } },
    absence = { threshold = 3, warmup = 5, value = false,
        { name = "after", type = "duration", doc = "silence that is an anomaly; absent: `threshold` times the usual pause" } },
}

local function rows_of(kind)
    local list, set = {}, own[kind]
    for _, row in ipairs(common) do
        if set[row.name] ~= false or row.name ~= "value" then
            local copy = {}
            for k, v in pairs(row) do copy[k] = v end
            if set[row.name] ~= nil then copy.default = set[row.name] or nil end
            if set[row.name] == false and row.name == "threshold" then copy.required = true end
            list[#list + 1] = copy
        end
    end
    for _, row in ipairs(set) do list[#list + 1] = row end
    return list
end

local function fail(format, ...) error(format:format(...), 0) end

local types = {}
function types.column(row, v)
    if type(v) ~= "string" then fail("`%s`: expected the name of a column, got %s", row.name, check.describe(v)) end
    return v
end
function types.number(row, v)
    if type(v) ~= "number" or v ~= v or abs(v) == huge then
        fail("`%s`: expected a number, got %s", row.name, check.describe(v))
    end
    if v < (row.least or -huge) or v > (row.most or huge) then
        fail("`%s`: %s is out of range, from %s to %s", row.name, tostring(v), tostring(row.least or "any"), tostring(row.most or "any"))
    end
    return v
end
function types.count(row, v)
    if types.number(row, v) ~= floor(v) or v < 0 then fail("`%s`: expected a whole number, got %s", row.name, tostring(v)) end
    return v
end
function types.duration(row, v)
    local ms, why = check.duration_ms(v)
    if not ms then fail("`%s`: %s", row.name, why) end
    if ms < 1 then fail("`%s`: a duration of at least 1ms is needed", row.name) end
    return ms
end
types["duration text"] = function(row, v)
    types.duration(row, v)
    return v
end
function types.boolean(row, v)
    if type(v) ~= "boolean" then fail("`%s`: expected true or false, got %s", row.name, check.describe(v)) end
    return v
end
function types.choice(row, v)
    for _, choice in ipairs(row.choices) do
        if v == choice then return v end
    end
    fail("`%s`: expected %s, got %s", row.name, table.concat(row.choices, ", "), check.describe(v))
end

local function read_by(v)
    if v == nil then return {} end
    if type(v) == "string" then return { v } end
    if type(v) ~= "table" then fail("`by`: expected a list of columns, got %s", check.describe(v)) end
    for _, name in ipairs(v) do
        if type(name) ~= "string" then fail("`by`: expected a list of columns, got %s in it", check.describe(name)) end
    end
    return v
end

-- Options with their defaults; raises for what is wrong, in words for the rule's author, a line for each fault.
local function read_options(kind, given)
    local rows, known, out, names = rows_of(kind), {}, {}, {}
    for i, row in ipairs(rows) do known[row.name], names[i] = row, row.name end
    local written, faults = {}, {}
    for name in pairs(given) do written[#written + 1] = name end
    table.sort(written, function(a, b) return tostring(a) < tostring(b) end)
    for _, name in ipairs(written) do
        if not known[name] then
            faults[#faults + 1] = ("%s has no option `%s`%s"):format(kind, tostring(name), fault.suggest(tostring(name), names))
        end
    end
    local function read(row, v)
        if row.name == "by" then return read_by(v) end
        if v ~= nil then return types[row.type](row, v) end
        if row.required then fail("%s needs `%s`: %s", kind, row.name, row.doc) end
        return row.default
    end
    for _, row in ipairs(rows) do
        local ok, v = pcall(read, row, given[row.name])
        if ok then out[row.name] = v else faults[#faults + 1] = v end
    end
    if #faults > 0 then error(table.concat(faults, "\n"), 0) end
    return out
end

-- Tables of { name, type, default, required, doc }, for documents.
function detect.options(kind) return rows_of(kind) end

-- ---- what they share ----

local function number_of(row, o)
    local x = row[o.value]
    if type(x) == "number" and x == x and abs(x) ~= huge then return x end
    return nil
end

-- A scale of 0 (all values so far were equal) makes any other value very far off, but never infinitely so.
local function scaled(deviation, scale, expected, o)
    if o.direction == "up" then deviation = max(deviation, 0)
    elseif o.direction == "down" then deviation = max(-deviation, 0)
    else deviation = abs(deviation) end
    return deviation / max(scale, o.least_scale or 0, 1e-9 * max(1, abs(expected)))
end

local function process(o, on_row, on_timer, columns)
    return { by = o.by, order = o.order, ttl = o.ttl, on_row = on_row, on_timer = on_timer, needs = { o.value },
        columns = columns or { "score", "expected" } }
end

-- judge(x, state, row) gives score and expected value, or nil while nothing can be said; learn(x, state, row).
local function learner(o, judge, learn_from)
    return process(o, function(row, state, emit)
        local x = number_of(row, o)
        if not x then return end
        local n = state.n or 0
        local out = false
        if n >= o.warmup then
            local score, expected = judge(x, state, row)
            if score and score >= o.threshold then
                out = true
                emit { score = score, expected = expected }
            end
        end
        if not out or o.learn ~= "normal" then
            learn_from(x, state, row)
            state.n = n + 1
        end
    end)
end

-- ---- the detectors ----

-- Distance from the mean in standard deviations. Mean and variance are updated value by value: B. P. Welford, "Note on a
-- method for calculating corrected sums of squares and products", Technometrics 4 (1962).
local function welford(x, state)
    local n = (state.n or 0) + 1
    local mean = state.mean or 0
    local d = x - mean
    mean = mean + d / n
    state.mean, state.m2 = mean, (state.m2 or 0) + d * (x - mean)
end

local function deviation_of(state) return state.n > 1 and sqrt(max(state.m2, 0) / (state.n - 1)) or 0 end

function detect.zscore(given)
    local o = read_options("zscore", given)
    return learner(o, function(x, state)
        if state.n < 2 then return nil end
        return scaled(x - state.mean, deviation_of(state), state.mean, o), state.mean
    end, welford)
end

-- Distance from an exponentially weighted mean in exponentially weighted standard deviations: S. W. Roberts, "Control
-- chart tests based on geometric moving averages", Technometrics 1 (1959); the variance after T. Finch, "Incremental
-- calculation of weighted mean and variance" (2009).
function detect.ewma(given)
    local o = read_options("ewma", given)
    local alpha = o.alpha
    return learner(o, function(x, state)
        if state.n < 2 then return nil end
        return scaled(x - state.mean, sqrt(state.variance), state.mean, o), state.mean
    end, function(x, state)
        if not state.mean then
            state.mean, state.variance = x, 0
            return
        end
        local d = x - state.mean
        state.mean = state.mean + alpha * d
        state.variance = (1 - alpha) * (state.variance + alpha * d * d)
    end)
end

-- The modified z-score over the last values: 0.6745 times the distance from the median, in median absolute deviations.
-- B. Iglewicz and D. C. Hoaglin, "How to detect and handle outliers", ASQC (1993). Outliers do not move it.
local function position(sorted, n, x)
    local lo, hi = 1, n + 1
    while lo < hi do
        local mid = floor((lo + hi) / 2)
        if sorted[mid] < x then lo = mid + 1 else hi = mid end
    end
    return lo
end

local function median(sorted, n)
    local half = floor(n / 2)
    if n % 2 == 1 then return sorted[half + 1] end
    return (sorted[half] + sorted[half + 1]) / 2
end

-- Median of the distances from `middle`, taken from it outwards.
local function median_distance(sorted, n, middle)
    local right = position(sorted, n, middle)
    local left = right - 1
    local wanted, first, before = floor(n / 2) + 1, 0, 0
    for i = 1, wanted do
        local a = left >= 1 and middle - sorted[left] or huge
        local b = right <= n and sorted[right] - middle or huge
        before = first
        if a <= b then first, left = a, left - 1 else first, right = b, right + 1 end
        if i == wanted then break end
    end
    if n % 2 == 1 then return first end
    return (before + first) / 2
end

function detect.mad(given)
    local o = read_options("mad", given)
    return learner(o, function(x, state)
        local sorted = state.sorted
        local n = sorted and #sorted or 0
        if n < 3 then return nil end
        local middle = median(sorted, n)
        return 0.6745 * scaled(x - middle, median_distance(sorted, n, middle), middle, o), middle
    end, function(x, state)
        local values, sorted = state.values or {}, state.sorted or {}
        local at = (state.at or 0) % o.window + 1
        if values[at] then table.remove(sorted, position(sorted, #sorted, values[at])) end
        table.insert(sorted, position(sorted, #sorted, x), x)
        values[at] = x
        state.values, state.sorted, state.at = values, sorted, at
    end)
end

-- A shift of the mean that lasts: the tabular cusum of standardised values, one sum for each side, begun anew when it has
-- sounded. E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); D. C. Montgomery, "Introduction to
-- statistical quality control", chapter 9. Mean and deviation are those of the warm-up.
function detect.cusum(given)
    local o = read_options("cusum", given)
    o.warmup = max(o.warmup, 2)
    return process(o, function(row, state, emit)
        local x = number_of(row, o)
        if not x then return end
        local n = state.n or 0
        if n < o.warmup then
            welford(x, state)
            state.n = n + 1
            return
        end
        local scale = max(deviation_of(state), o.least_scale, 1e-9 * max(1, abs(state.mean)))
        local z = (x - state.mean) / scale
        local up = o.direction ~= "down" and max(0, (state.up or 0) + z - o.drift) or 0
        local down = o.direction ~= "up" and max(0, (state.down or 0) - z - o.drift) or 0
        local score = max(up, down)
        if score >= o.threshold then
            emit { score = score, expected = state.mean }
            up, down = 0, 0
        end
        state.up, state.down = up, down
    end)
end

-- The first divided difference: change since the value before, for each `per` of event time, or with `relative` as a part
-- of that value. R. L. Burden and J. D. Faires, "Numerical analysis", chapter 3. Rows of one time have no rate: the later
-- one is taken as the value.
function detect.rate_of_change(given)
    local o = read_options("rate_of_change", given)
    o.warmup = max(o.warmup, 1)
    return process(o, function(row, state, emit)
        local x = number_of(row, o)
        if not x then return end
        local n, before, passed = state.n or 0, state.value, row._time - (state.time or 0)
        if n >= o.warmup and passed > 0 then
            local change = x - before
            if o.relative then change = before ~= 0 and change / abs(before) or nil end
            if change then
                local score = scaled(change * o.per / passed, 1, 0, o)
                if score >= o.threshold then emit { score = score, expected = before } end
            end
        end
        -- A row that comes late in event time says nothing about the change from here on.
        if n == 0 or passed >= 0 then state.value, state.time = x, row._time end
        state.n = n + 1
    end)
end

-- Triple exponential smoothing with an additive season: C. C. Holt (1957), P. R. Winters, "Forecasting sales by
-- exponentially weighted moving averages", Management Science 6 (1960); deviations are measured by their smoothed size in
-- the same part of the season: J. Brutlag, "Aberrant behavior detection in time series for network monitoring", LISA (2000).
local function part_of_season(o, state, row)
    if o.season then return floor((row._time % o.season) * o.period / o.season) + 1 end
    return (state.n or 0) % o.period + 1
end

local function first_season(x, state, part, o)
    local first = state.first or { sum = 0, n = 0, values = {}, counts = {} }
    state.first = first
    first.sum, first.n = first.sum + x, first.n + 1
    first.values[part] = (first.values[part] or 0) + x
    first.counts[part] = (first.counts[part] or 0) + 1
    if first.n < o.period then return end
    state.level, state.trend, state.season, state.size = first.sum / first.n, 0, {}, {}
    for i = 1, o.period do
        state.season[i] = first.counts[i] and first.values[i] / first.counts[i] - state.level or 0
        state.size[i] = -1
    end
    state.first = nil
end

-- Mean over the season: a part that was seen few times may have deviated by next to nothing so far.
local function usual_size(state)
    local sum, n = 0, 0
    for _, size in ipairs(state.size) do
        if size >= 0 then sum, n = sum + size, n + 1 end
    end
    return n > 0 and sum / n or 0
end

function detect.seasonal(given)
    local o = read_options("seasonal", given)
    o.warmup = max(o.warmup or 2 * o.period, o.period + 1)
    return learner(o, function(x, state, row)
        local part = part_of_season(o, state, row)
        if state.size[part] < 0 then return nil end
        local expected = state.level + state.trend + state.season[part]
        return scaled(x - expected, max(state.size[part], usual_size(state) / 2), expected, o), expected
    end, function(x, state, row)
        local part = part_of_season(o, state, row)
        if not state.level then return first_season(x, state, part, o) end
        local level, season, size = state.level, state.season[part], state.size[part]
        local off = abs(x - (level + state.trend + season))
        state.level = o.alpha * (x - season) + (1 - o.alpha) * (level + state.trend)
        state.trend = o.beta * (state.level - level) + (1 - o.beta) * state.trend
        state.season[part] = o.gamma * (x - state.level) + (1 - o.gamma) * season
        state.size[part] = size < 0 and off or o.gamma * off + (1 - o.gamma) * size
    end)
end

-- A key gone silent. With `after`, when that much event time has passed since its last row; else when the silence is
-- `threshold` times the usual pause, an exponentially weighted mean of those so far, as accrual failure detectors take it:
-- N. Hayashibara et al., "The phi accrual failure detector", SRDS (2004). Sounds once; the key's next row ends the silence.
-- What goes out is the last row, at the time of the alarm.
function detect.absence(given)
    local o = read_options("absence", given)
    local function on_row(row, state)
        local time = row._time
        if state.last and time > state.last then
            local pause = time - state.last
            state.pause = state.pause and state.pause + 0.1 * (pause - state.pause) or pause
            state.n = (state.n or 0) + 1
        end
        if not state.last or time > state.last then state.last = time end
        local wait = o.after
        if not wait and (state.n or 0) >= o.warmup and state.pause then wait = max(1, floor(o.threshold * state.pause + 0.5)) end
        if wait then
            state:wake_at(state.last + wait)
        end
    end
    local function on_timer(state, time, emit)
        local usual = o.after or state.pause
        emit { score = (time - state.last) / usual, expected = usual, silent_since = state.last }
    end
    local made = process(o, on_row, on_timer, { "score", "expected", "silent_since" })
    made.needs = {}
    return made
end

return detect
