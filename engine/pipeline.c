#include "pipeline.h"

#include "mem.h"

static names_t names_copy(const names_t *from, uint32_t more) {
    names_t out = {mem_alloc((from->n + more + 1) * sizeof(char *)), from->n};
    if (from->n)
        memcpy(out.at, from->at, from->n * sizeof *out.at);
    return out;
}

/* Rows of a match are their input rows with the measures beside them. */
static names_t match_extras(const names_t *in, const match_spec_t *match) {
    static char timed_out[] = "timed_out";
    names_t out = names_copy(in, match->n_measures + 1);
    for (uint32_t i = 0; i < match->n_measures; i++)
        if (names_index(&out, match->measures[i].name) < 0)
            out.at[out.n++] = match->measures[i].name;
    if (match->emit_timeout && names_index(&out, timed_out) < 0)
        out.at[out.n++] = timed_out;
    return out;
}

/* Of rows that go out whole: what stands beside their records. A process emits records of its own; a detector puts its
 * columns behind those of the row. */
static names_t whole_rows_extras(const pipeline_t *p, const rule_t *rule) {
    if (!rule->open || rule->select_fn != FN_NONE)
        return (names_t){0};
    if (rule->process)
        return rule->process->is_detect ? names_copy(&rule->columns, 0) : (names_t){0};
    if (rule->match)
        return match_extras(&p->in_extras, rule->match);
    return names_copy(&p->in_extras, 0);
}

void pipeline_init(pipeline_t *p, const rule_t *rule, store_t *store, names_t in_extras, reign_t reign) {
    *p = (pipeline_t){.rule = rule, .reign = reign};
    p->in_extras = names_copy(&in_extras, rule->n_unnest);
    for (uint32_t i = 0; i < rule->n_unnest; i++)
        p->in_extras.at[p->in_extras.n++] = rule->unnest[i].alias;
    p->extras = whole_rows_extras(p, rule);
    p->select = select_new(rule, &p->extras);
    if (rule->match)
        p->match = match_new(rule, store);
    else if (rule->process)
        p->process = process_new(rule, store);
    else if (rule->window.kind != WINDOW_NONE)
        p->group = group_new_from(rule, store, reign);
    if (rule->cooldown)
        p->cooldown = cooldown_new(rule, store);
    valve_init(&p->valve, rule->n_from);
}

void pipeline_fini(pipeline_t *p) {
    for (size_t i = 0; i < p->n_leaving; i++)
        leaving_fini(&p->leaving[i]);
    mem_free(p->leaving);
    select_free(p->select);
    group_free(p->group);
    match_free(p->match);
    process_free(p->process);
    cooldown_free(p->cooldown);
    exchange_free(p->exchange);
    valve_fini(&p->valve);
    mem_free(p->in_extras.at);
    mem_free(p->extras.at);
}

etime_t pipeline_last_end(const pipeline_t *p) {
    etime_t last = p->group ? group_last_end(p->group) : ETIME_MIN;
    for (size_t i = 0; i < p->n_leaving; i++)
        last = p->leaving[i].until > last ? p->leaving[i].until : last;
    return last;
}

void pipeline_move_leaving(pipeline_t *old, pipeline_t *p) {
    p->leaving = old->leaving;
    p->n_leaving = old->n_leaving;
    p->cap_leaving = old->cap_leaving;
    old->leaving = NULL;
    old->n_leaving = old->cap_leaving = 0;
}

static int is_taken(const pipeline_t *p, reign_t r) {
    if (reign_same(p->reign, r))
        return 1;
    for (size_t i = 0; i < p->n_leaving; i++)
        if (reign_same(p->leaving[i].reign, r))
            return 1;
    return 0;
}

reign_t pipeline_next_reign(const pipeline_t *p, etime_t begin) {
    reign_t r = {begin, 0};
    while (begin != ETIME_MIN && is_taken(p, r))
        r.number++;
    return r;
}

