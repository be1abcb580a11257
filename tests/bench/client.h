/* client: what the minimal clients of the bench share: settings, partitions read to their end, the clock. One thread. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double client_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void client_die(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static inline void client_set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[300];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        client_die(name, why);
}

static inline rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[300];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk)
        client_die("client", why);
    return rk;
}

/* The settings of engine/conf_kafka.c. */
static inline rd_kafka_t *client_consumer(const char *brokers) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    static const char *const settings[][2] = {
        {"socket.nagle.disable", "true"}, {"fetch.wait.max.ms", "500"}, {"fetch.message.max.bytes", "524288"},
        {"fetch.max.bytes", "4194304"}, {"queued.min.messages", "1000000"}, {"queued.max.messages.kbytes", "65536"},
        {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"}, {"isolation.level", "read_committed"},
        {"enable.partition.eof", "true"}, {"group.id", "bench-minimal"}};
    client_set(conf, "bootstrap.servers", brokers);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        client_set(conf, settings[i][0], settings[i][1]);
    return client_new(RD_KAFKA_CONSUMER, conf);
}

static inline rd_kafka_t *client_producer(const char *brokers, const char *linger) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    static const char *const settings[][2] = {
        {"socket.nagle.disable", "true"}, {"batch.size", "1000000"}, {"batch.num.messages", "50000"},
        {"queue.buffering.max.messages", "2000000"}, {"queue.buffering.max.kbytes", "65536"}, {"enable.idempotence", "true"}};
    client_set(conf, "bootstrap.servers", brokers);
    client_set(conf, "linger.ms", linger);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        client_set(conf, settings[i][0], settings[i][1]);
    return client_new(RD_KAFKA_PRODUCER, conf);
}

/* Assigns all partitions of a topic from `from` on; how many there are. */
static inline int client_assign(rd_kafka_t *rk, const char *topic, int64_t from) {
    const struct rd_kafka_metadata *m;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, t, &m, 10000);
    if (err || m->topics[0].partition_cnt == 0)
        client_die(topic, err ? rd_kafka_err2str(err) : "no such topic");
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(m->topics[0].partition_cnt);
    for (int i = 0; i < m->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(all, topic, i)->offset = from;
    int n = all->cnt;
    rd_kafka_assign(rk, all);
    rd_kafka_topic_partition_list_destroy(all);
    rd_kafka_metadata_destroy(m);
    rd_kafka_topic_destroy(t);
    return n;
}

#define CLIENT_BATCH 1024
typedef void (*client_take)(void *ctx, rd_kafka_message_t *m);

/* Reads a topic from its beginning until every partition has ended; destroys what it read. *first: when the first came. */
static inline int64_t client_read(const char *brokers, const char *topic, client_take take, void *ctx, double *first) {
    rd_kafka_t *rk = client_consumer(brokers);
    int open = client_assign(rk, topic, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *batch[CLIENT_BATCH];
    int64_t n = 0;
    while (open > 0) {
        ssize_t got = rd_kafka_consume_batch_queue(q, 100, batch, CLIENT_BATCH);
        for (ssize_t i = 0; i < got; i++) {
            if (batch[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
                open--;
            else if (batch[i]->err)
                client_die(topic, rd_kafka_message_errstr(batch[i]));
            else {
                if (n++ == 0 && first)
                    *first = client_now();
                if (take)
                    take(ctx, batch[i]);
            }
            rd_kafka_message_destroy(batch[i]);
        }
    }
    rd_kafka_queue_destroy(q);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return n;
}
#endif
