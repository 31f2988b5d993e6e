/* Times of the sort, gather and join kernels on the db-benchmark's tables, without the engine around them: what a query
 * cannot be faster than. usage: kernels [rows] [threads] [substring of the names to run]. Best of 3; seconds. */
#include "base/hash.h"
#include "base/mem.h"
#include "data/kern/join/join.h"
#include "data/kern/sort/sort.h"
#include "data/kern/take/take.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct tr_ctx ctx;
static struct tr_error err;
static const char *only;

static double clock_of(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void) { return clock_of(CLOCK_MONOTONIC); }

/* Processor seconds of all threads: what a wall clock would show on `threads` idle cores is about this over `threads`. */
static double cpu(void) { return clock_of(CLOCK_PROCESS_CPUTIME_ID); }

static void ok(enum tr_status st) {
  if (st == TR_OK) return;
  fprintf(stderr, "failed: %s\n", err.text);
  exit(1);
}

static uint64_t random_at(int64_t i, int salt) { return tr_hash_u64((uint64_t)i * 64 + (uint64_t)salt + 1); }

/* Uniform integers low .. low + range - 1 as int64. */
static struct tr_array *ints(int64_t n, int salt, int64_t low, int64_t range) {
  struct tr_array *a;
  ok(tr_array_new(tr_dtype_of(TR_I64), n, &a, &err));
  int64_t *v = tr_array_data(a);
  for (int64_t i = 0; i < n; i++) v[i] = low + (int64_t)(random_at(i, salt) % (uint64_t)range);
  return a;
}

static struct tr_array *floats(int64_t n, int salt) {
  struct tr_array *a;
  ok(tr_array_new(tr_dtype_of(TR_F64), n, &a, &err));
  double *v = tr_array_data(a);
  for (int64_t i = 0; i < n; i++) v[i] = (double)(random_at(i, salt) % 100000000) / 1e6;
  return a;
}

/* 0 .. n-1 in random order, times `scale`. */
static struct tr_array *permutation(int64_t n, int salt, int64_t scale) {
  struct tr_array *a;
  ok(tr_array_new(tr_dtype_of(TR_I64), n, &a, &err));
  int64_t *v = tr_array_data(a);
  for (int64_t i = 0; i < n; i++) v[i] = i * scale;
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = (int64_t)(random_at(i, salt) % (uint64_t)(i + 1)), x = v[i];
    v[i] = v[j];
    v[j] = x;
  }
  return a;
}

static struct tr_array *texts_of(int64_t n, const int64_t *numbers, const char *format) {
  struct tr_text_builder b;
  struct tr_array *a;
  char s[40];
  ok(tr_text_builder_init(&b, n, &err));
  for (int64_t i = 0; i < n; i++) {
    int size = snprintf(s, sizeof s, format, (long long)(numbers ? numbers[i] : i + 1));
    ok(tr_text_builder_add(&b, s, size, &err));
  }
  ok(tr_text_builder_finish(&b, &a, &err));
  return a;
}

/* Codes into a dictionary of `distinct` texts in random order, as a reader gives them. */
static struct tr_array *dictionary(int64_t n, int salt, int64_t distinct, const char *format) {
  struct tr_array *order = permutation(distinct, salt, 1), *dict = texts_of(distinct, tr_array_data(order), format), *a;
  ok(tr_array_new_dict(tr_dtype_of(TR_STR), n, dict, &a, &err));
  int32_t *c = tr_array_data(a);
  for (int64_t i = 0; i < n; i++) c[i] = (int32_t)(random_at(i, salt) % (uint64_t)distinct);
  a->null_count = 0;
  tr_array_unref(order);
  tr_array_unref(dict);
  return a;
}

static void report(const char *name, double best_make, double best_all, double best_cpu, int64_t rows) {
  printf("%-44s rows %.3f  all %.3f  cpu of all %.3f  (%lld rows out)\n", name, best_make, best_all, best_cpu, (long long)rows);
  fflush(stdout);
}

static bool wanted(const char *name) { return !only || strstr(name, only); }

static void sort_case(const char *name, const struct tr_sort_key *keys, int n_keys, struct tr_array **cols, int n_cols) {
  double best[3] = {1e9, 1e9, 1e9};
  if (!wanted(name)) return;
  for (int k = 0; k < 3; k++) {
    struct tr_buffer *rows;
    struct tr_array *out[16];
    double t0 = now(), c0 = cpu();
    ok(tr_sort_rows(&ctx, keys, n_keys, cols[0]->length, false, &rows, &err));
    double t1 = now();
    ok(tr_take_many(&ctx, cols, n_cols, (uint32_t *)rows->data, cols[0]->length, false, out, &err));
    double t2 = now();
    best[0] = t1 - t0 < best[0] ? t1 - t0 : best[0];
    best[1] = t2 - t0 < best[1] ? t2 - t0 : best[1];
    best[2] = cpu() - c0 < best[2] ? cpu() - c0 : best[2];
    for (int c = 0; c < n_cols; c++) tr_array_unref(out[c]);
    tr_buffer_unref(rows);
  }
  report(name, best[0], best[1], best[2], cols[0]->length);
}

