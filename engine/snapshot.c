#include "snapshot.h"

#include <pthread.h>
#include <stdatomic.h>

#include "mem.h"

#define PUBLISH_MS 250
#define DELAYS_MAX 8192 /* anomalies of one commit whose delay is looked at */

const double snapshot_bounds[SNAPSHOT_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                  0.05,   0.1,   0.25,   0.5,   1,    5};

const double snapshot_delay_bounds[SNAPSHOT_BUCKETS] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600};
const char *const snapshot_verdicts[SNAPSHOT_VERDICTS] = {"unchanged", "added",   "removed", "kept",
                                                          "handover",  "rebuilt", "reset"};

typedef struct part_track { /* of one input partition */
    char *topic;
    int32_t partition;
    etime_t max_time;
    wall_t moved;
} part_track_t;

typedef struct held_track {   /* of one source: who holds its watermark back */
    int32_t topic, partition; /* -1: nobody */
    wall_t since;
} held_track_t;

typedef struct rule_track {
    char *name;
    uint64_t emitted; /* when last looked at */
    uint32_t history[SNAPSHOT_HISTORY];
} rule_track_t;

struct publisher {
    observer_t base;
    const config_t *config;
    log_t *log;
    pthread_mutex_t lock; /* newest, and the refs of all snapshots */
    snapshot_t *newest;
    _Atomic int reload_asked;
    _Atomic uint64_t reloads;
    /* the loop's own */
    phase_t phase;
    wall_t started, phase_since;
    mono_t published;
    int64_t slot; /* of the history, wall ms / SNAPSHOT_HISTORY_MS */
    part_track_t *parts;
    size_t n_parts, cap_parts;
    held_track_t *held; /* per source of the configuration */
    rule_track_t *rules;
    size_t n_rules, cap_rules;
    reading_t *readings;
    uint32_t n_readings;
    size_t cap_readings;
    uint64_t reloads_ok, reloads_failed, commits, rollbacks;
    int reload_ok;
    wall_t reload_at;
    char *reload_text;
    histogram_t commit_time, step_time, delay;
    uint64_t verdicts[SNAPSHOT_VERDICTS];
    etime_t *written; /* event times of anomalies since the last commit */
    size_t n_written, cap_written;
};

static void histogram_add(histogram_t *h, const double *bounds, double seconds) {
    int i = 0;
    while (i < SNAPSHOT_BUCKETS && seconds > bounds[i])
        i++;
    h->counts[i]++;
    h->sum += seconds;
    h->n++;
}

/* ---- what is remembered from one snapshot to the next ---- */

static part_track_t *track_part(publisher_t *p, const char *topic, int32_t partition, wall_t now) {
    for (size_t i = 0; i < p->n_parts; i++)
        if (p->parts[i].partition == partition && strcmp(p->parts[i].topic, topic) == 0)
            return &p->parts[i];
    mem_grow(&p->parts, &p->cap_parts, p->n_parts + 1, sizeof *p->parts);
    p->parts[p->n_parts] = (part_track_t){mem_strdup(topic), partition, ETIME_MIN, now};
    return &p->parts[p->n_parts++];
}

static rule_track_t *track_rule(publisher_t *p, const char *name) {
    for (size_t i = 0; i < p->n_rules; i++)
        if (strcmp(p->rules[i].name, name) == 0)
            return &p->rules[i];
    mem_grow(&p->rules, &p->cap_rules, p->n_rules + 1, sizeof *p->rules);
    p->rules[p->n_rules] = (rule_track_t){.name = mem_strdup(name)};
    return &p->rules[p->n_rules++];
}

/* Moves every history on to the slot of now. */
static void turn_history(publisher_t *p, wall_t now) {
    int64_t slot = now.ms / SNAPSHOT_HISTORY_MS, by = p->slot ? slot - p->slot : 0;
    p->slot = slot;
    if (by <= 0)
        return;
    size_t keep = by < SNAPSHOT_HISTORY ? (size_t)(SNAPSHOT_HISTORY - by) : 0;
    for (size_t i = 0; i < p->n_rules; i++) {
        uint32_t *h = p->rules[i].history;
        memmove(h, h + SNAPSHOT_HISTORY - keep, keep * sizeof *h);
        memset(h + keep, 0, (SNAPSHOT_HISTORY - keep) * sizeof *h);
    }
}

