/* What the control groups of this process allow it: memory and processor time. A container or a service manager sets
 * limits at any level above the process, so every level from its own group up to the root counts; the least wins.
 * Versions 1 and 2 of the interface, and both at once. What cannot be read limits nothing. */
#pragma once
#include <stdint.h>

struct tr_cgroup_limits {
  uint64_t memory_bytes; /* 0 = no limit */
  int64_t milli_cpus;    /* thousandths of a core, rounded up; 0 = no limit */
};

/* own: what /proc/self/cgroup says; root: where the groups are mounted, /sys/fs/cgroup. NULL = those. */
struct tr_cgroup_limits tr_cgroup_read(const char *own, const char *root);
