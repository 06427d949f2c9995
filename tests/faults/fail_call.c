// Preloaded: fails the n-th call of one kind in the processes it is meant for, and notes in a file that it has.
//
//   LD_PRELOAD=libfail_call.so MRS_FAIL=write:3 MRS_FAIL_LOG=log mrs-exec ...      the third write fails
//   MRS_FAIL=write:3:on                                                           and so do all after it
//   MRS_FAIL_WHO=rank | main                                                      in rank processes alone, or in others
//   MRS_FAIL_ARM=path                                                             calls count from when this path is
//   there
//
// Calls count from main on: what initializers of linked libraries do before it (CUDA's runtime takes memory in its own,
// and does not look whether it got any) is out of the program's hands. What it does itself goes past the C library, so
// as not to count.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static char kind[32];
static long nth;
static int from_there_on;
static const char* arm_path;
static atomic_long seen;
static atomic_int in_main;
static int (*real_main)(int, char**, char**);

static int is_rank(void) {
  char line[256] = {0};
  const long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  if (fd < 0) return 0;
  const long bytes = syscall(SYS_read, fd, line, sizeof(line) - 1);
  syscall(SYS_close, fd);
  const size_t first = strlen(line) + 1;
  return bytes > (long)first && strcmp(line + first, "rank") == 0;
}

__attribute__((constructor)) static void read_orders(void) {
  const char* orders = getenv("MRS_FAIL");
  const char* who = getenv("MRS_FAIL_WHO");
  char tail[8] = {0};
  if (orders == NULL || sscanf(orders, "%31[a-z_]:%ld:%7s", kind, &nth, tail) < 2) return;
  if (who != NULL && (strcmp(who, "rank") == 0) != is_rank()) nth = 0;
  from_there_on = strcmp(tail, "on") == 0;
  arm_path = getenv("MRS_FAIL_ARM");
}

static int noted_main(int count, char** arguments, char** environment) {
  in_main = 1;
  return real_main(count, arguments, environment);
}
int __libc_start_main(int (*main)(int, char**, char**), int count, char** arguments, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void* stack_end) {
  __typeof__(&__libc_start_main) start = (__typeof__(&__libc_start_main))dlsym(RTLD_NEXT, "__libc_start_main");
  real_main = main;
  return start(noted_main, count, arguments, init, fini, loader_fini, stack_end);
}

// Whether this call is to fail; errno is set then.
static int fails(const char* which, int error) {
  if (nth <= 0 || !in_main || strcmp(which, kind) != 0) return 0;
  if (arm_path != NULL && syscall(SYS_faccessat, AT_FDCWD, arm_path, F_OK) != 0) return 0;
  const long count = atomic_fetch_add(&seen, 1) + 1;
  if (count != nth && !(from_there_on && count > nth)) return 0;
  const char* log = getenv("MRS_FAIL_LOG");
  if (log != NULL) {
    const long fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0) {
      syscall(SYS_write, fd, "failed\n", 7);
      syscall(SYS_close, fd);
    }
  }
  errno = error;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name, real_call, ...)                                            \
  {                                                                           \
    mode_t mode = 0;                                                          \
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {                               \
      va_list rest;                                                           \
      va_start(rest, flags);                                                  \
      mode = va_arg(rest, mode_t);                                            \
      va_end(rest);                                                           \
    }                                                                         \
    return fails("open", EMFILE) ? -1 : REAL(name)(__VA_ARGS__, flags, mode); \
  }
int open(const char* path, int flags, ...) OPEN(open, open, path) int open64(const char* path, int flags, ...)
    OPEN(open64, open64, path) int openat(int folder, const char* path, int flags, ...)
        OPEN(openat, openat, folder, path) int openat64(int folder, const char* path, int flags, ...)
            OPEN(openat64, openat64, folder, path)

                int mkostemp(char* pattern, int flags) {
  return fails("open", EMFILE) ? -1 : REAL(mkostemp)(pattern, flags);
}

void* mmap(void* at, size_t bytes, int access, int flags, int fd, off_t offset) {
  return fails("mmap", ENOMEM) ? MAP_FAILED : (void*)syscall(SYS_mmap, at, bytes, access, flags, fd, offset);
}
void* mmap64(void* at, size_t bytes, int access, int flags, int fd, off64_t offset) {
  return mmap(at, bytes, access, flags, fd, offset);
}

int socket(int domain, int type, int protocol) {
  return fails("socket", EMFILE) ? -1 : REAL(socket)(domain, type, protocol);
}
int socketpair(int domain, int type, int protocol, int fds[2]) {
  return fails("socket", EMFILE) ? -1 : REAL(socketpair)(domain, type, protocol, fds);
}
int accept(int fd, struct sockaddr* address, socklen_t* length) {
  return fails("socket", EMFILE) ? -1 : REAL(accept)(fd, address, length);
}
int accept4(int fd, struct sockaddr* address, socklen_t* length, int flags) {
  return fails("socket", EMFILE) ? -1 : REAL(accept4)(fd, address, length, flags);
}

pid_t fork(void) { return fails("fork", EAGAIN) ? -1 : REAL(fork)(); }
int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[], char* const environment[]) {
  return fails("fork", EAGAIN) ? EAGAIN : REAL(posix_spawn)(pid, path, actions, attributes, arguments, environment);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument) {
  return fails("pthread_create", EAGAIN) ? EAGAIN : REAL(pthread_create)(thread, attributes, body, argument);
}

ssize_t write(int fd, const void* bytes, size_t count) {
  return fails("write", ENOSPC) ? -1 : syscall(SYS_write, fd, bytes, count);
}
ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  return fails("write", ENOSPC) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) { return pwrite(fd, bytes, count, offset); }

int eventfd(unsigned count, int flags) { return fails("descriptor", EMFILE) ? -1 : REAL(eventfd)(count, flags); }
int signalfd(int fd, const sigset_t* set, int flags) {
  return fails("descriptor", EMFILE) ? -1 : REAL(signalfd)(fd, set, flags);
}
int timerfd_create(int clock, int flags) {
  return fails("descriptor", EMFILE) ? -1 : REAL(timerfd_create)(clock, flags);
}
int epoll_create(int size) { return fails("descriptor", EMFILE) ? -1 : REAL(epoll_create)(size); }
int epoll_create1(int flags) { return fails("descriptor", EMFILE) ? -1 : REAL(epoll_create1)(flags); }
int epoll_ctl(int fd, int what, int other, struct epoll_event* event) {
  return fails("descriptor", ENOSPC) ? -1 : REAL(epoll_ctl)(fd, what, other, event);
}
int memfd_create(const char* name, unsigned flags) {
  return fails("descriptor", EMFILE) ? -1 : REAL(memfd_create)(name, flags);
}

// The C library's own are called by these names, since dlsym allocates.
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) { return fails("malloc", ENOMEM) ? NULL : __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) { return fails("malloc", ENOMEM) ? NULL : __libc_calloc(count, bytes); }
void* realloc(void* old, size_t bytes) { return fails("malloc", ENOMEM) ? NULL : __libc_realloc(old, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) {
  return fails("malloc", ENOMEM) ? NULL : __libc_memalign(alignment, bytes);
}
