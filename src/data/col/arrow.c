/* See arrow.h. Export runs twice over the rows: sizes per morsel, then bytes to their final place. */
#include "data/col/arrow.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

struct export_job {
  struct tr_array *a;
  const struct tr_view *views;  /* of the array, or of its dictionary */
  const struct tr_array *owner; /* whose heaps the views point to */
  const int32_t *codes;
  int64_t grain;
  int64_t *base;  /* bytes before each morsel */
  int64_t *nulls; /* per morsel */
  int64_t *offsets;
  uint8_t *bits; /* validity, one byte per 8 rows */
  char *bytes;
};

static inline const struct tr_view *view_at(const struct export_job *j, int64_t i) {
  static const struct tr_view missing = {.size = -1};
  if (!j->codes) return &j->views[i];
  return j->codes[i] < 0 ? &missing : &j->views[j->codes[i]];
}

static enum tr_status measure(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  struct export_job *j = arg;
  int64_t bytes = 0, nulls = 0;
  for (int64_t i = begin; i < end; i++) {
    int32_t size = view_at(j, i)->size;
    nulls += size < 0;
    bytes += size < 0 ? 0 : size;
  }
  j->base[begin / j->grain] = bytes;
  j->nulls[begin / j->grain] = nulls;
  return TR_OK;
}

static enum tr_status copy_out(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  struct export_job *j = arg;
  int64_t at = j->base[begin / j->grain];
  for (int64_t i = begin; i < end; i++) {
    const struct tr_view *v = view_at(j, i);
    j->offsets[i] = at;
    if (v->size < 0) continue;
    memcpy(j->bytes + at, tr_view_bytes(j->owner, v), (size_t)v->size);
    at += v->size;
  }
  return TR_OK;
}

static enum tr_status mark_valid(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  struct export_job *j = arg;
  int64_t n = j->a->length;
  for (int64_t b = begin; b < end; b++) {
    unsigned byte = 0;
    for (int64_t i = b * 8; i < b * 8 + 8 && i < n; i++) byte |= (unsigned)(view_at(j, i)->size >= 0) << (i - b * 8);
    j->bits[b] = (uint8_t)byte;
  }
  return TR_OK;
}

struct exported {
  struct tr_buffer *buffers[3];
  const void *pointers[3];
};

static void release_array(struct ArrowArray *a) {
  struct exported *e = a->private_data;
  for (int i = 0; i < 3; i++) tr_buffer_unref(e->buffers[i]);
  free(e);
  a->release = NULL;
}

static void release_schema(struct ArrowSchema *s) { s->release = NULL; }

static int64_t prefix_sums(struct export_job *j, int64_t n_morsels, int64_t *null_count) {
  int64_t total = 0;
  for (int64_t m = 0; m < n_morsels; m++) {
    int64_t bytes = j->base[m];
    j->base[m] = total;
    total += bytes;
    *null_count += j->nulls[m];
  }
  return total;
}

static enum tr_status export_buffers(struct tr_ctx *ctx, struct export_job *j, struct exported *e, int64_t *null_count,
                                     struct tr_error *err) {
  int64_t n = j->a->length;
  j->grain = tr_grain(ctx) < 4096 ? 4096 : tr_grain(ctx);
  int64_t n_morsels = n / j->grain + 1;
  j->base = calloc((size_t)n_morsels * 2, sizeof *j->base);
  if (!j->base) return tr_fail_memory(err, (size_t)n_morsels * 16);
  j->nulls = j->base + n_morsels;
  enum tr_status st = TR_OK;
  TR_GOTO(st, tr_buffer_new((n + 1) * 8, &e->buffers[1], err));
  j->offsets = (int64_t *)e->buffers[1]->data;
  TR_GOTO(st, tr_parallel_for(ctx, n, j->grain, measure, j, err));
  int64_t total = prefix_sums(j, n_morsels, null_count);
  TR_GOTO(st, tr_buffer_new(total, &e->buffers[2], err));
  j->bytes = (char *)e->buffers[2]->data;
  j->offsets[n] = total;
  TR_GOTO(st, tr_parallel_for(ctx, n, j->grain, copy_out, j, err));
  if (*null_count) {
    TR_GOTO(st, tr_buffer_new((n + 7) / 8, &e->buffers[0], err));
    j->bits = e->buffers[0]->data;
    TR_GOTO(st, tr_parallel_for(ctx, (n + 7) / 8, j->grain, mark_valid, j, err));
  }
done:
  free(j->base);
  return st;
}

enum tr_status tr_arrow_export_text(struct tr_ctx *ctx, struct tr_array *a, struct ArrowSchema *schema,
                                    struct ArrowArray *out, struct tr_error *err) {
  struct tr_array *owner = a->enc == TR_DICT ? a->dict : a;
  struct export_job j = {
      .a = a, .owner = owner, .views = tr_array_views(owner), .codes = a->enc == TR_DICT ? tr_array_codes(a) : NULL};
  struct exported *e = calloc(1, sizeof *e);
  if (!e) return tr_fail_memory(err, sizeof *e);
  int64_t null_count = 0;
  enum tr_status st = export_buffers(ctx, &j, e, &null_count, err);
  if (st != TR_OK) {
    for (int i = 0; i < 3; i++) tr_buffer_unref(e->buffers[i]);
    free(e);
    return st;
  }
  for (int i = 0; i < 3; i++) e->pointers[i] = e->buffers[i] ? e->buffers[i]->data : NULL;
  *schema = (struct ArrowSchema){.format = "U", .name = "", .flags = 2, .release = release_schema};
  *out = (struct ArrowArray){.length = a->length,
                             .null_count = null_count,
                             .n_buffers = 3,
                             .buffers = e->pointers,
                             .release = release_array,
                             .private_data = e};
  return TR_OK;
}

