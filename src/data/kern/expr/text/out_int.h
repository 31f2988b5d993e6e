/* Making text in parallel: each thread writes into heap chunks of its own, which become heaps of one output array. */
#pragma once
#include "data/kern/expr/eval_int.h"
#include <pthread.h>
#include <string.h>

struct tr_text_chunk {
  struct tr_buffer *heap;
  int heap_no;
  int64_t used, next_size;
};

struct tr_text_out {
  struct tr_array *array; /* plain text of the final length */
  pthread_mutex_t lock;   /* guards the array's heap list */
  int n_threads;
  struct tr_text_chunk *chunks; /* one per thread */
};

/* Gives an output of n texts (own reference to the array in o->array). */
TR_MUST_USE enum tr_status tr_text_out_init(struct tr_ctx *ctx, struct tr_text_out *o, int64_t n, struct tr_error *err);
/* Drops everything but the array. */
void tr_text_out_drop(struct tr_text_out *o);
/* The texts as a plain array. */
TR_MUST_USE enum tr_status tr_text_dictionary(const char *const *texts, int n, struct tr_array **out,
                                              struct tr_error *err);
/* codes into `values` (texts that may repeat or be missing) as an array over distinct values. */
TR_MUST_USE enum tr_status tr_text_redistinct(struct tr_ctx *ctx, const int32_t *codes, int64_t n,
                                              struct tr_array *values, struct tr_array **out, struct tr_error *err);
/* Room for one text of up to `size` bytes by this thread; valid until the next call. */
TR_MUST_USE enum tr_status tr_text_out_room(struct tr_text_out *o, int thread, int64_t size, char **room,
                                            struct tr_error *err);
/* Takes the `size` bytes written at the room last given as text i. */
static inline void tr_text_out_put(struct tr_text_out *o, int thread, int64_t i, const char *room, int64_t size) {
  struct tr_text_chunk *c = &o->chunks[thread];
  struct tr_view *v = (struct tr_view *)tr_array_data(o->array) + i;
  *v = tr_view_make(room, (int32_t)size, c->heap_no, (int32_t)c->used);
  if (size > TR_VIEW_INLINE) c->used += size;
}
static inline void tr_text_out_null(struct tr_text_out *o, int64_t i) {
  ((struct tr_view *)tr_array_data(o->array))[i] = tr_view_null();
}
