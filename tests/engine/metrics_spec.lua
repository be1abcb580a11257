local ananas = require "tests.support.ananas"
local ffi = require "ffi"

ffi.cdef [[
struct metrics_buf { char *s; size_t len, cap; };
void metrics_write(const void *snapshot, struct metrics_buf *b);
void metrics_write_now(int64_t beat_ms, uint32_t connections, uint32_t readers, struct metrics_buf *b);
void buf_fini(void *b);
]]
local lib = ananas.library()

-- Of a snapshot in which all is zero: a process that has just begun, without sources and rules.
local function text_of(beat)
    local b = ffi.new "struct metrics_buf"
    lib.metrics_write(ffi.new "char[65536]", b)
    lib.metrics_write_now(beat, 3, 1, b)
    local text = ffi.string(b.s, b.len)
    lib.buf_fini(b)
    return text
end

describe("metrics", function()
    local text = text_of(1500)

    it("have help and a type each, once, before their samples", function()
        local kind, help = {}, {}
        for line in text:gmatch "[^\n]+" do
            local word, name, rest = line:match "^# (%u+) (%S+) (.+)$"
            if word == "HELP" then
                assert.is_nil(help[name], name)
                help[name] = rest
                assert.matches("%.$", rest, 1)
            elseif word == "TYPE" then
                assert.truthy(help[name], name)
                assert.is_nil(kind[name], name)
                kind[name] = rest
            else
                local sample = line:match "^([%w_]+)"
                assert.truthy(kind[sample] or kind[sample:gsub("_%l+$", "")], line)
                assert.truthy(tonumber(line:match " (%S+)$"), line)
            end
        end
    end)

    it("are named by the conventions: base units, counters in _total and nothing else", function()
        for name, kind in text:gmatch "\n# TYPE (%S+) (%S+)" do
            assert.equal(kind == "counter", name:find "_total$" ~= nil, name)
            assert.falsy(name:find "_ms" or name:find "milli" or name:find "_kb" or name:find "%u", name)
            assert.truthy(name:find "^ananas_" or name:find "^process_", name)
        end
    end)

    it("have histograms whose buckets rise, end in +Inf and agree with the count", function()
        local seen = 0
        for name in text:gmatch "# TYPE (%S+) histogram" do
            seen = seen + 1
            local before, last = -1, nil
            for le, n in text:gmatch(name .. '_bucket{le="([^"]+)"} (%d+)') do
                local bound = le == "+Inf" and math.huge or tonumber(le)
                assert.is_true(bound > before, name)
                before, last = bound, n
            end
            assert.equal(math.huge, before)
            assert.equal(last, text:match(name .. "_count (%d+)"))
        end
        assert.equal(3, seen)
    end)

    it("leave out what is not known, and give the rest as numbers", function()
        assert.falsy(text:find("\nananas_state_limit_bytes ", 1, true))
        assert.truthy(text:find("\nananas_loop_beat_age_seconds 1.500\n", 1, true))
        assert.truthy(text:find("\nananas_http_connections 3\n", 1, true))
        assert.falsy(text:find "%s[-+]?nan" or text:find "%sinf")
    end)
end)
