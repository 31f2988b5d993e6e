/* Arithmetic of datetimes and timedeltas, and rounding down and up. NaT in gives NaT out; a result beyond int64 is
 * reported, for pandas raises then. */
#include "data/kern/expr/time/time_int.h"

static inline bool is_nat(int64_t x) { return x == TR_NAT; }

static void add_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p, *b = c->in[1].p;
  int64_t *out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  bool over = false;
  for (int64_t i = 0; i < n; i++) {
    const int64_t x = a[i * sa], y = b[i * sb], r = (int64_t)((uint64_t)x + (uint64_t)y);
    const bool nat = is_nat(x) | is_nat(y);
    over |= !nat & (((x ^ r) & (y ^ r)) < 0 || is_nat(r));
    out[i] = nat ? TR_NAT : r;
  }
  if (over) c->saw |= TR_SAW_OVERFLOW;
}

static void sub_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p, *b = c->in[1].p;
  int64_t *out = c->out;
  const int64_t n = c->n, sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  bool over = false;
  for (int64_t i = 0; i < n; i++) {
    const int64_t x = a[i * sa], y = b[i * sb], r = (int64_t)((uint64_t)x - (uint64_t)y);
    const bool nat = is_nat(x) | is_nat(y);
    over |= !nat & (((x ^ y) & (x ^ r)) < 0 || is_nat(r));
    out[i] = nat ? TR_NAT : r;
  }
  if (over) c->saw |= TR_SAW_OVERFLOW;
}

static void neg_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p;
  int64_t *out = c->out;
  for (int64_t i = 0; i < c->n; i++) out[i] = (int64_t)(0 - (uint64_t)a[i]); /* -NaT is NaT */
}

static void abs_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p;
  int64_t *out = c->out;
  for (int64_t i = 0; i < c->n; i++) out[i] = a[i] < 0 ? (int64_t)(0 - (uint64_t)a[i]) : a[i];
}

static void mul_int(struct tr_call *c) {
  const int64_t *a = c->in[0].p, *b = c->in[1].p;
  int64_t *out = c->out;
  const int64_t sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t x = a[i * sa], y = b[i * sb];
    if (is_nat(x)) out[i] = TR_NAT;
    else if (__builtin_mul_overflow(x, y, &out[i]) || is_nat(out[i])) c->saw |= TR_SAW_OVERFLOW;
  }
}

static void mul_int_swapped(struct tr_call *c) {
  struct tr_operand t = c->in[0];
  c->in[0] = c->in[1];
  c->in[1] = t;
  mul_int(c);
}

static inline int64_t from_double(double d, struct tr_call *c) {
  if (d != d) return TR_NAT;
  if (d >= 9223372036854775807.0 || d <= -9223372036854775807.0) {
    c->saw |= TR_SAW_OVERFLOW;
    return TR_NAT;
  }
  return (int64_t)d;
}

static void mul_float(struct tr_call *c) {
  const int64_t *a = c->in[0].p;
  const double *b = c->in[1].p;
  int64_t *out = c->out;
  const int64_t sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t x = a[i * sa];
    out[i] = is_nat(x) ? TR_NAT : from_double((double)x * b[i * sb], c);
  }
}

static void mul_float_swapped(struct tr_call *c) {
  struct tr_operand t = c->in[0];
  c->in[0] = c->in[1];
  c->in[1] = t;
  mul_float(c);
}

static void div_float(struct tr_call *c) {
  const int64_t *a = c->in[0].p;
  const double *b = c->in[1].p;
  int64_t *out = c->out;
  const int64_t sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t x = a[i * sa];
    out[i] = is_nat(x) || b[i * sb] == 0 ? TR_NAT : from_double((double)x / b[i * sb], c);
    if (!is_nat(x) && b[i * sb] == 0 && x != 0) c->saw |= TR_SAW_REFUSE;
  }
}

/* Truncates, also as floor division (numpy's timedelta64 // int does); by zero gives NaT. */
static void div_int(struct tr_call *c) {
  const int64_t *a = c->in[0].p, *b = c->in[1].p;
  int64_t *out = c->out;
  const int64_t sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t x = a[i * sa], y = b[i * sb];
    if (is_nat(x) || y == 0) {
      out[i] = TR_NAT;
      continue;
    }
    if (y == -1) out[i] = (int64_t)(0 - (uint64_t)x);
    else out[i] = x / y;
  }
}

