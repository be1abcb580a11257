/* standby_kafka: the state of a task that another process owns, kept warm.
 *
 * Reads the changelog along, so that taking over means reading its tail only. It costs the memory of the state in every
 * process of the group. Trouble is not its business: it tries again later, and who takes over reads all of it if need be.
 * One thread. */
#ifndef ANANAS_STANDBY_KAFKA_H
#define ANANAS_STANDBY_KAFKA_H
#include "changelog_reader.h"

typedef struct standby standby_t;

standby_t *standby_new(const config_t *c, kafka_context_t *ctx, int32_t task);
void standby_free(standby_t *s);
/* Reads on; takes about wait_ms where there is little to read. */
void standby_turn(standby_t *s, int wait_ms);
/* Of the rules that the owner ran when it committed last; empty: not known. */
slice_t standby_version(const standby_t *s);
/* What was read so far, for active_open, which may take it over. */
changelog_reader_t **standby_reader(standby_t *s);
/* State that this process had until now (NULL: none): it goes on from there. */
void standby_keep(standby_t *s, changelog_reader_t *reader);
#endif
