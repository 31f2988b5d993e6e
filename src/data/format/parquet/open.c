/* Opening a file: magic, footer, schema. The texts of errors are pyarrow's where it has one. */
#include "base/text.h"
#include "data/format/parquet/parquet_int.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL = 64 << 10 };

#define COULD_NOT "Could not open Parquet input source '%s': "

/* What `read` does on a file, from an object. */
static enum tr_status read_object(const struct tr_parquet_file *f, int64_t offset, uint8_t *to, size_t n,
                                  struct tr_error *err) {
  const struct tr_parquet_file_int *in = f->internal;
  int64_t tail = in->size - (int64_t)in->tail_bytes;
  if (in->tail && offset >= tail) {
    memcpy(to, in->tail + (offset - tail), n);
    return TR_OK;
  }
  const struct tr_range r = {.offset = offset, .bytes = (int64_t)n, .to = to};
  return tr_store_read(in->store, in->key, in->etag, &r, 1, in->ctx, err);
}

enum tr_status pq_pread(const struct tr_parquet_file *f, int64_t offset, uint8_t *to, size_t n, struct tr_error *err) {
  if (f->internal->store) return read_object(f, offset, to, n, err);
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

/* Finds the object and reads its end. */
static enum tr_status open_object(struct tr_parquet_file *f, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  struct tr_object o;
  TR_TRY(tr_store_stat(in->store, in->key, in->ctx, &o, err));
  memcpy(in->etag, o.etag, sizeof in->etag);
  in->size = o.size;
  size_t bytes = o.size < TAIL ? (size_t)o.size : TAIL;
  uint8_t *tail;
  TR_TRY(tr_mem_alloc(bytes + 1, (void **)&tail, err));
  enum tr_status st = bytes ? pq_pread(f, in->size - (int64_t)bytes, tail, bytes, err) : TR_OK;
  in->tail = tail;
  in->tail_bytes = bytes;
  return st;
}

static void drop_tail(struct tr_parquet_file_int *in) {
  if (in->tail) tr_mem_free(in->tail, in->tail_bytes + 1);
  in->tail = NULL;
}

/* Opens the file `path`, or the object `key` of `store` which messages call `path`. */
static enum tr_status open_any(const char *path, struct tr_store *store, const char *key, struct tr_ctx *ctx,
                               struct tr_parquet_file **out, struct tr_error *err) {
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
  if (store) {
    in->store = tr_store_ref(store);
    in->ctx = ctx;
    in->key = tr_arena_strndup(&in->arena, key, strlen(key));
    if (!in->key) TR_GOTO(st, tr_fail_memory(err, strlen(key)));
    TR_GOTO(st, open_object(f, err));
  } else {
    TR_GOTO(st, open_descriptor(f, err));
  }
  TR_GOTO(st, read_footer(f, err));
  TR_GOTO(st, pq_footer_parse(f, err));
  TR_GOTO(st, pq_arrow_schema_read(f, err));
  TR_GOTO(st, pq_schema_resolve(f, err));
  if (in->pandas.ptr) {
    f->pandas_metadata = tr_arena_strndup(&in->arena, (const char *)in->pandas.ptr, (size_t)in->pandas.len);
    if (!f->pandas_metadata) TR_GOTO(st, tr_fail_memory(err, (size_t)in->pandas.len));
  }
  drop_tail(in);
  in->ctx = NULL;
  *out = f;
done:
  if (st != TR_OK) tr_parquet_close(f);
  return st;
}

enum tr_status tr_parquet_open(const char *path, struct tr_parquet_file **out, struct tr_error *err) {
  return open_any(path, NULL, NULL, NULL, out, err);
}

enum tr_status tr_parquet_open_object(struct tr_store *store, const char *key, struct tr_ctx *ctx,
                                      struct tr_parquet_file **out, struct tr_error *err) {
  struct tr_text name = {0};
  tr_text_add_format(&name, "%s/%s", tr_store_url(store), key);
  enum tr_status st = tr_text_check(&name, err);
  if (st == TR_OK) st = open_any(tr_text_str(&name), store, key, ctx, out, err);
  tr_text_free(&name);
  return st;
}

enum tr_status tr_parquet_unchanged(struct tr_parquet_file *f, struct tr_error *err) {
  struct stat s;
  if (f->internal->store) return TR_OK; /* each read asks for the etag */
  if (fstat(f->internal->fd, &s) != 0) return tr_fail_os(err, errno, "%s", f->path);
  if (s.st_size != f->internal->size || s.st_mtim.tv_sec != f->internal->mtime.tv_sec ||
      s.st_mtim.tv_nsec != f->internal->mtime.tv_nsec)
    return tr_fail(err, TR_EXC_VALUE, "Parquet file '%s' was changed after it was opened", f->path);
  return TR_OK;
}

bool tr_parquet_in_place(const struct tr_parquet_file *f) {
  struct stat open_one, there;
  if (f->internal->store) return true;
  return fstat(f->internal->fd, &open_one) == 0 && stat(f->path, &there) == 0 && open_one.st_dev == there.st_dev &&
         open_one.st_ino == there.st_ino;
}

int64_t tr_parquet_size(const struct tr_parquet_file *f) { return f->internal->size; }
const char *tr_parquet_etag(const struct tr_parquet_file *f) { return f->internal->store ? f->internal->etag : ""; }

enum tr_status tr_parquet_bytes(const struct tr_parquet_file *f, int64_t offset, void *to, size_t n,
                                struct tr_error *err) {
  return pq_pread(f, offset, to, n, err);
}

void tr_parquet_close(struct tr_parquet_file *f) {
  if (!f) return;
  struct tr_parquet_file_int *in = f->internal;
  if (in->fd >= 0) close(in->fd);
  drop_tail(in);
  tr_store_unref(in->store);
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
