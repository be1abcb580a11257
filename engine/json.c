#include "json.h"
#include "error.h"
#include "number.h"
#include <emmintrin.h>

const char *json_reason(int status) {
    switch (status) {
    case JSON_OK: return "valid JSON";
    case JSON_CUT_OFF: return "not JSON: cut off";
    case JSON_TRAILING: return "not JSON: trailing garbage";
    case JSON_TOO_DEEP: return "not JSON: nested deeper than 64 levels";
    case JSON_BAD_UTF8: return "not JSON: invalid UTF-8";
    case JSON_BAD_ESCAPE: return "not JSON: invalid escape";
    case JSON_CONTROL_CHAR: return "not JSON: control character in a string";
    case JSON_BAD_NUMBER: return "not JSON: malformed number";
    default: return "not JSON: syntax error";
    }
}

const char *json_ws(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* The first byte at or behind p that ends a run of plain ASCII: a quote, a backslash, a control or a non-ASCII byte. */
static const char *plain_run(const char *p, const char *end) {
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
        special = _mm_or_si128(special, _mm_cmplt_epi8(v, space)); /* signed: bytes from 0x80 are below as well */
        int mask = _mm_movemask_epi8(special);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80)
            break;
    }
    return p;
}

/* Length of the UTF-8 sequence at p, 2 to 4 (its first byte is not ASCII); 0: invalid. No overlong forms, no
 * surrogates, nothing beyond U+10FFFF (Unicode 15, table 3-7). */
static unsigned utf8_sequence(const char *p, const char *end) {
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    unsigned n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < 2)
        return 0;
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high || left < n)
        return 0;
    for (unsigned i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Four hexadecimal digits, or a negative number. */
static int hex4(const char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

static int is_short_escape(char c) {
    return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't';
}

/* *p at a backslash; moves behind the escape (both halves of a surrogate pair). */
static int scan_escape(const char **p, const char *end) {
    const char *s = *p;
    if (end - s < 2)
        return JSON_CUT_OFF;
    if (s[1] != 'u') {
        if (!is_short_escape(s[1]))
            return JSON_BAD_ESCAPE;
        *p = s + 2;
        return JSON_OK;
    }
    if (end - s < 6)
        return JSON_CUT_OFF;
    int unit = hex4(s + 2);
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return JSON_BAD_ESCAPE;
    s += 6;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (end == s || (end - s < 6 && s[0] == '\\'))
            return JSON_CUT_OFF;
        int low = end - s >= 6 && s[0] == '\\' && s[1] == 'u' ? hex4(s + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return JSON_BAD_ESCAPE;
        s += 6;
    }
    *p = s;
    return JSON_OK;
}

int json_special(const char **p, const char *end, int *escaped) {
    const char *s = *p;
    while (s < end) {
        unsigned char c = (unsigned char)*s;
        if (c == '\\') {
            *escaped = 1;
            int status = scan_escape(&s, end);
            if (status)
                return status;
        } else if (c >= 0x80) {
            unsigned n = utf8_sequence(s, end);
            if (n == 0)
                return JSON_BAD_UTF8;
            s += n;
        } else if (c < 0x20) {
            return JSON_CONTROL_CHAR;
        } else {
            break;
        }
    }
    *p = s;
    return JSON_OK;
}

/* From p to the first quote, all validated; *p is left at that quote, or at end with JSON_OK as well. */
static int scan_body(const char **p, const char *end, int *escaped) {
    for (;;) {
        *p = plain_run(*p, end);
        if (*p >= end || **p == '"')
            return JSON_OK;
        int status = json_special(p, end, escaped);
        if (status)
            return status;
    }
}

int json_string(const char **p, const char *end, slice_t *body, int *escaped) {
    const char *s = *p + 1, *from = s;
    *escaped = 0;
    int status = scan_body(&s, end, escaped);
    if (status)
        return status;
    if (s >= end)
        return JSON_CUT_OFF;
    *body = (slice_t){from, (size_t)(s - from)};
    *p = s + 1;
    return JSON_OK;
}

/* --- strings that are scanned and unescaped in one go --- */

#define TEXT_BLOCK 32

static uint32_t special_bytes(const char *p) {
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    uint32_t mask = 0;
    for (int half = 0; half < 2; half++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * half));
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
        special = _mm_or_si128(special, _mm_cmplt_epi8(v, space)); /* signed: bytes from 0x80 are below as well */
        mask |= (uint32_t)_mm_movemask_epi8(special) << (16 * half);
    }
    return mask;
}

