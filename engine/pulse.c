#include "pulse.h"

#include "mem.h"

#define COMMIT_MS 300000
#define LOOP (-1)

static pulse_of_t *find(pulse_t *p, int32_t task) {
    for (size_t i = 0; i < p->n; i++)
        if (p->at[i].task == task)
            return &p->at[i];
    return NULL;
}

static void note(observer_t *o, int32_t task, pulse_doing_t doing) {
    pulse_t *p = (pulse_t *)o;
    pthread_mutex_lock(&p->lock);
    pulse_of_t *one = find(p, task);
    if (!one) {
        mem_grow(&p->at, &p->cap, p->n + 1, sizeof *p->at);
        one = &p->at[p->n++];
    }
    *one = (pulse_of_t){task, clock_mono(&clock_system), doing};
    pthread_mutex_unlock(&p->lock);
}

/* Nothing is expected of it. */
static void rest(observer_t *o, int32_t task) {
    pulse_t *p = (pulse_t *)o;
    pthread_mutex_lock(&p->lock);
    pulse_of_t *one = find(p, task);
    if (one)
        *one = p->at[--p->n];
    pthread_mutex_unlock(&p->lock);
}

static void on_tick(observer_t *o, uint32_t owned) {
    (void)owned;
    note(o, LOOP, PULSE_TURNS);
}

static void on_turned(observer_t *o, int32_t task, const task_t *t) {
    (void)t;
    note(o, task, PULSE_TURNS);
}

static void on_restoring(observer_t *o, int32_t task) { note(o, task, PULSE_RESTORES); }
static void on_committing(observer_t *o, int32_t task) { note(o, task, PULSE_COMMITS); }

static void on_committed(observer_t *o, int32_t task, int64_t took_ms) {
    (void)took_ms;
    note(o, task, PULSE_TURNS);
}

/* While tasks commit because the group asks for it, or at the end, the loop waits for them. */
static void on_stopping(observer_t *o) { rest(o, LOOP); }

observer_t *pulse_init(pulse_t *p) {
    *p = (pulse_t){.base = {.tick = on_tick,
                            .turned = on_turned,
                            .restoring = on_restoring,
                            .committing = on_committing,
                            .committed = on_committed,
                            .paused = rest,
                            .closed = rest,
                            .stopping = on_stopping}};
    pthread_mutex_init(&p->lock, NULL);
    return &p->base;
}

void pulse_fini(pulse_t *p) {
    pthread_mutex_destroy(&p->lock);
    mem_free(p->at);
}

static int64_t age_ms(const pulse_of_t *one) { return mono_diff_ms(clock_mono(&clock_system), one->beat); }

int64_t pulse_age_ms(pulse_t *p) {
    int64_t oldest = 0;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n; i++)
        oldest = age_ms(&p->at[i]) > oldest ? age_ms(&p->at[i]) : oldest;
    pthread_mutex_unlock(&p->lock);
    return oldest;
}

static int64_t allowed_ms(pulse_doing_t doing, int64_t patience_ms) {
    if (doing == PULSE_RESTORES)
        return INT64_MAX;
    return doing == PULSE_COMMITS && patience_ms < COMMIT_MS ? COMMIT_MS : patience_ms;
}

/* A task that commits has the loop wait for it, where the group wants it back. */
int pulse_is_stuck(pulse_t *p, int64_t patience_ms) {
    int stuck = 0, commits = 0;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n; i++)
        commits |= p->at[i].doing == PULSE_COMMITS;
    for (size_t i = 0; i < p->n; i++) {
        const pulse_of_t *one = &p->at[i];
        stuck |= age_ms(one) > allowed_ms(one->task == LOOP && commits ? PULSE_COMMITS : one->doing, patience_ms);
    }
    pthread_mutex_unlock(&p->lock);
    return stuck;
}
