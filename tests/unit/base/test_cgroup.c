/* src/base/cgroup: limits of the process' own groups, of every level above, in both versions, over folders made up
 * here. */
#include "base/cgroup.h"
#include <cmocka.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], own[96];

/* Writes a file under the root, making the folders above it. */
static void put(const char *path, const char *text) {
  char whole[400];
  snprintf(whole, sizeof whole, "%s/%s", root, path);
  for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
    *p = 0;
    mkdir(whole, 0700);
    *p = '/';
  }
  FILE *f = fopen(whole, "w");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
}

static void expect(uint64_t memory, int64_t milli) {
  const struct tr_cgroup_limits l = tr_cgroup_read(own, root);
  assert_int_equal(l.memory_bytes, memory);
  assert_int_equal(l.milli_cpus, milli);
}

static int setup(void **state) {
  (void)state;
  strcpy(root, "/tmp/tr_cgroup_XXXXXX");
  if (!mkdtemp(root)) return 1;
  snprintf(own, sizeof own, "%s/own", root);
  return 0;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at) {
  (void)st, (void)type, (void)at;
  return remove(path);
}

static int teardown(void **state) {
  (void)state;
  return nftw(root, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void nothing_limits_nothing(void **state) {
  (void)state;
  expect(0, 0);
  put("own", "0::/a/b\n");
  put("a/b/memory.max", "max\n");
  put("a/b/cpu.max", "max 100000\n");
  expect(0, 0);
  put("own", "no such line\n1:\n:::\n0::\n");
  expect(0, 0);
}

static void version_two(void **state) {
  (void)state;
  put("own", "0::/a/b/c\n");
  put("a/memory.max", "1000000\n");
  expect(1000000, 0);
  put("a/b/c/memory.max", "3000000\n");
  put("a/b/cpu.max", "150000 100000\n");
  expect(1000000, 1500);
  put("a/b/c/memory.max", "500000\n");
  put("a/b/c/cpu.max", "33333 100000\n");
  expect(500000, 334);
  put("memory.max", "400\n");
  expect(400, 334);
  put("other/memory.max", "1\n"); /* not ours */
  expect(400, 334);
}

static void version_one(void **state) {
  (void)state;
  put("own", "4:memory:/job/1\n3:cpu,cpuacct:/job/2\n1:name=systemd:/x\n0::/\n");
  put("memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("memory/job/1/memory.limit_in_bytes", "7000000\n");
  put("cpu,cpuacct/job/2/cpu.cfs_quota_us", "-1\n");
  put("cpu,cpuacct/job/2/cpu.cfs_period_us", "100000\n");
  expect(7000000, 0);
  put("cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
  put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  expect(7000000, 2500);
  put("memory/job/memory.limit_in_bytes", "6000000\n");
  expect(6000000, 2500);
}

/* A container sees its own group as the root of what is mounted, under a path that is not there. */
static void paths_that_are_not_mounted(void **state) {
  (void)state;
  put("own", "5:memory:/docker/0123\n4:cpu:/docker/0123\n0::/../../outside\n");
  put("memory/memory.limit_in_bytes", "800000\n");
  put("cpu/cpu.cfs_quota_us", "100000\n");
  put("cpu/cpu.cfs_period_us", "100000\n");
  expect(800000, 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_limits_nothing, setup, teardown),
      cmocka_unit_test_setup_teardown(version_two, setup, teardown),
      cmocka_unit_test_setup_teardown(version_one, setup, teardown),
      cmocka_unit_test_setup_teardown(paths_that_are_not_mounted, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
