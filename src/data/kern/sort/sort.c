/* Full sorts: see sort_int.h for the way. */
#include "base/mem.h"
#include "data/kern/sort/sort_int.h"

enum tr_status tr_sort_rows(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n, bool na_first,
                            struct tr_buffer **rows, struct tr_error *err) {
  struct tr_key_pieces k;
  *rows = NULL;
  if (n >= UINT32_MAX) return tr_fail_memory(err, (size_t)n * 8);
  TR_TRY(tr_key_pieces_make(ctx, keys, n_keys, n, na_first, &k, err));
  const struct tr_order order = {.ctx = ctx, .pieces = k.pieces, .n_pieces = k.n, .bits = k.bits};
  enum tr_status st = tr_buffer_new(n * 4, rows, err);
  if (st == TR_OK) st = tr_order_rows(&order, NULL, n, 0, (uint32_t *)(*rows)->data, err);
  tr_key_pieces_drop(&k);
  if (st != TR_OK) {
    tr_buffer_unref(*rows);
    *rows = NULL;
  }
  return st;
}
