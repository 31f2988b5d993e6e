/* Expression nodes: making, sharing, comparing, hashing and rewriting them. A node owns a reference to each argument
 * and copies of its texts and scalars, so that a plan never points into Python's memory. Which dtypes an operation
 * takes is decided in expr_ops*.c when the node is made. */
#include "meta/plan/expr.h"
#include "base/hash.h"
#include "base/mem.h"
#include "meta/plan/expr_int.h"
#include <string.h>

static const struct {
  const char *name;
  int n_args;
} ops[TR_N_OPS] = {
#define X(name, n) {#name, n},
    TR_EXPR_OPS(X)
#undef X
};

const char *tr_expr_op_name(enum tr_expr_op op) { return ops[op].name; }

int tr_expr_op_parse(const char *name) {
  for (int i = 0; i < TR_N_OPS; i++)
    if (strcmp(ops[i].name, name) == 0) return i;
  return -1;
}

static enum tr_status copy_bytes(const char *s, size_t n, char **out, struct tr_error *err) {
  void *p;
  TR_TRY(tr_mem_alloc(n + 1, &p, err));
  memcpy(p, s, n);
  ((char *)p)[n] = 0;
  *out = p;
  return TR_OK;
}

static bool has_text(const struct tr_scalar *s) { return s->dtype.kind == TR_STR && !s->is_null && s->s.ptr; }

static enum tr_status scalar_copy(const struct tr_scalar *from, struct tr_scalar *to, struct tr_error *err) {
  *to = *from;
  if (!has_text(from)) return TR_OK;
  char *text = NULL;
  to->s.ptr = NULL;
  TR_TRY(copy_bytes(from->s.ptr, (size_t)from->s.len, &text, err));
  to->s.ptr = text;
  return TR_OK;
}

static void scalar_drop(struct tr_scalar *s) {
  if (has_text(s)) tr_mem_free((void *)(uintptr_t)s->s.ptr, (size_t)s->s.len + 1);
}

static enum tr_status node_new(enum tr_expr_op op, struct tr_expr **out, struct tr_error *err) {
  void *p;
  *out = NULL;
  TR_TRY(tr_mem_calloc(sizeof(struct tr_expr), &p, err));
  struct tr_expr *e = p;
  atomic_init(&e->refs, 1);
  e->op = (uint16_t)op;
  *out = e;
  return TR_OK;
}

struct tr_expr *tr_expr_ref(struct tr_expr *e) {
  if (e) atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
  return e;
}

void tr_expr_unref(struct tr_expr *e) {
  if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1) return;
  for (int i = 0; i < e->n_args; i++) tr_expr_unref(e->args[i]);
  scalar_drop(&e->lit);
  if (e->text) tr_mem_free(e->text, strlen(e->text) + 1);
  if (e->text2) tr_mem_free(e->text2, strlen(e->text2) + 1);
  for (int64_t i = 0; i < e->n_list; i++) scalar_drop(&e->list[i]);
  if (e->list) tr_mem_free(e->list, (size_t)e->n_list * sizeof *e->list);
  tr_mem_free(e, sizeof *e);
}

enum tr_status tr_expr_col(int32_t column, struct tr_dtype dtype, bool maybe_null, struct tr_expr **out,
                           struct tr_error *err) {
  TR_TRY(node_new(TR_OP_COL, out, err));
  (*out)->column = column;
  (*out)->dtype = dtype;
  (*out)->maybe_null = maybe_null && dtype.kind != TR_BOOL && !tr_kind_is_int(dtype.kind);
  return TR_OK;
}

enum tr_status tr_expr_lit(const struct tr_scalar *value, bool weak, struct tr_expr **out, struct tr_error *err) {
  struct tr_expr *e;
  *out = NULL;
  TR_TRY(node_new(TR_OP_LIT, &e, err));
  enum tr_status st = scalar_copy(value, &e->lit, err);
  if (st != TR_OK) {
    memset(&e->lit, 0, sizeof e->lit);
    tr_expr_unref(e);
    return st;
  }
  e->dtype = value->dtype;
  bool nan = tr_kind_is_float(value->dtype.kind) && !value->is_null && value->f != value->f;
  bool nat = tr_kind_is_time(value->dtype.kind) && !value->is_null && value->i == TR_NAT;
  if (nan || nat) e->lit.is_null = true;
  e->maybe_null = e->lit.is_null;
  e->weak = weak && value->dtype.kind != TR_BOOL && tr_kind_is_number(value->dtype.kind);
  *out = e;
  return TR_OK;
}

