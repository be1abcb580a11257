#include "script_plan.h"
#include "mem.h"
#include "script_state.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- texts ---- */

void script_texts_free(rule_texts_t *t) {
    for (size_t i = 0; i < t->n; i++) {
        mem_free(t->at[i].name);
        mem_free(t->at[i].text);
    }
    mem_free(t->at);
    *t = (rule_texts_t){0};
}

typedef struct reading {
    rule_texts_t texts; /* text == NULL: could not be read, then the reason is in errors */
    char **errors;
    size_t cap, cap_errors;
} reading_t;

static void reading_fini(reading_t *r) {
    for (size_t i = 0; i < r->texts.n; i++)
        mem_free(r->errors[i]);
    mem_free(r->errors);
    script_texts_free(&r->texts);
}

static void add_text(reading_t *r, rule_text_t text, const char *error) {
    mem_grow(&r->texts.at, &r->cap, r->texts.n + 1, sizeof *r->texts.at);
    mem_grow(&r->errors, &r->cap_errors, r->texts.n + 1, sizeof *r->errors);
    r->errors[r->texts.n] = error ? mem_strdup(error) : NULL;
    r->texts.at[r->texts.n++] = text;
}

/* NULL with errno set; EFBIG where it is larger than a rule file may be. */
static char *read_whole(const char *path, size_t *len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    struct stat st;
    int error = fstat(fd, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    buf_t b = {0};
    ssize_t n = 1;
    while (!error && n > 0) {
        buf_reserve(&b, 65536);
        n = read(fd, b.s + b.len, 65536);
        if (n < 0 && errno != EINTR)
            error = errno;
        if (n > 0)
            b.len += (size_t)n;
        if (b.len > SCRIPT_FILE_MAX)
            error = EFBIG;
        if (n < 0 && !error)
            n = 1;
    }
    close(fd);
    if (error) {
        buf_fini(&b);
        errno = error;
        return NULL;
    }
    *len = b.len;
    buf_reserve(&b, 1);
    return buf_take(&b);
}

static void read_file(reading_t *r, const char *path, const char *name) {
    size_t len = 0;
    char *text = read_whole(path, &len);
    char error[128] = "";
    if (!text && strerror_r(errno, error, sizeof error) != error)
        snprintf(error, sizeof error, "%s", strerror(errno));
    add_text(r, (rule_text_t){mem_strdup(name), text, len}, text ? NULL : error);
}

static int is_lua(const char *name) {
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".lua") == 0;
}

/* Files and folders with a dot in front are no rules (editors' and Kubernetes' own). 0 or -1 with errno. */
static int read_folder(reading_t *r, const char *folder, const char *prefix, int depth) {
    DIR *d = opendir(folder);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d)) && r->texts.n < SCRIPT_FILES_MAX;) {
        if (e->d_name[0] == '.')
            continue;
        char *path = mem_printf("%s/%s", folder, e->d_name), *name = mem_printf("%s%s", prefix, e->d_name);
        struct stat st;
        int is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        if (is_dir && depth < SCRIPT_FOLDER_DEPTH) {
            char *below = mem_printf("%s/", name);
            (void)read_folder(r, path, below, depth + 1);
            mem_free(below);
        } else if (!is_dir && is_lua(e->d_name)) {
            read_file(r, path, name);
        }
        mem_free(path);
        mem_free(name);
    }
    closedir(d);
    return 0;
}

/* ---- loading ---- */

typedef struct loading {
    script_t *s;
    const rule_texts_t *texts;
    char **errors;    /* NULL: all texts are there */
    const char *root; /* folder, for messages; "" where names say all */
    const char *only; /* the one rule file, or NULL */
    const char *from; /* what the user named */
    const config_t *config;
    plan_t *plan;
    rule_texts_t kept;
    faults_t *faults;
    char current[400]; /* the file being run: known also when it does not end */
} loading_t;

