/* gate: how many tasks of this process work at the same time.
 *
 * Each task has a thread, which mostly waits: for records, for a commit. Only what uses the processor goes through the
 * gate, so a process with many tasks keeps to the threads it was given, and a task that waits for the broker holds
 * nobody up. Owned by whoever owns the tasks. Any thread. */
#ifndef ANANAS_GATE_H
#define ANANAS_GATE_H

typedef struct gate gate_t;

gate_t *gate_new(int places);
void gate_free(gate_t *g);
/* NULL: everybody may pass. */
void gate_enter(gate_t *g);
void gate_leave(gate_t *g);
#endif
