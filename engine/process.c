#include "process.h"

#include "emission.h"
#include "keystate.h"
#include "map.h"
#include "mem.h"
#include "reorder.h"
#include "rowpack.h"
#include "script_watchdog.h"

/* Items of one call: many enough that a call costs little, few enough that a call is short. */
#define CHUNK 512

struct process {
    const rule_t *rule;
    const process_spec_t *spec;
    keystate_t *keys;
    space_t *states, *counts;
    reorder_t *reorder; /* NULL: order of arrival */
    buf_t scratch;
    /* of the chunk being asked: CHUNK of each */
    process_item_t *items;
    process_slot_t *given;
    struct slot *slots;
    store_entry_t **taken;
};

typedef struct slot { /* a key in a call */
    slice_t key;
    key_view_t view;
    etime_t ahead; /* touch after all its items so far, should they run */
    uint32_t item; /* the last of its items by event time, for what timers need of the row */
    int used;      /* an item of it ran */
} slot_t;

typedef struct chunk { /* what one call is given */
    process_item_t *items;
    slot_t *slots;
    store_entry_t **taken; /* timers: entries taken from the agenda, per item */
    uint32_t n, n_slots;
    map_t by_key; /* key -> slot */
    etime_t due;
    fn_t fn;
    int timers, ends;
} chunk_t;

typedef struct run { /* one step */
    process_t *p;
    step_t *s;
    const stream_t *in; /* in the order in which rows are given to on_row */
    int *by;            /* columns of the key; -1: looked up */
    emission_t *out;
    size_t n_out, cap_out;
    uint32_t row, mark; /* next ones */
    etime_t wm;         /* watermark before them */
    int entry_row, entry_timer;
} run_t;

static space_t *open_space(const rule_t *rule, store_t *store, const char *kind) {
    char *name = mem_printf("%s/%s/%s", rule->name, rule->state_hash, kind);
    space_t *sp = store_space(store, name);
    mem_free(name);
    return sp;
}

process_t *process_new(const rule_t *rule, store_t *store) {
    process_t *p = mem_zalloc(sizeof *p);
    p->rule = rule;
    p->spec = rule->process;
    p->states = open_space(rule, store, "states");
    p->counts = open_space(rule, store, "counts");
    p->keys = keystate_new(p->states, p->spec->ttl);
    p->items = mem_alloc(sizeof *p->items * CHUNK);
    p->given = mem_alloc(sizeof *p->given * CHUNK);
    p->slots = mem_alloc(sizeof *p->slots * CHUNK);
    p->taken = mem_alloc(sizeof(void *) * CHUNK);
    if (p->spec->event_order)
        p->reorder = reorder_new(open_space(rule, store, "rows"), NULL, 0, &p->spec->needs);
    return p;
}

void process_free(process_t *p) {
    if (!p)
        return;
    reorder_free(p->reorder);
    keystate_free(p->keys);
    buf_fini(&p->scratch);
    mem_free(p->items);
    mem_free(p->given);
    mem_free(p->slots);
    mem_free(p->taken);
    mem_free(p);
}

void process_rebuild(process_t *p) {
    keystate_rebuild(p->keys);
    if (p->reorder)
        reorder_rebuild(p->reorder);
}

size_t process_keys(const process_t *p) { return space_count(p->states); }
size_t process_waiting(const process_t *p) { return p->reorder ? reorder_waiting(p->reorder) : 0; }

etime_t process_next(process_t *p) {
    etime_t timer = keystate_next(p->keys), row = p->reorder ? reorder_next(p->reorder) : ETIME_MAX;
    return timer < row ? timer : row;
}

/* ---- slots ---- */

static slice_t row_key(run_t *r, uint32_t row) {
    const names_t *by = &r->p->spec->by;
    buf_t *b = &r->p->scratch;
    buf_clear(b);
    for (uint32_t i = 0; i < by->n; i++) {
        cell_t c = r->by[i] >= 0 ? *batch_cell(r->in->batch, (uint32_t)r->by[i], row)
                                 : batch_lookup(r->in->batch, by->at[i], strlen(by->at[i]), row);
        cell_key(b, &c);
    }
    if (b->len == 0)
        buf_add_char(b, 0); /* a rule without `by` has one key */
    return buf_slice(b);
}

