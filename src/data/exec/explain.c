/* The plan as it will run, for people: rewritten, with what is read of each Parquet source. */
#include "data/exec/exec_int.h"
#include <stdio.h>
#include <stdlib.h>

static void put_columns(const struct tr_node *node, char *buf, int64_t size) {
  const struct tr_parquet_source *s = node->rel->source;
  int n = 0, at = 0, n_file_cols = node->rel->n_cols - 1;
  for (int i = 0; i < n_file_cols; i++) n += node->need[i];
  at += snprintf(buf, (size_t)size, "  reads %d of %d columns", n, n_file_cols);
  const char *before = " (";
  for (int i = 0; i < n_file_cols && at < size - 64; i++) {
    if (!node->need[i]) continue;
    at += snprintf(buf + at, (size_t)(size - at), "%s%.60s", before, s->files[0]->cols[i].name);
    before = ", ";
  }
  if (at >= size - 64) at = (int)size - 64 + snprintf(buf + size - 64, 64, ", …");
  snprintf(buf + at, (size_t)(size - at), "%s", n ? ")" : "");
}

static void note(void *arg, const struct tr_rel *r, char *buf, int64_t size) {
  const struct tr_exec_plan *p = arg;
  int i = tr_exec_find(p, r), n = 0, all = 0, used;
  *buf = 0;
  if (i < 0 || r->kind != TR_REL_PARQUET) return;
  const struct tr_node *node = &p->nodes[i];
  const struct tr_parquet_source *s = r->source;
  if ((node->waiting == 0 && i != p->n - 1) || tr_exec_at_hand(node)) return;
  put_columns(node, buf, size / 2);
  for (int f = 0; f < s->n_files; f++)
    for (int g = 0; g < s->files[f]->n_row_groups; g++, all++) n += !node->row_groups || node->row_groups[all];
  for (used = 0; buf[used]; used++) {}
  snprintf(buf + used, (size_t)(size - used), ", %d of %d row groups", n, all);
}

enum tr_status tr_exec_explain(struct tr_rel *r, const bool *need, const char *(*fn_name)(int, int), char **text,
                               struct tr_error *err) {
  struct tr_exec_plan p;
  *text = NULL;
  tr_exec_lock();
  enum tr_status st = tr_exec_prepare(r, need, TR_AIM_RUN, &p, err);
  if (st == TR_OK) {
    const struct tr_rel *root = p.opt.root;
    int64_t n = tr_rel_print_noted(root, fn_name, note, &p, NULL, 0);
    *text = malloc((size_t)n + 1);
    if (*text) tr_rel_print_noted(root, fn_name, note, &p, *text, n + 1);
    else st = tr_fail_memory(err, (size_t)n);
    tr_exec_plan_drop(&p);
  }
  tr_exec_unlock();
  return st;
}
