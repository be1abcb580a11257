#include "resume.h"

#define WHERE "%s/%d: "

static int offset_gone(const resume_facts_t *f, int64_t next, error_t *e) {
    return error_set(
        e, ERR_INVALID,
        WHERE
        "this group stopped at offset %lld, but the broker has only %lld to %lld: the records between expired or the "
        "topic was made anew. To go on without them: stop all members, kafka-consumer-groups --group %s "
        "--reset-offsets, delete topic %s (state starts empty), start again",
        f->topic, f->partition, (long long)next, (long long)f->low, (long long)f->high, f->group, f->changelog);
}

static int first_start(const resume_facts_t *f, int64_t *offset, const char **note) {
    if (f->has_state) {
        *note = "is new since the state was made; reading it from its beginning";
        *offset = f->low;
        return 0;
    }
    *offset = f->start == START_EARLIEST ? f->low : f->high;
    return 0;
}

int resume_offset(const resume_facts_t *f, int64_t *offset, const char **note, error_t *e) {
    *note = NULL;
    if (f->committed == RESUME_NONE && f->state == RESUME_NONE)
        return first_start(f, offset, note);
    /* The first commit of all wrote state, but no offsets any more: what it counted was written before. */
    if (f->committed == RESUME_NONE && f->delivery == DELIVERY_AT_LEAST_ONCE) {
        if (f->state < f->low || f->state > f->high)
            return offset_gone(f, f->state, e);
        *note =
            "has no committed offset in this group (stopped before the first one, or somebody deleted it); going on "
            "from where the state was made";
        *offset = f->state;
        return 0;
    }
    if (f->committed == RESUME_NONE)
        return error_set(
            e, ERR_INVALID,
            WHERE
            "the changelog holds state up to offset %lld, but group %s has no committed offset any more (expired or "
            "deleted). To go on with the state: kafka-consumer-groups --group %s --reset-offsets --to-offset %lld. To "
            "start over: delete topic %s",
            f->topic, f->partition, (long long)f->state, f->group, f->group, (long long)f->state, f->changelog);
    if (f->state == RESUME_NONE && (f->has_state || f->committed > f->low || f->committed > 0))
        return error_set(
            e, ERR_INVALID,
            WHERE
            "group %s has committed offset %lld, but the changelog %s has no state for it (deleted?). To start over "
            "from the beginning: stop all members, kafka-consumer-groups --group %s --delete",
            f->topic, f->partition, f->group, (long long)f->committed, f->changelog, f->group);
    int64_t state = f->state == RESUME_NONE ? f->committed : f->state;
    int behind = f->committed < state && f->delivery == DELIVERY_AT_LEAST_ONCE;
    if (f->committed != state && !behind)
        return error_set(
            e, ERR_INVALID,
            WHERE
            "the group's committed offset is %lld, but the state was made up to %lld: somebody moved the offsets. To "
            "go on with the state: kafka-consumer-groups --group %s --reset-offsets --to-offset %lld. To work "
            "without it from the new offsets: delete topic %s",
            f->topic, f->partition, (long long)f->committed, (long long)state, f->group, (long long)state,
            f->changelog);
    if (state < f->low || state > f->high)
        return offset_gone(f, state, e);
    if (behind) /* output is on the broker before state is, so nothing is lost, and no row counts twice */
        *note =
            "the state is ahead of the group's offset, as after a stop between writing the two (at_least_once): going "
            "on from the state";
    *offset = state;
    return 0;
}
