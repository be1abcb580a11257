#include "script_rows.h"
#include "mem.h"
#include "script_api.h"
#include <stdio.h>

#define MEMO_SYMBOLS (1u << 20) /* beyond it symbols are asked like any other value */

/* ---- column names ---- */

static int layout_is(const script_layout_t *l, const batch_t *b) {
    if (l->n != b->n_columns || l->open != b->open)
        return 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (strcmp(l->names[i], b->names[i]) != 0)
            return 0;
    return 1;
}

int script_layout_of(script_t *s, const batch_t *b) {
    for (size_t i = 0; i < s->n_layouts; i++)
        if (layout_is(&s->layouts[i], b))
            return (int)i;
    mem_grow(&s->layouts, &s->cap_layouts, s->n_layouts + 1, sizeof *s->layouts);
    script_layout_t *l = &s->layouts[s->n_layouts];
    *l = (script_layout_t){b->n_columns, b->open, mem_alloc((b->n_columns + 1) * sizeof(char *))};
    for (uint32_t i = 0; i < b->n_columns; i++)
        l->names[i] = mem_strdup(b->names[i]);
    return (int)s->n_layouts++;
}

/* ---- symbols ---- */

void script_symbols(script_t *s, uint32_t generation) {
    if (s->has_generation && generation == s->generation)
        return;
    int first = !s->has_generation;
    s->has_generation = 1;
    s->generation = generation;
    if (first)
        return; /* nothing is known of another one */
    memset(s->symbols, 0, SCRIPT_SYMBOLS * sizeof *s->symbols);
    for (size_t i = 0; i < s->n_fns; i++)
        if (s->fns[i].memo)
            memset(s->fns[i].memo, 0, s->fns[i].n_memo * sizeof *s->fns[i].memo);
}

/* ---- asking ---- */

static uint32_t row_asked(const rows_arg_t *arg, uint32_t k) {
    uint32_t row = arg->some ? arg->some[k < (uint32_t)arg->n ? k : (uint32_t)arg->n - 1] : k;
    return row < arg->rows->n ? row : arg->rows->n - 1;
}

/* Asks of rows [first, n) and goes on behind each row that raised; failed(ctx, k) is told of it. */
static int ask(script_t *s, int entry, fn_t fn, rows_arg_t *arg, eval_errors_t *errors,
               void (*failed)(void *, uint32_t), void *ctx) {
    int64_t before = clock_thread_cpu().ns;
    int rc = 0;
    arg->at = watchdog_progress();
    arg->layout = script_layout_of(s, arg->rows);
    while (arg->first < arg->n) {
        __atomic_store_n(arg->at, arg->first, __ATOMIC_RELAXED); /* the watchdog looks at it */
        rc = script_call(s, entry, fn, arg);
        if (rc == 0)
            break;
        uint32_t k = (uint32_t)*arg->at, row = row_asked(arg, k);
        if (rc != ERR_SCRIPT) {
            s->overrun_row = row;
            break;
        }
        rc = 0;
        if (errors->count++ == 0) {
            errors->first_row = row;
            snprintf(errors->first, sizeof errors->first, "%.399s", s->error);
        }
        failed(ctx, k);
        arg->first = (int32_t)k + 1;
    }
    if (rc != ERR_RUNAWAY)
        s->last_ns = clock_thread_cpu().ns - before;
    return rc;
}

static void no_pass(void *ctx, uint32_t row) { ((uint8_t *)ctx)[row] = 0; }

static void no_value(void *ctx, uint32_t row) { ((cell_t *)ctx)[row] = cell_null(); }

/* ---- where ---- */

static memo_t *memo_of(script_fn_t *f, const sym_t *sym) {
    if (__builtin_expect(sym->id >= f->n_memo, 0)) {
        if (sym->id >= MEMO_SYMBOLS)
            return NULL;
        uint32_t n = f->n_memo;
        while (n <= sym->id)
            n *= 2;
        f->memo = mem_realloc(f->memo, n * sizeof *f->memo);
        memset(f->memo + f->n_memo, 0, (n - f->n_memo) * sizeof *f->memo);
        f->n_memo = n;
    }
    return &f->memo[sym->id];
}

static inline int memo_holds(const memo_t *m, const sym_t *sym) { return m->sym == sym && m->hash == sym->hash; }

typedef struct memo_failed {
    const uint32_t *some;
    uint8_t *pass;
} memo_failed_t;

/* Not an answer, so that it is neither kept for the symbol nor taken for "false". */
static void memo_raised(void *ctx, uint32_t k) {
    memo_failed_t *f = ctx;
    f->pass[f->some[k]] = MEMO_RAISED;
}

/* Answers where they are known; else the row (the first of its symbol) is noted in some. The number noted. pass may alias
 * anything for the compiler, hence the locals. */
static uint32_t memo_first_pass(script_fn_t *f, const batch_t *rows, const column_t *col, uint8_t *pass,
                                uint32_t *some) {
    const cell_t *cells = col->cells;
    const uint32_t *map = col->map;
    const memo_t *memo = f->memo;
    uint32_t n_memo = f->n_memo, n_rows = rows->n, n = 0;
    for (uint32_t i = 0; i < n_rows; i++) {
        const cell_t *c = &cells[map[i]];
        if (__builtin_expect(c->kind == CELL_SYM, 1)) {
            const sym_t *sym = c->u.sym;
            if (__builtin_expect(sym->id < n_memo && memo_holds(&memo[sym->id], sym), 1)) {
                pass[i] = memo[sym->id].answer == MEMO_TRUE;
                continue;
            }
            memo_t *m = memo_of(f, sym);
            if (m)
                *m = (memo_t){sym, sym->hash, MEMO_ASKED};
            memo = f->memo;
            n_memo = f->n_memo;
        }
        some[n++] = i;
    }
    return n;
}

