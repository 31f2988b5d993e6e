/* From expression trees to steps over slots. Equal subtrees share a slot; what is constant is folded by running its
 * kernel once on one value. */
#include "data/kern/expr/program_int.h"
#include <string.h>

static enum tr_status grow(void **items, int n, int *cap, size_t size, struct tr_error *err) {
  if (n < *cap) return TR_OK;
  int wider = *cap ? *cap * 2 : 16;
  TR_TRY(tr_mem_realloc(items, (size_t)*cap * size, (size_t)wider * size, err));
  *cap = wider;
  return TR_OK;
}

enum tr_status tr_program_slot(struct tr_program *p, const struct tr_slot *s, int *slot, struct tr_error *err) {
  void *items = p->slots;
  TR_TRY(grow(&items, p->n_slots, &p->cap_slots, sizeof *p->slots, err));
  p->slots = items;
  p->slots[p->n_slots] = *s;
  *slot = p->n_slots++;
  return TR_OK;
}

enum tr_status tr_program_column(struct tr_program *p, struct tr_array *array, int *slot, struct tr_error *err) {
  struct tr_slot s = {
      .kind = TR_SLOT_COLUMN, .rep = tr_rep_of(array->dtype), .array = array, .base = tr_array_data(array)};
  s.width = (uint8_t)(array->enc == TR_DICT ? 4 : tr_dtype_width(array->dtype));
  enum tr_status st = tr_program_slot(p, &s, slot, err);
  if (st != TR_OK) tr_array_unref(array);
  return st;
}

static struct tr_operand constant_operand(const struct tr_slot *s) {
  return (struct tr_operand){.p = &s->value, .is_const = true, .lit = s->lit};
}

/* Runs a step whose inputs are all constant. */
static enum tr_status fold(struct tr_program *p, const struct tr_step *s, const struct tr_slot *out, int *slot,
                           struct tr_error *err) {
  struct tr_slot folded = *out;
  folded.kind = TR_SLOT_CONST;
  folded.value = 0;
  struct tr_call c = {.e = s->e, .n = 1, .out = &folded.value, .state = s->state ? s->state : s->params};
  for (int k = 0; k < s->n_in; k++) c.in[k] = constant_operand(&p->slots[s->in[k]]);
  s->kernel(&c);
  TR_TRY(tr_saw_error(s->e, c.saw, err));
  return tr_program_slot(p, &folded, slot, err);
}

static bool all_constant(const struct tr_program *p, const struct tr_step *s) {
  for (int k = 0; k < s->n_in; k++)
    if (p->slots[s->in[k]].kind != TR_SLOT_CONST || p->slots[s->in[k]].rep == TR_STR) return false;
  return s->n_in > 0;
}

enum tr_status tr_program_step(struct tr_program *p, const struct tr_step *s, const struct tr_slot *out, int *slot,
                               struct tr_error *err) {
  if (all_constant(p, s)) return fold(p, s, out, slot, err);
  void *items = p->steps;
  TR_TRY(grow(&items, p->n_steps, &p->cap_steps, sizeof *p->steps, err));
  p->steps = items;
  TR_TRY(tr_program_slot(p, out, slot, err));
  struct tr_step *step = &p->steps[p->n_steps];
  memcpy((void *)step, s, sizeof *step);
  step->out = *slot;
  atomic_init(&step->saw, 0);
  p->slots[*slot].kind = TR_SLOT_REG;
  p->slots[*slot].reg = -1;
  p->n_steps++;
  return TR_OK;
}

/* An earlier step that does the same conversion. */
static int find_conversion(const struct tr_program *p, tr_kernel kernel, int from, int64_t factor) {
  for (int i = 0; i < p->n_steps; i++) {
    const struct tr_step *s = &p->steps[i];
    if (s->n_in == 1 && s->in[0] == from && s->kernel == kernel && s->params[0] == factor && !s->state) return s->out;
  }
  return -1;
}

