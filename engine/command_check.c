#include <stdio.h>

#include "command.h"
#include "json.h"
#include "load.h"
#include "mem.h"
#include "reload.h"

static void add_member(buf_t *b, const char *name, const char *value) {
    buf_printf(b, "%s\"%s\":", b->len && b->s[b->len - 1] != '{' ? "," : "", name);
    json_write_string(b, value, strlen(value));
}

static void faults_json(const faults_t *f, buf_t *b) {
    buf_add_str(b, "{\"faults\":[");
    for (size_t i = 0; i < f->n; i++) {
        buf_add_str(b, i ? ",{" : "{");
        add_member(b, "file", f->at[i].file);
        buf_printf(b, ",\"line\":%d", f->at[i].line);
        add_member(b, "message", f->at[i].text);
        buf_add_char(b, '}');
    }
    buf_add_str(b, "]}\n");
}

static void verdicts_json(const verdicts_t *v, buf_t *b) {
    buf_add_str(b, ",\"verdicts\":[");
    for (uint32_t i = 0; i < v->n; i++) {
        buf_add_str(b, i ? ",{" : "{");
        add_member(b, "rule", v->at[i].rule);
        add_member(b, "verdict", verdict_name(v->at[i].kind));
        add_member(b, "reason", v->at[i].reason);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

static void verdicts_text(const verdicts_t *v, buf_t *b) {
    buf_add_str(b, "reload\n");
    for (uint32_t i = 0; i < v->n; i++)
        buf_printf(b, "  %-12s %s%s%s\n", verdict_name(v->at[i].kind), v->at[i].rule, v->at[i].reason[0] ? ": " : "",
                   v->at[i].reason);
}

/* The verdicts of the rules loaded in l against those of another place. */
static int add_verdicts(const char *against, const loaded_t *l, log_t *log, int json, buf_t *b, faults_t *faults) {
    script_t *script;
    plan_t *old;
    int rc = load_rules(l->config, against, log, &script, &old, faults);
    if (rc)
        return rc;
    verdicts_t v;
    reload_diff(old, l->plan, &v);
    (json ? verdicts_json : verdicts_text)(&v, b);
    verdicts_fini(&v);
    plan_free(old);
    script_close(script);
    return 0;
}

static int describe(const options_t *o, const loaded_t *l, log_t *log, int json, buf_t *b, faults_t *faults) {
    const char *against = options_get(o, "against");
    int rc = script_describe(l->script, json, b);
    if (rc) {
        faults_add(faults, l->rules, 0, "%s", script_error(l->script));
        return rc;
    }
    if (json)
        b->len--; /* its last brace: verdicts may follow */
    if (against)
        rc = add_verdicts(against, l, log, json, b, faults);
    if (json)
        buf_add_str(b, "}\n");
    return rc;
}

int command_check(const options_t *o, log_t *log) {
    loaded_t l;
    faults_t faults = {0};
    buf_t b = {0};
    int json = options_get(o, "json") != NULL;
    int rc = load_live(options_get(o, "config"), options_get(o, "rules"), log, &l, &faults);
    if (rc == 0)
        rc = describe(o, &l, log, json, &b, &faults);
    if (rc) {
        buf_clear(&b);
        if (json)
            faults_json(&faults, &b);
        else
            load_print_faults(&faults);
    }
    fwrite(b.s ? b.s : "", 1, b.len, stdout);
    buf_fini(&b);
    faults_fini(&faults);
    load_fini(&l);
    return rc ? EXIT_FAULT : EXIT_OK;
}
