/* Ordering rows by their bit string. A window of it and the row's place make one 64-bit number; numbers are scattered
 * once into up to 2^11 buckets of about equal size (cut by a sample), each bucket is sorted in cache by one thread, and
 * runs that the window left equal are ordered by the next window: short runs at once, a bucket's runs together; long
 * ones in parallel again. The place in the low bits makes every order stable and independent of threads. */
#include "base/mem.h"
#include "data/kern/sort/sort_int.h"

/* Buckets are at most twice the wanted number: two neighbours hold more than one share. */
enum { SERIAL = 1 << 14, MAX_BUCKETS = 4096, SAMPLE = 1 << 15, PREFIX_BITS = 16, LONG_RUN = 1 << 16, MAX_CHUNKS = 128 };

struct level {
  const struct tr_order *o;
  const uint32_t *in;
  uint32_t *out;
  int64_t n;
  int from, bits, place_bits, prefix_bits;
  uint64_t *packed, *sorted;
  uint16_t *bucket_of; /* by the first prefix_bits of the window */
  int n_buckets;
  int64_t chunk_rows, n_chunks;
  uint32_t *counts;   /* per chunk and bucket: how many, then where */
  int64_t *begins;    /* of buckets; n_buckets + 1 */
  int64_t *long_runs; /* pairs */
  _Atomic int64_t n_long;
};

static bool more_after(const struct tr_order *o, int bit) { return bit < o->bits || o->text; }

static void text_merge_sort(const struct tr_array *a, uint32_t *rows, uint32_t *tmp, int64_t n) {
  const struct tr_view *v = tr_array_views(a);
  if (n < 2) return;
  int64_t half = n / 2;
  text_merge_sort(a, rows, tmp, half);
  text_merge_sort(a, rows + half, tmp, n - half);
  memcpy(tmp, rows, (size_t)half * 4);
  int64_t i = 0, j = half, k = 0;
  while (i < half && j < n) {
    bool second = tr_view_cmp(a, v + rows[j], a, v + tmp[i]) < 0;
    rows[k++] = second ? rows[j++] : tmp[i++];
  }
  memcpy(rows + k, tmp + i, (size_t)(half - i) * 4);
}

static enum tr_status order_by_text(const struct tr_order *o, uint32_t *rows, int64_t n, struct tr_error *err) {
  void *tmp;
  if (tr_array_views(o->text)[rows[0]].size < 0) return TR_OK; /* missing ones are a run of their own */
  TR_TRY(tr_mem_alloc((size_t)n * 4, &tmp, err));
  text_merge_sort(o->text, rows, tmp, n);
  tr_mem_free(tmp, (size_t)n * 4);
  return TR_OK;
}

/* Writes (begin, end) of the runs of two or more equal windows in a sorted stretch; room for n numbers suffices. */
static int64_t find_runs(const uint64_t *sorted, int64_t n, int place_bits, int64_t first, int64_t *runs) {
  int64_t n_runs = 0;
  for (int64_t i = 0; i + 1 < n;) {
    uint64_t key = sorted[i] >> place_bits;
    int64_t j = i + 1;
    while (j < n && sorted[j] >> place_bits == key) j++;
    if (j - i > 1) {
      runs[2 * n_runs] = first + i;
      runs[2 * n_runs++ + 1] = first + j;
    }
    i = j;
  }
  return n_runs;
}

/* One window more for the rows of all runs. packed, tmp: m numbers; old: m rows. Runs still equal are left in tmp. */
static int64_t order_runs(const struct tr_order *o, uint32_t *rows, const int64_t *runs, int64_t n_runs, int64_t m,
                          int from, int bits, uint64_t *packed, uint64_t *tmp, uint32_t *old) {
  int place_bits = tr_bit_length((uint64_t)m);
  int64_t at = 0, left = 0;
  for (int64_t r = 0; r < n_runs; r++) {
    int64_t n = runs[2 * r + 1] - runs[2 * r];
    memcpy(old + at, rows + runs[2 * r], (size_t)n * 4);
    at += n;
  }
  for (at = 0; at < m; at += TR_SORT_BLOCK) {
    int64_t n = m - at < TR_SORT_BLOCK ? m - at : TR_SORT_BLOCK;
    tr_order_window(o, old + at, 0, n, from, bits, packed + at);
    for (int64_t i = at; i < at + n; i++) packed[i] = packed[i] << place_bits | (uint64_t)i;
  }
  at = 0;
  for (int64_t r = 0; r < n_runs; r++) {
    int64_t n = runs[2 * r + 1] - runs[2 * r], first = runs[2 * r];
    uint64_t *p = packed + at;
    tr_sort_u64(p, tmp + at, n, place_bits);
    for (int64_t i = 0; i < n; i++) rows[first + i] = old[p[i] & ((1ull << place_bits) - 1)];
    left += find_runs(p, n, place_bits, first, (int64_t *)tmp + 2 * left); /* at most half of what was passed: fits */
    at += n;
  }
  return left;
}

