/* Reads a parcel for specs, since LuaJIT's callbacks cannot take structs by value: a line per item into the buf_t, which has
 * room. Compiled by the spec that wants it. */
#include <inttypes.h>
#include <stdio.h>

#include "intern.h"
#include "parcel.h"

typedef struct collecting {
    buf_t *out;
    intern_t *symbols;
    char rules[1000][64];
    uint32_t widths[1000];
    int n;
} collecting_t;

static int on_stream(void *ctx, const parcel_stream_t *s) {
    collecting_t *x = ctx;
    if (x->n == 1000 || s->rule.len > 60)
        return -1;
    memcpy(x->rules[x->n], s->rule.s, s->rule.len);
    x->rules[x->n][s->rule.len] = 0;
    x->widths[x->n] = s->n_columns;
    return x->n++;
}

static void on_level(void *ctx, int stream, parcel_level_t level) {
    collecting_t *x = ctx;
    buf_printf(x->out, "level %s %" PRId64 " %d\n", x->rules[stream], level.wm, level.idle);
}

static void on_row(void *ctx, int stream, const origin_t *o, uint32_t sub, const cell_t *cells) {
    collecting_t *x = ctx;
    static const char *const topics[] = {"t0", "a longer topic"};
    buf_printf(x->out, "row %s %" PRId64 " %s %d %" PRId64 " %u %u [%.*s] [%.*s]", x->rules[stream], o->time,
               o->topic < 0 ? "-" : topics[o->topic], o->partition, o->offset, sub, o->flags, (int)o->key.len,
               o->key.s ? o->key.s : "", (int)o->value.len, o->value.s ? o->value.s : "");
    for (uint32_t i = 0; i < x->widths[stream]; i++) {
        buf_add_char(x->out, ' ');
        cell_write(x->out, &cells[i], TIME_EPOCH_MS);
    }
    buf_add_char(x->out, '\n');
}

static void on_partial(void *ctx, int stream, etime_t start, etime_t end, uint64_t last, slice_t state) {
    collecting_t *x = ctx;
    (void)end, (void)last;
    buf_printf(x->out, "partial %s %" PRId64 " %.*s\n", x->rules[stream], start, (int)state.len, state.s);
}

static void on_source(void *ctx, slice_t name, parcel_level_t level) {
    collecting_t *x = ctx;
    buf_printf(x->out, "source %.*s %" PRId64 " %d\n", (int)name.len, name.s, level.wm, level.idle);
}

static int32_t on_topic(void *ctx, slice_t name) {
    (void)ctx;
    return name.len == 2 ? 0 : 1;
}

static const sym_t *on_symbol(void *ctx, slice_t body) {
    collecting_t *x = ctx;
    int status;
    return intern_raw(x->symbols, body.s, body.len, &status);
}

int parcel_collect(slice_t body, buf_t *out, intern_t *symbols) {
    static collecting_t x;
    x = (collecting_t){.out = out, .symbols = symbols};
    parcel_reading_t to = {&x, on_stream, on_level, on_row, on_partial, on_source, on_topic, on_symbol};
    return parcel_read(body, &to);
}
