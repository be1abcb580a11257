#include "command.h"

#include <errno.h>
#include <stdio.h>

#include "number.h"
#include "replay.h"
#include "sink_file.h"
#include "source_file.h"
#include "stats.h"

static int fail(const char *text, int code) {
    fprintf(stderr, "ananas: %s\n", text);
    return code <= ERR_INTERNAL ? EXIT_INTERNAL : EXIT_FAULT;
}

static int wall_of(const char *text, wall_t *out, error_t *e) {
    if (!text) {
        *out = clock_wall(&clock_system);
        return 0;
    }
    int64_t ms;
    if (number_int64(text, strlen(text), &ms) || timefmt_parse(text, strlen(text), &ms) == 0) {
        out->ms = ms;
        return 0;
    }
    return error_set(e, ERR_INVALID, "--now %s is neither epoch milliseconds nor a timestamp", text);
}

/* The first topic of the source that bare lines belong to; -1: envelopes. */
static int raw_topic(const options_t *o, const task_t *t, const config_t *c, int32_t *out, error_t *e) {
    const char *name = options_get(o, "raw");
    *out = -1;
    if (!name)
        return 0;
    for (uint32_t i = 0; i < c->n_sources; i++)
        if (strcmp(c->sources[i].name, name) == 0) {
            *out = task_topic(t, slice_of(c->sources[i].topics.at[0]));
            return 0;
        }
    return error_set(e, ERR_INVALID, "--raw %s: the configuration has no source of that name", name);
}

static int write_stats(const char *path, const replay_t *r, error_t *e) {
    if (!path)
        return 0;
    buf_t text = {0};
    stats_write(r->task, r->seconds, &text);
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    int ok = f && fwrite(text.s, 1, text.len, f) == text.len;
    if (f && f != stdout)
        ok = fclose(f) == 0 && ok;
    buf_fini(&text);
    return ok ? 0 : error_set(e, ERR_IO, "cannot write %s: %s", path, strerror(errno));
}

static int open_ends(const options_t *o, const config_t *c, replay_t *r, error_t *e) {
    const char *input = options_get(o, "input"), *output = options_get(o, "output");
    int32_t raw;
    int rc = raw_topic(o, r->task, c, &raw, e);
    if (rc)
        return rc;
    source_file_options_t from = {input ? input : "-", task_topics(r->task), raw, r->now.ms};
    if ((rc = source_file_open(&r->source, &from, e)))
        return rc;
    return sink_file_open(&r->sink, output ? output : "-", e);
}

int command_replay(const options_t *o, log_t *log) {
    loaded_t l;
    faults_t faults = {0};
    error_t e = {0};
    if (load_all(options_get(o, "config"), options_get(o, "rules"), log, &l, &faults)) {
        load_print_faults(&faults);
        faults_fini(&faults);
        return EXIT_FAULT;
    }
    task_options_t options = {.config = l.config, .log = log, .limits = load_limits(l.config)};
    replay_t r = {.config = l.config, .log = log, .flush = !options_get(o, "no-flush")};
    r.task = task_new(&options, l.script, l.plan);
    l.script = NULL;
    l.plan = NULL;
    int rc = wall_of(options_get(o, "now"), &r.now, &e);
    if (rc == 0)
        rc = open_ends(o, l.config, &r, &e);
    if (rc == 0)
        rc = replay_run(&r, &e);
    if (rc == 0)
        rc = write_stats(options_get(o, "stats"), &r, &e);
    if (r.source && source_file_unclaimed(r.source))
        log_say(log, LOG_WARN, "engine", "%llu records are of topics that no source reads",
                (unsigned long long)source_file_unclaimed(r.source));
    source_close(r.source);
    sink_close(r.sink);
    task_free(r.task);
    load_fini(&l);
    return rc ? fail(e.text, rc) : EXIT_OK;
}
