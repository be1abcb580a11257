#include "decode.h"
#include "decode_walk.h"
#include "json.h"
#include "mem.h"
#include "number.h"
#include <math.h>

/* Event times are added to and rounded everywhere; 273,000 years each way keep that far from overflow. */
#define EVENT_TIME_MOST 8640000000000000

#define RECORDS_AHEAD 2
#define PREFETCH_MOST 2048 /* bytes of a record */

typedef struct source_column { /* a column of the spec, or the hidden one of the event time */
    char *name;
    int meta;           /* -1: a member */
    shape_node_t *node; /* of members; shared by columns of one name */
    uint32_t cells;     /* which array of cells: the first column of that name */
} source_column_t;

typedef struct source_list { /* elements of one path; equal paths share one */
    shape_node_t *node;
    uint32_t n_guess; /* room to start with: what the last batch needed */
} source_list_t;

struct decoder {
    source_column_t *columns;
    uint32_t n_columns; /* of the spec */
    uint32_t n_cells;   /* with the hidden one */
    const char **names;
    uint32_t *list_of; /* unnest of the spec -> list */
    uint32_t n_unnests;
    source_list_t *lists;
    uint32_t n_lists;
    int event_column; /* -1: the record's timestamp */
    int64_t event_unit_ms;
    const char *const *topics;
    uint32_t n_topics;
    intern_t *intern;
    shape_node_t *root;
    walk_fn walk;
    int predicts;
};

/* --- making --- */

static void want_symbols(shape_node_t *node, int intern) {
    if (intern)
        node->wants_symbols = node->interns = 1;
}

