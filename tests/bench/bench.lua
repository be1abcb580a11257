-- What every section of the bench uses: sizes from the environment, children with what they used, medians, the one table.

local ffi = require "ffi"
local cjson = require "cjson"
local process = require "tests.support.process"

ffi.cdef [[
struct bench_rusage { long user_s, user_us, sys_s, sys_us, peak_kb, more[13]; };
pid_t wait4(pid_t pid, int *status, int options, struct bench_rusage *usage);
]]

local bench = { out = os.getenv "ANANAS_OUT" or "build", rows = {}, folder = "build/bench" }
bench.binary = process.absolute(bench.out .. "/ananas")

-- A size that the environment may change: ORDERS=1e6 make bench.
function bench.number(name, default) return tonumber(os.getenv(name) or "") or default end
bench.runs = bench.number("RUNS", 3)

function bench.write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

function bench.read(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local text = file:read "*a"
    file:close()
    return text
end

function bench.folder_size(path)
    return tonumber(process.run({ "du", "-sb", path }).out:match "^%d+") or 0
end

function bench.exists(path)
    local file = io.open(path, "rb")
    if file then file:close() end
    return file ~= nil
end

-- Waits for a process of process.spawn, by the kernel's own account: CPU seconds and peak memory in bytes.
function bench.finish(child)
    local status, usage = ffi.new "int[1]", ffi.new "struct bench_rusage"
    assert(ffi.C.wait4(child.pid, status, 0, usage) == child.pid)
    child.status = { code = bit.band(bit.rshift(status[0], 8), 255), signal = bit.band(status[0], 127) }
    return { ok = status[0] == 0, peak = tonumber(usage.peak_kb) * 1024,
        cpu = tonumber(usage.user_s + usage.sys_s) + tonumber(usage.user_us + usage.sys_us) / 1e6 }
end

-- Runs a command to its end: what finish says, and wall seconds, and what it wrote.
function bench.run(command)
    local log = bench.folder .. "/last"
    command.stdout, command.stderr = log .. ".out", log .. ".err"
    local started = process.now()
    local used = bench.finish(process.spawn(command))
    used.wall = process.now() - started
    used.out = bench.read(command.stdout)
    if not used.ok then error(("%s failed:\n%s%s"):format(table.concat(command, " "), used.out, bench.read(command.stderr)), 0) end
    return used
end

function bench.json(text) return cjson.decode(text) end

-- Programs of the bench itself, built when their text, or what they share, is newer.
function bench.program(source, compiler, ...)
    local program = bench.folder .. "/" .. source:gsub("%.%w+$", "")
    local text = "tests/bench/" .. source
    local shared = "tests/bench/client.h"
    if os.execute(("test %s -nt %s -a %s -nt %s"):format(program, text, program, shared)) ~= 0 then
        bench.run { "sh", "-c", compiler .. " -o " .. program .. " " .. text .. " " .. table.concat({ ... }, " ") }
    end
    return program
end

-- A folder with a configuration and rules in it; the path of the configuration.
function bench.deployment(name, config, rules)
    local folder = bench.folder .. "/" .. name
    assert(os.execute("rm -rf " .. folder .. " && mkdir -p " .. folder .. "/rules") == 0)
    bench.write(folder .. "/ananas.lua", config)
    bench.write(folder .. "/rules/rules.lua", rules)
    return folder .. "/ananas.lua"
end

-- The shipped rules as they are, or counting only.
function bench.pizza_rules(shadow)
    local text = assert(bench.read "rules/pizza.lua")
    return shadow and text:gsub('(\n%s*)(to%s*=%s*"[^"\n]*",)', '%1%2%1mode = "shadow",') or text
end

-- One replay of bare payloads: used, with its statistics.
function bench.replay(config, source, input, extra)
    local stats = bench.folder .. "/stats.json"
    local command = { bench.binary, "replay", "-c", config, "--input", input, "--output", "/dev/null", "--stats", stats, "--log-level", "error" }
    if source then
        command[#command + 1] = "--raw"
        command[#command + 1] = source
    end
    for _, word in ipairs(extra or {}) do command[#command + 1] = word end
    local used = bench.run(command)
    used.stats = bench.json(bench.read(stats))
    return used
end

function bench.median(values)
    local sorted = {}
    for i, v in ipairs(values) do sorted[i] = v end
    table.sort(sorted)
    local n = #sorted
    if n == 0 then return 0 / 0 end
    return n % 2 == 1 and sorted[(n + 1) / 2] or (sorted[n / 2] + sorted[n / 2 + 1]) / 2
end

-- Calls each measurement in turn, RUNS times over, so that what disturbs one disturbs its neighbour as well: lists of results.
function bench.interleaved(measurements, runs)
    local results = {}
    for name in pairs(measurements) do results[name] = {} end
    for _ = 1, runs or bench.runs do
        local names = {}
        for name in pairs(measurements) do names[#names + 1] = name end
        table.sort(names)
        for _, name in ipairs(names) do table.insert(results[name], measurements[name]()) end
    end
    return results
end

function bench.median_of(list, field)
    local values = {}
    for i, item in ipairs(list) do values[i] = type(field) == "function" and field(item) or item[field] end
    return bench.median(values)
end

-- A line of the table; a target is shown beside its figure, met or not.
function bench.row(section, what, figure, ratio, target)
    bench.rows[#bench.rows + 1] = { section, what, figure, ratio or "", target or "" }
    io.stderr:write(("%-2s %-58s %-34s %s\n"):format(section, what, figure, ratio or ""))
end

local function first(command)
    local pipe = io.popen(command)
    local line = pipe:read "*l" or ""
    pipe:close()
    return line
end

function bench.load() return tonumber((bench.read "/proc/loadavg"):match "^%S+") end

function bench.machine()
    local memory = tonumber((bench.read "/proc/meminfo"):match "MemTotal:%s*(%d+)") / 1048576
    return ("%s, %s cores, %.0f GB, %s, Linux %s"):format(first "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo", first "nproc", memory,
        first "sed -n 's/^PRETTY_NAME=\"\\(.*\\)\"/\\1/p' /etc/os-release", first "uname -r")
end

function bench.table()
    local widths = { 2, 0, 0, 0 }
    local heads = { "", "what", "median", "ratio", "target" }
    for _, row in ipairs { heads, unpack(bench.rows) } do
        for i = 1, 4 do widths[i] = math.max(widths[i], #row[i]) end
    end
    local lines = {}
    for _, row in ipairs { heads, unpack(bench.rows) } do
        local cells = {}
        for i = 1, 5 do cells[i] = i < 5 and row[i] .. (" "):rep(widths[i] - #row[i]) or row[i] end
        lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
    end
    return table.concat(lines, "\n") .. "\n"
end

return bench
