/* tr_groups_make: columns become codes, codes become group numbers.
 *
 * Columns whose codes do not fit together into 64 bits are numbered alone or by prefixes first; their group numbers, in
 * the same order as their values, then stand for them.
 */
#include "data/kern/group/number_int.h"

void tr_groups_drop(struct tr_groups *g) {
  tr_buffer_unref(g->ids);
  tr_buffer_unref(g->first_row);
  memset(g, 0, sizeof *g);
}

enum tr_status tr_groups_all(int64_t n, struct tr_groups *out, struct tr_error *err) {
  *out = (struct tr_groups){.n_rows = n, .n_groups = 1};
  TR_TRY(tr_buffer_new(4, &out->first_row, err));
  uint32_t first = n > 0 ? 0 : TR_NO_ROW;
  memcpy(out->first_row->data, &first, 4);
  return TR_OK;
}

enum tr_status tr_group_number(struct tr_ctx *ctx, const struct tr_group_codes *codes, bool sort, struct tr_groups *out,
                               struct tr_error *err) {
  struct tr_group_codes own = *codes, *c = &own;
  bool missing = false;
  for (int k = 0; k < c->n_keys; k++) missing |= c->keys[k].has_missing;
  own.drop = codes->drop && missing; /* without it, TR_GROUP_DROP is a code like any other */
  uint64_t n = (uint64_t)c->n, most = n * 4 + 256;
  if (n > 1 << 20 && most > n) most = n;
  if (most > 1 << 24) most = 1 << 24;
  if (c->total && c->total <= most) return tr_group_direct(ctx, c, sort, out, err);
  bool fits;
  int bits = 12;
  while (bits > 4 && (uint64_t)1 << (bits - 1) >= n) bits--; /* tables no larger than a small frame needs */
  TR_TRY(tr_group_few(ctx, c, bits, sort, &fits, out, err));
  if (!fits && n > 1 << 21) TR_TRY(tr_group_few(ctx, c, 17, sort, &fits, out, err));
  return fits ? TR_OK : tr_group_partitioned(ctx, c, sort, out, err);
}

/* Puts the group numbers g in the place of a column (or of several); takes g's ids. */
static void key_from_groups(struct tr_group_key *key, struct tr_groups *g, struct tr_buffer **hold) {
  *hold = g->ids;
  g->ids = NULL;
  *key = (struct tr_group_key){.form = TR_FORM_ID,
                               .data = (*hold)->data,
                               .has_missing = g->has_dropped,
                               .span = g->n_groups > 0 ? (uint64_t)g->n_groups - 1 : 0,
                               .all_seen = g->n_groups <= g->n_rows / 16};
}

struct maker {
  struct tr_ctx *ctx;
  int64_t n;
  bool sort, drop;
  struct tr_group_key *keys;
  struct tr_buffer **hold; /* ids that stand for keys */
  int n_keys, n_hold;
};

/* Numbers keys [0, count) and puts the result in key 0's place. */
static enum tr_status fold(struct maker *m, int count, uint64_t total, struct tr_error *err) {
  struct tr_groups g = {.n_rows = m->n};
  struct tr_group_codes c = {.keys = m->keys, .n_keys = count, .n = m->n, .total = total, .drop = m->drop};
  enum tr_status st = tr_group_number(m->ctx, &c, m->sort, &g, err);
  if (st == TR_OK) {
    for (int k = 0; k < count; k++) tr_group_key_drop(&m->keys[k]);
    key_from_groups(&m->keys[0], &g, &m->hold[m->n_hold++]);
    memmove(m->keys + 1, m->keys + count, (size_t)(m->n_keys - count) * sizeof *m->keys);
    m->n_keys -= count - 1;
  }
  tr_groups_drop(&g);
  return st;
}

