/* Numbering by a table over all possible codes: for dictionaries and small ranges.
 *
 * The first row of every code is found (per-thread tables over contiguous stretches of rows; a look at the first rows
 * often sees every code and then ends this pass), codes that occur are numbered, and ids are read off the table.
 */
#include "data/kern/group/number_int.h"

enum { LOOK_ROWS = 1 << 16 };

struct direct {
  const struct tr_group_codes *c;
  uint32_t n_codes; /* the table has one more slot, for dropped rows */
  int n_chunks;
  uint32_t *first; /* n_chunks tables of n_codes + 1 */
  uint32_t *ids;
  bool stored; /* ids hold codes */
};

static enum tr_status first_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct direct *d = arg;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    uint32_t *first = d->first + (size_t)chunk * (d->n_codes + 1);
    int64_t lo, hi;
    tr_group_chunk(d->c->n, d->n_chunks, chunk, &lo, &hi);
    uint64_t block[TR_GROUP_BLOCK];
    for (int64_t b = lo; b < hi; b += TR_GROUP_BLOCK) {
      int n = (int)(hi - b < TR_GROUP_BLOCK ? hi - b : TR_GROUP_BLOCK);
      tr_group_codes_block(d->c, b, n, block);
      uint32_t *ids = d->ids + b;
      for (int i = 0; i < n; i++) {
        uint32_t slot = block[i] < d->n_codes ? (uint32_t)block[i] : d->n_codes;
        ids[i] = slot;
        if (first[slot] == TR_NO_ROW) first[slot] = (uint32_t)(b + i);
      }
    }
  }
  return TR_OK;
}

/* Looks at the first rows only; true when every code occurred there. */
static bool look(struct direct *d) {
  uint64_t block[TR_GROUP_BLOCK];
  uint32_t seen = 0, *first = d->first;
  int64_t end = d->c->n < LOOK_ROWS ? d->c->n : LOOK_ROWS;
  if ((int64_t)d->n_codes * 4 > LOOK_ROWS)
    end = d->c->n / 4 < (int64_t)d->n_codes * 16 ? d->c->n / 4 : (int64_t)d->n_codes * 16;
  for (int64_t b = 0; b < end && seen < d->n_codes; b += TR_GROUP_BLOCK) {
    int n = (int)(end - b < TR_GROUP_BLOCK ? end - b : TR_GROUP_BLOCK);
    tr_group_codes_block(d->c, b, n, block);
    for (int i = 0; i < n; i++) {
      uint32_t slot = block[i] < d->n_codes ? (uint32_t)block[i] : d->n_codes;
      if (first[slot] != TR_NO_ROW) continue;
      first[slot] = (uint32_t)(b + i);
      seen += slot < d->n_codes;
    }
  }
  return seen == d->n_codes;
}

static enum tr_status read_ids(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct direct *d = arg;
  const uint32_t *map = d->first; /* now holds ids */
  if (d->stored) {
    for (int64_t i = begin; i < end; i++) d->ids[i] = map[d->ids[i]];
    return TR_OK;
  }
  uint64_t block[TR_GROUP_BLOCK];
  for (int64_t b = begin; b < end; b += TR_GROUP_BLOCK) {
    int n = (int)(end - b < TR_GROUP_BLOCK ? end - b : TR_GROUP_BLOCK);
    tr_group_codes_block(d->c, b, n, block);
    uint32_t *ids = d->ids + b;
    for (int i = 0; i < n; i++) ids[i] = map[block[i] < d->n_codes ? (uint32_t)block[i] : d->n_codes];
  }
  return TR_OK;
}

/* Table 0 takes the minimum over all tables. */
static void merge_first(struct direct *d) {
  for (int t = 1; t < d->n_chunks; t++) {
    const uint32_t *other = d->first + (size_t)t * (d->n_codes + 1);
    for (uint32_t s = 0; s <= d->n_codes; s++) d->first[s] = other[s] < d->first[s] ? other[s] : d->first[s];
  }
}

/* Numbers the codes of table 0: its entries become ids, first rows go to out. */
static enum tr_status number_codes(struct tr_ctx *ctx, struct direct *d, bool sort, struct tr_groups *out,
                                   struct tr_error *err) {
  uint32_t *first = d->first;
  int64_t n_groups = 0;
  for (uint32_t s = 0; s < d->n_codes; s++) n_groups += first[s] != TR_NO_ROW;
  out->n_groups = n_groups;
  TR_TRY(tr_buffer_new(n_groups * 4, &out->first_row, err));
  uint32_t *rows = (uint32_t *)out->first_row->data;
  int64_t g = 0;
  for (uint32_t s = 0; s < d->n_codes; s++) {
    if (first[s] != TR_NO_ROW) rows[g++] = first[s];
  }
  if (sort) {
    g = 0;
    for (uint32_t s = 0; s < d->n_codes; s++) first[s] = first[s] != TR_NO_ROW ? (uint32_t)g++ : TR_NO_GROUP;
  } else {
    TR_TRY(tr_group_order_rows(ctx, rows, n_groups, d->c->n, first, d->n_codes, err));
  }
  first[d->n_codes] = TR_NO_GROUP;
  return TR_OK;
}

/* A dictionary column whose codes already are the ids. */
static bool codes_are_ids(const struct direct *d) {
  const struct tr_group_key *k = &d->c->keys[0];
  if (d->c->n_keys != 1 || k->form != TR_FORM_CODE || k->has_missing) return false;
  for (uint32_t s = 0; s < d->n_codes; s++) {
    if (d->first[s] != s) return false;
  }
  return k->array->offset == 0;
}

enum tr_status tr_group_direct(struct tr_ctx *ctx, const struct tr_group_codes *c, bool sort, struct tr_groups *out,
                               struct tr_error *err) {
  struct direct d = {.c = c, .n_codes = (uint32_t)c->total, .n_chunks = tr_group_n_chunks(ctx, c->n, c->total)};
  size_t table = ((size_t)d.n_codes + 1) * 4, bytes = table * (size_t)d.n_chunks;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc(bytes, (void **)&d.first, err));
  memset(d.first, 0xff, bytes);
  bool try_look = c->n >= 4 * LOOK_ROWS;
  for (int k = 0; k < c->n_keys; k++) {
    try_look = try_look && c->keys[k].all_seen;
    out->has_dropped |= c->drop && c->keys[k].has_missing;
  }
  if (!(try_look && look(&d))) {
    TR_GOTO(st, tr_buffer_new(c->n * 4, &out->ids, err));
    d.ids = (uint32_t *)out->ids->data;
    TR_GOTO(st, tr_parallel_for(ctx, d.n_chunks, 1, first_rows, &d, err));
    merge_first(&d);
    d.stored = true;
  }
  TR_GOTO(st, number_codes(ctx, &d, sort, out, err));
  if (codes_are_ids(&d)) {
    tr_buffer_unref(out->ids);
    out->ids = tr_buffer_ref(c->keys[0].array->data);
    goto done;
  }
  if (!d.stored) {
    TR_GOTO(st, tr_buffer_new(c->n * 4, &out->ids, err));
    d.ids = (uint32_t *)out->ids->data;
  }
  st = tr_parallel_for(ctx, c->n, tr_grain(ctx), read_ids, &d, err);
done:
  tr_mem_free(d.first, bytes);
  return st;
}
