/* db-benchmark's group-by questions on the kernels alone: 1e7 rows in memory, id1..id3 dictionary-coded, no missing
 * values, dropna=False and sort=False, as the benchmark asks. Prints the best of `repeats` for 1 thread and for all
 * cores: numbering, aggregates, and both, and the processor time of both (on a busy machine the honest figure). Check
 * sums are compared with what the same data gives by a plain loop.
 *
 * From the root: meson setup build -Dpython=false && ninja -C build && cc -O3 -std=gnu17 -D_GNU_SOURCE -Isrc
 *   bench/kernels/bench_group.c -o bench_group build/src/data/kern/group/libtr_kern_group.a
 * build/src/data/kern/take/libtr_kern_take.a build/src/data/col/libtr_col.a build/src/meta/type/libtr_type.a
 * build/src/base/libtr_base.a -lpthread -lm Usage: bench_group [rows] [repeats]
 */
#include "data/kern/group/group.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum column { ID1, ID2, ID3, ID4, ID5, ID6, V1, V2, V3, N_COLUMNS };
static struct tr_array *columns[N_COLUMNS];
static struct tr_error err;

static void must(enum tr_status st, const char *what) {
  if (st == TR_OK) return;
  fprintf(stderr, "%s: %s\n", what, err.text);
  exit(1);
}
static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static uint64_t random_below(uint64_t *s, uint64_t n) {
  *s = *s * 6364136223846793005ull + 1442695040888963407ull;
  return (uint64_t)((__uint128_t)*s * n >> 64);
}

/* Codes in order of first appearance, as a reader of Parquet makes them. */
static struct tr_array *text_column(const char *format, int64_t n, int64_t card, uint64_t *seed) {
  struct tr_text_builder b;
  struct tr_array *dict, *a;
  int32_t *code_of = malloc((size_t)card * 4), next = 0, *codes = malloc((size_t)n * 4);
  memset(code_of, 0xff, (size_t)card * 4);
  must(tr_text_builder_init(&b, card, &err), "dictionary");
  for (int64_t i = 0; i < n; i++) {
    int64_t v = (int64_t)random_below(seed, (uint64_t)card);
    if (code_of[v] < 0) {
      char text[32];
      int size = snprintf(text, sizeof text, format, (int)v + 1);
      must(tr_text_builder_add(&b, text, size, &err), "dictionary");
      code_of[v] = next++;
    }
    codes[i] = code_of[v];
  }
  must(tr_text_builder_finish(&b, &dict, &err), "dictionary");
  must(tr_array_new_dict(tr_dtype_of(TR_STR), n, dict, &a, &err), "codes");
  memcpy(a->data->data, codes, (size_t)n * 4);
  a->null_count = 0;
  tr_array_unref(dict);
  free(code_of);
  free(codes);
  return a;
}
static struct tr_array *int_column(int64_t n, int64_t card, uint64_t *seed) {
  struct tr_array *a;
  must(tr_array_new(tr_dtype_of(TR_I64), n, &a, &err), "ints");
  for (int64_t i = 0; i < n; i++) ((int64_t *)a->data->data)[i] = 1 + (int64_t)random_below(seed, (uint64_t)card);
  a->null_count = 0;
  return a;
}
static struct tr_array *float_column(int64_t n, uint64_t *seed) {
  struct tr_array *a;
  must(tr_array_new(tr_dtype_of(TR_F64), n, &a, &err), "floats");
  for (int64_t i = 0; i < n; i++) ((double *)a->data->data)[i] = (double)random_below(seed, 100000000) / 1e6;
  a->null_count = 0;
  return a;
}

static const struct question {
  const char *name;
  int n_keys, keys[6], n_aggs;
  struct {
    enum tr_agg fn;
    int input, input2;
  } aggs[3];
} questions[] = {
    {"q1", 1, {ID1}, 1, {{TR_AGG_SUM, V1, 0}}},
    {"q2", 2, {ID1, ID2}, 1, {{TR_AGG_SUM, V1, 0}}},
    {"q3", 1, {ID3}, 2, {{TR_AGG_SUM, V1, 0}, {TR_AGG_MEAN, V3, 0}}},
    {"q4", 1, {ID4}, 3, {{TR_AGG_MEAN, V1, 0}, {TR_AGG_MEAN, V2, 0}, {TR_AGG_MEAN, V3, 0}}},
    {"q5", 1, {ID6}, 3, {{TR_AGG_SUM, V1, 0}, {TR_AGG_SUM, V2, 0}, {TR_AGG_SUM, V3, 0}}},
    {"q6", 2, {ID4, ID5}, 2, {{TR_AGG_MEDIAN, V3, 0}, {TR_AGG_STD, V3, 0}}},
    {"q7", 1, {ID3}, 2, {{TR_AGG_MAX, V1, 0}, {TR_AGG_MIN, V2, 0}}},
    {"q9", 2, {ID2, ID4}, 1, {{TR_AGG_CORR, V1, V2}}},
    {"q10", 6, {ID1, ID2, ID3, ID4, ID5, ID6}, 2, {{TR_AGG_SUM, V3, 0}, {TR_AGG_SIZE, V1, 0}}},
};

