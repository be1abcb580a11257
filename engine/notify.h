/* notify: tells the service manager that started us how we are, by datagrams to NOTIFY_SOCKET (sd_notify's protocol).
 *
 * READY=1 once a task is active, or after five seconds: a standby, or a process that waits for its broker, is up as
 * well. RELOADING=1 and READY=1 around a reload, STOPPING=1 with the last commit, WATCHDOG=1 while the loop turns or has
 * reason not to (pulse.h), STATUS= in words. Owns a socket and a thread; nothing here waits for the service manager. Opened
 * and closed by the command; the observer is called through observers.h. */
#ifndef ANANAS_NOTIFY_H
#define ANANAS_NOTIFY_H
#include "log.h"
#include "pulse.h"

typedef struct notify notify_t;

/* NULL: nobody wants to know. The pulse outlives it. */
notify_t *notify_open(pulse_t *pulse, log_t *log);
void notify_close(notify_t *n);
observer_t *notify_observer(notify_t *n);
void notify_status(notify_t *n, const char *text); /* n may be NULL */
#endif
