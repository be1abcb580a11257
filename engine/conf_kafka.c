#include "conf_kafka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "clock.h"
#include "mem.h"

typedef struct setting {
    const char *name, *value;
    unsigned roles;
} setting_t;

#define TRANSACTION_MS 10000
#define FETCH_MAX 524288 /* of a partition, compressed */

#define MEMBER (1u << KAFKA_MEMBER)
#define READER (1u << KAFKA_READER)
#define PRODUCER (1u << KAFKA_PRODUCER)
#define ADMIN (1u << KAFKA_ADMIN)
#define ALL (MEMBER | READER | PRODUCER | ADMIN)

/* Ours unless the user says otherwise. Sizes: measured, see tests/bench; small fetches cost a factor of two.
 *
 * The producer's thread in librdkafka polls its socket without a pause in the last millisecond of a linger, and while a
 * partition has records that may not be sent yet (one of its requests is not out, or five are not answered). A linger of
 * two milliseconds is slept through, given slack (CLIENT_SLACK_NS), and keeps requests few enough that five are seldom
 * under way: at 5,000 orders a second the process takes a third less than without one. The queue holds about what requests
 * under way can hold: with 50,000 records in it two fifths of the processor time went into polling. */
static const setting_t defaults[] = {
    {"client.id", "ananas", ALL},
    {"socket.nagle.disable", "true", ALL},
    {"socket.keepalive.enable", "true", ALL},
    {"topic.metadata.refresh.interval.ms", "30000", ALL},
    {"reconnect.backoff.ms", "100", ALL},
    {"reconnect.backoff.max.ms", "5000", ALL},
    {"session.timeout.ms", "10000", MEMBER},
    {"heartbeat.interval.ms", "2000", MEMBER},
    {"max.poll.interval.ms", "60000", MEMBER},
    {"fetch.wait.max.ms", "500", READER},
    {"fetch.max.bytes", "4194304", READER},
    {"queued.min.messages", "1000000", READER},
    {"linger.ms", "2", PRODUCER},
    {"batch.size", "1000000", PRODUCER},
    {"batch.num.messages", "10000", PRODUCER},
    {"queue.buffering.max.messages", "10000", PRODUCER}, /* each takes about 600 bytes beside its own */
    {"queue.buffering.max.kbytes", "16384", PRODUCER},
};

/* What the guarantees rest on. */
static const setting_t fixed[] = {
    {"enable.auto.commit", "false", MEMBER | READER},   {"enable.auto.offset.store", "false", MEMBER | READER},
    {"partition.assignment.strategy", "range", MEMBER}, {"isolation.level", "read_committed", MEMBER | READER},
    {"enable.partition.eof", "true", READER},           {"auto.offset.reset", "error", READER},
    {"enable.idempotence", "true", PRODUCER},           {"allow.auto.create.topics", "false", MEMBER | READER},
};

const char *conf_kafka_get(const config_t *c, const char *name, const char *absent) {
    for (uint32_t i = 0; i < c->n_kafka; i++)
        if (strcmp(c->kafka[i].name, name) == 0)
            return c->kafka[i].value;
    return absent;
}

int64_t conf_kafka_int(const config_t *c, const char *name, int64_t absent) {
    const char *s = conf_kafka_get(c, name, NULL);
    return s ? strtoll(s, NULL, 10) : absent;
}

/* Many properties belong to consumers or to producers only; giving one to the other only makes librdkafka warn. */
static int belongs(const char *name, kafka_role_t role) {
    static const char *const consumer_only[] = {
        "group.",      "session.timeout",  "heartbeat.",           "max.poll",
        "fetch.",      "queued.",          "isolation.",           "auto.offset",
        "enable.auto", "enable.partition", "partition.assignment", "check.crcs"};
    static const char *const producer_only[] = {
        "acks",        "request.required", "linger",          "batch.",          "compression",
        "transaction", "enable.idem",      "queue.buffering", "message.timeout", "delivery.timeout",
        "retries",     "partitioner",      "sticky."};
    int consumes = role == KAFKA_MEMBER || role == KAFKA_READER;
    for (size_t i = 0; i < sizeof consumer_only / sizeof *consumer_only; i++)
        if (strncmp(name, consumer_only[i], strlen(consumer_only[i])) == 0)
            return consumes;
    for (size_t i = 0; i < sizeof producer_only / sizeof *producer_only; i++)
        if (strncmp(name, producer_only[i], strlen(producer_only[i])) == 0)
            return role == KAFKA_PRODUCER;
    return 1;
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, int secret, error_t *e) {
    char why[300];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return 0;
    return error_set(e, ERR_INVALID, "kafka property \"%s\" = \"%s\": %s", name, secret ? "***" : value, why);
}

