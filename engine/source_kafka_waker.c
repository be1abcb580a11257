#include <stdio.h>
#include <time.h>

#include "source_kafka_parts.h"
#include "topics_kafka.h"

#define WAKE_EVERY_MS 10    /* a fetcher asleep on a full queue is woken within this */
#define COLD_NAP_MS 500     /* while no queue is full; the reader ends such a nap */
#define COLD_MS 1000        /* from then on without a full queue */
#define COUNT_EVERY_MS 5000 /* between questions for the number of partitions */
#define LAG_EVERY_MS 1000   /* between questions while there is no backlog */

/* The reader's client, which is not taken away before it is given back; NULL: nothing is read. Under the lock. */
static rd_kafka_t *borrow_client(source_kafka_t *s) {
    rd_kafka_t *rk = s->n_parts ? s->rk : NULL;
    s->asking = rk != NULL;
    return rk;
}

static void return_client(source_kafka_t *s) {
    s->asking = 0;
    pthread_cond_broadcast(&s->asked);
}

/* Nothing has come since the broker said that this is the end. */
static int at_known_end(const partition_t *p) {
    int64_t end = atomic_load(&p->end);
    return end >= 0 && end == atomic_load(&p->next);
}

/* always: the answer matters less than that the fetcher is woken. */
static void ask_end(source_kafka_t *s, uint32_t turn, int always) {
    int64_t low, high;
    pthread_mutex_lock(&s->lock);
    const partition_t *asked = s->n_parts ? &s->parts[turn % s->n_parts] : NULL;
    rd_kafka_t *rk = asked && (always || !at_known_end(asked)) ? borrow_client(s) : NULL;
    position_t at = rk ? asked->at : (position_t){0};
    const char *topic = rk ? s->topics[at.topic] : NULL;
    pthread_mutex_unlock(&s->lock);
    if (!rk)
        return;
    int failed = rd_kafka_query_watermark_offsets(rk, topic, at.partition, &low, &high, 1000) != 0;
    pthread_mutex_lock(&s->lock);
    return_client(s);
    partition_t *p = failed ? NULL : source_kafka_part(s, at.topic, at.partition);
    if (p)
        atomic_store(&p->end, high);
    pthread_mutex_unlock(&s->lock);
}

/* Whether the topics have partitions that nobody reads. Goes round the topics, one a time. */
static void count_partitions(source_kafka_t *s, uint32_t turn) {
    char name[256] = "";
    int reads = 0;
    pthread_mutex_lock(&s->lock);
    int32_t topics = 0;
    while (s->topics[topics])
        topics++;
    int32_t topic = topics ? (int32_t)(turn % (uint32_t)topics) : 0;
    for (uint32_t i = 0; i < s->n_parts; i++)
        reads += s->parts[i].at.topic == topic;
    rd_kafka_t *rk = topics && topic != s->aside ? borrow_client(s) : NULL;
    if (rk)
        snprintf(name, sizeof name, "%s", s->topics[topic]);
    pthread_mutex_unlock(&s->lock);
    if (!rk)
        return;
    int count = topics_partitions(rk, name, 1000, NULL), ours = 0;
    pthread_mutex_lock(&s->lock);
    return_client(s);
    pthread_mutex_unlock(&s->lock);
    for (int p = s->number; p < count; p += s->of)
        ours++;
    if (ours > reads)
        atomic_store(&s->grown, 1);
}

void source_kafka_rouse(source_kafka_t *s) {
    if (!atomic_exchange(&s->hot, 1))
        sem_post(&s->roused);
}

/* Short naps have their length whatever the reader says; how long it was is nearly the same. */
static void nap(source_kafka_t *s, uint32_t ms) {
    struct timespec t = {0, (long)ms * 1000000};
    if (ms == WAKE_EVERY_MS) {
        nanosleep(&t, NULL);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    while (sem_trywait(&s->roused) == 0) /* of what is known already */
        ;
    if (atomic_load(&s->hot) || atomic_load(&s->stop))
        return;
    (void)!sem_clockwait(&s->roused, CLOCK_MONOTONIC, &t); /* one that a signal ends is shorter, no more */
}

/* Where nothing is being read there is nothing to wake: the thread sleeps long, until the reader has something to read. */
void *source_kafka_waker(void *arg) {
    source_kafka_t *s = arg;
    pthread_setname_np(pthread_self(), "waker");
    uint32_t turn = 0, count = 0, since_count = 0, since_ask = 0, cold = 0;
    while (!atomic_load(&s->stop)) {
        uint32_t nap_ms = cold < COLD_MS ? WAKE_EVERY_MS : COLD_NAP_MS;
        nap(s, nap_ms);
        since_ask += nap_ms;
        if ((since_count += nap_ms) >= COUNT_EVERY_MS) {
            since_count = 0;
            count_partitions(s, ++count);
        }
        int hot = atomic_exchange(&s->hot, 0);
        cold = hot ? 0 : cold + nap_ms;
        if (!hot && since_ask < LAG_EVERY_MS)
            continue;
        since_ask = 0;
        ask_end(s, turn++, hot);
    }
    return NULL;
}
