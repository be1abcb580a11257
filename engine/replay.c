#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "headers_kafka.h"
#include "mem.h"

#define REPLAY_EVENTS 1024

task_options_t replay_options(const config_t *c, log_t *log) {
    return (task_options_t){.config = c,
                            .log = log,
                            .limits = load_limits(c),
                            .own_headers = headers_kafka_list,
                            .ahead = config_threads(c) > 1};
}

/* How many events a step takes at most; the answer must not depend on it, which tests hold it to. */
static uint32_t step_events(void) {
    const char *s = getenv("ANANAS_BATCH");
    long n = s ? strtol(s, NULL, 10) : 0;
    return n > 0 && n <= 1000000 ? (uint32_t)n : REPLAY_EVENTS;
}

static void reload(replay_t *r, const char *path) {
    script_t *script;
    plan_t *plan;
    faults_t faults = {0};
    if (load_rules(r->config, path, r->log, &script, &plan, &faults) == 0)
        task_reload(r->task, script, plan);
    for (size_t i = 0; i < faults.n; i++) {
        buf_t text = {0};
        fault_write(&faults.at[i], &text);
        log_say(r->log, LOG_ERROR, "rules", "%.*s; the rules that ran go on", (int)text.len, text.s);
        buf_fini(&text);
    }
    faults_fini(&faults);
}

static void show_progress(replay_t *r, uint64_t events, int last) {
    if (!r->show_progress)
        return;
    mono_t now = clock_mono(&clock_system);
    if (!last && mono_diff_ms(now, r->shown) < 250)
        return;
    r->shown = now;
    double s = (double)(now.ns - r->started.ns) / 1e9;
    char line[160];
    snprintf(line, sizeof line, "%llu records, %.0f/s, %llu written", (unsigned long long)events,
             s > 0 ? (double)events / s : 0, (unsigned long long)r->written);
    log_status(r->log, last ? "" : line);
}

static int write_out(replay_t *r, error_t *e) {
    r->written += task_outbox(r->task)->n;
    return sink_write(r->sink, task_outbox(r->task), e);
}

/* A mark of the input, told where it stood: {"mark":N,"watermark":MS or null}. Tests of rules see by it what came out when. */
static int tell_mark(replay_t *r, int64_t mark, error_t *e) {
    buf_t text = {0};
    etime_t low = task_low_watermark(r->task);
    buf_printf(&text, "{\"mark\":%lld,\"watermark\":", (long long)mark);
    if (low == ETIME_MIN)
        buf_add_str(&text, "null}");
    else
        buf_printf(&text, "%lld}", (long long)low);
    out_record_t record = {
        .topic = "ananas.mark", .value = buf_slice(&text), .rule = -1, .kind = OUT_MARK, .time = mark};
    outbox_t box = {&record, 1, 1};
    int rc = sink_write(r->sink, &box, e);
    buf_fini(&text);
    return rc;
}

/* The earliest step that was begun: its output, and its events are the source's again. */
static int finish_step(replay_t *r, error_t *e) {
    int rc = task_next(r->task, e);
    int written = write_out(r, e);
    profile_lap(r->profile, PROFILE_WRITE, NULL);
    task_commit(r->task);
    profile_lap(r->profile, PROFILE_COMMIT, NULL);
    source_release(r->source);
    return rc ? rc : written;
}

/* What stands alone in its poll, with nothing begun before it. */
static int take_alone(replay_t *r, const event_t *ev, error_t *e) {
    int rc = 0;
    if (ev->kind == EVENT_RULES)
        reload(r, ev->path);
    else
        rc = tell_mark(r, ev->time, e);
    source_release(r->source);
    return rc;
}

static int stands_alone(const event_t *events, int n) {
    return n == 1 && (events[0].kind == EVENT_RULES || events[0].kind == EVENT_MARK);
}

/* While a step is carried out, the one behind it is being decoded, and the one behind that is being read: no step waits for
 * input that is not there. */
static int run_steps(replay_t *r, event_t *events[2], uint32_t max, uint64_t *seen, error_t *e) {
    int rc = 0, end = 0, begun = 0; /* events of the step that was begun */
    for (uint32_t turn = 0; !end; turn++) {
        error_t fault;
        int n = source_poll(r->source, events[turn % 2], max, begun ? 0 : -1, &end, &fault);
        int alone = stands_alone(events[turn % 2], n);
        profile_lap(r->profile, PROFILE_INPUT, NULL);
        if (n > 0 && !alone)
            task_begin(r->task, events[turn % 2], (uint32_t)n, r->now, 1);
        int flush = begun < (int)max; /* a pipe's reader sees what there is */
        if (begun)
            rc = finish_step(r, e);
        begun = alone || n < 0 ? 0 : n;
        if (rc) {
            task_drop(r->task);
            return rc;
        }
        if (n < 0)
            return *e = fault, n;
        *seen += (uint64_t)n;
        if (alone)
            rc = take_alone(r, events[turn % 2], e);
        else if (n == 0)
            source_release(r->source);
        if (rc == 0 && flush)
            rc = sink_flush(r->sink, e);
        if (rc)
            return rc;
        show_progress(r, *seen, 0);
    }
    return begun ? finish_step(r, e) : 0;
}

int replay_run(replay_t *r, error_t *e) {
    uint32_t max = step_events();
    event_t *events[2] = {mem_alloc(max * sizeof(event_t)), mem_alloc(max * sizeof(event_t))};
    uint64_t seen = 0;
    r->started = r->shown = clock_mono(&clock_system);
    r->show_progress = log_paints(STDERR_FILENO);
    task_since(r->task, r->since);
    profile_lap(r->profile, PROFILE_START, NULL);
    int rc = run_steps(r, events, max, &seen, e);
    if (rc == 0 && r->flush) {
        rc = task_finish(r->task, e);
        rc = rc ? rc : write_out(r, e);
        task_commit(r->task);
        profile_lap(r->profile, PROFILE_COMMIT, NULL);
    }
    show_progress(r, seen, 1);
    r->seconds = (double)(clock_mono(&clock_system).ns - r->started.ns) / 1e9;
    mem_free(events[0]);
    mem_free(events[1]);
    int flushed = sink_flush(r->sink, e);
    return rc ? rc : flushed;
}
