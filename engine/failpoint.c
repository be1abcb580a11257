#include "failpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAILPOINT_PAUSE_S 14

static int act(const char *action, const char *name, error_t *e) {
    if (strcmp(action, "abort") == 0)
        return error_set(e, ERR_ABORTED, "failpoint %s: refused", name);
    if (strcmp(action, "lost") == 0)
        return error_set(e, ERR_KAFKA, "failpoint %s: no reply", name);
    struct timespec pause = {FAILPOINT_PAUSE_S, 0};
    nanosleep(&pause, NULL);
    return 0;
}

int failpoint_reach(const char *name, error_t *e) {
    static _Atomic long times; /* one name is set per process */
    const char *wanted = getenv("ANANAS_FAILPOINT");
    size_t len = strlen(name);
    if (!wanted || strncmp(wanted, name, len) != 0 || (wanted[len] != 0 && wanted[len] != ':'))
        return 0;
    char *rest = (char *)(unsigned long)(wanted + len);
    long n = *rest ? strtol(rest + 1, &rest, 10) : 1;
    const char *action = *rest == ':' ? rest + 1 : "kill";
    long reached = atomic_fetch_add(&times, 1) + 1;
    if (strcmp(action, "kill") == 0) {
        if (reached == n)
            raise(SIGKILL);
        return 0;
    }
    return n > 0 && reached % n == 0 ? act(action, name, e) : 0;
}
