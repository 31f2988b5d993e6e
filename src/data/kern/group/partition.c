/* Numbering of many groups: rows are scattered to 2^4..2^11 partitions by hash, each partition is numbered by a table
 * that stays in cache, and ids are read back in row order.
 *
 * The scatter is stable, so within a partition groups appear in row order. A group's number under sort=False is the
 * rank of its first row among all first rows: those are marked in a map of bytes, counted once, and no group is ever
 * sorted. Under sort=True the groups' codes are sorted instead. Reading ids back walks the rows with one cursor a
 * partition.
 */
#include "data/kern/group/number_int.h"

struct part {
  const struct tr_group_codes *c;
  bool hash_zero;
  int bits;    /* 2^bits partitions and one for dropped rows */
  int n_parts; /* 2^bits + 1 */
  int n_chunks;
  int64_t n;
  uint64_t *codes;          /* by row */
  uint16_t *part_of;        /* by row */
  uint64_t *pcodes;         /* by partition */
  uint32_t *prows;          /* by partition: row, later id */
  uint64_t *gcodes;         /* by partition: codes of its groups */
  uint32_t *gfirst;         /* by partition: first rows of its groups, later ids */
  uint8_t *mark;            /* by row: 1 = first of its group */
  uint64_t *bits_of;        /* mark as bits */
  uint32_t *before;         /* groups before each word of bits_of */
  int64_t *starts;          /* n_parts + 1 */
  int64_t *cursors;         /* n_chunks x n_parts: where a chunk's rows of a partition begin */
  uint32_t *n_groups;       /* by partition */
  const uint32_t *order_of; /* sort: id of each group, counted through all partitions */
  int64_t *group_base;      /* by partition */
};

static inline uint64_t hash_of(const struct part *p, uint64_t code) { return p->hash_zero ? 0 : tr_hash_u64(code); }

static enum tr_status count_chunk(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct part *p = arg;
  int shift = 63 - p->bits;
  bool drop = p->c->drop;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    int64_t lo, hi, *count = p->cursors + chunk * p->n_parts;
    tr_group_chunk(p->n, p->n_chunks, chunk, &lo, &hi);
    for (int64_t b = lo; b < hi; b += TR_GROUP_BLOCK) {
      int n = (int)(hi - b < TR_GROUP_BLOCK ? hi - b : TR_GROUP_BLOCK);
      uint64_t *codes = p->codes + b;
      tr_group_codes_block(p->c, b, n, codes);
      for (int i = 0; i < n; i++) {
        uint32_t part = (uint32_t)(hash_of(p, codes[i]) >> 1 >> shift);
        if (drop && codes[i] == TR_GROUP_DROP) part = (uint32_t)p->n_parts - 1;
        p->part_of[b + i] = (uint16_t)part;
        count[part]++;
      }
    }
  }
  return TR_OK;
}

static enum tr_status scatter_chunk(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  struct part *p = arg;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    int64_t lo, hi, *cursor;
    TR_TRY(tr_mem_alloc(sizeof *cursor * (size_t)p->n_parts, (void **)&cursor, err));
    memcpy(cursor, p->cursors + chunk * p->n_parts, sizeof *cursor * (size_t)p->n_parts);
    tr_group_chunk(p->n, p->n_chunks, chunk, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) {
      int64_t at = cursor[p->part_of[i]]++;
      p->pcodes[at] = p->codes[i];
      p->prows[at] = (uint32_t)i;
    }
    tr_mem_free(cursor, sizeof *cursor * (size_t)p->n_parts);
  }
  return TR_OK;
}

struct table {
  uint32_t *slots; /* group + 1, 0 = empty */
  uint32_t mask;
  size_t bytes;
};

static enum tr_status table_grow(struct table *t, const struct part *p, const uint64_t *gcodes, uint32_t n_groups,
                                 uint32_t n_slots, struct tr_error *err) {
  tr_mem_free(t->slots, t->bytes);
  t->slots = NULL;
  t->bytes = (size_t)n_slots * 4;
  TR_TRY(tr_mem_calloc(t->bytes, (void **)&t->slots, err));
  t->mask = n_slots - 1;
  for (uint32_t g = 0; g < n_groups; g++) {
    uint32_t s = (uint32_t)hash_of(p, gcodes[g]) & t->mask;
    while (t->slots[s]) s = (s + 1) & t->mask;
    t->slots[s] = g + 1;
  }
  return TR_OK;
}