static int find_column(const decoder_t *d, const char *name) {
    for (uint32_t i = 0; i < d->n_cells; i++)
        if (strcmp(d->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void add_column(decoder_t *d, const char *name, int meta, int intern) {
    int same = find_column(d, name);
    uint32_t at = d->n_cells;
    source_column_t *c = &d->columns[at];
    *c = (source_column_t){mem_strdup(name), meta, NULL, at};
    if (same >= 0)
        c->cells = d->columns[same].cells;
    if (meta < 0) {
        c->node = shape_want_member(d->root, name);
        c->node->column = (int)c->cells;
        want_symbols(c->node, intern);
    }
    d->n_cells++;
}

static void add_list(decoder_t *d, uint32_t unnest, const decode_unnest_t *u) {
    shape_node_t *node = shape_want_path(d->root, u->path);
    if (!node) { /* no such path: nothing is ever found on it */
        d->list_of[unnest] = d->n_lists++;
        return;
    }
    if (node->list < 0) {
        node->list = (int)d->n_lists;
        d->lists[d->n_lists++].node = node;
    }
    want_symbols(node, u->intern);
    d->list_of[unnest] = (uint32_t)node->list;
}

decoder_t *decoder_new(const decode_spec_t *spec, intern_t *intern) {
    decoder_t *d = mem_zalloc(sizeof *d);
    d->root = shape_new();
    d->intern = intern;
    d->walk = walk_best();
    d->predicts = 1;
    d->event_unit_ms = spec->event_unit_ms ? spec->event_unit_ms : 1;
    d->columns = mem_zalloc((spec->n_columns + 1) * sizeof *d->columns);
    for (uint32_t i = 0; i < spec->n_columns; i++)
        add_column(d, spec->columns[i].name, spec->columns[i].meta, spec->columns[i].intern && intern);
    d->n_columns = d->n_cells;
    d->event_column = -1;
    if (spec->event_time) {
        if (find_column(d, spec->event_time) < 0)
            add_column(d, spec->event_time, -1, 0);
        d->event_column = find_column(d, spec->event_time);
    }
    d->names = mem_alloc((d->n_columns + 1) * sizeof *d->names);
    for (uint32_t i = 0; i < d->n_columns; i++)
        d->names[i] = d->columns[i].name;
    d->n_unnests = spec->n_unnests;
    d->list_of = mem_zalloc((spec->n_unnests + 1) * sizeof *d->list_of);
    d->lists = mem_zalloc((spec->n_unnests + 1) * sizeof *d->lists);
    for (uint32_t i = 0; i < spec->n_unnests; i++)
        add_list(d, i, &spec->unnests[i]);
    shape_settle(d->root);
    return d;
}

void decoder_free(decoder_t *d) {
    if (!d)
        return;
    for (uint32_t i = 0; i < d->n_cells; i++)
        mem_free(d->columns[i].name);
    mem_free(d->columns);
    mem_free(d->names);
    mem_free(d->list_of);
    mem_free(d->lists);
    shape_free(d->root);
    mem_free(d);
}

void decoder_name_topics(decoder_t *d, const char *const *names, uint32_t n) {
    d->topics = names;
    d->n_topics = n;
}

void decoder_predict(decoder_t *d, int on) { d->predicts = on; }

void decoder_narrow(decoder_t *d) { d->walk = walk_sse2; }

/* --- event time --- */

static int time_of_number(double ms, etime_t *out) {
    if (!(fabs(ms) <= (double)EVENT_TIME_MOST))
        return ERR_INVALID;
    *out = (etime_t)floor(ms);
    return 0;
}

int decode_event_time(const cell_t *c, int64_t unit_ms, etime_t *out) {
    if (c->kind == CELL_INT) {
        if (__builtin_mul_overflow(c->u.i, unit_ms, out) || *out > EVENT_TIME_MOST || *out < -EVENT_TIME_MOST)
            return ERR_INVALID;
        return 0;
    }
    if (cell_is_number(c))
        return time_of_number(cell_double(c) * (double)unit_ms, out);
    if (!cell_is_string(c))
        return ERR_INVALID;
    buf_t scratch = {0};
    slice_t text = cell_text(c, &scratch);
    int status = timefmt_parse(text.s, text.len, out);
    buf_fini(&scratch);
    return status;
}

/* --- metadata --- */

/* Keys are JSON in most places, but need not be: what is no object, array or string is taken as text. */
static cell_t key_cell(slice_t key) {
    if (!key.s)
        return cell_null();
    if (key.len && strchr("{[\"", key.s[0]) && key.s[0]) {
        const char *p = key.s, *end = key.s + key.len;
        if (json_skip(&p, end, 0) == 0 && json_ws(p, end) == end)
            return cell_from_json((slice_t){key.s, (size_t)(p - key.s)});
    }
    return cell_str(key.s, key.len);
}

static cell_t topic_cell(const decoder_t *d, int32_t topic) {
    if (topic < 0 || (uint32_t)topic >= d->n_topics)
        return cell_null();
    return cell_str(d->topics[topic], strlen(d->topics[topic]));
}

static cell_t meta_cell(const decoder_t *d, int meta, const record_t *r) {
    switch ((meta_kind_t)meta) {
    case META_TIMESTAMP: return r->timestamp < 0 ? cell_null() : cell_time(r->timestamp);
    case META_KEY: return key_cell(r->key);
    case META_TOPIC: return topic_cell(d, r->topic);
    case META_PARTITION: return cell_int(r->partition);
    case META_OFFSET: return cell_int(r->offset);
    case META_HEADERS: return r->headers.s ? cell_from_json(r->headers) : cell_null();
    }
    return cell_null();
}

/* --- records --- */

typedef struct batch_run { /* one call of decode_records */
    decoder_t *d;
    walk_t walk;
    cell_t **cells;
    origin_t *origins;
    etime_t latest;
    decoded_t *out;
    uint32_t n_records;
} batch_run_t;

static void clear_row(const batch_run_t *run) {
    for (uint32_t i = 0; i < run->d->n_cells; i++)
        run->cells[i][run->walk.row] = cell_null();
}

static const char *walk_record(batch_run_t *run, const record_t *r, const char **reason) {
    walk_t *w = &run->walk;
    const char *s = json_ws(r->value.s, r->value.s + r->value.len);
    walk_begin(w, r->value.s, r->value.len);
    if (r->value.len > UINT32_MAX) {
        *reason = "larger than 4 GB";
        return NULL;
    }
    if (s < w->end && *s != '{') {
        int status = json_valid(r->value.s, r->value.len);
        *reason = status ? json_reason(status) : "not a JSON object";
        return NULL;
    }
    const char *p = s < w->end ? run->d->walk(w, run->d->root, s) : NULL;
    if (!p && w->status == WALK_REPEATED) {
        for (uint32_t i = 0; i < run->d->n_lists; i++)
            w->lists[i].at = w->lists[i].cells + w->lists[i].start;
        clear_row(run);
        p = walk_repeated(w, run->d->root, s);
    }
    if (p && p < w->end && json_ws(p, w->end) != w->end) {
        w->status = JSON_TRAILING;
        p = NULL;
    }
    *reason = p ? NULL : json_reason(w->status);
    return p;
}

/* Of the row that was just read: NULL, or what is wrong with its event time. */
static const char *judge_time(const batch_run_t *run, const record_t *r, etime_t *time) {
    const decoder_t *d = run->d;
    if (d->event_column < 0) {
        *time = r->timestamp;
        if (r->timestamp < 0)
            return "no usable event time";
        return *time > run->latest ? "event time too far ahead" : NULL;
    }
    const source_column_t *c = &d->columns[d->event_column];
    cell_t meta, *cell = &run->cells[c->cells][run->walk.row];
    int64_t unit = d->event_unit_ms;
    if (c->meta >= 0) {
        meta = meta_cell(d, c->meta, r);
        cell = &meta;
        unit = 1;
    }
    if (cell->kind == CELL_INT && unit == 1 && cell->u.i <= EVENT_TIME_MOST && cell->u.i >= -EVENT_TIME_MOST)
        *time = cell->u.i;
    else if (decode_event_time(cell, unit, time))
        return "no usable event time";
    return *time > run->latest ? "event time too far ahead" : NULL;
}

/* NULL, or why the record is bad; the row is then to be used again. */
static const char *decode_record(batch_run_t *run, const record_t *r) {
    walk_list_t *lists = run->walk.lists, *end = lists + run->d->n_lists;
    const char *reason;
    if (!r->value.s)
        return "tombstone";
    for (walk_list_t *l = lists; l < end; l++)
        l->start = walk_list_n(l);
    if (!walk_record(run, r, &reason))
        return reason;
    for (walk_list_t *l = lists; l < end; l++)
        walk_number(l, run->walk.row);
    origin_t *o = &run->origins[run->walk.row];
    reason = judge_time(run, r, &o->time);
    o->offset = r->offset;
    o->topic = r->topic;
    o->partition = r->partition;
    o->tick = r->tick;
    o->flags = 0;
    o->key = r->key;
    o->value = r->value;
    return reason;
}

/* A column that comes from the records themselves, of those that became rows. */
static void fill_meta(const batch_run_t *run, const record_t *records, const source_column_t *column) {
    const decoded_t *out = run->out;
    cell_t *cell = run->cells[column->cells];
    uint32_t bad = 0;
    for (uint32_t i = 0; i < run->n_records; i++) {
        if (bad < out->n_bad && out->bad[bad].record == i) {
            bad++;
            continue;
        }
        cell_t c = meta_cell(run->d, column->meta, &records[i]);
        walk_write(cell++, c.kind | (uint64_t)c.flags << 8 | (uint64_t)c.len << 32, c.raw, (uint64_t)c.u.i);
    }
}

static void refuse(batch_run_t *run, uint32_t record, const char *reason, int is_tombstone) {
    decoded_t *out = run->out;
    if (!out->bad)
        out->bad = arena_array(run->walk.arena, decode_bad_t, run->n_records);
    out->bad[out->n_bad++] = (decode_bad_t){record, reason, is_tombstone};
    clear_row(run);
    for (uint32_t i = 0; i < run->d->n_lists; i++)
        if (!is_tombstone)
            run->walk.lists[i].at = run->walk.lists[i].cells + run->walk.lists[i].start;
}

static void begin(batch_run_t *run, arena_t *a) {
    decoder_t *d = run->d;
    uint32_t n = run->n_records;
    run->origins = arena_array(a, origin_t, n);
    run->cells = arena_array(a, cell_t *, d->n_cells);
    for (uint32_t i = 0; i < d->n_cells; i++) {
        run->cells[i] = arena_array(a, cell_t, n);
        memset(run->cells[i], 0, n * sizeof(cell_t));
    }
    walk_list_t *lists = arena_array(a, walk_list_t, d->n_lists);
    for (uint32_t i = 0; i < d->n_lists; i++)
        walk_list_init(&lists[i], a, d->lists[i].n_guess);
    run->walk = (walk_t){.arena = a,
                         .intern = d->intern,
                         .symbols = d->intern ? intern_short(d->intern) : NULL,
                         .columns = run->cells,
                         .lists = lists,
                         .predicts = d->predicts};
}

/* The new batch's symbols count for or against interning the column, and all of them for keeping the table. */
static void note_symbols(batch_run_t *run) {
    decoder_t *d = run->d;
    uint64_t asked = 0;
    for (uint32_t i = 0; i < d->n_columns; i++) {
        shape_node_t *node = d->columns[i].node;
        if (node && node->interns && d->columns[i].cells == i) {
            node->asked += run->walk.row;
            asked += run->walk.row;
        }
    }
    for (uint32_t i = 0; i < d->n_lists; i++) {
        shape_node_t *node = d->lists[i].node;
        uint32_t n = walk_list_n(&run->walk.lists[i]);
        d->lists[i].n_guess = n + n / 8 + 64;
        if (node && node->interns) {
            node->asked += n;
            asked += n;
        }
    }
    if (asked)
        intern_note_hits(d->intern, asked);
}

static void finish(batch_run_t *run, arena_t *a) {
    const decoder_t *d = run->d;
    uint32_t n = run->walk.row;
    const uint32_t *rows = batch_iota(a, n);
    uint32_t *sub = arena_array(a, uint32_t, n);
    column_t *columns = arena_array(a, column_t, d->n_columns);
    batch_t *b = arena_alloc(a, sizeof *b);
    memset(sub, 0, n * sizeof *sub);
    for (uint32_t i = 0; i < d->n_columns; i++)
        columns[i] = (column_t){run->cells[d->columns[i].cells], rows};
    *b = (batch_t){.n = n,
                   .n_origins = n,
                   .n_columns = d->n_columns,
                   .open = 1,
                   .origin = rows,
                   .sub = sub,
                   .origins = run->origins,
                   .columns = columns,
                   .names = d->names};
    run->out->batch = b;
    unnested_t *unnested = arena_array(a, unnested_t, d->n_unnests);
    for (uint32_t i = 0; i < d->n_unnests; i++) {
        const walk_list_t *l = &run->walk.lists[d->list_of[i]];
        unnested[i] = (unnested_t){walk_list_n(l), l->origin, l->sub, l->cells};
    }
    run->out->unnested = unnested;
}

/* Records lie behind one another, but what looks ahead by itself stops at each page, and mostly they come from another
 * core. */
static void prefetch_record(const record_t *r) {
    mem_prefetch((uintptr_t)r->value.s, r->value.len < PREFETCH_MOST ? r->value.len : PREFETCH_MOST);
}

void decode_records(decoder_t *d, const record_t *records, uint32_t n, etime_t latest, arena_t *a, decoded_t *out) {
    batch_run_t run = {.d = d, .latest = latest, .out = out, .n_records = n};
    *out = (decoded_t){0};
    shape_between_batches(d->root);
    begin(&run, a);
    for (uint32_t i = 0; i < n; i++) {
        if (i + RECORDS_AHEAD < n)
            prefetch_record(&records[i + RECORDS_AHEAD]);
        const char *reason = decode_record(&run, &records[i]);
        if (reason)
            refuse(&run, i, reason, !records[i].value.s);
        else
            run.walk.row++;
    }
    for (uint32_t i = 0; i < d->n_cells; i++)
        if (d->columns[i].meta >= 0)
            fill_meta(&run, records, &d->columns[i]);
    note_symbols(&run);
    finish(&run, a);
}
