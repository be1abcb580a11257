#include "profile.h"

#include "clock.h"
#include "mem.h"

typedef struct lap {
    profile_stage_t stage;
    char *rule; /* NULL: of none */
    int64_t ns;
} lap_t;

struct profile {
    lap_t *laps; /* in the order in which they were first taken */
    size_t n, cap;
    size_t last; /* the lap taken last: the next one is mostly the one behind it */
    int64_t since;
};

static const char *const names[PROFILE_STAGES] = {"start",    "input",  "decode", "watermark", "where",
                                                  "operator", "select", "write",  "commit"};

profile_t *profile_new(void) {
    profile_t *p = mem_zalloc(sizeof *p);
    p->since = clock_thread_cpu().ns;
    return p;
}

void profile_free(profile_t *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        mem_free(p->laps[i].rule);
    mem_free(p->laps);
    mem_free(p);
}

static int lap_is(const lap_t *l, profile_stage_t stage, const char *rule) {
    return l->stage == stage && (rule ? l->rule && strcmp(l->rule, rule) == 0 : !l->rule);
}

static lap_t *find_lap(profile_t *p, profile_stage_t stage, const char *rule) {
    for (size_t k = 1; k <= p->n; k++) {
        size_t i = (p->last + k) % p->n;
        if (lap_is(&p->laps[i], stage, rule)) {
            p->last = i;
            return &p->laps[i];
        }
    }
    mem_grow(&p->laps, &p->cap, p->n + 1, sizeof *p->laps);
    p->laps[p->n] = (lap_t){stage, rule ? mem_strdup(rule) : NULL, 0};
    p->last = p->n;
    return &p->laps[p->n++];
}

void profile_take(profile_t *p, profile_stage_t stage, const char *rule) {
    int64_t now = clock_thread_cpu().ns;
    find_lap(p, stage, rule)->ns += now - p->since;
    p->since = now;
}

void profile_add(profile_t *p, profile_stage_t stage, int64_t ns) {
    if (p)
        find_lap(p, stage, NULL)->ns += ns;
}

static void write_line(buf_t *b, const char *what, int64_t ns, uint64_t records, int64_t all) {
    buf_printf(b, "%-48s %10.1f %6.1f\n", what, records ? (double)ns / (double)records : 0.0,
               all ? 100.0 * (double)ns / (double)all : 0.0);
}

void profile_write(const profile_t *p, uint64_t records, buf_t *b) {
    int64_t all = 0;
    for (size_t i = 0; i < p->n; i++)
        all += p->laps[i].ns;
    buf_printf(b, "%-48s %10s %6s\n", "stage", "ns/record", "%");
    for (size_t i = 0; i < p->n; i++) {
        const lap_t *l = &p->laps[i];
        char *what = l->rule ? mem_printf("rule %s: %s", l->rule, names[l->stage]) : mem_strdup(names[l->stage]);
        write_line(b, what, l->ns, records, all);
        mem_free(what);
    }
    write_line(b, "all", all, records, all);
}
