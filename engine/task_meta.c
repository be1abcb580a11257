#include "mem.h"
#include "task_parts.h"

/* Topics by name, then each source's watermark by the source's name, then each rule's valve by the rule's. */
void task_save_meta(const task_t *t, buf_t *b) {
    buf_add_varint(b, t->n_topics);
    for (uint32_t i = 0; i < t->n_topics; i++)
        buf_add_bytes(b, t->topics[i], strlen(t->topics[i]));
    buf_t part = {0};
    buf_add_varint(b, t->options.config->n_sources);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        buf_clear(&part);
        watermark_save(&t->sources[i].watermark, &part);
        buf_add_bytes(b, t->sources[i].spec->name, strlen(t->sources[i].spec->name));
        buf_add_bytes(b, part.s, part.len);
    }
    buf_add_varint(b, task_rules(t)->n_rules);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++) {
        buf_clear(&part);
        valve_save(&t->pipelines[i].valve, &part);
        buf_add_bytes(b, task_rules(t)->rules[i].name, strlen(task_rules(t)->rules[i].name));
        buf_add_char(b, (char)t->pipelines[i].stats.quarantined);
        buf_add_bytes(b, part.s, part.len);
    }
    buf_fini(&part);
}

static int load_sources(task_t *t, reader_t *r, const int32_t *remap, uint32_t n_remap) {
    uint64_t n = read_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t name = read_bytes(r), bytes = read_bytes(r);
        for (uint32_t k = 0; k < t->options.config->n_sources; k++) {
            reader_t part = reader_of(bytes.s, bytes.len);
            if (slice_eq(name, slice_of(t->sources[k].spec->name)) &&
                watermark_load(&t->sources[k].watermark, &part, remap, n_remap))
                return ERR_INVALID;
        }
    }
    return r->bad ? ERR_INVALID : 0;
}

int task_load_meta(task_t *t, reader_t *r) {
    uint64_t n = read_varint(r);
    if (r->bad || n > r->len)
        return ERR_INVALID;
    int32_t *remap = mem_alloc((size_t)(n + 1) * sizeof *remap);
    for (uint64_t i = 0; i < n; i++)
        remap[i] = task_topic(t, read_bytes(r));
    int rc = load_sources(t, r, remap, (uint32_t)n);
    mem_free(remap);
    if (rc)
        return rc;
    n = read_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t name = read_bytes(r);
        int quarantined = read_u8(r);
        slice_t bytes = read_bytes(r);
        for (uint32_t k = 0; k < task_rules(t)->n_rules; k++) {
            reader_t part = reader_of(bytes.s, bytes.len);
            if (!slice_eq(name, slice_of(task_rules(t)->rules[k].name)))
                continue;
            t->pipelines[k].stats.quarantined = quarantined;
            valve_load(&t->pipelines[k].valve, &part); /* other inputs than then: it starts anew */
        }
    }
    return r->bad ? ERR_INVALID : 0;
}

