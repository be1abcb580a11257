local ffi = require "ffi"
local engine = require "tests.support.engine"
local lib = engine.use("input", "error")

-- zlib and libzstd are the engine's own; a library's dependencies answer through it.
ffi.cdef [[
void *gzopen(const char *path, const char *mode); int gzwrite(void *f, const void *s, unsigned n); int gzclose(void *f);
size_t ZSTD_compress(void *to, size_t room, const void *from, size_t n, int level); size_t ZSTD_compressBound(size_t n);
int pipe(int *ends); long write(int fd, const void *s, size_t n); int close(int fd);
]]

local path = os.tmpname()
teardown(function() os.remove(path) end)

local function append(text)
    local f = assert(io.open(path, "ab"))
    f:write(text)
    f:close()
end

-- Appends one member or frame of the file.
local pack = {
    plain = append,
    gzip = function(text)
        local f = lib.gzopen(path, "ab")
        lib.gzwrite(f, text, #text)
        lib.gzclose(f)
    end,
    zstd = function(text)
        local room = lib.ZSTD_compressBound(#text)
        local to = ffi.new("char[?]", room)
        append(ffi.string(to, lib.ZSTD_compress(to, room, text, #text, 1)))
    end,
}

local function write(kind, parts)
    assert(io.open(path, "wb")):close()
    for _, text in ipairs(parts) do pack[kind](text) end
end

local function open(from)
    local out, e = ffi.new "input_t *[1]", ffi.new "error_t"
    local rc = lib.input_open(out, from or path, e)
    if rc ~= 0 then return nil, ffi.string(e.text) end
    return ffi.gc(out[0], lib.input_close)
end

-- Every line, looked at only when the batch after its own ends: they stay until then. Then the fault, if there was one.
local function lines_of(input)
    local list, before, borrowed, line, stop, e = {}, {}, {}, ffi.new "slice_t", ffi.new "int[1]", ffi.new "error_t"
    local function release()
        for _, s in ipairs(before) do list[#list + 1] = ffi.string(s.s, s.len) end
        before, borrowed = borrowed, {}
        lib.input_batch(input)
    end
    local function all()
        release()
        release()
        return list
    end
    while true do
        local rc = lib.input_line(input, line, 1, stop, e)
        if rc == 1 then
            borrowed[#borrowed + 1] = ffi.new("slice_t", line)
            assert.equal(#list + #before + #borrowed, tonumber(lib.input_line_number(input)))
        end
        if rc < 0 then
            return all(), ffi.string(e.text)
        end
        if rc == 0 and stop[0] == 1 then
            return all()
        end
        if rc == 0 or math.random() < 0.1 then release() end
    end
end

local MARK = "\239\187\191"
-- The plain way: the whole text, cut at its newlines.
local function reference(text)
    local list = {}
    for line, nl in text:gmatch "([^\n]*)(\n?)" do
        if nl == "" and line == "" then break end
        line = line:gsub("\r$", "")
        if #list == 0 and line:sub(1, 3) == MARK then line = line:sub(4) end
        list[#list + 1] = line
    end
    return list
end

local function random_text()
    local parts = { math.random() < 0.2 and MARK or "" }
    for i = 1, math.random(0, 40) do
        local dice = math.random()
        local length = dice < 0.1 and 0 or dice < 0.15 and math.random(200000, 600000) or math.random(1, 200)
        parts[#parts + 1] = string.char(math.random(97, 122)):rep(length) .. (i % 7 == 0 and "\r" or "") .. "\n"
    end
    if math.random() < 0.5 then parts[#parts + 1] = "no end" end
    return table.concat(parts)
end

describe("input", function()
    for _, kind in ipairs { "plain", "gzip", "zstd" } do
        it("gives the lines of a " .. kind .. " file as a plain reference does, in one piece or several (20 random texts)", function()
            math.randomseed(SEED)
            for round = 1, 20 do
                local text = random_text()
                local cut = math.random(0, #text)
                write(kind, math.random() < 0.5 and { text } or { text:sub(1, cut), text:sub(cut + 1) })
                local input = assert(open())
                local got, fault = lines_of(input)
                local want, where = reference(text), ("seed %d round %d"):format(SEED, round)
                assert.is_nil(fault, where)
                assert.equal(#want, #got, where)
                for i = 1, #want do assert.is_true(want[i] == got[i], where .. " line " .. i) end
                assert.equal(1, lib.input_is_file(input))
            end
        end)
    end

    for _, kind in ipairs { "gzip", "zstd" } do
        it("says that a " .. kind .. " file ends early, after lines that are whole, wherever it was cut", function()
            local parts = {}
            for i = 1, 3000 do parts[i] = ("%d %d\n"):format(i, i * 7919 % 10007) end
            local text = table.concat(parts)
            write(kind, { text })
            local f = assert(io.open(path, "rb"))
            local packed = f:read "*a"
            f:close()
            local want = reference(text)
            for len = 5, #packed - 1, math.max(1, math.floor(#packed / 60)) do
                assert(io.open(path, "wb")):close()
                append(packed:sub(1, len))
                local got, fault = lines_of(assert(open()))
                assert.truthy(fault and fault:find("it ends in the middle of its compressed data", 1, true), tostring(fault))
                for i, line in ipairs(got) do assert.equal(want[i], line) end
            end
        end)
    end

    it("gives what a pipe has, and says that there is no more for now, until it is closed", function()
        local ends, line, stop, e = ffi.new "int[2]", ffi.new "slice_t", ffi.new "int[1]", ffi.new "error_t"
        assert.equal(0, ffi.C.pipe(ends))
        local function say(text) assert.equal(#text, tonumber(ffi.C.write(ends[1], text, #text))) end
        local input
        local function ask()
            lib.input_batch(input)
            local rc = lib.input_line(input, line, 0, stop, e)
            return rc == 1 and ffi.string(line.s, line.len) or rc == 0 and (stop[0] == 1 and "end" or "nothing")
        end
        say "one\ntwo"
        input = assert(open("/dev/fd/" .. ends[0]))
        ffi.C.close(ends[0])
        assert.equal(0, lib.input_is_file(input))
        assert.same({ "one", "nothing" }, { ask(), ask() })
        say "\n\nthr"
        assert.same({ "two", "", "nothing" }, { ask(), ask(), ask() })
        say "ee"
        ffi.C.close(ends[1])
        assert.same({ "three", "end", "end" }, { ask(), ask(), ask() })
    end)

    it("names what cannot be opened", function()
        assert.same({ nil, "cannot open /nowhere/at all: No such file or directory" }, { open "/nowhere/at all" })
        assert.same({ nil, "/tmp is a folder; --input takes a file or -" }, { open "/tmp" })
    end)
end)
