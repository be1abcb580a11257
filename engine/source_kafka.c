#include "source_kafka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "json.h"
#include "mem.h"

typedef struct partition {
    position_t at;
    int at_end, idle;
    int64_t idle_after;
    mono_t last;                 /* when the last record came */
    _Atomic int64_t end;         /* high watermark; -1: not known */
    _Atomic int64_t next;        /* at.offset for other threads */
} partition_t;

typedef struct source_kafka {
    source_t base;
    const config_t *config;
    const char *const *topics;
    const clock_source_t *clock;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    partition_t *parts;
    uint32_t n_parts, told;      /* told: partitions given out as events after an assignment */
    position_t *positions;
    rd_kafka_message_t **messages;
    size_t n_messages, cap_messages;
    arena_t arena;
    int wants_headers;
    mono_t last_record, last_clock;
    pthread_t waker;
    pthread_mutex_t lock;        /* parts against the waker and source_kafka_lag */
    _Atomic int hot, stop;
    int has_waker;
} source_kafka_t;

#define CLOCK_EVERY_MS 250
#define WAKE_EVERY_NS 10000000L      /* a fetcher asleep on a full queue is woken within this */
#define LAG_EVERY 100                /* turns of the waker between questions while there is no backlog */

static partition_t *part_find(source_kafka_t *s, int32_t topic, int32_t partition) {
    uint32_t lo = 0, hi = s->n_parts;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        const position_t *p = &s->parts[mid].at;
        if (p->topic < topic || (p->topic == topic && p->partition < partition))
            lo = mid + 1;
        else
            hi = mid;
    }
    partition_t *p = &s->parts[lo];
    return lo < s->n_parts && p->at.topic == topic && p->at.partition == partition ? p : NULL;
}

static int32_t topic_index(const source_kafka_t *s, const char *name) {
    for (int32_t i = 0; s->topics[i]; i++)
        if (strcmp(s->topics[i], name) == 0)
            return i;
    return -1;
}

/* ---- the side thread ---- */

static void ask_end(source_kafka_t *s, uint32_t turn) {
    pthread_mutex_lock(&s->lock);
    int known = s->n_parts > 0;
    position_t at = known ? s->parts[turn % s->n_parts].at : (position_t){0};
    const char *topic = known ? s->topics[at.topic] : NULL;
    pthread_mutex_unlock(&s->lock);
    int64_t low, high;
    if (!known || rd_kafka_query_watermark_offsets(s->rk, topic, at.partition, &low, &high, 1000))
        return;
    pthread_mutex_lock(&s->lock);
    partition_t *p = part_find(s, at.topic, at.partition);
    if (p)
        atomic_store(&p->end, high);
    pthread_mutex_unlock(&s->lock);
}

static void *waker_main(void *arg) {
    source_kafka_t *s = arg;
    uint32_t turn = 0, quiet = 0;
    while (!atomic_load(&s->stop)) {
        struct timespec nap = {0, WAKE_EVERY_NS};
        nanosleep(&nap, NULL);
        if (!atomic_exchange(&s->hot, 0) && ++quiet < LAG_EVERY)
            continue;
        quiet = 0;
        ask_end(s, turn++);
    }
    return NULL;
}

/* ---- events ---- */

static slice_t headers_json(source_kafka_t *s, const rd_kafka_message_t *m) {
    rd_kafka_headers_t *h;
    if (!s->wants_headers || rd_kafka_message_headers(m, &h))
        return (slice_t){NULL, 0};
    buf_t text = {0};
    const char *name;
    const void *value;
    size_t len;
    for (size_t i = 0; rd_kafka_header_get_all(h, i, &name, &value, &len) == 0; i++) {
        buf_add_char(&text, i ? ',' : '{');
        json_write_string(&text, name, strlen(name));
        buf_add_char(&text, ':');
        if (value)
            json_write_string(&text, value, len);
        else
            buf_add_str(&text, "null");
    }
    if (text.len == 0)
        buf_add_char(&text, '{');
    buf_add_char(&text, '}');
    slice_t out = {arena_dup(&s->arena, text.s, text.len), text.len};
    buf_fini(&text);
    return out;
}

/* A NULL topic cache: consecutive messages mostly come from one partition. */
typedef struct seen { const rd_kafka_topic_t *topic; int32_t partition; partition_t *part; } seen_t;

static partition_t *part_of(source_kafka_t *s, const rd_kafka_message_t *m, seen_t *seen) {
    if (seen->part && seen->topic == m->rkt && seen->partition == m->partition)
        return seen->part;
    int32_t topic = m->rkt ? topic_index(s, rd_kafka_topic_name(m->rkt)) : -1;
    *seen = (seen_t){m->rkt, m->partition, topic < 0 ? NULL : part_find(s, topic, m->partition)};
    return seen->part;
}