static enum tr_status copy_params(struct tr_expr *e, const struct tr_expr_params *p, struct tr_error *err) {
  memcpy(e->params, p->params, sizeof e->params);
  if (p->text) TR_TRY(copy_bytes(p->text, strlen(p->text), &e->text, err));
  if (p->text2) TR_TRY(copy_bytes(p->text2, strlen(p->text2), &e->text2, err));
  if (p->n_list <= 0) return TR_OK;
  void *list;
  TR_TRY(tr_mem_calloc((size_t)p->n_list * sizeof *e->list, &list, err));
  e->list = list;
  e->n_list = p->n_list;
  for (int64_t i = 0; i < p->n_list; i++) {
    enum tr_status st = scalar_copy(&p->list[i], &e->list[i], err);
    if (st != TR_OK) return st;
  }
  return TR_OK;
}

enum tr_status tr_expr_make(enum tr_expr_op op, struct tr_expr *const *args, int n_args,
                            const struct tr_expr_params *params, struct tr_expr **out, struct tr_error *err) {
  static const struct tr_expr_params none;
  *out = NULL;
  if ((int)op < 0 || op >= TR_N_OPS || op == TR_OP_COL || op == TR_OP_LIT)
    return tr_fail(err, TR_EXC_VALUE, "no such operation");
  if (n_args < 0 || n_args > TR_EXPR_MAX_ARGS || (ops[op].n_args >= 0 && ops[op].n_args != n_args))
    return tr_fail(err, TR_EXC_VALUE, "%s takes %d arguments, not %d", ops[op].name, ops[op].n_args, n_args);
  struct tr_infer in = {.op = op, .n_args = n_args, .params = params ? params : &none};
  for (int i = 0; i < n_args; i++) in.args[i] = tr_expr_ref(args[i]);
  struct tr_expr *e = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_infer(&in, err));
  TR_GOTO(st, node_new(op, &e, err));
  for (int i = 0; i < n_args; i++) e->args[i] = tr_expr_ref(in.args[i]);
  e->n_args = (uint8_t)n_args;
  e->dtype = in.dtype;
  e->maybe_null = in.maybe_null;
  e->dtype_depends_on_data = in.depends;
  TR_GOTO(st, copy_params(e, in.params, err));
  e->may_raise = tr_expr_outcome(e) == TR_OUTCOME_RAISES;
  e->may_refuse = tr_expr_outcome(e) == TR_OUTCOME_REFUSES;
  for (int i = 0; i < n_args; i++) {
    e->may_raise |= e->args[i]->may_raise;
    e->may_refuse |= e->args[i]->may_refuse;
  }
  *out = e;
  e = NULL;
done:
  for (int i = 0; i < n_args; i++) tr_expr_unref(in.args[i]);
  tr_expr_unref(e);
  return st;
}

static bool scalar_eq(const struct tr_scalar *a, const struct tr_scalar *b) {
  if (!tr_dtype_eq(a->dtype, b->dtype) || a->is_null != b->is_null) return false;
  if (a->is_null) return true;
  if (a->dtype.kind != TR_STR) return a->u == b->u; /* bits: -0.0 is not 0.0 */
  return a->s.len == b->s.len && memcmp(a->s.ptr, b->s.ptr, (size_t)a->s.len) == 0;
}

