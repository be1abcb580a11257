/* failpoint: named places where a test makes the engine die or fail.
 *
 * Only objects compiled with ANANAS_FAILPOINTS have them (build/faults/ananas); in the usual program a failpoint is the
 * constant 0. The environment says which: ANANAS_FAILPOINT=name[:n[:action]]. `kill` (the default) ends the process at
 * the n-th time it gets there, as kill -9 does; `abort`, `lost` and `pause` act at every n-th time: the first two return
 * ERR_ABORTED and ERR_KAFKA, as if the broker had refused or had not been heard, the last waits for longer than a
 * transaction may take. Any thread. */
#ifndef ANANAS_FAILPOINT_H
#define ANANAS_FAILPOINT_H
#include "error.h"

#ifdef ANANAS_FAILPOINTS
#define FAILPOINT(name, e) failpoint_reach((name), (e))
#else
#define FAILPOINT(name, e) ((void)(name), 0)
#endif

/* 0: go on. */
int failpoint_reach(const char *name, error_t *e);
#endif
