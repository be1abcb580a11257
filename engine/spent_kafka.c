#include "spent_kafka.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

#define API_FETCH 1       /* the request's number in Kafka's protocol */
#define MESSAGE_BYTES 128 /* before and behind where a message begins: librdkafka keeps its own of it around it */

typedef struct pile {
    rd_kafka_message_t **messages;
    size_t n, cap;
    size_t bytes;
} pile_t;

struct spent {
    pthread_mutex_t lock; /* both piles */
    pile_t waiting;
    pile_t empty; /* keeps the array of the last that was freed */
    int begun;    /* a client was begun to be made */
};

void spent_prefetch(const rd_kafka_message_t *m) { mem_prefetch((uintptr_t)m - MESSAGE_BYTES, 2 * MESSAGE_BYTES); }

static void destroy(rd_kafka_message_t *const *messages, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i + SPENT_AHEAD < n)
            spent_prefetch(messages[i + SPENT_AHEAD]);
        rd_kafka_message_destroy(messages[i]);
    }
}

void spent_give(spent_t *s, rd_kafka_message_t *const *messages, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += messages[i]->len + messages[i]->key_len;
    pthread_mutex_lock(&s->lock);
    pile_t *w = &s->waiting;
    int fits = w->n + n <= SPENT_MESSAGES && w->bytes + bytes <= SPENT_BYTES;
    if (fits && n > 0) {
        mem_grow(&w->messages, &w->cap, w->n + n, sizeof(rd_kafka_message_t *));
        memcpy(w->messages + w->n, messages, n * sizeof(rd_kafka_message_t *));
        w->n += n;
        w->bytes += bytes;
    }
    pthread_mutex_unlock(&s->lock);
    if (!fits)
        destroy(messages, n);
}

void spent_clear(spent_t *s) {
    pthread_mutex_lock(&s->lock);
    pile_t taken = s->waiting;
    s->waiting = s->empty;
    s->empty = (pile_t){0};
    pthread_mutex_unlock(&s->lock);
    destroy(taken.messages, taken.n);
    taken.n = taken.bytes = 0;
    pthread_mutex_lock(&s->lock);
    pile_t other = s->empty; /* of another of the client's threads, which was at it as well */
    s->empty = taken;
    pthread_mutex_unlock(&s->lock);
    mem_free(other.messages);
}

/* The manual forbids calls into the client here, and destroying a message is one by its letter. It drops references (to
 * topic, partition, answer and broker) and frees: it waits for nobody, takes no lock that librdkafka holds while it is
 * answered a fetch, and cannot drop the last reference to a broker, whose thread this is. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int socket, const char *broker, int32_t broker_id, int16_t api,
                                       int16_t api_version, int32_t correlation, size_t size, int64_t rtt,
                                       rd_kafka_resp_err_t err, void *opaque) {
    (void)rk, (void)socket, (void)broker, (void)broker_id, (void)api_version, (void)correlation, (void)size;
    (void)rtt, (void)err;
    if (api == API_FETCH)
        spent_clear(opaque);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque, char *why, size_t size) {
    spent_t *s = opaque;
    (void)conf;
    s->begun = 1;
    rd_kafka_resp_err_t err = rd_kafka_interceptor_add_on_response_received(rk, "spent", on_response, s);
    if (err)
        snprintf(why, size, "%s", rd_kafka_err2str(err));
    return err;
}

int spent_new(spent_t **out, rd_kafka_conf_t *conf, error_t *e) {
    spent_t *s = mem_zalloc(sizeof *s);
    rd_kafka_resp_err_t err = rd_kafka_conf_interceptor_add_on_new(conf, "spent", on_new, s);
    if (err) {
        mem_free(s);
        return error_set(e, ERR_INTERNAL, "cannot watch a Kafka client: %s", rd_kafka_err2str(err));
    }
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return 0;
}

/* Before 2.13 librdkafka frees the interceptors of a client that it began and could not make, though conf has them, too:
 * destroying conf would free them again. */
void spent_unmade(spent_t *s, rd_kafka_conf_t *conf) {
    if (s->begun)
        return;
    rd_kafka_conf_destroy(conf);
    spent_free(s);
}

void spent_free(spent_t *s) {
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    mem_free(s->waiting.messages);
    mem_free(s->empty.messages);
    mem_free(s);
}
