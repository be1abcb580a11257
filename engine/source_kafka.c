#include "source_kafka.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "headers_kafka.h"
#include "mem.h"
#include "source_kafka_parts.h"

#define CLOCK_EVERY_MS 250
#define MIN_PREFETCH (1 << 20)
#define FRAMES_BYTES ((size_t)4 << 20) /* of frames in a poll; they hold many rows each */
#define READY_MAX 512                  /* records taken from a partition's queue at a time */
#define MISSING_MS 500                 /* how long the others wait for a partition that is known to have more */

partition_t *source_kafka_part(source_kafka_t *s, int32_t topic, int32_t partition) {
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

static int is_aside(const source_kafka_t *s, const partition_t *p) { return p->at.topic == s->aside; }

/* ---- events ---- */

static partition_t *part_of(source_kafka_t *s, const rd_kafka_message_t *m) {
    int32_t topic = m->rkt ? topic_index(s, rd_kafka_topic_name(m->rkt)) : -1;
    return topic < 0 ? NULL : source_kafka_part(s, topic, m->partition);
}

static int take_error(source_kafka_t *s, const rd_kafka_message_t *m, error_t *e) {
    partition_t *p = part_of(s, m);
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (p) {
            p->at_end = 1;
            atomic_store(&p->end, m->offset); /* marks of transactions lie before it, which nobody is given */
            atomic_store(&p->next, m->offset);
        }
        return 0;
    }
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return error_set(
            e, ERR_KAFKA,
            "%s/%d: offset %lld, where this group stopped, is gone from the broker (expired, or the topic was made "
            "anew). Move the group with kafka-consumer-groups --reset-offsets and start again",
            m->rkt ? rd_kafka_topic_name(m->rkt) : "?", m->partition, p ? (long long)p->at.offset : -1LL);
    if (m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return error_set(e, ERR_INVALID, "cannot read %s/%d: %s. Allow this client to read the topic",
                         m->rkt ? rd_kafka_topic_name(m->rkt) : "?", m->partition, rd_kafka_err2str(m->err));
    if (m->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return error_set(e, ERR_KAFKA, "cannot read %s/%d: %s", m->rkt ? rd_kafka_topic_name(m->rkt) : "?",
                         m->partition, rd_kafka_err2str(m->err));
    return 0; /* librdkafka tries again and speaks through the error callback */
}

/* What the poll at work gives out. */
static lent_t *lent_now(source_kafka_t *s) { return &s->lent[s->polled % 2]; }

static void lend(lent_t *l, rd_kafka_message_t *m) {
    mem_grow(&l->messages, &l->cap, l->n + 1, sizeof(rd_kafka_message_t *));
    l->messages[l->n++] = m;
}

/* -1: it has none. */
static int64_t time_of(const rd_kafka_message_t *m) {
    rd_kafka_timestamp_type_t type;
    int64_t timestamp = rd_kafka_message_timestamp(m, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp;
}

/* 1: *ev is the record. */
static int take_message(source_kafka_t *s, partition_t *p, const rd_kafka_message_t *m, int64_t timestamp, mono_t now,
                        event_t *ev) {
    if (m->offset < p->at.offset)
        return 0;
    p->at.offset = m->offset + 1;
    atomic_store_explicit(&p->next, p->at.offset, memory_order_relaxed);
    p->last = now;
    p->at_end = p->idle = 0;
    *ev = (event_t){
        .kind = EVENT_RECORD,
        .record = {.topic = p->at.topic,
                   .partition = p->at.partition,
                   .offset = m->offset,
                   .timestamp = timestamp,
                   .key = {m->key, m->key ? m->key_len : 0},
                   .value = {m->payload, m->payload ? m->len : 0},
                   .headers = s->wants_headers ? headers_kafka_json(m, &lent_now(s)->arena) : (slice_t){NULL, 0},
                   .own = m}};
    return 1;
}

static uint32_t tell_partitions(source_kafka_t *s, event_t *events, uint32_t max) {
    uint32_t n = 0;
    while (s->told < s->n_parts && n < max) {
        const position_t *at = &s->parts[s->told++].at;
        if (at->topic != s->aside)
            events[n++] =
                (event_t){.kind = EVENT_PARTITION, .record = {.topic = at->topic, .partition = at->partition}};
    }
    return n;
}

static uint32_t tell_idle(source_kafka_t *s, mono_t now, event_t *events, uint32_t max) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_parts && n < max; i++) {
        partition_t *p = &s->parts[i];
        if (p->idle || !p->at_end || is_aside(s, p) || mono_diff_ms(now, p->last) < p->idle_after)
            continue;
        p->idle = 1;
        events[n++] = (event_t){.kind = EVENT_IDLE, .record = {.topic = p->at.topic, .partition = p->at.partition}};
    }
    if (n < max && mono_diff_ms(now, s->last_record) >= CLOCK_EVERY_MS &&
        mono_diff_ms(now, s->last_clock) >= CLOCK_EVERY_MS) {
        s->last_clock = now;
        events[n++] = (event_t){.kind = EVENT_CLOCK, .time = clock_wall(s->clock).ms};
    }
    return n;
}

/* ---- reading partitions in step ----
 *
 * What is given out next is the record with the least timestamp among the heads of all partitions, as far as they are
 * known: a partition of which the broker has more than has arrived is waited for, for a moment. So a backlog is read
 * evenly over its partitions, state stays small, and rows are judged late as they would have been when they were written. */

static int refill(source_kafka_t *s, partition_t *p, error_t *e) {
    ssize_t n = rd_kafka_consume_batch_queue(p->queue, 0, p->ready, READY_MAX);
    p->next_ready = p->n_ready = 0;
    if (n == READY_MAX)
        source_kafka_rouse(s);
    int rc = 0;
    for (ssize_t i = 0; i < n; i++) {
        rd_kafka_message_t *m = p->ready[i];
        int usable = !m->err && m->offset >= p->at.offset;
        if (m->err && rc == 0)
            rc = take_error(s, m, e);
        if (usable)
            p->ready[p->n_ready++] = m;
        else
            rd_kafka_message_destroy(m);
    }
    return rc;
}

/* Whether the broker has more of this partition than has arrived. */
static int more_is_known(const source_kafka_t *s, const partition_t *p) {
    int64_t low, high;
    if (p->at_end)
        return 0;
    if (rd_kafka_get_watermark_offsets(s->rk, s->topics[p->at.topic], p->at.partition, &low, &high))
        return 0;
    return high < 0 || p->at.offset < high;
}

/* 1: the others have to wait for p. */
static int holds_up(source_kafka_t *s, partition_t *p, mono_t now) {
    if (p->next_ready < p->n_ready || !more_is_known(s, p)) {
        p->missing_since.ns = 0;
        return 0;
    }
    if (p->missing_since.ns == 0)
        p->missing_since = now;
    return mono_diff_ms(now, p->missing_since) < MISSING_MS;
}

/* Refills what is empty. 1: reading may go on; 0: nothing, or somebody has to be waited for; negative: error. */
static int gather(source_kafka_t *s, mono_t now, error_t *e) {
    int any = 0, held = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        partition_t *p = &s->parts[i];
        if (is_aside(s, p))
            continue;
        int rc = p->next_ready == p->n_ready ? refill(s, p, e) : 0;
        if (rc)
            return rc;
        if (p->next_ready < p->n_ready)
            p->head = time_of(p->ready[p->next_ready]);
        any |= p->next_ready < p->n_ready;
        held |= holds_up(s, p, now);
    }
    return any && !held;
}

