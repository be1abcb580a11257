-- The short form of the crash, rebalance and refusal specs; the long one is `make test-faults`.
for _, name in ipairs { "crash", "members", "refuse" } do
    assert(loadfile("tests/faults/" .. name .. "_spec.lua"))()
end