enum tr_status tr_order_ties(const struct tr_order *o, uint32_t *rows, const int64_t *runs, int64_t n_runs, int from,
                             struct tr_error *err) {
  if (n_runs == 0 || !more_after(o, from)) return TR_OK;
  TR_TRY(tr_ctx_check(o->ctx));
  if (from >= o->bits) {
    for (int64_t r = 0; r < n_runs; r++)
      TR_TRY(order_by_text(o, rows + runs[2 * r], runs[2 * r + 1] - runs[2 * r], err));
    return TR_OK;
  }
  int64_t m = 0;
  for (int64_t r = 0; r < n_runs; r++) m += runs[2 * r + 1] - runs[2 * r];
  void *packed = NULL, *tmp = NULL, *old = NULL;
  int bits = 64 - tr_bit_length((uint64_t)m);
  if (bits > o->bits - from) bits = o->bits - from;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)m * 8, &packed, err));
  TR_GOTO(st, tr_mem_alloc((size_t)m * 8, &tmp, err));
  TR_GOTO(st, tr_mem_alloc((size_t)m * 4, &old, err));
  int64_t left = order_runs(o, rows, runs, n_runs, m, from, bits, packed, tmp, old);
  st = tr_order_ties(o, rows, tmp, left, from + bits, err);
done:
  tr_mem_free(packed, (size_t)m * 8);
  tr_mem_free(tmp, (size_t)m * 8);
  tr_mem_free(old, (size_t)m * 4);
  return st;
}

/* Cuts the values of the window's first bits into buckets of about equal numbers of sampled rows. */
static enum tr_status cut_buckets(struct level *v, struct tr_error *err) {
  uint32_t rows[TR_SORT_BLOCK];
  uint64_t words[TR_SORT_BLOCK];
  int64_t samples = v->n < SAMPLE ? v->n : SAMPLE, n_prefixes = (int64_t)1 << v->prefix_bits;
  int64_t wanted = v->n / 4096 < 16 ? 16 : v->n / 4096 > MAX_BUCKETS / 2 - 1 ? MAX_BUCKETS / 2 - 1 : v->n / 4096;
  void *p;
  TR_TRY(tr_mem_calloc((size_t)n_prefixes * 4, &p, err));
  uint32_t *seen = p;
  for (int64_t at = 0; at < samples; at += TR_SORT_BLOCK) {
    int64_t n = samples - at < TR_SORT_BLOCK ? samples - at : TR_SORT_BLOCK;
    for (int64_t i = 0; i < n; i++) {
      int64_t place = (int64_t)((__int128)(at + i) * v->n / samples);
      rows[i] = v->in ? v->in[place] : (uint32_t)place;
    }
    tr_order_window(v->o, rows, 0, n, v->from, v->bits, words);
    for (int64_t i = 0; i < n; i++) seen[words[i] >> (v->bits - v->prefix_bits)]++;
  }
  int64_t bucket = 0, taken = 0, share = samples / wanted + 1;
  for (int64_t x = 0; x < n_prefixes; x++) {
    if (taken > 0 && taken + seen[x] > share) { /* the next one starts here */
      bucket++;
      taken = 0;
    }
    v->bucket_of[x] = (uint16_t)bucket;
    taken += seen[x];
  }
  v->n_buckets = (int)bucket + 1;
  tr_mem_free(p, (size_t)n_prefixes * 4);
  return TR_OK;
}

