#include "intake.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>

#include "mem.h"

#define INTERN_SYMBOLS 65536u
#define INTERN_BYTES (8u << 20)
#define STEPS 2

typedef struct inlet { /* what a source's records become rows by */
    const int32_t *topics;
    uint32_t n_topics;
    int64_t max_ahead;
    decoder_t *decoder;
} inlet_t;

typedef struct slot {
    intake_step_t step;
    arena_t arena;
} slot_t;

struct intake {
    inlet_t *inlets;
    uint32_t n_inlets;
    intern_t *intern;
    slot_t slots[STEPS];
    uint64_t begun, taken; /* steps; a step's slot is its number modulo STEPS */
    uint64_t decoded;      /* under the lock while the thread runs */
    int stopping;
    int has_thread, no_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more, done;
};

static int has_topic(const inlet_t *s, int32_t topic) {
    for (uint32_t i = 0; i < s->n_topics; i++)
        if (s->topics[i] == topic)
            return 1;
    return 0;
}

/* Each source gets the records of its topics, with the number of the event. */
static void split(const inlet_t *s, const intake_step_t *step, intake_part_t *part) {
    part->n = 0;
    mem_grow(&part->records, &part->cap, step->n, sizeof *part->records);
    for (uint32_t e = 0; e < step->n; e++) {
        if (step->events[e].kind != EVENT_RECORD || !has_topic(s, step->events[e].record.topic))
            continue;
        record_t *r = &part->records[part->n++];
        *r = step->events[e].record;
        r->tick = e;
    }
}

static void decode(intake_t *in, slot_t *slot) {
    intake_step_t *step = &slot->step;
    arena_reset(&slot->arena);
    intern_between_batches(in->intern);
    step->symbols = intern_generation(in->intern);
    for (uint32_t i = 0; i < in->n_inlets; i++) {
        const inlet_t *s = &in->inlets[i];
        intake_part_t *part = &step->parts[i];
        etime_t latest = s->max_ahead == AHEAD_NONE ? ETIME_MAX : step->wall.ms + s->max_ahead;
        split(s, step, part);
        decode_records(s->decoder, part->records, (uint32_t)part->n, latest, &slot->arena, &part->decoded);
    }
}

static slot_t *slot_of(intake_t *in, uint64_t number) { return &in->slots[number % STEPS]; }

/* ---- the other thread ---- */

static void *run_ahead(void *arg) {
    intake_t *in = arg;
    pthread_setname_np(pthread_self(), "decoder");
    pthread_mutex_lock(&in->lock);
    for (;;) {
        while (!in->stopping && in->decoded == in->begun)
            pthread_cond_wait(&in->more, &in->lock);
        if (in->stopping)
            break;
        slot_t *slot = slot_of(in, in->decoded);
        pthread_mutex_unlock(&in->lock);
        int64_t from = clock_thread_cpu().ns;
        decode(in, slot);
        slot->step.ahead_ns = clock_thread_cpu().ns - from;
        pthread_mutex_lock(&in->lock);
        in->decoded++;
        pthread_cond_signal(&in->done);
    }
    pthread_mutex_unlock(&in->lock);
    return NULL;
}

/* 1: there is one. Where the system gives none, steps are decoded as they are begun. */
static int have_thread(intake_t *in) {
    sigset_t all, before;
    if (in->has_thread || in->no_thread)
        return in->has_thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for its other threads */
    in->has_thread = pthread_create(&in->thread, NULL, run_ahead, in) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    in->no_thread = !in->has_thread;
    return in->has_thread;
}

/* Until that many steps are decoded. */
static void wait_for(intake_t *in, uint64_t n) {
    pthread_mutex_lock(&in->lock);
    while (in->decoded < n)
        pthread_cond_wait(&in->done, &in->lock);
    pthread_mutex_unlock(&in->lock);
}

/* ---- the task's thread ---- */

intake_t *intake_new(const config_t *c) {
    intake_t *in = mem_zalloc(sizeof *in);
    in->n_inlets = c->n_sources;
    in->inlets = mem_zalloc((c->n_sources + 1) * sizeof *in->inlets);
    for (uint32_t i = 0; i < c->n_sources; i++)
        in->inlets[i].max_ahead = c->sources[i].max_ahead;
    in->intern = intern_new(INTERN_SYMBOLS, INTERN_BYTES);
    for (uint32_t i = 0; i < STEPS; i++) {
        in->slots[i].step.parts = mem_zalloc((c->n_sources + 1) * sizeof(intake_part_t));
        arena_init(&in->slots[i].arena);
    }
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->more, NULL);
    pthread_cond_init(&in->done, NULL);
    return in;
}

void intake_free(intake_t *in) {
    if (!in)
        return;
    if (in->has_thread) {
        pthread_mutex_lock(&in->lock);
        in->stopping = 1;
        pthread_cond_signal(&in->more);
        pthread_mutex_unlock(&in->lock);
        pthread_join(in->thread, NULL);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        for (uint32_t s = 0; s < in->n_inlets; s++)
            mem_free(in->slots[i].step.parts[s].records);
        mem_free(in->slots[i].step.parts);
        arena_fini(&in->slots[i].arena);
    }
    for (uint32_t i = 0; i < in->n_inlets; i++)
        decoder_free(in->inlets[i].decoder);
    mem_free(in->inlets);
    intern_free(in->intern);
    pthread_cond_destroy(&in->done);
    pthread_cond_destroy(&in->more);
    pthread_mutex_destroy(&in->lock);
    mem_free(in);
}

void intake_source(intake_t *in, uint32_t source, const int32_t *topics, uint32_t n, decoder_t *d) {
    inlet_t *s = &in->inlets[source];
    assert(in->taken == in->begun);
    decoder_free(s->decoder);
    s->decoder = d;
    s->topics = topics;
    s->n_topics = n;
}

intern_t *intake_symbols(intake_t *in) { return in->intern; }

void intake_begin(intake_t *in, const event_t *events, uint32_t n, wall_t wall, int ahead) {
    assert(in->begun - in->taken < STEPS);
    slot_t *slot = slot_of(in, in->begun);
    intake_step_t *step = &slot->step;
    step->events = events;
    step->n = n;
    step->wall = wall;
    step->ahead_ns = 0;
    if (ahead && have_thread(in)) {
        pthread_mutex_lock(&in->lock);
        in->begun++;
        pthread_cond_signal(&in->more);
        pthread_mutex_unlock(&in->lock);
        return;
    }
    if (in->has_thread)
        wait_for(in, in->begun); /* decoders are used in the order of steps */
    decode(in, slot);
    pthread_mutex_lock(&in->lock);
    in->decoded = ++in->begun;
    pthread_mutex_unlock(&in->lock);
}

intake_step_t *intake_take(intake_t *in) {
    assert(in->taken < in->begun);
    wait_for(in, in->taken + 1);
    return &slot_of(in, in->taken++)->step;
}

void intake_drop(intake_t *in) {
    wait_for(in, in->begun);
    in->taken = in->begun;
}

void intake_cut(intake_t *in, uint32_t n) {
    slot_t *taken = slot_of(in, in->taken - 1);
    intake_drop(in);
    taken->step.n = n;
    decode(in, taken);
}