static uint32_t add_slot(run_t *r, chunk_t *c, slice_t key, const store_entry_t *e) {
    slot_t *slot = &c->slots[c->n_slots];
    *slot = (slot_t){.key = {arena_dup(r->s->arena, key.s, key.len), key.len}};
    keystate_load(r->s->arena, e, &slot->view);
    slot->ahead = slot->view.touch;
    c->n_slots++;
    map_put(&c->by_key, slot->key.s, slot->key.len, slot);
    return c->n_slots - 1;
}

static chunk_t open_chunk(const run_t *r, fn_t fn, int timers) {
    const process_t *p = r->p;
    return (chunk_t){
        .items = p->items, .slots = p->slots, .taken = p->taken, .fn = fn, .due = ETIME_MAX, .timers = timers};
}

/* ---- what the script answered ---- */

typedef struct answer {
    uint8_t what;
    uint32_t at; /* slot or item */
    etime_t time;
    slice_t bytes;
} answer_t;

static int next_answer(reader_t *r, answer_t *a) {
    if (r->pos >= r->len)
        return 0;
    a->what = read_u8(r);
    a->at = read_u32(r);
    a->time = a->what == ANSWER_WAKE ? (etime_t)read_u64(r) : 0;
    uint32_t len = read_u32(r);
    a->bytes = read_raw(r, len);
    return !r->bad;
}

/* A row that a timer emits must not be late for those who read it: the watermark before this tick has passed already. */
static etime_t timer_row_time(const run_t *r, etime_t timer) {
    if (r->wm == ETIME_MAX || timer > r->wm)
        return timer;
    return r->wm + 1;
}

static int64_t next_order(run_t *r) {
    store_entry_t *e = store_put(r->p->counts, "timers", 6, NULL);
    int64_t n = 0;
    if (entry_value(e).len == sizeof n)
        memcpy(&n, entry_value(e).s, sizeof n);
    n++;
    entry_set(r->p->counts, e, &n, sizeof n);
    return n;
}

static void take_emission(run_t *r, const chunk_t *c, const answer_t *a, uint32_t tick) {
    const process_item_t *item = &c->items[a->at];
    emission_t e = {.row = EMISSION_NO_ROW, .tick = tick, .time = item->time, .pass = a->what == ANSWER_PASS};
    e.json = (slice_t){arena_dup(r->s->arena, a->bytes.s, a->bytes.len), a->bytes.len};
    if (c->timers) {
        e.time = timer_row_time(r, item->time);
        e.order = next_order(r);
        e.about = c->slots[item->slot].view.about;
    } else {
        e.row = item->row;
        e.tick = stream_tick(r->in, item->row);
    }
    mem_grow(&r->out, &r->cap_out, r->n_out + 1, sizeof *r->out);
    r->out[r->n_out++] = e;
}

/* A timer has no row: its error is told with an empty one at the timer's time. */
static batch_t *timer_rows(run_t *r, etime_t time) {
    origin_t *o = arena_array(r->s->arena, origin_t, 1);
    *o = (origin_t){.time = time, .topic = TOPIC_NONE};
    batch_t *b = arena_array(r->s->arena, batch_t, 1);
    const uint32_t *zero = batch_iota(r->s->arena, 1);
    *b = (batch_t){.n = 1, .n_origins = 1, .origin = zero, .sub = zero, .origins = o};
    return b;
}

static void note_error(run_t *r, const chunk_t *c, const answer_t *a, eval_errors_t *errors) {
    if (errors->count++ > 0)
        return;
    errors->first_row = c->timers ? 0 : c->items[a->at].row;
    size_t n = a->bytes.len < sizeof errors->first - 1 ? a->bytes.len : sizeof errors->first - 1;
    memcpy(errors->first, a->bytes.s, n);
    errors->first[n] = 0;
    (void)r;
}

static slice_t keep(run_t *r, slice_t s) { return (slice_t){arena_dup(r->s->arena, s.s, s.len), s.len}; }

