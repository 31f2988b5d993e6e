/* Text + text. A literal beside a dictionary makes a new dictionary; two short dictionaries make one of the pairs that
 * occur; everything else is written row by row. A missing side gives missing. */
#include "data/kern/expr/text/out_int.h"

enum { MOST_PAIRS = 1 << 20 };

struct side {
  const struct tr_array *values; /* plain texts; NULL = literal */
  const int32_t *codes;          /* NULL = row i is value i */
  const char *lit;
  int64_t n_lit;
  bool lit_null;
};

static inline bool side_text(const struct side *s, int64_t i, const char **p, int64_t *n) {
  if (!s->values) {
    *p = s->lit;
    *n = s->n_lit;
    return !s->lit_null;
  }
  int64_t at = s->codes ? s->codes[i] : i;
  if (at < 0) return false;
  const struct tr_view *v = tr_array_views(s->values) + at;
  if (v->size < 0) return false;
  *p = tr_view_bytes(s->values, v);
  *n = v->size;
  return true;
}

struct join {
  struct side side[2];
  struct tr_text_out out;
};

static enum tr_status join_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  for (int64_t i = begin; i < end; i++) {
    const char *a, *b;
    int64_t na, nb;
    char *room;
    if (!side_text(&j->side[0], i, &a, &na) || !side_text(&j->side[1], i, &b, &nb)) {
      tr_text_out_null(&j->out, i);
      continue;
    }
    TR_TRY(tr_text_out_room(&j->out, thread, na + nb, &room, err));
    memcpy(room, a, (size_t)na);
    memcpy(room + na, b, (size_t)nb);
    tr_text_out_put(&j->out, thread, i, room, na + nb);
  }
  return TR_OK;
}

static enum tr_status join_rows(struct tr_ctx *ctx, const struct side side[2], int64_t n, struct tr_array **out,
                                struct tr_error *err) {
  struct join j = {.side = {side[0], side[1]}};
  TR_TRY(tr_text_out_init(ctx, &j.out, n, err));
  enum tr_status st = tr_parallel_for(ctx, n, tr_grain(ctx), join_morsel, &j, err);
  tr_text_out_drop(&j.out);
  if (st == TR_OK) *out = j.out.array;
  else tr_array_unref(j.out.array);
  return st;
}

struct pairs {
  const int32_t *a, *b;
  int64_t n_b;
  int32_t *number;
  uint8_t *occurs;
  int32_t *codes;
};

/* occurs[pair] = 1 where it does; codes = pair. Threads that race store the same byte. */
static enum tr_status mark_pairs(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct pairs *p = arg;
  for (int64_t i = begin; i < end; i++) {
    const bool null = p->a[i] < 0 || p->b[i] < 0;
    const int32_t pair = null ? -1 : (int32_t)(p->a[i] * p->n_b + p->b[i]);
    p->codes[i] = pair;
    if (!null && !__atomic_load_n(&p->occurs[pair], __ATOMIC_RELAXED))
      __atomic_store_n(&p->occurs[pair], 1, __ATOMIC_RELAXED);
  }
  return TR_OK;
}

static enum tr_status renumber(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct pairs *p = arg;
  for (int64_t i = begin; i < end; i++)
    if (p->codes[i] >= 0) p->codes[i] = p->number[p->codes[i]];
  return TR_OK;
}

/* Numbers the pairs that occur and writes their texts, in order of pair. */
static enum tr_status pair_texts(struct tr_ctx *ctx, const struct pairs *p, int64_t n_a, const struct tr_array *x,
                                 const struct tr_array *y, struct tr_array **out, struct tr_error *err) {
  int64_t n = 0, n_pairs = n_a * p->n_b;
  for (int64_t k = 0; k < n_pairs; k++) n += p->occurs[k];
  void *memory = NULL;
  TR_TRY(tr_mem_alloc((size_t)n * 8, &memory, err));
  int32_t *left = memory, *right = left + n;
  n = 0;
  for (int64_t k = 0; k < n_pairs; k++) {
    if (!p->occurs[k]) continue;
    left[n] = (int32_t)(k / p->n_b);
    right[n] = (int32_t)(k % p->n_b);
    p->number[k] = (int32_t)n++;
  }
  struct side sides[2] = {{.values = x->dict, .codes = left}, {.values = y->dict, .codes = right}};
  enum tr_status st = join_rows(ctx, sides, n, out, err);
  tr_mem_free(memory, (size_t)n * 8);
  return st;
}

