#include "dispatch.h"

#include "frame.h"
#include "mem.h"

typedef struct cut_frame {
    uint32_t partition;
    slice_t bytes;
} cut_frame_t;

struct dispatch {
    uint32_t self, n;
    parcel_t **parcels;
    cut_frame_t *cut;
    size_t n_cut, cap_cut;
    uint32_t generation; /* of symbols */
    buf_t frame;
    dispatch_stats_t stats;
};

dispatch_t *dispatch_new(uint32_t self, uint32_t parallelism) {
    dispatch_t *d = mem_zalloc(sizeof *d);
    d->self = self;
    d->n = parallelism;
    d->parcels = mem_alloc(parallelism * sizeof(parcel_t *));
    for (uint32_t i = 0; i < parallelism; i++)
        d->parcels[i] = parcel_new();
    return d;
}

void dispatch_free(dispatch_t *d) {
    if (!d)
        return;
    for (uint32_t i = 0; i < d->n; i++)
        parcel_free(d->parcels[i]);
    mem_free(d->parcels);
    mem_free(d->cut);
    buf_fini(&d->frame);
    mem_free(d);
}

uint32_t dispatch_n(const dispatch_t *d) { return d->n; }
uint32_t dispatch_self(const dispatch_t *d) { return d->self; }
parcel_t *dispatch_parcel(dispatch_t *d, uint32_t partition) { return d->parcels[partition]; }
const dispatch_stats_t *dispatch_stats(const dispatch_t *d) { return &d->stats; }

static void cut(dispatch_t *d, uint32_t partition, arena_t *a) {
    slice_t body = parcel_body(d->parcels[partition]);
    buf_clear(&d->frame);
    frame_head(&d->frame, FRAME_DATA, d->self, d->n);
    buf_add_slice(&d->frame, body);
    frame_seal(&d->frame, 0);
    mem_grow(&d->cut, &d->cap_cut, d->n_cut + 1, sizeof *d->cut);
    d->cut[d->n_cut++] = (cut_frame_t){partition, {arena_dup(a, d->frame.s, d->frame.len), d->frame.len}};
    d->stats.frames++;
    d->stats.bytes += d->frame.len;
    parcel_clear(d->parcels[partition]);
}

void dispatch_wrote(dispatch_t *d, uint32_t partition, arena_t *a) {
    if (parcel_size(d->parcels[partition]) >= DISPATCH_FRAME)
        cut(d, partition, a);
}

void dispatch_symbols(dispatch_t *d, uint32_t generation) {
    if (generation == d->generation)
        return;
    d->generation = generation;
    for (uint32_t i = 0; i < d->n; i++)
        parcel_forget_symbols(d->parcels[i]);
}

void dispatch_cut_all(dispatch_t *d, arena_t *a) {
    for (uint32_t i = 0; i < d->n; i++)
        if (parcel_size(d->parcels[i]) > 0)
            cut(d, i, a);
}

int dispatch_holds(const dispatch_t *d) {
    for (uint32_t i = 0; i < d->n; i++)
        if (parcel_size(d->parcels[i]) > 0)
            return 1;
    return 0;
}

void dispatch_take(dispatch_t *d, outbox_t *o) {
    mem_grow(&o->at, &o->cap, o->n + d->n_cut, sizeof *o->at);
    for (size_t i = 0; i < d->n_cut; i++)
        o->at[o->n++] = (out_record_t){.value = d->cut[i].bytes,
                                       .rule = -1,
                                       .kind = OUT_FRAME,
                                       .partition = (int32_t)d->cut[i].partition,
                                       .time = -1};
    d->n_cut = 0;
}

void dispatch_drop(dispatch_t *d) {
    d->n_cut = 0;
    for (uint32_t i = 0; i < d->n; i++)
        parcel_clear(d->parcels[i]);
}