static void apply_answers(run_t *r, chunk_t *c, slice_t answers, uint32_t tick) {
    reader_t reader = reader_of(answers.s, answers.len);
    eval_errors_t errors = {0};
    uint32_t first = 0;
    for (answer_t a; next_answer(&reader, &a);) {
        switch (a.what) {
        case ANSWER_STATE: c->slots[a.at].view.state = keep(r, a.bytes); break;
        case ANSWER_WAKE: key_view_wake(r->s->arena, &c->slots[a.at].view, keep(r, a.bytes), a.time); break;
        case ANSWER_SLEEP: key_view_cancel(&c->slots[a.at].view, a.bytes); break;
        case ANSWER_ERROR:
            first = errors.count ? first : a.at;
            note_error(r, c, &a, &errors);
            break;
        default: take_emission(r, c, &a, tick); break;
        }
    }
    if (errors.count)
        step_errors(r->s, r->p->rule, c->fn, c->timers ? timer_rows(r, c->items[first].time) : r->in->batch, &errors);
}

/* What timers will need of the key's last row: always the last one for a detector (by event time) and where positions are
 * asked for; else the by columns, which are the same in all. */
static void keep_about(run_t *r, slot_t *slot, uint32_t row) {
    const process_spec_t *spec = r->p->spec;
    slice_t about = slot->view.about;
    if (spec->on_timer == FN_NONE || (about.len > 0 && !spec->is_detect && !r->p->rule->provenance))
        return;
    if (about.len > 0 && spec->is_detect && rowpack_time(about) > batch_origin(r->in->batch, row)->time)
        return;
    buf_t *b = &r->p->scratch;
    buf_clear(b);
    emission_about(b, r->s, r->p->rule, r->in->batch, row);
    slot->view.about = keep(r, buf_slice(b));
}

static void save_slots(run_t *r, chunk_t *c, uint32_t done) {
    for (uint32_t i = 0; i < done; i++) {
        const process_item_t *item = &c->items[i];
        slot_t *slot = &c->slots[item->slot];
        if (!slot->used || item->time >= c->items[slot->item].time)
            slot->item = i;
        slot->used = 1;
        if (item->time > slot->view.touch)
            slot->view.touch = item->time;
    }
    for (uint32_t i = 0; i < c->n_slots; i++) {
        slot_t *slot = &c->slots[i];
        if (!slot->used)
            continue;
        if (!c->timers)
            keep_about(r, slot, c->items[slot->item].row);
        keystate_save(r->p->keys, slot->key, &slot->view);
    }
}

static void bind_entries(run_t *r) {
    r->entry_row = script_entry(r->s->script, "process.on_row");
    r->entry_timer = script_entry(r->s->script, "process.on_timer");
}

static void overran(run_t *r, uint32_t tick) {
    step_overrun(r->s, tick);
    bind_entries(r);
}

/* Asks; *done: how many items ran. */
static int ask(run_t *r, chunk_t *c, uint32_t tick, uint32_t *done) {
    process_slot_t *slots = r->p->given;
    for (uint32_t i = 0; i < c->n_slots; i++)
        slots[i] = (process_slot_t){.state = c->slots[i].view.state.s, .len = (uint32_t)c->slots[i].view.state.len};
    process_call_t call = {.rows = r->in->batch,
                           .items = c->items,
                           .slots = slots,
                           .at = watchdog_progress(),
                           .due = c->due,
                           .n_items = c->n,
                           .n_slots = c->n_slots,
                           .format = SCRIPT_MARK_TIMES | (int32_t)r->p->rule->time_format,
                           .ends = c->ends,
                           .timers = r->p->spec->on_timer != FN_NONE};
    map_fini(&c->by_key);
    if (c->fn == FN_NONE) { /* timers of an older text of the rule, which has no on_timer now: they are over */
        save_slots(r, c, c->n);
        return 0;
    }
    __atomic_store_n(call.at, 0, __ATOMIC_RELAXED);
    int rc = script_call(r->s->script, c->timers ? r->entry_timer : r->entry_row, c->fn, &call);
    if (rc == ERR_SCRIPT) { /* the driver itself failed: nothing was done, and the rows are counted as errors */
        eval_errors_t errors = {.count = c->n};
        const char *text = script_error(r->s->script);
        memcpy(errors.first, text, strnlen(text, sizeof errors.first - 1));
        step_errors(r->s, r->p->rule, c->fn, c->timers ? timer_rows(r, c->items[0].time) : r->in->batch, &errors);
        call.done = c->n;
        call.out_len = 0;
    } else if (rc != 0) {
        uint32_t item = *call.at >= 0 && (uint32_t)*call.at < c->n ? (uint32_t)*call.at : 0;
        overran(r, c->timers ? tick : stream_tick(r->in, c->items[item].row));
        return rc;
    }
    *done = call.done;
    apply_answers(r, c, (slice_t){call.out, call.out_len}, tick);
    save_slots(r, c, call.done);
    return 0;
}

