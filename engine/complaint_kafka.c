#include "complaint_kafka.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"

#define AGAIN_MS 30000

typedef struct advice {
    const char *says; /* part of the reason */
    const char *text;
} advice_t;

/* The first that fits. Alerts are what the other side of a TLS connection says. */
static const advice_t advices[] = {
    {"alert number 42",
     "The broker wants a certificate of its clients, or another one: set ssl.certificate.location and "
     "ssl.key.location"},
    {"alert number 116", "The broker wants a certificate of its clients: set ssl.certificate.location and "
                         "ssl.key.location"},
    {"alert number", "The broker refuses the certificate of ssl.certificate.location"},
    {"certificate verify failed",
     "No authority that is known here signed the broker's certificate, or it is for another host name: ssl.ca.location "
     "names the authority's certificate"},
    {"PLAINTEXT broker listener",
     "Set security.protocol to plaintext or sasl_plaintext, or use the port that speaks TLS"},
    {"SSL routines::wrong version number",
     "That port does not speak TLS: set security.protocol to plaintext or sasl_plaintext, or use another port"},
    {"SSL handshake failed: error:0A000126", "It hung up instead of answering in TLS: does that port speak it, and is "
                                             "security.protocol right?"},
    {"supported mechanisms", "Set sasl.mechanism to one that the broker takes at that port, or use another port"},
    {"SASL authentication error",
     "The broker does not take this user with this password: look at sasl.username, sasl.password and sasl.mechanism"},
    {"security.protocol", "Look at security.protocol: ssl or sasl_ssl where the port speaks TLS, sasl_ssl or "
                          "sasl_plaintext where it asks for a user"},
    {"Connection refused", "Nothing listens there: is bootstrap.servers right, is the broker running?"},
    {"Failed to resolve", "The name is not known here: it is in bootstrap.servers, or is what the broker advertises"},
    {"sasl.kerberos", "sasl.mechanism is GSSAPI (Kerberos) unless it is set: for a user and a password set it to "
                      "SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN"},
};

static const char *advice_for(const char *reason) {
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (strstr(reason, advices[i].says))
            return advices[i].text;
    return NULL;
}

void complaint_explain(const char *reason, char out[COMPLAINT_SIZE]) {
    const char *thread_end = strncmp(reason, "[thrd:", 6) == 0 ? strstr(reason, "]: ") : NULL;
    if (thread_end)
        reason = thread_end + 3;
    const char *state = strstr(reason, " (after "), *advice = advice_for(reason);
    int len = state ? (int)(state - reason) : (int)strlen(reason); /* how long it took differs each time */
    snprintf(out, COMPLAINT_SIZE, "%.*s%s%s", len < 330 ? len : 330, reason, advice ? ". " : "", advice ? advice : "");
}

/* Whether this kind is to be said now; *more: how often it came since it was said last. */
static int is_due(complaints_t *c, int code, uint64_t *more) {
    int64_t now = clock_wall(&clock_system).ms;
    size_t oldest = 0, i = 0;
    for (; i < COMPLAINT_KINDS && (!c->at[i].said_ms || c->at[i].code != code); i++)
        if (c->at[i].said_ms < c->at[oldest].said_ms)
            oldest = i;
    int known = i < COMPLAINT_KINDS;
    i = known ? i : oldest;
    *more = known ? c->at[i].more : 0;
    if (known && now - c->at[i].said_ms < AGAIN_MS && now >= c->at[i].said_ms) {
        c->at[i].more++;
        return 0;
    }
    c->at[i].code = code;
    c->at[i].said_ms = now;
    c->at[i].more = 0;
    return 1;
}

/* Nonzero: it was said. */
static int say(complaints_t *c, log_t *log, int code, const char *text) {
    uint64_t more;
    char times[60] = "";
    if (!is_due(c, code, &more))
        return 0;
    if (more)
        snprintf(times, sizeof times, " (%llu more times since it was said last)", (unsigned long long)more);
    log_say(log, code == RD_KAFKA_RESP_ERR__FATAL ? LOG_ERROR : LOG_WARN, "kafka", "%s%s", text, times);
    return 1;
}

/* A reason is said once: alone, or with that no broker is left. */
static void say_down(complaints_t *c, log_t *log) {
    char text[COMPLAINT_SIZE + 80];
    int is_new = c->reason[0] && strcmp(c->reason, c->said) != 0;
    snprintf(text, sizeof text, "no broker can be reached; trying again until one can%s%s", is_new ? ". " : "",
             is_new ? c->reason : "");
    if (say(c, log, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, text) && is_new)
        memcpy(c->said, c->reason, sizeof c->said);
}

static void take(complaints_t *c, log_t *log, int code, const char *reason) {
    char text[COMPLAINT_SIZE];
    complaint_explain(reason, text);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        say_down(c, log);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__TRANSPORT) { /* any lost connection; it matters when none is left */
        memcpy(c->reason, text, sizeof c->reason);
        return;
    }
    if (strcmp(text, c->said) != 0 && say(c, log, code, text))
        memcpy(c->said, text, sizeof c->said);
}

static int enter(complaints_t *c) { return !atomic_exchange(&c->busy, 1); }
static void leave(complaints_t *c) { atomic_store(&c->busy, 0); }

/* Where another thread complains just now, nobody needs both. */
void complaint_hear(complaints_t *c, const char *reason) {
    if (!enter(c))
        return;
    complaint_explain(reason, c->reason);
    leave(c);
}

void complaint_say(complaints_t *c, log_t *log, int code, const char *reason) {
    if (!enter(c))
        return;
    take(c, log, code, reason);
    leave(c);
}

void complaint_last(complaints_t *c, char out[COMPLAINT_SIZE]) {
    out[0] = 0;
    if (!enter(c))
        return;
    if (c->reason[0])
        snprintf(out, COMPLAINT_SIZE, ". %.*s", COMPLAINT_SIZE - 3, c->reason);
    leave(c);
}

void complaint_refuse(complaints_t *c, const char *text) {
    const char *thread_end = strncmp(text, "[thrd:", 6) == 0 ? strstr(text, "]: ") : NULL;
    const char *broker_end = strstr(text, ": Failed to add ");
    if (thread_end)
        text = thread_end + 3;
    if (broker_end)
        text = broker_end + 2;
    /* Left out since another one was refused, which is told as well. */
    if (strstr(text, "Operation not attempted"))
        return;
    if (!enter(c))
        return;
    snprintf(c->refused, sizeof c->refused, "%s", text);
    leave(c);
}

void complaint_refused(complaints_t *c, char out[COMPLAINT_SIZE]) {
    out[0] = 0;
    if (!enter(c))
        return;
    memcpy(out, c->refused, COMPLAINT_SIZE);
    leave(c);
}