static enum tr_status pack_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct level *v = arg;
  uint64_t words[TR_SORT_BLOCK];
  const int shift = v->bits - v->prefix_bits, place_bits = v->place_bits;
  (void)thread;
  (void)err;
  for (int64_t c = begin; c < end; c++) {
    uint32_t *counts = v->counts + c * v->n_buckets;
    int64_t to = (c + 1) * v->chunk_rows < v->n ? (c + 1) * v->chunk_rows : v->n;
    memset(counts, 0, (size_t)v->n_buckets * 4);
    for (int64_t at = c * v->chunk_rows; at < to; at += TR_SORT_BLOCK) {
      int64_t n = to - at < TR_SORT_BLOCK ? to - at : TR_SORT_BLOCK;
      tr_order_window(v->o, v->in ? v->in + at : NULL, at, n, v->from, v->bits, words);
      for (int64_t i = 0; i < n; i++) {
        counts[v->bucket_of[words[i] >> shift]]++;
        v->packed[at + i] = words[i] << place_bits | (uint64_t)(at + i);
      }
    }
  }
  return TR_OK;
}

static void place_buckets(struct level *v) {
  int64_t at = 0;
  for (int b = 0; b < v->n_buckets; b++) {
    v->begins[b] = at;
    for (int64_t c = 0; c < v->n_chunks; c++) {
      uint32_t *count = &v->counts[c * v->n_buckets + b];
      int64_t n = *count;
      *count = (uint32_t)at;
      at += n;
    }
  }
  v->begins[v->n_buckets] = at;
}

static enum tr_status scatter_chunks(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct level *v = arg;
  const int shift = v->bits - v->prefix_bits + v->place_bits;
  (void)thread;
  (void)err;
  for (int64_t c = begin; c < end; c++) {
    uint32_t *next = v->counts + c * v->n_buckets;
    int64_t to = (c + 1) * v->chunk_rows < v->n ? (c + 1) * v->chunk_rows : v->n;
    for (int64_t i = c * v->chunk_rows; i < to; i++) {
      uint64_t x = v->packed[i];
      v->sorted[next[v->bucket_of[x >> shift]]++] = x;
    }
  }
  return TR_OK;
}

/* Sorts a stretch, writes its rows and orders its short ties; long ones are listed for later. tmp: n numbers. */
static enum tr_status finish_stretch(struct level *v, int64_t first, int64_t n, uint64_t *sorted, uint64_t *tmp,
                                     struct tr_error *err) {
  const uint64_t mask = (1ull << v->place_bits) - 1;
  tr_sort_u64(sorted, tmp, n, v->place_bits);
  uint32_t *out = v->out + first;
  if (v->in)
    for (int64_t i = 0; i < n; i++) out[i] = v->in[sorted[i] & mask];
  else
    for (int64_t i = 0; i < n; i++) out[i] = (uint32_t)(sorted[i] & mask);
  if (!more_after(v->o, v->from + v->bits)) return TR_OK;
  int64_t *runs = (int64_t *)tmp, kept = 0, n_runs = find_runs(sorted, n, v->place_bits, first, runs);
  for (int64_t r = 0; r < n_runs; r++) {
    if (runs[2 * r + 1] - runs[2 * r] > LONG_RUN) {
      int64_t k = atomic_fetch_add(&v->n_long, 1);
      v->long_runs[2 * k] = runs[2 * r];
      v->long_runs[2 * k + 1] = runs[2 * r + 1];
    } else {
      runs[2 * kept] = runs[2 * r];
      runs[2 * kept++ + 1] = runs[2 * r + 1];
    }
  }
  return tr_order_ties(v->o, v->out, runs, kept, v->from + v->bits, err);
}

static enum tr_status sort_buckets(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct level *v = arg;
  (void)thread;
  for (int64_t b = begin; b < end; b++) {
    int64_t first = v->begins[b], n = v->begins[b + 1] - first;
    TR_TRY(finish_stretch(v, first, n, v->sorted + first, v->packed + first, err));
  }
  return TR_OK;
}

