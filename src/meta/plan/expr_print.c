/* Expressions as text for people: "(c0 + 1) > c2", "str_len(name)". */
#include "meta/plan/expr.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct out {
  char *buf;
  int64_t size, used;
};

static void put(struct out *o, const char *format, ...) TR_PRINTF(2, 3);
static void put(struct out *o, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  int64_t room = o->size > o->used ? o->size - o->used : 0;
  int n = vsnprintf(room ? o->buf + o->used : NULL, (size_t)room, format, ap);
  va_end(ap);
  if (n > 0) o->used += n;
}

static void put_scalar(struct out *o, const struct tr_scalar *s) {
  if (s->is_null) put(o, s->dtype.kind == TR_STR ? "None" : tr_kind_is_time(s->dtype.kind) ? "NaT" : "nan");
  else if (s->dtype.kind == TR_STR) put(o, "'%.*s'", (int)(s->s.len > 60 ? 60 : s->s.len), s->s.ptr);
  else if (s->dtype.kind == TR_BOOL) put(o, s->i ? "True" : "False");
  else if (tr_kind_is_float(s->dtype.kind)) put(o, "%.17g", s->f);
  else if (tr_kind_is_int(s->dtype.kind) && !tr_kind_is_signed(s->dtype.kind)) put(o, "%" PRIu64, s->u);
  else put(o, "%" PRId64 "%s", s->i, tr_kind_is_time(s->dtype.kind) ? tr_dtype_name(s->dtype) : "");
}

static const char *infix(int op) {
  static const char *const signs[TR_N_OPS] = {
      [TR_OP_ADD] = "+",       [TR_OP_SUB] = "-", [TR_OP_MUL] = "*",  [TR_OP_TRUEDIV] = "/",
      [TR_OP_FLOORDIV] = "//", [TR_OP_MOD] = "%", [TR_OP_POW] = "**", [TR_OP_EQ] = "==",
      [TR_OP_NE] = "!=",       [TR_OP_LT] = "<",  [TR_OP_LE] = "<=",  [TR_OP_GT] = ">",
      [TR_OP_GE] = ">=",       [TR_OP_AND] = "&", [TR_OP_OR] = "|",   [TR_OP_XOR] = "^"};
  return signs[op];
}

static void put_expr(struct out *o, const struct tr_expr *e, const char *const *names, bool inner);

static void put_call(struct out *o, const struct tr_expr *e, const char *const *names) {
  for (const char *c = tr_expr_op_name((enum tr_expr_op)e->op); *c; c++) put(o, "%c", tolower((unsigned char)*c));
  put(o, "(");
  for (int i = 0; i < e->n_args; i++) {
    if (i) put(o, ", ");
    put_expr(o, e->args[i], names, false);
  }
  if (e->op == TR_OP_CAST) put(o, ", %s", tr_dtype_name(e->dtype));
  if (e->text) put(o, ", '%s'", e->text);
  if (e->text2) put(o, ", '%s'", e->text2);
  for (int64_t i = 0; i < e->n_list && i < 8; i++) {
    put(o, i ? ", " : ", [");
    put_scalar(o, &e->list[i]);
  }
  if (e->n_list) put(o, e->n_list > 8 ? ", … %" PRId64 " values]" : "]", e->n_list);
  int last = 3;
  while (last >= 0 && e->params[last] == 0) last--;
  for (int i = 0; i <= last; i++) {
    if (e->params[i] == INT64_MIN) put(o, ", None");
    else put(o, ", %" PRId64, e->params[i]);
  }
  put(o, ")");
}

static void put_expr(struct out *o, const struct tr_expr *e, const char *const *names, bool inner) {
  if (e->op == TR_OP_COL) {
    if (names) put(o, "%s", names[e->column]);
    else put(o, "c%d", e->column);
  } else if (e->op == TR_OP_LIT) {
    put_scalar(o, &e->lit);
  } else if (infix(e->op)) {
    if (inner) put(o, "(");
    put_expr(o, e->args[0], names, true);
    put(o, " %s ", infix(e->op));
    put_expr(o, e->args[1], names, true);
    if (inner) put(o, ")");
  } else if (e->op == TR_OP_INVERT || e->op == TR_OP_NEG) {
    put(o, e->op == TR_OP_NEG ? "-" : "~");
    put_expr(o, e->args[0], names, true);
  } else {
    put_call(o, e, names);
  }
}

int64_t tr_expr_print(const struct tr_expr *e, const char *const *names, char *buf, int64_t size) {
  struct out o = {.buf = buf, .size = size};
  if (size > 0) buf[0] = 0;
  put_expr(&o, e, names, false);
  return o.used;
}
