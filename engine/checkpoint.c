#include "checkpoint.h"

#include <stdio.h>
#include <unistd.h>

#include "failpoint.h"
#include "mem.h"
#include "sink_kafka.h"

/* What a commit of at-least-once delivery waits for. */
typedef enum { STAGE_NONE, STAGE_OUTPUT, STAGE_STATE, STAGE_OFFSETS } stage_t;

struct checkpoint {
    const config_t *config;
    kafka_context_t *ctx;
    member_t *member;
    int32_t task;
    sink_t *sink;
    char *topic;               /* the changelog */
    const char *const *topics; /* that positions refer to */
    const buf_t *rollout;
    int transactional, in_transaction;
    char **written; /* versions of rule sets whose texts are in the changelog */
    size_t n_written, cap_written;
    int64_t last_ms;
    int64_t whole_at; /* offset of the changelog before which everything is in the task's state; -1: not known */
    stage_t stage;
    mono_t begun, stage_since;
    rd_kafka_topic_partition_list_t *offsets; /* of the commit under way */
    rd_kafka_queue_t *answers;                /* to the commit of offsets under way */
};

#define CHECKPOINT_START_MS 30000
#define CHECKPOINT_RETRY_MS 20000
#define CHECKPOINT_SILENCE_MS 30000 /* brokers acknowledge nothing for so long */
#define CHECKPOINT_WAIT_MS 10

/* How a transactional call failed decides what may follow. */
static int judge(rd_kafka_error_t *err, const char *doing, error_t *e) {
    if (!err)
        return 0;
    rd_kafka_resp_err_t why = rd_kafka_error_code(err);
    int code = sink_kafka_for_good(why)                 ? ERR_INVALID
               : rd_kafka_error_is_fatal(err)           ? sink_kafka_fatal(why)
               : rd_kafka_error_txn_requires_abort(err) ? ERR_ABORTED
               : rd_kafka_error_is_retriable(err)       ? ERR_AGAIN
                                                        : ERR_KAFKA;
    error_set(e, code, "%s: %s%s", doing, rd_kafka_error_string(err), sink_kafka_advice(why));
    rd_kafka_error_destroy(err);
    return code;
}

/* Retriable means: the same call with the same arguments. After a while it is as indefinite as no answer. */
#define RETRY(call, doing, e)                                                                             \
    __extension__({                                                                                       \
        mono_t from_ = clock_mono(&clock_system);                                                         \
        int rc_;                                                                                          \
        do                                                                                                \
            rc_ = judge((call), (doing), (e));                                                            \
        while (rc_ == ERR_AGAIN && mono_diff_ms(clock_mono(&clock_system), from_) < CHECKPOINT_RETRY_MS); \
        rc_;                                                                                              \
    })

static int start_transactions(checkpoint_t *cp, error_t *e) {
    rd_kafka_t *rk = sink_kafka_client(cp->sink);
    rd_kafka_error_t *err = rd_kafka_init_transactions(rk, CHECKPOINT_START_MS);
    if (err && rd_kafka_error_code(err) == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT) {
        rd_kafka_error_destroy(err);
        return error_set(
            e, ERR_INVALID,
            "the broker's transaction.max.timeout.ms is below this client's transaction.timeout.ms (%lld); "
            "lower the latter in kafka{} (it has to be longer than commit_interval) or raise the former",
            (long long)conf_kafka_transaction_ms(cp->config));
    }
    if (err && rd_kafka_error_is_retriable(err)) {
        error_set(e, ERR_AGAIN, "the brokers did not start transactions: %s", rd_kafka_error_string(err));
        rd_kafka_error_destroy(err);
        return ERR_AGAIN;
    }
    return judge(err, "cannot start transactions", e);
}

