/* From keys to pieces: ranges are scanned in parallel, dictionaries and text become ranks. Constant keys vanish. */
#include "base/mem.h"
#include "data/kern/sort/sort_int.h"

struct scan_job {
  const struct tr_piece *p;
  struct tr_piece_range per_thread[TR_MAX_THREADS];
};

static enum tr_status scan_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct scan_job *job = arg;
  (void)err;
  tr_piece_scan(job->p, begin, end, &job->per_thread[thread]);
  return TR_OK;
}

static enum tr_status scan(struct tr_ctx *ctx, const struct tr_piece *p, int64_t n, struct tr_piece_range *range,
                           struct tr_error *err) {
  struct scan_job job = {.p = p};
  for (int t = 0; t < TR_MAX_THREADS; t++) job.per_thread[t] = (struct tr_piece_range){.low = UINT64_MAX};
  TR_TRY(tr_parallel_for(ctx, n, tr_grain(ctx), scan_range, &job, err));
  *range = job.per_thread[0];
  for (int t = 1; t < TR_MAX_THREADS; t++) {
    const struct tr_piece_range *r = &job.per_thread[t];
    range->low = r->low < range->low ? r->low : range->low;
    range->high = r->high > range->high ? r->high : range->high;
    range->missing |= r->missing;
  }
  return TR_OK;
}

/* Settles base, lift and bits once the range is known; range.low > range.high: no value is present. */
static void settle(struct tr_piece *p, struct tr_piece_range range, bool na_first, bool several) {
  if (range.low > range.high) {
    p->bits = 0;
    return;
  }
  if (several && na_first && range.missing && (p->form == TR_PIECE_F64 || p->form == TR_PIECE_F32)) {
    /* pandas sorts several keys with NaN replaced by an infinity: it ties with that infinity. */
    bool wide = p->form == TR_PIECE_F64;
    if (p->descending) range.high = wide ? 0xfff0000000000000ull : 0xff800000ull;
    else range.low = wide ? 0x000fffffffffffffull : 0x007fffffull;
    p->base = p->descending ? range.high : range.low;
    p->bits = tr_bit_length(range.high - range.low);
    return;
  }
  uint64_t span = range.high - range.low;
  p->base = p->descending ? range.high : range.low;
  p->lift = range.missing && na_first;
  p->missing = na_first ? 0 : span + 1;
  p->bits = tr_bit_length(range.missing ? span + 1 : span);
}

static enum tr_piece_form form_of(const struct tr_array *a) {
  static const enum tr_piece_form forms[TR_N_KINDS] = {
      [TR_BOOL] = TR_PIECE_U8,         [TR_I8] = TR_PIECE_I8,        [TR_I16] = TR_PIECE_I16,
      [TR_I32] = TR_PIECE_I32,         [TR_I64] = TR_PIECE_I64,      [TR_U8] = TR_PIECE_U8,
      [TR_U16] = TR_PIECE_U16,         [TR_U32] = TR_PIECE_U32,      [TR_U64] = TR_PIECE_U64,
      [TR_F32] = TR_PIECE_F32,         [TR_F64] = TR_PIECE_F64,      [TR_DATETIME] = TR_PIECE_NAT64,
      [TR_TIMEDELTA] = TR_PIECE_NAT64, [TR_CATEGORY] = TR_PIECE_CODE};
  return forms[a->dtype.kind];
}

static enum tr_status own(struct tr_key_pieces *k, int64_t bytes, void **out, struct tr_error *err) {
  TR_TRY(tr_mem_alloc((size_t)bytes, out, err));
  k->owned[k->n_owned] = *out;
  k->owned_bytes[k->n_owned++] = bytes;
  return TR_OK;
}

static enum tr_status add_ranked(struct tr_ctx *ctx, struct tr_array *a, struct tr_piece *p,
                                 struct tr_piece_range *range, struct tr_key_pieces *k, struct tr_error *err) {
  p->form = TR_PIECE_CODE;
  p->src = tr_array_data(a);
  *range = (struct tr_piece_range){.high = (uint64_t)a->dict->length - 1, .missing = a->null_count != 0};
  if (a->dict->length == 0) range->low = 1, range->high = 0;
  if (a->dict_sorted || a->dict->length == 0) return TR_OK;
  void *ranks;
  int64_t n_ranks;
  TR_TRY(own(k, a->dict->length * 4, &ranks, err));
  p->form = TR_PIECE_RANKED;
  p->rank = ranks;
  return tr_text_ranks(ctx, a->dict, true, ranks, &n_ranks, err);
}

