#include "leaving.h"

void leaving_init(leaving_t *l, generation_t *g, const rule_t *rule, group_t *group, select_t *select, reign_t reign,
                  etime_t until) {
    *l = (leaving_t){.generation = generation_take(g),
                     .rule = rule,
                     .group = group,
                     .select = select,
                     .reign = reign,
                     .until = until};
    group_leave(group, until);
}

void leaving_fini(leaving_t *l) {
    group_free(l->group);
    select_free(l->select);
    generation_drop(l->generation);
    *l = (leaving_t){0};
}

static int is_session(const leaving_t *l) { return l->rule->window.kind == WINDOW_SESSION; }

/* Windows that lie side by side are shared out by time; overlapping ones see all rows, and each version emits its own. */
static batch_t *rows_before(step_t *s, const leaving_t *l, const batch_t *b, int before) {
    uint8_t *pass = arena_array(s->arena, uint8_t, b->n + 1);
    for (uint32_t i = 0; i < b->n; i++)
        pass[i] = (batch_origin(b, i)->time < l->until) == before;
    return batch_filter(s->arena, b, pass);
}

static batch_t *rows_left(step_t *s, const leaving_t *l, const stream_t *in) {
    const batch_t *b = in->batch;
    if (is_session(l))
        return batch_filter(s->arena, b, group_left(l->group));
    return l->rule->window.kind == WINDOW_TUMBLE ? rows_before(s, l, b, 0) : in->batch;
}

void leaving_run(leaving_t *l, step_t *s, stream_t *in, outbox_t *o, result_t *out) {
    step_t outer = *s;
    stream_t mine = *in;
    result_t result = {0};
    *out = (result_t){0};
    if (l->dead)
        return;
    if (!is_session(l))
        mine.batch = rows_before(s, l, in->batch, 1);
    s->generation = l->generation;
    s->script = l->generation->script;
    s->overrun[0] = 0;
    group_run(l->group, s, &mine, &result);
    while (select_run(l->select, s, &result, out))
        result.batch = batch_first(s->arena, result.batch, step_rows_before_stop(s, result.batch));
    if (l->rule->to && l->rule->mode == MODE_ACTIVE)
        select_write(l->select, s, out, o);
    in->batch = rows_left(s, l, in);
    l->dead = s->overrun[0] != 0;
    /* What it overran is its own affair. */
    s->generation = outer.generation;
    s->script = s->generation ? s->generation->script : outer.script;
    s->cut = outer.cut;
    s->stop = outer.stop;
    memcpy(s->overrun, outer.overrun, sizeof s->overrun);
}

int leaving_over(const leaving_t *l, etime_t wm) {
    if (l->dead)
        return 1;
    if (group_last_end(l->group) != ETIME_MIN)
        return 0;
    return is_session(l) || (wm != ETIME_MIN && wm >= l->until - 1);
}

void leaving_drop_state(leaving_t *l, store_t *store) { group_drop_state(l->group, store); }