static void div_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p, *b = c->in[1].p;
  double *out = c->out;
  const int64_t sa = c->in[0].is_const ? 0 : 1, sb = c->in[1].is_const ? 0 : 1;
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t x = a[i * sa], y = b[i * sb];
    out[i] = is_nat(x) || is_nat(y) ? __builtin_nan("") : (double)x / (double)y;
  }
}

/* DT_FLOOR, DT_CEIL, DT_NORMALIZE to a multiple of params[0] ticks. */
static void round_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p;
  int64_t *out = c->out;
  const int64_t step = ((const int64_t *)c->state)[0], up = ((const int64_t *)c->state)[1];
  bool over = false;
  for (int64_t i = 0; i < c->n; i++) {
    int64_t r = a[i] % step;
    r += r < 0 ? step : 0;
    int64_t v = (int64_t)((uint64_t)a[i] - (uint64_t)r);
    if (up && r) over |= __builtin_add_overflow(v, step, &v) && !is_nat(a[i]);
    over |= !up && v > a[i] && !is_nat(a[i]);
    out[i] = is_nat(a[i]) ? TR_NAT : v;
  }
  if (over) c->saw |= TR_SAW_OVERFLOW;
}

static void same_time(struct tr_call *c) {
  const int64_t *a = c->in[0].p;
  int64_t *out = c->out;
  for (int64_t i = 0; i < c->n; i++) out[i] = a[i];
}

static bool lower_rounding(const struct tr_expr *e, struct tr_lower *lo) {
  int64_t day = 86400 * tr_unit_per_second((enum tr_unit)e->dtype.unit);
  lo->params[0] = e->op == TR_OP_DT_NORMALIZE ? day : e->params[0];
  lo->params[1] = e->op == TR_OP_DT_CEIL;
  lo->kernel = lo->params[0] <= 1 ? same_time : round_time;
  return true;
}

static bool lower_time_number(const struct tr_expr *e, struct tr_lower *lo) {
  int td = e->args[0]->dtype.kind == TR_TIMEDELTA ? 0 : 1;
  bool whole = !tr_kind_is_float(e->args[1 - td]->dtype.kind);
  lo->rep[1 - td] = whole ? TR_I64 : TR_F64;
  if (e->op == TR_OP_MUL) {
    if (whole) lo->kernel = td == 0 ? mul_int : mul_int_swapped;
    else lo->kernel = td == 0 ? mul_float : mul_float_swapped;
  } else {
    lo->kernel = whole ? div_int : div_float;
  }
  return lo->kernel != NULL;
}

bool tr_lower_time(const struct tr_expr *e, struct tr_lower *lo) {
  lo->rep[0] = lo->rep[1] = lo->out_rep = TR_I64;
  if (e->op == TR_OP_DT_FLOOR || e->op == TR_OP_DT_CEIL || e->op == TR_OP_DT_NORMALIZE) return lower_rounding(e, lo);
  if (e->op == TR_OP_NEG || e->op == TR_OP_ABS) {
    lo->kernel = e->op == TR_OP_NEG ? neg_time : abs_time;
    return tr_kind_is_time(e->dtype.kind);
  }
  if (e->op > TR_OP_POW || e->op < TR_OP_ADD) return tr_lower_time_parts(e, lo);
  const struct tr_dtype x = e->args[0]->dtype, y = e->args[1]->dtype;
  if (!tr_kind_is_time(x.kind) || !tr_kind_is_time(y.kind)) return lower_time_number(e, lo);
  int64_t px = tr_unit_per_second((enum tr_unit)x.unit), py = tr_unit_per_second((enum tr_unit)y.unit);
  lo->scale[0] = py > px ? py / px : 1;
  lo->scale[1] = px > py ? px / py : 1;
  lo->kernel = e->op == TR_OP_ADD ? add_time : e->op == TR_OP_SUB ? sub_time : div_time;
  if (e->op == TR_OP_TRUEDIV) lo->out_rep = TR_F64;
  return true;
}
