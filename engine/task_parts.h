/* task_parts: the task's body, shared by its three files.
 *
 * task.c takes a step, task_make.c makes a task and carries reloads out, task_meta.c writes and reads what a checkpoint
 * keeps of it beside the store, task_exchange.c reads and writes what tasks tell each other. Nobody else includes this. The task's thread. */
#ifndef ANANAS_TASK_PARTS_H
#define ANANAS_TASK_PARTS_H
#include "dispatch.h"
#include "generation.h"
#include "intake.h"
#include "pipeline.h"
#include "report.h"
#include "share.h"
#include "task.h"

typedef struct source_run {
    const source_spec_t *spec;
    int32_t *topics; /* indexes into the task's topic names */
    names_t extras;  /* names of its metadata columns */
    watermark_t watermark;
    valve_t everywhere;  /* the source's watermark at all tasks, where there are several */
    parcel_level_t said; /* what they know of ours */
    int is_said;
    source_stats_t stats;
    intake_part_t *in; /* what this step reads */
    stream_t out;
} source_run_t;

typedef struct fast_unnest {
    uint32_t source, index;
    int used;
} fast_unnest_t;

/* What another task said of a source. */
typedef struct source_word {
    uint32_t event, tick, source, from;
    parcel_level_t level;
} source_word_t;

struct task {
    task_options_t options;
    dispatch_t *dispatch; /* NULL: there is one task only */
    placement_t placement;
    uint32_t *ticks; /* of this step: the first tick of each event */
    size_t cap_ticks;
    source_word_t *words; /* of this step */
    uint32_t n_words;
    size_t cap_words;
    int stepped;              /* since it was made or rolled back */
    generation_t *generation; /* of the rules that run; leaving versions of a rule hold older ones */
    char **topics;            /* sorted by name, NULL-terminated */
    uint32_t n_topics;
    intake_t *intake;
    store_t *store;
    arena_t arena, sieve;
    source_run_t *sources;
    pipeline_t *pipelines;
    share_t share;
    fast_unnest_t *fast;  /* per rule */
    last_error_t *errors; /* per rule */
    names_t *extras;      /* per rule: in_extras of its pipeline, for report.c */
    outbox_t outbox;
    step_t step;
    report_t report;
    char **verdicts;      /* per rule: what the last reload did to it, in words; NULL: nothing was reloaded */
    generation_t **known; /* older ones, offered for task_load_meta */
    size_t n_known, cap_known;
    uint64_t bad_lines;
    etime_t since;
};


/* Reads the step's frames and numbers its ticks; *n_ticks of them. 0 or ERR_INVALID. task_exchange.c */
int task_read_frames(task_t *t, const event_t *events, uint32_t n, uint32_t *n_ticks, error_t *e);
/* Where events of this step have other ticks than their numbers: what was decoded before that was known is told. */
void task_renumber(task_t *t);
/* What another task said, if it was of this source. 1 when ours moved. */
int task_hear(task_t *t, uint32_t source, const source_word_t *w);
/* Our own word counts at once. 1 when it moved. */
int task_follow(task_t *t, source_run_t *s);
void task_drop_sent(task_t *t);
/* Rows of versions that leave are led to where those have their keys. */
void task_lead(task_t *t, uint32_t rule);
void task_save_valves(const task_t *t, buf_t *b);
int task_load_valves(task_t *t, reader_t *r);

/* Makes the pipeline of a rule again, as one that took over from another version there. task_make.c */
void task_set_reign(task_t *t, uint32_t rule, reign_t reign);

/* The generation of that version, of those given by task_add_generation; NULL: none. */
generation_t *task_generation(const task_t *t, slice_t version);
int plan_rule_named(const plan_t *p, slice_t name);

static inline const plan_t *task_rules(const task_t *t) { return t->generation->plan; }

static inline uint32_t task_tick(const task_t *t, uint32_t event) { return t->dispatch ? t->ticks[event] : event; }

generation_options_t task_generation_options(const task_t *t);
/* The streams of a rule's inputs, their names, and their columns beside records' members. */
const stream_t *task_input(const task_t *t, input_t in);
const char *task_input_name(const task_t *t, input_t in);
const names_t *task_input_extras(const task_t *t, input_t in);
/* The watermark that an input has given out, and whether it is idle. */
etime_t task_input_watermark(const task_t *t, input_t in, int *idle);
#endif
