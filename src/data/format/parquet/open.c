/* Opening a file: magic, footer, schema. The texts of errors are pyarrow's where it has one. */
#include "data/format/parquet/parquet_int.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COULD_NOT "Could not open Parquet input source '%s': "

enum tr_status pq_pread(const struct tr_parquet_file *f, int64_t offset, uint8_t *to, size_t n, struct tr_error *err) {
  while (n > 0) {
    ssize_t got = pread(f->internal->fd, to, n < (1u << 30) ? n : 1u << 30, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tr_fail_os(err, errno, "%s", f->path);
    if (got == 0)
      return tr_fail(err, TR_EXC_ARROW_INVALID,
                     "Parquet file '%s' is shorter than it was when opened: it ends before byte %lld", f->path,
                     (long long)(offset + (int64_t)n));
    to += got;
    offset += got;
    n -= (size_t)got;
  }
  return TR_OK;
}

static enum tr_status read_footer(struct tr_parquet_file *f, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  uint8_t tail[8];
  if (in->size == 0) return tr_fail(err, TR_EXC_ARROW_INVALID, COULD_NOT "Parquet file size is 0 bytes", f->path);
  if (in->size < 8)
    return tr_fail(err, TR_EXC_ARROW_INVALID,
                   COULD_NOT "Parquet file size is %lld bytes, smaller than the minimum file footer (8 bytes)", f->path,
                   (long long)in->size);
  TR_TRY(pq_pread(f, in->size - 8, tail, 8, err));
  if (memcmp(tail + 4, "PARE", 4) == 0)
    return tr_fail_os(err, 0, COULD_NOT "Could not read encrypted metadata, no decryption found in reader's properties",
                      f->path);
  if (memcmp(tail + 4, "PAR1", 4) != 0)
    return tr_fail(err, TR_EXC_ARROW_INVALID,
                   COULD_NOT "Parquet magic bytes not found in footer. Either the file is corrupted or "
                             "this is not a parquet file.",
                   f->path);
  uint32_t n = (uint32_t)tail[0] | (uint32_t)tail[1] << 8 | (uint32_t)tail[2] << 16 | (uint32_t)tail[3] << 24;
  if (n > in->size - 8)
    return tr_fail(err, TR_EXC_ARROW_INVALID,
                   COULD_NOT "Parquet file size is %lld bytes, smaller than the size reported by "
                             "footer's (%ubytes)",
                   f->path, (long long)in->size, n);
  TR_TRY(tr_mem_alloc(n, (void **)&in->footer, err));
  in->footer_size = n;
  return pq_pread(f, in->size - 8 - n, in->footer, n, err);
}

static enum tr_status open_descriptor(struct tr_parquet_file *f, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  struct stat s;
  in->fd = open(f->path, O_RDONLY | O_CLOEXEC);
  if (in->fd < 0 || fstat(in->fd, &s) != 0) return tr_fail_os(err, errno, "%s", f->path);
  if (S_ISDIR(s.st_mode)) return tr_fail_os(err, EISDIR, "%s", f->path);
  if (!S_ISREG(s.st_mode))
    return tr_unsupported(err, "reading Parquet from '%s', which is not a regular file", f->path);
  in->size = s.st_size;
  in->mtime = s.st_mtim;
  return TR_OK;
}

enum tr_status tr_parquet_open(const char *path, struct tr_parquet_file **out, struct tr_error *err) {
  enum tr_status st;
  struct tr_parquet_file *f = calloc(1, sizeof *f);
  struct tr_parquet_file_int *in = calloc(1, sizeof *in);
  *out = NULL;
  if (!f || !in) {
    free(f);
    free(in);
    return tr_fail_memory(err, sizeof *f + sizeof *in);
  }
  f->internal = in;
  in->fd = -1;
  tr_arena_init(&in->arena);
  f->path = tr_arena_strndup(&in->arena, path, strlen(path));
  if (!f->path) TR_GOTO(st, tr_fail_memory(err, strlen(path)));
  TR_GOTO(st, open_descriptor(f, err));
  TR_GOTO(st, read_footer(f, err));
  TR_GOTO(st, pq_footer_parse(f, err));
  TR_GOTO(st, pq_arrow_schema_read(f, err));
  TR_GOTO(st, pq_schema_resolve(f, err));
  if (in->pandas.ptr) {
    f->pandas_metadata = tr_arena_strndup(&in->arena, (const char *)in->pandas.ptr, (size_t)in->pandas.len);
    if (!f->pandas_metadata) TR_GOTO(st, tr_fail_memory(err, (size_t)in->pandas.len));
  }
  *out = f;
done:
  if (st != TR_OK) tr_parquet_close(f);
  return st;
}

enum tr_status tr_parquet_unchanged(struct tr_parquet_file *f, struct tr_error *err) {
  struct stat s;
  if (fstat(f->internal->fd, &s) != 0) return tr_fail_os(err, errno, "%s", f->path);
  if (s.st_size != f->internal->size || s.st_mtim.tv_sec != f->internal->mtime.tv_sec ||
      s.st_mtim.tv_nsec != f->internal->mtime.tv_nsec)
    return tr_fail(err, TR_EXC_VALUE, "Parquet file '%s' was changed after it was opened", f->path);
  return TR_OK;
}

void tr_parquet_close(struct tr_parquet_file *f) {
  if (!f) return;
  struct tr_parquet_file_int *in = f->internal;
  if (in->fd >= 0) close(in->fd);
  tr_mem_free(in->footer, in->footer_size);
  tr_arena_free(&in->arena);
  free(in);
  free(f);
}

const char *tr_parquet_refusal(struct tr_parquet_file *const *files, int n_files, int col) {
  const struct pq_column *first = &files[0]->internal->columns[col];
  for (int f = 0; f < n_files; f++) {
    const struct tr_parquet_column *c = &files[f]->cols[col];
    const struct pq_column *other = &files[f]->internal->columns[col];
    if (!c->supported) return c->reason ? c->reason : "unknown type";
    if (!tr_dtype_eq(first->base, other->base) || first->convert != other->convert ||
        first->category != other->category)
      return "files that differ in the column's type";
  }
  return NULL;
}
