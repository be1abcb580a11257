#include "http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mem.h"

#define BACKLOG 128

static int is_loopback(const struct sockaddr *a) {
    if (a->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24) == 127;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int refused(error_t *e, const char *address, const char *what) {
    int code = errno;
    if (code == EADDRINUSE)
        return error_set(
            e, ERR_INVALID,
            "http \"%s\": the address is in use; another process listens there. Choose another in the configuration",
            address);
    return error_set(e, ERR_INVALID, "http \"%s\": cannot %s: %s", address, what, strerror(code));
}

/* ---- TCP ---- */

static int bind_first(listener_t *l, const struct addrinfo *list, const char *address, error_t *e) {
    int one = 1, rc = ERR_INVALID;
    for (const struct addrinfo *a = list; a && rc; a = a->ai_next) {
        l->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (l->fd < 0) {
            rc = refused(e, address, "make a socket");
            continue;
        }
        (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        /* A connection is worth a wake-up, and one of few places, when there is a request on it. */
        (void)setsockopt(l->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
        if (bind(l->fd, a->ai_addr, a->ai_addrlen) == 0 && listen(l->fd, BACKLOG) == 0) {
            l->is_local = is_loopback(a->ai_addr);
            return 0;
        }
        rc = refused(e, address, "listen");
        close(l->fd);
        l->fd = -1;
    }
    return rc;
}

static int open_tcp(listener_t *l, const char *address, error_t *e) {
    const char *colon = strrchr(address, ':');
    if (!colon)
        return error_set(e, ERR_INVALID, "http \"%s\": expected \"host:port\" or \"unix:/path\"", address);
    int bracketed = address[0] == '[' && colon > address + 1 && colon[-1] == ']';
    l->host = mem_strndup(address + bracketed, (size_t)(colon - address) - (bracketed ? 2u : 0u));
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int rc = getaddrinfo(l->host[0] ? l->host : NULL, colon + 1, &hints, &found);
    if (rc)
        return error_set(e, ERR_INVALID, "http \"%s\": %s", address, gai_strerror(rc));
    rc = bind_first(l, found, address, e);
    freeaddrinfo(found);
    return rc;
}

/* ---- unix ---- */

static int somebody_answers(const struct sockaddr_un *a) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes =
        fd >= 0 && (connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 || errno == EAGAIN || errno == EACCES);
    if (fd >= 0)
        close(fd);
    return yes;
}

static int make_way(const struct sockaddr_un *a, const char *address, error_t *e) {
    struct stat st;
    if (lstat(a->sun_path, &st))
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return error_set(e, ERR_INVALID,
                         "http \"%s\": the path exists and is no socket; it is left alone. Choose another path",
                         address);
    if (somebody_answers(a))
        return error_set(e, ERR_INVALID,
                         "http \"%s\": the address is in use; another process listens there. Choose another path",
                         address);
    return unlink(a->sun_path) ? refused(e, address, "replace the old socket") : 0;
}

static int open_unix(listener_t *l, const char *address, error_t *e) {
    const char *path = address + strlen("unix:");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof a.sun_path)
        return error_set(e, ERR_INVALID, "http \"%s\": a socket's path has at most %zu bytes", address,
                         sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    int rc = make_way(&a, address, e);
    if (rc)
        return rc;
    l->is_unix = l->is_local = 1;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The mode is set before the name exists: there is no moment at which others could connect. */
    if (l->fd < 0 || fchmod(l->fd, 0600) || bind(l->fd, (const struct sockaddr *)&a, sizeof a))
        return refused(e, address, "listen");
    l->path = mem_strdup(path);
    if (stat(path, &st) == 0) {
        l->device = (unsigned long long)st.st_dev;
        l->inode = (unsigned long long)st.st_ino;
    }
    return chmod(path, 0600) || listen(l->fd, BACKLOG) ? refused(e, address, "listen") : 0;
}

int http_listen_open(listener_t *l, const char *address, error_t *e) {
    *l = (listener_t){.fd = -1};
    int rc = strncmp(address, "unix:", 5) == 0 ? open_unix(l, address, e) : open_tcp(l, address, e);
    if (rc)
        http_listen_close(l);
    return rc;
}

void http_listen_close(listener_t *l) {
    struct stat st;
    if (l->fd >= 0)
        close(l->fd);
    if (l->path && stat(l->path, &st) == 0 && (unsigned long long)st.st_dev == l->device &&
        (unsigned long long)st.st_ino == l->inode)
        unlink(l->path);
    mem_free(l->path);
    mem_free(l->host);
    *l = (listener_t){.fd = -1};
}
