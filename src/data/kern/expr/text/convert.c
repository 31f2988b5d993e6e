/* Casts to text as pandas' astype(str) spells values: integers in decimal, floats by shortest repr, booleans as True
 * and False, datetimes as dates when all are midnights, else with as many digits of the second as the finest value
 * needs. Missing stays missing. */
#include "base/float_text.h"
#include "data/kern/expr/civil_int.h"
#include "data/kern/expr/text/out_int.h"

enum { ROOM = 64 };

struct spell {
  struct tr_array *x;
  struct tr_text_out out;
  int digits; /* datetime: digits of the second's fraction */
  bool dates_only;
  _Atomic int finest; /* scan: 0 dates only, 1 seconds, 2 ms, 3 us, 4 ns */
  _Atomic bool wild;
};

static int digits_of(uint64_t v, char *to) {
  char tmp[20];
  int n = 0;
  do tmp[n++] = (char)('0' + v % 10);
  while (v /= 10);
  for (int i = 0; i < n; i++) to[i] = tmp[n - 1 - i];
  return n;
}

static int spell_int(int64_t v, char *to) {
  if (v >= 0) return digits_of((uint64_t)v, to);
  to[0] = '-';
  return 1 + digits_of(0 - (uint64_t)v, to + 1);
}

static void put_digits(char *to, int n, int64_t v) {
  for (int i = n - 1; i >= 0; i--, v /= 10) to[i] = (char)('0' + v % 10);
}

static int spell_datetime(const struct spell *s, int64_t x, char *to) {
  const int64_t per = tr_unit_per_second((enum tr_unit)s->x->dtype.unit), day = per * 86400;
  int64_t days = x / day, in_day = x % day;
  if (in_day < 0) days--, in_day += day;
  struct tr_civil c = tr_civil_from_days((int32_t)days);
  put_digits(to, 4, c.year);
  to[4] = to[7] = '-';
  put_digits(to + 5, 2, c.month);
  put_digits(to + 8, 2, c.day);
  if (s->dates_only) return 10;
  int64_t sec = in_day / per;
  to[10] = ' ';
  to[13] = to[16] = ':';
  put_digits(to + 11, 2, sec / 3600);
  put_digits(to + 14, 2, sec / 60 % 60);
  put_digits(to + 17, 2, sec % 60);
  if (s->digits == 0) return 19;
  to[19] = '.';
  int64_t ns = in_day % per * (1000000000 / per);
  put_digits(to + 20, s->digits, s->digits == 3 ? ns / 1000000 : s->digits == 6 ? ns / 1000 : ns);
  return 20 + s->digits;
}

static int64_t int_at(const struct tr_array *a, int64_t i) {
  const void *p = tr_array_data(a);
  switch (a->dtype.kind) {
  case TR_I8: return ((const int8_t *)p)[i];
  case TR_I16: return ((const int16_t *)p)[i];
  case TR_I32: return ((const int32_t *)p)[i];
  case TR_U8: return ((const uint8_t *)p)[i];
  case TR_U16: return ((const uint16_t *)p)[i];
  case TR_U32: return ((const uint32_t *)p)[i];
  default: return ((const int64_t *)p)[i];
  }
}

/* Bytes written; -1 = missing. */
static int spell_one(const struct spell *s, int64_t i, char *to) {
  const struct tr_array *x = s->x;
  const void *p = tr_array_data(x);
  switch (x->dtype.kind) {
  case TR_F32: {
    float v = ((const float *)p)[i];
    return v != v ? -1 : tr_float32_repr(v, to);
  }
  case TR_F64: {
    double v = ((const double *)p)[i];
    return v != v ? -1 : tr_float_repr(v, to);
  }
  case TR_U64: return digits_of(((const uint64_t *)p)[i], to);
  case TR_DATETIME: {
    int64_t v = ((const int64_t *)p)[i];
    return v == TR_NAT ? -1 : spell_datetime(s, v, to);
  }
  default: return spell_int(int_at(x, i), to);
  }
}

static enum tr_status spell_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct spell *s = arg;
  for (int64_t i = begin; i < end; i++) {
    char *room;
    TR_TRY(tr_text_out_room(&s->out, thread, ROOM, &room, err));
    int n = spell_one(s, i, room);
    if (n < 0) tr_text_out_null(&s->out, i);
    else tr_text_out_put(&s->out, thread, i, room, n);
  }
  return TR_OK;
}

