#include "timefmt.h"
#include "error.h"
#include "number.h"
#include <stdio.h>

#define DAY_MS 86400000

/* Days since 1970-01-01 of the proleptic Gregorian calendar, and back (Howard Hinnant's era arithmetic). */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + (int64_t)d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

typedef struct civil {
    int64_t year;
    int month, day;
} civil_t;

static civil_t civil_from_days(int64_t z) {
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (civil_t){yoe + era * 400 + (month <= 2), month, (int)(doy - (153 * mp + 2) / 5 + 1)};
}

static int days_in_month(int64_t y, unsigned m) {
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[m - 1] + (m == 2 && leap);
}

typedef struct cursor {
    const char *p, *end;
} cursor_t;

static int at(const cursor_t *c, char wanted) { return c->p < c->end && *c->p == wanted; }

static int accept(cursor_t *c, char wanted) {
    if (!at(c, wanted))
        return 0;
    c->p++;
    return 1;
}

static int is_digit_at(const cursor_t *c) { return c->p < c->end && (unsigned)(*c->p - '0') < 10; }

/* Exactly n digits. */
static int digits(cursor_t *c, int n, unsigned *out) {
    *out = 0;
    for (int i = 0; i < n; i++) {
        if (!is_digit_at(c))
            return 0;
        *out = *out * 10 + (unsigned)(*c->p++ - '0');
    }
    return 1;
}

static int parse_date(cursor_t *c, int64_t *days) {
    unsigned y, m, d;
    if (!digits(c, 4, &y))
        return 0;
    int dash = accept(c, '-');
    if (!digits(c, 2, &m) || (dash && !accept(c, '-')) || !digits(c, 2, &d))
        return 0;
    if (m < 1 || m > 12 || d < 1 || d > (unsigned)days_in_month(y, m))
        return 0;
    *days = days_from_civil(y, m, d);
    return 1;
}

/* Digits beyond milliseconds are cut off: rounding up could move a time past the end of its window. */
static int parse_fraction(cursor_t *c, int64_t *ms) {
    if (!accept(c, '.') && !accept(c, ','))
        return 1;
    if (!is_digit_at(c))
        return 0;
    for (int64_t unit = 100; is_digit_at(c); c->p++, unit /= 10)
        *ms += (*c->p - '0') * unit;
    return 1;
}

static int parse_clock(cursor_t *c, int64_t *ms) {
    unsigned h, m, s = 0;
    if (!digits(c, 2, &h))
        return 0;
    int colon = accept(c, ':');
    if (!digits(c, 2, &m))
        return 0;
    int has_seconds = colon ? accept(c, ':') : is_digit_at(c);
    if (has_seconds && !digits(c, 2, &s))
        return 0;
    if (h > 23 || m > 59 || s > 60) /* 60: a leap second counts as the next second's first */
        return 0;
    *ms = ((int64_t)h * 3600 + m * 60 + s) * 1000;
    return !has_seconds || parse_fraction(c, ms);
}

static int parse_zone(cursor_t *c, int64_t *offset_ms) {
    *offset_ms = 0;
    accept(c, ' ');
    if (c->p == c->end || accept(c, 'Z') || accept(c, 'z'))
        return 1;
    int west = at(c, '-');
    if (!accept(c, '-') && !accept(c, '+'))
        return 0;
    unsigned h, m = 0;
    if (!digits(c, 2, &h))
        return 0;
    int colon = accept(c, ':');
    if ((colon || is_digit_at(c)) && !digits(c, 2, &m))
        return 0;
    if (h > 18 || m > 59)
        return 0;
    *offset_ms = ((int64_t)h * 60 + m) * 60000 * (west ? -1 : 1);
    return 1;
}