/* number[pair] = code in `distinct`, the pairs' texts made distinct ("a" + "bc" is "ab" + "c"). */
static void final_numbers(int32_t *number, int64_t n_pairs, const uint8_t *occurs, const struct tr_array *distinct) {
  const int32_t *codes = tr_array_codes(distinct);
  for (int64_t k = 0; k < n_pairs; k++)
    if (occurs[k]) number[k] = codes[number[k]];
}

static enum tr_status join_dictionaries(struct tr_ctx *ctx, struct tr_array *x, struct tr_array *y,
                                        struct tr_array **out, struct tr_error *err) {
  int64_t n = x->length, n_pairs = x->dict->length * y->dict->length;
  size_t bytes = (size_t)n_pairs * 5 + 64;
  void *memory = NULL;
  struct tr_array *texts = NULL, *distinct = NULL, *paired = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc(bytes, &memory, err));
  TR_GOTO(st, tr_array_new_dict(tr_dtype_of(TR_STR), n, x->dict, &paired, err));
  struct pairs p = {.a = tr_array_codes(x),
                    .b = tr_array_codes(y),
                    .n_b = y->dict->length,
                    .number = memory,
                    .codes = tr_array_data(paired)};
  p.occurs = (uint8_t *)(p.number + n_pairs);
  TR_GOTO(st, tr_parallel_for(ctx, n, tr_grain(ctx), mark_pairs, &p, err));
  TR_GOTO(st, pair_texts(ctx, &p, x->dict->length, x, y, &texts, err));
  TR_GOTO(st, tr_array_encode(ctx, texts, INT32_MAX, &distinct, err));
  if (!distinct) TR_GOTO(st, tr_unsupported(err, "too many texts"));
  final_numbers(p.number, n_pairs, p.occurs, distinct);
  TR_GOTO(st, tr_parallel_for(ctx, n, tr_grain(ctx), renumber, &p, err));
  tr_array_unref(paired->dict); /* the codes are those of `distinct` now */
  paired->dict = tr_array_ref(distinct->dict);
  paired->dict_sorted = false;
  *out = tr_array_ref(paired);
done:
  tr_array_unref(texts);
  tr_array_unref(distinct);
  tr_array_unref(paired);
  tr_mem_free(memory, bytes);
  return st;
}

static struct side make_side(const struct tr_expr *e, const struct tr_array *a) {
  if (!a)
    return (struct side){.lit = e->lit.is_null || !e->lit.s.ptr ? "" : e->lit.s.ptr,
                         .n_lit = e->lit.is_null ? 0 : e->lit.s.len,
                         .lit_null = e->lit.is_null};
  if (a->enc == TR_PLAIN) return (struct side){.values = a};
  return (struct side){.values = a->dict, .codes = tr_array_codes(a)};
}

enum tr_status tr_whole_concat_text(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *const *args,
                                    int64_t n_rows, struct tr_array **out, struct tr_error *err) {
  struct tr_array *x = args[0], *y = args[1], *texts = NULL;
  struct side sides[2] = {make_side(e->args[0], x), make_side(e->args[1], y)};
  *out = NULL;
  if (x && y) {
    bool dicts = x->enc == TR_DICT && y->enc == TR_DICT && x->dict->length > 0 && y->dict->length > 0;
    int64_t most = n_rows / 2 + 64 < MOST_PAIRS ? n_rows / 2 + 64 : MOST_PAIRS;
    if (dicts && x->dict->length <= most / y->dict->length) return join_dictionaries(ctx, x, y, out, err);
    return join_rows(ctx, sides, n_rows, out, err);
  }
  struct tr_array *column = x ? x : y;
  if (column->enc == TR_PLAIN || column->dict->length > n_rows + 64) return join_rows(ctx, sides, n_rows, out, err);
  sides[x ? 0 : 1].codes = NULL; /* over the dictionary */
  TR_TRY(join_rows(ctx, sides, column->dict->length, &texts, err));
  enum tr_status st = tr_text_redistinct(ctx, tr_array_codes(column), n_rows, texts, out, err);
  tr_array_unref(texts);
  return st;
}
