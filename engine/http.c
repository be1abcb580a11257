#include "http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "http_guard.h"
#include "mem.h"
#include "metrics.h"
#include "scripts.h"
#include "snapshot_json.h"

#define CONNECTIONS_MAX 128
#define STREAMS_MAX 32
#define BODY_MAX 4096
#define REQUEST_MEMORY ((size_t)32 * 1024)
#define IDLE_SECONDS 30u
#define REQUEST_MS 60000 /* a connection must have finished a request that long ago at most */
#define CROWDED_MS 1000  /* the same when connections get scarce */
#define STUCK_MS 10000   /* the loop has not turned: not healthy */
#define RELOAD_MS 10000  /* how long a POST waits for its result */
#define BEAT_MS 10000    /* a comment on a quiet stream, so that both ends notice a dead one */
#define STREAM_BYTES ((size_t)64 * 1024)
#define SEND_BYTES (128 * 1024)
#define EVENTS_BEFORE 50 /* what a new reader of events gets of the past */
#define METRICS_MS 250   /* a snapshot's metrics are written again after that, should there be no newer one */
#define EVENTS_TYPE "text/event-stream; charset=utf-8"
#define WAIT_MS 200
#define WAIT_STREAM_MS 40

typedef struct connection { /* one client's; bounded by CONNECTIONS_MAX */
    struct connection *prev, *next;
    int fd, keeps;                /* keeps: a stream, or waiting for a reload */
    const struct request *stream; /* of events, that it reads; or NULL */
    mono_t since;                 /* it was opened, or its last request finished */
} connection_t;

typedef enum { WAITS_NOT, WAITS_EVENTS, WAITS_RELOAD } waits_t;

typedef struct request {
    struct http *http;
    struct MHD_Connection *conn;
    connection_t *connection;
    size_t body;
    waits_t waits;               /* suspended, for that */
    struct request *prev, *next; /* of those that are suspended */
    uint64_t reloads;            /* that many must have finished */
    int asked, is_stream, is_head;
    mono_t deadline; /* of the wait for a reload; of the next comment on a stream */
    uint64_t at;     /* next event */
    buf_t out;
    size_t sent; /* of out */
} request_t;

struct http {
    log_t *log;
    publisher_t *publisher;
    feed_t *feed;
    pulse_t *pulse;
    char *token;
    listener_t listener;
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int has_thread;
    _Atomic int stop_asked;
    int stopping;
    connection_t *connections;
    request_t *suspended;
    uint32_t n_connections, n_streams;
    mono_t swept;
    buf_t metrics; /* text of the snapshot with that number */
    uint64_t metrics_of;
    mono_t metrics_at;
};

static int64_t ms_since(mono_t t) { return mono_diff_ms(clock_mono(&clock_system), t); }

static mono_t ms_ahead(int64_t ms) {
    mono_t now = clock_mono(&clock_system);
    now.ns += ms * 1000000;
    return now;
}

/* ---- answers ---- */

static enum MHD_Result send_response(request_t *r, unsigned status, const char *type, struct MHD_Response *response) {
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(r->conn, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_buf(request_t *r, unsigned status, const char *type, buf_t *b) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(b->len, b->s ? b->s : (void *)"", MHD_RESPMEM_MUST_COPY);
    buf_fini(b);
    return send_response(r, status, type, response);
}

static enum MHD_Result send_text(request_t *r, unsigned status, const char *text) {
    buf_t b = {0};
    buf_printf(&b, "%s\n", text);
    return send_buf(r, status, "text/plain; charset=utf-8", &b);
}

static const char *header(const request_t *r, const char *name) {
    return MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, name);
}

/* ---- waiting ---- */

static void suspend(request_t *r, waits_t what) {
    http_t *h = r->http;
    r->waits = what;
    r->prev = NULL;
    r->next = h->suspended;
    if (r->next)
        r->next->prev = r;
    h->suspended = r;
    MHD_suspend_connection(r->conn);
}

