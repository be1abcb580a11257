#include "placement.h"

#include <stdlib.h>

#include "mem.h"

/* How the rows of a source or a rule lie on the tasks, in terms of its output columns. */
typedef enum {
    LIES_ANYHOW,
    LIES_BY_SOURCE, /* as the producer of one source partitions */
    LIES_BY_HASH    /* by the hash of columns; none: all at the home's task */
} lies_kind_t;
typedef struct lies {
    lies_kind_t kind;
    uint32_t source;
    const char *home;
    names_t by; /* in hash order; strings are the plan's */
} lies_t;

static names_t list_new(uint32_t n) { return (names_t){mem_alloc((n + 1) * sizeof(char *)), 0}; }

static lies_t anyhow(void) { return (lies_t){.kind = LIES_ANYHOW}; }

static lies_t lies_copy(const lies_t *from) {
    lies_t out = *from;
    out.by = list_new(from->by.n);
    for (uint32_t i = 0; i < from->by.n; i++)
        out.by.at[out.by.n++] = from->by.at[i];
    return out;
}

/* Partitions of several topics need not be counted alike, so their keys may lie apart. */
static lies_t source_lies(const plan_t *p, uint32_t source) {
    const source_spec_t *s = &p->sources[source];
    if (s->partitioned_by.n == 0 || s->topics.n != 1)
        return anyhow();
    return lies_copy(&(lies_t){LIES_BY_SOURCE, source, NULL, s->partitioned_by});
}

static int same_lies(const lies_t *a, const lies_t *b) {
    if (a->kind != b->kind || a->by.n != b->by.n || (a->kind == LIES_BY_SOURCE && a->source != b->source))
        return 0;
    if (a->kind == LIES_BY_HASH && a->by.n == 0 && strcmp(a->home, b->home) != 0)
        return 0;
    for (uint32_t i = 0; i < a->by.n; i++)
        if (strcmp(a->by.at[i], b->by.at[i]) != 0)
            return 0;
    return 1;
}

static void forget(lies_t *l) {
    mem_free(l->by.at);
    *l = anyhow();
}

/* How the rule's rows lie behind unnest: its inputs agree, or nothing is known. */
static lies_t input_lies(const plan_t *p, const rule_t *r, const lies_t *rules) {
    lies_t out = anyhow();
    for (uint32_t i = 0; i < r->n_from; i++) {
        lies_t one = r->from[i].is_rule ? lies_copy(&rules[r->from[i].index]) : source_lies(p, r->from[i].index);
        if (i == 0) {
            out = one;
            continue;
        }
        if (!same_lies(&out, &one))
            forget(&out);
        mem_free(one.by.at);
    }
    for (uint32_t u = 0; u < r->n_unnest; u++)
        if (out.kind != LIES_ANYHOW && names_index(&out.by, r->unnest[u].alias) >= 0)
            forget(&out); /* another value under that name */
    return out;
}

static const names_t *operator_keys(const rule_t *r) {
    static const names_t none;
    if (r->match)
        return &r->match->partition_by;
    if (r->process)
        return &r->process->by;
    return r->window.kind != WINDOW_NONE && r->window.kind != WINDOW_RECORD && r->top_n == 0 ? &r->group_by : &none;
}

/* The output column that is this input column unchanged, or NULL. */
static const char *passed_as(const rule_t *r, const char *column) {
    if (r->select_fn != FN_NONE)
        return NULL;
    if (r->n_select == 0)
        return column;
    for (uint32_t i = 0; i < r->n_select; i++)
        if (r->select[i].value.column && strcmp(r->select[i].value.column, column) == 0)
            return r->select[i].name;
    return NULL;
}

