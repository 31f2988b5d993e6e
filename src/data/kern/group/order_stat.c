/* Aggregates that want the values of a group side by side: median, quantile, skew, and mean and spread of times (where
 * pandas' own order of operations decides the last bits of an integer).
 */
#include "data/kern/group/agg_int.h"
#include <math.h>

/* Moves values below p to the front of a[lo..hi); gives where the others begin. */
static int64_t partition_below(double *a, int64_t lo, int64_t hi, double p) {
  int64_t j = lo;
  for (int64_t i = lo; i < hi; i++) {
    double x = a[i];
    a[i] = a[j];
    a[j] = x;
    j += x < p;
  }
  return j;
}
static int64_t partition_upto(double *a, int64_t lo, int64_t hi, double p) {
  int64_t j = lo;
  for (int64_t i = lo; i < hi; i++) {
    double x = a[i];
    a[i] = a[j];
    a[j] = x;
    j += x <= p;
  }
  return j;
}
static double middle(double a, double b, double c) {
  double lo = a < b ? a : b, hi = a < b ? b : a;
  return c < lo ? lo : c > hi ? hi : c;
}
static void sort_few(double *a, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    double x = a[i];
    int64_t j = i;
    for (; j > 0 && a[j - 1] > x; j--) a[j] = a[j - 1];
    a[j] = x;
  }
}

/* Puts the k-th smallest of n values (no NaN) at a[k]; those before are <=, those after >=. */
static void select_kth(double *a, int64_t n, int64_t k) {
  int64_t lo = 0, hi = n;
  uint64_t random = 0x9e3779b97f4a7c15ull;
  while (hi - lo > 16) {
    int64_t size = hi - lo;
    double p[3];
    for (int t = 0; t < 3; t++) {
      random = random * 6364136223846793005ull + 1442695040888963407ull;
      int64_t at = lo + (int64_t)((random >> 33) % (uint64_t)(size - 2));
      p[t] = size > 512 ? middle(a[at], a[at + 1], a[at + 2]) : a[at];
    }
    double pivot = middle(p[0], p[1], p[2]);
    int64_t below = partition_below(a, lo, hi, pivot);
    if (k < below) {
      hi = below;
      continue;
    }
    if (below > lo + size / 8) { /* progress enough: equal values stay in the upper part */
      lo = below;
      continue;
    }
    int64_t upto = partition_upto(a, below, hi, pivot);
    if (k < upto) return;
    lo = upto;
  }
  sort_few(a + lo, hi - lo);
}

static int64_t drop_missing(double *a, int64_t n) {
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    a[k] = a[i];
    k += a[i] == a[i];
  }
  return k;
}

static double median_of(double *a, int64_t n) {
  if (n == 0) return NAN;
  select_kth(a, n, n / 2);
  double upper = a[n / 2], lower = a[0];
  if (n % 2) return upper;
  for (int64_t i = 1; i < n / 2; i++) lower = a[i] > lower ? a[i] : lower;
  return (upper + lower) / 2;
}

/* Linear interpolation as pandas' group_quantile, or as numpy's percentile when whole. */
static double quantile_of(double *a, int64_t n, double q, bool whole) {
  if (n == 0) return NAN;
  double at = q * (double)(n - 1);
  int64_t k = (int64_t)at;
  double part = at - (double)k;
  select_kth(a, n, k);
  if (part == 0.0 && !whole) return a[k];
  double next = k + 1 < n ? a[k + 1] : a[k];
  for (int64_t i = k + 2; i < n; i++) next = a[i] < next ? a[i] : next;
  double gap = next - a[k];
  return whole && part >= 0.5 ? next - gap * (1 - part) : a[k] + gap * part;
}

/* Running moments, as pandas computes skew. */
static double skew_of(const double *a, int64_t n) {
  double count = 0, mean = 0, m2 = 0, m3 = 0;
  for (int64_t i = 0; i < n; i++) {
    if (a[i] != a[i]) continue;
    double delta = a[i] - mean;
    count += 1;
    double step = delta / count, term = delta * step * (count - 1.0);
    m3 += step * (term * (count - 2.0) - 3.0 * m2);
    m2 += term;
    mean += step;
  }
  if (count < 3) return NAN;
  return m3 / (m2 * sqrt(m2)) * (count * sqrt(count - 1.0) / (count - 2.0));
}

