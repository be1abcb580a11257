#include "script_watchdog.h"
#include "mem.h"
#include <dlfcn.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <lua.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define LOOK_NS 10000000LL  /* between two looks: bounds how late an overrun is seen */
#define AGAIN_NS 20000000LL /* a stopped thread that is still there is signalled again */
#define STACK_MAX (1 << 20) /* C stack that one run may use: an eighth of what threads have by default */
#define DOZE_LOOKS 100      /* looks without any call before the thread sleeps until one comes */

/* One per thread that asks rules. Written by that thread but for the fields of the watchdog's. */
typedef struct watch {
    sigjmp_buf jump;
    _Atomic uint64_t epoch;              /* odd: inside a run */
    volatile sig_atomic_t host, pending; /* inside a host function; a stop that waits for its end */
    volatile int32_t progress;
    _Atomic int64_t limit_ns;
    watchdog_areas_t *areas;
    const char *stack;          /* where the run began */
    _Atomic uint64_t condemned; /* the watchdog's: the epoch to be stopped */
    _Atomic int64_t used_ns, longest_ns;
    uint64_t seen;
    int32_t seen_progress;
    int64_t base_ns;
    pthread_t thread;
    clockid_t clock;
    struct watch *next;
} watch_t;

/* Code of a loaded library (or the program). */
typedef struct code_range {
    uintptr_t from, to;
} code_range_t;
#define CODE_RANGES 256
#define MOVERS 3

/* A signal's action and an interposed mmap get no argument to find their owner by, so this one record belongs to the
 * process, and a pointer to its watch to each thread. Initial-exec: reading it in a signal must not allocate. */
struct watchdog {
    pthread_mutex_t lock; /* over the list of watches; never taken on the way of a call */
    pthread_t thread;
    pthread_key_t key;
    watch_t *watches;
    int running, has_key, has_membarrier;
    _Atomic int told_no_code;
    _Atomic int stopping;
    code_range_t others[CODE_RANGES], movers[MOVERS];
    unsigned n_others;
    _Atomic uint32_t dozing; /* futex: 1 while the watchdog sleeps until somebody calls */
};
__attribute__((visibility("hidden"))) struct watchdog watchdog = {.lock = PTHREAD_MUTEX_INITIALIZER};
__attribute__((visibility("hidden"), tls_model("initial-exec"))) _Thread_local watch_t *watchdog_self;

static int stop_signal(void) { return SIGRTMIN + 5; }

static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- the asking thread ---- */

