// What the rules of a shape read, taken out of every line with simdjson's On-Demand parser, and nothing else done with it:
// simdjson_extract SHAPE FILE. The file is in memory before the clock starts. Prints one JSON object.
#include <simdjson.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string_view>

using namespace simdjson;

namespace {

struct Sum {
    uint64_t lines = 0, strings = 0, bytes = 0, faults = 0;
    double numbers = 0;
    void text(std::string_view s) { strings++, bytes += s.size(); }
};

void order(ondemand::object o, Sum &sum) {
    for (auto field : o) {
        ondemand::raw_json_string key = field.key();
        if (key.unsafe_is_equal("id") || key.unsafe_is_equal("timestamp"))
            sum.numbers += double(int64_t(field.value()));
        else if (key.unsafe_is_equal("name"))
            sum.text(field.value());
        else if (key.unsafe_is_equal("pizzas"))
            for (ondemand::object pizza : ondemand::array(field.value()))
                for (ondemand::value topping : ondemand::array(pizza["additionalToppings"]))
                    sum.text(topping);
    }
}

void telemetry(ondemand::object o, Sum &sum) {
    for (auto field : o) {
        ondemand::raw_json_string key = field.key();
        if (key.unsafe_is_equal("device"))
            sum.text(field.value());
        else if (key.unsafe_is_equal("ts"))
            sum.numbers += double(int64_t(field.value()));
        else if (key.unsafe_is_equal("temperature") || key.unsafe_is_equal("pressure") || key.unsafe_is_equal("voltage"))
            sum.numbers += double(field.value());
    }
}

void nested(ondemand::object o, Sum &sum) {
    sum.numbers += double(int64_t(o["ts"]));
    sum.text(o["meta"]["host"]["region"]["name"]);
    sum.numbers += double(int64_t(o["body"]["a"]["b"]["c"]["d"]["e"]["value"]));
}

void strings(ondemand::object o, Sum &sum) {
    for (auto field : o) {
        ondemand::raw_json_string key = field.key();
        if (key.unsafe_is_equal("user") || key.unsafe_is_equal("url"))
            sum.text(field.value());
        else if (key.unsafe_is_equal("ts"))
            sum.numbers += double(int64_t(field.value()));
    }
}

// Time this process was on a processor: another program beside it must not look like its own cost.
double cpu_seconds() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

} // namespace

int main(int argc, char **argv) {
    const std::map<std::string, void (*)(ondemand::object, Sum &)> shapes = {
        {"orders", order}, {"telemetry", telemetry}, {"nested", nested}, {"strings", strings}};
    auto shape = argc == 3 ? shapes.find(argv[1]) : shapes.end();
    if (shape == shapes.end())
        return std::fprintf(stderr, "usage: simdjson_extract orders|telemetry|nested|strings FILE\n"), 2;
    padded_string text;
    if (padded_string::load(argv[2]).get(text))
        return std::fprintf(stderr, "cannot read %s\n", argv[2]), 1;
    ondemand::parser parser;
    Sum sum;
    double cpu = cpu_seconds();
    auto started = std::chrono::steady_clock::now();
    for (char *at = text.data(), *end = at + text.size(); at < end;) {
        char *newline = static_cast<char *>(std::memchr(at, '\n', size_t(end - at)));
        if (!newline)
            newline = end;
        try {
            ondemand::document doc = parser.iterate(at, size_t(newline - at), size_t(end - at) + SIMDJSON_PADDING);
            shape->second(doc.get_object(), sum);
        } catch (const simdjson_error &) {
            sum.faults++;
        }
        sum.lines++;
        at = newline + 1;
    }
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    cpu = cpu_seconds() - cpu;
    std::printf("{\"records\":%llu,\"seconds\":%.6f,\"cpu\":%.6f,\"strings\":%llu,\"string_bytes\":%llu,\"faults\":%llu,\"numbers\":%.0f,\"implementation\":\"%s\"}\n",
                (unsigned long long)sum.lines, seconds, cpu, (unsigned long long)sum.strings, (unsigned long long)sum.bytes,
                (unsigned long long)sum.faults, sum.numbers, get_active_implementation()->name().c_str());
    return sum.faults != 0;
}
