#include "pattern.h"
#include "mem.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct variable {
    char *name;
    uint32_t position;
} variable_t;

struct pattern {
    pattern_node_t *nodes;
    size_t n_nodes, cap_nodes;
    variable_t *vars;
    size_t n_vars, cap_vars;
    uint32_t root;
};

typedef struct parser {
    pattern_t *p;
    const char *text;
    size_t pos;
    uint32_t depth;
    uint32_t fault_at;
    int failed;
    error_t *e;
} parser_t;

/* ---- words for faults ---- */

static void describe_found(const parser_t *ps, char *out, size_t size) {
    const unsigned char *s = (const unsigned char *)ps->text + ps->pos;
    int width = 1;
    if (*s == 0) {
        snprintf(out, size, "the end of the pattern");
        return;
    }
    if (isalpha(*s) || *s == '_') {
        while (isalnum(s[width]) || s[width] == '_')
            width++;
    } else if (*s >= 0x80) {
        while ((s[width] & 0xC0) == 0x80)
            width++;
    }
    snprintf(out, size, "'%.*s'", width > 60 ? 60 : width, (const char *)s);
}

/* The first fault stays; everything after it is its echo. */
static uint32_t fault(parser_t *ps, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static uint32_t fault(parser_t *ps, size_t at, const char *fmt, ...) {
    char text[400];
    va_list args;
    if (ps->failed)
        return PATTERN_NONE;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ps->failed = 1;
    ps->fault_at = (uint32_t)at + 1;
    error_set(ps->e, ERR_INVALID, "position %u: %s", ps->fault_at, text);
    return PATTERN_NONE;
}

static uint32_t expected(parser_t *ps, const char *what) {
    char found[80];
    describe_found(ps, found, sizeof found);
    return fault(ps, ps->pos, "expected %s, found %s", what, found);
}

/* ---- the tree ---- */

static uint32_t node_new(parser_t *ps, pattern_kind_t kind, size_t at) {
    pattern_t *p = ps->p;
    mem_grow(&p->nodes, &p->cap_nodes, p->n_nodes + 1, sizeof *p->nodes);
    p->nodes[p->n_nodes] = (pattern_node_t){
        .kind = kind, .position = (uint32_t)at + 1, .min = 1, .max = 1, .child = PATTERN_NONE, .next = PATTERN_NONE};
    return (uint32_t)p->n_nodes++;
}

static uint32_t variable_index(parser_t *ps, const char *s, size_t len, size_t at) {
    pattern_t *p = ps->p;
    for (size_t i = 0; i < p->n_vars; i++)
        if (strlen(p->vars[i].name) == len && memcmp(p->vars[i].name, s, len) == 0)
            return (uint32_t)i;
    if (p->n_vars == PATTERN_MAX_VARIABLES)
        return fault(ps, at, "more than %d variables", PATTERN_MAX_VARIABLES);
    mem_grow(&p->vars, &p->cap_vars, p->n_vars + 1, sizeof *p->vars);
    p->vars[p->n_vars] = (variable_t){mem_strndup(s, len), (uint32_t)at + 1};
    return (uint32_t)p->n_vars++;
}

/* ---- characters ---- */

static char peek(parser_t *ps) {
    while (isspace((unsigned char)ps->text[ps->pos]))
        ps->pos++;
    return ps->text[ps->pos];
}

static int accept_char(parser_t *ps, char c) {
    if (peek(ps) != c)
        return 0;
    ps->pos++;
    return 1;
}

static int at_text(parser_t *ps, const char *s) {
    peek(ps);
    return strncmp(ps->text + ps->pos, s, strlen(s)) == 0;
}

static int accept_text(parser_t *ps, const char *s) {
    if (!at_text(ps, s))
        return 0;
    ps->pos += strlen(s);
    return 1;
}

/* ---- grammar ---- */

static uint32_t parse_alternation(parser_t *ps);

static int enter(parser_t *ps, size_t at) {
    if (++ps->depth <= PATTERN_MAX_DEPTH)
        return 1;
    fault(ps, at, "groups are nested deeper than %d", PATTERN_MAX_DEPTH);
    return 0;
}

static uint32_t parse_group(parser_t *ps, size_t at) {
    if (accept_char(ps, ')'))
        return node_new(ps, PATTERN_EMPTY, at);
    if (!enter(ps, at))
        return PATTERN_NONE;
    uint32_t inner = parse_alternation(ps);
    ps->depth--;
    if (inner == PATTERN_NONE)
        return PATTERN_NONE;
    if (!accept_char(ps, ')'))
        return expected(ps, "')', '|', a quantifier or another variable");
    return inner;
}

static uint32_t parse_exclusion(parser_t *ps, size_t at) {
    if (!enter(ps, at))
        return PATTERN_NONE;
    uint32_t inner = parse_alternation(ps);
    ps->depth--;
    if (inner == PATTERN_NONE)
        return PATTERN_NONE;
    if (!accept_text(ps, "-}"))
        return expected(ps, "'-}', '|', a quantifier or another variable");
    uint32_t node = node_new(ps, PATTERN_EXCLUDE, at);
    ps->p->nodes[node].child = inner;
    return node;
}

static uint32_t parse_permute(parser_t *ps, size_t at) {
    if (!accept_char(ps, '('))
        return expected(ps, "'(' after PERMUTE");
    if (!enter(ps, at))
        return PATTERN_NONE;
    uint32_t node = node_new(ps, PATTERN_PERMUTE, at), last = PATTERN_NONE;
    do {
        uint32_t item = parse_alternation(ps);
        if (item == PATTERN_NONE)
            return PATTERN_NONE;
        /* An item may be any tree; wrapping it keeps its own sibling link free. */
        uint32_t slot = node_new(ps, PATTERN_CONCAT, ps->p->nodes[item].position - 1);
        ps->p->nodes[slot].child = item;
        if (last == PATTERN_NONE)
            ps->p->nodes[node].child = slot;
        else
            ps->p->nodes[last].next = slot;
        last = slot;
    } while (accept_char(ps, ','));
    ps->depth--;
    if (!accept_char(ps, ')'))
        return expected(ps, "',' or ')' in PERMUTE");
    return node;
}

static uint32_t parse_word(parser_t *ps) {
    size_t at = ps->pos;
    while (isalnum((unsigned char)ps->text[ps->pos]) || ps->text[ps->pos] == '_')
        ps->pos++;
    size_t len = ps->pos - at;
    if (len == 7 && memcmp(ps->text + at, "PERMUTE", 7) == 0)
        return parse_permute(ps, at);
    uint32_t var = variable_index(ps, ps->text + at, len, at);
    if (var == PATTERN_NONE)
        return PATTERN_NONE;
    uint32_t node = node_new(ps, PATTERN_VARIABLE, at);
    ps->p->nodes[node].var = var;
    return node;
}

static uint32_t parse_primary(parser_t *ps) {
    char c = peek(ps);
    size_t at = ps->pos;
    if (isalpha((unsigned char)c) || c == '_')
        return parse_word(ps);
    if (accept_text(ps, "{-"))
        return parse_exclusion(ps, at);
    if (accept_char(ps, '('))
        return parse_group(ps, at);
    if (accept_char(ps, '^'))
        return node_new(ps, PATTERN_START, at);
    if (accept_char(ps, '$'))
        return node_new(ps, PATTERN_END, at);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return expected(ps, "a variable, '(', '{-', '^', '$' or PERMUTE before a quantifier");
    return expected(ps, "a variable, '(', '{-', '^', '$' or PERMUTE");
}

/* 1 and the number; 0: there is none; the parser has failed when it is too large. */
static int parse_number(parser_t *ps, uint32_t *out) {
    uint64_t n = 0;
    if (!isdigit((unsigned char)peek(ps)))
        return 0;
    size_t at = ps->pos;
    for (; isdigit((unsigned char)ps->text[ps->pos]); ps->pos++)
        if (n <= PATTERN_MAX_REPEAT)
            n = n * 10 + (uint64_t)(ps->text[ps->pos] - '0');
    if (n > PATTERN_MAX_REPEAT)
        fault(ps, at, "a repetition of more than %d", PATTERN_MAX_REPEAT);
    *out = (uint32_t)n;
    return 1;
}

/* Behind '{'. */
static void parse_bounds(parser_t *ps, size_t at, uint32_t *min, uint32_t *max) {
    *min = 0;
    *max = PATTERN_NONE;
    int has_min = parse_number(ps, min), comma = accept_char(ps, ',');
    if (!has_min && !comma) {
        expected(ps, "a number or ',' in a quantifier");
        return;
    }
    if (!comma)
        *max = *min;
    else
        parse_number(ps, max);
    if (!accept_char(ps, '}')) {
        expected(ps, comma ? "a number or '}' in a quantifier" : "',' or '}' in a quantifier");
        return;
    }
    if (*max == 0)
        fault(ps, at, "the upper bound of a quantifier must be at least 1");
    else if (*max < *min)
        fault(ps, at, "a quantifier from %u to %u: the upper bound is below the lower one", *min, *max);
}

static uint32_t parse_quantified(parser_t *ps) {
    uint32_t child = parse_primary(ps), min, max = PATTERN_NONE;
    if (child == PATTERN_NONE)
        return PATTERN_NONE;
    char c = peek(ps);
    size_t at = ps->pos;
    if (c == '*' || c == '+' || c == '?') {
        ps->pos++;
        min = c == '+';
        if (c == '?')
            max = 1;
    } else if (c == '{' && ps->text[ps->pos + 1] != '-') {
        ps->pos++;
        parse_bounds(ps, at, &min, &max);
    } else {
        return child;
    }
    uint32_t node = node_new(ps, PATTERN_REPEAT, at);
    pattern_node_t *n = &ps->p->nodes[node];
    n->child = child;
    n->min = min;
    n->max = max;
    n->reluctant = accept_char(ps, '?');
    c = peek(ps);
    if (c == '*' || c == '+' || c == '?' || (c == '{' && ps->text[ps->pos + 1] != '-'))
        return fault(ps, ps->pos, "a quantifier behind a quantifier: put the repeated part in parentheses");
    return ps->failed ? PATTERN_NONE : node;
}

static int at_end_of_sequence(parser_t *ps) {
    char c = peek(ps);
    return c == 0 || c == '|' || c == ')' || c == ',' || at_text(ps, "-}");
}

/* One child, or a node of that kind over all of them. */
static uint32_t gather(parser_t *ps, pattern_kind_t kind, uint32_t first, uint32_t (*parse)(parser_t *),
                       int (*more)(parser_t *)) {
    if (first == PATTERN_NONE || !more(ps))
        return first;
    uint32_t node = node_new(ps, kind, ps->p->nodes[first].position - 1), last = first;
    ps->p->nodes[node].child = first;
    do {
        uint32_t item = parse(ps);
        if (item == PATTERN_NONE)
            return PATTERN_NONE;
        ps->p->nodes[last].next = item;
        last = item;
    } while (more(ps));
    return node;
}

static int more_in_sequence(parser_t *ps) { return !at_end_of_sequence(ps); }
static int more_alternatives(parser_t *ps) { return accept_char(ps, '|'); }
static uint32_t parse_sequence(parser_t *ps) {
    return gather(ps, PATTERN_CONCAT, parse_quantified(ps), parse_quantified, more_in_sequence);
}
static uint32_t parse_alternation(parser_t *ps) {
    return gather(ps, PATTERN_ALTERNATE, parse_sequence(ps), parse_sequence, more_alternatives);
}

/* Children are made before their parents, except that PERMUTE is made first: so two passes over the array suffice for
 * any nesting of it, and a recursion (bounded by PATTERN_MAX_DEPTH) is plainer still. */
static int find_nullable(pattern_t *p, uint32_t node) {
    pattern_node_t *n = &p->nodes[node];
    int any = 0, all = 1;
    for (uint32_t c = n->child; c != PATTERN_NONE; c = p->nodes[c].next) {
        int x = find_nullable(p, c);
        any |= x;
        all &= x;
    }
    switch (n->kind) {
    case PATTERN_VARIABLE: n->nullable = 0; break;
    case PATTERN_ALTERNATE: n->nullable = any; break;
    case PATTERN_REPEAT: n->nullable = n->min == 0 || any; break;
    case PATTERN_EMPTY:
    case PATTERN_START:
    case PATTERN_END:
    case PATTERN_CONCAT:
    case PATTERN_EXCLUDE:
    case PATTERN_PERMUTE: n->nullable = all; break;
    }
    return n->nullable;
}

int pattern_parse(pattern_t **out, const char *text, uint32_t *position, error_t *e) {
    parser_t ps = {.p = mem_zalloc(sizeof(pattern_t)), .text = text, .e = e};
    uint32_t root = parse_alternation(&ps);
    if (root != PATTERN_NONE && !ps.failed && peek(&ps) != 0)
        expected(&ps, ps.text[ps.pos] == ')' || at_text(&ps, "-}")
                          ? "the end of the pattern (nothing is open here)"
                          : "'|', a quantifier, another variable or the end of the pattern");
    if (ps.failed) {
        if (position)
            *position = ps.fault_at;
        pattern_free(ps.p);
        return ERR_INVALID;
    }
    ps.p->root = root;
    find_nullable(ps.p, root);
    *out = ps.p;
    return 0;
}

void pattern_free(pattern_t *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->n_vars; i++)
        mem_free(p->vars[i].name);
    mem_free(p->vars);
    mem_free(p->nodes);
    mem_free(p);
}

