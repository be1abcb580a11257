#include "number.h"
#include "mem.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* From here on not every integer is a double: keys carry the exact digits behind the rounded value. */
#define EXACT_LIMIT 9007199254740992.0

const double number_powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int is_digit(char c) { return (unsigned)(c - '0') < 10; }

static size_t skip_digits(const char *s, size_t len, size_t i) {
    while (i < len && is_digit(s[i]))
        i++;
    return i;
}

size_t number_scan(const char *s, size_t len, int *is_int) {
    size_t i = 0;
    *is_int = 1;
    if (i < len && s[i] == '-')
        i++;
    if (i >= len || !is_digit(s[i]))
        return 0;
    i = s[i] == '0' ? i + 1 : skip_digits(s, len, i);
    if (i < len && s[i] == '.') {
        size_t from = ++i;
        *is_int = 0;
        i = skip_digits(s, len, i);
        if (i == from)
            return 0;
    }
    if (i < len && (s[i] == 'e' || s[i] == 'E')) {
        *is_int = 0;
        i++;
        if (i < len && (s[i] == '+' || s[i] == '-'))
            i++;
        size_t from = i;
        i = skip_digits(s, len, i);
        if (i == from)
            return 0;
    }
    return i;
}

int number_int64(const char *s, size_t len, int64_t *out) {
    size_t i = len > 0 && s[0] == '-';
    int negative = i == 1;
    if (len == i || len - i > 19 || (s[i] == '0' && (len > 1)))
        return 0;
    uint64_t v = 0;
    for (; i < len; i++) {
        if (!is_digit(s[i]))
            return 0;
        v = v * 10 + (uint64_t)(s[i] - '0'); /* 19 digits fit 64 bits */
    }
    if (v > (uint64_t)INT64_MAX + (uint64_t)negative)
        return 0;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 1;
}

/* A decimal as its significant digits: 0.d1d2d3... * 10^point, without leading or trailing zeros; no digits: zero. */
typedef struct decimal {
    int negative;
    const char *s;   /* text the digits stand in; a '.' may be among them */
    size_t from, to; /* first and behind the last significant digit */
    int64_t point;
} decimal_t;

static int64_t read_exponent(const char *s, size_t len) {
    size_t i = len > 0 && (s[0] == '+' || s[0] == '-');
    int64_t e = 0;
    for (; i < len; i++)
        if (e < 1000000000)
            e = e * 10 + (s[i] - '0');
    return s[0] == '-' ? -e : e;
}

static decimal_t read_decimal(const char *s, size_t len) {
    decimal_t d = {.negative = len > 0 && s[0] == '-', .s = s};
    int64_t before_dot = 0, leading = 0;
    int dot = 0, started = 0;
    size_t i = (size_t)d.negative;
    for (; i < len && (is_digit(s[i]) || s[i] == '.'); i++) {
        if (s[i] == '.') {
            dot = 1;
            continue;
        }
        before_dot += !dot;
        if (s[i] != '0') {
            if (!started)
                d.from = i;
            started = 1;
            d.to = i + 1;
        } else if (!started) {
            leading++;
        }
    }
    int64_t e = i < len ? read_exponent(s + i + 1, len - i - 1) : 0;
    d.point = before_dot - leading + e;
    return d;
}

static double slow_double(const char *s, size_t len) {
    char small[128], *text = len < sizeof small ? small : mem_alloc(len + 1);
    memcpy(text, s, len);
    text[len] = 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc's own static object: costs nothing */
    double d = strtod_l(text, NULL, c);
    freelocale(c);
    if (text != small)
        mem_free(text);
    return d;
}

/* Clinger's fast path: a mantissa and a power of ten that are both exact make one correctly rounded operation. */
double number_double(const char *s, size_t len) {
    size_t i = len > 0 && s[0] == '-';
    uint64_t m = 0;
    int64_t scale = 0;
    unsigned digits = 0;
    for (; i < len && is_digit(s[i]); i++, digits++)
        m = m * 10 + (uint64_t)(s[i] - '0');
    if (i < len && s[i] == '.')
        for (i++; i < len && is_digit(s[i]); i++, digits++, scale--)
            m = m * 10 + (uint64_t)(s[i] - '0');
    if (i < len)
        scale += read_exponent(s + i + 1, len - i - 1);
    if (digits > 18 || m > (uint64_t)EXACT_LIMIT || scale < -22 || scale > 22)
        return slow_double(s, len);
    double d = scale < 0 ? (double)m / number_powers[-scale] : (double)m * number_powers[scale];
    return s[0] == '-' ? -d : d;
}

void number_write_int64(buf_t *b, int64_t v) { number_write_int128(b, v); }

