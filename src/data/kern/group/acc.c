/* Accumulators and the passes that fill them: see agg_int.h. */
#include "data/kern/group/agg_int.h"
#include <math.h>

enum { SPARE = 8 }; /* slots after a range that take the rows of other ranges, several to break dependency chains */

#define BLOCK_NAME     tr_block_f64
#define TO             double
#define ABSENT         NAN
#define UNSIGNED_64(v) ((double)(v))
#include "block.tmpl.h"
#define BLOCK_NAME     tr_block_i64
#define TO             int64_t
#define ABSENT         TR_NAT
#define UNSIGNED_64(v) ((int64_t)((v) ^ 0x8000000000000000ull))
#include "block.tmpl.h"

struct rows {
  const uint32_t *ids; /* of this block; NULL = all in slot 0 */
  int64_t begin;       /* row of the block's first */
  int n;
  uint32_t lo, width; /* groups served: [lo, lo + width) */
};

static inline uint32_t slot_of(const struct rows *r, int i) {
  uint32_t k = r->ids ? r->ids[i] - r->lo : 0;
  return k < r->width ? k : r->width + (uint32_t)(i & (SPARE - 1));
}

static void add_size(const struct rows *r, uint32_t *acc) {
  if (!r->ids) acc[0] += (uint32_t)r->n;
  else
    for (int i = 0; i < r->n; i++) acc[slot_of(r, i)]++;
}
static void add_count(const struct rows *r, const double *x, uint32_t *acc) {
  for (int i = 0; i < r->n; i++) acc[slot_of(r, i)] += x[i] == x[i];
}
static void add_sum_i(const struct rows *r, const int64_t *x, bool can_miss, uint64_t *acc) {
  if (can_miss) {
    for (int i = 0; i < r->n; i++) acc[slot_of(r, i)] += x[i] == TR_NAT ? 0 : (uint64_t)x[i];
  } else if (!r->ids) {
    uint64_t sum = 0;
    for (int i = 0; i < r->n; i++) sum += (uint64_t)x[i];
    acc[0] += sum;
  } else {
    for (int i = 0; i < r->n; i++) acc[slot_of(r, i)] += (uint64_t)x[i];
  }
}
static void add_prod_i(const struct rows *r, const int64_t *x, uint64_t *acc) {
  for (int i = 0; i < r->n; i++) acc[slot_of(r, i)] *= (uint64_t)x[i];
}
/* Eight interleaved sums, merged in order: vectorises, and is fixed. */
static void add_sum_all(const double *x, int n, struct tr_acc_f *acc) {
  double s[8] = {0};
  int64_t c[8] = {0}, count = 0;
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int k = 0; k < 8; k++) {
      bool ok = x[i + k] == x[i + k];
      s[k] += ok ? x[i + k] : 0.0;
      c[k] += ok;
    }
  }
  for (; i < n; i++) {
    bool ok = x[i] == x[i];
    s[0] += ok ? x[i] : 0.0;
    c[0] += ok;
  }
  for (int k = 0; k < 8; k++) count += c[k];
  acc->sum += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  acc->n += count;
}
static void add_sum_f(const struct rows *r, const double *x, struct tr_acc_f *acc) {
  if (!r->ids) {
    add_sum_all(x, r->n, acc);
    return;
  }
  for (int i = 0; i < r->n; i++) {
    struct tr_acc_f *a = &acc[slot_of(r, i)];
    bool ok = x[i] == x[i];
    a->sum += ok ? x[i] : 0.0;
    a->n += ok;
  }
}
static void add_prod_f(const struct rows *r, const double *x, struct tr_acc_f *acc) {
  for (int i = 0; i < r->n; i++) {
    struct tr_acc_f *a = &acc[slot_of(r, i)];
    bool ok = x[i] == x[i];
    a->sum *= ok ? x[i] : 1.0;
    a->n += ok;
  }
}
static void add_squares_all(const double *x, int n, double mean, struct tr_acc_squares *acc) {
  double s[8] = {0}, s2[8] = {0};
  for (int i = 0; i < n; i += 8) {
    for (int k = 0; k < 8; k++) {
      double v = i + k < n ? x[i + k] : NAN, d = v == v ? v - mean : 0.0;
      s[k] += d;
      s2[k] += d * d;
    }
  }
  acc->d += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  acc->d2 += ((s2[0] + s2[1]) + (s2[2] + s2[3])) + ((s2[4] + s2[5]) + (s2[6] + s2[7]));
}
static void add_squares(const struct rows *r, const double *x, const double *mean, struct tr_acc_squares *acc) {
  if (!r->ids) {
    add_squares_all(x, r->n, mean[0], acc);
    return;
  }
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    double d = k < r->width && x[i] == x[i] ? x[i] - mean[r->lo + k] : 0.0;
    acc[k].d += d;
    acc[k].d2 += d * d;
  }
}
static void add_min_i(const struct rows *r, const int64_t *x, bool can_miss, int64_t *acc) {
  uint64_t one = can_miss; /* a missing value is smallest: one less wraps it to largest */
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    int64_t v = (int64_t)((uint64_t)x[i] - one);
    acc[k] = v < acc[k] ? v : acc[k];
  }
}
static void add_max_i(const struct rows *r, const int64_t *x, int64_t *acc) {
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    acc[k] = x[i] > acc[k] ? x[i] : acc[k];
  }
}
static void add_min_f(const struct rows *r, const double *x, double *acc) {
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    acc[k] = x[i] < acc[k] ? x[i] : acc[k];
  }
}
static void add_max_f(const struct rows *r, const double *x, double *acc) {
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    acc[k] = x[i] > acc[k] ? x[i] : acc[k];
  }
}
static void add_arg_i(const struct rows *r, const int64_t *x, bool can_miss, bool max, struct tr_acc_arg_i *acc) {
  for (int i = 0; i < r->n; i++) {
    struct tr_acc_arg_i *a = &acc[slot_of(r, i)];
    if (can_miss && x[i] == TR_NAT) continue;
    if (a->row == TR_NO_ROW || (max ? x[i] > a->best : x[i] < a->best))
      *a = (struct tr_acc_arg_i){x[i], (uint32_t)(r->begin + i)};
  }
}
static void add_arg_f(const struct rows *r, const double *x, bool max, struct tr_acc_arg_f *acc) {
  for (int i = 0; i < r->n; i++) {
    struct tr_acc_arg_f *a = &acc[slot_of(r, i)];
    if (x[i] != x[i]) continue;
    if (a->row == TR_NO_ROW || (max ? x[i] > a->best : x[i] < a->best))
      *a = (struct tr_acc_arg_f){x[i], (uint32_t)(r->begin + i)};
  }
}
static void add_rows(const struct rows *r, const double *x, bool last, uint32_t *acc) {
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    if ((!x || x[i] == x[i]) && (last || acc[k] == TR_NO_ROW)) acc[k] = (uint32_t)(r->begin + i);
  }
}
static void add_truth(const struct rows *r, const double *x, uint8_t *acc) {
  for (int i = 0; i < r->n; i++) acc[slot_of(r, i)] |= (uint8_t)(x[i] == 0.0 ? 2 : x[i] == x[i]);
}
static void add_pair(const struct rows *r, const double *x, const double *y, struct tr_acc_pair *acc) {
  for (int i = 0; i < r->n; i++) {
    struct tr_acc_pair *a = &acc[slot_of(r, i)];
    bool ok = (x[i] == x[i]) & (y[i] == y[i]);
    a->n += ok;
    a->x += ok ? x[i] : 0.0;
    a->y += ok ? y[i] : 0.0;
  }
}
static void add_cross(const struct rows *r, const double *x, const double *y, const struct tr_acc_pair *mean,
                      struct tr_acc_cross *acc) {
  for (int i = 0; i < r->n; i++) {
    uint32_t k = slot_of(r, i);
    bool ok = (x[i] == x[i]) & (y[i] == y[i]) & (k < r->width);
    const struct tr_acc_pair *m = &mean[r->lo + (k < r->width ? k : 0)];
    double dx = ok ? x[i] - m->x : 0.0, dy = ok ? y[i] - m->y : 0.0;
    acc[k].xx += dx * dx;
    acc[k].xy += dx * dy;
    acc[k].yy += dy * dy;
    acc[k].x += dx;
    acc[k].y += dy;
  }
}