static int set_all(rd_kafka_conf_t *conf, const setting_t *s, size_t n, kafka_role_t role, error_t *e) {
    for (size_t i = 0; i < n; i++)
        if (s[i].roles & 1u << role) {
            int rc = set(conf, s[i].name, s[i].value, 0, e);
            if (rc)
                return rc;
        }
    return 0;
}

/* ---- what librdkafka says ---- */

static void on_log(const rd_kafka_t *rk, int level, const char *fac, const char *text) {
    kafka_context_t *ctx = rk ? rd_kafka_opaque(rk) : NULL;
    if (!ctx)
        return;
    log_say(ctx->log, LOG_DEBUG, "kafka", "%s: %s", fac, text);
    if (strcmp(fac, "FAIL") == 0)
        complaint_hear(&ctx->complaints, text);
    if (strcmp(fac, "ADDPARTS") == 0)
        complaint_refuse(&ctx->complaints, text);
    if (strcmp(fac, "FAIL") == 0 || strcmp(fac, "ERROR") == 0) /* errors come through on_error, in words */
        return;
    /* What becomes of a transaction is said once, by the engine. */
    int again = strcmp(fac, "TXNERR") == 0 || strcmp(fac, "ADDPARTS") == 0 || strcmp(fac, "FATAL") == 0;
    if (level <= 3 && !again)
        log_say(ctx->log, LOG_WARN, "kafka", "%s: %s", fac, text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    (void)rk;
    kafka_context_t *ctx = opaque;
    complaint_say(&ctx->complaints, ctx->log, code, reason);
}

/* Long enough for the time between two commits, which is how long a transaction is open. */
int64_t conf_kafka_transaction_ms(const config_t *c) {
    return conf_kafka_int(c, "transaction.timeout.ms", TRANSACTION_MS + c->commit_interval);
}

static int set_transaction_timeout(rd_kafka_conf_t *conf, const config_t *c, error_t *e) {
    char ms[32];
    snprintf(ms, sizeof ms, "%lld", (long long)conf_kafka_transaction_ms(c));
    return set(conf, "transaction.timeout.ms", ms, 0, e);
}

/* Kafka hands the first tasks to the first members by name: with the time of its start in it the oldest stays active,
 * and a process that joins moves nothing. */
static int name_member(rd_kafka_conf_t *conf, const config_t *c, error_t *e) {
    char *id =
        mem_printf("%s-%013lld", conf_kafka_get(c, "client.id", "ananas"), (long long)clock_wall(&clock_system).ms);
    int rc = set(conf, "client.id", id, 0, e);
    mem_free(id);
    return rc;
}

/* What may wait, and what one fetch may bring of a partition. The bound is looked at before a fetch, not after it, and the
 * broker counts compressed bytes: with fetches of an eighth it is not passed by many times itself, and the next one is on
 * its way while what the last one brought is worked on.
 *
 * Partitions are given out in step, so what came of the first waits until the last has been unpacked. Of two megabytes of
 * each that is fifty and more, all of it gone from every cache when it is read and when its memory is used again. */
static int set_prefetch(rd_kafka_conf_t *conf, const config_t *c, error_t *e) {
    char text[32];
    int64_t fetch = c->prefetch / 8 < FETCH_MAX ? c->prefetch / 8 : FETCH_MAX;
    if (c->prefetch <= 0)
        return 0;
    snprintf(text, sizeof text, "%lld", (long long)(c->prefetch / 1024));
    int rc = set(conf, "queued.max.messages.kbytes", text, 0, e);
    snprintf(text, sizeof text, "%lld", (long long)fetch);
    return rc ? rc : set(conf, "fetch.message.max.bytes", text, 0, e);
}

int conf_kafka(const config_t *c, kafka_role_t role, const char *transactional_id, kafka_context_t *ctx,
               rd_kafka_conf_t **out, error_t *e) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int rc = set_all(conf, defaults, sizeof defaults / sizeof *defaults, role, e);
    if (rc == 0 && role == KAFKA_READER)
        rc = set_prefetch(conf, c, e);
    for (uint32_t i = 0; rc == 0 && i < c->n_kafka; i++)
        if (belongs(c->kafka[i].name, role))
            rc = set(conf, c->kafka[i].name, c->kafka[i].value, c->kafka[i].secret, e);
    if (rc == 0)
        rc = set_all(conf, fixed, sizeof fixed / sizeof *fixed, role, e);
    if (rc == 0 && role == KAFKA_MEMBER)
        rc = name_member(conf, c, e);
    if (rc == 0 && transactional_id)
        rc = set_transaction_timeout(conf, c, e);
    if (rc == 0 && transactional_id)
        rc = set(conf, "transactional.id", transactional_id, 0, e);
    if (rc) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    rd_kafka_conf_set_opaque(conf, ctx);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    *out = conf;
    return 0;
}