/* The Arrow array that all heaps of an imported text array borrow from. */
struct imported {
  _Atomic int refs;
  struct ArrowArray array;
};

static void release_imported(void *arg) {
  struct imported *im = arg;
  if (atomic_fetch_sub(&im->refs, 1) != 1) return;
  if (im->array.release) im->array.release(&im->array);
  free(im);
}

struct import_job {
  const uint8_t *valid;
  int64_t offset; /* of the Arrow array, in rows */
  const int32_t *off32;
  const int64_t *off64;
  const char *bytes;
  const int64_t *heap_start; /* byte at which each heap starts */
  int n_heaps;
  struct tr_view *out;
};

static inline int64_t byte_of(const struct import_job *j, int64_t row) {
  return j->off64 ? j->off64[row + j->offset] : j->off32[row + j->offset];
}

static enum tr_status make_views(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread, (void)err;
  const struct import_job *j = arg;
  int heap = 0;
  for (int64_t i = begin; i < end; i++) {
    int64_t bit = i + j->offset, from = byte_of(j, i), size = byte_of(j, i + 1) - from;
    if (j->valid && !(j->valid[bit >> 3] >> (bit & 7) & 1)) {
      j->out[i] = tr_view_null();
      continue;
    }
    while (heap + 1 < j->n_heaps && j->heap_start[heap + 1] <= from) heap++;
    if (size > INT32_MAX) return tr_unsupported(err, "a text of %lld bytes", (long long)size);
    j->out[i] = tr_view_make(j->bytes + from, (int32_t)size, heap, (int32_t)(from - j->heap_start[heap]));
  }
  return TR_OK;
}

/* Cuts the bytes into heaps of < 2 GiB at row borders. starts: room for max_heaps + 1. */
static enum tr_status cut_heaps(struct import_job *j, int64_t n, int64_t *starts, int max_heaps, struct tr_error *err) {
  int64_t last = byte_of(j, n), row = 0;
  starts[0] = byte_of(j, 0);
  j->n_heaps = 1;
  while (last - starts[j->n_heaps - 1] > INT32_MAX) {
    int64_t lo = row, hi = n;
    while (hi - lo > 1) { /* the last row that ends within the heap */
      int64_t mid = lo + (hi - lo) / 2;
      if (byte_of(j, mid) - starts[j->n_heaps - 1] <= INT32_MAX) lo = mid;
      else hi = mid;
    }
    if (lo == row || j->n_heaps == max_heaps)
      return tr_unsupported(err, "a text column of %lld bytes", (long long)last);
    row = lo;
    starts[j->n_heaps++] = byte_of(j, row);
  }
  starts[j->n_heaps] = last;
  return TR_OK;
}

enum { MAX_HEAPS = 64 };

static enum tr_status add_heaps(struct import_job *j, const int64_t *starts, struct imported *im, struct tr_array *a,
                                struct tr_error *err) {
  for (int h = 0; h < j->n_heaps; h++) {
    struct tr_buffer *heap = NULL;
    int no;
    TR_TRY(tr_buffer_foreign(j->bytes + starts[h], starts[h + 1] - starts[h], release_imported, im, &heap, err));
    atomic_fetch_add(&im->refs, 1);
    enum tr_status st = tr_array_add_heap(a, heap, &no, err);
    tr_buffer_unref(heap);
    TR_TRY(st);
  }
  return TR_OK;
}

enum tr_status tr_arrow_import_text(struct tr_ctx *ctx, const struct ArrowSchema *schema, struct ArrowArray *in,
                                    struct tr_array **out, struct tr_error *err) {
  *out = NULL;
  bool large = strcmp(schema->format, "U") == 0;
  if (!large && strcmp(schema->format, "u") != 0) return tr_unsupported(err, "Arrow format '%s'", schema->format);
  struct import_job j = {
      .valid = in->null_count == 0 ? NULL : in->buffers[0], .offset = in->offset, .bytes = in->buffers[2]};
  static const int64_t no_offsets[2] = {0, 0};
  if (large) j.off64 = in->buffers[1] ? in->buffers[1] : no_offsets;
  else if (in->buffers[1]) j.off32 = in->buffers[1];
  else j.off64 = no_offsets;
  int64_t starts[MAX_HEAPS + 1];
  TR_TRY(cut_heaps(&j, in->length, starts, MAX_HEAPS, err));
  j.heap_start = starts;
  struct imported *im = calloc(1, sizeof *im);
  if (!im) return tr_fail_memory(err, sizeof *im);
  atomic_init(&im->refs, 1);
  enum tr_status st = TR_OK;
  TR_GOTO(st, tr_array_new(tr_dtype_of(TR_STR), in->length, out, err));
  if (j.bytes) TR_GOTO(st, add_heaps(&j, starts, im, *out, err));
  j.out = tr_array_data(*out);
  TR_GOTO(st, tr_parallel_for(ctx, in->length, tr_grain(ctx), make_views, &j, err));
  im->array = *in;
  in->release = NULL;
done:
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  release_imported(im);
  return st;
}
