-- For specs in which rules run away: `require "tests.support.hooked"`, before the engine is used.
--
-- In the program, LuaJIT's calls for code memory and to the unwinder end in engine/script_watchdog.c, because the program's
-- names come before libc's. Under busted the engine is a library opened late, so this starts the same process again with
-- the library first (LD_PRELOAD), once.

local ffi = require "ffi"

if os.getenv "ANANAS_HOOKED" then return true end

ffi.cdef [[
int setenv(const char *name, const char *value, int overwrite);
int execv(const char *path, char *const argv[]);
]]

local file = assert(io.open("/proc/self/cmdline", "rb"))
local arguments = {}
for argument in file:read("*a"):gmatch "([^%z]*)%z" do arguments[#arguments + 1] = argument end
file:close()

local library = (os.getenv "ANANAS_OUT" or "build") .. "/libananas.so"
local before = os.getenv "ANANAS_PRELOAD"
ffi.C.setenv("LD_PRELOAD", before and before ~= "" and before .. " " .. library or library, 1)
ffi.C.setenv("ANANAS_HOOKED", "1", 1)
local argv = ffi.new("char *[?]", #arguments + 1)
for i, argument in ipairs(arguments) do argv[i - 1] = ffi.cast("char *", argument) end
ffi.C.execv("/proc/self/exe", argv)
error "cannot start again with the engine first"
