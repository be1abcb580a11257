#include "watermark.h"

#include "error.h"
#include "mem.h"

void watermark_init(watermark_t *w, int64_t bound) {
    *w = (watermark_t){.bound = bound, .now = ETIME_MIN, .clock_base = -1, .clock_from = ETIME_MIN};
}

void watermark_fini(watermark_t *w) {
    mem_free(w->parts);
    w->parts = NULL;
    w->n = 0;
}

static int part_order(const wm_partition_t *p, int32_t topic, int32_t partition) {
    if (p->topic != topic)
        return p->topic < topic ? -1 : 1;
    return (p->partition > partition) - (p->partition < partition);
}

/* First partition that is not before (topic, partition). */
static uint32_t part_lower(const watermark_t *w, int32_t topic, int32_t partition) {
    uint32_t lo = 0, hi = w->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (part_order(&w->parts[mid], topic, partition) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int is_part(const watermark_t *w, uint32_t i, int32_t topic, int32_t partition) {
    return i < w->n && w->parts[i].topic == topic && w->parts[i].partition == partition;
}

int watermark_find(const watermark_t *w, int32_t topic, int32_t partition) {
    uint32_t i = part_lower(w, topic, partition);
    return is_part(w, i, topic, partition) ? (int)i : -1;
}

uint32_t watermark_add(watermark_t *w, int32_t topic, int32_t partition) {
    if (is_part(w, w->recent, topic, partition))
        return w->recent;
    uint32_t i = w->recent = part_lower(w, topic, partition);
    if (is_part(w, i, topic, partition))
        return i;
    mem_grow(&w->parts, &w->cap, w->n + 1, sizeof *w->parts);
    memmove(&w->parts[i + 1], &w->parts[i], (w->n - i) * sizeof *w->parts);
    w->parts[i] = (wm_partition_t){.topic = topic, .partition = partition, .max_time = ETIME_MIN};
    w->n++;
    w->idle = 0;
    return i;
}

void watermark_remove(watermark_t *w, int32_t topic, int32_t partition) {
    int i = watermark_find(w, topic, partition);
    if (i < 0)
        return;
    w->n--;
    memmove(&w->parts[i], &w->parts[i + 1], (w->n - (uint32_t)i) * sizeof *w->parts);
}

etime_t watermark_of(const watermark_t *w, uint32_t part) {
    etime_t t = w->parts[part].max_time;
    if (t == ETIME_MIN || w->bound < 0)
        return ETIME_MIN;
    return t < ETIME_MIN + 1 + w->bound ? ETIME_MIN + 1 : t - w->bound;
}

/* Gives out t when it is ahead of what was given out. */
static int give(watermark_t *w, etime_t t) {
    if (t <= w->now)
        return 0;
    w->now = t;
    return 1;
}

static int recompute(watermark_t *w) {
    etime_t least = ETIME_MAX, most = ETIME_MIN;
    uint32_t active = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        etime_t t = watermark_of(w, i);
        most = t > most ? t : most;
        if (w->parts[i].idle)
            continue;
        active++;
        least = t < least ? t : least;
    }
    int was_idle = w->idle;
    w->idle = w->n > 0 && active == 0;
    if (!w->idle)
        w->clock_base = -1;
    int moved = give(w, active ? least : most);
    return moved || was_idle != w->idle;
}

int watermark_row(watermark_t *w, uint32_t part, etime_t time) {
    wm_partition_t *p = &w->parts[part];
    p->records++;
    int was_idle = p->idle;
    p->idle = 0;
    if (time > p->max_time) {
        /* Only the partition that holds the minimum can move it. */
        int held = w->bound >= 0 && (was_idle || watermark_of(w, part) <= w->now || w->now == ETIME_MIN);
        p->max_time = time;
        if (held && w->n == 1 && !was_idle) /* the only one, which was counted before */
            return give(w, watermark_of(w, 0));
        return held || was_idle ? recompute(w) : 0;
    }
    return was_idle ? recompute(w) : 0;
}

int watermark_idle(watermark_t *w, uint32_t part) {
    if (w->parts[part].idle)
        return 0;
    w->parts[part].idle = 1;
    return recompute(w);
}

int watermark_explicit(watermark_t *w, etime_t at_least) { return give(w, at_least); }

int watermark_clock(watermark_t *w, int64_t wall_ms) {
    if (!w->idle || w->now == ETIME_MIN)
        return 0;
    if (w->clock_base < 0 || wall_ms < w->clock_base) { /* a clock that jumped back starts the count anew */
        w->clock_base = wall_ms;
        w->clock_from = w->now;
        return 0;
    }
    return give(w, w->clock_from + (wall_ms - w->clock_base));
}

int watermark_holder(const watermark_t *w) {
    int holder = -1;
    for (uint32_t i = 0; i < w->n; i++)
        if (!w->parts[i].idle && (holder < 0 || watermark_of(w, i) < watermark_of(w, (uint32_t)holder)))
            holder = (int)i;
    return holder;
}

/* ---- several inputs ---- */

void valve_init(valve_t *v, uint32_t n) {
    *v = (valve_t){.in = mem_zalloc(n * sizeof *v->in), .n = n, .now = ETIME_MIN};
    for (uint32_t i = 0; i < n; i++)
        v->in[i] = (valve_input_t){.wm = ETIME_MIN, .aligned = 1};
}

void valve_fini(valve_t *v) {
    mem_free(v->in);
    v->in = NULL;
}

static etime_t valve_least(const valve_t *v) {
    etime_t least = ETIME_MAX, most = ETIME_MIN;
    uint32_t active = 0, aligned = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const valve_input_t *in = &v->in[i];
        most = in->wm > most ? in->wm : most;
        active += !in->idle;
        if (in->idle || !in->aligned)
            continue;
        aligned++;
        least = in->wm < least ? in->wm : least;
    }
    if (active == 0)
        return most;
    return aligned ? least : ETIME_MIN;
}

