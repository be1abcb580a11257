#include "version_print.h"

#include <stdio.h>

#include "version.h"

const char *version_text(void) { return ANANAS_VERSION; }
const char *version_revision(void) { return ANANAS_REVISION; }

int version_print(void) {
    printf("ananas %s (%s)\nlibrdkafka %s\n%s\n", ANANAS_VERSION, ANANAS_REVISION, version_of_kafka(),
           version_of_lua());
    return 0;
}
