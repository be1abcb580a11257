#include "exchange.h"

#include "frame.h"
#include "mem.h"

#define GATHER_BYTES (8u << 20) /* what is added up goes out when it has grown to this */
#define KNOWN_KEYS 256          /* symbols whose task is remembered during a step */

typedef struct columns { /* of rows that came: where the exchange's columns stand among theirs */
    uint32_t n;
    uint32_t *at; /* by the sender's column: ours */
} columns_t;

typedef struct known_key {
    const sym_t *sym;
    uint32_t task;
} known_key_t;

typedef struct route { /* where rows of a version that leaves go */
    etime_t until;
    int stay; /* nowhere: it had no exchange */
    char **by;
    uint32_t n;
} route_t;

struct exchange {
    const rule_t *rule;
    const place_t *place;
    dispatch_t *dispatch;
    route_t *routes;
    size_t n_routes, cap_routes;
    valve_t valve; /* over the tasks */
    exchange_stats_t stats;
    /* sending */
    parcel_level_t now;   /* of the upstream half */
    parcel_level_t *told; /* per task, in this interval */
    uint8_t *is_told;
    parcel_level_t closed; /* what all tasks know since the last interval */
    int is_closed, is_seen;
    store_t *gathered; /* of rows that are added up, never restored */
    group_t *adding;
    buf_t key;
    known_key_t known[KNOWN_KEYS];
    /* this step */
    int passed;
    etime_t wm_before;
    int idle_before;
    const char **names; /* columns of the rows that came */
    uint32_t n_names;
    size_t cap_names;
    columns_t *columns;
    uint32_t n_columns;
    size_t cap_columns;
    origin_t *origins;
    uint32_t *subs, *starts, *shapes; /* per row: number in its record, first of its cells, index into columns */
    uint32_t n_rows;
    size_t cap_origins, cap_subs, cap_starts, cap_shapes;
    cell_t *cells; /* row by row; the first one is null */
    uint32_t n_cells;
    size_t cap_cells;
    mark_t *marks;
    uint32_t n_marks;
    size_t cap_marks;
    group_partial_t *partials;
    uint32_t n_partials;
    size_t cap_partials;
};

uint64_t exchange_shape(const rule_t *rule) { return frame_hash(rule->state_hash, strlen(rule->state_hash)); }

exchange_t *exchange_new(const rule_t *rule, const place_t *place, dispatch_t *d, reign_t reign) {
    exchange_t *x = mem_zalloc(sizeof *x);
    x->rule = rule;
    x->place = place;
    x->dispatch = d;
    x->now.wm = ETIME_MIN;
    x->told = mem_zalloc(dispatch_n(d) * sizeof *x->told);
    x->is_told = mem_zalloc(dispatch_n(d));
    valve_init(&x->valve, dispatch_n(d));
    x->valve.holds = 1;
    if (place->combines) {
        x->gathered = store_new(0);
        x->adding = group_new_from(rule, x->gathered, reign);
        group_gather(x->adding);
    }
    exchange_begin(x);
    return x;
}

void exchange_free(exchange_t *x) {
    if (!x)
        return;
    group_free(x->adding);
    store_free(x->gathered);
    valve_fini(&x->valve);
    buf_fini(&x->key);
    for (size_t i = 0; i < x->n_routes; i++) {
        names_t by = {x->routes[i].by, x->routes[i].n};
        names_free(&by);
    }
    mem_free(x->routes);
    mem_free(x->told);
    mem_free(x->is_told);
    mem_free(x->names);
    mem_free(x->columns);
    mem_free(x->origins);
    mem_free(x->subs);
    mem_free(x->starts);
    mem_free(x->shapes);
    mem_free(x->cells);
    mem_free(x->marks);
    mem_free(x->partials);
    mem_free(x);
}

const place_t *exchange_place(const exchange_t *x) { return x->place; }

void exchange_route(exchange_t *x, etime_t until, const place_t *place) {
    route_t r = {until, !place->exchanged, mem_alloc((place->by.n + 1) * sizeof(char *)), place->by.n};
    for (uint32_t i = 0; i < r.n; i++)
        r.by[i] = mem_strdup(place->by.at[i]);
    mem_grow(&x->routes, &x->cap_routes, x->n_routes + 1, sizeof *x->routes);
    x->routes[x->n_routes++] = r;
}

valve_t *exchange_valve(exchange_t *x) { return &x->valve; }
const exchange_stats_t *exchange_stats(const exchange_t *x) { return &x->stats; }

/* ---- receiving ---- */