static const uint8_t acc_width[TR_N_ACCS] = {
    [TR_ACC_SIZE] = 4,       [TR_ACC_COUNT] = 4,
    [TR_ACC_SUM_I] = 8,      [TR_ACC_PROD_I] = 8,
    [TR_ACC_SUM_F] = 16,     [TR_ACC_PROD_F] = 16,
    [TR_ACC_SQUARES] = 16,   [TR_ACC_MIN_I] = 8,
    [TR_ACC_MAX_I] = 8,      [TR_ACC_MIN_F] = 8,
    [TR_ACC_MAX_F] = 8,      [TR_ACC_ARGMIN_I] = 16,
    [TR_ACC_ARGMAX_I] = 16,  [TR_ACC_ARGMIN_F] = 16,
    [TR_ACC_ARGMAX_F] = 16,  [TR_ACC_FIRST_ROW] = 4,
    [TR_ACC_LAST_ROW] = 4,   [TR_ACC_TRUTH] = 1,
    [TR_ACC_PAIR_SUMS] = 24, [TR_ACC_PAIR_SQUARES] = sizeof(struct tr_acc_cross)};

static void add_block(const struct tr_acc *a, const struct rows *r, void *acc) {
  double fx[TR_GROUP_BLOCK], fy[TR_GROUP_BLOCK];
  int64_t ix[TR_GROUP_BLOCK];
  int k = a->kind;
  const double *x = NULL, *y = NULL;
  const int64_t *v = NULL;
  bool can_miss = a->codes || (a->x && tr_kind_can_miss(a->x->dtype.kind));
  if (k == TR_ACC_SUM_I || k == TR_ACC_PROD_I || k == TR_ACC_MIN_I || k == TR_ACC_MAX_I || k == TR_ACC_ARGMIN_I ||
      k == TR_ACC_ARGMAX_I) {
    v = a->codes ? a->codes + r->begin : tr_block_i64(a->x, r->begin, r->n, ix);
    bool summed = k == TR_ACC_SUM_I || k == TR_ACC_PROD_I;
    if (summed && a->x->dtype.kind == TR_U64) v = (const int64_t *)tr_array_data(a->x) + r->begin; /* as it is */
  } else if (a->x) {
    x = tr_block_f64(a->x, r->begin, r->n, fx);
  }
  if (a->y) y = tr_block_f64(a->y, r->begin, r->n, fy);
  switch (a->kind) {
  case TR_ACC_SIZE: add_size(r, acc); break;
  case TR_ACC_COUNT: add_count(r, x, acc); break;
  case TR_ACC_SUM_I: add_sum_i(r, v, can_miss, acc); break;
  case TR_ACC_PROD_I: add_prod_i(r, v, acc); break;
  case TR_ACC_SUM_F: add_sum_f(r, x, acc); break;
  case TR_ACC_PROD_F: add_prod_f(r, x, acc); break;
  case TR_ACC_SQUARES: add_squares(r, x, a->aux, acc); break;
  case TR_ACC_MIN_I: add_min_i(r, v, can_miss, acc); break;
  case TR_ACC_MAX_I: add_max_i(r, v, acc); break;
  case TR_ACC_MIN_F: add_min_f(r, x, acc); break;
  case TR_ACC_MAX_F: add_max_f(r, x, acc); break;
  case TR_ACC_ARGMIN_I: add_arg_i(r, v, can_miss, false, acc); break;
  case TR_ACC_ARGMAX_I: add_arg_i(r, v, can_miss, true, acc); break;
  case TR_ACC_ARGMIN_F: add_arg_f(r, x, false, acc); break;
  case TR_ACC_ARGMAX_F: add_arg_f(r, x, true, acc); break;
  case TR_ACC_FIRST_ROW: add_rows(r, x, false, acc); break;
  case TR_ACC_LAST_ROW: add_rows(r, x, true, acc); break;
  case TR_ACC_TRUTH: add_truth(r, x, acc); break;
  case TR_ACC_PAIR_SUMS: add_pair(r, x, y, acc); break;
  case TR_ACC_PAIR_SQUARES: add_cross(r, x, y, a->aux, acc); break;
  case TR_N_ACCS: break;
  }
}