static enum tr_status scan_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  struct spell *s = arg;
  const int64_t *x = tr_array_data(s->x), per = tr_unit_per_second((enum tr_unit)s->x->dtype.unit);
  int finest = 0;
  for (int64_t i = begin; i < end; i++) {
    if (x[i] == TR_NAT) continue;
    int64_t days = x[i] / (86400 * per);
    if (days < -719162 || days > 2932896) s->wild = true; /* years 1 to 9999 */
    if (x[i] % (86400 * per) == 0) continue;
    int64_t ns = x[i] % per * (1000000000 / per);
    int need = ns == 0 ? 1 : ns % 1000000 == 0 ? 2 : ns % 1000 == 0 ? 3 : 4;
    if (need > finest) finest = need;
  }
  int seen = s->finest;
  while (seen < finest && !atomic_compare_exchange_weak(&s->finest, &seen, finest)) continue;
  return TR_OK;
}

static enum tr_status spell_all(struct tr_ctx *ctx, struct tr_array *x, struct tr_array **out, struct tr_error *err) {
  struct spell s = {.x = x};
  if (x->dtype.kind == TR_DATETIME) {
    static const int digits[] = {0, 0, 3, 6, 9};
    TR_TRY(tr_parallel_for(ctx, x->length, tr_grain(ctx), scan_morsel, &s, err));
    if (s.wild) return tr_unsupported(err, "spelling years beyond 9999");
    s.dates_only = s.finest == 0;
    s.digits = digits[s.finest];
  }
  TR_TRY(tr_text_out_init(ctx, &s.out, x->length, err));
  enum tr_status st = tr_parallel_for(ctx, x->length, tr_grain(ctx), spell_morsel, &s, err);
  tr_text_out_drop(&s.out);
  if (st == TR_OK) *out = s.out.array;
  else tr_array_unref(s.out.array);
  return st;
}

enum tr_status tr_text_dictionary(const char *const *texts, int n, struct tr_array **out, struct tr_error *err) {
  struct tr_text_builder b;
  TR_TRY(tr_text_builder_init(&b, n, err));
  enum tr_status st = TR_OK;
  for (int i = 0; st == TR_OK && i < n; i++) st = tr_text_builder_add(&b, texts[i], (int64_t)strlen(texts[i]), err);
  if (st == TR_OK) st = tr_text_builder_finish(&b, out, err);
  tr_text_builder_drop(&b);
  return st;
}

struct widen {
  const uint8_t *from;
  int32_t *to;
};

static enum tr_status widen_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct widen *w = arg;
  for (int64_t i = begin; i < end; i++) w->to[i] = w->from[i];
  return TR_OK;
}

static enum tr_status spell_bools(struct tr_ctx *ctx, struct tr_array *x, struct tr_array **out, struct tr_error *err) {
  static const char *const names[] = {"False", "True"};
  struct tr_array *dict = NULL;
  TR_TRY(tr_text_dictionary(names, 2, &dict, err));
  enum tr_status st = tr_array_new_dict(tr_dtype_of(TR_STR), x->length, dict, out, err);
  tr_array_unref(dict);
  if (st != TR_OK) return st;
  struct widen w = {.from = tr_array_data(x), .to = tr_array_data(*out)};
  return tr_parallel_for(ctx, x->length, tr_grain(ctx), widen_morsel, &w, err);
}

/* Category: the categories are spelled, the codes stay. */
static enum tr_status spell_category(struct tr_ctx *ctx, struct tr_array *x, struct tr_array **out,
                                     struct tr_error *err) {
  struct tr_array *values = NULL;
  int k = x->dict->dtype.kind;
  if (k == TR_STR) values = tr_array_ref(x->dict);
  else if (tr_kind_is_number(k)) TR_TRY(spell_all(ctx, x->dict, &values, err));
  else return tr_unsupported(err, "spelling categories of this dtype");
  enum tr_status st = tr_text_redistinct(ctx, tr_array_codes(x), x->length, values, out, err);
  tr_array_unref(values);
  return st;
}

enum tr_status tr_whole_to_text(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x, struct tr_array **out,
                                struct tr_error *err) {
  (void)e;
  int k = x->dtype.kind;
  enum tr_status st;
  *out = NULL;
  if (k == TR_CATEGORY) st = spell_category(ctx, x, out, err);
  else if (k == TR_BOOL) st = spell_bools(ctx, x, out, err);
  else if (tr_kind_is_number(k) || k == TR_DATETIME) st = spell_all(ctx, x, out, err);
  else return tr_unsupported(err, "spelling %s", tr_dtype_name(x->dtype));
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}
