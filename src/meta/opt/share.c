/* Common subplans: nodes that do the same to the same inputs become one node, so that it runs once. Among equal nodes
 * one whose result is at hand for all their readers is taken. */
#include "base/hash.h"
#include "meta/opt/opt_int.h"
#include <stdlib.h>
#include <string.h>

struct classes {
  struct tr_opt_plan *p;
  int *of;     /* class of a node: number of the first of its equals */
  int *chosen; /* per class: the node that stands for it */
  uint64_t *hash;
};

static uint64_t hash_of(const struct classes *c, int i) {
  const struct tr_rel *r = c->p->nodes[i].rel;
  uint64_t h = tr_hash_mix((uint64_t)r->kind << 32 | (uint32_t)r->n_cols, (uint64_t)(uintptr_t)r->source);
  for (int k = 0; k < r->n_inputs; k++) h = tr_hash_mix(h, (uint64_t)c->of[tr_opt_find(c->p, r->inputs[k])]);
  for (int k = 0; k < r->n_exprs; k++) h = tr_hash_mix(h, tr_expr_hash(r->exprs[k]));
  h = tr_hash_mix(h, (uint64_t)r->opt.start * 31 + (uint64_t)r->opt.stop * 17 + (uint64_t)r->opt.step);
  for (int k = 0; k < r->n_items; k++) h = tr_hash_mix(h, (uint64_t)r->items[k].kind << 8 | r->items[k].fn);
  return h;
}

static bool items_equal(const struct tr_item *a, const struct tr_item *b) {
  return a->kind == b->kind && a->fn == b->fn && a->skipna == b->skipna && a->descending == b->descending &&
         a->pct == b->pct && a->na_option == b->na_option && a->expr == b->expr && a->expr2 == b->expr2 &&
         a->param == b->param && memcmp(&a->q, &b->q, sizeof a->q) == 0;
}

static bool options_equal(const struct tr_rel_options *a, const struct tr_rel_options *b) {
  return a->how == b->how && a->sort == b->sort && a->dropna == b->dropna && a->na_first == b->na_first &&
         a->tail == b->tail && a->keep == b->keep && a->whole == b->whole && a->start == b->start &&
         a->stop == b->stop && a->step == b->step;
}

static bool equal(const struct classes *c, int i, int j) {
  const struct tr_rel *a = c->p->nodes[i].rel, *b = c->p->nodes[j].rel;
  if (a->kind != b->kind || a->n_inputs != b->n_inputs || a->n_cols != b->n_cols || a->n_exprs != b->n_exprs)
    return false;
  if (a->n_keys != b->n_keys || a->n_items != b->n_items || !options_equal(&a->opt, &b->opt) || a->source != b->source)
    return false;
  if (!a->n_inputs && !a->source) return false;
  for (int k = 0; k < a->n_inputs; k++)
    if (c->of[tr_opt_find(c->p, a->inputs[k])] != c->of[tr_opt_find(c->p, b->inputs[k])]) return false;
  for (int k = 0; k < a->n_exprs; k++) {
    if (!tr_expr_eq(a->exprs[k], b->exprs[k])) return false;
    if ((a->descending && a->descending[k]) != (b->descending && b->descending[k])) return false;
  }
  for (int k = 0; k < a->n_items; k++)
    if (!items_equal(&a->items[k], &b->items[k])) return false;
  return true;
}

static void add_needs(const struct tr_opt_node *from, struct tr_opt_node *to) {
  for (int c = 0; c < to->rel->n_cols; c++) to->need[c] |= from->need[c];
}

/* Whether node i may join class j; afterwards the class' first node has the needs of all. */
static bool join_class(struct classes *c, int i, int j) {
  struct tr_opt_node *mine = &c->p->nodes[i], *first = &c->p->nodes[j], *now = &c->p->nodes[c->chosen[j]];
  bool inner = mine->rel->n_inputs > 0;
  add_needs(first, mine);
  if (inner && now->leaf && !c->p->hooks->at_hand(now->rel, mine->need)) return false;
  if (inner && !now->leaf && mine->leaf && !c->p->hooks->at_hand(mine->rel, mine->need)) return false;
  if (!now->leaf && mine->leaf) c->chosen[j] = i;
  add_needs(mine, first);
  return true;
}

static void classify(struct classes *c, bool *changed) {
  for (int i = 0; i < c->p->n; i++) {
    c->hash[i] = hash_of(c, i);
    c->of[i] = c->chosen[i] = i;
    for (int j = 0; j < i; j++) {
      if (c->hash[j] != c->hash[i] || c->of[j] != j || !equal(c, i, j)) continue;
      if (!join_class(c, i, j)) continue;
      c->of[i] = j;
      *changed = true;
      break;
    }
  }
}

/* The node that stands for a class, over the nodes that stand for its inputs. */
static enum tr_status build(const struct classes *c, int class, struct tr_rel **built, struct tr_error *err) {
  const struct tr_opt_node *node = &c->p->nodes[c->chosen[class]];
  struct tr_rel *r = node->rel, *few[8];
  if (built[class]) return TR_OK;
  if (node->leaf || !r->n_inputs) {
    built[class] = tr_rel_ref(r);
    return TR_OK;
  }
  struct tr_rel **inputs = r->n_inputs <= 8 ? few : malloc(sizeof *inputs * r->n_inputs);
  if (!inputs) return tr_fail_memory(err, sizeof *inputs * r->n_inputs);
  enum tr_status st = TR_OK;
  bool same = true;
  for (int k = 0; k < r->n_inputs && st == TR_OK; k++) {
    int in = c->of[tr_opt_find(c->p, r->inputs[k])];
    st = build(c, in, built, err);
    inputs[k] = built[in];
    same &= inputs[k] == r->inputs[k];
  }
  if (st == TR_OK && same) built[class] = tr_rel_ref(r);
  else if (st == TR_OK) st = tr_rel_remake(r, inputs, NULL, &built[class], err);
  if (inputs != few) free(inputs);
  return st;
}

enum tr_status tr_opt_share(struct tr_opt_plan *p, struct tr_rel **map, bool *changed, struct tr_error *err) {
  size_t n = (size_t)p->n;
  struct classes c = {
      .p = p, .of = malloc(sizeof(int) * n), .chosen = malloc(sizeof(int) * n), .hash = malloc(sizeof(uint64_t) * n)};
  struct tr_rel **built = calloc(n, sizeof *built);
  enum tr_status st = TR_OK;
  if (!c.of || !c.chosen || !c.hash || !built) TR_GOTO(st, tr_fail_memory(err, n * 24));
  classify(&c, changed);
  if (!*changed) goto done;
  for (int i = 0; i < p->n; i++) TR_GOTO(st, build(&c, c.of[i], built, err));
  for (int i = 0; i < p->n; i++) map[i] = tr_rel_ref(built[c.of[i]]);
done:
  for (int i = 0; built && i < p->n; i++) tr_rel_unref(built[i]);
  free(built);
  free(c.of);
  free(c.chosen);
  free(c.hash);
  return st;
}
