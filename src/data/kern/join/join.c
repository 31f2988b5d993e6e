/* Equi-joins: a table over one side (the right one unless the left one is much smaller) gives every row of both sides
 * the number of its key's group, which is the group's first row on the table's side. With distinct right keys the
 * answer is the look-up itself; otherwise right rows are listed by group and each left row takes its group's list.
 * Pairs are counted per morsel first, so all threads write where they must and the order is pandas'. */
#include "base/mem.h"
#include "data/kern/join/join_int.h"

struct join {
  struct tr_ctx *ctx;
  enum tr_join_how how; /* INNER, LEFT, OUTER, SEMI or ANTI */
  int64_t n_left, n_right, grain;
  struct tr_parts parts; /* its right side is the table's */
  struct tr_join_table table;
  bool on_left, listed;     /* table over the left side; right rows are listed by group */
  struct tr_buffer *groups; /* per left row; without lists: the right row itself */
  uint32_t *right_groups;   /* listed: per right row */
  uint32_t *starts;         /* listed: group g has list[starts[g] .. starts[g + 1]) */
  uint32_t *list;
  int64_t n_groups;
  int64_t *counts; /* per morsel of left rows: pairs, then the first pair's place; last: total */
  int64_t n_morsels;
  _Atomic bool missed; /* some left row has no partner */
  uint32_t *out_left, *out_right;
};

static inline int64_t partners(const struct join *j, uint32_t group) {
  if (group == TR_NO_ROW) return 0;
  return j->listed ? (int64_t)j->starts[group + 1] - j->starts[group] : 1;
}

/* Pairs that a left row with this many partners gives. */
static inline int64_t pairs_of(enum tr_join_how how, int64_t n) {
  if (how == TR_JOIN_INNER) return n;
  if (how == TR_JOIN_SEMI) return n > 0;
  if (how == TR_JOIN_ANTI) return n == 0;
  return n > 0 ? n : 1;
}

static enum tr_status find_left(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  (void)thread;
  (void)err;
  const struct tr_part *side = j->on_left ? j->parts.right : j->parts.left;
  tr_join_table_find(&j->table, side, begin, end, (uint32_t *)j->groups->data + begin);
  return TR_OK;
}

static enum tr_status count_left(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  const uint32_t *groups = (const uint32_t *)j->groups->data;
  int64_t pairs = 0;
  bool missed = false;
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++) {
    if (j->listed && i + 16 < end && groups[i + 16] != TR_NO_ROW) __builtin_prefetch(&j->starts[groups[i + 16]]);
    int64_t n = partners(j, groups[i]);
    missed |= n == 0;
    pairs += pairs_of(j->how, n);
  }
  if (missed) atomic_store_explicit(&j->missed, true, memory_order_relaxed);
  j->counts[begin / j->grain] = pairs;
  return TR_OK;
}

static enum tr_status write_single(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  const uint32_t *groups = (const uint32_t *)j->groups->data;
  int64_t k = j->counts[begin / j->grain], stop = j->counts[begin / j->grain + 1];
  bool all = j->how == TR_JOIN_LEFT || j->how == TR_JOIN_OUTER, present = j->how != TR_JOIN_ANTI;
  (void)thread;
  (void)end;
  (void)err;
  for (int64_t i = begin; k < stop; i++) { /* stops at the last pair: no other morsel's place is touched */
    j->out_left[k] = (uint32_t)i;
    if (j->out_right) j->out_right[k] = groups[i];
    k += all || (groups[i] != TR_NO_ROW) == present;
  }
  return TR_OK;
}

static enum tr_status write_lists(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  const uint32_t *groups = (const uint32_t *)j->groups->data;
  int64_t k = j->counts[begin / j->grain];
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++) {
    int64_t n = partners(j, groups[i]), first = n ? j->starts[groups[i]] : 0;
    if (j->how == TR_JOIN_SEMI || j->how == TR_JOIN_ANTI) {
      if (pairs_of(j->how, n)) j->out_left[k++] = (uint32_t)i;
      continue;
    }
    for (int64_t m = 0; m < n; m++, k++) {
      j->out_left[k] = (uint32_t)i;
      j->out_right[k] = j->list[first + m];
    }
    if (n == 0 && j->how != TR_JOIN_INNER) {
      j->out_left[k] = (uint32_t)i;
      j->out_right[k++] = TR_NO_ROW;
    }
  }
  return TR_OK;
}