/* The answers into the memo, and from there to the rows that were waiting for their symbol's first row. A symbol that
 * raised is asked again in the next batch; here each of its rows counts as an error. */
static void memo_second_pass(script_fn_t *f, const batch_t *rows, const column_t *col, uint8_t *pass,
                             const uint32_t *some, uint32_t n, eval_errors_t *errors) {
    for (uint32_t k = 0; k < n; k++) {
        const cell_t *c = &col->cells[col->map[some[k]]];
        memo_t *m = c->kind == CELL_SYM ? memo_of(f, c->u.sym) : NULL;
        uint8_t answer = pass[some[k]];
        if (m)
            m->answer = answer == MEMO_RAISED ? MEMO_RAISED : answer ? MEMO_TRUE : MEMO_FALSE;
        if (answer == MEMO_RAISED)
            pass[some[k]] = 0;
    }
    uint32_t k = 0;
    for (uint32_t i = some[0]; i < rows->n; i++) {
        if (k < n && some[k] == i) {
            k++;
            continue;
        }
        const cell_t *c = &col->cells[col->map[i]];
        const memo_t *m = memo_of(f, c->u.sym);
        uint32_t answer = m ? m->answer : MEMO_FALSE;
        pass[i] = answer == MEMO_TRUE;
        errors->count += answer == MEMO_RAISED;
    }
    for (k = 0; k < n; k++) {
        const cell_t *c = &col->cells[col->map[some[k]]];
        memo_t *m = c->kind == CELL_SYM ? memo_of(f, c->u.sym) : NULL;
        if (m && m->answer == MEMO_RAISED)
            *m = (memo_t){0};
    }
}

static int where_memo(script_t *s, script_fn_t *f, fn_t fn, const batch_t *rows, const column_t *col, uint8_t *pass,
                      eval_errors_t *errors) {
    if (s->cap_some < rows->n) {
        s->cap_some = rows->n;
        s->some = mem_realloc(s->some, s->cap_some * sizeof *s->some);
    }
    uint32_t *some = s->some;
    uint32_t n = memo_first_pass(f, rows, col, pass, some);
    if (n == 0)
        return 0;
    memo_failed_t failed = {some, pass};
    rows_arg_t arg = {.rows = rows, .pass = pass, .some = some, .n = (int32_t)n};
    int rc = ask(s, s->where_some, fn, &arg, errors, memo_raised, &failed);
    if (rc != 0)
        return rc;
    memo_second_pass(f, rows, col, pass, some, n, errors);
    return 0;
}

const char *script_memo_column(script_t *s, fn_t fn) { return script_fn(s, fn)->memo_column; }

int script_where(script_t *s, fn_t fn, const batch_t *rows, uint8_t *pass, eval_errors_t *errors) {
    *errors = (eval_errors_t){0};
    if (rows->n == 0)
        return 0;
    script_fn_t *f = script_fn(s, fn);
    if (f->memo_column) {
        int col = batch_column(rows, f->memo_column);
        if (col >= 0)
            return where_memo(s, f, fn, rows, &rows->columns[col], pass, errors);
    }
    rows_arg_t arg = {.rows = rows, .pass = pass, .n = (int32_t)rows->n};
    return ask(s, s->where, fn, &arg, errors, no_pass, pass);
}

/* ---- values ---- */

int script_map(script_t *s, fn_t fn, const batch_t *rows, arena_t *a, cell_t *out, eval_errors_t *errors) {
    *errors = (eval_errors_t){0};
    rows_arg_t arg = {.rows = rows, .out = out, .arena = a, .n = (int32_t)rows->n, .format = TIME_ISO8601};
    return ask(s, s->map, fn, &arg, errors, no_value, out);
}

int script_table(script_t *s, fn_t fn, const batch_t *rows, arena_t *a, time_format_t format, cell_t *out,
                 eval_errors_t *errors) {
    *errors = (eval_errors_t){0};
    rows_arg_t arg = {
        .rows = rows, .out = out, .arena = a, .n = (int32_t)rows->n, .format = SCRIPT_MARK_TIMES | (int32_t)format};
    return ask(s, s->table, fn, &arg, errors, no_value, out);
}

static void no_change(void *ctx, uint32_t row) {
    (void)ctx;
    (void)row;
}

int script_fold(script_t *s, fn_t fn, const batch_t *rows, arena_t *a, cell_t *out, eval_errors_t *errors) {
    *errors = (eval_errors_t){0};
    *out = cell_null();
    /* One more than there are rows: the last place is the result's, so that a fold of no rows gives init, and an error
     * while the result is written is told from one of a step. */
    rows_arg_t arg = {.rows = rows, .out = out, .arena = a, .n = (int32_t)rows->n + 1, .format = TIME_ISO8601};
    return ask(s, s->fold, fn, &arg, errors, no_change, NULL);
}

uint32_t script_overrun_row(const script_t *s) { return s->overrun_row; }

void script_rows_fini(script_t *s) {
    for (size_t i = 0; i < s->n_layouts; i++) {
        for (uint32_t k = 0; k < s->layouts[i].n; k++)
            mem_free(s->layouts[i].names[k]);
        mem_free(s->layouts[i].names);
    }
    for (size_t i = 0; i < s->n_fns; i++) {
        mem_free(s->fns[i].memo_column);
        mem_free(s->fns[i].memo);
    }
    mem_free(s->layouts);
    mem_free(s->fns);
    mem_unmap(s->symbols, SCRIPT_SYMBOLS * sizeof *s->symbols);
    mem_free(s->some);
}
