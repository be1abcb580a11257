#include "error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(error_t *e, int code, const char *fmt, ...) {
    if (!e)
        return code;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return code;
}

int error_prefix(error_t *e, const char *fmt, ...) {
    if (!e)
        return ERR_INTERNAL;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at < sizeof e->text)
        snprintf(e->text + at, sizeof e->text - at, ": %s", old);
    return e->code;
}
