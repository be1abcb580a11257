#include "program.h"
#include "mem.h"

#define PERMUTE_MAX 12

typedef struct compiler {
    const pattern_t *p;
    program_t *out;
    size_t cap;
    uint8_t excluded;
    uint8_t depth;     /* of MARKs around */
    uint32_t fault_at; /* 0: none */
} compiler_t;

static void compile_node(compiler_t *c, uint32_t node);

/* The instruction's index. Past the limit everything lands on the last one; fault_at says the program is void. */
static uint32_t add(compiler_t *c, program_op_t op, uint32_t a, uint32_t b, uint32_t at) {
    program_t *out = c->out;
    if (out->n == PROGRAM_MAX) {
        if (!c->fault_at)
            c->fault_at = at;
        return PROGRAM_MAX - 1;
    }
    mem_grow(&out->code, &c->cap, (size_t)out->n + 1, sizeof *out->code);
    out->code[out->n] = (instruction_t){.op = (uint8_t)op, .a = a, .b = b};
    return out->n++;
}

static uint32_t here(const compiler_t *c) { return c->out->n; }

/* A SPLIT whose one way is the next instruction (`into`) and whose other is filled in later by split_other. */
static uint32_t add_split(compiler_t *c, int reluctant, uint32_t at) {
    uint32_t i = add(c, PROGRAM_SPLIT, 0, 0, at);
    uint32_t next = i + 1;
    if (reluctant)
        c->out->code[i].b = next;
    else
        c->out->code[i].a = next;
    return i;
}

static void split_other(compiler_t *c, uint32_t split, int reluctant, uint32_t target) {
    if (reluctant)
        c->out->code[split].a = target;
    else
        c->out->code[split].b = target;
}

/* MARK body CHECK, or just the body when it always takes a row. Returns the CHECK whose exit is to be set, or PROGRAM_MAX. */
static uint32_t compile_iteration(compiler_t *c, const pattern_node_t *loop) {
    if (!pattern_node(c->p, loop->child)->nullable) {
        compile_node(c, loop->child);
        return PROGRAM_MAX;
    }
    uint8_t depth = c->depth++;
    uint32_t mark = add(c, PROGRAM_MARK, 0, 0, loop->position);
    c->out->code[mark].depth = depth;
    compile_node(c, loop->child);
    c->depth--;
    uint32_t check = add(c, PROGRAM_CHECK, 0, 0, loop->position);
    c->out->code[check].depth = depth;
    return check;
}

static void set_exit(compiler_t *c, uint32_t check, uint32_t target) {
    if (check != PROGRAM_MAX)
        c->out->code[check].a = target;
}

/* min iterations have been compiled; any number may follow. */
static void compile_star(compiler_t *c, const pattern_node_t *n) {
    uint32_t split = add_split(c, n->reluctant, n->position);
    uint32_t check = compile_iteration(c, n);
    add(c, PROGRAM_JUMP, split, 0, n->position);
    split_other(c, split, n->reluctant, here(c));
    set_exit(c, check, here(c));
}

/* body, then a SPLIT back to it: an empty first iteration needs no second look, as what follows it takes no row either. */
static void compile_plus(compiler_t *c, const pattern_node_t *n) {
    uint32_t body = here(c);
    uint32_t check = compile_iteration(c, n);
    uint32_t split = add(c, PROGRAM_SPLIT, 0, 0, n->position);
    c->out->code[split].a = n->reluctant ? split + 1 : body;
    c->out->code[split].b = n->reluctant ? body : split + 1;
    set_exit(c, check, here(c));
}