/* Few distinct texts: ranks of a dictionary; else ranks of all rows. */
static enum tr_status add_text(struct tr_ctx *ctx, struct tr_array *a, struct tr_piece *p, struct tr_piece_range *range,
                               struct tr_key_pieces *k, struct tr_error *err) {
  struct tr_array *encoded;
  TR_TRY(tr_array_encode(ctx, a, a->length / 16, &encoded, err));
  if (encoded) {
    k->arrays[k->n_owned] = encoded;
    k->owned[k->n_owned++] = NULL;
    return add_ranked(ctx, encoded, p, range, k, err);
  }
  void *ranks;
  int64_t n_ranks;
  TR_TRY(own(k, a->length * 4, &ranks, err));
  TR_TRY(tr_text_ranks(ctx, a, false, ranks, &n_ranks, err));
  p->form = TR_PIECE_RANK;
  p->src = ranks;
  *range = (struct tr_piece_range){.high = (uint64_t)n_ranks - 1, .missing = true};
  if (n_ranks == 0) range->low = 1, range->high = 0;
  return TR_OK;
}

static enum tr_status add_key(struct tr_ctx *ctx, const struct tr_sort_key *key, bool several, int64_t n, bool na_first,
                              struct tr_key_pieces *k, struct tr_error *err) {
  struct tr_array *a = key->array, *plain = NULL;
  struct tr_piece p = {.descending = key->descending};
  struct tr_piece_range range;
  enum tr_status st = TR_OK;
  if (a->dtype.kind != TR_STR) {
    p.form = form_of(a);
    p.src = tr_array_data(a);
    st = scan(ctx, &p, n, &range, err);
  } else if (a->enc == TR_DICT && a->dict->length > 2 * n) { /* most of the dictionary is unused */
    TR_TRY(tr_array_decode(ctx, a, &plain, err));
    k->arrays[k->n_owned] = plain;
    k->owned[k->n_owned++] = NULL;
    st = add_text(ctx, plain, &p, &range, k, err);
  } else {
    st = a->enc == TR_DICT ? add_ranked(ctx, a, &p, &range, k, err) : add_text(ctx, a, &p, &range, k, err);
  }
  TR_TRY(st);
  settle(&p, range, na_first, several);
  if (p.bits > 0) k->pieces[k->n++] = p;
  k->bits += p.bits;
  return TR_OK;
}

enum tr_status tr_key_pieces_make(struct tr_ctx *ctx, const struct tr_sort_key *keys, int n_keys, int64_t n,
                                  bool na_first, struct tr_key_pieces *out, struct tr_error *err) {
  memset(out, 0, sizeof *out);
  out->capacity = n_keys * 2; /* a key owns two things at most */
  void *p[4] = {0};
  const size_t sizes[4] = {sizeof *out->pieces, sizeof *out->owned, sizeof *out->owned_bytes, sizeof *out->arrays};
  enum tr_status st = TR_OK;
  for (int i = 0; i < 4 && st == TR_OK; i++) st = tr_mem_calloc(sizes[i] * (size_t)out->capacity, &p[i], err);
  out->pieces = p[0];
  out->owned = p[1];
  out->owned_bytes = p[2];
  out->arrays = p[3];
  for (int i = 0; i < n_keys && st == TR_OK; i++) st = add_key(ctx, &keys[i], n_keys > 1, n, na_first, out, err);
  if (st != TR_OK) tr_key_pieces_drop(out);
  return st;
}

void tr_key_pieces_drop(struct tr_key_pieces *k) {
  for (int i = 0; i < k->n_owned; i++) {
    tr_mem_free(k->owned[i], (size_t)k->owned_bytes[i]);
    tr_array_unref(k->arrays[i]);
  }
  const size_t n = (size_t)k->capacity;
  tr_mem_free(k->pieces, n * sizeof *k->pieces);
  tr_mem_free(k->owned, n * sizeof *k->owned);
  tr_mem_free(k->owned_bytes, n * sizeof *k->owned_bytes);
  tr_mem_free(k->arrays, n * sizeof *k->arrays);
  memset(k, 0, sizeof *k);
}
