-- Runs before the specs of each busted process (.busted names it).

local ffi = require "ffi"
ffi.cdef [[
int unsetenv(const char *name);
int setenv(const char *name, const char *value, int overwrite);
]]

-- A sanitizer's runtime is preloaded into this process for libananas.so; what specs start must not inherit it.
ffi.C.unsetenv "LD_PRELOAD"
ffi.C.setenv("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1:quarantine_size_mb=8", 1)

-- Seeds of property specs: SEED from the environment, else from the clock; printed when one fails.
local seed = tonumber(os.getenv "SEED") or (os.time() * 1000 + math.floor(os.clock() * 1e6)) % 2147483647
_G.SEED = seed
math.randomseed(seed)
