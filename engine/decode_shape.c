#include "decode_shape.h"
#include "batch.h"
#include "json.h"
#include "mem.h"

/* Interning a column stops when of so many strings more than a quarter was not known. */
#define JUDGED_STRINGS 256
#define LONGEST_PAUSE 1024

static void forget_edges(shape_edge_t edges[2]) { edges[0].len = edges[1].len = 0; }

shape_node_t *shape_new(void) {
    shape_node_t *node = mem_zalloc(sizeof *node);
    node->column = node->list = -1;
    return node;
}

static void free_member(shape_member_t *m) {
    mem_free((void *)m->key.s);
    mem_free(m);
}

void shape_free(shape_node_t *node) {
    if (!node)
        return;
    for (size_t i = 0; i < node->n_members; i++) {
        if (i < node->n_wanted)
            shape_free(node->members[i]->node);
        free_member(node->members[i]);
    }
    mem_free(node->members);
    map_fini(&node->by_key);
    shape_free(node->element);
    mem_free(node);
}

static shape_member_t *add_member(shape_node_t *node, slice_t key) {
    mem_grow(&node->members, &node->cap_members, node->n_members + 1, sizeof(shape_member_t *));
    shape_member_t *m = mem_zalloc(sizeof *m);
    m->key = (slice_t){mem_strndup(key.s, key.len), key.len};
    node->members[node->n_members++] = m;
    return m;
}

static void index_member(shape_node_t *node, shape_member_t *m) { map_put(&node->by_key, m->key.s, m->key.len, m); }

/* A wanted name is found by the body only where they are the same bytes: one with a backslash in it looks like another
 * name's escape. */
static void index_wanted(shape_node_t *node, shape_member_t *m) {
    if (json_plain(m->key.s, m->key.len))
        index_member(node, m);
}

shape_node_t *shape_want(shape_node_t *node, const char *name, size_t len) {
    slice_t key = {name, len};
    for (size_t i = 0; i < node->n_wanted; i++)
        if (slice_eq(node->members[i]->key, key))
            return node->members[i]->node;
    shape_node_t *value = shape_new();
    shape_member_t *m = add_member(node, key);
    m->node = value;
    index_wanted(node, m);
    node->n_wanted++;
    return value;
}

shape_node_t *shape_want_member(shape_node_t *root, const char *name) {
    shape_node_t *node = root;
    const char *down;
    while ((down = strchr(name, BATCH_DOWN))) {
        node = shape_want(node, name, (size_t)(down - name));
        node->is_path = 1;
        name = down + 1;
    }
    return shape_want(node, name, strlen(name));
}

static shape_node_t *want_element(shape_node_t *node) {
    if (!node->element)
        node->element = shape_new();
    return node->element;
}

/* Length of the member name at s, up to '.', '[' or the end. */
static size_t name_length(const char *s) { return strcspn(s, ".["); }

shape_node_t *shape_want_path(shape_node_t *root, const char *path) {
    shape_node_t *node = root;
    size_t len = strlen(path);
    if (len < 3 || strcmp(path + len - 2, "[]") != 0)
        return NULL;
    for (const char *s = path; *s;) {
        size_t n = name_length(s);
        if (n == 0)
            return NULL;
        node = shape_want(node, s, n);
        node->is_path = 1;
        for (s += n; s[0] == '[' && s[1] == ']'; s += 2) {
            node = want_element(node);
            node->is_path = 1;
        }
        if (*s == '.' && s[1])
            s++;
        else if (*s)
            return NULL;
    }
    return node;
}

/* After the element's. */
static void settle_symbols(shape_node_t *node) {
    node->lists_symbols = node->list >= 0 && node->column < 0 && node->interns;
    node->holds_symbols = node->enters_arrays && node->element && node->element->lists_symbols;
}

void shape_settle(shape_node_t *node) {
    node->only_path = node->is_path && node->column < 0 && node->list < 0;
    node->enters_arrays = node->only_path && node->element;
    node->enters_objects = node->only_path && node->n_wanted > 0;
    node->opens = node->is_path && node->n_wanted > 0;
    for (size_t i = 0; i < node->n_wanted; i++) {
        shape_node_t *value = node->members[i]->node;
        value->path_bit = value->is_path ? (uint64_t)1 << (i & 63) : 0; /* a bit shared costs time, not truth */
        shape_settle(value);
    }
    if (node->element)
        shape_settle(node->element);
    settle_symbols(node);
}

/* A key written with escapes may still be a wanted name. */
static shape_member_t *wanted_member(const shape_node_t *node, slice_t body) {
    for (size_t i = 0; i < node->n_wanted; i++)
        if (json_name_eq(body, 1, node->members[i]->key))
            return node->members[i];
    return NULL;
}

shape_member_t *shape_member(shape_node_t *node, slice_t body, int escaped) {
    shape_member_t *m = map_get(&node->by_key, body.s, body.len);
    if (!m && escaped)
        m = wanted_member(node, body);
    if (m)
        return m;
    if (node->n_members >= SHAPE_MEMBERS)
        return &node->stranger;
    m = add_member(node, body);
    index_member(node, m);
    return m;
}

static uint32_t low_bits(size_t n) { return n >= 32 ? UINT32_MAX : ((uint32_t)1 << n) - 1; }

void shape_learn(shape_edge_t edges[2], const char *text, size_t len, shape_member_t *to) {
    if (len > SHAPE_TEXT)
        return;
    edges[1] = edges[0];
    edges[0] = (shape_edge_t){.len = (uint32_t)len, .mask = low_bits(len), .to = to};
    memcpy(edges[0].text, text, len);
}

static void judge_interning(shape_node_t *node) {
    if (node->paused) {
        node->interns = --node->paused == 0;
        return;
    }
    if (node->asked < JUDGED_STRINGS)
        return;
    if (node->missed * 4 > node->asked) {
        node->pause = node->pause ? node->pause * 2 : 8;
        if (node->pause > LONGEST_PAUSE)
            node->pause = LONGEST_PAUSE;
        node->paused = node->pause;
        node->interns = 0;
    } else {
        node->pause = 0;
    }
    node->asked = node->missed = 0;
}


/* A full table of keys is mostly keys that will not come back: the layout is learned anew. */
static void forget_members(shape_node_t *node) {
    map_clear(&node->by_key);
    for (size_t i = node->n_wanted; i < node->n_members; i++)
        free_member(node->members[i]);
    node->n_members = node->n_wanted;
    for (size_t i = 0; i < node->n_members; i++) {
        shape_member_t *m = node->members[i];
        forget_edges(m->next);
        index_wanted(node, m);
    }
    forget_edges(node->open);
    forget_edges(node->stranger.next);
}

void shape_between_batches(shape_node_t *node) {
    if (node->wants_symbols)
        judge_interning(node);
    if (node->n_members >= SHAPE_MEMBERS && node->n_wanted < SHAPE_MEMBERS)
        forget_members(node);
    for (size_t i = 0; i < node->n_wanted; i++)
        shape_between_batches(node->members[i]->node);
    if (node->element)
        shape_between_batches(node->element);
    settle_symbols(node);
}
