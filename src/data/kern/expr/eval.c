/* Running compiled expressions: morsels in parallel, a vector at a time through all steps, so that intermediate values
 * stay in the cache and nothing is allocated on the way. Roots write straight into their output arrays. */
#include "data/kern/expr/program_int.h"
#include <string.h>

struct run {
  struct tr_program *p;
  char *scratch;
  size_t thread_bytes, register_bytes;
  int mask_slot; /* filter: the slot whose rows are collected, -1 = none */
  uint32_t *rows;
  int64_t *counts; /* filter: rows found per morsel */
  int64_t grain;
};

static char *slot_data(const struct run *r, const struct tr_slot *s, int thread, int64_t begin) {
  if (s->base) return s->base + begin * s->width;
  return r->scratch + (size_t)thread * r->thread_bytes + (size_t)s->reg * r->register_bytes;
}

static void run_steps(const struct run *r, int thread, int64_t begin, int64_t n) {
  struct tr_program *p = r->p;
  for (int i = 0; i < p->n_steps; i++) {
    struct tr_step *s = &p->steps[i];
    struct tr_call c = {.e = s->e,
                        .begin = begin,
                        .n = n,
                        .state = s->use_lut ? (const void *)&s->lut
                                 : s->state ? s->state
                                            : s->params};
    c.out = slot_data(r, &p->slots[s->out], thread, begin);
    for (int k = 0; k < s->n_in; k++) {
      const struct tr_slot *in = &p->slots[s->in[k]];
      c.in[k].is_const = in->kind == TR_SLOT_CONST;
      c.in[k].lit = in->lit;
      c.in[k].text = in->array;
      c.in[k].p = c.in[k].is_const ? (const void *)&in->value : slot_data(r, in, thread, begin);
    }
    s->kernel(&c);
    if (c.saw) atomic_fetch_or(&s->saw, c.saw);
  }
}

static int64_t collect_rows(const uint8_t *mask, int64_t begin, int64_t n, uint32_t *rows) {
  int64_t k = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t word;
    memcpy(&word, mask + i, 8);
    if (word == 0) continue;
    for (int j = 0; j < 8; j++) {
      rows[k] = (uint32_t)(begin + i + j);
      k += mask[i + j];
    }
  }
  for (; i < n; i++) {
    rows[k] = (uint32_t)(begin + i);
    k += mask[i];
  }
  return k;
}

static int64_t filter_vector(const struct run *r, int thread, int64_t begin, int64_t n, uint32_t *rows) {
  const struct tr_slot *s = &r->p->slots[r->mask_slot];
  if (s->kind != TR_SLOT_CONST) return collect_rows((const uint8_t *)slot_data(r, s, thread, begin), begin, n, rows);
  if (!(s->value & 1)) return 0;
  for (int64_t i = 0; i < n; i++) rows[i] = (uint32_t)(begin + i);
  return n;
}

static enum tr_status run_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)err;
  const struct run *r = arg;
  int64_t found = 0;
  for (int64_t at = begin; at < end; at += r->p->vector_rows) {
    int64_t n = end - at < r->p->vector_rows ? end - at : r->p->vector_rows;
    run_steps(r, thread, at, n);
    if (r->mask_slot >= 0) found += filter_vector(r, thread, at, n, r->rows + begin + found);
  }
  if (r->mask_slot >= 0) r->counts[begin / r->grain] = found;
  return TR_OK;
}

/* A filter morsel writes its rows at the start of its own stretch of r->rows: collect_rows never stores beyond the rows
 * seen. */
