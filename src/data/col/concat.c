/* Concatenation: output rows are cut into morsels, each copies from the one or more arrays it covers. Text keeps its
 * bytes where they are: heaps of all arrays are listed one after another and heap numbers shifted. Arrays that follow
 * each other with the same heaps (slices of one column) share them. */
#include "base/mem.h"
#include "data/col/col.h"

struct part {
  struct tr_array *array;
  int64_t begin;        /* first output row */
  int32_t heap_base;    /* added to heap numbers */
  const int32_t *remap; /* codes: new number of each dictionary value; NULL = unchanged */
};

struct concat_job {
  struct part *parts;
  int n;
  int width;
  bool views, remap;
  uint8_t *out;
};

static void copy_views(const struct part *p, int64_t from, int64_t n, struct tr_view *out) {
  const struct tr_view *v = tr_array_views(p->array) + from;
  if (p->heap_base == 0) {
    memcpy(out, v, (size_t)n * sizeof *v);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    out[i] = v[i];
    if (v[i].size > TR_VIEW_INLINE) out[i].heap += p->heap_base;
  }
}

static void copy_codes(const struct part *p, int64_t from, int64_t n, int32_t *out) {
  const int32_t *c = tr_array_codes(p->array) + from;
  if (!p->remap) {
    memcpy(out, c, (size_t)n * 4);
    return;
  }
  for (int64_t i = 0; i < n; i++) out[i] = c[i] < 0 ? -1 : p->remap[c[i]];
}

