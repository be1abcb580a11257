#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "map.h"
#include "mem.h"
#include "replay_input.h"
#include "sink_memory.h"

/* Standard input can be read only once: it is kept in a file for the second run. */
static int spool(const options_t *o, char *path, size_t size, error_t *e) {
    const char *input = options_get(o, "input"), *folder = getenv("TMPDIR");
    if (options_get(o, "from-topic") || (input && strcmp(input, "-") != 0))
        return 0;
    snprintf(path, size, "%s/ananas-diff-XXXXXX", folder ? folder : "/tmp");
    int fd = mkstemp(path);
    char block[65536];
    ssize_t n = 0;
    while (fd >= 0 && (n = read(STDIN_FILENO, block, sizeof block)) > 0)
        if (write(fd, block, (size_t)n) != n)
            n = -1;
    if (fd >= 0)
        close(fd);
    return fd < 0 || n < 0 ? error_set(e, ERR_IO, "cannot keep standard input in %s: %s", path, strerror(errno)) : 0;
}

static int run_one(const options_t *o, const char *rules, const char *path, wall_t now, buf_t *ends, log_t *log,
                   sink_t **sink, error_t *e) {
    loaded_t l;
    faults_t faults = {0};
    if (load_all(options_get(o, "config"), rules, log, &l, &faults)) {
        load_print_faults(&faults);
        faults_fini(&faults);
        return error_set(e, ERR_INVALID, "%s does not load", rules);
    }
    task_options_t options = replay_options(l.config, log);
    replay_t r = {.config = l.config,
                  .log = log,
                  .now = now,
                  .ends = ends,
                  .since = ETIME_MIN,
                  .flush = !options_get(o, "no-flush")};
    r.task = task_new(&options, l.script, l.plan);
    l.script = NULL;
    l.plan = NULL;
    int rc = sink_memory_open(sink);
    r.sink = *sink;
    if (rc == 0)
        rc = replay_input_open(o, path, &r, e);
    if (rc == 0)
        rc = replay_run(&r, e);
    source_close(r.source);
    task_free(r.task);
    load_fini(&l);
    return rc;
}

/* Marks what is in both, as often as it is in both. */
static void match_up(kept_t *a, size_t n_a, kept_t *b, size_t n_b) {
    map_t waiting = {0}; /* text -> index + 1 of the last unmatched one in a; `before` links those behind it */
    size_t *before = mem_zalloc((n_a + 1) * sizeof *before);
    for (size_t i = 0; i < n_a; i++)
        before[i] = (size_t)(uintptr_t)map_put(&waiting, a[i].text, a[i].len, (void *)(uintptr_t)(i + 1));
    for (size_t i = 0; i < n_b; i++) {
        size_t at = (size_t)(uintptr_t)map_get(&waiting, b[i].text, b[i].len);
        if (at == 0)
            continue;
        a[at - 1].same = b[i].same = 1;
        if (before[at - 1])
            map_put(&waiting, b[i].text, b[i].len, (void *)(uintptr_t)before[at - 1]);
        else
            map_del(&waiting, b[i].text, b[i].len);
    }
    map_fini(&waiting);
    mem_free(before);
}

/* In event-time order; what is gone before what is new. */
static void print_differences(const kept_t *a, size_t n_a, const kept_t *b, size_t n_b) {
    size_t i = 0, k = 0;
    for (;;) {
        while (i < n_a && a[i].same)
            i++;
        while (k < n_b && b[k].same)
            k++;
        if (i == n_a && k == n_b)
            return;
        if (k == n_b || (i < n_a && a[i].time <= b[k].time))
            printf("- %s\n", a[i++].text);
        else
            printf("+ %s\n", b[k++].text);
    }
}

typedef struct totals {
    const char *rule;
    uint64_t count[2], only[2];
} totals_t;

static void add_totals(totals_t **t, size_t *n, size_t *cap, sink_t *sink, int side) {
    uint32_t n_rules;
    size_t records;
    const char *const *rules = sink_memory_rules(sink, &n_rules);
    const kept_t *at = sink_memory_records(sink, &records);
    for (size_t i = 0; i < records; i++) {
        size_t k = 0;
        while (k < *n && strcmp((*t)[k].rule, rules[at[i].rule]) != 0)
            k++;
        if (k == *n) {
            mem_grow(t, cap, *n + 1, sizeof **t);
            (*t)[(*n)++] = (totals_t){.rule = rules[at[i].rule]};
        }
        (*t)[k].count[side]++;
        (*t)[k].only[side] += !at[i].same;
    }
}

static int by_rule(const void *a, const void *b) {
    return strcmp(((const totals_t *)a)->rule, ((const totals_t *)b)->rule);
}

static void print_totals(sink_t *old, sink_t *new) {
    totals_t *t = NULL;
    size_t n = 0, cap = 0;
    add_totals(&t, &n, &cap, old, 0);
    add_totals(&t, &n, &cap, new, 1);
    if (n)
        qsort(t, n, sizeof *t, by_rule);
    printf("%-32s %10s %10s %10s %10s\n", "rule", "old", "new", "-", "+");
    for (size_t i = 0; i < n; i++)
        printf("%-32s %10llu %10llu %10llu %10llu\n", t[i].rule, (unsigned long long)t[i].count[0],
               (unsigned long long)t[i].count[1], (unsigned long long)t[i].only[0], (unsigned long long)t[i].only[1]);
    mem_free(t);
}

int command_diff(const options_t *o, log_t *log) {
    sink_t *sinks[2] = {NULL, NULL};
    char spooled[4096] = "";
    buf_t ends = {0};
    error_t e = {0};
    wall_t now;
    if (replay_input_check(o, &e))
        return command_usage(e.text);
    int rc = replay_input_now(o, &now, &e);
    if (rc == 0)
        rc = spool(o, spooled, sizeof spooled, &e);
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = run_one(o, o->rest[i], spooled[0] ? spooled : NULL, now, &ends, log, &sinks[i], &e);
    if (rc == 0) {
        size_t n_old, n_new;
        kept_t *old = sink_memory_records(sinks[0], &n_old), *new = sink_memory_records(sinks[1], &n_new);
        match_up(old, n_old, new, n_new);
        print_differences(old, n_old, new, n_new);
        print_totals(sinks[0], sinks[1]);
    } else {
        fprintf(stderr, "ananas: %s\n", e.text);
    }
    buf_fini(&ends);
    sink_close(sinks[0]);
    sink_close(sinks[1]);
    if (spooled[0])
        unlink(spooled);
    return rc == 0 ? EXIT_OK : rc <= ERR_INTERNAL ? EXIT_INTERNAL : EXIT_FAULT;
}
