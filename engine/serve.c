#include "serve.h"

int serve_open(serve_t *s, const config_t *config, const char *address, log_t *log, error_t *e) {
    *s = (serve_t){0};
    observers_init(&s->observers);
    observers_add(&s->observers, pulse_init(&s->pulse));
    if (!address)
        return 0;
    s->publisher = publisher_new(config, log);
    s->feed = feed_new();
    observers_add(&s->observers, publisher_observer(s->publisher));
    observers_add(&s->observers, feed_observer(s->feed));
    http_options_t options = {address, config->http_token, log, s->publisher, s->feed, &s->pulse};
    int rc = http_open(&s->http, &options, e);
    if (rc)
        serve_close(s);
    return rc;
}

observer_t *serve_observer(serve_t *s) { return &s->observers.base; }

void serve_close(serve_t *s) {
    http_close(s->http);
    feed_free(s->feed);
    publisher_free(s->publisher);
    observers_fini(&s->observers);
    pulse_fini(&s->pulse);
    *s = (serve_t){0};
}
