#include "mem.h"
#include "task_parts.h"

/* ---- what came ---- */

typedef struct reading {
    task_t *t;
    uint32_t event, from, tick;
    exchange_t **exchanges; /* by the number that a stream was given */
    int *columns;
    size_t n, cap_exchanges, cap_columns;
    slice_t unknown; /* a rule that rows came of, but which has no exchange here */
} reading_t;

static int on_stream(void *ctx, const parcel_stream_t *s) {
    reading_t *x = ctx;
    int rule = plan_rule_named(task_rules(x->t), s->rule);
    exchange_t *exchange = rule >= 0 ? x->t->pipelines[rule].exchange : NULL;
    if (!exchange || exchange_shape(x->t->pipelines[rule].rule) != s->shape) {
        x->unknown = s->rule;
        return -1;
    }
    mem_grow(&x->exchanges, &x->cap_exchanges, x->n + 1, sizeof(exchange_t *));
    mem_grow(&x->columns, &x->cap_columns, x->n + 1, sizeof *x->columns);
    x->exchanges[x->n] = exchange;
    x->columns[x->n] = exchange_columns(exchange, &x->t->arena, s);
    return (int)x->n++;
}

/* Rows that follow are behind the watermark: they are of the next tick. */
static void on_level(void *ctx, int stream, parcel_level_t level) {
    reading_t *x = ctx;
    if (exchange_level(x->exchanges[stream], x->from, level, x->tick))
        x->tick++;
}

static void on_row(void *ctx, int stream, const origin_t *o, uint32_t sub, const cell_t *cells) {
    reading_t *x = ctx;
    exchange_row(x->exchanges[stream], x->columns[stream], o, sub, cells, x->tick);
}

static void on_partial(void *ctx, int stream, etime_t start, etime_t end, uint64_t last, slice_t state) {
    reading_t *x = ctx;
    if (exchange_ends_at(x->exchanges[stream], x->tick)) /* rows before it stay before it */
        x->tick++;
    group_partial_t p = {.tick = x->tick, .span = {start, end}, .last = last, .state = state};
    exchange_partial(x->exchanges[stream], &p);
}

static void on_source(void *ctx, slice_t name, parcel_level_t level) {
    reading_t *x = ctx;
    task_t *t = x->t;
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        if (!slice_eq(name, slice_of(t->sources[i].spec->name)))
            continue;
        mem_grow(&t->words, &t->cap_words, t->n_words + 1, sizeof *t->words);
        t->words[t->n_words++] = (source_word_t){x->event, x->tick++, i, x->from, level};
    }
}

static int32_t on_topic(void *ctx, slice_t name) {
    const reading_t *x = ctx;
    return task_topic(x->t, name);
}

static const sym_t *on_symbol(void *ctx, slice_t body) {
    const reading_t *x = ctx;
    int status;
    return intern_raw(intake_symbols(x->t->intake), body.s, body.len, &status);
}

static int read_frame(reading_t *x, const record_t *r, error_t *e) {
    parcel_reading_t to = {x, on_stream, on_level, on_row, on_partial, on_source, on_topic, on_symbol};
    frame_t f;
    x->n = 0;
    x->unknown = (slice_t){NULL, 0};
    if (frame_open(r->value, &f) || f.kind != FRAME_DATA)
        return error_set(e, ERR_INVALID,
                         "the record %d@%lld of the repartition topic is no frame of another task: who "
                         "writes to that topic beside this group?",
                         r->partition, (long long)r->offset);
    if (f.parallelism != dispatch_n(x->t->dispatch))
        return error_set(e, ERR_INVALID,
                         "the record %d@%lld of the repartition topic was written with parallelism %u, "
                         "here it is %u",
                         r->partition, (long long)r->offset, f.parallelism, dispatch_n(x->t->dispatch));
    x->from = f.from;
    if (parcel_read(f.body, &to))
        return error_set(e, ERR_INVALID, "the record %d@%lld of the repartition topic does not hold together",
                         r->partition, (long long)r->offset);
    if (x->unknown.s)
        return error_set(e, ERR_INVALID,
                         "the record %d@%lld of the repartition topic has rows of rule \"%.*s\", which is "
                         "another one here",
                         r->partition, (long long)r->offset, (int)x->unknown.len, x->unknown.s);
    return 0;
}

int task_read_frames(task_t *t, const event_t *events, uint32_t n, uint32_t *n_ticks, error_t *e) {
    reading_t x = {.t = t};
    int rc = 0;
    t->n_words = 0;
    mem_grow(&t->ticks, &t->cap_ticks, n + 1, sizeof *t->ticks);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        t->ticks[i] = x.tick;
        x.event = i;
        if (events[i].kind == EVENT_FRAME)
            rc = read_frame(&x, &events[i].record, e);
        x.tick++;
    }
    *n_ticks = x.tick;
    mem_free(x.exchanges);
    mem_free(x.columns);
    return rc;
}

void task_renumber(task_t *t) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        const batch_t *b = s->in->decoded.batch;
        origin_t *origins = (origin_t *)(uintptr_t)b->origins; /* made in this step, for this step */
        for (size_t r = 0; r < s->in->n; r++)
            s->in->records[r].tick = t->ticks[s->in->records[r].tick];
        for (uint32_t o = 0; o < b->n_origins; o++)
            origins[o].tick = t->ticks[origins[o].tick];
    }
}

/* ---- sources at all tasks ---- */