int checkpoint_open(checkpoint_t **out, const config_t *c, kafka_context_t *ctx, member_t *member, int32_t task,
                    error_t *e) {
    checkpoint_t *cp = mem_zalloc(sizeof *cp);
    cp->config = c;
    cp->ctx = ctx;
    cp->member = member;
    cp->task = task;
    cp->whole_at = -1;
    cp->topic = changelog_topic(c);
    cp->transactional = c->delivery == DELIVERY_EXACTLY_ONCE;
    char *id = mem_printf("%s-%d", c->group_id, task);
    int rc = sink_kafka_open(&cp->sink, c, ctx, cp->transactional ? id : NULL, e);
    mem_free(id);
    if (rc == 0 && cp->transactional)
        rc = start_transactions(cp, e);
    if (rc) {
        checkpoint_close(cp);
        return rc;
    }
    *out = cp;
    return 0;
}

void checkpoint_close(checkpoint_t *cp) {
    if (!cp)
        return;
    if (cp->offsets)
        rd_kafka_topic_partition_list_destroy(cp->offsets);
    if (cp->answers)
        rd_kafka_queue_destroy(cp->answers);
    sink_close(cp->sink);
    for (size_t i = 0; i < cp->n_written; i++)
        mem_free(cp->written[i]);
    mem_free(cp->written);
    mem_free(cp->topic);
    mem_free(cp);
}

static int begin(checkpoint_t *cp, error_t *e) {
    if (!cp->transactional || cp->in_transaction)
        return 0;
    int rc = judge(rd_kafka_begin_transaction(sink_kafka_client(cp->sink)), "cannot begin a transaction", e);
    cp->in_transaction = rc == 0;
    return rc;
}

static rd_kafka_topic_partition_list_t *offsets_of(const position_t *at, uint32_t n, const char *const *topics) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (uint32_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, topics[at[i].topic], at[i].partition)->offset = at[i].offset;
    return list;
}

static int send_offsets(checkpoint_t *cp, rd_kafka_topic_partition_list_t *list, error_t *e) {
    if (!cp->member)
        return 0;
    rd_kafka_consumer_group_metadata_t *group = member_metadata(cp->member);
    if (!group)
        return error_set(e, ERR_FENCED, "this process is no member of the group any more");
    int rc = RETRY(rd_kafka_send_offsets_to_transaction(sink_kafka_client(cp->sink), list, group, -1),
                   "cannot commit offsets", e);
    rd_kafka_consumer_group_metadata_destroy(group);
    return rc;
}

static int offsets_refused(rd_kafka_resp_err_t err, error_t *e) {
    int fenced = err == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    return error_set(e, fenced ? ERR_FENCED : ERR_KAFKA, "cannot commit offsets: %s", rd_kafka_err2str(err));
}

static int commit_plain(checkpoint_t *cp, rd_kafka_topic_partition_list_t *list, error_t *e) {
    if (!cp->member || list->cnt == 0)
        return 0;
    rd_kafka_resp_err_t err = rd_kafka_commit(member_client(cp->member), list, 0);
    return err ? offsets_refused(err, e) : 0;
}

/* What the last calls wrote becomes definite, with these offsets. */
static int finish(checkpoint_t *cp, const position_t *at, uint32_t n, const char *const *topics, error_t *e) {
    rd_kafka_topic_partition_list_t *list = offsets_of(at, n, topics);
    int rc = 0;
    if (cp->transactional) {
        rc = send_offsets(cp, list, e);
        if (rc == 0)
            rc = FAILPOINT("offsets-sent", e);
        if (rc == 0)
            rc =
                RETRY(rd_kafka_commit_transaction(sink_kafka_client(cp->sink), -1), "cannot commit the transaction", e);
        if (rc == 0)
            cp->in_transaction = 0;
    } else {
        rc = sink_flush(cp->sink, e);
        if (rc == 0)
            rc = FAILPOINT("state-flushed", e);
        if (rc == 0)
            rc = commit_plain(cp, list, e);
    }
    rd_kafka_topic_partition_list_destroy(list);
    error_t refused = {0};
    if (rc && sink_kafka_failure(cp->sink, &refused)) /* the reason behind an abort is what a person can act on */
        return error_set(e, refused.code == ERR_INVALID ? ERR_INVALID : rc, "%s", refused.text);
    if (rc == ERR_INVALID && cp->in_transaction) /* which topic, where one is the reason */
        sink_kafka_refusal(cp->sink, e);
    return rc;
}

