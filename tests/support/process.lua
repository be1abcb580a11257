-- Processes for specs and for the test runner: arguments go to exec as they are (no shell), every wait has a timeout, and
-- a child never outlives the one that started it (the kernel kills it when its parent ends, however that ends).
--
--   local p = process.spawn { "build/ananas", "run", "-c", path, env = { TZ = "UTC" }, cwd = dir, stdin = "pipe" }
--   p:expect("ready", 10)            -- until stdout or stderr matches the Lua pattern
--   p:signal("TERM"); local status = p:wait(5)      -- { code = 0 } or { signal = 9 }; nil after 5 s
--   p.out, p.err                     -- everything it wrote so far
--   local r = process.run { "kcat", "-V", timeout = 5 }   -- r.code, r.signal, r.out, r.err

local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
typedef int pid_t;
struct process_pollfd { int fd; short events, revents; };
struct process_timespec { long sec, nsec; };
pid_t fork(void);
pid_t getppid(void);
pid_t getpid(void);
int execvp(const char *file, char *const argv[]);
void _exit(int status);
pid_t waitpid(pid_t pid, int *status, int options);
int kill(pid_t pid, int sig);
int pipe2(int fds[2], int flags);
int dup2(int from, int to);
int open(const char *path, int flags, ...);
int close(int fd);
int chdir(const char *path);
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
long read(int fd, void *buf, size_t n);
long write(int fd, const void *buf, size_t n);
int fcntl(int fd, int cmd, ...);
int poll(struct process_pollfd *fds, unsigned long n, int timeout_ms);
int clock_gettime(int clock, struct process_timespec *ts);
void (*signal(int sig, void (*f)(int)))(int);
char *strerror(int errnum);
]]
local C = ffi.C

local O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK, O_CLOEXEC = 0, 1, 64, 512, 2048, 524288
local F_SETFL, WNOHANG, PR_SET_PDEATHSIG, SIGKILL, SIGPIPE = 4, 1, 1, 9, 13
local POLLIN, POLLOUT, EINTR, EAGAIN = 1, 4, 4, 11
local SIGNALS = { HUP = 1, INT = 2, QUIT = 3, ABRT = 6, KILL = 9, USR1 = 10, SEGV = 11, USR2 = 12, TERM = 15, CONT = 18, STOP = 19 }

local process = { signals = SIGNALS }
local Process = {}
Process.__index = Process

-- Writing to a child that is gone is an error result here, not our death.
C.signal(SIGPIPE, ffi.cast("void (*)(int)", 1))

-- Monotonic seconds.
function process.now()
    local ts = ffi.new "struct process_timespec"
    C.clock_gettime(1, ts)
    return tonumber(ts.sec) + tonumber(ts.nsec) / 1e9
end

function process.sleep(seconds)
    C.poll(nil, 0, math.ceil(seconds * 1000))
end

-- Asks `condition` until it is true (and returns what it returned) or the time is up (and returns nil).
function process.eventually(seconds, condition, pause)
    local deadline = process.now() + seconds
    while true do
        local result = condition()
        if result then return result end
        if process.now() >= deadline then return nil end
        process.sleep(pause or 0.02)
    end
end

local function new_pipe()
    local fds = ffi.new "int[2]"
    assert(C.pipe2(fds, O_CLOEXEC) == 0, "pipe2 failed")
    return fds[0], fds[1]
end

-- What the child sees as one of its outputs: our pipe, a file, or what we have ourselves.
local function output_end(how)
    if how == "inherit" then return nil, nil end
    if how and how ~= "pipe" then
        local fd = C.open(how, bit.bor(O_WRONLY, O_CREAT, O_TRUNC, O_CLOEXEC), ffi.cast("int", 420))
        assert(fd >= 0, "cannot write " .. how)
        return fd, nil
    end
    local ours, theirs = new_pipe()
    C.fcntl(ours, F_SETFL, ffi.cast("int", O_NONBLOCK))
    return theirs, ours
end

local function input_end(how)
    if how == "inherit" then return nil, nil end
    if how == nil then return C.open("/dev/null", bit.bor(O_RDONLY, O_CLOEXEC)), nil end
    local theirs, ours = new_pipe()
    C.fcntl(ours, F_SETFL, ffi.cast("int", O_NONBLOCK))
    return theirs, ours
