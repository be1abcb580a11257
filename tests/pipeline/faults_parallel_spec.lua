-- The short form of tests/faults/parallel_spec.lua; the long one is part of `make test-faults`.
setfenv(assert(loadfile "tests/faults/parallel_spec.lua"), getfenv(1))()   -- busted's words are in our environment
