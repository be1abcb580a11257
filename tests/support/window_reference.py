"""Random worlds of window rules and what each must give, by brute force: window_reference.py FOLDER SEED WORLDS RULES

A world is a folder with ananas.lua, rules/rules.lua, input.jsonl (records of one or two sources, several partitions,
with disorder, idleness and explicit watermarks) and expected.jsonl: {"topic", "value"} per record (value null for a
tombstone, then with "key"), and a last line with the late rows per rule. Worlds of the kind "calm" have only disorder
within the bound, and inputN.jsonl with the same records interleaved in other ways: all must give the same multiset.

The reference keeps every row of every window as a list and works each result out anew from that list. It knows no
slices, panes, timers or stores.
"""
import json
import math
import os
import random
import sys

NEVER = -math.inf


# --- how watermarks merge -------------------------------------------------------------------------------------------

class Source:
    """Partitions of one source: minimum over those that are not idle; all idle: the maximum; never back."""

    def __init__(self, bound, partitions):
        self.bound, self.out, self.idle = bound, NEVER, False
        self.best = {p: NEVER for p in partitions}
        self.sleeping = set()

    def settle(self):
        awake = [self.best[p] for p in self.best if p not in self.sleeping]
        self.idle = not awake
        self.out = max(self.out, min(awake) if awake else max(self.best.values()))

    def row(self, partition, ts):
        self.sleeping.discard(partition)
        if self.bound is not None:
            self.best[partition] = max(self.best[partition], ts - self.bound)
        self.settle()

    def sleep(self, partition):
        self.sleeping.add(partition)
        self.settle()

    def explicit(self, watermark):
        self.out = max(self.out, watermark)


class Valve:
    """Several inputs of a rule: minimum over the active ones; one that returns behind waits until it has caught up."""

    def __init__(self, inputs):
        self.inputs, self.out = inputs, NEVER
        self.aligned = [True] * len(inputs)

    def settle(self):
        for i, source in enumerate(self.inputs):
            if source.idle:
                self.aligned[i] = False
            elif source.out >= self.out:
                self.aligned[i] = True
        active = [s.out for s, ok in zip(self.inputs, self.aligned) if ok]
        if active:
            self.out = max(self.out, min(active))
        elif all(s.idle for s in self.inputs):
            self.out = max(self.out, max(s.out for s in self.inputs))
        return self.out


# --- aggregates over a list of rows -----------------------------------------------------------------------------------

def number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def identity(v):
    """1 and 1.0 are one value, 1 and "1" and true are not."""
    if isinstance(v, bool) or v is None:
        return ("k", str(v))
    return ("n", float(v)) if number(v) else ("s", v)