static enum tr_status run_program(struct run *r, struct tr_error *err) {
  struct tr_program *p = r->p;
  int64_t n = p->in->n_rows;
  r->grain = tr_grain(p->ctx);
  int64_t rows = r->grain < n ? r->grain : n;
  p->vector_rows = rows < TR_VECTOR_ROWS ? (rows + 63) / 64 * 64 : TR_VECTOR_ROWS;
  r->register_bytes = (size_t)p->vector_rows * 8;
  r->thread_bytes = r->register_bytes * (size_t)p->n_regs + 64;
  int threads = n <= r->grain ? 1 : p->ctx->threads;
  void *scratch = NULL;
  TR_TRY(tr_mem_alloc(r->thread_bytes * (size_t)threads, &scratch, err));
  r->scratch = scratch;
  enum tr_status st = tr_parallel_for(p->ctx, n, r->grain, run_morsel, r, err);
  tr_mem_free(scratch, r->thread_bytes * (size_t)threads);
  for (int i = 0; st == TR_OK && i < p->n_steps; i++) {
    st = tr_saw_error(p->steps[i].e, atomic_load(&p->steps[i].saw), err);
    if (st == TR_UNSUPPORTED) p->refused = (struct tr_expr *)(uintptr_t)p->steps[i].e;
  }
  return st;
}

enum tr_status tr_saw_error(const struct tr_expr *e, uint32_t saw, struct tr_error *err) {
  const char *op = tr_expr_op_name((enum tr_expr_op)e->op);
  if (saw & TR_SAW_NEG_POW) return tr_fail(err, TR_EXC_VALUE, "Integers to negative integer powers are not allowed.");
  if (saw & TR_SAW_NONFINITE)
    return tr_fail(err, TR_EXC_VALUE,
                   "Cannot convert non-finite values (NA or inf) to integer. Replace or remove non-finite values or "
                   "cast to an integer type that supports these values (e.g. 'Int64')");
  if (saw & TR_SAW_NEGATIVE)
    return tr_fail(err, TR_EXC_VALUE, "Cannot losslessly cast from %s to %s", tr_dtype_name(e->args[0]->dtype),
                   tr_dtype_name(e->dtype));
  if (saw & TR_SAW_OVERFLOW) return tr_unsupported(err, "%s: a value is out of bounds", op);
  if (saw & TR_SAW_BAD_TEXT) return tr_unsupported(err, "%s: text that is no number", op);
  if (saw & TR_SAW_REFUSE) return tr_unsupported(err, "%s: a value the engine leaves to pandas", op);
  return TR_OK;
}

/* Integers with marks -> float64 with NaN, in a new array. */
struct unmark {
  struct tr_array *from, *to;
  tr_kernel kernel;
};

static enum tr_status unmark_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct unmark *u = arg;
  struct tr_call c = {.n = end - begin, .out = (double *)tr_array_data(u->to) + begin};
  c.in[0].p = (const char *)tr_array_data(u->from) + begin * tr_dtype_width(u->from->dtype);
  u->kernel(&c);
  return TR_OK;
}

static enum tr_status settle(struct tr_ctx *ctx, struct tr_array **array, struct tr_error *err) {
  struct unmark u = {.from = *array, .kernel = tr_unmark_kernel((*array)->dtype.kind)};
  TR_TRY(tr_array_new(tr_dtype_of(TR_F64), u.from->length, &u.to, err));
  enum tr_status st = tr_parallel_for(ctx, u.from->length, tr_grain(ctx), unmark_morsel, &u, err);
  if (st != TR_OK) {
    tr_array_unref(u.to);
    return st;
  }
  tr_array_unref(u.from);
  *array = u.to;
  return TR_OK;
}

static const struct tr_step *step_of(const struct tr_program *p, int slot) {
  for (int i = 0; i < p->n_steps; i++)
    if (p->steps[i].out == slot) return &p->steps[i];
  return NULL;
}

