/* Any bytes as a Parquet file: opening and reading every column must end in an error or in well-formed arrays. What
 * could be read is also written again, to nowhere.
 */
#include "base/mem.h"
#include "data/format/parquet/parquet.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "fuzz_parquet: %s\n", what);
  abort();
}

static void check_views(const struct tr_array *a) {
  const struct tr_view *v = tr_array_views(a);
  for (int64_t i = 0; i < a->length; i++) {
    require(v[i].size >= -1, "a view's size");
    if (v[i].size <= TR_VIEW_INLINE) continue;
    require(v[i].heap >= 0 && v[i].heap < a->n_heaps, "a view's heap");
    require(v[i].offset >= 0 && (int64_t)v[i].offset + v[i].size <= a->heaps[v[i].heap]->size, "a view's place");
    require(memcmp(v[i].prefix, tr_view_bytes(a, &v[i]), 4) == 0, "a view's prefix");
  }
}

static void check_array(const struct tr_array *a) {
  if (a->enc == TR_PLAIN) {
    if (a->dtype.kind == TR_STR) check_views(a);
    const uint8_t *p = tr_array_data(a);
    require(a->data->size >= a->length * tr_dtype_width(a->dtype), "a buffer's size");
    for (int64_t i = 0; a->dtype.kind == TR_BOOL && i < a->length; i++) require(p[i] <= 1, "a bool");
    return;
  }
  check_views(a->dict);
  for (int64_t i = 0; i < a->length; i++) {
    int32_t c = tr_array_codes(a)[i];
    require(c >= -1 && c < a->dict->length, "a code");
  }
}

static void read_column(struct tr_ctx *ctx, struct tr_parquet_file *f, int col) {
  struct tr_frame *frame = NULL;
  struct tr_error err;
  if (tr_parquet_read(ctx, &f, 1, NULL, &col, 1, &frame, &err) != TR_OK) return;
  require(frame->n_rows == f->n_rows, "the number of rows");
  check_array(frame->cols[0]);
  (void)!tr_parquet_write(ctx, "/dev/null", frame, &f->cols[col].name, NULL, &err);
  tr_frame_unref(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct tr_ctx ctx;
  struct tr_error err;
  struct tr_parquet_file *f = NULL;
  char path[64];
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  tr_mem_set_budget((size_t)64 << 20);
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  require(fd >= 0 && write(fd, data, size) == (ssize_t)size, "memfd");
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (tr_parquet_open(path, &f, &err) == TR_OK) {
    for (int i = 0; i < f->n_cols && i < 64; i++) read_column(&ctx, f, i);
    tr_parquet_close(f);
  }
  close(fd);
  require(tr_mem_used() == 0, "memory is lost");
  return 0;
}