static void unlist(request_t *r) {
    if (r->waits == WAITS_NOT)
        return;
    r->waits = WAITS_NOT;
    if (r->next)
        r->next->prev = r->prev;
    if (r->prev)
        r->prev->next = r->next;
    else
        r->http->suspended = r->next;
}

static int is_due(const request_t *r) {
    if (r->http->stopping || ms_since(r->deadline) >= 0)
        return 1;
    if (r->waits == WAITS_RELOAD)
        return publisher_reloads(r->http->publisher) >= r->reloads;
    return feed_next(r->http->feed) > r->at;
}

static void wake_due(http_t *h) {
    for (request_t *r = h->suspended, *next; r; r = next) {
        next = r->next;
        if (!is_due(r))
            continue;
        unlist(r);
        MHD_resume_connection(r->conn);
    }
}

/* ---- what may be read ---- */

static enum MHD_Result get_health(request_t *r) {
    if (pulse_is_stuck(r->http->pulse, STUCK_MS)) {
        char text[100];
        snprintf(text, sizeof text, "the loop has not turned for %lld s",
                 (long long)(pulse_age_ms(r->http->pulse) / 1000));
        return send_text(r, MHD_HTTP_SERVICE_UNAVAILABLE, text);
    }
    return send_text(r, MHD_HTTP_OK, "ok");
}

static enum MHD_Result get_ready(request_t *r) {
    const snapshot_t *s = snapshot_take(r->http->publisher);
    phase_t phase = s->phase;
    snapshot_drop(r->http->publisher, s);
    if (phase != PHASE_ACTIVE)
        return send_text(r, MHD_HTTP_SERVICE_UNAVAILABLE, snapshot_phase_name(phase));
    return send_text(r, MHD_HTTP_OK, "ready");
}

/* The text of a snapshot is written once, however many ask; also what it says of the process is that old then. */
static slice_t metrics_text(http_t *h) {
    const snapshot_t *s = snapshot_take(h->publisher);
    if (h->metrics_of != s->number || ms_since(h->metrics_at) >= METRICS_MS) {
        buf_clear(&h->metrics);
        metrics_write(s, &h->metrics);
        h->metrics_of = s->number;
        h->metrics_at = clock_mono(&clock_system);
    }
    snapshot_drop(h->publisher, s);
    return buf_slice(&h->metrics);
}

static enum MHD_Result get_metrics(request_t *r) {
    http_t *h = r->http;
    buf_t b = {0};
    buf_add_slice(&b, metrics_text(h));
    metrics_write_now(pulse_age_ms(h->pulse), h->n_connections, h->n_streams, &b);
    return send_buf(r, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &b);
}

static enum MHD_Result get_rules(request_t *r) {
    buf_t b = {0};
    const snapshot_t *s = snapshot_take(r->http->publisher);
    snapshot_json_write(s, &b);
    snapshot_drop(r->http->publisher, s);
    return send_buf(r, MHD_HTTP_OK, "application/json", &b);
}

/* The page's own script and style carry a word that nobody can know before: whatever else gets into it does not run. */
static enum MHD_Result get_page(request_t *r) {
    static const char mark[] = "PAGE_NONCE";
    unsigned char random[16];
    char nonce[33], policy[300];
    const char *at = scripts_pages[0].text, *next;
    buf_t b = {0};
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return send_text(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "no random numbers");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    for (; (next = strstr(at, mark)); at = next + sizeof mark - 1) {
        buf_add(&b, at, (size_t)(next - at));
        buf_add_str(&b, nonce);
    }
    buf_add_str(&b, at);
    snprintf(policy, sizeof policy,
             "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; img-src data:; "
             "base-uri 'none'; "
             "form-action 'none'; frame-ancestors 'none'",
             nonce, nonce);
    struct MHD_Response *response = MHD_create_response_from_buffer(b.len, b.s, MHD_RESPMEM_MUST_COPY);
    buf_fini(&b);
    if (response)
        MHD_add_response_header(response, "Content-Security-Policy", policy);
    return send_response(r, MHD_HTTP_OK, "text/html; charset=utf-8", response);
}

