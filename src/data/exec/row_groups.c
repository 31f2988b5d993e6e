/* Which row groups of its Parquet files a scan reads, when its readers do not need all rows.
 *
 * A pruned scan gives fewer rows than the node has, so it is never kept; where Python holds the node (and may ask
 * again), only a scan that leaves out at least half of the rows is pruned. Columns whose dtype or categories depend on
 * all rows forbid it. */
#include "data/exec/exec_int.h"
#include <stdlib.h>
#include <string.h>

static int count_groups(const struct tr_parquet_source *s) {
  int n = 0;
  for (int f = 0; f < s->n_files; f++) n += s->files[f]->n_row_groups;
  return n;
}

static bool may_prune(const struct tr_node *scan) {
  const struct tr_rel *r = scan->rel;
  const struct tr_frame *kept = r->kept;
  for (int i = 0; i < r->n_cols; i++) {
    if (!scan->need[i]) continue;
    if (r->cols[i].unsettled || r->cols[i].dtype.kind == TR_CATEGORY) return false;
    if (kept && kept->cols[i]) return false; /* some of it is at hand already: read the rest whole, and keep that too */
  }
  return true;
}

/* Statistics of the columns the predicate reads, of one file; NULL = out of memory. */
static struct tr_opt_column_stats *copy_stats(const struct tr_parquet_file *f, const bool *used) {
  size_t n = (size_t)f->n_row_groups * (size_t)f->n_cols;
  struct tr_opt_column_stats *out = calloc(n + 1, sizeof *out);
  for (size_t i = 0; out && i < n; i++) {
    const struct tr_parquet_stats *s = &f->stats[i];
    if (used[i % (size_t)f->n_cols])
      out[i] = (struct tr_opt_column_stats){s->has_min_max, s->has_null_count, s->min, s->max, s->null_count};
  }
  return out;
}

static bool choose_by_filter(const struct tr_node *scan, const struct tr_expr *predicate, bool *keep) {
  const struct tr_parquet_source *s = scan->rel->source;
  bool *used = calloc((size_t)scan->rel->n_cols + 1, sizeof *used), ok = used != NULL;
  if (ok) tr_expr_columns(predicate, used);
  for (int f = 0, at = 0; ok && f < s->n_files; at += s->files[f++]->n_row_groups) {
    const struct tr_parquet_file *file = s->files[f];
    struct tr_opt_column_stats *stats = copy_stats(file, used);
    ok = stats != NULL;
    if (ok)
      tr_opt_prune_row_groups(predicate, stats, file->n_cols, file->row_group_rows, file->n_row_groups, keep + at);
    free(stats);
  }
  free(used);
  return ok;
}

/* The first `head` and the last `tail` rows, as slices 0 <= a:b and -a: take them. */
static bool choose_ends(const struct tr_node *scan, const struct tr_rel *const *slices, int n, bool *keep) {
  const struct tr_parquet_source *s = scan->rel->source;
  int64_t head = 0, tail = 0, row = 0;
  for (int i = 0; i < n; i++) {
    struct tr_rel_options o = slices[i]->opt;
    if (o.step != 1) return false;
    if (o.start >= 0 && o.stop >= 0 && o.stop != INT64_MAX) head = o.stop > head ? o.stop : head;
    else if (o.start < 0 && o.start > INT64_MIN && o.stop == INT64_MAX) tail = -o.start > tail ? -o.start : tail;
    else return false;
  }
  int64_t n_rows = scan->rel->n_rows;
  for (int f = 0, k = 0; f < s->n_files; f++)
    for (int g = 0; g < s->files[f]->n_row_groups; g++) {
      int64_t end = row + s->files[f]->row_group_rows[g];
      keep[k++] = row < head || (tail > 0 && end > n_rows - tail);
      row = end;
    }
  return true;
}

static bool pays(const struct tr_node *scan, const bool *keep) {
  const struct tr_parquet_source *s = scan->rel->source;
  int64_t rows = 0;
  for (int f = 0, k = 0; f < s->n_files; f++)
    for (int g = 0; g < s->files[f]->n_row_groups; g++) rows += keep[k++] ? s->files[f]->row_group_rows[g] : 0;
  return rows <= (atomic_load(&scan->rel->handles) > 0 ? scan->rel->n_rows / 2 : scan->rel->n_rows - 1);
}

void tr_scan_choose_row_groups(struct tr_node *scan, const struct tr_rel *const *readers, int n_readers) {
  int n = count_groups(scan->rel->source), n_slices = 0;
  for (int i = 0; i < n_readers; i++) n_slices += readers[i]->kind == TR_REL_SLICE;
  bool filter = n_readers == 1 && readers[0]->kind == TR_REL_FILTER;
  if (n < 2 || !may_prune(scan) || !(filter || n_slices == n_readers)) return;
  bool *keep = malloc((size_t)n);
  if (!keep) return;
  memset(keep, true, (size_t)n);
  bool chosen =
      filter ? choose_by_filter(scan, readers[0]->exprs[0], keep) : choose_ends(scan, readers, n_readers, keep);
  if (chosen && pays(scan, keep)) {
    scan->row_groups = keep;
    return;
  }
  free(keep);
}
