/* Orders at a steady rate into a topic, and how long until what Ananas made of them can be read:
 * latency BROKERS INPUT OUTPUT ORDERS.jsonl RATE SECONDS. An order's id becomes the time it is given to the producer, in
 * nanoseconds; bad_toppings passes it on. The first second of output does not count. One JSON object, milliseconds. */
#include <pthread.h>

#include "client.h"

typedef struct reader { const char *brokers, *topic; double *at; size_t n, cap; double begin; volatile int stop, ready; } reader_t;

static void *read_output(void *arg) {
    reader_t *r = arg;
    rd_kafka_t *rk = client_consumer(r->brokers);
    client_assign(rk, r->topic, RD_KAFKA_OFFSET_END);
    rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(rk);
    while (!r->stop) { /* one by one: a batch is waited for until it is full */
        rd_kafka_message_t *m = rd_kafka_consume_queue(q, 50);
        if (!m)
            continue;
        double now = client_now();
        const char *id = m->err ? NULL : memmem(m->payload, m->len, "\"id\":", 5);
        r->ready |= m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (id && now - r->begin > 1) {
            if (r->n == r->cap)
                r->at = realloc(r->at, (r->cap = r->cap ? r->cap * 2 : 4096) * sizeof *r->at);
            r->at[r->n++] = (now - strtod(id + 5, NULL) / 1e9) * 1e3;
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

/* One line with another id; -1 at the end of the file. */
static ssize_t next_order(FILE *f, char **line, size_t *cap, char *out) {
    ssize_t len = getline(line, cap, f);
    const char *rest = len > 0 ? strchr(*line, ',') : NULL;
    if (!rest || len > 65000)
        return -1;
    return sprintf(out, "{\"id\": %.0f%.*s", client_now() * 1e9, (int)(len - (rest - *line) - 1), rest);
}

int main(int argc, char **argv) {
    if (argc != 7)
        return 2;
    reader_t r = {.brokers = argv[1], .topic = argv[3], .begin = 1e18};
    pthread_t thread;
    pthread_create(&thread, NULL, read_output, &r);
    rd_kafka_t *rk = client_producer(argv[1], "1");
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, argv[2], NULL);
    FILE *f = fopen(argv[4], "r");
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    if (!f)
        client_die(argv[4], "cannot be read");
    char *line = NULL, order[65536];
    size_t cap = 0, sent = 0;
    while (!r.ready)
        rd_kafka_poll(rk, 10);
    r.begin = client_now();
    for (double now = r.begin; now - r.begin < seconds; now = client_now()) {
        for (size_t due = (size_t)((now - r.begin) * rate); sent < due; sent++) {
            ssize_t len = next_order(f, &line, &cap, order);
            if (len < 0) {
                rewind(f);
                len = next_order(f, &line, &cap, order);
            }
            while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, order, (size_t)len, NULL, 0, NULL) &&
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
