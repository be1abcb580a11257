-- hash: versions. Two rules have one version when they would do the same: same plan, same code, same constants and tables
-- that the code reaches, same upstream. Names of files, line numbers, comments and the order of texts do not count.

local bytecode = require "bytecode"

local hash = {}

local band, bor, bxor, bnot, rshift, ror, tobit = bit.band, bit.bor, bit.bxor, bit.bnot, bit.rshift, bit.ror, bit.tobit

-- Round constants of SHA-256 (FIPS 180-4): the fractional parts of cube roots of primes, and of square roots.
local round, initial = {}, {}
do
    local function fraction(x) return tobit(math.floor((x - math.floor(x)) * 2 ^ 32)) end
    local n, i = 2, 0
    while i < 64 do
        local prime = true
        for d = 2, math.floor(math.sqrt(n)) do
            if n % d == 0 then prime = false break end
        end
        if prime then
            i = i + 1
            -- One Newton step makes the cube root exact to the last bit that is used.
            local root = n ^ (1 / 3)
            root = root - (root * root * root - n) / (3 * root * root)
            round[i] = fraction(root)
            if i <= 8 then initial[i] = fraction(math.sqrt(n)) end
        end
        n = n + 1
    end
end

local function block(state, text, at, w)
    for i = 1, 16 do
        local a, b, c, d = text:byte(at + i * 4 - 4, at + i * 4 - 1)
        w[i] = bor(a * 2 ^ 24, b * 65536, c * 256, d)
    end
    for i = 17, 64 do
        local x, y = w[i - 15], w[i - 2]
        local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
        local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
        w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = unpack(state)
    for i = 1, 64 do
        local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
        local t1 = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + round[i] + w[i])
        local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
        local t2 = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
        h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
    end
    local add = { a, b, c, d, e, f, g, h }
    for i = 1, 8 do state[i] = tobit(state[i] + add[i]) end
end

