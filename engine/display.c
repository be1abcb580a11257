#include "display.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"

typedef struct line { /* one rule's */
    char *rule;
    uint64_t count, before; /* anomalies so far; at the last paint */
    char latest[240];
} line_t;

struct display {
    observer_t base;
    FILE *out;
    char *title, *hint, *unit;
    int is_tty, colour, painted; /* painted: lines on the screen now */
    line_t *lines;
    size_t n_lines, cap_lines;
    uint64_t records, before;
    etime_t low; /* the least watermark, as far as it was seen: the task may be gone at the last paint */
    mono_t started, last;
    char notice[300]; /* what the last reload did */
};

#define PAINT_MS 250
#define PLAIN_MS 2000

static line_t *line_of(display_t *d, const char *rule) {
    for (size_t i = 0; i < d->n_lines; i++)
        if (strcmp(d->lines[i].rule, rule) == 0)
            return &d->lines[i];
    mem_grow(&d->lines, &d->cap_lines, d->n_lines + 1, sizeof *d->lines);
    line_t *l = &d->lines[d->n_lines++];
    *l = (line_t){.rule = mem_strdup(rule)};
    return l;
}

/* Control characters from a record must not reach the terminal. */
static void keep_latest(line_t *l, slice_t value) {
    size_t n = 0;
    for (size_t i = 0; i < value.len && n + 1 < sizeof l->latest; i++) {
        unsigned char c = (unsigned char)value.s[i];
        l->latest[n++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    while (n > 0 && value.len > n && ((unsigned char)l->latest[n - 1] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    l->latest[n] = 0;
}

static void on_wrote(observer_t *o, int32_t task, const task_t *t, const outbox_t *out) {
    (void)task;
    display_t *d = (display_t *)o;
    const plan_t *plan = task_plan(t);
    line_t *l = NULL;
    int32_t rule = -1;
    for (size_t i = 0; i < out->n; i++) {
        const out_record_t *r = &out->at[i];
        if (!l || r->rule != rule)
            l = line_of(d, r->rule < 0 ? "dead letters" : plan->rules[r->rule].name);
        rule = r->rule;
        l->count++;
        if (i + 64 >= out->n || (i & 63) == 0)
            keep_latest(l, r->value);
    }
    d->records = 0;
    for (uint32_t i = 0; i < task_n_sources(t); i++)
        d->records += task_source_stats(t, i)->records;
}

static int columns(const display_t *d) {
    struct winsize w;
    return ioctl(fileno(d->out), TIOCGWINSZ, &w) == 0 && w.ws_col > 40 ? w.ws_col : 100;
}

/* Bytes of s that fit in `width` cells, emoji counted as two. */
static int fit(const char *s, int width) {
    int at = 0;
    while (s[at]) {
        unsigned char c = (unsigned char)s[at];
        int len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        width -= len == 4 ? 2 : 1;
        if (width < 0)
            break;
        at += len;
    }
    return at;
}

static void lag_text(const display_t *d, char *out, size_t size) {
    if (d->low == ETIME_MIN || d->low == ETIME_MAX)
        snprintf(out, size, "%s", d->low == ETIME_MAX ? "closed" : "not started");
    else
        snprintf(out, size, "%.1f s behind the clock", (double)(clock_wall(&clock_system).ms - d->low) / 1000.0);
}

static void paint_terminal(display_t *d, double rate, double seconds) {
    char lag[64];
    int width = columns(d), lines = 0;
    const char *bold = d->colour ? "\033[1m" : "", *dim = d->colour ? "\033[2m" : "",
               *plain = d->colour ? "\033[0m" : "";
    lag_text(d, lag, sizeof lag);
    if (d->painted)
        fprintf(d->out, "\033[%dA", d->painted);
    fprintf(d->out, "\033[K%s%s%s\n", bold, d->title, plain);
    fprintf(d->out, "\033[K%llu %s   %.0f/s   watermark %s   %.0f s\n\033[K\n", (unsigned long long)d->records, d->unit,
            rate, lag, seconds);
    fprintf(d->out, "\033[K%s%-24s %10s  %s%s\n", dim, "rule", "anomalies", "latest", plain);
    lines = 4;
    for (size_t i = 0; i < d->n_lines; i++, lines++) {
        const line_t *l = &d->lines[i];
        fprintf(d->out, "\033[K%-24.24s %10llu  %.*s\n", l->rule, (unsigned long long)l->count,
                fit(l->latest, width - 38), l->latest);
    }
    if (d->notice[0]) {
        fprintf(d->out, "\033[K%.*s\n", fit(d->notice, width), d->notice);
        lines++;
    }
    if (d->hint) {
        fprintf(d->out, "\033[K\n\033[K%s%.*s%s\n", dim, fit(d->hint, width), d->hint, plain);
        lines += 2;
    }
    d->painted = lines;
}

static void paint_plain(display_t *d, double rate) {
    char lag[64];
    lag_text(d, lag, sizeof lag);
    fprintf(d->out, "%llu %s, %.0f/s, watermark %s", (unsigned long long)d->records, d->unit, rate, lag);
    for (size_t i = 0; i < d->n_lines; i++)
        fprintf(d->out, ", %s %llu", d->lines[i].rule, (unsigned long long)d->lines[i].count);
    fprintf(d->out, "\n");
}

static void paint_latest(display_t *d) {
    for (size_t i = 0; i < d->n_lines; i++)
        fprintf(d->out, "%-24s %10llu  %s\n", d->lines[i].rule, (unsigned long long)d->lines[i].count,
                d->lines[i].latest);
}

void display_paint(display_t *d, const task_t *t, int last) {
    mono_t now = clock_mono(&clock_system);
    d->low = t ? task_low_watermark(t) : d->low;
    double dt = (double)(now.ns - d->last.ns) / 1e9, all = (double)(now.ns - d->started.ns) / 1e9;
    if (!last && dt * 1000 < (d->is_tty ? PAINT_MS : PLAIN_MS))
        return;
    double rate = last && all > 0 ? (double)d->records / all : dt > 0 ? (double)(d->records - d->before) / dt : 0;
    d->last = now;
    d->before = d->records;
    if (d->is_tty)
        paint_terminal(d, rate, all);
    else
        paint_plain(d, rate);
    if (last && !d->is_tty)
        paint_latest(d);
    fflush(d->out);
}

static void on_turned(observer_t *o, int32_t task, const task_t *t) {
    (void)task;
    display_paint((display_t *)o, t, 0);
}

static void on_reloaded(observer_t *o, int32_t task, const task_t *t, int ok, const char *text) {
    display_t *d = (display_t *)o;
    (void)task;
    (void)t;
    snprintf(d->notice, sizeof d->notice, "%s: %s", ok ? "rules" : "rules not reloaded", text);
}

display_t *display_new(FILE *out, const char *title, const char *hint, const char *unit) {
    display_t *d = mem_zalloc(sizeof *d);
    d->base = (observer_t){.wrote = on_wrote, .turned = on_turned, .reloaded = on_reloaded};
    d->out = out;
    d->low = ETIME_MIN;
    d->title = mem_strdup(title);
    d->hint = hint ? mem_strdup(hint) : NULL;
    d->unit = mem_strdup(unit);
    d->is_tty = log_paints(fileno(out));
    d->colour = log_colours(fileno(out));
    d->started = d->last = clock_mono(&clock_system);
    return d;
}

void display_free(display_t *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->n_lines; i++)
        mem_free(d->lines[i].rule);
    mem_free(d->lines);
    mem_free(d->title);
    mem_free(d->hint);
    mem_free(d->unit);
    mem_free(d);
}

observer_t *display_observer(display_t *d) { return &d->base; }
uint64_t display_records(const display_t *d) { return d->records; }
