/* Key columns as order-preserving codes (group_int.h): ranges are found by one scan, then blocks of rows are coded on
 * demand, so that no coded column is ever written to memory unless a later step wants it.
 */
#include "data/kern/group/group_int.h"

struct range {
  uint64_t lo, hi;
  bool missing;
  char pad[47]; /* one cache line a thread */
};

#define TR_JOIN_(a, b) a##b
#define TR_JOIN(a, b)  TR_JOIN_(a, b)
#define SIGN_64        0x8000000000000000ull

#define NAME       i8
#define T          int8_t
#define IMAGE(v)   ((uint64_t)(int64_t)(v) ^ SIGN_64)
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       i16
#define T          int16_t
#define IMAGE(v)   ((uint64_t)(int64_t)(v) ^ SIGN_64)
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       i32
#define T          int32_t
#define IMAGE(v)   ((uint64_t)(int64_t)(v) ^ SIGN_64)
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       i64
#define T          int64_t
#define IMAGE(v)   ((uint64_t)(v) ^ SIGN_64)
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       u8
#define T          uint8_t
#define IMAGE(v)   ((uint64_t)(v))
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       u16
#define T          uint16_t
#define IMAGE(v)   ((uint64_t)(v))
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       u32
#define T          uint32_t
#define IMAGE(v)   ((uint64_t)(v))
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       u64
#define T          uint64_t
#define IMAGE(v)   (v)
#define MISSING(v) false
#include "codes.tmpl.h"
#define NAME       f32
#define T          float
#define IMAGE(v)   tr_group_image_f32(v)
#define MISSING(v) ((v) != (v))
#include "codes.tmpl.h"
#define NAME       f64
#define T          double
#define IMAGE(v)   tr_group_image_f64(v)
#define MISSING(v) ((v) != (v))
#include "codes.tmpl.h"
#define NAME       time
#define T          int64_t
#define IMAGE(v)   ((uint64_t)(v) ^ SIGN_64)
#define MISSING(v) ((v) == TR_NAT)
#include "codes.tmpl.h"
#define NAME       code
#define T          int32_t
#define IMAGE(v)   ((uint64_t)(uint32_t)(v))
#define MISSING(v) ((v) < 0)
#include "codes.tmpl.h"
#define NAME       rank
#define T          int32_t
#define IMAGE(v)   ((uint64_t)k->rank[v])
#define MISSING(v) ((v) < 0)
#define NO_RANGE
#include "codes.tmpl.h"
#define NAME       id
#define T          uint32_t
#define IMAGE(v)   ((uint64_t)(v))
#define MISSING(v) ((v) == TR_NO_GROUP)
#include "codes.tmpl.h"

typedef void (*range_fn)(const void *data, int64_t begin, int64_t end, struct range *r);
typedef void (*codes_fn)(const struct tr_group_key *k, int64_t begin, int n, uint64_t card, bool first, bool drop,
                         uint64_t *out);

static const range_fn range_table[] = {range_i8,  range_i16, range_i32, range_i64,  range_u8,   range_u16, range_u32,
                                       range_u64, range_f32, range_f64, range_time, range_code, NULL,      range_id};
static const codes_fn codes_table[] = {codes_i8,  codes_i16, codes_i32, codes_i64,  codes_u8,   codes_u16,  codes_u32,
                                       codes_u64, codes_f32, codes_f64, codes_time, codes_code, codes_rank, codes_id};

struct range_job {
  range_fn fn;
  const void *data;
  struct range *per_thread;
};

static enum tr_status range_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)err;
  struct range_job *j = arg;
  j->fn(j->data, begin, end, &j->per_thread[thread]);
  return TR_OK;
}

