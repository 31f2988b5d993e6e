/* copy_parquet IN OUT CODEC ROW_GROUP_ROWS BEGIN END THREADS: rows [BEGIN, END) of all columns that the engine can
 * hold, read and written by it; prints their names and dtypes. peers.py lets pyarrow and DuckDB judge the copy.
 */
#include "data/format/parquet/parquet.h"
#include <stdio.h>
#include <stdlib.h>

enum { MAX_COLS = 256 };

static _Noreturn void fail(const struct tr_error *err) {
  fprintf(stderr, "%s\n", err->text);
  fflush(stderr);
  _Exit(1);
}

static struct tr_frame *part_of(struct tr_frame *f, int64_t begin, int64_t end, struct tr_error *err) {
  struct tr_array *cols[MAX_COLS];
  struct tr_frame *part = NULL;
  int n = 0;
  enum tr_status st = TR_OK;
  while (n < f->n_cols && st == TR_OK) {
    st = tr_array_slice(f->cols[n], begin, end - begin, &cols[n], err);
    if (st == TR_OK) n++;
  }
  if (st == TR_OK) st = tr_frame_new(end - begin, n, cols, &part, err);
  while (n > 0) tr_array_unref(cols[--n]);
  return st == TR_OK ? part : NULL;
}

int main(int argc, char **argv) {
  struct tr_ctx ctx;
  struct tr_error err;
  struct tr_parquet_file *file;
  struct tr_frame *frame, *part;
  const char *names[MAX_COLS];
  int cols[MAX_COLS], n = 0;
  if (argc != 8) return 2;
  tr_ctx_init(&ctx);
  ctx.threads = atoi(argv[7]);
  if (tr_parquet_open(argv[1], &file, &err) != TR_OK) fail(&err);
  for (int i = 0; i < file->n_cols && n < MAX_COLS; i++) {
    if (!file->cols[i].supported) continue;
    cols[n] = i;
    names[n++] = file->cols[i].name;
  }
  if (tr_parquet_read(&ctx, &file, 1, NULL, cols, n, &frame, &err) != TR_OK) fail(&err);
  part = part_of(frame, atoll(argv[5]), atoll(argv[6]), &err);
  if (!part) fail(&err);
  struct tr_parquet_write_options opt = {.codec = (enum tr_codec)atoi(argv[3]), .row_group_rows = atoll(argv[4])};
  if (tr_parquet_write(&ctx, argv[2], part, names, &opt, &err) != TR_OK) fail(&err);
  for (int i = 0; i < n; i++) printf("%s\t%s\n", names[i], tr_dtype_name(frame->cols[i]->dtype));
  tr_frame_unref(part);
  tr_frame_unref(frame);
  tr_parquet_close(file);
  return 0;
}