/* The partition whose head is the earliest, and the earliest head of the others. */
static partition_t *earliest(source_kafka_t *s, int64_t *others) {
    partition_t *first = NULL;
    *others = INT64_MAX;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        partition_t *p = &s->parts[i];
        if (p->next_ready == p->n_ready || is_aside(s, p))
            continue;
        if (!first || p->head < first->head) {
            if (first)
                *others = first->head;
            first = p;
        } else if (p->head < *others) {
            *others = p->head;
        }
    }
    return first;
}

/* Gives out records until a partition runs dry. */
static uint32_t give_records(source_kafka_t *s, event_t *events, uint32_t max, mono_t now) {
    uint32_t n = 0;
    while (n < max) {
        int64_t others;
        partition_t *p = earliest(s, &others);
        if (!p)
            return n;
        do {
            rd_kafka_message_t *m = p->ready[p->next_ready++];
            if (p->next_ready + SPENT_AHEAD < p->n_ready)
                spent_prefetch(p->ready[p->next_ready + SPENT_AHEAD]);
            lend(lent_now(s), m);
            n += (uint32_t)take_message(s, p, m, p->head, now, &events[n]);
            if (p->next_ready == p->n_ready) {
                s->last_record = now;
                return n;
            }
            p->head = time_of(p->ready[p->next_ready]);
        } while (n < max && p->head <= others);
    }
    s->last_record = now;
    return n;
}

