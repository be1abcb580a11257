local ffi = require "ffi"
local ananas = require "tests.support.ananas"

ffi.cdef [[
typedef struct scripts_entry { const char *name; const char *text; size_t length; } scripts_entry_t;
extern const scripts_entry_t scripts_entries[];
extern const size_t scripts_count;
]]

describe("the scripts compiled into the binary", function()
    local lib = ananas.library()

    it("are the files under scripts/, byte for byte", function()
        local count = tonumber(lib.scripts_count)
        for i = 0, count - 1 do
            local entry = lib.scripts_entries[i]
            local file = assert(io.open("scripts/" .. ffi.string(entry.name) .. ".lua", "rb"))
            assert.equal(file:read "*a", ffi.string(entry.text, entry.length))
            file:close()
        end
    end)

    it("are in the order of their names, and the array ends with NULL", function()
        local count, last = tonumber(lib.scripts_count), ""
        for i = 0, count - 1 do
            local name = ffi.string(lib.scripts_entries[i].name)
            assert.is_true(last < name)
            last = name
        end
        assert.is_true(lib.scripts_entries[count].name == nil)
    end)
end)
