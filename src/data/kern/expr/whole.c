/* Operations computed array by array, because their result is text or categories: which they are, literals as columns,
 * choices between texts, and casts to category. Dictionaries stay dictionaries. */
#include "data/kern/expr/eval_int.h"
#include <string.h>

bool tr_is_whole(const struct tr_expr *e) {
  if (e->op == TR_OP_COL || e->op == TR_OP_LIT) return false;
  return e->dtype.kind == TR_STR || e->dtype.kind == TR_CATEGORY;
}

void tr_scalar_store(const struct tr_scalar *s, void *to) {
  float f;
  double d;
  switch (s->dtype.kind) {
  case TR_F32:
    f = s->is_null ? __builtin_nanf("") : (float)s->f;
    memcpy(to, &f, 4);
    return;
  case TR_F64:
    d = s->is_null ? __builtin_nan("") : s->f;
    memcpy(to, &d, 8);
    return;
  case TR_DATETIME:
  case TR_TIMEDELTA: {
    int64_t v = s->is_null ? TR_NAT : s->i;
    memcpy(to, &v, 8);
    return;
  }
  default: memcpy(to, &s->u, (size_t)tr_dtype_width(s->dtype)); /* little endian */
  }
}

struct fill {
  char *to;
  uint64_t value;
  int width;
};

static enum tr_status fill_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct fill *f = arg;
  if (f->width == 1) memset(f->to + begin, (int)(uint8_t)f->value, (size_t)(end - begin));
  else if (f->width == 8)
    for (int64_t i = begin; i < end; i++) ((uint64_t *)(void *)f->to)[i] = f->value;
  else
    for (int64_t i = begin; i < end; i++) memcpy(f->to + i * f->width, &f->value, (size_t)f->width);
  return TR_OK;
}

static enum tr_status fill_array(struct tr_ctx *ctx, struct tr_array *a, uint64_t value, struct tr_error *err) {
  struct fill f = {.to = tr_array_data(a), .value = value, .width = a->enc == TR_DICT ? 4 : tr_dtype_width(a->dtype)};
  return tr_parallel_for(ctx, a->length, tr_grain(ctx), fill_morsel, &f, err);
}

static enum tr_status broadcast_text(struct tr_ctx *ctx, const struct tr_scalar *s, int64_t n, struct tr_array **out,
                                     struct tr_error *err) {
  struct tr_array *dict = NULL;
  struct tr_text_builder b;
  TR_TRY(tr_text_builder_init(&b, 1, err));
  enum tr_status st = tr_text_builder_add(&b, s->s.ptr ? s->s.ptr : "", s->s.len, err);
  if (st == TR_OK) st = tr_text_builder_finish(&b, &dict, err);
  tr_text_builder_drop(&b);
  if (st == TR_OK) st = tr_array_new_dict(tr_dtype_of(TR_STR), n, dict, out, err);
  tr_array_unref(dict);
  return st == TR_OK ? fill_array(ctx, *out, 0, err) : st;
}

enum tr_status tr_broadcast(struct tr_ctx *ctx, const struct tr_scalar *s, int64_t n, struct tr_array **out,
                            struct tr_error *err) {
  *out = NULL;
  if (s->is_null && (s->dtype.kind == TR_STR || tr_kind_is_float(s->dtype.kind) || tr_kind_is_time(s->dtype.kind)))
    return tr_array_new_null(s->dtype, n, out, err);
  if (s->dtype.kind == TR_CATEGORY) return tr_unsupported(err, "a categorical literal");
  enum tr_status st;
  if (s->dtype.kind == TR_STR) {
    st = broadcast_text(ctx, s, n, out, err);
  } else {
    uint64_t value = 0;
    tr_scalar_store(s, &value);
    st = tr_array_new(s->dtype, n, out, err);
    if (st == TR_OK) st = fill_array(ctx, *out, value, err);
  }
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}

