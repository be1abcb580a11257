#include "mem.h"
#include "task_parts.h"

#include <stdio.h>

static void save_reign(reign_t r, buf_t *b) {
    buf_add_u64(b, (uint64_t)r.begin);
    buf_add_varint(b, r.number);
}

/* Numbers came with format 3. */
static reign_t load_reign(reader_t *r, uint32_t format) {
    etime_t begin = (etime_t)read_u64(r);
    uint64_t number = format < 3 ? 0 : read_varint(r);
    r->bad |= number > UINT32_MAX;
    return (reign_t){begin, (uint32_t)number};
}

static void save_versions(const pipeline_t *p, buf_t *b) {
    save_reign(p->reign, b);
    buf_add_varint(b, p->n_leaving);
    for (size_t i = 0; i < p->n_leaving; i++) {
        const leaving_t *l = &p->leaving[i];
        buf_add_bytes(b, l->generation->plan->version, strlen(l->generation->plan->version));
        buf_add_bytes(b, l->rule->name, strlen(l->rule->name));
        save_reign(l->reign, b);
        buf_add_u64(b, (uint64_t)l->until);
    }
}

/* Versions that overran their budget and are not gone yet: by the rule's name and their reign. An empty name ends them. */
static void save_dead(const task_t *t, buf_t *b) {
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        for (size_t k = 0; k < t->pipelines[i].n_leaving; k++) {
            const leaving_t *l = &t->pipelines[i].leaving[k];
            if (!l->dead)
                continue;
            buf_add_bytes(b, l->rule->name, strlen(l->rule->name));
            save_reign(l->reign, b);
        }
    buf_add_bytes(b, "", 0);
}

/* Topics by name, then each source's watermark by the source's name, then each rule's valve by the rule's. */
void task_save_meta(const task_t *t, buf_t *b) {
    buf_add_varint(b, t->n_topics);
    for (uint32_t i = 0; i < t->n_topics; i++)
        buf_add_bytes(b, t->topics[i], strlen(t->topics[i]));
    buf_t part = {0};
    buf_add_varint(b, t->options.config->n_sources);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        buf_clear(&part);
        watermark_save(&t->sources[i].watermark, &part);
        buf_add_bytes(b, t->sources[i].spec->name, strlen(t->sources[i].spec->name));
        buf_add_bytes(b, part.s, part.len);
    }
    buf_add_varint(b, task_rules(t)->n_rules);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++) {
        buf_clear(&part);
        valve_save(&t->pipelines[i].valve, &part);
        buf_add_bytes(b, task_rules(t)->rules[i].name, strlen(task_rules(t)->rules[i].name));
        buf_add_char(b, (char)t->pipelines[i].stats.quarantined);
        buf_add_bytes(b, part.s, part.len);
        save_versions(&t->pipelines[i], b);
    }
    buf_fini(&part);
    if (t->dispatch)
        task_save_valves(t, b);
    save_dead(t, b);
}

static int is_named_so(const rule_t *a, reign_t a_reign, const rule_t *b, reign_t b_reign) {
    return reign_same(a_reign, b_reign) && strcmp(a->state_hash, b->state_hash) == 0;
}

/* Before format 3 two versions could have one state between them: the other one has it then. */
static int has_state(const pipeline_t *p, const rule_t *rule, reign_t reign) {
    if (is_named_so(p->rule, p->reign, rule, reign))
        return 1;
    for (size_t i = 0; i < p->n_leaving; i++)
        if (is_named_so(p->leaving[i].rule, p->leaving[i].reign, rule, reign))
            return 1;
    return 0;
}

static void add_leaving(task_t *t, pipeline_t *p, generation_t *g, const rule_t *rule, reign_t reign, etime_t until) {
    if (!has_state(p, rule, reign))
        pipeline_add_leaving(p, g, rule, t->store, reign, until);
}

/* Versions of a rule that hand over: where the present one began, and those whose windows are still open. */
static void load_versions(task_t *t, int rule, reader_t *r, uint32_t format) {
    reign_t reign = load_reign(r, format);
    uint64_t n = read_varint(r);
    if (rule >= 0 && !reign_same(reign, t->pipelines[rule].reign))
        task_set_reign(t, (uint32_t)rule, reign);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t set = read_bytes(r), name = read_bytes(r);
        reign_t theirs = load_reign(r, format);
        etime_t until = (etime_t)read_u64(r);
        generation_t *g = task_generation(t, set);
        int at = g ? plan_rule_named(g->plan, name) : -1;
        if (rule >= 0 && at >= 0)
            add_leaving(t, &t->pipelines[rule], g, &g->plan->rules[at], theirs, until);
        else
            log_say(t->options.log, LOG_WARN, "rules",
                    "the rules behind open windows of \"%.*s\" are not in the changelog any more; they are dropped",
                    (int)name.len, name.s ? name.s : "");
    }
}

