#include <librdkafka/rdkafka.h>

#include "version_print.h"

const char *version_of_kafka(void) { return rd_kafka_version_str(); }
