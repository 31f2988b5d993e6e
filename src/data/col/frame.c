/* Frames: arrays of one length under one reference count. */
#include "base/mem.h"
#include "data/col/col.h"

enum tr_status tr_frame_new(int64_t n_rows, int n_cols, struct tr_array *const *cols, struct tr_frame **out,
                            struct tr_error *err) {
  *out = NULL;
  void *p, *list = NULL;
  for (int i = 0; i < n_cols; i++)
    if (cols[i] && cols[i]->length != n_rows)
      return tr_fail(err, TR_EXC_VALUE, "column %d has %lld rows where %lld were expected", i,
                     (long long)cols[i]->length, (long long)n_rows);
  TR_TRY(tr_mem_alloc(sizeof(struct tr_frame), &p, err));
  enum tr_status st = tr_mem_alloc((size_t)n_cols * sizeof(struct tr_array *), &list, err);
  if (st != TR_OK) {
    tr_mem_free(p, sizeof(struct tr_frame));
    return st;
  }
  struct tr_frame *f = p;
  atomic_init(&f->refs, 1);
  f->n_rows = n_rows;
  f->n_cols = n_cols;
  f->cols = list;
  for (int i = 0; i < n_cols; i++) f->cols[i] = tr_array_ref(cols[i]);
  *out = f;
  return TR_OK;
}

struct tr_frame *tr_frame_ref(struct tr_frame *f) {
  if (f) atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
  return f;
}

void tr_frame_unref(struct tr_frame *f) {
  if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) return;
  for (int i = 0; i < f->n_cols; i++) tr_array_unref(f->cols[i]);
  tr_mem_free(f->cols, (size_t)f->n_cols * sizeof *f->cols);
  tr_mem_free(f, sizeof *f);
}