/* Replaces key k by its own group numbers, which are < 2^32. */
static enum tr_status shrink(struct maker *m, int k, struct tr_error *err) {
  struct tr_groups g = {.n_rows = m->n};
  enum tr_status st;
  if (m->keys[k].form == TR_FORM_TEXT) {
    st = tr_group_text(m->ctx, m->keys[k].array, m->n, m->sort, m->drop, &g, err);
  } else {
    struct tr_group_codes c = {.keys = &m->keys[k], .n_keys = 1, .n = m->n, .drop = m->drop};
    c.total = tr_group_key_card(&m->keys[k], m->drop);
    st = tr_group_number(m->ctx, &c, m->sort, &g, err);
  }
  if (st == TR_OK) {
    tr_group_key_drop(&m->keys[k]);
    key_from_groups(&m->keys[k], &g, &m->hold[m->n_hold++]);
  }
  tr_groups_drop(&g);
  return st;
}

/* Product of the cards of keys [0, count), or false when it (and a code for dropped rows) does not fit into 64 bits. */
static bool cards_fit(const struct maker *m, int count, uint64_t *total) {
  *total = 1;
  for (int k = 0; k < count; k++) {
    uint64_t card = tr_group_key_card(&m->keys[k], m->drop);
    if (!card && count == 1 && !m->keys[0].has_missing) {
      *total = 0;
      return true;
    }
    if (!card || __builtin_mul_overflow(*total, card, total) || *total == UINT64_MAX) return false;
  }
  return true;
}

static enum tr_status make(struct maker *m, struct tr_groups *out, struct tr_error *err) {
  uint64_t total;
  for (int k = 0; k < m->n_keys; k++) {
    if (m->keys[k].form == TR_FORM_TEXT) TR_TRY(shrink(m, k, err));
  }
  if (!cards_fit(m, m->n_keys, &total)) {
    for (int k = 0; k < m->n_keys; k++) {
      uint64_t card = tr_group_key_card(&m->keys[k], m->drop);
      if (!card || card >> 32) TR_TRY(shrink(m, k, err));
    }
  }
  while (!cards_fit(m, m->n_keys, &total)) {
    int count = m->n_keys - 1;
    while (!cards_fit(m, count, &total)) count--;
    TR_TRY(fold(m, count, total, err));
  }
  struct tr_group_codes c = {.keys = m->keys, .n_keys = m->n_keys, .n = m->n, .total = total, .drop = m->drop};
  return tr_group_number(m->ctx, &c, m->sort, out, err);
}

enum tr_status tr_groups_make(struct tr_ctx *ctx, struct tr_array *const *keys, int n_keys, int64_t n, bool sort,
                              bool dropna, struct tr_groups *out, struct tr_error *err) {
  *out = (struct tr_groups){.n_rows = n};
  if (n >= (int64_t)TR_NO_ROW) return tr_fail(err, TR_EXC_MEMORY, "group-by of more than 2^32 - 2 rows");
  if (n == 0) {
    TR_TRY(tr_buffer_new(0, &out->ids, err));
    return tr_buffer_new(0, &out->first_row, err);
  }
  if (n_keys == 1 && keys[0]->enc == TR_PLAIN && keys[0]->dtype.kind == TR_STR) {
    enum tr_status st = tr_group_text(ctx, keys[0], n, sort, dropna, out, err);
    if (st != TR_OK) tr_groups_drop(out);
    return st;
  }
  struct maker m = {.ctx = ctx, .n = n, .sort = sort, .drop = dropna};
  size_t key_bytes = sizeof *m.keys * (size_t)n_keys, hold_bytes = sizeof *m.hold * (size_t)n_keys * 3;
  enum tr_status st;
  TR_GOTO(st, tr_mem_calloc(key_bytes, (void **)&m.keys, err));
  TR_GOTO(st, tr_mem_calloc(hold_bytes, (void **)&m.hold, err));
  for (; m.n_keys < n_keys; m.n_keys++) {
    st = tr_group_key_init(ctx, keys[m.n_keys], n, sort, &m.keys[m.n_keys], err);
    if (st != TR_OK) {
      tr_group_key_drop(&m.keys[m.n_keys]);
      goto done;
    }
  }
  st = make(&m, out, err);
done:
  for (int k = 0; k < m.n_keys; k++) tr_group_key_drop(&m.keys[k]);
  for (int k = 0; k < m.n_hold; k++) tr_buffer_unref(m.hold[k]);
  tr_mem_free(m.keys, key_bytes);
  tr_mem_free(m.hold, hold_bytes);
  if (st != TR_OK) tr_groups_drop(out);
  return st;
}
