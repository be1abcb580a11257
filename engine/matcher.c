#include "matcher.h"
#include "matcher_memo.h"
#include "mem.h"
#include <assert.h>

struct matcher_plan {
    program_t *program;
    matcher_options_t o;
    uint8_t *defined, *skip_vars; /* o points to these */
    uint8_t *history;             /* per variable: its condition was seen to look at labels */
    uint8_t *ahead;               /* per instruction: such a variable may follow */
    int uses_number;
    uint32_t bit_words; /* per row, for places tried; 0: too many places, use the memo */
    uint32_t row_size;
};

#define MAX_BIT_WORDS 32

/* A row in the window: its time, a bit per place of the program tried at it in this search, an answer per variable. */
typedef struct row {
    etime_t time;
    uint64_t bits[]; /* bit_words, then n_vars bytes of row_answer_t */
} row_t;
typedef enum { ANSWER_NONE, ANSWER_FAILS, ANSWER_HOLDS } row_answer_t;

typedef struct path_end { /* a path, or an alternative to come back to: the labels before depth are shared */
    uint32_t pc, depth;
    uint64_t mask; /* iterations begun at this row, by depth of MARK */
} path_end_t;

typedef enum { STATE_BETWEEN, STATE_WALK, STATE_ASK, STATE_MORE, STATE_EVENT } state_t;

struct matcher {
    matcher_plan_t *plan;
    uint64_t start;   /* first row of the attempt, or of the next one */
    uint64_t number;  /* of the last match */
    uint64_t covered; /* rows before it are not unmatched */
    uint64_t matched; /* rows before it belong to matches that were told */

    char *rows; /* window: rows first..end-1 and a blank one behind, from index head on */
    size_t head, cap;
    uint64_t first, end;
    uint64_t tried_to, answered_to; /* rows before it may carry bits, answers */
    etime_t watermark;
    int finished;

    state_t state;
    path_end_t at;
    path_end_t *stack;
    size_t n_stack, cap_stack;
    uint16_t *path; /* labels of rows start..start+at.depth-1 */
    size_t cap_path;
    uint32_t *past; /* past[i]: number of the history path[0..i), known for i < n_past */
    size_t n_past, cap_past;
    uint32_t furthest; /* rows the longest path took */
    uint64_t steps;
    uint16_t *partial; /* the preferred path that ran into the time limit */
    uint32_t n_partial;
    size_t cap_partial;
    memo_t memo;
    history_t histories;

    uint64_t next_start; /* after the event */
    matcher_event_t event;
    matcher_view_t view;
};

/* ---- plan ---- */

matcher_plan_t *matcher_plan_new(program_t *program, const matcher_options_t *o) {
    matcher_plan_t *p = mem_zalloc(sizeof *p);
    uint32_t n = program->n_vars ? program->n_vars : 1;
    p->program = program;
    p->o = *o;
    p->defined = mem_zalloc(n);
    p->skip_vars = mem_zalloc(n);
    p->history = mem_zalloc(n);
    p->ahead = mem_zalloc(program->n);
    if (o->defined)
        memcpy(p->defined, o->defined, program->n_vars);
    if (o->skip_vars)
        memcpy(p->skip_vars, o->skip_vars, program->n_vars);
    p->o.defined = p->defined;
    p->o.skip_vars = p->skip_vars;
    if (!o->max_rows)
        p->o.max_rows = MATCHER_MAX_ROWS;
    if (!o->max_steps)
        p->o.max_steps = MATCHER_MAX_STEPS;
    p->bit_words = (program->n_memo + 63) / 64;
    if (p->bit_words > MAX_BIT_WORDS)
        p->bit_words = 0;
    p->row_size = (uint32_t)sizeof(row_t) + p->bit_words * 8 + ((program->n_vars + 7) & ~7u);
    return p;
}

void matcher_plan_free(matcher_plan_t *p) {
    if (!p)
        return;
    program_free(p->program);
    mem_free(p->defined);
    mem_free(p->skip_vars);
    mem_free(p->history);
    mem_free(p->ahead);
    mem_free(p);
}

/* Places before such a variable are no longer the same for every past. Bits set for them are simply not looked at any
 * more. Bits of the other places stay true: conditions are pure, so one that did not look at labels here does not
 * look at them with another past either. */