static enum tr_status order_parallel(struct level *v, struct tr_error *err) {
  void *table = NULL, *counts = NULL, *begins = NULL;
  struct tr_ctx *ctx = v->o->ctx;
  enum tr_status st;
  v->prefix_bits = v->bits < PREFIX_BITS ? v->bits : PREFIX_BITS;
  v->chunk_rows = (v->n + MAX_CHUNKS - 1) / MAX_CHUNKS;
  v->n_chunks = (v->n + v->chunk_rows - 1) / v->chunk_rows;
  const size_t table_bytes = (size_t)2 << v->prefix_bits, begin_bytes = (MAX_BUCKETS + 1) * 8;
  const size_t count_bytes = (size_t)v->n_chunks * MAX_BUCKETS * 4;
  TR_GOTO(st, tr_mem_alloc(table_bytes, &table, err));
  TR_GOTO(st, tr_mem_alloc(begin_bytes, &begins, err));
  TR_GOTO(st, tr_mem_alloc(count_bytes, &counts, err));
  v->bucket_of = table;
  v->begins = begins;
  v->counts = counts;
  TR_GOTO(st, cut_buckets(v, err));
  TR_GOTO(st, tr_parallel_for(ctx, v->n_chunks, 1, pack_chunks, v, err));
  place_buckets(v);
  TR_GOTO(st, tr_parallel_for(ctx, v->n_chunks, 1, scatter_chunks, v, err));
  st = tr_parallel_for(ctx, v->n_buckets, 1, sort_buckets, v, err);
done:
  tr_mem_free(table, table_bytes);
  tr_mem_free(begins, begin_bytes);
  tr_mem_free(counts, count_bytes);
  return st;
}

static enum tr_status order_long_runs(struct level *v, struct tr_error *err) {
  for (int64_t r = 0; r < v->n_long; r++) {
    int64_t first = v->long_runs[2 * r], n = v->long_runs[2 * r + 1] - first;
    void *copy;
    TR_TRY(tr_mem_alloc((size_t)n * 4, &copy, err));
    memcpy(copy, v->out + first, (size_t)n * 4);
    enum tr_status st = tr_order_rows(v->o, copy, n, v->from + v->bits, v->out + first, err);
    tr_mem_free(copy, (size_t)n * 4);
    TR_TRY(st);
  }
  return TR_OK;
}

static void pack_serially(struct level *v) {
  for (int64_t at = 0; at < v->n; at += TR_SORT_BLOCK) {
    int64_t n = v->n - at < TR_SORT_BLOCK ? v->n - at : TR_SORT_BLOCK;
    tr_order_window(v->o, v->in ? v->in + at : NULL, at, n, v->from, v->bits, v->sorted + at);
    for (int64_t i = at; i < at + n; i++) v->sorted[i] = v->sorted[i] << v->place_bits | (uint64_t)i;
  }
}

enum tr_status tr_order_rows(const struct tr_order *o, const uint32_t *in, int64_t n, int from, uint32_t *out,
                             struct tr_error *err) {
  if (n < 2 || from >= o->bits) {
    for (int64_t i = 0; i < n; i++) out[i] = in ? in[i] : (uint32_t)i;
    return n >= 2 && o->text ? order_by_text(o, out, n, err) : TR_OK;
  }
  struct level v = {.o = o, .in = in, .out = out, .n = n, .from = from, .place_bits = tr_bit_length((uint64_t)n - 1)};
  v.bits = 64 - v.place_bits < o->bits - from ? 64 - v.place_bits : o->bits - from;
  void *packed = NULL, *sorted = NULL, *runs = NULL;
  const size_t run_bytes = (size_t)(n / LONG_RUN + 1) * 16;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)n * 8, &packed, err));
  TR_GOTO(st, tr_mem_alloc((size_t)n * 8, &sorted, err));
  TR_GOTO(st, tr_mem_alloc(run_bytes, &runs, err));
  v.packed = packed;
  v.sorted = sorted;
  v.long_runs = runs;
  if (n <= SERIAL) {
    pack_serially(&v);
    st = finish_stretch(&v, 0, n, sorted, packed, err);
  } else {
    st = order_parallel(&v, err);
  }
  if (st == TR_OK) st = order_long_runs(&v, err);
done:
  tr_mem_free(packed, (size_t)n * 8);
  tr_mem_free(sorted, (size_t)n * 8);
  tr_mem_free(runs, run_bytes);
  return st;
}
