#include "mem.h"
#include "parcel_form.h"

typedef struct read_stream {
    int number; /* the reader's; negative: not wanted */
    uint32_t n_columns;
    etime_t wm;
} read_stream_t;

typedef struct read_symbol {
    slice_t body, raw;
    const sym_t *sym; /* NULL: it is no symbol here */
} read_symbol_t;

typedef struct reading {
    const parcel_reading_t *to;
    reader_t r;
    read_stream_t *streams;
    size_t n_streams, cap_streams, current;
    int32_t *topics;
    size_t n_topics, cap_topics;
    read_symbol_t *symbols;
    size_t n_symbols, cap_symbols;
    cell_t *cells;
    size_t cap_cells;
    etime_t time, start, end;
    int64_t offset, partition;
} reading_t;

static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1 ^ (0 - (v & 1))); }

static int64_t difference(reader_t *r, int64_t before) {
    return (int64_t)((uint64_t)before + (uint64_t)unzigzag(read_varint(r)));
}

static void define_stream(reading_t *x) {
    parcel_stream_t s = {.rule = read_bytes(&x->r)};
    s.shape = read_u64(&x->r);
    uint64_t n = read_varint(&x->r);
    if (x->r.bad || n > x->r.len - x->r.pos) { /* a name takes a byte at least */
        x->r.bad = 1;
        return;
    }
    slice_t *columns = mem_alloc(((size_t)n + 1) * sizeof *columns);
    for (uint64_t i = 0; i < n; i++)
        columns[i] = read_bytes(&x->r);
    s.columns = columns;
    s.n_columns = (uint32_t)n;
    if (!x->r.bad) {
        mem_grow(&x->streams, &x->cap_streams, x->n_streams + 1, sizeof *x->streams);
        mem_grow(&x->cells, &x->cap_cells, (size_t)n + 1, sizeof *x->cells);
        x->streams[x->n_streams++] = (read_stream_t){x->to->stream(x->to->ctx, &s), s.n_columns, 0};
    }
    mem_free(columns);
}

static void read_stream(reading_t *x) {
    uint64_t ref = read_varint(&x->r);
    if (ref == x->n_streams)
        define_stream(x);
    x->r.bad |= ref >= x->n_streams;
    x->current = (size_t)ref;
}

/* The stream that items are of; NULL: none was named. */
static read_stream_t *stream_of(reading_t *x) {
    x->r.bad |= x->current >= x->n_streams;
    return x->r.bad ? NULL : &x->streams[x->current];
}

static void read_level(reading_t *x) {
    read_stream_t *s = stream_of(x);
    uint8_t flags = read_u8(&x->r);
    if (!s)
        return;
    parcel_level_t level = {ETIME_MIN, flags & LEVEL_IDLE};
    if (!(flags & LEVEL_NOWHERE))
        level.wm = s->wm = difference(&x->r, s->wm);
    if (!x->r.bad && s->number >= 0)
        x->to->level(x->to->ctx, s->number, level);
}

static int32_t read_topic(reading_t *x) {
    uint64_t ref = read_varint(&x->r);
    if (ref == x->n_topics) {
        slice_t name = read_bytes(&x->r);
        mem_grow(&x->topics, &x->cap_topics, x->n_topics + 1, sizeof *x->topics);
        x->topics[x->n_topics++] = x->r.bad ? TOPIC_NONE : x->to->topic(x->to->ctx, name);
    }
    x->r.bad |= ref >= x->n_topics;
    return x->r.bad ? TOPIC_NONE : x->topics[ref];
}

static void define_symbol(reading_t *x) {
    read_symbol_t s = {.body = read_bytes(&x->r)};
    s.raw = read_bytes(&x->r);
    if (x->r.bad)
        return;
    s.sym = x->to->symbol(x->to->ctx, s.body);
    mem_grow(&x->symbols, &x->cap_symbols, x->n_symbols + 1, sizeof *x->symbols);
    x->symbols[x->n_symbols++] = s;
}