static void plan_learn_history(matcher_plan_t *p, uint32_t var) {
    p->history[var] = 1;
    program_reach(p->program, p->history, p->ahead);
}

/* ---- window of rows ---- */

static row_t *row_at(const matcher_t *m, uint64_t seq) {
    return (row_t *)(void *)(m->rows + (m->head + (size_t)(seq - m->first)) * m->plan->row_size);
}

static uint8_t *row_answers(const matcher_t *m, row_t *r) { return (uint8_t *)(r->bits + m->plan->bit_words); }

/* Makes sure that row `end` has memory, zeroed: paths end there too. */
static void window_make_room(matcher_t *m) {
    size_t size = m->plan->row_size, live = (size_t)(m->end - m->first);
    if (m->head + live + 1 > m->cap) {
        if (m->head > live) {
            memmove(m->rows, m->rows + m->head * size, live * size);
            m->head = 0;
        } else {
            m->cap = m->cap ? m->cap * 2 : 4;
            m->rows = mem_realloc(m->rows, m->cap * size);
        }
    }
    memset(row_at(m, m->end), 0, size);
}

static void window_drop_before(matcher_t *m, uint64_t seq) {
    uint64_t to = seq < m->end ? seq : m->end;
    m->head += (size_t)(to - m->first);
    m->first = to;
}

static void window_restart(matcher_t *m, uint64_t seq) {
    m->head = 0;
    m->first = m->end = m->tried_to = m->answered_to = seq;
    window_make_room(m);
}

/* Forget what was tried at the rows from `start` on, and what conditions said of them. */
static void window_forget_tried(matcher_t *m) {
    for (uint64_t seq = m->start; seq < m->tried_to && seq <= m->end; seq++)
        memset(row_at(m, seq)->bits, 0, m->plan->bit_words * 8u);
    m->tried_to = m->start;
}

static void window_forget_answers(matcher_t *m) {
    for (uint64_t seq = m->start; seq < m->answered_to && seq < m->end; seq++)
        memset(row_answers(m, row_at(m, seq)), 0, m->plan->program->n_vars);
    m->answered_to = m->start;
}

/* ---- life ---- */

matcher_t *matcher_new(matcher_plan_t *p) {
    matcher_t *m = mem_zalloc(sizeof *m);
    m->plan = p;
    m->watermark = ETIME_MIN;
    window_restart(m, 0);
    return m;
}

void matcher_free(matcher_t *m) {
    if (!m)
        return;
    mem_free(m->rows);
    mem_free(m->stack);
    mem_free(m->path);
    mem_free(m->past);
    mem_free(m->partial);
    memo_fini(&m->memo);
    history_fini(&m->histories);
    mem_free(m);
}

void matcher_feed(matcher_t *m, uint64_t seq, etime_t time) {
    if (seq < m->start)
        return;
    assert(seq == m->end);
    row_at(m, seq)->time = time;
    m->end++;
    window_make_room(m);
}

void matcher_advance(matcher_t *m, etime_t watermark) {
    if (watermark > m->watermark)
        m->watermark = watermark;
}

void matcher_finish(matcher_t *m) {
    m->finished = 1;
    m->watermark = ETIME_MAX;
}

/* ---- time limit ---- */

static etime_t deadline(const matcher_t *m) {
    etime_t t;
    if (__builtin_add_overflow(row_at(m, m->start)->time, m->plan->o.within - 1, &t))
        return ETIME_MAX;
    return t;
}

static int too_late(const matcher_t *m, uint64_t seq) {
    return m->plan->o.within && row_at(m, seq)->time > deadline(m);
}

etime_t matcher_expires(const matcher_t *m) {
    if (!m->plan->o.within || m->state != STATE_WALK || m->plan->program->code[m->at.pc].op != PROGRAM_VAR)
        return MATCHER_NO_EXPIRY;
    return deadline(m);
}

static void keep_partial(matcher_t *m) {
    if (m->n_partial || !m->plan->o.emit_timeout)
        return;
    mem_grow(&m->partial, &m->cap_partial, m->at.depth, sizeof *m->partial);
    memcpy(m->partial, m->path, m->at.depth * sizeof *m->partial);
    m->n_partial = m->at.depth;
}

/* ---- events ---- */

static void tell(matcher_t *m, matcher_kind_t kind, uint32_t n, const uint16_t *labels, uint64_t next_start) {
    m->event = (matcher_event_t){kind, n, m->start, m->number + 1, labels};
    m->next_start = next_start;
    m->state = STATE_EVENT;
}