/* What writing says of a transaction that can only be aborted is not why. */
static int look_why(checkpoint_t *cp, int rc, error_t *e) {
    return rc == ERR_ABORTED && cp->in_transaction && sink_kafka_refusal(cp->sink, e) ? ERR_INVALID : rc;
}

/* A barrier of its own, written and read. */
static int read_to_barrier(checkpoint_t *cp, const position_t *committed, uint32_t n, const char *const *topics,
                           changelog_reader_t *reader, error_t *e) {
    char mark[80];
    int len = snprintf(mark, sizeof mark, "%d/%lld/%lld", (int)getpid(), (long long)clock_wall(&clock_system).ms,
                       (long long)clock_mono(&clock_system).ns);
    slice_t barrier = {mark, (size_t)len};
    int rc = begin(cp, e);
    if (rc == 0)
        rc = changelog_put_barrier(cp->sink, cp->topic, cp->task, barrier, e);
    if (rc == 0)
        rc = FAILPOINT("barrier-written", e);
    if (rc == 0)
        rc = finish(cp, committed, n, topics, e);
    if (rc == 0)
        rc = FAILPOINT("barrier-committed", e);
    if (rc == 0 && cp->transactional)
        cp->whole_at = sink_kafka_put_offset(cp->sink);
    return rc ? look_why(cp, rc, e) : changelog_reader_finish(reader, barrier, e);
}

/* Without transactions entries may be newer than the meta record. */
static int is_whole(const checkpoint_t *cp, const store_t *store, const changelog_found_t *found) {
    return !cp->transactional || !found->meta.present || store_count(store) == found->meta.entries;
}

static int not_whole(const checkpoint_t *cp, const store_t *store, const changelog_found_t *found, error_t *e) {
    return error_set(
        e, ERR_INVALID,
        "topic \"%s\" has %zu entries of state in partition %d, but %llu were committed: it lost some. Its "
        "cleanup.policy has to be compact, and nothing else. To start over from the beginning: stop all "
        "members, kafka-consumer-groups --group %s --delete, delete the topic, start again",
        cp->topic, store_count(store), cp->task, (unsigned long long)found->meta.entries, cp->config->group_id);
}

int checkpoint_restore(checkpoint_t *cp, const position_t *committed, uint32_t n, const char *const *topics,
                       changelog_reader_t **reader, store_t **store, changelog_found_t *found, error_t *e) {
    mono_t from = clock_mono(&clock_system);
    uint64_t before = *reader ? changelog_reader_records(*reader) : 0;
    for (int again = *reader != NULL;; again = 0) {
        int rc = *reader ? 0 : changelog_reader_open(reader, cp->config, cp->ctx, cp->task, NULL, e);
        if (rc == 0)
            rc = read_to_barrier(cp, committed, n, topics, *reader, e);
        if (rc)
            return rc;
        uint64_t records = changelog_reader_records(*reader) - before;
        *store = changelog_reader_take(*reader, found);
        changelog_reader_close(*reader);
        *reader = NULL;
        mem_give_back(); /* what reading took */
        if (is_whole(cp, *store, found)) {
            if (found->meta.present)
                log_say(cp->ctx->log, LOG_INFO, "engine", "restored %zu entries of state from %llu records in %lld ms",
                        store_count(*store), (unsigned long long)records,
                        (long long)mono_diff_ms(clock_mono(&clock_system), from));
            return 0;
        }
        rc = not_whole(cp, *store, found, e);
        store_free(*store);
        *store = NULL;
        changelog_found_fini(found);
        if (!again)
            return rc;
        before = 0;
    }
}

void checkpoint_topics(checkpoint_t *cp, const char *const *topics) { cp->topics = topics; }
void checkpoint_rollout(checkpoint_t *cp, const buf_t *rollout) { cp->rollout = rollout; }

int checkpoint_write(checkpoint_t *cp, const outbox_t *o, error_t *e) {
    if (o->n == 0)
        return 0;
    int rc = begin(cp, e);
    if (rc == 0)
        rc = sink_write(cp->sink, o, e);
    if (rc == 0)
        rc = FAILPOINT("output-written", e);
    return look_why(cp, rc, e);
}

typedef struct dirty_ctx {
    checkpoint_t *cp;
    error_t *e;
} dirty_ctx_t;

