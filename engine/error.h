/* error: how a function of the engine says what went wrong.
 *
 * A function that can fail returns 0 or one of the negative codes below. Where a person has to act on it, it also fills
 * an error_t whose text says what happened, where, and what to do. The text is owned by the error_t itself. Any thread. */
#ifndef ANANAS_ERROR_H
#define ANANAS_ERROR_H

/* Under _GNU_SOURCE glibc's <errno.h> calls a plain int error_t, unless it is told that the name is taken; headers of the
 * engine therefore come before it. */
#define __error_t_defined 1 /* NOLINT(bugprone-reserved-identifier) */

enum {
    ERR_INVALID = -1, /* what the user wrote or sent is wrong */
    ERR_NOT_FOUND = -2,
    ERR_IO = -3,      /* the operating system refused */
    ERR_KAFKA = -4,   /* the broker or librdkafka refused */
    ERR_LIMIT = -5,   /* a configured bound was reached */
    ERR_SCRIPT = -6,  /* a Lua error that belongs to one rule */
    ERR_RUNAWAY = -7, /* a rule overran its budget of time or memory */
    ERR_AGAIN = -8,   /* retriable: the same call with the same arguments */
    ERR_ABORTED = -9, /* the transaction must be rolled back */
    ERR_FENCED = -10, /* somebody else owns this work now */
    ERR_INTERNAL = -11
};

typedef struct error {
    int code;
    char text[1000];
} error_t;

/* Fills e (which may be NULL) and returns code, so that a caller can write `return error_set(...)`. */
int error_set(error_t *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " in front of the text, for a caller that knows more about the place. Returns e->code. */
int error_prefix(error_t *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#endif