/* Of escapes of two bytes; 0: not one. */
static const char short_escapes[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};

/* What is not plain at *p: one escape or character of more bytes, or an error. */
static int take_special(const char **p, const char *end, char **out) {
    const char *s = *p;
    unsigned char c = (unsigned char)*s;
    if (c == '\\') {
        int status = scan_escape(p, end);
        if (status)
            return status;
        *out += json_unescape(s, (size_t)(*p - s), *out);
        return JSON_OK;
    }
    if (c < 0x20)
        return JSON_CONTROL_CHAR;
    unsigned n = utf8_sequence(s, end);
    if (n == 0)
        return JSON_BAD_UTF8;
    memcpy(*out, s, n);
    *p += n;
    *out += n;
    return JSON_OK;
}

/* Plain bytes and short escapes of whole blocks, up to anything else; the value is written no further than *out plus what
 * is left of the text, since it never gets ahead of it. */
static void text_blocks(const char **p, const char *end, char **out) {
    const char *s = *p;
    char *o = *out;
    while (end - s >= 2 * TEXT_BLOCK) { /* so that every copy below may be of a whole block */
        uint32_t special = special_bytes(s);
        unsigned used = 0;
        while (special) {
            unsigned n = (unsigned)__builtin_ctz(special);
            memcpy(o, s, TEXT_BLOCK);
            s += n;
            o += n;
            char plain = *s == '\\' ? short_escapes[(unsigned char)s[1]] : 0;
            if (!plain) {
                *p = s;
                *out = o;
                return;
            }
            *o++ = plain;
            s += 2;
            used += n + 2;
            special = n + 2 < 32 ? special >> (n + 2) : 0;
        }
        if (used >= TEXT_BLOCK) /* the last escape may have ended behind the block */
            continue;
        memcpy(o, s, TEXT_BLOCK);
        s += TEXT_BLOCK - used;
        o += TEXT_BLOCK - used;
    }
    *p = s;
    *out = o;
}

int json_text(const char **p, const char *end, char *out, size_t *len) {
    const char *s = *p + 1;
    char *o = out;
    for (;;) {
        text_blocks(&s, end, &o);
        if (s >= end)
            return JSON_CUT_OFF;
        if (*s == '"')
            break;
        if (*s != '\\' && (unsigned char)*s >= 0x20 && (unsigned char)*s < 0x80) {
            *o++ = *s++; /* near the end of the text */
            continue;
        }
        int status = take_special(&s, end, &o);
        if (status)
            return status;
    }
    *len = (size_t)(o - out);
    *p = s + 1;
    return JSON_OK;
}

int json_body(const char *body, size_t len, int *escaped) {
    const char *end = body + len;
    *escaped = 0;
    int status = scan_body(&body, end, escaped);
    return status ? status : body == end ? JSON_OK : JSON_SYNTAX;
}

static int skip_word(const char **p, const char *end, const char *word, size_t len) {
    size_t left = (size_t)(end - *p), n = left < len ? left : len;
    if (memcmp(*p, word, n) != 0)
        return JSON_SYNTAX;
    *p += n;
    return n < len ? JSON_CUT_OFF : JSON_OK;
}

