/* pulse: whether the loop and the tasks still turn.
 *
 * An observer: notes each turn, and that a turn may rightly last, since it restores state or commits while no broker
 * answers. Who asks (health checks, the service's watchdog) should not kill a process for that: a new one would wait as
 * well. The observer is called through observers.h; asking is for any thread. */
#ifndef ANANAS_PULSE_H
#define ANANAS_PULSE_H
#include <pthread.h>

#include "observer.h"

typedef enum { PULSE_TURNS, PULSE_RESTORES, PULSE_COMMITS } pulse_doing_t;

typedef struct pulse_of { /* the loop, or a task */
    int32_t task;         /* -1: the loop */
    mono_t beat;          /* last sign of life */
    pulse_doing_t doing;
} pulse_of_t;

typedef struct pulse {
    observer_t base;
    pthread_mutex_t lock;
    pulse_of_t *at;
    size_t n, cap;
} pulse_t;

observer_t *pulse_init(pulse_t *p);
void pulse_fini(pulse_t *p);
int64_t pulse_age_ms(pulse_t *p); /* since the oldest of their signs of life; 0 before the first */
/* One of them is longer without a turn than what it does explains. A commit has five minutes, a restore what it takes. */
int pulse_is_stuck(pulse_t *p, int64_t patience_ms);
#endif
