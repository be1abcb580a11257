/* properties_kafka: what the user wrote into `kafka`, looked at before a client is made of it.
 *
 * librdkafka itself is asked, without a broker. Who includes this sees nothing of librdkafka. Any thread. */
#ifndef ANANAS_PROPERTIES_KAFKA_H
#define ANANAS_PROPERTIES_KAFKA_H
#include "config.h"
#include "log.h"

/* What librdkafka says of the user's properties, as faults at their lines: unknown names, values that are none. */
void properties_kafka_check(const config_t *c, log_t *log, faults_t *faults);
/* Whether the configuration names brokers; else a fault, for those who need some. */
int properties_kafka_brokers(const config_t *c, error_t *e);
#endif