void exchange_begin(exchange_t *x) {
    x->passed = 0;
    x->wm_before = x->valve.now;
    x->idle_before = x->valve.idle;
    x->n_names = x->n_columns = x->n_rows = x->n_marks = x->n_partials = 0;
    mem_grow(&x->cells, &x->cap_cells, 1, sizeof *x->cells);
    x->cells[0] = cell_null();
    x->n_cells = 1;
    mem_grow(&x->names, &x->cap_names, x->place->needs.n + 1, sizeof *x->names);
    for (uint32_t i = 0; i < x->place->needs.n; i++)
        x->names[x->n_names++] = x->place->needs.at[i];
    memset(x->known, 0, sizeof x->known);
}

static uint32_t name_index(exchange_t *x, arena_t *a, slice_t name) {
    for (uint32_t i = 0; i < x->n_names; i++)
        if (slice_eq(slice_of(x->names[i]), name))
            return i;
    char *copy = arena_alloc(a, name.len + 1);
    memcpy(copy, name.s, name.len);
    copy[name.len] = 0;
    mem_grow(&x->names, &x->cap_names, x->n_names + 1, sizeof *x->names);
    x->names[x->n_names] = copy;
    return x->n_names++;
}

int exchange_columns(exchange_t *x, arena_t *a, const parcel_stream_t *s) {
    columns_t c = {s->n_columns, arena_array(a, uint32_t, s->n_columns + 1)};
    for (uint32_t i = 0; i < s->n_columns; i++)
        c.at[i] = name_index(x, a, s->columns[i]);
    for (uint32_t k = 0; k < x->n_columns; k++)
        if (x->columns[k].n == c.n && memcmp(x->columns[k].at, c.at, c.n * sizeof *c.at) == 0)
            return (int)k;
    mem_grow(&x->columns, &x->cap_columns, x->n_columns + 1, sizeof *x->columns);
    x->columns[x->n_columns] = c;
    return (int)x->n_columns++;
}

void exchange_row(exchange_t *x, int columns, const origin_t *o, uint32_t sub, const cell_t *cells, uint32_t tick) {
    uint32_t n = x->columns[columns].n;
    mem_grow(&x->origins, &x->cap_origins, x->n_rows + 1, sizeof *x->origins);
    mem_grow(&x->subs, &x->cap_subs, x->n_rows + 1, sizeof *x->subs);
    mem_grow(&x->starts, &x->cap_starts, x->n_rows + 1, sizeof *x->starts);
    mem_grow(&x->shapes, &x->cap_shapes, x->n_rows + 1, sizeof *x->shapes);
    mem_grow(&x->cells, &x->cap_cells, (size_t)x->n_cells + n, sizeof *x->cells);
    x->origins[x->n_rows] = *o;
    x->origins[x->n_rows].tick = tick;
    x->subs[x->n_rows] = sub;
    x->starts[x->n_rows] = x->n_cells;
    x->shapes[x->n_rows++] = (uint32_t)columns;
    memcpy(x->cells + x->n_cells, cells, n * sizeof *cells);
    x->n_cells += n;
}

int exchange_ends_at(const exchange_t *x, uint32_t tick) {
    return x->n_rows > 0 && x->origins[x->n_rows - 1].tick == tick;
}

void exchange_partial(exchange_t *x, const group_partial_t *p) {
    mem_grow(&x->partials, &x->cap_partials, x->n_partials + 1, sizeof *x->partials);
    x->partials[x->n_partials++] = *p;
}

int exchange_level(exchange_t *x, uint32_t from, parcel_level_t level, uint32_t tick) {
    if (!valve_put(&x->valve, from, level.wm, level.idle))
        return 0;
    mem_grow(&x->marks, &x->cap_marks, x->n_marks + 1, sizeof *x->marks);
    x->marks[x->n_marks++] = (mark_t){x->valve.now, tick, (uint32_t)x->valve.idle};
    return 1;
}

const group_partial_t *exchange_partials(const exchange_t *x, uint32_t *n) {
    *n = x->n_partials;
    return x->partials;
}

/* Where a column of ours stands among those of a row's shape; UINT32_MAX: it has none. */
static uint32_t place_in(const columns_t *c, uint32_t column) {
    for (uint32_t i = 0; i < c->n; i++)
        if (c->at[i] == column)
            return i;
    return UINT32_MAX;
}

/* Rows of one shape share a map: a column is their cells from its place on. */
static column_t shared_column(const exchange_t *x, uint32_t column, const uint32_t *nulls) {
    uint32_t at = place_in(&x->columns[x->shapes[0]], column);
    if (at == UINT32_MAX)
        return (column_t){x->cells, nulls};
    return (column_t){x->cells + at, x->starts};
}

