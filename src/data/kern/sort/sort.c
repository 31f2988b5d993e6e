#include "data/kern/sort/sort.h"
enum tr_status tr_sort_rows(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n, bool na_first,
                        struct tr_buffer **rows, struct tr_error *err) { (void)ctx;(void)keys;(void)n_keys;(void)n;(void)na_first;(void)rows; return tr_unsupported(err, "sort"); }
enum tr_status tr_sort_top(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n, int64_t k,
                                       bool na_first, struct tr_buffer **rows, int64_t *n_out, struct tr_error *err) { (void)ctx;(void)keys;(void)n_keys;(void)n;(void)k;(void)na_first;(void)rows;(void)n_out; return tr_unsupported(err, "sort"); }
enum tr_status tr_sort_is_sorted(struct tr_ctx *ctx, struct tr_array *a, bool *ascending, bool *strict, struct tr_error *err) { (void)ctx;(void)a;(void)ascending;(void)strict; return tr_unsupported(err, "sort"); }
