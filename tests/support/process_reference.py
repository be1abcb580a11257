"""Random streams for a `process` rule and what it must emit, by brute force: process_reference.py FOLDER SEED WORLDS

A world is a folder with ananas.lua, rules/rules.lua, input.jsonl, and expected.jsonl: {"topic", "ts", "value"} per record
and a last line with errors and late rows per rule. The rule (RULE below, in Lua; Process.row and Process.timer here) keeps
nested state, sets, moves and takes back timers, forgets, and raises after it has changed things. Rows have even times and
timers odd ones, so that no order between equal times is asked for.
"""
import copy
import json
import math
import os
import random
import sys

RULE = """
rule "%(name)s" { from = %(source)s, to = "%(name)s", time_format = "epoch_ms", process = { by = %(by)s, order = "%(order)s",
  on_row = function(row, state, emit)
    state.n = (state.n or 0) + 1
    state.seen = state.seen or { list = {} }
    local list = state.seen.list
    list[#list + 1] = row.v
    if #list > 3 then table.remove(list, 1) end
    if row.v %% 5 == 0 then state:wake(row.v * 2 + 1) end
    if row.v %% 7 == 3 then state:sleep() end
    emit { kind = "row", n = state.n, list = table.concat(list, ","), v = row.v }
    if row.v == 13 then error("no") end
    if row.v == 17 then state.n, state.seen = nil, nil end
  end,
  on_timer = function(state, time, emit)
    state.fired = (state.fired or 0) + 1
    emit { kind = "timer", at = time, n = state.n or 0, fired = state.fired }
    if state.fired %% 3 == 1 then state:wake(10) end
    if state.fired %% 5 == 4 then error("no") end
  end } }
"""


class Key:
    def __init__(self):
        self.state, self.due = {}, None


class Process:
    def __init__(self, name, by, event_order):
        self.name, self.by, self.event_order = name, by, event_order
        self.keys, self.waiting, self.watermark = {}, [], -math.inf
        self.passed = -math.inf  # the watermark that readers know
        self.out, self.errors, self.late = [], 0, 0

    def emit(self, ts, value):
        self.out.append({"topic": self.name, "ts": ts, "value": value})

    def row(self, row):
        key = self.keys.setdefault(json.dumps([row.get(c) for c in self.by]), Key())
        before = copy.deepcopy(key.state), key.due
        state, v = key.state, row["v"]
        state["n"] = state.get("n", 0) + 1
        seen = state.setdefault("list", [])
        seen.append(v)
        del seen[:-3]
        if v % 5 == 0:
            key.due = row["ts"] + v * 2 + 1
        if v % 7 == 3:
            key.due = None
        if v == 13:
            key.state, key.due = before
            self.errors += 1
            return
        self.emit(row["ts"], {"kind": "row", "n": state["n"], "list": ",".join(map(str, seen)), "v": v})
        if v == 17:
            state.pop("n"), state.pop("list")

    def timer(self, key):
        time, state = key.due, key.state
        key.due = None
        fired = state.get("fired", 0) + 1
        if fired % 5 == 4:
            self.errors += 1
            return
        state["fired"] = fired
        # A timer set for a time that is over comes late, but what it gives must not be late for those who read it.
        self.emit(max(time, self.passed + 1), {"kind": "timer", "at": time, "n": state.get("n", 0), "fired": fired})
        if fired % 3 == 1:
            key.due = time + 10

    def fire(self, until):
        while True:
            due = [k for k in self.keys.values() if k.due is not None and k.due <= until]
            if not due:
                return
            self.timer(min(due, key=lambda k: k.due))

    def take(self, order, row):
        if not self.event_order:
            self.row(row)
            self.fire(self.watermark)
        elif row["ts"] <= self.watermark:
            self.late += 1
        else:
            self.waiting.append((order, row))

    def advance(self, watermark):
        if watermark <= self.watermark:
            return
        self.watermark = watermark
        ready = sorted((p for p in self.waiting if p[1]["ts"] <= watermark), key=lambda p: p[0])
        self.waiting = [p for p in self.waiting if p[1]["ts"] > watermark]
        for _, row in ready:
            self.fire(row["ts"])
            self.row(row)
        self.fire(watermark)
        self.passed = watermark


def world(rng, folder):
    partitions, bound = rng.randint(1, 3), rng.choice([0, 4, 20])
    rules = [Process("r%d" % i, by, order) for i, (by, order) in enumerate(
        (by, order) for by in (["k"], [], ["k", "g"]) for order in (False, True))]
    best, low, now, lines, offsets = [-math.inf] * partitions, -math.inf, rng.choice([-200, 0, 5000]), [], [0] * partitions
    for p in range(partitions):
        lines.append((p, {"ts": now, "k": "a", "g": 1, "v": 1}))
    for _ in range(rng.randint(50, 150)):
        now += rng.choice([0, 0, 2, 2, 4, 10]) + (rng.choice([40, 100]) if rng.random() < 0.02 else 0)
        lines.append((rng.randrange(partitions), {"ts": now - 2 * rng.choice([0, 0, 1, 4, 8, rng.randint(0, 20)]),
                                                  "k": rng.choice("abcd"), "g": rng.randint(1, 2), "v": rng.randint(0, 20)}))
    text = []
    for p, row in lines:
        text.append({"topic": "s", "partition": p, "offset": offsets[p], "payload": row})
        for rule in rules:
            rule.take((row["ts"], p, offsets[p]), row)
        offsets[p] += 1
        best[p] = max(best[p], row["ts"] - bound)
        low = max(low, min(best))
        for rule in rules:
            rule.advance(low)
    text.append({"watermark": now + 31})
    for rule in rules:
        rule.advance(now + 31)
    os.makedirs(folder + "/rules")

    def put(name, body):
        with open(folder + "/" + name, "w", encoding="utf-8") as file:
            file.write(body)

    put("ananas.lua", 'source "s" { topic = "s", event_time = "ts", watermark = "%dms", max_ahead = "none" }\nrules "rules"\n' % bound)
    put("rules/rules.lua", "".join(RULE % {
        "name": r.name, "source": '"s"', "by": "{ %s }" % ", ".join('"%s"' % c for c in r.by),
        "order": "event_time" if r.event_order else "arrival"} for r in rules))
    put("input.jsonl", "".join(json.dumps(line) + "\n" for line in text))
    put("expected.jsonl", "".join(json.dumps(record) + "\n" for r in rules for record in r.out) +
        json.dumps({"counts": {r.name: {"errors": r.errors, "late": r.late} for r in rules}}) + "\n")


def main():
    folder, seed, worlds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for number in range(worlds):
        world(random.Random("%d/%d" % (seed, number)), "%s/%d" % (folder, number))


if __name__ == "__main__":
    main()
