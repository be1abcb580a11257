#include "generation.h"

#include <stdlib.h>

#include "mem.h"

generation_t *generation_new(script_t *script, plan_t *plan, const generation_options_t *o) {
    generation_t *g = mem_alloc(sizeof *g);
    *g = (generation_t){script, plan, 1, *o};
    return g;
}

static int load(const rule_texts_t *texts, const generation_options_t *o, script_t **script, plan_t **plan,
                error_t *e) {
    faults_t faults = {0};
    int rc = script_open(script, &o->limits, o->log, e);
    if (rc)
        return rc;
    rc = script_load_texts(*script, texts, o->config, plan, &faults);
    if (rc) {
        error_set(e, rc, "%s", faults.n ? faults.at[0].text : "no reason given");
        script_close(*script);
    }
    faults_fini(&faults);
    return rc;
}

generation_t *generation_load(const rule_texts_t *texts, const generation_options_t *o, error_t *e) {
    script_t *script;
    plan_t *plan;
    return load(texts, o, &script, &plan, e) ? NULL : generation_new(script, plan, o);
}

generation_t *generation_take(generation_t *g) {
    g->refs++;
    return g;
}

void generation_drop(generation_t *g) {
    if (!g || --g->refs > 0)
        return;
    script_close(g->script);
    plan_free(g->plan);
    mem_free(g);
}

void generation_reopen(generation_t *g) {
    script_t *fresh = NULL;
    plan_t *plan = NULL;
    error_t e = {0};
    if (load(script_texts(g->script), &g->options, &fresh, &plan, &e)) {
        log_say(g->options.log, LOG_ERROR, "engine", "the rules that ran a moment ago do not load again: %s", e.text);
        abort();
    }
    script_close(g->script);
    plan_free(plan);
    g->script = fresh;
}
