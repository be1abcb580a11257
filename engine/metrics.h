/* metrics: a snapshot as text for Prometheus (exposition format 0.0.4).
 *
 * Names carry their unit, counters end in _total; one table per kind of subject (process, source, partition, rule) says
 * which there are. Counters begin again when the process, or its task, does. Any thread. */
#ifndef ANANAS_METRICS_H
#define ANANAS_METRICS_H
#include "snapshot.h"

/* What stands in the snapshot, and the process's memory and CPU time: may be shown more than once. */
void metrics_write(const snapshot_t *s, buf_t *b);
/* What is of the moment. beat_ms: how long ago the loop last turned; connections, readers: of the listener itself. */
void metrics_write_now(int64_t beat_ms, uint32_t connections, uint32_t readers, buf_t *b);
#endif
