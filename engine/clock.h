/* clock: the three times, which never mix.
 *
 * Event time is what records say (etime_t, epoch milliseconds; arithmetic is done on it everywhere, so it is a plain
 * integer). Wall time and monotonic time are structs: adding one to an event time does not compile. What decides results
 * gets times as arguments (task_step's wall, EVENT_CLOCK; the source's clock is passed in), so tests and replay run on
 * times of their own. Drivers and edges read clock_system. Any thread. */
#ifndef ANANAS_CLOCK_H
#define ANANAS_CLOCK_H
#include <stdint.h>

typedef int64_t etime_t;    /* event time, ms since 1970-01-01T00:00:00Z */
#define ETIME_MIN INT64_MIN /* before everything: a watermark that has not started */
#define ETIME_MAX INT64_MAX /* after everything: the watermark at the end of bounded input */

typedef struct wall {
    int64_t ms;
} wall_t; /* epoch ms by the machine's clock; may jump */
typedef struct mono {
    int64_t ns;
} mono_t; /* monotonic; only differences mean something */

typedef struct clock_source {
    wall_t (*wall)(void *ctx);
    mono_t (*mono)(void *ctx);
    void *ctx;
} clock_source_t;

extern const clock_source_t clock_system;
static inline wall_t clock_wall(const clock_source_t *c) { return c->wall(c->ctx); }
static inline mono_t clock_mono(const clock_source_t *c) { return c->mono(c->ctx); }
static inline int64_t mono_diff_ms(mono_t later, mono_t earlier) { return (later.ns - earlier.ns) / 1000000; }
/* CPU time of the calling thread, for budgets and profiles. */
mono_t clock_thread_cpu(void);
mono_t clock_process_cpu(void); /* of all threads */
#endif
