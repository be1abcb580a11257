#include "share.h"

#include "mem.h"

#define PAUSE_MOST 1024

/* Would both make the same of what they hold, from now on? Rows that come from other tasks come to each rule apart. The number
 * of a reign only names the state. */
static int alike(const pipeline_t *a, const pipeline_t *b) {
    return a->group && b->group && !a->exchange && !b->exchange && group_alike(a->rule, b->rule) &&
           a->reign.begin == b->reign.begin && a->stats.quarantined == b->stats.quarantined &&
           pipeline_same_rows(a->rule, b->rule);
}

static int may_share(const pipeline_t *a, const pipeline_t *b) {
    return a->n_leaving == 0 && b->n_leaving == 0 && alike(a, b);
}

static pipeline_t *named(pipeline_t *at, uint32_t n, slice_t name) {
    for (uint32_t i = 0; i < n; i++)
        if (slice_eq(slice_of(at[i].rule->name), name))
            return &at[i];
    return NULL;
}

/* Per rule, whose state it shared until now; and, of those who leave it, to whom they went. */
typedef struct moves {
    pipeline_t **lead, **to;
} moves_t;

static moves_t moves_new(uint32_t n) {
    return (moves_t){mem_zalloc((n + 1) * sizeof(pipeline_t *)), mem_zalloc((n + 1) * sizeof(pipeline_t *))};
}

static void moves_fini(moves_t *m) {
    mem_free(m->lead);
    mem_free(m->to);
}

/* Rule i leaves its lead: to another who left before and fits, else with a copy of its own. */
static void leave(const moves_t *m, pipeline_t *at, uint32_t i, int (*fits)(const pipeline_t *, const pipeline_t *)) {
    for (uint32_t k = 0; k < i; k++)
        if (m->to[k] == &at[k] && m->lead[k] == m->lead[i] && fits(&at[k], &at[i])) {
            group_join(at[i].group, at[k].group);
            m->to[i] = &at[k];
            return;
        }
    group_part(at[i].group);
    m->to[i] = &at[i];
}

static void read_leads(const moves_t *m, pipeline_t *at, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (at[i].group)
            group_alone(at[i].group);
    pipeline_t *last = NULL; /* most have the same */
    for (uint32_t i = 0; i < n; i++) {
        slice_t name = at[i].group ? group_lead_name(at[i].group) : (slice_t){NULL, 0};
        if (!name.s)
            continue;
        if (!last || !slice_eq(slice_of(last->rule->name), name))
            last = named(at, n, name);
        if (last && last->group && last != &at[i] && !group_lead_name(last->group).s) {
            group_lend(at[i].group, last->group);
            m->lead[i] = last;
        } else {
            group_part(at[i].group); /* its lead is gone with its state */
        }
    }
}

/* A state of its own that equals another's is not needed. */
static uint32_t join_equal(pipeline_t *at, uint32_t n) {
    uint32_t apart = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (!at[i].group || group_shares(at[i].group))
            continue;
        int could = 0, did = 0;
        for (uint32_t k = 0; k < i && !did; k++) {
            if (!at[k].group || group_reads(at[k].group) || !alike(&at[k], &at[i]))
                continue;
            could = 1;
            did = may_share(&at[k], &at[i]) && group_same_state(at[k].group, at[i].group);
            if (did)
                group_join(at[i].group, at[k].group);
        }
        apart += could && !did ? 1 : 0;
    }
    return apart;
}

void share_settle(share_t *s, pipeline_t *at, uint32_t n) {
    moves_t m = moves_new(n);
    read_leads(&m, at, n);
    for (uint32_t i = 0; i < n; i++)
        if (m.lead[i] && !may_share(m.lead[i], &at[i]))
            leave(&m, at, i, may_share);
    moves_fini(&m);
    *s = (share_t){.apart = 1, .left = 1};
}

void share_step(share_t *s, pipeline_t *at, uint32_t n) {
    if (s->due)
        share_settle(s, at, n);
    if (s->apart == 0 || --s->left > 0)
        return;
    s->apart = join_equal(at, n);
    s->pause = s->pause * 2 < PAUSE_MOST ? s->pause * 2 + 1 : PAUSE_MOST;
    s->left = s->pause;
}

/* --- reload --- */

static int stays(verdict_kind_t kind) { return kind == VERDICT_UNCHANGED || kind == VERDICT_KEPT; }

static int any_two(const pipeline_t *a, const pipeline_t *b) {
    (void)a;
    (void)b;
    return 1;
}

static int no_two(const pipeline_t *a, const pipeline_t *b) {
    (void)a;
    (void)b;
    return 0;
}

void share_before_reload(pipeline_t *olds, uint32_t n, const verdicts_t *v) {
    verdict_kind_t *kind = mem_zalloc((n + 1) * sizeof *kind);
    for (uint32_t i = 0; i < v->n; i++)
        if (v->at[i].old_index >= 0)
            kind[v->at[i].old_index] = v->at[i].kind;
    moves_t m = moves_new(n);
    read_leads(&m, olds, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!m.lead[i] || kind[i] == VERDICT_REMOVED || kind[i] == VERDICT_RESET)
            continue;
        int keeps = stays(kind[i]);
        if (keeps && stays(kind[m.lead[i] - olds]))
            continue;
        leave(&m, olds, i, keeps ? any_two : no_two);
        if (!keeps)
            m.to[i] = NULL; /* its copy will mean something else */
    }
    moves_fini(&m);
    mem_free(kind);
}
