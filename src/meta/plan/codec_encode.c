/* Writes a plan as canonical JSON: see codec.h. Expressions are numbered as they are first met, arguments before what
 * uses them, and found again by their text, in which arguments are numbers already: equal subtrees become one. Nodes
 * are told apart by address, since sharing a node is part of a plan. */
#include "base/hash.h"
#include "meta/plan/codec_int.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
  char *p;
  size_t n, room;
  bool failed; /* out of memory: what is put from then on is lost */
};

/* What was numbered already: an address or a stretch of text, and its number. */
struct entry {
  uint64_t hash;
  const void *address;
  size_t at, n; /* in encoder.exprs, when address is NULL */
  int32_t no;
};
struct index {
  struct entry *entries;
  int32_t *slots; /* entry + 1; 0 = free */
  int32_t n, n_slots;
};

struct encoder {
  struct text sources, exprs, nodes;
  struct index rels, addresses, texts;
  const struct tr_rel **found; /* sources by ordinal, borrowed until the end */
  int32_t n_found, n_exprs, n_nodes;
  struct tr_error *err;
};

static void put_bytes(struct text *t, const char *s, size_t n) {
  if (t->n + n + 1 > t->room) {
    size_t room = t->room * 2 > t->n + n + 1 ? t->room * 2 : t->n + n + 256;
    char *grown = t->failed ? NULL : realloc(t->p, room);
    if (!grown) {
      t->failed = true;
      return;
    }
    t->p = grown;
    t->room = room;
  }
  if (n) memcpy(t->p + t->n, s, n);
  t->n += n;
  t->p[t->n] = 0;
}

static void put(struct text *t, const char *s) { put_bytes(t, s, strlen(s)); }

static void put_int(struct text *t, const char *before, int64_t v) {
  char digits[24];
  put(t, before);
  put_bytes(t, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, v));
}

static void put_string(struct text *t, const char *s, size_t n) {
  char code[8];
  put(t, "\"");
  size_t begin = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    put_bytes(t, s + begin, i - begin);
    begin = i + 1;
    if (c < 0x20) snprintf(code, sizeof code, "\\u%04x", c);
    else snprintf(code, sizeof code, "\\%c", c);
    put(t, code);
  }
  put_bytes(t, s + begin, n - begin);
  put(t, "\"");
}

static void put_base64(struct text *t, const char *s, int64_t n) {
  char quad[4];
  put(t, "\"");
  for (int64_t i = 0; i < n; i += 3) {
    tr_codec_base64_encode(s + i, n - i < 3 ? n - i : 3, quad);
    put_bytes(t, quad, 4);
  }
  put(t, "\"");
}

static void put_name(struct text *t, const char *before, const char *name) {
  put(t, before);
  put(t, "\"");
  put(t, name);
  put(t, "\"");
}

/* A text parameter: a string, or an object of base64. */
static void put_text(struct text *t, const char *key, const char *s) {
  if (!s) return;
  put(t, key);
  if (tr_codec_is_json_text(s, (int64_t)strlen(s))) {
    put_string(t, s, strlen(s));
    return;
  }
  put(t, "{\"b\":");
  put_base64(t, s, (int64_t)strlen(s));
  put(t, "}");
}

static enum tr_status put_scalar(struct encoder *e, struct text *t, const struct tr_scalar *s) {
  char number[TR_CODEC_FLOAT_MAX];
  int kind = s->dtype.kind;
  put_name(t, "{\"t\":", tr_codec_dtype_name(s->dtype));
  if (s->is_null) {
    put(t, ",\"n\":true}");
    return TR_OK;
  }
  if (kind == TR_CATEGORY) return tr_unsupported(e->err, "a category value in a plan");
  if (kind == TR_STR) {
    bool plain = tr_codec_is_json_text(s->s.ptr, s->s.len);
    put(t, plain ? ",\"v\":" : ",\"b\":");
    if (plain) put_string(t, s->s.ptr, (size_t)s->s.len);
    else put_base64(t, s->s.ptr, s->s.len);
  } else {
    if (tr_kind_is_float(kind)) tr_codec_float_print(s->f, number);
    else if (tr_kind_is_int(kind) && !tr_kind_is_signed(kind)) snprintf(number, sizeof number, "%" PRIu64, s->u);
    else snprintf(number, sizeof number, "%" PRId64, s->i);
    put_name(t, ",\"v\":", number);
  }
  put(t, "}");
  return TR_OK;
}

