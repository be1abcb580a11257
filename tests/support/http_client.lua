-- HTTP with plain sockets, so that bad clients can be played as well.
--
--   local c = http_client.connect(port):send("GET / HTTP/1.1\r\n...")
--   c:read(5, "data:"); c:close()          -- to the end, until the text has the pattern, or for so many seconds
--   http_client.get(port, "/rules", { Host = "..." })    -- { status, head, body, text }; also post, and ask for raw requests

local ffi = require "ffi"
local process = require "tests.support.process"
require "tests.support.net"

ffi.cdef "int setsockopt(int fd, int level, int name, const void *value, unsigned int len);"
local C = ffi.C
local http_client = {}

local Client = {}
Client.__index = Client
-- at_once: does not wait until it is taken; receives: bytes that its socket holds.
function http_client.connect(port, at_once, receives)
    local fd = C.socket(2, 1 + 524288 + (at_once and 2048 or 0), 0)
    if receives then C.setsockopt(fd, 1, 8, ffi.new("int[1]", receives), 4) end
    local to = ffi.new("struct net_address", { family = 2, port = C.htons(port), ip = C.htonl(0x7f000001) })
    assert(C.connect(fd, to, 16) == 0 or at_once, "cannot connect")
    return setmetatable({ fd = fd, text = "", over = false }, Client)
end
function Client:send(text) C.write(self.fd, text, #text) return self end
function Client:read(seconds, until_pattern)
    local deadline, bytes = process.now() + seconds, ffi.new("char[65536]")
    local fds = ffi.new("struct process_pollfd[1]", { { self.fd, 1, 0 } })
    while not self.over and process.now() < deadline and not (until_pattern and self.text:find(until_pattern)) do
        if C.poll(fds, 1, math.min(50, math.ceil((deadline - process.now()) * 1000))) > 0 then
            local n = tonumber(C.read(self.fd, bytes, 65536))
            if n <= 0 then self.over = true else self.text = self.text .. ffi.string(bytes, n) end
        end
    end
    return self.text
end
function Client:close() C.close(self.fd) end

function http_client.ask(port, request, seconds)
    local client = http_client.connect(port):send(request)
    local text = client:read(seconds or 15)
    client:close()
    return { status = tonumber(text:match "^HTTP/1%.%d (%d+)"), head = text:match "^(.-)\r\n\r\n", body = text:match "\r\n\r\n(.*)$", text = text }
end
local function headers(o)
    local out = {}
    for name, value in pairs(o or {}) do out[#out + 1] = name .. ": " .. value .. "\r\n" end
    return table.concat(out)
end
function http_client.get(port, path, more)
    more = more or {}
    more.Host = more.Host or "localhost:" .. port
    return http_client.ask(port, "GET " .. path .. " HTTP/1.1\r\nConnection: close\r\n" .. headers(more) .. "\r\n")
end
function http_client.post(port, path, more)
    more = more or {}
    more.Host = more.Host or "localhost:" .. port
    return http_client.ask(port, "POST " .. path .. " HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n" .. headers(more) .. "\r\n")
end

return http_client