static void top_case(const char *name, const struct tr_sort_key *keys, int n_keys, int64_t n, int64_t k) {
  double best = 1e9, best_cpu = 1e9;
  int64_t n_out = 0;
  if (!wanted(name)) return;
  for (int r = 0; r < 3; r++) {
    struct tr_buffer *rows;
    double t0 = now(), c0 = cpu();
    ok(tr_sort_top(&ctx, keys, n_keys, n, k, false, &rows, &n_out, &err));
    best = now() - t0 < best ? now() - t0 : best;
    best_cpu = cpu() - c0 < best_cpu ? cpu() - c0 : best_cpu;
    tr_buffer_unref(rows);
  }
  report(name, best, best, best_cpu, n_out);
}

struct side { struct tr_array **keys, **cols; int n_cols; int64_t n; };

static void gather_side(struct side s, const struct tr_buffer *rows, int64_t n, bool missing, struct tr_array **out) {
  if (rows) ok(tr_take_many(&ctx, s.cols, s.n_cols, (const uint32_t *)rows->data, n, missing, out, &err));
  for (int c = 0; c < s.n_cols && !rows; c++) out[c] = tr_array_ref(s.cols[c]);
}

static void join_case(const char *name, enum tr_join_how how, struct side l, struct side r, int n_keys) {
  double best[3] = {1e9, 1e9, 1e9};
  int64_t n_out = 0;
  if (!wanted(name)) return;
  for (int k = 0; k < 3; k++) {
    struct tr_join_rows pairs;
    struct tr_array *out[32];
    double t0 = now(), c0 = cpu();
    ok(tr_join_make(&ctx, l.keys, l.n, r.keys, r.n, n_keys, how, false, &pairs, &err));
    double t1 = now();
    gather_side(l, pairs.left, pairs.n, pairs.left_missing, out);
    gather_side(r, pairs.right, pairs.n, pairs.right_missing, out + l.n_cols);
    double t2 = now();
    best[0] = t1 - t0 < best[0] ? t1 - t0 : best[0];
    best[1] = t2 - t0 < best[1] ? t2 - t0 : best[1];
    best[2] = cpu() - c0 < best[2] ? cpu() - c0 : best[2];
    for (int c = 0; c < l.n_cols + r.n_cols; c++) tr_array_unref(out[c]);
    n_out = pairs.n;
    tr_join_rows_drop(&pairs);
  }
  report(name, best[0], best[1], best[2], n_out);
}

static void bench_sorts(int64_t n) {
  struct tr_array *t[] = {dictionary(n, 1, 100, "id%03lld"), dictionary(n, 2, 100, "id%03lld"),
                          dictionary(n, 3, n / 100, "id%010lld"), ints(n, 4, 1, 100), ints(n, 5, 1, 100),
                          ints(n, 6, 1, n / 100), ints(n, 7, 1, 5), ints(n, 8, 1, 15), floats(n, 9)};
  struct tr_array *plain, *times = ints(n, 10, 1500000000000000000, 100000000000000000);
  sort_case("sort v3 (float)", &(struct tr_sort_key){t[8]}, 1, t, 9);
  sort_case("sort id3 (text, dictionary)", &(struct tr_sort_key){t[2]}, 1, t, 9);
  sort_case("sort id6, v1 desc", (struct tr_sort_key[]){{t[5]}, {t[6], true}}, 2, t, 9);
  sort_case("sort v1 (5 values)", &(struct tr_sort_key){t[6]}, 1, t, 9);
  sort_case("sort times (ns)", &(struct tr_sort_key){times}, 1, t, 9);
  sort_case("sort id1..id6, v3", (struct tr_sort_key[]){{t[0]}, {t[1]}, {t[2]}, {t[3]}, {t[4]}, {t[5]}, {t[8]}}, 7, t, 9);
  top_case("top 10 v3 desc", &(struct tr_sort_key){t[8], true}, 1, n, 10);
  top_case("top 1000 id6, v3", (struct tr_sort_key[]){{t[5]}, {t[8]}}, 2, n, 1000);
  if (wanted("sort id3 (text, plain)")) {
    ok(tr_array_decode(&ctx, t[2], &plain, &err));
    sort_case("sort id3 (text, plain)", &(struct tr_sort_key){plain}, 1, t, 9);
    tr_array_unref(plain);
  }
  for (int c = 0; c < 9; c++) tr_array_unref(t[c]);
  tr_array_unref(times);
}

