/* Leaves: frames in memory and Parquet files, and the Parquet scan with its row-number column. */
#include "data/exec/exec_int.h"
#include <stdlib.h>
#include <string.h>

static void release_frame(void *f) { tr_frame_unref(f); }

enum tr_status tr_exec_frame_source(struct tr_frame *f, const char *name, struct tr_rel **out, struct tr_error *err) {
  struct tr_rel_col *cols = calloc((size_t)f->n_cols + 1, sizeof *cols);
  if (!cols) return tr_fail_memory(err, sizeof *cols);
  for (int i = 0; i < f->n_cols; i++) {
    if (!f->cols[i]) continue;
    bool can = !tr_kind_is_int(f->cols[i]->dtype.kind) && f->cols[i]->dtype.kind != TR_BOOL;
    cols[i] =
        (struct tr_rel_col){.dtype = f->cols[i]->dtype, .maybe_null = can && tr_array_null_count(f->cols[i]) != 0};
  }
  enum tr_status st =
      tr_rel_source(TR_REL_FRAME, cols, f->n_cols, f->n_rows, tr_frame_ref(f), release_frame, name, out, err);
  free(cols);
  return st;
}

static void release_parquet(void *source) {
  struct tr_parquet_source *s = source;
  for (int i = 0; i < s->n_files; i++) tr_parquet_close(s->files[i]);
  free(s->files);
  free(s);
}

/* Adds what file f tells of its columns; every file must have the first one's names and dtypes. */
static enum tr_status merge_schema(const struct tr_parquet_file *first, const struct tr_parquet_file *f,
                                   struct tr_rel_col *cols, struct tr_error *err) {
  if (f->n_cols != first->n_cols)
    return tr_unsupported(err, "Parquet files of different schema: '%s' has %d columns, '%s' has %d", first->path,
                          first->n_cols, f->path, f->n_cols);
  for (int i = 0; i < f->n_cols; i++) {
    if (strcmp(f->cols[i].name, first->cols[i].name) != 0 || !tr_dtype_eq(f->cols[i].dtype, first->cols[i].dtype))
      return tr_unsupported(err, "Parquet files of different schema: column '%s' of '%s'", f->cols[i].name, f->path);
    cols[i].dtype = f->cols[i].dtype;
    if (f->cols[i].maybe_float) cols[i].unsettled = true;
    bool can = !tr_kind_is_int(cols[i].dtype.kind) && cols[i].dtype.kind != TR_BOOL;
    if (!can) continue;
    for (int g = 0; g < f->n_row_groups; g++) {
      const struct tr_parquet_stats *s = &f->stats[g * f->n_cols + i];
      bool none = s->has_null_count && s->null_count == 0 && !tr_kind_is_float(cols[i].dtype.kind);
      if (!none) cols[i].maybe_null = true;
    }
  }
  return TR_OK;
}

/* Opens all files of a source: objects many at a time, local files one after another. */
static enum tr_status open_files(struct tr_parquet_source *s, struct tr_store *const *stores, const char *const *paths,
                                 int n, struct tr_ctx *ctx, struct tr_error *err) {
  bool remote = stores != NULL;
  for (int i = 0; i < n && remote; i++) remote = stores[i] != NULL;
  if (remote) {
    TR_TRY(tr_parquet_open_objects(stores, paths, n, ctx, s->files, err));
    s->n_files = n;
    return TR_OK;
  }
  for (int i = 0; i < n; i++) {
    if (stores && stores[i]) TR_TRY(tr_parquet_open_object(stores[i], paths[i], ctx, &s->files[i], err));
    else TR_TRY(tr_parquet_open(paths[i], &s->files[i], err));
    s->n_files++;
  }
  return TR_OK;
}

enum tr_status tr_exec_parquet_source(const char *const *paths, int n_paths, struct tr_rel **out,
                                      struct tr_error *err) {
  return tr_exec_parquet_objects(NULL, paths, n_paths, NULL, out, err);
}

enum tr_status tr_exec_parquet_objects(struct tr_store *const *stores, const char *const *paths, int n_paths,
                                       struct tr_ctx *ctx, struct tr_rel **out, struct tr_error *err) {
  enum tr_status st = TR_OK;
  struct tr_rel_col *cols = NULL;
  int64_t n_rows = 0;
  struct tr_parquet_source *s = calloc(1, sizeof *s);
  if (s) s->files = calloc((size_t)n_paths, sizeof *s->files);
  if (!s || !s->files) {
    free(s);
    return tr_fail_memory(err, sizeof *s);
  }
  TR_GOTO(st, open_files(s, stores, paths, n_paths, ctx, err));
  cols = calloc((size_t)s->files[0]->n_cols + 1, sizeof *cols);
  if (!cols) TR_GOTO(st, tr_fail_memory(err, sizeof *cols));
  for (int i = 0; i < n_paths; i++) {
    n_rows += s->files[i]->n_rows;
    TR_GOTO(st, merge_schema(s->files[0], s->files[i], cols, err));
  }
  int n_cols = s->files[0]->n_cols;
  cols[n_cols] = (struct tr_rel_col){.dtype = tr_dtype_of(TR_I64)};
  st = tr_rel_source(TR_REL_PARQUET, cols, n_cols + 1, n_rows, s, release_parquet, s->files[0]->path, out, err);
  free(cols);
  return st;
done:
  free(cols);
  release_parquet(s);
  return st;
}

