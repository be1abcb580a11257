#include <assert.h>
#include <stdlib.h>

#include "mem.h"
#include "reload.h"
#include "task_parts.h"

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char **task_topics_new(const config_t *c) {
    char **topics = NULL;
    size_t cap = 0, n = 0, kept = 0;
    for (uint32_t i = 0; i < c->n_sources; i++)
        for (uint32_t k = 0; k < c->sources[i].topics.n; k++) {
            mem_grow(&topics, &cap, n + 1, sizeof *topics);
            topics[n++] = c->sources[i].topics.at[k];
        }
    mem_grow(&topics, &cap, n + 1, sizeof *topics);
    qsort(topics, n, sizeof *topics, by_name);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(topics[kept - 1], topics[i]) != 0)
            topics[kept++] = topics[i];
    topics[kept] = NULL;
    return topics;
}

static void source_init(task_t *t, source_run_t *s, const source_spec_t *spec) {
    *s = (source_run_t){.spec = spec};
    s->topics = mem_alloc((spec->topics.n + 1) * sizeof *s->topics);
    for (uint32_t i = 0; i < spec->topics.n; i++)
        s->topics[i] = task_topic(t, slice_of(spec->topics.at[i]));
    s->extras = (names_t){mem_alloc((spec->n_metadata + 1) * sizeof(char *)), spec->n_metadata};
    for (uint32_t i = 0; i < spec->n_metadata; i++)
        s->extras.at[i] = spec->metadata[i].name;
    watermark_init(&s->watermark, spec->watermark);
    if (!t->dispatch)
        return;
    s->watermark.idle = 1; /* of no partition, until it is known which ones there are */
    valve_init(&s->everywhere, dispatch_n(t->dispatch));
    s->everywhere.holds = 1;
}

static int reads_source(const rule_t *r, uint32_t source) {
    for (uint32_t i = 0; i < r->n_from; i++)
        if (!r->from[i].is_rule && r->from[i].index == source)
            return 1;
    return 0;
}

/* Strings of a column are interned where some predicate can be asked once per distinct value. */
static int wants_intern(const plan_t *p, const char *name) {
    for (uint32_t i = 0; i < p->n_fns; i++)
        if (p->fns[i].memo_column && strcmp(p->fns[i].memo_column, name) == 0)
            return 1;
    return 0;
}

typedef struct wanted {
    decode_column_t *at;
    uint32_t n;
    size_t cap;
} wanted_t;

static void want(wanted_t *w, const plan_t *p, const char *name, int meta) {
    for (uint32_t i = 0; i < w->n; i++)
        if (strcmp(w->at[i].name, name) == 0)
            return;
    mem_grow(&w->at, &w->cap, w->n + 1, sizeof *w->at);
    w->at[w->n++] = (decode_column_t){name, meta, wants_intern(p, name)};
}

/* A rule with one path over records: the decoder finds the elements while it reads. */
static int fast_unnest_of(const rule_t *r, const source_run_t *s) {
    if (r->n_unnest != 1 || r->n_from != 1 || r->from[0].is_rule)
        return 0;
    for (uint32_t i = 0; i < s->extras.n; i++) {
        size_t len = strlen(s->extras.at[i]);
        if (strncmp(r->unnest[0].text, s->extras.at[i], len) == 0 && strchr(".[", r->unnest[0].text[len]))
            return 0;
    }
    return 1;
}

static void want_needs(wanted_t *w, const plan_t *p, const rule_t *r) {
    for (uint32_t k = 0; k < r->needs.n; k++) {
        int alias = strcmp(r->needs.at[k], FROM_COLUMN) == 0;
        for (uint32_t u = 0; u < r->n_unnest; u++)
            alias |= strcmp(r->unnest[u].alias, r->needs.at[k]) == 0;
        if (!alias)
            want(w, p, r->needs.at[k], -1);
    }
}

