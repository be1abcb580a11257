#include "feed.h"

#include <pthread.h>

#include "json.h"
#include "mem.h"

typedef struct share {
    uint32_t shown, more;
} share_t; /* of one rule in this commit interval; index 0: no rule's */

typedef struct draft { /* what a task has written and not yet committed */
    int32_t task;
    buf_t *pending;
    size_t n_pending, cap_pending; /* texts beyond n_pending keep their memory */
    size_t n_due;                  /* of them belong to a commit under way, */
    uint64_t more_due;             /* and so many that are not among them */
    share_t *shares;
    size_t n_shares, cap_shares;
} draft_t;

struct feed {
    observer_t base;
    pthread_mutex_t lock;  /* ring and next */
    buf_t ring[FEED_RING]; /* text N stands at N % FEED_RING */
    uint64_t next;
    draft_t *drafts; /* of the tasks; what is not under the lock belongs to whoever calls the observer */
    size_t n_drafts, cap_drafts;
};

static void add_text(buf_t *b, const char *name, slice_t text) {
    buf_printf(b, "\"%s\":", name);
    if (!text.s) {
        buf_add_str(b, "null,");
        return;
    }
    size_t len = text.len;
    if (len > FEED_VALUE)
        for (len = FEED_VALUE; len > 0 && ((unsigned char)text.s[len] & 0xc0) == 0x80;)
            len--; /* not in the middle of a character */
    json_write_string(b, text.s, len);
    buf_add_char(b, ',');
}

/* Keys and values go out as strings: what looks at them decides whether they are JSON. */
static void write_text(buf_t *b, const plan_t *plan, const out_record_t *r) {
    static const char *const kinds[] = {"anomaly", "late", "dead letter", "mark"};
    buf_clear(b);
    buf_add_char(b, '{');
    add_text(b, "rule", r->rule < 0 ? (slice_t){0} : slice_of(plan->rules[r->rule].name));
    add_text(b, "topic", slice_of(r->topic));
    add_text(b, "key", r->key);
    add_text(b, "value", r->value);
    buf_printf(b, "\"cut\":%s,", r->value.len > FEED_VALUE || r->key.len > FEED_VALUE ? "true" : "false");
    buf_printf(b, "\"kind\":\"%s\",\"time\":%lld", kinds[r->kind], (long long)r->time);
}

static draft_t *draft_of(feed_t *f, int32_t task) {
    for (size_t i = 0; i < f->n_drafts; i++)
        if (f->drafts[i].task == task)
            return &f->drafts[i];
    mem_grow(&f->drafts, &f->cap_drafts, f->n_drafts + 1, sizeof *f->drafts);
    f->drafts[f->n_drafts] = (draft_t){.task = task};
    return &f->drafts[f->n_drafts++];
}

static void want_shares(draft_t *d, size_t want) {
    size_t had = d->n_shares;
    if (want <= had)
        return;
    mem_grow(&d->shares, &d->cap_shares, want, sizeof *d->shares);
    memset(d->shares + had, 0, (want - had) * sizeof *d->shares);
    d->n_shares = want;
}

static void on_wrote(observer_t *o, int32_t task, const task_t *t, const outbox_t *out) {
    draft_t *d = draft_of((feed_t *)o, task);
    const plan_t *plan = task_plan(t);
    want_shares(d, plan->n_rules + 1);
    for (size_t i = 0; i < out->n; i++) {
        const out_record_t *r = &out->at[i];
        if (r->kind > OUT_MARK) /* between tasks */
            continue;
        share_t *share = &d->shares[r->rule + 1];
        if (share->shown >= FEED_SHARE) {
            share->more++;
            continue;
        }
        share->shown++;
        size_t cap = d->cap_pending;
        mem_grow(&d->pending, &d->cap_pending, d->n_pending + 1, sizeof *d->pending);
        if (d->cap_pending > cap)
            memset(d->pending + cap, 0, (d->cap_pending - cap) * sizeof *d->pending);
        write_text(&d->pending[d->n_pending++], plan, r);
    }
}

