#include "source_history_kafka.h"

#include "mem.h"
#include "properties_kafka.h"
#include "source_kafka.h"
#include "topics_kafka.h"

typedef struct part {
    int32_t topic, partition;
    int64_t from, end;
    int told, ended;
} part_t;

typedef struct history {
    source_t base;
    source_history_options_t o;
    kafka_context_t ctx;
    source_t *reader; /* source_kafka over the same partitions */
    part_t *parts;
    uint32_t n, n_ended;
    size_t cap;
} history_t;

#define ASK_MS 10000

/* The first offset whose record is stamped at `time` or later; the partition's end when there is none. */
static int offset_at(history_t *h, part_t *p, int64_t time, int64_t high, int64_t *out, error_t *e) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, h->o.topics[p->topic], p->partition)->offset = time;
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(source_kafka_client(h->reader), list, ASK_MS);
    *out = list->elems[0].offset >= 0 ? list->elems[0].offset : high;
    rd_kafka_topic_partition_list_destroy(list);
    return err ? error_set(e, ERR_KAFKA, "cannot look up times in %s/%d: %s", h->o.topics[p->topic], p->partition,
                           rd_kafka_err2str(err))
               : 0;
}

static int bounds_of(history_t *h, part_t *p, error_t *e) {
    int64_t low, high;
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(source_kafka_client(h->reader), h->o.topics[p->topic],
                                                               p->partition, &low, &high, ASK_MS);
    if (err)
        return error_set(e, ERR_KAFKA, "cannot ask for the ends of %s/%d: %s", h->o.topics[p->topic], p->partition,
                         rd_kafka_err2str(err));
    p->from = low;
    p->end = high;
    int rc = h->o.since > 0 ? offset_at(h, p, h->o.since, high, &p->from, e) : 0;
    if (rc == 0 && h->o.until < INT64_MAX)
        rc = offset_at(h, p, h->o.until + 1, high, &p->end, e);
    return rc;
}

/* A second reading of topics that grow meanwhile sees the same records. */
static int recall_bounds(history_t *h, part_t *p, uint32_t index, error_t *e) {
    buf_t *ends = h->o.ends;
    int64_t pair[2];
    if (ends && ends->len >= (index + 1) * sizeof pair) {
        memcpy(pair, ends->s + index * sizeof pair, sizeof pair);
        p->from = pair[0];
        p->end = pair[1];
        return 0;
    }
    int rc = bounds_of(h, p, e);
    if (rc == 0 && ends)
        buf_add(ends, (int64_t[]){p->from, p->end}, sizeof pair);
    return rc;
}

static int find_parts(history_t *h, error_t *e) {
    for (int32_t t = 0; h->o.topics[t]; t++) {
        int n = topics_partitions(source_kafka_client(h->reader), h->o.topics[t], ASK_MS, e);
        if (n == ERR_AGAIN) {
            char reason[COMPLAINT_SIZE];
            complaint_last(&h->ctx.complaints, reason);
            return error_set(e, ERR_KAFKA, "cannot ask the brokers about topic \"%s\"%s", h->o.topics[t], reason);
        }
        if (n == 0)
            return error_set(e, ERR_INVALID, "topic \"%s\" does not exist", h->o.topics[t]);
        for (int32_t p = 0; p < n; p++) {
            mem_grow(&h->parts, &h->cap, h->n + 1, sizeof *h->parts);
            h->parts[h->n] = (part_t){.topic = t, .partition = p};
            uint32_t index = h->n++;
            int rc = recall_bounds(h, &h->parts[index], index, e);
            if (rc)
                return rc;
        }
        if (n < 0)
            return n;
    }
    return 0;
}

static int assign(history_t *h, error_t *e) {
    position_t *at = mem_alloc((h->n + 1) * sizeof *at);
    for (uint32_t i = 0; i < h->n; i++)
        at[i] = (position_t){h->parts[i].topic, h->parts[i].partition, h->parts[i].from};
    int rc = source_kafka_assign(h->reader, at, h->n, e);
    mem_free(at);
    return rc;
}

static part_t *part_of(history_t *h, const event_t *ev) {
    for (uint32_t i = 0; i < h->n; i++)
        if (h->parts[i].topic == ev->record.topic && h->parts[i].partition == ev->record.partition)
            return &h->parts[i];
    return NULL;
}

/* Partitions that have been read to their end are told once, as idle. */
static uint32_t tell_ended(history_t *h, event_t *events, uint32_t max) {
    uint32_t n, count = 0;
    const position_t *at = source_kafka_positions(h->reader, &n);
    for (uint32_t i = 0; i < n && count < max; i++) {
        event_t ev = {.kind = EVENT_IDLE, .record = {.topic = at[i].topic, .partition = at[i].partition}};
        part_t *p = part_of(h, &ev);
        if (p && !p->ended && at[i].offset >= p->end) {
            p->ended = 1;
            h->n_ended++;
            events[count++] = ev;
        }
    }
    return count;
}

static int history_poll(source_t *s, event_t *events, uint32_t max, int timeout_ms, int *end, error_t *e) {
    history_t *h = (history_t *)s;
    uint32_t half = max > 1 ? max / 2 : 1;
    int ended, n = source_poll(h->reader, events, half, timeout_ms < 0 ? 100 : timeout_ms, &ended, e);
    if (n < 0)
        return n;
    uint32_t kept = 0;
    for (int i = 0; i < n; i++) {
        const part_t *p = part_of(h, &events[i]);
        int wanted = events[i].kind == EVENT_PARTITION ||
                     (events[i].kind == EVENT_RECORD && p && events[i].record.offset < p->end);
        if (wanted)
            events[kept++] = events[i];
    }
    kept += tell_ended(h, events + kept, max - kept);
    *end = h->n_ended == h->n;
    return (int)kept;
}

static void history_release(source_t *s) { source_release(((history_t *)s)->reader); }

static void history_close(source_t *s) {
    history_t *h = (history_t *)s;
    source_close(h->reader);
    mem_free(h->parts);
    mem_free(h);
}

int source_history_open(source_t **out, const source_history_options_t *o, error_t *e) {
    history_t *h = mem_zalloc(sizeof *h);
    h->base = (source_t){history_poll, history_release, history_close};
    h->o = *o;
    h->ctx.log = o->log;
    int rc = properties_kafka_brokers(o->config, e);
    if (rc == 0)
        rc = source_kafka_open(&h->reader, o->config, &h->ctx, o->topics, &clock_system, e);
    if (rc == 0)
        rc = find_parts(h, e);
    if (rc == 0)
        rc = assign(h, e);
    if (rc) {
        history_close(&h->base);
        return rc;
    }
    *out = &h->base;
    return 0;
}
