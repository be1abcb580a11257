/* log: one line each on standard error.
 *
 * Text or JSON, from a level upwards; values of secrets (secret_file, env of a name that looks like one) are registered
 * and masked in every line. Any thread; lines are written whole. */
#ifndef ANANAS_LOG_H
#define ANANAS_LOG_H
#include <stddef.h>

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;
typedef enum { LOG_TEXT, LOG_JSON } log_format_t;
typedef struct log log_t;

log_t *log_open(int fd, log_level_t level, log_format_t format);
void log_close(log_t *l);
int log_level_parse(const char *name, log_level_t *out); /* 0, or ERR_INVALID */
void log_add_secret(log_t *l, const char *value);
/* Replaces registered secrets by "***" in place. */
void log_mask(log_t *l, char *text, size_t len);
/* l may be NULL (says nothing). `where` names the part that speaks: "kafka", "rules", "engine". */
void log_say(log_t *l, log_level_t level, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Whether fd is a terminal on which what was written can be written over (TERM is not "dumb"); whether colours are wanted
 * on it, too (no NO_COLOR). */
int log_paints(int fd);
int log_colours(int fd);
/* A live status line on a terminal is cleared before a log line and drawn again after it. */
void log_status(log_t *l, const char *text);
#endif
