-- Runs the specs: `luajit tests/support/run.lua [SPEC or FOLDER...]`, from the top of the repository, after a build.
--
-- Each spec file has a busted process of its own, so a crash in the engine costs one file, not the run. Files that need no
-- broker (that do not reach tests/support/kafka.lua) run JOBS at a time (default: the cores), while the one real broker of
-- the run starts; those that do run alone, one after the other. The last line is `N passed, N failed`; the exit status is 1 when one failed or none passed.

package.path = "./?.lua;" .. package.path
local process = require "tests.support.process"

local OUT = os.getenv "ANANAS_OUT" or "build"
local TIMEOUT = tonumber(os.getenv "SPEC_TIMEOUT") or (os.getenv "ANANAS_FAULTS" == "long" and 7200 or 600)
-- Kept out of a plain run: too long, or they need more than the rest.
local ON_REQUEST = { ["tests/faults"] = "make test-faults", ["tests/page"] = "make test-page", ["tests/package"] = "make test-package" }

local function read(path)
    local file = io.open(path, "rb")
    if not file then return "" end
    local text = file:read "*a"
    file:close()
    return text
end

local function find_specs(roots)
    local command = { "find" }
    for _, root in ipairs(roots) do command[#command + 1] = root end
    for _, word in ipairs { "-name", "*_spec.lua", "-not", "-path", "*/build/*" } do command[#command + 1] = word end
    local found, specs = process.run(command), {}
    if found.code ~= 0 then
        io.stderr:write(found.err)
        os.exit(1)
    end
    for path in found.out:gmatch "[^\n]+" do specs[#specs + 1] = path end
    table.sort(specs)
    return specs
end

local function is_on_request(path)
    for folder in pairs(ON_REQUEST) do
        if path:sub(1, #folder + 1) == folder .. "/" then return true end
    end
end

-- By what it requires, itself or through a support file.
local reaches = { ["tests/support/kafka.lua"] = true }
local function needs_broker(path)
    if reaches[path] == nil then
        reaches[path] = false
        for name in read(path):gmatch 'require%s*%(?%s*"(tests%.support%.[%w_.]+)"' do
            reaches[path] = reaches[path] or needs_broker(name:gsub("%.", "/") .. ".lua")
        end
    end
    return reaches[path]
end

local function start(path)
    local report = process.folder "report" .. "/counts"
    local env = { ANANAS_REPORT = report, ANANAS_OUT = OUT }
    local preload = os.getenv "ANANAS_PRELOAD"
    if preload and preload ~= "" then
        env.LD_PRELOAD = preload
        -- The interpreter keeps what it has until it ends. The programs that specs start do look for leaks (setup.lua).
        env.ASAN_OPTIONS = "detect_leaks=0:abort_on_error=1:quarantine_size_mb=8"
    end
    env.UBSAN_OPTIONS = "print_stacktrace=1:halt_on_error=1"
    env.TSAN_OPTIONS = "halt_on_error=1:second_deadlock_stack=1:suppressions=" .. process.absolute "tests/support/tsan.supp"
    local child = process.spawn { "luajit", "/usr/bin/busted", "--ignore-lua", path, env = env, stderr = report .. ".err" }
    return { path = path, report = report, child = child, started = process.now() }
end

local totals = { passed = 0, failed = 0, files = 0 }

-- What came of it, said in one line, and the figures that it measured ("figure: ..."); all that it wrote when something failed.
local function finish(job, timed_out)
    local passed, failed, pending = read(job.report):match "^(%d+) (%d+) (%d+)"
    local status = job.child.status or {}
    local note = ""
    if timed_out then
        note = (", stopped after %d s"):format(TIMEOUT)
    elseif not passed then
        note = status.signal and (", died of signal %d"):format(status.signal) or ", ended without a result"
    elseif tonumber(pending) > 0 then
        note = (", %d pending"):format(pending)
    end
    if not passed or timed_out then failed = (tonumber(failed) or 0) + 1 end
    passed, failed = tonumber(passed) or 0, tonumber(failed)
    totals.passed, totals.failed, totals.files = totals.passed + passed, totals.failed + failed, totals.files + 1
    print(("%s %-52s %4d passed%s%s  (%.1f s)"):format(failed > 0 and "FAIL" or "ok  ", job.path, passed,
        failed > 0 and (", %d failed"):format(failed) or "", note, process.now() - job.started))
    for figure in job.child.out:gmatch "figure: ([^\n]+)" do print("     " .. figure) end
    if failed > 0 then io.write(job.child.out, read(job.report .. ".err"):sub(-20000), "\n") end
    io.stdout:flush()
    process.remove(job.report:match "(.*)/")
end

local function run_all(specs, jobs)
    local running, next_spec = {}, 1
    while #running > 0 or next_spec <= #specs do
        while #running < jobs and next_spec <= #specs do
            running[#running + 1] = start(specs[next_spec])
            next_spec = next_spec + 1
        end
        for i = #running, 1, -1 do
            local job = running[i]
            job.child:pump(0.02 / #running)
            local timed_out = process.now() - job.started > TIMEOUT
            if timed_out then job.child:signal "KILL" end
            if timed_out and job.child:wait(5) or not job.child:alive() then
                job.child:wait(5)
                finish(job, timed_out)
                table.remove(running, i)
            end
        end
    end
end

local function cores()
    return tonumber(process.run({ "nproc" }).out) or 1
end

-- Starts the broker of this run when a selected spec wants one; its address reaches them in the environment.
local function start_broker(specs)
    if #specs == 0 then return nil end
    local kafka = require "tests.support.kafka"
    local broker = kafka.start { wait = false }
    require("ffi").C.setenv("ANANAS_TEST_KAFKA", broker.bootstrap, 1)
    return broker
end

local specs = {}
for _, path in ipairs(find_specs(#arg > 0 and arg or { "tests" })) do
    if #arg > 0 or not is_on_request(path) then specs[#specs + 1] = path end
end
local alone, with_broker = {}, {}
for _, path in ipairs(specs) do
    table.insert(needs_broker(path) and with_broker or alone, path)
end

local started = process.now()
local broker = start_broker(with_broker)
run_all(alone, tonumber(os.getenv "JOBS") or cores())
if broker and not broker:wait_ready(60) then
    print "The broker did not start; its log:"
    print(broker:log_tail())
end
-- Long runs of faults mostly wait, and the moments at which they strike are random anyway.
run_all(with_broker, os.getenv "ANANAS_FAULTS" == "long" and tonumber(os.getenv "JOBS") or 1)
if broker then broker:stop { keep_log = totals.failed > 0 } end

print(("\n%d spec files in %.0f s (SEED=n repeats a property's run, SPECS=path runs less)"):format(totals.files,
    process.now() - started))
if totals.failed > 0 and broker then print("The broker's log is kept in " .. broker.log_path) end
print(("%d passed, %d failed"):format(totals.passed, totals.failed))
os.exit((totals.failed > 0 or totals.passed == 0) and 1 or 0)
