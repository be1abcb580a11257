-- Two logins of one user so far apart that nobody can have travelled between them: faster than a plane.
--
--   logins     {"user": "ada", "lat": 48.4, "lon": 9.99}
--   anomaly    {"user": "ada", "km": 9350, "km_h": 18700, "lat": 35.68, "lon": 139.69}
--
-- source "logins" { topic = "logins", watermark = "1m" }

local EARTH_KM, PLANE_KM_H = 6371, 900

-- Great-circle distance (haversine).
local function distance(a, b)
    local rad = math.rad
    local dlat, dlon = rad(b.lat - a.lat), rad(b.lon - a.lon)
    local h = math.sin(dlat / 2) ^ 2 + math.cos(rad(a.lat)) * math.cos(rad(b.lat)) * math.sin(dlon / 2) ^ 2
    return 2 * EARTH_KM * math.asin(math.min(1, math.sqrt(h)))
end

rule "impossible_travel" {
    from = "logins",
    where = function(r) return r.lat and r.lon end,
    process = {
        by = { "user" },
        order = "event_time",
        ttl = "2d",
        on_row = function(row, state, emit)
            local here = { lat = row.lat, lon = row.lon, time = row._time }
            local last = state.last
            state.last = here
            if not last then return end
            local km, hours = distance(last, here), (here.time - last.time) / 3600000
            -- Places are not known better than to 50 km.
            if km > 50 and km > PLANE_KM_H * hours then
                emit { km = math.floor(km + 0.5), km_h = hours > 0 and math.floor(km / hours + 0.5) or nil, lat = row.lat, lon = row.lon }
            end
        end,
    },
    to = "impossible_travels",
}
