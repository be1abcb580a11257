#include "shot.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

typedef struct part_track { /* of one input partition */
    char *topic;
    int32_t partition;
    etime_t max_time;
    wall_t moved;
} part_track_t;

typedef struct rule_track {
    char *name;
    uint64_t emitted; /* when last looked at */
    uint32_t history[SNAPSHOT_HISTORY];
} rule_track_t;

struct shot {
    int32_t task;
    const config_t *config;
    log_t *log;
    int taken;
    arena_t arena; /* what was seen last */
    wall_t at;
    const char *version;
    snapshot_source_t *sources;
    snapshot_rule_t *rules;
    uint32_t n_sources, n_rules;
    uint64_t state_bytes, state_entries, script_bytes;
    /* from one look to the next */
    int64_t slot; /* of the history, wall ms / SNAPSHOT_HISTORY_MS */
    part_track_t *parts;
    size_t n_parts, cap_parts;
    rule_track_t *tracks;
    size_t n_tracks, cap_tracks;
    reading_t *readings;
    uint32_t n_readings;
    size_t cap_readings;
};

/* ---- from one look to the next ---- */

static part_track_t *track_part(shot_t *s, const char *topic, int32_t partition) {
    for (size_t i = 0; i < s->n_parts; i++)
        if (s->parts[i].partition == partition && strcmp(s->parts[i].topic, topic) == 0)
            return &s->parts[i];
    mem_grow(&s->parts, &s->cap_parts, s->n_parts + 1, sizeof *s->parts);
    s->parts[s->n_parts] = (part_track_t){mem_strdup(topic), partition, ETIME_MIN, s->at};
    return &s->parts[s->n_parts++];
}

/* Rules come in the same order each time, so the next one mostly is where *from says. */
static rule_track_t *track_rule(shot_t *s, const char *name, size_t *from) {
    for (size_t i = 0; i < s->n_tracks; i++) {
        rule_track_t *k = &s->tracks[(*from + i) % s->n_tracks];
        if (strcmp(k->name, name) == 0) {
            *from = (size_t)(k - s->tracks) + 1;
            return k;
        }
    }
    mem_grow(&s->tracks, &s->cap_tracks, s->n_tracks + 1, sizeof *s->tracks);
    s->tracks[s->n_tracks] = (rule_track_t){.name = mem_strdup(name)};
    return &s->tracks[s->n_tracks++];
}

