local ffi = require "ffi"
local engine = require "tests.support.engine"
local cjson = require "cjson"
local lib = engine.use("log", "error")
ffi.cdef [[int pipe(int *fds); int close(int fd); intptr_t read(int fd, void *to, size_t n);]]

-- What one log writes while `speak` runs.
local function heard(level, format, speak)
    local fds = ffi.new "int[2]"
    ffi.C.pipe(fds)
    local l = lib.log_open(fds[1], level, format)
    speak(l)
    lib.log_close(l)
    ffi.C.close(fds[1])
    local chunk = ffi.new "char[65536]"
    local n = ffi.C.read(fds[0], chunk, 65536)
    ffi.C.close(fds[0])
    return ffi.string(chunk, n)
end

describe("log", function()
    it("writes one line each from its level upwards", function()
        local text = heard(lib.LOG_INFO, lib.LOG_TEXT, function(l)
            lib.log_say(l, lib.LOG_DEBUG, "rules", "silent")
            lib.log_say(l, lib.LOG_WARN, "rules", "two\nlines of %s", "text")
        end)
        assert.is_truthy(text:match "^%d%d%d%d%-%d%d%-%d%dT%S+Z warn  rules: two\\nlines of text\n$")
    end)
    it("writes JSON that a parser reads", function()
        local text = heard(lib.LOG_DEBUG, lib.LOG_JSON, function(l)
            lib.log_say(l, lib.LOG_ERROR, "kafka", "say \"hi\"\n\255")
        end)
        local line = cjson.decode(text)
        assert.same({ "error", "kafka", "say \"hi\"\n\239\191\189" }, { line.level, line.where, line.message })
    end)
    it("masks every registered secret, the longer first", function()
        local text = heard(lib.LOG_DEBUG, lib.LOG_TEXT, function(l)
            lib.log_add_secret(l, "hunter")
            lib.log_add_secret(l, "hunter2-long")
            lib.log_say(l, lib.LOG_INFO, "kafka", "pass=hunter2-long, old=hunter.")
        end)
        assert.is_truthy(text:find("pass=***, old=***.", 1, true))
    end)
    it("masks in place and never beyond the text", function()
        local l = lib.log_open(2, lib.LOG_ERROR, lib.LOG_TEXT)
        lib.log_add_secret(l, "ab")
        local text = ffi.new("char[8]", "xabyab")
        lib.log_mask(l, text, 6)
        assert.equal("x**y**", ffi.string(text))
        lib.log_close(l)
    end)
    it("takes a missing log and refuses unknown levels", function()
        lib.log_say(nil, lib.LOG_ERROR, "x", "y")
        local level = ffi.new "log_level_t[1]"
        assert.equal(0, lib.log_level_parse("warn", level))
        assert.equal(ffi.cast("log_level_t", lib.LOG_WARN), level[0])
        assert.equal(lib.ERR_INVALID, lib.log_level_parse("loud", level))
    end)
end)
