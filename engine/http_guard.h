/* http_guard: whether a request may be answered at all.
 *
 * Pure decisions over header texts, so that they can be tried out one by one. Any thread. */
#ifndef ANANAS_HTTP_GUARD_H
#define ANANAS_HTTP_GUARD_H
#include "http_listen.h"

/* A page elsewhere may make a browser come here under its own name (DNS rebinding): a local listener answers to local
 * names only. host: the header, NULL: there was none. */
int http_guard_host(const listener_t *l, const char *host);
/* A request that changes something comes from no page, or from our own. Any of the three may be NULL. */
int http_guard_origin(const char *origin, const char *fetch_site, const char *host);
/* authorization: "Bearer TOKEN". Takes the same time for every wrong token of that length. */
int http_guard_token(const char *token, const char *authorization);
#endif
