-- Row patterns give what the worked cases of tests/conformance/patterns.json say, through `ananas replay`.

local conformance = require "tests.support.conformance_patterns"

local cases = conformance.cases "tests/conformance/patterns.json"

describe("conformance, row patterns", function()
    local passed = 0

    for _, case in ipairs(cases) do
        it(case.id .. " (" .. table.concat(case.features, ", ") .. ")", function()
            local got, wanted, ran = conformance.run(case)
            assert.equal(0, ran.status, ran.stderr)
            local stats = ran.stats.rules.case
            if case.expected_error then
                -- The match that fails gives no row; those before it stand.
                assert.is_true(stats.errors >= 1)
                assert.is_truthy(ran.stderr:find("after_match", 1, true), ran.stderr)
                assert.equal(#got, stats.emitted)
            else
                assert.same(wanted, got)
                assert.equal(case.late_dropped or 0, stats.late)
            end
            passed = passed + 1
        end)
    end

    it("runs whole", function()
        assert.equal(124, #cases)
    end)

    teardown(function()
        print(("conformance patterns.json: %d of %d passed"):format(passed, #cases))
    end)
end)
