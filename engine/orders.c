#include "orders.h"

#include "mem.h"

/* Texts are JSON string bodies already, so an order is put together by copying. */
static const char *const shops[] = {
    "Marios Pizza",   "Luigis Pizza",           "Circular Pi Pizzeria", "Ill Make You a Pizza You Can't Refuse",
    "Mammamia Pizza", "Its-a me! Mario Pizza!",
};

static const char *const pizzas[] = {"Margherita", "Marinara", "Diavola", "Mari & Monti", "Salami", "Peperoni"};

/* The last three are what does not belong on a pizza. */
static const char *const toppings[] = {
    "\\ud83c\\udf45 tomato",
    "\\ud83e\\uddc0 blue cheese",
    "\\ud83e\\udd5a egg",
    "\\ud83e\\uded1 green peppers",
    "\\ud83c\\udf36\\ufe0f hot pepper",
    "\\ud83e\\udd53 bacon",
    "\\ud83e\\uded2 olives",
    "\\ud83e\\uddc4 garlic",
    "\\ud83d\\udc1f tuna",
    "\\ud83e\\uddc5 onion",
    "\\ud83c\\udf4d pineapple",
    "\\ud83c\\udf53 strawberry",
    "\\ud83c\\udf4c banana",
};

static const char *const first_names[] = {
    "James",  "Mary",    "Robert", "Patricia",    "John",    "Jennifer", "Michael", "Linda",
    "David",  "Barbara", "Susan",  "Richard",     "Jessica", "Joseph",   "Sarah",   "Thomas",
    "Karen",  "Charles", "Nancy",  "Christopher", "Lisa",    "Daniel",   "Betty",   "Matthew",
    "Sandra", "Anthony", "Ashley", "Ren\\u00e9e", "Emily",   "Paul",     "Donna",   "J\\u00fcrgen",
};

static const char *const last_names[] = {
    "Smith",    "Johnson", "Williams", "Brown",    "Jones",    "Garcia", "Miller",      "Davis",
    "Martinez", "Lopez",   "Gonzalez", "Wilson",   "Anderson", "Thomas", "Taylor",      "Moore",
    "Jackson",  "Martin",  "Lee",      "Perez",    "Thompson", "White",  "Harris",      "Sanchez",
    "Clark",    "Ramirez", "Lewis",    "O'Connor", "Walker",   "Young",  "Mu\\u00f1oz", "King",
};

static const char *const streets[] = {
    "Samuel Summit", "Garcia Road", "Oak Ridges",    "Melissa Vista", "Lake Street",  "Park Avenue",
    "Nelson Isle",   "Jones Mews",  "Hill Plaza",    "River Rapids",  "Maple Course", "Turner Turnpike",
    "Main Road",     "Sunset Pass", "Mill Crossing", "Church Lane",
};

static const char *const cities[] = {
    "Ryanbury, PA",    "Lake Sarah, CA", "New Kevin, TX",  "Port Amy, OR",  "East Paul, NY", "Westview, OH",
    "Michaelfort, IL", "South Ann, WA",  "North Eric, GA", "Davidton, FL",  "Scottside, MI", "Hollyland, NC",
    "Bakerville, VA",  "Susanhaven, AZ", "Tinaburgh, CO",  "Markmouth, TN",
};

enum {
    N_SHOPS = sizeof shops / sizeof *shops,
    N_PIZZAS = sizeof pizzas / sizeof *pizzas,
    N_TOPPINGS = sizeof toppings / sizeof *toppings,
    N_UNWANTED = 3,
    N_FIRST_NAMES = sizeof first_names / sizeof *first_names,
    N_LAST_NAMES = sizeof last_names / sizeof *last_names,
    N_STREETS = sizeof streets / sizeof *streets,
    N_CITIES = sizeof cities / sizeof *cities,
    MOOD_MS = 250, /* what is popular changes this often */
    RUSH_EVERY_MS = 40000,
    RUSH_MS = 6000,
    TASTE_SIZE = 256
};

struct orders {
    uint64_t random;
    int64_t id;
    int64_t mood;              /* number of the MOOD_MS slot that taste is for */
    uint8_t taste[TASTE_SIZE]; /* a random byte to a topping, as popular as it is now */
};

/* splitmix64: one addition and a mix, good for every seed. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t next_random(orders_t *o) {
    o->random += 0x9e3779b97f4a7c15u;
    return mix(o->random);
}

/* 0 <= result < n; n is small, so the bias of a multiplication is below anything one could count. */
static uint32_t below(orders_t *o, uint32_t n) { return (uint32_t)(((next_random(o) >> 32) * n) >> 32); }

static int64_t floor_mod(int64_t a, int64_t n) {
    int64_t r = a % n;
    return r < 0 ? r + n : r;
}

static int64_t floor_div(int64_t a, int64_t n) { return (a - floor_mod(a, n)) / n; }

