"""What the five shipped pizza rules must find, worked out the plain way: pizza_reference.py INPUT OUTPUT

Reads lines as `kcat -J` prints them and writes JSON lines {"topic", "ts", "key", "value"} for every record the rules
emit, and a last line {"counts": ...}. It shares no code and no idea with the engine: one dictionary per window, one list
per topping, the rules in a row of if-statements.
"""
import collections
import json
import math
import re
import sys
import time

BAD = {"🍍 pineapple", "🍓 strawberry", "🍌 banana"}
BOUND = 5000
LONE_SURROGATE = re.compile(r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")


class NotUsable(Exception):
    pass


def no_constant(name):
    raise NotUsable("not JSON: " + name)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def parse(text):
    """A strict reading: json.loads lets NaN and lone surrogates pass."""
    try:
        value = json.loads(text, parse_constant=no_constant)
        if LONE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise NotUsable("not JSON")
    if not isinstance(value, dict):
        raise NotUsable("not an object")
    if text.count("[") + text.count("{") > 64 and depth(value) > 64:
        raise NotUsable("too deep")
    return value


def iso(ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(ms // 1000)) + "%03dZ" % (ms % 1000)


def toppings_of(order):
    pizzas = order.get("pizzas")
    for pizza in pizzas if isinstance(pizzas, list) else []:
        found = pizza.get("additionalToppings") if isinstance(pizza, dict) else None
        for topping in found if isinstance(found, list) else []:
            yield topping


class Tumbling:
    """count() per topping in windows of one size."""

    def __init__(self, size):
        self.size, self.open, self.late = size, {}, 0

    def row(self, ts, topping, watermark):
        start = ts // self.size * self.size
        if watermark >= start + self.size - 1:
            self.late += 1
        else:
            group = self.open.setdefault((start, topping), 0)
            self.open[(start, topping)] = group + 1

    def fire(self, watermark):
        ready = sorted(k for k in self.open if k[0] + self.size - 1 <= watermark)
        return [(start, topping, self.open.pop((start, topping))) for start, topping in ready]


def trends(counts):
    """START_ROW NR_UP+ NR_DOWN{2}, SKIP PAST LAST ROW, over the (window_time, count) rows of one topping: at each start
    the longest run of ups first, then shorter ones."""
    at = 0
    while at < len(counts):
        ups = 0
        while at + ups + 1 < len(counts) and counts[at + ups + 1][1] > counts[at + ups][1]:
            ups += 1
        end = None
        for taken in range(ups, 0, -1):
            last = at + taken
            if last + 2 < len(counts) and counts[last + 1][1] < counts[last][1] and counts[last + 2][1] < counts[last + 1][1]:
                end = last + 2
                break
        if end is None:
            at += 1
        else:
            yield counts[at:end + 1]
            at = end + 1


def main():
    lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8", errors="surrogateescape")]
    best = {line["partition"]: -math.inf for line in lines}
    watermark = -math.inf
    rush, per_second = Tumbling(5000), Tumbling(1000)
    history = collections.defaultdict(list)
    counts = collections.Counter()
    out = open(sys.argv[2], "w", encoding="utf-8")

    def emit(topic, ts, key, value):
        counts[topic] += 1
        out.write(json.dumps({"topic": topic, "ts": ts, "key": key, "value": value}) + "\n")

    def fire(watermark):
        for start, topping, n in rush.fire(watermark):
            if n > 10:
                ends = {"window_start": iso(start), "window_end": iso(start + 5000)}
                emit("pizza_stream_out_agg_windows", start + 4999, dict(ends, topping=topping),
                     dict(ends, topping=topping, window_time=iso(start + 4999), nr_orders=n))
        for start, topping, n in per_second.fire(watermark):
            history[topping].append((start + 999, n))

    for line in lines:
        if line["payload"] is None:
            counts["null values"] += 1
            continue
        try:
            ts = line.get("ts")
            order = parse(line["payload"])
            if ts is None:
                raise NotUsable("no event time")
        except NotUsable:
            counts["bad"] += 1
            out.write(json.dumps({"topic": "pizzas.dead-letters", "raw": line["payload"]}) + "\n")
            continue
        found = [t for t in toppings_of(order) if isinstance(t, str) and t in BAD]
        for topping in found:
            counts["rows"] += 1
            emit("pizza_stream_out_filter", ts, json.loads(line["key"]),
                 {"id": order.get("id"), "name": order.get("name"), "topping": topping, "orderTimestamp": iso(ts)})
            rush.row(ts, topping, watermark)
            per_second.row(ts, topping, watermark)
        if len(found) > 3:
            emit("pizza_stream_out_agg", ts, {"id": order.get("id")},
                 {"id": order.get("id"), "name": order.get("name"), "orderTimestamp": iso(ts),
                  "nr_bad_items": len(found), "toppings": ",".join(found)})
        best[line["partition"]] = max(best[line["partition"]], ts - BOUND)
        low = min(best.values())
        if low > watermark:
            watermark = low
            fire(watermark)
    fire(math.inf)
    for topping, rows in history.items():
        for match in trends(rows):
            start = iso(match[0][0])
            emit("pizza_stream_out_trends", match[-1][0], {"topping": topping, "trend_start": start},
                 {"topping": topping, "trend_start": start, "trend_detail": ",".join(str(n) for _, n in match)})
    counts["records"] = len(lines)
    counts["late for 5 s"], counts["late for 1 s"] = rush.late, per_second.late
    out.write(json.dumps({"counts": counts}) + "\n")


if __name__ == "__main__":
    main()