uint32_t pattern_root(const pattern_t *p) { return p->root; }
const pattern_node_t *pattern_node(const pattern_t *p, uint32_t node) { return &p->nodes[node]; }
uint32_t pattern_variables(const pattern_t *p) { return (uint32_t)p->n_vars; }
const char *pattern_variable(const pattern_t *p, uint32_t var) { return p->vars[var].name; }
uint32_t pattern_variable_position(const pattern_t *p, uint32_t var) { return p->vars[var].position; }

int pattern_find(const pattern_t *p, const char *name) {
    for (size_t i = 0; i < p->n_vars; i++)
        if (strcmp(p->vars[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* ---- printing ---- */

static void print_repeat(const pattern_node_t *n, buf_t *out) {
    if (n->max == PATTERN_NONE && n->min <= 1)
        buf_add_char(out, n->min ? '+' : '*');
    else if (n->min == 0 && n->max == 1)
        buf_add_char(out, '?');
    else if (n->min == n->max)
        buf_printf(out, "{%u}", n->min);
    else if (n->max == PATTERN_NONE)
        buf_printf(out, "{%u,}", n->min);
    else
        buf_printf(out, "{%u,%u}", n->min, n->max);
    if (n->reluctant)
        buf_add_char(out, '?');
}

static void print_node(const pattern_t *p, uint32_t node, int parent, buf_t *out);

static void print_children(const pattern_t *p, const pattern_node_t *n, const char *between, buf_t *out) {
    for (uint32_t c = n->child; c != PATTERN_NONE; c = p->nodes[c].next) {
        print_node(p, c, (int)n->kind, out);
        if (p->nodes[c].next != PATTERN_NONE)
            buf_add_str(out, between);
    }
}

/* parent: the kind of the node around, or -1 where no parentheses can be needed. */
static void print_node(const pattern_t *p, uint32_t node, int parent, buf_t *out) {
    const pattern_node_t *n = &p->nodes[node];
    int group = (n->kind == PATTERN_ALTERNATE && parent != -1) ||
                (n->kind == PATTERN_CONCAT && parent == PATTERN_REPEAT) ||
                (n->kind == PATTERN_CONCAT && parent == PATTERN_CONCAT) ||
                (n->kind == PATTERN_REPEAT && parent == PATTERN_REPEAT);
    if (group)
        buf_add_char(out, '(');
    switch (n->kind) {
    case PATTERN_EMPTY: buf_add_str(out, "()"); break;
    case PATTERN_VARIABLE: buf_add_str(out, p->vars[n->var].name); break;
    case PATTERN_START: buf_add_char(out, '^'); break;
    case PATTERN_END: buf_add_char(out, '$'); break;
    case PATTERN_CONCAT: print_children(p, n, " ", out); break;
    case PATTERN_ALTERNATE: print_children(p, n, "|", out); break;
    case PATTERN_REPEAT:
        print_children(p, n, "", out);
        print_repeat(n, out);
        break;
    case PATTERN_EXCLUDE:
        buf_add_str(out, "{-");
        print_node(p, n->child, -1, out);
        buf_add_str(out, "-}");
        break;
    case PATTERN_PERMUTE:
        buf_add_str(out, "PERMUTE(");
        for (uint32_t c = n->child; c != PATTERN_NONE; c = p->nodes[c].next) {
            print_node(p, p->nodes[c].child, -1, out);
            if (p->nodes[c].next != PATTERN_NONE)
                buf_add_char(out, ',');
        }
        buf_add_char(out, ')');
        break;
    }
    if (group)
        buf_add_char(out, ')');
}

void pattern_print(const pattern_t *p, buf_t *out) { print_node(p, p->root, -1, out); }