/* Where ours is idle it goes on with that of the others, as partitions of one task do. */
int task_follow(task_t *t, source_run_t *s) {
    valve_put(&s->everywhere, (uint32_t)t->options.number, s->watermark.now, s->watermark.idle);
    return s->watermark.idle && watermark_explicit(&s->watermark, s->everywhere.now);
}

int task_hear(task_t *t, uint32_t source, const source_word_t *w) {
    source_run_t *s = &t->sources[source];
    if (w->source != source || w->from == (uint32_t)t->options.number)
        return 0;
    valve_put(&s->everywhere, w->from, w->level.wm, w->level.idle);
    return task_follow(t, s);
}

static parcel_level_t level_of(const source_run_t *s) { return (parcel_level_t){s->watermark.now, s->watermark.idle}; }

static int is_said(const source_run_t *s) { return s->is_said && parcel_same_level(s->said, level_of(s)); }

/* ---- what goes ---- */

int task_has_exchanges(const task_t *t) { return t->dispatch != NULL; }

void task_close_interval(task_t *t) {
    error_t e = {0};
    if (!t->dispatch)
        return;
    if (!t->stepped) /* nothing came since it was made: where it stands is known after a step */
        task_step(t, NULL, 0, (wall_t){0}, &e);
    outbox_reset(&t->outbox);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].exchange)
            exchange_close(t->pipelines[i].exchange, &t->arena);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        for (uint32_t p = 0; !is_said(s) && p < dispatch_n(t->dispatch); p++)
            parcel_put_source(dispatch_parcel(t->dispatch, p), slice_of(s->spec->name), level_of(s));
        s->said = level_of(s);
        s->is_said = 1;
    }
    dispatch_cut_all(t->dispatch, &t->arena);
    dispatch_take(t->dispatch, &t->outbox);
}

int task_unsent(const task_t *t) {
    if (!t->dispatch)
        return 0;
    if (!t->stepped || dispatch_holds(t->dispatch))
        return 1;
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        if (!is_said(&t->sources[i]))
            return 1;
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].exchange && exchange_unsent(t->pipelines[i].exchange))
            return 1;
    return 0;
}

int task_waits(const task_t *t) {
    for (uint32_t i = 0; t->dispatch && i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].exchange && !valve_heard_all(exchange_valve(t->pipelines[i].exchange)))
            return 1;
    return 0;
}

/* A watermark that a task hears of and passes on as its own source's is one more way. */
uint32_t task_rounds(const task_t *t) {
    uint32_t depth = 0;
    if (!t->dispatch)
        return 0;
    for (uint32_t i = 0; i < t->placement.n; i++)
        depth = t->placement.at[i].depth > depth ? t->placement.at[i].depth : depth;
    return depth + 1;
}

void task_drop_sent(task_t *t) {
    if (!t->dispatch)
        return;
    t->stepped = 0;
    dispatch_drop(t->dispatch);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        t->sources[i].is_said = 0;
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].exchange)
            exchange_drop(t->pipelines[i].exchange);
}

void task_lead(task_t *t, uint32_t rule) {
    pipeline_t *p = &t->pipelines[rule];
    for (size_t i = 0; p->exchange && i < p->n_leaving; i++) {
        const leaving_t *l = &p->leaving[i];
        placement_t places;
        placement_make(l->generation->plan, &places);
        if (!placement_same(&places.at[l->rule->index], exchange_place(p->exchange)))
            exchange_route(p->exchange, l->until, &places.at[l->rule->index]);
        placement_fini(&places);
    }
}

/* ---- the meta record ---- */

static void save_valve(buf_t *b, buf_t *part, const char *name, const valve_t *v) {
    buf_clear(part);
    valve_save(v, part);
    buf_add_bytes(b, name, strlen(name));
    buf_add_bytes(b, part->s, part->len);
}

/* Sources by name, then rules by name; an empty name ends each list. */
void task_save_valves(const task_t *t, buf_t *b) {
    buf_t part = {0};
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        save_valve(b, &part, t->sources[i].spec->name, &t->sources[i].everywhere);
    buf_add_bytes(b, NULL, 0);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].exchange)
            save_valve(b, &part, task_rules(t)->rules[i].name, exchange_valve(t->pipelines[i].exchange));
    buf_add_bytes(b, NULL, 0);
    buf_fini(&part);
}

static valve_t *source_valve(task_t *t, slice_t name) {
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        if (slice_eq(name, slice_of(t->sources[i].spec->name)))
            return &t->sources[i].everywhere;
    return NULL;
}

static valve_t *rule_valve(task_t *t, slice_t name) {
    int i = plan_rule_named(task_rules(t), name);
    return i >= 0 && t->pipelines[i].exchange ? exchange_valve(t->pipelines[i].exchange) : NULL;
}

int task_load_valves(task_t *t, reader_t *r) {
    for (int rules = 0; rules < 2; rules++)
        for (slice_t name = read_bytes(r); name.len > 0; name = read_bytes(r)) {
            slice_t bytes = read_bytes(r);
            reader_t part = reader_of(bytes.s, bytes.len);
            valve_t *v = rules ? rule_valve(t, name) : source_valve(t, name);
            if (v && valve_load(v, &part))
                return ERR_INVALID;
        }
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        if (t->sources[i].watermark.n == 0)
            t->sources[i].watermark.idle = 1;
    return r->bad ? ERR_INVALID : 0;
}
