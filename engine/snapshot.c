#include "snapshot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "mem.h"
#include "shot.h"

#define LOOK_MS 250     /* between two looks at a task */
#define PUBLISH_MS 100  /* between two snapshots, at least */
#define DELAYS_MAX 8192 /* anomalies of one commit whose delay is looked at */

const double snapshot_bounds[SNAPSHOT_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                  0.05,   0.1,   0.25,   0.5,   1,    5};

const double snapshot_delay_bounds[SNAPSHOT_BUCKETS] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600};
const char *const snapshot_verdicts[SNAPSHOT_VERDICTS] = {"unchanged", "added",   "removed", "kept",
                                                          "handover",  "rebuilt", "reset"};

typedef struct held_track { /* of one source: who holds its watermark back */
    char *topic;            /* NULL: no partition of this process */
    int32_t partition;
    int task; /* of another process; -1: none */
    etime_t watermark;
    wall_t since, heard;
} held_track_t;

typedef struct watched { /* one task */
    shot_t *shot;
    int here; /* this process has it */
    phase_t phase;
    mono_t looked;
    char *version;    /* of its rules when last looked at; NULL: not yet */
    etime_t *written; /* event times of anomalies since its last commit */
    size_t n_written, cap_written;
    size_t n_due; /* of them belong to a commit under way */
} watched_t;

struct publisher {
    observer_t base;
    const config_t *config;
    log_t *log;
    pthread_mutex_t lock; /* newest, and the refs of all snapshots */
    snapshot_t *newest;
    _Atomic int reload_asked;
    _Atomic uint64_t reloads;
    /* whose call it is */
    phase_t phase;
    wall_t started, phase_since;
    mono_t published;
    int changed; /* a look was taken since */
    uint32_t owned;
    watched_t *tasks;
    size_t n_tasks, cap_tasks;
    held_track_t *held; /* per source of the configuration */
    uint64_t reloads_ok, reloads_failed, commits, rollbacks;
    int reload_ok;
    wall_t reload_at;
    char *reload_text;
    char *foreign;
    histogram_t commit_time, step_time, delay;
    uint64_t verdicts[SNAPSHOT_VERDICTS];
};

static void histogram_add(histogram_t *h, const double *bounds, double seconds) {
    int i = 0;
    while (i < SNAPSHOT_BUCKETS && seconds > bounds[i])
        i++;
    h->counts[i]++;
    h->sum += seconds;
    h->n++;
}

static int by_task(const void *a, const void *b) {
    int32_t x = shot_task(((const watched_t *)a)->shot), y = shot_task(((const watched_t *)b)->shot);
    return (x > y) - (x < y);
}

static watched_t *find_task(publisher_t *p, int32_t task) {
    for (size_t i = 0; i < p->n_tasks; i++)
        if (shot_task(p->tasks[i].shot) == task)
            return &p->tasks[i];
    return NULL;
}

static watched_t *watched(publisher_t *p, int32_t task) {
    watched_t *w = find_task(p, task);
    if (w)
        return w;
    mem_grow(&p->tasks, &p->cap_tasks, p->n_tasks + 1, sizeof *p->tasks);
    p->tasks[p->n_tasks++] = (watched_t){.shot = shot_new(task, p->config, p->log), .phase = PHASE_RESTORING};
    qsort(p->tasks, p->n_tasks, sizeof *p->tasks, by_task);
    return find_task(p, task);
}

/* ---- making one ---- */

/* Text that may come from anywhere: what is secret does not leave. */
static const char *keep_masked(const publisher_t *p, snapshot_t *s, const char *text) {
    size_t len = text ? strlen(text) : 0;
    char *copy = arena_dup(&s->arena, text ? text : "", len + 1);
    log_mask(p->log, copy, len);
    return copy;
}