static bool text_eq(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

bool tr_expr_eq(const struct tr_expr *a, const struct tr_expr *b) {
  if (a == b) return true;
  if (a->op != b->op || a->n_args != b->n_args || !tr_dtype_eq(a->dtype, b->dtype) || a->weak != b->weak) return false;
  if (a->column != b->column || a->n_list != b->n_list || memcmp(a->params, b->params, sizeof a->params) != 0)
    return false;
  if (a->op == TR_OP_LIT && !scalar_eq(&a->lit, &b->lit)) return false;
  if (!text_eq(a->text, b->text) || !text_eq(a->text2, b->text2)) return false;
  for (int64_t i = 0; i < a->n_list; i++)
    if (!scalar_eq(&a->list[i], &b->list[i])) return false;
  for (int i = 0; i < a->n_args; i++)
    if (!tr_expr_eq(a->args[i], b->args[i])) return false;
  return true;
}

static uint64_t scalar_hash(const struct tr_scalar *s) {
  if (s->is_null) return 1;
  return s->dtype.kind == TR_STR ? tr_hash_bytes(s->s.ptr, (size_t)s->s.len) : tr_hash_u64(s->u);
}

uint64_t tr_expr_hash(const struct tr_expr *e) {
  uint64_t h =
      tr_hash_mix((uint64_t)e->op << 32 | (uint64_t)e->dtype.kind << 8 | e->dtype.unit, (uint64_t)(uint32_t)e->column);
  if (e->op == TR_OP_LIT) h = tr_hash_mix(h, scalar_hash(&e->lit));
  h = tr_hash_mix(h, tr_hash_bytes(e->params, sizeof e->params));
  if (e->text) h = tr_hash_mix(h, tr_hash_bytes(e->text, strlen(e->text)));
  if (e->text2) h = tr_hash_mix(h, tr_hash_bytes(e->text2, strlen(e->text2)) + 1);
  for (int64_t i = 0; i < e->n_list; i++) h = tr_hash_mix(h, scalar_hash(&e->list[i]));
  for (int i = 0; i < e->n_args; i++) h = tr_hash_mix(h, tr_expr_hash(e->args[i]));
  return h;
}

int tr_expr_max_column(const struct tr_expr *e) {
  int top = e->op == TR_OP_COL ? e->column : -1;
  for (int i = 0; i < e->n_args; i++) {
    int k = tr_expr_max_column(e->args[i]);
    if (k > top) top = k;
  }
  return top;
}

void tr_expr_columns(const struct tr_expr *e, bool *used) {
  if (e->op == TR_OP_COL) used[e->column] = true;
  for (int i = 0; i < e->n_args; i++) tr_expr_columns(e->args[i], used);
}

/* A literal that has become a column is no longer weak. */
static enum tr_status as_column(struct tr_expr *e, struct tr_expr **out, struct tr_error *err) {
  if (!(e->op == TR_OP_LIT && e->weak)) {
    *out = tr_expr_ref(e);
    return TR_OK;
  }
  return tr_expr_lit(&e->lit, false, out, err);
}

enum tr_status tr_expr_substitute(const struct tr_expr *e, struct tr_expr *const *subst, struct tr_expr **out,
                                  struct tr_error *err) {
  *out = NULL;
  if (e->op == TR_OP_COL) return as_column(subst[e->column], out, err);
  struct tr_expr *self = (struct tr_expr *)(uintptr_t)e;
  if (e->n_args == 0) {
    *out = tr_expr_ref(self);
    return TR_OK;
  }
  struct tr_expr *args[TR_EXPR_MAX_ARGS] = {0};
  enum tr_status st = TR_OK;
  bool same = true;
  for (int i = 0; i < e->n_args; i++) {
    TR_GOTO(st, tr_expr_substitute(e->args[i], subst, &args[i], err));
    same = same && args[i] == e->args[i];
  }
  if (same) {
    *out = tr_expr_ref(self);
    goto done;
  }
  struct tr_expr_params p = {
      .text = e->text, .text2 = e->text2, .list = e->list, .n_list = e->n_list, .dtype = e->dtype};
  memcpy(p.params, e->params, sizeof p.params);
  st = tr_expr_make((enum tr_expr_op)e->op, args, e->n_args, &p, out, err);
done:
  for (int i = 0; i < e->n_args; i++) tr_expr_unref(args[i]);
  return st;
}
