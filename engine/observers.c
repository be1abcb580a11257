#include "observers.h"

#include <assert.h>

/* `one` is each of them in turn. */
#define EACH(all) for (observer_t * one, **at_ = (all)->at; at_ < (all)->at + (all)->n && (one = *at_); at_++)

/* The list itself is the observer that is called. */
static observers_t *enter(observer_t *o) {
    observers_t *all = (observers_t *)o;
    pthread_mutex_lock(&all->lock);
    return all;
}

static void leave(observers_t *all) { pthread_mutex_unlock(&all->lock); }

static void on_wrote(observer_t *o, int32_t task, const task_t *t, const outbox_t *out) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->wrote)
            one->wrote(one, task, t, out);
    }
    leave(all);
}

static void on_committing(observer_t *o, int32_t task) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->committing)
            one->committing(one, task);
    }
    leave(all);
}

static void on_committed(observer_t *o, int32_t task, int64_t took_ms) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->committed)
            one->committed(one, task, took_ms);
    }
    leave(all);
}

static void on_dropped(observer_t *o, int32_t task) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->dropped)
            one->dropped(one, task);
    }
    leave(all);
}

static void on_stepped(observer_t *o, int32_t task, uint32_t records, int64_t took_ns) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->stepped)
            one->stepped(one, task, records, took_ns);
    }
    leave(all);
}

static void on_readings(observer_t *o, int32_t task, const reading_t *at, uint32_t n) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->readings)
            one->readings(one, task, at, n);
    }
    leave(all);
}

static void on_progress(observer_t *o, int32_t task, const position_t *at, uint32_t n) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->progress)
            one->progress(one, task, at, n);
    }
    leave(all);
}

static void on_restoring(observer_t *o, int32_t task) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->restoring)
            one->restoring(one, task);
    }
    leave(all);
}

static void on_turned(observer_t *o, int32_t task, const task_t *t) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->turned)
            one->turned(one, task, t);
    }
    leave(all);
}

static void on_paused(observer_t *o, int32_t task) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->paused)
            one->paused(one, task);
    }
    leave(all);
}

static void on_closed(observer_t *o, int32_t task) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->closed)
            one->closed(one, task);
    }
    leave(all);
}

static void on_tick(observer_t *o, uint32_t owned) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->tick)
            one->tick(one, owned);
    }
    leave(all);
}

static void on_foreign(observer_t *o, const char *version) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->foreign)
            one->foreign(one, version);
    }
    leave(all);
}

static void on_reloading(observer_t *o) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->reloading)
            one->reloading(one);
    }
    leave(all);
}

static void on_stopping(observer_t *o) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->stopping)
            one->stopping(one);
    }
    leave(all);
}

static void on_reloaded(observer_t *o, int32_t task, const task_t *t, int ok, const char *text) {
    observers_t *all = enter(o);
    EACH(all) {
        if (one->reloaded)
            one->reloaded(one, task, t, ok, text);
    }
    leave(all);
}

/* Each is asked, even after a yes: a question may be answered only once. */
static int wants_reload(observer_t *o) {
    int yes = 0;
    observers_t *all = enter(o);
    EACH(all) yes |= one->wants_reload && one->wants_reload(one);
    leave(all);
    return yes;
}

static int wants_stop(observer_t *o) {
    int yes = 0;
    observers_t *all = enter(o);
    EACH(all) yes |= one->wants_stop && one->wants_stop(one);
    leave(all);
    return yes;
}

observer_t *observers_init(observers_t *o) {
    *o = (observers_t){.base = {.wrote = on_wrote,
                                .committing = on_committing,
                                .committed = on_committed,
                                .dropped = on_dropped,
                                .stepped = on_stepped,
                                .readings = on_readings,
                                .progress = on_progress,
                                .restoring = on_restoring,
                                .turned = on_turned,
                                .paused = on_paused,
                                .closed = on_closed,
                                .tick = on_tick,
                                .foreign = on_foreign,
                                .reloading = on_reloading,
                                .reloaded = on_reloaded,
                                .stopping = on_stopping,
                                .wants_reload = wants_reload,
                                .wants_stop = wants_stop}};
    pthread_mutex_init(&o->lock, NULL);
    return &o->base;
}

void observers_fini(observers_t *o) { pthread_mutex_destroy(&o->lock); }

void observers_add(observers_t *o, observer_t *one) {
    assert(o->n < OBSERVERS_MAX);
    if (one)
        o->at[o->n++] = one;
}