/* What the decoder of a source has to look for: the union of what the rules that read it need. */
static void decoder_make(task_t *t, uint32_t index) {
    source_run_t *s = &t->sources[index];
    wanted_t w = {0};
    decode_unnest_t *unnests = mem_alloc((task_rules(t)->n_rules + 1) * sizeof *unnests);
    uint32_t n_unnests = 0;
    for (uint32_t i = 0; i < s->spec->n_metadata; i++)
        want(&w, task_rules(t), s->spec->metadata[i].name, (int)s->spec->metadata[i].kind);
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++) {
        const rule_t *r = &task_rules(t)->rules[i];
        if (!reads_source(r, index))
            continue;
        want_needs(&w, task_rules(t), r);
        if (!fast_unnest_of(r, s))
            continue;
        uint32_t u = 0;
        while (u < n_unnests && strcmp(unnests[u].path, r->unnest[0].text) != 0)
            u++;
        if (u == n_unnests)
            unnests[n_unnests++] = (decode_unnest_t){r->unnest[0].text, 0};
        unnests[u].intern |= wants_intern(task_rules(t), r->unnest[0].alias);
        t->fast[i] = (fast_unnest_t){index, u, 1};
    }
    decode_spec_t spec = {w.at, w.n, unnests, n_unnests, s->spec->event_time, s->spec->event_unit_ms};
    decoder_t *d = decoder_new(&spec, intake_symbols(t->intake));
    decoder_name_topics(d, (const char *const *)t->topics, t->n_topics);
    intake_source(t->intake, index, s->topics, s->spec->topics.n, d);
    mem_free(w.at);
    mem_free(unnests);
}

/* Columns beside a record's members that a rule's input rows have: of all inputs, each once. */
static names_t input_extras(const task_t *t, const rule_t *r) {
    names_t out = {0};
    size_t cap = 0;
    for (uint32_t i = 0; i < r->n_from; i++) {
        const names_t *in =
            r->from[i].is_rule ? &t->pipelines[r->from[i].index].extras : &t->sources[r->from[i].index].extras;
        for (uint32_t k = 0; k < in->n; k++)
            if (names_index(&out, in->at[k]) < 0) {
                mem_grow(&out.at, &cap, out.n + 1, sizeof *out.at);
                out.at[out.n++] = in->at[k];
            }
    }
    return out;
}

generation_options_t task_generation_options(const task_t *t) {
    return (generation_options_t){t->options.limits, t->options.config, t->options.log};
}

/* What one rule set at work consists of, but for its state. */
static void tables_make(task_t *t) {
    uint32_t n = task_rules(t)->n_rules;
    t->pipelines = mem_zalloc((n + 1) * sizeof *t->pipelines);
    t->fast = mem_zalloc((n + 1) * sizeof *t->fast);
    t->errors = mem_zalloc((n + 1) * sizeof *t->errors);
    t->extras = mem_zalloc((n + 1) * sizeof *t->extras);
    t->verdicts = mem_zalloc((n + 1) * sizeof *t->verdicts);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++)
        decoder_make(t, i);
    if (t->dispatch)
        placement_make(task_rules(t), &t->placement);
    t->report = (report_t){task_rules(t), &t->outbox, t->errors, t->extras};
    t->step = (step_t){.arena = &t->arena,
                       .sieve = &t->sieve,
                       .store = t->store,
                       .script = t->generation->script,
                       .generation = t->generation,
                       .log = t->options.log,
                       .profile = t->options.profile,
                       .topics = (const char *const *)t->topics,
                       .since = t->since,
                       .task = &t->report};
}

static void pipeline_make(task_t *t, uint32_t i, reign_t reign) {
    const rule_t *rule = &task_rules(t)->rules[i];
    pipeline_t *p = &t->pipelines[i];
    names_t extras = input_extras(t, rule);
    pipeline_init(p, rule, t->store, extras, reign);
    if (t->dispatch && t->placement.at[i].exchanged)
        p->exchange = exchange_new(rule, &t->placement.at[i], t->dispatch, reign);
    for (uint32_t k = 0; k < i && !p->twin; k++)
        if (!t->pipelines[k].twin && pipeline_begins_alike(&task_rules(t)->rules[k], rule))
            p->twin = &t->pipelines[k];
    t->extras[i] = p->in_extras;
    mem_free(extras.at);
    for (uint32_t k = 0; k < rule->n_from; k++) {
        int idle;
        etime_t wm = task_input_watermark(t, rule->from[k], &idle);
        if (wm != ETIME_MIN || idle)
            valve_put(&p->valve, k, wm, idle);
    }
    p->wm = p->valve.now;
}

