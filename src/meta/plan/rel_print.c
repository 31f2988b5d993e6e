/* Text of a plan for people: one line a node, inputs indented, a shared node printed once and named after that. */
#include "meta/plan/rel.h"
#include <stdio.h>
#include <string.h>

struct printer {
  char *buf;
  int64_t size, used;
  const char *(*fn_name)(int, int);
  void (*note)(void *, const struct tr_rel *, char *, int64_t);
  void *note_arg;
  const struct tr_rel *seen[256];
  int n_seen;
};

static void put(struct printer *p, const char *text) {
  int64_t n = (int64_t)strlen(text);
  for (int64_t i = 0; i < n; i++)
    if (p->used + i < p->size - 1) p->buf[p->used + i] = text[i];
  p->used += n;
}

static void put_exprs(struct printer *p, const struct tr_rel *r, int begin, int end) {
  char text[2000];
  for (int i = begin; i < end; i++) {
    if (i > begin) put(p, ", ");
    tr_expr_print(r->exprs[i], NULL, text, sizeof text);
    put(p, text);
    if (r->descending && r->descending[i]) put(p, " desc");
  }
}

static void put_items(struct printer *p, const struct tr_rel *r) {
  char text[64];
  for (int i = 0; i < r->n_items; i++) {
    const struct tr_item *it = &r->items[i];
    put(p, i ? ", " : " ");
    put(p, p->fn_name ? p->fn_name(it->kind, it->fn) : "fn");
    put(p, "(");
    if (it->expr >= 0) put_exprs(p, r, it->expr, it->expr + 1);
    if (it->expr2 >= 0) {
      put(p, ", ");
      put_exprs(p, r, it->expr2, it->expr2 + 1);
    }
    put(p, ")");
    if (it->kind == TR_ITEM_TRANSFORM) put(p, " to rows");
    if (it->param > 1) {
      snprintf(text, sizeof text, "[%lld]", (long long)it->param);
      put(p, text);
    }
  }
}

static void put_detail(struct printer *p, const struct tr_rel *r) {
  static const char *const hows[] = {"inner", "left", "right", "outer", "cross", "semi", "anti"};
  char text[200];
  switch (r->kind) {
  case TR_REL_AGGREGATE:
  case TR_REL_WINDOW:
    put(p, r->n_keys ? " by " : "");
    put_exprs(p, r, 0, r->n_keys);
    put_items(p, r);
    break;
  case TR_REL_JOIN:
    snprintf(text, sizeof text, " %s on ", hows[r->opt.how < 7 ? r->opt.how : 0]);
    put(p, text);
    put_exprs(p, r, 0, r->n_keys);
    put(p, " = ");
    put_exprs(p, r, r->n_keys, 2 * r->n_keys);
    break;
  case TR_REL_SORT:
    put(p, r->opt.stop >= 0 ? " top " : " by ");
    if (r->opt.stop >= 0) {
      snprintf(text, sizeof text, "%lld by ", (long long)r->opt.stop);
      put(p, text);
    }
    put_exprs(p, r, 0, r->n_exprs);
    break;
  case TR_REL_SLICE:
    if (r->opt.stop == INT64_MAX)
      snprintf(text, sizeof text, " %lld::%lld", (long long)r->opt.start, (long long)r->opt.step);
    else
      snprintf(text, sizeof text, " %lld:%lld:%lld", (long long)r->opt.start, (long long)r->opt.stop,
               (long long)r->opt.step);
    put(p, text);
    break;
  case TR_REL_GROUP_HEAD:
    snprintf(text, sizeof text, " %s %lld by ", r->opt.tail ? "last" : "first", (long long)r->opt.start);
    put(p, text);
    put_exprs(p, r, 0, r->n_keys);
    if (r->n_exprs > r->n_keys) put(p, " in the order of ");
    put_exprs(p, r, r->n_keys, r->n_exprs);
    break;
  default:
    if (r->n_exprs) put(p, " ");
    put_exprs(p, r, 0, r->n_exprs);
  }
}

static int known(struct printer *p, const struct tr_rel *r) {
  for (int i = 0; i < p->n_seen; i++)
    if (p->seen[i] == r) return i;
  if (p->n_seen < 256) p->seen[p->n_seen++] = r;
  return -1;
}

static void put_rel(struct printer *p, const struct tr_rel *r, int depth) {
  char text[400];
  int no = known(p, r);
  for (int i = 0; i < depth; i++) put(p, "  ");
  put(p, tr_rel_kind_name((enum tr_rel_kind)r->kind));
  if (no >= 0) {
    snprintf(text, sizeof text, " (node %d again)\n", no);
    put(p, text);
    return;
  }
  snprintf(text, sizeof text, " #%d", p->n_seen - 1);
  put(p, text);
  if (r->source_name) {
    snprintf(text, sizeof text, " %s", r->source_name);
    put(p, text);
  }
  put_detail(p, r);
  if (r->n_rows >= 0) snprintf(text, sizeof text, "  [%d columns, %lld rows]", r->n_cols, (long long)r->n_rows);
  else snprintf(text, sizeof text, "  [%d columns]", r->n_cols);
  put(p, text);
  if (p->note) {
    char said[1000] = "";
    p->note(p->note_arg, r, said, sizeof said);
    put(p, said);
  }
  put(p, r->kept ? " kept\n" : "\n");
  if (r->kept) return;
  for (int i = 0; i < r->n_inputs; i++) put_rel(p, r->inputs[i], depth + 1);
}

int64_t tr_rel_print_noted(const struct tr_rel *r, const char *(*fn_name)(int, int),
                           void (*note)(void *, const struct tr_rel *, char *, int64_t), void *arg, char *buf,
                           int64_t size) {
  struct printer p = {.buf = buf, .size = size, .fn_name = fn_name, .note = note, .note_arg = arg};
  put_rel(&p, r, 0);
  if (size > 0) buf[p.used < size - 1 ? p.used : size - 1] = 0;
  return p.used;
}

int64_t tr_rel_print(const struct tr_rel *r, const char *(*fn_name)(int, int), char *buf, int64_t size) {
  return tr_rel_print_noted(r, fn_name, NULL, NULL, buf, size);
}
