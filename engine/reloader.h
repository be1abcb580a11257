/* reloader: a new rule set is loaded and checked aside while the stream goes on.
 *
 * Owns one thread for the time of a load. What was loaded is fetched by the loop between two steps; what is wrong is
 * reported once per text of the fault. One thread calls. */
#ifndef ANANAS_RELOADER_H
#define ANANAS_RELOADER_H
#include "load.h"

typedef struct reloader reloader_t;
typedef enum { RELOAD_NOTHING, RELOAD_BUSY, RELOAD_READY, RELOAD_FAULTY } reload_state_t;

/* What a loaded set must pass besides: also on the loading thread. 0, or an error with its text. */
typedef int (*reloader_check_fn)(void *ctx, const plan_t *plan, error_t *e);

reloader_t *reloader_new(const config_t *config, const char *rules, log_t *log, reloader_check_fn check, void *ctx);
void reloader_free(reloader_t *r);
void reloader_start(reloader_t *r); /* when busy: once more after that */
/* READY: *script and *plan are the caller's. FAULTY: *text says the faults, until the next call. */
reload_state_t reloader_poll(reloader_t *r, script_t **script, plan_t **plan, const char **text);
#endif
