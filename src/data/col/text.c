/* Text values: bytewise order and the value-by-value builder. The builder never moves text: a full heap stays as it is
 * and the next one, twice as large up to 64 MiB, is begun. */
#include "base/mem.h"
#include "data/col/col.h"

enum { FIRST_HEAP = 4096, LARGEST_HEAP = 64 << 20 };

int tr_view_cmp(const struct tr_array *a, const struct tr_view *x, const struct tr_array *b, const struct tr_view *y) {
  uint32_t p, q;
  memcpy(&p, x->inlined, 4); /* short text is zero-padded, so the prefix is always comparable */
  memcpy(&q, y->inlined, 4);
  if (p != q) return __builtin_bswap32(p) < __builtin_bswap32(q) ? -1 : 1;
  int32_t n = x->size < y->size ? x->size : y->size;
  int c = memcmp(tr_view_bytes(a, x), tr_view_bytes(b, y), (size_t)n);
  return c ? c : (x->size > y->size) - (x->size < y->size);
}

enum tr_status tr_text_builder_init(struct tr_text_builder *b, int64_t capacity, struct tr_error *err) {
  memset(b, 0, sizeof *b);
  b->capacity = capacity < 16 ? 16 : capacity;
  return tr_array_new(tr_dtype_of(TR_STR), b->capacity, &b->array, err);
}

static enum tr_status grow_views(struct tr_text_builder *b, struct tr_error *err) {
  struct tr_buffer *fresh;
  TR_TRY(tr_buffer_new(b->capacity * 2 * (int64_t)sizeof(struct tr_view), &fresh, err));
  memcpy(fresh->data, b->array->data->data, (size_t)b->length * sizeof(struct tr_view));
  tr_buffer_unref(b->array->data);
  b->array->data = fresh;
  b->capacity *= 2;
  return TR_OK;
}

static enum tr_status next_heap(struct tr_text_builder *b, int64_t need, struct tr_error *err) {
  int64_t size = b->heap ? b->heap->size * 2 : FIRST_HEAP;
  if (size > LARGEST_HEAP) size = LARGEST_HEAP;
  if (size < need) size = need;
  struct tr_buffer *heap;
  int no;
  TR_TRY(tr_buffer_new(size, &heap, err));
  enum tr_status st = tr_array_add_heap(b->array, heap, &no, err);
  tr_buffer_unref(heap); /* the array holds it */
  TR_TRY(st);
  b->heap = heap;
  b->heap_used = 0;
  return TR_OK;
}

enum tr_status tr_text_builder_add(struct tr_text_builder *b, const char *s, int64_t size, struct tr_error *err) {
  if (b->length == b->capacity) TR_TRY(grow_views(b, err));
  struct tr_view *v = (struct tr_view *)b->array->data->data + b->length;
  if (!s) {
    *v = tr_view_null();
  } else if (size <= TR_VIEW_INLINE) {
    *v = tr_view_make(s, (int32_t)size, 0, 0);
  } else {
    if (size > INT32_MAX) return tr_fail_memory(err, (size_t)size);
    if (!b->heap || b->heap->size - b->heap_used < size) TR_TRY(next_heap(b, size, err));
    memcpy(b->heap->data + b->heap_used, s, (size_t)size);
    *v = tr_view_make(s, (int32_t)size, b->array->n_heaps - 1, (int32_t)b->heap_used);
    b->heap_used += size;
  }
  b->length++;
  return TR_OK;
}

enum tr_status tr_text_builder_finish(struct tr_text_builder *b, struct tr_array **out, struct tr_error *err) {
  (void)err;
  b->array->length = b->length;
  *out = b->array;
  memset(b, 0, sizeof *b);
  return TR_OK;
}

void tr_text_builder_drop(struct tr_text_builder *b) {
  tr_array_unref(b->array);
  memset(b, 0, sizeof *b);
}
