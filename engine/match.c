#include "match.h"
#include "match_output.h"
#include "match_part.h"
#include "mem.h"
#include "reorder.h"
#include "script_watchdog.h"
#include <stdio.h>
#include <stdlib.h>

typedef enum { STAGE_ROWS, STAGE_DUE, STAGE_ALL } stage_t;

struct match {
    const rule_t *rule;
    const match_spec_t *spec;
    pattern_t *pattern;
    matcher_plan_t *plan;
    match_parts_t *parts;
    reorder_t *reorder;
    match_output_t *output;
    fn_t *define; /* per variable; FN_NONE: every row */
    const char **names;
    const char **subset_names;
    int32_t *subset_sizes, *subset_members;
    fn_t own; /* some function of the rule: the driver is made once for it */
    match_turn_t turn;
    char raised[400]; /* what the question raised; empty: nothing */
    buf_t text;       /* scratch */

    step_t *step; /* this step */
    stream_t rows;
    uint32_t row, mark; /* next of rows; next watermark */
    stage_t stage;
    size_t nth;
    etime_t watermark, watermark_before;
    match_part_t *part; /* whose matcher is running */

    int measuring; /* an event of it is being made into rows */
    uint32_t n_rows, at_row, at_measure;
    uint32_t *out_rows; /* numbers in the match of the rows that are written */
    size_t cap_rows;
    cell_t *values; /* n_rows times n_measures */
};

/* ---- making ---- */

static int in_subset(const match_spec_t *spec, const char *subset, const char *var) {
    for (uint32_t i = 0; i < spec->n_subset; i++)
        if (strcmp(spec->subset[i].name, subset) == 0)
            return names_index(&spec->subset[i].vars, var) >= 0;
    return 0;
}

static void make_plan(match_t *x, uint8_t *defined, uint8_t *skip_vars) {
    const match_spec_t *spec = x->spec;
    error_t e = {0};
    program_t *program;
    if (pattern_parse(&x->pattern, spec->pattern, NULL, &e) || program_compile(&program, x->pattern, NULL, &e))
        abort(); /* loading refuses such a pattern */
    uint32_t n = pattern_variables(x->pattern);
    x->names = mem_alloc((n + 1) * sizeof *x->names);
    x->define = mem_alloc((n + 1) * sizeof *x->define);
    for (uint32_t i = 0; i < n; i++) {
        x->names[i] = pattern_variable(x->pattern, i);
        x->define[i] = FN_NONE;
        for (uint32_t k = 0; k < spec->n_define; k++)
            if (strcmp(spec->define[k].name, x->names[i]) == 0)
                x->define[i] = spec->define[k].fn;
        defined[i] = x->define[i] != FN_NONE;
        skip_vars[i] = spec->skip_var &&
                       (strcmp(spec->skip_var, x->names[i]) == 0 || in_subset(spec, spec->skip_var, x->names[i]));
    }
    matcher_options_t o = {.within = spec->within,
                           .skip = spec->skip,
                           .skip_vars = skip_vars,
                           .defined = defined,
                           .emit_timeout = spec->emit_timeout,
                           .lookback = (uint64_t)spec->lookback,
                           .max_rows = (uint32_t)spec->max_rows,
                           .max_steps = (uint64_t)spec->max_steps,
                           .report_unmatched = spec->rows == ROWS_ALL_WITH_UNMATCHED};
    x->plan = matcher_plan_new(program, &o);
}

static void make_subsets(match_t *x) {
    const match_spec_t *spec = x->spec;
    uint32_t members = 0, at = 0;
    for (uint32_t i = 0; i < spec->n_subset; i++)
        members += spec->subset[i].vars.n;
    x->subset_names = mem_alloc((spec->n_subset + 1) * sizeof *x->subset_names);
    x->subset_sizes = mem_alloc((spec->n_subset + 1) * sizeof *x->subset_sizes);
    x->subset_members = mem_alloc((members + 1) * sizeof *x->subset_members);
    for (uint32_t i = 0; i < spec->n_subset; i++) {
        x->subset_names[i] = spec->subset[i].name;
        x->subset_sizes[i] = (int32_t)spec->subset[i].vars.n;
        for (uint32_t k = 0; k < spec->subset[i].vars.n; k++)
            x->subset_members[at++] = pattern_find(x->pattern, spec->subset[i].vars.at[k]);
    }
}

