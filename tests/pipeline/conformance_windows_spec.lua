-- Windows, window assignment and watermarks give what the worked cases of tests/conformance/windows.json say.

local conformance = require "tests.support.conformance"

local families = conformance.cases "tests/conformance/windows.json"
local sizes = { window = 23, assign = 10, watermark_merge = 12 }

for _, family in ipairs { "window", "assign", "watermark_merge" } do
    describe("conformance, family " .. family, function()
        local passed, total = 0, 0

        for _, case in ipairs(families[family]) do
            total = total + 1
            it(case.id .. " (" .. table.concat(case.features, ", ") .. ")", function()
                local got, wanted, ran = conformance.run[family](case)
                assert.equal(0, ran.status, ran.stderr)
                local difference = conformance.difference(got, wanted)
                assert.is_nil(difference, difference)
                passed = passed + 1
            end)
        end

        it("runs whole", function()
            assert.equal(sizes[family], total)
        end)

        teardown(function()
            print(("conformance windows.json, %s: %d of %d passed"):format(family, passed, total))
        end)
    end)
end

describe("the data", function()
    it("has no family that is left out", function()
        for family in pairs(families) do assert.is_not_nil(sizes[family], family) end
    end)
end)