static int take_error(source_kafka_t *s, const rd_kafka_message_t *m, seen_t *seen, error_t *e) {
    partition_t *p = part_of(s, m, seen);
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (p) {
            p->at_end = 1;
            atomic_store(&p->end, m->offset);
        }
        return 0;
    }
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return error_set(e, ERR_KAFKA,
                         "%s/%d: offset %lld, where this group stopped, is gone from the broker (expired, or the topic was made "
                         "anew). Move the group with kafka-consumer-groups --reset-offsets and start again",
                         m->rkt ? rd_kafka_topic_name(m->rkt) : "?", m->partition, p ? (long long)p->at.offset : -1LL);
    if (m->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return error_set(e, ERR_KAFKA, "cannot read %s/%d: %s", m->rkt ? rd_kafka_topic_name(m->rkt) : "?", m->partition,
                         rd_kafka_err2str(m->err));
    return 0; /* librdkafka tries again and speaks through the error callback */
}

/* 1: *ev is the record. */
static int take_message(source_kafka_t *s, const rd_kafka_message_t *m, seen_t *seen, mono_t now, event_t *ev) {
    partition_t *p = part_of(s, m, seen);
    if (!p || m->offset < p->at.offset)
        return 0;
    p->at.offset = m->offset + 1;
    atomic_store_explicit(&p->next, p->at.offset, memory_order_relaxed);
    p->last = now;
    p->at_end = p->idle = 0;
    rd_kafka_timestamp_type_t type;
    int64_t timestamp = rd_kafka_message_timestamp(m, &type);
    *ev = (event_t){.kind = EVENT_RECORD,
                    .record = {.topic = p->at.topic, .partition = p->at.partition, .offset = m->offset,
                               .timestamp = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp,
                               .key = {m->key, m->key ? m->key_len : 0},
                               .value = {m->payload, m->payload ? m->len : 0},
                               .headers = headers_json(s, m)}};
    return 1;
}

static uint32_t tell_partitions(source_kafka_t *s, event_t *events, uint32_t max) {
    uint32_t n = 0;
    while (s->told < s->n_parts && n < max) {
        const position_t *at = &s->parts[s->told++].at;
        events[n++] = (event_t){.kind = EVENT_PARTITION, .record = {.topic = at->topic, .partition = at->partition}};
    }
    return n;
}

static uint32_t tell_idle(source_kafka_t *s, mono_t now, event_t *events, uint32_t max) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_parts && n < max; i++) {
        partition_t *p = &s->parts[i];
        if (p->idle || !p->at_end || mono_diff_ms(now, p->last) < p->idle_after)
            continue;
        p->idle = 1;
        events[n++] = (event_t){.kind = EVENT_IDLE, .record = {.topic = p->at.topic, .partition = p->at.partition}};
    }
    if (n < max && mono_diff_ms(now, s->last_record) >= CLOCK_EVERY_MS && mono_diff_ms(now, s->last_clock) >= CLOCK_EVERY_MS) {
        s->last_clock = now;
        events[n++] = (event_t){.kind = EVENT_CLOCK, .time = clock_wall(s->clock).ms};
    }
    return n;
}

/* What has arrived, without waiting for a full batch: a first message may be waited for, the rest must be there. */
static size_t consume(source_kafka_t *s, uint32_t max, int timeout_ms) {
    mem_grow(&s->messages, &s->cap_messages, max, sizeof(rd_kafka_message_t *));
    ssize_t n = rd_kafka_consume_batch_queue(s->queue, 0, s->messages, max);
    if (n <= 0 && timeout_ms > 0) {
        n = rd_kafka_consume_batch_queue(s->queue, timeout_ms, s->messages, 1);
        if (n == 1 && max > 1) {
            ssize_t more = rd_kafka_consume_batch_queue(s->queue, 0, s->messages + 1, max - 1);
            n += more > 0 ? more : 0;
        }
    }
    return n > 0 ? (size_t)n : 0;
}

static int kafka_poll(source_t *base, event_t *events, uint32_t max, int timeout_ms, int *end, error_t *e) {
    source_kafka_t *s = (source_kafka_t *)base;
    *end = 0;
    uint32_t n = tell_partitions(s, events, max);
    if (n == max)
        return (int)n;
    s->n_messages = consume(s, max - n, n ? 0 : timeout_ms);
    mono_t now = clock_mono(s->clock);
    if (s->n_messages == max - n)
        atomic_store(&s->hot, 1);
    seen_t seen = {0};
    for (size_t i = 0; i < s->n_messages; i++) {
        const rd_kafka_message_t *m = s->messages[i];
        if (m->err) {
            int rc = take_error(s, m, &seen, e);
            if (rc)
                return rc;
            continue;
        }
        n += (uint32_t)take_message(s, m, &seen, now, &events[n]);
        s->last_record = now;
    }
    if (n < max)
        n += tell_idle(s, now, events + n, max - n);
    return (int)n;
}

static void kafka_release(source_t *base) {
    source_kafka_t *s = (source_kafka_t *)base;
    for (size_t i = 0; i < s->n_messages; i++)
        rd_kafka_message_destroy(s->messages[i]);
    s->n_messages = 0;
    arena_reset(&s->arena);
}

