#include "member_kafka.h"

#include <time.h>

#include "clock.h"
#include "mem.h"
#include "topics_kafka.h"

#define GONE_ASK_MS 1000
#define GONE_EVERY_MS 5000
#define GONE_TIMES 3
#define GONE_PAUSE_NS 300000000L

struct member {
    rd_kafka_t *rk;
    log_t *log;
    const char *group;
    char *topic;
    member_events_t events;
    int owns;
    mono_t asked_at; /* whether the topic is still there; only while nothing is owned */
    int gone;        /* how often in a row it was not */
};

/* librdkafka hands one opaque to all callbacks of a client: the context comes first, so both find what they need. */
typedef struct member_opaque {
    kafka_context_t context;
    member_t *member;
} member_opaque_t;

static void take_tasks(member_t *m, rd_kafka_topic_partition_list_t *list) {
    int32_t *tasks = mem_alloc(((size_t)list->cnt + 1) * sizeof *tasks);
    for (int i = 0; i < list->cnt; i++)
        tasks[i] = list->elems[i].partition;
    rd_kafka_assign(m->rk, list);
    rd_kafka_pause_partitions(m->rk, list);
    m->owns = list->cnt > 0;
    m->events.assigned(m->events.ctx, tasks, (uint32_t)list->cnt);
    mem_free(tasks);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *opaque) {
    member_t *m = ((member_opaque_t *)opaque)->member;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        take_tasks(m, list);
        return;
    }
    if (m->owns)
        m->events.revoked(m->events.ctx, rd_kafka_assignment_lost(rk) || err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    m->owns = 0;
    rd_kafka_assign(rk, NULL);
}

int member_open(member_t **out, const config_t *c, kafka_context_t *ctx, const char *topic,
                const member_events_t *events, error_t *e) {
    member_opaque_t *opaque = mem_zalloc(sizeof *opaque);
    member_t *m = mem_zalloc(sizeof *m);
    rd_kafka_conf_t *conf;
    opaque->context.log = ctx->log;
    opaque->member = m;
    m->log = ctx->log;
    m->events = *events;
    m->group = c->group_id;
    m->topic = mem_strdup(topic);
    m->asked_at = clock_mono(&clock_system);
    int rc = conf_kafka(c, KAFKA_MEMBER, NULL, &opaque->context, &conf, e);
    if (rc)
        goto fail;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rc = conf_kafka_new(RD_KAFKA_CONSUMER, conf, &m->rk, e);
    if (rc)
        goto fail;
    rd_kafka_poll_set_consumer(m->rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(m->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (err) {
        rc = error_set(e, ERR_KAFKA, "cannot join group \"%s\": %s", c->group_id, rd_kafka_err2str(err));
        rd_kafka_destroy(m->rk);
        goto fail;
    }
    *out = m;
    return 0;
fail:
    mem_free(m->topic);
    mem_free(m);
    mem_free(opaque);
    return rc;
}

static int topic_gone(const member_t *m, error_t *e) {
    return error_set(e, ERR_INVALID,
                     "topic \"%s\", which holds the state, was deleted while running. To start over from the "
                     "beginning: stop all members, "
                     "kafka-consumer-groups --group %s --delete, start again",
                     m->topic, m->group);
}

/* Not every broker knows a topic that was just made: one answer is not enough. */
static int look_for_topic(member_t *m, error_t *e) {
    mono_t now = clock_mono(&clock_system);
    if (m->owns || mono_diff_ms(now, m->asked_at) < GONE_EVERY_MS)
        return 0;
    m->asked_at = now;
    m->gone = topics_partitions(m->rk, m->topic, GONE_ASK_MS, NULL) == 0 ? m->gone + 1 : 0;
    return m->gone < GONE_TIMES ? 0 : topic_gone(m, e);
}

int member_check_topic(const member_t *m, error_t *e) {
    for (int i = 0; i < GONE_TIMES; i++) {
        struct timespec pause = {0, GONE_PAUSE_NS};
        if (i)
            nanosleep(&pause, NULL);
        if (topics_partitions(m->rk, m->topic, GONE_ASK_MS, NULL) != 0)
            return 0;
    }
    return topic_gone(m, e);
}

int member_poll(member_t *m, int wait_ms, error_t *e) {
    rd_kafka_message_t *msg = rd_kafka_consumer_poll(m->rk, wait_ms);
    if (!msg)
        return look_for_topic(m, e);
    rd_kafka_resp_err_t err = msg->err;
    rd_kafka_message_destroy(msg);
    if (err == RD_KAFKA_RESP_ERR__FATAL || err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        return error_set(e, ERR_FENCED, "the group refused this member: %s", rd_kafka_err2str(err));
    if (err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        return error_set(e, ERR_INVALID, "cannot join group \"%s\": %s. Allow this client to read the group", m->group,
                         rd_kafka_err2str(err));
    if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return error_set(e, ERR_INVALID,
                         "cannot use topic \"%s\", which holds the state: %s. Allow this client to read and write it",
                         m->topic, rd_kafka_err2str(err));
    return 0;
}

void member_close(member_t *m) {
    if (!m)
        return;
    void *opaque = rd_kafka_opaque(m->rk);
    rd_kafka_consumer_close(m->rk);
    int ended = conf_kafka_end(m->rk, m->log);
    mem_free(m->topic);
    mem_free(m);
    if (ended)
        mem_free(opaque);
}

rd_kafka_t *member_client(member_t *m) { return m->rk; }
rd_kafka_consumer_group_metadata_t *member_metadata(member_t *m) { return rd_kafka_consumer_group_metadata(m->rk); }
