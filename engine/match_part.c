#include "match_part.h"
#include "mem.h"
#include "rowpack.h"
#include <stdlib.h>

/* Rows in memory, with what a partition costs counted as some more: a row with few columns takes about 200 bytes. */
#define MAX_LOADED 2000000
#define PART_COST 8
#define SETTLE_EVERY 4096 /* while all of them are visited */

typedef struct appointment {
    etime_t at;
    store_entry_t *entry;
} appointment_t;

struct match_parts {
    const rule_t *rule;
    store_t *store;
    matcher_plan_t *plan;
    space_t *keys, *rows;
    match_part_t *newest, *oldest;
    size_t loaded; /* see MAX_LOADED */
    match_part_t **touched;
    size_t n_touched, cap_touched;
    appointment_t *agenda; /* min-heap by (time, key); an appointment its partition no longer has is skipped */
    size_t n_agenda, cap_agenda;
    store_entry_t **all; /* of match_part_nth */
    size_t n_all;
    buf_t key, bytes; /* scratch */
};

static space_t *space_of(const rule_t *rule, store_t *store, const char *kind) {
    char *name = mem_printf("%s/%s/match-%s", rule->name, rule->state_hash, kind);
    space_t *sp = store_space(store, name);
    mem_free(name);
    return sp;
}

match_parts_t *match_parts_new(const rule_t *rule, store_t *store, matcher_plan_t *plan) {
    match_parts_t *ps = mem_zalloc(sizeof *ps);
    ps->rule = rule;
    ps->store = store;
    ps->plan = plan;
    ps->keys = space_of(rule, store, "keys");
    ps->rows = space_of(rule, store, "rows");
    return ps;
}

/* ---- list of the loaded, by last use ---- */

static void list_remove(match_parts_t *ps, match_part_t *p) {
    if (p->newer)
        p->newer->older = p->older;
    else
        ps->newest = p->older;
    if (p->older)
        p->older->newer = p->newer;
    else
        ps->oldest = p->newer;
    p->newer = p->older = NULL;
}

static void list_add(match_parts_t *ps, match_part_t *p) {
    p->older = ps->newest;
    if (ps->newest)
        ps->newest->newer = p;
    else
        ps->oldest = p;
    ps->newest = p;
}

static void part_free(match_parts_t *ps, match_part_t *p) {
    list_remove(ps, p);
    ps->loaded -= p->cost;
    matcher_free(p->matcher);
    match_window_fini(&p->window);
    mem_free(p);
}

static void touch(match_parts_t *ps, match_part_t *p) {
    if (p->touched)
        return;
    p->touched = 1;
    mem_grow(&ps->touched, &ps->cap_touched, ps->n_touched + 1, sizeof(void *));
    ps->touched[ps->n_touched++] = p;
    list_remove(ps, p);
    list_add(ps, p);
}

static void free_all(match_parts_t *ps) {
    while (ps->newest)
        part_free(ps, ps->newest);
    mem_free(ps->all);
    ps->all = NULL;
    ps->n_touched = ps->n_agenda = ps->n_all = 0;
}

void match_parts_free(match_parts_t *ps) {
    if (!ps)
        return;
    free_all(ps);
    mem_free(ps->touched);
    mem_free(ps->agenda);
    buf_fini(&ps->key);
    buf_fini(&ps->bytes);
    mem_free(ps);
}

/* ---- agenda ---- */

static int before(const appointment_t *a, const appointment_t *b) {
    if (a->at != b->at)
        return a->at < b->at;
    slice_t x = entry_key(a->entry), y = entry_key(b->entry);
    int c = memcmp(x.s, y.s, x.len < y.len ? x.len : y.len);
    return c ? c < 0 : x.len < y.len;
}

static void agenda_add(match_parts_t *ps, etime_t at, store_entry_t *entry) {
    mem_grow(&ps->agenda, &ps->cap_agenda, ps->n_agenda + 1, sizeof *ps->agenda);
    appointment_t x = {at, entry}, *heap = ps->agenda;
    size_t i = ps->n_agenda++;
    for (; i > 0 && before(&x, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = x;
}

static appointment_t agenda_take(match_parts_t *ps) {
    appointment_t *heap = ps->agenda, first = heap[0], x = heap[--ps->n_agenda];
    size_t i = 0, n = ps->n_agenda;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &x))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = x;
    return first;
}

