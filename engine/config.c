#include "config.h"

#include <sched.h>

#include "mem.h"

static void source_fini(source_spec_t *s) {
    mem_free(s->name);
    names_free(&s->topics);
    for (uint32_t i = 0; i < s->n_metadata; i++)
        mem_free(s->metadata[i].name);
    mem_free(s->metadata);
    mem_free(s->event_time);
    names_free(&s->partitioned_by);
    mem_free(s->file);
}

void config_free(config_t *c) {
    if (!c)
        return;
    mem_free(c->path);
    for (uint32_t i = 0; i < c->n_kafka; i++) {
        mem_free(c->kafka[i].name);
        mem_free(c->kafka[i].value);
    }
    mem_free(c->kafka);
    mem_free(c->group_id);
    for (uint32_t i = 0; i < c->n_sources; i++)
        source_fini(&c->sources[i]);
    mem_free(c->sources);
    mem_free(c->rules);
    mem_free(c->http);
    mem_free(c->http_token);
    mem_free(c);
}

int config_threads(const config_t *c) {
    cpu_set_t set;
    if (c->threads > 0)
        return (int)c->threads;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}
