#include "cell.h"
#include "json.h"
#include "number.h"
#include <math.h>

/* Ranks of group-key bytes, in SQL-like order. */
enum { KEY_NULL = 0x10, KEY_FALSE = 0x11, KEY_TRUE = 0x12, KEY_NUMBER = 0x20, KEY_STRING = 0x30, KEY_JSON = 0x40 };

cell_t cell_from_json(slice_t text) {
    cell_t c = {.raw = text.s, .len = (uint32_t)text.len};
    int64_t i;
    switch (text.len ? text.s[0] : 'n') {
    case 'n': return cell_null();
    case 't': return cell_bool(1);
    case 'f': return cell_bool(0);
    case '"':
        c.kind = CELL_STR;
        c.raw = text.s + 1;
        c.len = (uint32_t)text.len - 2;
        c.flags = memchr(c.raw, '\\', c.len) ? CELL_ESCAPED : CELL_CLEAN;
        return c;
    case '{':
    case '[': c.kind = CELL_JSON; return c;
    default:
        c.kind = CELL_NUMRAW;
        if (number_int64(text.s, text.len, &i)) {
            c.kind = CELL_INT;
            c.u.i = i;
        }
        return c;
    }
}

double cell_double(const cell_t *c) {
    return c->kind == CELL_INT ? (double)c->u.i : c->kind == CELL_NUM ? c->u.d : number_double(c->raw, c->len);
}

int cell_int64(const cell_t *c, int64_t *out) {
    if (c->kind == CELL_INT) {
        *out = c->u.i;
        return 1;
    }
    if (!cell_is_number(c))
        return 0;
    double d = cell_double(c);
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != trunc(d))
        return 0;
    *out = (int64_t)d;
    return 1;
}

/* Of a string without escapes, or a symbol. */
static slice_t plain_text(const cell_t *c) {
    if (c->kind == CELL_SYM)
        return (slice_t){c->u.sym->bytes, c->u.sym->len};
    return (slice_t){c->len ? c->raw : "", c->len};
}

slice_t cell_text(const cell_t *c, buf_t *scratch) {
    if (!cell_is_string(c))
        return (slice_t){NULL, 0};
    if (c->kind == CELL_SYM || !(c->flags & CELL_ESCAPED))
        return plain_text(c);
    buf_clear(scratch);
    buf_reserve(scratch, (size_t)c->len + 1);
    scratch->len = json_unescape(c->raw, c->len, scratch->s);
    return buf_slice(scratch);
}

/* Ends with 00 01; a zero byte inside is 00 ff, so a prefix sorts first and nothing runs into the next key. */
static void key_bytes(buf_t *b, char rank, slice_t s) {
    buf_reserve(b, s.len + 3);
    buf_add_char(b, rank);
    while (s.len) {
        const char *zero = memchr(s.s, 0, s.len);
        size_t n = zero ? (size_t)(zero - s.s) : s.len;
        buf_add(b, s.s, n);
        if (!zero)
            break;
        buf_add(b, "\0\xff", 2);
        s = (slice_t){zero + 1, s.len - n - 1};
    }
    buf_add(b, "\0\1", 2);
}

static void key_number(buf_t *b, const cell_t *c) {
    buf_add_char(b, KEY_NUMBER);
    if (c->kind == CELL_INT)
        number_key_int64(b, c->u.i);
    else if (c->kind == CELL_NUM)
        number_key_double(b, c->u.d);
    else
        number_key(b, c->raw, c->len);
}

static void key_string(buf_t *b, const cell_t *c) {
    buf_t scratch = {0};
    key_bytes(b, KEY_STRING, cell_text(c, &scratch));
    buf_fini(&scratch);
}

