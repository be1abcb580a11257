-- What a watch on a folder of rules sees: every way in which files come to be changed, a burst once, and nothing else.

local ffi = require "ffi"
local engine = require "tests.support.engine"
local process = require "tests.support.process"
local lib = engine.use("watch", "error")

local function write(path, text)
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
end

describe("a watch", function()
    local base, folder, w

    -- How often it says so within that many seconds, asked as the loop does.
    local function told(seconds)
        local n, till = 0, process.now() + seconds
        while process.now() < till do
            n = n + lib.watch_changed(w, ffi.new("mono_t", { ns = process.now() * 1e9 }))
            process.sleep(0.005)
        end
        return n
    end
    local function sh(text) assert(os.execute(("cd %s && %s"):format(base, text)) == 0) end

    local function open(path)
        local out, e = ffi.new "watch_t *[1]", ffi.new "error_t"
        assert(lib.watch_open(out, path, e) == 0)
        w = out[0]
        assert.equal(0, told(0.2))
    end

    before_each(function()
        base = process.folder "watch"
        folder = base .. "/rules"
        sh "mkdir rules"
        write(folder .. "/a.lua", "one")
    end)
    after_each(function()
        lib.watch_close(w)
        process.remove(base)
    end)

    -- Each of them once: however many events it takes.
    for name, change in pairs {
        ["a file written in place"] = function() write(folder .. "/a.lua", "two") end,
        ["an editor's way: a file beside, then a rename"] = function() sh "echo two > rules/.a.lua.swp; mv rules/.a.lua.swp rules/a.lua" end,
        ["an editor's other way: the old one is moved off first"] = function() sh "mv rules/a.lua rules/a.lua~; echo two > rules/a.lua; rm rules/a.lua~" end,
        ["a new file"] = function() write(folder .. "/b.lua", "two") end,
        ["a file that goes"] = function() sh "rm rules/a.lua" end,
        ["a new name"] = function() sh "mv rules/a.lua rules/b.lua" end,
        ["a burst of forty changes"] = function()
            for i = 1, 40 do write(("%s/%d.lua"):format(folder, i % 7), tostring(i)) end
        end,
        ["a file in a folder that comes with it"] = function() sh "mkdir -p rules/more/deep; echo two > rules/more/deep/b.lua" end,
        ["the folder being moved away"] = function() sh "mv rules gone" end,
        ["the folder being replaced"] = function() sh "cp -r rules new; mv rules old; mv new rules" end,
        ["rights taken"] = function() sh "chmod 000 rules/a.lua" end,
    } do
        it("sees " .. name .. ", once", function()
            open(folder)
            change()
            assert.equal(1, told(0.9))
        end)
    end

    it("sees the swap of links by which a ConfigMap is updated", function()
        sh "rm -r rules; mkdir -p rules/..1 rules/..2; echo one > rules/..1/a.lua; echo two > rules/..2/a.lua; cd rules && ln -s ..1 ..data && ln -s ..data/a.lua a.lua"
        open(folder)
        sh "cd rules && ln -s ..2 ..data_tmp && mv -T ..data_tmp ..data && rm -r ..1"
        assert.equal(1, told(0.9))
    end)

    it("sees a link to the folder, or one above it, being turned", function()
        sh "mkdir -p v1/rules v2/rules; rm -r rules; ln -s v1 now"
        open(base .. "/now/rules")
        sh "ln -s v2 next && mv -T next now"
        assert.equal(1, told(1.5))
        write(base .. "/v2/rules/a.lua", "three")
        assert.equal(1, told(0.9))
    end)

    it("sees changes in a folder that went and came back", function()
        open(folder)
        sh "rm -r rules"
        assert.equal(1, told(0.9))
        sh "mkdir rules"
        assert.equal(1, told(0.9))
        write(folder .. "/a.lua", "two")
        assert.equal(1, told(0.9))
    end)

    it("takes a single file", function()
        open(folder .. "/a.lua")
        sh "echo two > rules/b; mv rules/b rules/a.lua"
        assert.equal(1, told(0.9))
    end)

    it("waits until it is quiet", function()
        open(folder)
        local n = 0
        for i = 1, 10 do
            write(folder .. "/a.lua", tostring(i))
            n = n + told(0.02)
        end
        n = n + told(0.5)
        assert.is_true(n >= 1 and n <= 3, n .. " times")   -- a machine that is slow may find it quiet in between
    end)
end)
