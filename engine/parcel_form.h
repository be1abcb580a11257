/* parcel_form: how a parcel lies in bytes, for the two files that write and read it.
 *
 * Items one after the other, each u8 what, then:
 *   STREAM   varint ref; a new one: bytes rule, u64 shape, varint n, n times bytes column
 *   LEVEL    u8 LEVEL_..., zigzag difference to the stream's last in this body
 *   ROW      u8 ROW_..., zigzag time, [topic ref], zigzag partition, zigzag offset, varint sub, [key], [value], cells
 *   PARTIAL  zigzag start and end, varint last, bytes state
 *   SOURCE   bytes name, u8 LEVEL_..., u64 watermark
 * Differences are to the last of their kind in this body. A ref that equals the number known so far defines the next.
 * Owns nothing. Any thread. */
#ifndef ANANAS_PARCEL_FORM_H
#define ANANAS_PARCEL_FORM_H
#include "parcel.h"

enum { ITEM_STREAM = 1, ITEM_LEVEL, ITEM_ROW, ITEM_PARTIAL, ITEM_SOURCE };
enum { LEVEL_IDLE = 1, LEVEL_NOWHERE = 2 };
enum { ROW_TOPIC = 1, ROW_KEY = 2, ROW_VALUE = 4, ROW_PARTIAL = 8, ROW_MARKED = 16 };
/* Of a symbol: how this row spells it. */
enum { SPELT_BODY = 0x10, SPELT_ALIKE = 0x20, SPELT_OWN = 0x30, SPELT = 0x30 };


#endif
