/* Reads a topic from its beginning to its end and throws the records away: discard BROKERS TOPIC. One JSON object. */
#include <malloc.h>

#include "client.h"

typedef struct sum { uint64_t bytes; double last; } sum_t;

static void take(void *ctx, rd_kafka_message_t *m) {
    sum_t *s = ctx;
    s->bytes += m->len;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* as ananas run does */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    double first = 0;
    sum_t sum = {0};
    int64_t n = client_read(argv[1], argv[2], take, &sum, &first);
    printf("{\"records\":%lld,\"bytes\":%llu,\"seconds\":%.6f}\n", (long long)n, (unsigned long long)sum.bytes, client_now() - first);
    return 0;
}