static void kafka_close(source_t *base) {
    source_kafka_t *s = (source_kafka_t *)base;
    atomic_store(&s->stop, 1);
    if (s->has_waker)
        pthread_join(s->waker, NULL);
    kafka_release(base);
    if (s->queue)
        rd_kafka_queue_destroy(s->queue);
    if (s->rk) {
        rd_kafka_consumer_close(s->rk);
        rd_kafka_destroy(s->rk);
    }
    pthread_mutex_destroy(&s->lock);
    arena_fini(&s->arena);
    mem_free(s->parts);
    mem_free(s->positions);
    mem_free(s->messages);
    mem_free(s);
}

static int wants_headers(const config_t *c) {
    for (uint32_t i = 0; i < c->n_sources; i++)
        for (uint32_t k = 0; k < c->sources[i].n_metadata; k++)
            if (c->sources[i].metadata[k].kind == META_HEADERS)
                return 1;
    return 0;
}

int source_kafka_open(source_t **out, const config_t *c, kafka_context_t *ctx, const char *const *topics,
                      const clock_source_t *clock, error_t *e) {
    source_kafka_t *s = mem_zalloc(sizeof *s);
    s->base = (source_t){kafka_poll, kafka_release, kafka_close};
    s->config = c;
    s->topics = topics;
    s->clock = clock;
    s->wants_headers = wants_headers(c);
    s->last_record = s->last_clock = clock_mono(clock);
    arena_init(&s->arena);
    pthread_mutex_init(&s->lock, NULL);
    int rc = conf_kafka_client(c, KAFKA_READER, NULL, ctx, &s->rk, e);
    if (rc)
        goto fail;
    rd_kafka_poll_set_consumer(s->rk);
    s->queue = rd_kafka_queue_get_consumer(s->rk);
    if (pthread_create(&s->waker, NULL, waker_main, s)) {
        rc = error_set(e, ERR_INTERNAL, "cannot start a thread");
        goto fail;
    }
    s->has_waker = 1;
    *out = &s->base;
    return 0;
fail:
    kafka_close(&s->base);
    return rc;
}

static int64_t idle_after(const source_kafka_t *s, int32_t topic) {
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < s->config->n_sources; i++)
        if (names_index(&s->config->sources[i].topics, s->topics[topic]) >= 0 && s->config->sources[i].idle_after < least)
            least = s->config->sources[i].idle_after;
    return least;
}

static int by_position(const void *a, const void *b) {
    const partition_t *x = a, *y = b;
    if (x->at.topic != y->at.topic)
        return x->at.topic < y->at.topic ? -1 : 1;
    return (x->at.partition > y->at.partition) - (x->at.partition < y->at.partition);
}

int source_kafka_assign(source_t *base, const position_t *at, uint32_t n, error_t *e) {
    source_kafka_t *s = (source_kafka_t *)base;
    kafka_release(base);
    rd_kafka_assign(s->rk, NULL); /* so that nothing of the old positions is left in the queue */
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    partition_t *parts = mem_zalloc((n + 1) * sizeof *parts);
    for (uint32_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, s->topics[at[i].topic], at[i].partition)->offset = at[i].offset;
        parts[i].at = at[i];
        parts[i].idle_after = idle_after(s, at[i].topic);
        parts[i].last = clock_mono(s->clock);
        atomic_init(&parts[i].end, -1);
        atomic_init(&parts[i].next, at[i].offset);
    }
    qsort(parts, n, sizeof *parts, by_position);
    pthread_mutex_lock(&s->lock);
    mem_free(s->parts);
    s->parts = parts;
    s->n_parts = n;
    pthread_mutex_unlock(&s->lock);
    s->told = 0;
    s->positions = mem_realloc(s->positions, (n + 1) * sizeof *s->positions);
    rd_kafka_resp_err_t err = rd_kafka_assign(s->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? error_set(e, ERR_KAFKA, "cannot read the assigned partitions: %s", rd_kafka_err2str(err)) : 0;
}

void source_kafka_set_topics(source_t *base, const char *const *topics) {
    source_kafka_t *s = (source_kafka_t *)base;
    pthread_mutex_lock(&s->lock);
    s->topics = topics;
    pthread_mutex_unlock(&s->lock);
}

const position_t *source_kafka_positions(const source_t *base, uint32_t *n) {
    const source_kafka_t *s = (const source_kafka_t *)base;
    for (uint32_t i = 0; i < s->n_parts; i++)
        s->positions[i] = s->parts[i].at;
    *n = s->n_parts;
    return s->positions;
}

int64_t source_kafka_lag(source_t *base, int32_t topic, int32_t partition) {
    source_kafka_t *s = (source_kafka_t *)base;
    pthread_mutex_lock(&s->lock);
    partition_t *p = part_find(s, topic, partition);
    int64_t end = p ? atomic_load(&p->end) : -1, next = p ? atomic_load(&p->next) : 0;
    pthread_mutex_unlock(&s->lock);
    return end < 0 ? -1 : end > next ? end - next : 0;
}

rd_kafka_t *source_kafka_client(source_t *s) { return ((source_kafka_t *)s)->rk; }