/* Keys of which 90 % lie on both sides: left 0 .. n-1, right n/10 .. n/10 + m - 1, all times scale. */
static struct tr_array *shifted(struct tr_array *a, int64_t by) {
  int64_t *v = tr_array_data(a);
  for (int64_t i = 0; i < a->length; i++) v[i] += by;
  return a;
}

static void bench_joins(int64_t n) {
  int64_t m = n / 1000, s = n / 1000000 ? n / 1000000 : 1;
  struct tr_array *l[] = {ints(n, 1, 1, s * 10 / 9 + 1), ints(n, 2, 1, m * 10 / 9), shifted(permutation(n, 3, 1), 1),
                          dictionary(n, 4, s, "id%lld"), dictionary(n, 5, m * 10 / 9, "id%lld"),
                          dictionary(n, 6, n, "id%lld"), floats(n, 7)};
  struct tr_array *rm[] = {ints(m, 11, 1, s), shifted(permutation(m, 12, 1), 1), dictionary(m, 14, s, "id%lld"),
                           texts_of(m, NULL, "id%lld"), floats(m, 17)};
  struct tr_array *rb[] = {ints(n, 21, 1, s), ints(n, 22, 1, m), shifted(permutation(n, 23, 1), n / 10),
                           dictionary(n, 24, s, "id%lld"), dictionary(n, 25, m, "id%lld"), dictionary(n, 26, n, "id%lld"),
                           floats(n, 27)};
  struct tr_array *wide_l = permutation(n, 31, 1000003), *wide_r = permutation(n, 32, 1000003), *rm_text;
  ok(tr_array_encode(&ctx, rm[3], m, &rm_text, &err));
  join_case("j2 inner medium on int", TR_JOIN_INNER, (struct side){&l[1], l, 7, n}, (struct side){&rm[1], rm, 5, m}, 1);
  join_case("j3 left medium on int", TR_JOIN_LEFT, (struct side){&l[1], l, 7, n}, (struct side){&rm[1], rm, 5, m}, 1);
  join_case("j4 inner medium on text", TR_JOIN_INNER, (struct side){&l[4], l, 7, n}, (struct side){&rm_text, rm, 5, m}, 1);
  join_case("j5 inner big on int", TR_JOIN_INNER, (struct side){&l[2], l, 7, n}, (struct side){&rb[2], rb, 7, n}, 1);
  join_case("inner big on sparse int", TR_JOIN_INNER, (struct side){&wide_l, l, 7, n}, (struct side){&wide_r, rb, 7, n}, 1);
  join_case("left big on sparse int", TR_JOIN_LEFT, (struct side){&wide_l, l, 7, n}, (struct side){&wide_r, rb, 7, n}, 1);
  struct tr_array *two_l[] = {l[2], l[0]}, *two_r[] = {rb[2], rb[0]};
  join_case("inner big on two ints", TR_JOIN_INNER, (struct side){two_l, l, 7, n}, (struct side){two_r, rb, 7, n}, 2);
  join_case("inner big on text (dictionaries)", TR_JOIN_INNER, (struct side){&l[5], l, 7, n}, (struct side){&rb[5], rb, 7, n}, 1);
  join_case("inner big, 1000 per key, other side distinct", TR_JOIN_INNER, (struct side){&rm[1], rm, 5, m},
            (struct side){&l[1], l, 7, n}, 1);
  join_case("outer medium on int", TR_JOIN_OUTER, (struct side){&l[1], l, 1, n}, (struct side){&rm[1], rm, 5, m}, 1);
  join_case("semi medium on int", TR_JOIN_SEMI, (struct side){&l[1], l, 0, n}, (struct side){&rm[1], rm, 0, m}, 1);
  for (int c = 0; c < 7; c++) tr_array_unref(l[c]), tr_array_unref(rb[c]);
  for (int c = 0; c < 5; c++) tr_array_unref(rm[c]);
  tr_array_unref(wide_l);
  tr_array_unref(wide_r);
  tr_array_unref(rm_text);
}

int main(int argc, char **argv) {
  int64_t n = argc > 1 ? atoll(argv[1]) : 10000000;
  tr_ctx_init(&ctx);
  if (argc > 2) ctx.threads = atoi(argv[2]);
  if (argc > 3) only = argv[3];
  printf("%lld rows, %d threads; seconds for the row numbers, and with all columns gathered\n", (long long)n, ctx.threads);
  if (!only || strstr(only, "sort") || strstr(only, "top")) bench_sorts(n);
  if (!only || !(strstr(only, "sort") || strstr(only, "top"))) bench_joins(n);
  return 0;
}
