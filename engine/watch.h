/* watch: tells when files below a folder (or one file) change.
 *
 * By inotify on the folder and on the one above it: editors that write a temporary file and rename it, and the symlink
 * swap of a Kubernetes ConfigMap, are seen. A burst of changes is one: nothing is said until it has been quiet for a
 * moment. A folder that disappears is watched for to come back. One thread. */
#ifndef ANANAS_WATCH_H
#define ANANAS_WATCH_H
#include "clock.h"
#include "error.h"

typedef struct watch watch_t;
int watch_open(watch_t **out, const char *path, error_t *e);
void watch_close(watch_t *w);
int watch_changed(watch_t *w, mono_t now); /* 1: something changed, and it has been quiet since */
#endif