static enum tr_status convert(struct tr_program *p, tr_kernel kernel, int from, int rep, int64_t factor,
                              const struct tr_expr *e, int *out, struct tr_error *err) {
  if (!kernel) return tr_unsupported(err, "%s: operands of these dtypes", tr_expr_op_name((enum tr_expr_op)e->op));
  int known = find_conversion(p, kernel, from, factor);
  if (known >= 0) {
    *out = known;
    return TR_OK;
  }
  struct tr_step s = {.e = e, .kernel = kernel, .n_in = 1, .in = {from}, .params = {factor}};
  struct tr_slot to = {.rep = (uint8_t)rep, .width = (uint8_t)tr_dtype_width(tr_dtype_of((enum tr_kind)rep))};
  return tr_program_step(p, &s, &to, out, err);
}

enum tr_status tr_compile_as(struct tr_program *p, int slot, int rep, const struct tr_expr *e, int *out,
                             struct tr_error *err) {
  const struct tr_slot *s = &p->slots[slot];
  *out = slot;
  if (s->marks_null && rep == TR_F64) return convert(p, tr_unmark_kernel(s->rep), slot, rep, 0, e, out, err);
  if (s->rep == rep) return TR_OK;
  if (s->rep > TR_F64 || rep > TR_F64)
    return tr_unsupported(err, "%s: operands of these dtypes", tr_expr_op_name((enum tr_expr_op)e->op));
  return convert(p, tr_convert_kernel(s->rep, rep), slot, rep, 0, e, out, err);
}

static bool lower(const struct tr_expr *e, bool zero_float, struct tr_lower *lo) {
  return tr_lower_arith(e, zero_float, lo) || tr_lower_compare(e, lo) ||
         (e->op == TR_OP_CAST ? tr_lower_cast(e, lo)
                              : tr_lower_choose(e, lo) || tr_lower_math(e, lo) || tr_lower_time(e, lo));
}

static enum tr_status compile_fused(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err) {
  struct tr_lower lo = {0};
  if (!lower(e, p->zero_float && e->dtype_depends_on_data, &lo))
    return tr_unsupported(err, "%s giving %s is not native", tr_expr_op_name((enum tr_expr_op)e->op),
                          tr_dtype_name(e->dtype));
  struct tr_step s = {.e = e, .kernel = lo.kernel, .n_in = e->n_args};
  memcpy(s.params, lo.params, sizeof s.params);
  for (int k = 0; k < e->n_args; k++) {
    int raw;
    TR_TRY(tr_compile(p, e->args[k], &raw, err));
    TR_TRY(tr_compile_as(p, raw, lo.rep[k], e, &s.in[k], err));
    if (lo.scale[k] > 1) TR_TRY(convert(p, tr_kern_scale, s.in[k], TR_I64, lo.scale[k], e, &s.in[k], err));
  }
  struct tr_slot out = {.rep = lo.out_rep,
                        .marks_null = lo.marks_null,
                        .width = (uint8_t)tr_dtype_width(tr_dtype_of((enum tr_kind)lo.out_rep))};
  return tr_program_step(p, &s, &out, slot, err);
}

static enum tr_status compile_whole(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err) {
  struct tr_array *args[TR_EXPR_MAX_ARGS] = {0}, *out = NULL;
  enum tr_status st = TR_OK;
  for (int k = 0; k < e->n_args; k++)
    if (e->args[k]->op != TR_OP_LIT) TR_GOTO(st, tr_expr_eval(p->ctx, &e->args[k], 1, p->in, &args[k], err));
  TR_GOTO(st, tr_whole_eval(p->ctx, e, args, p->in->n_rows, &out, err));
  st = tr_program_column(p, out, slot, err);
done:
  for (int k = 0; k < e->n_args; k++) tr_array_unref(args[k]);
  return st;
}

static enum tr_status compile_column(struct tr_program *p, const struct tr_expr *e, int *slot, struct tr_error *err) {
  if (e->column < 0 || e->column >= p->in->n_cols || !p->in->cols[e->column])
    return tr_fail(err, TR_EXC_RUNTIME, "expression reads column %d, which is not there", e->column);
  struct tr_array *a = p->in->cols[e->column];
  if (a->dtype.kind != e->dtype.kind || a->dtype.unit != e->dtype.unit)
    return tr_fail(err, TR_EXC_RUNTIME, "expression expects column %d to be %s, it is %s", e->column,
                   tr_dtype_name(e->dtype), tr_dtype_name(a->dtype));
  return tr_program_column(p, tr_array_ref(a), slot, err);
}