/* index: open addressing; a hit is decided by `address`, or by the text at exprs.p[at .. at + n). */
static bool same_entry(const struct encoder *e, const struct entry *a, const struct entry *b) {
  if (a->hash != b->hash || a->address != b->address || a->n != b->n) return false;
  return a->address || memcmp(e->exprs.p + a->at, e->exprs.p + b->at, a->n) == 0;
}

static int32_t index_find(const struct encoder *e, const struct index *x, const struct entry *want) {
  if (!x->n_slots) return -1;
  uint32_t mask = (uint32_t)x->n_slots - 1;
  for (uint32_t at = (uint32_t)want->hash & mask; x->slots[at]; at = (at + 1) & mask)
    if (same_entry(e, &x->entries[x->slots[at] - 1], want)) return x->entries[x->slots[at] - 1].no;
  return -1;
}

static enum tr_status index_add(struct encoder *e, struct index *x, struct entry entry) {
  if (x->n * 2 >= x->n_slots) {
    int32_t n_slots = x->n_slots ? x->n_slots * 2 : 64;
    int32_t *slots = calloc((size_t)n_slots, sizeof *slots);
    struct entry *entries = realloc(x->entries, sizeof *entries * (size_t)n_slots);
    if (entries) x->entries = entries;
    if (!slots || !entries) {
      free(slots);
      return tr_fail_memory(e->err, sizeof *entries * (size_t)n_slots);
    }
    free(x->slots);
    x->slots = slots;
    x->n_slots = n_slots;
    for (int32_t i = 0; i < x->n; i++) {
      uint32_t at = (uint32_t)x->entries[i].hash & (uint32_t)(n_slots - 1);
      while (slots[at]) at = (at + 1) & (uint32_t)(n_slots - 1);
      slots[at] = i + 1;
    }
  }
  uint32_t mask = (uint32_t)x->n_slots - 1, at = (uint32_t)entry.hash & mask;
  while (x->slots[at]) at = (at + 1) & mask;
  x->entries[x->n++] = entry;
  x->slots[at] = x->n;
  return TR_OK;
}

static struct entry entry_of(const void *address, int32_t no) {
  return (struct entry){.hash = tr_hash_u64((uint64_t)(uintptr_t)address), .address = address, .no = no};
}

static enum tr_status put_op(struct encoder *e, const struct tr_expr *x, const int32_t *args) {
  struct text *t = &e->exprs;
  put_name(t, "{\"op\":", tr_expr_op_name((enum tr_expr_op)x->op));
  if (x->op == TR_OP_LIT) {
    put(t, ",\"lit\":");
    TR_TRY(put_scalar(e, t, &x->lit));
    put(t, x->weak ? ",\"weak\":true}" : "}");
    return TR_OK;
  }
  if (x->op == TR_OP_COL) {
    put_int(t, ",\"column\":", x->column);
    put_name(t, ",\"dtype\":", tr_codec_dtype_name(x->dtype));
    put(t, x->maybe_null ? ",\"null\":true}" : "}");
    return TR_OK;
  }
  for (int i = 0; i < x->n_args; i++) put_int(t, i ? "," : ",\"args\":[", args[i]);
  if (x->n_args) put(t, "]");
  int n_params = 4;
  while (n_params > 0 && x->params[n_params - 1] == 0) n_params--;
  for (int i = 0; i < n_params; i++) put_int(t, i ? "," : ",\"params\":[", x->params[i]);
  if (n_params) put(t, "]");
  put_text(t, ",\"text\":", x->text);
  put_text(t, ",\"text2\":", x->text2);
  for (int64_t i = 0; i < x->n_list; i++) {
    put(t, i ? "," : ",\"list\":[");
    TR_TRY(put_scalar(e, t, &x->list[i]));
  }
  if (x->n_list) put(t, "]");
  put_name(t, ",\"dtype\":", tr_codec_dtype_name(x->dtype));
  put(t, "}");
  return TR_OK;
}