static int put_dirty(void *ctx, const char *space, slice_t key, slice_t value) {
    dirty_ctx_t *d = ctx;
    return changelog_put_entry(d->cp->sink, d->cp->topic, d->cp->task, space, key, value, d->e);
}

static void take_meta(const checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, changelog_meta_t *m) {
    *m = (changelog_meta_t){.present = 1, .format = STATE_FORMAT, .n = n, .at = mem_alloc((n + 1) * sizeof *m->at)};
    m->entries = store_count(task_store(task));
    buf_add_str(&m->version, task_plan(task)->version);
    for (uint32_t i = 0; i < n; i++)
        m->at[i] = (changelog_position_t){mem_strdup(cp->topics[at[i].topic]), at[i].partition, at[i].offset};
    task_save_meta(task, &m->task);
    if (cp->rollout)
        buf_add_slice(&m->rollout, buf_slice(cp->rollout));
}

static int put_meta(checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, error_t *e) {
    changelog_found_t found = {0};
    take_meta(cp, task, at, n, &found.meta);
    int rc = changelog_put_meta(cp->sink, cp->topic, cp->task, &found.meta, e);
    changelog_found_fini(&found);
    return rc;
}

int checkpoint_found(const checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, changelog_found_t *found,
                     int64_t *offset) {
    const rule_texts_t *texts;
    const char *v;
    *offset = cp->whole_at;
    *found = (changelog_found_t){0};
    if (cp->whole_at < 0)
        return 0;
    take_meta(cp, task, at, n, &found->meta);
    for (uint32_t i = 0; (v = task_version(task, i, &texts)); i++) {
        mem_grow(&found->texts, &found->cap_texts, found->n_texts + 1, sizeof *found->texts);
        changelog_texts_t *t = &found->texts[found->n_texts++];
        *t = (changelog_texts_t){.version = mem_strdup(v)};
        texts_save(texts, &t->bytes);
    }
    return 1;
}

static int is_written(const checkpoint_t *cp, const char *version) {
    for (size_t i = 0; i < cp->n_written; i++)
        if (strcmp(cp->written[i], version) == 0)
            return 1;
    return 0;
}

static int is_alive(const task_t *task, const char *version) {
    const rule_texts_t *texts;
    const char *v;
    for (uint32_t i = 0; (v = task_version(task, i, &texts)); i++)
        if (strcmp(v, version) == 0)
            return 1;
    return 0;
}

/* Texts of rule sets that anything open belongs to are there; those of others go. */
static int put_texts(checkpoint_t *cp, const task_t *task, error_t *e) {
    const rule_texts_t *texts;
    const char *v;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && (v = task_version(task, i, &texts)); i++) {
        if (is_written(cp, v))
            continue;
        buf_t bytes = {0};
        texts_save(texts, &bytes);
        rc = changelog_put_texts(cp->sink, cp->topic, cp->task, v, buf_slice(&bytes), e);
        buf_fini(&bytes);
    }
    for (size_t i = 0; i < cp->n_written && rc == 0; i++)
        if (!is_alive(task, cp->written[i]))
            rc = changelog_put_texts(cp->sink, cp->topic, cp->task, cp->written[i], (slice_t){NULL, 0}, e);
    return rc;
}

static void add_written(checkpoint_t *cp, const char *version) {
    mem_grow(&cp->written, &cp->cap_written, cp->n_written + 1, sizeof *cp->written);
    cp->written[cp->n_written++] = mem_strdup(version);
}

/* After the commit: what is there now. */
static void note_texts(checkpoint_t *cp, const task_t *task) {
    const rule_texts_t *texts;
    const char *v;
    size_t kept = 0;
    for (size_t i = 0; i < cp->n_written; i++) {
        if (is_alive(task, cp->written[i]))
            cp->written[kept++] = cp->written[i];
        else
            mem_free(cp->written[i]);
    }
    cp->n_written = kept;
    for (uint32_t i = 0; (v = task_version(task, i, &texts)); i++)
        if (!is_written(cp, v))
            add_written(cp, v);
}

