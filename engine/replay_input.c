#include "replay_input.h"

#include "number.h"
#include "source_file.h"
#include "source_history_kafka.h"

static int time_of(const char *option, const char *text, wall_t now, int ago, etime_t *out, error_t *e) {
    int64_t ms;
    if (number_int64(text, strlen(text), out) || timefmt_parse(text, strlen(text), out) == 0)
        return 0;
    if (ago && timefmt_duration(text, strlen(text), &ms) == 0) {
        *out = now.ms - ms;
        return 0;
    }
    return error_set(e, ERR_INVALID, "--%s %s is no time: epoch milliseconds, ISO 8601%s", option, text,
                     ago ? ", or a duration back from now (6h)" : "");
}

int replay_input_now(const options_t *o, wall_t *out, error_t *e) {
    const char *text = options_get(o, "now");
    *out = clock_wall(&clock_system);
    return text ? time_of("now", text, *out, 0, &out->ms, e) : 0;
}

int replay_input_check(const options_t *o, error_t *e) {
    const char *since = options_get(o, "since"), *until = options_get(o, "until");
    int live = options_get(o, "from-topic") != NULL;
    wall_t now;
    etime_t time;
    if (!live && (since || until))
        return error_set(e, ERR_INVALID, "--since and --until go with --from-topic");
    if (live && (options_get(o, "input") || options_get(o, "raw")))
        return error_set(e, ERR_INVALID, "--from-topic reads the sources' topics: --input and --raw go without it");
    int rc = replay_input_now(o, &now, e);
    if (rc == 0 && since)
        rc = time_of("since", since, now, 1, &time, e);
    if (rc == 0 && until)
        rc = time_of("until", until, now, 1, &time, e);
    return rc;
}

/* The first topic of the source that bare lines belong to; -1: envelopes. */
static int raw_topic(const options_t *o, const replay_t *r, int32_t *out, error_t *e) {
    const char *name = options_get(o, "raw");
    *out = -1;
    if (!name)
        return 0;
    for (uint32_t i = 0; i < r->config->n_sources; i++)
        if (strcmp(r->config->sources[i].name, name) == 0) {
            *out = task_topic(r->task, slice_of(r->config->sources[i].topics.at[0]));
            return 0;
        }
    return error_set(e, ERR_INVALID, "--raw %s: the configuration has no source of that name", name);
}

static int open_history(const options_t *o, replay_t *r, error_t *e) {
    source_history_options_t h = {.config = r->config,
                                  .log = r->log,
                                  .topics = task_topics(r->task),
                                  .since = ETIME_MIN,
                                  .until = ETIME_MAX,
                                  .ends = r->ends};
    const char *since = options_get(o, "since"), *until = options_get(o, "until");
    int rc = since ? time_of("since", since, r->now, 1, &h.since, e) : 0;
    if (rc == 0 && until)
        rc = time_of("until", until, r->now, 1, &h.until, e);
    if (rc)
        return rc;
    r->since = h.since;
    return source_history_open(&r->source, &h, e);
}

int replay_input_open(const options_t *o, const char *path, replay_t *r, error_t *e) {
    if (options_get(o, "from-topic"))
        return open_history(o, r, e);
    const char *input = path ? path : options_get(o, "input");
    int32_t raw;
    int rc = raw_topic(o, r, &raw, e);
    if (rc)
        return rc;
    source_file_options_t from = {input ? input : "-", task_topics(r->task), raw, r->now.ms};
    return source_file_open(&r->source, &from, e);
}