match_t *match_new(const rule_t *rule, store_t *store) {
    match_t *x = mem_zalloc(sizeof *x);
    uint8_t *flags = mem_zalloc(2 * PATTERN_MAX_VARIABLES);
    x->rule = rule;
    x->spec = rule->match;
    make_plan(x, flags, flags + PATTERN_MAX_VARIABLES);
    mem_free(flags);
    make_subsets(x);
    char *name = mem_printf("%s/%s/match-order", rule->name, rule->state_hash);
    x->reorder = reorder_new(store_space(store, name), x->spec->order_by, x->spec->n_order_by, &x->spec->needs);
    mem_free(name);
    x->parts = match_parts_new(rule, store, x->plan);
    x->output = match_output_new();
    x->own = x->spec->n_define ? x->spec->define[0].fn : x->spec->n_measures ? x->spec->measures[0].fn : FN_NONE;
    x->turn = (match_turn_t){.match = x,
                             .names = x->names,
                             .n_names = (int32_t)pattern_variables(x->pattern),
                             .subset_names = x->subset_names,
                             .subset_sizes = x->subset_sizes,
                             .subset_members = x->subset_members,
                             .n_subsets = (int32_t)x->spec->n_subset,
                             .lookback = x->spec->lookback > INT32_MAX ? INT32_MAX : (int32_t)x->spec->lookback};
    return x;
}

void match_free(match_t *x) {
    if (!x)
        return;
    match_output_free(x->output);
    match_parts_free(x->parts);
    reorder_free(x->reorder);
    matcher_plan_free(x->plan);
    pattern_free(x->pattern);
    mem_free(x->names);
    mem_free(x->define);
    mem_free(x->subset_names);
    mem_free(x->subset_sizes);
    mem_free(x->subset_members);
    mem_free(x->out_rows);
    buf_fini(&x->text);
    mem_free(x);
}

void match_rebuild(match_t *x) {
    x->part = NULL;
    match_parts_rebuild(x->parts);
    reorder_rebuild(x->reorder);
}

/* ---- questions ---- */

static int32_t number_of(const match_t *x, uint64_t seq) { return (int32_t)(int64_t)(seq - x->part->window.first); }

static void ask(match_t *x, int what, fn_t fn, uint64_t start, const uint16_t *labels, uint32_t n, uint32_t n_final) {
    match_turn_t *t = &x->turn;
    uint64_t low = start > (uint64_t)t->lookback ? start - (uint64_t)t->lookback : 0;
    if (low < x->part->window.first)
        low = x->part->window.first;
    if (t->rows != &x->part->window.batch || !x->spec->needs.at)
        t->layout = -1;
    t->rows = &x->part->window.batch;
    t->labels = labels;
    t->what = what;
    t->fn = fn;
    t->start = number_of(x, start);
    t->low = number_of(x, low);
    t->end_ = (int32_t)t->rows->n;
    t->n = (int32_t)n;
    t->n_final = (int32_t)n_final;
    t->current = n ? t->start + t->n - 1 : -1;
    t->finished = x->stage == STAGE_ALL;
    t->holds = t->more = t->looked = 0;
    x->raised[0] = 0;
    ++*t->at;
}

static void ask_condition(match_t *x) {
    const matcher_view_t *v = matcher_view(x->part->matcher);
    x->turn.number = (double)v->number;
    ask(x, MATCH_CONDITION, x->define[v->var], v->start, v->labels, v->n, v->n);
}

static void ask_measure(match_t *x) {
    const matcher_event_t *e = matcher_event(x->part->matcher);
    uint32_t n = e->n ? x->out_rows[x->at_row] + 1 : 0;
    x->turn.number = (double)e->number;
    x->turn.out = &x->values[x->at_row * x->spec->n_measures + x->at_measure];
    ask(x, MATCH_MEASURE, x->spec->measures[x->at_measure].fn, e->start, e->labels, n, e->n);
}

static void count_raised(match_t *x) {
    if (!x->raised[0])
        return;
    eval_errors_t errors = {.count = 1};
    errors.first_row = (uint32_t)(x->turn.current >= 0 ? x->turn.current : x->turn.start);
    snprintf(errors.first, sizeof errors.first, "%s", x->raised);
    step_errors(x->step, x->rule, x->turn.fn, x->turn.rows, &errors);
}