static enum tr_status compile_literal(struct tr_program *p, const struct tr_expr *e, int *slot, struct tr_error *err) {
  struct tr_slot s = {
      .kind = TR_SLOT_CONST, .rep = tr_rep_of(e->dtype), .lit = &e->lit, .width = (uint8_t)tr_dtype_width(e->dtype)};
  if (e->dtype.kind != TR_STR) tr_scalar_store(&e->lit, &s.value);
  return tr_program_slot(p, &s, slot, err);
}

static bool reads_text(const struct tr_expr *e) {
  for (int k = 0; k < e->n_args; k++)
    if (e->args[k]->dtype.kind == TR_STR) return true;
  bool isna = e->op == TR_OP_ISNA || e->op == TR_OP_NOTNA;
  return e->op == TR_OP_ISIN || (e->n_args > 0 && e->args[0]->dtype.kind == TR_CATEGORY && !isna);
}

static enum tr_status compile_new(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err) {
  bool nothing_to_fill = e->op == TR_OP_FILLNA && (e->dtype.kind == TR_BOOL || tr_kind_is_int(e->dtype.kind));
  bool same_cast =
      e->op == TR_OP_CAST && tr_dtype_eq(e->dtype, e->args[0]->dtype) && !e->args[0]->dtype_depends_on_data;
  struct tr_array *served = tr_served_find(p->served, e);
  if (e->op == TR_OP_COL) return compile_column(p, e, slot, err);
  if (e->op == TR_OP_LIT) return compile_literal(p, e, slot, err);
  if (served) return tr_program_column(p, tr_array_ref(served), slot, err);
  if (same_cast || nothing_to_fill) return tr_compile(p, e->args[0], slot, err);
  if (tr_is_whole(e)) return compile_whole(p, e, slot, err);
  return reads_text(e) ? tr_compile_text(p, e, slot, err) : compile_fused(p, e, slot, err);
}

enum tr_status tr_compile(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err) {
  for (int i = 0; i < p->n_memo; i++) {
    if (!tr_expr_eq(p->memo[i].e, e)) continue;
    *slot = p->memo[i].slot;
    return TR_OK;
  }
  enum tr_status st = compile_new(p, e, slot, err);
  if (st == TR_UNSUPPORTED && !p->refused) p->refused = e; /* the innermost */
  if (st != TR_OK) return st;
  void *items = p->memo;
  TR_TRY(grow(&items, p->n_memo, &p->cap_memo, sizeof *p->memo, err));
  p->memo = items;
  p->memo[p->n_memo++] = (struct tr_memo){e, *slot};
  return TR_OK;
}

void tr_program_assign(struct tr_program *p) {
  for (int i = 0; i < p->n_slots; i++) p->slots[i].last_use = -1;
  for (int i = 0; i < p->n_steps; i++)
    for (int k = 0; k < p->steps[i].n_in; k++) p->slots[p->steps[i].in[k]].last_use = i;
  for (int i = 0; i < p->n_steps; i++) {
    struct tr_slot *out = &p->slots[p->steps[i].out];
    if (out->base) continue;
    bool taken[256] = {0};
    for (int j = 0; j < i; j++) {
      const struct tr_slot *s = &p->slots[p->steps[j].out];
      if (!s->base && s->last_use >= i && s->reg >= 0 && s->reg < 256) taken[s->reg] = true;
    }
    int r = 0;
    while (r < 255 && taken[r]) r++;
    out->reg = r < 255 ? r : 255 + i; /* a register of its own once sharing is hopeless */
    if (out->reg + 1 > p->n_regs) p->n_regs = out->reg + 1;
  }
}

void tr_program_drop(struct tr_program *p) {
  for (int i = 0; i < p->n_slots; i++) tr_array_unref(p->slots[i].array);
  for (int i = 0; i < p->n_steps; i++) {
    tr_text_state_free(p->steps[i].e, p->steps[i].text_state);
    tr_array_unref(p->steps[i].owned);
  }
  tr_mem_free(p->slots, (size_t)p->cap_slots * sizeof *p->slots);
  tr_mem_free(p->steps, (size_t)p->cap_steps * sizeof *p->steps);
  tr_mem_free(p->memo, (size_t)p->cap_memo * sizeof *p->memo);
}