/* Gives the slot its output array; a slot that is already one is left alone. */
static enum tr_status make_result(struct tr_program *p, struct tr_expr *e, int *slot, struct tr_error *err) {
  struct tr_slot *s = &p->slots[*slot];
  if (s->kind != TR_SLOT_REG || s->array) return TR_OK;
  struct tr_dtype dtype = e->dtype;
  if (s->rep != tr_rep_of(dtype)) dtype = tr_dtype_of((enum tr_kind)s->rep); /* float64 division by zero */
  TR_TRY(tr_array_new(dtype, p->in->n_rows, &s->array, err));
  s->base = tr_array_data(s->array);
  return TR_OK;
}

/* The array of a finished root. ZERO: left NULL, to be computed again in float64. */
static enum tr_status take_result(struct tr_program *p, struct tr_expr *e, int slot, struct tr_array **out,
                                  struct tr_error *err) {
  struct tr_slot *s = &p->slots[slot];
  if (s->kind == TR_SLOT_CONST) {
    if (e->op == TR_OP_LIT) return tr_broadcast(p->ctx, &e->lit, p->in->n_rows, out, err);
    struct tr_scalar v = {.dtype = e->dtype};
    memcpy(&v.u, &s->value, 8);
    if (e->dtype.kind == TR_F32) {
      float f;
      memcpy(&f, &s->value, 4);
      v.f = f;
    }
    return tr_broadcast(p->ctx, &v, p->in->n_rows, out, err);
  }
  const struct tr_step *step = step_of(p, slot);
  uint32_t saw = step ? atomic_load(&step->saw) : 0;
  if ((saw & TR_SAW_ZERO) && e->dtype_depends_on_data && !p->zero_float) return TR_OK;
  *out = tr_array_ref(s->array);
  return s->marks_null && (saw & TR_SAW_NULL) ? settle(p->ctx, out, err) : TR_OK;
}

/* *refused: a reference to what ended it in TR_UNSUPPORTED. */
static enum tr_status eval_once(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n, const struct tr_frame *in,
                                bool zero_float, const struct tr_served *served, struct tr_expr **refused,
                                struct tr_array **out, struct tr_error *err) {
  struct tr_program p = {.ctx = ctx, .in = in, .zero_float = zero_float, .served = served};
  struct run r = {.p = &p, .mask_slot = -1};
  enum tr_status st = TR_OK;
  void *roots_memory = NULL;
  TR_GOTO(st, tr_mem_alloc((size_t)n * sizeof(int), &roots_memory, err));
  int *roots = roots_memory;
  for (int i = 0; i < n; i++) TR_GOTO(st, tr_compile(&p, exprs[i], &roots[i], err));
  for (int i = 0; i < n; i++) TR_GOTO(st, make_result(&p, exprs[i], &roots[i], err));
  tr_program_assign(&p);
  if (p.n_steps) TR_GOTO(st, run_program(&r, err));
  for (int i = 0; i < n; i++) TR_GOTO(st, take_result(&p, exprs[i], roots[i], &out[i], err));
done:
  *refused = st == TR_UNSUPPORTED ? tr_expr_ref(p.refused) : NULL;
  tr_program_drop(&p);
  tr_mem_free(roots_memory, (size_t)n * sizeof(int));
  return st;
}

static enum tr_status eval_all(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n, const struct tr_frame *in,
                               bool zero_float, struct tr_array **out, struct tr_error *err) {
  struct tr_served served = {0};
  struct tr_expr *refused;
  enum tr_status st;
  for (;;) { /* once more for every operation that is served outside */
    st = eval_once(ctx, exprs, n, in, zero_float, &served, &refused, out, err);
    if (st != TR_UNSUPPORTED) break;
    st = tr_serve_outside(ctx, refused, in, &served, err);
    if (st != TR_OK) break;
  }
  tr_served_drop(&served);
  return st;
}

