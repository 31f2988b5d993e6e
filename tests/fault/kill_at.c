/* Preloaded into a daemon: ends it, as SIGKILL does, at the n-th call of one function of the C library. KILL_AT is
 * "function:n:before" or "function:n:after"; with a path's part behind, "link:1:after:/commit/", only calls that name
 * such a path are counted. These are the steps by which something becomes visible to others: files get names (link,
 * rename), a database is on disk (fdatasync, fsync), bytes leave for another process (send, sendmsg). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static _Atomic int calls;

/* 1 = before, 2 = after, 0 = not this call. */
static int due(const char *function, const char *path) {
  char name[20], when[20], part[100] = "";
  int n = 0;
  const char *rule = getenv("KILL_AT");
  if (!rule || sscanf(rule, "%19[^:]:%d:%19[^:]:%99s", name, &n, when, part) < 3) return 0;
  if (strcmp(name, function) != 0 || (*part && !(path && strstr(path, part)))) return 0;
  return atomic_fetch_add(&calls, 1) + 1 != n ? 0 : strcmp(when, "before") == 0 ? 1 : 2;
}

static void end_here(void) { kill(getpid(), SIGKILL); }

#define KILLED(result, name, path, parameters, arguments) \
  result name parameters {                                \
    result(*real) parameters = dlsym(RTLD_NEXT, #name);   \
    int when = due(#name, path);                          \
    if (when == 1) end_here();                            \
    result out = real arguments;                          \
    if (when == 2) end_here();                            \
    return out;                                           \
  }

KILLED(int, link, to, (const char *from, const char *to), (from, to))
KILLED(int, rename, to, (const char *from, const char *to), (from, to))
KILLED(int, fdatasync, NULL, (int fd), (fd))
KILLED(int, fsync, NULL, (int fd), (fd))
KILLED(ssize_t, send, NULL, (int fd, const void *data, size_t n, int flags), (fd, data, n, flags))
KILLED(ssize_t, sendmsg, NULL, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
KILLED(ssize_t, pwrite64, NULL, (int fd, const void *data, size_t n, off64_t at), (fd, data, n, at))
