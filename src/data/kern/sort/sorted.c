/* Whether a column ascends, morsel by morsel; the first morsel that says no ends it. */
#include "data/kern/sort/sort_int.h"

#define GONE(v) 0
#define T       uint8_t
#define NAME(x) x##_u8
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       uint16_t
#define NAME(x) x##_u16
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       uint32_t
#define NAME(x) x##_u32
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       uint64_t
#define NAME(x) x##_u64
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       int8_t
#define NAME(x) x##_i8
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       int16_t
#define NAME(x) x##_i16
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       int32_t
#define NAME(x) x##_i32
#include "data/kern/sort/sorted.tmpl.h"
#undef NAME
#undef GONE
#define GONE(v) ((v) < 0)
#define NAME(x) x##_code
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#undef GONE
#define GONE(v) 0
#define T       int64_t
#define NAME(x) x##_i64
#include "data/kern/sort/sorted.tmpl.h"
#undef NAME
#undef GONE
#define GONE(v) ((v) == TR_NAT)
#define NAME(x) x##_nat64
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#undef GONE
#define GONE(v) ((v) != (v))
#define T       float
#define NAME(x) x##_f32
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#define T       double
#define NAME(x) x##_f64
#include "data/kern/sort/sorted.tmpl.h"
#undef T
#undef NAME
#undef GONE

static int ascends_text(const struct tr_array *a, int64_t begin, int64_t end) {
  const struct tr_view *v = tr_array_views(a);
  bool equal = false;
  for (int64_t i = begin; i < end; i++) {
    if (v[i].size < 0) return 0;
    if (i == 0) continue;
    if (v[i - 1].size < 0) return 0;
    int c = tr_view_cmp(a, v + i - 1, a, v + i);
    if (c > 0) return 0;
    equal |= c == 0;
  }
  return equal ? 1 : 2;
}

/* Codes over an unordered dictionary: values are compared where codes differ. */
static int ascends_dict(const struct tr_array *a, int64_t begin, int64_t end) {
  const int32_t *c = tr_array_codes(a);
  const struct tr_view *v = tr_array_views(a->dict);
  bool equal = false;
  for (int64_t i = begin; i < end; i++) {
    if (c[i] < 0) return 0;
    if (i == 0) continue;
    if (c[i - 1] < 0) return 0;
    if (c[i] == c[i - 1]) equal = true;
    else if (tr_view_cmp(a->dict, v + c[i - 1], a->dict, v + c[i]) > 0) return 0;
  }
  return equal ? 1 : 2;
}

typedef int (*ascends_fn)(const struct tr_array *, int64_t, int64_t);

static ascends_fn ascends_of(const struct tr_array *a) {
  static const ascends_fn fns[TR_N_KINDS] = {
      [TR_BOOL] = ascends_u8,        [TR_I8] = ascends_i8,           [TR_I16] = ascends_i16,
      [TR_I32] = ascends_i32,        [TR_I64] = ascends_i64,         [TR_U8] = ascends_u8,
      [TR_U16] = ascends_u16,        [TR_U32] = ascends_u32,         [TR_U64] = ascends_u64,
      [TR_F32] = ascends_f32,        [TR_F64] = ascends_f64,         [TR_STR] = ascends_text,
      [TR_DATETIME] = ascends_nat64, [TR_TIMEDELTA] = ascends_nat64, [TR_CATEGORY] = ascends_code};
  if (a->enc == TR_DICT && a->dtype.kind == TR_STR) return a->dict_sorted ? ascends_code : ascends_dict;
  return fns[a->dtype.kind];
}

struct sorted_job {
  const struct tr_array *a;
  ascends_fn fn;
  _Atomic bool down, equal;
};

static enum tr_status look(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct sorted_job *job = arg;
  (void)thread;
  (void)err;
  if (atomic_load_explicit(&job->down, memory_order_relaxed)) return TR_OK;
  int answer = job->fn(job->a, begin, end);
  if (answer == 0) atomic_store(&job->down, true);
  if (answer == 1) atomic_store(&job->equal, true);
  return TR_OK;
}

enum tr_status tr_sort_is_sorted(struct tr_ctx *ctx, struct tr_array *a, bool *ascending, bool *strict,
                                 struct tr_error *err) {
  struct sorted_job job = {.a = a, .fn = ascends_of(a)};
  *ascending = *strict = false;
  TR_TRY(tr_parallel_for(ctx, a->length, tr_grain(ctx), look, &job, err));
  *ascending = !job.down;
  *strict = !job.down && !job.equal;
  return TR_OK;
}
