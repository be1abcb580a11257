/* outputs_kafka: the topics that a plan writes to are made to exist before the first record is read. One thread. */
#ifndef ANANAS_OUTPUTS_KAFKA_H
#define ANANAS_OUTPUTS_KAFKA_H
#include "conf_kafka.h"

/* Output topics of rules, late_to, dead letters, the changelog, and what tasks send each other rows through. State that
 * was made with another parallelism is refused. A broker that cannot be reached is waited for while
 * *stop is 0. 0, or an error that a person must mend. */
int outputs_ensure(const config_t *c, const plan_t *plan, kafka_context_t *ctx, const _Atomic int *stop, error_t *e);
#endif