static void acc_init(enum tr_acc_kind kind, void *acc, int64_t n) {
  int64_t *i = acc;
  double *f = acc;
  struct tr_acc_f *p = acc;
  struct tr_acc_arg_i *arg = acc;
  switch (kind) {
  case TR_ACC_PROD_I:
    for (int64_t k = 0; k < n; k++) i[k] = 1;
    break;
  case TR_ACC_PROD_F:
    for (int64_t k = 0; k < n; k++) p[k] = (struct tr_acc_f){1.0, 0};
    break;
  case TR_ACC_MIN_I:
    for (int64_t k = 0; k < n; k++) i[k] = INT64_MAX;
    break;
  case TR_ACC_MAX_I:
    for (int64_t k = 0; k < n; k++) i[k] = INT64_MIN;
    break;
  case TR_ACC_MIN_F:
    for (int64_t k = 0; k < n; k++) f[k] = INFINITY;
    break;
  case TR_ACC_MAX_F:
    for (int64_t k = 0; k < n; k++) f[k] = -INFINITY;
    break;
  case TR_ACC_ARGMIN_I:
  case TR_ACC_ARGMAX_I:
  case TR_ACC_ARGMIN_F:
  case TR_ACC_ARGMAX_F:
    for (int64_t k = 0; k < n; k++) arg[k] = (struct tr_acc_arg_i){0, TR_NO_ROW};
    break;
  case TR_ACC_FIRST_ROW:
  case TR_ACC_LAST_ROW: memset(acc, 0xff, (size_t)n * 4); break;
  default: memset(acc, 0, (size_t)n * acc_width[kind]);
  }
}

