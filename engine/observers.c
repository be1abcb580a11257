#include "observers.h"

#include <assert.h>

/* The list itself is the observer that is called. */
#define EACH(o, one)                                        \
    for (observer_t * one, **at = ((observers_t *)(o))->at; \
         at < ((observers_t *)(o))->at + ((observers_t *)(o))->n && (one = *at); at++)

static void on_wrote(observer_t *o, const task_t *t, const outbox_t *out) {
    EACH(o, one) {
        if (one->wrote)
            one->wrote(one, t, out);
    }
}

static void on_committing(observer_t *o) {
    EACH(o, one) {
        if (one->committing)
            one->committing(one);
    }
}

static void on_committed(observer_t *o, const task_t *t, int64_t took_ms) {
    EACH(o, one) {
        if (one->committed)
            one->committed(one, t, took_ms);
    }
}

static void on_dropped(observer_t *o) {
    EACH(o, one) {
        if (one->dropped)
            one->dropped(one);
    }
}

static void on_stepped(observer_t *o, const task_t *t, uint32_t records, int64_t took_ns) {
    EACH(o, one) {
        if (one->stepped)
            one->stepped(one, t, records, took_ns);
    }
}

static void on_readings(observer_t *o, const reading_t *readings, uint32_t n) {
    EACH(o, one) {
        if (one->readings)
            one->readings(one, readings, n);
    }
}

static void on_restoring(observer_t *o) {
    EACH(o, one) {
        if (one->restoring)
            one->restoring(one);
    }
}

static void on_tick(observer_t *o, const task_t *t) {
    EACH(o, one) {
        if (one->tick)
            one->tick(one, t);
    }
}

static void on_reloading(observer_t *o) {
    EACH(o, one) {
        if (one->reloading)
            one->reloading(one);
    }
}

static void on_reloaded(observer_t *o, const task_t *t, int ok, const char *text) {
    EACH(o, one) {
        if (one->reloaded)
            one->reloaded(one, t, ok, text);
    }
}

static void on_stopping(observer_t *o) {
    EACH(o, one) {
        if (one->stopping)
            one->stopping(one);
    }
}

/* Each is asked, even after a yes: a question may be answered only once. */
static int wants_reload(observer_t *o) {
    int yes = 0;
    EACH(o, one) yes |= one->wants_reload && one->wants_reload(one);
    return yes;
}

static int wants_stop(observer_t *o) {
    int yes = 0;
    EACH(o, one) yes |= one->wants_stop && one->wants_stop(one);
    return yes;
}

static void on_progress(observer_t *o, const position_t *positions, uint32_t n) {
    EACH(o, one) {
        if (one->progress)
            one->progress(one, positions, n);
    }
}

observer_t *observers_init(observers_t *o) {
    *o = (observers_t){.base = {.wrote = on_wrote,
                                .committing = on_committing,
                                .committed = on_committed,
                                .dropped = on_dropped,
                                .stepped = on_stepped,
                                .readings = on_readings,
                                .restoring = on_restoring,
                                .tick = on_tick,
                                .reloading = on_reloading,
                                .reloaded = on_reloaded,
                                .stopping = on_stopping,
                                .wants_reload = wants_reload,
                                .wants_stop = wants_stop,
                                .progress = on_progress}};
    return &o->base;
}

void observers_add(observers_t *o, observer_t *one) {
    assert(o->n < OBSERVERS_MAX);
    if (one)
        o->at[o->n++] = one;
}