/* Extremes of all images. An empty or all-missing column has lo > hi. */
static enum tr_status find_range(struct tr_ctx *ctx, int form, const void *data, int64_t n, struct range *out,
                                 struct tr_error *err) {
  struct range per_thread[TR_MAX_THREADS];
  for (int t = 0; t < ctx->threads; t++) per_thread[t] = (struct range){.lo = UINT64_MAX};
  struct range_job job = {range_table[form], data, per_thread};
  TR_TRY(tr_parallel_for(ctx, n, tr_grain(ctx), range_morsel, &job, err));
  *out = per_thread[0];
  for (int t = 1; t < ctx->threads; t++) {
    if (per_thread[t].lo < out->lo) out->lo = per_thread[t].lo;
    if (per_thread[t].hi > out->hi) out->hi = per_thread[t].hi;
    out->missing |= per_thread[t].missing;
  }
  return TR_OK;
}

static int form_of(const struct tr_array *a) {
  static const uint8_t forms[TR_N_KINDS] = {
      [TR_BOOL] = TR_FORM_U8,       [TR_I8] = TR_FORM_I8,          [TR_I16] = TR_FORM_I16,      [TR_I32] = TR_FORM_I32,
      [TR_I64] = TR_FORM_I64,       [TR_U8] = TR_FORM_U8,          [TR_U16] = TR_FORM_U16,      [TR_U32] = TR_FORM_U32,
      [TR_U64] = TR_FORM_U64,       [TR_F32] = TR_FORM_F32,        [TR_F64] = TR_FORM_F64,      [TR_STR] = TR_FORM_TEXT,
      [TR_DATETIME] = TR_FORM_TIME, [TR_TIMEDELTA] = TR_FORM_TIME, [TR_CATEGORY] = TR_FORM_CODE};
  return a->enc == TR_DICT ? TR_FORM_CODE : forms[a->dtype.kind];
}

static enum tr_status init_dict(struct tr_ctx *ctx, struct tr_array *a, int64_t n, bool ordered,
                                struct tr_group_key *out, struct tr_error *err) {
  int64_t size = a->dict->length;
  out->span = size > 0 ? (uint64_t)size - 1 : 0;
  out->has_missing = tr_array_null_count(a) > 0;
  out->all_seen = size <= n / 16;
  if (!ordered || a->dtype.kind == TR_CATEGORY || a->dict_sorted) return TR_OK;
  out->form = TR_FORM_RANK;
  out->rank_bytes = size * 4;
  TR_TRY(tr_mem_alloc((size_t)out->rank_bytes, (void **)&out->rank, err));
  return tr_group_rank_values(ctx, a->dict, out->rank, err);
}

enum tr_status tr_group_key_init(struct tr_ctx *ctx, struct tr_array *a, int64_t n, bool ordered,
                                 struct tr_group_key *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  out->array = a;
  out->form = (uint8_t)form_of(a);
  out->data = tr_array_data(a);
  if (out->form == TR_FORM_TEXT) return TR_OK;
  if (out->form == TR_FORM_CODE) return init_dict(ctx, a, n, ordered, out, err);
  if (out->form == TR_FORM_U8 || out->form == TR_FORM_I8) { /* not worth a scan */
    out->base = out->form == TR_FORM_I8 ? (uint64_t)INT8_MIN ^ SIGN_64 : 0;
    out->span = a->dtype.kind == TR_BOOL ? 1 : 255;
    return TR_OK;
  }
  struct range r;
  TR_TRY(find_range(ctx, out->form, out->data, n, &r, err));
  out->has_missing = r.missing;
  if (r.lo <= r.hi) {
    out->base = r.lo;
    out->span = r.hi - r.lo;
  }
  out->all_seen = out->span < (uint64_t)n / 16;
  return TR_OK;
}

void tr_group_key_drop(struct tr_group_key *k) {
  tr_mem_free(k->rank, (size_t)k->rank_bytes);
  k->rank = NULL;
}

uint64_t tr_group_key_card(const struct tr_group_key *k, bool drop) { return k->span + 1 + (k->has_missing && !drop); }

void tr_group_codes_block(const struct tr_group_codes *c, int64_t begin, int n, uint64_t *out) {
  for (int k = 0; k < c->n_keys; k++) {
    const struct tr_group_key *key = &c->keys[k];
    if (key->form == TR_FORM_TEXT) tr_group_text_block(key->array, begin, n, c->drop, out);
    else codes_table[key->form](key, begin, n, tr_group_key_card(key, c->drop), k == 0, c->drop, out);
  }
}