/* Moves every history on to the slot of now. */
static void turn_history(shot_t *s, wall_t now) {
    int64_t slot = now.ms / SNAPSHOT_HISTORY_MS, by = s->slot ? slot - s->slot : 0;
    s->slot = slot;
    if (by <= 0)
        return;
    size_t keep = by < SNAPSHOT_HISTORY ? (size_t)(SNAPSHOT_HISTORY - by) : 0;
    for (size_t i = 0; i < s->n_tracks; i++) {
        uint32_t *h = s->tracks[i].history;
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

/* ---- looking ---- */

static const char *keep(arena_t *a, const char *text) { return text ? arena_dup(a, text, strlen(text) + 1) : NULL; }

/* Text that may come from anywhere: what is secret does not leave. */
static const char *keep_masked(shot_t *s, const char *text) {
    size_t len = text ? strlen(text) : 0;
    char *copy = arena_dup(&s->arena, text ? text : "", len + 1);
    log_mask(s->log, copy, len);
    return copy;
}

static const reading_t *reading_of(const shot_t *s, int32_t topic, int32_t partition) {
    for (uint32_t i = 0; i < s->n_readings; i++)
        if (s->readings[i].topic == topic && s->readings[i].partition == partition)
            return &s->readings[i];
    return NULL;
}

static void take_partition(shot_t *s, const char *topic, const watermark_t *w, uint32_t i, snapshot_partition_t *out) {
    const wm_partition_t *part = &w->parts[i];
    part_track_t *k = track_part(s, topic, part->partition);
    const reading_t *r = reading_of(s, part->topic, part->partition);
    if (part->max_time > k->max_time)
        k->moved = s->at;
    k->max_time = part->max_time;
    *out = (snapshot_partition_t){.topic = keep(&s->arena, topic),
                                  .partition = part->partition,
                                  .task = s->task,
                                  .idle = part->idle,
                                  .max_time = part->max_time,
                                  .watermark = watermark_of(w, i),
                                  .records = (uint64_t)part->records,
                                  .bad = (uint64_t)part->bad,
                                  .next = r ? r->next : -1,
                                  .lag = r ? r->lag : -1,
                                  .moved = k->moved};
}

static void take_levels(shot_t *s, const valve_t *v, const watermark_t *own, snapshot_source_t *out) {
    out->n_levels = v ? v->n : 0;
    out->levels = arena_array(&s->arena, snapshot_level_t, out->n_levels);
    for (uint32_t i = 0; i < out->n_levels; i++)
        out->levels[i] = (snapshot_level_t){
            .heard = v->in[i].heard, .idle = v->in[i].idle, .watermark = v->in[i].heard ? v->in[i].wm : ETIME_MIN};
    if (out->n_levels)
        out->levels[s->task] = (snapshot_level_t){1, 1, own->idle, own->now};
}

static void take_source(shot_t *s, const task_t *t, uint32_t i) {
    const watermark_t *w = task_watermark(t, i);
    snapshot_source_t *out = &s->sources[i];
    *out = (snapshot_source_t){.name = keep(&s->arena, s->config->sources[i].name),
                               .stats = *task_source_stats(t, i),
                               .watermark = w->now,
                               .idle = w->idle,
                               .explicit_only = w->bound == WATERMARK_NONE,
                               .holds = s->config->sources[i].hold_when_all_idle,
                               .holder = watermark_holder(w),
                               .parts = arena_array(&s->arena, snapshot_partition_t, w->n),
                               .n_parts = w->n};
    for (uint32_t k = 0; k < w->n; k++)
        take_partition(s, task_topics(t)[w->parts[k].topic], w, k, &out->parts[k]);
    take_levels(s, task_view_everywhere(t, i), w, out);
}

/* Rules come in topological order: what a rule reads was looked at before it. */
static const uint8_t *sources_of(shot_t *s, const rule_t *rule) {
    uint8_t *out = arena_array(&s->arena, uint8_t, s->n_sources);
    memset(out, 0, s->n_sources);
    for (uint32_t i = 0; i < rule->n_from; i++) {
        if (!rule->from[i].is_rule)
            out[rule->from[i].index] = 1;
        for (uint32_t k = 0; rule->from[i].is_rule && k < s->n_sources; k++)
            out[k] |= s->rules[rule->from[i].index].sources[k];
    }
    return out;
}

static void take_rule(shot_t *s, const task_t *t, uint32_t i, size_t *track) {
    const rule_t *rule = &task_plan(t)->rules[i];
    const last_error_t *error = task_rule_error(t, i);
    rule_track_t *k = track_rule(s, rule->name, track);
    snapshot_rule_t *out = &s->rules[i];
    *out = (snapshot_rule_t){.name = keep(&s->arena, rule->name),
                             .file = keep(&s->arena, rule->file),
                             .to = keep(&s->arena, rule->to),
                             .version = keep(&s->arena, rule->version),
                             .line = rule->line,
                             .shadow = rule->mode == MODE_SHADOW,
                             .stats = *task_rule_stats(t, i),
                             .error = keep_masked(s, error->text),
                             .error_count = error->count,
                             .sources = sources_of(s, rule)};
    task_view_rule(t, i, &out->view);
    for (uint32_t k = 0; k < rule->n_from; k++)
        out->view.crosses |= rule->from[k].is_rule && s->rules[rule->from[k].index].view.crosses;
    out->view.verdict = keep(&s->arena, out->view.verdict);
    count_history(k, out->stats.emitted);
    memcpy(out->history, k->history, sizeof k->history);
}

void shot_take(shot_t *s, const task_t *t, wall_t now) {
    size_t track = 0;
    arena_reset(&s->arena);
    turn_history(s, now);
    s->taken = 1;
    s->at = now;
    s->version = keep(&s->arena, task_plan(t)->version);
    s->n_sources = task_n_sources(t);
    s->sources = arena_array(&s->arena, snapshot_source_t, s->n_sources);
    for (uint32_t i = 0; i < s->n_sources; i++)
        take_source(s, t, i);
    s->n_rules = task_plan(t)->n_rules;
    s->rules = arena_array(&s->arena, snapshot_rule_t, s->n_rules);
    for (uint32_t i = 0; i < s->n_rules; i++)
        take_rule(s, t, i, &track);
    s->state_bytes = task_view_state_bytes(t);
    s->state_entries = task_view_state_entries(t);
    s->script_bytes = task_view_script_bytes(t);
}

void shot_readings(shot_t *s, const reading_t *at, uint32_t n) {
    mem_grow(&s->readings, &s->cap_readings, n, sizeof *s->readings);
    memcpy(s->readings, at, n * sizeof *at);
    s->n_readings = n;
}

void shot_forget(shot_t *s) {
    s->taken = 0;
    s->n_readings = 0;
}

/* ---- several as one ---- */

/* Event time of several tasks: the least of those that are not idle, or, where all are, the greatest. */
static void join_times(etime_t *now, int *idle, etime_t more, int more_idle) {
    if (*idle == more_idle)
        *now = (*now < more) == !*idle ? *now : more;
    else if (*idle)
        *now = more;
    *idle &= more_idle;
}

static int by_partition(const void *a, const void *b) {
    const snapshot_partition_t *x = a, *y = b;
    int by_topic = strcmp(x->topic, y->topic);
    return by_topic ? by_topic : (x->partition > y->partition) - (x->partition < y->partition);
}

static void merge_parts(arena_t *a, snapshot_source_t *into, const snapshot_source_t *one) {
    snapshot_partition_t *all = arena_array(a, snapshot_partition_t, into->n_parts + one->n_parts);
    if (into->n_parts)
        memcpy(all, into->parts, into->n_parts * sizeof *all);
    for (uint32_t i = 0; i < one->n_parts; i++) {
        snapshot_partition_t *p = &all[into->n_parts + i];
        *p = one->parts[i];
        p->topic = keep(a, p->topic);
    }
    into->parts = all;
    into->n_parts += one->n_parts;
}

/* What is here is known; of the others, what was heard last by any of those. */
static void merge_levels(arena_t *a, snapshot_source_t *into, const snapshot_source_t *one) {
    if (!into->n_levels) {
        into->n_levels = one->n_levels;
        into->levels = arena_array(a, snapshot_level_t, one->n_levels);
        if (one->n_levels)
            memcpy(into->levels, one->levels, one->n_levels * sizeof *one->levels);
        return;
    }
    for (uint32_t i = 0; i < one->n_levels; i++) {
        snapshot_level_t *known = &into->levels[i];
        const snapshot_level_t *more = &one->levels[i];
        int newer = more->heard && (!known->heard || more->watermark > known->watermark);
        if (more->here || (newer && !known->here))
            *known = *more;
    }
}

/* A source without partitions here says nothing. The least of the partitions that a source waits for holds it back. */
static void merge_source(arena_t *a, snapshot_source_t *into, const snapshot_source_t *one, int first) {
    if (first)
        *into = (snapshot_source_t){.name = keep(a, one->name),
                                    .explicit_only = one->explicit_only,
                                    .holds = one->holds,
                                    .watermark = ETIME_MIN};
    into->stats.records += one->stats.records;
    into->stats.bad += one->stats.bad;
    into->stats.tombstones += one->stats.tombstones;
    into->stats.bytes += one->stats.bytes;
    merge_levels(a, into, one);
    if (one->n_parts == 0)
        return;
    if (into->n_parts == 0) {
        into->watermark = one->watermark;
        into->idle = one->idle;
    } else {
        join_times(&into->watermark, &into->idle, one->watermark, one->idle);
    }
    merge_parts(a, into, one);
}

static void find_holder(snapshot_source_t *s) {
    if (s->n_parts)
        qsort(s->parts, s->n_parts, sizeof *s->parts, by_partition);
    s->holder = -1;
    for (uint32_t i = 0; i < s->n_parts; i++)
        if (!s->parts[i].idle && (s->holder < 0 || s->parts[i].watermark < s->parts[s->holder].watermark))
            s->holder = (int)i;
    s->elsewhere = -1;
    etime_t least = s->holder < 0 ? ETIME_MAX : s->parts[s->holder].watermark;
    for (uint32_t i = 0; i < s->n_levels; i++) {
        const snapshot_level_t *l = &s->levels[i];
        if (l->here || l->idle || l->watermark >= least)
            continue;
        s->elsewhere = (int)i;
        least = l->watermark;
    }
}

static void add_stats(rule_stats_t *into, const rule_stats_t *one) {
    into->rows_in += one->rows_in;
    into->emitted += one->emitted;
    into->updates += one->updates;
    into->tombstones += one->tombstones;
    into->late += one->late;
    into->errors += one->errors;
    into->limits += one->limits;
    into->held_back += one->held_back;
    into->skipped += one->skipped;
    into->dropped_windows += one->dropped_windows;
    into->quarantined |= one->quarantined;
    into->time_ns += one->time_ns;
    into->longest_ns = into->longest_ns > one->longest_ns ? into->longest_ns : one->longest_ns;
}

static void add_view(arena_t *a, rule_view_t *into, const rule_view_t *one) {
    if (!into->verdict)
        into->verdict = keep(a, one->verdict);
    into->open_windows += one->open_windows;
    into->leaving = into->leaving > one->leaving ? into->leaving : one->leaving;
    into->waiting += one->waiting;
    into->keys += one->keys;
    into->kept += one->kept;
    into->state_bytes += one->state_bytes;
    into->state_entries += one->state_entries;
    into->next = into->next < one->next ? into->next : one->next;
    into->next_end = into->next_end < one->next_end ? into->next_end : one->next_end;
    into->crosses |= one->crosses;
    join_times(&into->watermark, &into->idle, one->watermark, one->idle);
}

/* Of the first n rules; the tasks mostly have them in the same order, so it is looked for at `from` first. */
static snapshot_rule_t *rule_named(snapshot_t *s, uint32_t n, const char *name, uint32_t from) {
    for (uint32_t i = 0; i < n; i++) {
        snapshot_rule_t *r = &s->rules[(from + i) % n];
        if (strcmp(r->name, name) == 0)
            return r;
    }
    return NULL;
}

static void first_rule(snapshot_t *s, snapshot_rule_t *into, const snapshot_rule_t *one) {
    arena_t *a = &s->arena;
    *into = *one;
    into->name = keep(a, one->name);
    into->file = keep(a, one->file);
    into->to = keep(a, one->to);
    into->version = keep(a, one->version);
    into->error = keep(a, one->error);
    into->view.verdict = keep(a, one->view.verdict);
    into->sources = arena_dup(a, one->sources, s->n_sources);
}

/* While a reload goes round, tasks may have other rules than the first of them. */
static void merge_rules(snapshot_t *s, const shot_t *shot) {
    snapshot_rule_t *all = arena_array(&s->arena, snapshot_rule_t, s->n_rules + shot->n_rules);
    if (s->n_rules)
        memcpy(all, s->rules, s->n_rules * sizeof *all);
    s->rules = all;
    uint32_t had = s->n_rules; /* a task has each of its rules once */
    for (uint32_t i = 0; i < shot->n_rules; i++) {
        const snapshot_rule_t *one = &shot->rules[i];
        snapshot_rule_t *into = rule_named(s, had, one->name, i);
        if (!into) {
            first_rule(s, &s->rules[s->n_rules++], one);
            continue;
        }
        add_stats(&into->stats, &one->stats);
        add_view(&s->arena, &into->view, &one->view);
        into->error_count += one->error_count;
        if (!into->error[0])
            into->error = keep(&s->arena, one->error);
        for (int k = 0; k < SNAPSHOT_HISTORY; k++)
            into->history[k] += one->history[k];
    }
}

void shots_merge(shot_t *const *shots, size_t n, snapshot_t *out) {
    int first = 1;
    for (size_t i = 0; i < n; i++) {
        const shot_t *s = shots[i];
        if (!s->taken)
            continue;
        if (first) {
            out->version = keep(&out->arena, s->version);
            out->n_sources = s->n_sources;
            out->sources = arena_array(&out->arena, snapshot_source_t, s->n_sources);
        }
        for (uint32_t k = 0; k < s->n_sources; k++)
            merge_source(&out->arena, &out->sources[k], &s->sources[k], first);
        merge_rules(out, s);
        out->state_bytes += s->state_bytes;
        out->state_entries += s->state_entries;
        out->script_bytes += s->script_bytes;
        first = 0;
    }
    for (uint32_t k = 0; k < out->n_sources; k++)
        find_holder(&out->sources[k]);
}

/* ---- its life ---- */

shot_t *shot_new(int32_t task, const config_t *config, log_t *log) {
    shot_t *s = mem_zalloc(sizeof *s);
    s->task = task;
    s->config = config;
    s->log = log;
    arena_init(&s->arena);
    return s;
}

void shot_free(shot_t *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->n_parts; i++)
        mem_free(s->parts[i].topic);
    for (size_t i = 0; i < s->n_tracks; i++)
        mem_free(s->tracks[i].name);
    mem_free(s->parts);
    mem_free(s->tracks);
    mem_free(s->readings);
    arena_fini(&s->arena);
    mem_free(s);
}

int32_t shot_task(const shot_t *s) { return s->task; }
int shot_taken(const shot_t *s) { return s->taken; }
const char *shot_version(const shot_t *s) { return s->version; }
