#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem.h"

#define REPLAY_EVENTS 1024

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

int replay_run(replay_t *r, error_t *e) {
    uint32_t max = step_events();
    event_t *events = mem_alloc(max * sizeof *events);
    uint64_t seen = 0;
    int rc = 0, end = 0;
    r->started = r->shown = clock_mono(&clock_system);
    r->show_progress = log_paints(STDERR_FILENO);
    task_since(r->task, r->since);
    profile_lap(r->profile, PROFILE_START, NULL);
    while (!end && rc == 0) {
        int n = source_poll(r->source, events, max, -1, &end, e);
        if (n < 0) {
            rc = n;
            break;
        }
        profile_lap(r->profile, PROFILE_INPUT, NULL);
        if (n == 1 && events[0].kind == EVENT_RULES) {
            reload(r, events[0].path);
        } else if (n == 1 && events[0].kind == EVENT_MARK) {
            rc = tell_mark(r, events[0].time, e);
        } else if (n > 0) {
            rc = task_step(r->task, events, (uint32_t)n, r->now, e);
            int written = write_out(r, e);
            rc = rc ? rc : written;
            profile_lap(r->profile, PROFILE_WRITE, NULL);
            task_commit(r->task);
            profile_lap(r->profile, PROFILE_COMMIT, NULL);
        }
        seen += (uint64_t)n;
        source_release(r->source);
        if (rc == 0 && n < (int)max) /* a pipe's reader sees what there is */
            rc = sink_flush(r->sink, e);
        show_progress(r, seen, 0);
    }
    if (rc == 0 && r->flush) {
        rc = task_finish(r->task, e);
        rc = rc ? rc : write_out(r, e);
        task_commit(r->task);
        profile_lap(r->profile, PROFILE_COMMIT, NULL);
    }
    show_progress(r, seen, 1);
    r->seconds = (double)(clock_mono(&clock_system).ns - r->started.ns) / 1e9;
    mem_free(events);
    int flushed = sink_flush(r->sink, e);
    return rc ? rc : flushed;
}
