#include "topics_kafka.h"

#include <stdio.h>

#include "buf.h"
#include "mem.h"

int topics_partitions(rd_kafka_t *rk, const char *name, int timeout_ms, error_t *e) {
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    if (!topic)
        return error_set(e, ERR_KAFKA, "topic \"%s\": %s", name, rd_kafka_err2str(rd_kafka_last_error()));
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &md, timeout_ms);
    rd_kafka_topic_destroy(topic);
    if (err)
        return error_set(e, ERR_AGAIN, "cannot ask the brokers about topic \"%s\": %s", name, rd_kafka_err2str(err));
    int n = md->topic_cnt == 1 ? md->topics[0].partition_cnt : 0;
    err = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_metadata_destroy(md);
    if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return 0;
    if (err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
        return error_set(e, ERR_AGAIN, "topic \"%s\" has no leader yet", name);
    if (err)
        return error_set(e, ERR_KAFKA, "topic \"%s\": %s", name, rd_kafka_err2str(err));
    return n;
}

typedef struct topic_setting {
    topic_kind_t kind;
    const char *name, *value;
} topic_setting_t;

/* A changelog's small segments close soon and are cleaned early: what a restore reads stays near the live state. A reader
 * of it must be through before tombstones go: see there. */
static const topic_setting_t topic_settings[] = {{TOPIC_CHANGELOG, "cleanup.policy", "compact"},
                                                 {TOPIC_CHANGELOG, "segment.bytes", "16777216"},
                                                 {TOPIC_CHANGELOG, "segment.ms", "600000"},
                                                 {TOPIC_CHANGELOG, "min.cleanable.dirty.ratio", "0.1"},
                                                 {TOPIC_CHANGELOG, "delete.retention.ms", "300000"},
                                                 {TOPIC_CHANGELOG, "max.message.bytes", "10485760"},
                                                 {TOPIC_REPARTITION, "cleanup.policy", "delete"},
                                                 {TOPIC_REPARTITION, "retention.ms", "-1"},
                                                 {TOPIC_REPARTITION, "retention.bytes", "-1"},
                                                 {TOPIC_REPARTITION, "segment.bytes", "67108864"},
                                                 {TOPIC_REPARTITION, "max.message.bytes", "10485760"},
                                                 {TOPIC_OUTPUT, NULL, NULL}};

static rd_kafka_NewTopic_t *new_topic(const topic_want_t *w) {
    char why[256];
    rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(w->name, w->partitions, w->replication, why, sizeof why);
    for (const topic_setting_t *s = t ? topic_settings : NULL; s && s->name; s++)
        if (s->kind == w->kind)
            rd_kafka_NewTopic_set_config(t, s->name, s->value);
    return t;
}

static const char *why_of(const topic_want_t *wants, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(wants[i].name, name) == 0)
            return wants[i].why;
    return "";
}

static int read_results(rd_kafka_event_t *event, const topic_want_t *wants, uint32_t n, error_t *e) {
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    const rd_kafka_topic_result_t **topics = result ? rd_kafka_CreateTopics_result_topics(result, &count) : NULL;
    buf_t bad = {0};
    int passing = 0; /* a broker that has just started, or is starved: the controller does not count on it yet */
    if (rd_kafka_event_error(event))
        buf_printf(&bad, "the broker does not make topics: %s", rd_kafka_event_error_string(event));
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t err = rd_kafka_topic_result_error(topics[i]);
        if (err == 0 || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            continue;
        const char *name = rd_kafka_topic_result_name(topics[i]), *why = rd_kafka_topic_result_error_string(topics[i]);
        passing |= why && strstr(why, "brokers are currently fenced") != NULL;
        buf_printf(&bad, "%stopic \"%s\" (%s) does not exist and cannot be made: %s", bad.len ? "; " : "", name,
                   why_of(wants, n, name), rd_kafka_topic_result_error_string(topics[i]));
    }
    int rc = bad.len ? error_set(e, passing ? ERR_AGAIN : ERR_KAFKA, "%s. Make it by hand, or allow this client to",
                                 buf_cstr(&bad))
                     : 0;
    buf_fini(&bad);
    return rc;
}

int topics_ensure(rd_kafka_t *rk, const topic_want_t *wants, uint32_t n, int timeout_ms, error_t *e) {
    rd_kafka_NewTopic_t **missing = mem_alloc((n + 1) * sizeof(rd_kafka_NewTopic_t *));
    size_t count = 0;
    int rc = 0;
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 1, NULL, &md, timeout_ms);
    if (err) {
        mem_free(missing);
        return error_set(e, ERR_AGAIN, "cannot ask the brokers which topics there are: %s", rd_kafka_err2str(err));
    }
    for (uint32_t i = 0; i < n; i++) {
        int found = 0;
        for (int k = 0; k < md->topic_cnt && !found; k++)
            found = strcmp(md->topics[k].topic, wants[i].name) == 0 && md->topics[k].err == 0;
        rd_kafka_NewTopic_t *t = found ? NULL : new_topic(&wants[i]);
        if (!found && !t && rc == 0)
            rc = error_set(e, ERR_INVALID, "topic \"%s\" (%s) cannot be made: is the name valid?", wants[i].name,
                           wants[i].why);
        if (t)
            missing[count++] = t;
    }
    rd_kafka_metadata_destroy(md);
    if (rc == 0 && count) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
        rd_kafka_CreateTopics(rk, missing, count, NULL, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
        rc = event ? read_results(event, wants, n, e)
                   : error_set(e, ERR_AGAIN, "the broker did not answer the request to make topics");
        if (event)
            rd_kafka_event_destroy(event);
        rd_kafka_queue_destroy(queue);
    }
    rd_kafka_NewTopic_destroy_array(missing, count);
    mem_free(missing);
    return rc;
}

/* NULL: not said. The event's. */
static const char *policy_of(rd_kafka_event_t *event) {
    const rd_kafka_DescribeConfigs_result_t *result = event ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
    size_t n = 0;
    const rd_kafka_ConfigResource_t **topics = result ? rd_kafka_DescribeConfigs_result_resources(result, &n) : NULL;
    if (n != 1 || rd_kafka_ConfigResource_error(topics[0]))
        return NULL;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(topics[0], &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "cleanup.policy") == 0)
            return rd_kafka_ConfigEntry_value(entries[i]);
    return NULL;
}

int topics_check_compacted(rd_kafka_t *rk, const char *name, int timeout_ms, error_t *e) {
    rd_kafka_ConfigResource_t *ask = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DescribeConfigs(rk, &ask, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
    const char *policy = policy_of(event);
    int rc = 0;
    if (policy && strcmp(policy, "compact") != 0)
        rc = error_set(e, ERR_INVALID,
                       "topic \"%s\" holds the state, but has cleanup.policy=%s: the broker would delete what is still "
                       "needed. Correct it: kafka-configs --alter --entity-type topics --entity-name %s --add-config "
                       "cleanup.policy=compact",
                       name, policy, name);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(ask);
    return rc;
}