/* Frames that are there, up to a control frame (those have keys): *cut is then 1. Count, or negative. */
static int give_frames(source_kafka_t *s, event_t *events, uint32_t max, mono_t now, int *cut, error_t *e) {
    partition_t *p = s->aside >= 0 && s->n_parts ? &s->parts[s->n_parts - 1] : NULL;
    uint32_t n = 0;
    size_t bytes = 0;
    if (!p || !is_aside(s, p)) /* topics are sorted by index, and this one is the last */
        return 0;
    while (n < max && bytes < FRAMES_BYTES && !*cut) {
        int rc = p->next_ready == p->n_ready ? refill(s, p, e) : 0;
        if (rc)
            return rc;
        if (p->next_ready == p->n_ready)
            break;
        rd_kafka_message_t *m = p->ready[p->next_ready++];
        lend(lent_now(s), m);
        if (!take_message(s, p, m, time_of(m), now, &events[n]))
            continue;
        events[n++].kind = EVENT_FRAME;
        bytes += m->len;
        *cut = m->key != NULL;
    }
    return (int)n;
}

static void wait_for_more(source_kafka_t *s, int timeout_ms) {
    struct pollfd fd = {.fd = s->wake_fd, .events = POLLIN};
    uint64_t count;
    if (poll(&fd, 1, timeout_ms) > 0 && read(s->wake_fd, &count, sizeof count) < 0)
        return;
}

static int serve_client(source_kafka_t *s, error_t *e) {
    rd_kafka_message_t *m = rd_kafka_consumer_poll(s->rk, 0);
    if (!m)
        return 0;
    int rc = m->err ? take_error(s, m, e) : 0;
    rd_kafka_message_destroy(m);
    return rc;
}

/* Records, as far as they are there; waits for the first event when there is none. Count, or negative. */
static int give_more(source_kafka_t *s, event_t *events, uint32_t max, int timeout_ms, int *cut, error_t *e) {
    uint32_t n = 0;
    while (n < max && !*cut) {
        mono_t now = clock_mono(s->clock);
        int frames = give_frames(s, events + n, max - n, now, cut, e);
        if (frames < 0)
            return frames;
        n += (uint32_t)frames;
        int rc = s->held || *cut ? 0 : gather(s, now, e);
        if (rc < 0)
            return rc;
        if (rc == 0 && n == 0 && timeout_ms > 0) {
            wait_for_more(s, timeout_ms < MISSING_MS ? timeout_ms : MISSING_MS);
            timeout_ms = 0;
            continue;
        }
        if (rc == 0)
            break;
        n += give_records(s, events + n, max - n, now);
    }
    return (int)n;
}

static int kafka_poll(source_t *base, event_t *events, uint32_t max, int timeout_ms, int *end, error_t *e) {
    source_kafka_t *s = (source_kafka_t *)base;
    int cut = 0;
    assert(s->polled - s->released < 2);
    *end = 0;
    uint32_t n = tell_partitions(s, events, max);
    int rc = s->rk ? serve_client(s, e) : 0;
    if (rc == 0 && s->rk)
        rc = give_more(s, events + n, max - n, n ? 0 : timeout_ms, &cut, e);
    if (rc < 0)
        return rc;
    n += (uint32_t)rc;
    if (n < max && !cut && !s->held)
        n += tell_idle(s, clock_mono(s->clock), events + n, max - n);
    s->polled++;
    return (int)n;
}

static void give_back(source_kafka_t *s, lent_t *l) {
    if (l->n)
        spent_give(s->spent, l->messages, l->n);
    l->n = 0;
    arena_reset(&l->arena);
}