/* Kahan sum in row order, as pandas' group_mean. */
static double kahan_mean(const double *a, int64_t n) {
  double sum = 0, lost = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    if (a[i] != a[i]) continue;
    double y = a[i] - lost, t = sum + y;
    lost = t - sum - y;
    if (lost != lost) lost = 0;
    sum = t;
    count++;
  }
  return count ? sum / (double)count : NAN;
}

/* Sum of 8,192-value stretches, each pairwise: how numpy sums integers as doubles. */
static double numpy_pairwise(const double *a, int64_t n) {
  if (n < 8) {
    double sum = -0.0;
    for (int64_t i = 0; i < n; i++) sum += a[i];
    return sum;
  }
  if (n > 128) {
    int64_t half = n / 2 / 8 * 8;
    return numpy_pairwise(a, half) + numpy_pairwise(a + half, n - half);
  }
  double r[8];
  int64_t i = 8;
  for (int k = 0; k < 8; k++) r[k] = a[k];
  for (; i + 8 <= n; i += 8) {
    for (int k = 0; k < 8; k++) r[k] += a[i + k];
  }
  double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  for (; i < n; i++) sum += a[i];
  return sum;
}
static double numpy_mean(double *a, int64_t n) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    count += a[i] == a[i];
    a[i] = a[i] == a[i] ? a[i] : 0.0;
  }
  for (int64_t b = 0; b < n; b += 8192) sum += numpy_pairwise(a + b, n - b < 8192 ? n - b : 8192);
  return count ? sum / (double)count : NAN;
}

/* Welford in row order, as pandas' group_var; two passes when whole, as nanops. */
static double variance_of(double *a, int64_t n, int64_t ddof, bool whole, int64_t *count_out) {
  n = drop_missing(a, n);
  *count_out = n;
  if (n <= ddof) return NAN;
  double mean = 0, m2 = 0;
  if (whole) {
    mean = numpy_pairwise(a, n) / (double)n;
    for (int64_t i = 0; i < n; i++) a[i] = (mean - a[i]) * (mean - a[i]);
    return numpy_pairwise(a, n) / (double)(n - ddof);
  }
  for (int64_t i = 0; i < n; i++) {
    double old = mean;
    mean += (a[i] - old) / (double)(i + 1);
    m2 += (a[i] - mean) * (a[i] - old);
  }
  return m2 / (double)(n - ddof);
}

struct by_segment {
  const struct tr_agg_spec *spec;
  bool whole;
  const int64_t *start;
  double *values, *out;
};

static enum tr_status segments(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct by_segment *s = arg;
  for (int64_t g = begin; g < end; g++) {
    double *a = s->values + s->start[g];
    int64_t n = s->start[g + 1] - s->start[g], count;
    switch (s->spec->fn) {
    case TR_AGG_MEDIAN: s->out[g] = median_of(a, drop_missing(a, n)); break;
    case TR_AGG_QUANTILE: s->out[g] = quantile_of(a, drop_missing(a, n), s->spec->q, s->whole); break;
    case TR_AGG_SKEW: s->out[g] = skew_of(a, n); break;
    case TR_AGG_MEAN: s->out[g] = s->whole ? numpy_mean(a, n) : kahan_mean(a, n); break;
    case TR_AGG_STD: s->out[g] = sqrt(variance_of(a, n, s->spec->param, s->whole, &count)); break;
    default: /* SEM */
      s->out[g] = variance_of(a, n, s->spec->param, s->whole, &count);
      s->out[g] = sqrt(s->out[g] / (double)count);
    }
  }
  return TR_OK;
}

enum tr_status tr_agg_by_segment(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_agg_spec *spec,
                                 bool whole, double *out, struct tr_error *err) {
  int64_t *start = NULL;
  double *values = NULL;
  size_t start_bytes = ((size_t)g->n_groups + 1) * 8, bytes = (size_t)g->n_rows * 8;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc(start_bytes, (void **)&start, err));
  TR_GOTO(st, tr_mem_alloc(bytes, (void **)&values, err));
  TR_GOTO(st, tr_segments_values(ctx, g, start, spec->input, values, err));
  struct by_segment s = {spec, whole, start, values, out};
  int64_t grain = g->n_groups / (ctx->threads * 16) + 1;
  st = tr_parallel_for(ctx, g->n_groups, grain < 4096 ? grain : 4096, segments, &s, err);
done:
  tr_mem_free(start, start_bytes);
  tr_mem_free(values, bytes);
  return st;
}