/* Lists the right rows of groups [begin, end) in row order; every range reads all rows. starts is shifted by one while
 * it is filled: entry g + 1 is where group g goes on. */
static enum tr_status list_groups(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  (void)thread;
  (void)err;
  for (int64_t i = 0; i < j->n_right; i++) {
    uint32_t g = j->right_groups[i];
    if (g >= begin && g < end) j->list[j->starts[g + 1]++] = (uint32_t)i;
  }
  return TR_OK;
}

static enum tr_status tally_groups(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct join *j = arg;
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++)
    if (j->right_groups[i] != TR_NO_ROW) __atomic_fetch_add(&j->starts[j->right_groups[i] + 2], 1, __ATOMIC_RELAXED);
  return TR_OK;
}

/* Lists right rows by group. */
static enum tr_status make_lists(struct join *j, struct tr_error *err) {
  void *p;
  j->n_groups = j->on_left ? j->n_left : j->n_right;
  TR_TRY(tr_mem_alloc((size_t)j->n_right * 4, &p, err));
  j->right_groups = p;
  TR_TRY(tr_join_table_find_all(j->ctx, &j->table, j->on_left ? j->parts.left : j->parts.right, j->n_right, p, err));
  TR_TRY(tr_mem_calloc((size_t)(j->n_groups + 2) * 4, &p, err));
  j->starts = p;
  TR_TRY(tr_parallel_for(j->ctx, j->n_right, tr_grain(j->ctx), tally_groups, j, err));
  for (int64_t g = 2; g < j->n_groups + 2; g++) j->starts[g] += j->starts[g - 1];
  TR_TRY(tr_mem_alloc((size_t)j->n_right * 4, &p, err));
  j->list = p;
  int64_t ranges = j->n_right < TR_MORSEL_ROWS ? 1 : j->ctx->threads;
  TR_TRY(tr_parallel_for(j->ctx, j->n_groups, (j->n_groups + ranges - 1) / ranges, list_groups, j, err));
  return TR_OK;
}

static void drop(struct join *j) {
  tr_buffer_unref(j->groups);
  tr_mem_free(j->right_groups, (size_t)j->n_right * 4);
  tr_mem_free(j->starts, (size_t)(j->n_groups + 2) * 4);
  tr_mem_free(j->list, (size_t)j->n_right * 4);
  tr_mem_free(j->counts, (size_t)(j->n_morsels + 1) * 8);
  tr_join_table_drop(&j->table);
  tr_parts_drop(&j->parts);
}

/* Table, groups of left rows, lists where needed, and counts with the total. */
static enum tr_status match(struct join *j, struct tr_array *const *left, struct tr_array *const *right, int n_keys,
                            struct tr_error *err) {
  j->on_left = j->n_left < j->n_right / 4 && j->how != TR_JOIN_SEMI && j->how != TR_JOIN_ANTI;
  if (j->on_left) {
    TR_TRY(tr_parts_make(j->ctx, right, j->n_right, left, j->n_left, n_keys, &j->parts, err));
  } else {
    TR_TRY(tr_parts_make(j->ctx, left, j->n_left, right, j->n_right, n_keys, &j->parts, err));
  }
  TR_TRY(tr_join_table_make(j->ctx, &j->parts, 0, j->parts.n, j->parts.domain, j->on_left ? j->n_left : j->n_right,
                            &j->table, err));
  TR_TRY(tr_buffer_new(j->n_left * 4, &j->groups, err));
  TR_TRY(tr_parallel_for(j->ctx, j->n_left, j->grain, find_left, j, err));
  j->listed = (j->on_left || !j->table.unique) && j->how != TR_JOIN_SEMI && j->how != TR_JOIN_ANTI;
  if (j->listed) TR_TRY(make_lists(j, err));
  j->n_morsels = j->n_left == 0 ? 0 : (j->n_left - 1) / j->grain + 1;
  void *p;
  TR_TRY(tr_mem_alloc((size_t)(j->n_morsels + 1) * 8, &p, err));
  j->counts = p;
  TR_TRY(tr_parallel_for(j->ctx, j->n_left, j->grain, count_left, j, err));
  int64_t total = 0;
  for (int64_t m = 0; m < j->n_morsels; m++) {
    int64_t n = j->counts[m];
    j->counts[m] = total;
    total += n;
  }
  j->counts[j->n_morsels] = total;
  return total < UINT32_MAX ? TR_OK : tr_fail(err, TR_EXC_MEMORY, "the join would give %lld rows", (long long)total);
}

