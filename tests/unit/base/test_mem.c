/* src/base/mem: the budget holds, blocks are recycled and given back, planned failures hit the right call, and
 * a child made by fork can allocate whatever its parent's threads were doing. */
#include "base/mem.h"
#include "base/pool.h"
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static int fresh_budget(void **state) {
  (void)state;
  tr_mem_trim();
  tr_mem_fail_at(0);
  tr_mem_set_budget(256 * MIB);
  return 0;
}

static void *must_alloc(size_t bytes) {
  void *p;
  assert_int_equal(tr_mem_alloc(bytes, &p, NULL), TR_OK);
  return p;
}

static void *filled(size_t bytes) {
  void *p = must_alloc(bytes);
  memset(p, 1, bytes);
  return p;
}

static void aligned_with_readable_tail(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, MIB - 1, MIB, MIB + 1, 3 * MIB + 7};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    unsigned char *p = must_alloc(sizes[i]);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(p, 7, sizes[i]);
    volatile unsigned sum = 0;
    for (size_t k = 0; k < 64; k++) sum += p[sizes[i] + k];
    tr_mem_free(p, sizes[i]);
  }
  assert_int_equal(tr_mem_used(), 0);
}

static void calloc_is_zero_also_when_recycled(void **state) {
  (void)state;
  unsigned char *p = must_alloc(2 * MIB);
  memset(p, 0xff, 2 * MIB);
  tr_mem_free(p, 2 * MIB);
  void *q;
  assert_int_equal(tr_mem_calloc(2 * MIB, &q, NULL), TR_OK);
  for (size_t i = 0; i < 2 * MIB; i++) {
    if (((unsigned char *)q)[i]) fail_msg("byte %zu is not zero", i);
  }
  tr_mem_free(q, 2 * MIB);
}

static void realloc_keeps_content(void **state) {
  (void)state;
  static const size_t sizes[] = {10, 1000, 2 * MIB, 5 * MIB, 300, 0};
  void *p = NULL;
  size_t old = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_int_equal(tr_mem_realloc(&p, old, sizes[i], NULL), TR_OK);
    size_t kept = old < sizes[i] ? old : sizes[i];
    for (size_t k = 0; k < kept; k++) assert_int_equal(((unsigned char *)p)[k], (unsigned char)(k * 31));
    for (size_t k = kept; k < sizes[i]; k++) ((unsigned char *)p)[k] = (unsigned char)(k * 31);
    old = sizes[i];
  }
  tr_mem_free(p, old);
  assert_int_equal(tr_mem_used(), 0);
}