static uint64_t clear_shares(draft_t *d) {
    uint64_t more = 0;
    for (size_t i = 0; i < d->n_shares; i++)
        more += d->shares[i].more;
    if (d->n_shares)
        memset(d->shares, 0, d->n_shares * sizeof *d->shares);
    return more;
}

/* What is written from here on is of the next commit, also where this one goes on beside the stream. */
static void on_committing(observer_t *o, int32_t task) {
    draft_t *d = draft_of((feed_t *)o, task);
    d->n_due = d->n_pending;
    d->more_due += clear_shares(d);
}

static void drop_due(draft_t *d) {
    for (size_t i = d->n_due; i < d->n_pending; i++) {
        buf_t was = d->pending[i - d->n_due];
        d->pending[i - d->n_due] = d->pending[i];
        d->pending[i] = was;
    }
    d->n_pending -= d->n_due;
    d->n_due = 0;
    d->more_due = 0;
}

static void on_committed(observer_t *o, int32_t task, int64_t took_ms) {
    feed_t *f = (feed_t *)o;
    draft_t *d = draft_of(f, task);
    long long now = (long long)clock_wall(&clock_system).ms;
    (void)took_ms;
    if (d->n_due) {
        pthread_mutex_lock(&f->lock);
        for (size_t i = 0; i < d->n_due; i++) {
            buf_t *slot = &f->ring[f->next++ % FEED_RING], was = *slot;
            buf_printf(&d->pending[i], ",\"at\":%lld,\"not_shown\":%llu}", now,
                       i + 1 == d->n_due ? (unsigned long long)d->more_due : 0ull);
            *slot = d->pending[i];
            d->pending[i] = was;
        }
        pthread_mutex_unlock(&f->lock);
    }
    drop_due(d);
}

static void on_dropped(observer_t *o, int32_t task) {
    draft_t *d = draft_of((feed_t *)o, task);
    d->n_due = d->n_pending;
    clear_shares(d);
    drop_due(d);
}

feed_t *feed_new(void) {
    feed_t *f = mem_zalloc(sizeof *f);
    f->base = (observer_t){.wrote = on_wrote,
                           .committing = on_committing,
                           .committed = on_committed,
                           .dropped = on_dropped,
                           .closed = on_dropped};
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

void feed_free(feed_t *f) {
    if (!f)
        return;
    for (size_t i = 0; i < FEED_RING; i++)
        buf_fini(&f->ring[i]);
    for (size_t i = 0; i < f->n_drafts; i++) {
        draft_t *d = &f->drafts[i];
        for (size_t k = 0; k < d->cap_pending; k++)
            buf_fini(&d->pending[k]);
        mem_free(d->pending);
        mem_free(d->shares);
    }
    mem_free(f->drafts);
    pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

observer_t *feed_observer(feed_t *f) { return &f->base; }

static uint64_t first_locked(const feed_t *f) { return f->next > FEED_RING ? f->next - FEED_RING : 0; }

uint64_t feed_next(feed_t *f) {
    pthread_mutex_lock(&f->lock);
    uint64_t next = f->next;
    pthread_mutex_unlock(&f->lock);
    return next;
}

uint64_t feed_first(feed_t *f) {
    pthread_mutex_lock(&f->lock);
    uint64_t first = first_locked(f);
    pthread_mutex_unlock(&f->lock);
    return first;
}

int feed_read(feed_t *f, uint64_t *at, size_t max, buf_t *out) {
    int rc = 0;
    size_t begin = out->len;
    pthread_mutex_lock(&f->lock);
    if (*at < first_locked(f))
        rc = ERR_LIMIT;
    while (rc == 0 && *at < f->next) {
        const buf_t *text = &f->ring[*at % FEED_RING];
        if (out->len > begin && out->len - begin + text->len + 40 > max)
            break;
        buf_printf(out, "id: %llu\ndata: ", (unsigned long long)*at);
        buf_add_slice(out, buf_slice(text));
        buf_add_str(out, "\n\n");
        (*at)++;
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}