/* The partition is left until its next row; the event, if there is one, will be found again. */
static void leave_part(match_t *x) {
    match_part_rest(x->parts, x->part);
    x->part = NULL;
    x->measuring = 0;
}

static void take_answer(match_t *x) {
    match_turn_t *t = &x->turn;
    int what = t->what, more = t->more && !t->finished;
    t->what = MATCH_DONE;
    if (!more)
        count_raised(x);
    if (what == MATCH_CONDITION) {
        matcher_answer_t answer = more ? MATCHER_MORE : t->holds && !x->raised[0] ? MATCHER_HOLDS : MATCHER_FAILS;
        matcher_answer(x->part->matcher, answer, (unsigned)t->looked);
    } else if (more) {
        leave_part(x);
    } else if (what == MATCH_MEASURE) {
        if (x->raised[0])
            *t->out = cell_null();
        x->at_measure++;
    }
}

void match_text(match_turn_t *t, const char *column, size_t len, int32_t row, slice_t *out) {
    match_t *x = t->match;
    script_host_begin();
    cell_t c = batch_lookup(t->rows, column, len, (uint32_t)row);
    buf_clear(&x->text);
    if (c.kind == CELL_NULL)
        *out = (slice_t){0};
    else if (cell_is_string(&c))
        *out = cell_text(&c, &x->text);
    else {
        cell_write(&x->text, &c, x->rule->time_format);
        *out = (slice_t){buf_cstr(&x->text), x->text.len};
    }
    script_host_end();
}

/* ---- events ---- */

static void report_event(match_t *x, const matcher_event_t *e) {
    switch (e->kind) {
    case MATCHER_SKIP_MISSING:
        step_fault(x->step, x->rule, "after_match: no row of the match is mapped to %s; the match gives no row",
                   x->spec->skip_var);
        break;
    case MATCHER_SKIP_FIRST:
        step_fault(x->step, x->rule,
                   "after_match: skipping to %s would begin at the first row of the match again; the match "
                   "gives no row",
                   x->spec->skip_var);
        break;
    case MATCHER_TOO_MANY_STEPS:
        step_limit(x->step, x->rule,
                   "a match attempt was given up after %lld steps of backtracking (max_steps) over %u rows: conditions "
                   "that look at earlier labels leave too many ways to label them",
                   (long long)(x->spec->max_steps ? x->spec->max_steps : MATCHER_MAX_STEPS), e->n);
        break;
    case MATCHER_TOO_MANY_ROWS:
        step_limit(x->step, x->rule, "a match attempt was given up after %u rows (max_rows); `within` bounds attempts",
                   e->n);
        break;
    case MATCHER_MATCH:
    case MATCHER_EMPTY:
    case MATCHER_TIMED_OUT:
    case MATCHER_UNMATCHED: break;
    }
}

/* Which rows of the match are written. */
static void choose_rows(match_t *x, const matcher_event_t *e) {
    int shows = e->kind == MATCHER_MATCH || e->kind == MATCHER_TIMED_OUT || e->kind == MATCHER_UNMATCHED ||
                (e->kind == MATCHER_EMPTY && x->spec->rows != ROWS_ALL_OMIT_EMPTY);
    x->n_rows = 0;
    mem_grow(&x->out_rows, &x->cap_rows, (size_t)e->n + 1, sizeof *x->out_rows);
    if (!shows)
        return;
    if (e->n == 0) {
        x->out_rows[x->n_rows++] = 0;
    } else if (x->spec->rows == ROWS_ONE) {
        x->out_rows[x->n_rows++] = e->n - 1;
    } else {
        for (uint32_t i = 0; i < e->n; i++)
            if (!(e->labels[i] & MATCHER_EXCLUDED))
                x->out_rows[x->n_rows++] = i;
    }
}

static void event_begin(match_t *x) {
    const matcher_event_t *e = matcher_event(x->part->matcher);
    report_event(x, e);
    choose_rows(x, e);
    size_t n = (size_t)x->n_rows * x->spec->n_measures;
    x->values = arena_array(x->step->arena, cell_t, n);
    memset(x->values, 0, n * sizeof *x->values);
    x->at_row = e->kind == MATCHER_UNMATCHED ? x->n_rows : 0; /* its measures are null */
    x->at_measure = 0;
    x->measuring = 1;
}

