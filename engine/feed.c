#include "feed.h"

#include <pthread.h>

#include "json.h"
#include "mem.h"

typedef struct share {
    uint32_t shown, more;
} share_t; /* of one rule in this commit interval; index 0: no rule's */

struct feed {
    observer_t base;
    pthread_mutex_t lock;  /* ring and next */
    buf_t ring[FEED_RING]; /* text N stands at N % FEED_RING */
    uint64_t next;
    /* the loop's own: written and not yet committed */
    buf_t *pending;
    size_t n_pending, cap_pending; /* texts beyond n_pending keep their memory */
    share_t *shares;
    size_t n_shares, cap_shares;
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

static void on_wrote(observer_t *o, const task_t *t, const outbox_t *out) {
    feed_t *f = (feed_t *)o;
    const plan_t *plan = task_plan(t);
    size_t had = f->n_shares, want = plan->n_rules + 1;
    if (want > had) {
        mem_grow(&f->shares, &f->cap_shares, want, sizeof *f->shares);
        memset(f->shares + had, 0, (want - had) * sizeof *f->shares);
        f->n_shares = want;
    }
    for (size_t i = 0; i < out->n; i++) {
        const out_record_t *r = &out->at[i];
        share_t *share = &f->shares[r->rule + 1];
        if (share->shown >= FEED_SHARE) {
            share->more++;
            continue;
        }
        share->shown++;
        size_t cap = f->cap_pending;
        mem_grow(&f->pending, &f->cap_pending, f->n_pending + 1, sizeof *f->pending);
        if (f->cap_pending > cap)
            memset(f->pending + cap, 0, (f->cap_pending - cap) * sizeof *f->pending);
        write_text(&f->pending[f->n_pending++], plan, r);
    }
}

static void forget(feed_t *f) {
    f->n_pending = 0;
    memset(f->shares, 0, f->n_shares * sizeof *f->shares);
}

static void on_committed(observer_t *o, const task_t *t, int64_t took_ms) {
    feed_t *f = (feed_t *)o;
    long long now = (long long)clock_wall(&clock_system).ms;
    uint64_t more = 0;
    (void)t;
    (void)took_ms;
    for (size_t i = 0; i < f->n_shares; i++)
        more += f->shares[i].more;
    if (f->n_pending) {
        pthread_mutex_lock(&f->lock);
        for (size_t i = 0; i < f->n_pending; i++) {
            buf_t *slot = &f->ring[f->next++ % FEED_RING], was = *slot;
            buf_printf(&f->pending[i], ",\"at\":%lld,\"not_shown\":%llu}", now,
                       i + 1 == f->n_pending ? (unsigned long long)more : 0ull);
            *slot = f->pending[i];
            f->pending[i] = was;
        }
        pthread_mutex_unlock(&f->lock);
    }
    forget(f);
}

static void on_dropped(observer_t *o) { forget((feed_t *)o); }

feed_t *feed_new(void) {
    feed_t *f = mem_zalloc(sizeof *f);
    f->base = (observer_t){.wrote = on_wrote, .committed = on_committed, .dropped = on_dropped};
    pthread_mutex_init(&f->lock, NULL);
    f->shares = mem_zalloc(sizeof *f->shares);
    f->cap_shares = f->n_shares = 1;
    return f;
}

void feed_free(feed_t *f) {
    if (!f)
        return;
    for (size_t i = 0; i < FEED_RING; i++)
        buf_fini(&f->ring[i]);
    for (size_t i = 0; i < f->cap_pending; i++)
        buf_fini(&f->pending[i]);
    mem_free(f->pending);
    mem_free(f->shares);
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
