#include "notify.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

#define READY_MS 5000
#define WAKE_MS 1000

struct notify {
    observer_t base;
    pulse_t *pulse;
    log_t *log;
    int fd;
    struct sockaddr_un to;
    socklen_t to_len;
    int64_t watchdog_ms; /* 0: nobody watches */
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    int stop, has_failed;
    _Atomic int ready;
};

/* Under the lock: messages of two threads keep their order. */
static void send_locked(notify_t *n, const char *text) {
    ssize_t sent =
        sendto(n->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&n->to, n->to_len);
    if (sent >= 0 || n->has_failed)
        return;
    n->has_failed = 1;
    log_say(n->log, LOG_WARN, "engine", "NOTIFY_SOCKET: the service manager does not take messages: %s",
            strerror(errno));
}

static void tell(notify_t *n, const char *text) {
    pthread_mutex_lock(&n->lock);
    send_locked(n, text);
    pthread_mutex_unlock(&n->lock);
}

static void tell_ready(notify_t *n) {
    pthread_mutex_lock(&n->lock);
    if (!n->ready)
        send_locked(n, "READY=1");
    n->ready = 1;
    pthread_mutex_unlock(&n->lock);
}

/* ---- the observer ---- */

static void on_turned(observer_t *o, int32_t task, const task_t *t) {
    notify_t *n = (notify_t *)o;
    (void)task;
    (void)t;
    if (!n->ready)
        tell_ready(n);
}

/* The manager takes a reload as under way until it hears READY=1 again. */
static void on_reloading(observer_t *o) {
    char text[80];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_mono(&clock_system).ns / 1000));
    tell((notify_t *)o, text);
}

static void on_reloaded(observer_t *o, int32_t task, const task_t *t, int ok, const char *what) {
    (void)task;
    (void)t;
    (void)ok;
    (void)what;
    tell((notify_t *)o, "READY=1");
}

static void on_restoring(observer_t *o, int32_t task) { /* a reload that was under way is over with what it was for */
    notify_t *n = (notify_t *)o;
    (void)task;
    if (n->ready)
        tell(n, "READY=1");
    notify_status(n, "restoring state");
}

static void on_stopping(observer_t *o) { tell((notify_t *)o, "STOPPING=1\nSTATUS=stopping: the last commit"); }

/* ---- the thread ---- */

static void *watch(void *arg) {
    notify_t *n = arg;
    int64_t every = n->watchdog_ms && n->watchdog_ms / 3 < WAKE_MS ? n->watchdog_ms / 3 : WAKE_MS;
    mono_t begin = clock_mono(&clock_system);
    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + every * 1000000;
        until.tv_sec += (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        pthread_cond_timedwait(&n->wake, &n->lock, &until);
        if (n->stop)
            break;
        if (!n->ready && mono_diff_ms(clock_mono(&clock_system), begin) >= READY_MS) {
            send_locked(n, "READY=1");
            n->ready = 1;
        }
        if (n->watchdog_ms && !pulse_is_stuck(n->pulse, n->watchdog_ms / 2))
            send_locked(n, "WATCHDOG=1");
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

/* ---- opening ---- */

/* "@name": the abstract namespace. 0, or -1 when it is no address. */
static int take_address(notify_t *n, const char *path) {
    size_t len = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof n->to.sun_path)
        return -1;
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, path, len);
    if (path[0] == '@')
        n->to.sun_path[0] = 0;
    n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return 0;
}

/* WATCHDOG_PID says whose it is: a child of the service must not take it for its own. */
static int64_t watchdog_of_environment(void) {
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    int64_t ms = strtoll(usec, NULL, 10) / 1000;
    return ms > 0 ? ms : 0;
}

static int start_thread(notify_t *n) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&n->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&n->lock, NULL);
    return pthread_create(&n->thread, NULL, watch, n);
}

notify_t *notify_open(pulse_t *pulse, log_t *log) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || !*path)
        return NULL;
    notify_t *n = mem_zalloc(sizeof *n);
    n->base = (observer_t){.turned = on_turned,
                           .reloading = on_reloading,
                           .reloaded = on_reloaded,
                           .restoring = on_restoring,
                           .stopping = on_stopping};
    n->pulse = pulse;
    n->log = log;
    n->watchdog_ms = watchdog_of_environment();
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd < 0 || take_address(n, path) || start_thread(n)) {
        log_say(log, LOG_WARN, "engine", "NOTIFY_SOCKET=%s cannot be used; the service manager is told nothing", path);
        if (n->fd >= 0)
            close(n->fd);
        mem_free(n);
        return NULL;
    }
    notify_status(n, "waiting for the broker");
    return n;
}

void notify_close(notify_t *n) {
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stop = 1;
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    pthread_cond_destroy(&n->wake);
    pthread_mutex_destroy(&n->lock);
    close(n->fd);
    mem_free(n);
}

observer_t *notify_observer(notify_t *n) { return n ? &n->base : NULL; }

void notify_status(notify_t *n, const char *text) {
    char line[300];
    if (!n)
        return;
    snprintf(line, sizeof line, "STATUS=%s", text);
    tell(n, line);
}
