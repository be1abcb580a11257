#include "reload.h"
#include "buf.h"
#include "mem.h"
#include <stdlib.h>

const char *verdict_name(verdict_kind_t kind) {
    static const char *const names[] = {"unchanged", "added", "removed", "kept", "handover", "rebuilt", "reset"};
    return names[kind];
}

static int names_equal(const names_t *a, const names_t *b) {
    if (a->n != b->n)
        return 0;
    for (uint32_t i = 0; i < a->n; i++)
        if (strcmp(a->at[i], b->at[i]) != 0)
            return 0;
    return 1;
}

static int text_equal(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static int window_equal(const window_spec_t *a, const window_spec_t *b) {
    return a->kind == b->kind && a->size == b->size && a->slide == b->slide && a->step == b->step && a->gap == b->gap &&
           a->offset == b->offset;
}

static int unnest_equal(const rule_t *a, const rule_t *b) {
    if (a->n_unnest != b->n_unnest)
        return 0;
    for (uint32_t i = 0; i < a->n_unnest; i++)
        if (!text_equal(a->unnest[i].text, b->unnest[i].text) || !text_equal(a->unnest[i].alias, b->unnest[i].alias))
            return 0;
    return 1;
}

static int order_equal(const match_spec_t *a, const match_spec_t *b) {
    if (a->n_order_by != b->n_order_by)
        return 0;
    for (uint32_t i = 0; i < a->n_order_by; i++)
        if (!text_equal(a->order_by[i].column, b->order_by[i].column) || a->order_by[i].desc != b->order_by[i].desc)
            return 0;
    return 1;
}

/* What a rule does with its rows decides what kind of state it has. */
typedef enum { OPERATOR_NONE, OPERATOR_WINDOW, OPERATOR_MATCH, OPERATOR_PROCESS } operator_t;
static const char *const operator_words[] = {"a filter", "a window", "a match", "a process"};

static operator_t operator_of(const rule_t *r) {
    return r->window.kind != WINDOW_NONE ? OPERATOR_WINDOW
           : r->match                    ? OPERATOR_MATCH
           : r->process                  ? OPERATOR_PROCESS
                                         : OPERATOR_NONE;
}

/* Reasons are a list of what changed. */
static void say(buf_t *b, const char *what) {
    if (b->len)
        buf_add_str(b, ", ");
    buf_add_str(b, what);
}
static void say_if(buf_t *b, int differs, const char *what) {
    if (differs)
        say(b, what);
}

typedef struct diff {
    const plan_t *old, *new;
    const verdicts_t *verdicts; /* of the rules before this one, by new index */
    const rule_t *a, *b;        /* the rule's old and new version */
    buf_t reason;
} diff_t;

static const verdict_t *upstream(const diff_t *d, uint32_t i) {
    const input_t *in = &d->b->from[i];
    return in->is_rule ? &d->verdicts->at[in->index] : NULL;
}

/* Rows of another origin: whatever is held means nothing to the new version. */
static int is_reset(diff_t *d) {
    const rule_t *a = d->a, *b = d->b;
    for (uint32_t i = 0; i < b->n_from; i++) {
        const verdict_t *up = upstream(d, i);
        if (up && up->kind == VERDICT_RESET) {
            buf_printf(&d->reason, "upstream `%s` was reset", up->rule);
            return 1;
        }
    }
    if (strcmp(a->input_hash, b->input_hash) != 0) {
        say(&d->reason, "its rows come from elsewhere: `from`, a source or its event time changed");
        return 1;
    }
    operator_t was = operator_of(a), is = operator_of(b);
    if (was != is) {
        buf_printf(&d->reason, "it was %s and is %s", operator_words[was], operator_words[is]);
        return 1;
    }
    if (is == OPERATOR_WINDOW && (a->window.kind == WINDOW_RECORD) != (b->window.kind == WINDOW_RECORD)) {
        say(&d->reason, "record() has no windows in time");
        return 1;
    }
    if (is == OPERATOR_MATCH) {
        say_if(&d->reason, !names_equal(&a->match->partition_by, &b->match->partition_by), "`partition_by` changed");
        say_if(&d->reason, !order_equal(a->match, b->match), "`order_by` changed");
    }
    if (is == OPERATOR_PROCESS) {
        say_if(&d->reason, !names_equal(&a->process->by, &b->process->by), "`by` changed");
        say_if(&d->reason, a->process->event_order != b->process->event_order, "`order` changed");
        say_if(&d->reason, !d->reason.len && strcmp(a->state_hash, b->state_hash) != 0 && unnest_equal(a, b),
               "another detector");
    }
    if (is == OPERATOR_MATCH || is == OPERATOR_PROCESS)
        say_if(&d->reason, !unnest_equal(a, b), "`unnest` changed");
    return d->reason.len > 0;
}

/* The same rows in other windows, under other keys, or summed up otherwise. */
static int is_handover(diff_t *d) {
    const rule_t *a = d->a, *b = d->b;
    /* The rows of one record come and go at once: nothing is ever open. */
    if (operator_of(b) != OPERATOR_WINDOW || b->window.kind == WINDOW_RECORD)
        return 0;
    say_if(&d->reason, !window_equal(&a->window, &b->window), "window");
    say_if(&d->reason, !names_equal(&a->group_by, &b->group_by), "keys");
    say_if(&d->reason, strcmp(a->aggregates_hash, b->aggregates_hash) != 0, "aggregates");
    say_if(&d->reason, !unnest_equal(a, b), "unnest");
    return d->reason.len > 0;
}

static int is_rebuilt(diff_t *d) {
    if (operator_of(d->b) != OPERATOR_MATCH || strcmp(d->a->pattern_hash, d->b->pattern_hash) == 0)
        return 0;
    const match_spec_t *a = d->a->match, *b = d->b->match;
    say_if(&d->reason, !text_equal(a->pattern, b->pattern), "pattern");
    say_if(&d->reason, a->skip != b->skip || !text_equal(a->skip_var, b->skip_var), "skip mode");
    say_if(&d->reason, a->within != b->within || a->emit_timeout != b->emit_timeout, "within");
    if (!d->reason.len)
        say(&d->reason, "conditions");
    return 1;
}

static void kept(diff_t *d) {
    const rule_t *a = d->a, *b = d->b;
    say_if(&d->reason, strcmp(a->where_hash, b->where_hash) != 0, "where");
    if (operator_of(b) == OPERATOR_WINDOW) {
        say_if(&d->reason, !names_equal(&a->group_by, &b->group_by), "keys");
        say_if(&d->reason, strcmp(a->aggregates_hash, b->aggregates_hash) != 0, "aggregates");
    }
    if (operator_of(b) != OPERATOR_MATCH && operator_of(b) != OPERATOR_PROCESS)
        say_if(&d->reason, !unnest_equal(a, b), "unnest");
    say_if(&d->reason, strcmp(a->code_hash, b->code_hash) != 0, "code");
    say_if(&d->reason, strcmp(a->output_hash, b->output_hash) != 0, "output");
    for (uint32_t i = 0; i < b->n_from; i++) {
        const verdict_t *up = upstream(d, i);
        if (up && up->kind != VERDICT_UNCHANGED)
            buf_printf(&d->reason, "%supstream `%s`", d->reason.len ? ", " : "", up->rule);
    }
}

/* Columns that a rule's rows take with them while they wait or are matched; NULL: it holds none. */
static const names_t *held(const rule_t *r) {
    return r->match ? &r->match->needs : r->process && r->process->event_order ? &r->process->needs : NULL;
}

/* Rows were packed with the columns that the old version read. Where the new one reads more, they would show nil. */
static int lets_go(diff_t *d) {
    const names_t *old = held(d->a), *new = held(d->b);
    if (!old || !new || !old->at)
        return 0;
    const char *lacks = new->at ? NULL : "columns";
    for (uint32_t i = 0; new->at &&i < new->n && !lacks; i++)
        if (names_index(old, new->at[i]) < 0)
            lacks = new->at[i];
    if (!lacks)
        return 0;
    buf_printf(&d->reason, "%sit begins with the rows from here on, as those held so far lack `%s`, which it reads now",
               d->reason.len ? "; " : "", lacks);
    return 1;
}

static verdict_kind_t judge(diff_t *d) {
    if (strcmp(d->a->version, d->b->version) == 0)
        return VERDICT_UNCHANGED;
    if (is_reset(d))
        return VERDICT_RESET;
    if (is_handover(d))
        return VERDICT_HANDOVER;
    if (is_rebuilt(d))
        return VERDICT_REBUILT;
    kept(d);
    return VERDICT_KEPT;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const verdict_t *)a)->rule, ((const verdict_t *)b)->rule);
}