static void hold_since(held_track_t *held, snapshot_source_t *s, wall_t now) {
    const snapshot_partition_t *p = snapshot_holder(s);
    etime_t level = s->elsewhere >= 0 ? s->levels[s->elsewhere].watermark : ETIME_MIN;
    int same = p ? held->topic && held->partition == p->partition && strcmp(held->topic, p->topic) == 0 : !held->topic;
    if (!same || held->task != s->elsewhere || !held->since.ms) {
        mem_free(held->topic);
        *held = (held_track_t){p ? mem_strdup(p->topic) : NULL, p ? p->partition : -1, s->elsewhere, level, now, now};
    }
    if (held->watermark != level)
        held->heard = now;
    held->watermark = level;
    s->held_since = held->since;
    s->heard_at = held->heard;
}

static void take_tasks(publisher_t *p, snapshot_t *s) {
    shot_t **shots = arena_array(&s->arena, shot_t *, p->n_tasks + 1);
    size_t n = 0;
    s->tasks = arena_array(&s->arena, snapshot_task_t, p->n_tasks + 1);
    for (size_t i = 0; i < p->n_tasks; i++) {
        const watched_t *w = &p->tasks[i];
        if (!w->here)
            continue;
        const char *version = shot_taken(w->shot) ? shot_version(w->shot) : NULL;
        s->tasks[s->n_tasks++] =
            (snapshot_task_t){shot_task(w->shot), w->phase, version ? keep_masked(p, s, version) : NULL};
        shots[n++] = w->shot;
    }
    shots_merge(shots, n, s);
    for (uint32_t i = 0; i < s->n_sources; i++)
        hold_since(&p->held[i], &s->sources[i], s->at);
}

static void release(snapshot_t *s) {
    arena_fini(&s->arena);
    mem_free(s);
}

static void publish(publisher_t *p) {
    snapshot_t *s = mem_zalloc(sizeof *s), *old;
    arena_init(&s->arena);
    s->refs = 1;
    s->number = p->newest ? p->newest->number + 1 : 1;
    s->at = clock_wall(&clock_system);
    s->started = p->started;
    s->phase = p->phase;
    s->phase_since = p->phase_since;
    s->version = "";
    s->parallelism = p->config->parallelism;
    s->state_max = (uint64_t)p->config->max_state;
    s->script_max = (uint64_t)p->config->budget_memory;
    s->reloads_ok = p->reloads_ok;
    s->reloads_failed = p->reloads_failed;
    s->reload_ok = p->reload_ok;
    s->reload_at = p->reload_at;
    s->reload_text = keep_masked(p, s, p->reload_text);
    s->foreign = p->foreign ? keep_masked(p, s, p->foreign) : NULL;
    s->commits = p->commits;
    s->rollbacks = p->rollbacks;
    s->commit_time = p->commit_time;
    s->step_time = p->step_time;
    s->delay = p->delay;
    s->budget = (double)p->config->budget_time / 1000.0;
    memcpy(s->verdicts, p->verdicts, sizeof s->verdicts);
    take_tasks(p, s);
    p->published = clock_mono(&clock_system);
    p->changed = 0;
    pthread_mutex_lock(&p->lock);
    old = p->newest;
    p->newest = s;
    int last = old && --old->refs == 0;
    pthread_mutex_unlock(&p->lock);
    if (last)
        release(old);
}

/* Standing by without a task, restoring until every task that is this process's has turned. */
static phase_t phase_now(const publisher_t *p) {
    uint32_t active = 0;
    for (size_t i = 0; i < p->n_tasks; i++) {
        const watched_t *w = &p->tasks[i];
        if (w->here && w->phase == PHASE_RESTORING)
            return PHASE_RESTORING;
        active += (uint32_t)(w->here != 0);
    }
    return p->owned == 0 && active == 0 ? PHASE_STANDBY : active < p->owned ? PHASE_RESTORING : PHASE_ACTIVE;
}

static void enter_phase(publisher_t *p) {
    phase_t phase = phase_now(p);
    if (p->phase == phase)
        return;
    p->phase = phase;
    p->phase_since = clock_wall(&clock_system);
    publish(p);
}

/* ---- the observer ---- */

static void count_verdict(publisher_t *p, const char *verdict) {
    size_t len = strcspn(verdict, ":");
    for (int i = 0; i < SNAPSHOT_VERDICTS; i++)
        if (strlen(snapshot_verdicts[i]) == len && strncmp(snapshot_verdicts[i], verdict, len) == 0)
            p->verdicts[i]++;
}