static void failed_realloc_leaves_block(void **state) {
  (void)state;
  void *p = must_alloc(100), *before = p;
  memset(p, 3, 100);
  struct tr_error err;
  assert_int_equal(tr_mem_realloc(&p, 100, 1000 * MIB, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_MEMORY);
  assert_ptr_equal(p, before);
  assert_int_equal(tr_mem_used(), 100);
  tr_mem_free(p, 100);
}

static void budget_is_kept(void **state) {
  (void)state;
  struct tr_error err;
  void *a = must_alloc(200 * MIB), *b;
  assert_int_equal(tr_mem_alloc(57 * MIB, &b, &err), TR_ERROR);
  assert_null(b);
  assert_int_equal(err.exc, TR_EXC_MEMORY);
  assert_non_null(strstr(err.text, "59768832 bytes"));
  assert_int_equal(tr_mem_used(), 200 * MIB);
  b = must_alloc(56 * MIB);
  tr_mem_free(a, 200 * MIB);
  tr_mem_free(b, 56 * MIB);
  assert_int_equal(tr_mem_alloc(SIZE_MAX - 8, &b, &err), TR_ERROR);
  assert_int_equal(tr_mem_used(), 0);
}

static void foreign_memory_counts(void **state) {
  (void)state;
  void *p;
  tr_mem_account(250 * (int64_t)MIB);
  assert_int_equal(tr_mem_alloc(7 * MIB, &p, NULL), TR_ERROR);
  tr_mem_account(-250 * (int64_t)MIB);
  assert_int_equal(tr_mem_used(), 0);
  tr_mem_free(must_alloc(7 * MIB), 7 * MIB);
}

static void peak_is_a_high_water_mark(void **state) {
  (void)state;
  tr_mem_reset_peak();
  tr_mem_free(must_alloc(9 * MIB), 9 * MIB);
  tr_mem_free(must_alloc(4 * MIB), 4 * MIB);
  assert_int_equal(tr_mem_peak(), 9 * MIB);
  tr_mem_reset_peak();
  assert_int_equal(tr_mem_peak(), 0);
}

static void budget_from_environment(void **state) {
  (void)state;
  struct tr_error err;
  static const struct {
    const char *text;
    size_t bytes;
  } cases[] = {{"1500000", 1500000},
               {"300M", 300 * MIB},
               {"1.5g", 1536 * MIB},
               {"0.25G", 256 * MIB},
               {"64k", 65536},
               {"1T", MIB * MIB},
               {"5GB", 5120 * MIB},
               {"3mib", 3 * MIB},
               {"7.", 7}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    setenv("TERALITY_MEMORY_BUDGET", cases[i].text, 1);
    tr_mem_set_budget(0);
    assert_int_equal(tr_mem_budget(), cases[i].bytes);
    assert_int_equal(tr_mem_check_environment(&err), TR_OK);
  }
  unsetenv("TERALITY_MEMORY_BUDGET");
  tr_mem_set_budget(0);
  size_t usual = tr_mem_budget();
  assert_true(usual > 16 * MIB);
  static const char *const wrong[] = {"", "abc", "-5", "12Q", "5GX", "5Gi", "B", "G", "1e9", "99999999999999T"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    setenv("TERALITY_MEMORY_BUDGET", wrong[i], 1);
    tr_mem_set_budget(0);
    assert_int_equal(tr_mem_budget(), usual);
    if (!*wrong[i]) continue; /* as good as not set */
    assert_int_equal(tr_mem_check_environment(&err), TR_ERROR);
    assert_int_equal(err.exc, TR_EXC_VALUE);
    assert_non_null(strstr(err.text, "TERALITY_MEMORY_BUDGET='"));
  }
  unsetenv("TERALITY_MEMORY_BUDGET");
}

static void large_blocks_are_recycled(void **state) {
  (void)state;
  void *p = must_alloc(8 * MIB);
  tr_mem_free(p, 8 * MIB);
  void *q = must_alloc(8 * MIB);
  assert_ptr_equal(p, q);
  /* A slightly smaller block of the same size class is served by it too. */
  tr_mem_free(q, 8 * MIB);
  q = must_alloc(8 * MIB - 1);
  assert_ptr_equal(p, q);
  tr_mem_free(q, 8 * MIB - 1);
}

/* Skips the test where the sanitizer's shadow memory would be counted. */
static size_t resident_bytes(void) {
#ifdef __SANITIZE_THREAD__
  print_message("resident memory holds the sanitizer's shadow: skipped\n");
  skip();
#endif
  FILE *f = fopen("/proc/self/statm", "r");
  unsigned long total = 0, resident = 0;
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
  fclose(f);
  return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void cache_is_bounded_and_trimmed(void **state) {
  (void)state;
  enum { N = 10 };
  void *p[N];
  size_t before = resident_bytes();
  for (int i = 0; i < N; i++) p[i] = filled(20 * MIB);
  for (int i = 0; i < N; i++) tr_mem_free(p[i], 20 * MIB);
  /* At most a quarter of the 256 MiB budget stays mapped. Sanitizers keep shadow memory besides. */
  assert_true(resident_bytes() < before + (64 + 40) * MIB);
  tr_mem_trim();
  assert_true(resident_bytes() < before + 40 * MIB);
}

static void cache_makes_room_for_use(void **state) {
  (void)state;
  size_t before = resident_bytes();
  void *p = filled(50 * MIB);
  tr_mem_free(p, 50 * MIB);
  void *q = filled(230 * MIB);
  assert_true(resident_bytes() < before + (256 + 60) * MIB);
  tr_mem_free(q, 230 * MIB);
}

static void nth_allocation_fails(void **state) {
  (void)state;
  void *p;
  tr_mem_fail_at(3);
  tr_mem_free(must_alloc(5), 5);
  tr_mem_free(must_alloc(2 * MIB), 2 * MIB);
  struct tr_error err;
  assert_int_equal(tr_mem_alloc(5, &p, &err), TR_ERROR);
  assert_int_equal(err.exc, TR_EXC_MEMORY);
  tr_mem_free(must_alloc(5), 5);
  assert_int_equal(tr_mem_used(), 0);
}

static _Atomic bool stop_churn;

static void *churn(void *arg) {
  (void)arg;
  while (!atomic_load(&stop_churn)) {
    void *p;
    if (tr_mem_alloc(MIB, &p, NULL) == TR_OK) tr_mem_free(p, MIB);
  }
  return NULL;
}

static void child_can_allocate_after_fork(void **state) {
  (void)state;
  pthread_t threads[2];
  atomic_store(&stop_churn, false);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
  for (int i = 0; i < 40; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      alarm(120);
      void *p;
      if (tr_mem_alloc(MIB, &p, NULL) != TR_OK) _exit(1);
      tr_mem_free(p, MIB);
      _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
  }
  atomic_store(&stop_churn, true);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static enum tr_status alloc_some(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)arg;
  for (int64_t i = begin; i < end; i++) {
    size_t bytes = (size_t)(i % 5 == 0 ? (int64_t)MIB + i * 4096 : 100 + i);
    unsigned char *p;
    TR_TRY(tr_mem_alloc(bytes, (void **)&p, err));
    p[0] = p[bytes - 1] = (unsigned char)thread;
    bool mine = p[0] == thread && p[bytes - 1] == thread;
    tr_mem_free(p, bytes);
    if (!mine) return tr_fail(err, TR_EXC_RUNTIME, "block %lld is shared", (long long)i);
  }
  return TR_OK;
}

static void many_threads(void **state) {
  (void)state;
  struct tr_ctx ctx;
  tr_ctx_init(&ctx);
  ctx.threads = 4;
  struct tr_error err;
  assert_int_equal(tr_parallel_for(&ctx, 2000, 10, alloc_some, NULL, &err), TR_OK);
  assert_int_equal(tr_mem_used(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(aligned_with_readable_tail, fresh_budget),
      cmocka_unit_test_setup(calloc_is_zero_also_when_recycled, fresh_budget),
      cmocka_unit_test_setup(realloc_keeps_content, fresh_budget),
      cmocka_unit_test_setup(failed_realloc_leaves_block, fresh_budget),
      cmocka_unit_test_setup(budget_is_kept, fresh_budget),
      cmocka_unit_test_setup(foreign_memory_counts, fresh_budget),
      cmocka_unit_test_setup(peak_is_a_high_water_mark, fresh_budget),
      cmocka_unit_test_setup(budget_from_environment, fresh_budget),
      cmocka_unit_test_setup(large_blocks_are_recycled, fresh_budget),
      cmocka_unit_test_setup(cache_is_bounded_and_trimmed, fresh_budget),
      cmocka_unit_test_setup(cache_makes_room_for_use, fresh_budget),
      cmocka_unit_test_setup(nth_allocation_fails, fresh_budget),
      cmocka_unit_test_setup(child_can_allocate_after_fork, fresh_budget),
      cmocka_unit_test_setup(many_threads, fresh_budget),
  };
  return cmocka_run_group_tests_name("base/mem", tests, NULL, NULL);
}
