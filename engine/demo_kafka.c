#include "demo_kafka.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "conf_kafka.h"
#include "mem.h"
#include "orders.h"

enum {
    MAX_PARTITIONS = 64,
    /* Orders a partition may hold that were not read yet: about 3.7 MiB of the 5 MiB that the mock keeps. */
    MAX_AHEAD = 4500,
    PACE_MS = 4, /* how often orders that are due are sent */
    UNPACED_PER_SECOND = 1000,
    UNPACED_CHUNK = 512,
    DISORDER_MS = 1500, /* an order reaches the broker up to this long after it was placed */
    LATE_MS = 30000,
    LATE_ONE_IN = 1000,
    BAD_ONE_IN = 5000,
    FLUSH_MS = 10000
};

struct demo_kafka {
    demo_kafka_options_t o;
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
    rd_kafka_topic_t *topic;
    char *topic_name;
    orders_t *orders;
    pthread_t thread;
    int started;
    atomic_int stop, done;
    _Atomic int64_t sent, refused;
    _Atomic int64_t read[MAX_PARTITIONS]; /* next offset of the reader */
    int64_t written[MAX_PARTITIONS];      /* next offset of ours; the thread's own */
};

static int64_t now_ms(clockid_t clock) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms) {
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&ts, NULL);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk;
    demo_kafka_t *d = opaque;
    if (m->err)
        atomic_fetch_add(&d->refused, 1);
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, error_t *e) {
    char reason[200];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return 0;
    return error_set(e, ERR_INTERNAL, "demo broker: %s", reason);
}

