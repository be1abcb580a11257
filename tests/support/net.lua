-- Loopback ports for specs.

local ffi = require "ffi"

ffi.cdef [[
struct net_address { uint16_t family, port; uint32_t ip; uint8_t zero[8]; };
int socket(int domain, int type, int protocol);
int bind(int fd, const struct net_address *a, unsigned int len);
int connect(int fd, const struct net_address *a, unsigned int len);
int getsockname(int fd, struct net_address *a, unsigned int *len);
int close(int fd);
uint16_t htons(uint16_t v);
uint16_t ntohs(uint16_t v);
uint32_t htonl(uint32_t v);
]]
local C = ffi.C
local AF_INET, SOCK_STREAM, SOCK_CLOEXEC = 2, 1, 524288

local net = {}

local function loopback(port)
    return ffi.new("struct net_address", { family = AF_INET, port = C.htons(port), ip = C.htonl(0x7f000001) })
end

-- Ports that nobody listens on now; all are held until all are chosen, so they differ.
function net.free_ports(n)
    local fds, ports = {}, {}
    for i = 1, n do
        local fd = C.socket(AF_INET, SOCK_STREAM + SOCK_CLOEXEC, 0)
        local address, len = loopback(0), ffi.new("unsigned int[1]", 16)
        assert(fd >= 0 and C.bind(fd, address, 16) == 0 and C.getsockname(fd, address, len) == 0, "no free port")
        fds[i], ports[i] = fd, C.ntohs(address.port)
    end
    for _, fd in ipairs(fds) do C.close(fd) end
    return ports
end

function net.free_port()
    return net.free_ports(1)[1]
end

function net.is_open(port)
    local fd = C.socket(AF_INET, SOCK_STREAM + SOCK_CLOEXEC, 0)
    local open = C.connect(fd, loopback(port), 16) == 0
    C.close(fd)
    return open
end

return net
