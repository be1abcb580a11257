/* source_kafka_parts: the body of a reader of assigned partitions, shared by its two files.
 *
 * source_kafka.c reads and gives events, source_kafka_waker.c is the side thread. Nobody else includes this. */
#ifndef ANANAS_SOURCE_KAFKA_PARTS_H
#define ANANAS_SOURCE_KAFKA_PARTS_H
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "source_kafka.h"
#include "spent_kafka.h"

typedef struct partition {
    position_t at;
    rd_kafka_queue_t *queue;    /* its own, so that partitions can be read in step */
    rd_kafka_message_t **ready; /* fetched, not given out yet: [next_ready, n_ready) */
    size_t next_ready, n_ready;
    mono_t missing_since; /* there is more on the broker, but nothing here yet; ns == 0: not so */
    int64_t head;         /* timestamp of the next record ready */
    int at_end, idle;
    int64_t idle_after;
    mono_t last;          /* when the last record came */
    _Atomic int64_t end;  /* high watermark; -1: not known */
    _Atomic int64_t next; /* at.offset for other threads */
} partition_t;

typedef struct lent { /* of one poll */
    rd_kafka_message_t **messages;
    size_t n, cap;
    arena_t arena;
} lent_t;

typedef struct source_kafka {
    source_t base;
    const config_t *config;
    const char *const *topics;
    const clock_source_t *clock;
    kafka_context_t *ctx;
    rd_kafka_t *asker; /* for questions before anything is read; NULL from then on */
    rd_kafka_t *rk;    /* reads what is assigned; NULL before that */
    spent_t *spent;    /* of rk; for the thread that reads */
    int wake_fd;       /* readable when a queue has something */
    partition_t *parts;
    uint32_t n_parts, told; /* told: partitions given out as events after an assignment */
    int32_t number, of;     /* of every topic the partitions p with p mod of == number are ours */
    int32_t aside;          /* the topic that carries frames, -1: none */
    int held;               /* no records for now */
    position_t *positions;
    lent_t lent[2]; /* of the polls that are out, by number */
    uint64_t polled, released;
    int wants_headers;
    mono_t last_record, last_clock;
    pthread_t waker;
    pthread_mutex_t lock; /* rk and parts against the waker and source_kafka_lag */
    pthread_cond_t asked;
    int asking; /* the waker uses rk without the lock */
    _Atomic int hot, stop;
    sem_t roused;      /* the waker looks before its nap is over */
    _Atomic int grown; /* a topic has more partitions than are read */
    int has_waker;
} source_kafka_t;

/* The partition, NULL: it is not read. Under the lock, or on the thread that reads. */
partition_t *source_kafka_part(source_kafka_t *s, int32_t topic, int32_t partition);
/* The reader has a full queue. */
void source_kafka_rouse(source_kafka_t *s);
/* The side thread's body; the argument is the source. */
void *source_kafka_waker(void *arg);
#endif
