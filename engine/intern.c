#include "intern.h"
#include "arena.h"
#include "json.h"
#include "map.h"
#include "mem.h"
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SLOTS 1024
#define LOAD 4 /* slots per spelling: a second probe costs more than the room */
/* Spellings per symbol, on average, that are remembered. */
#define SPELLINGS 2
/* A generation that fills within so many batches was not worth its making: the next one waits, twice as long each time. */
#define SHORT_LIFE 64
#define LONGEST_REST 1024

struct intern {
    intern_short_t fast;
    void *slots_block;        /* what fast.slots was aligned within */
    uint32_t n_short, n_long; /* spellings remembered */
    map_t spellings;          /* bodies that have no slot -> sym */
    map_t values;             /* UTF-8 values -> sym */
    const sym_t **symbols;    /* by id */
    size_t n_symbols, cap_symbols;
    uint32_t max_symbols;
    size_t max_bytes;
    arena_t strings;          /* symbols, their bytes, keys of spellings */
    arena_t before;           /* those of the generation before, for the batch that may still be looked at */
    uint32_t generation, age; /* age in batches */
    uint64_t hits, refused;   /* of late: symbols found, and answers of NULL */
    uint32_t rest, resting;   /* batches to answer nothing, after a short life */
};

static void make_slots(intern_t *t, size_t n) {
    mem_free(t->slots_block);
    t->slots_block = mem_zalloc(n * sizeof(intern_slot_t) + MEM_LINE);
    size_t past_line = (uintptr_t)t->slots_block % MEM_LINE;
    t->fast.slots = (intern_slot_t *)((char *)t->slots_block + (past_line ? MEM_LINE - past_line : 0));
    t->fast.mask = n - 1;
}

intern_t *intern_new(uint32_t max_symbols, size_t max_bytes) {
    intern_t *t = mem_zalloc(sizeof *t);
    t->max_symbols = max_symbols;
    t->max_bytes = max_bytes;
    if (getrandom(&t->fast.seed, sizeof t->fast.seed, 0) != (ssize_t)sizeof t->fast.seed)
        t->fast.seed = (uint64_t)(uintptr_t)t;
    arena_init(&t->strings);
    arena_init(&t->before);
    make_slots(t, FIRST_SLOTS);
    return t;
}

void intern_free(intern_t *t) {
    if (!t)
        return;
    arena_fini(&t->strings);
    arena_fini(&t->before);
    map_fini(&t->spellings);
    map_fini(&t->values);
    mem_free(t->symbols);
    mem_free(t->slots_block);
    mem_free(t);
}

const intern_short_t *intern_short(const intern_t *t) { return &t->fast; }

/* Padded with quotes, a body that ends with one, which is escaped, looks like the one without it: no slot for those. */
static int is_short(const char *body, size_t len) { return len <= INTERN_SHORT && (len == 0 || body[len - 1] != '"'); }

static void pad_key(char key[INTERN_SHORT], const char *body, size_t len) {
    memset(key, '"', INTERN_SHORT);
    if (len)
        memcpy(key, body, len);
}

static uint64_t hash_key(const intern_t *t, const char key[INTERN_SHORT]) {
    uint64_t w[4];
    memcpy(w, key, sizeof w);
    return intern_hash(w[0], w[1], w[2], w[3], t->fast.seed);
}

/* The slot of the key, an empty one within reach, or NULL. */
static intern_slot_t *find_slot(const intern_t *t, const char key[INTERN_SHORT], size_t len) {
    uint64_t h = hash_key(t, key);
    for (uint64_t i = 0; i < INTERN_PROBES; i++) {
        intern_slot_t *s = &t->fast.slots[(h + i) & t->fast.mask];
        if (!s->sym || (s->len == len && memcmp(s->key, key, INTERN_SHORT) == 0))
            return s;
    }
    return NULL;
}

static int put_slot(intern_t *t, const intern_slot_t *filled) {
    intern_slot_t *s = find_slot(t, filled->key, filled->len);
    if (!s)
        return 0;
    *s = *filled;
    return 1;
}

static void grow_slots(intern_t *t) {
    size_t n = t->fast.mask + 1;
    intern_slot_t *old = t->fast.slots;
    void *old_block = t->slots_block;
    t->slots_block = NULL;
    make_slots(t, n * 2);
    t->n_short = 0;
    for (size_t i = 0; i < n; i++)
        if (old[i].sym)
            t->n_short += (uint32_t)put_slot(t, &old[i]); /* one that finds no place is looked up by value again */
    mem_free(old_block);
}

