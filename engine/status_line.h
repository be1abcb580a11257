/* status_line: how the stream goes, in one line at the foot of a terminal and for the service manager.
 *
 * An observer that counts and, a few times a second, gives the log a line to keep below what it says, and now and then
 * the same to the service manager. Borrows both. Called through observers.h. */
#ifndef ANANAS_STATUS_LINE_H
#define ANANAS_STATUS_LINE_H
#include "log.h"
#include "notify.h"

typedef struct status_line status_line_t;
/* NULL: standard error is no terminal, and there is no service manager (notify NULL). */
status_line_t *status_line_new(log_t *log, notify_t *notify);
observer_t *status_line_observer(status_line_t *l);
void status_line_free(status_line_t *l);
#endif
