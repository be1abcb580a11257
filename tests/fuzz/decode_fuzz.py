"""The decoder against Python's json, over mutated records: decode_fuzz.py [COUNT] [SEED]

Drives build/libananas.so (ANANAS_OUT says where else) by ctypes, each input in memory of its exact size. For every input,
with and without learned layouts, on the widest and on the narrowest vectors: the same are accepted, accepted ones give
the same columns and path elements, numbers and all to the character, and refused ones the same reason. What is asked
beyond Python: no lone surrogate in any string, at most 64 levels, an object at the top. Prints the seed; exit 1 and the
input on the first difference.
"""
import ctypes as c
import json
import os
import random
import struct
import sys
import time

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("SEED") or time.time_ns() % 2**31)
BATCH = 100
# Names down to a member of nested objects are joined by a byte that no name has.
COLUMNS = [["id"], ["name"], ["timestamp"], ["pizzas"], ["a b"], ["é"], ["deep"], ["deep", "er"], ["deep", "er", "list"], ["deep", "q"],
           ["id", "x"], ["a b", "er", "list"], ["m1", "z"], ["deep", "er", "a b"]]
PATHS = ["pizzas[].additionalToppings[]", "pizzas[]", "tags[]", "deep.er.list[].x[][]"]
DEPTH = 64
INT, NUM = 3, 4     # kinds of cells that carry a value beside their text

lib = c.CDLL(os.path.join(os.environ.get("ANANAS_OUT") or "build", "libananas.so"))


class Slice(c.Structure):
    _fields_ = [("s", c.c_void_p), ("len", c.c_size_t)]


class Buf(c.Structure):
    _fields_ = [("s", c.c_void_p), ("len", c.c_size_t), ("cap", c.c_size_t)]


class Cell(c.Structure):
    _fields_ = [("kind", c.c_uint8), ("flags", c.c_uint8), ("spare", c.c_uint16), ("len", c.c_uint32), ("raw", c.c_void_p), ("u", c.c_int64)]


class Column(c.Structure):
    _fields_ = [("cells", c.POINTER(Cell)), ("map", c.POINTER(c.c_uint32))]


class Origin(c.Structure):
    _fields_ = [("time", c.c_int64), ("offset", c.c_int64), ("topic", c.c_int32), ("partition", c.c_int32), ("tick", c.c_uint32),
                ("spare", c.c_uint32), ("key", Slice), ("value", Slice)]


class Batch(c.Structure):
    _fields_ = [("n", c.c_uint32), ("n_origins", c.c_uint32), ("n_columns", c.c_uint32), ("open", c.c_uint32), ("origin", c.POINTER(c.c_uint32)),
                ("sub", c.POINTER(c.c_uint32)), ("origins", c.POINTER(Origin)), ("columns", c.POINTER(Column)), ("names", c.c_void_p)]


class SpecColumn(c.Structure):
    _fields_ = [("name", c.c_char_p), ("meta", c.c_int), ("intern", c.c_int)]


class SpecUnnest(c.Structure):
    _fields_ = [("path", c.c_char_p), ("intern", c.c_int)]


class Spec(c.Structure):
    _fields_ = [("columns", c.POINTER(SpecColumn)), ("n_columns", c.c_uint32), ("unnests", c.POINTER(SpecUnnest)), ("n_unnests", c.c_uint32),
                ("event_time", c.c_char_p), ("event_unit_ms", c.c_int64)]


class Record(c.Structure):
    _fields_ = [("topic", c.c_int32), ("partition", c.c_int32), ("offset", c.c_int64), ("timestamp", c.c_int64), ("key", Slice), ("value", Slice),
                ("headers", Slice), ("own", c.c_void_p), ("tick", c.c_uint32)]


class Bad(c.Structure):
    _fields_ = [("record", c.c_uint32), ("reason", c.c_char_p), ("is_tombstone", c.c_int)]


class Unnested(c.Structure):
    _fields_ = [("n", c.c_uint32), ("origin", c.POINTER(c.c_uint32)), ("sub", c.POINTER(c.c_uint32)), ("cells", c.POINTER(Cell))]


class Decoded(c.Structure):
    _fields_ = [("batch", c.POINTER(Batch)), ("unnested", c.POINTER(Unnested)), ("bad", c.POINTER(Bad)), ("n_bad", c.c_uint32)]


class Arena(c.Structure):
    _fields_ = [("words", c.c_uint64 * 8)]


lib.mem_alloc.restype = c.c_void_p
lib.mem_alloc.argtypes = [c.c_size_t]
lib.mem_free.argtypes = [c.c_void_p]
lib.intern_new.restype = c.c_void_p
lib.intern_new.argtypes = [c.c_uint32, c.c_size_t]
lib.intern_between_batches.argtypes = [c.c_void_p]
lib.decoder_new.restype = c.c_void_p
lib.decoder_new.argtypes = [c.POINTER(Spec), c.c_void_p]
lib.decoder_predict.argtypes = [c.c_void_p, c.c_int]
lib.decoder_narrow.argtypes = [c.c_void_p]
lib.decode_records.argtypes = [c.c_void_p, c.POINTER(Record), c.c_uint32, c.c_int64, c.POINTER(Arena), c.POINTER(Decoded)]
lib.arena_init.argtypes = lib.arena_reset.argtypes = [c.POINTER(Arena)]
lib.cell_write.argtypes = [c.POINTER(Buf), c.POINTER(Cell), c.c_int]


