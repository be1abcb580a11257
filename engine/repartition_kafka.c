#include "repartition_kafka.h"

#include "changelog.h"
#include "mem.h"
#include "topics_kafka.h"

char *repartition_topic(const config_t *c) { return mem_printf("%s-repartition", c->group_id); }

static int refuse(const config_t *c, int was, error_t *e) {
    return error_set(
        e, ERR_INVALID,
        "parallelism is %lld, but the state of group %s was made with %d: which task has which key depends "
        "on it. Set parallelism (%d) again; or, to start over from the beginning with %lld: stop all "
        "members, kafka-consumer-groups --group %s --delete, delete topics %s-changelog and "
        "%s-repartition, start again",
        (long long)c->parallelism, c->group_id, was, was, (long long)c->parallelism, c->group_id, c->group_id,
        c->group_id);
}

static int check_topic(rd_kafka_t *rk, const config_t *c, const char *topic, int timeout_ms, error_t *e) {
    int n = topics_partitions(rk, topic, timeout_ms, e);
    return n < 0 ? n : n != 0 && n != c->parallelism ? refuse(c, n, e) : 0;
}

int repartition_check(rd_kafka_t *rk, const config_t *c, int timeout_ms, error_t *e) {
    char *changelog = changelog_topic(c), *repartition = repartition_topic(c);
    int rc = check_topic(rk, c, changelog, timeout_ms, e);
    if (rc == 0 && c->parallelism > 1)
        rc = check_topic(rk, c, repartition, timeout_ms, e);
    mem_free(changelog);
    mem_free(repartition);
    return rc;
}

/* ---- deleting what was read ---- */

struct purge {
    rd_kafka_t *client;
    rd_kafka_queue_t *answers;
    char *topic;
    int32_t task;
    log_t *log;
    int64_t asked; /* below this offset */
    mono_t asked_at;
    int waits, refused;
};

#define PURGE_EVERY_MS 10000

purge_t *purge_new(rd_kafka_t *client, const char *topic, int32_t task, log_t *log) {
    purge_t *p = mem_zalloc(sizeof *p);
    p->client = client;
    p->answers = rd_kafka_queue_new(client);
    p->topic = mem_strdup(topic);
    p->task = task;
    p->log = log;
    p->asked_at = clock_mono(&clock_system);
    return p;
}

void purge_free(purge_t *p) {
    if (!p)
        return;
    rd_kafka_queue_destroy(p->answers);
    mem_free(p->topic);
    mem_free(p);
}

static rd_kafka_resp_err_t answer_error(const rd_kafka_event_t *event) {
    const rd_kafka_DeleteRecords_result_t *result =
        rd_kafka_event_DeleteRecords_result((rd_kafka_event_t *)(uintptr_t)event);
    const rd_kafka_topic_partition_list_t *list = result ? rd_kafka_DeleteRecords_result_offsets(result) : NULL;
    rd_kafka_resp_err_t err = rd_kafka_event_error((rd_kafka_event_t *)(uintptr_t)event);
    for (int i = 0; list && i < list->cnt && !err; i++)
        err = list->elems[i].err;
    return err;
}

/* Without the right to delete, or on a broker that cannot, the topic only grows: that is said once. */
static void take_answer(purge_t *p) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(p->answers, 0);
    if (!event)
        return;
    rd_kafka_resp_err_t err = answer_error(event);
    rd_kafka_event_destroy(event);
    p->waits = 0;
    if (err && !p->refused)
        log_say(p->log, LOG_WARN, "kafka",
                "the broker does not delete what was read of %s/%d (%s); it grows until that is allowed", p->topic,
                p->task, rd_kafka_err2str(err));
    p->refused = err != 0;
}

void purge_turn(purge_t *p, int64_t offset, mono_t now) {
    if (p->waits)
        take_answer(p);
    if (p->waits || offset <= p->asked || mono_diff_ms(now, p->asked_at) < PURGE_EVERY_MS)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, p->topic, p->task)->offset = offset;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_DeleteRecords(p->client, &request, 1, NULL, p->answers);
    rd_kafka_DeleteRecords_destroy(request);
    p->asked = offset;
    p->asked_at = now;
    p->waits = 1;
}