static column_t own_column(const exchange_t *x, arena_t *a, uint32_t column) {
    uint32_t *map = arena_array(a, uint32_t, x->n_rows);
    for (uint32_t i = 0; i < x->n_rows; i++) {
        uint32_t at = place_in(&x->columns[x->shapes[i]], column);
        map[i] = at == UINT32_MAX ? 0 : x->starts[i] + at;
    }
    return (column_t){x->cells, map};
}

static batch_t *received(const exchange_t *x, arena_t *a) {
    uint32_t open = 0, one_shape = 1;
    for (uint32_t i = 0; i < x->n_rows; i++) {
        open |= x->origins[i].value.s != NULL;
        one_shape &= x->shapes[i] == x->shapes[0];
    }
    uint32_t *nulls = arena_array(a, uint32_t, x->n_rows + 1);
    memset(nulls, 0, x->n_rows * sizeof *nulls);
    column_t *columns = arena_array(a, column_t, x->n_names + 1);
    for (uint32_t i = 0; i < x->n_names; i++)
        columns[i] = x->n_rows == 0 ? (column_t){x->cells, nulls}
                     : one_shape    ? shared_column(x, i, nulls)
                                    : own_column(x, a, i);
    batch_t *b = arena_alloc(a, sizeof *b);
    *b = (batch_t){.n = x->n_rows,
                   .n_origins = x->n_rows,
                   .n_columns = x->n_names,
                   .open = open,
                   .origin = batch_iota(a, x->n_rows + 1),
                   .sub = x->subs,
                   .origins = x->origins,
                   .columns = columns,
                   .names = x->names};
    return b;
}

/* ---- sending ---- */

/* One step's rows on their way. */
typedef struct sending {
    exchange_t *x;
    step_t *s;
    const batch_t *b;
    int *by;              /* distribution columns: index, or -1 */
    int *at;              /* columns that go: index, or -1 */
    parcel_stream_t name; /* what the receiver is told of them */
    cell_t *cells;
    int whole; /* with the record's bytes */
} sending_t;

static uint32_t task_of_bytes(const exchange_t *x, const void *s, size_t len) {
    uint64_t h = frame_hash(s, len);
    return (uint32_t)(h % dispatch_n(x->dispatch));
}

static cell_t cell_at(const batch_t *b, int column, const char *name, uint32_t row) {
    return column >= 0 ? *batch_cell(b, (uint32_t)column, row) : batch_lookup(b, name, strlen(name), row);
}

static uint32_t task_of_keys(exchange_t *x, const cell_t *keys, uint32_t n) {
    buf_clear(&x->key);
    for (uint32_t i = 0; i < n; i++)
        cell_key(&x->key, &keys[i]);
    return task_of_bytes(x, x->key.s, x->key.len);
}

static uint32_t task_of_home(const exchange_t *x) { return task_of_bytes(x, x->place->home, strlen(x->place->home)); }

/* Of a row that a version which leaves takes; a rule keeps its name, and so its home. */
static uint32_t task_of_route(sending_t *g, const route_t *r, uint32_t row) {
    if (r->stay)
        return dispatch_self(g->x->dispatch);
    if (r->n == 0)
        return task_of_home(g->x);
    cell_t *keys = arena_array(g->s->arena, cell_t, r->n);
    for (uint32_t i = 0; i < r->n; i++)
        keys[i] = cell_at(g->b, batch_column(g->b, r->by[i]), r->by[i], row);
    return task_of_keys(g->x, keys, r->n);
}

/* The task at which rows of such keys are together. */
static uint32_t task_of_row(sending_t *g, uint32_t row) {
    exchange_t *x = g->x;
    const place_t *place = x->place;
    for (size_t i = 0; i < x->n_routes; i++)
        if (batch_origin(g->b, row)->time < x->routes[i].until)
            return task_of_route(g, &x->routes[i], row);
    if (place->by_record_key) {
        slice_t key = batch_origin(g->b, row)->key;
        return task_of_bytes(x, key.s ? key.s : "", key.len);
    }
    if (place->by.n == 0)
        return task_of_home(x);
    if (place->by.n > 1 || g->by[0] < 0) {
        cell_t *keys = g->cells + g->name.n_columns;
        for (uint32_t i = 0; i < place->by.n; i++)
            keys[i] = cell_at(g->b, g->by[i], place->by.at[i], row);
        return task_of_keys(x, keys, place->by.n);
    }
    const cell_t *c = batch_cell(g->b, (uint32_t)g->by[0], row);
    if (c->kind != CELL_SYM)
        return task_of_keys(x, c, 1);
    known_key_t *k = &x->known[((uintptr_t)c->u.sym >> 4) % KNOWN_KEYS];
    if (k->sym != c->u.sym)
        *k = (known_key_t){c->u.sym, task_of_keys(x, c, 1)};
    return k->task;
}

