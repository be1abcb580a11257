/* config: what the deployment decides (ananas.lua), as data.
 *
 * Each setting is one row of the table in scripts/config.lua {name, type, default, range, doc}, from which the check, the
 * error text, --help and the documentation come; script_config.c copies the checked result here. Secrets were read by
 * env() and secret_file() and are registered with the log so that they never show. Immutable after loading. */
#ifndef ANANAS_CONFIG_H
#define ANANAS_CONFIG_H
#include "rule.h"

typedef struct property {
    char *name, *value;
    int secret, line;
} property_t;
typedef enum { DELIVERY_EXACTLY_ONCE, DELIVERY_AT_LEAST_ONCE } delivery_t;

typedef struct config {
    char *path; /* the file it came from; relative paths inside it start from its folder */
    property_t *kafka;
    uint32_t n_kafka;
    char *group_id;
    source_spec_t *sources; /* sorted by name */
    uint32_t n_sources;
    char *rules; /* folder or file, from the working directory */
    delivery_t delivery;
    int64_t commit_interval; /* ms */
    int64_t parallelism;
    int64_t threads;                             /* 0: as cores allow */
    char *http;                                  /* "host:port" or "unix:/path"; NULL: none */
    char *http_token;                            /* NULL: none */
    int64_t topic_partitions, topic_replication; /* of topics it creates */
    int64_t max_state;                           /* bytes of state in C */
    int64_t budget_time;                         /* ms of thread CPU per evaluation */
    int64_t budget_memory;                       /* bytes of Lua memory per rule set */
    int64_t prefetch;                            /* bytes */
} config_t;

void config_free(config_t *c);
int config_threads(const config_t *c); /* how many may be at work: as set, or as many as this process has cores */
#endif