class Decoder:
    def __init__(self, symbols, predict=True, narrow=False):
        columns = (SpecColumn * len(COLUMNS))(*[SpecColumn(b"\xff".join(name.encode() for name in names), -1, i != 2) for i, names in enumerate(COLUMNS)])
        unnests = (SpecUnnest * len(PATHS))(*[SpecUnnest(path.encode(), i != 1) for i, path in enumerate(PATHS)])
        self.intern = lib.intern_new(symbols, 1 << 20)
        spec = Spec(columns, len(COLUMNS), unnests, len(PATHS), None, 1)
        self.decoder = lib.decoder_new(c.byref(spec), self.intern)
        lib.decoder_predict(self.decoder, predict)
        if narrow:
            lib.decoder_narrow(self.decoder)
        self.arena = Arena()
        lib.arena_init(c.byref(self.arena))
        self.text = Buf()

    def write(self, cell):
        self.text.len = 0
        lib.cell_write(c.byref(self.text), c.byref(cell), 0)
        text = c.string_at(self.text.s, self.text.len)
        if cell.kind == INT:
            assert cell.u == int(text), text
        elif cell.kind == NUM:
            assert struct.pack("=q", cell.u) == struct.pack("=d", float(text)), text
        return text

    def read(self, records, n):
        """Per input: its reason, or (columns, elements per path), all as bytes."""
        lib.arena_reset(c.byref(self.arena))
        lib.intern_between_batches(self.intern)
        out = Decoded()
        lib.decode_records(self.decoder, records, n, 2**62, c.byref(self.arena), c.byref(out))
        result = [None] * n
        for i in range(out.n_bad):
            result[out.bad[i].record] = out.bad[i].reason.decode()
        batch, good = out.batch.contents, []
        for row in range(batch.n):
            columns = [self.write(batch.columns[k].cells[batch.columns[k].map[row]]) for k in range(len(COLUMNS))]
            at = batch.origins[row].offset
            assert result[at] is None
            result[at] = (columns, [[] for _ in PATHS])
            good.append(at)
        for k in range(len(PATHS)):
            found = out.unnested[k]
            for i in range(found.n):
                elements = result[good[found.origin[i]]][1][k]
                assert found.sub[i] == len(elements)
                elements.append(self.write(found.cells[i]))
        return result


# --- what Python says ---

class Number(str):
    pass


class Refused(Exception):
    pass


def refuse(_):
    raise Refused("constant")


def build(value, depth):
    """Last members win; strings are checked for what UTF-8 cannot carry."""
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        value.encode("utf-8")
        return value
    if isinstance(value, (list, Members)):
        if depth >= DEPTH:
            raise Refused("depth")
        if isinstance(value, list):
            return [build(item, depth + 1) for item in value]
        members = {}
        for key, item in value.pairs:
            key.encode("utf-8")
            members[key] = build(item, depth + 1)
        return members
    return value


class Members:
    def __init__(self, pairs):
        self.pairs = pairs


def parse(data):
    text = data.decode("utf-8")
    value = json.loads(text, object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=refuse)
    return build(value, 0)


def follow(value, steps):
    if not steps:
        yield value
    elif steps[0] == "[]":
        if isinstance(value, list):
            for item in value:
                yield from follow(item, steps[1:])
    elif isinstance(value, dict) and steps[0] in value:
        yield from follow(value[steps[0]], steps[1:])


def member(value, names):
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


STEPS = [path.replace("[]", ".[]").split(".") for path in PATHS]


