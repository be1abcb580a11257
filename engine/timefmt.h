/* timefmt: event times and durations as text.
 *
 * Reads ISO 8601 and SQL timestamps (no zone: UTC), writes the formats of the rule key time_format. Any thread. */
#ifndef ANANAS_TIMEFMT_H
#define ANANAS_TIMEFMT_H
#include "buf.h"
#include "clock.h"

typedef enum { TIME_ISO8601, TIME_SQL, TIME_EPOCH_MS } time_format_t;

/* "2022-08-02T07:53:42.541Z", "2022-08-02 07:53:42.541", "...+02:00", "2022-08-02", "20220802T075342Z"; 0 or ERR_INVALID */
int timefmt_parse(const char *s, size_t len, etime_t *out);
/* iso8601 and sql without quotes: "2022-08-02T07:53:42.541Z" / "2022-08-02 07:53:42.541"; epoch_ms as digits. */
void timefmt_write(buf_t *b, etime_t t, time_format_t format);
/* "250ms" "5s" "1m" "1h" "1d" "1.5s"; 0 or ERR_INVALID (also for negative ones). */
int timefmt_duration(const char *s, size_t len, int64_t *ms);
void timefmt_write_duration(buf_t *b, int64_t ms); /* the largest unit that divides: 90000 -> 90s */
#endif
