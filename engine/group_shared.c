/* State that several rules share, see group.h: who reads whose, and how a rule joins or goes its own way. In place of a
 * state of its own a reader keeps the name of its lead. */
#include "group_run.h"
#include "mem.h"

#define LEAD_KEY "of"

static store_entry_t *lead_entry(const group_t *g) { return store_get(g->space, LEAD_KEY, strlen(LEAD_KEY)); }

slice_t group_lead_name(const group_t *g) {
    store_entry_t *e = lead_entry(g);
    return e ? entry_value(e) : (slice_t){NULL, 0};
}

void group_alone(group_t *g) { g->lead = g->readers = g->next_reader = NULL; }

void group_lend(group_t *g, group_t *lead) {
    group_t **at = g->lead ? &g->lead->readers : NULL;
    while (at && *at != g)
        at = &(*at)->next_reader;
    if (at)
        *at = g->next_reader;
    g->lead = lead;
    g->next_reader = lead ? lead->readers : NULL;
    if (lead)
        lead->readers = g;
}

static void drop_groups(space_t *sp) {
    for (store_entry_t *e = space_next(sp, NULL); e; e = space_next(sp, e))
        if (group_is_state(e))
            store_del(sp, e);
}

void group_join(group_t *g, group_t *lead) {
    drop_groups(g->space);
    slice_t before = group_lead_name(g), name = slice_of(lead->rule->name);
    if (!before.s || !slice_eq(before, name))
        entry_set(g->space, store_put(g->space, LEAD_KEY, strlen(LEAD_KEY), NULL), name.s, name.len);
    group_lend(g, lead);
    group_rebuild(g);
}

static void copy_space(space_t *to, space_t *from, int groups_only) {
    for (store_entry_t *e = space_next(from, NULL); e; e = space_next(from, e)) {
        slice_t key = entry_key(e), value = entry_value(e);
        if (!groups_only || group_is_state(e))
            entry_set(to, store_put(to, key.s, key.len, NULL), value.s, value.len);
    }
}

static void take_copy(group_t *g, group_t *lead) {
    store_entry_t *e = lead_entry(g);
    if (e)
        store_del(g->space, e);
    group_lend(g, NULL);
    if (!lead)
        return;
    copy_space(g->space, lead->space, 1);
    copy_space(g->chunks.space, lead->chunks.space, 0);
    group_numbers_t numbers = group_read_numbers(g);
    numbers.chunk = group_read_numbers(lead).chunk;
    group_write_numbers(g, &numbers);
    group_rebuild(g);
}

void group_part(group_t *g) {
    group_t *next = g->readers;
    take_copy(next ? next : g, next ? g : g->lead);
    while (next && g->readers)
        group_join(g->readers, next);
}

int group_same_state(const group_t *a, const group_t *b) {
    size_t n = 0;
    if (space_count(a->chunks.space) || space_count(b->chunks.space))
        return 0; /* equal lists may stand under other numbers */
    for (store_entry_t *e = space_next(a->space, NULL); e; e = space_next(a->space, e)) {
        slice_t key = entry_key(e);
        if (!group_is_state(e))
            continue;
        const store_entry_t *other = store_get(b->space, key.s, key.len);
        if (!other || !slice_eq(entry_value(e), entry_value(other)))
            return 0;
        n++;
    }
    for (store_entry_t *e = space_next(b->space, NULL); e; e = space_next(b->space, e))
        n -= group_is_state(e) ? 1 : 0;
    return n == 0;
}

int group_alike(const rule_t *a, const rule_t *b) {
    if (a->window.kind != b->window.kind || a->window.kind == WINDOW_NONE || a->window.kind == WINDOW_RECORD ||
        strcmp(a->state_hash, b->state_hash) != 0 || a->early || b->early || a->lateness || b->lateness ||
        a->provenance != b->provenance || a->time_format != b->time_format)
        return 0;
    if (a->window.kind == WINDOW_SESSION && (a->top_n > 0) != (b->top_n > 0)) /* ranked, they close in another order */
        return 0;
    for (uint32_t i = 0; i < a->n_aggs; i++)
        if (a->aggs[i].kind == AGG_FOLD) /* asks the rule's own code while windows close */
            return 0;
    return 1;
}

int group_shares(const group_t *g) { return g->lead || g->readers; }

int group_reads(const group_t *g) { return g->lead != NULL; }