static void load_dead(task_t *t, reader_t *r, uint32_t format) {
    if (r->pos == r->len) /* older records end before it */
        return;
    for (slice_t name = read_bytes(r); name.len > 0; name = read_bytes(r)) {
        int rule = plan_rule_named(task_rules(t), name);
        reign_t reign = load_reign(r, format);
        for (size_t k = 0; rule >= 0 && k < t->pipelines[rule].n_leaving; k++)
            if (reign_same(t->pipelines[rule].leaving[k].reign, reign))
                t->pipelines[rule].leaving[k].dead = 1;
    }
}

static int load_sources(task_t *t, reader_t *r, const int32_t *remap, uint32_t n_remap) {
    uint64_t n = read_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t name = read_bytes(r), bytes = read_bytes(r);
        for (uint32_t k = 0; k < t->options.config->n_sources; k++) {
            reader_t part = reader_of(bytes.s, bytes.len);
            if (slice_eq(name, slice_of(t->sources[k].spec->name)) &&
                watermark_load(&t->sources[k].watermark, &part, remap, n_remap))
                return ERR_INVALID;
        }
    }
    return r->bad ? ERR_INVALID : 0;
}

int task_load_meta(task_t *t, reader_t *r, uint32_t format) {
    uint64_t n = read_varint(r);
    if (r->bad || n > r->len)
        return ERR_INVALID;
    int32_t *remap = mem_alloc((size_t)(n + 1) * sizeof *remap);
    for (uint64_t i = 0; i < n; i++)
        remap[i] = task_topic(t, read_bytes(r));
    int rc = load_sources(t, r, remap, (uint32_t)n);
    mem_free(remap);
    if (rc)
        return rc;
    n = read_varint(r);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        slice_t name = read_bytes(r);
        int quarantined = read_u8(r), rule = plan_rule_named(task_rules(t), name);
        slice_t bytes = read_bytes(r);
        reader_t part = reader_of(bytes.s, bytes.len);
        load_versions(t, rule, r, format);
        if (rule < 0)
            continue;
        task_lead(t, (uint32_t)rule);
        pipeline_t *p = &t->pipelines[rule];
        p->stats.quarantined = quarantined;
        if (valve_load(&p->valve, &part) == 0) /* other inputs than then: it starts anew */
            p->wm = p->valve.now;
    }
    if (r->bad)
        return ERR_INVALID;
    if (t->dispatch && task_load_valves(t, r))
        return ERR_INVALID;
    load_dead(t, r, format);
    return r->bad ? ERR_INVALID : 0;
}

void task_say_quarantined(task_t *t) {
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++) {
        const rule_t *r = t->pipelines[i].rule;
        last_error_t *last = &t->errors[r->index];
        if (!t->pipelines[i].stats.quarantined || last->count)
            continue;
        last->count++;
        snprintf(last->text, sizeof last->text,
                 "rule \"%s\" (%s:%d): it, or a rule that it reads, overran its budget before", r->name, r->file,
                 r->line);
        log_say(t->options.log, LOG_WARN, "rules", "%s; it stays quarantined until its text changes", last->text);
    }
}

/* ---- generations ---- */

int plan_rule_named(const plan_t *p, slice_t name) {
    for (uint32_t i = 0; i < p->n_rules; i++)
        if (slice_eq(slice_of(p->rules[i].name), name))
            return (int)i;
    return -1;
}

void task_add_texts(task_t *t, const rule_texts_t *texts) {
    generation_options_t o = task_generation_options(t);
    error_t e = {0};
    generation_t *g = generation_load(texts, &o, &e);
    if (!g) {
        log_say(t->options.log, LOG_WARN, "rules", "rules that open windows belong to do not load here: %s", e.text);
        return;
    }
    mem_grow(&t->known, &t->cap_known, t->n_known + 1, sizeof(generation_t *));
    t->known[t->n_known++] = g;
}

void task_settle(task_t *t) {
    for (size_t i = 0; i < t->n_known; i++)
        generation_drop(t->known[i]);
    mem_free(t->known);
    t->known = NULL;
    t->n_known = t->cap_known = 0;
}

static int is_version(const generation_t *g, slice_t version) { return slice_eq(slice_of(g->plan->version), version); }

/* Also those that run: a roll-back reads the meta record of the last commit. */
generation_t *task_generation(const task_t *t, slice_t version) {
    for (size_t i = 0; i < t->n_known; i++)
        if (is_version(t->known[i], version))
            return t->known[i];
    return is_version(t->generation, version) ? t->generation : NULL;
}

int task_hands_over(const task_t *t) {
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        if (t->pipelines[i].n_leaving > 0)
            return 1;
    return 0;
}

const char *task_version(const task_t *t, uint32_t n, const rule_texts_t **texts) {
    const generation_t *seen[64] = {t->generation};
    uint32_t count = 1;
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++)
        for (size_t k = 0; k < t->pipelines[i].n_leaving && count < 64; k++) {
            const generation_t *g = t->pipelines[i].leaving[k].generation;
            uint32_t at = 0;
            while (at < count && seen[at] != g)
                at++;
            if (at == count)
                seen[count++] = g;
        }
    if (n >= count)
        return NULL;
    *texts = script_texts(seen[n]->script);
    return seen[n]->plan->version;
}
