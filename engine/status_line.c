#include "status_line.h"

#include <stdio.h>
#include <unistd.h>

#include "mem.h"

#define PAINT_MS 250
#define TELL_MS 5000

typedef struct task_line { /* what is known of one task */
    int32_t task;
    int64_t lag; /* -1: not known */
    etime_t low; /* the least watermark of its sources */
} task_line_t;

struct status_line {
    observer_t base;
    log_t *log;       /* NULL: standard error is no terminal */
    notify_t *notify; /* NULL: no service manager */
    mono_t told;      /* the service manager */
    uint64_t records, anomalies, before;
    task_line_t *tasks;
    size_t n_tasks, cap_tasks;
    mono_t last;
};

static task_line_t *line_of(status_line_t *l, int32_t task) {
    for (size_t i = 0; i < l->n_tasks; i++)
        if (l->tasks[i].task == task)
            return &l->tasks[i];
    mem_grow(&l->tasks, &l->cap_tasks, l->n_tasks + 1, sizeof *l->tasks);
    l->tasks[l->n_tasks] = (task_line_t){task, -1, ETIME_MIN};
    return &l->tasks[l->n_tasks++];
}

static void on_wrote(observer_t *o, int32_t task, const task_t *t, const outbox_t *out) {
    status_line_t *l = (status_line_t *)o;
    (void)task;
    (void)t;
    for (size_t i = 0; i < out->n; i++)
        l->anomalies += out->at[i].kind == OUT_ANOMALY && out->at[i].value.s;
}

static void on_stepped(observer_t *o, int32_t task, uint32_t records, int64_t took_ns) {
    (void)task;
    (void)took_ns;
    ((status_line_t *)o)->records += records;
}

static void on_readings(observer_t *o, int32_t task, const reading_t *at, uint32_t n) {
    task_line_t *k = line_of((status_line_t *)o, task);
    k->lag = 0;
    for (uint32_t i = 0; i < n; i++)
        k->lag = at[i].lag < 0 || k->lag < 0 ? -1 : k->lag + at[i].lag;
}

static void on_turned(observer_t *o, int32_t task, const task_t *t) {
    line_of((status_line_t *)o, task)->low = task_low_watermark(t);
}

static void on_closed(observer_t *o, int32_t task) {
    status_line_t *l = (status_line_t *)o;
    task_line_t *line = line_of(l, task);
    *line = l->tasks[--l->n_tasks];
}

static void on_tick(observer_t *o, uint32_t owned) {
    status_line_t *l = (status_line_t *)o;
    mono_t now = clock_mono(&clock_system);
    int64_t ms = mono_diff_ms(now, l->last), sum = l->n_tasks ? 0 : -1;
    etime_t low = ETIME_MAX;
    char line[200], lag[40] = "lag ?", watermark[60] = "no event time yet";
    if (ms < PAINT_MS)
        return;
    for (size_t i = 0; i < l->n_tasks; i++) {
        sum = sum < 0 || l->tasks[i].lag < 0 ? -1 : sum + l->tasks[i].lag;
        low = l->tasks[i].low < low ? l->tasks[i].low : low;
    }
    if (sum >= 0)
        snprintf(lag, sizeof lag, "lag %lld", (long long)sum);
    if (low != ETIME_MIN && low != ETIME_MAX)
        snprintf(watermark, sizeof watermark, "watermark %.1f s behind",
                 (double)(clock_wall(&clock_system).ms - low) / 1000.0);
    if (owned)
        snprintf(line, sizeof line, "active: %llu records, %.0f/s, %llu anomalies, %s, %s",
                 (unsigned long long)l->records, (double)(l->records - l->before) * 1000.0 / (double)ms,
                 (unsigned long long)l->anomalies, lag, watermark);
    else
        snprintf(line, sizeof line, "standing by: another process of the group is active, or nothing was assigned yet");
    l->before = l->records;
    l->last = now;
    if (l->log)
        log_status(l->log, line);
    if (!l->notify || mono_diff_ms(now, l->told) < TELL_MS)
        return;
    notify_status(l->notify, line);
    l->told = now;
}

status_line_t *status_line_new(log_t *log, notify_t *notify) {
    int is_terminal = log_paints(STDERR_FILENO);
    if (!is_terminal && !notify)
        return NULL;
    status_line_t *l = mem_zalloc(sizeof *l);
    l->base = (observer_t){.wrote = on_wrote,
                           .stepped = on_stepped,
                           .readings = on_readings,
                           .turned = on_turned,
                           .closed = on_closed,
                           .tick = on_tick};
    l->log = is_terminal ? log : NULL;
    l->notify = notify;
    l->last = clock_mono(&clock_system);
    return l;
}

observer_t *status_line_observer(status_line_t *l) { return l ? &l->base : NULL; }

void status_line_free(status_line_t *l) {
    if (!l)
        return;
    if (l->log)
        log_status(l->log, "");
    mem_free(l->tasks);
    mem_free(l);
}