static enum tr_status check_depth(struct encoder *e, int depth, const char *what) {
  int64_t most = tr_plan_limits_default.depth;
  if (depth < most) return TR_OK;
  return tr_fail(e->err, TR_EXC_VALUE, "plan: %s more than %" PRId64 " deep", what, most);
}

static enum tr_status put_expr(struct encoder *e, const struct tr_expr *x, int depth, int32_t *no) {
  struct entry address = entry_of(x, 0);
  *no = index_find(e, &e->addresses, &address);
  if (*no >= 0) return TR_OK;
  TR_TRY(check_depth(e, depth, "expressions"));
  int32_t args[TR_EXPR_MAX_ARGS];
  for (int i = 0; i < x->n_args; i++) TR_TRY(put_expr(e, x->args[i], depth + 1, &args[i]));
  size_t before = e->exprs.n;
  if (e->n_exprs) put(&e->exprs, ",");
  struct entry text = {.at = e->exprs.n, .no = e->n_exprs};
  TR_TRY(put_op(e, x, args));
  if (e->exprs.failed) return tr_fail_memory(e->err, e->exprs.n);
  text.n = e->exprs.n - text.at;
  text.hash = tr_hash_bytes(e->exprs.p + text.at, text.n);
  *no = index_find(e, &e->texts, &text);
  if (*no >= 0) {
    e->exprs.n = before;
  } else {
    *no = e->n_exprs++;
    TR_TRY(index_add(e, &e->texts, text));
  }
  address.no = *no;
  return index_add(e, &e->addresses, address);
}

static void put_source(struct text *t, const struct tr_rel *r) {
  put_name(t, t->n ? ",{\"kind\":" : "{\"kind\":", tr_rel_kind_name((enum tr_rel_kind)r->kind));
  if (r->n_rows >= 0) put_int(t, ",\"rows\":", r->n_rows);
  put(t, ",\"cols\":[");
  for (int i = 0; i < r->n_cols; i++) {
    put_name(t, i ? ",{\"dtype\":" : "{\"dtype\":", tr_codec_dtype_name(r->cols[i].dtype));
    if (r->cols[i].maybe_null) put(t, ",\"null\":true");
    if (r->cols[i].unsettled) put(t, ",\"unsettled\":true");
    put(t, "}");
  }
  put(t, "]}");
}

static enum tr_status put_item(struct encoder *e, const struct tr_item *it, const struct tr_rel_col *col) {
  static const uint64_t zero;
  char q[TR_CODEC_FLOAT_MAX];
  struct text *t = &e->nodes;
  bool window = it->kind == TR_ITEM_WINDOW;
  if (it->kind >= TR_CODEC_N_ITEM_KINDS || it->fn >= (window ? TR_PLAN_N_WINDOWS : TR_PLAN_N_AGGS) ||
      it->na_option >= TR_CODEC_N_NA_OPTIONS)
    return tr_fail(e->err, TR_EXC_VALUE, "plan: item %d of function %d", it->kind, it->fn);
  put_name(t, "{\"kind\":", tr_codec_item_kinds[it->kind]);
  put_name(t, ",\"fn\":", (window ? tr_codec_windows : tr_codec_aggs)[it->fn].name);
  if (it->expr >= 0) put_int(t, ",\"expr\":", it->expr);
  if (it->expr2 >= 0) put_int(t, ",\"expr2\":", it->expr2);
  if (it->param) put_int(t, ",\"param\":", it->param);
  if (memcmp(&it->q, &zero, sizeof zero) != 0) {
    tr_codec_float_print(it->q, q);
    put_name(t, ",\"q\":", q);
  }
  if (it->skipna) put(t, ",\"skipna\":true");
  if (it->descending) put(t, ",\"descending\":true");
  if (it->pct) put(t, ",\"pct\":true");
  if (it->na_option) put_name(t, ",\"na_option\":", tr_codec_na_options[it->na_option]);
  put_name(t, ",\"dtype\":", tr_codec_dtype_name(col->dtype));
  put(t, col->unsettled ? ",\"unsettled\":true}" : "}");
  return TR_OK;
}

