/* Spent messages for specs: the module, with a count of what it destroys and on whose thread. Compiled by the spec that wants it. */
#include <librdkafka/rdkafka.h>

static void count_destroyed(rd_kafka_message_t *m);
#define rd_kafka_message_destroy count_destroyed
#include "spent_kafka.c"
#undef rd_kafka_message_destroy

#include <stdatomic.h>

#define MADE_MAX 200000

typedef struct watch_counts {
    int64_t by_reader, by_client, given;
} watch_counts_t;

static rd_kafka_message_t made[MADE_MAX];
static int32_t destroyed[MADE_MAX]; /* how often */
static pthread_t reader;
static _Atomic int64_t by_reader, by_client;

static void count_destroyed(rd_kafka_message_t *m) {
    if (m >= made && m < made + MADE_MAX) {
        destroyed[m - made]++;
        return;
    }
    if (pthread_equal(pthread_self(), reader))
        by_reader++;
    else
        by_client++;
    rd_kafka_message_destroy(m);
}

/* ---- messages that are made up: numbers from 0 ---- */

spent_t *watch_new(void) {
    spent_t *s;
    error_t e;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    memset(destroyed, 0, sizeof destroyed);
    int rc = spent_new(&s, conf, &e);
    rd_kafka_conf_destroy(conf);
    return rc ? NULL : s;
}

void watch_give(spent_t *s, int first, int n, size_t value, size_t key) {
    rd_kafka_message_t *list[1000];
    for (int i = 0; i < n; i++) {
        made[first + i] = (rd_kafka_message_t){.len = value, .key_len = key};
        list[i] = &made[first + i];
    }
    spent_give(s, list, (size_t)n);
}

void watch_answer(spent_t *s, int api, int err) {
    on_response(NULL, -1, "broker", 1, (int16_t)api, 1, 1, 100, 10, (rd_kafka_resp_err_t)err, s);
}

int watch_destroyed(int i) { return destroyed[i]; }

/* ---- a client and its messages ---- */

/* A client that cannot be made of these names and values: 1 where librdkafka had begun to. */
int watch_unmade(const char *const *properties) {
    char why[500];
    spent_t *s;
    error_t e;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (; *properties; properties += 2)
        if (rd_kafka_conf_set(conf, properties[0], properties[1], why, sizeof why))
            return -1;
    if (spent_new(&s, conf, &e))
        return -2;
    if (rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why))
        return -3;
    int begun = s->begun;
    spent_unmade(s, conf);
    return begun;
}

/* Reads n records of the topic's partition 0. Negative: it could not. */
int watch_read(const char *at, const char *topic, int64_t n, watch_counts_t *out) {
    char why[500];
    spent_t *s;
    error_t e;
    rd_kafka_message_t *batch[100];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    reader = pthread_self();
    by_reader = by_client = 0;
    if (rd_kafka_conf_set(conf, "bootstrap.servers", at, why, sizeof why) ||
        rd_kafka_conf_set(conf, "group.id", "spent", why, sizeof why) ||
        spent_new(&s, conf, &e))
        return -1;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk)
        return -2;
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = 0;
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    int64_t read = 0, given = 0;
    for (int tries = 0; read < n && tries < 600; tries++) {
        ssize_t k = rd_kafka_consume_batch_queue(queue, 100, batch, 100);
        for (ssize_t i = 0; i < k; i++)
            read += !batch[i]->err;
        spent_give(s, batch, k < 0 ? 0 : (size_t)k);
        given += k < 0 ? 0 : k;
    }
    for (int tries = 0; by_reader + by_client < given && tries < 1000; tries++) /* fetches go on to be answered */
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    int64_t left = given - by_reader - by_client;
    spent_clear(s);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    spent_free(s);
    *out = (watch_counts_t){by_reader, by_client, given};
    return read < n || left > 0 ? -3 : 0;
}