/* ---- store ---- */

static void row_key(match_parts_t *ps, const match_part_t *p, uint64_t seq) {
    buf_clear(&ps->key);
    buf_add_slice(&ps->key, entry_key(p->entry));
    for (int shift = 56; shift >= 0; shift -= 8)
        buf_add_char(&ps->key, (char)(seq >> shift));
}

static void save(match_parts_t *ps, match_part_t *p) {
    buf_clear(&ps->bytes);
    buf_add_u64(&ps->bytes, (uint64_t)p->deadline);
    buf_add_varint(&ps->bytes, p->next);
    buf_add_varint(&ps->bytes, p->stored);
    matcher_save(p->matcher, &ps->bytes);
    if (!slice_eq(buf_slice(&ps->bytes), entry_value(p->entry)))
        entry_set(ps->keys, p->entry, ps->bytes.s, ps->bytes.len);
}

static etime_t saved_deadline(const store_entry_t *e) {
    slice_t v = entry_value(e);
    reader_t r = reader_of(v.s, v.len);
    etime_t at = (etime_t)read_u64(&r);
    return r.bad ? MATCHER_NO_EXPIRY : at;
}

/* The bytes of the pack are the store's and stay where they are until the row is deleted. */
static void take_pack(match_parts_t *ps, step_t *s, match_part_t *p, uint64_t seq, store_entry_t *e) {
    slice_t pack = entry_value(e);
    const batch_t *one = rowpack_read(s->arena, &pack, 1, &ps->rule->match->needs, s->topics, NULL);
    match_window_add(&p->window, one, e);
    matcher_feed(p->matcher, seq, batch_origin(one, 0)->time);
}

static void weigh(match_parts_t *ps, match_part_t *p) {
    ps->loaded -= p->cost;
    p->cost = PART_COST + p->window.cap;
    ps->loaded += p->cost;
}

static void load_rows(match_parts_t *ps, step_t *s, match_part_t *p) {
    for (uint64_t seq = p->stored; seq < p->next; seq++) {
        row_key(ps, p, seq);
        store_entry_t *e = store_get(ps->rows, ps->key.s, ps->key.len);
        if (!e)
            abort(); /* rows and keys change together */
        take_pack(ps, s, p, seq, e);
    }
}

static match_part_t *part_of_entry(match_parts_t *ps, step_t *s, store_entry_t *e, int is_new) {
    match_part_t *p = entry_tag(e);
    if (p)
        return p;
    p = mem_zalloc(sizeof *p);
    p->entry = e;
    p->matcher = matcher_new(ps->plan);
    p->deadline = MATCHER_NO_EXPIRY;
    if (!is_new) {
        slice_t v = entry_value(e);
        reader_t r = reader_of(v.s, v.len);
        p->deadline = (etime_t)read_u64(&r);
        p->next = read_varint(&r);
        p->stored = read_varint(&r);
        matcher_load(p->matcher, &r);
    }
    match_window_init(&p->window, p->stored);
    entry_set_tag(e, p);
    list_add(ps, p);
    load_rows(ps, s, p);
    weigh(ps, p);
    return p;
}

void match_parts_rebuild(match_parts_t *ps) {
    free_all(ps);
    for (store_entry_t *e = space_next(ps->keys, NULL); e; e = space_next(ps->keys, e)) {
        entry_set_tag(e, NULL);
        etime_t at = saved_deadline(e);
        if (at != MATCHER_NO_EXPIRY)
            agenda_add(ps, at, e);
    }
}

/* ---- use ---- */

