-- The short form of tests/faults/members_spec.lua; the long one is part of `make test-faults`.
require "tests.support.kafka"
setfenv(assert(loadfile "tests/faults/members_spec.lua"), getfenv(1))()   -- busted's words are in our environment
