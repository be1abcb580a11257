#include "rulebox.h"

#include <pthread.h>
#include <stdatomic.h>

#include "mem.h"

struct rulebox {
    pthread_mutex_t lock;
    buf_t texts, version;
    _Atomic unsigned serial;
};

rulebox_t *rulebox_new(void) {
    rulebox_t *b = mem_zalloc(sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

void rulebox_free(rulebox_t *b) {
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    buf_fini(&b->texts);
    buf_fini(&b->version);
    mem_free(b);
}

void rulebox_put(rulebox_t *b, const char *version, slice_t texts) {
    pthread_mutex_lock(&b->lock);
    if (!slice_eq(buf_slice(&b->version), slice_of(version)))
        atomic_fetch_add(&b->serial, 1);
    buf_clear(&b->version);
    buf_add_str(&b->version, version);
    buf_clear(&b->texts);
    buf_add_slice(&b->texts, texts);
    pthread_mutex_unlock(&b->lock);
}

void rulebox_get(rulebox_t *b, buf_t *texts, buf_t *version) {
    pthread_mutex_lock(&b->lock);
    buf_clear(texts);
    buf_add_slice(texts, buf_slice(&b->texts));
    if (version) {
        buf_clear(version);
        buf_add_slice(version, buf_slice(&b->version));
    }
    pthread_mutex_unlock(&b->lock);
}

int rulebox_is(rulebox_t *b, const char *version) {
    pthread_mutex_lock(&b->lock);
    int same = slice_eq(buf_slice(&b->version), slice_of(version));
    pthread_mutex_unlock(&b->lock);
    return same;
}

unsigned rulebox_serial(rulebox_t *b) { return atomic_load(&b->serial); }
