local engine = require "tests.support.engine"
local lib = engine.use "rulebox"

describe("a box of rules", function()
    local box
    before_each(function() box = lib.rulebox_new() end)
    after_each(function() lib.rulebox_free(box) end)

    local function get()
        local texts, version = engine.buf(), engine.buf()
        lib.rulebox_get(box, texts, version)
        return engine.bytes(texts), engine.bytes(version)
    end

    it("gives copies of what was put last", function()
        lib.rulebox_put(box, "v1", engine.slice "one")
        local texts, version = engine.buf(), engine.buf()
        lib.rulebox_get(box, texts, version)
        lib.rulebox_put(box, "v2", engine.slice "two")
        assert.same({ "one", "v1" }, { engine.bytes(texts), engine.bytes(version) })
        assert.same({ "two", "v2" }, { get() })
        lib.rulebox_get(box, texts, nil)
        assert.equal("two", engine.bytes(texts))
    end)

    it("has another number whenever it has another version, and only then", function()
        local first = lib.rulebox_serial(box)
        lib.rulebox_put(box, "v1", engine.slice "one")
        local second = lib.rulebox_serial(box)
        assert.not_equal(first, second)
        lib.rulebox_put(box, "v1", engine.slice "one, in other files")
        assert.equal(second, lib.rulebox_serial(box))
        lib.rulebox_put(box, "v2", engine.slice "two")
        assert.not_equal(second, lib.rulebox_serial(box))
    end)

    it("knows its version from others, also from longer and shorter ones", function()
        lib.rulebox_put(box, "v1", engine.slice "one")
        assert.equal(1, lib.rulebox_is(box, "v1"))
        for _, other in ipairs { "", "v", "v11", "v2" } do assert.equal(0, lib.rulebox_is(box, other), other) end
    end)
end)
