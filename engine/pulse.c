#include "pulse.h"

#define COMMIT_MS 300000

static void note(observer_t *o, pulse_doing_t doing) {
    pulse_t *p = (pulse_t *)o;
    atomic_store(&p->doing, (int)doing);
    atomic_store(&p->beat, clock_mono(&clock_system).ns);
}

static void on_tick(observer_t *o, const task_t *t) {
    (void)t;
    note(o, PULSE_TURNS);
}

static void on_restoring(observer_t *o) { note(o, PULSE_RESTORES); }
static void on_committing(observer_t *o) { note(o, PULSE_COMMITS); }

static void on_committed(observer_t *o, const task_t *t, int64_t took_ms) {
    (void)t;
    (void)took_ms;
    note(o, PULSE_TURNS);
}

observer_t *pulse_init(pulse_t *p) {
    *p = (pulse_t){
        .base = {.tick = on_tick, .restoring = on_restoring, .committing = on_committing, .committed = on_committed}};
    return &p->base;
}

int64_t pulse_age_ms(pulse_t *p) {
    int64_t beat = atomic_load(&p->beat);
    return beat ? (clock_mono(&clock_system).ns - beat) / 1000000 : 0;
}

int pulse_is_stuck(pulse_t *p, int64_t patience_ms) {
    int doing = atomic_load(&p->doing);
    if (doing == PULSE_RESTORES)
        return 0;
    return pulse_age_ms(p) > (doing == PULSE_COMMITS && patience_ms < COMMIT_MS ? COMMIT_MS : patience_ms);
}
