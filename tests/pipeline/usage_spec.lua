-- The command line: what is wrong usage, and what it says of itself.

local replay = require "tests.support.replay"

describe("usage", function()
    local commands = { "run", "check", "replay", "diff", "test", "demo", "version" }

    local function call(...)
        return replay.run { command = "", args = { ... } }
    end

    it("without a command is wrong: status 2", function()
        assert.equal(2, call().status)
    end)

    it("with an unknown command is wrong: status 2 and a suggestion", function()
        local ran = call "repaly"
        assert.equal(2, ran.status)
        assert.truthy(ran.stderr:find "replay", ran.stderr)
        assert.equal("", ran.text)
    end)

    for _, command in ipairs(commands) do
        it("of " .. command .. " --help: status 0, on standard output", function()
            local ran = call(command, "--help")
            assert.equal(0, ran.status, ran.stderr)
            assert.truthy(ran.text:find(command, 1, true), ran.text)
            assert.equal("", ran.stderr)
        end)

        it("of " .. command .. " with an unknown option: status 2, named", function()
            local ran = call(command, "--no-such-option")
            assert.equal(2, ran.status, ran.text .. ran.stderr)
            assert.truthy(ran.stderr:find("no-such-option", 1, true), ran.stderr)
            assert.equal("", ran.text)
        end)
    end

    it("--help lists every command", function()
        local ran = call "--help"
        assert.equal(0, ran.status)
        for _, command in ipairs(commands) do assert.truthy(ran.text:find(command, 1, true), command) end
    end)

    it("of an option without its value: status 2", function()
        assert.equal(2, call("replay", "--input").status)
        assert.equal(2, call("replay", "-c").status)
    end)

    it("of options that contradict: status 2", function()
        assert.equal(2, call("replay", "--log-format", "xml").status)
        assert.equal(2, call("replay", "--log-level", "shout").status)
        assert.equal(2, call("replay", "--since", "6h").status)
        assert.equal(2, call("replay", "--from-topic", "--input", "x").status)
        assert.equal(2, call("diff", "a", "b", "--until", "6h").status)
    end)

    it("of a time that is none: status 2, before anything is read", function()
        for _, words in ipairs { { "replay", "--now", "soon" }, { "replay", "--from-topic", "--since", "soon" },
            { "diff", "a", "b", "--from-topic", "--until", "soon" } } do
            local ran = call(unpack(words))
            assert.equal(2, ran.status)
            assert.truthy(ran.stderr:find("soon is no time", 1, true), ran.stderr)
        end
    end)

    it("of an option that is misspelt, or has a value too many: status 2 and what was meant", function()
        local ran = call("replay", "--inptu", "x")
        assert.equal(2, ran.status)
        assert.truthy(ran.stderr:find("did you mean --input?", 1, true), ran.stderr)
        ran = call("replay", "--no-flush=1")
        assert.equal(2, ran.status)
        assert.truthy(ran.stderr:find("--no-flush takes no value", 1, true), ran.stderr)
    end)

    it("of help about what is no command: status 2 and a suggestion", function()
        local ran = call("help", "repaly")
        assert.equal(2, ran.status)
        assert.truthy(ran.stderr:find("did you mean `ananas replay`?", 1, true), ran.stderr)
        assert.equal("", ran.text)
        for _, topic in ipairs { "config", "rules", "man", "bash", "replay" } do assert.equal(0, call("help", topic).status) end
    end)

    it("of version: its own, and those of librdkafka and LuaJIT", function()
        local ran = call "version"
        assert.equal(0, ran.status, ran.stderr)
        assert.truthy(ran.text:find "ananas", ran.text)
        assert.truthy(ran.text:find "librdkafka %d+%.%d+", ran.text)
        assert.truthy(ran.text:find "LuaJIT 2", ran.text)
    end)
end)