/* Each topping swings between 4 and 24 in a triangle of its own period; now and then everybody wants the same wrong one.
 * Integers only: a sine may differ in its last bit from one machine to the next. */
static int64_t popularity(int topping, int64_t time) {
    int64_t period = 7000 + 2000 * topping;
    int64_t phase = floor_mod(time + 1300 * topping, period);
    int64_t rise = phase * 2 < period ? phase : period - phase;
    int64_t weight = 4 + 40 * rise / period;
    uint64_t rush = mix((uint64_t)floor_div(time, RUSH_EVERY_MS));
    if (floor_mod(time, RUSH_EVERY_MS) < RUSH_MS && topping == N_TOPPINGS - N_UNWANTED + (int)(rush % N_UNWANTED))
        weight += 60;
    return weight;
}

static void set_mood(orders_t *o, int64_t mood) {
    int64_t weights[N_TOPPINGS], total = 0, sum = 0;
    for (int i = 0; i < N_TOPPINGS; i++)
        total += weights[i] = popularity(i, mood * MOOD_MS);
    size_t from = 0;
    for (int i = 0; i < N_TOPPINGS; i++) {
        sum += weights[i];
        size_t to = (size_t)(sum * TASTE_SIZE / total);
        memset(o->taste + from, i, to - from);
        from = to;
    }
    o->mood = mood;
}

orders_t *orders_open(uint64_t seed) {
    orders_t *o = mem_zalloc(sizeof *o);
    o->random = mix(seed);
    o->mood = INT64_MIN;
    return o;
}

void orders_close(orders_t *o) { mem_free(o); }

#define ADD_LITERAL(b, s) buf_add((b), "" s, sizeof(s) - 1)

static void add_int(buf_t *b, int64_t v) {
    char digits[24];
    char *end = digits + sizeof digits, *p = end;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--p = '-';
    buf_add(b, p, (size_t)(end - p));
}

static void add_customer(orders_t *o, buf_t *v) {
    ADD_LITERAL(v, ", \"name\": \"");
    buf_add_str(v, first_names[below(o, N_FIRST_NAMES)]);
    buf_add_char(v, ' ');
    buf_add_str(v, last_names[below(o, N_LAST_NAMES)]);
    ADD_LITERAL(v, "\", \"phoneNumber\": \"(");
    add_int(v, 200 + below(o, 800));
    buf_add_char(v, ')');
    add_int(v, 200 + below(o, 800));
    buf_add_char(v, '-');
    add_int(v, 1000 + below(o, 9000));
    ADD_LITERAL(v, "\", \"address\": \"");
    add_int(v, 1 + below(o, 9999));
    buf_add_char(v, ' ');
    buf_add_str(v, streets[below(o, N_STREETS)]);
    if (below(o, 2)) {
        ADD_LITERAL(v, " Suite ");
        add_int(v, 100 + below(o, 900));
    }
    ADD_LITERAL(v, "\\n");
    buf_add_str(v, cities[below(o, N_CITIES)]);
    buf_add_char(v, ' ');
    add_int(v, 10000 + below(o, 90000));
}

static void add_pizza(orders_t *o, buf_t *v) {
    ADD_LITERAL(v, "{\"pizzaName\": \"");
    buf_add_str(v, pizzas[below(o, N_PIZZAS)]);
    ADD_LITERAL(v, "\", \"additionalToppings\": [");
    uint32_t n = below(o, 6);
    uint64_t bytes = next_random(o);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            ADD_LITERAL(v, ", ");
        buf_add_char(v, '"');
        buf_add_str(v, toppings[o->taste[(bytes >> (8 * i)) & 255]]);
        buf_add_char(v, '"');
    }
    ADD_LITERAL(v, "]}");
}

void orders_next(orders_t *o, etime_t time, buf_t *key, buf_t *value) {
    int64_t mood = floor_div(time, MOOD_MS);
    if (mood != o->mood)
        set_mood(o, mood);
    const char *shop = shops[below(o, N_SHOPS)];
    buf_clear(key);
    ADD_LITERAL(key, "{\"shop\": \"");
    buf_add_str(key, shop);
    ADD_LITERAL(key, "\"}");
    buf_clear(value);
    ADD_LITERAL(value, "{\"id\": ");
    add_int(value, o->id++);
    ADD_LITERAL(value, ", \"shop\": \"");
    buf_add_str(value, shop);
    buf_add_char(value, '"');
    add_customer(o, value);
    ADD_LITERAL(value, "\", \"pizzas\": [");
    uint32_t n = 1 + below(o, 10);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            ADD_LITERAL(value, ", ");
        add_pizza(o, value);
    }
    ADD_LITERAL(value, "], \"timestamp\": ");
    add_int(value, time);
    buf_add_char(value, '}');
}
