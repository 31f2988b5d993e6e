/* Refcounted bytes: our own memory (counted by the allocator) or foreign memory (counted here while we hold it).
 * Foreign bytes are released exactly once, at the last unref, on whatever thread that happens. */
#include "base/mem.h"
#include "data/col/col.h"

static enum tr_status new_header(int64_t size, struct tr_buffer **out, struct tr_error *err) {
  void *p;
  TR_TRY(tr_mem_alloc(sizeof(struct tr_buffer), &p, err));
  struct tr_buffer *b = p;
  memset(b, 0, sizeof *b);
  atomic_init(&b->refs, 1);
  b->size = size;
  *out = b;
  return TR_OK;
}

enum tr_status tr_buffer_new(int64_t size, struct tr_buffer **out, struct tr_error *err) {
  *out = NULL;
  struct tr_buffer *b;
  void *data;
  if (size < 0) return tr_fail_memory(err, (size_t)size);
  TR_TRY(new_header(size, &b, err));
  enum tr_status st = tr_mem_alloc((size_t)size, &data, err);
  if (st != TR_OK) {
    tr_mem_free(b, sizeof *b);
    return st;
  }
  b->data = data;
  *out = b;
  return TR_OK;
}

static void release_nothing(void *arg) { (void)arg; }

enum tr_status tr_buffer_foreign(const void *data, int64_t size, void (*release)(void *), void *arg,
                                 struct tr_buffer **out, struct tr_error *err) {
  *out = NULL;
  struct tr_buffer *b;
  TR_TRY(new_header(size, &b, err));
  b->data = (uint8_t *)(uintptr_t)data;
  b->release = release ? release : release_nothing;
  b->release_arg = arg;
  tr_mem_account(size);
  *out = b;
  return TR_OK;
}

struct tr_buffer *tr_buffer_ref(struct tr_buffer *b) {
  if (b) atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
  return b;
}

void tr_buffer_unref(struct tr_buffer *b) {
  if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
  if (b->release) {
    b->release(b->release_arg);
    tr_mem_account(-b->size);
  } else {
    tr_mem_free(b->data, (size_t)b->size);
  }
  tr_mem_free(b, sizeof *b);
}
