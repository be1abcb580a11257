/* timefmt: event times and durations as text.
 *
 * Reads ISO 8601 and SQL timestamps (no zone: UTC), writes the formats of the rule key time_format. Any thread. */
#ifndef ANANAS_TIMEFMT_H
#define ANANAS_TIMEFMT_H
#include "buf.h"
#include "clock.h"

/* TIME_MARKED stands between rules only, see ORIGIN_MARKED: milliseconds in a spelling of their own, so that the next rule
 * finds a point in time there and not a number. */
typedef enum { TIME_ISO8601, TIME_SQL, TIME_EPOCH_MS, TIME_MARKED } time_format_t;
#define TIME_MARK "E+000"

/* "2022-08-02T07:53:42.541Z", "2022-08-02 07:53:42.541", "...+02:00", "2022-08-02", "20220802T075342Z"; 0 or ERR_INVALID */
int timefmt_parse(const char *s, size_t len, etime_t *out);
/* Is this JSON text TIME_MARKED, and which time? */
int timefmt_marked(const char *s, size_t len, etime_t *out);
static inline int timefmt_quoted(time_format_t format) { return format == TIME_ISO8601 || format == TIME_SQL; }
/* iso8601 and sql without quotes: "2022-08-02T07:53:42.541Z" / "2022-08-02 07:53:42.541"; the others as they are in JSON. */
void timefmt_write(buf_t *b, etime_t t, time_format_t format);
/* "250ms" "5s" "1m" "1h" "1d" "1.5s"; 0 or ERR_INVALID (also for negative ones). */
int timefmt_duration(const char *s, size_t len, int64_t *ms);
void timefmt_write_duration(buf_t *b, int64_t ms); /* the largest unit that divides: 90000 -> 90s */
#endif
