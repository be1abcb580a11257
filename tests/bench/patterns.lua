-- Rows per second of row patterns through `replay`, and whether memory stays flat:
-- `luajit tests/bench/patterns.lua [ROWS [WORD]]`, where WORD picks the patterns it occurs in.
--
-- Rows are made while they are read, so that no file's cache is measured; the generator's own pace is shown first. Memory
-- is the resident set of the process after each tenth of the rows, from the second tenth on.

local ROWS = tonumber(arg[1]) or 1000000
local OUT = os.getenv "ANANAS_OUT" or "build"
local KEYS = 1000

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local function first_line(command)
    local pipe = assert(io.popen(command))
    local line = pipe:read "*l"
    pipe:close()
    return line
end

local root = first_line "pwd"

local function write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local function read(path)
    local file = io.open(path, "rb")
    if not file then return "" end
    local text = file:read "*a"
    file:close()
    return text
end

local TREND = [[
rule "trend" {
  from = "s",
  match = {
    partition_by = "k", pattern = "START_ROW NR_UP+ NR_DOWN{2}",
    define = {
      NR_UP = function(row, m) return row.nr > m.prev().nr end,
      NR_DOWN = function(row, m) return row.nr < m.prev().nr end,
    },
    measures = {
      trend_start = function(m) return timestamp(m.first("START_ROW").ts) end,
      trend_detail = function(m) return m.listagg("*", "nr") end,
    },
  },
  to = "out",
}
]]

local HARD = [[
rule "hard" {
  from = "s",
  match = {
    partition_by = "k", pattern = "(A|B|A B)* C",
    define = {
      A = function(row) return row.nr < 90 end,
      B = function(row) return row.nr < 95 end,
      C = function(row) return row.nr == 99 end,
    },
    measures = { n = function(m) return m.count("*") end },
  },
  to = "out",
}
]]

local LABELS = [[
rule "labels" {
  from = "s",
  match = {
    partition_by = "k", pattern = "A+ B", within = "60s",
    define = {
      A = function(row, m) return m.sum("A", "nr") < 300 end,
      B = function(row, m) return row.nr > m.avg("A", "nr") end,
    },
    measures = { n = function(m) return m.count("*") end },
  },
  to = "out",
}
]]

-- One row a millisecond over KEYS keys; the same every time.
local function rows(sink, n, after_tenth)
    local parts = {}
    math.randomseed(1)
    for i = 0, n - 1 do
        local k, nr = math.random(0, KEYS - 1), math.random(0, 99)
        parts[#parts + 1] = ('{"k":%d,"nr":%d,"ts":%d,"shop":"Marios Pizza"}\n'):format(k, nr, i)
        if #parts == 4096 or i == n - 1 then
            sink:write(table.concat(parts))
            parts = {}
        end
        if (i + 1) % math.ceil(n / 10) == 0 and after_tenth then after_tenth() end
    end
end

local function generator_pace()
    local sink = assert(io.open("/dev/null", "wb"))
    local before = os.clock()
    rows(sink, 200000)
    sink:close()
    return 200000 / (os.clock() - before)
end

local function run(rule)
    local folder = first_line "mktemp -d /tmp/ananas-bench.XXXXXX"
    os.execute("mkdir " .. folder .. "/rules")
    write(folder .. "/ananas.lua", 'source "s" { topic = "s", event_time = "ts", watermark = "1s", max_ahead = "none" }\nrules "rules"\n')
    write(folder .. "/rules/rule.lua", rule)
    local pipe = assert(io.popen(("cd %s && echo $$ > pid && exec %s replay --raw s --input - --output out --stats stats"):format(folder,
        quote((OUT:sub(1, 1) == "/" and OUT or root .. "/" .. OUT) .. "/ananas")), "w"))
    local memory = {}
    rows(pipe, ROWS, function()
        memory[#memory + 1] = tonumber(read("/proc/" .. (read(folder .. "/pid"):match "%d+" or 0) .. "/status"):match "VmRSS:%s*(%d+)") or 0
    end)
    pipe:close()
    local stats = read(folder .. "/stats")
    os.execute("rm -rf " .. folder)
    return tonumber(stats:match '"seconds":([%d.]+)'), tonumber(stats:match '"emitted":(%d+)') or 0, memory
end

print(("rows made: %.2f M/s"):format(generator_pace() / 1e6))
for _, case in ipairs {
    { "START_ROW NR_UP+ NR_DOWN{2}, 1,000 keys", TREND }, { "(A|B|A B)* C, 1,000 keys", HARD }, { "A+ B by sum and average, 1,000 keys", LABELS },
} do
    local wanted = not arg[2] or case[1]:find(arg[2], 1, true)
    local seconds, emitted, memory = 0, 0, {}
    if wanted then seconds, emitted, memory = run(case[2]) end
    if not seconds then error "the run gave no statistics" end
    local least, most = math.huge, 0
    for i = 2, #memory do
        least, most = math.min(least, memory[i]), math.max(most, memory[i])
    end
    if wanted then print(("%-42s %8.0f rows/s   %8d matches   %.1f to %.1f MB"):format(case[1], ROWS / seconds, emitted, least / 1024, most / 1024)) end
end