/* ---- timers ---- */

static void add_timer(run_t *r, chunk_t *c, const key_due_t *due) {
    uint32_t slot = add_slot(r, c, due->key, due->entry);
    key_view_cancel(&c->slots[slot].view, due->timer.name);
    c->taken[c->n] = due->entry;
    c->items[c->n++] = (process_item_t){.time = due->timer.at,
                                        .wm = due->timer.at,
                                        .row = 0,
                                        .slot = slot,
                                        .name = due->timer.name.s,
                                        .name_len = (uint32_t)due->timer.name.len};
}

/* Timers due by `limit`, in (time, key, name) order. A key's second timer waits for the next chunk: what the first does
 * may move it. */
static int fire(run_t *r, etime_t limit, uint32_t tick) {
    while (keystate_next(r->p->keys) <= limit) {
        chunk_t c = open_chunk(r, r->p->spec->on_timer, 1);
        key_due_t due;
        for (etime_t next; c.n < CHUNK && (c.due == ETIME_MAX || keystate_next(r->p->keys) < c.due) &&
                           keystate_take(r->p->keys, r->s->arena, limit, &due, &next);) {
            add_timer(r, &c, &due);
            c.due = next < c.due ? next : c.due;
        }
        if (c.n == 0)
            break;
        uint32_t done = c.n;
        int rc = ask(r, &c, tick, &done);
        if (rc)
            return rc;
        for (uint32_t i = done; i < c.n; i++)
            keystate_return(r->p->keys, c.taken[i]);
    }
    return 0;
}