void pipeline_hand_over(pipeline_t *old, generation_t *g, pipeline_t *p) {
    pipeline_move_leaving(old, p);
    if (!old->group || p->reign.begin == ETIME_MIN) /* nothing is open anywhere: nothing leaves */
        return;
    mem_grow(&p->leaving, &p->cap_leaving, p->n_leaving + 1, sizeof *p->leaving);
    leaving_init(&p->leaving[p->n_leaving++], g, old->rule, old->group, old->select, old->reign, p->reign.begin);
    old->group = NULL;
    old->select = NULL;
}

void pipeline_add_leaving(pipeline_t *p, generation_t *g, const rule_t *rule, store_t *store, reign_t reign,
                          etime_t until) {
    static const names_t none;
    mem_grow(&p->leaving, &p->cap_leaving, p->n_leaving + 1, sizeof *p->leaving);
    leaving_init(&p->leaving[p->n_leaving++], g, rule, group_new_from(rule, store, reign), select_new(rule, &none),
                 reign, until);
}

/* Versions whose last window has closed, or whose code overran. Not at the end of the step in which that happened: its
 * output still borrows their names. */
static void let_go(pipeline_t *p, step_t *s, const stream_t *in) {
    size_t kept = 0;
    for (size_t i = 0; i < p->n_leaving; i++) {
        leaving_t *l = &p->leaving[i];
        if (!leaving_over(l, in->wm_before)) {
            p->leaving[kept++] = *l;
            continue;
        }
        if (l->dead)
            log_say(s->log, LOG_ERROR, "rules",
                    "the leaving version %s of rule \"%s\" overran its budget; its %zu open windows are dropped",
                    l->rule->version, l->rule->name, group_open_windows(l->group));
        leaving_drop_state(l, s->store);
        leaving_fini(l);
    }
    p->n_leaving = kept;
}

void pipeline_rebuild(pipeline_t *p) {
    for (size_t i = 0; i < p->n_leaving; i++)
        group_rebuild(p->leaving[i].group);
    if (p->group)
        group_rebuild(p->group);
    if (p->match)
        match_rebuild(p->match);
    if (p->process)
        process_rebuild(p->process);
    if (p->cooldown)
        cooldown_rebuild(p->cooldown);
}

static batch_t *unnest_all(const rule_t *rule, step_t *s, const batch_t *in, const unnested_t *fast) {
    if (fast)
        return unnest_decoded(s->arena, in, fast, rule->unnest[0].alias);
    batch_t *b = (batch_t *)in;
    for (uint32_t i = 0; i < rule->n_unnest; i++)
        b = unnest_rows(s->arena, b, &rule->unnest[i]);
    return b;
}

int pipeline_same_rows(const rule_t *a, const rule_t *b) {
    if (a->n_from != 1 || b->n_from != 1 || a->from->is_rule != b->from->is_rule || a->from->index != b->from->index ||
        a->n_unnest != b->n_unnest || (a->where == FN_NONE) != (b->where == FN_NONE) ||
        memcmp(a->where_hash, b->where_hash, sizeof a->where_hash) != 0)
        return 0;
    for (uint32_t i = 0; i < a->n_unnest; i++)
        if (strcmp(a->unnest[i].text, b->unnest[i].text) != 0 || strcmp(a->unnest[i].alias, b->unnest[i].alias) != 0)
            return 0;
    return 1;
}

int pipeline_begins_alike(const rule_t *a, const rule_t *b) {
    return (a->n_unnest > 0 || a->where != FN_NONE) && pipeline_same_rows(a, b);
}

/* Where it overruns, rows of earlier ticks are asked again: a condition has no memory. */
static void make_prefix(const rule_t *rule, step_t *s, prefix_t *x) {
    x->step = s->number;
    if (rule->where == FN_NONE)
        return;
    uint8_t *pass = arena_array(s->arena, uint8_t, x->unnested->n + 1);
    eval_errors_t errors = {0};
    while (x->unnested->n > 0 && script_where(s->script, rule->where, x->unnested, pass, &errors)) {
        step_overrun(s, batch_origin(x->unnested, script_overrun_row(s->script))->tick);
        x->unnested = x->kept = batch_first(s->arena, x->unnested, step_rows_before_stop(s, x->unnested));
        errors = (eval_errors_t){0};
    }
    if (x->unnested->n == 0)
        return;
    step_errors(s, rule, rule->where, x->unnested, &errors);
    x->kept = batch_filter(s->arena, x->unnested, pass);
    x->step = errors.count || s->cut ? 0 : s->number; /* errors are each rule's own to count and to tell */
}

