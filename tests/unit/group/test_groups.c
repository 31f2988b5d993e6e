/* tr_groups_make against a quadratic oracle: every way of numbering, key kind, order and treatment of missing keys,
 * with one row a morsel and with all hashes equal; and with every allocation failing in turn. */
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAX_KEYS = 4 };

/* -1, 0, 1 as pandas orders values; missing last. */
static int compare(const struct tr_array *a, int64_t i, int64_t j) {
  if (a->enc == TR_DICT) {
    int32_t x = tr_array_codes(a)[i], y = tr_array_codes(a)[j];
    if (x < 0 || y < 0) return (x < 0) - (y < 0);
    if (a->dtype.kind == TR_CATEGORY) return (x > y) - (x < y);
    int c = tr_view_cmp(a->dict, &tr_array_views(a->dict)[x], a->dict, &tr_array_views(a->dict)[y]);
    return (c > 0) - (c < 0);
  }
  if (a->dtype.kind == TR_STR) {
    const struct tr_view *x = &tr_array_views(a)[i], *y = &tr_array_views(a)[j];
    if (x->size < 0 || y->size < 0) return (x->size < 0) - (y->size < 0);
    int c = tr_view_cmp(a, x, a, y);
    return (c > 0) - (c < 0);
  }
  if (a->dtype.kind == TR_F64) {
    double x = ((const double *)tr_array_data(a))[i], y = ((const double *)tr_array_data(a))[j];
    if (x != x || y != y) return (x != x) - (y != y);
    return (x > y) - (x < y);
  }
  int64_t x = ((const int64_t *)tr_array_data(a))[i], y = ((const int64_t *)tr_array_data(a))[j];
  if (a->dtype.kind == TR_DATETIME && (x == TR_NAT || y == TR_NAT)) return (x == TR_NAT) - (y == TR_NAT);
  return (x > y) - (x < y);
}
static bool missing(const struct tr_array *a, int64_t i) {
  if (a->enc == TR_DICT) return tr_array_codes(a)[i] < 0;
  if (a->dtype.kind == TR_STR) return tr_array_views(a)[i].size < 0;
  if (a->dtype.kind == TR_F64) return isnan(((const double *)tr_array_data(a))[i]);
  return a->dtype.kind == TR_DATETIME && ((const int64_t *)tr_array_data(a))[i] == TR_NAT;
}
static int compare_rows(struct tr_array *const *keys, int n_keys, int64_t i, int64_t j) {
  for (int k = 0; k < n_keys; k++) {
    int c = compare(keys[k], i, j);
    if (c) return c;
  }
  return 0;
}

/* Checks ids and first rows against the definition. */
static void check(struct tr_array *const *keys, int n_keys, int64_t n, bool sort, bool dropna,
                  const struct tr_groups *g) {
  const uint32_t *ids = (const uint32_t *)g->ids->data, *first = (const uint32_t *)g->first_row->data;
  bool dropped = false;
  assert_int_equal(g->n_rows, n);
  for (int64_t i = 0; i < n; i++) {
    bool drop = false;
    for (int k = 0; k < n_keys; k++) drop |= dropna && missing(keys[k], i);
    dropped |= drop;
    if (drop) {
      assert_int_equal(ids[i], TR_NO_GROUP);
      continue;
    }
    assert_in_range(ids[i], 0, g->n_groups - 1);
    assert_true(first[ids[i]] <= i);
    assert_int_equal(compare_rows(keys, n_keys, i, first[ids[i]]), 0);
  }
  assert_int_equal(g->has_dropped, dropped);
  for (int64_t k = 0; k < g->n_groups; k++) {
    assert_int_equal(ids[first[k]], k);
    if (k == 0) continue;
    if (sort) assert_int_equal(compare_rows(keys, n_keys, first[k - 1], first[k]), -1);
    else assert_true(first[k - 1] < first[k]);
  }
  if (sort) return; /* ascending groups differ; in order of appearance each must still differ from all before */
  for (int64_t k = 0; k < g->n_groups && g->n_groups < 400; k++) {
    for (int64_t m = 0; m < k; m++) assert_int_not_equal(compare_rows(keys, n_keys, first[k], first[m]), 0);
  }
}

