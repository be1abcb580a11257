"""Generated pizza orders as lines of `replay` input: orders.py COUNT SEED [--tidy] [--partitions=N] > FILE

Three partitions, or N. Orders come with waves of demand, so that counts rise and fall; each reaches its partition up to 3 s
after its time. 0.5 % are delayed far beyond that (late), 0.2 % are spoiled in one of many ways (bad), 0.1 % have a null
value. --tidy leaves late, bad and null ones out. The same arguments always give the same bytes.
"""
import json
import math
import random
import sys

SHOPS = ["Marios Pizza", "Luigis Pizza", "Circular Pi Pizzeria", "Ill Make You a Pizza", "Mammamia Pizza",
         "Its-a me! Mario Pizza!"]
PIZZAS = ["Peperoni", "Mari & Monti", "Diavola", "Salami", "Margherita", "Marinara"]
TOPPINGS = ["🥓 bacon", "🧅 onion", "🌶️ hot pepper", "🫒 olives", "🧀 cheese", "🍅 tomato", "🐟 anchovies",
            "🍄 mushrooms", "🥚 egg", "🌽 corn", "🍍 pineapple", "🍓 strawberry", "🍌 banana"]
NAMES = ["Ada", "Björn", "Chloé", "Đorđe", "Eve", "Jalapeño", "名前", "O'Neil", "\"Quo\\ted\""]
START = 1659426822000
PARTITIONS = 3
DISORDER = 3000


def order(rng, number):
    pizzas = [{"pizzaName": rng.choice(PIZZAS),
               "additionalToppings": [rng.choice(TOPPINGS) for _ in range(rng.randint(0, 5))]}
              for _ in range(rng.randint(1, 10))]
    return {"id": number, "shop": rng.choice(SHOPS), "name": rng.choice(NAMES) + " " + str(rng.randint(1, 99)),
            "phoneNumber": "%03d-%04d" % (rng.randint(0, 999), rng.randint(0, 9999)),
            "address": "%d Some Street\nTown" % rng.randint(1, 999), "pizzas": pizzas}


def odd(rng, value):
    """A record that is no mistake, but does not have what the rules look for."""
    kind = rng.randrange(6)
    if kind == 0:
        del value["pizzas"]
    elif kind == 1:
        value["pizzas"] = "none"
    elif kind == 2:
        value["pizzas"][0]["additionalToppings"] = None
    elif kind == 3:
        value["pizzas"][0]["additionalToppings"] = [7, None, "🍍 pineapple", {"x": 1}, True]
    elif kind == 4:
        value["pizzas"].append(17)
    else:
        value["id"] = 9007199254740993 + value["id"]
    return value


def spoil(rng, line):
    """Turns a good record into one that must become a dead letter."""
    text = line["payload"]
    kind = rng.randrange(10)
    if kind == 0:
        line["payload"] = text[:rng.randint(1, len(text) - 1)]
    elif kind == 1:
        line["payload"] = text + " x"
    elif kind == 2:
        line["payload"] = rng.choice(["17", "\"pizza\"", "true", "null"])
    elif kind == 3:
        line["payload"] = "[" + text + "]"
    elif kind == 4:
        line["payload"] = ""
    elif kind == 5:
        line["payload"] = text.replace('"name"', '"na\tme"')
    elif kind == 6:
        line["payload"] = text.replace('"id": ', '"id": 0')
    elif kind == 7:
        line["payload"] = text.replace('"name": "', '"name": "\\ud83c')
    elif kind == 8:
        del line["ts"]
    else:
        line["payload"] = text.replace("}", ",}", 1)


def lines(count, seed, tidy, partitions=PARTITIONS):
    rng = random.Random(seed)
    arrivals = []
    at = float(START)
    for number in range(count):
        minute = (at - START) / 60000.0
        rate = 0.9 + 2.5 * (1 + math.sin(minute * 2.1)) * (1 + math.sin(minute * 0.13)) / 2
        at += rng.expovariate(rate) * 1000
        arrivals.append((at + rng.random() * (DISORDER - 1), number, int(at)))
    if not tidy:
        for i in rng.sample(range(count), count // 200):
            arrival, number, time = arrivals[i]
            arrivals[i] = (time + 40000 + rng.random() * 60000, number, time)
    arrivals.sort()
    offsets = [0] * partitions
    for _, number, time in arrivals:
        value = order(rng, number)
        if rng.random() < 0.01:
            value = odd(rng, value)
        partition = SHOPS.index(value["shop"]) % partitions
        line = {"topic": "pizzas", "partition": partition, "offset": offsets[partition], "tstype": "create",
                "ts": time, "broker": 0, "key": json.dumps({"shop": value["shop"]}), "payload": json.dumps(value)}
        offsets[partition] += 1
        if not tidy:
            luck = rng.random()
            if luck < 0.002:
                spoil(rng, line)
            elif luck < 0.003:
                line["payload"] = None
        yield json.dumps(line)


def main():
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    more = [int(a.split("=")[1]) for a in sys.argv if a.startswith("--partitions=")]
    out = sys.stdout
    for line in lines(count, seed, "--tidy" in sys.argv, *more):
        out.write(line + "\n")


if __name__ == "__main__":
    main()
