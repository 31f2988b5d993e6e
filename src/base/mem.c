/* The budgeted allocator: see mem.h for the contract.
 *
 * Large blocks are rounded up to a size class (eight per power of two) and come from mmap with
 * MADV_HUGEPAGE; freed ones go to their class's free list. Free lists may hold at most a quarter of the
 * budget, and never more than what is left of it beside the memory in use: past that blocks are unmapped.
 * The lock is held across fork, so a child finds the lists whole. Under AddressSanitizer cached blocks and the
 * slack of a size class are poisoned, so that recycling hides no use after free and no overflow.
 */
#include "base/mem.h"
#include "base/cgroup.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* gcc defines it by itself, clang does not */
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define poison(p, size)   __asan_poison_memory_region((p), (size))
#define unpoison(p, size) __asan_unpoison_memory_region((p), (size))
#else
#define poison(p, size)   ((void)(p), (void)(size))
#define unpoison(p, size) ((void)(p), (void)(size))
#endif

enum { LARGE_MIN = 1 << 20, N_CLASSES = 512, TAIL = 64 };
#define HUGE_PAGE ((size_t)2 << 20)

struct free_block {
  struct free_block *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct free_block *free_lists[N_CLASSES];
static size_t cached_bytes;
static _Atomic size_t used, peak, budget;
static _Atomic int64_t fail_at;

/* Bytes of "1500000", "1.5G", "300MB", "64KiB" (also T, either case); 0 for anything else. strtod would read the
 * decimal point of the user's locale. */
static size_t parse_bytes(const char *s) {
  static const char units[] = "kmgt";
  double v = 0, place = 1;
  const char *begin = s;
  for (; *s >= '0' && *s <= '9'; s++) v = v * 10 + (*s - '0');
  if (*s == '.') {
    for (s++; *s >= '0' && *s <= '9'; s++) v += (*s - '0') * (place /= 10);
  }
  if (s == begin) return 0;
  const char *unit = *s ? strchr(units, *s | 32) : NULL;
  if (unit) {
    v *= (double)((uint64_t)1 << (10 * (unit - units + 1)));
    s++;
    if ((*s | 32) == 'i' && (s[1] | 32) == 'b') s++;
    if ((*s | 32) == 'b') s++;
  }
  return *s || v > 0x1p60 ? 0 : (size_t)v;
}

static size_t default_budget(void) {
  const char *env = getenv("TERALITY_MEMORY_BUDGET");
  size_t asked = env ? parse_bytes(env) : 0;
  if (asked) return asked;
  size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
  const uint64_t group = tr_cgroup_read(NULL, NULL).memory_bytes;
  if (group && group < machine) machine = (size_t)group;
  return machine / 10 * 6;
}

enum tr_status tr_mem_check_environment(struct tr_error *err) {
  const char *env = getenv("TERALITY_MEMORY_BUDGET");
  if (!env || !*env || parse_bytes(env)) return TR_OK;
  return tr_fail(err, TR_EXC_VALUE, "TERALITY_MEMORY_BUDGET='%.100s': expected a number of bytes such as 1500000000, "
                                    "300M or 1.5G", env);
}

size_t tr_mem_budget(void) {
  size_t b = atomic_load(&budget);
  if (!b) {
    b = default_budget();
    atomic_store(&budget, b);
  }
  return b;
}

void tr_mem_set_budget(size_t bytes) { atomic_store(&budget, bytes ? bytes : default_budget()); }
size_t tr_mem_used(void) { return atomic_load(&used); }
size_t tr_mem_peak(void) { return atomic_load(&peak); }
void tr_mem_reset_peak(void) { atomic_store(&peak, atomic_load(&used)); }
void tr_mem_fail_at(int64_t n) { atomic_store(&fail_at, n); }

static void raise_peak(size_t now) {
  size_t p = atomic_load_explicit(&peak, memory_order_relaxed);
  while (now > p && !atomic_compare_exchange_weak(&peak, &p, now)) {}
}

void tr_mem_account(int64_t bytes) { raise_peak(atomic_fetch_add(&used, (size_t)bytes) + (size_t)bytes); }

static bool planned_failure(void) {
  return atomic_load_explicit(&fail_at, memory_order_relaxed) > 0 && atomic_fetch_sub(&fail_at, 1) == 1;
}

/* Size class of a large block: eight steps per power of two. *size is rounded up to the class's size. */
static int class_of(size_t *size) {
  size_t s = *size;
  int e = 63 - __builtin_clzll(s);
  size_t step = (size_t)1 << (e - 3);
  s = (s + step - 1) & ~(step - 1);
  e = 63 - __builtin_clzll(s);
  *size = s;
  return (e << 3) + (int)((s >> (e - 3)) & 7);
}

static void *map_huge(size_t size) {
  size_t want = size + HUGE_PAGE;
  char *p = mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  char *a = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
  if (a > p) munmap(p, (size_t)(a - p));
  size_t keep = (size + 4095) & ~(size_t)4095;
  char *end = a + keep;
  if (end < p + want) munmap(end, (size_t)(p + want - end));
  madvise(a, keep, MADV_HUGEPAGE);
  return a;
}

static void unmap(void *p, size_t size) {
  unpoison(p, size);
  munmap(p, (size + 4095) & ~(size_t)4095);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void register_fork(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static void lock_lists(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, register_fork);
  pthread_mutex_lock(&lock);
}

static void *pop_cached(int c, size_t size) {
  lock_lists();
  struct free_block *b = free_lists[c];
  if (b) {
    unpoison(b, size);
    free_lists[c] = b->next;
    cached_bytes -= size;
  }
  bool crowded = !b && cached_bytes > 0 && atomic_load(&used) + cached_bytes > tr_mem_budget();
  pthread_mutex_unlock(&lock);
  if (crowded) tr_mem_trim();
  return b;
}

static void *large_alloc(size_t bytes) {
  size_t size = bytes;
  int c = class_of(&size);
  void *p = pop_cached(c, size);
  if (!p) p = map_huge(size);
  if (!p) {
    tr_mem_trim();
    p = map_huge(size);
  }
  if (p) poison((char *)p + bytes, size - bytes);
  return p;
}

static void large_free(void *p, size_t size) {
  int c = class_of(&size);
  size_t limit = tr_mem_budget();
  lock_lists();
  bool keep = cached_bytes + size <= limit / 4 && atomic_load(&used) + cached_bytes + size <= limit;
  if (keep) {
    struct free_block *b = p;
    unpoison(b, sizeof *b);
    b->next = free_lists[c];
    free_lists[c] = b;
    cached_bytes += size;
    poison(p, size);
  }
  pthread_mutex_unlock(&lock);
  if (!keep) unmap(p, size);
}

void tr_mem_trim(void) {
  lock_lists();
  for (int c = 0; c < N_CLASSES; c++) {
    size_t size = ((size_t)8 + (size_t)(c & 7)) << ((c >> 3) >= 3 ? (c >> 3) - 3 : 0);
    while (free_lists[c]) {
      struct free_block *b = free_lists[c];
      unpoison(b, sizeof *b);
      free_lists[c] = b->next;
      unmap(b, size);
    }
  }
  cached_bytes = 0;
  pthread_mutex_unlock(&lock);
}

enum tr_status tr_mem_alloc(size_t bytes, void **out, struct tr_error *err) {
  *out = NULL;
  if (bytes > (size_t)1 << 46 || planned_failure()) return tr_fail_memory(err, bytes);
  size_t now = atomic_fetch_add(&used, bytes) + bytes;
  if (now > tr_mem_budget()) {
    atomic_fetch_sub(&used, bytes);
    return tr_fail_memory(err, bytes);
  }
  void *p;
  if (bytes >= LARGE_MIN) p = large_alloc(bytes + TAIL);
  else p = aligned_alloc(64, (bytes + TAIL + 63) & ~(size_t)63);
  if (!p) {
    atomic_fetch_sub(&used, bytes);
    return tr_fail_memory(err, bytes);
  }
  raise_peak(now);
  *out = p;
  return TR_OK;
}

enum tr_status tr_mem_calloc(size_t bytes, void **out, struct tr_error *err) {
  TR_TRY(tr_mem_alloc(bytes, out, err));
  memset(*out, 0, bytes + TAIL);
  return TR_OK;
}

enum tr_status tr_mem_realloc(void **ptr, size_t old_bytes, size_t new_bytes, struct tr_error *err) {
  void *fresh;
  TR_TRY(tr_mem_alloc(new_bytes, &fresh, err));
  if (*ptr) memcpy(fresh, *ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
  tr_mem_free(*ptr, old_bytes);
  *ptr = fresh;
  return TR_OK;
}

void tr_mem_free(void *ptr, size_t bytes) {
  if (!ptr) return;
  atomic_fetch_sub(&used, bytes);
  if (bytes >= LARGE_MIN) large_free(ptr, bytes + TAIL);
  else free(ptr);
}
