/* The least a program can do that writes what Ananas wrote: reads the records of the output topics into memory, then consumes
 * the input topic and produces them evenly along the way: relay BROKERS INPUT PREFIX OUTPUT... Output X goes to PREFIX + X.
 * The clock runs from the first input record until everything is acknowledged. */
#include <malloc.h>

#include "client.h"

typedef struct kept { rd_kafka_topic_t *topic; char *bytes; size_t key, value; int64_t time; rd_kafka_headers_t *headers; } kept_t;
typedef struct relay {
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    kept_t *at;
    int64_t n, cap, next, seen, total;
} relay_t;

static void keep(void *ctx, rd_kafka_message_t *m) {
    relay_t *r = ctx;
    if (r->n == r->cap)
        r->at = realloc(r->at, (size_t)(r->cap = r->cap ? r->cap * 2 : 1024) * sizeof *r->at);
    kept_t *k = &r->at[r->n++];
    rd_kafka_headers_t *h = NULL;
    rd_kafka_timestamp_type_t type;
    rd_kafka_message_headers(m, &h);
    *k = (kept_t){r->topic, malloc(m->key_len + m->len + 1), m->key_len, m->len, rd_kafka_message_timestamp(m, &type),
                  h ? rd_kafka_headers_copy(h) : NULL};
    memcpy(k->bytes, m->key, m->key_len);
    memcpy(k->bytes + m->key_len, m->payload, m->len);
}

static void produce(relay_t *r, const kept_t *k) {
    rd_kafka_vu_t vu[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = k->topic},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {k->bytes, k->key}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {k->bytes + k->key, k->value}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = k->time},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = k->headers ? rd_kafka_headers_copy(k->headers) : rd_kafka_headers_new(1)}};
    for (;;) {
        rd_kafka_error_t *err = rd_kafka_produceva(r->producer, vu, sizeof vu / sizeof *vu);
        if (!err)
            return;
        if (rd_kafka_error_code(err) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            client_die("produce", rd_kafka_error_string(err));
        rd_kafka_error_destroy(err);
        rd_kafka_poll(r->producer, 10);
    }
}

static void pass(void *ctx, rd_kafka_message_t *m) {
    (void)m;
    relay_t *r = ctx;
    int64_t until = ++r->seen >= r->total ? r->n : (int64_t)((double)r->seen / (double)r->total * (double)r->n);
    while (r->next < until)
        produce(r, &r->at[r->next++]);
    if ((r->seen & 1023) == 0)
        rd_kafka_poll(r->producer, 0);
}

static void count(void *ctx, rd_kafka_message_t *m) {
    (void)m;
    (*(int64_t *)ctx)++;
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* as ananas run does */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    relay_t r = {.producer = client_producer(argv[1], "2")};
    for (int i = 4; i < argc; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s%s", argv[3], argv[i]);
        r.topic = rd_kafka_topic_new(r.producer, name, NULL);
        client_read(argv[1], argv[i], keep, &r, NULL);
    }
    client_read(argv[1], argv[2], count, &r.total, NULL);
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    double before = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9, first = 0;
    int64_t n = client_read(argv[1], argv[2], pass, &r, &first);
    while (rd_kafka_flush(r.producer, 1000) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        ;
    double seconds = client_now() - first;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"records\":%lld,\"written\":%lld,\"seconds\":%.6f,\"cpu\":%.6f}\n", (long long)n, (long long)r.n, seconds,
           (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9 - before);
    return 0;
}