static int open_producer(demo_kafka_t *d, error_t *e) {
    static const char *const properties[][2] = {
        {"client.id", "orders"},
        {"log_level", "3"},
        {"linger.ms", "5"},
        {"acks", "1"},
        {"batch.num.messages", "1000"},
        {"queue.buffering.max.messages", "100000"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        int rc = set(conf, properties[i][0], properties[i][1], e);
        if (rc) {
            rd_kafka_conf_destroy(conf);
            return rc;
        }
    }
    rd_kafka_conf_set_opaque(conf, d);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    /* The broker goes before its producer, which would complain about that on the terminal. */
    rd_kafka_conf_set_log_cb(conf, NULL);
    return conf_kafka_new(RD_KAFKA_PRODUCER, conf, &d->producer, e);
}

int demo_kafka_open(demo_kafka_t **out, const demo_kafka_options_t *o, error_t *e) {
    if (o->partitions < 1 || o->partitions > MAX_PARTITIONS)
        return error_set(e, ERR_INVALID, "demo broker: %d partitions; 1 to %d are possible", o->partitions,
                         MAX_PARTITIONS);
    demo_kafka_t *d = mem_zalloc(sizeof *d);
    d->o = *o;
    d->o.topic = d->topic_name = mem_strdup(o->topic);
    int rc = open_producer(d, e);
    if (rc)
        goto fail;
    rc = error_set(e, ERR_KAFKA, "demo broker: cannot start");
    d->cluster = rd_kafka_mock_cluster_new(d->producer, 1);
    if (!d->cluster || rd_kafka_brokers_add(d->producer, rd_kafka_mock_cluster_bootstraps(d->cluster)) < 1)
        goto fail;
    rc = demo_kafka_topic(d, o->topic, o->partitions, e);
    if (rc)
        goto fail;
    d->topic = rd_kafka_topic_new(d->producer, o->topic, NULL);
    d->orders = orders_open(o->seed);
    *out = d;
    return 0;
fail:
    demo_kafka_close(d);
    return rc;
}

void demo_kafka_close(demo_kafka_t *d) {
    if (!d)
        return;
    atomic_store(&d->stop, 1);
    if (d->started)
        pthread_join(d->thread, NULL);
    if (d->orders)
        orders_close(d->orders);
    if (d->producer)
        rd_kafka_purge(d->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    if (d->topic)
        rd_kafka_topic_destroy(d->topic);
    if (d->cluster)
        rd_kafka_mock_cluster_destroy(d->cluster);
    if (d->producer)
        rd_kafka_destroy(d->producer);
    mem_free(d->topic_name);
    mem_free(d);
}

const char *demo_kafka_bootstrap(const demo_kafka_t *d) { return rd_kafka_mock_cluster_bootstraps(d->cluster); }

int demo_kafka_topic(demo_kafka_t *d, const char *name, int32_t partitions, error_t *e) {
    rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(d->cluster, name, partitions, 1);
    if (!err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return 0;
    return error_set(e, ERR_KAFKA, "demo broker: topic %s: %s", name, rd_kafka_err2str(err));
}

void demo_kafka_progress(demo_kafka_t *d, int32_t partition, int64_t next_offset) {
    if (partition >= 0 && partition < d->o.partitions)
        atomic_store(&d->read[partition], next_offset);
}

int64_t demo_kafka_sent(const demo_kafka_t *d) { return atomic_load(&d->sent); }
int64_t demo_kafka_refused(const demo_kafka_t *d) { return atomic_load(&d->refused); }
int demo_kafka_done(const demo_kafka_t *d) { return atomic_load(&d->done); }

/* Waits until the partition has room. 0 when it must stop instead. */
static int wait_for_room(demo_kafka_t *d, int32_t partition) {
    while (d->written[partition] - atomic_load(&d->read[partition]) >= MAX_AHEAD) {
        if (atomic_load(&d->stop))
            return 0;
        rd_kafka_poll(d->producer, 1);
    }
    return 1;
}

/* Sends one order placed at that time. 0 when it must stop instead. */
static int send_order(demo_kafka_t *d, int64_t number, etime_t placed, buf_t *key, buf_t *value) {
    uint64_t draw = (uint64_t)number * 0x9e3779b97f4a7c15u >> 20;
    etime_t time = placed - (etime_t)(draw % DISORDER_MS);
    if (number % LATE_ONE_IN == LATE_ONE_IN - 1)
        time -= LATE_MS;
    orders_next(d->orders, time, key, value);
    if (number % BAD_ONE_IN == BAD_ONE_IN - 1)
        value->len /= 2;
    int32_t partition = rd_kafka_msg_partitioner_consistent(d->topic, key->s, key->len, d->o.partitions, NULL, NULL);
    if (!wait_for_room(d, partition))
        return 0;
    for (;;) {
        rd_kafka_resp_err_t err =
            rd_kafka_producev(d->producer, RD_KAFKA_V_RKT(d->topic), RD_KAFKA_V_PARTITION(partition),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key->s, key->len),
                              RD_KAFKA_V_VALUE(value->s, value->len), RD_KAFKA_V_TIMESTAMP(time), RD_KAFKA_V_END);
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            if (err)
                atomic_fetch_add(&d->refused, 1);
            break;
        }
        if (atomic_load(&d->stop))
            return 0;
        rd_kafka_poll(d->producer, 10);
    }
    d->written[partition]++;
    atomic_fetch_add(&d->sent, 1);
    return 1;
}

/* How many orders should have been sent after so long. */
static int64_t due(const demo_kafka_t *d, int64_t number, int64_t elapsed_ms) {
    int64_t n = d->o.rate > 0 ? elapsed_ms * d->o.rate / 1000 + 1 : number + UNPACED_CHUNK;
    return d->o.orders > 0 && n > d->o.orders ? d->o.orders : n;
}

static void *feed(void *arg) {
    demo_kafka_t *d = arg;
    buf_t key = {0}, value = {0};
    int64_t per_second = d->o.rate > 0 ? d->o.rate : UNPACED_PER_SECOND;
    etime_t first = now_ms(CLOCK_REALTIME);
    if (d->o.rate <= 0)
        first -= d->o.orders * 1000 / per_second;
    int64_t started = now_ms(CLOCK_MONOTONIC), number = 0, running = 1;
    while (running && !atomic_load(&d->stop) && !(d->o.orders > 0 && number >= d->o.orders)) {
        int64_t until = due(d, number, now_ms(CLOCK_MONOTONIC) - started);
        int live = d->o.rate <= 0 && d->o.orders <= 0;
        etime_t now = live ? now_ms(CLOCK_REALTIME) : 0;
        for (; running && number < until; number++)
            running = send_order(d, number, live ? now : first + number * 1000 / per_second, &key, &value);
        rd_kafka_poll(d->producer, 0);
        if (d->o.rate > 0)
            pause_ms(PACE_MS);
    }
    rd_kafka_flush(d->producer, FLUSH_MS);
    atomic_store(&d->done, 1);
    buf_fini(&key);
    buf_fini(&value);
    return NULL;
}

int demo_kafka_start(demo_kafka_t *d, error_t *e) {
    if (pthread_create(&d->thread, NULL, feed, d) != 0)
        return error_set(e, ERR_INTERNAL, "demo broker: cannot start a thread");
    d->started = 1;
    return 0;
}