static parcel_t *parcel_for(exchange_t *x, uint32_t task, const parcel_stream_t *name) {
    parcel_t *p = dispatch_parcel(x->dispatch, task);
    parcel_put_stream(p, x->rule->index, name);
    return p;
}

static parcel_stream_t plain_name(const exchange_t *x) {
    return (parcel_stream_t){.rule = slice_of(x->rule->name), .shape = exchange_shape(x->rule)};
}

/* The task learns how far the stream has come, unless it knows. */
static void tell(exchange_t *x, uint32_t task, const parcel_stream_t *name, arena_t *a) {
    if (x->is_told[task] && parcel_same_level(x->told[task], x->now))
        return;
    parcel_put_level(parcel_for(x, task, name), x->now);
    x->told[task] = x->now;
    x->is_told[task] = 1;
    dispatch_wrote(x->dispatch, task, a);
}

static void send_row(sending_t *g, uint32_t row) {
    exchange_t *x = g->x;
    uint32_t task = task_of_row(g, row);
    for (uint32_t i = 0; i < g->name.n_columns; i++) {
        g->cells[i] = g->at[i] >= 0 ? *batch_cell(g->b, (uint32_t)g->at[i], row)
                                    : batch_lookup(g->b, g->name.columns[i].s, g->name.columns[i].len, row);
    }
    tell(x, task, &g->name, g->s->arena);
    parcel_put_row(parcel_for(x, task, &g->name), batch_origin(g->b, row), g->b->sub[row], g->cells, g->name.n_columns,
                   x->place->with_key || g->whole, g->whole, g->s->topics);
    dispatch_wrote(x->dispatch, task, g->s->arena);
    x->stats.rows++;
}

static void name_columns(sending_t *g, const names_t *needs, int plain) {
    arena_t *a = g->s->arena;
    const batch_t *b = g->b;
    int all = plain || !needs->at;
    uint32_t n = all ? b->n_columns : needs->n;
    slice_t *columns = arena_array(a, slice_t, n + 1);
    g->at = arena_array(a, int, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = all ? b->names[i] : needs->at[i];
        columns[i] = slice_of(name);
        g->at[i] = all ? (int)i : batch_column(b, name);
    }
    int explain = batch_column(b, EXPLAIN_COLUMN);
    if (!all && explain >= 0 && names_index(needs, EXPLAIN_COLUMN) < 0) {
        columns[n] = slice_of(EXPLAIN_COLUMN);
        g->at[n++] = explain;
    }
    g->name = plain_name(g->x);
    g->name.columns = columns;
    g->name.n_columns = n;
    g->whole = all && b->open;
}

static sending_t prepare(exchange_t *x, step_t *s, const batch_t *b, int plain) {
    sending_t g = {.x = x, .s = s, .b = b};
    const names_t *by = &x->place->by;
    name_columns(&g, &x->place->needs, plain);
    g.by = arena_array(s->arena, int, by->n + 1);
    for (uint32_t i = 0; i < by->n; i++)
        g.by[i] = batch_column(b, by->at[i]);
    g.cells = arena_array(s->arena, cell_t, g.name.n_columns + by->n + 1);
    return g;
}

/* ---- adding up ---- */

typedef struct shipping {
    exchange_t *x;
    arena_t *arena;
    parcel_stream_t name;
    cell_t *cells;
} shipping_t;

/* The group's own key says where it goes: the distribution columns are among those it is grouped by. */
static void ship_one(void *ctx, const group_partial_t *p) {
    shipping_t *h = ctx;
    exchange_t *x = h->x;
    const rule_t *r = x->rule;
    const names_t *by = &x->place->by;
    cell_t *keys = h->cells + r->group_by.n;
    reader_t saved = reader_of(p->cells.s, p->cells.len);
    for (uint32_t i = 0; i < r->group_by.n; i++)
        h->cells[i] = cell_load(&saved);
    for (uint32_t i = 0; i < by->n; i++)
        keys[i] = h->cells[names_index(&r->group_by, by->at[i])];
    uint32_t task = by->n ? task_of_keys(x, keys, by->n) : task_of_home(x);
    parcel_put_partial(parcel_for(x, task, &h->name), p->span.start, p->span.end, p->last, p->state);
    dispatch_wrote(x->dispatch, task, h->arena);
    x->stats.partials++;
}

