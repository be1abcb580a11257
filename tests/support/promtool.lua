-- Prometheus' own checks, where .ci/promtool found them: promtool.run "check metrics < FILE".

local process = require "tests.support.process"

local promtool = {}
local PATH = "build/promtool/promtool"

function promtool.is_there()
    return process.run({ "test", "-x", PATH }).code == 0
end

-- The result of process.run; arguments as a shell takes them.
function promtool.run(arguments)
    return process.run { "sh", "-c", PATH .. " " .. arguments, timeout = 60 }
end

return promtool