/* Rows of a scan, all or those of the row groups chosen. */
static int64_t scan_rows(const struct tr_node *node) {
  const struct tr_parquet_source *s = node->rel->source;
  int64_t n = 0;
  if (!node->row_groups) return node->rel->n_rows;
  for (int f = 0, at = 0; f < s->n_files; at += s->files[f++]->n_row_groups)
    for (int g = 0; g < s->files[f]->n_row_groups; g++)
      if (node->row_groups[at + g]) n += s->files[f]->row_group_rows[g];
  return n;
}

/* Positions of the rows read among all rows of the files. */
static enum tr_status row_numbers(const struct tr_node *node, int64_t n, struct tr_array **out, struct tr_error *err) {
  const struct tr_parquet_source *s = node->rel->source;
  TR_TRY(tr_array_new(tr_dtype_of(TR_I64), n, out, err));
  int64_t *v = tr_array_data(*out), row = 0, k = 0;
  for (int f = 0, at = 0; f < s->n_files; at += s->files[f++]->n_row_groups)
    for (int g = 0; g < s->files[f]->n_row_groups; g++) {
      int64_t rows = s->files[f]->row_group_rows[g];
      if (!node->row_groups || node->row_groups[at + g])
        for (int64_t i = 0; i < rows; i++) v[k++] = row + i;
      row += rows;
    }
  return TR_OK;
}

enum tr_status tr_op_scan_parquet(struct tr_ctx *ctx, struct tr_node *node, struct tr_frame *const *in,
                                  struct tr_error *err) {
  (void)in;
  const struct tr_rel *r = node->rel;
  struct tr_parquet_source *s = r->source;
  int n_file_cols = r->n_cols - 1, k = 0;
  int64_t n_rows = scan_rows(node);
  int *cols = calloc((size_t)r->n_cols, sizeof *cols);
  const bool **keep = calloc((uint32_t)s->n_files, sizeof *keep);
  struct tr_frame *got = NULL;
  enum tr_status st = TR_OK;
  if (!cols || !keep) TR_GOTO(st, tr_fail_memory(err, sizeof *cols * (size_t)r->n_cols));
  for (int i = 0, at = 0; i < s->n_files; at += s->files[i++]->n_row_groups) {
    TR_GOTO(st, tr_parquet_unchanged(s->files[i], err));
    if (node->row_groups) keep[i] = node->row_groups + at;
  }
  const struct tr_frame *old = node->row_groups ? NULL : r->kept;
  for (int i = 0; i < n_file_cols; i++)
    if (node->need[i] && !(old && old->cols[i])) cols[k++] = i;
  TR_GOTO(st, tr_node_begin(node, n_rows, err));
  if (k) TR_GOTO(st, tr_parquet_read(ctx, s->files, s->n_files, keep, cols, k, &got, err));
  for (int i = 0; i < k; i++) node->out->cols[cols[i]] = tr_array_ref(got->cols[i]);
  for (int i = 0; i < n_file_cols; i++)
    if (node->need[i] && !node->out->cols[i]) node->out->cols[i] = tr_array_ref(old->cols[i]);
  if (node->need[n_file_cols]) TR_GOTO(st, row_numbers(node, n_rows, &node->out->cols[n_file_cols], err));
done:
  tr_frame_unref(got);
  free(cols);
  free(keep);
  return st;
}

enum tr_status tr_exec_read_row_groups(struct tr_ctx *ctx, struct tr_rel *parquet, int32_t from, int32_t to,
                                       const bool *need, struct tr_frame **out, struct tr_error *err) {
  const struct tr_parquet_source *s = parquet->source;
  int32_t n = 0;
  for (int f = 0; f < s->n_files; f++) n += s->files[f]->n_row_groups;
  bool *groups = calloc((size_t)n + 1, sizeof *groups);
  *out = NULL;
  if (!groups) return tr_fail_memory(err, (size_t)n);
  for (int32_t g = from < 0 ? 0 : from; g < to && g < n; g++) groups[g] = true;
  struct tr_node node = {.rel = parquet, .need = (bool *)(uintptr_t)need, .row_groups = groups};
  enum tr_status st = tr_op_scan_parquet(ctx, &node, NULL, err);
  free(groups);
  if (st == TR_OK) *out = node.out;
  else tr_frame_unref(node.out);
  return st;
}
