#include "mem.h"
#include "parcel_form.h"

typedef struct last { /* what differences are taken to */
    etime_t time, start, end;
    int64_t offset;
    int32_t partition;
} last_t;

typedef struct stream_ref {
    uint32_t number; /* the caller's */
    uint64_t columns;
    etime_t wm;
} stream_ref_t;

typedef struct spelling { /* of an interned string, as this body first had it */
    uint32_t ref;         /* plus one; 0: not in this body */
    uint32_t len;         /* 0: as the symbol's own body */
    size_t at;            /* in `spellings` */
} spelling_t;

struct parcel {
    buf_t body;
    last_t last;
    stream_ref_t *streams;
    uint32_t n_streams, current;
    size_t cap_streams;
    uint32_t *topics; /* by the task's topic number: ref plus one */
    uint32_t n_topics;
    size_t cap_topics;
    spelling_t *symbols; /* by symbol id */
    size_t cap_symbols;
    uint32_t *used; /* ids that have an entry */
    size_t n_used, cap_used;
    uint32_t n_symbols; /* of this body */
    buf_t spellings;
};

static uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (v < 0 ? ~(uint64_t)0 : 0); }
static void put_difference(buf_t *b, int64_t now, int64_t before) {
    buf_add_varint(b, zigzag((int64_t)((uint64_t)now - (uint64_t)before)));
}
parcel_t *parcel_new(void) { return mem_zalloc(sizeof(parcel_t)); }

void parcel_free(parcel_t *p) {
    if (!p)
        return;
    buf_fini(&p->body);
    buf_fini(&p->spellings);
    mem_free(p->streams);
    mem_free(p->topics);
    mem_free(p->symbols);
    mem_free(p->used);
    mem_free(p);
}

void parcel_forget_symbols(parcel_t *p) {
    for (size_t i = 0; i < p->n_used; i++)
        p->symbols[p->used[i]] = (spelling_t){0};
    p->n_used = 0;
    buf_clear(&p->spellings);
}

void parcel_clear(parcel_t *p) {
    parcel_forget_symbols(p);
    buf_clear(&p->body);
    p->last = (last_t){0};
    p->n_streams = p->current = p->n_symbols = p->n_topics = 0;
    if (p->cap_topics)
        memset(p->topics, 0, p->cap_topics * sizeof *p->topics);
}

size_t parcel_size(const parcel_t *p) { return p->body.len; }
slice_t parcel_body(parcel_t *p) { return buf_slice(&p->body); }

/* ---- writing ---- */

static uint64_t columns_mark(const parcel_stream_t *s) {
    uint64_t h = s->shape + s->n_columns;
    for (uint32_t i = 0; i < s->n_columns; i++)
        h = h * 31 + map_hash(s->columns[i].s, s->columns[i].len);
    return h;
}

void parcel_put_stream(parcel_t *p, uint32_t number, const parcel_stream_t *s) {
    uint64_t columns = columns_mark(s);
    uint32_t i = 0;
    while (i < p->n_streams && (p->streams[i].number != number || p->streams[i].columns != columns))
        i++;
    if (i < p->n_streams && i == p->current)
        return;
    p->current = i;
    buf_add_char(&p->body, ITEM_STREAM);
    buf_add_varint(&p->body, i);
    if (i < p->n_streams)
        return;
    mem_grow(&p->streams, &p->cap_streams, p->n_streams + 1, sizeof *p->streams);
    p->streams[p->n_streams++] = (stream_ref_t){number, columns, 0};
    buf_add_bytes(&p->body, s->rule.s, s->rule.len);
    buf_add_u64(&p->body, s->shape);
    buf_add_varint(&p->body, s->n_columns);
    for (uint32_t k = 0; k < s->n_columns; k++)
        buf_add_bytes(&p->body, s->columns[k].s, s->columns[k].len);
}

static char level_flags(parcel_level_t level) {
    return (char)((level.idle ? LEVEL_IDLE : 0) | (level.wm == ETIME_MIN ? LEVEL_NOWHERE : 0));
}

void parcel_put_level(parcel_t *p, parcel_level_t level) {
    stream_ref_t *s = &p->streams[p->current];
    buf_add_char(&p->body, ITEM_LEVEL);
    buf_add_char(&p->body, level_flags(level));
    if (level.wm == ETIME_MIN)
        return;
    put_difference(&p->body, level.wm, s->wm);
    s->wm = level.wm;
}

static void put_topic(parcel_t *p, int32_t topic, const char *name) {
    size_t had = p->cap_topics;
    mem_grow(&p->topics, &p->cap_topics, (size_t)topic + 1, sizeof *p->topics);
    if (p->cap_topics > had)
        memset(p->topics + had, 0, (p->cap_topics - had) * sizeof *p->topics);
    if (p->topics[topic]) {
        buf_add_varint(&p->body, p->topics[topic] - 1);
        return;
    }
    buf_add_varint(&p->body, p->n_topics);
    p->topics[topic] = ++p->n_topics;
    buf_add_bytes(&p->body, name, strlen(name));
}