static void tables_free(const plan_t *plan, pipeline_t *pipelines, char **verdicts) {
    for (uint32_t i = 0; i < plan->n_rules; i++) {
        pipeline_fini(&pipelines[i]);
        mem_free(verdicts[i]);
    }
    mem_free(pipelines);
    mem_free(verdicts);
}

task_t *task_new(const task_options_t *o, script_t *script, plan_t *plan) {
    task_t *t = mem_zalloc(sizeof *t);
    t->options = *o;
    generation_options_t go = task_generation_options(t);
    t->generation = generation_new(script, plan, &go);
    t->since = ETIME_MIN;
    arena_init(&t->arena);
    arena_init(&t->sieve);
    t->intake = intake_new(o->config);
    t->store = o->store ? o->store : store_new((size_t)o->config->max_state);
    t->topics = task_topics_new(o->config);
    while (t->topics[t->n_topics])
        t->n_topics++;
    if (o->parallelism > 1)
        t->dispatch = dispatch_new((uint32_t)o->number, (uint32_t)o->parallelism);
    t->sources = mem_zalloc((o->config->n_sources + 1) * sizeof *t->sources);
    for (uint32_t i = 0; i < o->config->n_sources; i++)
        source_init(t, &t->sources[i], &o->config->sources[i]);
    tables_make(t);
    for (uint32_t i = 0; i < plan->n_rules; i++)
        pipeline_make(t, i, REIGN_FIRST);
    task_rebuild(t);
    return t;
}

void task_free(task_t *t) { store_free(task_close(t)); }

store_t *task_close(task_t *t) {
    if (!t)
        return NULL;
    intake_free(t->intake);
    tables_free(task_rules(t), t->pipelines, t->verdicts);
    mem_free(t->fast);
    mem_free(t->errors);
    mem_free(t->extras);
    for (uint32_t i = 0; i < t->options.config->n_sources; i++) {
        source_run_t *s = &t->sources[i];
        watermark_fini(&s->watermark);
        valve_fini(&s->everywhere);
        mem_free(s->topics);
        mem_free(s->extras.at);
    }
    mem_free(t->sources);
    placement_fini(&t->placement);
    dispatch_free(t->dispatch);
    mem_free(t->ticks);
    mem_free(t->words);
    generation_drop(t->generation);
    store_t *store = t->store;
    arena_fini(&t->arena);
    arena_fini(&t->sieve);
    outbox_fini(&t->outbox);
    mem_free(t->topics);
    mem_free(t);
    store_forget_tags(store);
    return store;
}

void task_set_reign(task_t *t, uint32_t rule, reign_t reign) {
    for (uint32_t i = 0; i < task_rules(t)->n_rules; i++) /* until task_rebuild */
        if (t->pipelines[i].group)
            group_alone(t->pipelines[i].group);
    pipeline_fini(&t->pipelines[rule]);
    pipeline_make(t, rule, reign);
}

/* ---- reload ---- */