static void next_attempt(matcher_t *m, uint64_t start, int keep_tried) {
    m->start = start;
    m->state = STATE_BETWEEN;
    memo_clear(&m->memo);
    history_clear(&m->histories);
    if (!keep_tried)
        window_forget_tried(m);
}

static void attempt_failed(matcher_t *m) {
    if (m->n_partial)
        tell(m, MATCHER_TIMED_OUT, m->n_partial, m->partial, m->start + 1);
    else if (m->plan->o.report_unmatched && m->start >= m->covered)
        tell(m, MATCHER_UNMATCHED, 0, NULL, m->start + 1);
    else
        next_attempt(m, m->start + 1, !m->plan->o.within);
}

static void attempt_given_up(matcher_t *m, matcher_kind_t kind) {
    uint32_t n = m->furthest ? m->furthest : 1;
    tell(m, kind, n, NULL, m->start + n);
}

/* Index in the match of the row to skip to, or n when no row has such a label. */
static uint32_t skip_target(const matcher_t *m, uint32_t n) {
    uint32_t found = n;
    for (uint32_t i = 0; i < n; i++)
        if (m->plan->skip_vars[m->path[i] & ~MATCHER_EXCLUDED]) {
            found = i;
            if (m->plan->o.skip == SKIP_TO_FIRST)
                break;
        }
    return found;
}

static void attempt_matched(matcher_t *m) {
    uint32_t n = m->at.depth, target;
    if (n == 0) {
        tell(m, MATCHER_EMPTY, 0, m->path, m->start + 1);
        return;
    }
    switch (m->plan->o.skip) {
    case SKIP_PAST_LAST: tell(m, MATCHER_MATCH, n, m->path, m->start + n); return;
    case SKIP_TO_NEXT: tell(m, MATCHER_MATCH, n, m->path, m->start + 1); return;
    case SKIP_TO_FIRST:
    case SKIP_TO_LAST: break;
    }
    target = skip_target(m, n);
    if (target == n)
        tell(m, MATCHER_SKIP_MISSING, n, m->path, m->start + 1);
    else if (target == 0)
        tell(m, MATCHER_SKIP_FIRST, n, m->path, m->start + 1);
    else
        tell(m, MATCHER_MATCH, n, m->path, m->start + target);
}

void matcher_accept(matcher_t *m) {
    const matcher_event_t *e = &m->event;
    uint64_t behind = e->start + e->n;
    int numbered = 0, failed = e->kind == MATCHER_UNMATCHED;
    assert(m->state == STATE_EVENT);
    switch (e->kind) {
    case MATCHER_MATCH:
        m->matched = behind > m->matched ? behind : m->matched;
        numbered = 1;
        break;
    case MATCHER_EMPTY:
    case MATCHER_TIMED_OUT:
    case MATCHER_SKIP_MISSING:
    case MATCHER_SKIP_FIRST: numbered = 1; break;
    case MATCHER_UNMATCHED:
    case MATCHER_TOO_MANY_STEPS:
    case MATCHER_TOO_MANY_ROWS: break;
    }
    if (!failed && behind > m->covered)
        m->covered = behind;
    m->number += (uint64_t)numbered;
    next_attempt(m, m->next_start, failed && !m->plan->o.within);
    if (numbered && m->plan->uses_number)
        window_forget_answers(m);
}

const matcher_event_t *matcher_event(matcher_t *m) { return &m->event; }

/* ---- walking ---- */

static void path_died(matcher_t *m) {
    if (m->n_stack)
        m->at = m->stack[--m->n_stack];
    else
        attempt_failed(m);
}

/* The number of the labels before at.depth. */
static uint32_t path_history(matcher_t *m) {
    if (m->n_past == 0) {
        mem_grow(&m->past, &m->cap_past, 1, sizeof *m->past);
        m->past[0] = 0;
        m->n_past = 1;
    }
    mem_grow(&m->past, &m->cap_past, (size_t)m->at.depth + 1, sizeof *m->past);
    for (; m->n_past <= m->at.depth; m->n_past++)
        m->past[m->n_past] = history_of(&m->histories, m->past[m->n_past - 1], m->path[m->n_past - 1]);
    return m->past[m->at.depth];
}

