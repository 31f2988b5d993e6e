#include "data/kern/join/join.h"
enum tr_status tr_join_make(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                                        struct tr_array *const *right, int64_t n_right, int n_keys, enum tr_join_how how,
                                        bool sort, struct tr_join_rows *out, struct tr_error *err) { (void)ctx;(void)left;(void)n_left;(void)right;(void)n_right;(void)n_keys;(void)how;(void)sort;(void)out; return tr_unsupported(err, "join"); }
void tr_join_rows_drop(struct tr_join_rows *rows) { (void)rows; }
enum tr_status tr_join_lookup(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                                          struct tr_array *const *right, int64_t n_right, int n_keys, struct tr_buffer **rows,
                                          bool *has_missing, struct tr_error *err) { (void)ctx;(void)left;(void)n_left;(void)right;(void)n_right;(void)n_keys;(void)rows;(void)has_missing; return tr_unsupported(err, "join"); }
