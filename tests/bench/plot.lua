-- Curves as SVG, both axes logarithmic: plot.write(path, { { title =, unit =, { x =, y = }, ... }, ... }, y_title).

local plot = {}

local WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 70, 250, 30, 50
local COLOURS = { "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b" }

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
    local x0, x1 = decades(curves, "x")
    local y0, y1 = decades(curves, "y")
    local function place_x(x) return LEFT + (math.log10(x) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT) end
    local function place_y(y) return HEIGHT - BOTTOM - (math.log10(y) - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM) end
    local out = { ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">'):format(WIDTH, HEIGHT),
        '<rect width="100%" height="100%" fill="white"/>' }
    local function add(text, ...) out[#out + 1] = text:format(...) end
    for d = x0, x1 do
        add('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>', place_x(10 ^ d), TOP, place_x(10 ^ d), HEIGHT - BOTTOM)
        add('<text x="%.1f" y="%d" text-anchor="middle">%g</text>', place_x(10 ^ d), HEIGHT - BOTTOM + 18, 10 ^ d)
    end
    for d = y0, y1 do
        add('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>', LEFT, place_y(10 ^ d), WIDTH - RIGHT, place_y(10 ^ d))
        add('<text x="%d" y="%.1f" text-anchor="end">%g</text>', LEFT - 6, place_y(10 ^ d) + 4, 10 ^ d)
    end
    add('<text x="%d" y="18">%s</text>', LEFT, y_title)
    for i, curve in ipairs(curves) do
        local colour, points = COLOURS[(i - 1) % #COLOURS + 1], {}
        for k, point in ipairs(curve) do
            points[k] = ("%.1f,%.1f"):format(place_x(point.x), place_y(point.y))
            add('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>', place_x(point.x), place_y(point.y), colour)
        end
        add('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>', table.concat(points, " "), colour)
        add('<text x="%d" y="%d" fill="%s">%s, by %s</text>', WIDTH - RIGHT + 10, TOP + 14 + i * 18, colour, curve.title, curve.unit)
    end
    add '</svg>'
    local file = assert(io.open(path, "wb"))
    file:write(table.concat(out, "\n"), "\n")
    file:close()
end

return plot
