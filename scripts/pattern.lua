-- pattern: the row pattern grammar of engine/pattern.h, asked from Lua.
-- Inside the program (or where libananas.so was loaded with global symbols) the real parser answers. Without it, as in a
-- plain luajit, only the variables' names are found.

local ffi = require "ffi"

local pattern = {}

ffi.cdef [[
typedef struct ananas_pattern ananas_pattern;
typedef struct ananas_pattern_error { int code; char text[1000]; } ananas_pattern_error;
int pattern_parse(ananas_pattern **out, const char *text, uint32_t *position, ananas_pattern_error *e);
void pattern_free(ananas_pattern *p);
uint32_t pattern_variables(const ananas_pattern *p);
const char *pattern_variable(const ananas_pattern *p, uint32_t var);
typedef struct ananas_program ananas_program;
int program_compile(ananas_program **out, const ananas_pattern *p, uint32_t *position, ananas_pattern_error *e);
void program_free(ananas_program *p);
]]

local function available()
    return pcall(function() return ffi.C.pattern_parse end)
end

local function names_only(text)
    local names, seen = {}, {}
    for name in text:gmatch("[%a_][%w_]*") do
        if name:upper() ~= "PERMUTE" and not seen[name] then
            seen[name] = true
            names[#names + 1] = name
        end
    end
    return names
end

-- The variables of a pattern in the order in which they first occur; or nil, the byte position (from 1) and words.
function pattern.variables(text)
    if not available() then return names_only(text) end
    local out, position = ffi.new "ananas_pattern *[1]", ffi.new "uint32_t[1]"
    local e = ffi.new "ananas_pattern_error"
    if ffi.C.pattern_parse(out, text, position, e) ~= 0 then return nil, tonumber(position[0]), ffi.string(e.text) end
    local program = ffi.new "ananas_program *[1]"
    if ffi.C.program_compile(program, out[0], position, e) ~= 0 then
        ffi.C.pattern_free(out[0])
        return nil, tonumber(position[0]), ffi.string(e.text)
    end
    ffi.C.program_free(program[0])
    local names = {}
    for i = 0, ffi.C.pattern_variables(out[0]) - 1 do
        names[#names + 1] = ffi.string(ffi.C.pattern_variable(out[0], i))
    end
    ffi.C.pattern_free(out[0])
    return names
end

return pattern
