-- The Debian package in a clean root: nothing there but Debian's base and what the package says it depends on.
--
-- Needs root, debootstrap and a Debian mirror. ANANAS_CLEAN_ROOT names a folder that debootstrap has filled before: it is
-- used, and left with the package taken away again.

local process = require "tests.support.process"

local function run(command, seconds)
    local r = process.run { "sh", "-euc", command, timeout = seconds or 120 }
    assert.equal(0, r.code, command .. "\n" .. r.out:sub(-2000) .. r.err:sub(-2000))
    return r.out
end

describe("the Debian package, in a clean root,", function()
    local folder, package, root, is_ours

    setup(function()
        folder = process.folder "package"
        -- Its own build: the program finds the shipped rules under the prefix it was made for.
        run("make --no-print-directory BUILD=package PREFIX=/usr build/package/ananas", 600)
        run(("packaging/deb 0.1.0 test build/package/ananas %s/deb"):format(folder))
        package = run(("ls %s/deb/*.deb"):format(folder)):match "[^\n]+"
        root = os.getenv "ANANAS_CLEAN_ROOT"
        if not root then
            root, is_ours = folder .. "/root", true
            local names = {}
            for name in run("dpkg-deb -f " .. package .. " Depends"):gmatch "([%w.+-]+)[^,]*,?%s*" do
                if name:match "^[a-z]" then names[#names + 1] = name end
            end
            run(("debootstrap --variant=minbase --include=%s bookworm %s"):format(table.concat(names, ","), root), 580)
        end
    end)
    teardown(function()
        if is_ours then process.run { "rm", "-rf", "--one-file-system", root } end
        process.remove(folder)
    end)

    local function inside(command, seconds) return run(("chroot %s env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -euc '%s'"):format(root, command), seconds) end

    it("installs, runs, checks its configuration, shows the demo, and goes without a trace", function()
        run(("cp %s %s/ananas.deb"):format(package, root))
        inside "dpkg -i /ananas.deb"
        assert.matches("^ananas 0%.1%.0 %(.-librdkafka 2.-LuaJIT 2", inside "ananas version")
        assert.matches("topping_rush", inside "cd /etc/ananas && ananas check", 1, true)
        local demo = inside("ananas demo --orders 3000 --rate 3000", 60)
        assert.matches("too_many_bad_toppings", demo, 1, true)
        inside "test -f /usr/share/man/man1/ananas.1.gz && test -f /usr/lib/systemd/system/ananas.service"
        -- What a person changed stays with `remove`, and goes with `purge`.
        inside "echo -- mine >> /etc/ananas/ananas.lua && dpkg -r ananas && grep -q mine /etc/ananas/ananas.lua && dpkg -P ananas"
        assert.equal("", inside "find / -xdev \\( -path /proc -o -path /sys -o -path /var -o -path /tmp \\) -prune -o -name \"*ananas*\" -print | grep -v ^/ananas.deb$ || true")
        inside "rm /ananas.deb"
    end)
end)