static enum tr_status write_pairs(struct join *j, struct tr_join_rows *out, struct tr_error *err) {
  bool one_side = j->how == TR_JOIN_SEMI || j->how == TR_JOIN_ANTI;
  out->n = j->counts[j->n_morsels];
  out->right_missing = j->missed && (j->how == TR_JOIN_LEFT || j->how == TR_JOIN_OUTER);
  if (!j->listed && out->n == j->n_left) { /* one pair per left row, in order */
    if (!one_side) out->right = tr_buffer_ref(j->groups);
    return TR_OK;
  }
  TR_TRY(tr_buffer_new(out->n * 4, &out->left, err));
  j->out_left = (uint32_t *)out->left->data;
  if (!one_side) {
    TR_TRY(tr_buffer_new(out->n * 4, &out->right, err));
    j->out_right = (uint32_t *)out->right->data;
  }
  return tr_parallel_for(j->ctx, j->n_left, j->grain, j->listed ? write_lists : write_single, j, err);
}

struct mark_job {
  const struct tr_join_rows *pairs;
  uint8_t *unmatched;
};

static enum tr_status mark_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct mark_job *job = arg;
  const uint32_t *right = (const uint32_t *)job->pairs->right->data;
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++)
    if (right[i] != TR_NO_ROW) __atomic_store_n(&job->unmatched[right[i]], 0, __ATOMIC_RELAXED);
  return TR_OK;
}

/* Puts the right rows that no pair has behind the pairs. */
static enum tr_status append_unmatched(struct join *j, struct tr_join_rows *out, struct tr_error *err) {
  struct tr_buffer *rows = NULL, *left = NULL, *right = NULL;
  void *mask = NULL;
  int64_t n_rows = 0;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)j->n_right, &mask, err));
  memset(mask, 1, (size_t)j->n_right);
  struct mark_job job = {out, mask};
  TR_GOTO(st, tr_parallel_for(j->ctx, out->n, tr_grain(j->ctx), mark_range, &job, err));
  TR_GOTO(st, tr_mask_rows(j->ctx, mask, j->n_right, &rows, &n_rows, err));
  if (n_rows == 0) goto done;
  if (out->n + n_rows >= UINT32_MAX) {
    st = tr_fail(err, TR_EXC_MEMORY, "the join would give %lld rows", (long long)(out->n + n_rows));
    goto done;
  }
  TR_GOTO(st, tr_buffer_new((out->n + n_rows) * 4, &left, err));
  TR_GOTO(st, tr_buffer_new((out->n + n_rows) * 4, &right, err));
  uint32_t *l = (uint32_t *)left->data, *r = (uint32_t *)right->data;
  for (int64_t i = 0; i < out->n; i++) l[i] = out->left ? ((const uint32_t *)out->left->data)[i] : (uint32_t)i;
  memset(l + out->n, 0xff, (size_t)n_rows * 4);
  memcpy(r, out->right->data, (size_t)out->n * 4);
  memcpy(r + out->n, rows->data, (size_t)n_rows * 4);
  tr_buffer_unref(out->left);
  tr_buffer_unref(out->right);
  out->left = left;
  out->right = right;
  left = right = NULL;
  out->n += n_rows;
  out->left_missing = true;
done:
  tr_mem_free(mask, (size_t)j->n_right);
  tr_buffer_unref(rows);
  tr_buffer_unref(left);
  tr_buffer_unref(right);
  return st;
}

struct cross_job {
  int64_t n_right;
  uint32_t *left, *right;
};

static enum tr_status cross_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct cross_job *job = arg;
  (void)thread;
  (void)err;
  for (int64_t i = begin; i < end; i++) {
    job->left[i] = (uint32_t)(i / job->n_right);
    job->right[i] = (uint32_t)(i % job->n_right);
  }
  return TR_OK;
}