/* The task has the rules that are; what went with the reload was in the snapshot before. */
static void count_verdicts(publisher_t *p, const task_t *t) {
    const plan_t *plan = task_plan(t);
    rule_view_t view;
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        task_view_rule(t, i, &view);
        if (view.verdict)
            count_verdict(p, view.verdict);
    }
    for (uint32_t i = 0; i < p->newest->n_rules; i++) {
        uint32_t k = 0;
        while (k < plan->n_rules && strcmp(plan->rules[k].name, p->newest->rules[i].name) != 0)
            k++;
        if (k == plan->n_rules)
            count_verdict(p, "removed");
    }
}

/* All tasks have the same verdicts: those of the first here are counted. */
static int is_first(const publisher_t *p, const watched_t *w) {
    const watched_t *first = p->tasks;
    while (!first->here)
        first++;
    return first == w;
}

static void look(publisher_t *p, watched_t *w, const task_t *t, mono_t now) {
    const char *version = task_plan(t)->version;
    int same = w->version && strcmp(w->version, version) == 0;
    if (w->version && !same && is_first(p, w))
        count_verdicts(p, t);
    if (!same) {
        mem_free(w->version);
        w->version = mem_strdup(version);
    }
    shot_take(w->shot, t, clock_wall(&clock_system));
    w->looked = now;
    p->changed = 1;
}

static void on_turned(observer_t *o, int32_t task, const task_t *t) {
    publisher_t *p = (publisher_t *)o;
    watched_t *w = watched(p, task);
    mono_t now = clock_mono(&clock_system);
    int begins = !w->here || w->phase != PHASE_ACTIVE;
    int switched = !w->version || strcmp(w->version, task_plan(t)->version) != 0;
    w->here = 1;
    w->phase = PHASE_ACTIVE;
    if (begins || switched || mono_diff_ms(now, w->looked) >= LOOK_MS)
        look(p, w, t, now);
    if (begins)
        enter_phase(p);
}

static void on_restoring(observer_t *o, int32_t task) {
    publisher_t *p = (publisher_t *)o;
    watched_t *w = watched(p, task);
    w->here = 1;
    w->phase = PHASE_RESTORING;
    shot_forget(w->shot);
    enter_phase(p);
}

static void on_closed(observer_t *o, int32_t task) {
    publisher_t *p = (publisher_t *)o;
    watched_t *w = watched(p, task);
    w->here = 0;
    w->n_written = w->n_due = 0;
    shot_forget(w->shot);
    p->changed = 1;
}

static void on_tick(observer_t *o, uint32_t owned) {
    publisher_t *p = (publisher_t *)o;
    mono_t now = clock_mono(&clock_system);
    p->owned = owned;
    enter_phase(p);
    int64_t since = mono_diff_ms(now, p->published);
    if (since >= LOOK_MS || (p->changed && since >= PUBLISH_MS))
        publish(p);
}

static void on_wrote(observer_t *o, int32_t task, const task_t *t, const outbox_t *out) {
    watched_t *w = watched((publisher_t *)o, task);
    (void)t;
    for (size_t i = 0; i < out->n && w->n_written < DELAYS_MAX; i++) {
        if (out->at[i].kind != OUT_ANOMALY || !out->at[i].value.s)
            continue;
        mem_grow(&w->written, &w->cap_written, w->n_written + 1, sizeof *w->written);
        w->written[w->n_written++] = out->at[i].time;
    }
}

static void on_committing(observer_t *o, int32_t task) {
    watched_t *w = watched((publisher_t *)o, task);
    w->n_due = w->n_written;
}

static void on_committed(observer_t *o, int32_t task, int64_t took_ms) {
    publisher_t *p = (publisher_t *)o;
    watched_t *w = watched(p, task);
    int64_t now = clock_wall(&clock_system).ms;
    p->commits++;
    histogram_add(&p->commit_time, snapshot_bounds, (double)took_ms / 1000.0);
    for (size_t i = 0; i < w->n_due; i++) /* event time may be ahead of the clock */
        histogram_add(&p->delay, snapshot_delay_bounds,
                      now > w->written[i] ? (double)(now - w->written[i]) / 1000.0 : 0.0);
    w->n_written -= w->n_due;
    if (w->n_written)
        memmove(w->written, w->written + w->n_due, w->n_written * sizeof *w->written);
    w->n_due = 0;
}

