#include "active_parts.h"
#include "headers_kafka.h"
#include "mem.h"
#include "repartition_kafka.h"
#include "resume.h"
#include "topics_kafka.h"

#define ASK_MS 5000

/* ---- where to read ---- */

/* This task's share of every source, in order. */
static int list_partitions(const active_t *a, partitions_t *out, error_t *e) {
    for (int32_t t = 0; t < a->n_inputs; t++) {
        int n = topics_partitions(source_kafka_client(a->source), a->topics[t], ASK_MS, e);
        if (n < 0)
            return n;
        if (n == 0)
            return error_set(e, ERR_INVALID,
                             "topic \"%s\" does not exist; a source reads it. Make it, or mend the name", a->topics[t]);
        for (int32_t p = a->o.task; p < n; p += (int32_t)a->o.config->parallelism) {
            mem_grow(&out->at, &out->cap, out->n + 1, sizeof *out->at);
            out->at[out->n++] = (position_t){t, p, RESUME_NONE};
        }
    }
    if (!active_is_parallel(a))
        return 0;
    mem_grow(&out->at, &out->cap, out->n + 1, sizeof *out->at);
    out->at[out->n++] = (position_t){a->n_inputs, a->o.task, RESUME_NONE};
    return 0;
}

int active_committed(const active_t *a, position_t *at, uint32_t n, error_t *e) {
    if (!a->o.member)
        return 0;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (uint32_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, a->topics[at[i].topic], at[i].partition);
    rd_kafka_resp_err_t err = rd_kafka_committed(source_kafka_client(a->source), list, ASK_MS);
    for (uint32_t i = 0; i < n && !err; i++) {
        err = list->elems[i].err; /* not known is not none */
        at[i].offset = list->elems[i].offset >= 0 ? list->elems[i].offset : RESUME_NONE;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err ? error_set(e, ERR_AGAIN, "cannot ask for the group's committed offsets: %s", rd_kafka_err2str(err)) : 0;
}

static int64_t state_offset(const changelog_meta_t *m, const char *topic, int32_t partition) {
    for (uint32_t i = 0; i < m->n; i++)
        if (m->at[i].partition == partition && strcmp(m->at[i].topic, topic) == 0)
            return m->at[i].offset;
    return RESUME_NONE;
}

static start_kind_t start_of(const config_t *c, const char *topic) {
    for (uint32_t i = 0; i < c->n_sources; i++)
        if (names_index(&c->sources[i].topics, topic) >= 0)
            return c->sources[i].start;
    return START_EARLIEST;
}

/* Turns the group's offsets into the offsets to read from. */
static int resume_all(const active_t *a, partitions_t *p, const changelog_found_t *found, error_t *e) {
    char *changelog = changelog_topic(a->o.config);
    int rc = 0;
    for (uint32_t i = 0; i < p->n && rc == 0; i++) {
        resume_facts_t f = {.topic = a->topics[p->at[i].topic],
                            .partition = p->at[i].partition,
                            .committed = p->at[i].offset,
                            .has_state = found->meta.present,
                            .start = start_of(a->o.config, a->topics[p->at[i].topic]),
                            .delivery = a->o.config->delivery,
                            .changelog = changelog,
                            .group = a->o.config->group_id};
        f.state = state_offset(&found->meta, f.topic, f.partition);
        rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(source_kafka_client(a->source), f.topic, f.partition,
                                                                   &f.low, &f.high, ASK_MS);
        const char *note = NULL;
        if (err)
            rc = error_set(e, ERR_AGAIN, "cannot ask for the ends of %s/%d: %s", f.topic, f.partition,
                           rd_kafka_err2str(err));
        else
            rc = resume_offset(&f, &p->at[i].offset, &note, e);
        if (note)
            log_say(a->o.log, LOG_WARN, "engine", "%s/%d %s", f.topic, f.partition, note);
    }
    mem_free(changelog);
    return rc;
}

/* ---- state ---- */

/* The first of them with its place; words instead where there is none. To be freed. */
static char *first_fault(const faults_t *faults, const char *none) {
    buf_t text = {0};
    if (faults->n)
        fault_write(&faults->at[0], &text);
    char *out = mem_strdup(faults->n ? buf_cstr(&text) : none);
    buf_fini(&text);
    return out;
}

/* The rules that ran when the state was written, where those are not today's: they run first, until the reload. */
static int load_old(const active_t *a, const changelog_found_t *found, const plan_t *today, script_t **script,
                    plan_t **plan) {
    slice_t version = buf_slice(&found->meta.version);
    if (!found->meta.present || slice_eq(version, slice_of(today->version)))
        return 0;
    for (size_t i = 0; i < found->n_texts; i++) {
        if (!slice_eq(slice_of(found->texts[i].version), version))
            continue;
        script_limits_t limits = load_limits(a->o.config);
        reader_t r = reader_of(found->texts[i].bytes.s, found->texts[i].bytes.len);
        rule_texts_t texts = {0};
        faults_t faults = {0};
        error_t e = {0};
        int ok = texts_load(&r, &texts) == 0 && script_open(script, &limits, a->o.log, &e) == 0;
        if (ok && script_load_texts(*script, &texts, a->o.config, plan, &faults)) {
            char *why = first_fault(&faults, "no reason given");
            log_say(a->o.log, LOG_WARN, "rules",
                    "the rules that state was made with do not load here (%s); state of unchanged rules is kept", why);
            mem_free(why);
            script_close(*script);
            ok = 0;
        }
        faults_fini(&faults);
        texts_fini(&texts);
        return ok;
    }
    return 0;
}

/* Older sets, for versions of rules that hand over. */
static void offer_texts(active_t *a, const changelog_found_t *found) {
    for (size_t i = 0; i < found->n_texts; i++) {
        reader_t r = reader_of(found->texts[i].bytes.s, found->texts[i].bytes.len);
        rule_texts_t texts = {0};
        if (strcmp(found->texts[i].version, task_plan(a->task)->version) != 0 && texts_load(&r, &texts) == 0)
            task_add_texts(a->task, &texts);
        texts_fini(&texts);
    }
}

int active_load(const active_t *a, slice_t bytes, script_t **script, plan_t **plan, error_t *e) {
    reader_t r = reader_of(bytes.s, bytes.len);
    rule_texts_t texts = {0};
    faults_t faults = {0};
    script_limits_t limits = load_limits(a->o.config);
    int rc = texts_load(&r, &texts);
    if (rc == 0)
        rc = script_open(script, &limits, a->o.log, e);
    if (rc == 0 && (rc = script_load_texts(*script, &texts, a->o.config, plan, &faults))) {
        script_close(*script);
        char *why = first_fault(&faults, "the rules do not load again");
        rc = error_set(e, ERR_INVALID, "%s", why);
        mem_free(why);
    }
    faults_fini(&faults);
    texts_fini(&texts);
    return rc;
}

int active_make_task(active_t *a, script_t *script, plan_t *plan, store_t *store, const changelog_found_t *found,
                     error_t *e) {
    task_options_t options = {.config = a->o.config,
                              .log = a->o.log,
                              .limits = load_limits(a->o.config),
                              .store = store,
                              .own_headers = headers_kafka_list,
                              .ahead = a->ahead,
                              .number = a->o.task,
                              .parallelism = active_is_parallel(a) ? (int32_t)a->o.config->parallelism : 0};
    a->task = task_new(&options, script, plan);
    offer_texts(a, found);
    reader_t meta = reader_of(found->meta.task.s, found->meta.task.len);
    int rc = found->meta.present && task_load_meta(a->task, &meta, found->meta.format)
                 ? error_set(e, ERR_INVALID, "the changelog's meta record cannot be read")
                 : 0;
    task_settle(a->task);
    task_rebuild(a->task);
    checkpoint_known_texts(a->checkpoint, found);
    return rc;
}

/* From what was loaded last, not from the files: those may be in the middle of being mended. */
static int make_alone(active_t *a, store_t *store, const changelog_found_t *found, error_t *e) {
    script_t *script, *old_script = NULL;
    plan_t *plan, *old_plan = NULL;
    int rc = active_load(a, a->o.texts, &script, &plan, e);
    if (rc) {
        store_free(store);
        return rc;
    }
    int is_old = load_old(a, found, plan, &old_script, &old_plan);
    rc = active_make_task(a, is_old ? old_script : script, is_old ? old_plan : plan, store, found, e);
    if (is_old && rc == 0)
        task_reload(a->task, script, plan);
    if (is_old && rc) {
        script_close(script);
        plan_free(plan);
    }
    return rc;
}

static int open_all(active_t *a, partitions_t *p, changelog_found_t *found, error_t *e) {
    int rc = list_partitions(a, p, e);
    if (rc == 0) /* fences the owner before: from here on its offsets are final, and what it left open is aborted */
        rc = checkpoint_open(&a->checkpoint, a->o.config, a->o.kafka, a->o.member, a->o.task, e);
    if (rc)
        return rc;
    checkpoint_topics(a->checkpoint, (const char *const *)a->topics);
    rc = active_committed(a, p->at, p->n, e);
    if (rc)
        return rc;
    store_t *store = NULL;
    partitions_t had = {mem_alloc((p->n + 1) * sizeof *p->at), 0, 0};
    for (uint32_t i = 0; i < p->n; i++)
        if (p->at[i].offset != RESUME_NONE)
            had.at[had.n++] = p->at[i];
    rc = checkpoint_restore(a->checkpoint, had.at, had.n, (const char *const *)a->topics, a->o.warm, &store, found, e);
    mem_free(had.at);
    if (rc == 0)
        rc = resume_all(a, p, found, e);
    if (rc) {
        store_free(store);
        return rc;
    }
    if (active_is_parallel(a))
        return parallel_begin(a, store, found, p->at, p->n, e);
    if ((rc = make_alone(a, store, found, e)))
        return rc;
    return source_kafka_assign(a->source, p->at, p->n, e);
}

/* The sources' topics, then the one through which tasks send each other rows. */
static void name_topics(active_t *a) {
    a->topics = task_topics_new(a->o.config);
    while (a->topics[a->n_inputs])
        a->n_inputs++;
    if (!active_is_parallel(a))
        return;
    a->parallel = parallel_new(a->o.task, (int32_t)a->o.config->parallelism);
    a->repartition = repartition_topic(a->o.config);
    a->topics = mem_realloc(a->topics, ((size_t)a->n_inputs + 2) * sizeof *a->topics);
    a->topics[a->n_inputs] = a->repartition;
    a->topics[a->n_inputs + 1] = NULL;
}

int active_open(active_t **out, const active_options_t *o, error_t *e) {
    active_t *a = mem_zalloc(sizeof *a);
    partitions_t p = {0};
    changelog_found_t found = {0};
    a->o = *o;
    a->ahead = config_threads(o->config) > 2 && !active_is_parallel(a);
    a->events = mem_alloc(ACTIVE_EVENTS * sizeof *a->events);
    name_topics(a);
    int rc = source_kafka_open(&a->source, o->config, o->kafka, (const char *const *)a->topics, &clock_system, e);
    if (rc == 0 && active_is_parallel(a))
        source_kafka_share(a->source, o->task, (int32_t)o->config->parallelism, a->n_inputs);
    if (rc == 0)
        rc = open_all(a, &p, &found, e);
    if (rc == 0 && a->task) {
        task_say_quarantined(a->task); /* after a reload: what was mended runs again */
        active_remember(a);
        a->uncommitted = a->unwritten = !found.meta.present; /* it is committed before anything comes */
    }
    if (rc)
        active_close(a);
    else
        *out = a;
    mem_free(p.at);
    changelog_found_fini(&found);
    return rc;
}

/* Partitions were added to the input: they are read from their beginning, from the next commit on. */
int active_grow(active_t *a, error_t *e) {
    partitions_t all = {0};
    int rc = active_commit(a, e);
    if (rc == 0)
        rc = list_partitions(a, &all, e);
    for (uint32_t i = 0; rc == 0 && i < all.n; i++) {
        position_t *at = &all.at[i];
        int64_t high;
        for (uint32_t k = 0; k < a->n_safe; k++)
            if (a->safe[k].topic == at->topic && a->safe[k].partition == at->partition)
                at->offset = a->safe[k].offset;
        if (at->offset != RESUME_NONE)
            continue;
        rd_kafka_t *asker = source_kafka_client(a->source);
        rd_kafka_resp_err_t err =
            rd_kafka_query_watermark_offsets(asker, a->topics[at->topic], at->partition, &at->offset, &high, ASK_MS);
        if (err)
            rc = error_set(e, ERR_AGAIN, "cannot ask for the ends of %s/%d: %s", a->topics[at->topic], at->partition,
                           rd_kafka_err2str(err));
        else
            log_say(a->o.log, LOG_INFO, "engine", "%s/%d was added; reading it from its beginning",
                    a->topics[at->topic], at->partition);
    }
    if (rc == 0)
        rc = source_kafka_assign(a->source, all.at, all.n, e);
    if (rc == 0)
        active_remember(a);
    a->uncommitted = a->unwritten = 1; /* so that the beginning is committed, too */
    mem_free(all.at);
    return rc;
}
