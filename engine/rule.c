#include "rule.h"
#include "mem.h"
#include <stdarg.h>
#include <stdio.h>

void names_free(names_t *n) {
    for (uint32_t i = 0; i < n->n; i++)
        mem_free(n->at[i]);
    mem_free(n->at);
    *n = (names_t){0};
}

int names_index(const names_t *n, const char *s) {
    for (uint32_t i = 0; i < n->n; i++)
        if (strcmp(n->at[i], s) == 0)
            return (int)i;
    return -1;
}

static void match_free(match_spec_t *m) {
    if (!m)
        return;
    names_free(&m->partition_by);
    for (uint32_t i = 0; i < m->n_order_by; i++)
        mem_free(m->order_by[i].column);
    mem_free(m->order_by);
    mem_free(m->pattern);
    for (uint32_t i = 0; i < m->n_define; i++)
        mem_free(m->define[i].name);
    mem_free(m->define);
    for (uint32_t i = 0; i < m->n_subset; i++) {
        mem_free(m->subset[i].name);
        names_free(&m->subset[i].vars);
    }
    mem_free(m->subset);
    for (uint32_t i = 0; i < m->n_measures; i++)
        mem_free(m->measures[i].name);
    mem_free(m->measures);
    mem_free(m->skip_var);
    names_free(&m->needs);
    mem_free(m);
}

static void aggs_free(rule_t *r) {
    for (uint32_t i = 0; i < r->n_aggs; i++) {
        mem_free(r->aggs[i].name);
        mem_free(r->aggs[i].arg.column);
        mem_free(r->aggs[i].separator);
        names_free(&r->aggs[i].fold_needs);
    }
    mem_free(r->aggs);
}

static void rule_fini(rule_t *r) {
    mem_free(r->name);
    mem_free(r->file);
    mem_free(r->from);
    for (uint32_t i = 0; i < r->n_unnest; i++) {
        mem_free(r->unnest[i].text);
        mem_free(r->unnest[i].alias);
    }
    mem_free(r->unnest);
    names_free(&r->group_by);
    aggs_free(r);
    mem_free(r->top_by);
    mem_free(r->late_to);
    match_free(r->match);
    if (r->process) {
        names_free(&r->process->by);
        names_free(&r->process->needs);
        mem_free(r->process);
    }
    for (uint32_t i = 0; i < r->n_select; i++) {
        mem_free(r->select[i].name);
        mem_free(r->select[i].value.column);
    }
    mem_free(r->select);
    names_free(&r->key);
    mem_free(r->to);
    names_free(&r->columns);
    names_free(&r->needs);
    names_free(&r->intern);
}

void plan_free(plan_t *p) {
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_rules; i++)
        rule_fini(&p->rules[i]);
    mem_free(p->rules);
    for (uint32_t i = 0; i < p->n_fns; i++) {
        mem_free(p->fns[i].what);
        mem_free(p->fns[i].file);
        mem_free(p->fns[i].memo_column);
    }
    mem_free(p->fns);
    mem_free(p);
}

int plan_rule(const plan_t *p, const char *name) {
    for (uint32_t i = 0; i < p->n_rules; i++)
        if (strcmp(p->rules[i].name, name) == 0)
            return (int)i;
    return -1;
}

void faults_add(faults_t *f, const char *file, int line, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = mem_alloc((size_t)(n < 0 ? 0 : n) + 1);
    text[0] = 0;
    vsnprintf(text, (size_t)(n < 0 ? 0 : n) + 1, fmt, again);
    va_end(again);
    mem_grow(&f->at, &f->cap, f->n + 1, sizeof *f->at);
    f->at[f->n++] = (fault_t){mem_strdup(file), line, text};
}

void fault_write(const fault_t *f, buf_t *b) {
    buf_add_str(b, f->file);
    if (f->line > 0)
        buf_printf(b, ":%d", f->line);
    buf_add_str(b, ": ");
    buf_add_str(b, f->text);
}

void faults_fini(faults_t *f) {
    for (size_t i = 0; i < f->n; i++) {
        mem_free(f->at[i].file);
        mem_free(f->at[i].text);
    }
    mem_free(f->at);
    *f = (faults_t){0};
}
