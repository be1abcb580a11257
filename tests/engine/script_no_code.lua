-- Run by script_spec.lua, with `luajit -joff`: rules in a process that may not write machine code, as under systemd's
-- MemoryDenyWriteExecute.

local ffi = require "ffi"
package.path = "./?.lua;" .. package.path
local rows = require "tests.support.rows"
local lib = rows.lib

ffi.cdef "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);"
local SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ffi.C.prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) ~= 0 then
    print "unknown here"
    os.exit(0)
end

local log = lib.log_open(2, ffi.C.LOG_INFO, ffi.C.LOG_TEXT)
local s = assert(rows.open { time_ms = 20, log = log })
rows.close(assert(rows.open { log = log }))   -- says nothing more
local batch = rows.batch { { n = 1 }, { n = 2 } }
local fn = assert(rows.fn(s, "return function(r) local x = 0 for i = 1, 1000 do x = x + i end return r.n == 1 and x > 0 end"))
local pass = rows.where(s, fn, batch)
print(tostring(pass[1]) .. " " .. tostring(pass[2]))
local bad = assert(rows.fn(s, "return function(r) while true do end end"))
local _, why = rows.where(s, bad, batch)
print((why:match "^stopped after"))
