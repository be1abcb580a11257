/* Watches the committed position of a group move to the end of a topic: progress BROKERS GROUP TOPIC TOTAL. Prints
 * {"points":[[seconds since start, records], ...]}, a point for each change, and ends at TOTAL (or after two minutes). */
#include "client.h"

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    client_set(conf, "bootstrap.servers", argv[1]);
    client_set(conf, "group.id", argv[2]);
    client_set(conf, "socket.nagle.disable", "true");
    rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, conf);
    int parts = client_assign(rk, argv[3], RD_KAFKA_OFFSET_END);
    rd_kafka_assign(rk, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(parts);
    for (int i = 0; i < parts; i++)
        rd_kafka_topic_partition_list_add(list, argv[3], i);
    int64_t total = atoll(argv[4]), last = 0;
    double started = client_now();
    printf("{\"points\":[");
    while (last < total && client_now() - started < 120) {
        int64_t sum = 0;
        if (rd_kafka_committed(rk, list, 1000) == 0)
            for (int i = 0; i < parts; i++)
                sum += list->elems[i].offset > 0 ? list->elems[i].offset : 0;
        if (sum > last)
            printf("%s[%.6f,%lld]", last ? "," : "", client_now() - started, (long long)sum);
        last = sum > last ? sum : last;
        struct timespec nap = {0, 5000000};
        nanosleep(&nap, NULL);
    }
    printf("]}\n");
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return last < total;
}