def text(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    return v if isinstance(v, str) else json.dumps(v)   # numbers as they were spelled


def quantile(values, q):
    """Between neighbours by linear interpolation, as PERCENTILE_CONT of SQL."""
    values = sorted(values)
    at = q * (len(values) - 1)
    below = math.floor(at)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (at - below)


def aggregate(spec, rows):
    """rows are in (event time, topic, partition, offset, number in the record) order."""
    kind, column = spec["kind"], spec.get("column")
    if kind == "count_all":
        return len(rows)
    if kind == "fold":
        acc = 7
        for row in rows:
            acc = (acc * 31 + (row["v"] if number(row.get("v")) else 1) * 4) % 1000003
        return acc
    if spec.get("doubled"):
        values = [row[column] * 2 if number(row.get(column)) else None for row in rows]
    else:
        values = [row.get(column) for row in rows]
    some = [v for v in values if v is not None]
    if kind == "count":
        return len([v for v in some if v is not False])
    if kind == "count_distinct":
        return len({identity(v) for v in some})
    if not some:
        return None
    if kind == "sum":
        return sum(some)
    if kind == "avg":
        return sum(some) / len(some)
    if kind == "min":
        return min(some)
    if kind == "max":
        return max(some)
    if kind == "first":
        return some[0]
    if kind == "last":
        return some[-1]
    if kind == "listagg":
        return spec["separator"].join(text(v) for v in some)
    if kind == "quantile":
        return quantile(some, spec["q"])
    raise AssertionError(kind)


HAVING = {
    "none": ("", lambda n: True),
    "odd": ("having = function(g) return g.n % 2 == 1 end, ", lambda n: n % 2 == 1),
    "few": ("having = function(g) return g.n < 3 end, ", lambda n: n < 3),
    "many": ("having = function(g) return g.n >= 3 end, ", lambda n: n >= 3),
}


# --- windows ----------------------------------------------------------------------------------------------------------

def windows_of(w, ts):
    """All windows that a moment belongs to, by looking at every start that could be one."""
    size, step, offset = w["size"], w.get("slide") or w.get("step") or w["size"], w.get("offset", 0)
    if w["type"] == "cumulate":
        start = ts - (ts - offset) % size
        return [(start, start + n * step) for n in range(1, size // step + 1) if ts < start + n * step]
    last = ts - (ts - offset) % step
    found, start = [], last
    while start + size > ts:
        found.append((start, start + size))
        start -= step
    return found


class Rule:
    """One window rule. groups: (start, end, group key) -> list of (order, row); what was written and stands: shown;
    groups that the rule's readers have seen, which is once each: given."""

    def __init__(self, spec):
        self.spec, self.readers = spec, []
        self.watermark, self.late = NEVER, 0
        self.groups, self.shown, self.given, self.out = {}, {}, set(), []
        self.at = {}                # the group under which an early result was written, where its session grew

    def closed(self, end):
        return self.watermark >= end - 1

    def gone(self, end):
        return self.watermark >= end - 1 + self.spec["lateness"]

    def key_of(self, row):
        return tuple(identity(row.get(c)) for c in self.spec["group_by"])

    def take(self, order, row):
        spec = self.spec
        if spec["threshold"] is not None:
            if not number(row.get("v")) or row["v"] < spec["threshold"]:
                return
        if spec["unnest"]:
            items = row.get("items")
            for i, item in enumerate(items if isinstance(items, list) else []):
                self.take_one(order + (i,), dict(row, x=item))
        else:
            self.take_one(order, row)

    def take_one(self, order, row):
        key = self.key_of(row)
        if self.spec["window"]["type"] == "session":
            return self.take_session(order, row, key)
        open_ones = [w for w in windows_of(self.spec["window"], row["_time"]) if not self.gone(w[1])]
        if not open_ones:
            self.late += 1
        for start, end in open_ones:
            self.groups.setdefault((start, end, key), []).append((order, row))
            if self.closed(end):
                self.write((start, end, key))
            elif self.spec["early"] and self.shown.get((start, end, key)) is None:
                self.write((start, end, key), early=True)

    def take_session(self, order, row, key):
        start, end, rows = row["_time"], row["_time"] + self.spec["window"]["gap"], [(order, row)]
        merged, again = [], True
        while again:
            again = False
            for other in list(self.groups):
                if other[2] == key and other[0] <= end and other[1] >= start:
                    start, end = min(start, other[0]), max(end, other[1])
                    rows += self.groups.pop(other)
                    merged.append(other)
                    again = True
        if not merged and self.gone(end):
            self.late += 1
            return
        whole = (start, end, key)
        for other in merged:
            shown, at = self.shown.pop(other, None), self.at.pop(other, other)
            if shown is not None:
                grew = len(merged) == 1 and not self.closed(other[1])   # what was written early stands
                if grew or (other == whole and at == whole):
                    self.shown[whole], self.at[whole] = shown, at
                else:
                    self.tombstone(at)
            if other in self.given:
                self.given.add(whole)
        self.groups[whole] = rows
        if self.closed(end):
            self.write(whole)
        elif self.spec["early"] and self.shown.get(whole) is None:
            self.write(whole, early=True)

    def result(self, group):
        rows = [row for _, row in sorted(self.groups[group], key=lambda pair: pair[0])]
        start, end, _ = group
        value = {c: rows[0].get(c) for c in self.spec["group_by"]}
        value.update(window_start=start, window_end=end, window_time=end - 1)
        for name, spec in self.spec["aggregates"].items():
            value[name] = aggregate(spec, rows)
        return value if HAVING[self.spec["having"]][1](value["n"]) else None

    def write(self, group, early=False):
        value = self.result(group)
        if value is not None:
            self.out.append({"topic": self.spec["name"], "ts": group[1] - 1, "value": value})
            self.shown[group], self.at[group] = value, group
        elif self.shown.get(group) is not None:
            self.tombstone(self.at[group])
            self.shown[group] = None
        if value is not None and group not in self.given and (early or not self.late_now(group)):
            self.given.add(group)
            for reader in self.readers:
                reader.take((group[1] - 1, "", 0, group[0], repr(group[2])), dict(value, _time=group[1] - 1))

    def late_now(self, group):
        """A result written after the watermark that closes its window came goes to the topic only."""
        return self.before >= group[1] - 1

    def tombstone(self, group):
        rows = self.spec["group_by"]
        key = {c: json.loads(self.keys[group[2]][i]) for i, c in enumerate(rows)} if rows else {}
        key.update(window_start=group[0], window_end=group[1])
        self.out.append({"topic": self.spec["name"], "ts": group[1] - 1, "key": key, "value": None})

    keys = None

    def advance(self, watermark):
        if watermark <= self.watermark:
            return
        self.before = self.watermark
        ready = sorted((g for g in self.groups if self.watermark < g[1] - 1 <= watermark), key=lambda g: (g[1], g[0], repr(g[2])))
        for group in ready:
            if not (self.spec["early"] and self.shown.get(group) is not None):
                self.write(group)
        self.before = math.inf
        self.watermark = watermark
        for group in [g for g in self.groups if self.gone(g[1])]:
            del self.groups[group]
            self.shown.pop(group, None)
            self.at.pop(group, None)
            self.given.discard(group)
        for reader in self.readers:
            reader.advance(watermark)

    before = math.inf


# --- one world --------------------------------------------------------------------------------------------------------

KEYS = ["a", "b", 1, 1.0, "1", None, True]


# Rows exactly a gap apart are one session, but the first may have closed just before the second came: whether it had
# depends on the interleaving. Calm worlds have times that are multiples of CALM and gaps that are not.
CALM = 4


def random_window(rng, calm, kinds=("tumble", "hop", "cumulate", "session")):
    kind = rng.choice(kinds)
    if kind == "session":
        return {"type": kind, "gap": rng.choice([1, 3, 7, 21, 61] if calm else [1, 3, 7, 20, 60])}
    step = rng.choice([1, 2, 3, 5, 10, 25])
    times = rng.randint(1, 6)
    w = {"type": kind, "size": step * times}
    if kind == "hop":
        w["slide"] = step
    if kind == "cumulate":
        w["step"] = step
    if rng.random() < 0.4:
        turn = w.get("slide") or w.get("step") or w["size"]
        w["offset"] = rng.randint(-turn + 1, turn - 1)
    return w


def window_text(w):
    parts = ['%s = "%dms"' % (name, w[name]) for name in ("size", "slide", "step", "gap", "offset") if name in w]
    return "%s { %s }" % (w["type"], ", ".join(parts))


def random_aggregates(rng, item):
    column = "x" if item else rng.choice(["v", "v", "w"])
    found = {"n": {"kind": "count_all"}}
    kinds = ["count", "sum", "avg", "min", "max", "first", "last", "count_distinct", "listagg", "quantile", "fold"]
    for kind in rng.sample(kinds, rng.randint(1, 4)):
        spec = {"kind": kind, "column": column}
        if kind in ("count", "count_distinct", "first", "last") and rng.random() < 0.5 and not item:
            spec["column"] = "any"
        if kind in ("sum", "avg", "min", "max") and not item and rng.random() < 0.3:
            spec["doubled"] = True
        if kind == "listagg":
            spec["separator"] = rng.choice([",", "; ", ""])
        if kind == "quantile":
            spec["q"] = rng.choice([0, 0.25, 0.5, 0.9, 1])
        found[kind[0] + kind[-1] + "_" + kind] = spec
    return found


def aggregate_text(spec):
    kind = spec["kind"]
    if kind == "count_all":
        return "count()"
    if kind == "fold":
        return ("fold(7, function(acc, r) return (acc * 31 + (type(r.v) == 'number' and r.v or 1) * 4) % 1000003 end)")
    column = '"%s"' % spec["column"]
    if spec.get("doubled"):
        column = "function(r) return r.%s and r.%s * 2 end" % (spec["column"], spec["column"])
    if kind == "listagg":
        return "listagg(%s, %s)" % (column, json.dumps(spec["separator"]))
    if kind == "quantile":
        return "quantile(%s, %s)" % (column, spec["q"])
    return "%s(%s)" % (kind, column)


def random_rule(rng, number, sources, calm):
    unnest = rng.random() < 0.15
    rule = {
        "name": "r%d" % number,
        "from": sources if len(sources) > 1 and rng.random() < 0.6 else [rng.choice(sources)],
        "unnest": unnest,
        "threshold": rng.choice([None, None, None, 0, 2.5]),
        "window": random_window(rng, calm),
        "group_by": rng.choice([["k"], ["k"], ["k", "g"], []]),
        "having": rng.choice(list(HAVING)),
        "lateness": 0 if unnest or calm or rng.random() < 0.6 else rng.choice([1, 5, 20, 60]),
        "aggregates": random_aggregates(rng, unnest),
    }
    rule["early"] = not calm and not unnest and rule["having"] != "none" and rng.random() < 0.3
    return rule


def chained_rule(rng, number, upstream, calm):
    kinds = ("tumble", "hop", "cumulate") if calm else ("tumble", "hop", "cumulate", "session")
    return {"name": "r%d" % number, "from": [upstream["name"]], "unnest": False, "threshold": None,
            "window": random_window(rng, calm, kinds), "group_by": rng.choice([[], upstream["group_by"]]), "having": "none",
            "lateness": 0, "early": False, "aggregates": {"n": {"kind": "count_all"}, "total": {"kind": "sum", "column": "n"},
                                          "most": {"kind": "max", "column": "n"}}}


def rule_text(rule):
    names = ", ".join('"%s"' % n for n in rule["from"])
    columns = ", ".join('"%s"' % n for n in rule["group_by"])
    parts = ['rule "%s" {' % rule["name"], "  from = { %s }," % names if len(rule["from"]) > 1 else "  from = %s," % names]
    if rule["unnest"]:
        parts.append('  unnest = "items[] as x",')
    if rule["threshold"] is not None:
        parts.append("  where = function(r) return type(r.v) == 'number' and r.v >= %s end," % rule["threshold"])
    parts.append("  window = %s," % window_text(rule["window"]))
    if columns:
        parts.append("  group_by = { %s }," % columns)
    aggregates = ", ".join("%s = %s" % (n, aggregate_text(s)) for n, s in sorted(rule["aggregates"].items()))
    parts.append("  aggregate = { %s }," % aggregates)
    parts.append("  %s%s" % (HAVING[rule["having"]][0], "early = true," if rule["early"] else ""))
    if rule["lateness"]:
        parts.append('  lateness = "%dms",' % rule["lateness"])
    keys = rule["group_by"] + ["window_start", "window_end"]
    parts.append("  key = { %s }, time_format = 'epoch_ms', to = '%s'," % (", ".join("'%s'" % k for k in keys), rule["name"]))
    return "\n".join(parts) + "\n}\n"


def random_value(rng, ts):
    value = {"ts": ts}
    if rng.random() < 0.95:
        value["k"] = rng.choice(KEYS)
    if rng.random() < 0.8:
        value["g"] = rng.choice(["x", "y", 2])
    if rng.random() < 0.9:
        value["v"] = rng.choice([None, rng.randint(-5, 9), rng.randint(-20, 20) / 4.0])
    if rng.random() < 0.9:
        value["w"] = rng.randint(0, 100)
    if rng.random() < 0.7:
        value["any"] = rng.choice([None, True, False, "t", "u", 3, 3.0, "3"])
    if rng.random() < 0.7:
        value["items"] = rng.choice([[], 5, [1], [1, 2, 2.0], [None, 7], [rng.randint(0, 9) for _ in range(4)]])
    return value


class World:
    def __init__(self, rng, calm, rules):
        self.rng, self.calm = rng, calm
        self.topics = ["s0"] if rng.random() < 0.5 else ["s0", "s1"]
        self.partitions = {t: list(range(rng.randint(1, 3))) for t in self.topics}
        self.bounds = {t: rng.choice([1, 3, 15, 40] if calm else [0, 3, 15, 40]) for t in self.topics}
        if not calm and rng.random() < 0.15:
            self.bounds[self.topics[0]] = None
        self.rules = []
        for number in range(rules):
            upstream = rng.choice(self.rules) if self.rules else None
            if upstream and rng.random() < 0.1 and "chain" not in upstream:
                self.rules.append(dict(chained_rule(rng, number, upstream, calm), chain=True))
            else:
                self.rules.append(random_rule(rng, number, self.topics, calm))
        self.lines = self.calm_lines() if calm else self.wild_lines()

    def record(self, topic, partition, ts):
        place = (topic, partition)
        self.offsets = getattr(self, "offsets", {})
        offset = self.offsets.get(place, 0)
        self.offsets[place] = offset + 1
        return {"topic": topic, "partition": partition, "offset": offset, "payload": random_value(self.rng, ts)}

    def places(self):
        return [(t, p) for t in self.topics for p in self.partitions[t]]

    def wild_lines(self):
        """Disorder beyond the bound, idleness, explicit watermarks, times before 1970."""
        rng, lines = self.rng, []
        now = rng.choice([-300, -50, 0, 1000000])
        for place in self.places():
            lines.append(self.record(*place, now))
        for _ in range(rng.randint(40, 90)):
            luck = rng.random()
            now += rng.choice([0, 0, 1, 1, 2, 5, 9]) + (rng.randint(50, 200) if luck < 0.01 else 0)
            topic, partition = rng.choice(self.places())
            if luck > 0.985:
                lines += [{"topic": t, "partition": p, "idle": True} for t, p in self.places()]
            elif luck > 0.95:
                lines.append({"topic": topic, "partition": partition, "idle": True})
            elif luck > 0.92:
                lines.append({"watermark": now + rng.randint(-40, 5)})
            else:
                back = rng.choice([0, 0, rng.randint(0, 20), rng.randint(0, 120)])
                lines.append(self.record(topic, partition, now - back))
        return lines

    def calm_lines(self):
        """Per partition, every row is less than the bound behind the greatest before it. (Exactly the bound behind, a row
        is at the watermark, and late for a window that ends with its millisecond.)"""
        rng, queues = self.rng, []
        for topic, partition in self.places():
            now, queue = rng.randint(-50, 50) * CALM, []
            for _ in range(rng.randint(10, 40)):
                now += rng.choice([0, 0, 1, 1, 2, 3, 8]) * CALM
                back = rng.randint(0, (self.bounds[topic] - 1) // CALM) * CALM
                queue.append(self.record(topic, partition, now - back))
            queues.append(queue)
        self.queues = queues
        return self.interleaved()

    def interleaved(self):
        queues, lines = [list(q) for q in self.queues], []
        while queues:
            queue = self.rng.choice(queues)
            for _ in range(self.rng.choice([1, 1, 2, 10])):
                if queue:
                    lines.append(queue.pop(0))
            queues = [q for q in queues if q]
        return lines

    def config_text(self):
        parts = []
        for topic in self.topics:
            bound = self.bounds[topic]
            parts.append('source "%s" { topic = "%s", event_time = "ts", watermark = "%s", max_ahead = "none" }\n' % (
                topic, topic, "none" if bound is None else "%dms" % bound))
        return "".join(parts) + 'rules "rules"\n'

    def expected(self):
        sources = {t: Source(self.bounds[t], self.partitions[t]) for t in self.topics}
        rules = {spec["name"]: Rule(spec) for spec in self.rules}
        roots = []
        Rule.keys = {}
        for rule in rules.values():
            upstream = rule.spec["from"]
            if upstream[0] in rules:
                rules[upstream[0]].readers.append(rule)
            else:
                roots.append((rule, Valve([sources[t] for t in upstream])))
        for line in self.lines:
            if "watermark" in line:
                for source in sources.values():
                    source.explicit(line["watermark"])
            elif "idle" in line:
                sources[line["topic"]].sleep(line["partition"])
            else:
                row = dict(line["payload"], _time=line["payload"]["ts"])
                for rule, _ in roots:
                    if line["topic"] in rule.spec["from"]:
                        self.remember(rule, row)
                        rule.take((row["_time"], line["topic"], line["partition"], line["offset"]), row)
                sources[line["topic"]].row(line["partition"], row["_time"])
            for rule, valve in roots:
                rule.advance(valve.settle())
        for rule, _ in roots:
            rule.advance(math.inf)
        return rules

    @staticmethod
    def remember(rule, row):
        """Spelling of group keys, for tombstones."""
        columns = rule.spec["group_by"]
        Rule.keys[rule.key_of(row)] = [json.dumps(row.get(c)) for c in columns]

    def write(self, folder):
        os.makedirs(folder + "/rules")
        put = lambda name, body: open(folder + "/" + name, "w", encoding="utf-8").write(body)
        as_lines = lambda items: "".join(json.dumps(item) + "\n" for item in items)
        put("ananas.lua", self.config_text())
        put("rules/rules.lua", "\n".join(rule_text(spec) for spec in self.rules))
        put("input.jsonl", as_lines(self.lines))
        if self.calm:
            for n in (1, 2):
                put("input%d.jsonl" % n, as_lines(self.interleaved()))
        rules = self.expected()
        out = [record for rule in rules.values() for record in rule.out]
        put("expected.jsonl", as_lines(out) + json.dumps({"late": {n: r.late for n, r in rules.items()}}) + "\n")


def main():
    folder, seed, worlds, rules = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    for number in range(worlds):
        rng = random.Random("%d/%d" % (seed, number))
        World(rng, number % 4 == 3, rules).write("%s/%d" % (folder, number))


if __name__ == "__main__":
    main()