/* Remembers one more spelling of a symbol, while there is room. */
static void remember(intern_t *t, const char *body, size_t len, const sym_t *sym) {
    if (t->n_short + t->n_long >= t->max_symbols * SPELLINGS)
        return;
    if (!is_short(body, len)) {
        if (t->strings.used + len > t->max_bytes)
            return;
        map_put(&t->spellings, arena_dup(&t->strings, body, len), len, (void *)sym);
        t->n_long++;
        return;
    }
    if ((uint64_t)t->n_short * LOAD >= t->fast.mask)
        grow_slots(t);
    intern_slot_t s = {.sym = sym, .len = (uint32_t)len};
    pad_key(s.key, body, len);
    t->n_short += (uint32_t)put_slot(t, &s);
}

static const sym_t *make_symbol(intern_t *t, const char *utf8, size_t len, uint32_t hash) {
    buf_t body = {0};
    json_write_string(&body, utf8, len);
    size_t body_len = body.len - 2;
    int same = body_len == len && memcmp(body.s + 1, utf8, len) == 0;
    sym_t *sym = NULL;
    if (t->strings.used + sizeof *sym + len + body_len <= t->max_bytes) {
        sym = arena_alloc(&t->strings, sizeof *sym);
        *sym = (sym_t){(uint32_t)t->n_symbols, (uint32_t)len, (uint32_t)body_len, hash, NULL, NULL};
        sym->bytes = arena_dup(&t->strings, utf8, len);
        sym->body = same ? sym->bytes : arena_dup(&t->strings, body.s + 1, body_len);
        mem_grow(&t->symbols, &t->cap_symbols, t->n_symbols + 1, sizeof(sym_t *));
        t->symbols[t->n_symbols++] = sym;
        map_put(&t->values, sym->bytes, len, sym);
    }
    buf_fini(&body);
    return sym;
}

const sym_t *intern_bytes(intern_t *t, const char *utf8, size_t len) {
    if (t->resting)
        return NULL;
    uint32_t hash = map_hash(utf8, len);
    const sym_t *sym = map_get_hashed(&t->values, utf8, len, hash);
    if (!sym && t->n_symbols < t->max_symbols)
        sym = make_symbol(t, utf8, len, hash);
    if (!sym)
        t->refused++;
    return sym;
}

/* The body as a value: validated, unescaped, interned. */
static const sym_t *learn(intern_t *t, const char *body, size_t len, int *status) {
    int escaped;
    *status = json_body(body, len, &escaped);
    if (*status || t->resting)
        return NULL;
    const sym_t *sym;
    if (escaped) {
        char *value = mem_alloc(len);
        sym = intern_bytes(t, value, json_unescape(body, len, value));
        mem_free(value);
    } else {
        sym = intern_bytes(t, body, len);
    }
    if (sym)
        remember(t, body, len, sym);
    return sym;
}

static const sym_t *found(intern_t *t, const sym_t *sym) {
    t->hits++;
    return sym;
}

void intern_note_hits(intern_t *t, uint64_t n) { t->hits += n; }

const sym_t *intern_raw(intern_t *t, const char *body, size_t len, int *status) {
    *status = 0;
    if (!is_short(body, len)) {
        const sym_t *sym = map_get(&t->spellings, body, len);
        return sym ? found(t, sym) : learn(t, body, len, status);
    }
    char key[INTERN_SHORT];
    pad_key(key, body, len);
    const intern_slot_t *s = find_slot(t, key, len);
    return s && s->sym ? found(t, s->sym) : learn(t, body, len, status);
}

uint32_t intern_count(const intern_t *t) { return (uint32_t)t->n_symbols; }

uint32_t intern_generation(const intern_t *t) { return t->generation; }

static void restart(intern_t *t) {
    map_clear(&t->spellings);
    map_clear(&t->values);
    arena_t strings = t->strings;
    t->strings = t->before; /* empty: see intern_between_batches */
    t->before = strings;
    t->n_symbols = 0;
    t->n_short = t->n_long = 0;
    make_slots(t, FIRST_SLOTS);
    t->hits = t->refused = 0;
    t->age = 0;
    t->generation++;
}

void intern_between_batches(intern_t *t) {
    t->age++;
    arena_reset(&t->before);
    if (t->resting) {
        t->resting--;
        return;
    }
    if (t->refused <= t->max_symbols / 8)
        return;
    if (t->refused * 4 < t->hits) {
        t->hits /= 2;
        t->refused /= 2;
        return;
    }
    t->rest = t->age >= SHORT_LIFE ? 0 : t->rest ? t->rest * 2 : 1;
    if (t->rest > LONGEST_REST)
        t->rest = LONGEST_REST;
    t->resting = t->rest;
    restart(t);
}

const sym_t *intern_sym(const intern_t *t, uint32_t id) { return id < t->n_symbols ? t->symbols[id] : NULL; }
