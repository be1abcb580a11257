#include "http_guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The name in "name", "name:port" or "[v6]:port"; 0 when it is neither. */
static int name_of(const char *host, char *out, size_t size) {
    int bracketed = host[0] == '[';
    const char *begin = host + bracketed, *end = bracketed ? strchr(begin, ']') : begin + strcspn(begin, ":");
    if (!end || end == begin || (size_t)(end - begin) >= size)
        return 0;
    const char *port = end + bracketed;
    if (*port && (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1)))
        return 0;
    for (const char *c = begin; c < end; c++)
        if (!isalnum((unsigned char)*c) && !strchr(bracketed ? ":." : "-._", *c))
            return 0;
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = 0;
    return 1;
}

static int is_local_name(const char *name) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(name, "localhost") == 0;
}

int http_guard_host(const listener_t *l, const char *host) {
    char name[256];
    if (!host)
        return 1; /* HTTP/1.0; browsers never do that */
    if (!name_of(host, name, sizeof name))
        return l->is_unix && !*host;
    return !l->is_local || l->is_unix || is_local_name(name) || strcasecmp(name, l->host) == 0;
}

int http_guard_origin(const char *origin, const char *fetch_site, const char *host) {
    if (fetch_site && strcmp(fetch_site, "same-origin") != 0 && strcmp(fetch_site, "none") != 0)
        return 0;
    if (!origin)
        return 1;
    const char *name = strstr(origin, "://");
    return name && host && strcasecmp(name + 3, host) == 0;
}

int http_guard_token(const char *token, const char *authorization) {
    static const char scheme[] = "Bearer ";
    size_t len = strlen(token), n = sizeof scheme - 1;
    if (!authorization || strncasecmp(authorization, scheme, n) != 0 || strlen(authorization + n) != len)
        return 0;
    unsigned char differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned char)(token[i] ^ authorization[n + i]);
    return !differs;
}
