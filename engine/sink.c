#include "sink.h"

#include "mem.h"

/* Rules ran one after the other over all ticks, each in tick order: a stable counting sort by tick interleaves them. */
void outbox_sort(outbox_t *o, uint32_t n_ticks) {
    int sorted = 1;
    for (size_t i = 1; i < o->n && sorted; i++)
        sorted = o->at[i - 1].tick <= o->at[i].tick;
    if (sorted)
        return;
    size_t *start = mem_zalloc(((size_t)n_ticks + 2) * sizeof *start);
    for (size_t i = 0; i < o->n; i++)
        start[o->at[i].tick + 1]++;
    for (uint32_t t = 0; t <= n_ticks; t++)
        start[t + 1] += start[t];
    out_record_t *out = mem_alloc(o->cap * sizeof *out);
    for (size_t i = 0; i < o->n; i++)
        out[start[o->at[i].tick]++] = o->at[i];
    mem_free(start);
    mem_free(o->at);
    o->at = out;
}

void outbox_fini(outbox_t *o) {
    mem_free(o->at);
    *o = (outbox_t){0};
}