/* A task that was made again counts from zero. */
static void count_history(rule_track_t *k, uint64_t emitted) {
    uint64_t more = emitted >= k->emitted ? emitted - k->emitted : emitted;
    k->emitted = emitted;
    k->history[SNAPSHOT_HISTORY - 1] += (uint32_t)more;
}

/* ---- making one ---- */

static const char *keep(snapshot_t *s, const char *text) {
    return text ? arena_dup(&s->arena, text, strlen(text) + 1) : NULL;
}

/* Text that may come from anywhere: what is secret does not leave. */
static const char *keep_masked(const publisher_t *p, snapshot_t *s, const char *text) {
    size_t len = text ? strlen(text) : 0;
    char *copy = arena_dup(&s->arena, text ? text : "", len + 1);
    log_mask(p->log, copy, len);
    return copy;
}

static const reading_t *reading_of(const publisher_t *p, int32_t topic, int32_t partition) {
    for (uint32_t i = 0; i < p->n_readings; i++)
        if (p->readings[i].topic == topic && p->readings[i].partition == partition)
            return &p->readings[i];
    return NULL;
}

static void take_partition(publisher_t *p, snapshot_t *s, const char *topic, const watermark_t *w, uint32_t i,
                           snapshot_partition_t *out) {
    const wm_partition_t *part = &w->parts[i];
    part_track_t *k = track_part(p, topic, part->partition, s->at);
    const reading_t *r = reading_of(p, part->topic, part->partition);
    if (part->max_time > k->max_time)
        k->moved = s->at;
    k->max_time = part->max_time;
    *out = (snapshot_partition_t){.topic = keep(s, topic),
                                  .partition = part->partition,
                                  .idle = part->idle,
                                  .max_time = part->max_time,
                                  .watermark = watermark_of(w, i),
                                  .records = (uint64_t)part->records,
                                  .bad = (uint64_t)part->bad,
                                  .next = r ? r->next : -1,
                                  .lag = r ? r->lag : -1,
                                  .moved = k->moved};
}

static void take_source(publisher_t *p, snapshot_t *s, const task_t *t, uint32_t i) {
    const watermark_t *w = task_watermark(t, i);
    snapshot_source_t *out = &s->sources[i];
    held_track_t *held = &p->held[i];
    int holder = watermark_holder(w);
    int32_t topic = holder < 0 ? -1 : w->parts[holder].topic, partition = holder < 0 ? -1 : w->parts[holder].partition;
    if (topic != held->topic || partition != held->partition || !held->since.ms)
        *held = (held_track_t){topic, partition, s->at};
    *out = (snapshot_source_t){.name = keep(s, p->config->sources[i].name),
                               .stats = *task_source_stats(t, i),
                               .watermark = w->now,
                               .idle = w->idle,
                               .explicit_only = w->bound == WATERMARK_NONE,
                               .holder = holder,
                               .held_since = held->since,
                               .parts = arena_array(&s->arena, snapshot_partition_t, w->n),
                               .n_parts = w->n};
    for (uint32_t k = 0; k < w->n; k++)
        take_partition(p, s, task_topics(t)[w->parts[k].topic], w, k, &out->parts[k]);
}

/* Rules come in topological order: what a rule reads was looked at before it. */
static const uint8_t *sources_of(const snapshot_t *s, const rule_t *rule, arena_t *a) {
    uint8_t *out = arena_array(a, uint8_t, s->n_sources);
    memset(out, 0, s->n_sources);
    for (uint32_t i = 0; i < rule->n_from; i++) {
        if (!rule->from[i].is_rule)
            out[rule->from[i].index] = 1;
        for (uint32_t k = 0; rule->from[i].is_rule && k < s->n_sources; k++)
            out[k] |= s->rules[rule->from[i].index].sources[k];
    }
    return out;
}