static int is_stateful(const rule_t *r) {
    return r->match || r->process || (r->window.kind != WINDOW_NONE && r->window.kind != WINDOW_RECORD);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The rule's keys, each once and sorted, so that the order in which they are written does not matter. A cooldown counts per
 * output key: only what is a part of that may tell rows apart. */
static names_t keys_of(const rule_t *r) {
    const names_t *keys = is_stateful(r) ? operator_keys(r) : &r->key;
    names_t out = list_new(keys->n);
    for (uint32_t i = 0; i < keys->n; i++) {
        char *column = keys->at[i];
        if (!is_stateful(r)) { /* key columns are named as they go out */
            char *in = NULL;
            for (uint32_t k = 0; k < r->n_select; k++)
                if (strcmp(r->select[k].name, column) == 0)
                    in = r->select[k].value.column;
            column = r->select_fn != FN_NONE ? NULL : r->n_select ? in : column;
        } else if (r->cooldown) {
            const char *passed = passed_as(r, column);
            if (!passed || r->key_kind != KEY_COLUMNS || names_index(&r->key, passed) < 0)
                column = NULL;
        }
        if (column && names_index(&out, column) < 0)
            out.at[out.n++] = column;
    }
    qsort(out.at, out.n, sizeof *out.at, by_text);
    return out;
}

static int together(const lies_t *in, const names_t *by, int by_record_key) {
    if (in->kind == LIES_ANYHOW || (by_record_key && in->by.n > 0))
        return 0;
    for (uint32_t i = 0; i < in->by.n; i++)
        if (names_index(by, in->by.at[i]) < 0)
            return 0;
    return 1;
}

/* ---- what rows bring ---- */

static void want(names_t *list, char *name) {
    if (name && names_index(list, name) < 0)
        list->at[list->n++] = name;
}

static int knows_columns(const rule_t *r) {
    for (uint32_t i = 0; i < r->n_aggs; i++)
        if (r->aggs[i].arg.fn != FN_NONE || (r->aggs[i].kind == AGG_FOLD && !r->aggs[i].fold_needs.at))
            return 0;
    return 1;
}

static names_t window_needs(const rule_t *r) {
    uint32_t n = r->group_by.n + r->n_aggs + 1;
    for (uint32_t i = 0; i < r->n_aggs; i++)
        n += r->aggs[i].fold_needs.n;
    names_t out = list_new(n);
    for (uint32_t i = 0; i < r->group_by.n; i++)
        want(&out, r->group_by.at[i]);
    for (uint32_t i = 0; i < r->n_aggs; i++) {
        want(&out, r->aggs[i].arg.column);
        for (uint32_t k = 0; k < r->aggs[i].fold_needs.n; k++)
            want(&out, r->aggs[i].fold_needs.at[k]);
    }
    return out;
}

static names_t copy_names(const names_t *from, const names_t *more) {
    names_t out = list_new(from->n + more->n);
    for (uint32_t i = 0; i < from->n; i++)
        want(&out, from->at[i]);
    for (uint32_t i = 0; i < more->n; i++)
        want(&out, more->at[i]);
    return out;
}

/* The rule's own list leaves out what unnest makes. */
static names_t all_needs(const rule_t *r, const names_t *by) {
    names_t out = list_new(r->needs.n + r->n_unnest + by->n);
    for (uint32_t i = 0; i < r->needs.n; i++)
        want(&out, r->needs.at[i]);
    for (uint32_t i = 0; i < r->n_unnest; i++)
        want(&out, r->unnest[i].alias);
    for (uint32_t i = 0; i < by->n; i++)
        want(&out, by->at[i]);
    return out;
}

/* A cooldown behind a list of plain columns; FN_NONE of them all. */
static int selects_columns(const rule_t *r) {
    for (uint32_t i = 0; i < r->n_select; i++)
        if (!r->select[i].value.column)
            return 0;
    return r->n_select > 0 && r->select_fn == FN_NONE;
}

static names_t select_needs(const rule_t *r, const names_t *by) {
    names_t out = list_new(r->n_select + by->n);
    for (uint32_t i = 0; i < r->n_select; i++)
        want(&out, r->select[i].value.column);
    for (uint32_t i = 0; i < by->n; i++)
        want(&out, by->at[i]);
    return out;
}

static names_t needs_of(const rule_t *r, const names_t *by) {
    static const names_t all;
    const names_t *operator_needs = r->match ? &r->match->needs : r->process ? &r->process->needs : NULL;
    if (r->late_to)
        return all;
    if (operator_needs)
        return operator_needs->at ? copy_names(operator_needs, by) : all;
    if (is_stateful(r) && knows_columns(r))
        return window_needs(r);
    if (!is_stateful(r))
        return selects_columns(r)                        ? select_needs(r, by)
               : r->needs_all || r->open || !r->n_select ? all
                                                         : all_needs(r, by);
    return r->needs_all ? all : all_needs(r, by);
}

static int adds_up(const rule_t *r) {
    int sliced = r->window.kind == WINDOW_TUMBLE || r->window.kind == WINDOW_HOP || r->window.kind == WINDOW_CUMULATE;
    if (!sliced || r->early || r->lateness > 0 || r->late_to || r->provenance)
        return 0;
    for (uint32_t i = 0; i < r->n_aggs; i++)
        switch (r->aggs[i].kind) {
        case AGG_FIRST:
        case AGG_LAST:
        case AGG_LISTAGG:
        case AGG_FOLD: return 0;
        default: break;
        }
    return 1;
}

/* ---- the rule's output ---- */

/* Which input columns its operator hands on unchanged. */
static int hands_on(const rule_t *r, const char *column) {
    if (r->process)
        return 0; /* it emits what it likes */
    if (r->window.kind != WINDOW_NONE)
        return names_index(&r->group_by, column) >= 0;
    if (!r->match)
        return 1;
    for (uint32_t i = 0; i < r->match->n_measures; i++)
        if (strcmp(r->match->measures[i].name, column) == 0)
            return 0;
    return r->match->rows != ROWS_ONE || names_index(&r->match->partition_by, column) >= 0;
}

static lies_t output_lies(const rule_t *r, const lies_t *in) {
    lies_t out = *in;
    out.by = list_new(in->by.n);
    for (uint32_t i = 0; i < in->by.n && out.kind != LIES_ANYHOW; i++) {
        const char *as = hands_on(r, in->by.at[i]) ? passed_as(r, in->by.at[i]) : NULL;
        if (as)
            out.by.at[out.by.n++] = (char *)(uintptr_t)as;
        else
            forget(&out);
    }
    return out;
}

static int is_read(const plan_t *p, uint32_t rule) {
    for (uint32_t i = rule + 1; i < p->n_rules; i++)
        for (uint32_t k = 0; k < p->rules[i].n_from; k++)
            if (p->rules[i].from[k].is_rule && p->rules[i].from[k].index == rule)
                return 1;
    return 0;
}

static void place_rule(const plan_t *p, uint32_t index, place_t *at, lies_t *lies) {
    const rule_t *r = &p->rules[index];
    place_t *place = &at[index];
    lies_t in = input_lies(p, r, lies);
    for (uint32_t i = 0; i < r->n_from; i++)
        if (r->from[i].is_rule && at[r->from[i].index].depth > place->depth)
            place->depth = at[r->from[i].index].depth;
    place->by_record_key = !is_stateful(r) && r->key_kind == KEY_RECORD;
    if (is_stateful(r) || r->cooldown)
        place->by = keys_of(r);
    if ((is_stateful(r) || r->cooldown) && !together(&in, &place->by, place->by_record_key)) {
        place->exchanged = 1;
        place->depth++;
        place->home = r->name;
        place->needs = needs_of(r, &place->by);
        place->with_key = !is_stateful(r) || r->match || r->process || r->late_to;
        place->dense = r->match && (is_read(p, index) || r->cooldown);
        place->combines = adds_up(r);
        mem_free(in.by.at);
        /* By the record's key is by nothing that a column shows. */
        in = place->by_record_key ? anyhow()
                                  : lies_copy(&(lies_t){.kind = LIES_BY_HASH, .home = r->name, .by = place->by});
    }
    lies[index] = output_lies(r, &in);
    mem_free(in.by.at);
}

void placement_make(const plan_t *plan, placement_t *out) {
    lies_t *lies = mem_zalloc((plan->n_rules + 1) * sizeof *lies);
    *out = (placement_t){mem_zalloc((plan->n_rules + 1) * sizeof *out->at), plan->n_rules};
    for (uint32_t i = 0; i < plan->n_rules; i++)
        place_rule(plan, i, out->at, lies);
    for (uint32_t i = 0; i < plan->n_rules; i++)
        mem_free(lies[i].by.at);
    mem_free(lies);
}

void placement_fini(placement_t *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        mem_free(p->at[i].by.at);
        mem_free(p->at[i].needs.at);
    }
    mem_free(p->at);
    *p = (placement_t){0};
}

int placement_same(const place_t *a, const place_t *b) {
    if (a->exchanged != b->exchanged)
        return 0;
    if (!a->exchanged)
        return 1;
    if (a->by.n != b->by.n || a->by_record_key != b->by_record_key || (a->by.n == 0 && strcmp(a->home, b->home) != 0))
        return 0;
    for (uint32_t i = 0; i < a->by.n; i++)
        if (strcmp(a->by.at[i], b->by.at[i]) != 0)
            return 0;
    return 1;
}