/* The end of bounded input: each timer that is set fires once, those set from now on do not. */
static int fire_all(run_t *r, uint32_t tick) {
    key_due_t *all;
    uint32_t n = keystate_timers(r->p->keys, r->s->arena, &all);
    for (uint32_t i = 0; i < n;) {
        chunk_t c = open_chunk(r, r->p->spec->on_timer, 1);
        c.ends = 1;
        for (; i < n && c.n < CHUNK && !map_get(&c.by_key, all[i].key.s, all[i].key.len); i++) {
            key_view_t v;
            store_entry_t *e = keystate_get(r->p->keys, all[i].key);
            keystate_load(r->s->arena, e, &v);
            for (uint32_t t = 0; e && t < v.n_timers; t++)
                if (v.timers[t].at == all[i].timer.at && slice_eq(v.timers[t].name, all[i].timer.name))
                    add_timer(r, &c, &(key_due_t){e, all[i].key, v.timers[t]});
        }
        uint32_t done = 0;
        int rc = c.n ? ask(r, &c, tick, &done) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- rows ---- */

/* The watermark that a row is judged by: in event-time order each row stands for its own time. */
static etime_t row_wm(const run_t *r, uint32_t row, etime_t wm) {
    if (!r->p->reorder)
        return wm;
    etime_t time = batch_origin(r->in->batch, row)->time;
    return time == ETIME_MIN ? time : time - 1;
}

static int refused(run_t *r, const store_entry_t *e) {
    if (e || !store_full(r->s->store))
        return 0;
    step_limit(r->s, r->p->rule, "max_state is reached: a row of a new key is not processed");
    return 1;
}

static uint32_t row_slot(run_t *r, chunk_t *c, uint32_t row, int *out) {
    slice_t key = row_key(r, row);
    const slot_t *found = map_get(&c->by_key, key.s, key.len);
    *out = 0;
    if (found)
        return (uint32_t)(found - c->slots);
    store_entry_t *e = keystate_get(r->p->keys, key);
    if (refused(r, e)) {
        *out = 1;
        return 0;
    }
    return add_slot(r, c, key, e);
}

/* Whether state that an earlier row of this chunk touched is past its ttl at this row: then a new chunk begins. */
static int expires_inside(const run_t *r, const slot_t *slot, etime_t wm) {
    int64_t ttl = r->p->spec->ttl;
    return ttl && slot->ahead != ETIME_MIN && slot->ahead <= ETIME_MAX - ttl && slot->ahead + ttl <= wm;
}

/* Rows from r->row on, as many as can go without a timer between them. Moves r->row. */
static void gather(run_t *r, chunk_t *c, uint32_t *next) {
    const batch_t *b = r->in->batch;
    uint32_t mark = r->mark, row = r->row;
    etime_t wm = r->wm;
    for (; row < b->n && c->n < CHUNK; row++) {
        const origin_t *o = batch_origin(b, row);
        for (; mark < r->in->n_marks && r->in->marks[mark].tick < o->tick; mark++)
            wm = r->in->marks[mark].wm;
        etime_t judged_by = row_wm(r, row, wm);
        if (row > r->row && judged_by >= c->due)
            break;
        int skip;
        uint32_t slot = row_slot(r, c, row, &skip);
        if (skip)
            continue;
        slot_t *k = &c->slots[slot];
        if (c->n > 0 && expires_inside(r, k, judged_by))
            break;
        if (o->time > k->ahead)
            k->ahead = o->time;
        c->items[c->n++] = (process_item_t){.time = o->time, .wm = judged_by, .row = row, .slot = slot};
    }
    *next = row;
}

/* Marks that the rows before r->row have gone past; none of them had a timer due. */
static void pass_marks(run_t *r, uint32_t tick) {
    for (; r->mark < r->in->n_marks && r->in->marks[r->mark].tick < tick; r->mark++)
        r->wm = r->in->marks[r->mark].wm;
}

/* A call that was stopped has done nothing: the items of earlier ticks are asked once more. */
static int ask_before_stop(run_t *r, chunk_t *c, int rc) {
    while (c->n > 0 && stream_tick(r->in, c->items[c->n - 1].row) >= r->s->stop)
        c->n--;
    uint32_t done = c->n;
    if (c->n > 0 && r->entry_row >= 0)
        ask(r, c, 0, &done);
    return rc;
}

static int run_rows(run_t *r) {
    uint32_t tick = stream_tick(r->in, r->row);
    int rc = fire(r, row_wm(r, r->row, r->wm), tick);
    if (rc)
        return rc;
    chunk_t c = open_chunk(r, r->p->spec->on_row, 0);
    c.due = keystate_next(r->p->keys);
    uint32_t next;
    gather(r, &c, &next);
    uint32_t done = c.n;
    if (c.n > 0) {
        rc = ask(r, &c, 0, &done);
        if (rc)
            return ask_before_stop(r, &c, rc);
    }
    r->row = done < c.n ? c.items[done].row : next;
    uint32_t last = r->row - 1;
    pass_marks(r, stream_tick(r->in, last));
    return fire(r, row_wm(r, last, r->wm), stream_tick(r->in, last));
}

static int run_mark(run_t *r) {
    const mark_t *m = &r->in->marks[r->mark];
    int rc = m->wm == ETIME_MAX ? fire_all(r, m->tick) : fire(r, m->wm, m->tick);
    r->wm = m->wm;
    r->mark++;
    return rc;
}

static int run_all(run_t *r) {
    int rc = 0;
    while (rc == 0 && (r->row < r->in->batch->n || r->mark < r->in->n_marks)) {
        int rows = r->row < r->in->batch->n;
        if (rows && (r->mark == r->in->n_marks || stream_tick(r->in, r->row) <= r->in->marks[r->mark].tick))
            rc = run_rows(r);
        else
            rc = run_mark(r);
    }
    return rc;
}

int process_run(process_t *p, step_t *s, const stream_t *in, result_t *out) {
    stream_t ordered = *in;
    if (p->reorder)
        reorder_run(p->reorder, s, p->rule, in, &ordered);
    run_t r = {.p = p, .s = s, .in = &ordered, .wm = in->wm_before};
    bind_entries(&r);
    if (r.entry_row < 0 || r.entry_timer < 0)
        return r.entry_row < 0 ? r.entry_row : r.entry_timer;
    r.by = arena_array(s->arena, int, p->spec->by.n);
    for (uint32_t i = 0; i < p->spec->by.n; i++)
        r.by[i] = batch_column(ordered.batch, p->spec->by.at[i]);
    int rc = run_all(&r);
    *out = (result_t){.batch = emission_batch(s, p->rule, ordered.batch, r.out, (uint32_t)r.n_out)};
    mem_free(r.out);
    return rc;
}