def expected(data):
    try:
        value = parse(data)
    except (ValueError, Refused, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return [member(value, names) for names in COLUMNS], [list(follow(value, steps)) for steps in STEPS]


# --- inputs ---

TOPPINGS = ["🥓 bacon", "🌶️ hot pepper", "🍍 pineapple", "🍓 strawberry", "corn", "", "a \"quoted\" one", "exactly thirty-two bytes of text!",
            "exactly thirty-one bytes of it!", "much longer than any vector of the processor is wide, by far"]


def order(rng):
    return {"id": rng.choice([rng.randrange(10**6), 9007199254740993, -5, 10**25, 1.5, "x"]), "shop": "Marios Pizza",
            "name": rng.choice(["Ada", "Chloé", "名前", "O'Neil \"x\"", "tab\tend"]) * rng.randint(0, 3), "phoneNumber": "123-4567",
            "address": "%d Street\nTown" % rng.randint(1, 999),
            "pizzas": [{"pizzaName": "Salami", "additionalToppings": [rng.choice(TOPPINGS) for _ in range(rng.randint(0, 5))]}
                       for _ in range(rng.randint(0, 6))], "timestamp": 1659426822541}


def telemetry(rng):
    return {"id": rng.randrange(10**9), "ok": rng.random() < 0.5, "tags": [rng.choice(["a", "b", None, 7]) for _ in range(3)],
            **{"m%d" % i: rng.choice([rng.random(), -rng.random() * 1e10, 1e-7, 0, None]) for i in range(rng.randint(1, 12))}, "timestamp": 5}


def nested(rng):
    value = {"x": [[1, "y"], [None], {"z": 1}]}
    for _ in range(rng.randint(0, 3)):
        value = {"er": {"list": [value, 5, value]}, "x": [[value]]} if rng.random() < 0.5 else [value]
    return {"deep": {"er": {"list": [value, {"x": [["s"], []]}], "a b": rng.choice([value, 5, "corn", None])}, "q": value}, "a b": value, "é": [True, "\x7f"],
            "name": "n", "id": rng.choice([{"x": "corn"}, {"x": {"x": 1}}, {}, 7])}


def write(rng, value):
    if rng.random() < 0.3 and isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        value = dict(items)
    style = rng.randrange(5)
    if style == 0:
        return json.dumps(value, ensure_ascii=False).encode()
    if style == 1:
        return json.dumps(value, separators=(",", ":")).encode()
    if style == 2:
        return json.dumps(value, indent=rng.choice([1, 2, "\t"])).encode()
    return json.dumps(value).encode()


SPECIALS = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\t", b"\0", b"\x1f", b"\x80", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xf0\x9f\x8d\x8d",
            b"\xf4\x90\x80\x80", b"\xc0\xaf", b"0", b"1", b"-", b"+", b".", b"e", b"E", b"01", b"null", b"true", b"\\u", b"\\ud83c", b"\\udf4d", b"\\ud83c\\udf4d",
            b"\\u0022", b"\\n", b'\\"', b'""', b"{}", b"[]", b'"id":1,', b', "id": 2', b'"pizzas":[{"additionalToppings":["q"]}],', b', "additionalToppings": ["w"]',
            b'"deep":{"er":5},', b'"er": {"list": "s"}, ', b'"q":"",', b"[" * 60, b"]" * 60, b'{"a":' * 61, b"1e5", b"-0", b"-0.0", b"9007199254740993.5", b"0.1234567890123456", b"12345678.87654321", b"1234567890.12345678", b"1.5E3", b"00.5", b"1.",
            b"9999999999999999", b"12345678901234567", b"\xef\xbb\xbf", b"NaN", b"Infinity", b"//", b"'"]


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 5])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            data[at:at] = rng.choice(SPECIALS)
        elif kind == 1:
            data[at:at + rng.randint(1, 4)] = rng.choice(SPECIALS)
        elif kind == 2:
            del data[at:at + rng.choice([1, 1, 2, 10])]
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 4:
            end = min(len(data), at + rng.randint(1, 60))
            to = rng.randrange(len(data) + 1)
            data[to:to] = data[at:end]
        elif kind == 5 and rng.random() < 0.3:
            del data[at:]
        elif kind == 6:
            data[0:0] = rng.choice([b" ", b"\n\t "])
    return bytes(data)


def show(data, what, got, wanted):
    print("DIFFERENT (%s)\ninput:    %r\ndecoder:  %r\nexpected: %r" % (what, data, got, wanted))
    return 1


def same(got, wanted):
    """Whether the decoder's columns and elements, read by Python, are what Python found itself."""
    return [parse(text) for text in got[0]] == wanted[0] and [[parse(text) for text in items] for items in got[1]] == wanted[1]


def main():
    rng = random.Random(SEED)
    decoders = [("layouts", Decoder(64)), ("layouts, narrow", Decoder(64, narrow=True)), ("generic", Decoder(1 << 14, predict=False)),
                ("generic, narrow", Decoder(8, predict=False, narrow=True))]
    accepted = done = 0
    makers = [order, order, telemetry, nested]
    while done < COUNT:
        maker = rng.choice(makers)
        inputs = [mutate(rng, write(rng, maker(rng))) for _ in range(BATCH)]
        records = (Record * BATCH)()
        for i, data in enumerate(inputs):
            place = lib.mem_alloc(len(data))
            c.memmove(place, data, len(data))
            records[i] = Record(0, 0, i, 1000, Slice(None, 0), Slice(place, len(data)), Slice(None, 0), i)
        results = [(name, decoder.read(records, BATCH)) for name, decoder in decoders]
        for i, data in enumerate(inputs):
            wanted, first = expected(data), results[0][1][i]
            for name, result in results:
                if result[i] != first:
                    return show(data, name + " against layouts", result[i], first)
            if isinstance(first, str) != (wanted is None):
                return show(data, "accepted by one", first, wanted)
            if wanted is not None:
                accepted += 1
                if not same(first, wanted):
                    return show(data, "values", first, wanted)
        for record in records:
            lib.mem_free(record.value.s)
        done += BATCH
    print("%d inputs, %d accepted, no difference" % (done, accepted))
    return 0


print("seed %d" % SEED, flush=True)
sys.exit(main())