void checkpoint_known_texts(checkpoint_t *cp, const changelog_found_t *found) {
    for (size_t i = 0; i < found->n_texts; i++)
        if (!is_written(cp, found->texts[i].version))
            add_written(cp, found->texts[i].version);
}

/* What the task changed since its last commit, and how far it has come. */
static int put_changes(checkpoint_t *cp, const position_t *at, uint32_t n, task_t *task, error_t *e) {
    dirty_ctx_t dirty = {cp, e};
    int rc = store_dirty(task_store(task), put_dirty, &dirty);
    if (rc == 0 && cp->transactional)
        rc = FAILPOINT("entries-written", e);
    if (rc == 0)
        rc = put_texts(cp, task, e);
    return rc ? rc : put_meta(cp, task, at, n, e);
}

static int commit_transaction(checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, error_t *e) {
    int rc = begin(cp, e);
    if (rc == 0)
        rc = FAILPOINT("begun", e);
    if (rc == 0)
        rc = put_changes(cp, at, n, task, e);
    if (rc == 0)
        rc = FAILPOINT("meta-written", e);
    if (rc == 0)
        rc = finish(cp, at, n, cp->topics, e);
    return rc ? rc : FAILPOINT("committed", e);
}

/* ---- at least once: a commit goes on while the stream does ---- */

static void enter(checkpoint_t *cp, stage_t stage) {
    cp->stage = stage;
    cp->stage_since = clock_mono(&clock_system);
}

/* Takes down what is to be written. From here on the task may change it again. */
static int start_plain(checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, error_t *e) {
    int rc = checkpoint_finish(cp, e);
    if (rc)
        return rc;
    sink_kafka_part(cp->sink);
    sink_kafka_keep(cp->sink);
    if ((rc = put_changes(cp, at, n, task, e)))
        return rc;
    cp->offsets = offsets_of(at, n, cp->topics);
    enter(cp, STAGE_OUTPUT);
    return 0;
}

static int write_state(checkpoint_t *cp, error_t *e) {
    int rc = FAILPOINT("begun", e);
    if (rc == 0)
        rc = sink_kafka_let_go(cp->sink, e);
    if (rc == 0)
        rc = FAILPOINT("entries-written", e);
    if (rc == 0)
        rc = FAILPOINT("meta-written", e);
    enter(cp, STAGE_STATE);
    return rc;
}

static int write_offsets(checkpoint_t *cp, error_t *e) {
    int rc = FAILPOINT("state-flushed", e);
    enter(cp, STAGE_OFFSETS);
    if (rc || !cp->member || cp->offsets->cnt == 0)
        return rc;
    rd_kafka_t *rk = member_client(cp->member);
    if (!cp->answers)
        cp->answers = rd_kafka_queue_new(rk);
    rd_kafka_resp_err_t err = rd_kafka_commit_queue(rk, cp->offsets, cp->answers, NULL, NULL);
    return err ? offsets_refused(err, e) : 0;
}

/* 1: the offsets are committed. */
static int offsets_answered(checkpoint_t *cp, int wait_ms, error_t *e) {
    if (!cp->member || cp->offsets->cnt == 0)
        return 1;
    rd_kafka_event_t *answer = rd_kafka_queue_poll(cp->answers, wait_ms);
    if (!answer)
        return 0;
    int is_ours = rd_kafka_event_type(answer) == RD_KAFKA_EVENT_OFFSET_COMMIT;
    rd_kafka_resp_err_t err = is_ours ? rd_kafka_event_error(answer) : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_event_destroy(answer);
    return err ? offsets_refused(err, e) : is_ours;
}

static int end_plain(checkpoint_t *cp, error_t *e) {
    (void)e; /* a failpoint's */
    rd_kafka_topic_partition_list_destroy(cp->offsets);
    cp->offsets = NULL;
    if (cp->answers) /* the member's client, which it belongs to, may end before this */
        rd_kafka_queue_destroy(cp->answers);
    cp->answers = NULL;
    cp->stage = STAGE_NONE;
    cp->last_ms = mono_diff_ms(clock_mono(&clock_system), cp->begun);
    int rc = FAILPOINT("committed", e);
    return rc ? rc : 1;
}

int checkpoint_busy(const checkpoint_t *cp) { return cp->stage != STAGE_NONE; }