match_part_t *match_part_of(match_parts_t *ps, step_t *s, const batch_t *rows, uint32_t row) {
    const names_t *by = &ps->rule->match->partition_by;
    int is_new = 0;
    buf_clear(&ps->key);
    for (uint32_t i = 0; i < by->n; i++) {
        cell_t c = batch_lookup(rows, by->at[i], strlen(by->at[i]), row);
        cell_key(&ps->key, &c);
    }
    const char *key = buf_cstr(&ps->key); /* never NULL, also where nothing is partitioned */
    store_entry_t *e = store_get(ps->keys, key, ps->key.len);
    if (!e) {
        if (store_full(ps->store)) {
            step_limit(s, ps->rule, "max_state is reached: the rows of a new key are not matched");
            return NULL;
        }
        e = store_put(ps->keys, key, ps->key.len, &is_new);
        entry_set_tag(e, NULL);
    }
    match_part_t *p = part_of_entry(ps, s, e, is_new);
    touch(ps, p);
    return p;
}

int match_part_feed(match_parts_t *ps, step_t *s, match_part_t *p, const batch_t *rows, uint32_t row) {
    if (store_full(ps->store)) {
        step_limit(s, ps->rule, "max_state is reached: a row is not matched");
        return 0;
    }
    buf_clear(&ps->bytes);
    rowpack_write(&ps->bytes, rows, row, &ps->rule->match->needs, s->topics);
    row_key(ps, p, p->next);
    store_entry_t *e = store_put(ps->rows, ps->key.s, ps->key.len, NULL);
    entry_set(ps->rows, e, ps->bytes.s, ps->bytes.len);
    take_pack(ps, s, p, p->next++, e);
    return 1;
}

void match_part_rest(match_parts_t *ps, match_part_t *p) {
    etime_t at = matcher_expires(p->matcher);
    if (at == p->deadline)
        return;
    p->deadline = at;
    if (at != MATCHER_NO_EXPIRY)
        agenda_add(ps, at, p->entry);
}

static int is_kept(const appointment_t *a) {
    const match_part_t *known = entry_tag(a->entry);
    return (known ? known->deadline : saved_deadline(a->entry)) == a->at;
}

uint64_t match_parts_count(const match_parts_t *ps) { return space_count(ps->keys); }
uint64_t match_parts_rows(const match_parts_t *ps) { return space_count(ps->rows); }

etime_t match_parts_next(match_parts_t *ps) {
    while (ps->n_agenda && !is_kept(&ps->agenda[0]))
        agenda_take(ps);
    return ps->n_agenda ? ps->agenda[0].at : ETIME_MAX;
}

match_part_t *match_part_due(match_parts_t *ps, step_t *s, etime_t watermark) {
    while (ps->n_agenda && ps->agenda[0].at <= watermark) {
        appointment_t a = agenda_take(ps);
        if (!is_kept(&a))
            continue;
        match_part_t *p = part_of_entry(ps, s, a.entry, 0);
        p->deadline = MATCHER_NO_EXPIRY; /* kept; the next one is made by match_part_rest */
        touch(ps, p);
        return p;
    }
    return NULL;
}

static void free_rows(match_parts_t *ps, match_part_t *p) {
    uint64_t low = matcher_low(p->matcher);
    for (; p->stored < low && p->stored < p->next; p->stored++)
        store_del(ps->rows, match_window_source(&p->window, p->stored));
    match_window_drop(&p->window, p->stored);
}

static void settle_touched(match_parts_t *ps) {
    for (size_t i = 0; i < ps->n_touched; i++) {
        match_part_t *p = ps->touched[i];
        free_rows(ps, p);
        save(ps, p);
        weigh(ps, p);
        p->touched = 0;
    }
    ps->n_touched = 0;
    while (ps->loaded > MAX_LOADED) {
        entry_set_tag(ps->oldest->entry, NULL);
        part_free(ps, ps->oldest);
    }
}

match_part_t *match_part_nth(match_parts_t *ps, step_t *s, size_t index) {
    if (index == 0) {
        mem_free(ps->all);
        ps->n_all = space_sorted(ps->keys, &ps->all);
    }
    if (index % SETTLE_EVERY == SETTLE_EVERY - 1)
        settle_touched(ps);
    if (index >= ps->n_all)
        return NULL;
    match_part_t *p = part_of_entry(ps, s, ps->all[index], 0);
    touch(ps, p);
    return p;
}

void match_parts_settle(match_parts_t *ps) {
    settle_touched(ps);
    mem_free(ps->all);
    ps->all = NULL;
    ps->n_all = 0;
}