/* into[k] takes from[k], which holds later rows, for k in [lo, hi). */
static void acc_merge(enum tr_acc_kind kind, void *into, const void *from, int64_t lo, int64_t hi) {
  uint32_t *u = into;
  const uint32_t *fu = from;
  uint64_t *w = into;
  const uint64_t *fw = from;
  int64_t *i = into;
  const int64_t *fi = from;
  double *d = into;
  const double *fd = from;
  struct tr_acc_f *p = into;
  const struct tr_acc_f *fp = from;
  struct tr_acc_arg_i *ai = into;
  const struct tr_acc_arg_i *fai = from;
  struct tr_acc_arg_f *af = into;
  const struct tr_acc_arg_f *faf = from;
  struct tr_acc_pair *pair = into;
  const struct tr_acc_pair *fpair = from;
  for (int64_t k = lo; k < hi; k++) {
    switch (kind) {
    case TR_ACC_SIZE:
    case TR_ACC_COUNT: u[k] += fu[k]; break;
    case TR_ACC_SUM_I: w[k] += fw[k]; break;
    case TR_ACC_PROD_I: w[k] *= fw[k]; break;
    case TR_ACC_SUM_F:
      p[k].sum += fp[k].sum;
      p[k].n += fp[k].n;
      break;
    case TR_ACC_PROD_F:
      p[k].sum *= fp[k].sum;
      p[k].n += fp[k].n;
      break;
    case TR_ACC_SQUARES:
      d[2 * k] += fd[2 * k];
      d[2 * k + 1] += fd[2 * k + 1];
      break;
    case TR_ACC_MIN_I: i[k] = fi[k] < i[k] ? fi[k] : i[k]; break;
    case TR_ACC_MAX_I: i[k] = fi[k] > i[k] ? fi[k] : i[k]; break;
    case TR_ACC_MIN_F: d[k] = fd[k] < d[k] ? fd[k] : d[k]; break;
    case TR_ACC_MAX_F: d[k] = fd[k] > d[k] ? fd[k] : d[k]; break;
    case TR_ACC_ARGMIN_I:
      if (fai[k].row != TR_NO_ROW && (ai[k].row == TR_NO_ROW || fai[k].best < ai[k].best)) ai[k] = fai[k];
      break;
    case TR_ACC_ARGMAX_I:
      if (fai[k].row != TR_NO_ROW && (ai[k].row == TR_NO_ROW || fai[k].best > ai[k].best)) ai[k] = fai[k];
      break;
    case TR_ACC_ARGMIN_F:
      if (faf[k].row != TR_NO_ROW && (af[k].row == TR_NO_ROW || faf[k].best < af[k].best)) af[k] = faf[k];
      break;
    case TR_ACC_ARGMAX_F:
      if (faf[k].row != TR_NO_ROW && (af[k].row == TR_NO_ROW || faf[k].best > af[k].best)) af[k] = faf[k];
      break;
    case TR_ACC_FIRST_ROW: u[k] = u[k] == TR_NO_ROW ? fu[k] : u[k]; break;
    case TR_ACC_LAST_ROW: u[k] = fu[k] == TR_NO_ROW ? u[k] : fu[k]; break;
    case TR_ACC_TRUTH: ((uint8_t *)into)[k] |= ((const uint8_t *)from)[k]; break;
    case TR_ACC_PAIR_SUMS:
      pair[k].n += fpair[k].n;
      pair[k].x += fpair[k].x;
      pair[k].y += fpair[k].y;
      break;
    case TR_ACC_PAIR_SQUARES:
      for (int j = 0; j < 5; j++) d[5 * k + j] += fd[5 * k + j];
      break;
    case TR_N_ACCS: break;
    }
  }
}

