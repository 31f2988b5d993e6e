/* Operations that read text and give a fixed-width value, and operations on categories.
 *
 * Over a dictionary the operation runs once per dictionary value (by evaluating the same operation over the dictionary
 * as a column) and the rows look its result up by code; equality with a literal becomes one comparison of codes. Plain
 * text runs the kernels of text/kernels.c over views. A dictionary longer than the column is decoded first.
 */
#include "data/kern/expr/program_int.h"
#include <string.h>

static void lut_1(struct tr_call *c) {
  const int32_t *restrict code = c->in[0].p;
  const uint8_t *restrict v = ((const struct tr_lut *)c->state)->values;
  uint8_t *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) out[i] = v[code[i]];
}

static void lut_4(struct tr_call *c) {
  const int32_t *restrict code = c->in[0].p;
  const uint32_t *restrict v = ((const struct tr_lut *)c->state)->values;
  uint32_t *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) out[i] = v[code[i]];
}

static void lut_8(struct tr_call *c) {
  const int32_t *restrict code = c->in[0].p;
  const uint64_t *restrict v = ((const struct tr_lut *)c->state)->values;
  uint64_t *restrict out = c->out;
  const int64_t n = c->n;
  int32_t least = 0;
  for (int64_t i = 0; i < n; i++) {
    least = code[i] < least ? code[i] : least;
    out[i] = v[code[i]];
  }
  if (least < 0) c->saw |= TR_SAW_NULL;
}

static void code_eq(struct tr_call *c) {
  const int32_t *restrict code = c->in[0].p;
  const int32_t k = (int32_t)((const int64_t *)c->state)[0];
  uint8_t *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) out[i] = code[i] == k;
}

static void code_ne(struct tr_call *c) {
  const int32_t *restrict code = c->in[0].p;
  const int32_t k = (int32_t)((const int64_t *)c->state)[0];
  uint8_t *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) out[i] = code[i] != k;
}

static void codes_eq(struct tr_call *c) {
  const int32_t *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  uint8_t *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) out[i] = (a[i] == b[i]) & (a[i] >= 0);
}

static void codes_ne(struct tr_call *c) {
  const int32_t *restrict a = c->in[0].p, *restrict b = c->in[1].p;
  uint8_t *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) out[i] = (a[i] != b[i]) | (a[i] < 0);
}

static const struct tr_slot bool_slot = {.rep = TR_BOOL, .width = 1};

/* Code of a text literal in a text dictionary; -2 when it is not there. */
static int32_t find_code(const struct tr_array *dict, const struct tr_scalar *s) {
  if (s->is_null || s->s.len > INT32_MAX) return -2;
  const struct tr_view *views = tr_array_views(dict);
  for (int64_t i = 0; i < dict->length; i++)
    if (views[i].size == (int32_t)s->s.len && memcmp(tr_view_bytes(dict, &views[i]), s->s.ptr, (size_t)s->s.len) == 0)
      return (int32_t)i;
  return -2;
}

static enum tr_status compile_code_test(struct tr_program *p, struct tr_expr *e, int column, const struct tr_scalar *s,
                                        int *slot, struct tr_error *err) {
  struct tr_step step = {.e = e, .kernel = e->op == TR_OP_EQ ? code_eq : code_ne, .n_in = 1, .in = {column}};
  step.params[0] = find_code(p->slots[column].array->dict, s);
  return tr_program_step(p, &step, &bool_slot, slot, err);
}

static bool list_has_null(const struct tr_expr *e) {
  for (int64_t i = 0; i < e->n_list; i++)
    if (e->list[i].is_null) return true;
  return false;
}

/* What the operation gives for a missing text: bytes of 0 or 1, or the mark. */
static uint64_t null_result(const struct tr_expr *e, bool marks) {
  if (marks) return (uint64_t)INT64_MIN;
  return e->op == TR_OP_NE || e->op == TR_OP_ISNA || (e->op == TR_OP_ISIN && list_has_null(e));
}

