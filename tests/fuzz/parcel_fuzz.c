/* What tasks tell each other under libFuzzer with the sanitizers: nothing is read beyond the bytes, whatever they are, as a
 * frame and as the body of one; what a frame holds is given back as a frame holds it. */
/* needs: error mem arena buf map number timefmt json cell intern batch frame parcel parcel_read */
#include <stdlib.h>

#include "frame.h"
#include "intern.h"
#include "parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen {
    intern_t *intern;
    uint32_t widths[64];
    int n;
    uint64_t sum; /* every byte that was handed out is touched */
} seen_t;

static void touch(seen_t *x, slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        x->sum += (unsigned char)s.s[i];
}

static int on_stream(void *ctx, const parcel_stream_t *s) {
    seen_t *x = ctx;
    touch(x, s->rule);
    for (uint32_t i = 0; i < s->n_columns; i++)
        touch(x, s->columns[i]);
    if (x->n == 64)
        return -1;
    x->widths[x->n] = s->n_columns;
    return x->n++;
}

static void on_level(void *ctx, int stream, parcel_level_t level) {
    seen_t *x = ctx;
    x->sum += x->widths[stream] + (uint64_t)level.wm;
}

static void on_row(void *ctx, int stream, const origin_t *o, uint32_t sub, const cell_t *cells) {
    seen_t *x = ctx;
    x->sum += sub;
    touch(x, o->key);
    touch(x, o->value);
    for (uint32_t i = 0; i < x->widths[stream]; i++)
        if (cells[i].raw)
            touch(x, (slice_t){cells[i].raw, cells[i].len});
}

static void on_partial(void *ctx, int stream, etime_t start, etime_t end, uint64_t last, slice_t state) {
    seen_t *x = ctx;
    if (start >= end)
        abort();
    x->sum += x->widths[stream] + last;
    touch(x, state);
}

static void on_source(void *ctx, slice_t name, parcel_level_t level) {
    seen_t *x = ctx;
    x->sum += (uint64_t)level.idle;
    touch(x, name);
}

static int32_t on_topic(void *ctx, slice_t name) {
    touch(ctx, name);
    return 0;
}

static const sym_t *on_symbol(void *ctx, slice_t body) {
    seen_t *x = ctx;
    int status;
    return intern_raw(x->intern, body.s, body.len, &status);
}

static void control(slice_t bytes) {
    frame_control_t c;
    buf_t again = {0};
    if (frame_control_read(bytes, &c))
        return;
    frame_control_write(&again, &c);
    frame_control_t twice;
    if (frame_control_read(buf_slice(&again), &twice) || !slice_eq(twice.texts, c.texts) || twice.round != c.round ||
        twice.n_bounds != c.n_bounds)
        abort();
    frame_control_fini(&twice);
    frame_control_fini(&c);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    slice_t bytes = {(const char *)data, size};
    frame_t f;
    seen_t x = {.intern = intern_new(64, 1 << 16)};
    parcel_reading_t to = {&x, on_stream, on_level, on_row, on_partial, on_source, on_topic, on_symbol};
    frame_open(bytes, &f);
    control(bytes);
    parcel_read(bytes, &to);
    /* The checksum keeps most inputs out: the same bytes as the body of a frame that is whole. */
    buf_t sealed = {0};
    frame_head(&sealed, size % 2 ? FRAME_END : FRAME_DATA, 1, 3);
    buf_add_slice(&sealed, bytes);
    frame_seal(&sealed, 0);
    if (frame_open(buf_slice(&sealed), &f) || !slice_eq(f.body, bytes))
        abort();
    control(buf_slice(&sealed));
    buf_fini(&sealed);
    intern_free(x.intern);
    return 0;
}
