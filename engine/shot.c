#include "shot_parts.h"

#include <string.h>

#include "mem.h"

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
    *out = (snapshot_partition_t){.topic = shot_keep(&s->arena, topic),
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
    if (!v)
        return;
    out->n_levels = v->n;
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
    *out = (snapshot_source_t){.name = shot_keep(&s->arena, s->config->sources[i].name),
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
    *out = (snapshot_rule_t){.name = shot_keep(&s->arena, rule->name),
                             .file = shot_keep(&s->arena, rule->file),
                             .to = shot_keep(&s->arena, rule->to),
                             .version = shot_keep(&s->arena, rule->version),
                             .line = rule->line,
                             .shadow = rule->mode == MODE_SHADOW,
                             .stats = *task_rule_stats(t, i),
                             .error = keep_masked(s, error->text),
                             .error_count = error->count,
                             .sources = sources_of(s, rule)};
    task_view_rule(t, i, &out->view);
    for (uint32_t k = 0; k < rule->n_from; k++)
        out->view.crosses |= rule->from[k].is_rule && s->rules[rule->from[k].index].view.crosses;
    out->view.verdict = shot_keep(&s->arena, out->view.verdict);
    count_history(k, out->stats.emitted);
    memcpy(out->history, k->history, sizeof k->history);
}

void shot_take(shot_t *s, const task_t *t, wall_t now) {
    size_t track = 0;
    arena_reset(&s->arena);
    turn_history(s, now);
    s->taken = 1;
    s->at = now;
    s->version = shot_keep(&s->arena, task_plan(t)->version);
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
