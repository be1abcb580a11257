#include "properties_kafka.h"

#include <string.h>

#include "conf_kafka.h"
#include "mem.h"
#include "nearest.h"

/* What librdkafka does not list with its defaults: aliases, and what has none. */
static const char *const unlisted[] = {"bootstrap.servers",
                                       "group.id",
                                       "group.instance.id",
                                       "acks",
                                       "linger.ms",
                                       "retries",
                                       "delivery.timeout.ms",
                                       "compression.type",
                                       "compression.level",
                                       "max.in.flight",
                                       "message.timeout.ms",
                                       "request.timeout.ms",
                                       "partitioner",
                                       "sasl.mechanism",
                                       "sasl.username",
                                       "sasl.password",
                                       "ssl.ca.location",
                                       "ssl.ca.pem",
                                       "ssl.certificate.location",
                                       "ssl.certificate.pem",
                                       "ssl.key.location",
                                       "ssl.key.pem",
                                       "ssl.key.password",
                                       "ssl.cipher.suites",
                                       "ssl.crl.location",
                                       "ssl.keystore.location",
                                       "ssl.keystore.password",
                                       "sasl.oauthbearer.client.id",
                                       "sasl.oauthbearer.client.secret",
                                       "sasl.oauthbearer.config",
                                       "sasl.oauthbearer.token.endpoint.url",
                                       "plugin.library.paths"};

/* Of all properties that there are; conf lists those with defaults, each with its value. */
static void unknown_property(const config_t *c, const property_t *p, rd_kafka_conf_t *conf, faults_t *faults) {
    size_t n_listed, n = sizeof unlisted / sizeof *unlisted;
    const char **listed = rd_kafka_conf_dump(conf, &n_listed);
    const char **names = mem_alloc((n + n_listed) * sizeof *names);
    memcpy(names, unlisted, sizeof unlisted);
    for (size_t i = 0; i < n_listed; i += 2)
        names[n++] = listed[i];
    const char *near = nearest(p->name, names, n);
    faults_add(faults, c->path, p->line, "kafka: librdkafka has no property `%s`%s%s%s", p->name,
               near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    mem_free(names);
    rd_kafka_conf_dump_free(listed, n_listed);
}

void properties_kafka_check(const config_t *c, log_t *log, faults_t *faults) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    size_t before = faults->n;
    for (uint32_t i = 0; i < c->n_kafka; i++) {
        const property_t *p = &c->kafka[i];
        char why[300] = "";
        rd_kafka_conf_res_t got = rd_kafka_conf_set(conf, p->name, p->value, why, sizeof why);
        why[strcspn(why, "\n")] = 0;
        if (got == RD_KAFKA_CONF_UNKNOWN)
            unknown_property(c, p, conf, faults);
        else if (got != RD_KAFKA_CONF_OK)
            faults_add(faults, c->path, p->line, "kafka: `%s` = \"%s\": %s", p->name, p->secret ? "***" : p->value,
                       why);
    }
    for (size_t i = before; i < faults->n; i++)
        log_mask(log, faults->at[i].text, strlen(faults->at[i].text));
    rd_kafka_conf_destroy(conf);
}

int properties_kafka_brokers(const config_t *c, error_t *e) {
    if (conf_kafka_get(c, "bootstrap.servers", NULL) || conf_kafka_get(c, "metadata.broker.list", NULL))
        return 0;
    return error_set(e, ERR_INVALID,
                     "no broker is named: write kafka { [\"bootstrap.servers\"] = \"host:9092\" } in %s", c->path);
}
