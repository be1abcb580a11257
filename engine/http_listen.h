/* http_listen: the socket that the HTTP side listens on.
 *
 * "host:port", "[v6]:port", ":port" (every address), or "unix:/path" with mode 0600. A socket file that nobody answers on
 * any more is replaced; one that somebody answers on, or a path that is something else, is an error. Any thread. */
#ifndef ANANAS_HTTP_LISTEN_H
#define ANANAS_HTTP_LISTEN_H
#include "error.h"

typedef struct listener {
    int fd;
    int is_local; /* loopback, or a unix socket */
    int is_unix;
    char *path; /* of a unix socket; removed with it while it is still ours */
    char *host; /* as configured; NULL for a unix socket */
    unsigned long long device, inode;
} listener_t;

int http_listen_open(listener_t *l, const char *address, error_t *e);
void http_listen_close(listener_t *l);
#endif