int json_number(const char **p, const char *end) {
    int is_int;
    size_t n = number_scan(*p, (size_t)(end - *p), &is_int);
    if (n == 0)
        return *p + 1 == end ? JSON_CUT_OFF : JSON_BAD_NUMBER;
    *p += n;
    return *p < end && (unsigned)(**p - '0') < 10 ? JSON_BAD_NUMBER : JSON_OK; /* 01 */
}

static int skip_member_name(const char **p, const char *end) {
    slice_t name;
    int escaped;
    if (*p >= end)
        return JSON_CUT_OFF;
    if (**p != '"')
        return JSON_SYNTAX;
    int status = json_string(p, end, &name, &escaped);
    if (status)
        return status;
    *p = json_ws(*p, end);
    if (*p >= end)
        return JSON_CUT_OFF;
    if (**p != ':')
        return JSON_SYNTAX;
    *p = json_ws(*p + 1, end);
    return JSON_OK;
}

/* *p at '[' or '{'. */
static int skip_container(const char **p, const char *end, int depth) {
    int is_object = **p == '{';
    char close = is_object ? '}' : ']';
    if (depth >= JSON_DEPTH_MAX)
        return JSON_TOO_DEEP;
    *p = json_ws(*p + 1, end);
    if (*p < end && **p == close) {
        ++*p;
        return JSON_OK;
    }
    for (;;) {
        int status = is_object ? skip_member_name(p, end) : JSON_OK;
        if (status == JSON_OK)
            status = json_skip(p, end, depth + 1);
        if (status)
            return status;
        *p = json_ws(*p, end);
        if (*p >= end)
            return JSON_CUT_OFF;
        char c = *(*p)++;
        if (c == close)
            return JSON_OK;
        if (c != ',')
            return JSON_SYNTAX;
        *p = json_ws(*p, end);
    }
}

int json_skip(const char **p, const char *end, int depth) {
    slice_t body;
    int escaped;
    if (*p >= end)
        return JSON_CUT_OFF;
    switch (**p) {
    case '"': return json_string(p, end, &body, &escaped);
    case '{':
    case '[': return skip_container(p, end, depth);
    case 't': return skip_word(p, end, "true", 4);
    case 'f': return skip_word(p, end, "false", 5);
    case 'n': return skip_word(p, end, "null", 4);
    default: return **p == '-' || (unsigned)(**p - '0') < 10 ? json_number(p, end) : JSON_SYNTAX;
    }
}

int json_valid(const char *s, size_t len) {
    const char *end = s + len, *p = json_ws(s, end);
    int status = json_skip(&p, end, 0);
    if (status)
        return status;
    return json_ws(p, end) == end ? JSON_OK : JSON_TRAILING;
}

const char *json_quote(const char *p, const char *end) {
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    for (p++; end - p >= 16; p += 16) {
        __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(p - 1));
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        int mask = _mm_movemask_epi8(_mm_andnot_si128(_mm_cmpeq_epi8(before, slash), _mm_cmpeq_epi8(v, quote)));
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
    while (p < end && (*p != '"' || p[-1] == '\\'))
        p++;
    return p < end ? p : end;
}

int json_iter_open(json_iter_t *it, slice_t text) {
    *it = (json_iter_t){.p = json_ws(text.s, text.s + text.len), .end = text.s + text.len, .first = 1};
    if (it->p >= it->end || (*it->p != '{' && *it->p != '['))
        return JSON_SYNTAX;
    it->is_object = *it->p++ == '{';
    return JSON_OK;
}

int json_iter_next(json_iter_t *it) {
    it->p = json_ws(it->p, it->end);
    if (it->p >= it->end)
        return JSON_CUT_OFF;
    if (*it->p == (it->is_object ? '}' : ']'))
        return 0;
    if (!it->first) {
        if (*it->p != ',')
            return JSON_SYNTAX;
        it->p = json_ws(it->p + 1, it->end);
    }
    it->first = 0;
    if (it->is_object) {
        if (it->p >= it->end || *it->p != '"')
            return JSON_SYNTAX;
        int status = json_string(&it->p, it->end, &it->key, &it->key_escaped);
        if (status)
            return status;
        it->p = json_ws(it->p, it->end);
        if (it->p >= it->end || *it->p != ':')
            return JSON_SYNTAX;
        it->p = json_ws(it->p + 1, it->end);
    }
    const char *from = it->p;
    int status = json_skip(&it->p, it->end, 1);
    it->value = (slice_t){from, (size_t)(it->p - from)};
    return status ? status : 1;
}