void reload_diff(const plan_t *old, const plan_t *new, verdicts_t *out) {
    *out = (verdicts_t){mem_zalloc((old->n_rules + new->n_rules + 1) * sizeof *out->at), 0};
    for (uint32_t i = 0; i < new->n_rules; i++) {
        int at = plan_rule(old, new->rules[i].name);
        diff_t d = {.old = old, .new = new, .verdicts = out, .a = at < 0 ? NULL : &old->rules[at], .b = &new->rules[i]};
        verdict_kind_t kind = at < 0 ? VERDICT_ADDED : judge(&d);
        int go = (kind == VERDICT_KEPT || kind == VERDICT_REBUILT) && lets_go(&d);
        out->at[out->n++] = (verdict_t){
            kind, at, (int)i, go, mem_strdup(new->rules[i].name), d.reason.len ? buf_take(&d.reason) : mem_strdup("")};
        buf_fini(&d.reason);
    }
    uint32_t first_removed = out->n;
    for (uint32_t i = 0; i < old->n_rules; i++)
        if (plan_rule(new, old->rules[i].name) < 0)
            out->at[out->n++] =
                (verdict_t){VERDICT_REMOVED, (int)i, -1, 0, mem_strdup(old->rules[i].name), mem_strdup("")};
    qsort(out->at + first_removed, out->n - first_removed, sizeof *out->at, by_name);
}

void verdicts_fini(verdicts_t *v) {
    for (uint32_t i = 0; i < v->n; i++) {
        mem_free(v->at[i].rule);
        mem_free(v->at[i].reason);
    }
    mem_free(v->at);
    *v = (verdicts_t){0};
}
