/* cumsum, cumprod, cummin, cummax, of a whole column or within groups: one pass in row order with a state per group.
 *
 * Sums within groups of floats are compensated and those of whole columns are not, because pandas' are; so floats come
 * out the same to the bit. Ints run in 64 bits and are narrowed when everything fits.
 */
#include "data/kern/group/agg_int.h"
#include <math.h>

#define TR_JOIN_(a, b) a##b
#define TR_JOIN(a, b)  TR_JOIN_(a, b)
#define NAME           f64
#define T              double
#define MISSING(v)     ((v) != (v))
#define ABSENT         NAN
#define ADD(a, b)      ((a) + (b))
#define FLOATING
#include "cum.tmpl.h"
#define NAME       f32
#define T          float
#define MISSING(v) ((v) != (v))
#define ABSENT     NAN
#define ADD(a, b)  ((a) + (b))
#define FLOATING
#include "cum.tmpl.h"
#define NAME       time
#define T          int64_t
#define MISSING(v) ((v) == TR_NAT)
#define ABSENT     TR_NAT
#define ADD(a, b)  ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
#include "cum.tmpl.h"
#define NAME       u64
#define T          uint64_t
#define MISSING(v) false
#define ABSENT     0
#define ADD(a, b)  ((a) + (b))
#include "cum.tmpl.h"
#define NAME       i64
#define T          int64_t
#define MISSING(v) false
#define ABSENT     0
#define ADD(a, b)  ((a) + (b))
#include "cum.tmpl.h"

enum form { FORM_F64, FORM_F32, FORM_TIME, FORM_I64, FORM_U64 };

struct cumulate {
  enum form form;
  enum tr_window fn;
  bool kahan;
  struct tr_array *in;
  const uint32_t *ids;
  int64_t n, n_groups;
  void *state, *lost; /* 8 bytes a group each */
};

static void start(const struct cumulate *c) {
  double zero = c->kahan ? 0.0 : -0.0; /* whole columns begin with their first value as it is */
  switch (c->form) {
  case FORM_F64: start_f64(c->fn, zero, -INFINITY, INFINITY, c->state, c->lost, c->n_groups); break;
  case FORM_F32: start_f32(c->fn, (float)zero, -INFINITY, INFINITY, c->state, c->lost, c->n_groups); break;
  case FORM_TIME: start_time(c->fn, 0, INT64_MIN, INT64_MAX, c->state, c->lost, c->n_groups); break;
  case FORM_I64: start_i64(c->fn, 0, INT64_MIN, INT64_MAX, c->state, c->lost, c->n_groups); break;
  case FORM_U64: start_u64(c->fn, 0, 0, UINT64_MAX, c->state, c->lost, c->n_groups); break;
  }
}

/* Sums and products of ints wrap, so they run unsigned. */
static void block(const struct cumulate *c, int64_t b, int n, void *out) {
  double fs[TR_GROUP_BLOCK];
  int64_t is[TR_GROUP_BLOCK];
  const uint32_t *ids = c->ids ? c->ids + b : NULL;
  bool wraps = c->fn == TR_WIN_CUMSUM || c->fn == TR_WIN_CUMPROD;
  const void *direct = (const char *)tr_array_data(c->in) + b * tr_dtype_width(c->in->dtype);
  switch (c->form) {
  case FORM_F64:
    cum_f64(c->fn, c->kahan, tr_block_f64(c->in, b, n, fs), ids, n, c->state, c->lost, (double *)out + b);
    break;
  case FORM_F32: cum_f32(c->fn, c->kahan, direct, ids, n, c->state, c->lost, (float *)out + b); break;
  case FORM_TIME: cum_time(c->fn, false, direct, ids, n, c->state, c->lost, (int64_t *)out + b); break;
  case FORM_U64: cum_u64(c->fn, false, direct, ids, n, c->state, c->lost, (uint64_t *)out + b); break;
  case FORM_I64:
    if (wraps)
      cum_u64(c->fn, false, (const uint64_t *)tr_block_i64(c->in, b, n, is), ids, n, c->state, c->lost,
              (uint64_t *)out + b);
    else cum_i64(c->fn, false, tr_block_i64(c->in, b, n, is), ids, n, c->state, c->lost, (int64_t *)out + b);
  }
}

static enum form form_of(struct tr_dtype in, struct tr_dtype out) {
  if (tr_kind_is_time(in.kind)) return FORM_TIME;
  if (in.kind == TR_F32) return FORM_F32;
  if (in.kind == TR_F64 || out.kind == TR_F64) return FORM_F64;
  return in.kind == TR_U64 ? FORM_U64 : FORM_I64;
}

enum tr_status tr_window_cumulate(struct tr_ctx *ctx, const struct tr_groups *g, int64_t n,
                                  const struct tr_window_spec *spec, struct tr_array **out, struct tr_error *err) {
  struct tr_dtype to;
  bool dropped = g && g->has_dropped;
  TR_TRY(tr_window_dtype(spec, spec->input->dtype, !g, dropped, &to, NULL, err));
  struct cumulate c = {.fn = spec->fn,
                       .in = spec->input,
                       .n = n,
                       .kahan = g != NULL,
                       .ids = g ? tr_groups_ids(g) : NULL,
                       .n_groups = g ? g->n_groups : 1,
                       .form = form_of(spec->input->dtype, to)};
  size_t bytes = (size_t)c.n_groups * 8;
  bool wide = c.form == FORM_I64 || c.form == FORM_U64;
  enum tr_status st;
  *out = NULL;
  TR_GOTO(st, tr_mem_alloc(bytes, &c.state, err));
  TR_GOTO(st, tr_mem_alloc(bytes, &c.lost, err));
  struct tr_dtype run = wide ? tr_dtype_of(to.kind >= TR_U8 && to.kind <= TR_U64 ? TR_U64 : TR_I64) : to;
  TR_GOTO(st, tr_array_new(run, n, out, err));
  start(&c);
  for (int64_t b = 0; b < n; b += TR_GROUP_BLOCK) {
    if (b % (1 << 16) == 0) TR_GOTO(st, tr_ctx_check(ctx));
    block(&c, b, (int)(n - b < TR_GROUP_BLOCK ? n - b : TR_GROUP_BLOCK), (*out)->data->data);
  }
  (*out)->null_count = -1;
  if (wide && !tr_dtype_eq(run, to)) st = tr_agg_narrow(out, to, err);
done:
  tr_mem_free(c.state, bytes);
  tr_mem_free(c.lost, bytes);
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}