/* ---- events ---- */

/* More of the stream, or nothing for now. A reader that the ring left behind is dropped; it may come again. */
static ssize_t read_events(void *cls, uint64_t pos, char *into, size_t max) {
    request_t *r = cls;
    (void)pos;
    if (r->http->stopping)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (r->sent == r->out.len) {
        buf_clear(&r->out);
        r->sent = 0;
        if (feed_read(r->http->feed, &r->at, STREAM_BYTES, &r->out))
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (r->out.len == 0 && ms_since(r->deadline) >= 0)
            buf_add_str(&r->out, ": still here\n\n");
        if (r->out.len == 0) {
            suspend(r, WAITS_EVENTS);
            return 0;
        }
        r->deadline = ms_ahead(BEAT_MS);
    }
    size_t n = r->out.len - r->sent < max ? r->out.len - r->sent : max;
    memcpy(into, r->out.s + r->sent, n);
    r->sent += n;
    return (ssize_t)n;
}

static enum MHD_Result get_events(request_t *r) {
    const char *last = header(r, "Last-Event-ID");
    uint64_t first = feed_first(r->http->feed), next = feed_next(r->http->feed),
             after = last ? strtoull(last, NULL, 10) : 0;
    if (r->http->n_streams >= STREAMS_MAX)
        return send_text(r, MHD_HTTP_SERVICE_UNAVAILABLE, "too many readers of events");
    if (r->is_head)
        return send_response(r, MHD_HTTP_OK, EVENTS_TYPE,
                             MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT));
    r->at = next - first > EVENTS_BEFORE ? next - EVENTS_BEFORE : first;
    if (last && after < next) /* numbers of an earlier process may be greater than any here */
        r->at = after + 1 > first ? after + 1 : first;
    r->is_stream = 1;
    r->connection->keeps = 1;
    r->connection->stream = r;
    /* What the kernel would hold for a reader that does not read is no use to anybody. */
    (void)setsockopt(r->connection->fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BYTES}, sizeof(int));
    r->http->n_streams++;
    buf_add_str(&r->out, "retry: 1000\n\n");
    r->deadline = ms_ahead(BEAT_MS);
    return send_response(r, MHD_HTTP_OK, EVENTS_TYPE,
                         MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_events, r, NULL));
}

/* ---- what changes something ---- */

static enum MHD_Result tell_reload(request_t *r) {
    if (publisher_reloads(r->http->publisher) < r->reloads)
        return send_text(r, MHD_HTTP_ACCEPTED, "the reload is under way; /rules tells what came of it");
    const snapshot_t *s = snapshot_take(r->http->publisher);
    buf_t b = {0};
    unsigned status = s->reload_ok ? MHD_HTTP_OK : MHD_HTTP_UNPROCESSABLE_CONTENT;
    buf_printf(&b, s->reload_ok ? "%s\n" : "not reloaded, the old rules go on: %s\n", s->reload_text);
    for (uint32_t i = 0; i < s->n_rules && s->reload_ok; i++)
        if (s->rules[i].view.verdict)
            buf_printf(&b, "%s: %s\n", s->rules[i].name, s->rules[i].view.verdict);
    snapshot_drop(r->http->publisher, s);
    return send_buf(r, status, "text/plain; charset=utf-8", &b);
}

static enum MHD_Result post_reload(request_t *r) {
    if (r->asked)
        return tell_reload(r);
    r->asked = 1;
    r->connection->keeps = 1;
    r->reloads = publisher_reloads(r->http->publisher) + 1;
    r->deadline = ms_ahead(RELOAD_MS);
    publisher_ask_reload(r->http->publisher);
    suspend(r, WAITS_RELOAD);
    return MHD_YES;
}

