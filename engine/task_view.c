#include "task_view.h"

#include "task_parts.h"

/* What the rule's own operator has been told: of all tasks, or the least of its inputs. */
static void view_watermark(const task_t *t, const rule_t *rule, rule_view_t *out) {
    exchange_t *x = t->pipelines[rule->index].exchange;
    if (x) {
        out->watermark = exchange_valve(x)->now;
        out->idle = exchange_valve(x)->idle;
        return;
    }
    out->watermark = ETIME_MAX;
    out->idle = 1;
    for (uint32_t i = 0; i < rule->n_from; i++) {
        int idle;
        etime_t wm = task_input_watermark(t, rule->from[i], &idle);
        if (wm < out->watermark)
            out->watermark = wm;
        out->idle &= idle;
    }
}

/* A window ends behind its last millisecond: it fires at end - 1. */
static void view_window(const group_t *g, rule_view_t *out) {
    etime_t end = group_next_end(g);
    out->open_windows += group_open_windows(g);
    if (end == ETIME_MAX || end - 1 >= out->next)
        return;
    out->next_end = end;
    out->next = end - 1;
}

static void view_operator(const pipeline_t *p, rule_view_t *out) {
    out->operator_name = p->group ? "group" : p->match ? "match" : p->process ? "process" : "rows";
    if (p->group)
        view_window(p->group, out);
    for (size_t i = 0; i < p->n_leaving; i++)
        view_window(p->leaving[i].group, out);
    out->leaving = p->n_leaving;
    if (p->match) {
        match_view_t view;
        match_look(p->match, &view);
        out->keys = view.partitions;
        out->waiting = view.waiting;
        out->kept = view.kept;
        out->next = view.next;
    }
    if (p->process) {
        out->keys = process_keys(p->process);
        out->waiting = process_waiting(p->process);
        out->next = process_next(p->process);
    }
}

/* The spaces of a rule are named after it. */
static void view_state(const task_t *t, const char *rule, rule_view_t *out) {
    size_t len = strlen(rule);
    for (space_t *sp = store_next_space(t->store, NULL); sp; sp = store_next_space(t->store, sp)) {
        const char *name = space_name(sp);
        if (strncmp(name, rule, len) != 0 || name[len] != '/')
            continue;
        out->state_bytes += space_bytes(sp);
        out->state_entries += space_count(sp);
    }
}

void task_view_rule(const task_t *t, uint32_t rule, rule_view_t *out) {
    const pipeline_t *p = &t->pipelines[rule];
    *out = (rule_view_t){.verdict = t->verdicts[rule], .next = ETIME_MAX, .next_end = ETIME_MAX};
    out->crosses = p->exchange != NULL;
    view_watermark(t, p->rule, out);
    view_operator(p, out);
    view_state(t, p->rule->name, out);
}

uint64_t task_view_script_bytes(const task_t *t) { return script_memory(t->generation->script); }
uint64_t task_view_state_bytes(const task_t *t) { return store_bytes(t->store); }
uint64_t task_view_state_entries(const task_t *t) { return store_count(t->store); }

const exchange_stats_t *task_view_exchange(const task_t *t, uint32_t rule) {
    return t->pipelines[rule].exchange ? exchange_stats(t->pipelines[rule].exchange) : NULL;
}

const valve_t *task_view_everywhere(const task_t *t, uint32_t source) {
    return t->dispatch ? &t->sources[source].everywhere : NULL;
}

const dispatch_stats_t *task_view_dispatch(const task_t *t) { return t->dispatch ? dispatch_stats(t->dispatch) : NULL; }
