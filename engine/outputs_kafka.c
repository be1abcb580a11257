#include "outputs_kafka.h"

#include <stdatomic.h>
#include <time.h>

#include "changelog.h"
#include "mem.h"
#include "repartition_kafka.h"
#include "topics_kafka.h"

typedef struct wants {
    topic_want_t *at;
    uint32_t n;
    size_t cap;
} wants_t;

#define ASK_FIRST_MS 1000 /* complaints are heard between two questions */
#define ASK_MS 4000
#define PAUSE_NS 500000000L

/* name and why are taken over. */
static void want(wants_t *w, const config_t *c, char *name, char *why, topic_kind_t kind) {
    for (uint32_t i = 0; i < w->n; i++)
        if (strcmp(w->at[i].name, name) == 0) {
            mem_free(name);
            mem_free(why);
            return;
        }
    mem_grow(&w->at, &w->cap, w->n + 1, sizeof *w->at);
    w->at[w->n++] = (topic_want_t){.name = name,
                                   .partitions = (int32_t)(kind == TOPIC_OUTPUT ? c->topic_partitions : c->parallelism),
                                   .replication = (int16_t)c->topic_replication,
                                   .kind = kind,
                                   .why = why};
}

static wants_t wants_of(const config_t *c, const plan_t *plan) {
    wants_t w = {0};
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        const rule_t *r = &plan->rules[i];
        if (r->to && r->mode == MODE_ACTIVE)
            want(&w, c, mem_strdup(r->to), mem_printf("written by rule \"%s\", %s:%d", r->name, r->file, r->line),
                 TOPIC_OUTPUT);
        if (r->late_to)
            want(&w, c, mem_strdup(r->late_to),
                 mem_printf("late rows of rule \"%s\", %s:%d", r->name, r->file, r->line), TOPIC_OUTPUT);
    }
    for (uint32_t i = 0; i < c->n_sources; i++)
        for (uint32_t k = 0; k < c->sources[i].topics.n && c->sources[i].on_bad == BAD_DEAD_LETTER; k++)
            want(&w, c, mem_printf("%s.dead-letters", c->sources[i].topics.at[k]),
                 mem_printf("bad records of source \"%s\"", c->sources[i].name), TOPIC_OUTPUT);
    want(&w, c, changelog_topic(c), mem_strdup("state"), TOPIC_CHANGELOG);
    if (c->parallelism > 1)
        want(&w, c, repartition_topic(c), mem_strdup("rows on their way between tasks"), TOPIC_REPARTITION);
    return w;
}

static void wants_free(wants_t *w) {
    for (uint32_t i = 0; i < w->n; i++) {
        mem_free((char *)(uintptr_t)w->at[i].name);
        mem_free((char *)(uintptr_t)w->at[i].why);
    }
    mem_free(w->at);
}

int outputs_ensure(const config_t *c, const plan_t *plan, kafka_context_t *ctx, const _Atomic int *stop, error_t *e) {
    rd_kafka_t *rk;
    int rc = conf_kafka_client(c, KAFKA_ADMIN, NULL, ctx, &rk, e);
    if (rc)
        return rc;
    wants_t w = wants_of(c, plan);
    for (int wait = ASK_FIRST_MS;; wait = wait * 2 < ASK_MS ? wait * 2 : ASK_MS) {
        rc = topics_ensure(rk, w.at, w.n, wait, e);
        if (rc == 0)
            rc = repartition_check(rk, c, wait, e);
        rd_kafka_poll(rk, 0);
        if (rc != ERR_AGAIN || atomic_load(stop))
            break;
        struct timespec pause = {0, PAUSE_NS};
        nanosleep(&pause, NULL);
    }
    char *changelog = changelog_topic(c);
    if (rc == 0)
        rc = topics_check_compacted(rk, changelog, ASK_MS, e);
    mem_free(changelog);
    rd_kafka_destroy(rk);
    wants_free(&w);
    return rc;
}
