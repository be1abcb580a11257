/* task_parts: the task's body, shared by its three files.
 *
 * task.c takes a step, task_make.c makes a task and carries reloads out, task_meta.c writes and reads what a checkpoint
 * keeps of it beside the store. Nobody else includes this. The task's thread. */
#ifndef ANANAS_TASK_PARTS_H
#define ANANAS_TASK_PARTS_H
#include "generation.h"
#include "pipeline.h"
#include "report.h"
#include "task.h"

typedef struct source_run {
    const source_spec_t *spec;
    int32_t *topics; /* indexes into the task's topic names */
    decoder_t *decoder;
    names_t extras; /* names of its metadata columns */
    watermark_t watermark;
    source_stats_t stats;
    record_t *records; /* of this step */
    size_t n_records, cap;
    decoded_t decoded;
    stream_t out;
} source_run_t;

typedef struct fast_unnest {
    uint32_t source, index;
    int used;
} fast_unnest_t;

struct task {
    task_options_t options;
    generation_t *generation; /* of the rules that run; leaving versions of a rule hold older ones */
    char **topics;            /* sorted by name, NULL-terminated */
    uint32_t n_topics;
    intern_t *intern;
    store_t *store;
    arena_t arena;
    source_run_t *sources;
    pipeline_t *pipelines;
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


/* Makes the pipeline of a rule again, as one that took over from another version at `begin`. task_make.c */
void task_set_begin(task_t *t, uint32_t rule, etime_t begin);

/* The generation of that version, of those given by task_add_generation; NULL: none. */
generation_t *task_generation(const task_t *t, slice_t version);
int plan_rule_named(const plan_t *p, slice_t name);

static inline const plan_t *task_rules(const task_t *t) { return t->generation->plan; }

generation_options_t task_generation_options(const task_t *t);
/* The streams of a rule's inputs, their names, and their columns beside records' members. */
const stream_t *task_input(const task_t *t, input_t in);
const char *task_input_name(const task_t *t, input_t in);
const names_t *task_input_extras(const task_t *t, input_t in);
/* The watermark that an input has given out, and whether it is idle. */
etime_t task_input_watermark(const task_t *t, input_t in, int *idle);
#endif
