/* ISIN: membership in a list, by a small open-addressing set. Numbers are compared as float64 when the column or a
 * value is a float, else as int64 or uint64 exactly; a null in the list matches missing values. */
#include "base/hash.h"
#include "data/kern/expr/text_int.h"
#include <string.h>

struct set {
  size_t bytes;
  int64_t n_slots; /* power of two */
  bool has_null, hash_zero, as_double;
  const struct tr_scalar *list;
  uint64_t *keys; /* numbers: per slot */
  int32_t *slots; /* list position + 1; 0 = empty */
};

static uint64_t text_hash(const struct set *s, const char *p, int64_t n) {
  return s->hash_zero ? 0 : tr_hash_bytes(p, (size_t)n);
}
static uint64_t number_hash(const struct set *s, uint64_t v) { return s->hash_zero ? 0 : tr_hash_u64(v); }

static bool has_text(const struct set *s, const char *p, int64_t n) {
  for (uint64_t i = text_hash(s, p, n);; i++) {
    int32_t at = s->slots[i & (uint64_t)(s->n_slots - 1)];
    if (at == 0) return false;
    const struct tr_scalar *x = &s->list[at - 1];
    if (x->s.len == n && memcmp(x->s.ptr, p, (size_t)n) == 0) return true;
  }
}

static inline bool has_number(const struct set *s, uint64_t v) {
  for (uint64_t i = number_hash(s, v);; i++) {
    uint64_t k = i & (uint64_t)(s->n_slots - 1);
    if (s->slots[k] == 0) return false;
    if (s->keys[k] == v) return true;
  }
}

/* -0.0 equals 0.0. */
static uint64_t double_key(double d) {
  uint64_t v;
  d += 0.0;
  memcpy(&v, &d, 8);
  return v;
}

static double scalar_double(const struct tr_scalar *x) {
  return tr_kind_is_float(x->dtype.kind)                                      ? x->f
         : tr_kind_is_int(x->dtype.kind) && !tr_kind_is_signed(x->dtype.kind) ? (double)x->u
                                                                              : (double)x->i;
}

static bool fits_column(const struct tr_expr *e, const struct tr_scalar *x) {
  bool col_unsigned = tr_kind_is_int(e->args[0]->dtype.kind) && !tr_kind_is_signed(e->args[0]->dtype.kind);
  bool val_unsigned = tr_kind_is_int(x->dtype.kind) && !tr_kind_is_signed(x->dtype.kind);
  return col_unsigned == val_unsigned || x->i >= 0; /* else no value of the column can be equal */
}

static void insert(struct set *s, const struct tr_expr *e, int64_t i) {
  const struct tr_scalar *x = &s->list[i];
  bool text = x->dtype.kind == TR_STR;
  if (x->is_null) {
    s->has_null = true;
    return;
  }
  if (text ? has_text(s, x->s.ptr, x->s.len) : !s->as_double && !fits_column(e, x)) return;
  uint64_t v = text ? 0 : s->as_double ? double_key(scalar_double(x)) : x->u;
  if (!text && has_number(s, v)) return;
  uint64_t k = text ? text_hash(s, x->s.ptr, x->s.len) : number_hash(s, v);
  while (s->slots[k & (uint64_t)(s->n_slots - 1)]) k++;
  k &= (uint64_t)(s->n_slots - 1);
  s->slots[k] = (int32_t)i + 1;
  s->keys[k] = v;
}

enum tr_status tr_isin_state(struct tr_ctx *ctx, const struct tr_expr *e, void **state, struct tr_error *err) {
  int64_t n_slots = 16;
  while (n_slots < e->n_list * 2 + 2) n_slots *= 2;
  size_t bytes = sizeof(struct set) + (size_t)n_slots * 12;
  if (e->n_list > INT32_MAX - 1) return tr_unsupported(err, "isin of more than 2^31 values");
  TR_TRY(tr_mem_calloc(bytes, state, err));
  struct set *s = *state;
  s->bytes = bytes;
  s->n_slots = n_slots;
  s->hash_zero = ctx->hash_zero;
  s->list = e->list;
  s->keys = (uint64_t *)(s + 1);
  s->slots = (int32_t *)(s->keys + n_slots);
  s->as_double = tr_kind_is_float(e->args[0]->dtype.kind);
  for (int64_t i = 0; i < e->n_list; i++) s->as_double = s->as_double || tr_kind_is_float(e->list[i].dtype.kind);
  for (int64_t i = 0; i < e->n_list; i++) insert(s, e, i);
  return TR_OK;
}

void tr_isin_free(void *state) { tr_mem_free(state, ((struct set *)state)->bytes); }

void tr_kern_isin_text(struct tr_call *c) {
  const struct set *s = c->state;
  const struct tr_view *v = tr_array_views(c->in[0].text) + c->begin;
  uint8_t *out = c->out;
  for (int64_t i = 0; i < c->n; i++)
    out[i] = v[i].size < 0 ? s->has_null : has_text(s, tr_view_bytes(c->in[0].text, &v[i]), v[i].size);
}

#define T          uint8_t
#define W          int64_t
#define NAME       isin_bool
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          int8_t
#define W          int64_t
#define NAME       isin_i8
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          int16_t
#define W          int64_t
#define NAME       isin_i16
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          int32_t
#define W          int64_t
#define NAME       isin_i32
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          int64_t
#define W          int64_t
#define NAME       isin_i64
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          uint16_t
#define W          uint64_t
#define NAME       isin_u16
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          uint32_t
#define W          uint64_t
#define NAME       isin_u32
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T          uint64_t
#define W          uint64_t
#define NAME       isin_u64
#define IS_NULL(x) false
#include "data/kern/expr/number/isin.tmpl.h"
#define T    float
#define W    int64_t
#define NAME isin_f32
#define IS_FLOAT
#define IS_NULL(x) ((x) != (x))
#include "data/kern/expr/number/isin.tmpl.h"
#define T    double
#define W    int64_t
#define NAME isin_f64
#define IS_FLOAT
#define IS_NULL(x) ((x) != (x))
#include "data/kern/expr/number/isin.tmpl.h"
#define T          int64_t
#define W          int64_t
#define NAME       isin_time
#define IS_NULL(x) ((x) == TR_NAT)
#include "data/kern/expr/number/isin.tmpl.h"

tr_kernel tr_kern_isin_number(struct tr_dtype dtype) {
  static const tr_kernel kernels[TR_F64 + 1] = {isin_bool, isin_i8,  isin_i16, isin_i32, isin_i64, isin_bool,
                                                isin_u16,  isin_u32, isin_u64, isin_f32, isin_f64};
  if (tr_kind_is_time(dtype.kind)) return isin_time;
  return dtype.kind <= TR_F64 ? kernels[dtype.kind] : NULL;
}
