/* Several shots as one picture. */
#include <stdlib.h>
#include <string.h>

#include "shot_parts.h"

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
        p->topic = shot_keep(a, p->topic);
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
        *into = (snapshot_source_t){.name = shot_keep(a, one->name),
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
        into->verdict = shot_keep(a, one->verdict);
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
    into->name = shot_keep(a, one->name);
    into->file = shot_keep(a, one->file);
    into->to = shot_keep(a, one->to);
    into->version = shot_keep(a, one->version);
    into->error = shot_keep(a, one->error);
    into->view.verdict = shot_keep(a, one->view.verdict);
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
            into->error = shot_keep(&s->arena, one->error);
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
            out->version = shot_keep(&out->arena, s->version);
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