static const char *const words[] = {"",
                                    "a",
                                    "b",
                                    "exactly 12 by",
                                    "a text longer than twelve bytes",
                                    "a text longer than twelve bytez",
                                    "\xc3\xa9t\xc3\xa9",
                                    "\xe6\x97\xa5\xe6\x9c\xac",
                                    "zz",
                                    "A"};
enum { N_WORDS = 10, N_FORMS = 9 };

static struct tr_array *column(struct tr_ctx *ctx, int form, int64_t n, int64_t card, uint64_t *seed) {
  int64_t *v = malloc(sizeof *v * (size_t)(n + 1));
  double *f = malloc(sizeof *f * (size_t)(n + 1));
  const char **t = malloc(sizeof *t * (size_t)(n + 1));
  int32_t *c = malloc(sizeof *c * (size_t)(n + 1));
  char *space = malloc(24 * (size_t)(n + 1));
  for (int64_t i = 0; i < n; i++) {
    int64_t r = (int64_t)(fx_random(seed) % (uint64_t)card);
    v[i] = form == 1 ? (int64_t)((uint64_t)r * 0x9e3779b97f4a7c15ull) : r - card / 2;
    if (form == 1 && r < 2) v[i] = r ? INT64_MAX : INT64_MIN;
    if (form == 3 && r % 5 == 0) v[i] = TR_NAT;
    f[i] = r % 7 == 0 ? (r % 2 ? 0.0 : -0.0) : r % 7 == 1 ? NAN : r % 7 == 2 ? INFINITY : (double)r * 0.1;
    c[i] = (int32_t)(r % (N_WORDS + 1)) - 1;
    t[i] = c[i] < 0 ? NULL : words[c[i]];
    if (form == 8 && r % 9)
      t[i] = strcpy(space + 24 * i, ""),
      snprintf(space + 24 * i, 24, "%s%d", r % 2 ? "long long prefix " : "", (int)(r % 100000));
  }
  struct tr_array *a;
  switch (form) {
  case 0:
  case 1: a = fx_i64(v, n); break;
  case 2: a = fx_f64(f, n); break;
  case 3: a = fx_fixed(tr_dtype_unit(TR_DATETIME, TR_NS), v, n); break;
  case 4: a = fx_dict(tr_dtype_of(TR_STR), c, n, words, N_WORDS); break;
  case 5: a = fx_dict(tr_dtype_of(TR_CATEGORY), c, n, words, N_WORDS); break;
  case 6:
    for (int64_t i = 0; i < n; i++) c[i] = c[i] < 0 ? 0 : c[i];
    a = fx_dict(tr_dtype_of(TR_STR), c, n, words, N_WORDS);
    break;
  default: a = fx_text(t, n);
  }
  free(v);
  free(f);
  free(t);
  free(c);
  free(space);
  return seed && fx_random(seed) % 3 == 0 ? fx_sliced(ctx, a) : a;
}

static void trial(struct tr_ctx *ctx, int64_t n, int n_keys, uint64_t *seed) {
  struct tr_array *keys[MAX_KEYS];
  const int64_t cards[] = {1, 3, 40, n + 1, 1 << 30};
  for (int k = 0; k < n_keys; k++)
    keys[k] = column(ctx, (int)(fx_random(seed) % N_FORMS), n, cards[fx_random(seed) % 5], seed);
  for (int mode = 0; mode < 4; mode++) {
    struct tr_groups g;
    OK(tr_groups_make(ctx, keys, n_keys, n, mode & 1, mode & 2, &g, &fx_err));
    check(keys, n_keys, n, mode & 1, mode & 2, &g);
    tr_groups_drop(&g);
  }
  for (int k = 0; k < n_keys; k++) tr_array_unref(keys[k]);
}

static void random_keys(void **state) {
  (void)state;
  uint64_t seed = 1;
  const int64_t sizes[] = {0, 1, 2, 7, 60, 300, 2500};
  for (int round = 0; round < 400; round++) {
    struct tr_ctx ctx;
    int64_t n = sizes[fx_random(&seed) % 7];
    bool zero = n <= 60 && fx_random(&seed) % 2;
    fx_ctx(&ctx, 1 + (int)(fx_random(&seed) % 3), n <= 300 && fx_random(&seed) % 2 ? 1 : TR_MORSEL_ROWS, zero);
    trial(&ctx, n, 1 + (int)(fx_random(&seed) % MAX_KEYS), &seed);
  }
  assert_int_equal(tr_mem_used(), 0);
}