static void push_names(lua_State *L, const names_t *n) {
    lua_createtable(L, (int)n->n, 0);
    for (uint32_t i = 0; i < n->n; i++) {
        lua_pushstring(L, n->at[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void set_string(lua_State *L, const char *key, const char *value) {
    if (!value)
        return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

/* [] -> [list]: what rules may know of the sources */
static void push_sources(lua_State *L, const config_t *config) {
    lua_createtable(L, (int)config->n_sources, 0);
    for (uint32_t i = 0; i < config->n_sources; i++) {
        const source_spec_t *source = &config->sources[i];
        lua_newtable(L);
        set_string(L, "name", source->name);
        set_string(L, "file", source->file);
        set_string(L, "event_time", source->event_time);
        lua_pushinteger(L, source->line);
        lua_setfield(L, -2, "line");
        lua_pushinteger(L, (lua_Integer)source->event_unit_ms);
        lua_setfield(L, -2, "event_unit_ms");
        lua_pushinteger(L, (lua_Integer)source->watermark);
        lua_setfield(L, -2, "watermark");
        push_names(L, &source->topics);
        lua_setfield(L, -2, "topic");
        lua_createtable(L, (int)source->n_metadata, 0);
        for (uint32_t k = 0; k < source->n_metadata; k++) {
            lua_newtable(L);
            set_string(L, "name", source->metadata[k].name);
            lua_pushinteger(L, (lua_Integer)source->metadata[k].kind);
            lua_setfield(L, -2, "kind");
            lua_rawseti(L, -2, (int)k + 1);
        }
        lua_setfield(L, -2, "metadata");
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* [] -> [list] */
static void push_texts(lua_State *L, const loading_t *l) {
    lua_createtable(L, (int)l->texts->n, 0);
    for (size_t i = 0; i < l->texts->n; i++) {
        const rule_text_t *t = &l->texts->at[i];
        lua_newtable(L);
        set_string(L, "name", t->name);
        if (l->root[0])
            lua_pushfstring(L, "%s/%s", l->root, t->name);
        else
            lua_pushstring(L, t->name);
        lua_setfield(L, -2, "path");
        if (t->text) {
            lua_pushlstring(L, t->text, t->len);
            lua_setfield(L, -2, "text");
        }
        set_string(L, "error", l->errors ? l->errors[i] : NULL);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* [path] -> []: the file that runs now; nothing: none. */
static int set_current(lua_State *L) {
    loading_t *l = lua_touserdata(L, lua_upvalueindex(1));
    const char *path = luaL_optstring(L, 1, "");
    script_host_begin();
    snprintf(l->current, sizeof l->current, "%s", path);
    script_host_end();
    return 0;
}

static void load_body(lua_State *L, void *arg) {
    loading_t *l = arg;
    script_require(L, "loader");
    lua_getfield(L, -1, "load_into_door");
    push_texts(L, l);
    lua_newtable(L);
    push_sources(L, l->config);
    lua_setfield(L, -2, "sources");
    set_string(L, "group", l->config->group_id);
    set_string(L, "only", l->only);
    set_string(L, "from", l->from);
    lua_pushlightuserdata(L, l);
    lua_pushcclosure(L, set_current, 1);
    lua_setfield(L, -2, "running");
    lua_call(L, 2, 0);
}

static void keep_texts(lua_State *L, int t, loading_t *l) {
    lua_getfield(L, t, "used");
    size_t n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    l->kept.at = mem_zalloc((n + 1) * sizeof *l->kept.at);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        const char *name = lua_tostring(L, -1);
        for (size_t k = 0; name && k < l->texts->n; k++) {
            const rule_text_t *text = &l->texts->at[k];
            if (text->text && strcmp(text->name, name) == 0)
                l->kept.at[l->kept.n++] =
                    (rule_text_t){mem_strdup(name), mem_strndup(text->text, text->len), text->len};
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void say_warnings(lua_State *L, int t, script_t *s) {
    faults_t warnings = {0};
    lua_getfield(L, t, "warnings");
    if (lua_istable(L, -1))
        script_plan_faults(L, lua_gettop(L), &warnings);
    lua_pop(L, 1);
    for (size_t i = 0; i < warnings.n; i++)
        log_say(s->log, LOG_WARN, "rules", "%s:%d: %s", warnings.at[i].file, warnings.at[i].line, warnings.at[i].text);
    faults_fini(&warnings);
}

static void copy_body(lua_State *L, void *arg) {
    loading_t *l = arg;
    script_require(L, "loader");
    lua_getfield(L, -1, "last");
    int t = lua_gettop(L);
    size_t before = l->faults->n;
    script_host_begin();
    lua_getfield(L, t, "faults");
    script_plan_faults(L, lua_gettop(L), l->faults);
    lua_pop(L, 1);
    if (l->faults->n == before) {
        l->plan = mem_zalloc(sizeof *l->plan);
        script_plan_copy(L, t, l->config, l->plan);
        keep_texts(L, t, l);
        say_warnings(L, t, l->s);
    }
    script_host_end();
}

static int load(loading_t *l, plan_t **out) {
    *out = NULL;
    size_t before = l->faults->n;
    int rc = script_protect(l->s, load_body, l);
    if (rc == 0)
        rc = script_protect(l->s, copy_body, l);
    if (rc != 0)
        faults_add(l->faults, l->current[0] ? l->current : l->from, 0, rc == ERR_RUNAWAY ? "loading was %s" : "%s",
                   script_error(l->s));
    if (rc == 0 && l->faults->n == before) {
        script_texts_free(&l->s->texts);
        l->s->texts = l->kept;
        *out = l->plan;
        return 0;
    }
    plan_free(l->plan);
    script_texts_free(&l->kept);
    return rc == ERR_RUNAWAY ? rc : ERR_INVALID;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const rule_text_t *)a)->name, ((const rule_text_t *)b)->name);
}

static int compare_texts(const void *a, const void *b) {
    return by_name(*(const rule_text_t *const *)a, *(const rule_text_t *const *)b);
}

/* Errors stay beside their texts. */
static void sort_reading(reading_t *r) {
    const rule_text_t **order = mem_alloc((r->texts.n + 1) * sizeof(rule_text_t *));
    for (size_t i = 0; i < r->texts.n; i++)
        order[i] = &r->texts.at[i];
    qsort(order, r->texts.n, sizeof(rule_text_t *), compare_texts);
    rule_text_t *texts = mem_alloc((r->texts.n + 1) * sizeof *texts);
    char **errors = mem_alloc((r->texts.n + 1) * sizeof *errors);
    for (size_t i = 0; i < r->texts.n; i++) {
        texts[i] = *order[i];
        errors[i] = r->errors[order[i] - r->texts.at];
    }
    mem_free(order);
    mem_free(r->texts.at);
    mem_free(r->errors);
    r->texts.at = texts;
    r->errors = errors;
}

/* "rules/pizza.lua" -> "rules", "pizza.lua"; a folder's own name stays whole. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".");
}

int script_load_rules(script_t *s, const char *from, const config_t *config, plan_t **out, faults_t *faults) {
    *out = NULL;
    reading_t r = {0};
    struct stat st;
    int rc = 0;
    char *root = mem_strdup(from), *only = NULL;
    size_t n = strlen(root);
    while (n > 1 && root[n - 1] == '/')
        root[--n] = 0;
    if (stat(from, &st) != 0) {
        faults_add(faults, from, 0, "cannot be read: %s", strerror(errno));
        rc = ERR_INVALID;
    } else if (!S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(from, '/');
        only = mem_strdup(slash ? slash + 1 : from);
        mem_free(root);
        root = folder_of(from);
    }
    if (rc == 0 && read_folder(&r, root, "", 0) != 0) {
        faults_add(faults, from, 0, "cannot be read: %s", strerror(errno));
        rc = ERR_INVALID;
    }
    if (rc == 0) {
        if (only && !is_lua(only))
            read_file(&r, from, only);
        sort_reading(&r);
        loading_t l = {.s = s,
                       .texts = &r.texts,
                       .errors = r.errors,
                       .root = strcmp(root, ".") == 0 && only ? "" : root,
                       .only = only,
                       .from = from,
                       .config = config,
                       .faults = faults};
        rc = load(&l, out);
    }
    mem_free(only);
    mem_free(root);
    reading_fini(&r);
    return rc;
}

int script_load_texts(script_t *s, const rule_texts_t *texts, const config_t *config, plan_t **out, faults_t *faults) {
    /* The script's own texts may be given: they are replaced only at the end. */
    rule_texts_t copy = {mem_zalloc((texts->n + 1) * sizeof *copy.at), texts->n};
    for (size_t i = 0; i < texts->n; i++)
        copy.at[i] = (rule_text_t){mem_strdup(texts->at[i].name), mem_strndup(texts->at[i].text, texts->at[i].len),
                                   texts->at[i].len};
    qsort(copy.at, copy.n, sizeof *copy.at, by_name);
    const char *from = config->rules ? config->rules : "";
    char *root = is_lua(from) ? folder_of(from) : mem_strdup(from);
    loading_t l = {.s = s, .texts = &copy, .root = root, .from = from, .config = config, .faults = faults};
    int rc = load(&l, out);
    mem_free(root);
    script_texts_free(&copy);
    return rc;
}

typedef struct description {
    int json;
    buf_t *out;
} description_t;

static void describe_body(lua_State *L, void *arg) {
    description_t *d = arg;
    script_require(L, "loader");
    lua_getfield(L, -1, "describe_last");
    lua_pushboolean(L, d->json);
    lua_call(L, 1, 1);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    script_host_begin();
    buf_add(d->out, text, len);
    script_host_end();
}

typedef struct question {
    const char *topic;
    buf_t *out;
    int found;
} question_t;

static void reference_body(lua_State *L, void *arg) {
    question_t *q = arg;
    script_require(L, "reference");
    lua_getfield(L, -1, "text");
    lua_pushstring(L, q->topic);
    lua_call(L, 1, 1);
    size_t len = 0;
    const char *text = lua_tolstring(L, -1, &len);
    q->found = text != NULL;
    script_host_begin();
    if (text)
        buf_add(q->out, text, len);
    script_host_end();
}

int script_reference(script_t *s, const char *topic, buf_t *out) {
    question_t q = {topic, out, 0};
    int rc = script_protect(s, reference_body, &q);
    return rc ? rc : q.found ? 0 : ERR_NOT_FOUND;
}

int script_describe(script_t *s, int json, buf_t *out) {
    description_t d = {json, out};
    return script_protect(s, describe_body, &d);
}

const rule_texts_t *script_texts(const script_t *s) { return &s->texts; }
