/* metrics: a snapshot as text for Prometheus (exposition format 0.0.4).
 *
 * Names carry their unit, counters end in _total; one table per kind of subject (process, source, partition, rule) says
 * which there are. Counters begin again when the process, or its task, does. Any thread. */
#ifndef ANANAS_METRICS_H
#define ANANAS_METRICS_H
#include "snapshot.h"

/* beat_ms: how long ago the loop last turned. */
void metrics_write(const snapshot_t *s, int64_t beat_ms, buf_t *b);
void metrics_write_http(uint32_t connections, uint32_t readers, buf_t *b); /* of the listener itself */
#endif
