#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "replay_input.h"
#include "sink_file.h"
#include "source_file.h"
#include "stats.h"

static int fail(const char *text, int code) {
    fprintf(stderr, "ananas: %s\n", text);
    return code <= ERR_INTERNAL ? EXIT_INTERNAL : EXIT_FAULT;
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

static void print_profile(const replay_t *r) {
    uint64_t records = 0;
    buf_t text = {0};
    if (!r->profile)
        return;
    for (uint32_t i = 0; i < task_n_sources(r->task); i++)
        records += task_source_stats(r->task, i)->records;
    profile_write(r->profile, records, &text);
    fwrite(text.s, 1, text.len, stderr);
    buf_fini(&text);
}

/* A file that is opened to be written loses what is in it. */
static int same_file(const char *a, const char *b) {
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && S_ISREG(x.st_mode) && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* What cannot be written is said before the work, not after it. */
static int try_stats(const char *path, error_t *e) {
    if (!path || strcmp(path, "-") == 0)
        return 0;
    FILE *f = fopen(path, "a");
    return f && fclose(f) == 0 ? 0 : error_set(e, ERR_IO, "cannot write %s: %s", path, strerror(errno));
}

static int open_ends(const options_t *o, replay_t *r, error_t *e) {
    const char *output = options_get(o, "output"), *stats = options_get(o, "stats"), *input = options_get(o, "input");
    if (same_file(input, output) || same_file(input, stats))
        return error_set(e, ERR_INVALID, "%s is the input, and would be written over", input);
    int rc = try_stats(stats, e);
    if (rc == 0 && same_file(output, stats)) /* there by now, if it can be */
        rc = error_set(e, ERR_INVALID, "%s is the output, and the counts would be written over it", stats);
    if (rc == 0)
        rc = replay_input_open(o, NULL, r, e);
    return rc ? rc : sink_file_open(&r->sink, output ? output : "-", e);
}

int command_replay(const options_t *o, log_t *log) {
    loaded_t l;
    faults_t faults = {0};
    error_t e = {0};
    if (replay_input_check(o, &e))
        return command_usage(e.text);
    if (load_all(options_get(o, "config"), options_get(o, "rules"), log, &l, &faults)) {
        load_print_faults(&faults);
        faults_fini(&faults);
        return EXIT_FAULT;
    }
    task_options_t options = replay_options(l.config, log);
    if (options_get(o, "profile"))
        options.profile = profile_new();
    replay_t r = {.config = l.config, .log = log, .since = ETIME_MIN, .flush = !options_get(o, "no-flush")};
    r.profile = options.profile;
    r.task = task_new(&options, l.script, l.plan);
    l.script = NULL;
    l.plan = NULL;
    int rc = replay_input_now(o, &r.now, &e);
    if (rc == 0)
        rc = open_ends(o, &r, &e);
    if (rc == 0)
        rc = replay_run(&r, &e);
    if (rc == 0)
        rc = write_stats(options_get(o, "stats"), &r, &e);
    if (r.source && !options_get(o, "from-topic") && source_file_unclaimed(r.source))
        log_say(log, LOG_WARN, "engine", "%llu records are of topics that no source reads",
                (unsigned long long)source_file_unclaimed(r.source));
    if (rc == 0)
        print_profile(&r);
    source_close(r.source);
    sink_close(r.sink);
    task_free(r.task);
    profile_free(options.profile);
    load_fini(&l);
    return rc ? fail(e.text, rc) : EXIT_OK;
}