/* n->max - n->min optional iterations, each inside the one before. */
static void compile_optional(compiler_t *c, const pattern_node_t *n) {
    uint32_t count = n->max - n->min;
    uint32_t *splits = mem_alloc((size_t)count * 2 * sizeof *splits), *checks = splits + count, made = 0;
    for (; made < count && !c->fault_at; made++) {
        splits[made] = add_split(c, n->reluctant, n->position);
        checks[made] = compile_iteration(c, n);
    }
    for (uint32_t i = 0; i < made; i++) {
        split_other(c, splits[i], n->reluctant, here(c));
        set_exit(c, checks[i], here(c));
    }
    mem_free(splits);
}

static void compile_repeat(compiler_t *c, const pattern_node_t *n) {
    int plus = n->max == PATTERN_NONE && n->min > 0;
    uint32_t copies = plus ? n->min - 1 : n->min;
    for (uint32_t i = 0; i < copies && !c->fault_at; i++)
        compile_node(c, n->child);
    if (plus)
        compile_plus(c, n);
    else if (n->max == PATTERN_NONE)
        compile_star(c, n);
    else
        compile_optional(c, n);
}

static void compile_alternate(compiler_t *c, const pattern_node_t *n) {
    uint32_t jumps = PROGRAM_MAX; /* chain of JUMPs to the end, linked through a */
    for (uint32_t i = n->child; i != PATTERN_NONE; i = pattern_node(c->p, i)->next) {
        int last = pattern_node(c->p, i)->next == PATTERN_NONE;
        uint32_t split = last ? 0 : add_split(c, 0, n->position);
        compile_node(c, i);
        if (last)
            break;
        jumps = add(c, PROGRAM_JUMP, jumps, 0, n->position);
        split_other(c, split, 0, here(c));
    }
    while (jumps != PROGRAM_MAX && !c->fault_at) {
        uint32_t next = c->out->code[jumps].a;
        c->out->code[jumps].a = here(c);
        jumps = next;
    }
}

/* One place in the program per set of items already taken, so n items need n * 2^(n-1) copies instead of n * n!; the
 * order of choices at each place gives the permutations their lexicographic preference. Supersets have greater numbers,
 * so places are laid out in ascending order and only jumps forward remain to be filled in. */
static void compile_permute(compiler_t *c, const pattern_node_t *n) {
    uint32_t items[PERMUTE_MAX], count = 0;
    for (uint32_t i = n->child; i != PATTERN_NONE; i = pattern_node(c->p, i)->next) {
        if (count == PERMUTE_MAX) {
            c->fault_at = n->position;
            return;
        }
        items[count++] = i;
    }
    uint32_t full = (1u << count) - 1, first = here(c);
    uint32_t *place = mem_alloc(((size_t)full + 1) * sizeof *place);
    for (uint32_t set = 0; set < full && !c->fault_at; set++) {
        uint32_t split = PROGRAM_MAX;
        place[set] = here(c);
        for (uint32_t i = 0; i < count && !c->fault_at; i++) {
            if (set >> i & 1)
                continue;
            if (split != PROGRAM_MAX)
                split_other(c, split, 0, here(c));
            int last = (set | 1u << i | ((1u << i) - 1)) == full; /* no untaken item behind this one */
            split = last ? PROGRAM_MAX : add_split(c, 0, n->position);
            compile_node(c, items[i]);
            uint32_t jump = add(c, PROGRAM_JUMP, set | 1u << i, 0, n->position);
            c->out->code[jump].spare = 1; /* `a` is still the number of a set; an inner PERMUTE has cleared its own */
        }
    }
    place[full] = here(c);
    for (uint32_t i = first; i < here(c) && !c->fault_at; i++) {
        instruction_t *j = &c->out->code[i];
        if (j->op == PROGRAM_JUMP && j->spare) {
            j->a = place[j->a];
            j->spare = 0;
        }
    }
    mem_free(place);
}

