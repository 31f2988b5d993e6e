/* Packed rows: the columns of a table laid side by side in rows of at most 32 bytes, so that a random access costs one
 * cache miss and not one per column. Integers and codes are narrowed by a frame of reference guessed from a sample;
 * packing checks the guess on every value. */
#include "data/kern/take/take_int.h"

#define W       uint8_t
#define P       uint8_t
#define NAME(x) x##_1_1
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef NAME
#define W       uint16_t
#define NAME(x) x##_2_1
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef NAME
#define W       uint32_t
#define NAME(x) x##_4_1
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef NAME
#define W       uint64_t
#define NAME(x) x##_8_1
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef P
#undef NAME
#define P       uint16_t
#define W       uint16_t
#define NAME(x) x##_2_2
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef NAME
#define W       uint32_t
#define NAME(x) x##_4_2
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef NAME
#define W       uint64_t
#define NAME(x) x##_8_2
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef P
#undef NAME
#define P       uint32_t
#define W       uint32_t
#define NAME(x) x##_4_4
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef NAME
#define W       uint64_t
#define NAME(x) x##_8_4
#include "data/kern/take/pack.tmpl.h"
#undef P
#undef NAME
#define P       uint64_t
#define NAME(x) x##_8_8
#include "data/kern/take/pack.tmpl.h"
#undef W
#undef P
#undef NAME

static uint64_t pack_16_16(const void *src, int64_t n, uint64_t base, uint8_t *rows, int64_t stride) {
  (void)base;
  for (int64_t i = 0; i < n; i++) memcpy(rows + i * stride, (const uint8_t *)src + i * 16, 16);
  return 0;
}

static void unpack_16_16(const uint8_t *rows, int64_t stride, int64_t n, uint64_t base, void *out) {
  (void)base;
  for (int64_t i = 0; i < n; i++) memcpy((uint8_t *)out + i * 16, rows + i * stride, 16);
}

static const struct kernel {
  uint64_t (*pack)(const void *, int64_t, uint64_t, uint8_t *, int64_t);
  void (*unpack)(const uint8_t *, int64_t, int64_t, uint64_t, void *);
} kernels[5][5] = {
    /* by log2 of width and of packed width */
    {{pack_1_1, unpack_1_1}},
    {{pack_2_1, unpack_2_1}, {pack_2_2, unpack_2_2}},
    {{pack_4_1, unpack_4_1}, {pack_4_2, unpack_4_2}, {pack_4_4, unpack_4_4}},
    {{pack_8_1, unpack_8_1}, {pack_8_2, unpack_8_2}, {pack_8_4, unpack_8_4}, {pack_8_8, unpack_8_8}},
    {{0}, {0}, {0}, {0}, {pack_16_16, unpack_16_16}},
};

static const struct kernel *kernel_of(const struct tr_take_col *c) {
  return &kernels[__builtin_ctz(c->width)][__builtin_ctz(c->packed)];
}

void tr_pack_unpack(const struct tr_take_col *c, const uint8_t *rows, int64_t stride, int64_t n, void *out) {
  kernel_of(c)->unpack(rows + c->at, stride, n, c->base, out);
}

static int64_t value_at(const struct tr_take_col *c, int64_t i) {
  switch (c->kind) {
  case TR_I16: return ((const int16_t *)c->src)[i];
  case TR_U16: return ((const uint16_t *)c->src)[i];
  case TR_U32: return ((const uint32_t *)c->src)[i];
  default: return c->width == 4 ? ((const int32_t *)c->src)[i] : ((const int64_t *)c->src)[i];
  }
}

/* Settles width and base for values in [low, high], room left on both sides. */
static void choose_width(struct tr_take_col *c, int64_t low, int64_t high) {
  uint64_t range = (uint64_t)high - (uint64_t)low;
  c->base = 0;
  for (c->packed = 1; c->packed < c->width; c->packed = (uint8_t)(c->packed * 2)) {
    uint64_t top = (1ull << (8 * c->packed)) - 1;
    if (range > top) continue;
    c->base = (uint64_t)low - (top - range) / 2;
    return;
  }
}

void tr_pack_guess(struct tr_take_col *c, int64_t n) {
  enum { SAMPLE = 1024 };
  c->packed = c->width;
  c->base = 0;
  if (!c->narrow || n == 0) return;
  if (c->max_code >= 0) {
    choose_width(c, -1, c->max_code);
    return;
  }
  int64_t low = INT64_MAX, high = INT64_MIN, step = n / SAMPLE + 1;
  for (int64_t i = 0; i < n; i += step) {
    int64_t v = value_at(c, i);
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  choose_width(c, low, high);
}

struct pack_job {
  struct tr_take_group *g;
  _Atomic uint64_t misfits; /* bit per column of the group */
};

static enum tr_status pack_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  enum { STEP = 1024 };
  struct pack_job *job = arg;
  const struct tr_take_group *g = job->g;
  uint64_t misfits = 0;
  (void)thread;
  (void)err;
  for (int64_t at = begin; at < end; at += STEP) {
    int64_t n = end - at < STEP ? end - at : STEP;
    uint8_t *rows = g->rows + at * g->stride;
    for (int c = 0; c < g->n_cols; c++) {
      const struct tr_take_col *col = g->cols[c];
      const uint8_t *src = (const uint8_t *)col->src + at * col->width;
      if (kernel_of(col)->pack(src, n, col->base, rows + col->at, g->stride)) misfits |= 1ull << c;
    }
  }
  if (misfits) atomic_fetch_or(&job->misfits, misfits);
  return TR_OK;
}

enum tr_status tr_pack_rows(struct tr_ctx *ctx, struct tr_take_group *g, int64_t n, bool *misfit,
                            struct tr_error *err) {
  struct pack_job job = {.g = g};
  TR_TRY(tr_parallel_for(ctx, n, tr_grain(ctx), pack_range, &job, err));
  *misfit = job.misfits != 0;
  for (int c = 0; c < g->n_cols; c++) {
    if (!(job.misfits >> c & 1)) continue;
    g->cols[c]->narrow = false;
    g->cols[c]->packed = g->cols[c]->width;
    g->cols[c]->base = 0;
  }
  return TR_OK;
}