static int starts_with(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

/* All state of a rule: its spaces are named after it. */
static void drop_state(task_t *t, const char *rule) {
    char *prefix = mem_printf("%s/", rule);
    for (space_t *sp = store_next_space(t->store, NULL); sp;) {
        space_t *next = store_next_space(t->store, sp);
        if (starts_with(space_name(sp), prefix))
            store_drop_space(t->store, sp);
        sp = next;
    }
    mem_free(prefix);
}

/* State whose shape has another name under the new version, but means the same. */
static void rename_state(task_t *t, const rule_t *old, const rule_t *new) {
    char *from = mem_printf("%s/%s", old->name, old->state_hash);
    for (space_t *sp = store_next_space(t->store, NULL); sp && strcmp(old->state_hash, new->state_hash) != 0;) {
        space_t *next = store_next_space(t->store, sp);
        if (starts_with(space_name(sp), from)) {
            char *name = mem_printf("%s/%s%s", new->name, new->state_hash, space_name(sp) + strlen(from));
            space_t *to = store_space(t->store, name);
            for (store_entry_t *e = space_next(sp, NULL); e; e = space_next(sp, e)) {
                slice_t key = entry_key(e), value = entry_value(e);
                entry_set(to, store_put(to, key.s, key.len, NULL), value.s, value.len);
            }
            store_drop_space(t->store, sp);
            mem_free(name);
        }
        sp = next;
    }
    mem_free(from);
}

/* Rows that wait for their turn or are being matched, with what is known of their matching. */
static void let_rows_go(task_t *t, const rule_t *rule) {
    char *prefix = mem_printf("%s/%s/%s", rule->name, rule->state_hash, rule->match ? "match-" : "rows");
    size_t n = 0;
    for (space_t *sp = store_next_space(t->store, NULL); sp;) {
        space_t *next = store_next_space(t->store, sp);
        if (starts_with(space_name(sp), prefix)) {
            if (strcmp(space_name(sp) + strlen(prefix), "keys") != 0)
                n += space_count(sp);
            store_drop_space(t->store, sp);
        }
        sp = next;
    }
    mem_free(prefix);
    if (n)
        log_say(t->options.log, LOG_WARN, "rules", "rule \"%s\": %zu rows held for it are dropped", rule->name, n);
}

static size_t open_windows(const pipeline_t *p) {
    size_t n = p->group ? group_open_windows(p->group) : 0;
    for (size_t i = 0; i < p->n_leaving; i++)
        n += group_open_windows(p->leaving[i].group);
    return n;
}

static void drop_rule(task_t *t, pipeline_t *old, const char *why) {
    size_t n = open_windows(old);
    old->stats.dropped_windows += n;
    if (n)
        log_say(t->options.log, LOG_WARN, "rules", "rule \"%s\" %s: %zu open windows are dropped", old->rule->name, why,
                n);
    for (size_t i = 0; i < old->n_leaving; i++)
        leaving_fini(&old->leaving[i]);
    old->n_leaving = 0;
    drop_state(t, old->rule->name);
}

/* Counters go on; what was wrong with a text is forgotten with it. */
static void inherit(pipeline_t *p, const pipeline_t *old, int same_text) {
    p->stats = old->stats;
    if (!same_text)
        p->stats.quarantined = 0;
    if (p->exchange && old->exchange)
        valve_copy(exchange_valve(p->exchange), exchange_valve(old->exchange));
    if (old->valve.n != p->valve.n)
        return;
    valve_copy(&p->valve, &old->valve);
    p->wm = old->wm;
}

static etime_t bound_of(const char *rule, const frame_bound_t *bounds, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (slice_eq(bounds[i].rule, slice_of(rule)))
            return bounds[i].end;
    return ETIME_MIN;
}

/* Carries one verdict out: the rule's new pipeline, with what it keeps of the old one. */
static void take_over(task_t *t, const verdict_t *v, pipeline_t *olds, generation_t *old_generation, etime_t end) {
    pipeline_t *p = &t->pipelines[v->new_index], *old = v->old_index >= 0 ? &olds[v->old_index] : NULL;
    const rule_t *rule = &task_rules(t)->rules[v->new_index];
    uint32_t i = (uint32_t)v->new_index;
    if (v->kind == VERDICT_ADDED || v->kind == VERDICT_REMOVED) {
        pipeline_make(t, i, REIGN_FIRST);
        return;
    }
    assert(old);
    switch (v->kind) {
    case VERDICT_ADDED:
    case VERDICT_REMOVED: return;
    case VERDICT_RESET:
        drop_rule(t, old, "was reset");
        pipeline_make(t, i, REIGN_FIRST);
        p->stats = old->stats;
        p->stats.quarantined = 0;
        return;
    case VERDICT_HANDOVER:
        pipeline_make(t, i, pipeline_next_reign(old, end));
        pipeline_hand_over(old, old_generation, p);
        break;
    case VERDICT_UNCHANGED:
    case VERDICT_KEPT:
    case VERDICT_REBUILT:
        rename_state(t, old->rule, rule);
        if (v->lets_go)
            let_rows_go(t, rule);
        pipeline_make(t, i, old->reign);
        pipeline_move_leaving(old, p);
        break;
    }
    task_lead(t, i);
    inherit(p, old, v->kind == VERDICT_UNCHANGED);
    if (v->kind == VERDICT_UNCHANGED)
        t->errors[i] = (last_error_t){.count = p->stats.errors};
}

/* A key that lives at another task from now on: its windows end where they are, and rows are still led there. What cannot
 * be led, because only the state itself knows whose it is, begins anew. */
static void judge_places(task_t *t, verdicts_t *v, const placement_t *old) {
    for (uint32_t i = 0; t->dispatch && i < v->n; i++) {
        verdict_t *x = &v->at[i];
        if (x->old_index < 0 || x->new_index < 0 || x->kind == VERDICT_RESET)
            continue;
        const rule_t *rule = &task_rules(t)->rules[x->new_index];
        const place_t *from = &old->at[x->old_index], *to = &t->placement.at[x->new_index];
        if (placement_same(from, to) ||
            (x->kind == VERDICT_HANDOVER && to->exchanged && rule->window.kind != WINDOW_SESSION))
            continue;
        x->kind = VERDICT_RESET;
        mem_free(x->reason);
        x->reason = mem_strdup("its keys belong to other tasks than before (parallelism)");
    }
}

static void say_verdict(task_t *t, const verdict_t *v) {
    const char *name = verdict_name(v->kind);
    log_say(t->options.log, LOG_INFO, "rules", "rule \"%s\": %s%s%s", v->rule, name, v->reason[0] ? ": " : "",
            v->reason);
    if (v->new_index >= 0)
        t->verdicts[v->new_index] = v->reason[0] ? mem_printf("%s: %s", name, v->reason) : mem_strdup(name);
}

/* The ends that this task knows of: all there are where it is the only one. */
void task_reload(task_t *t, script_t *script, plan_t *plan) {
    const plan_t *old = task_rules(t);
    frame_bound_t *bounds = mem_alloc((old->n_rules + 1) * sizeof *bounds);
    for (uint32_t i = 0; i < old->n_rules; i++)
        bounds[i] = (frame_bound_t){slice_of(old->rules[i].name), pipeline_last_end(&t->pipelines[i])};
    task_reload_at(t, script, plan, bounds, old->n_rules);
    mem_free(bounds);
}

void task_reload_at(task_t *t, script_t *script, plan_t *plan, const frame_bound_t *bounds, uint32_t n) {
    generation_t *old_generation = t->generation;
    pipeline_t *olds = t->pipelines;
    char **old_verdicts = t->verdicts;
    placement_t old_placement = t->placement;
    verdicts_t v;
    t->placement = (placement_t){0};
    reload_diff(old_generation->plan, plan, &v);
    mem_free(t->fast);
    mem_free(t->errors);
    mem_free(t->extras);
    generation_options_t go = task_generation_options(t);
    t->generation = generation_new(script, plan, &go);
    tables_make(t);
    share_before_reload(olds, old_generation->plan->n_rules, &v);
    judge_places(t, &v, &old_placement);
    for (uint32_t i = 0; i < v.n; i++)
        if (v.at[i].kind == VERDICT_REMOVED)
            drop_rule(t, &olds[v.at[i].old_index], "was removed");
    for (uint32_t i = 0; i < v.n; i++) {
        if (v.at[i].kind != VERDICT_REMOVED)
            take_over(t, &v.at[i], olds, old_generation, bound_of(v.at[i].rule, bounds, n));
        say_verdict(t, &v.at[i]);
    }
    tables_free(old_generation->plan, olds, old_verdicts);
    placement_fini(&old_placement);
    t->stepped = 0; /* new exchanges have something to say before anything happens */
    task_rebuild(t);
    generation_drop(old_generation);
    verdicts_fini(&v);
}