static void take_prefix(pipeline_t *p, step_t *s, const stream_t *in, const unnested_t *fast, batch_t **kept) {
    prefix_t *x = p->twin ? &p->twin->prefix : &p->prefix;
    if (x->step != s->number || x->in != in->batch || x->fast != fast) {
        batch_t *rows = unnest_all(p->rule, s, in->batch, fast);
        *x = (prefix_t){in->batch, fast, rows, rows, 0};
        make_prefix(p->rule, s, x);
    }
    p->stats.rows_in += x->unnested->n;
    *kept = x->kept;
}

/* What came of ticks before the stop. */
static void cut_result(step_t *s, result_t *r) {
    uint32_t n = step_rows_before_stop(s, r->batch);
    if (n < r->batch->n)
        r->batch = batch_first(s->arena, r->batch, n);
}

static void operate(pipeline_t *p, step_t *s, const stream_t *in, result_t *out) {
    if (p->group)
        group_run(p->group, s, in, out);
    else if (p->match)
        match_run(p->match, s, in, out);
    else if (p->process)
        process_run(p->process, s, in, out);
    else
        *out = (result_t){.batch = in->batch};
    cut_result(s, out);
}

static void select_rows(pipeline_t *p, step_t *s, result_t *in, result_t *out) {
    while (select_run(p->select, s, in, out))
        cut_result(s, in);
}

/* Windows that began before the rows that were read. */
static void drop_cut_windows(step_t *s, result_t *r) {
    int start = batch_column(r->batch, "window_start");
    if (s->since == ETIME_MIN || start < 0)
        return;
    uint32_t *keep = arena_array(s->arena, uint32_t, r->batch->n + 1), n = 0;
    for (uint32_t i = 0; i < r->batch->n; i++)
        if (batch_cell(r->batch, (uint32_t)start, i)->u.i >= s->since) {
            if (r->kind)
                r->kind[n] = r->kind[i];
            keep[n++] = i;
        }
    if (n < r->batch->n)
        r->batch = batch_select(s->arena, r->batch, keep, n);
}

/* Readers see new rows only. */
static batch_t *new_rows(step_t *s, const result_t *r) {
    if (!r->kind)
        return r->batch;
    uint8_t *pass = arena_array(s->arena, uint8_t, r->batch->n ? r->batch->n : 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->batch->n; i++)
        kept += pass[i] = r->kind[i] == ROW_NEW;
    return kept == r->batch->n ? r->batch : batch_filter(s->arena, r->batch, pass);
}

/* Rows of the versions that leave stand beside those of the one that stays, in tick order. */
static void join_leaving(pipeline_t *p, step_t *s, const result_t *left, size_t n) {
    const batch_t **all = arena_array(s->arena, const batch_t *, n + 1);
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (left[i].batch && left[i].batch->n)
            all[count++] = new_rows(s, &left[i]);
    if (count == 0)
        return;
    all[count++] = p->out.batch;
    p->out.batch = merge_rows(s, all, count, p->rule->name);
}

static void count_rows(rule_stats_t *st, const result_t *r) {
    for (uint32_t i = 0; r->kind && i < r->batch->n; i++) {
        st->updates += r->kind[i] == ROW_UPDATE;
        st->tombstones += r->kind[i] == ROW_TOMBSTONE;
        st->emitted += r->kind[i] != ROW_TOMBSTONE;
    }
    if (!r->kind)
        st->emitted += r->batch->n;
}

/* What readers will have been told after this step. */
static void keep_watermark(pipeline_t *p, const stream_t *in) {
    const mark_t *last = in->n_marks ? &in->marks[in->n_marks - 1] : NULL;
    p->wm = last ? last->wm : in->wm_before;
    p->idle = last ? (int)last->idle : p->idle;
}