/* The first sum of a question must be that of the whole column. */
static void check(const struct question *q, struct tr_array *out, int64_t n) {
  if (q->aggs[0].fn != TR_AGG_SUM) return;
  double total = 0, whole = 0;
  bool floating = out->dtype.kind == TR_F64;
  const struct tr_array *in = columns[q->aggs[0].input];
  for (int64_t i = 0; i < out->length; i++)
    total += floating ? ((double *)tr_array_data(out))[i] : (double)((int64_t *)tr_array_data(out))[i];
  for (int64_t i = 0; i < n; i++)
    whole += floating ? ((double *)tr_array_data(in))[i] : (double)((int64_t *)tr_array_data(in))[i];
  if (!(total - whole <= 1e-9 * whole && whole - total <= 1e-9 * whole))
    printf("  WRONG: %.17g, not %.17g\n", total, whole);
}

static void ask(struct tr_ctx *ctx, const struct question *q, int64_t n, int repeats) {
  struct tr_array *keys[6], *out[3];
  struct tr_agg_spec specs[3];
  double best = 1e9, best_group = 0, best_cpu = 1e9;
  int64_t n_groups = 0;
  for (int k = 0; k < q->n_keys; k++) keys[k] = columns[q->keys[k]];
  for (int k = 0; k < q->n_aggs; k++) {
    bool corr = q->aggs[k].fn == TR_AGG_CORR, size = q->aggs[k].fn == TR_AGG_SIZE;
    specs[k] = (struct tr_agg_spec){.fn = q->aggs[k].fn,
                                    .input = size ? NULL : columns[q->aggs[k].input],
                                    .input2 = corr ? columns[q->aggs[k].input2] : NULL,
                                    .skipna = true,
                                    .param = q->aggs[k].fn == TR_AGG_STD};
  }
  for (int r = 0; r < repeats; r++) {
    struct tr_groups g;
    double c0 = now(CLOCK_PROCESS_CPUTIME_ID), t0 = now(CLOCK_MONOTONIC);
    must(tr_groups_make(ctx, keys, q->n_keys, n, false, false, &g, &err), q->name);
    double t1 = now(CLOCK_MONOTONIC);
    must(tr_agg_run(ctx, &g, specs, q->n_aggs, false, out, &err), q->name);
    double t2 = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID) - c0;
    if (t2 - t0 < best) {
      best = t2 - t0;
      best_group = t1 - t0;
    }
    if (cpu < best_cpu) best_cpu = cpu;
    n_groups = g.n_groups;
    if (r == 0) check(q, out[0], n);
    for (int k = 0; k < q->n_aggs; k++) tr_array_unref(out[k]);
    tr_groups_drop(&g);
  }
  printf("%-4s %2d threads  %9lld groups  numbering %.4f  aggregates %.4f  both %.4f s  (processor %.4f)\n", q->name,
         ctx->threads, (long long)n_groups, best_group, best - best_group, best, best_cpu);
}

int main(int argc, char **argv) {
  int64_t n = argc > 1 ? (int64_t)atof(argv[1]) : 10000000, k = 100;
  int repeats = argc > 2 ? atoi(argv[2]) : 5;
  uint64_t seed = 1;
  if (n < 1000) n = 1000;
  columns[ID1] = text_column("id%03d", n, k, &seed);
  columns[ID2] = text_column("id%03d", n, k, &seed);
  columns[ID3] = text_column("id%010d", n, n / k, &seed);
  columns[ID4] = int_column(n, k, &seed);
  columns[ID5] = int_column(n, k, &seed);
  columns[ID6] = int_column(n, n / k, &seed);
  columns[V1] = int_column(n, 5, &seed);
  columns[V2] = int_column(n, 15, &seed);
  columns[V3] = float_column(n, &seed);
  struct tr_ctx ctx;
  tr_ctx_init(&ctx);
  int cores = ctx.threads;
  for (size_t q = 0; q < sizeof questions / sizeof *questions; q++) {
    for (int t = 1; t <= cores; t = t < cores ? cores : cores + 1) {
      ctx.threads = t;
      ask(&ctx, &questions[q], n, repeats);
    }
  }
  for (int c = 0; c < N_COLUMNS; c++) tr_array_unref(columns[c]);
  return 0;
}