/* e with argument k replaced by column 0, the dictionary's values. */
static enum tr_status over_dictionary(struct tr_program *p, const struct tr_expr *e, int k, struct tr_array *dict,
                                      struct tr_array **out, struct tr_error *err) {
  struct tr_expr *args[TR_EXPR_MAX_ARGS], *col = NULL, *op = NULL;
  struct tr_frame *frame = NULL;
  *out = NULL;
  struct tr_expr_params params = {
      .text = e->text, .text2 = e->text2, .list = e->list, .n_list = e->n_list, .dtype = e->dtype};
  memcpy(params.params, e->params, sizeof params.params);
  memcpy(args, e->args, sizeof args);
  enum tr_status st;
  TR_GOTO(st, tr_expr_col(0, dict->dtype, false, &col, err));
  args[k] = col;
  TR_GOTO(st, tr_expr_make((enum tr_expr_op)e->op, args, e->n_args, &params, &op, err));
  TR_GOTO(st, tr_frame_new(dict->length, 1, &dict, &frame, err));
  st = tr_expr_eval(p->ctx, &op, 1, frame, out, err);
done:
  tr_expr_unref(op);
  tr_expr_unref(col);
  tr_frame_unref(frame);
  return st;
}

/* [null result, value of dictionary entry 0, 1, …] in a buffer of its own. */
static enum tr_status make_table(struct tr_program *p, const struct tr_expr *e, int k, struct tr_array *dict,
                                 bool marks, struct tr_array **table, struct tr_error *err) {
  struct tr_array *values = NULL;
  TR_TRY(over_dictionary(p, e, k, dict, &values, err));
  enum tr_status st = tr_array_new(values->dtype, values->length + 1, table, err);
  if (st == TR_OK) {
    int w = tr_dtype_width(values->dtype);
    char *to = tr_array_data(*table);
    uint64_t null = null_result(e, marks);
    if (e->op == TR_OP_CAST && values->dtype.kind == TR_F64) {
      double nan = __builtin_nan("");
      memcpy(&null, &nan, 8);
    }
    memcpy(to, &null, (size_t)w);
    memcpy(to + w, tr_array_data(values), (size_t)(values->length * w));
  }
  tr_array_unref(values);
  return st;
}

static enum tr_status compile_lut(struct tr_program *p, struct tr_expr *e, int k, int column, int *slot,
                                  struct tr_error *err) {
  struct tr_array *table = NULL;
  bool marks = e->op == TR_OP_STR_LEN || e->op == TR_OP_STR_FIND || e->op == TR_OP_STR_COUNT;
  TR_TRY(make_table(p, e, k, p->slots[column].array->dict, marks, &table, err));
  int w = tr_dtype_width(table->dtype);
  struct tr_step s = {.e = e,
                      .kernel = w == 1   ? lut_1
                                : w == 4 ? lut_4
                                         : lut_8,
                      .n_in = 1,
                      .in = {column},
                      .owned = table};
  struct tr_slot out = {.rep = table->dtype.kind, .width = (uint8_t)w, .marks_null = marks};
  if (w == 2) {
    tr_array_unref(table);
    return tr_unsupported(err, "a table of 2-byte values");
  }
  s.lut.values = (const char *)tr_array_data(table) + w;
  enum tr_status st = tr_program_step(p, &s, &out, slot, err);
  if (st != TR_OK) {
    tr_array_unref(table);
    return st;
  }
  p->steps[p->n_steps - 1].use_lut = true;
  return TR_OK;
}

/* Column slot of plain text for `slot`, decoding a dictionary. */
static enum tr_status plain_column(struct tr_program *p, int slot, int *plain, struct tr_error *err) {
  struct tr_array *decoded = NULL, *a = p->slots[slot].array;
  *plain = slot;
  if (p->slots[slot].kind != TR_SLOT_COLUMN || a->enc == TR_PLAIN) return TR_OK;
  TR_TRY(tr_array_decode(p->ctx, a, &decoded, err));
  return tr_program_column(p, decoded, plain, err);
}

