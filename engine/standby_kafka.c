#include "standby_kafka.h"

#include <time.h>

#include "clock.h"
#include "mem.h"

struct standby {
    const config_t *config;
    kafka_context_t *ctx;
    int32_t task;
    changelog_reader_t *reader;
    mono_t retry_at; /* after trouble: not before this */
};

#define STANDBY_RETRY_MS 5000

standby_t *standby_new(const config_t *c, kafka_context_t *ctx, int32_t task) {
    standby_t *s = mem_zalloc(sizeof *s);
    s->config = c;
    s->ctx = ctx;
    s->task = task;
    return s;
}

void standby_free(standby_t *s) {
    if (!s)
        return;
    changelog_reader_close(s->reader);
    mem_free(s);
}

static int read_on(standby_t *s, int wait_ms) {
    error_t e = {0};
    mono_t now = clock_mono(&clock_system);
    if (mono_diff_ms(now, s->retry_at) < 0)
        return ERR_AGAIN;
    int rc = s->reader ? 0 : changelog_reader_open(&s->reader, s->config, s->ctx, s->task, NULL, &e);
    if (rc == 0)
        rc = changelog_reader_poll(s->reader, wait_ms, &e);
    if (rc == 0)
        return 0;
    log_say(s->ctx->log, LOG_WARN, "engine", "standing by without state: %s", e.text);
    changelog_reader_close(s->reader);
    s->reader = NULL;
    s->retry_at = now;
    s->retry_at.ns += (int64_t)STANDBY_RETRY_MS * 1000000;
    return rc;
}

void standby_turn(standby_t *s, int wait_ms) {
    if (read_on(s, wait_ms) == 0)
        return;
    struct timespec nap = {wait_ms / 1000, wait_ms % 1000 * 1000000L};
    nanosleep(&nap, NULL);
}

changelog_reader_t **standby_reader(standby_t *s) { return &s->reader; }

void standby_keep(standby_t *s, changelog_reader_t *reader) {
    if (!reader)
        return;
    changelog_reader_close(s->reader);
    s->reader = reader;
}

slice_t standby_version(const standby_t *s) {
    return s->reader ? changelog_reader_version(s->reader) : (slice_t){NULL, 0};
}