static spelling_t *spelling_of(parcel_t *p, const sym_t *sym) {
    size_t had = p->cap_symbols;
    mem_grow(&p->symbols, &p->cap_symbols, (size_t)sym->id + 1, sizeof *p->symbols);
    if (p->cap_symbols > had)
        memset(p->symbols + had, 0, (p->cap_symbols - had) * sizeof *p->symbols);
    return &p->symbols[sym->id];
}

static int is_body(const cell_t *c) {
    return !c->raw || (c->len == c->u.sym->body_len && memcmp(c->raw, c->u.sym->body, c->len) == 0);
}

/* The first time in a body: the value and this row's spelling of it; then a number. */
static void put_symbol(parcel_t *p, const cell_t *c) {
    const sym_t *sym = c->u.sym;
    spelling_t *known = spelling_of(p, sym);
    int body = is_body(c), is_new = known->ref == 0, own = 0;
    if (!body && !is_new)
        own = known->len != c->len || memcmp(p->spellings.s + known->at, c->raw, c->len) != 0;
    buf_add_char(&p->body, (char)(CELL_SYM | (body ? SPELT_BODY : own ? SPELT_OWN : SPELT_ALIKE)));
    if (!is_new) {
        buf_add_varint(&p->body, known->ref - 1);
        if (own)
            buf_add_bytes(&p->body, c->raw, c->len);
        return;
    }
    mem_grow(&p->used, &p->cap_used, p->n_used + 1, sizeof *p->used);
    p->used[p->n_used++] = sym->id;
    buf_add_varint(&p->body, p->n_symbols);
    *known = (spelling_t){++p->n_symbols, body ? 0 : c->len, p->spellings.len};
    buf_add_bytes(&p->body, sym->body, sym->body_len);
    buf_add_bytes(&p->body, c->raw, known->len);
    buf_add(&p->spellings, c->raw, known->len);
}

static void put_key_and_value(buf_t *b, const origin_t *o, unsigned flags) {
    if (flags & ROW_KEY)
        buf_add_bytes(b, o->key.s, o->key.len);
    if (flags & ROW_VALUE)
        buf_add_bytes(b, o->value.s, o->value.len);
}

static void put_cell(parcel_t *p, const cell_t *c) {
    if (c->kind == CELL_SYM)
        put_symbol(p, c);
    else
        cell_save(&p->body, c);
}

void parcel_put_row(parcel_t *p, const origin_t *o, uint32_t sub, const cell_t *cells, uint32_t n_cells, int with_key,
                    int with_value, const char *const *topics) {
    buf_t *b = &p->body;
    unsigned flags = (o->topic >= 0 ? ROW_TOPIC : 0u) | (with_key && o->key.s ? ROW_KEY : 0u) |
                     (with_value && o->value.s ? ROW_VALUE : 0u) | (o->flags & ORIGIN_PARTIAL ? ROW_PARTIAL : 0u) |
                     (with_value && o->value.s && o->flags & ORIGIN_MARKED ? ROW_MARKED : 0u);
    buf_add_char(b, ITEM_ROW);
    buf_add_char(b, (char)flags);
    put_difference(b, o->time, p->last.time);
    if (flags & ROW_TOPIC)
        put_topic(p, o->topic, topics[o->topic]);
    put_difference(b, o->partition, p->last.partition);
    put_difference(b, o->offset, p->last.offset);
    buf_add_varint(b, sub);
    p->last.time = o->time;
    p->last.partition = o->partition;
    p->last.offset = o->offset;
    put_key_and_value(b, o, flags);
    for (uint32_t i = 0; i < n_cells; i++)
        put_cell(p, &cells[i]);
}

void parcel_put_partial(parcel_t *p, etime_t start, etime_t end, uint64_t last, slice_t state) {
    buf_add_char(&p->body, ITEM_PARTIAL);
    put_difference(&p->body, start, p->last.start);
    put_difference(&p->body, end, p->last.end);
    p->last.start = start;
    p->last.end = end;
    buf_add_varint(&p->body, last);
    buf_add_bytes(&p->body, state.s, state.len);
}

void parcel_put_source(parcel_t *p, slice_t source, parcel_level_t level) {
    buf_add_char(&p->body, ITEM_SOURCE);
    buf_add_bytes(&p->body, source.s, source.len);
    buf_add_char(&p->body, level_flags(level));
    buf_add_u64(&p->body, (uint64_t)level.wm);
}