static void kafka_release(source_t *base) {
    source_kafka_t *s = (source_kafka_t *)base;
    if (s->released < s->polled) /* reading anew took all back */
        give_back(s, &s->lent[s->released++ % 2]);
}

static void parts_free(partition_t *parts, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = parts[i].next_ready; k < parts[i].n_ready; k++)
            rd_kafka_message_destroy(parts[i].ready[k]);
        if (parts[i].queue)
            rd_kafka_queue_destroy(parts[i].queue);
        mem_free(parts[i].ready);
    }
    mem_free(parts);
}

/* The waker asks through the client that reads: nobody takes that away while it does. */
static void stop_reading(source_kafka_t *s) {
    give_back(s, &s->lent[0]);
    give_back(s, &s->lent[1]);
    s->released = s->polled;
    pthread_mutex_lock(&s->lock);
    partition_t *parts = s->parts;
    uint32_t n = s->n_parts;
    rd_kafka_t *rk = s->rk;
    s->parts = NULL;
    s->n_parts = 0;
    s->rk = NULL;
    while (s->asking)
        pthread_cond_wait(&s->asked, &s->lock);
    pthread_mutex_unlock(&s->lock);
    parts_free(parts, n);
    if (!rk)
        return;
    spent_clear(s->spent);
    rd_kafka_consumer_close(rk);
    if (conf_kafka_end(rk, s->ctx->log)) /* one that is left behind may still look there */
        spent_free(s->spent);
    s->spent = NULL;
}

static void kafka_close(source_t *base) {
    source_kafka_t *s = (source_kafka_t *)base;
    atomic_store(&s->stop, 1);
    sem_post(&s->roused);
    if (s->has_waker)
        pthread_join(s->waker, NULL);
    stop_reading(s);
    conf_kafka_end(s->asker, s->ctx->log);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    sem_destroy(&s->roused);
    pthread_cond_destroy(&s->asked);
    pthread_mutex_destroy(&s->lock);
    for (int i = 0; i < 2; i++) {
        arena_fini(&s->lent[i].arena);
        mem_free(s->lent[i].messages);
    }
    mem_free(s->positions);
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
    s->of = 1;
    s->aside = -1;
    s->clock = clock;
    s->wants_headers = wants_headers(c);
    s->last_record = s->last_clock = clock_mono(clock);
    arena_init(&s->lent[0].arena);
    arena_init(&s->lent[1].arena);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->asked, NULL);
    sem_init(&s->roused, 0, 0);
    s->ctx = ctx;
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = s->wake_fd < 0 ? error_set(e, ERR_INTERNAL, "cannot make an event descriptor") : 0;
    if (rc == 0)
        rc = conf_kafka_client(c, KAFKA_READER, NULL, ctx, &s->asker, e);
    if (rc)
        goto fail;
    if (pthread_create(&s->waker, NULL, source_kafka_waker, s)) {
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
        if (names_index(&s->config->sources[i].topics, s->topics[topic]) >= 0 &&
            s->config->sources[i].idle_after < least)
            least = s->config->sources[i].idle_after;
    return least;
}

static int by_position(const void *a, const void *b) {
    const partition_t *x = a, *y = b;
    if (x->at.topic != y->at.topic)
        return x->at.topic < y->at.topic ? -1 : 1;
    return (x->at.partition > y->at.partition) - (x->at.partition < y->at.partition);
}

/* A client of its own for every assignment: nothing of old positions is left in any queue. Its memory for records that
 * wait is shared out over the partitions, whose queues have their bounds each. */
static int reader_new(source_kafka_t *s, uint32_t n, rd_kafka_t **out, spent_t **spent, error_t *e) {
    rd_kafka_conf_t *conf;
    config_t share = *s->config;
    share.prefetch = s->config->prefetch / s->of / (n ? n : 1);
    if (share.prefetch < MIN_PREFETCH)
        share.prefetch = MIN_PREFETCH;
    int rc = conf_kafka(&share, KAFKA_READER, NULL, s->ctx, &conf, e);
    if (rc)
        return rc;
    if ((rc = spent_new(spent, conf, e))) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    if ((rc = conf_kafka_try(RD_KAFKA_CONSUMER, conf, out, e)))
        spent_unmade(*spent, conf);
    else
        rd_kafka_poll_set_consumer(*out);
    return rc;
}

