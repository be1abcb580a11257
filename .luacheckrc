-- luacheck: `make lint`
std = "luajit"
max_line_length = 160
max_string_line_length = 240
cache = "build/luacheck.cache"
unused_args = false
ignore = { "212", "611", "612", "614" }

-- What the rule vocabulary and the configuration offer.
local vocabulary = {
    "rule", "set", "timestamp", "log", "tumble", "hop", "cumulate", "session", "record",
    "count", "sum", "avg", "min", "max", "first", "last", "count_distinct", "listagg", "quantile", "fold",
    "ewma", "zscore", "mad", "cusum", "rate_of_change", "seasonal", "absence", "kafka", "source", "rules", "delivery", "commit_interval", "parallelism", "threads", "http", "topics",
    "max_state", "env", "secret_file", "state", "budget", "token",
}
files["rules"] = { read_globals = vocabulary, globals = {} }
files["tests"] = { max_line_length = 220, std = "luajit+busted", globals = { "SEED" }, read_globals = vocabulary }
-- What `ananas test` adds for specs beside rules.
local test_words = { "rules_under_test", "at", "null" }
files["rules/**/*_spec.lua"] = { std = "luajit+busted", read_globals = test_words }
files["rules/*_spec.lua"] = { std = "luajit+busted", read_globals = test_words }
