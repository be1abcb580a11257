/* snapshot_json: a snapshot as the JSON of /rules: why has my window not fired?
 *
 * Times are epoch milliseconds, null where there is none. Any thread. */
#ifndef ANANAS_SNAPSHOT_JSON_H
#define ANANAS_SNAPSHOT_JSON_H
#include "snapshot.h"

void snapshot_json_write(const snapshot_t *s, buf_t *b);
const char *snapshot_phase_name(phase_t phase);
#endif