int json_name_eq(slice_t body, int escaped, slice_t name) {
    if (!escaped)
        return slice_eq(body, name);
    if (body.len < name.len)
        return 0;
    /* Escaped names are rare; unescaping piecewise compares them without memory of any size. */
    const char *p = body.s, *end = body.s + body.len;
    size_t at = 0;
    while (p < end) {
        char piece[4];
        const char *next = p;
        size_t n = 1;
        if (*p == '\\') {
            if (scan_escape(&next, end))
                return 0;
            n = json_unescape(p, (size_t)(next - p), piece);
        } else {
            piece[0] = *next++;
        }
        if (name.len - at < n || memcmp(name.s + at, piece, n) != 0)
            return 0;
        at += n;
        p = next;
    }
    return at == name.len;
}

int json_member(slice_t object, slice_t name, slice_t *value) {
    json_iter_t it;
    int found = ERR_NOT_FOUND;
    if (json_iter_open(&it, object) || !it.is_object)
        return ERR_NOT_FOUND;
    while (json_iter_next(&it) > 0) {
        if (json_name_eq(it.key, it.key_escaped, name)) {
            *value = it.value;
            found = 0;
        }
    }
    return found;
}

static size_t put_utf8(char *out, unsigned c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static char unescape_letter(char c) {
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c;
    }
}

size_t json_unescape(const char *body, size_t len, char *out) {
    size_t n = 0, i = 0;
    while (i < len) {
        if (body[i] != '\\') {
            out[n++] = body[i++];
        } else if (body[i + 1] != 'u') {
            out[n++] = unescape_letter(body[i + 1]);
            i += 2;
        } else {
            unsigned c = (unsigned)hex4(body + i + 2);
            i += 6;
            if (c >= 0xd800 && c <= 0xdbff) {
                c = 0x10000 + ((c - 0xd800) << 10) + ((unsigned)hex4(body + i + 2) - 0xdc00);
                i += 6;
            }
            n += put_utf8(out + n, c);
        }
    }
    return n;
}

static void write_special(buf_t *b, unsigned char c) {
    static const char letters[] = "btn_fr"; /* 0x08 to 0x0d */
    if (c == '"' || c == '\\') {
        buf_add_char(b, '\\');
        buf_add_char(b, (char)c);
    } else if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
        buf_add_char(b, '\\');
        buf_add_char(b, letters[c - 0x08]);
    } else {
        buf_printf(b, "\\u%04x", c);
    }
}

void json_write_string(buf_t *b, const char *s, size_t len) {
    const char *end = s + len;
    buf_add_char(b, '"');
    while (s < end) {
        const char *stop = plain_run(s, end);
        buf_add(b, s, (size_t)(stop - s));
        s = stop;
        if (s >= end)
            break;
        if ((unsigned char)*s < 0x80) {
            write_special(b, (unsigned char)*s++);
            continue;
        }
        unsigned n = utf8_sequence(s, end);
        if (n)
            buf_add(b, s, n);
        else
            buf_add_str(b, "\xef\xbf\xbd");
        s += n ? n : 1;
    }
    buf_add_char(b, '"');
}

int json_plain(const char *s, size_t len) {
    const char *end = s + len;
    while ((s = plain_run(s, end)) < end) {
        unsigned n = (unsigned char)*s < 0x80 ? 0 : utf8_sequence(s, end);
        if (n == 0)
            return 0;
        s += n;
    }
    return 1;
}
