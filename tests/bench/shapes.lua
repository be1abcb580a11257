-- Records of the bench beside the pizza orders, and the rules that read them: one object a line, event time in `ts` (a row a
-- millisecond), the same every time. `shapes.write(name, path, n)`; `shapes.config[name]`, `shapes.rules[name]`.

local shapes = { config = {}, rules = {}, names = { "telemetry", "nested", "strings" } }

-- Flat, mostly numbers with fractions.
local function telemetry(i, random)
    return ('{"device":"dev-%d","ts":%d,"temperature":%.2f,"humidity":%.1f,"pressure":%.3f,"voltage":%.4f,"rpm":%d,"lat":%.6f,"lon":%.6f,"status":"%s","seq":%d}'):format(
        random(0, 999), i, random() * 100, random() * 100, 950 + random() * 100, random() * 5, random(0, 9000), random() * 180 - 90, random() * 360 - 180,
        random() < 0.99 and "ok" or "degraded", i)
end
shapes.rules.telemetry = [[
rule "hot" { from = "telemetry", where = function(r) return r.temperature > 99 end,
  select = { "device", "temperature", "pressure" }, to = "hot", mode = "shadow" }
rule "drift" { from = "telemetry", window = tumble "10s", group_by = { "device" },
  aggregate = { level = avg("voltage"), most = max("pressure"), n = count() },
  having = function(g) return g.level > 4.5 end, to = "drift", mode = "shadow" }
]]

-- Deep: what is asked for stands six levels down, among siblings nobody wants.
local function nested(i, random)
    return ('{"ts":%d,"meta":{"trace":{"id":"%08x","span":{"id":"%08x","parent":null}},"host":{"name":"host-%d","region":{"name":"eu-%d","zone":{"id":%d}}}},' ..
        '"body":{"x":[[1,2,[3,4,{"y":[5,6]}]],{"k":{"l":{"m":[true,false,null]}}}],"a":{"p":{"q":[1,2,3]},"b":{"c":{"d":{"e":{"value":%d,"unit":"ms","tags":["a","b",{"c":1}]}}}}}}}'):format(
        i, random(0, 2147483647), random(0, 2147483647), random(0, 99), random(0, 9), random(0, 3), random(0, 1000))
end
shapes.rules.nested = [[
rule "slow" { from = "nested", where = function(r) return r.body.a.b.c.d.e.value > 990 end,
  select = { "ts", region = function(r) return r.meta.host.region.name end, value = function(r) return r.body.a.b.c.d.e.value end },
  to = "slow", mode = "shadow" }
]]

-- Strings of which hardly any comes twice, some with escapes.
local function strings(i, random)
    local user = ("%08x-%04x"):format(random(0, 2147483647), random(0, 65535))
    return ('{"user":"%s","session":"%08x%08x","url":"/p/%08x/%s?q=%08x","agent":"Agent/%d.%d (\\"%08x\\"; \\u00fc)","note":"na\\u00efve caf\\u00e9 no. %d \\ud83c\\udf4d and %08x","ts":%d}'):format(
        user, random(0, 2147483647), random(0, 2147483647), random(0, 2147483647), random() < 0.001 and "admin" or "page",
        random(0, 2147483647), random(1, 9), random(0, 99), random(0, 2147483647), i, random(0, 2147483647), i)
end
shapes.rules.strings = [[
rule "admins" { from = "strings", where = function(r) return r.url:find("/admin?", 1, true) ~= nil end,
  select = { "user", "url" }, to = "admins", mode = "shadow" }
rule "busy" { from = "strings", window = tumble "1s", group_by = { "user" }, aggregate = { n = count() },
  having = function(g) return g.n > 20 end, to = "busy", mode = "shadow" }
]]

local makers = { telemetry = telemetry, nested = nested, strings = strings }
for name in pairs(makers) do
    shapes.config[name] = ('source "%s" { topic = "%s", event_time = "ts", watermark = "1s" }\nrules "rules"\n'):format(name, name)
end

function shapes.write(name, path, n)
    local file, make = assert(io.open(path, "wb")), makers[name]
    file:setvbuf("full", 1048576)
    math.randomseed(7)
    for i = 1, n do file:write(make(i, math.random), "\n") end
    file:close()
end

return shapes