static int part_of(const struct concat_job *job, int64_t row) {
  int lo = 0, hi = job->n - 1;
  while (lo < hi) { /* last part that begins at or before the row */
    int mid = (lo + hi + 1) / 2;
    if (job->parts[mid].begin <= row) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

static enum tr_status copy_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  const struct concat_job *job = arg;
  (void)thread;
  (void)err;
  for (int i = part_of(job, begin); begin < end; i++) {
    const struct part *p = &job->parts[i];
    int64_t from = begin - p->begin, n = p->array->length - from;
    if (n > end - begin) n = end - begin;
    uint8_t *out = job->out + begin * job->width;
    if (n <= 0) continue;
    if (job->views) copy_views(p, from, n, (struct tr_view *)out);
    else if (p->remap) copy_codes(p, from, n, (int32_t *)out);
    else memcpy(out, (uint8_t *)tr_array_data(p->array) + from * job->width, (size_t)n * (size_t)job->width);
    begin += n;
  }
  return TR_OK;
}

static bool same_heaps(const struct tr_array *a, const struct tr_array *b) {
  if (a->n_heaps != b->n_heaps) return false;
  for (int i = 0; i < a->n_heaps; i++)
    if (a->heaps[i] != b->heaps[i]) return false;
  return true;
}

static enum tr_status list_heaps(struct part *parts, int n, struct tr_array *out, struct tr_error *err) {
  for (int i = 0; i < n; i++) {
    struct tr_array *a = parts[i].array;
    if (i > 0 && same_heaps(a, parts[i - 1].array)) {
      parts[i].heap_base = parts[i - 1].heap_base;
      continue;
    }
    parts[i].heap_base = out->n_heaps;
    for (int h = 0, no; h < a->n_heaps; h++) TR_TRY(tr_array_add_heap(out, a->heaps[h], &no, err));
  }
  return TR_OK;
}

/* Fills `out`, whose header is ready, from the parts. */
static enum tr_status copy_parts(struct tr_ctx *ctx, struct part *parts, int n, struct tr_array *out,
                                 struct tr_error *err) {
  bool views = out->enc == TR_PLAIN && out->dtype.kind == TR_STR;
  if (views) TR_TRY(list_heaps(parts, n, out, err));
  struct concat_job job = {.parts = parts,
                           .n = n,
                           .views = views,
                           .out = tr_array_data(out),
                           .width = out->enc == TR_DICT ? 4 : tr_dtype_width(out->dtype)};
  return tr_parallel_for(ctx, out->length, tr_grain(ctx), copy_range, &job, err);
}

static bool same_values(const struct tr_array *a, const struct tr_array *b) {
  if (a == b) return true;
  if (!tr_dtype_eq(a->dtype, b->dtype) || a->length != b->length) return false;
  if (a->dtype.kind != TR_STR)
    return memcmp(tr_array_data(a), tr_array_data(b), (size_t)(a->length * tr_dtype_width(a->dtype))) == 0;
  const struct tr_view *x = tr_array_views(a), *y = tr_array_views(b);
  for (int64_t i = 0; i < a->length; i++)
    if (!tr_view_eq(a, x + i, b, y + i)) return false;
  return true;
}

static int64_t lay_out(struct tr_array *const *arrays, int n, struct part *parts) {
  int64_t rows = 0;
  for (int i = 0; i < n; i++) {
    parts[i].array = arrays[i];
    parts[i].begin = rows;
    rows += arrays[i]->length;
  }
  return rows;
}

static enum tr_status concat_plain(struct tr_ctx *ctx, struct tr_array *const *arrays, int n, struct part *parts,
                                   struct tr_array **out, struct tr_error *err) {
  TR_TRY(tr_array_new(arrays[0]->dtype, lay_out(arrays, n, parts), out, err));
  return copy_parts(ctx, parts, n, *out, err);
}

/* All arrays have dictionaries; `merge` says whether differing ones may be merged (text) or not (categories). */
static enum tr_status concat_dict(struct tr_ctx *ctx, struct tr_array *const *arrays, int n, struct part *parts,
                                  struct tr_array **out, struct tr_error *err) {
  struct tr_array **dicts = NULL, *merged = NULL;
  int32_t *codes = NULL;
  int64_t rows = lay_out(arrays, n, parts), n_values = 0;
  bool same = true, sorted = true;
  void *p = NULL;
  enum tr_status st;
  TR_GOTO(st, tr_mem_alloc((size_t)n * sizeof *dicts, &p, err));
  dicts = p;
  int n_dicts = 0;
  for (int i = 0; i < n; i++) {
    same = same && same_values(arrays[i]->dict, arrays[0]->dict);
    if (i > 0 && arrays[i]->dict == arrays[i - 1]->dict) continue;
    dicts[n_dicts++] = arrays[i]->dict;
    n_values += arrays[i]->dict->length;
  }
  if (!same && arrays[0]->dtype.kind == TR_CATEGORY) {
    st = tr_unsupported(err, "concatenating categories that differ");
    goto done;
  }
  if (same) merged = tr_array_ref(arrays[0]->dict);
  else TR_GOTO(st, tr_dict_merge(ctx, dicts, n_dicts, &merged, &codes, err));
  const int32_t *remap = codes;
  for (int i = 0; i < n && codes; i++) {
    if (i > 0 && arrays[i]->dict != arrays[i - 1]->dict) remap += arrays[i - 1]->dict->length;
    parts[i].remap = remap;
  }
  TR_GOTO(st, tr_array_new_dict(arrays[0]->dtype, rows, merged, out, err));
  for (int i = 0; i < n; i++)
    if (arrays[i]->dict == merged && arrays[i]->dict_sorted) break;
    else if (i == n - 1) sorted = false;
  (*out)->dict_sorted = sorted;
  st = copy_parts(ctx, parts, n, *out, err);
done:
  tr_mem_free(p, (size_t)n * sizeof *dicts);
  if (codes) tr_mem_free(codes, (size_t)n_values * 4);
  tr_array_unref(merged);
  return st;
}

static enum tr_status concat_decoded(struct tr_ctx *ctx, struct tr_array *const *arrays, int n, struct part *parts,
                                     struct tr_array **out, struct tr_error *err) {
  void *p;
  TR_TRY(tr_mem_calloc((size_t)n * sizeof(struct tr_array *), &p, err));
  struct tr_array **plain = p;
  enum tr_status st = TR_OK;
  for (int i = 0; i < n && st == TR_OK; i++) st = tr_array_decode(ctx, arrays[i], &plain[i], err);
  if (st == TR_OK) st = concat_plain(ctx, plain, n, parts, out, err);
  for (int i = 0; i < n; i++) tr_array_unref(plain[i]);
  tr_mem_free(p, (size_t)n * sizeof *plain);
  return st;
}

enum tr_status tr_array_concat(struct tr_ctx *ctx, struct tr_array *const *arrays, int n, struct tr_array **out,
                               struct tr_error *err) {
  *out = NULL;
  int n_dict = 0;
  int64_t nulls = 0;
  for (int i = 0; i < n; i++) {
    if (!tr_dtype_eq(arrays[i]->dtype, arrays[0]->dtype))
      return tr_unsupported(err, "concatenating %s and %s", tr_dtype_name(arrays[0]->dtype),
                            tr_dtype_name(arrays[i]->dtype));
    n_dict += arrays[i]->enc == TR_DICT;
    nulls = nulls < 0 || arrays[i]->null_count < 0 ? -1 : nulls + arrays[i]->null_count;
  }
  if (n == 1) {
    *out = tr_array_ref(arrays[0]);
    return TR_OK;
  }
  void *parts;
  TR_TRY(tr_mem_calloc((size_t)n * sizeof(struct part), &parts, err));
  enum tr_status st = n_dict == 0   ? concat_plain(ctx, arrays, n, parts, out, err)
                      : n_dict == n ? concat_dict(ctx, arrays, n, parts, out, err)
                                    : concat_decoded(ctx, arrays, n, parts, out, err);
  tr_mem_free(parts, (size_t)n * sizeof(struct part));
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
    return st;
  }
  (*out)->null_count = nulls;
  return TR_OK;
}