/* Late rows are told while an operator runs: those of the ticks that were given up are taken back. */
static void cut_late(const step_t *s, outbox_t *o, size_t from) {
    size_t kept = from;
    for (size_t i = from; i < o->n; i++)
        if (o->at[i].kind != OUT_LATE || o->at[i].tick < s->stop)
            o->at[kept++] = o->at[i];
    o->n = kept;
}

static void keep_stop(pipeline_t *p, step_t *s, const stream_t *in, outbox_t *o, size_t first_out) {
    p->cut = s->cut;
    p->stop = s->stop;
    if (!s->cut)
        return;
    p->stats.skipped += in->batch->n - step_rows_before_stop(s, in->batch);
    cut_late(s, o, first_out);
}

/* Rows leave for the task that has their key, and those come of which this one has it. Watermarks go on also behind a
 * stop. */
static void cross(pipeline_t *p, step_t *s, const batch_t *rows, stream_t *stream) {
    uint32_t n;
    stream->batch = (batch_t *)(uintptr_t)rows;
    exchange_pass(p->exchange, s, stream, p->n_leaving > 0);
    const group_partial_t *partials = exchange_partials(p->exchange, &n);
    if (p->group)
        group_take(p->group, partials, n);
}

/* From the operator on: `in` and what the rule still sees of it. */
static void run_downstream(pipeline_t *p, step_t *s, const stream_t *in, stream_t rows, outbox_t *o) {
    const rule_t *rule = p->rule;
    if (p->n_leaving)
        let_go(p, s, in);
    keep_watermark(p, in);
    result_t result, selected, *left = arena_array(s->arena, result_t, p->n_leaving + 1);
    for (size_t i = 0; i < p->n_leaving; i++) {
        leaving_run(&p->leaving[i], s, &rows, o, &left[i]);
        if (left[i].batch)
            count_rows(&p->stats, &left[i]);
    }
    operate(p, s, &rows, &result);
    if (p->group)
        drop_cut_windows(s, &result);
    profile_lap(s->profile, PROFILE_OPERATOR, rule->name);
    select_rows(p, s, &result, &selected);
    if (p->cooldown)
        cooldown_run(p->cooldown, s, in, &selected);
    count_rows(&p->stats, &selected);
    if (rule->to && rule->mode == MODE_ACTIVE)
        select_write(p->select, s, &selected, o);
    p->out = *in;
    p->out.batch = new_rows(s, &selected);
    if (p->n_leaving)
        join_leaving(p, s, left, p->n_leaving);
}

int pipeline_run(pipeline_t *p, step_t *s, const stream_t *in, const unnested_t *fast, outbox_t *o) {
    size_t first_out = o->n;
    s->stats = &p->stats;
    s->rule_index = p->rule->index;
    s->cut = p->cut;
    s->stop = p->stop;
    s->overrun[0] = 0;
    stream_t all = *in, rows = *in;
    step_cut(s, &rows);
    take_prefix(p, s, &rows, fast, &rows.batch);
    step_cut(s, &rows);
    profile_lap(s->profile, PROFILE_WHERE, p->rule->name);
    if (p->exchange) {
        cross(p, s, rows.batch, &all);
        rows = all;
        step_cut(s, &rows);
    }
    run_downstream(p, s, &all, rows, o);
    keep_stop(p, s, &all, o, first_out);
    profile_lap(s->profile, PROFILE_SELECT, p->rule->name);
    return s->overrun[0] ? ERR_RUNAWAY : 0;
}

void pipeline_skip(pipeline_t *p, step_t *s, const stream_t *in) {
    stream_t all = *in;
    p->cut = 1;
    p->stop = 0;
    p->stats.skipped += in->batch->n;
    if (p->exchange) { /* the watermark goes on, also at the other tasks */
        all.batch = batch_select(s->arena, in->batch, NULL, 0);
        exchange_pass(p->exchange, s, &all, 1);
        p->stats.skipped += all.batch->n;
    }
    keep_watermark(p, &all);
    p->out = all;
    p->out.batch = batch_select(s->arena, all.batch, NULL, 0);
}