struct pass {
  const struct tr_acc *accs;
  int n_accs, n_lanes, n_ranges;
  int64_t n_rows, n_groups, range; /* groups a range */
  const uint32_t *ids;
  void **acc;         /* n_lanes * n_ranges x n_accs */
  bool keep_together; /* accumulators fit the cache: each block serves all of them */
};

static void piece_bounds(const struct pass *p, int64_t piece, int64_t *row_lo, int64_t *row_hi, int64_t *lo,
                         int64_t *hi) {
  int64_t lane = piece / p->n_ranges, range = piece % p->n_ranges;
  int64_t step = (p->n_rows / p->n_lanes + TR_GROUP_BLOCK) / TR_GROUP_BLOCK * TR_GROUP_BLOCK;
  *row_lo = lane * step < p->n_rows ? lane * step : p->n_rows;
  *row_hi = (lane + 1) * step < p->n_rows ? (lane + 1) * step : p->n_rows;
  *lo = range * p->range < p->n_groups ? range * p->range : p->n_groups;
  *hi = (range + 1) * p->range < p->n_groups ? (range + 1) * p->range : p->n_groups;
}

static enum tr_status run_piece(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct pass *p = arg;
  for (int64_t piece = begin; piece < end; piece++) {
    int64_t row_lo, row_hi, lo, hi;
    piece_bounds(p, piece, &row_lo, &row_hi, &lo, &hi);
    void **acc = p->acc + piece * p->n_accs;
    for (int k = 0; k < p->n_accs; k++) acc_init(p->accs[k].kind, acc[k], hi - lo + SPARE);
    for (int first = 0, last; first < p->n_accs; first = last) {
      last = p->keep_together ? p->n_accs : first + 1;
      for (int64_t b = row_lo; b < row_hi; b += TR_GROUP_BLOCK) {
        struct rows r = {p->ids ? p->ids + b : NULL, b,
                         (int)(row_hi - b < TR_GROUP_BLOCK ? row_hi - b : TR_GROUP_BLOCK), (uint32_t)lo,
                         (uint32_t)(hi - lo)};
        for (int k = first; k < last; k++) add_block(&p->accs[k], &r, acc[k]);
      }
    }
  }
  return TR_OK;
}

static enum tr_status merge_groups(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct pass *p = arg;
  for (int lane = 1; lane < p->n_lanes; lane++) {
    for (int k = 0; k < p->n_accs; k++) acc_merge(p->accs[k].kind, p->acc[k], p->acc[lane * p->n_accs + k], begin, end);
  }
  return TR_OK;
}

