#include "log.h"
#include "clock.h"
#include "error.h"
#include "json.h"
#include "mem.h"
#include "timefmt.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct log {
    int fd;
    int is_terminal;
    log_level_t level;
    log_format_t format;
    pthread_mutex_t lock; /* everything below, and the order of lines */
    char **secrets;       /* longest first: a secret inside another leaves no remainder */
    size_t n_secrets, cap_secrets;
    char *status; /* what stands on the terminal's last line, or NULL */
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

int log_paints(int fd) {
    const char *terminal = getenv("TERM");
    return isatty(fd) && terminal && strcmp(terminal, "dumb") != 0;
}

int log_colours(int fd) {
    const char *no = getenv("NO_COLOR");
    return log_paints(fd) && !(no && *no);
}

log_t *log_open(int fd, log_level_t level, log_format_t format) {
    log_t *l = mem_zalloc(sizeof *l);
    l->fd = fd;
    l->is_terminal = log_paints(fd);
    l->level = level;
    l->format = format;
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void log_close(log_t *l) {
    if (!l)
        return;
    log_status(l, NULL);
    for (size_t i = 0; i < l->n_secrets; i++) {
        explicit_bzero(l->secrets[i], strlen(l->secrets[i]));
        mem_free(l->secrets[i]);
    }
    mem_free(l->secrets);
    mem_free(l->status);
    pthread_mutex_destroy(&l->lock);
    mem_free(l);
}

int log_level_parse(const char *name, log_level_t *out) {
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (log_level_t)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

void log_add_secret(log_t *l, const char *value) {
    if (!l || !value || !*value)
        return;
    pthread_mutex_lock(&l->lock);
    mem_grow(&l->secrets, &l->cap_secrets, l->n_secrets + 1, sizeof *l->secrets);
    size_t at = l->n_secrets++;
    for (; at > 0 && strlen(l->secrets[at - 1]) < strlen(value); at--)
        l->secrets[at] = l->secrets[at - 1];
    l->secrets[at] = mem_strdup(value);
    pthread_mutex_unlock(&l->lock);
}

/* Shortens text in place; the rest moves up and the end is NUL-terminated where it is shorter than before. */
static size_t mask_one(char *text, size_t len, const char *secret) {
    size_t n = strlen(secret), stars = n < 3 ? n : 3, out = 0;
    for (size_t in = 0; in < len;) {
        if (len - in >= n && memcmp(text + in, secret, n) == 0) {
            memset(text + out, '*', stars);
            out += stars;
            in += n;
        } else {
            text[out++] = text[in++];
        }
    }
    if (out < len)
        text[out] = 0;
    return out;
}

static size_t mask_locked(log_t *l, char *text, size_t len) {
    for (size_t i = 0; i < l->n_secrets; i++)
        len = mask_one(text, len, l->secrets[i]);
    return len;
}

void log_mask(log_t *l, char *text, size_t len) {
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    mask_locked(l, text, len);
    pthread_mutex_unlock(&l->lock);
}

/* A log that cannot be written has nobody to tell; the lost line is the lesser harm. */
static void write_all(int fd, const char *s, size_t len) {
    while (len) {
        ssize_t n = write(fd, s, len);
        if (n <= 0)
            return;
        s += n;
        len -= (size_t)n;
    }
}

static void add_escaped(buf_t *b, unsigned char c) {
    if (c == '\n')
        buf_add_str(b, "\\n");
    else if (c == '\t')
        buf_add_char(b, '\t');
    else
        buf_printf(b, "\\x%02x", c);
}

static void format_text(buf_t *b, log_level_t level, const char *where, slice_t text) {
    timefmt_write(b, clock_wall(&clock_system).ms, TIME_ISO8601);
    buf_printf(b, " %-5s %s: ", level_names[level], where);
    for (size_t i = 0; i < text.len; i++) { /* one line each, whatever the message quotes */
        unsigned char c = (unsigned char)text.s[i];
        if (c < 0x20 || c == 0x7f)
            add_escaped(b, c);
        else
            buf_add_char(b, (char)c);
    }
    buf_add_char(b, '\n');
}

static void format_json(buf_t *b, log_level_t level, const char *where, slice_t text) {
    buf_add_str(b, "{\"time\":\"");
    timefmt_write(b, clock_wall(&clock_system).ms, TIME_ISO8601);
    buf_printf(b, "\",\"level\":\"%s\",\"where\":", level_names[level]);
    json_write_string(b, where, strlen(where));
    buf_add_str(b, ",\"message\":");
    json_write_string(b, text.s, text.len);
    buf_add_str(b, "}\n");
}

void log_say(log_t *l, log_level_t level, const char *where, const char *fmt, ...) {
    if (!l || level < l->level)
        return;
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    buf_t line = {0};
    pthread_mutex_lock(&l->lock);
    size_t len = mask_locked(l, text, (size_t)n);
    if (l->status)
        buf_add_str(&line, "\r\033[K");
    (l->format == LOG_JSON ? format_json : format_text)(&line, level, where, (slice_t){text, len});
    if (l->status)
        buf_add_str(&line, l->status);
    write_all(l->fd, line.s, line.len);
    pthread_mutex_unlock(&l->lock);
    buf_fini(&line);
    mem_free(text);
}

void log_status(log_t *l, const char *text) {
    if (!l || !l->is_terminal)
        return;
    pthread_mutex_lock(&l->lock);
    if (l->status || text)
        write_all(l->fd, "\r\033[K", 4);
    mem_free(l->status);
    l->status = text ? mem_strdup(text) : NULL;
    if (text)
        write_all(l->fd, text, strlen(text));
    pthread_mutex_unlock(&l->lock);
}