/* Numbers the rows [lo, hi) of a partition from 0, clearing and using table t. */
static enum tr_status number_part(struct part *p, int64_t part, struct table *t, struct tr_error *err) {
  int64_t lo = p->starts[part], hi = p->starts[part + 1];
  uint64_t *gcodes = p->gcodes + lo;
  uint32_t *gfirst = p->gfirst + lo, n_groups = 0;
  if (t->slots) memset(t->slots, 0, t->bytes);
  else TR_TRY(table_grow(t, p, NULL, 0, 1 << 12, err));
  for (int64_t i = lo; i < hi; i++) {
    uint64_t code = p->pcodes[i];
    uint32_t s = (uint32_t)hash_of(p, code) & t->mask, g;
    while ((g = t->slots[s]) != 0 && gcodes[g - 1] != code) s = (s + 1) & t->mask;
    if (!g) {
      gcodes[n_groups] = code;
      gfirst[n_groups] = p->prows[i];
      p->mark[p->prows[i]] = 1;
      t->slots[s] = g = ++n_groups;
      if (n_groups * 2 > t->mask) TR_TRY(table_grow(t, p, gcodes, n_groups, (t->mask + 1) * 4, err));
    }
    p->prows[i] = g - 1;
  }
  p->n_groups[part] = n_groups;
  return TR_OK;
}

static enum tr_status number_parts(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  struct part *p = arg;
  struct table t = {0};
  enum tr_status st = TR_OK;
  for (int64_t part = begin; part < end && st == TR_OK; part++) st = number_part(p, part, &t, err);
  tr_mem_free(t.slots, t.bytes);
  return st;
}

/* mark -> bits_of, for words [begin, end). */
static enum tr_status pack_marks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct part *p = arg;
  for (int64_t w = begin; w < end; w++) {
    uint64_t word = 0;
    for (int k = 0; k < 8; k++) {
      uint64_t bytes;
      memcpy(&bytes, p->mark + w * 64 + k * 8, 8);
      word |= (bytes * 0x0102040810204080ull >> 56) << (k * 8);
    }
    p->bits_of[w] = word;
    p->before[w] = tr_group_count_bits(word);
  }
  return TR_OK;
}

/* Local group numbers of a partition become ids, in gfirst and in the rows. */
static enum tr_status settle_parts(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct part *p = arg;
  for (int64_t part = begin; part < end; part++) {
    int64_t lo = p->starts[part], hi = p->starts[part + 1];
    uint32_t *ids = p->gfirst + lo;
    for (uint32_t g = 0; g < p->n_groups[part]; g++) {
      ids[g] = p->order_of ? p->order_of[p->group_base[part] + g] : tr_group_rank_bit(p->bits_of, p->before, ids[g]);
    }
    for (int64_t i = lo; i < hi; i++) p->prows[i] = ids[p->prows[i]];
  }
  return TR_OK;
}

struct read_back {
  struct part *p;
  uint32_t *ids;
};
static enum tr_status read_back(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct read_back *r = arg;
  struct part *p = r->p;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    int64_t lo, hi, *cursor = p->cursors + chunk * p->n_parts;
    tr_group_chunk(p->n, p->n_chunks, chunk, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) r->ids[i] = p->prows[cursor[p->part_of[i]]++];
  }
  return TR_OK;
}

/* First rows in order of appearance, for words [begin, end) of the bit map. */
struct list_rows {
  struct part *p;
  uint32_t *rows;
};
static enum tr_status list_rows(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  struct list_rows *l = arg;
  for (int64_t w = begin; w < end; w++) {
    uint32_t at = l->p->before[w];
    for (uint64_t word = l->p->bits_of[w]; word; word &= word - 1)
      l->rows[at++] = (uint32_t)(w * 64 + __builtin_ctzll(word));
  }
  return TR_OK;
}

static enum tr_status order_by_row(struct tr_ctx *ctx, struct part *p, struct tr_groups *out, struct tr_error *err) {
  int64_t words = (p->n + 63) / 64;
  uint32_t total = 0;
  TR_TRY(tr_parallel_for(ctx, words, 1 << 12, pack_marks, p, err));
  for (int64_t w = 0; w < words; w++) {
    uint32_t here = p->before[w];
    p->before[w] = total;
    total += here;
  }
  struct list_rows l = {p, (uint32_t *)out->first_row->data};
  return tr_parallel_for(ctx, words, 1 << 12, list_rows, &l, err);
}

/* Sorts the codes of all groups; first rows go to out. *order_of (n_groups) is given: id of each group. */
static enum tr_status order_by_code(struct tr_ctx *ctx, struct part *p, uint32_t **order_of, struct tr_groups *out,
                                    struct tr_error *err) {
  int64_t n = out->n_groups;
  uint64_t *codes = NULL;
  uint32_t *order = NULL, *first = NULL, *rows = (uint32_t *)out->first_row->data;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)n * 8, (void **)&codes, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)&order, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)&first, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 4, (void **)order_of, err));
  for (int part = 0; part < p->n_parts - 1; part++) {
    memcpy(codes + p->group_base[part], p->gcodes + p->starts[part], (size_t)p->n_groups[part] * 8);
    memcpy(first + p->group_base[part], p->gfirst + p->starts[part], (size_t)p->n_groups[part] * 4);
  }
  TR_GOTO(st, tr_group_sort_u64(ctx, codes, order, n, err));
  for (int64_t i = 0; i < n; i++) {
    rows[i] = first[order[i]];
    (*order_of)[order[i]] = (uint32_t)i;
  }
