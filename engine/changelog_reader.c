#include "changelog_reader.h"

#include "clock.h"
#include "mem.h"

struct changelog_reader {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_message_t **batch;
    store_t *store;
    changelog_found_t found;
    char *topic;
    int32_t task;
    size_t max_state;
    log_t *log;
    uint64_t records;
    int at_end;      /* nothing was left when last looked at */
    mono_t fresh_at; /* when that was */
};

#define READER_BATCH 4096
#define READER_SILENCE_MS 60000
#define READER_SHOW_MS 1000
/* Half of what topics_kafka.c has the broker keep tombstones for: an entry whose tombstone was missed would never go. */
#define READER_FRESH_MS 150000

static int assign(changelog_reader_t *r, int64_t offset, error_t *e) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, r->topic, r->task)->offset = offset;
    rd_kafka_resp_err_t err = rd_kafka_assign(r->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    r->at_end = 0;
    r->fresh_at = clock_mono(&clock_system);
    return err ? error_set(e, ERR_KAFKA, "cannot read the changelog %s/%d: %s", r->topic, r->task,
                           rd_kafka_err2str(err))
               : 0;
}

int changelog_reader_open(changelog_reader_t **out, const config_t *c, kafka_context_t *ctx, int32_t task,
                          changelog_from_t *from, error_t *e) {
    changelog_reader_t *r = mem_zalloc(sizeof *r);
    r->topic = changelog_topic(c);
    r->task = task;
    r->log = ctx->log;
    r->max_state = (size_t)c->max_state;
    r->store = from ? from->store : store_new(r->max_state);
    if (from)
        r->found = from->found;
    r->batch = mem_alloc(READER_BATCH * sizeof(rd_kafka_message_t *));
    int rc = conf_kafka_client(c, KAFKA_READER, NULL, ctx, &r->rk, e);
    if (rc == 0) {
        rd_kafka_poll_set_consumer(r->rk);
        r->queue = rd_kafka_queue_get_consumer(r->rk);
        rc = assign(r, from ? from->offset : RD_KAFKA_OFFSET_BEGINNING, e);
    }
    if (rc) {
        changelog_reader_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void changelog_reader_close(changelog_reader_t *r) {
    if (!r)
        return;
    if (r->queue)
        rd_kafka_queue_destroy(r->queue);
    if (r->rk) {
        rd_kafka_consumer_close(r->rk);
        conf_kafka_end(r->rk, r->log);
    }
    store_free(r->store);
    changelog_found_fini(&r->found);
    mem_free(r->batch);
    mem_free(r->topic);
    mem_free(r);
}

static int start_over(changelog_reader_t *r, error_t *e) {
    store_t *old = r->store;
    r->store = store_new(r->max_state); /* before the old one goes: another address */
    store_free(old);
    changelog_found_fini(&r->found);
    r->found = (changelog_found_t){0};
    return assign(r, RD_KAFKA_OFFSET_BEGINNING, e);
}

static int take_error(changelog_reader_t *r, const rd_kafka_message_t *m, error_t *e) {
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        r->at_end = 1;
        return 0;
    }
    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return start_over(r, e);
    if (m->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return error_set(e, ERR_INVALID, "cannot read topic \"%s\", which holds the state: %s. Allow this client to",
                         r->topic, rd_kafka_err2str(m->err));
    return 0; /* librdkafka tries again and speaks through the error callback */
}

/* As many records as there are, up to a batch. 1: the barrier was among them; negative: error. *n: how many came. */
static int take_batch(changelog_reader_t *r, slice_t mark, int wait_ms, ssize_t *n, error_t *e) {
    int rc = 0;
    const store_t *store = r->store; /* another one: it started over, what is left of the batch comes again */
    *n = rd_kafka_consume_batch_queue(r->queue, wait_ms, r->batch, READER_BATCH);
    for (ssize_t i = 0; i < *n; i++) {
        rd_kafka_message_t *m = r->batch[i];
        if (rc == 0 && m->err) {
            rc = take_error(r, m, e);
        } else if (rc == 0 && store == r->store) {
            r->records++;
            r->at_end = 0;
            rc = changelog_take(m, mark, r->store, &r->found, e);
        }
        rd_kafka_message_destroy(m);
    }
    if (r->at_end)
        r->fresh_at = clock_mono(&clock_system);
    return rc;
}

static int is_stale(const changelog_reader_t *r) {
    return mono_diff_ms(clock_mono(&clock_system), r->fresh_at) > READER_FRESH_MS;
}

int changelog_reader_poll(changelog_reader_t *r, int wait_ms, error_t *e) {
    ssize_t n;
    if (r->at_end && is_stale(r)) { /* nobody polled for a long time */
        int rc = start_over(r, e);
        if (rc)
            return rc;
    }
    int rc = take_batch(r, (slice_t){NULL, 0}, wait_ms, &n, e);
    return rc < 0 ? rc : 0;
}

int changelog_reader_finish(changelog_reader_t *r, slice_t mark, error_t *e) {
    mono_t heard = clock_mono(&clock_system), shown = heard;
    int rc = r->at_end && is_stale(r) ? start_over(r, e) : 0;
    while (rc == 0) {
        ssize_t n;
        rc = take_batch(r, mark, 100, &n, e);
        mono_t now = clock_mono(&clock_system);
        if (n > 0)
            heard = now;
        if (rc == 0 && mono_diff_ms(now, heard) > READER_SILENCE_MS)
            rc = error_set(e, ERR_AGAIN, "restoring: nothing came from the changelog for %d s",
                           READER_SILENCE_MS / 1000);
        if (rc == 0 && mono_diff_ms(now, shown) > READER_SHOW_MS) {
            shown = now;
            log_say(r->log, LOG_INFO, "engine", "restoring state: %llu records read", (unsigned long long)r->records);
        }
    }
    return rc < 0 ? rc : 0;
}

store_t *changelog_reader_take(changelog_reader_t *r, changelog_found_t *found) {
    store_t *store = r->store;
    r->store = NULL;
    *found = r->found;
    r->found = (changelog_found_t){0};
    return store;
}

uint64_t changelog_reader_records(const changelog_reader_t *r) { return r->records; }

slice_t changelog_reader_version(const changelog_reader_t *r) { return buf_slice(&r->found.meta.version); }