void cell_key(buf_t *b, const cell_t *c) {
    switch (c->kind) {
    case CELL_NULL: buf_add_char(b, KEY_NULL); break;
    case CELL_FALSE: buf_add_char(b, KEY_FALSE); break;
    case CELL_TRUE: buf_add_char(b, KEY_TRUE); break;
    case CELL_SYM:
    case CELL_STR: key_string(b, c); break;
    case CELL_JSON: key_bytes(b, KEY_JSON, (slice_t){c->raw, c->len}); break;
    default: key_number(b, c);
    }
}

static int compare_by_key(const cell_t *a, const cell_t *b) {
    buf_t x = {0}, y = {0};
    cell_key(&x, a);
    cell_key(&y, b);
    size_t n = x.len < y.len ? x.len : y.len;
    int c = memcmp(x.s, y.s, n);
    if (c == 0)
        c = (x.len > y.len) - (x.len < y.len);
    buf_fini(&x);
    buf_fini(&y);
    return c;
}

/* Beyond 2^53 a double says too little, and NaN compares with nothing. */
static int exact_as_double(double d) { return fabs(d) < 9007199254740992.0; }

static int compare_bytes(slice_t a, slice_t b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.s, b.s, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

int cell_compare(const cell_t *a, const cell_t *b) {
    if (a->kind == CELL_INT && b->kind == CELL_INT)
        return (a->u.i > b->u.i) - (a->u.i < b->u.i);
    if (cell_is_number(a) && cell_is_number(b)) {
        double x = cell_double(a), y = cell_double(b);
        if (exact_as_double(x) && exact_as_double(y))
            return (x > y) - (x < y);
    }
    int plain = !((a->flags | b->flags) & CELL_ESCAPED);
    if (cell_is_string(a) && cell_is_string(b) && plain)
        return compare_bytes(plain_text(a), plain_text(b));
    return compare_by_key(a, b);
}

static void write_time(buf_t *b, const cell_t *c, time_format_t format) {
    int64_t t = c->u.i;
    if (c->kind == CELL_NUM) {
        if (!(fabs(c->u.d) < 9.2e18)) {
            buf_add_str(b, "null");
            return;
        }
        t = (int64_t)floor(c->u.d);
    }
    const char *quote = timefmt_quoted(format) ? "\"" : "";
    buf_add_str(b, quote);
    timefmt_write(b, t, format);
    buf_add_str(b, quote);
}

static void write_quoted(buf_t *b, const char *body, size_t len) {
    buf_reserve(b, len + 2);
    buf_add_char(b, '"');
    buf_add(b, body, len);
    buf_add_char(b, '"');
}

static void write_number(buf_t *b, const cell_t *c, time_format_t format) {
    if ((c->flags & CELL_TIME) && c->kind != CELL_NUMRAW)
        write_time(b, c, format);
    else if (c->raw)
        buf_add(b, c->raw, c->len);
    else if (c->kind == CELL_INT)
        number_write_int64(b, c->u.i);
    else
        number_write_double(b, c->u.d);
}

void cell_write(buf_t *b, const cell_t *c, time_format_t format) {
    switch (c->kind) {
    case CELL_NULL: buf_add_str(b, "null"); break;
    case CELL_FALSE: buf_add_str(b, "false"); break;
    case CELL_TRUE: buf_add_str(b, "true"); break;
    case CELL_SYM: /* raw: the spelling of this very record */
        if (c->raw)
            write_quoted(b, c->raw, c->len);
        else
            write_quoted(b, c->u.sym->body, c->u.sym->body_len);
        break;
    case CELL_STR:
        if (c->flags & (CELL_ESCAPED | CELL_CLEAN))
            write_quoted(b, c->raw, c->len);
        else
            json_write_string(b, c->raw, c->len);
        break;
    case CELL_JSON: buf_add(b, c->raw, c->len); break;
    default: write_number(b, c, format);
    }
}

void cell_write_key(buf_t *b, const cell_t *c, time_format_t format) {
    int64_t i;
    if (c->kind == CELL_SYM) {
        write_quoted(b, c->u.sym->body, c->u.sym->body_len);
    } else if (c->kind == CELL_STR && c->flags & CELL_ESCAPED) {
        buf_t scratch = {0};
        slice_t text = cell_text(c, &scratch);
        json_write_string(b, text.s, text.len);
        buf_fini(&scratch);
    } else if (cell_is_number(c) && !(c->flags & CELL_TIME) && cell_int64(c, &i)) {
        number_write_int64(b, i);
    } else {
        cell_write(b, c, format);
    }
}

/* State form: one byte kind | flags << 4 | HAS_RAW, then what the kind needs. Symbols become strings: ids do not last. */
#define HAS_RAW 0x80

static void save_head(buf_t *b, unsigned kind, unsigned flags, unsigned raw) {
    buf_add_char(b, (char)(unsigned char)(kind | flags << 4 | raw));
}

static void save_body(buf_t *b, const char *body, size_t len) {
    save_head(b, CELL_STR, len && memchr(body, '\\', len) ? CELL_ESCAPED : CELL_CLEAN, 0);
    buf_add_bytes(b, body, len);
}

/* As this row spells it, which is how it would go out had it not been kept. */
static void save_symbol(buf_t *b, const cell_t *c) {
    if (c->raw)
        save_body(b, c->raw, c->len);
    else
        save_body(b, c->u.sym->body, c->u.sym->body_len);
}

void cell_save_key(buf_t *b, const cell_t *c) {
    if (c->kind == CELL_SYM) {
        save_body(b, c->u.sym->body, c->u.sym->body_len);
    } else if (c->kind == CELL_STR && c->flags & CELL_ESCAPED) {
        buf_t quoted = {0};
        cell_write_key(&quoted, c, TIME_ISO8601);
        save_body(b, quoted.s + 1, quoted.len - 2);
        buf_fini(&quoted);
    } else {
        cell_save(b, c);
    }
}

void cell_save(buf_t *b, const cell_t *c) {
    uint64_t bits;
    switch (c->kind) {
    case CELL_SYM: save_symbol(b, c); return;
    case CELL_INT:
        save_head(b, c->kind, c->flags, 0); /* its spelling is its digits */
        buf_add_varint(b, (uint64_t)c->u.i << 1 ^ (c->u.i < 0 ? ~(uint64_t)0 : 0));
        return;
    case CELL_NUM:
        save_head(b, c->kind, c->flags, c->raw ? HAS_RAW : 0);
        memcpy(&bits, &c->u.d, sizeof bits);
        buf_add_u64(b, bits);
        if (c->raw)
            buf_add_bytes(b, c->raw, c->len);
        return;
    default:
        save_head(b, c->kind, c->flags, 0);
        if (c->kind >= CELL_NUMRAW)
            buf_add_bytes(b, c->raw, c->len);
    }
}

static void load_raw(reader_t *r, cell_t *c) {
    slice_t raw = read_bytes(r);
    c->raw = raw.s;
    c->len = (uint32_t)raw.len;
}

cell_t cell_load(reader_t *r) {
    unsigned head = read_u8(r);
    cell_t c = {.kind = head & 0x0f, .flags = head >> 4 & 0x07};
    uint64_t bits;
    switch (c.kind) {
    case CELL_NULL:
    case CELL_FALSE:
    case CELL_TRUE: break;
    case CELL_INT:
        bits = read_varint(r);
        c.u.i = (int64_t)(bits >> 1 ^ (0 - (bits & 1)));
        break;
    case CELL_NUM:
        bits = read_u64(r);
        memcpy(&c.u.d, &bits, sizeof c.u.d);
        if (head & HAS_RAW)
            load_raw(r, &c);
        break;
    case CELL_NUMRAW:
    case CELL_STR:
    case CELL_JSON: load_raw(r, &c); break;
    default: r->bad = 1;
    }
    return r->bad ? cell_null() : c;
}
