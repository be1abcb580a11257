-- The short form of the crash spec; the long ones, with rebalances, refusals and a broker that dies, are `make test-faults`.
for _, name in ipairs { "crash" } do
    setfenv(assert(loadfile("tests/faults/" .. name .. "_spec.lua")), getfenv(1))()   -- busted's words are in our environment
end