static void open_queue(source_kafka_t *s, rd_kafka_t *rk, partition_t *p) {
    uint64_t one = 1;
    p->queue = rd_kafka_queue_get_partition(rk, s->topics[p->at.topic], p->at.partition);
    p->ready = mem_alloc(READY_MAX * sizeof(rd_kafka_message_t *));
    rd_kafka_queue_forward(p->queue, NULL);
    rd_kafka_queue_io_event_enable(p->queue, s->wake_fd, &one, sizeof one);
}

static int assign_reader(source_kafka_t *s, rd_kafka_t *rk, partition_t *parts, uint32_t n, error_t *e) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (uint32_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, s->topics[parts[i].at.topic], parts[i].at.partition)->offset =
            parts[i].at.offset;
    for (uint32_t i = 0; i < n; i++)
        open_queue(s, rk, &parts[i]);
    rd_kafka_resp_err_t err = rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? error_set(e, ERR_KAFKA, "cannot read the assigned partitions: %s", rd_kafka_err2str(err)) : 0;
}

int source_kafka_assign(source_t *base, const position_t *at, uint32_t n, error_t *e) {
    source_kafka_t *s = (source_kafka_t *)base;
    rd_kafka_t *rk;
    spent_t *spent;
    partition_t *parts = mem_zalloc((n + 1) * sizeof *parts);
    for (uint32_t i = 0; i < n; i++) {
        parts[i].at = at[i];
        parts[i].idle_after = idle_after(s, at[i].topic);
        parts[i].last = clock_mono(s->clock);
        atomic_init(&parts[i].end, -1);
        atomic_init(&parts[i].next, at[i].offset);
    }
    qsort(parts, n, sizeof *parts, by_position);
    stop_reading(s);
    int rc = reader_new(s, n, &rk, &spent, e);
    if (rc == 0 && (rc = assign_reader(s, rk, parts, n, e))) {
        rd_kafka_destroy(rk);
        spent_free(spent);
    }
    if (rc) {
        parts_free(parts, n);
        return rc;
    }
    pthread_mutex_lock(&s->lock);
    s->parts = parts;
    s->n_parts = n;
    s->rk = rk;
    pthread_mutex_unlock(&s->lock);
    s->spent = spent;
    s->told = 0;
    s->positions = mem_realloc(s->positions, (n + 1) * sizeof *s->positions);
    conf_kafka_end(s->asker,
                   s->ctx->log); /* the reader answers from here on: a client has threads, which wake and take memory */
    s->asker = NULL;
    return 0;
}

void source_kafka_share(source_t *base, int32_t number, int32_t of, int32_t aside) {
    source_kafka_t *s = (source_kafka_t *)base;
    pthread_mutex_lock(&s->lock);
    s->number = number;
    s->of = of;
    s->aside = aside;
    pthread_mutex_unlock(&s->lock);
}

void source_kafka_hold(source_t *base, int yes) { ((source_kafka_t *)base)->held = yes; }

void source_kafka_wake(source_t *base) {
    uint64_t one = 1;
    if (write(((source_kafka_t *)base)->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is awake */
}

const position_t *source_kafka_positions(const source_t *base, uint32_t *n) {
    const source_kafka_t *s = (const source_kafka_t *)base;
    for (uint32_t i = 0; i < s->n_parts; i++)
        s->positions[i] = s->parts[i].at;
    *n = s->n_parts;
    return s->positions;
}

int source_kafka_grown(source_t *base) { return atomic_exchange(&((source_kafka_t *)base)->grown, 0); }

int64_t source_kafka_lag(source_t *base, int32_t topic, int32_t partition) {
    source_kafka_t *s = (source_kafka_t *)base;
    pthread_mutex_lock(&s->lock);
    partition_t *p = source_kafka_part(s, topic, partition);
    int64_t end = p ? atomic_load(&p->end) : -1, next = p ? atomic_load(&p->next) : 0;
    pthread_mutex_unlock(&s->lock);
    return end < 0 ? -1 : end > next ? end - next : 0;
}

rd_kafka_t *source_kafka_client(source_t *base) {
    const source_kafka_t *s = (const source_kafka_t *)base;
    return s->rk ? s->rk : s->asker;
}
