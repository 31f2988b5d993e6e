#include "data/kern/expr/text/out_int.h"

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 4 << 20 };

enum tr_status tr_text_out_init(struct tr_ctx *ctx, struct tr_text_out *o, int64_t n, struct tr_error *err) {
  void *p;
  memset(o, 0, sizeof *o);
  TR_TRY(tr_mem_calloc((size_t)ctx->threads * sizeof *o->chunks, &p, err));
  o->chunks = p;
  o->n_threads = ctx->threads;
  pthread_mutex_init(&o->lock, NULL);
  enum tr_status st = tr_array_new(tr_dtype_of(TR_STR), n, &o->array, err);
  if (st != TR_OK) tr_text_out_drop(o);
  return st;
}

void tr_text_out_drop(struct tr_text_out *o) {
  if (!o->chunks) return;
  for (int t = 0; t < o->n_threads; t++) tr_buffer_unref(o->chunks[t].heap);
  tr_mem_free(o->chunks, (size_t)o->n_threads * sizeof *o->chunks);
  o->chunks = NULL;
  pthread_mutex_destroy(&o->lock);
}

enum tr_status tr_text_out_room(struct tr_text_out *o, int thread, int64_t size, char **room, struct tr_error *err) {
  struct tr_text_chunk *c = &o->chunks[thread];
  if (size > INT32_MAX / 2) return tr_unsupported(err, "a text of more than 1 GiB");
  if (!c->heap || c->used + size > c->heap->size) {
    int64_t want = c->next_size ? c->next_size : FIRST_CHUNK;
    if (want < size) want = size;
    c->next_size = want * 2 < LARGEST_CHUNK ? want * 2 : LARGEST_CHUNK;
    tr_buffer_unref(c->heap);
    c->heap = NULL;
    TR_TRY(tr_buffer_new(want, &c->heap, err));
    pthread_mutex_lock(&o->lock);
    enum tr_status st = tr_array_add_heap(o->array, c->heap, &c->heap_no, err);
    pthread_mutex_unlock(&o->lock);
    c->used = 0;
    if (st != TR_OK) return st;
  }
  *room = (char *)c->heap->data + c->used;
  return TR_OK;
}
