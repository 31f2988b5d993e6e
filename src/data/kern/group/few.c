/* Numbering by hash tables that stay in a cache: up to a few thousand groups over any codes (second level), or a
 * hundred thousand among many rows (third level).
 *
 * Each thread numbers one contiguous stretch of rows with a table of its own; the stretches' groups are then merged in
 * row order, which gives first appearance without sorting, and ids are mapped. Gives up as soon as a table is too full.
 */
#include "data/kern/group/number_int.h"

struct slot {
  uint64_t code;
  uint32_t id; /* TR_NO_GROUP = empty */
};
struct table {
  struct slot *slots; /* mask + 1, at least twice most */
  uint64_t *codes;    /* by group, as are first and map */
  uint32_t *first, *map;
  uint32_t mask, most, n_groups;
  bool has_dropped;
};
struct few {
  const struct tr_group_codes *c;
  bool hash_zero;
  int n_chunks;
  struct table *tables; /* n_chunks, then the merged one */
  uint32_t *ids;
  _Atomic bool full;
};

/* Lays the tables out in the block that follows them. */
static size_t table_bytes(int bits) { return ((size_t)16 << (bits + 1)) + ((size_t)16 << bits); }
static void tables_init(struct few *f, int bits) {
  char *at = (char *)(f->tables + f->n_chunks + 1);
  for (int c = 0; c <= f->n_chunks; c++, at += table_bytes(bits)) {
    struct table *t = &f->tables[c];
    size_t most = (size_t)1 << bits;
    *t = (struct table){.slots = (struct slot *)at,
                        .codes = (uint64_t *)(at + 32 * most),
                        .first = (uint32_t *)(at + 40 * most),
                        .map = (uint32_t *)(at + 44 * most),
                        .mask = (uint32_t)(2 * most - 1),
                        .most = (uint32_t)most};
  }
}
static void table_clear(struct table *t) {
  for (uint32_t i = 0; i <= t->mask; i++) t->slots[i].id = TR_NO_GROUP;
}

/* Number of the group with this code, made if new; TR_NO_GROUP when the table is full. */
static inline uint32_t table_find(struct table *t, uint64_t code, uint64_t hash, uint32_t row) {
  for (uint32_t s = (uint32_t)hash & t->mask;; s = (s + 1) & t->mask) {
    struct slot *slot = &t->slots[s];
    if (slot->id == TR_NO_GROUP) {
      if (t->n_groups == t->most) return TR_NO_GROUP;
      slot->code = code;
      slot->id = t->n_groups;
      t->codes[t->n_groups] = code;
      t->first[t->n_groups] = row;
      return t->n_groups++;
    }
    if (slot->code == code) return slot->id;
  }
}

static enum tr_status number_chunk(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct few *f = arg;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    struct table *t = &f->tables[chunk];
    table_clear(t);
    int64_t lo, hi;
    tr_group_chunk(f->c->n, f->n_chunks, chunk, &lo, &hi);
    uint64_t block[TR_GROUP_BLOCK];
    for (int64_t b = lo; b < hi && !atomic_load_explicit(&f->full, memory_order_relaxed); b += TR_GROUP_BLOCK) {
      int n = (int)(hi - b < TR_GROUP_BLOCK ? hi - b : TR_GROUP_BLOCK);
      tr_group_codes_block(f->c, b, n, block);
      uint32_t *ids = f->ids + b;
      for (int i = 0; i < n; i++) {
        uint32_t id = TR_NO_GROUP;
        if (f->c->drop && block[i] == TR_GROUP_DROP) {
          t->has_dropped = true;
        } else {
          id = table_find(t, block[i], f->hash_zero ? 0 : tr_hash_u64(block[i]), (uint32_t)(b + i));
          if (id == TR_NO_GROUP) atomic_store(&f->full, true);
        }
        ids[i] = id;
      }
    }
  }
  return TR_OK;
}

static enum tr_status map_chunk(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct few *f = arg;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const uint32_t *map = f->tables[chunk].map;
    int64_t lo, hi;
    tr_group_chunk(f->c->n, f->n_chunks, chunk, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) f->ids[i] = f->ids[i] == TR_NO_GROUP ? TR_NO_GROUP : map[f->ids[i]];
  }
  return TR_OK;
}

/* Merges the stretches' groups into the last table; false when they do not fit. */
static bool merge(struct few *f) {
  struct table *all = &f->tables[f->n_chunks];
  table_clear(all);
  for (int c = 0; c < f->n_chunks; c++) {
    struct table *t = &f->tables[c];
    all->has_dropped |= t->has_dropped;
    for (uint32_t g = 0; g < t->n_groups; g++) {
      t->map[g] = table_find(all, t->codes[g], f->hash_zero ? 0 : tr_hash_u64(t->codes[g]), t->first[g]);
      if (t->map[g] == TR_NO_GROUP) return false;
    }
  }
  return true;
}

/* Renumbers the merged groups by code. */
static enum tr_status sort_merged(struct tr_ctx *ctx, struct few *f, struct tr_error *err) {
  struct table *all = &f->tables[f->n_chunks];
  size_t n = all->n_groups;
  uint32_t *order;
  TR_TRY(tr_mem_alloc(n * 12, (void **)&order, err));
  uint32_t *first = order + n, *place = first + n;
  enum tr_status st;
  TR_GOTO(st, tr_group_sort_u64(ctx, all->codes, order, all->n_groups, err));
  for (uint32_t i = 0; i < all->n_groups; i++) {
    first[i] = all->first[order[i]];
    place[order[i]] = i;
  }
  memcpy(all->first, first, all->n_groups * 4);
  for (int c = 0; c < f->n_chunks; c++) {
    struct table *t = &f->tables[c];
    for (uint32_t g = 0; g < t->n_groups; g++) t->map[g] = place[t->map[g]];
  }
done:
  tr_mem_free(order, n * 12);
  return st;
}

enum tr_status tr_group_few(struct tr_ctx *ctx, const struct tr_group_codes *c, int bits, bool sort, bool *fits,
                            struct tr_groups *out, struct tr_error *err) {
  struct few f = {.c = c, .hash_zero = ctx->hash_zero, .n_chunks = tr_group_n_chunks(ctx, c->n, 0)};
  size_t bytes = (sizeof(struct table) + table_bytes(bits)) * (size_t)(f.n_chunks + 1);
  enum tr_status st;
  *fits = false;
  TR_GOTO(st, tr_mem_alloc(bytes, (void **)&f.tables, err));
  tables_init(&f, bits);
  TR_GOTO(st, tr_buffer_new(c->n * 4, &out->ids, err));
  f.ids = (uint32_t *)out->ids->data;
  TR_GOTO(st, tr_parallel_for(ctx, f.n_chunks, 1, number_chunk, &f, err));
  *fits = !f.full && merge(&f);
  if (!*fits) {
    tr_buffer_unref(out->ids);
    out->ids = NULL;
    goto done;
  }
  if (sort) TR_GOTO(st, sort_merged(ctx, &f, err));
  struct table *all = &f.tables[f.n_chunks];
  out->n_groups = all->n_groups;
  out->has_dropped = all->has_dropped;
  TR_GOTO(st, tr_buffer_new(out->n_groups * 4, &out->first_row, err));
  memcpy(out->first_row->data, all->first, (size_t)out->n_groups * 4);
  if (sort || f.n_chunks > 1) st = tr_parallel_for(ctx, f.n_chunks, 1, map_chunk, &f, err);
done:
  tr_mem_free(f.tables, bytes);
  return st;
}