static enum tr_status put_options(struct encoder *e, const struct tr_rel *r) {
  struct text *t = &e->nodes;
  struct tr_rel_options o = r->opt, usual = tr_codec_defaults;
  if (o.how >= TR_CODEC_N_HOWS || o.keep >= TR_CODEC_N_KEEPS)
    return tr_fail(e->err, TR_EXC_VALUE, "plan: option out of range");
  bool any = false;
  for (enum tr_codec_option k = 0; k < TR_CODEC_N_OPTIONS; k++) {
    const bool *flag = tr_codec_flag(&o, k);
    const int64_t *number = tr_codec_number(&o, k);
    bool is_usual = flag                ? !*flag
                    : number            ? *number == *tr_codec_number(&usual, k)
                    : k == TR_CODEC_HOW ? !o.how
                                        : !o.keep;
    if (is_usual || !tr_codec_has_option((enum tr_rel_kind)r->kind, k)) continue;
    put_name(t, any ? "," : ",\"options\":{", tr_codec_options[k]);
    any = true;
    if (flag) put(t, ":true");
    else if (number) put_int(t, ":", *number);
    else put_name(t, ":", k == TR_CODEC_HOW ? tr_codec_hows[o.how] : tr_codec_keeps[o.keep]);
  }
  if (any) put(t, "}");
  return TR_OK;
}

static enum tr_status put_node(struct encoder *e, const struct tr_rel *r, const int32_t *inputs, const int32_t *exprs) {
  struct text *t = &e->nodes;
  put_name(t, t->n ? ",{\"kind\":" : "{\"kind\":", tr_rel_kind_name((enum tr_rel_kind)r->kind));
  for (int i = 0; i < r->n_inputs; i++) put_int(t, i ? "," : ",\"inputs\":[", inputs[i]);
  if (r->n_inputs) put(t, "]");
  for (int i = 0; i < r->n_exprs; i++) put_int(t, i ? "," : ",\"exprs\":[", exprs[i]);
  if (r->n_exprs) put(t, "]");
  if (r->n_keys) put_int(t, ",\"n_keys\":", r->n_keys);
  int first = r->kind == TR_REL_WINDOW ? r->inputs[0]->n_cols : r->n_keys;
  for (int i = 0; i < r->n_items; i++) {
    put(t, i ? "," : ",\"items\":[");
    TR_TRY(put_item(e, &r->items[i], &r->cols[first + i]));
  }
  if (r->n_items) put(t, "]");
  bool directed = r->kind == TR_REL_SORT || r->kind == TR_REL_GROUP_HEAD;
  int n_directions = directed && r->descending ? r->n_exprs : 0;
  while (n_directions > 0 && !r->descending[n_directions - 1]) n_directions--;
  for (int i = 0; i < n_directions; i++) {
    put(t, i ? "," : ",\"descending\":[");
    put(t, r->descending[i] ? "true" : "false");
  }
  if (n_directions) put(t, "]");
  TR_TRY(put_options(e, r));
  put(t, "}");
  return TR_OK;
}

