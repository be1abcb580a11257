-- `make kafka`: the broker of the specs in the foreground, for a person to play with. Ctrl-C ends it.

package.path = "./?.lua;" .. package.path
local ffi = require "ffi"
local kafka = require "tests.support.kafka"
local net = require "tests.support.net"
local process = require "tests.support.process"

local port = tonumber(arg[1]) or 9092
if net.is_open(port) then
    io.stderr:write(("Something listens on port %d already: make kafka KAFKA_PORT=9093\n"):format(port))
    os.exit(1)
end

ffi.C.signal(2, ffi.cast("void (*)(int)", 1))   -- Ctrl-C reaches the broker, which ends; we tidy up after it
local broker = kafka.start { port = port, fast = true, foreground = true, settings = { ["auto.create.topics.enable"] = "true", ["num.partitions"] = "3" } }
local b = broker.bootstrap
print(([[
A Kafka broker runs on %s. Topics are made on first use, with 3 partitions. In another terminal:

  echo '{"id":1,"name":"Ada","pizzas":[{"pizzaName":"Diavola","additionalToppings":["🍍 pineapple"]}],"timestamp":1659426822541}' |
    kcat -P -b %s -t pizzas -k '{"shop": "Marios Pizza"}'        write a record
  kcat -C -b %s -t pizzas -o beginning -e -J                     read a topic, one JSON object a line
  kcat -C -b %s -t pizza_stream_out_filter -X isolation.level=read_committed -J
  kcat -L -b %s                                                  list topics
  KAFKA_BROKERS=%s build/ananas run

Ctrl-C ends it; what it holds is removed.]]):format(b, b, b, b, b, b))
io.stdout:flush()
while broker.process:alive() do process.sleep(0.2) end
broker:stop()