/* librdkafka before 2.4 sleeps whole milliseconds and waits for the rest of one awake, each time that one of its timers is
 * due, which is once a second and client at the least. Its threads take the slack of the one that makes them: with a
 * millisecond of it they wake when that rest is over. What wakes them by an event comes no later. */
#define CLIENT_SLACK_NS 1000000UL

int conf_kafka_try(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **out, error_t *e) {
    char why[400], text[COMPLAINT_SIZE];
    int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, CLIENT_SLACK_NS);
    *out = rd_kafka_new(type, conf, why, sizeof why);
    if (slack > 0)
        prctl(PR_SET_TIMERSLACK, (unsigned long)slack);
    if (*out)
        return 0;
    complaint_explain(why, text);
    return error_set(e, ERR_INVALID, "cannot make a Kafka client: %s", text);
}

int conf_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **out, error_t *e) {
    int rc = conf_kafka_try(type, conf, out, e);
    if (rc)
        rd_kafka_conf_destroy(conf);
    return rc;
}

int conf_kafka_client(const config_t *c, kafka_role_t role, const char *transactional_id, kafka_context_t *ctx,
                      rd_kafka_t **out, error_t *e) {
    rd_kafka_conf_t *conf;
    int rc = conf_kafka(c, role, transactional_id, ctx, &conf, e);
    if (rc)
        return rc;
    int reads = role == KAFKA_MEMBER || role == KAFKA_READER;
    return conf_kafka_new(reads ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, out, e);
}

/* ---- the end of a client ---- */

#define END_STEP_NS 1000000L
#define END_STEPS 10000

typedef struct ending {
    rd_kafka_t *rk;
    _Atomic int done;
    _Atomic int owners; /* the last of both frees it */
} ending_t;

static void ending_drop(ending_t *end) {
    if (atomic_fetch_sub(&end->owners, 1) == 1)
        mem_free(end);
}

static void *end_main(void *arg) {
    ending_t *end = arg;
    rd_kafka_destroy(end->rk);
    atomic_store(&end->done, 1);
    ending_drop(end);
    return NULL;
}

int conf_kafka_end(rd_kafka_t *rk, log_t *log) {
    pthread_t thread;
    if (!rk)
        return 1;
    ending_t *end = mem_zalloc(sizeof *end);
    end->rk = rk;
    atomic_init(&end->owners, 2);
    if (pthread_create(&thread, NULL, end_main, end)) {
        mem_free(end);
        rd_kafka_destroy(rk);
        return 1;
    }
    for (int steps = 0; !atomic_load(&end->done) && steps < END_STEPS; steps++) {
        struct timespec step = {0, END_STEP_NS};
        nanosleep(&step, NULL);
    }
    int done = atomic_load(&end->done);
    if (done) {
        pthread_join(thread, NULL);
    } else {
        pthread_detach(thread);
        log_say(log, LOG_WARN, "kafka", "a client does not end; it is left behind");
    }
    ending_drop(end);
    return done;
}