/* A source is a node of its own, so that inputs are always numbers of nodes. */
static enum tr_status put_leaf(struct encoder *e, const struct tr_rel *r) {
  const struct tr_rel **grown = realloc(e->found, sizeof *grown * ((size_t)e->n_found + 1));
  if (!grown) return tr_fail_memory(e->err, sizeof *grown * ((size_t)e->n_found + 1));
  e->found = grown;
  put_source(&e->sources, r);
  put_int(&e->nodes, e->nodes.n ? ",{\"source\":" : "{\"source\":", e->n_found);
  put(&e->nodes, "}");
  e->found[e->n_found++] = r;
  return TR_OK;
}

static enum tr_status put_rel(struct encoder *e, const struct tr_rel *r, int depth, int32_t *no) {
  struct entry address = entry_of(r, 0);
  *no = index_find(e, &e->rels, &address);
  if (*no >= 0) return TR_OK;
  TR_TRY(check_depth(e, depth, "nodes"));
  int32_t *inputs = malloc(sizeof *inputs * ((size_t)r->n_inputs + (size_t)r->n_exprs + 1));
  if (!inputs) return tr_fail_memory(e->err, sizeof *inputs * (size_t)r->n_exprs);
  int32_t *exprs = inputs + r->n_inputs;
  enum tr_status st;
  for (int i = 0; i < r->n_inputs; i++) TR_GOTO(st, put_rel(e, r->inputs[i], depth + 1, &inputs[i]));
  for (int i = 0; i < r->n_exprs; i++) TR_GOTO(st, put_expr(e, r->exprs[i], 0, &exprs[i]));
  TR_GOTO(st, tr_codec_is_source(r->kind) ? put_leaf(e, r) : put_node(e, r, inputs, exprs));
  *no = address.no = e->n_nodes++;
  st = index_add(e, &e->rels, address);
done:
  free(inputs);
  return st;
}

static void drop(struct encoder *e) {
  struct text *texts[] = {&e->sources, &e->exprs, &e->nodes};
  struct index *indexes[] = {&e->rels, &e->addresses, &e->texts};
  for (int i = 0; i < 3; i++) {
    free(texts[i]->p);
    free(indexes[i]->entries);
    free(indexes[i]->slots);
  }
  free(e->found);
}

enum tr_status tr_plan_encode(const struct tr_rel *root, char **json, struct tr_rel ***sources, int *n_sources,
                              struct tr_error *err) {
  struct encoder e = {.err = err};
  struct text all = {0};
  int32_t no;
  enum tr_status st;
  *json = NULL;
  *sources = NULL;
  *n_sources = 0;
  TR_GOTO(st, put_rel(&e, root, 0, &no));
  put_int(&all, "{\"version\":", TR_PLAN_VERSION);
  put(&all, ",\"sources\":[");
  put_bytes(&all, e.sources.p, e.sources.n);
  put(&all, "],\"exprs\":[");
  put_bytes(&all, e.exprs.p, e.exprs.n);
  put(&all, "],\"nodes\":[");
  put_bytes(&all, e.nodes.p, e.nodes.n);
  put(&all, "]}");
  if (all.failed || e.sources.failed || e.exprs.failed || e.nodes.failed) TR_GOTO(st, tr_fail_memory(err, all.room));
  for (int i = 0; i < e.n_found; i++) tr_rel_ref((struct tr_rel *)(uintptr_t)e.found[i]);
  *sources = (struct tr_rel **)(uintptr_t)e.found;
  *n_sources = e.n_found;
  *json = all.p;
  e.found = NULL;
  all.p = NULL;
done:
  free(all.p);
  drop(&e);
  return st;
}

void tr_plan_sources_free(struct tr_rel **sources, int n_sources) {
  for (int i = 0; i < n_sources; i++) tr_rel_unref(sources[i]);
  free(sources);
}