/* 1: this place was reached before, at this row and with a past that cannot make a difference. */
static int tried(matcher_t *m, const instruction_t *in, uint64_t mask) {
    uint64_t seq = m->start + m->at.depth;
    memo_key_t key = {.seq = seq, .mask = mask, .place = m->at.pc};
    if (m->plan->ahead[m->at.pc]) {
        if (m->at.depth < m->furthest)
            m->steps++;
        key.history = path_history(m);
        return memo_try(&m->memo, &key);
    }
    if (mask || !m->plan->bit_words)
        return memo_try(&m->memo, &key);
    uint64_t *word = &row_at(m, seq)->bits[in->memo / 64], bit = (uint64_t)1 << (in->memo % 64);
    if (*word & bit)
        return 1;
    *word |= bit;
    if (m->tried_to <= seq)
        m->tried_to = seq + 1;
    return 0;
}

static void put_label(matcher_t *m, const instruction_t *in) {
    mem_grow(&m->path, &m->cap_path, (size_t)m->at.depth + 1, sizeof *m->path);
    m->path[m->at.depth] = (uint16_t)(in->var | (in->excluded ? MATCHER_EXCLUDED : 0u));
    if (m->n_past > (size_t)m->at.depth + 1)
        m->n_past = (size_t)m->at.depth + 1;
}

static void take_row(matcher_t *m) {
    m->at.depth++;
    m->at.pc++;
    m->at.mask = 0;
    if (m->at.depth > m->furthest)
        m->furthest = m->at.depth;
}

static row_answer_t known_answer(matcher_t *m, uint32_t var, uint64_t seq) {
    if (!m->plan->defined[var])
        return ANSWER_HOLDS;
    if (!m->plan->history[var])
        return row_answers(m, row_at(m, seq))[var];
    memo_key_t key = {.seq = seq, .place = var, .history = path_history(m)};
    memo_kind_t k = memo_answer(&m->memo, &key);
    return k == MEMO_HOLDS ? ANSWER_HOLDS : k == MEMO_FAILS ? ANSWER_FAILS : ANSWER_NONE;
}

static void ask(matcher_t *m, uint32_t var, uint64_t seq) {
    m->view = (matcher_view_t){.seq = seq,
                               .start = m->start,
                               .end = m->end,
                               .number = m->number + 1,
                               .labels = m->path,
                               .n = m->at.depth + 1,
                               .var = var,
                               .finished = (uint32_t)m->finished};
    m->state = STATE_ASK;
}

/* 0: it waits for a row. */
static int walk_var(matcher_t *m, const instruction_t *in) {
    uint64_t seq = m->start + m->at.depth;
    if (m->at.depth >= m->plan->o.max_rows) {
        attempt_given_up(m, MATCHER_TOO_MANY_ROWS);
        return 1;
    }
    if (seq == m->end) {
        if (!m->finished && (!m->plan->o.within || m->watermark < deadline(m)))
            return 0;
        if (m->plan->o.within)
            keep_partial(m);
        path_died(m);
        return 1;
    }
    if (too_late(m, seq)) {
        keep_partial(m);
        path_died(m);
        return 1;
    }
    if (tried(m, in, 0)) {
        path_died(m);
        return 1;
    }
    row_answer_t answer = known_answer(m, in->var, seq);
    if (answer == ANSWER_FAILS) {
        path_died(m);
        return 1;
    }
    put_label(m, in);
    if (answer == ANSWER_HOLDS)
        take_row(m);
    else
        ask(m, in->var, seq);
    return 1;
}

static void walk_split(matcher_t *m, const instruction_t *in) {
    if (tried(m, in, m->at.mask)) {
        path_died(m);
        return;
    }
    mem_grow(&m->stack, &m->cap_stack, m->n_stack + 1, sizeof *m->stack);
    m->stack[m->n_stack++] = (path_end_t){in->b, m->at.depth, m->at.mask};
    m->at.pc = in->a;
}

