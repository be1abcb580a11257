local loading = require "tests.support.loading" -- luacheck: ignore
local reference = require "reference"
local rule = require "rule"
local config = require "config"

local function rows_in(text)
    local names = {}
    for name in text:gmatch "\n| `([%w_]+)` |" do names[name] = true end
    return names
end

describe("the reference", function()
    it("has every setting and every key, each with its type, default and meaning", function()
        local settings, keys = rows_in(reference.text "config"), rows_in(reference.text "rules")
        for _, rows in ipairs { config.settings, config.source, config.topics, config.budget } do
            for _, row in ipairs(rows) do assert.is_true(settings[row.name], row.name) end
        end
        for _, rows in ipairs { rule.keys, rule.match, rule.process, rule.top, rule.windows.hop } do
            for _, row in ipairs(rows) do assert.is_true(keys[row.name], row.name) end
        end
        assert.is_truthy(reference.text("config"):find('| `delivery` | choice | "exactly_once" | "exactly_once", "at_least_once" |', 1, true))
        assert.is_truthy(reference.text("config"):find('| `max_ahead` | duration | "1h" | 0s to 3660d, or "none" |', 1, true))
        assert.is_truthy(reference.text("rules"):find("| `pattern` | string | required |", 1, true))
    end)
    it("has a table for every detector", function()
        for _, name in ipairs(rule.detectors) do
            assert.is_truthy(reference.text("rules"):find(("Keys of `detect = %s { ... }`"):format(name), 1, true), name)
        end
    end)
    it("of something else is nil", function() assert.is_nil(reference.text "weather") end)
end)