/* Before any task hears of a watermark behind which these rows might be late. */
static void ship(exchange_t *x, arena_t *a) {
    if (!x->adding || group_gathered(x->adding) == 0)
        return;
    shipping_t h = {x, a, plain_name(x), arena_array(a, cell_t, x->rule->group_by.n + x->place->by.n + 1)};
    group_ship(x->adding, ship_one, &h);
    store_commit(x->gathered);
}

/* A row may be added up when no window of it is over by its own stream's watermark: no task has been told more than that.
 * Behind an idle stream the others may have gone on. */
static int may_gather(const exchange_t *x, etime_t time) {
    window_iter_t it;
    return window_first(&it, &x->rule->window, time) && !window_is_over(it.span.end, 0, x->now.wm);
}

static int gather(exchange_t *x, step_t *s, const batch_t *b, const uint32_t *rows, uint32_t n) {
    if (n == 0)
        return 0;
    step_t own = *s;
    own.store = x->gathered;
    result_t nothing;
    stream_t in = {.batch = batch_select(s->arena, b, rows, n), .wm_before = ETIME_MIN};
    x->stats.gathered += n;
    int rc = group_run(x->adding, &own, &in, &nothing);
    own.store = s->store;
    *s = own; /* the script may be another one now */
    return rc;
}

/* ---- one step ---- */

static void pass_mark(sending_t *g, const mark_t *m) {
    exchange_t *x = g->x;
    x->now = (parcel_level_t){m->wm, (int)m->idle};
    for (uint32_t i = 0; x->place->dense && i < dispatch_n(x->dispatch); i++)
        tell(x, i, &g->name, g->s->arena);
}

static int send_all(exchange_t *x, step_t *s, const stream_t *in, int plain) {
    sending_t g = prepare(x, s, in->batch, plain);
    uint32_t *sel = arena_array(s->arena, uint32_t, in->batch->n + 1), n = 0, m = 0;
    int adds = x->adding && !plain && x->is_closed && !x->closed.idle, rc = 0;
    x->now = (parcel_level_t){in->wm_before, in->idle_before};
    x->is_seen = 1;
    for (uint32_t row = 0; row < in->batch->n && rc == 0; row++) {
        while (m < in->n_marks && in->marks[m].tick < stream_tick(in, row))
            pass_mark(&g, &in->marks[m++]);
        if (adds && may_gather(x, batch_origin(in->batch, row)->time)) {
            sel[n++] = row;
            continue;
        }
        if (adds) { /* what was added up before stays ahead of the watermark that this row needs */
            rc = gather(x, s, in->batch, sel, n);
            n = 0;
            ship(x, s->arena);
        }
        if (rc == 0)
            send_row(&g, row);
    }
    while (m < in->n_marks)
        pass_mark(&g, &in->marks[m++]);
    if (rc == 0)
        rc = gather(x, s, in->batch, sel, n);
    if (x->adding && group_gathered(x->adding) > GATHER_BYTES)
        ship(x, s->arena);
    return rc;
}

int exchange_pass(exchange_t *x, step_t *s, stream_t *stream, int plain) {
    int rc = x->passed ? 0 : send_all(x, s, stream, plain);
    x->passed = 1;
    *stream = (stream_t){.batch = received(x, s->arena),
                         .marks = x->marks,
                         .n_marks = x->n_marks,
                         .wm_before = x->wm_before,
                         .idle_before = x->idle_before};
    return rc;
}

void exchange_close(exchange_t *x, arena_t *a) {
    ship(x, a);
    if (!x->is_seen)
        return;
    parcel_stream_t name = plain_name(x);
    for (uint32_t i = 0; i < dispatch_n(x->dispatch); i++)
        tell(x, i, &name, a);
    x->closed = x->now;
    x->is_closed = 1;
}

int exchange_unsent(const exchange_t *x) {
    if (x->adding && group_gathered(x->adding) > 0)
        return 1;
    for (uint32_t i = 0; x->is_seen && i < dispatch_n(x->dispatch); i++)
        if (!x->is_told[i] || !parcel_same_level(x->told[i], x->now))
            return 1;
    return 0;
}

static void drop_one(void *ctx, const group_partial_t *p) {
    (void)ctx;
    (void)p;
}

void exchange_drop(exchange_t *x) {
    memset(x->is_told, 0, dispatch_n(x->dispatch));
    x->is_closed = x->is_seen = 0;
    if (!x->adding)
        return;
    group_ship(x->adding, drop_one, NULL);
    store_commit(x->gathered);
}
