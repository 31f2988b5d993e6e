/* The file under the reader, its buffers, and the sets of texts that mean missing, true or false. */
#include "base/mem.h"
#include "data/format/csv/csv_int.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum tr_status tr_csv_open(const char *path, struct tr_csv_file *f, struct tr_error *err) {
  f->path = path;
  f->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (f->fd < 0) return tr_fail_os(err, errno, "%s", path);
  struct stat st;
  if (fstat(f->fd, &st) != 0) {
    int e = errno;
    tr_csv_close(f);
    return tr_fail_os(err, e, "%s", path);
  }
  enum tr_status status = TR_OK;
  if (S_ISDIR(st.st_mode)) {
    status = tr_fail_os(err, EISDIR, "%s", path);
  } else if (!S_ISREG(st.st_mode)) {
    status = tr_unsupported(err, "read_csv: %s is not a regular file", path);
  }
  if (status != TR_OK) tr_csv_close(f);
  f->size = st.st_size;
  f->mtime_s = st.st_mtim.tv_sec;
  f->mtime_ns = st.st_mtim.tv_nsec;
  return status;
}

enum tr_status tr_csv_open_object(struct tr_store *store, const char *key, struct tr_ctx *ctx, struct tr_csv_file *f,
                                  struct tr_error *err) {
  size_t bytes;
  f->path = key;
  f->fd = -1;
  TR_TRY(tr_store_get(store, key, INT64_MAX, ctx, &f->memory, &bytes, &f->room, NULL, err));
  f->size = (int64_t)bytes;
  return TR_OK;
}

void tr_csv_close(struct tr_csv_file *f) {
  tr_mem_free(f->memory, f->room);
  f->memory = NULL;
  if (f->fd >= 0) close(f->fd);
  f->fd = -1;
}

static enum tr_status changed(const struct tr_csv_file *f, struct tr_error *err) {
  return tr_fail(err, TR_EXC_RUNTIME, "read_csv: %s changed while it was read", f->path);
}

enum tr_status tr_csv_pread(const struct tr_csv_file *f, int64_t at, int64_t n, char *to, struct tr_error *err) {
  if (f->memory) {
    if (n > f->size - at) return changed(f, err);
    memcpy(to, f->memory + at, (size_t)n);
    return TR_OK;
  }
  while (n > 0) {
    ssize_t got = pread(f->fd, to, (size_t)n, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tr_fail_os(err, errno, "%s", f->path);
    if (got == 0) return changed(f, err);
    to += got;
    at += got;
    n -= got;
  }
  return TR_OK;
}

enum tr_status tr_csv_unchanged(const struct tr_csv_file *f, struct tr_error *err) {
  struct stat st;
  if (f->memory) return TR_OK;
  if (fstat(f->fd, &st) != 0) return tr_fail_os(err, errno, "%s", f->path);
  if (st.st_size != f->size || st.st_mtim.tv_sec != f->mtime_s || st.st_mtim.tv_nsec != f->mtime_ns)
    return changed(f, err);
  return TR_OK;
}

enum tr_status tr_csv_buffer_reserve(struct tr_csv_text_buffer *b, size_t text_bytes, struct tr_error *err) {
  size_t want = text_bytes + 4 * TR_CSV_PAD;
  if (want <= b->bytes) return TR_OK;
  void *p;
  TR_TRY(tr_mem_alloc(want, &p, err));
  memset(p, 0, TR_CSV_PAD);
  tr_mem_free(b->data, b->bytes);
  b->data = p;
  b->bytes = want;
  return TR_OK;
}

void tr_csv_buffer_drop(struct tr_csv_text_buffer *b) {
  tr_mem_free(b->data, b->bytes);
  b->data = NULL;
  b->bytes = 0;
}

enum tr_status tr_csv_texts_add(struct tr_csv_texts *t, const char *s, size_t n, struct tr_error *err) {
  if (n > INT32_MAX || tr_csv_texts_has(t, s, (uint32_t)n)) return TR_OK;
  t->first[n ? (uint8_t)*s : 256] = true;
  if (n == 0) return TR_OK;
  if (t->n == t->capacity) {
    size_t old = (size_t)t->capacity, want = old ? 2 * old : 32;
    void *p = t->text, *q = t->size;
    TR_TRY(tr_mem_realloc(&p, old * sizeof *t->text, want * sizeof *t->text, err));
    t->text = p;
    enum tr_status st = tr_mem_realloc(&q, old * sizeof *t->size, want * sizeof *t->size, err);
    if (st != TR_OK) { /* shrinking back cannot be relied on: remember nothing */
      tr_mem_free(t->text, want * sizeof *t->text);
      tr_mem_free(t->size, old * sizeof *t->size);
      *t = (struct tr_csv_texts){0};
      return st;
    }
    t->size = q;
    t->capacity = (int)want;
  }
  void *copy;
  TR_TRY(tr_mem_alloc(n, &copy, err));
  memcpy(copy, s, n);
  t->text[t->n] = copy;
  t->size[t->n++] = (int32_t)n;
  return TR_OK;
}

void tr_csv_texts_drop(struct tr_csv_texts *t) {
  for (int i = 0; i < t->n; i++) tr_mem_free((void *)(uintptr_t)t->text[i], (size_t)t->size[i]);
  tr_mem_free(t->text, (size_t)t->capacity * sizeof *t->text);
  tr_mem_free(t->size, (size_t)t->capacity * sizeof *t->size);
  *t = (struct tr_csv_texts){0};
}

bool tr_csv_texts_find(const struct tr_csv_texts *t, const char *s, uint32_t n) {
  for (int i = 0; i < t->n; i++) {
    if ((uint32_t)t->size[i] == n && memcmp(t->text[i], s, n) == 0) return true;
  }
  return false;
}