/* Whether this request may change something; else it has been answered, *out is how. */
static int may_change(request_t *r, enum MHD_Result *out) {
    const http_t *h = r->http;
    if (!http_guard_origin(header(r, "Origin"), header(r, "Sec-Fetch-Site"), header(r, "Host"))) {
        *out = send_text(r, MHD_HTTP_FORBIDDEN, "requests that change something are not taken from other pages");
    } else if (!h->token && !h->listener.is_local) {
        *out = send_text(r, MHD_HTTP_FORBIDDEN,
                         "this listener is not local: set http_token in the configuration to allow changes");
    } else if (h->token && !http_guard_token(h->token, header(r, "Authorization"))) {
        struct MHD_Response *response =
            MHD_create_response_from_buffer(12, (void *)"wrong token\n", MHD_RESPMEM_PERSISTENT);
        if (response)
            MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
        *out = send_response(r, MHD_HTTP_UNAUTHORIZED, "text/plain; charset=utf-8", response);
    } else {
        return 1;
    }
    return 0;
}

/* ---- the way of a request ---- */

typedef struct route {
    const char *path;
    enum MHD_Result (*answer)(request_t *r);
} route_t;

static const route_t reading[] = {{"/", get_page},
                                  {"/healthz", get_health},
                                  {"/readyz", get_ready},
                                  {"/metrics", get_metrics},
                                  {"/rules", get_rules},
                                  {"/events", get_events},
                                  {NULL, NULL}};
static const route_t changing[] = {{"/-/reload", post_reload}, {NULL, NULL}};

static const route_t *find(const route_t *routes, const char *path) {
    while (routes->path && strcmp(routes->path, path) != 0)
        routes++;
    return routes->path ? routes : NULL;
}

static enum MHD_Result wrong_method(request_t *r, const char *allowed) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(13, (void *)"wrong method\n", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allowed);
    return send_response(r, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", response);
}

