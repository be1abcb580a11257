-- A question to Lua has one layout, written down twice.

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read "*a"
    file:close()
    return text
end

local function fields(path)
    local text = read(path):gsub("/%*.-%*/", " ")
    local body = assert(text:match "typedef struct match_turn (%b{}) match_turn_t")
    return (body:gsub("%f[%w_]match_t %*", "void *"):gsub("%s+", " "):gsub(", ", "; int32_t "))
end

describe("match_turn_t", function()
    it("is the same in engine/match.h and in scripts/match.lua", function()
        local c, lua = fields "engine/match.h", fields "scripts/match.lua"
        assert.equal(c, lua)
        assert.is_true(#c > 300)
    end)
end)