/* Text WHERE and FILLNA: both sides made plain or brought to one dictionary by concatenation, then chosen by row. */
struct choose {
  const uint8_t *mask; /* WHERE; NULL = FILLNA */
  const void *a, *b;   /* views or codes */
  void *out;
  bool dict;
};

static enum tr_status choose_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct choose *c = arg;
  if (c->dict) {
    const int32_t *a = c->a, *b = c->b;
    int32_t *out = c->out;
    for (int64_t i = begin; i < end; i++) out[i] = (c->mask ? c->mask[i] : a[i] >= 0) ? a[i] : b[i];
  } else {
    const struct tr_view *a = c->a, *b = c->b;
    struct tr_view *out = c->out;
    for (int64_t i = begin; i < end; i++) out[i] = (c->mask ? c->mask[i] : a[i].size >= 0) ? a[i] : b[i];
  }
  return TR_OK;
}

enum tr_status tr_whole_choose_text(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *const *args,
                                    int64_t n_rows, struct tr_array **out, struct tr_error *err) {
  int first = e->op == TR_OP_WHERE ? 1 : 0;
  struct tr_array *sides[2] = {0}, *mask = NULL, *both = NULL;
  enum tr_status st = TR_OK;
  *out = NULL;
  for (int k = 0; k < 2; k++) {
    sides[k] = tr_array_ref(args[first + k]);
    if (!sides[k]) TR_GOTO(st, tr_broadcast(ctx, &e->args[first + k]->lit, n_rows, &sides[k], err));
  }
  if (first == 1) {
    mask = tr_array_ref(args[0]);
    if (!mask) TR_GOTO(st, tr_broadcast(ctx, &e->args[0]->lit, n_rows, &mask, err));
  }
  /* one array of both: codes of one dictionary, or views of one set of heaps */
  TR_GOTO(st, tr_array_concat(ctx, sides, 2, &both, err));
  bool dict = both->enc == TR_DICT;
  if (dict) {
    TR_GOTO(st, tr_array_new_dict(both->dtype, n_rows, both->dict, out, err));
  } else {
    TR_GOTO(st, tr_array_new(both->dtype, n_rows, out, err));
    TR_GOTO(st, tr_array_share_heaps(*out, both, err));
  }
  const char *data = tr_array_data(both);
  struct choose c = {.mask = mask ? tr_array_data(mask) : NULL,
                     .a = data,
                     .b = data + n_rows * (dict ? 4 : 16),
                     .out = tr_array_data(*out),
                     .dict = dict};
  st = tr_parallel_for(ctx, n_rows, tr_grain(ctx), choose_morsel, &c, err);
done:
  for (int k = 0; k < 2; k++) tr_array_unref(sides[k]);
  tr_array_unref(mask);
  tr_array_unref(both);
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}

enum tr_status tr_whole_eval(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *const *args, int64_t n_rows,
                             struct tr_array **out, struct tr_error *err) {
  *out = NULL;
  if (e->op == TR_OP_WHERE || e->op == TR_OP_FILLNA) return tr_whole_choose_text(ctx, e, args, n_rows, out, err);
  if (e->op == TR_OP_ADD) return tr_whole_concat_text(ctx, e, args, n_rows, out, err);
  struct tr_array *x = tr_array_ref(args[0]);
  enum tr_status st = TR_OK;
  if (!x) st = tr_broadcast(ctx, &e->args[0]->lit, n_rows, &x, err);
  if (st != TR_OK) return st;
  bool names = e->op == TR_OP_DT_DAY_NAME || e->op == TR_OP_DT_MONTH_NAME || e->op == TR_OP_DT_STRFTIME;
  if (e->op == TR_OP_CAST && e->dtype.kind == TR_CATEGORY) st = tr_whole_category(ctx, x, out, err);
  else if (e->op == TR_OP_CAST) st = tr_whole_to_text(ctx, e, x, out, err);
  else if (names) st = tr_whole_datetime_names(ctx, e, x, out, err);
  else st = tr_whole_text(ctx, e, x, out, err);
  tr_array_unref(x);
  return st;
}
