/* status_line: how the stream goes, in one line at the foot of a terminal.
 *
 * An observer that counts and, a few times a second, gives the log a line to keep below what it says. Where standard
 * error is no terminal it does nothing. The loop's thread. */
#ifndef ANANAS_STATUS_LINE_H
#define ANANAS_STATUS_LINE_H
#include "log.h"
#include "observer.h"

typedef struct status_line status_line_t;
status_line_t *status_line_new(log_t *log); /* NULL: no terminal */
observer_t *status_line_observer(status_line_t *l);
void status_line_free(status_line_t *l);
#endif