/* One instruction. 0: it waits for a row. */
static int walk(matcher_t *m) {
    const instruction_t *in = &m->plan->program->code[m->at.pc];
    if (m->steps > m->plan->o.max_steps) {
        attempt_given_up(m, MATCHER_TOO_MANY_STEPS);
        return 1;
    }
    switch ((program_op_t)in->op) {
    case PROGRAM_VAR: return walk_var(m, in);
    case PROGRAM_SPLIT: walk_split(m, in); break;
    case PROGRAM_JUMP: m->at.pc = in->a; break;
    case PROGRAM_MARK:
        m->at.mask |= (uint64_t)1 << in->depth;
        m->at.pc++;
        break;
    case PROGRAM_CHECK:
        m->at.pc = m->at.mask >> in->depth & 1 ? in->a : m->at.pc + 1;
        m->at.mask &= ~((uint64_t)1 << in->depth);
        break;
    case PROGRAM_START:
        m->at.pc++;
        if (m->start + m->at.depth != 0)
            path_died(m);
        break;
    case PROGRAM_END:
        if (m->start + m->at.depth == m->end && !m->finished)
            return 0;
        m->at.pc++;
        if (m->start + m->at.depth != m->end)
            path_died(m);
        break;
    case PROGRAM_MATCH: attempt_matched(m); break;
    }
    return 1;
}

/* 0: the row it would begin at has not come. */
static int attempt_begin(matcher_t *m) {
    window_drop_before(m, m->start);
    if (m->start >= m->end)
        return 0;
    m->at = (path_end_t){0};
    m->n_stack = 0;
    m->n_past = 0;
    m->n_partial = 0;
    m->furthest = 0;
    m->steps = 0;
    m->state = STATE_WALK;
    return 1;
}

matcher_status_t matcher_run(matcher_t *m) {
    for (;;) {
        switch (m->state) {
        case STATE_EVENT: return MATCHER_EVENT;
        case STATE_ASK: return MATCHER_ASK;
        case STATE_MORE:
            if (m->view.end == m->end && !m->finished)
                return MATCHER_IDLE;
            ask(m, m->view.var, m->view.seq);
            return MATCHER_ASK;
        case STATE_BETWEEN:
            if (!attempt_begin(m))
                return MATCHER_IDLE;
            break;
        case STATE_WALK:
            if (!walk(m))
                return MATCHER_IDLE;
            break;
        }
    }
}

const matcher_view_t *matcher_view(matcher_t *m) { return &m->view; }

static void remember_answer(matcher_t *m, int holds) {
    uint32_t var = m->view.var;
    if (m->plan->history[var]) {
        memo_key_t key = {.seq = m->view.seq, .place = var, .history = path_history(m)};
        memo_set_answer(&m->memo, &key, holds);
    } else {
        row_answers(m, row_at(m, m->view.seq))[var] = holds ? ANSWER_HOLDS : ANSWER_FAILS;
        if (m->answered_to <= m->view.seq)
            m->answered_to = m->view.seq + 1;
    }
}

void matcher_answer(matcher_t *m, matcher_answer_t answer, unsigned looked) {
    matcher_plan_t *p = m->plan;
    assert(m->state == STATE_ASK);
    if (looked & MATCHER_LOOKED_NUMBER)
        p->uses_number = 1;
    if ((looked & MATCHER_LOOKED_HISTORY) && !p->history[m->view.var])
        plan_learn_history(p, m->view.var);
    if (answer == MATCHER_MORE && !m->finished) {
        m->state = STATE_MORE;
        if (m->end - m->view.seq > p->o.max_rows)
            attempt_given_up(m, MATCHER_TOO_MANY_ROWS);
        return;
    }
    remember_answer(m, answer == MATCHER_HOLDS);
    m->state = STATE_WALK;
    if (answer == MATCHER_HOLDS)
        take_row(m);
    else
        path_died(m);
}

/* ---- state ---- */

uint64_t matcher_low(const matcher_t *m) { return m->start > m->plan->o.lookback ? m->start - m->plan->o.lookback : 0; }

void matcher_save(const matcher_t *m, buf_t *out) {
    buf_add_varint(out, m->start);
    buf_add_varint(out, m->number);
    buf_add_varint(out, m->covered);
    buf_add_varint(out, m->matched);
}

int matcher_load(matcher_t *m, reader_t *in) {
    m->start = read_varint(in);
    m->number = read_varint(in);
    m->covered = read_varint(in);
    m->matched = read_varint(in);
    if (in->bad)
        return ERR_INVALID;
    /* Under another skip mode before a reload, matches overlapped; past last row they must not. */
    if (m->plan->o.skip == SKIP_PAST_LAST && m->start < m->matched)
        m->start = m->matched;
    window_restart(m, m->start);
    return 0;
}