/* 1: there is a measure to be asked. */
static int next_measure(match_t *x) {
    if (x->at_measure == x->spec->n_measures) {
        x->at_measure = 0;
        x->at_row++;
    }
    return x->spec->n_measures > 0 && x->at_row < x->n_rows;
}

/* Readers of the match must not find it late: for them it happens no earlier than the watermark that let it go. */
static etime_t time_for_readers(const match_t *x, etime_t stamp) {
    etime_t least = x->watermark;
    if (least == ETIME_MAX)
        least =
            x->watermark_before >= ETIME_MAX - 1 || x->watermark_before == ETIME_MIN ? stamp : x->watermark_before + 1;
    return stamp > least ? stamp : least;
}

static void explain_row(match_t *x, uint32_t row, int column) {
    const batch_t *b = &x->part->window.batch;
    const cell_t *c = column >= 0 ? batch_cell(b, (uint32_t)column, row) : NULL;
    buf_t *text = &x->text;
    if (c && c->kind == CELL_JSON && c->len > 2) {
        if (text->len > 1)
            buf_add_char(text, ',');
        buf_add(text, c->raw + 1, c->len - 2);
        return;
    }
    const origin_t *o = batch_origin(b, row);
    if (o->topic == TOPIC_NONE)
        return;
    cell_t topic = cell_str(x->step->topics[o->topic], strlen(x->step->topics[o->topic]));
    if (text->len > 1)
        buf_add_char(text, ',');
    buf_add_char(text, '[');
    cell_write(text, &topic, TIME_ISO8601);
    buf_printf(text, ",%d,%lld]", o->partition, (long long)o->offset);
}

static void explain_match(match_t *x, uint32_t first, uint32_t n) {
    int column = batch_column(&x->part->window.batch, EXPLAIN_COLUMN);
    buf_clear(&x->text);
    buf_add_char(&x->text, '[');
    for (uint32_t i = 0; i < n; i++)
        explain_row(x, first + i, column);
    buf_add_char(&x->text, ']');
    cell_t c = {.kind = CELL_JSON, .len = (uint32_t)x->text.len, .raw = x->text.s};
    match_output_set(x->output, EXPLAIN_COLUMN, &c);
}

static void write_partition_columns(match_t *x, uint32_t row) {
    const names_t *by = &x->spec->partition_by;
    for (uint32_t i = 0; i < by->n; i++) {
        cell_t c = batch_lookup(&x->part->window.batch, by->at[i], strlen(by->at[i]), row);
        match_output_set(x->output, by->at[i], &c);
    }
}

static void write_row(match_t *x, const matcher_event_t *e, uint32_t i) {
    const batch_t *b = &x->part->window.batch;
    uint32_t first = (uint32_t)number_of(x, e->start), row = first + x->out_rows[i];
    const origin_t *o = batch_origin(b, row);
    uint32_t tick = x->rows.marks[x->mark].tick;
    match_output_row(x->output, o, b->sub[row], o->time, time_for_readers(x, o->time), tick);
    if (x->spec->rows != ROWS_ONE) {
        match_output_pass(x->output, b, row);
    } else {
        write_partition_columns(x, row);
        if (x->rule->provenance)
            explain_match(x, first, e->n ? e->n : 1);
    }
    for (uint32_t k = 0; k < x->spec->n_measures; k++)
        match_output_set(x->output, x->spec->measures[k].name, &x->values[i * x->spec->n_measures + k]);
    if (x->spec->emit_timeout) {
        cell_t timed_out = cell_bool(e->kind == MATCHER_TIMED_OUT);
        match_output_set(x->output, "timed_out", &timed_out);
    }
}

static void event_end(match_t *x) {
    const matcher_event_t *e = matcher_event(x->part->matcher);
    for (uint32_t i = 0; i < x->n_rows; i++)
        write_row(x, e, i);
    matcher_accept(x->part->matcher);
    x->measuring = 0;
}

/* ---- turns ---- */