static void take_rule(publisher_t *p, snapshot_t *s, const task_t *t, uint32_t i) {
    const rule_t *rule = &task_plan(t)->rules[i];
    const last_error_t *error = task_rule_error(t, i);
    rule_track_t *k = track_rule(p, rule->name);
    snapshot_rule_t *out = &s->rules[i];
    *out = (snapshot_rule_t){.name = keep(s, rule->name),
                             .file = keep(s, rule->file),
                             .to = keep(s, rule->to),
                             .version = keep(s, rule->version),
                             .line = rule->line,
                             .shadow = rule->mode == MODE_SHADOW,
                             .stats = *task_rule_stats(t, i),
                             .error = keep_masked(p, s, error->text),
                             .error_count = error->count,
                             .sources = sources_of(s, rule, &s->arena)};
    task_view_rule(t, i, &out->view);
    out->view.verdict = keep(s, out->view.verdict);
    count_history(k, out->stats.emitted);
    memcpy(out->history, k->history, sizeof k->history);
}

static void take_task(publisher_t *p, snapshot_t *s, const task_t *t) {
    s->version = keep(s, task_plan(t)->version);
    s->n_sources = task_n_sources(t);
    s->sources = arena_array(&s->arena, snapshot_source_t, s->n_sources);
    for (uint32_t i = 0; i < s->n_sources; i++)
        take_source(p, s, t, i);
    s->n_rules = task_plan(t)->n_rules;
    s->rules = arena_array(&s->arena, snapshot_rule_t, s->n_rules);
    for (uint32_t i = 0; i < s->n_rules; i++)
        take_rule(p, s, t, i);
    s->state_bytes = task_view_state_bytes(t);
    s->state_entries = task_view_state_entries(t);
    s->script_bytes = task_view_script_bytes(t);
}

static void release(snapshot_t *s) {
    arena_fini(&s->arena);
    mem_free(s);
}

static void publish(publisher_t *p, const task_t *t) {
    snapshot_t *s = mem_zalloc(sizeof *s), *old;
    arena_init(&s->arena);
    s->refs = 1;
    s->at = clock_wall(&clock_system);
    s->started = p->started;
    s->phase = p->phase;
    s->phase_since = p->phase_since;
    s->version = "";
    s->state_max = (uint64_t)p->config->max_state;
    s->script_max = (uint64_t)p->config->budget_memory;
    s->reloads_ok = p->reloads_ok;
    s->reloads_failed = p->reloads_failed;
    s->reload_ok = p->reload_ok;
    s->reload_at = p->reload_at;
    s->reload_text = keep_masked(p, s, p->reload_text);
    s->commits = p->commits;
    s->rollbacks = p->rollbacks;
    s->commit_time = p->commit_time;
    s->step_time = p->step_time;
    s->delay = p->delay;
    s->budget = (double)p->config->budget_time / 1000.0;
    memcpy(s->verdicts, p->verdicts, sizeof s->verdicts);
    turn_history(p, s->at);
    if (t)
        take_task(p, s, t);
    p->published = clock_mono(&clock_system);
    pthread_mutex_lock(&p->lock);
    old = p->newest;
    p->newest = s;
    int last = old && --old->refs == 0;
    pthread_mutex_unlock(&p->lock);
    if (last)
        release(old);
}

static void enter(publisher_t *p, phase_t phase, const task_t *t) {
    if (p->phase != phase) {
        p->phase = phase;
        p->phase_since = clock_wall(&clock_system);
        p->published = (mono_t){0};
    }
    if (mono_diff_ms(clock_mono(&clock_system), p->published) >= PUBLISH_MS)
        publish(p, t);
}

/* ---- the observer ---- */

static void on_tick(observer_t *o, const task_t *t) {
    publisher_t *p = (publisher_t *)o;
    enter(p, t ? PHASE_ACTIVE : PHASE_STANDBY, t);
}

