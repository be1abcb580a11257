/* generation: one loaded rule set: its script and its plan, as long as some rule of it still runs.
 *
 * The current rules are one generation; rules that hand their windows over keep an older one alive until those have
 * closed. Counted references; the last drop closes script and plan. One thread (the task's). */
#ifndef ANANAS_GENERATION_H
#define ANANAS_GENERATION_H
#include "script.h"

typedef struct generation_options { /* for a script that has to be opened again */
    script_limits_t limits;
    const config_t *config;
    log_t *log;
} generation_options_t;

typedef struct generation {
    script_t *script;
    plan_t *plan;
    uint32_t refs;
    generation_options_t options;
} generation_t;

/* Takes script and plan over; one reference. */
generation_t *generation_new(script_t *script, plan_t *plan, const generation_options_t *o);
/* From kept texts; NULL when they do not load, with the reason in *e. */
generation_t *generation_load(const rule_texts_t *texts, const generation_options_t *o, error_t *e);
generation_t *generation_take(generation_t *g);
void generation_drop(generation_t *g);
/* After a runaway: a new script from the same texts gives every function its old number. Aborts the process when texts
 * that ran a moment ago do not load. */
void generation_reopen(generation_t *g);
#endif
