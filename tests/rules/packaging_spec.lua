-- What the packaging makes is whole: files where they belong, a program that runs from the package, a unit that systemd
-- takes, and a sidecar whose configuration and rules pass the check.

local ananas = require "tests.support.ananas"
local process = require "tests.support.process"
local promtool = require "tests.support.promtool"
local replay = require "tests.support.replay"

local folder, relative

local read, write = replay.read, replay.write

local function run(command)
    local r = process.run { "sh", "-euc", command, timeout = 120 }
    assert.equal(0, r.code, r.out .. r.err)
    return r.out
end

local function has(command) return process.run({ "sh", "-c", "command -v " .. command }).code == 0 end

local function each_installed(root, check)
    for _, path in ipairs { "usr/share/man/man1/ananas.1.gz", "usr/share/bash-completion/completions/ananas",
        "usr/lib/systemd/system/ananas.service", "usr/share/doc/ananas/README.md" } do check(root .. "/" .. path) end
end

-- Texts of the blocks `name: |` of a YAML file.
local function yaml_blocks(text)
    local blocks, open = {}, nil
    for line in text:gmatch "(.-)\n" do
        local indent, name = line:match "^( *)([%w_.]+): |$"
        if name then
            open = { name = name, indent = #indent + 2 }
            blocks[name] = ""
        elseif open and (line == "" or line:match "^ *" and #line:match "^ *" >= open.indent) then
            blocks[open.name] = blocks[open.name] .. line:sub(open.indent + 1) .. "\n"
        else
            open = nil
        end
    end
    return blocks
end

describe("packaging", function()
    before_each(function()
        relative = process.folder "packaging"
        folder = process.absolute(relative)
    end)
    after_each(function() process.remove(relative) end)

    it("install puts manual, completion, unit and documents in place, and takes them away again", function()
        run(("packaging/install %s /usr %s"):format(folder, ananas.program))
        each_installed(folder, read)
        assert.matches("ExecStart=/usr/bin/ananas run", read(folder .. "/usr/lib/systemd/system/ananas.service"), 1, true)
        run(("packaging/install --remove %s /usr"):format(folder))
        assert.equal("", run("find " .. folder .. " -type f"))
    end)

    it("the manual and the completion name every command", function()
        local man, completion = run(ananas.program .. " help man"), run(ananas.program .. " help bash")
        for _, command in ipairs { "run", "check", "replay", "diff", "test", "demo", "version" } do
            assert.matches("ananas " .. command, man, 1, true)
            assert.matches("[' ]" .. command .. "[' ]", completion)
        end
        run(("%s help bash | bash -n"):format(ananas.program))
        if has "man" and has "groff" then run(("%s help man | groff -man -Tutf8 -ww 2>&1 >/dev/null"):format(ananas.program)) end
    end)

    it("the Debian package unpacks to a program that runs", function()
        if not (has "dpkg-deb" and has "dpkg-shlibdeps" and has "strip") then return pending "dpkg-dev is not installed" end
        run(("packaging/deb 9.9.9 revision %s %s/out"):format(ananas.program, folder))
        local package = run(("ls %s/out/*.deb"):format(folder)):match "[^\n]+"
        run(("dpkg-deb -x %s %s/unpacked"):format(package, folder))
        each_installed(folder .. "/unpacked", function(path) assert(io.open(path), path) end)
        assert.matches("librdkafka1", run("dpkg-deb -f " .. package .. " Depends"), 1, true)
        assert.matches("/etc/ananas/ananas.lua", run("dpkg-deb --ctrl-tarfile " .. package .. " | tar -xO ./conffiles"), 1, true)
        if ananas.out == "build" then
            assert.matches("^ananas %d", run(folder .. "/unpacked/usr/bin/ananas version"))
            run(("cd %s/unpacked/etc/ananas && ../../usr/bin/ananas check"):format(folder))
        end
    end)

    it("systemd takes the unit, and finds little exposed", function()
        if not has "systemd-analyze" then return pending "systemd is not installed" end
        run(("packaging/install '' %s/usr %s && install -D %s %s/usr/bin/ananas"):format(folder, ananas.program, ananas.program, folder))
        local unit = folder .. "/usr/lib/systemd/system/ananas.service"
        run("systemd-analyze verify --man=no " .. unit)
        local score = run("systemd-analyze security --offline=yes " .. unit):match "exposure level for ananas.service: ([%d.]+)"
        print("systemd-analyze security: " .. score .. " of 10, where 10 is all exposed")
        assert.is_true(tonumber(score) < 2, "exposure is " .. score)
    end)

    it("the sidecar's configuration and rules pass the check", function()
        local blocks = yaml_blocks(read "packaging/sidecar.yaml")
        run(("mkdir %s/rules"):format(folder))
        write(folder .. "/rules/guessing.lua", blocks["guessing.lua"])
        write(folder .. "/ananas.lua", (blocks["ananas.lua"]:gsub("/etc/ananas/rules", folder .. "/rules")))
        local r = ananas.run { "check", "-c", folder .. "/ananas.lua", env = { ANANAS_TOKEN = "secret" }, timeout = 30 }
        assert.equal(0, r.code, r.err)
    end)

    it("alerts and dashboard ask for metrics that there are", function()
        local known = read "engine/metrics.c"
        for _, path in ipairs { "packaging/alerts.yml", "packaging/alerts_test.yml", "packaging/dashboard.json" } do
            for name in read(path):gmatch "%f[%w_]ananas_[%w_]+" do
                local base = name:gsub("_bucket$", "")
                assert.matches('"' .. base .. '"', (known:gsub("\"(ananas_[%w_]+)[\\ {]", "\"%1\" ")), 1, true)
            end
        end
        assert.is_table(require "dkjson".decode(read "packaging/dashboard.json"))
    end)

    it("alerts fire when they should, by Prometheus' own test", function()
        if not promtool.is_there() then return pending "promtool is not to be had" end
        for _, arguments in ipairs { "check rules packaging/alerts.yml", "test rules packaging/alerts_test.yml" } do
            local r = promtool.run(arguments)
            assert.equal(0, r.code, r.out .. r.err)
        end
    end)

    it("the dashboard's queries are PromQL, by Prometheus' own parser", function()
        if not promtool.is_there() then return pending "promtool is not to be had" end
        local rules = { "groups:", "  - name: dashboard", "    rules:" }
        for _, panel in ipairs(require "dkjson".decode(read "packaging/dashboard.json").panels) do
            for i, target in ipairs(panel.targets) do
                rules[#rules + 1] = ("      - record: panel_%d_%d"):format(panel.id, i)
                rules[#rules + 1] = "        expr: '" .. target.expr:gsub("%$__rate_interval", "1m") .. "'"
            end
        end
        assert.is_true(#rules > 30)
        write(folder .. "/rules.yml", table.concat(rules, "\n") .. "\n")
        local r = promtool.run("check rules " .. folder .. "/rules.yml")
        assert.equal(0, r.code, r.out .. r.err)
    end)

    it("the Dockerfile installs what the build asks for, and what the package depends on", function()
        local wanted = read ".ci/install":match 'build%) packages="([^"]+)"'
        local build, run_time = read "packaging/Dockerfile":match "FROM (.-)\nFROM (.*)$"
        for package in wanted:gmatch "%S+" do assert.matches(package, build, 1, true) end
        if not (has "dpkg-deb" and has "dpkg-shlibdeps" and has "strip") then return pending "dpkg-dev is not installed" end
        run(("packaging/deb 9.9.9 revision %s %s/out"):format(ananas.program, folder))
        for alternatives in run(("dpkg-deb -f %s/out/*.deb Depends"):format(folder)):gsub("%b()", ""):gmatch "[^,\n]+" do
            local found = alternatives:find "libc6"
            for package in alternatives:gmatch "[%w.+-]+" do found = found or run_time:find(package, 1, true) end
            assert.truthy(found, alternatives)
        end
    end)

    it("the Dockerfile keeps to the usual rules: pinned bases, small layers, no root, no shell around the program", function()
        local dockerfile = read "packaging/Dockerfile":gsub("\\\n%s*", "")
        local from, last = 0, nil
        for line in dockerfile:gmatch "[^\n]+" do
            local word, rest = line:match "^(%u+) (.*)$"
            if word then last = { word = word, rest = rest } end
            if word == "FROM" then
                from = from + 1
                assert.matches("^[%w/.-]+:[%w.-]+", rest)
                assert.falsy(rest:find(":latest", 1, true))
            elseif word == "RUN" and rest:find "apt%-get install" then
                assert.truthy(rest:find("apt-get update &&", 1, true) and rest:find("--no-install-recommends", 1, true) and
                    rest:find("-y", 1, true) and rest:find("rm -rf /var/lib/apt/lists/*", 1, true), line)
            elseif word == "USER" then
                assert.is_true(tonumber(rest:match "^(%d+)") >= 10000, line)
            elseif word == "ENTRYPOINT" or word == "CMD" then
                assert.matches('^%["', rest)
            end
            assert.not_equal("ADD", word)
        end
        assert.equal(2, from)
        assert.equal("CMD", last.word)
        assert.truthy(dockerfile:find "\nUSER %d+")
        assert.matches("build", read ".dockerignore", 1, true)
    end)
end)