static void on_dropped(observer_t *o, int32_t task) {
    publisher_t *p = (publisher_t *)o;
    watched_t *w = watched(p, task);
    p->rollbacks++;
    w->n_written = w->n_due = 0;
}

static void on_stepped(observer_t *o, int32_t task, uint32_t records, int64_t took_ns) {
    publisher_t *p = (publisher_t *)o;
    (void)task;
    if (records)
        histogram_add(&p->step_time, snapshot_bounds, (double)took_ns / 1e9);
}

static void on_readings(observer_t *o, int32_t task, const reading_t *at, uint32_t n) {
    shot_readings(watched((publisher_t *)o, task)->shot, at, n);
}

static void on_reloaded(observer_t *o, int32_t task, const task_t *t, int ok, const char *text) {
    publisher_t *p = (publisher_t *)o;
    if (ok)
        p->reloads_ok++;
    else
        p->reloads_failed++;
    p->reload_ok = ok;
    p->reload_at = clock_wall(&clock_system);
    mem_free(p->reload_text);
    p->reload_text = mem_strdup(text);
    if (t)
        look(p, watched(p, task), t, clock_mono(&clock_system));
    publish(p);
    atomic_fetch_add(&p->reloads, 1);
}

static void on_foreign(observer_t *o, const char *version) {
    publisher_t *p = (publisher_t *)o;
    mem_free(p->foreign);
    p->foreign = version ? mem_strdup(version) : NULL;
    p->changed = 1;
}

static int wants_reload(observer_t *o) { return atomic_exchange(&((publisher_t *)o)->reload_asked, 0); }

/* ---- the rest of the process ---- */

publisher_t *publisher_new(const config_t *config, log_t *log) {
    publisher_t *p = mem_zalloc(sizeof *p);
    p->base = (observer_t){.wrote = on_wrote,
                           .committing = on_committing,
                           .committed = on_committed,
                           .dropped = on_dropped,
                           .stepped = on_stepped,
                           .readings = on_readings,
                           .restoring = on_restoring,
                           .turned = on_turned,
                           .closed = on_closed,
                           .tick = on_tick,
                           .reloaded = on_reloaded,
                           .foreign = on_foreign,
                           .wants_reload = wants_reload};
    p->config = config;
    p->log = log;
    p->started = p->phase_since = clock_wall(&clock_system);
    p->held = mem_zalloc((config->n_sources + 1) * sizeof *p->held);
    pthread_mutex_init(&p->lock, NULL);
    publish(p);
    return p;
}

void publisher_free(publisher_t *p) {
    if (!p)
        return;
    release(p->newest);
    for (size_t i = 0; i < p->n_tasks; i++) {
        shot_free(p->tasks[i].shot);
        mem_free(p->tasks[i].version);
        mem_free(p->tasks[i].written);
    }
    for (uint32_t i = 0; i < p->config->n_sources; i++)
        mem_free(p->held[i].topic);
    mem_free(p->tasks);
    mem_free(p->held);
    mem_free(p->reload_text);
    mem_free(p->foreign);
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

observer_t *publisher_observer(publisher_t *p) { return &p->base; }

const snapshot_t *snapshot_take(publisher_t *p) {
    pthread_mutex_lock(&p->lock);
    snapshot_t *s = p->newest;
    s->refs++;
    pthread_mutex_unlock(&p->lock);
    return s;
}

void snapshot_drop(publisher_t *p, const snapshot_t *borrowed) {
    snapshot_t *s = (snapshot_t *)(uintptr_t)borrowed;
    pthread_mutex_lock(&p->lock);
    int last = --s->refs == 0;
    pthread_mutex_unlock(&p->lock);
    if (last)
        release(s);
}

void publisher_ask_reload(publisher_t *p) { atomic_store(&p->reload_asked, 1); }
uint64_t publisher_reloads(publisher_t *p) { return atomic_load(&p->reloads); }
