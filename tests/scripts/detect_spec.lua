local detect = require "detect"

-- Runs a detector over { time, value } pairs of one key, as the engine would; rows that came out by number of the row.
local function run(made, series)
    local state, out, timer = {}, {}, nil
    local methods = {}
    function methods.wake_at(_, time) timer = time end
    setmetatable(state, { __index = methods })
    for i, item in ipairs(series) do
        local time = item.time or i * 1000
        if timer and timer < time then
            local at = timer
            timer = nil
            made.on_timer(state, at, function(v) v.at = at out[#out + 1] = v end)
        end
        if not item.only_time then
            local row = { _time = time, x = item.value }
            made.on_row(row, state, function(v) v.i = i out[#out + 1] = v end)
        end
    end
    return out, state
end

local function values(list)
    local out = {}
    for i, v in ipairs(list) do out[i] = { value = v } end
    return out
end

local function noise(n, spikes)
    local list = {}
    for i = 1, n do list[i] = 50 + math.random() * 4 - 2 end
    for _, at in ipairs(spikes or {}) do list[at] = list[at] + 100 end
    return list
end

local function positions(out)
    local list = {}
    for i, v in ipairs(out) do list[i] = v.i end
    return list
end

local function mean_sd(list, from, to)
    local sum, squares, n = 0, 0, to - from + 1
    for i = from, to do sum = sum + list[i] end
    local mean = sum / n
    for i = from, to do squares = squares + (list[i] - mean) ^ 2 end
    return mean, math.sqrt(squares / (n - 1))
end

local function near(expected, got) assert.is_true(math.abs(expected - got) < 1e-6 * math.max(1, math.abs(expected)), got .. " is not " .. expected) end

describe("detect.zscore", function()
    it("scores by mean and deviation of all rows before, as two passes over them give", function()
        local list = noise(200, { 60, 150 })
        local out = run(detect.zscore { value = "x", threshold = 0, warmup = 10 }, values(list))
        assert.equal(190, #out)
        for _, v in ipairs(out) do
            local mean, sd = mean_sd(list, 1, v.i - 1)
            near(mean, v.expected)
            near(math.abs(list[v.i] - mean) / sd, v.score)
        end
    end)
    it("gives the rows that reach the threshold, after the warm-up, and no others", function()
        local list = noise(200, { 5, 60, 150 })
        assert.same({ 150 }, positions(run(detect.zscore { value = "x", threshold = 5, warmup = 100 }, values(list))))
        assert.same({ 60, 150 }, positions(run(detect.zscore { value = "x", threshold = 8, warmup = 20, learn = "normal" },
            values(noise(200, { 60, 150 })))))
    end)
    it("looks at one side only when told so", function()
        local list = noise(100)
        list[80] = -100
        assert.same({}, positions(run(detect.zscore { value = "x", threshold = 10, direction = "up" }, values(list))))
        assert.same({ 80 }, positions(run(detect.zscore { value = "x", threshold = 10, direction = "down" }, values(list))))
    end)
    it("passes over what is no number, and scores a change after equal values finitely", function()
        local out, state = run(detect.zscore { value = "x", threshold = 3, warmup = 2 },
            { { value = 1 }, { value = "1" }, {}, { value = 0 / 0 }, { value = 1 }, { value = 1 }, { value = 2 } })
        assert.same({ 7 }, positions(out))
        assert.is_true(out[1].score > 1e6 and out[1].score < 1e18)
        assert.equal(4, state.n)
    end)
end)

describe("detect.ewma", function()
    it("scores by the exponentially weighted mean and variance of the rows before", function()
        local list, alpha = noise(200, { 60 }), 0.2
        local out = run(detect.ewma { value = "x", threshold = 0, warmup = 5, alpha = alpha }, values(list))
        assert.equal(195, #out)
        for _, v in ipairs(out) do
            -- From the definition: weights (1 - alpha)^k, the first value bearing what is left.
            local n, mean, variance = v.i - 1, 0, 0
            local function weight(k) return k == 1 and (1 - alpha) ^ (n - 1) or alpha * (1 - alpha) ^ (n - k) end
            for k = 1, n do mean = mean + weight(k) * list[k] end
            for k = 1, n do variance = variance + weight(k) * (list[k] - mean) ^ 2 end
            near(mean, v.expected)
            near(math.abs(list[v.i] - mean) / math.sqrt(variance), v.score)
        end
    end)
    it("finds a spike and follows a new level", function()
        local list = noise(300)
        for i = 200, 300 do list[i] = list[i] + 100 end
        local found = positions(run(detect.ewma { value = "x", threshold = 6 }, values(list)))
        assert.equal(200, found[1])
        assert.is_true(#found < 4)
    end)
end)

describe("detect.mad", function()
    local function median(list)
        table.sort(list)
        local n = #list
        return n % 2 == 1 and list[(n + 1) / 2] or (list[n / 2] + list[n / 2 + 1]) / 2
    end
    it("scores by median and median deviation of the last values, as sorting them gives", function()
        local list = noise(150, { 40, 41, 42, 90 })
        for i = 1, 150 do list[i] = math.floor(list[i]) end          -- many equal ones
        for _, window in ipairs { 3, 10, 25 } do
            local out = run(detect.mad { value = "x", threshold = 0, warmup = 5, window = window }, values(list))
            assert.equal(145, #out)
            for _, v in ipairs(out) do
                local last, off = {}, {}
                for k = math.max(1, v.i - window), v.i - 1 do last[#last + 1] = list[k] end
                local middle = median(last)
                for k, x in ipairs(last) do off[k] = math.abs(x - middle) end
                near(middle, v.expected)
                near(0.6745 * math.abs(list[v.i] - middle) / math.max(median(off), 1e-9 * math.max(1, math.abs(middle))), v.score)
            end
        end
    end)
    it("is not moved by the outliers before", function()
        assert.same({ 50, 51, 52, 53 }, positions(run(detect.mad { value = "x", threshold = 20, warmup = 20, window = 30 },
            values(noise(100, { 50, 51, 52, 53 })))))
    end)
end)

describe("detect.cusum", function()
    it("adds up what goes beyond the drift, as the tabular form does", function()
        local list = noise(120)
        for i = 80, 120 do list[i] = list[i] + 3 end
        local mean, sd = mean_sd(list, 1, 30)
        local up, down, expected = 0, 0, {}
        for i = 31, 120 do
            local z = (list[i] - mean) / sd
            up, down = math.max(0, up + z - 0.5), math.max(0, down - z - 0.5)
            local score = math.max(up, down)
            if score >= 5 then expected[#expected + 1] = { i, score } up, down = 0, 0 end
        end
        local out = run(detect.cusum { value = "x" }, values(list))
        assert.is_true(#expected > 0)
        assert.equal(#expected, #out)
        for k, v in ipairs(out) do
            assert.equal(expected[k][1], v.i)
            near(expected[k][2], v.score)
        end
    end)
end)

describe("detect.rate_of_change", function()
    local series = { { time = 0, value = 10 }, { time = 2000, value = 30 }, { time = 2000, value = 500 }, { time = 3000, value = 495 }, { time = 1000, value = 0 }, { time = 4000, value = 490 } }
    it("is the change for each `per` of event time", function()
        local out = run(detect.rate_of_change { value = "x", threshold = 5, per = "1s" }, series)
        assert.same({ { score = 10, expected = 10, i = 2 }, { score = 5, expected = 500, i = 4 }, { score = 5, expected = 495, i = 6 } }, out)
        assert.same({ { score = 10, expected = 10, i = 2 } }, (run(detect.rate_of_change { value = "x", threshold = 5, direction = "up" }, series)))
        assert.equal(600, run(detect.rate_of_change { value = "x", threshold = 500, per = "1m" }, series)[1].score)
    end)
    it("is a part of the value before when relative", function()
        local out = run(detect.rate_of_change { value = "x", threshold = 0.9, relative = true }, series)
        assert.same({ { score = 1, expected = 10, i = 2 } }, out)
    end)
end)

describe("detect.seasonal", function()
    it("forecasts as Holt and Winters' additive form does", function()
        local list, period, a, b, g = {}, 6, 0.3, 0.1, 0.4
        for i = 1, 60 do list[i] = 100 + i * 0.5 + 20 * math.sin(i * 2 * math.pi / period) + math.random() end
        list[45] = list[45] + 50
        local out = run(detect.seasonal { value = "x", period = period, alpha = a, beta = b, gamma = g, threshold = 0 }, values(list))
        local level, trend, season, size = 0, 0, {}, {}
        for i = 1, period do level = level + list[i] / period end
        for i = 1, period do season[i] = list[i] - level end
        local k = 0
        for i = period + 1, 60 do
            local s = (i - 1) % period + 1
            local forecast = level + trend + season[s]
            local off = math.abs(list[i] - forecast)
            if i > 2 * period then
                k = k + 1
                assert.equal(i, out[k].i)
                near(forecast, out[k].expected)
                local usual = 0
                for part = 1, period do usual = usual + size[part] / period end
                near(off / math.max(size[s], usual / 2), out[k].score)
            end
            size[s] = size[s] and g * off + (1 - g) * size[s] or off
            local before = level
            level = a * (list[i] - season[s]) + (1 - a) * (level + trend)
            trend = b * (level - before) + (1 - b) * trend
            season[s] = g * (list[i] - level) + (1 - g) * season[s]
        end
        assert.equal(k, #out)
    end)
    it("takes the part of the season from event time", function()
        local series = {}
        for day = 0, 9 do
            for hour = 0, 23 do
                series[#series + 1] = { time = day * 86400000 + hour * 3600000 + 5000, value = (hour >= 8 and hour < 18) and 100 + math.random() or 10 + math.random() }
            end
        end
        series[#series + 1] = { time = 10 * 86400000 + 3 * 3600000, value = 100 }       -- a day's value at night
        local out = run(detect.seasonal { value = "x", period = 24, season = "1d", threshold = 20 }, series)
        assert.same({ #series }, positions(out))
    end)
end)

describe("detect.absence", function()
    it("sounds once when a key was silent for `after`, and again after it spoke", function()
        local out = run(detect.absence { after = "10s" }, { { time = 0 }, { time = 5000 }, { time = 20000, only_time = true }, { time = 30000 }, { time = 90000, only_time = true } })
        assert.same({ { score = 1, expected = 10000, silent_since = 5000, at = 15000 }, { score = 1, expected = 10000, silent_since = 30000, at = 40000 } }, out)
    end)
    it("learns the usual pause when nothing is said", function()
        local series = {}
        for i = 0, 20 do series[#series + 1] = { time = i * 1000 } end
        series[#series + 1] = { time = 100000, only_time = true }
        local out = run(detect.absence { threshold = 4, warmup = 10 }, series)
        assert.same({ { score = 4, expected = 1000, silent_since = 20000, at = 24000 } }, out)
    end)
end)

describe("detectors' options", function()
    local function fault(kind, options)
        local ok, message = pcall(detect[kind], options)
        assert.is_false(ok)
        return message
    end
    it("are refused in words when they are wrong", function()
        assert.truthy(fault("ewma", {}):find("needs `value`", 1, true))
        assert.truthy(fault("ewma", { value = "x", treshold = 1 }):find("did you mean `threshold`", 1, true))
        assert.truthy(fault("ewma", { value = "x", alpha = 2 }):find("out of range", 1, true))
        assert.truthy(fault("mad", { value = "x", window = 2 }):find("from 3 to", 1, true))
        assert.truthy(fault("zscore", { value = 5 }):find("name of a column", 1, true))
        assert.truthy(fault("rate_of_change", { value = "x" }):find("needs `threshold`", 1, true))
        assert.truthy(fault("absence", { after = "soon" }):find("no duration", 1, true))
        assert.truthy(fault("cusum", { value = "x", direction = "left" }):find("both, up, down", 1, true))
        assert.truthy(fault("seasonal", { value = "x" }):find("needs `period`", 1, true))
    end)
end)
