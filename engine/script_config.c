#include "script_config.h"
#include "mem.h"
#include "script_plan.h"
#include "script_read.h"
#include "script_state.h"
#include <errno.h>
#include <stdio.h>

static const char *const deliveries[] = {"exactly_once", "at_least_once", NULL};
static const char *const meta_kinds[] = {"timestamp", "key", "topic", "partition", "offset", "headers", NULL};
static const char *const starts[] = {"earliest", "latest", NULL};
static const char *const bad_kinds[] = {"dead_letter", "skip", "stop", NULL};
static const char *const units[] = {"ms", "s", NULL};
static const char *const idle_kinds[] = {"advance", "hold", NULL};

typedef struct loading {
    script_t *s;
    const char *path;
    const char *text;
    size_t len;
    config_t *config;
    faults_t *faults;
} loading_t;

static void load_body(lua_State *L, void *arg) {
    loading_t *l = arg;
    script_require(L, "loader");
    lua_getfield(L, -1, "load_config_file");
    lua_pushstring(L, l->path);
    lua_pushlstring(L, l->text, l->len);
    lua_call(L, 2, 0);
}

static void read_properties(lua_State *L, int t, config_t *c) {
    uint32_t n = script_read_open(L, t, "kafka");
    int list = lua_gettop(L);
    c->kafka = mem_zalloc((n + 1) * sizeof *c->kafka);
    for (; c->n_kafka < n; c->n_kafka++) {
        lua_rawgeti(L, list, (int)c->n_kafka + 1);
        int at = lua_gettop(L);
        c->kafka[c->n_kafka] = (property_t){script_read_string(L, at, "name"), script_read_string(L, at, "value"),
                                            script_read_bool(L, at, "secret"), (int)script_read_int(L, at, "line", 0)};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_metadata(lua_State *L, int t, source_spec_t *s) {
    uint32_t n = script_read_open(L, t, "metadata");
    int list = lua_gettop(L);
    s->metadata = mem_zalloc((n + 1) * sizeof *s->metadata);
    for (; s->n_metadata < n; s->n_metadata++) {
        lua_rawgeti(L, list, (int)s->n_metadata + 1);
        int at = lua_gettop(L);
        s->metadata[s->n_metadata] = (metadata_column_t){script_read_string(L, at, "name"),
                                                         (meta_kind_t)script_read_choice(L, at, "kind", meta_kinds)};
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_source(lua_State *L, int t, source_spec_t *s) {
    s->name = script_read_string(L, t, "name");
    s->file = script_read_string(L, t, "file");
    s->line = (int)script_read_int(L, t, "line", 0);
    s->topics = script_read_names(L, t, "topic");
    read_metadata(L, t, s);
    s->event_time = script_read_string(L, t, "event_time");
    s->event_unit_ms = script_read_choice(L, t, "event_unit", units) == 1 ? 1000 : 1;
    s->watermark = script_read_int(L, t, "watermark", WATERMARK_NONE);
    s->idle_after = script_read_int(L, t, "idle_after", 0);
    s->hold_when_all_idle = script_read_choice(L, t, "on_all_idle", idle_kinds);
    s->max_ahead = script_read_int(L, t, "max_ahead", AHEAD_NONE);
    s->start = (start_kind_t)script_read_choice(L, t, "start", starts);
    s->on_bad = (bad_kind_t)script_read_choice(L, t, "on_bad_record", bad_kinds);
    s->partitioned_by = script_read_names(L, t, "partitioned_by");
}

static void read_sources(lua_State *L, int t, config_t *c) {
    uint32_t n = script_read_open(L, t, "sources");
    int list = lua_gettop(L);
    c->sources = mem_zalloc((n + 1) * sizeof *c->sources);
    for (; c->n_sources < n; c->n_sources++) {
        lua_rawgeti(L, list, (int)c->n_sources + 1);
        read_source(L, lua_gettop(L), &c->sources[c->n_sources]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_nested(lua_State *L, int t, config_t *c) {
    lua_getfield(L, t, "topics");
    c->topic_partitions = script_read_int(L, lua_gettop(L), "partitions", 1);
    c->topic_replication = script_read_int(L, lua_gettop(L), "replication", 1);
    lua_pop(L, 1);
    lua_getfield(L, t, "budget");
    c->budget_time = script_read_int(L, lua_gettop(L), "time", 100);
    c->budget_memory = script_read_int(L, lua_gettop(L), "memory", 64 << 20);
    lua_pop(L, 1);
}

static void register_secrets(lua_State *L, int t, script_t *s) {
    names_t secrets = script_read_names(L, t, "secrets");
    for (uint32_t i = 0; i < secrets.n; i++)
        log_add_secret(s->log, secrets.at[i]);
    names_free(&secrets);
}

static void copy_config(lua_State *L, int t, config_t *c) {
    c->path = script_read_string(L, t, "path");
    read_properties(L, t, c);
    c->group_id = script_read_string(L, t, "group_id");
    read_sources(L, t, c);
    c->rules = script_read_string(L, t, "rules");
    c->delivery = (delivery_t)script_read_choice(L, t, "delivery", deliveries);
    c->commit_interval = script_read_int(L, t, "commit_interval", 100);
    c->parallelism = script_read_int(L, t, "parallelism", 1);
    c->threads = script_read_int(L, t, "threads", 0);
    c->http = script_read_string(L, t, "http");
    c->http_token = script_read_string(L, t, "http_token");
    c->max_state = script_read_int(L, t, "max_state", 0);
    c->prefetch = script_read_int(L, t, "prefetch", 32 << 20);
    read_nested(L, t, c);
}

static void copy_body(lua_State *L, void *arg) {
    loading_t *l = arg;
    script_require(L, "loader");
    lua_getfield(L, -1, "last_config");
    int t = lua_gettop(L);
    script_host_begin();
    /* Also where there are faults: their texts must not show secrets. */
    register_secrets(L, t, l->s);
    lua_getfield(L, t, "faults");
    script_plan_faults(L, lua_gettop(L), l->faults);
    lua_getfield(L, t, "sources");
    int complete = lua_istable(L, -1); /* not so where the file could not be run to its end */
    lua_pop(L, 2);
    if (complete) {
        l->config = mem_zalloc(sizeof *l->config);
        copy_config(L, t, l->config);
    }
    script_host_end();
}

static char *read_text(const char *path, size_t *len) {
    FILE *f = fopen(path, "rbe");
    if (!f)
        return NULL;
    buf_t b = {0};
    size_t n;
    do {
        buf_reserve(&b, 65536);
        n = fread(b.s + b.len, 1, 65536, f);
        b.len += n;
    } while (n > 0 && b.len <= SCRIPT_FILE_MAX);
    int error = ferror(f) ? (errno ? errno : EIO) : b.len > SCRIPT_FILE_MAX ? EFBIG : 0;
    fclose(f);
    *len = b.len;
    buf_reserve(&b, 1);
    char *text = buf_take(&b);
    if (!error)
        return text;
    mem_free(text);
    errno = error;
    return NULL;
}

int script_load_config_text(script_t *s, const char *path, const char *text, size_t len, config_t **out,
                            faults_t *faults) {
    *out = NULL;
    size_t before = faults->n;
    loading_t l = {.s = s, .path = path, .text = text, .len = len, .faults = faults};
    int rc = script_protect(s, load_body, &l);
    if (rc == 0)
        rc = script_protect(s, copy_body, &l);
    if (rc != 0)
        faults_add(faults, path, 0, "loading was %s", script_error(s));
    for (size_t i = before; i < faults->n; i++)
        log_mask(s->log, faults->at[i].text, strlen(faults->at[i].text));
    *out = l.config;
    if (rc == 0 && faults->n == before)
        return 0;
    return rc == ERR_RUNAWAY ? rc : ERR_INVALID;
}

int script_load_config(script_t *s, const char *path, config_t **out, faults_t *faults) {
    size_t len = 0;
    char *text = read_text(path, &len);
    if (!text) {
        *out = NULL;
        faults_add(faults, path, 0, "cannot be read: %s", strerror(errno));
        return ERR_INVALID;
    }
    int rc = script_load_config_text(s, path, text, len, out, faults);
    mem_free(text);
    return rc;
}