/* From `mark` on, the first watermark that rows stand before or that an attempt ends at: nothing happens before it. */
static void find_mark(match_t *x, uint32_t mark) {
    const stream_t *in = &x->rows;
    uint32_t tick = x->row < in->batch->n ? stream_tick(in, x->row) : UINT32_MAX;
    etime_t due = match_parts_next(x->parts);
    while (mark < in->n_marks && in->marks[mark].tick < tick && in->marks[mark].wm < due)
        mark++;
    x->mark = mark;
    x->stage = STAGE_ROWS;
    x->watermark_before = mark ? in->marks[mark - 1].wm : in->wm_before;
    x->watermark = mark < in->n_marks ? in->marks[mark].wm : x->watermark_before;
}

/* Rows up to the next watermark, then the attempts that it ends, or at the end of input all partitions. 0: all done. */
static int next_part(match_t *x) {
    const batch_t *b = x->rows.batch;
    while (x->mark < x->rows.n_marks) {
        switch (x->stage) {
        case STAGE_ROWS:
            if (x->row < b->n && stream_tick(&x->rows, x->row) <= x->rows.marks[x->mark].tick) {
                uint32_t row = x->row++;
                x->part = match_part_of(x->parts, x->step, b, row);
                if (x->part && match_part_feed(x->parts, x->step, x->part, b, row))
                    return 1;
                x->part = NULL;
                break;
            }
            x->stage = x->watermark == ETIME_MAX ? STAGE_ALL : STAGE_DUE;
            x->nth = 0;
            break;
        case STAGE_DUE:
            if ((x->part = match_part_due(x->parts, x->step, x->watermark))) {
                matcher_advance(x->part->matcher, x->watermark);
                return 1;
            }
            find_mark(x, x->mark + 1);
            break;
        case STAGE_ALL:
            if ((x->part = match_part_nth(x->parts, x->step, x->nth++))) {
                matcher_finish(x->part->matcher);
                return 1;
            }
            find_mark(x, x->mark + 1);
            break;
        }
    }
    return 0;
}

/* Counting up tells the watchdog that the time from here on is not the question's before. */
static int go_on(match_t *x) {
    for (;;) {
        ++*x->turn.at;
        if (!x->part) {
            if (!next_part(x))
                return MATCH_DONE;
        } else if (x->measuring) {
            if (next_measure(x)) {
                ask_measure(x);
                return MATCH_MEASURE;
            }
            event_end(x);
        } else {
            switch (matcher_run(x->part->matcher)) {
            case MATCHER_ASK: ask_condition(x); return MATCH_CONDITION;
            case MATCHER_EVENT: event_begin(x); break;
            case MATCHER_IDLE: leave_part(x); break;
            }
        }
    }
}

int match_turn(match_turn_t *t) {
    script_host_begin();
    if (t->what != MATCH_DONE)
        take_answer(t->match);
    int what = go_on(t->match);
    script_host_end();
    return what;
}

static void step_begin(match_t *x, step_t *s, const stream_t *in) {
    x->step = s;
    reorder_run(x->reorder, s, x->rule, in, &x->rows);
    match_output_begin(x->output, s->arena);
    x->row = 0;
    find_mark(x, 0);
    x->part = NULL;
    x->measuring = 0;
    x->turn.what = MATCH_DONE;
    x->turn.arena = s->arena;
    x->turn.rows = NULL;
    x->turn.at = watchdog_progress();
}

int match_run(match_t *x, step_t *s, const stream_t *in, result_t *out) {
    step_begin(x, s, in);
    int what = match_turn(&x->turn);
    int entry = what == MATCH_DONE ? 0 : script_entry(s->script, "match.run");
    while (what != MATCH_DONE && entry >= 0) {
        int rc = script_call(s->script, entry, x->own, &x->turn);
        if (rc == ERR_SCRIPT) {
            snprintf(x->raised, sizeof x->raised, "%s", script_error(s->script));
            what = match_turn(&x->turn);
        } else if (rc) {
            break;
        } else {
            what = x->turn.what;
        }
    }
    if (what != MATCH_DONE)
        step_overrun(s, x->rows.marks[x->mark].tick);
    match_parts_settle(x->parts);
    match_output_finish(x->output, out);
    return what == MATCH_DONE ? 0 : ERR_RUNAWAY;
}

void match_look(match_t *x, match_view_t *out) {
    etime_t row = reorder_next(x->reorder), attempt = match_parts_next(x->parts);
    *out = (match_view_t){.waiting = reorder_waiting(x->reorder),
                          .partitions = match_parts_count(x->parts),
                          .kept = match_parts_rows(x->parts),
                          .next = row < attempt ? row : attempt};
}