static enum tr_status cross(struct tr_ctx *ctx, int64_t n_left, int64_t n_right, struct tr_join_rows *out,
                            struct tr_error *err) {
  int64_t n;
  if (__builtin_mul_overflow(n_left, n_right, &n) || n >= UINT32_MAX)
    return tr_fail(err, TR_EXC_MEMORY, "the cross join would give %.0f rows", (double)n_left * (double)n_right);
  out->n = n;
  TR_TRY(tr_buffer_new(n * 4, &out->left, err));
  TR_TRY(tr_buffer_new(n * 4, &out->right, err));
  struct cross_job job = {n_right, (uint32_t *)out->left->data, (uint32_t *)out->right->data};
  return tr_parallel_for(ctx, n, tr_grain(ctx), cross_range, &job, err);
}

static void swap_sides(struct tr_join_rows *rows) {
  struct tr_buffer *b = rows->left;
  bool missing = rows->left_missing;
  rows->left = rows->right;
  rows->left_missing = rows->right_missing;
  rows->right = b;
  rows->right_missing = missing;
}

enum tr_status tr_join_make(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                            struct tr_array *const *right, int64_t n_right, int n_keys, enum tr_join_how how, bool sort,
                            struct tr_join_rows *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  if (n_left >= UINT32_MAX || n_right >= UINT32_MAX) return tr_fail_memory(err, (size_t)(n_left + n_right) * 4);
  struct join j = {.ctx = ctx, .how = how, .n_left = n_left, .n_right = n_right, .grain = tr_grain(ctx)};
  enum tr_status st;
  if (how == TR_JOIN_CROSS) {
    TR_GOTO(st, cross(ctx, n_left, n_right, out, err));
    goto done;
  }
  if (how == TR_JOIN_RIGHT) { /* a left join seen from the other side */
    j.how = TR_JOIN_LEFT;
    j.n_left = n_right;
    j.n_right = n_left;
    TR_GOTO(st, match(&j, right, left, n_keys, err));
  } else {
    TR_GOTO(st, match(&j, left, right, n_keys, err));
  }
  TR_GOTO(st, write_pairs(&j, out, err));
  if (how == TR_JOIN_OUTER) TR_GOTO(st, append_unmatched(&j, out, err));
  if (how == TR_JOIN_RIGHT) swap_sides(out);
  drop(&j);
  j = (struct join){0};
  if (how == TR_JOIN_OUTER || (sort && how < TR_JOIN_CROSS))
    st = tr_join_order(ctx, left, n_left, right, n_right, n_keys, out, err);
done:
  drop(&j);
  if (st != TR_OK) tr_join_rows_drop(out);
  return st;
}

void tr_join_rows_drop(struct tr_join_rows *rows) {
  tr_buffer_unref(rows->left);
  tr_buffer_unref(rows->right);
  memset(rows, 0, sizeof *rows);
}

enum tr_status tr_join_lookup(struct tr_ctx *ctx, struct tr_array *const *left, int64_t n_left,
                              struct tr_array *const *right, int64_t n_right, int n_keys, struct tr_buffer **rows,
                              bool *has_missing, struct tr_error *err) {
  struct tr_parts parts;
  struct tr_join_table table = {0};
  *rows = NULL;
  *has_missing = false;
  if (n_left >= UINT32_MAX || n_right >= UINT32_MAX) return tr_fail_memory(err, (size_t)(n_left + n_right) * 4);
  TR_TRY(tr_parts_make(ctx, left, n_left, right, n_right, n_keys, &parts, err));
  enum tr_status st;
  TR_GOTO(st, tr_join_table_make(ctx, &parts, 0, parts.n, parts.domain, n_right, &table, err));
  if (!table.unique) {
    st = tr_fail(err, TR_EXC_VALUE, "cannot reindex on an axis with duplicate labels");
    goto done;
  }
  TR_GOTO(st, tr_buffer_new(n_left * 4, rows, err));
  uint32_t *first = (uint32_t *)(*rows)->data;
  TR_GOTO(st, tr_join_table_find_all(ctx, &table, parts.left, n_left, first, err));
  bool missing = false;
  for (int64_t i = 0; i < n_left; i++) missing |= first[i] == TR_NO_ROW;
  *has_missing = missing;
done:
  tr_join_table_drop(&table);
  tr_parts_drop(&parts);
  if (st != TR_OK) {
    tr_buffer_unref(*rows);
    *rows = NULL;
  }
  return st;
}
