-- Turns the Lua side of the product, and its page, into C: `luajit embed.lua OUT.c OUT.h SCRIPT.lua... PAGE.html...`
-- The texts go into arrays of {name, text, length}, one of scripts and one of pages, sorted as given; the name is the stem.
-- Each source line becomes one string literal, so a diff of the output reads like a diff of the scripts.

local out_c, out_h = arg[1], arg[2]

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\t"] = "\\t", ["?"] = "\\?" }

local function quoted(line)
    return '"' .. line:gsub('[%c\\"?\128-\255]', function(c)
        -- Three octal digits end by themselves; a hexadecimal escape would swallow what follows.
        return escapes[c] or ("\\%03o"):format(c:byte())
    end) .. '"'
end

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

local function write(path, text)
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

local entries = { lua = {}, html = {} }
for i = 3, #arg do
    local text = read(arg[i])
    local literals = {}
    for line in text:gmatch("[^\n]*\n?") do
        if line ~= "" then literals[#literals + 1] = "     " .. quoted(line) end
    end
    if #literals == 0 then literals[1] = '     ""' end
    local name, kind = arg[i]:match("([^/]+)%.(%a+)$")
    local list = entries[kind]
    list[#list + 1] = ('    {"%s",\n%s,\n     %d},\n'):format(name, table.concat(literals, "\n"), #text)
end

write(out_h, [[
/* Generated from scripts/ by tests/support/embed.lua. The texts are constant and live as long as the process. */
#ifndef ANANAS_SCRIPTS_H
#define ANANAS_SCRIPTS_H

#include <stddef.h>

typedef struct scripts_entry {
    const char *name;   /* the stem: "loader" for scripts/loader.lua */
    const char *text;   /* NUL-terminated Lua source */
    size_t length;      /* without the NUL */
} scripts_entry_t;

extern const scripts_entry_t scripts_entries[];
extern const size_t scripts_count;
extern const scripts_entry_t scripts_pages[];     /* HTML; ends with a NULL name */

#endif
]])

write(out_c, '#include "scripts.h"\n\nconst scripts_entry_t scripts_entries[] = {\n' .. table.concat(entries.lua)
    .. '    {NULL, NULL, 0},\n};\n\nconst size_t scripts_count = ' .. #entries.lua
    .. ';\n\nconst scripts_entry_t scripts_pages[] = {\n' .. table.concat(entries.html) .. '    {NULL, NULL, 0},\n};\n')