void number_write_int128(buf_t *b, __int128 v) {
    char text[40];
    size_t at = sizeof text;
    unsigned __int128 wide = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    while (wide > UINT64_MAX) {
        text[--at] = (char)('0' + (int)(wide % 10));
        wide /= 10;
    }
    uint64_t u = (uint64_t)wide;
    do {
        text[--at] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    if (v < 0)
        text[--at] = '-';
    buf_add(b, text + at, sizeof text - at);
}

/* The shortest digits of a positive finite d, without trailing zeros, as 0.ddd * 10^*point. */
static size_t shortest_slow(double d, char digits[24], int *point) {
    char text[40];
    int least = d < 2.2250738585072014e-308 ? 0 : 14; /* any 15 digits survive, but for subnormals */
    for (int precision = least; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    size_t n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (is_digit(*p))
            digits[n++] = *p;
    *point = (int)strtol(p + 1, NULL, 10) + 1;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

/* Most numbers people write have few decimals: the smallest k for which d * 10^k is an integer below 10^15 whose
 * quotient rounds back to d gives the shortest digits, as up to 15 digits name at most one double. */
static size_t shortest_fast(double d, char digits[24], int *point) {
    for (int k = 1; k <= 22; k++) {
        double scaled = d * number_powers[k];
        if (scaled >= 1e15)
            return 0;
        double whole = nearbyint(scaled);
        if (whole / number_powers[k] != d || whole < 1)
            continue;
        size_t n = 0;
        char reversed[24];
        for (uint64_t v = (uint64_t)whole; v; v /= 10)
            reversed[n++] = (char)('0' + (int)(v % 10));
        for (size_t i = 0; i < n; i++)
            digits[i] = reversed[n - 1 - i];
        *point = (int)n - k;
        return n;
    }
    return 0;
}

static void add_zeros(buf_t *b, int n) {
    for (int i = 0; i < n; i++)
        buf_add_char(b, '0');
}

/* The layout of ECMAScript's Number::toString: plain up to 21 digits and down to 1e-6, else with an exponent. */
static void write_digits(buf_t *b, const char *digits, int n, int point) {
    if (point > 21 || point < -5) {
        buf_add_char(b, digits[0]);
        if (n > 1) {
            buf_add_char(b, '.');
            buf_add(b, digits + 1, (size_t)n - 1);
        }
        buf_printf(b, "e%+d", point - 1);
    } else if (point <= 0) {
        buf_add_str(b, "0.");
        add_zeros(b, -point);
        buf_add(b, digits, (size_t)n);
    } else if (n <= point) {
        buf_add(b, digits, (size_t)n);
        add_zeros(b, point - n);
    } else {
        buf_add(b, digits, (size_t)point);
        buf_add_char(b, '.');
        buf_add(b, digits + point, (size_t)(n - point));
    }
}

void number_write_double(buf_t *b, double d) {
    if (!isfinite(d)) {
        buf_add_str(b, "null");
        return;
    }
    if (signbit(d)) {
        buf_add_char(b, '-');
        d = -d;
    }
    if (d < EXACT_LIMIT && d == (double)(int64_t)d) {
        number_write_int64(b, (int64_t)d);
        return;
    }
    char digits[24] = {0};
    int point = 0;
    size_t n = shortest_fast(d, digits, &point);
    if (n == 0)
        n = shortest_slow(d, digits, &point);
    write_digits(b, digits, (int)n, point);
}

/* Keys. Eight bytes of the nearest double, made comparable as an unsigned number; where its size is EXACT_LIMIT or more,
 * the exact decimal follows, so the order within one double is exact too. The first eight bytes tell whether the tail is
 * there: keys delimit themselves. */

static void add_rounded(buf_t *b, double d) {
    uint64_t bits;
    if (d == 0)
        d = 0; /* -0 is 0 */
    memcpy(&bits, &d, sizeof bits);
    bits = bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
    bits = __builtin_bswap64(bits);
    buf_add(b, &bits, sizeof bits);
}

static void add_exact(buf_t *b, const char *s, size_t len) {
    decimal_t d = read_decimal(s, len);
    unsigned char flip = d.negative ? 0xff : 0;
    uint32_t point = d.point > UINT32_MAX ? UINT32_MAX : (uint32_t)d.point; /* positive: the number is large */
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_add_char(b, (char)((unsigned char)(point >> shift) ^ flip));
    int pending = -1;
    for (size_t i = d.from; i < d.to; i++) {
        if (s[i] == '.')
            continue;
        int digit = s[i] - '0';
        if (pending >= 0)
            buf_add_char(b, (char)((unsigned char)(pending * 10 + digit + 1) ^ flip));
        pending = pending >= 0 ? -1 : digit;
    }
    if (pending >= 0)
        buf_add_char(b, (char)((unsigned char)(pending * 10 + 1) ^ flip));
    buf_add_char(b, (char)flip);
}

void number_key(buf_t *b, const char *s, size_t len) {
    double d = number_double(s, len);
    add_rounded(b, d);
    if (fabs(d) >= EXACT_LIMIT)
        add_exact(b, s, len);
}

void number_key_int64(buf_t *b, int64_t v) {
    double d = (double)v;
    add_rounded(b, d);
    if (fabs(d) < EXACT_LIMIT)
        return;
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)v);
    add_exact(b, text, (size_t)n);
}

void number_key_double(buf_t *b, double d) {
    if (isnan(d) || fabs(d) < EXACT_LIMIT) {
        add_rounded(b, isnan(d) ? (double)NAN : d);
        return;
    }
    if (fabs(d) < 9223372036854775808.0) {
        number_key_int64(b, (int64_t)d);
        return;
    }
    buf_t text = {0};
    if (isinf(d))
        buf_add_str(&text, d < 0 ? "-1e999999999" : "1e999999999");
    else
        number_write_double(&text, d);
    number_key(b, text.s, text.len);
    buf_fini(&text);
}