static enum MHD_Result count_host(void *count, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    (void)value;
    *(int *)count += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

/* Of several one is believed here and another one by whatever stands between. */
static int count_hosts(const request_t *r) {
    int n = 0;
    MHD_get_connection_values(r->conn, MHD_HEADER_KIND, count_host, &n);
    return n;
}

static enum MHD_Result answer(request_t *r, const char *path, const char *method) {
    int reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0, changes = strcmp(method, "POST") == 0;
    const route_t *get = find(reading, path), *post = find(changing, path);
    enum MHD_Result result;
    r->is_head = strcmp(method, "HEAD") == 0;
    if (count_hosts(r) > 1)
        return send_text(r, MHD_HTTP_BAD_REQUEST, "more than one Host");
    if (!http_guard_host(&r->http->listener, header(r, "Host")))
        return send_text(r, MHD_HTTP_FORBIDDEN, "this listener does not answer to that Host");
    if (get)
        return reads ? get->answer(r) : wrong_method(r, "GET, HEAD");
    if (post && changes)
        return may_change(r, &result) ? post->answer(r) : result;
    return post ? wrong_method(r, "POST")
                : send_text(r, MHD_HTTP_NOT_FOUND,
                            "not here; there are /, /healthz, /readyz, /metrics, /rules, /events, and POST /-/reload");
}

static connection_t *connection_of(struct MHD_Connection *conn) {
    return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state) {
    request_t *r = *state;
    (void)version;
    (void)upload;
    if (!r) {
        r = mem_zalloc(sizeof *r);
        r->http = cls;
        r->conn = conn;
        r->connection = connection_of(conn);
        *state = r;
        const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
        if (length && strtoull(length, NULL, 10) > BODY_MAX)
            return send_text(r, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
        return MHD_YES;
    }
    if (*upload_size) {
        r->body += *upload_size;
        *upload_size = 0;
        return r->body > BODY_MAX ? MHD_NO : MHD_YES;
    }
    return answer(r, url, method);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode code) {
    request_t *r = *state;
    (void)cls;
    (void)conn;
    (void)code;
    if (!r)
        return;
    unlist(r);
    if (r->is_stream)
        r->http->n_streams--;
    r->connection->keeps = 0;
    r->connection->stream = NULL;
    r->connection->since = clock_mono(&clock_system);
    buf_fini(&r->out);
    mem_free(r);
    *state = NULL;
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    http_t *h = cls;
    connection_t *c = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = mem_zalloc(sizeof *c);
        c->fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        c->since = clock_mono(&clock_system);
        c->next = h->connections;
        if (c->next)
            c->next->prev = c;
        h->connections = c;
        h->n_connections++;
        *context = c;
        return;
    }
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        h->connections = c->next;
    h->n_connections--;
    mem_free(c);
    *context = NULL;
}

/* It does not take what is there, and what it wants next is no longer kept. */
static int is_left_behind(const http_t *h, const request_t *stream) {
    return stream && stream->waits == WAITS_NOT && feed_first(h->feed) > stream->at;
}

/* Clients that send a byte now and then never time out by themselves. When connections get scarce, patience does, too. */
static void sweep(http_t *h) {
    if (ms_since(h->swept) < CROWDED_MS / 2)
        return;
    h->swept = clock_mono(&clock_system);
    int64_t patience = h->n_connections > CONNECTIONS_MAX * 3 / 4 ? CROWDED_MS : REQUEST_MS;
    for (connection_t *c = h->connections; c; c = c->next)
        if ((!c->keeps && ms_since(c->since) > patience) || is_left_behind(h, c->stream))
            shutdown(c->fd, SHUT_RDWR);
}

static void *serve(void *arg) {
    http_t *h = arg;
    pthread_setname_np(pthread_self(), "http");
    while (!atomic_load(&h->stop_asked)) {
        MHD_run_wait(h->daemon, h->suspended ? WAIT_STREAM_MS : WAIT_MS);
        wake_due(h);
        sweep(h);
    }
    h->stopping = 1; /* nothing suspends itself from here on; the daemon may only stop when nothing is */
    wake_due(h);
    MHD_run_wait(h->daemon, 0);
    MHD_run_wait(h->daemon, 0);
    MHD_stop_daemon(h->daemon);
    return NULL;
}

static void quiet(void *cls, const char *fmt, va_list args) {
    char text[300];
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = 0;
    log_say(cls, LOG_DEBUG, "http", "%s", text);
}

int http_open(http_t **out, const http_options_t *o, error_t *e) {
    http_t *h = mem_zalloc(sizeof *h);
    h->log = o->log;
    h->publisher = o->publisher;
    h->feed = o->feed;
    h->pulse = o->pulse;
    h->token = o->token && *o->token ? mem_strdup(o->token) : NULL;
    log_add_secret(h->log, h->token);
    int rc = http_listen_open(&h->listener, o->address, e);
    if (rc)
        goto fail;
    h->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, h,
                         MHD_OPTION_EXTERNAL_LOGGER, quiet, h->log, MHD_OPTION_LISTEN_SOCKET, h->listener.fd,
                         MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                         h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
    if (!h->daemon) {
        rc = error_set(e, ERR_INTERNAL, "http \"%s\": the server does not start", o->address);
        goto fail;
    }
    h->listener.fd = -1; /* the daemon's from here on */
    if (pthread_create(&h->thread, NULL, serve, h)) {
        rc = error_set(e, ERR_INTERNAL, "http \"%s\": cannot start a thread", o->address);
        goto fail;
    }
    h->has_thread = 1;
    if (!h->listener.is_local && !h->token)
        log_say(h->log, LOG_WARN, "http",
                "%s is not local and there is no http_token: everybody who reaches it may read, nobody may reload",
                o->address);
    log_say(h->log, LOG_INFO, "http", "listening on %s", o->address);
    *out = h;
    return 0;
fail:
    http_close(h);
    return rc;
}

void http_close(http_t *h) {
    if (!h)
        return;
    atomic_store(&h->stop_asked, 1);
    if (h->has_thread)
        pthread_join(h->thread, NULL);
    else if (h->daemon)
        MHD_stop_daemon(h->daemon);
    http_listen_close(&h->listener);
    buf_fini(&h->metrics);
    mem_free(h->token);
    mem_free(h);
}
