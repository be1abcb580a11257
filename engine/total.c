#include "total.h"
#include "number.h"
#include <math.h>

__extension__ typedef __int128 wide_t;
__extension__ typedef unsigned __int128 uwide_t;

/* One more digit behind a number of this size still fits. */
#define LEAD_MOST ((wide_t)(((uwide_t)1 << 127) / 10 - 1))

typedef struct total {
    wide_t integers;
    double floats, lost; /* the sum of the others, and what rounding took from it */
    uint64_t n, n_floats;
} total_t;
_Static_assert(sizeof(total_t) == TOTAL_SIZE, "the state's size is part of its format");

static total_t load(const char *state) {
    total_t t;
    memcpy(&t, state, sizeof t);
    return t;
}

static void add_double(total_t *t, double d) {
    double sum = t->floats + d;
    t->lost += fabs(t->floats) >= fabs(d) ? (t->floats - sum) + d : (d - sum) + t->floats;
    t->floats = sum;
}

/* Beyond 128 bits the sum goes on as a double. */
static void add_wide(total_t *t, wide_t v) {
    wide_t sum;
    if (__builtin_add_overflow(t->integers, v, &sum)) {
        add_double(t, (double)v);
        t->n_floats++;
    } else {
        t->integers = sum;
    }
}

/* An integer in plain digits that fits. */
static int parse_wide(const char *s, size_t len, wide_t *out) {
    int negative = len > 0 && s[0] == '-';
    size_t i = negative ? 1 : 0;
    wide_t v = 0;
    if (len == i)
        return 0;
    for (; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return 0;
        if (v < -LEAD_MOST || v > LEAD_MOST)
            return 0;
        v = v * 10 + (negative ? '0' - s[i] : s[i] - '0');
    }
    *out = v;
    return 1;
}

int total_add(char *state, const cell_t *c) {
    if (!cell_is_number(c))
        return 0;
    total_t t = load(state);
    int64_t i;
    wide_t w;
    t.n++;
    if (c->kind == CELL_NUMRAW && parse_wide(c->raw, c->len, &w)) {
        add_wide(&t, w);
    } else if (cell_int64(c, &i)) {
        add_wide(&t, i);
    } else {
        add_double(&t, cell_double(c));
        t.n_floats++;
    }
    memcpy(state, &t, sizeof t);
    return 1;
}

void total_merge(char *state, const char *other) {
    total_t t = load(state), o = load(other);
    add_wide(&t, o.integers);
    add_double(&t, o.floats);
    t.lost += o.lost;
    t.n += o.n;
    t.n_floats += o.n_floats;
    memcpy(state, &t, sizeof t);
}

uint64_t total_count(const char *state) { return load(state).n; }

cell_t total_sum(const char *state, arena_t *a) {
    total_t t = load(state);
    if (t.n == 0)
        return cell_null();
    if (t.n_floats)
        return cell_num((double)((long double)t.integers + t.floats + t.lost));
    if (t.integers >= INT64_MIN && t.integers <= INT64_MAX)
        return cell_int((int64_t)t.integers);
    buf_t text = {0};
    number_write_int128(&text, t.integers);
    cell_t c = {.kind = CELL_NUMRAW, .len = (uint32_t)text.len, .raw = arena_dup(a, text.s, text.len)};
    buf_fini(&text);
    return c;
}

cell_t total_average(const char *state) {
    total_t t = load(state);
    if (t.n == 0)
        return cell_null();
    return cell_num((double)(((long double)t.integers + t.floats + t.lost) / (long double)t.n));
}