-- SHA-256 of a string, as 64 hexadecimal digits.
function hash.sha256(text)
    local bits = #text * 8
    local tail = {}
    for i = 1, 8 do tail[i] = string.char(math.floor(bits / 2 ^ (64 - 8 * i)) % 256) end
    text = text .. "\128" .. ("\0"):rep((55 - #text) % 64) .. table.concat(tail)
    local state, w = { unpack(initial) }, {}
    for at = 1, #text, 64 do block(state, text, at, w) end
    local out = {}
    for i = 1, 8 do out[i] = bit.tohex(state[i]) end
    return table.concat(out)
end

-- Half of it is enough to tell versions apart.
function hash.of(text) return hash.sha256(text):sub(1, 32) end

-- ---- values as text ----

local function compare_keys(a, b)
    local ta, tb = type(a), type(b)
    if ta ~= tb then return ta < tb end
    if ta == "number" or ta == "string" then return a < b end
    return tostring(a) < tostring(b)
end

local writer = {}
writer.__index = writer

function hash.writer()
    return setmetatable({ out = {}, seen = {}, count = 0 }, writer)
end

function writer:put(text) self.out[#self.out + 1] = text end

-- Any value; shared and cyclic ones are written once and then by their number of first meeting.
function writer:value(v)
    local kind = type(v)
    if kind == "number" then return self:put(("n%.17g;"):format(v)) end
    if kind == "string" then return self:put(("s%d:%s;"):format(#v, v)) end
    if kind == "nil" or kind == "boolean" then return self:put(tostring(v) .. ";") end
    local met = self.seen[v]
    if met then return self:put(("@%d;"):format(met)) end
    self.count = self.count + 1
    self.seen[v] = self.count
    if kind == "table" then return self:table(v) end
    if kind == "function" then return self:fn(v) end
    -- Words of the sandbox and the like: known by what they are called.
    self:put(("<%s %s>;"):format(kind, self.names and self.names[v] or "?"))
end

function writer:table(t)
    local keys = {}
    for key in next, t do keys[#keys + 1] = key end
    table.sort(keys, compare_keys)
    self:put("{")
    for _, key in ipairs(keys) do
        self:value(key)
        self:put("=")
        self:value(rawget(t, key))
    end
    local meta = debug.getmetatable(t)
    if meta then
        self:put("meta")
        self:value(meta)
    end
    self:put("}")
end

-- Code without its debug information, the values it captured, and the globals it names.
function writer:fn(f)
    if self.names and self.names[f] then return self:put(("<word %s>;"):format(self.names[f])) end
    local code = bytecode.read(f)
    if not code then return self:put("<builtin>;") end
    self:put("f(")
    self:put(bytecode.canonical(code))
    self:put(")(")
    for i = 1, code.n_upvalues do
        local _, value = debug.getupvalue(f, i)
        self:value(value)
    end
    self:put(")(")
    for _, name in ipairs(bytecode.globals(code)) do
        self:put(name .. "=")
        if self.lookup then self:value(self.lookup(f, name)) end
    end
    self:put(")")
end

function writer:finish() return hash.of(table.concat(self.out)) end

-- ---- rules ----

local function hash_of(names, build)
    local w = hash.writer()
    w.names, w.lookup = names.words, names.lookup
    build(w)
    return w:finish()
end

local function plain(w, desc, keys)
    for _, key in ipairs(keys) do
        w:put(key .. ":")
        w:value(desc[key])
    end
end

-- Where a rule's rows come from: its sources, through every rule between. Another answer here makes state meaningless.
local function lineage(w, desc)
    local inputs = { unpack(desc.inputs) }
    table.sort(inputs, function(a, b) return a.name < b.name end)
    for _, from in ipairs(inputs) do
        local source = from.source
        w:put(from.name .. ":")
        if source then
            w:value { source.topic or {}, source.event_time or false, source.event_unit_ms or source.event_unit or 1, source.metadata }
        else
            w:put(from.rule.hashes.input)
        end
    end
end

-- The parts of a rule by what a change of them means for its state (engine/reload.h). Inputs come before their readers.
local function parts(desc, names)
    local h, m, p = {}, desc.match, desc.process
    local function of(build) return hash_of(names, build) end
    h.input = of(function(w) lineage(w, desc) end)
    h.where = of(function(w) plain(w, desc, { "where" }) end)
    h.logic = of(function(w)
        w:put(h.where)
        for _, from in ipairs(desc.inputs) do w:put(from.rule and from.rule.version or from.name) end
    end)
    h.aggregates = of(function(w)
        for _, agg in ipairs(desc.aggs) do
            w:value { agg.name, agg.kind, agg.column or false, agg.fn or false, agg.separator or false, agg.q or false,
                agg.init == nil and "none" or agg.init, agg.step or false, agg.merge or false }
        end
    end)
    h.shape = of(function(w)
        w:put(h.input .. h.aggregates)
        for _, path in ipairs(desc.unnest) do w:value { path.text, path.alias } end
        plain(w, desc, { "window", "group_by" })
        w:value(m and { m.partition_by, m.order_by or {} } or false)
        w:value(p and { p.by, p.order, p.detector or false } or false)
    end)
    h.pattern = of(function(w)
        w:value(m and { m.pattern, m.define, m.subset, m.skip or false, m.skip_var or false, m.within or 0, m.on_timeout, m.lookback,
            m.max_rows, m.max_steps } or false)
    end)
    h.code = of(function(w)
        if p and p.is_detect then w:value(desc.given.detect.options)
        elseif p then w:value { p.on_row, p.on_timer or false, p.ttl or 0 } end
    end)
    h.output = of(function(w)
        plain(w, desc, { "having", "top", "early", "lateness", "late_to", "select", "key", "cooldown", "to", "time_format", "mode", "explain" })
        w:value(m and { m.measures, m.rows_per_match } or false)
    end)
    return h
end

-- Sets version, state_hash, logic_hash and hashes of each rule (inputs first) and gives the version of the set.
-- settings.functions: { words = value -> word of the vocabulary, lookup = function(f, name) -> value of a global }.
function hash.versions(ordered, settings)
    local names = settings.functions or {}
    local all = {}
    for _, desc in ipairs(ordered) do
        local h = parts(desc, names)
        desc.hashes = h
        desc.state_hash, desc.logic_hash = h.shape, h.logic
        desc.version = hash.of(table.concat({ h.logic, h.shape, h.pattern, h.code, h.output }, ","))
        all[#all + 1] = desc.name .. "=" .. desc.version
    end
    table.sort(all)
    return hash.of(table.concat(all, ","))
end

return hash