int checkpoint_turn(checkpoint_t *cp, int wait_ms, error_t *e) {
    int rc = 0;
    if (cp->stage == STAGE_NONE)
        return 0;
    rd_kafka_poll(sink_kafka_client(cp->sink), cp->stage == STAGE_OFFSETS ? 0 : wait_ms);
    if (sink_kafka_failure(cp->sink, e))
        return e->code;
    if (cp->stage == STAGE_OUTPUT && sink_kafka_open_before(cp->sink) == 0)
        rc = write_state(cp, e);
    else if (cp->stage == STAGE_STATE && sink_kafka_open_puts(cp->sink) == 0)
        rc = write_offsets(cp, e);
    else if (cp->stage == STAGE_OFFSETS && (rc = offsets_answered(cp, wait_ms, e)) == 1)
        return end_plain(cp, e);
    if (rc == 0 && mono_diff_ms(clock_mono(&clock_system), cp->stage_since) > CHECKPOINT_SILENCE_MS)
        return error_set(e, ERR_KAFKA, "the brokers acknowledged nothing for %d s", CHECKPOINT_SILENCE_MS / 1000);
    return rc;
}

int checkpoint_finish(checkpoint_t *cp, error_t *e) {
    int rc = 0;
    while (rc >= 0 && checkpoint_busy(cp))
        rc = checkpoint_turn(cp, CHECKPOINT_WAIT_MS, e);
    return rc < 0 ? rc : 0;
}

int checkpoint_commit(checkpoint_t *cp, task_t *task, const position_t *at, uint32_t n, error_t *e) {
    mono_t from = clock_mono(&clock_system);
    int rc = cp->transactional ? commit_transaction(cp, task, at, n, e) : start_plain(cp, task, at, n, e);
    if (rc)
        return look_why(cp, rc, e);
    note_texts(cp, task);
    task_commit(task);
    if (cp->transactional) /* whoever comes later fences this producer before it writes: behind the meta record */
        cp->whole_at = sink_kafka_put_offset(cp->sink);
    cp->begun = from;
    cp->last_ms = mono_diff_ms(clock_mono(&clock_system), from);
    return 0;
}

int checkpoint_abort(checkpoint_t *cp, error_t *e) {
    if (!cp->in_transaction) /* a producer that refuses without one cannot be talked round */
        return cp->transactional ? error_set(e, ERR_KAFKA, "the producer refuses to write") : 0;
    int rc = RETRY(rd_kafka_abort_transaction(sink_kafka_client(cp->sink), -1), "cannot abort the transaction", e);
    cp->in_transaction = 0;
    return rc;
}

rd_kafka_t *checkpoint_client(const checkpoint_t *cp) { return sink_kafka_client(cp->sink); }
int64_t checkpoint_last_ms(const checkpoint_t *cp) { return cp->last_ms; }

/* ---- rule texts as bytes ---- */

void texts_save(const rule_texts_t *t, buf_t *b) {
    buf_add_varint(b, t->n);
    for (size_t i = 0; i < t->n; i++) {
        buf_add_bytes(b, t->at[i].name, strlen(t->at[i].name));
        buf_add_bytes(b, t->at[i].text, t->at[i].len);
    }
}

int texts_load(reader_t *r, rule_texts_t *out) {
    uint64_t n = read_varint(r);
    *out = (rule_texts_t){0};
    if (r->bad || n > r->len)
        return ERR_INVALID;
    out->at = mem_zalloc((size_t)(n + 1) * sizeof *out->at);
    for (; out->n < n && !r->bad; out->n++) {
        slice_t name = read_bytes(r), text = read_bytes(r);
        out->at[out->n] = (rule_text_t){mem_strndup(name.s ? name.s : "", name.len),
                                        mem_strndup(text.s ? text.s : "", text.len), text.len};
    }
    return r->bad ? ERR_INVALID : 0;
}

void texts_fini(rule_texts_t *t) {
    for (size_t i = 0; i < t->n; i++) {
        mem_free(t->at[i].name);
        mem_free(t->at[i].text);
    }
    mem_free(t->at);
    *t = (rule_texts_t){0};
}