static enum tr_status compile_plain(struct tr_program *p, struct tr_expr *e, const int *in, int *slot,
                                    struct tr_error *err) {
  struct tr_lower lo = {0};
  if (!tr_lower_text(e, &lo))
    return tr_unsupported(err, "%s giving %s is not native", tr_expr_op_name((enum tr_expr_op)e->op),
                          tr_dtype_name(e->dtype));
  struct tr_step s = {.e = e, .kernel = lo.kernel, .n_in = e->n_args};
  for (int k = 0; k < e->n_args; k++) TR_TRY(plain_column(p, in[k], &s.in[k], err));
  for (int k = 0; k < e->n_args; k++)
    if (p->slots[s.in[k]].kind == TR_SLOT_CONST && e->n_args == 1)
      return tr_unsupported(err, "text operation on a literal");
  struct tr_slot out = {.rep = lo.out_rep,
                        .marks_null = lo.marks_null,
                        .width = (uint8_t)tr_dtype_width(tr_dtype_of((enum tr_kind)lo.out_rep))};
  TR_TRY(tr_text_state(p->ctx, e, &s.text_state, err));
  s.state = s.text_state;
  enum tr_status st = tr_program_step(p, &s, &out, slot, err);
  if (st != TR_OK) tr_text_state_free(e, s.text_state);
  return st;
}

static bool is_dict(const struct tr_program *p, int slot) {
  return p->slots[slot].kind == TR_SLOT_COLUMN && p->slots[slot].array->enc == TR_DICT;
}

/* One dictionary column and literals otherwise? Gives its argument number, else -1. */
static int lone_dictionary(const struct tr_program *p, const struct tr_expr *e, const int *in) {
  int found = -1;
  for (int k = 0; k < e->n_args; k++) {
    if (p->slots[in[k]].kind == TR_SLOT_CONST) continue;
    if (found >= 0 || !is_dict(p, in[k])) return -1;
    found = k;
  }
  return found;
}

/* The kernels read the views of a column: when all operands are literals, the first is spread over the rows. */
static enum tr_status spread_literal(struct tr_program *p, const struct tr_expr *e, int *in, struct tr_error *err) {
  for (int k = 0; k < e->n_args; k++)
    if (p->slots[in[k]].kind != TR_SLOT_CONST) return TR_OK;
  if (e->n_args == 0 || !p->slots[in[0]].lit) return TR_OK;
  struct tr_array *column = NULL;
  TR_TRY(tr_broadcast(p->ctx, p->slots[in[0]].lit, p->in->n_rows, &column, err));
  return tr_program_column(p, column, &in[0], err);
}

enum tr_status tr_compile_text(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err) {
  int in[TR_EXPR_MAX_ARGS];
  for (int k = 0; k < e->n_args; k++) TR_TRY(tr_compile(p, e->args[k], &in[k], err));
  TR_TRY(spread_literal(p, e, in, err));
  int d = lone_dictionary(p, e, in);
  bool equality = e->op == TR_OP_EQ || e->op == TR_OP_NE;
  if (d >= 0) {
    struct tr_array *a = p->slots[in[d]].array;
    bool category = a->dtype.kind == TR_CATEGORY, text = a->dict->dtype.kind == TR_STR;
    const struct tr_scalar *lit = e->n_args == 2 && e->args[1 - d]->op == TR_OP_LIT ? &e->args[1 - d]->lit : NULL;
    if (equality && lit && text && lit->dtype.kind == TR_STR) return compile_code_test(p, e, in[d], lit, slot, err);
    bool to_int = e->op == TR_OP_CAST && tr_kind_is_int(e->dtype.kind); /* a missing value must raise */
    if (!to_int && (category || a->dict->length <= p->in->n_rows + 64)) {
      enum tr_status st = compile_lut(p, e, d, in[d], slot, err);
      if (st == TR_OK || category || e->op != TR_OP_CAST) return st;
    }
  }
  if (e->n_args == 2 && equality && is_dict(p, in[0]) && is_dict(p, in[1]) &&
      p->slots[in[0]].array->dict == p->slots[in[1]].array->dict) {
    struct tr_step s = {.e = e, .kernel = e->op == TR_OP_EQ ? codes_eq : codes_ne, .n_in = 2, .in = {in[0], in[1]}};
    return tr_program_step(p, &s, &bool_slot, slot, err);
  }
  return compile_plain(p, e, in, slot, err);
}
