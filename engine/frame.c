/* frame: 'A' 'F', u8 format, u8 kind, varint task, varint parallelism, body, u64 checksum of all before it. */
#include "frame.h"

#include "mem.h"

#define FRAME_FORMAT 2
#define FRAME_LEAST 14
#define CHECKSUM 8

static uint64_t mix(uint64_t h) {
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdULL;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ULL;
    return h ^ h >> 33;
}

/* Little-endian by construction, so that machines agree. */
static uint64_t word(const unsigned char *s, size_t len) {
    uint64_t v = 0;
    for (size_t i = len; i-- > 0;)
        v = v << 8 | s[i];
    return v;
}

uint64_t frame_hash(const void *bytes, size_t len) {
    const unsigned char *s = bytes;
    uint64_t h = 0x9e3779b97f4a7c15ULL ^ (uint64_t)len;
    for (; len >= 8; s += 8, len -= 8)
        h = mix(h ^ word(s, 8));
    return mix(h ^ (len ? word(s, len) : 0));
}

void frame_head(buf_t *b, frame_kind_t kind, uint32_t from, uint32_t parallelism) {
    buf_add(b, "AF", 2);
    buf_add_char(b, FRAME_FORMAT);
    buf_add_char(b, (char)kind);
    buf_add_varint(b, from);
    buf_add_varint(b, parallelism);
}

void frame_seal(buf_t *b, size_t begin) { buf_add_u64(b, frame_hash(b->s + begin, b->len - begin)); }

int frame_open(slice_t bytes, frame_t *out) {
    if (!bytes.s || bytes.len < FRAME_LEAST || memcmp(bytes.s, "AF", 2) != 0 || bytes.s[2] != FRAME_FORMAT)
        return ERR_INVALID;
    reader_t r = reader_of(bytes.s, bytes.len - CHECKSUM);
    reader_t sum = reader_of(bytes.s + r.len, CHECKSUM);
    if (read_u64(&sum) != frame_hash(bytes.s, r.len))
        return ERR_INVALID;
    r.pos = 3;
    uint8_t kind = read_u8(&r);
    uint64_t from = read_varint(&r), parallelism = read_varint(&r);
    if (r.bad || kind > FRAME_SWITCHED || parallelism > INT32_MAX || from >= parallelism)
        return ERR_INVALID;
    *out = (frame_t){(frame_kind_t)kind, (uint32_t)from, (uint32_t)parallelism, {r.s + r.pos, r.len - r.pos}};
    return 0;
}

int frame_kind(slice_t bytes) {
    frame_t f;
    int rc = frame_open(bytes, &f);
    return rc ? rc : (int)f.kind;
}

/* ---- control ---- */

void frame_control_write(buf_t *b, const frame_control_t *c) {
    size_t begin = b->len;
    frame_head(b, c->kind, c->from, c->parallelism);
    buf_add_bytes(b, c->version.s, c->version.len);
    buf_add_varint(b, c->serial);
    buf_add_varint(b, c->round);
    buf_add_bytes(b, c->texts.s, c->texts.len);
    buf_add_varint(b, c->n_bounds);
    for (uint32_t i = 0; i < c->n_bounds; i++) {
        buf_add_bytes(b, c->bounds[i].rule.s, c->bounds[i].rule.len);
        buf_add_u64(b, (uint64_t)c->bounds[i].end);
    }
    frame_seal(b, begin);
}

int frame_control_read(slice_t bytes, frame_control_t *out) {
    frame_t f;
    *out = (frame_control_t){0};
    if (frame_open(bytes, &f) || f.kind == FRAME_DATA)
        return ERR_INVALID;
    reader_t r = reader_of(f.body.s, f.body.len);
    *out = (frame_control_t){.kind = f.kind, .from = f.from, .parallelism = f.parallelism};
    out->version = read_bytes(&r);
    out->serial = read_varint(&r);
    uint64_t round = read_varint(&r);
    out->texts = read_bytes(&r);
    uint64_t n = read_varint(&r);
    if (r.bad || round > UINT32_MAX || n > r.len - r.pos)
        return ERR_INVALID;
    out->round = (uint32_t)round;
    out->bounds = mem_alloc((size_t)(n + 1) * sizeof *out->bounds);
    for (uint64_t i = 0; i < n; i++) {
        slice_t rule = read_bytes(&r);
        out->bounds[out->n_bounds++] = (frame_bound_t){rule, (etime_t)read_u64(&r)};
    }
    if (!r.bad && r.pos == r.len)
        return 0;
    frame_control_fini(out);
    return ERR_INVALID;
}

void frame_control_fini(frame_control_t *c) {
    mem_free(c->bounds);
    *c = (frame_control_t){0};
}