int valve_put(valve_t *v, uint32_t i, etime_t wm, int idle) {
    valve_input_t *in = &v->in[i];
    if (wm > in->wm)
        in->wm = wm;
    in->heard = 1;
    if (idle)
        in->aligned = 0;
    else if (in->wm >= v->now || v->holds)
        in->aligned = 1;
    in->idle = idle;
    int all_idle = 1;
    for (uint32_t k = 0; k < v->n; k++)
        all_idle &= v->in[k].idle;
    etime_t t = valve_least(v);
    int changed = all_idle != v->idle || t > v->now;
    v->idle = all_idle;
    if (t > v->now)
        v->now = t;
    return changed;
}

void valve_copy(valve_t *to, const valve_t *from) {
    memcpy(to->in, from->in, to->n * sizeof *to->in);
    to->now = from->now;
    to->idle = from->idle;
}

int valve_heard_all(const valve_t *v) {
    for (uint32_t i = 0; i < v->n; i++)
        if (!v->in[i].heard)
            return 0;
    return 1;
}

/* ---- into and out of the meta record ---- */

void watermark_save(const watermark_t *w, buf_t *b) {
    buf_add_u64(b, (uint64_t)w->now);
    buf_add_u64(b, (uint64_t)w->clock_base);
    buf_add_u64(b, (uint64_t)w->clock_from);
    buf_add_varint(b, w->n);
    for (uint32_t i = 0; i < w->n; i++) {
        buf_add_u32(b, (uint32_t)w->parts[i].topic);
        buf_add_u32(b, (uint32_t)w->parts[i].partition);
        buf_add_u64(b, (uint64_t)w->parts[i].max_time);
        buf_add_char(b, (char)w->parts[i].idle);
    }
}

int watermark_load(watermark_t *w, reader_t *r, const int32_t *remap, uint32_t n_remap) {
    w->n = 0;
    etime_t now = (etime_t)read_u64(r);
    int64_t clock_base = (int64_t)read_u64(r);
    etime_t clock_from = (etime_t)read_u64(r);
    uint64_t n = read_varint(r);
    uint32_t idle = 0;
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        uint32_t topic = read_u32(r);
        int32_t partition = (int32_t)read_u32(r);
        etime_t max_time = (etime_t)read_u64(r);
        int is_idle = read_u8(r);
        if (r->bad || topic >= n_remap || remap[topic] < 0)
            continue;
        uint32_t at = watermark_add(w, remap[topic], partition);
        w->parts[at].max_time = max_time;
        w->parts[at].idle = is_idle;
        idle += is_idle != 0;
    }
    w->now = now;
    w->clock_base = clock_base;
    w->clock_from = clock_from;
    w->idle = w->n > 0 && idle == w->n;
    return r->bad ? ERR_INVALID : 0;
}

void valve_save(const valve_t *v, buf_t *b) {
    buf_add_u64(b, (uint64_t)v->now);
    buf_add_varint(b, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        buf_add_u64(b, (uint64_t)v->in[i].wm);
        buf_add_char(b, (char)(v->in[i].idle | v->in[i].aligned << 1 | v->in[i].heard << 2));
    }
}

int valve_load(valve_t *v, reader_t *r) {
    etime_t now = (etime_t)read_u64(r);
    if (read_varint(r) != v->n || r->bad)
        return ERR_INVALID;
    v->now = now;
    v->idle = 1;
    for (uint32_t i = 0; i < v->n; i++) {
        v->in[i].wm = (etime_t)read_u64(r);
        uint8_t flags = read_u8(r);
        v->in[i].idle = flags & 1;
        v->in[i].aligned = flags >> 1 & 1;
        v->in[i].heard = flags >> 2 & 1;
        v->idle &= v->in[i].idle;
    }
    return r->bad ? ERR_INVALID : 0;
}