/* Lanes depend on rows and groups only; ranges may depend on threads. */
static void plan(struct tr_ctx *ctx, const struct tr_groups *g, struct pass *p) {
  int64_t lanes = g->n_rows / 65536, by_groups = g->n_rows / (g->n_groups * 8 + 1);
  if (by_groups < lanes) lanes = by_groups;
  lanes = lanes > 32 ? 32 : lanes < 1 ? 1 : lanes;
  int64_t ranges = 1;
  if (lanes < 2) {
    lanes = 1;
    ranges = ctx->threads;
    if (tr_grain(ctx) >= 64 && ranges > g->n_rows / 65536 + 1) ranges = g->n_rows / 65536 + 1;
    if (ranges > g->n_groups) ranges = g->n_groups > 0 ? g->n_groups : 1;
  }
  p->n_lanes = (int)lanes;
  p->n_ranges = (int)ranges;
  p->range = ranges > 0 ? (g->n_groups + ranges - 1) / ranges : 0;
  if (p->range < 1) p->range = 1;
}

enum { FINAL_GROUPS = 1 << 15 }; /* groups in one part of a merged pass */

/* Describes where the answers are: by range, or stretches of lane 0. */
static enum tr_status list_parts(const struct pass *p, struct tr_acc_pass *out, struct tr_error *err) {
  out->n_parts = p->n_ranges > 1 ? p->n_ranges : (int)((p->n_groups + FINAL_GROUPS - 1) / FINAL_GROUPS);
  out->parts_bytes = (size_t)out->n_parts * (sizeof *out->parts + (size_t)p->n_accs * sizeof(void *));
  TR_TRY(tr_mem_alloc(out->parts_bytes, (void **)&out->parts, err));
  void **acc = (void **)(out->parts + out->n_parts);
  for (int i = 0; i < out->n_parts; i++, acc += p->n_accs) {
    struct tr_acc_part *part = &out->parts[i];
    int64_t row_lo, row_hi;
    part->acc = acc;
    if (p->n_ranges > 1) {
      piece_bounds(p, i, &row_lo, &row_hi, &part->lo, &part->hi);
      memcpy(acc, p->acc + (size_t)i * (size_t)p->n_accs, (size_t)p->n_accs * sizeof(void *));
    } else {
      part->lo = (int64_t)i * FINAL_GROUPS;
      part->hi = part->lo + FINAL_GROUPS < p->n_groups ? part->lo + FINAL_GROUPS : p->n_groups;
      for (int k = 0; k < p->n_accs; k++) acc[k] = (char *)p->acc[k] + part->lo * acc_width[p->accs[k].kind];
    }
  }
  return TR_OK;
}

enum tr_status tr_acc_run(struct tr_ctx *ctx, const struct tr_groups *g, const struct tr_acc *accs, int n_accs,
                          struct tr_acc_pass *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  out->n_accs = n_accs;
  struct pass p = {
      .accs = accs, .n_accs = n_accs, .n_rows = g->n_rows, .n_groups = g->n_groups, .ids = tr_groups_ids(g)};
  if (n_accs == 0) return TR_OK;
  plan(ctx, g, &p);
  size_t pieces = (size_t)(p.n_lanes * p.n_ranges),
         pointers = (pieces * (size_t)n_accs * sizeof(void *) + 63) / 64 * 64, per_piece = 0;
  for (int k = 0; k < n_accs; k++) per_piece += ((size_t)(p.range + SPARE) * acc_width[accs[k].kind] + 127) / 64 * 64;
  p.keep_together = per_piece <= 1 << 18;
  out->block_bytes = pointers + pieces * per_piece;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc(out->block_bytes, &out->block, err));
  p.acc = out->block;
  char *at = (char *)out->block + pointers;
  for (size_t i = 0; i < pieces * (size_t)n_accs; i++) {
    p.acc[i] = at;
    at += ((size_t)(p.range + SPARE) * acc_width[accs[i % (size_t)n_accs].kind] + 127) / 64 * 64;
  }
  TR_GOTO(st, tr_parallel_for(ctx, (int64_t)pieces, 1, run_piece, &p, err));
  if (p.n_lanes > 1) TR_GOTO(st, tr_parallel_for(ctx, p.n_groups, FINAL_GROUPS, merge_groups, &p, err));
  st = list_parts(&p, out, err);
done:
  if (st != TR_OK) tr_acc_drop(out);
  return st;
}

void tr_acc_drop(struct tr_acc_pass *p) {
  tr_mem_free(p->block, p->block_bytes);
  tr_mem_free(p->parts, p->parts_bytes);
  memset(p, 0, sizeof *p);
}