static cell_t string_cell(slice_t raw) {
    cell_t c = {.kind = CELL_STR, .flags = CELL_CLEAN, .len = (uint32_t)raw.len, .raw = raw.s};
    if (raw.len && memchr(raw.s, '\\', raw.len))
        c.flags = CELL_ESCAPED;
    return c;
}

static cell_t read_symbol(reading_t *x, uint8_t spelt) {
    uint64_t ref = read_varint(&x->r);
    if (ref == x->n_symbols)
        define_symbol(x);
    x->r.bad |= ref >= x->n_symbols || spelt == 0;
    if (x->r.bad)
        return cell_null();
    const read_symbol_t *s = &x->symbols[ref];
    slice_t raw = spelt == SPELT_BODY ? s->body : spelt == SPELT_ALIKE ? s->raw : read_bytes(&x->r);
    if (x->r.bad || !s->sym)
        return string_cell(raw);
    return (cell_t){.kind = CELL_SYM, .len = (uint32_t)raw.len, .raw = raw.s, .u.sym = s->sym};
}

static cell_t read_cell(reading_t *x) {
    if (x->r.pos < x->r.len && (x->r.s[x->r.pos] & 0x0f) == CELL_SYM)
        return read_symbol(x, (uint8_t)(read_u8(&x->r) & SPELT));
    return cell_load(&x->r);
}

static void read_row(reading_t *x) {
    read_stream_t *s = stream_of(x);
    uint8_t flags = read_u8(&x->r);
    if (!s)
        return;
    origin_t o = {.topic = TOPIC_NONE,
                  .flags = (flags & ROW_PARTIAL ? ORIGIN_PARTIAL : 0u) | (flags & ROW_MARKED ? ORIGIN_MARKED : 0u)};
    o.time = x->time = difference(&x->r, x->time);
    if (flags & ROW_TOPIC)
        o.topic = read_topic(x);
    x->partition = difference(&x->r, x->partition);
    o.partition = (int32_t)x->partition;
    o.offset = x->offset = difference(&x->r, x->offset);
    uint64_t sub = read_varint(&x->r);
    if (flags & ROW_KEY)
        o.key = read_bytes(&x->r);
    if (flags & ROW_VALUE)
        o.value = read_bytes(&x->r);
    for (uint32_t i = 0; i < s->n_columns && !x->r.bad; i++)
        x->cells[i] = read_cell(x);
    x->r.bad |= o.partition != x->partition || sub > UINT32_MAX;
    if (!x->r.bad && s->number >= 0)
        x->to->row(x->to->ctx, s->number, &o, (uint32_t)sub, x->cells);
}

static void read_partial(reading_t *x) {
    read_stream_t *s = stream_of(x);
    if (!s)
        return;
    x->start = difference(&x->r, x->start);
    x->end = difference(&x->r, x->end);
    uint64_t last = read_varint(&x->r);
    slice_t state = read_bytes(&x->r);
    x->r.bad |= x->start >= x->end;
    if (!x->r.bad && s->number >= 0)
        x->to->partial(x->to->ctx, s->number, x->start, x->end, last, state);
}

static void read_source(reading_t *x) {
    slice_t name = read_bytes(&x->r);
    uint8_t flags = read_u8(&x->r);
    parcel_level_t level = {(etime_t)read_u64(&x->r), flags & LEVEL_IDLE};
    if (!x->r.bad)
        x->to->source(x->to->ctx, name, level);
}

int parcel_read(slice_t body, const parcel_reading_t *to) {
    reading_t x = {.to = to, .r = reader_of(body.s, body.len), .current = SIZE_MAX};
    while (!x.r.bad && x.r.pos < x.r.len)
        switch (read_u8(&x.r)) {
        case ITEM_STREAM: read_stream(&x); break;
        case ITEM_LEVEL: read_level(&x); break;
        case ITEM_ROW: read_row(&x); break;
        case ITEM_PARTIAL: read_partial(&x); break;
        case ITEM_SOURCE: read_source(&x); break;
        default: x.r.bad = 1;
        }
    mem_free(x.streams);
    mem_free(x.topics);
    mem_free(x.symbols);
    mem_free(x.cells);
    return x.r.bad ? ERR_INVALID : 0;
}
