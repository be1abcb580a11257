local process = require "tests.support.process"

describe("processes of the specs", function()
    it("get their arguments as they are, and give their output and exit status", function()
        local r = process.run { "printf", "%s|", "a b", "$HOME", "'", '"', "" }
        assert.same({ 0, "a b|$HOME|'|\"||" }, { r.code, r.out })
        assert.equal(3, process.run({ "sh", "-c", "echo oops >&2; exit 3" }).code)
        assert.equal(127, process.run({ "/no/such/program" }).code)
    end)

    it("take input, environment and working folder", function()
        local text = ("0123456789"):rep(50000)
        assert.equal(text, process.run({ "cat", stdin = { text = text } }).out)
        assert.equal("x /tmp\n", process.run({ "sh", "-c", "echo $V $PWD", env = { V = "x" }, cwd = "/tmp" }).out)
    end)

    it("can be waited for, signalled, talked to and watched", function()
        local p = process.spawn { "sh", "-c", "trap 'echo bye; exit 7' TERM; while read line; do echo got $line; done; sleep 9", stdin = "pipe" }
        p:write "hello\n"
        assert.equal("hello", (p:expect("got (%w+)", 5)))
        assert.is_nil(p:wait(0.05))
        assert.is_true(p:usage().rss > 0)
        p:close_stdin()
        p:signal "KILL"
        assert.same({ signal = 9 }, p:wait(5))
        assert.is_false(p:alive())
    end)

    it("end on Ctrl-C even where we ignore it", function()
        local ffi = require "ffi"
        local before = ffi.C.signal(2, ffi.cast("void (*)(int)", 1))
        local p = process.spawn { "sh", "-c", "echo up; exec sleep 9" }
        ffi.C.signal(2, before)
        p:expect("up", 5)                              -- between fork and exec it still ignores what we do
        p:signal "INT"
        assert.same({ signal = 2 }, p:wait(5))
    end)

    it("do not wait for ever", function()
        local r = process.run { "sleep", "9", timeout = 0.1 }
        assert.is_true(r.timed_out)
        assert.equal(9, r.signal)
        local p = process.spawn { "sleep", "9" }
        assert.is_nil((p:expect("never", 0.1)))
        assert.same({ signal = 15 }, p:stop())
    end)

    it("do not outlive the one that started them", function()
        local script = 'package.path="./?.lua;"..package.path; local p=require"tests.support.process".spawn{"sleep","99"};' ..
            'print(p.pid); io.stdout:flush(); require"ffi".C.kill(require"ffi".C.getpid(), 9)'
        local r = process.run { "luajit", "-e", script }
        assert.equal(9, r.signal)
        local pid = r.out:match "%d+"
        assert.is_true(process.eventually(2, function() return process.run({ "kill", "-0", pid }).code ~= 0 end))
    end)
end)
