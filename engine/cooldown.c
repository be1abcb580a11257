#include "cooldown.h"

#include "mem.h"

struct cooldown {
    const rule_t *rule;
    space_t *space; /* output key -> event times of the anomalies that passed, the last one last */
    etime_t oldest; /* no entry is older than this */
};

cooldown_t *cooldown_new(const rule_t *rule, store_t *store) {
    cooldown_t *c = mem_zalloc(sizeof *c);
    char *name = mem_printf("%s/%s/cooldown", rule->name, rule->state_hash);
    c->rule = rule;
    c->space = store_space(store, name);
    c->oldest = ETIME_MAX;
    mem_free(name);
    return c;
}

void cooldown_free(cooldown_t *c) { mem_free(c); }

static etime_t last_of(const store_entry_t *e) {
    etime_t t;
    slice_t all = entry_value(e);
    memcpy(&t, all.s + all.len - sizeof t, sizeof t);
    return t;
}

/* An anomaly of a late row may have passed behind one of a later time. */
static etime_t newest_of(const store_entry_t *e) {
    etime_t newest = last_of(e);
    slice_t all = entry_value(e);
    for (size_t at = 0; at + sizeof newest <= all.len; at += sizeof newest) {
        etime_t t;
        memcpy(&t, all.s + at, sizeof t);
        newest = t > newest ? t : newest;
    }
    return newest;
}

/* Whether an anomaly of exactly that time passed. */
static int has_passed(const store_entry_t *e, etime_t time) {
    slice_t all = entry_value(e);
    for (size_t at = 0; at + sizeof time <= all.len; at += sizeof time)
        if (memcmp(all.s + at, &time, sizeof time) == 0)
            return 1;
    return 0;
}

void cooldown_rebuild(cooldown_t *c) {
    c->oldest = ETIME_MAX;
    for (store_entry_t *e = space_next(c->space, NULL); e; e = space_next(c->space, e))
        if (newest_of(e) < c->oldest)
            c->oldest = newest_of(e);
}

/* The watermark has left the cooldown behind: such an entry holds nothing back, freed or not, so that what passes does
 * not depend on when it is freed. */
static int holds_nothing(const cooldown_t *c, etime_t last, etime_t watermark) {
    return watermark != ETIME_MIN && last <= watermark - c->rule->cooldown;
}

/* Nothing asks for it any more: it holds nothing back, and even the last result that it held back, almost a cooldown behind
 * it, is too old for updates. */
static int forgotten(const cooldown_t *c, etime_t newest, etime_t watermark) {
    return watermark != ETIME_MIN && newest <= watermark - c->rule->cooldown - c->rule->lateness;
}

static void free_forgotten(cooldown_t *c, etime_t watermark) {
    if (c->oldest == ETIME_MAX || !forgotten(c, c->oldest, watermark))
        return;
    store_entry_t **all;
    size_t n = space_sorted(c->space, &all);
    c->oldest = ETIME_MAX;
    for (size_t i = 0; i < n; i++) {
        etime_t newest = newest_of(all[i]);
        if (forgotten(c, newest, watermark))
            store_del(c->space, all[i]);
        else if (newest < c->oldest)
            c->oldest = newest;
    }
    mem_free(all);
}

/* The times that updates may still ask for, and this one behind them. */
static void keep_time(cooldown_t *c, store_entry_t *e, etime_t time, etime_t watermark) {
    buf_t kept = {0};
    slice_t all = entry_value(e);
    for (size_t at = 0; at + sizeof time <= all.len; at += sizeof time) {
        etime_t t;
        memcpy(&t, all.s + at, sizeof t);
        if (c->rule->lateness > 0 && (watermark == ETIME_MIN || t > watermark - c->rule->lateness))
            buf_add(&kept, &t, sizeof t);
    }
    buf_add(&kept, &time, sizeof time);
    entry_set(c->space, e, kept.s, kept.len);
    buf_fini(&kept);
    if (time < c->oldest)
        c->oldest = time;
}

static int let_pass(cooldown_t *c, slice_t key, etime_t time, etime_t watermark) {
    int is_new;
    store_entry_t *e = store_put(c->space, key.s ? key.s : "", key.len, &is_new);
    if (!is_new && !holds_nothing(c, last_of(e), watermark) && time - last_of(e) < c->rule->cooldown)
        return 0;
    keep_time(c, e, time, watermark);
    return 1;
}

/* A result that was held back has nothing to be updated or taken back: under its key there is another one. A session that
 * grew has another time than its result had; only that it is taken back can be told. */
static int was_held(const cooldown_t *c, slice_t key, etime_t time, uint8_t kind) {
    if (kind == ROW_UPDATE && c->rule->window.kind == WINDOW_SESSION)
        return 0;
    const store_entry_t *e = store_get(c->space, key.s ? key.s : "", key.len);
    return e && !has_passed(e, time);
}

void cooldown_run(cooldown_t *c, step_t *s, const stream_t *in, result_t *rows) {
    batch_t *b = rows->batch;
    uint32_t *keep = arena_array(s->arena, uint32_t, b->n ? b->n : 1);
    uint32_t n = 0, m = 0;
    etime_t watermark = in->wm_before;
    etime_t *stamps = rows->stamps ? arena_dup(s->arena, rows->stamps, b->n * sizeof *stamps) : NULL;
    rows->stamps = stamps;
    for (uint32_t r = 0; r < b->n; r++) {
        const origin_t *o = batch_origin(b, r);
        while (m < in->n_marks && in->marks[m].tick < o->tick)
            watermark = in->marks[m++].wm;
        int is_new = !rows->kind || rows->kind[r] == ROW_NEW;
        slice_t key = rows->keys ? rows->keys[r] : o->key;
        if (is_new && !let_pass(c, key, o->time, watermark)) {
            s->stats->held_back++;
            continue;
        }
        if (!is_new && was_held(c, key, o->time, (uint8_t)rows->kind[r]))
            continue;
        if (rows->kind)
            rows->kind[n] = rows->kind[r];
        if (rows->keys)
            rows->keys[n] = rows->keys[r];
        if (stamps)
            stamps[n] = stamps[r];
        keep[n++] = r;
    }
    if (n < b->n)
        rows->batch = batch_select(s->arena, b, keep, n);
    free_forgotten(c, in->n_marks ? in->marks[in->n_marks - 1].wm : in->wm_before);
}
