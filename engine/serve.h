/* serve: everything that watches the loop and the tasks, put together: a list of observers, and what HTTP shows.
 *
 * Owns publisher, feed and listener; a command opens it before the loop begins and closes it after the loop has ended.
 * The thread of the command. */
#ifndef ANANAS_SERVE_H
#define ANANAS_SERVE_H
#include "http.h"
#include "observers.h"
#include "pulse.h"

typedef struct serve {
    observers_t observers;
    pulse_t pulse;
    publisher_t *publisher;
    feed_t *feed;
    http_t *http;
} serve_t;

/* address NULL: nobody listens, and the observer is one that does nothing until others are added. */
int serve_open(serve_t *s, const config_t *config, const char *address, log_t *log, error_t *e);
observer_t *serve_observer(serve_t *s);
void serve_close(serve_t *s);
#endif
