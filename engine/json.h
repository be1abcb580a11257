/* json: strict JSON text (RFC 8259): scanning, strings, writing.
 *
 * Never allocates a tree: a value is a slice of the text it stands in. Depth is bounded (JSON_DEPTH_MAX levels), strings
 * must be valid UTF-8 with valid escapes (a lone surrogate escape is invalid), control characters are refused. Reads never go beyond the
 * slice. Any thread. */
#ifndef ANANAS_JSON_H
#define ANANAS_JSON_H
#include "buf.h"

#define JSON_DEPTH_MAX 64

/* Each scans one thing at *p (before end) and moves *p behind it. 0, or a negative reason: see json_reason. */
typedef enum {
    JSON_OK = 0,
    JSON_CUT_OFF = -101, /* the text ends inside a value */
    JSON_SYNTAX = -102,
    JSON_TRAILING = -103, /* something follows the value */
    JSON_TOO_DEEP = -104,
    JSON_BAD_UTF8 = -105,
    JSON_BAD_ESCAPE = -106,
    JSON_CONTROL_CHAR = -107,
    JSON_BAD_NUMBER = -108
} json_status_t;
const char *json_reason(int status); /* "not JSON: cut off", "not JSON: trailing garbage", ... */

const char *json_ws(const char *p, const char *end);
/* *p at the opening quote. Body without quotes; *escaped: it holds a backslash. */
int json_string(const char **p, const char *end, slice_t *body, int *escaped);
int json_body(const char *body, size_t len, int *escaped); /* validates a string body that stands alone */
/* A run of escapes and non-ASCII characters at *p, inside a string: validated and passed. For scanners that find plain
 * bytes by themselves. JSON_CONTROL_CHAR when *p is at one. */
int json_special(const char **p, const char *end, int *escaped);
int json_number(const char **p, const char *end);
int json_skip(const char **p, const char *end, int depth); /* any value, validated */
int json_valid(const char *s, size_t len);                 /* exactly one value and white space */

/* The next quote behind p with no backslash right before it, or end: every string begins with such a one. */
const char *json_quote(const char *p, const char *end);

/* Walks an object or array: json_iter_open at '{' or '[', then json_iter_next until it returns 0 (end); 1: an element;
 * negative: json_status_t. The text must have been validated before (json_valid or the decoder). */
typedef struct json_iter {
    const char *p, *end;
    int is_object, first;
    slice_t key; /* escaped body, objects only */
    int key_escaped;
    slice_t value; /* raw text of the value */
} json_iter_t;
int json_iter_open(json_iter_t *it, slice_t text);
int json_iter_next(json_iter_t *it);
/* Whether a string body, escaped or not, spells that (unescaped) name. */
int json_name_eq(slice_t body, int escaped, slice_t name);
/* Last member of that (unescaped) name in an object's validated text; 0 or ERR_NOT_FOUND. */
int json_member(slice_t object, slice_t name, slice_t *value);

/* Unescaped form of a validated string body is never longer than the body. */
size_t json_unescape(const char *body, size_t len, char *out);
/* Scans like json_string and unescapes on the way: *p at the opening quote, out has room for the bytes up to end. */
int json_text(const char **p, const char *end, char *out, size_t *len);
/* Writes a string with quotes, from UTF-8; invalid UTF-8 (from Lua) becomes U+FFFD. Emoji are written as UTF-8. */
void json_write_string(buf_t *b, const char *s, size_t len);
int json_plain(const char *s, size_t len); /* 1: bytes need no escape and are ASCII/UTF-8: body == value */
#endif