static void watch_free(void *arg) {
    watch_t *w = arg;
    pthread_mutex_lock(&watchdog.lock);
    for (watch_t **p = &watchdog.watches; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    pthread_mutex_unlock(&watchdog.lock);
    watchdog_self = NULL;
    mem_free(w);
}

static watch_t *watch_new(void) {
    watch_t *w = mem_zalloc(sizeof *w);
    w->thread = pthread_self();
    pthread_getcpuclockid(w->thread, &w->clock);
    pthread_mutex_lock(&watchdog.lock);
    if (!watchdog.has_key)
        watchdog.has_key = pthread_key_create(&watchdog.key, watch_free) == 0;
    w->next = watchdog.watches;
    watchdog.watches = w;
    pthread_mutex_unlock(&watchdog.lock);
    pthread_setspecific(watchdog.key, w);
    watchdog_self = w;
    return w;
}

static inline watch_t *watch_of_thread(void) { return watchdog_self ? watchdog_self : watch_new(); }

static void futex_wake(void) {
    atomic_store(&watchdog.dozing, 0);
    syscall(SYS_futex, &watchdog.dozing, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline void epoch_step(watch_t *w) {
    atomic_store_explicit(&w->epoch, atomic_load_explicit(&w->epoch, memory_order_relaxed) + 1, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}

watchdog_end_t watchdog_run(watchdog_areas_t *areas, int64_t limit_ns, void (*body)(void *arg), void *arg) {
    watch_t *w = watch_of_thread();
    int how = sigsetjmp(w->jump, 0);
    if (__builtin_expect(how != 0, 0)) {
        /* A second signal may have come before the epoch is even again: it lands here once more, and that is fine. */
        w = watchdog_self;
        if (atomic_load_explicit(&w->epoch, memory_order_relaxed) & 1)
            epoch_step(w);
        w->areas = NULL;
        w->host = w->pending = 0;
        return (watchdog_end_t)how;
    }
    w->areas = areas;
    w->stack = __builtin_frame_address(0);
    w->host = w->pending = 0;
    atomic_store_explicit(&w->limit_ns, limit_ns, memory_order_relaxed);
    epoch_step(w);
    if (__builtin_expect(atomic_load_explicit(&watchdog.dozing, memory_order_relaxed) != 0, 0))
        futex_wake();
    body(arg);
    atomic_signal_fence(memory_order_seq_cst);
    epoch_step(w);
    w->areas = NULL;
    return WATCHDOG_DONE;
}

int64_t watchdog_last_ns(void) { return watchdog_self ? atomic_load(&watchdog_self->used_ns) : 0; }

int64_t watchdog_longest_ns(void) {
    watch_t *w = watchdog_self;
    if (!w || atomic_load_explicit(&w->longest_ns, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(&w->longest_ns, 0, memory_order_relaxed);
}

volatile int32_t *watchdog_progress(void) { return &watch_of_thread()->progress; }

static inline int inside(const watch_t *w) { return w && (atomic_load_explicit(&w->epoch, memory_order_relaxed) & 1); }

watchdog_areas_t *watchdog_inside(void) { return inside(watchdog_self) ? watchdog_self->areas : NULL; }

void watchdog_leave(watchdog_end_t how) {
    if (inside(watchdog_self))
        siglongjmp(watchdog_self->jump, (int)how);
}

int script_stack_deep(void) {
    const char *here = __builtin_frame_address(0);
    return inside(watchdog_self) && watchdog_self->stack - here > STACK_MAX;
}

void script_host_begin(void) {
    watch_t *w = watchdog_self;
    if (!w)
        return;
    w->host++;
    atomic_signal_fence(memory_order_seq_cst);
}

void script_host_end(void) {
    watch_t *w = watchdog_self;
    if (!w)
        return;
    atomic_signal_fence(memory_order_seq_cst);
    if (--w->host == 0 && w->pending)
        watchdog_leave(WATCHDOG_TIME);
}

void script_host_pause(void) {
    watch_t *w = watchdog_self;
    if (w && w->pending)
        watchdog_leave(WATCHDOG_TIME);
}

/* ---- where it may be stopped ---- */

/* Lua calls a few functions of other libraries. Where its announcements to the unwinder end in this file (below), none of
 * them holds a lock, but for the loader's when it finds a function for the first time. Where they do not, the unwinder
 * locks and allocates: there a thread is stopped in Lua's own code, in what Lua compiled (which is in no library) and in
 * functions that move bytes. What may not be left now is tried again soon. */

#define MOVER_BYTES 2048

static int note_code(struct dl_phdr_info *info, size_t size, void *arg) {
    const int *sees_all = arg;
    (void)size;
    if (*sees_all && !(info->dlpi_name && strstr(info->dlpi_name, "/ld-")))
        return 0;
    lua_State *(*inside_lua)(lua_Alloc, void *) = lua_newstate;
    uintptr_t mark;
    memcpy(&mark, &inside_lua, sizeof mark);
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || watchdog.n_others == CODE_RANGES)
            continue;
        code_range_t r = {info->dlpi_addr + p->p_vaddr, info->dlpi_addr + p->p_vaddr + p->p_memsz};
        if (mark < r.from || mark >= r.to)
            watchdog.others[watchdog.n_others++] = r;
    }
    return 0;
}

static void note_all_code(void) {
    static const char *const movers[] = {"memcpy", "memmove", "memset"};
    int sees_all = watchdog_sees_mmap();
    watchdog.n_others = 0;
    dl_iterate_phdr(note_code, &sees_all);
    for (unsigned i = 0; i < MOVERS; i++) {
        uintptr_t at = (uintptr_t)dlsym(RTLD_DEFAULT, movers[i]);
        watchdog.movers[i] = (code_range_t){at, at + MOVER_BYTES};
    }
}

static uintptr_t where_it_was(const ucontext_t *context) {
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
#error "the watchdog has to know where a thread was stopped"
#endif
}

static int in_range(const code_range_t *r, unsigned n, uintptr_t at) {
    for (unsigned i = 0; i < n; i++)
        if (at >= r[i].from && at < r[i].to)
            return 1;
    return 0;
}

static int may_be_left(uintptr_t at) {
    return !in_range(watchdog.others, watchdog.n_others, at) || in_range(watchdog.movers, MOVERS, at);
}

static void on_stop(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
    watch_t *w = watchdog_self;
    if (!inside(w) || atomic_load(&w->condemned) != atomic_load_explicit(&w->epoch, memory_order_relaxed))
        return;
    if (w->host)
        w->pending = 1;
    else if (may_be_left(where_it_was(context)))
        siglongjmp(w->jump, WATCHDOG_TIME);
}

/* ---- the watchdog ---- */

/* Looks at one thread; the time until it has to be looked at again. */
static int64_t look(watch_t *w, int *active) {
    uint64_t epoch = atomic_load_explicit(&w->epoch, memory_order_acquire);
    int64_t limit = atomic_load_explicit(&w->limit_ns, memory_order_relaxed);
    if (epoch != w->seen)
        *active = 1;
    if (!(epoch & 1)) {
        w->seen = epoch;
        return LOOK_NS;
    }
    *active = 1;
    int32_t progress = __atomic_load_n(&w->progress, __ATOMIC_RELAXED);
    int64_t cpu = now_ns(w->clock);
    if (epoch != w->seen || progress != w->seen_progress) {
        w->seen = epoch;
        w->seen_progress = progress;
        w->base_ns = cpu;
        return limit > 0 && limit < LOOK_NS ? limit : LOOK_NS;
    }
    int64_t used = cpu - w->base_ns;
    if (used > atomic_load_explicit(&w->longest_ns, memory_order_relaxed))
        atomic_store_explicit(&w->longest_ns, used, memory_order_relaxed);
    if (limit <= 0)
        return LOOK_NS;
    if (used < limit)
        return limit - used < LOOK_NS ? limit - used : LOOK_NS;
    atomic_store(&w->used_ns, used);
    atomic_store(&w->condemned, epoch);
    pthread_kill(w->thread, stop_signal());
    return AGAIN_NS;
}

static int64_t look_at_all(int *active) {
    int64_t wait = LOOK_NS;
    pthread_mutex_lock(&watchdog.lock);
    for (watch_t *w = watchdog.watches; w; w = w->next) {
        int64_t t = look(w, active);
        wait = t < wait ? t : wait;
    }
    pthread_mutex_unlock(&watchdog.lock);
    return wait;
}

/* Nobody called for a while: sleep until somebody does. The barrier makes every other thread see `dozing` or be seen by
 * the second look, without a fence on the way of a call. */
static void doze(void) {
    atomic_store(&watchdog.dozing, 1);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    int active = 0;
    look_at_all(&active);
    if (active || atomic_load(&watchdog.stopping)) {
        atomic_store(&watchdog.dozing, 0);
        return;
    }
    while (atomic_load(&watchdog.dozing))
        syscall(SYS_futex, &watchdog.dozing, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

static void *watchdog_thread(void *arg) {
    (void)arg;
    pthread_setname_np(pthread_self(), "watchdog");
    unsigned quiet = 0;
    while (!atomic_load(&watchdog.stopping)) {
        int active = 0;
        int64_t wait = look_at_all(&active);
        quiet = active ? 0 : quiet + 1;
        if (quiet > DOZE_LOOKS && watchdog.has_membarrier) {
            doze();
            quiet = 0;
            continue;
        }
        nanosleep(&(struct timespec){wait / 1000000000LL, (long)(wait % 1000000000LL)}, NULL);
    }
    return NULL;
}

#if defined(__SANITIZE_THREAD__) && defined(__x86_64__)
/* The thread sanitizer holds signals back until the thread calls something it knows, which compiled Lua never does: so it
 * is not told of this one. */
void watchdog_return(void);
__asm__(".hidden watchdog_return\n.globl watchdog_return\nwatchdog_return:\n  mov $15, %eax\n  syscall\n");
static int install(const struct sigaction *action) {
    struct {
        void (*run)(int, siginfo_t *, void *);
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
    } kernel = {action->sa_sigaction, (unsigned long)action->sa_flags | 0x04000000UL, watchdog_return, 0};
    return (int)syscall(SYS_rt_sigaction, stop_signal(), &kernel, NULL, sizeof kernel.mask);
}
#else
static int install(const struct sigaction *action) { return sigaction(stop_signal(), action, NULL); }
#endif

int script_watchdog_start(error_t *e) {
    if (watchdog.running)
        return 0;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_stop;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART; /* left by a jump: the signal must not stay blocked */
    if (install(&action) != 0)
        return error_set(e, ERR_INTERNAL, "cannot install the signal that stops rules");
    note_all_code();
    watchdog.has_membarrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    atomic_store(&watchdog.stopping, 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for its other threads */
    int rc = pthread_create(&watchdog.thread, NULL, watchdog_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return error_set(e, ERR_INTERNAL, "cannot start the thread that watches rules: %s", strerrordesc_np(rc));
    watchdog.running = 1;
    return 0;
}

void script_watchdog_stop(void) {
    if (!watchdog.running)
        return;
    atomic_store(&watchdog.stopping, 1);
    futex_wake();
    pthread_join(watchdog.thread, NULL);
    watchdog.running = 0;
}

/* ---- machine code ---- */

static void *map_pages(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    /* The kernel gives an address as a number. NOLINTNEXTLINE(performance-no-int-to-ptr) */
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
}

/* The thread sanitizer lays out the address space by its own mmap: there the areas of a dropped state stay mapped. */
#ifndef __SANITIZE_THREAD__

/* LuaJIT's allocator is ours, so what it maps itself are areas for machine code and nothing else. */
void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    watch_t *w = watchdog_self;
    if (!w || !w->areas || w->host)
        return map_pages(at, len, prot, flags, fd, offset);
    script_host_begin();
    void *p = map_pages(at, len, prot, flags, fd, offset);
    watchdog_areas_t *areas = w->areas;
    if (p != MAP_FAILED) {
        if (areas->n < WATCHDOG_AREAS) {
            areas->at[areas->n++] = (watchdog_area_t){p, len};
        } else {
            syscall(SYS_munmap, p, len);
            p = MAP_FAILED;
        }
    }
    script_host_end();
    return p;
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    return mmap(at, len, prot, flags, fd, offset);
}

int munmap(void *at, size_t len) {
    watch_t *w = watchdog_self;
    if (!w || !w->areas || w->host)
        return (int)syscall(SYS_munmap, at, len);
    script_host_begin();
    watchdog_areas_t *areas = w->areas;
    for (unsigned i = 0; i < areas->n; i++)
        if (areas->at[i].at == at) {
            areas->at[i] = areas->at[--areas->n];
            break;
        }
    int rc = (int)syscall(SYS_munmap, at, len);
    script_host_end();
    return rc;
}

#endif

/* LuaJIT announces its machine code to the unwinder, which keeps a list under a lock: a jump out of there would leave it
 * locked, and a dropped state would leave it pointing into nothing. Nobody throws through compiled code here: an error
 * raised inside it ends in the panic function, which drops the state. */
void __register_frame(void *frames);
void __deregister_frame(void *frames);
void __register_frame(void *frames) { (void)frames; }
void __deregister_frame(void *frames) { (void)frames; }

void watchdog_areas_drop(watchdog_areas_t *areas) {
    for (unsigned i = 0; i < areas->n; i++)
        syscall(SYS_munmap, areas->at[i].at, areas->at[i].len);
    areas->n = 0;
}

/* By trying: somebody else's mmap (a sanitizer's) may come first and still end here. */
int watchdog_sees_mmap(void) {
    void (*mine)(void *) = __register_frame;
    void *frames = dlsym(RTLD_DEFAULT, "__register_frame"), *found = dlsym(RTLD_DEFAULT, "mmap");
    void *(*map)(void *, size_t, int, int, int, off_t);
    memcpy(&map, &found, sizeof map);
    if (memcmp(&mine, &frames, sizeof frames) != 0 || !map)
        return 0;
    watch_t *w = watch_of_thread();
    watchdog_areas_t *before = w->areas, *seen = mem_zalloc(sizeof *seen);
    w->areas = seen;
    void *p = map(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    w->areas = before;
    int sees = seen->n == 1;
    if (p != MAP_FAILED)
        syscall(SYS_munmap, p, (size_t)4096);
    mem_free(seen);
    return sees;
}

int watchdog_first_without_code(void) { return atomic_exchange(&watchdog.told_no_code, 1) == 0; }

int watchdog_code_allowed(void) {
    size_t len = 4096;
    void *p = map_pages(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 0;
    int ok = mprotect(p, len, PROT_READ | PROT_EXEC) == 0;
    syscall(SYS_munmap, p, len);
    return ok;
}
