-- Rule files with a few tokens changed at random: whatever comes out, it is faults at places in the user's files, or a plan.

local loading = require "tests.support.loading"

local every_clause = [[
rule "a" { from = "pizzas", unnest = "list[] as item", where = function(r) return r.item == 1 end,
  select = { "item", t = "t", f = function(r) return r.x end }, key = {}, cooldown = "1m", to = "out", time_format = "sql",
  mode = "shadow", explain = true }
rule "w" { from = "a", window = hop { size = "10s", slide = "5s", offset = "-1s" }, group_by = { "item" },
  aggregate = { n = count(), q = quantile("f", 0.5), l = listagg("f", "; "), s = sum(function(r) return r.f end),
    z = fold({ n = 0 }, function(acc, r) return r.f end) },
  having = function(g) return g.n > 1 end, top = { n = 2, by = "n desc" }, early = true, lateness = "3s", late_to = "late" }
rule "m" { from = "a", match = { partition_by = "item", order_by = { "f desc" }, pattern = "A B*",
  define = { B = function(row, m) return row.f end }, subset = { U = { "A", "B" } },
  measures = { c = function(m) return m.count("U") end }, after_match = "skip to last A",
  rows_per_match = "all omit empty", within = "1h", on_timeout = "emit", lookback = 7 } }
rule "p" { from = { "a", "w" }, process = { by = "item", order = "event_time", ttl = "30d",
  on_row = function(row, state) state.x = row.f end, on_timer = function() end } }
rule "d" { from = "a", detect = ewma { by = "item", value = "f", threshold = 3 } }
]]

local strange = { " nil", " 5", " {}", " -1", " true", " function() end", " 0/0", " 1e309", " count()", " record()", " tumble '1s'",
    " set {}", " {{}}", " foo", " foo.bar()", " rule", " ewma", "{", "}", "(", ")", ",", "=" }

local function tokens_of(text)
    local out, i = {}, 1
    while i <= #text do
        local a, b = text:find('^%s*"[^"\n]*"', i)
        if not a then a, b = text:find("^%s*[%w_]+", i) end
        if not a then a, b = i, i end
        out[#out + 1] = text:sub(a, b)
        i = b + 1
    end
    return out
end

local function mutated(tokens)
    local out = { unpack(tokens) }
    for _ = 1, math.random(3) do
        local at, what = math.random(#out), math.random(3)
        local other = math.random(3) == 1 and strange[math.random(#strange)] or tokens[math.random(#tokens)]
        if what == 1 then out[at] = other elseif what == 2 then table.remove(out, at) else table.insert(out, at, other) end
    end
    return table.concat(out)
end

describe("a rule file with something wrong in it", function()
    it("gives a plan, or faults at places in it", function()
        local texts, loaded = { tokens_of(loading.read "rules/pizza.lua"), tokens_of(every_clause) }, 0
        for i = 1, 400 do
            local text = mutated(texts[i % 2 + 1])
            local told = ("SEED=%d, case %d\n%s"):format(SEED, i, text)
            local ok, result = xpcall(function() return loading.rules(text) end, debug.traceback)
            assert.is_true(ok, ok or result .. "\n" .. told)
            for _, fault in ipairs(result.faults) do
                assert.is_truthy(fault:match "^rules/rules%.lua:%d+: " or fault:match "^rules:0: no rule file", fault .. "\n" .. told)
                assert.is_nil(fault:find("scripts/", 1, true), fault .. "\n" .. told)
                assert.is_true(text:find("0x", 1, true) ~= nil or not fault:find("0x", 1, true), fault .. "\n" .. told)
            end
            if #result.faults == 0 then
                loaded = loaded + 1
                assert.is_string(require("describe").text(result.plan))
            end
        end
        assert.is_true(loaded > 5, "nothing loads")
    end)
end)