static void compile_node(compiler_t *c, uint32_t node) {
    const pattern_node_t *n = pattern_node(c->p, node);
    if (c->fault_at)
        return;
    switch (n->kind) {
    case PATTERN_EMPTY: break;
    case PATTERN_START: add(c, PROGRAM_START, 0, 0, n->position); break;
    case PATTERN_END: add(c, PROGRAM_END, 0, 0, n->position); break;
    case PATTERN_VARIABLE: {
        uint32_t i = add(c, PROGRAM_VAR, 0, 0, n->position);
        c->out->code[i].var = n->var;
        c->out->code[i].excluded = c->excluded;
        break;
    }
    case PATTERN_CONCAT:
        for (uint32_t i = n->child; i != PATTERN_NONE; i = pattern_node(c->p, i)->next)
            compile_node(c, i);
        break;
    case PATTERN_ALTERNATE: compile_alternate(c, n); break;
    case PATTERN_REPEAT: compile_repeat(c, n); break;
    case PATTERN_PERMUTE: compile_permute(c, n); break;
    case PATTERN_EXCLUDE: {
        uint8_t outer = c->excluded;
        c->excluded = 1;
        compile_node(c, n->child);
        c->excluded = outer;
        break;
    }
    }
}

static void number_memos(program_t *p) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->code[i].op == PROGRAM_VAR || p->code[i].op == PROGRAM_SPLIT)
            p->code[i].memo = p->n_memo++;
}

int program_compile(program_t **out, const pattern_t *p, uint32_t *position, error_t *e) {
    compiler_t c = {.p = p, .out = mem_zalloc(sizeof(program_t))};
    compile_node(&c, pattern_root(p));
    add(&c, PROGRAM_MATCH, 0, 0, 1);
    if (c.fault_at) {
        program_free(c.out);
        if (position)
            *position = c.fault_at;
        return error_set(e, ERR_LIMIT,
                         "position %u: the pattern unrolls to more than %d steps (PERMUTE takes at most %d items); "
                         "use smaller repetitions",
                         c.fault_at, PROGRAM_MAX, PERMUTE_MAX);
    }
    c.out->n_vars = pattern_variables(p);
    number_memos(c.out);
    *out = c.out;
    return 0;
}

void program_free(program_t *p) {
    if (!p)
        return;
    mem_free(p->code);
    mem_free(p);
}

void program_reach(const program_t *p, const uint8_t *vars, uint8_t *ahead) {
    memset(ahead, 0, p->n);
    for (int changed = 1; changed;) {
        changed = 0;
        for (uint32_t i = p->n; i-- > 0;) {
            const instruction_t *in = &p->code[i];
            uint8_t x = 0;
            switch ((program_op_t)in->op) {
            case PROGRAM_VAR: x = vars[in->var] || ahead[i + 1]; break;
            case PROGRAM_SPLIT: x = ahead[in->a] || ahead[in->b]; break;
            case PROGRAM_JUMP: x = ahead[in->a]; break;
            case PROGRAM_CHECK: x = ahead[in->a] || ahead[i + 1]; break;
            case PROGRAM_MARK:
            case PROGRAM_START:
            case PROGRAM_END: x = ahead[i + 1]; break;
            case PROGRAM_MATCH: break;
            }
            if (x != ahead[i]) {
                ahead[i] = x;
                changed = 1;
            }
        }
    }
}

void program_print(const program_t *p, const pattern_t *names, buf_t *out) {
    static const char *const ops[] = {"var", "split", "jump", "mark", "check", "start", "end", "match"};
    for (uint32_t i = 0; i < p->n; i++) {
        const instruction_t *in = &p->code[i];
        buf_printf(out, "%u %s", i, ops[in->op]);
        if (in->op == PROGRAM_VAR)
            buf_printf(out, " %s%s", pattern_variable(names, in->var), in->excluded ? " excluded" : "");
        else if (in->op == PROGRAM_SPLIT)
            buf_printf(out, " %u %u", in->a, in->b);
        else if (in->op == PROGRAM_JUMP || in->op == PROGRAM_CHECK)
            buf_printf(out, " %u", in->a);
        buf_add_char(out, '\n');
    }
}