done:
  tr_mem_free(codes, (size_t)n * 8);
  tr_mem_free(order, (size_t)n * 4);
  tr_mem_free(first, (size_t)n * 4);
  return st;
}

/* Turns counts into places: where each chunk's rows of each partition begin. */
static void place_chunks(struct part *p) {
  int64_t at = 0;
  for (int part = 0; part < p->n_parts; part++) {
    p->starts[part] = at;
    for (int chunk = 0; chunk < p->n_chunks; chunk++) {
      int64_t *cell = &p->cursors[(int64_t)chunk * p->n_parts + part], here = *cell;
      *cell = at;
      at += here;
    }
  }
  p->starts[p->n_parts] = at;
}

static enum tr_status scatter(struct tr_ctx *ctx, struct part *p, struct tr_error *err) {
  TR_TRY(tr_parallel_for(ctx, p->n_chunks, 1, count_chunk, p, err));
  place_chunks(p);
  return tr_parallel_for(ctx, p->n_chunks, 1, scatter_chunk, p, err);
}

static enum tr_status number_all(struct tr_ctx *ctx, struct part *p, bool sort, struct tr_groups *out,
                                 struct tr_error *err) {
  uint32_t *order_of = NULL;
  int64_t dropped = p->n_parts - 1, grain = p->n_parts > 64 ? 8 : 1;
  enum tr_status st;
  TR_GOTO(st, tr_parallel_for(ctx, dropped, grain, number_parts, p, err));
  out->n_groups = 0;
  for (int part = 0; part < dropped; part++) {
    p->group_base[part] = out->n_groups;
    out->n_groups += p->n_groups[part];
  }
  for (int64_t i = p->starts[dropped]; i < p->n; i++) p->prows[i] = TR_NO_GROUP;
  out->has_dropped = p->starts[dropped] < p->n;
  TR_GOTO(st, tr_buffer_new(out->n_groups * 4, &out->first_row, err));
  TR_GOTO(st, sort ? order_by_code(ctx, p, &order_of, out, err) : order_by_row(ctx, p, out, err));
  p->order_of = order_of;
  TR_GOTO(st, tr_parallel_for(ctx, dropped, grain, settle_parts, p, err));
  TR_GOTO(st, tr_buffer_new(p->n * 4, &out->ids, err));
  struct read_back r = {p, (uint32_t *)out->ids->data};
  st = tr_parallel_for(ctx, p->n_chunks, 1, read_back, &r, err);
done:
  tr_mem_free(order_of, (size_t)out->n_groups * 4);
  return st;
}

/* Carves all arrays of *p out of one block of *bytes bytes. */
static enum tr_status carve(struct part *p, void **block, size_t *bytes, struct tr_error *err) {
  size_t n = (size_t)p->n, words = (n + 63) / 64, parts = (size_t)p->n_parts, used = 0;
  struct {
    void **to;
    size_t bytes;
    bool zero;
  } want[] = {{(void **)&p->codes, n * 8, false},
              {(void **)&p->pcodes, n * 8, false},
              {(void **)&p->prows, n * 4, false},
              {(void **)&p->gfirst, n * 4, false},
              {(void **)&p->part_of, n * 2, false},
              {(void **)&p->mark, words * 64, true},
              {(void **)&p->bits_of, words * 8, false},
              {(void **)&p->before, words * 4, false},
              {(void **)&p->starts, (parts + 1) * 8, false},
              {(void **)&p->cursors, parts * (size_t)p->n_chunks * 8, true},
              {(void **)&p->n_groups, parts * 4, true},
              {(void **)&p->group_base, parts * 8, true}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) used += (want[i].bytes + 63) / 64 * 64;
  *bytes = used;
  TR_TRY(tr_mem_alloc(used, block, err));
  uint8_t *at = *block;
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    *want[i].to = at;
    if (want[i].zero) memset(at, 0, want[i].bytes);
    at += (want[i].bytes + 63) / 64 * 64;
  }
  p->gcodes = p->codes; /* rows' codes are not needed once they are scattered */
  return TR_OK;
}

enum tr_status tr_group_partitioned(struct tr_ctx *ctx, const struct tr_group_codes *c, bool sort,
                                    struct tr_groups *out, struct tr_error *err) {
  struct part p = {
      .c = c, .hash_zero = ctx->hash_zero, .n = c->n, .bits = 4, .n_chunks = tr_group_n_chunks(ctx, c->n, 0)};
  while (p.bits < 11 && c->n >> p.bits > 24000) p.bits++;
  p.n_parts = (1 << p.bits) + 1;
  void *block = NULL;
  size_t bytes = 0;
  enum tr_status st;
  TR_GOTO(st, carve(&p, &block, &bytes, err));
  TR_GOTO(st, scatter(ctx, &p, err));
  st = number_all(ctx, &p, sort, out, err);
done:
  tr_mem_free(block, bytes);
  return st;
}
