#include "load.h"

#include <assert.h>
#include <stdio.h>

#include "mem.h"
#include "properties_kafka.h"

script_limits_t load_limits(const config_t *c) {
    return (script_limits_t){.time_ms = c->budget_time, .memory = (size_t)c->budget_memory, .jit = 1};
}

/* text NULL: the file of that path. */
static int load_config(const char *path, const char *text, log_t *log, config_t **out, faults_t *faults) {
    script_limits_t limits = {.time_ms = 5000, .memory = 64u << 20, .jit = 1};
    script_t *script = NULL;
    error_t e = {0};
    if (script_open(&script, &limits, log, &e)) {
        faults_add(faults, path, 0, "%s", e.text);
        return e.code;
    }
    int rc = text ? script_load_config_text(script, path, text, strlen(text), out, faults)
                  : script_load_config(script, path, out, faults);
    script_close(script);
    return rc;
}

int load_rules(const config_t *config, const char *rules, log_t *log, script_t **script, plan_t **plan,
               faults_t *faults) {
    script_limits_t limits = load_limits(config);
    error_t e = {0};
    *script = NULL;
    *plan = NULL;
    if (script_open(script, &limits, log, &e)) {
        faults_add(faults, rules, 0, "%s", e.text);
        return e.code;
    }
    int rc = script_load_rules(*script, rules, config, plan, faults);
    if (rc) {
        script_close(*script);
        *script = NULL;
    }
    return rc;
}

/* The rules beside a configuration that has faults of its own: all faults show at once. Where no source could be read
 * every rule would be said to read an unknown one. */
static void check_rules(const char *rules, log_t *log, const config_t *config, faults_t *faults) {
    if (!config || config->n_sources == 0 || !(rules || config->rules))
        return;
    const char *from = rules ? rules : config->rules;
    script_t *script;
    plan_t *plan;
    if (load_rules(config, from, log, &script, &plan, faults) == 0) {
        script_close(script);
        plan_free(plan);
    }
}

static int load_both(const char *path, const char *text, const char *rules, int live, log_t *log, loaded_t *out,
                     faults_t *faults) {
    *out = (loaded_t){0};
    int rc = load_config(path, text, log, &out->config, faults);
    if (live && out->config) {
        size_t before = faults->n;
        properties_kafka_check(out->config, log, faults);
        rc = rc == 0 && faults->n > before ? ERR_INVALID : rc;
    }
    if (rc) {
        check_rules(rules, log, out->config, faults);
        load_fini(out);
        return rc;
    }
    assert(out->config);
    out->rules = mem_strdup(rules ? rules : out->config->rules);
    rc = load_rules(out->config, out->rules, log, &out->script, &out->plan, faults);
    if (rc)
        load_fini(out);
    return rc;
}

int load_all(const char *config_path, const char *rules, log_t *log, loaded_t *out, faults_t *faults) {
    return load_both(config_path ? config_path : "ananas.lua", NULL, rules, 0, log, out, faults);
}

int load_live(const char *config_path, const char *rules, log_t *log, loaded_t *out, faults_t *faults) {
    return load_both(config_path ? config_path : "ananas.lua", NULL, rules, 1, log, out, faults);
}

int load_all_text(const char *name, const char *text, const char *rules, log_t *log, loaded_t *out, faults_t *faults) {
    return load_both(name, text, rules, 0, log, out, faults);
}

void load_fini(loaded_t *l) {
    if (l->script)
        script_close(l->script);
    plan_free(l->plan);
    config_free(l->config);
    mem_free(l->rules);
    *l = (loaded_t){0};
}

void load_print_faults(const faults_t *f) {
    for (size_t i = 0; i < f->n; i++) {
        buf_t text = {0};
        fault_write(&f->at[i], &text);
        fprintf(stderr, "%.*s\n", (int)text.len, text.s);
        buf_fini(&text);
    }
}