/* Enough rows that several threads take part and tables overflow into partitions. */
static void many_rows(void **state) {
  (void)state;
  uint64_t seed = 7;
  for (int form = 0; form < N_FORMS; form++) {
    enum { N = 150000 };
    struct tr_ctx ctx;
    fx_ctx(&ctx, 2, TR_MORSEL_ROWS, false);
    struct tr_array *a = column(&ctx, form, N, 60000, &seed);
    for (int mode = 0; mode < 4; mode++) {
      struct tr_groups one, two;
      ctx.threads = 2;
      OK(tr_groups_make(&ctx, &a, 1, N, mode & 1, mode & 2, &two, &fx_err));
      check(&a, 1, N, mode & 1, mode & 2, &two);
      ctx.threads = 1;
      OK(tr_groups_make(&ctx, &a, 1, N, mode & 1, mode & 2, &one, &fx_err));
      assert_int_equal(one.n_groups, two.n_groups);
      assert_memory_equal(one.ids->data, two.ids->data, N * 4);
      tr_groups_drop(&one);
      tr_groups_drop(&two);
    }
    tr_array_unref(a);
  }
  assert_int_equal(tr_mem_used(), 0);
}

static void allocations_fail(void **state) {
  (void)state;
  for (int form = 0; form < N_FORMS; form++) {
    uint64_t seed = (uint64_t)form + 100;
    struct tr_ctx ctx;
    fx_ctx(&ctx, 2, TR_MORSEL_ROWS, false);
    enum { N = 20000 };
    struct tr_array *keys[2] = {column(&ctx, form, N, N, &seed), column(&ctx, 1, N, N, &seed)};
    size_t before = tr_mem_used();
    for (int64_t k = 1;; k++) {
      struct tr_groups g;
      tr_mem_fail_at(k);
      enum tr_status st = tr_groups_make(&ctx, keys, 2, N, true, true, &g, &fx_err);
      tr_mem_fail_at(0);
      if (st == TR_OK) tr_groups_drop(&g);
      assert_int_equal(tr_mem_used(), before);
      if (st == TR_OK) break;
      assert_int_equal(fx_err.exc, TR_EXC_MEMORY);
    }
    tr_array_unref(keys[0]);
    tr_array_unref(keys[1]);
  }
}

static void cancelled(void **state) {
  (void)state;
  struct tr_ctx ctx;
  fx_ctx(&ctx, 2, TR_MORSEL_ROWS, false);
  int64_t v[4] = {1, 2, 1, 3};
  struct tr_array *a = fx_i64(v, 4);
  struct tr_groups g;
  tr_ctx_cancel(&ctx);
  assert_int_equal(tr_groups_make(&ctx, &a, 1, 4, true, true, &g, &fx_err), TR_CANCELLED);
  tr_array_unref(a);
  assert_int_equal(tr_mem_used(), 0);
}

static void duplicated(void **state) {
  (void)state;
  struct tr_ctx ctx;
  fx_ctx(&ctx, 2, 1, false);
  int64_t v[6] = {1, 2, 1, 3, 2, 1};
  const uint8_t expected[3][6] = {{0, 0, 1, 0, 1, 1}, {1, 1, 1, 0, 0, 0}, {1, 1, 1, 0, 1, 1}};
  struct tr_array *a = fx_i64(v, 6), *out;
  for (int keep = 0; keep < 3; keep++) {
    OK(tr_groups_duplicated(&ctx, &a, 1, 6, keep, &out, &fx_err));
    assert_memory_equal(tr_array_data(out), expected[keep], 6);
    tr_array_unref(out);
  }
  tr_array_unref(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_keys), cmocka_unit_test(many_rows),
                                     cmocka_unit_test(allocations_fail), cmocka_unit_test(cancelled),
                                     cmocka_unit_test(duplicated)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
