/* Orders at a steady rate into a topic, and how long until what Ananas made of them can be read:
 * latency BROKERS INPUT OUTPUT ORDERS.jsonl RATE SECONDS. The broker stamps what is appended to INPUT (LogAppendTime), and a
 * row of bad_toppings has the timestamp of its order; whole milliseconds, so up to one more than it was. The first second
 * of output does not count. One JSON object, milliseconds. */
#include <pthread.h>

#include "client.h"

typedef struct reader { const char *brokers, *topic; double *at; size_t n, cap; double begin; int is_input; volatile int stop, ready; } reader_t;

static double wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *read_output(void *arg) {
    reader_t *r = arg;
    rd_kafka_t *rk = client_consumer(r->brokers);
    client_assign(rk, r->topic, RD_KAFKA_OFFSET_END);
    rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(rk);
    while (!r->stop) { /* one by one: a batch is waited for until it is full */
        rd_kafka_message_t *m = rd_kafka_consume_queue(q, 50);
        if (!m)
            continue;
        rd_kafka_timestamp_type_t type;
        r->ready |= m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (!m->err && client_now() - r->begin > 1) {
            double since = (double)rd_kafka_message_timestamp(m, &type);
            if (r->is_input && type != RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME)
                client_die(r->topic, "does not have LogAppendTime");
            if (r->n == r->cap)
                r->at = realloc(r->at, (r->cap = r->cap ? r->cap * 2 : 4096) * sizeof *r->at);
            r->at[r->n++] = wall_ms() - since;
        }
        rd_kafka_message_destroy(m);
    }
    rd_kafka_queue_destroy(q);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return NULL;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const reader_t *r, double q) { return r->n ? r->at[(size_t)((double)(r->n - 1) * q)] : -1; }

int main(int argc, char **argv) {
    if (argc != 7)
        return 2;
    reader_t r = {.brokers = argv[1], .topic = argv[3], .begin = 1e18, .is_input = strcmp(argv[2], argv[3]) == 0};
    pthread_t thread;
    pthread_create(&thread, NULL, read_output, &r);
    rd_kafka_t *rk = client_producer(argv[1], "5"); /* librdkafka's own default */
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[2], NULL);
    FILE *f = fopen(argv[4], "r");
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    if (!f)
        client_die(argv[4], "cannot be read");
    char *line = NULL;
    size_t cap = 0, sent = 0;
    while (!r.ready)
        rd_kafka_poll(rk, 10);
    r.begin = client_now();
    for (double now = r.begin; now - r.begin < seconds; now = client_now()) {
        for (size_t due = (size_t)((now - r.begin) * rate); sent < due; sent++) {
            ssize_t len = getline(&line, &cap, f);
            if (len < 0) {
                rewind(f);
                len = getline(&line, &cap, f);
            }
            if (len <= 0)
                client_die(argv[4], "has no orders");
            while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, line, (size_t)(len - 1), NULL, 0, NULL) &&
                   rd_kafka_last_error() == RD_KAFKA_RESP_ERR__QUEUE_FULL)
                rd_kafka_poll(rk, 1);
        }
        rd_kafka_poll(rk, 1);
    }
    double took = client_now() - r.begin;
    rd_kafka_flush(rk, 30000);
    struct timespec rest = {2, 0};
    nanosleep(&rest, NULL);
    r.stop = 1;
    pthread_join(thread, NULL);
    qsort(r.at, r.n, sizeof *r.at, compare);
    printf("{\"sent\":%zu,\"rate\":%.0f,\"anomalies\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"most\":%.3f}\n", sent, (double)sent / took, r.n,
           quantile(&r, 0.5), quantile(&r, 0.99), quantile(&r, 0.999), quantile(&r, 1));
    return 0;
}
