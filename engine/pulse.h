/* pulse: whether the loop still turns.
 *
 * An observer: notes each turn, and that a turn may rightly last, since it restores state or commits while no broker
 * answers. Who asks (health checks, the service's watchdog) should not kill a process for that: a new one would wait as
 * well. The observer's functions are the loop's; asking is for any thread. */
#ifndef ANANAS_PULSE_H
#define ANANAS_PULSE_H
#include <stdatomic.h>

#include "observer.h"

typedef enum { PULSE_TURNS, PULSE_RESTORES, PULSE_COMMITS } pulse_doing_t;

typedef struct pulse {
    observer_t base;
    _Atomic int64_t beat; /* mono ns of the last sign of life; 0: none yet */
    _Atomic int doing;
} pulse_t;

observer_t *pulse_init(pulse_t *p);
int64_t pulse_age_ms(pulse_t *p); /* since the last sign of life; 0 before the first */
/* Longer without a turn than what it does explains. A commit has five minutes, a restore what it takes. */
int pulse_is_stuck(pulse_t *p, int64_t patience_ms);
#endif