end

-- Runs in the child between fork and exec; ends it with 127 when the program cannot be started.
local function become(options, argv, parent, fds)
    for target = 0, 2 do
        if fds[target] then C.dup2(fds[target], target) end
    end
    -- What we ignore a program would go on ignoring: Ctrl-C must reach it.
    C.signal(SIGPIPE, nil)
    C.signal(SIGNALS.INT, nil)
    if not options.orphan then
        C.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if C.getppid() ~= parent then C._exit(127) end
    end
    for name, value in pairs(options.env or {}) do
        if value then C.setenv(name, tostring(value), 1) else C.unsetenv(name) end
    end
    if not (options.cwd and C.chdir(options.cwd) ~= 0) then C.execvp(argv[0], ffi.cast("char *const *", argv)) end
    local message = ("cannot start %s: %s\n"):format(ffi.string(argv[0]), ffi.string(C.strerror(ffi.errno())))
    C.write(2, message, #message)
    C._exit(127)
end

-- Options beside the arguments: env (false removes a name), cwd, stdin (nil: empty, "pipe", "inherit", or { text = ... }),
-- stdout and stderr (nil: collected, "inherit", or a file's path), orphan = true to let it outlive us.
function process.spawn(options)
    local argv, keep = ffi.new("const char *[?]", #options + 1), {}
    for i, argument in ipairs(options) do
        keep[i] = tostring(argument)
        argv[i - 1] = keep[i]
    end
    local text = type(options.stdin) == "table" and options.stdin.text or nil
    local in_child, in_ours = input_end(options.stdin)
    local out_child, out_ours = output_end(options.stdout)
    local err_child, err_ours = output_end(options.stderr)
    io.stdout:flush()
    local parent = C.getpid()
    local pid = C.fork()
    assert(pid >= 0, "fork failed")
    if pid == 0 then become(options, argv, parent, { [0] = in_child, [1] = out_child, [2] = err_child }) end
    for _, fd in pairs { in_child or false, out_child or false, err_child or false } do
        if fd then C.close(fd) end
    end
    local self = { pid = pid, name = keep[1], out = "", err = "", input = text or "", keep_open = text == nil,
        fd_in = in_ours, fd_out = out_ours, fd_err = err_ours }
    return setmetatable(self, Process)
end

function Process:close_fd(which)
    if self[which] then
        C.close(self[which])
        self[which] = nil
    end
end

local chunk = ffi.new "uint8_t[65536]"

function Process:take(which, into)
    while self[which] do
        local n = tonumber(C.read(self[which], chunk, 65536))
        if n > 0 then
            self[into] = self[into] .. ffi.string(chunk, n)
        elseif n == 0 then
            self:close_fd(which)
        elseif ffi.errno() ~= EINTR then
            if ffi.errno() ~= EAGAIN then self:close_fd(which) end
            return
        end
    end
end

function Process:give()
    while self.fd_in and self.input ~= "" do
        local n = tonumber(C.write(self.fd_in, self.input, #self.input))
        if n > 0 then
            self.input = self.input:sub(n + 1)
        elseif ffi.errno() == EAGAIN then
            return
        elseif ffi.errno() ~= EINTR then
            self:close_fd "fd_in"
        end
    end
    if self.input == "" and not self.keep_open then self:close_fd "fd_in" end
end

-- Moves bytes between us and the child for at most that long; returns once anything moved.
function Process:pump(seconds)
    local fds, n = ffi.new "struct process_pollfd[3]", 0
    local function watch(fd, events)
        if fd then
            fds[n].fd, fds[n].events = fd, events
            n = n + 1
        end
    end
    watch(self.fd_out, POLLIN)
    watch(self.fd_err, POLLIN)
    if self.input ~= "" or not self.keep_open then watch(self.fd_in, POLLOUT) end
    C.poll(fds, n, math.max(0, math.ceil(seconds * 1000)))
    self:give()
    self:take("fd_out", "out")
    self:take("fd_err", "err")
end

function Process:write(text)
    self.input = self.input .. text
    self:pump(0)
end

function Process:close_stdin()
    self.keep_open = false
    self:pump(0)
end

function Process:signal(name)
    if self.status then return false end
    return C.kill(self.pid, SIGNALS[name] or name) == 0
end

-- The status when it has ended, nil while it runs.
function Process:poll_status()
    if self.status then return self.status end
    local raw = ffi.new "int[1]"
    if C.waitpid(self.pid, raw, WNOHANG) ~= self.pid then return nil end
    local signal = bit.band(raw[0], 127)
    self.status = signal ~= 0 and { signal = signal } or { code = bit.band(bit.rshift(raw[0], 8), 255) }
    return self.status
end

function Process:alive()
    return self:poll_status() == nil
end

-- Waits for the end and for the last bytes of output. nil after `seconds`.
function Process:wait(seconds)
    local deadline = process.now() + seconds
    while not self:poll_status() do
        if process.now() >= deadline then return nil end
        self:pump(0.01)
    end
    self:pump(0)
    self:close_fd "fd_in"
    self:close_fd "fd_out"
    self:close_fd "fd_err"
    return self.status
end

-- Until what it wrote to either output matches; the captures (or the match), or nil and a description.
function Process:expect(pattern, seconds)
    local deadline = process.now() + seconds
    while true do
        local ended = self:poll_status()
        self:pump(0)
        local capture = self.out:match(pattern) or self.err:match(pattern)
        if capture then return capture end
        if ended or process.now() >= deadline then break end
        self:pump(0.02)
    end
    return nil, ("%s never wrote %q (%s)\n--- stdout\n%s\n--- stderr\n%s"):format(self.name, pattern,
        self.status and "it ended" or "it still runs", self.out:sub(-4000), self.err:sub(-4000))
end

-- TERM, then KILL after `seconds` (default 5).
function Process:stop(seconds)
    if not self:alive() then return self:wait(1) end
    self:signal "CONT"
    self:signal "TERM"
    local status = self:wait(seconds or 5)
    if status then return status end
    self:signal "KILL"
    return self:wait(5)
end

-- Resident memory in bytes, open descriptors, CPU seconds used so far; nil once it has ended.
function Process:usage()
    local status = io.open(("/proc/%d/status"):format(self.pid))
    local stat = io.open(("/proc/%d/stat"):format(self.pid))
    if not (status and stat) then return nil end
    local rss, peak = nil, nil
    for line in status:lines() do
        rss = rss or line:match "^VmRSS:%s*(%d+)"
        peak = peak or line:match "^VmHWM:%s*(%d+)"
    end
    local fields = {}
    for field in stat:read("*a"):match("%) (.*)"):gmatch "%S+" do fields[#fields + 1] = field end
    status:close()
    stat:close()
    local fds = process.run { "ls", ("/proc/%d/fd"):format(self.pid), timeout = 5 }
    local _, count = fds.out:gsub("\n", "")
    return { rss = tonumber(rss or 0) * 1024, peak = tonumber(peak or 0) * 1024, fds = count,
        cpu = (tonumber(fields[12]) + tonumber(fields[13])) / 100 }
end

-- Runs to the end: { code, signal, out, err }; timed_out = true when it had to be killed after `timeout` (default 60).
function process.run(options)
    local child = process.spawn(options)
    local status = child:wait(options.timeout or 60)
    local timed_out = status == nil
    if timed_out then
        child:signal "KILL"
        status = child:wait(5) or {}
    end
    return { code = status.code, signal = status.signal, out = child.out, err = child.err, timed_out = timed_out }
end

-- The same path for a child with another working folder.
function process.absolute(path)
    return path:sub(1, 1) == "/" and path or os.getenv "PWD" .. "/" .. path
end

-- A new empty folder under build/tmp, to be removed with process.remove.
local folders = 0
function process.folder(name)
    folders = folders + 1
    local path = ("build/tmp/%s-%d-%d"):format(name or "spec", C.getpid(), folders)
    assert(process.run({ "mkdir", "-p", path }).code == 0)
    return path
end

function process.remove(path)
    assert(path:match "^build/.", "refuses to remove " .. path)
    return process.run({ "rm", "-rf", path }).code == 0
end

return process
