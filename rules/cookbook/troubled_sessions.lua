-- Long sessions with many errors: somebody who tries for a long time and gets nowhere.
--
-- A session ends when a user has done nothing for 15 minutes. How long it was is told by the times of its rows.
--
--   clicks     {"user": "ada", "page": "/pay", "status": 500}
--   anomaly    {"user": "ada", "clicks": 31, "errors": 12, "last_page": "/pay", "minutes": 34}
--
-- source "clicks" { topic = "clicks", watermark = "10s" }

rule "troubled_sessions" {
    from = "clicks",
    window = session "15m",
    group_by = { "user" },
    aggregate = {
        clicks = count(),
        errors = count(function(r) return r.status >= 500 end),
        began = min(function(r) return r._time end),
        ended = max(function(r) return r._time end),
        last_page = last("page"),
    },
    having = function(g) return g.errors >= 10 and g.ended - g.began >= 20 * 60000 end,
    select = { "user", "clicks", "errors", "last_page", minutes = function(g) return math.floor((g.ended - g.began) / 60000) end },
    to = "troubled_sessions",
}