enum tr_status tr_expr_eval(struct tr_ctx *ctx, struct tr_expr *const *exprs, int n, const struct tr_frame *in,
                            struct tr_array **out, struct tr_error *err) {
  for (int i = 0; i < n; i++) out[i] = NULL;
  enum tr_status st = eval_all(ctx, exprs, n, in, false, out, err);
  for (int i = 0; st == TR_OK && i < n; i++)
    if (!out[i]) st = eval_all(ctx, &exprs[i], 1, in, true, &out[i], err);
  if (st == TR_OK) return TR_OK;
  for (int i = 0; i < n; i++) {
    tr_array_unref(out[i]);
    out[i] = NULL;
  }
  return st;
}

struct compact {
  const uint32_t *from;
  uint32_t *to;
  const int64_t *counts, *starts;
  int64_t grain;
};

static enum tr_status compact_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct compact *c = arg;
  for (int64_t m = begin; m < end; m++) memcpy(c->to + c->starts[m], c->from + m * c->grain, (size_t)c->counts[m] * 4);
  return TR_OK;
}

static enum tr_status compact_rows(struct tr_ctx *ctx, const struct run *r, int64_t n_morsels, int64_t *starts,
                                   struct tr_buffer **rows, int64_t *n_rows, struct tr_error *err) {
  int64_t total = 0;
  for (int64_t m = 0; m < n_morsels; m++) {
    starts[m] = total;
    total += r->counts[m];
  }
  TR_TRY(tr_buffer_new(total * 4, rows, err));
  struct compact c = {
      .from = r->rows, .to = (uint32_t *)(*rows)->data, .counts = r->counts, .starts = starts, .grain = r->grain};
  *n_rows = total;
  return tr_parallel_for(ctx, n_morsels, 4, compact_morsel, &c, err);
}

static enum tr_status filter_once(struct tr_ctx *ctx, struct tr_expr *predicate, const struct tr_frame *in,
                                  const struct tr_served *served, struct tr_expr **refused, struct tr_buffer **rows,
                                  int64_t *n_rows, struct tr_error *err) {
  int64_t grain = tr_grain(ctx), n_morsels = (in->n_rows + grain - 1) / grain;
  struct tr_program p = {.ctx = ctx, .in = in, .served = served};
  struct run r = {.p = &p, .grain = grain};
  struct tr_buffer *loose = NULL;
  void *counts = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)n_morsels * 16, &counts, err));
  TR_GOTO(st, tr_buffer_new(in->n_rows * 4 + 64, &loose, err));
  r.counts = counts;
  r.rows = (uint32_t *)loose->data;
  TR_GOTO(st, tr_compile(&p, predicate, &r.mask_slot, err));
  tr_program_assign(&p);
  /* the mask is read after the last step: its register must outlive all of them */
  TR_GOTO(st, run_program(&r, err));
  st = compact_rows(ctx, &r, n_morsels, r.counts + n_morsels, rows, n_rows, err);
done:
  if (st != TR_OK) {
    tr_buffer_unref(*rows);
    *rows = NULL;
  }
  *refused = st == TR_UNSUPPORTED ? tr_expr_ref(p.refused) : NULL;
  tr_program_drop(&p);
  tr_buffer_unref(loose);
  tr_mem_free(counts, (size_t)n_morsels * 16);
  return st;
}

enum tr_status tr_expr_filter_rows(struct tr_ctx *ctx, struct tr_expr *predicate, const struct tr_frame *in,
                                   struct tr_buffer **rows, int64_t *n_rows, struct tr_error *err) {
  struct tr_served served = {0};
  struct tr_expr *refused;
  enum tr_status st;
  *rows = NULL;
  *n_rows = 0;
  if (predicate->dtype.kind != TR_BOOL)
    return tr_fail(err, TR_EXC_TYPE, "a filter needs a bool expression, not %s", tr_dtype_name(predicate->dtype));
  for (;;) {
    st = filter_once(ctx, predicate, in, &served, &refused, rows, n_rows, err);
    if (st != TR_UNSUPPORTED) break;
    st = tr_serve_outside(ctx, refused, in, &served, err);
    if (st != TR_OK) break;
  }
  tr_served_drop(&served);
  return st;
}