static void on_restoring(observer_t *o) {
    publisher_t *p = (publisher_t *)o;
    p->n_readings = 0;
    enter(p, PHASE_RESTORING, NULL);
}

static void on_wrote(observer_t *o, const task_t *t, const outbox_t *out) {
    publisher_t *p = (publisher_t *)o;
    (void)t;
    for (size_t i = 0; i < out->n && p->n_written < DELAYS_MAX; i++) {
        if (out->at[i].kind != OUT_ANOMALY || !out->at[i].value.s)
            continue;
        mem_grow(&p->written, &p->cap_written, p->n_written + 1, sizeof *p->written);
        p->written[p->n_written++] = out->at[i].time;
    }
}

static void on_committed(observer_t *o, const task_t *t, int64_t took_ms) {
    publisher_t *p = (publisher_t *)o;
    int64_t now = clock_wall(&clock_system).ms;
    (void)t;
    p->commits++;
    histogram_add(&p->commit_time, snapshot_bounds, (double)took_ms / 1000.0);
    for (size_t i = 0; i < p->n_written; i++) /* event time may be ahead of the clock */
        histogram_add(&p->delay, snapshot_delay_bounds,
                      now > p->written[i] ? (double)(now - p->written[i]) / 1000.0 : 0.0);
    p->n_written = 0;
}

static void on_dropped(observer_t *o) {
    publisher_t *p = (publisher_t *)o;
    p->rollbacks++;
    p->n_written = 0;
}

static void on_stepped(observer_t *o, const task_t *t, uint32_t records, int64_t took_ns) {
    publisher_t *p = (publisher_t *)o;
    (void)t;
    if (records)
        histogram_add(&p->step_time, snapshot_bounds, (double)took_ns / 1e9);
}

static void on_readings(observer_t *o, const reading_t *at, uint32_t n) {
    publisher_t *p = (publisher_t *)o;
    mem_grow(&p->readings, &p->cap_readings, n, sizeof *p->readings);
    memcpy(p->readings, at, n * sizeof *at);
    p->n_readings = n;
}

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

static void on_reloaded(observer_t *o, const task_t *t, int ok, const char *text) {
    publisher_t *p = (publisher_t *)o;
    if (ok)
        p->reloads_ok++;
    else
        p->reloads_failed++;
    if (ok && t)
        count_verdicts(p, t);
    p->reload_ok = ok;
    p->reload_at = clock_wall(&clock_system);
    mem_free(p->reload_text);
    p->reload_text = mem_strdup(text);
    publish(p, t);
    atomic_fetch_add(&p->reloads, 1);
}

static int wants_reload(observer_t *o) { return atomic_exchange(&((publisher_t *)o)->reload_asked, 0); }

/* ---- the rest of the process ---- */

publisher_t *publisher_new(const config_t *config, log_t *log) {
    publisher_t *p = mem_zalloc(sizeof *p);
    p->base = (observer_t){.wrote = on_wrote,
                           .committed = on_committed,
                           .dropped = on_dropped,
                           .stepped = on_stepped,
                           .readings = on_readings,
                           .restoring = on_restoring,
                           .tick = on_tick,
                           .reloaded = on_reloaded,
                           .wants_reload = wants_reload};
    p->config = config;
    p->log = log;
    p->started = p->phase_since = clock_wall(&clock_system);
    p->held = mem_zalloc((config->n_sources + 1) * sizeof *p->held);
    pthread_mutex_init(&p->lock, NULL);
    publish(p, NULL);
    return p;
}

void publisher_free(publisher_t *p) {
    if (!p)
        return;
    release(p->newest);
    for (size_t i = 0; i < p->n_parts; i++)
        mem_free(p->parts[i].topic);
    for (size_t i = 0; i < p->n_rules; i++)
        mem_free(p->rules[i].name);
    mem_free(p->parts);
    mem_free(p->held);
    mem_free(p->rules);
    mem_free(p->readings);
    mem_free(p->written);
    mem_free(p->reload_text);
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
