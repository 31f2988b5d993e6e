/* Reading control groups: see cgroup.h. Inside a container the path that the kernel tells may not be mounted; then the
 * levels that are there, at least the root, are what is read. */
#include "base/cgroup.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

/* First line of a file; false when there is none. */
static bool read_line(const char *folder, const char *name, char *line, int size) {
  char path[PATH_BYTES + 64];
  if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return false;
  FILE *f = fopen(path, "re");
  if (!f) return false;
  bool got = fgets(line, size, f) != NULL;
  fclose(f);
  return got;
}

/* "max", -1 and nonsense are 0. */
static int64_t number(const char *s, char **end) {
  int64_t v = strtoll(s, end, 10);
  return v > 0 ? v : 0;
}

static void least_memory(struct tr_cgroup_limits *l, int64_t bytes) {
  if (bytes > 0 && (!l->memory_bytes || (uint64_t)bytes < l->memory_bytes)) l->memory_bytes = (uint64_t)bytes;
}

static void least_cpus(struct tr_cgroup_limits *l, int64_t quota_us, int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0 || quota_us > INT64_MAX / 2000 || period_us > INT64_MAX / 2) return;
  int64_t milli = (quota_us * 1000 + period_us - 1) / period_us;
  if (!l->milli_cpus || milli < l->milli_cpus) l->milli_cpus = milli;
}

/* One level, whichever version's files it has. */
static void read_level(const char *folder, struct tr_cgroup_limits *l) {
  char line[128], other[128], *end;
  if (read_line(folder, "memory.max", line, sizeof line)) least_memory(l, number(line, NULL));
  if (read_line(folder, "memory.limit_in_bytes", line, sizeof line)) least_memory(l, number(line, NULL));
  if (read_line(folder, "cpu.max", line, sizeof line)) { /* "quota period" */
    int64_t quota = number(line, &end);
    least_cpus(l, quota, number(end, NULL));
  }
  if (read_line(folder, "cpu.cfs_quota_us", line, sizeof line) &&
      read_line(folder, "cpu.cfs_period_us", other, sizeof other))
    least_cpus(l, number(line, NULL), number(other, NULL));
}

/* root/mount/path and every level above it down to root/mount. */
static void read_levels(const char *root, const char *mount, const char *path, struct tr_cgroup_limits *l) {
  char folder[PATH_BYTES];
  int n = snprintf(folder, sizeof folder, "%s%s%s", root, *mount ? "/" : "", mount), base = n;
  if (n < 0 || n >= PATH_BYTES) return;
  if (!strstr(path, "..")) { /* a group outside what is mounted here */
    n += snprintf(folder + n, sizeof folder - (size_t)n, "%s%s", *path == '/' ? "" : "/", path);
    if (n >= PATH_BYTES) n = base;
    folder[n] = 0;
  }
  for (;;) {
    while (n > base && folder[n - 1] == '/') folder[--n] = 0;
    read_level(folder, l);
    if (n <= base) return;
    while (n > base && folder[n - 1] != '/') folder[--n] = 0;
  }
}

/* "hierarchy:controllers:path"; version 2 has hierarchy 0 and no controllers. */
static void read_entry(char *line, const char *root, struct tr_cgroup_limits *l) {
  char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
  if (!path) return;
  *path++ = 0;
  controllers++;
  path[strcspn(path, "\n")] = 0;
  if (!*controllers) {
    read_levels(root, "", path, l);
    read_levels(root, "unified", path, l);
    return;
  }
  bool wanted = false;
  char copy[256], *rest;
  snprintf(copy, sizeof copy, "%s", controllers);
  for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
    if (strcmp(name, "memory") != 0 && strcmp(name, "cpu") != 0) continue;
    read_levels(root, name, path, l); /* a link to the common mount, where there is one */
    wanted = true;
  }
  if (wanted) read_levels(root, controllers, path, l);
}

struct tr_cgroup_limits tr_cgroup_read(const char *own, const char *root) {
  struct tr_cgroup_limits l = {0};
  char line[PATH_BYTES];
  if (!root) root = "/sys/fs/cgroup";
  read_levels(root, "", "", &l);
  read_levels(root, "memory", "", &l);
  read_levels(root, "cpu", "", &l);
  FILE *f = fopen(own ? own : "/proc/self/cgroup", "re");
  if (!f) return l;
  while (fgets(line, sizeof line, f)) read_entry(line, root, &l);
  fclose(f);
  return l;
}
