/* http: what operators, scrapers and browsers may ask: /, /healthz, /readyz, /metrics, /rules, /events, POST /-/reload.
 *
 * Owns the listening socket and one thread, on which libmicrohttpd and everything here runs; the stream's thread is only
 * met in snapshot.h and feed.h. Endpoints that change something are a table of their own: they refuse requests of other
 * origins, and want the token where the listener is not local. Connections, bodies and time are bounded; nothing that
 * was registered as secret is in an answer. */
#ifndef ANANAS_HTTP_H
#define ANANAS_HTTP_H
#include "feed.h"
#include "pulse.h"
#include "snapshot.h"

typedef struct http http_t;
typedef struct http_options {
    const char *address; /* see http_listen.h */
    const char *token;   /* NULL: none */
    log_t *log;
    publisher_t *publisher; /* all three outlive the listener */
    feed_t *feed;
    pulse_t *pulse;
} http_options_t;

/* Listens and serves until it is closed. ERR_INVALID: the address cannot be had, *e says why. */
int http_open(http_t **out, const http_options_t *o, error_t *e);
void http_close(http_t *h);
#endif