int timefmt_parse(const char *s, size_t len, etime_t *out) {
    cursor_t c = {s, s + len};
    int64_t days, ms = 0, zone = 0;
    if (len == 0 || !parse_date(&c, &days))
        return ERR_INVALID;
    if (c.p < c.end) {
        if (!accept(&c, 'T') && !accept(&c, 't') && !accept(&c, ' '))
            return ERR_INVALID;
        if (!parse_clock(&c, &ms) || !parse_zone(&c, &zone) || c.p != c.end)
            return ERR_INVALID;
    }
    *out = days * DAY_MS + ms - zone;
    return 0;
}

static char *put_digits(char *p, int v, int n) {
    for (int i = n - 1; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
    return p + n;
}

/* By hand: every output record has one or more of these, and printf took a fifth of writing it. */
static void write_time(buf_t *b, civil_t d, int ms, char between) {
    char text[32], *p = text;
    if (d.year < 0 || d.year > 9999) /* ISO 8601's expanded form, for times no clock ever showed */
        buf_printf(b, "%+07lld", (long long)d.year);
    else
        p = put_digits(p, (int)d.year, 4);
    *p++ = '-';
    p = put_digits(p, d.month, 2);
    *p++ = '-';
    p = put_digits(p, d.day, 2);
    *p++ = between;
    p = put_digits(p, ms / 3600000, 2);
    *p++ = ':';
    p = put_digits(p, ms / 60000 % 60, 2);
    *p++ = ':';
    p = put_digits(p, ms / 1000 % 60, 2);
    *p++ = '.';
    p = put_digits(p, ms % 1000, 3);
    buf_add(b, text, (size_t)(p - text));
}

int timefmt_marked(const char *s, size_t len, etime_t *out) {
    size_t mark = strlen(TIME_MARK);
    if (len <= mark || memcmp(s + len - mark, TIME_MARK, mark) != 0)
        return 0;
    return number_int64(s, len - mark, out);
}

void timefmt_write(buf_t *b, etime_t t, time_format_t format) {
    if (!timefmt_quoted(format)) {
        number_write_int64(b, t);
        if (format == TIME_MARKED)
            buf_add_str(b, TIME_MARK);
        return;
    }
    int64_t days = t / DAY_MS, ms = t % DAY_MS;
    if (ms < 0) {
        ms += DAY_MS;
        days--;
    }
    write_time(b, civil_from_days(days), (int)ms, format == TIME_SQL ? ' ' : 'T');
    if (format == TIME_ISO8601)
        buf_add_char(b, 'Z');
}

typedef struct unit {
    const char *name;
    int64_t ms;
} unit_t;

static const unit_t units[] = {{"d", DAY_MS}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define N_UNITS (sizeof units / sizeof units[0])

int timefmt_duration(const char *s, size_t len, int64_t *ms) {
    size_t n = 0;
    while (n < len && ((unsigned)(s[n] - '0') < 10 || s[n] == '.'))
        n++;
    slice_t name = {s + n, len - n};
    int64_t unit = 0;
    for (size_t i = 0; i < N_UNITS; i++)
        if (slice_eq(name, slice_of(units[i].name)))
            unit = units[i].ms;
    if (n == 0 || n > 32 || unit == 0 || s[0] == '.' || s[n - 1] == '.')
        return ERR_INVALID;
    int64_t whole = 0, part = 0, part_unit = 1;
    int dots = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '.') {
            dots++;
        } else if (dots == 0) {
            if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, s[i] - '0', &whole))
                return ERR_INVALID;
        } else if (part_unit < 1000000000) {
            part = part * 10 + (s[i] - '0');
            part_unit *= 10;
        }
    }
    if (dots > 1 || __builtin_mul_overflow(whole, unit, &whole) ||
        __builtin_add_overflow(whole, part * unit / part_unit, ms))
        return ERR_INVALID;
    return 0;
}

void timefmt_write_duration(buf_t *b, int64_t ms) {
    size_t i = 0;
    while (i + 1 < N_UNITS && (ms == 0 || ms % units[i].ms != 0))
        i++;
    number_write_int64(b, ms / units[i].ms);
    buf_add_str(b, units[i].name);
}
