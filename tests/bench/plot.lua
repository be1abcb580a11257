-- Curves as SVG, both axes logarithmic: plot.write(path, { { title =, unit =, { x =, y = }, ... }, ... }, y_title).

local plot = {}

local PLOT, HEIGHT, LEFT, TOP, BOTTOM = 540, 480, 70, 30, 50
local LETTER = 7 -- as wide as one is on average, and a little more
local COLOURS = { "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2" }

local function name(curve) return ("%s, by %s"):format(curve.title, curve.unit) end

-- 10 to the power of d
local function number(d)
    if d >= 6 then return ("%g M"):format(10 ^ (d - 6)) end
    return d >= 3 and ("%g k"):format(10 ^ (d - 3)) or ("%g"):format(10 ^ d)
end

local function decades(curves, axis)
    local low, high = math.huge, -math.huge
    for _, curve in ipairs(curves) do
        for _, point in ipairs(curve) do
            low, high = math.min(low, point[axis]), math.max(high, point[axis])
        end
    end
    return math.floor(math.log10(low)), math.max(math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1)
end

function plot.write(path, curves, y_title)
    assert(#curves <= #COLOURS, "more curves than colours")
    local letters = 0
    for _, curve in ipairs(curves) do letters = math.max(letters, #name(curve)) end
    local right = LEFT + PLOT
    local width = right + 10 + letters * LETTER
    local x0, x1 = decades(curves, "x")
    local y0, y1 = decades(curves, "y")
    local function place_x(x) return LEFT + (math.log10(x) - x0) / (x1 - x0) * PLOT end
    local function place_y(y) return HEIGHT - BOTTOM - (math.log10(y) - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM) end
    local out = { ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">'):format(width, HEIGHT),
        '<rect width="100%" height="100%" fill="white"/>' }
    local function add(text, ...) out[#out + 1] = text:format(...) end
    for d = x0, x1 do
        add('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>', place_x(10 ^ d), TOP, place_x(10 ^ d), HEIGHT - BOTTOM)
        add('<text x="%.1f" y="%d" text-anchor="middle">%s</text>', place_x(10 ^ d), HEIGHT - BOTTOM + 18, number(d))
    end
    for d = y0, y1 do
        add('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>', LEFT, place_y(10 ^ d), right, place_y(10 ^ d))
        add('<text x="%d" y="%.1f" text-anchor="end">%s</text>', LEFT - 6, place_y(10 ^ d) + 4, number(d))
    end
    add('<text x="%d" y="18">%s</text>', LEFT, y_title)
    for i, curve in ipairs(curves) do
        local colour, points = COLOURS[i], {}
        for k, point in ipairs(curve) do
            points[k] = ("%.1f,%.1f"):format(place_x(point.x), place_y(point.y))
            add('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>', place_x(point.x), place_y(point.y), colour)
        end
        add('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>', table.concat(points, " "), colour)
        add('<text x="%d" y="%d" fill="%s">%s</text>', right + 10, TOP + 14 + i * 18, colour, name(curve))
    end
    add '</svg>'
    local file = assert(io.open(path, "wb"))
    file:write(table.concat(out, "\n"), "\n")
    file:close()
end

return plot
