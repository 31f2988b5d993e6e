/* A folder as a store.
 *
 * An object is a file, written under a temporary name and renamed; put-if-absent is link(2), which fails when the name
 * is taken, whoever else tries at the same moment. Put-if-match holds a lock of the folder while it compares and
 * renames, so it is exact among processes that come through here. The etag is size, modification time and inode: every
 * put makes a new file, so two versions differ in their inode or their time. Nothing is synced to disk: objects survive
 * the death of any process, not that of the machine.
 */
#include "data/store/store_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OURS ".terality-" /* names of temporary files and of the lock begin so and are never listed */

struct folder {
  struct tr_store store;
  char *root;
};

/* root/key; false when that is longer than a path may be. */
static bool path_of(const struct tr_store *s, const char *key, char out[PATH_MAX]) {
  int n = snprintf(out, PATH_MAX, "%s/%s", ((const struct folder *)s)->root, key);
  return n > 0 && n < PATH_MAX;
}

TR_MUST_USE static enum tr_status os_error(const struct tr_store *s, const char *key, struct tr_error *err) {
  int why = errno == ENOTDIR ? ENOENT : errno == EPERM ? EACCES : errno;
  return tr_fail_os(err, why, "%s/%s", s->url, key);
}

static void make_etag(const struct stat *st, char out[TR_ETAG_SIZE]) {
  snprintf(out, TR_ETAG_SIZE, "\"%llx-%llx-%llx\"", (unsigned long long)st->st_size,
           (unsigned long long)st->st_mtim.tv_sec * 1000000000ull + (unsigned long long)st->st_mtim.tv_nsec,
           (unsigned long long)st->st_ino);
}

static void describe(const struct stat *st, struct tr_object *out) {
  out->size = st->st_size;
  out->modified_ns = st->st_mtim.tv_sec * 1000000000ll + st->st_mtim.tv_nsec;
  make_etag(st, out->etag);
}

static enum tr_status file_stat(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                                struct tr_error *err) {
  char path[PATH_MAX];
  struct stat st;
  (void)ctx;
  errno = ENAMETOOLONG;
  if (!path_of(s, key, path) || stat(path, &st) != 0) return os_error(s, key, err);
  if (S_ISDIR(st.st_mode)) return tr_fail_os(err, ENOENT, "%s/%s", s->url, key);
  describe(&st, out);
  return TR_OK;
}

/* Makes the folders above `path`. */
static bool make_parents(char *path) {
  for (char *p = path + 1; (p = strchr(p, '/')); p++) {
    *p = 0;
    bool good = mkdir(path, 0777) == 0 || errno == EEXIST;
    *p = '/';
    if (!good) return false;
  }
  return true;
}

/* A temporary file beside `path`; its folder is made when it is not there. */
static int open_temporary(char *path, char out[PATH_MAX]) {
  static _Atomic unsigned counter;
  int folder = (int)(strrchr(path, '/') - path);
  for (int tries = 0; tries < 100; tries++) {
    int n = snprintf(out, PATH_MAX, "%.*s/" OURS "%ld-%u.tmp", folder, path, (long)getpid(), counter++);
    if (n < 0 || n >= PATH_MAX) {
      errno = ENAMETOOLONG;
      return -1;
    }
    int fd = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return fd;
    if (errno == ENOENT ? !make_parents(path) : errno != EEXIST) return -1;
  }
  return -1;
}

static bool write_all(int fd, const void *data, size_t bytes, int64_t offset) {
  const char *p = data;
  while (bytes) {
    ssize_t n = pwrite(fd, p, bytes < (1u << 30) ? bytes : 1u << 30, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    p += n;
    offset += n;
    bytes -= (size_t)n;
  }
  return true;
}

/* Puts the temporary file under its name. */
TR_MUST_USE static enum tr_status rename_if(struct tr_store *s, const char *key, const char *temporary,
                                            const char *path, const struct tr_put *put, struct tr_error *err) {
  struct stat st;
  char lock_path[PATH_MAX], etag[TR_ETAG_SIZE];
  if (put->mode == TR_PUT_IF_ABSENT) {
    if (link(temporary, path) != 0) return os_error(s, key, err);
    unlink(temporary);
    return TR_OK;
  }
  if (put->mode == TR_PUT_ANY) return rename(temporary, path) == 0 ? TR_OK : os_error(s, key, err);
  errno = ENAMETOOLONG;
  int lock = path_of(s, OURS "lock", lock_path) ? open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
  if (lock < 0) return os_error(s, key, err);
  enum tr_status result = TR_OK;
  if (flock(lock, LOCK_EX) != 0 || stat(path, &st) != 0) result = os_error(s, key, err);
  else if (make_etag(&st, etag), strcmp(etag, put->etag) != 0)
    result = tr_fail_os(err, ESTALE, "%s/%s: changed meanwhile", s->url, key);
  else if (rename(temporary, path) != 0) result = os_error(s, key, err);
  close(lock);
  return result;
}

static enum tr_status file_put(struct tr_store *s, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                               struct tr_error *err) {
  char path[PATH_MAX], temporary[PATH_MAX];
  struct stat st;
  (void)ctx;
  errno = ENAMETOOLONG;
  int fd = path_of(s, key, path) ? open_temporary(path, temporary) : -1;
  if (fd < 0) return os_error(s, key, err);
  bool good = write_all(fd, put->data, put->bytes, 0) && fstat(fd, &st) == 0;
  good = close(fd) == 0 && good;
  enum tr_status status = good ? rename_if(s, key, temporary, path, put, err) : os_error(s, key, err);
  if (status != TR_OK) unlink(temporary);
  else make_etag(&st, put->new_etag);
  return status;
}

static enum tr_status file_remove(struct tr_store *s, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  char path[PATH_MAX];
  (void)ctx;
  errno = ENAMETOOLONG;
  if (!path_of(s, key, path)) return os_error(s, key, err);
  return unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR ? TR_OK : os_error(s, key, err);
}

/* One folder of a listing: its entries in the byte order of the keys they stand for. */
struct walk {
  struct tr_store *store;
  struct tr_page *page;
  const char *prefix;
  char delimiter;
  struct tr_ctx *ctx;
};

TR_MUST_USE static enum tr_status visit_entry(struct walk *w, const char *key, bool is_folder, const struct stat *st,
                                              struct tr_error *err) {
  struct tr_object *o;
  TR_TRY(tr_page_add(w->page, key, strlen(key), &o, err));
  o->prefix = is_folder;
  if (!is_folder) describe(st, o);
  return TR_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Names in `folder` (a key ending in '/', or ""), folders with a '/' behind, sorted; malloc'ed. */
static char **folder_names(const char *path, int *n) {
  DIR *d = opendir(path);
  char **names = NULL;
  int room = 0;
  *n = 0;
  if (!d) return NULL;
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strncmp(e->d_name, OURS, strlen(OURS)) == 0)
      continue;
    if (fstatat(dirfd(d), e->d_name, &st, 0) != 0) continue;
    if (*n == room) {
      char **grown = realloc(names, (size_t)(room = room ? 2 * room : 32) * sizeof *names);
      if (!grown) break;
      names = grown;
    }
    size_t length = strlen(e->d_name);
    char *name = malloc(length + 2);
    if (!name) break;
    memcpy(name, e->d_name, length + 1);
    if (S_ISDIR(st.st_mode)) memcpy(name + length, "/", 2);
    names[(*n)++] = name;
  }
  closedir(d);
  if (names) qsort(names, (size_t)*n, sizeof *names, by_text);
  return names;
}

/* Lists what lies in `folder`, as far as its keys begin with the prefix. */
TR_MUST_USE static enum tr_status walk_folder(struct walk *w, const char *folder, int depth, struct tr_error *err) {
  char path[PATH_MAX], key[PATH_MAX];
  struct stat st;
  int n;
  if (depth > 200 || !path_of(w->store, folder, path))
    return tr_fail_os(err, ENAMETOOLONG, "%s/%s", w->store->url, folder);
  if (w->ctx) TR_TRY(tr_ctx_check(w->ctx));
  char **names = folder_names(path, &n);
  if (!names && errno != ENOENT && errno != ENOTDIR && access(path, R_OK) != 0) return os_error(w->store, folder, err);
  enum tr_status status = TR_OK;
  size_t prefix = strlen(w->prefix);
  for (int i = 0; i < n && status == TR_OK; i++) {
    int length = snprintf(key, sizeof key, "%s%s", folder, names[i]);
    if (length < 0 || length >= PATH_MAX) continue;
    bool is_folder = key[length - 1] == '/', inside = strncmp(key, w->prefix, prefix) == 0;
    if (is_folder && inside && w->delimiter == '/' && (size_t)length > prefix)
      status = visit_entry(w, key, true, NULL, err);
    else if (is_folder && (inside || strncmp(key, w->prefix, (size_t)length) == 0))
      status = walk_folder(w, key, depth + 1, err);
    else if (!is_folder && inside && path_of(w->store, key, path) && stat(path, &st) == 0)
      status = visit_entry(w, key, false, &st, err);
  }
  for (int i = 0; i < n; i++) free(names[i]);
  free(names);
  return status;
}

static enum tr_status file_list(struct tr_store *s, const char *prefix, char delimiter, const char *from,
                                struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  struct walk w = {s, page, prefix, delimiter, ctx};
  (void)from;
  return walk_folder(&w, "", 0, err);
}

TR_MUST_USE static enum tr_status read_parts(struct tr_store *s, const struct tr_store_io *io, int fd,
                                             struct tr_error *err) {
  int64_t at = io->offset;
  for (int i = 0; i < io->n_parts; i++) {
    char *to = io->parts[i].to;
    for (size_t left = io->parts[i].bytes; to && left;) {
      ssize_t n = pread(fd, to, left < (1u << 30) ? left : 1u << 30, at + (int64_t)(io->parts[i].bytes - left));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error(s, io->key, err);
      if (n == 0)
        return tr_fail_os(err, ESTALE, "%s/%s: ends before byte %lld", s->url, io->key,
                          (long long)io->offset + (long long)io->bytes);
      to += n;
      left -= (size_t)n;
    }
    at += (int64_t)io->parts[i].bytes;
  }
  return TR_OK;
}

TR_MUST_USE static enum tr_status file_read(struct tr_store *s, const struct tr_store_io *io, struct tr_error *err) {
  char path[PATH_MAX], etag[TR_ETAG_SIZE];
  struct stat st;
  errno = ENAMETOOLONG;
  int fd = path_of(s, io->key, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return os_error(s, io->key, err);
  enum tr_status status = TR_OK;
  if (fstat(fd, &st) != 0) status = os_error(s, io->key, err);
  else if (S_ISDIR(st.st_mode)) status = tr_fail_os(err, ENOENT, "%s/%s", s->url, io->key);
  else if (io->etag && (make_etag(&st, etag), strcmp(etag, io->etag) != 0))
    status = tr_fail_os(err, ESTALE, "%s/%s: changed meanwhile", s->url, io->key);
  else status = read_parts(s, io, fd, err);
  close(fd);
  return status;
}

/* An upload is the path of its temporary file. */
static enum tr_status file_begin(struct tr_store *s, const char *key, char **upload, struct tr_error *err) {
  char path[PATH_MAX], temporary[PATH_MAX];
  errno = ENAMETOOLONG;
  int fd = path_of(s, key, path) ? open_temporary(path, temporary) : -1;
  if (fd < 0) return os_error(s, key, err);
  close(fd);
  *upload = strdup(temporary);
  return *upload ? TR_OK : tr_fail_memory(err, strlen(temporary));
}

static void file_submit(struct tr_store *s, struct tr_store_io *io) {
  struct tr_error err;
  enum tr_status st = TR_OK;
  if (io->kind == TR_IO_READ) {
    st = file_read(s, io, &err);
  } else {
    int fd = open(io->upload, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write_all(fd, io->data, io->bytes, io->offset);
    if (!good) st = os_error(s, io->key, &err);
    if (fd >= 0 && close(fd) != 0 && good) st = os_error(s, io->key, &err);
    snprintf(io->new_etag, sizeof io->new_etag, "%d", io->number);
  }
  io->done(io, st, &err);
}

static void file_cancel(struct tr_store *s, struct tr_store_io *io) { (void)s, (void)io; }

static enum tr_status file_end(struct tr_store *s, const char *key, const char *upload,
                               const char (*etags)[TR_ETAG_SIZE], int n_parts, struct tr_ctx *ctx,
                               char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  char path[PATH_MAX];
  struct stat st;
  (void)etags, (void)n_parts, (void)ctx;
  errno = ENAMETOOLONG;
  if (!path_of(s, key, path) || stat(upload, &st) != 0 || rename(upload, path) != 0) return os_error(s, key, err);
  make_etag(&st, etag_out);
  return TR_OK;
}

static void file_abort(struct tr_store *s, const char *key, const char *upload) {
  (void)s, (void)key;
  unlink(upload);
}

static enum tr_status file_make(struct tr_store *s, struct tr_ctx *ctx, struct tr_error *err) {
  char path[PATH_MAX];
  (void)ctx;
  errno = ENAMETOOLONG;
  return path_of(s, "", path) && make_parents(path) ? TR_OK : os_error(s, "", err);
}

static void file_free(struct tr_store *s) {
  free(((struct folder *)s)->root);
  free(s);
}

static const struct tr_store_ops OPS = {file_make, file_stat,  file_put,    file_list,   file_remove, file_begin,
                                        file_end,  file_abort, file_submit, file_cancel, file_free};

enum tr_status tr_file_store_open(const char *root, struct tr_store **out, struct tr_error *err) {
  struct folder *f = calloc(1, sizeof *f);
  size_t n = strlen(root);
  while (n > 1 && root[n - 1] == '/') n--;
  char *mine = strndup(root, n);
  if (!f || !mine) {
    free(f);
    free(mine);
    return tr_fail_memory(err, n);
  }
  if (strcmp(mine, "/") == 0) mine[0] = 0;
  f->root = mine;
  *out = &f->store;
  enum tr_status st = tr_store_init(&f->store, &OPS, strdup(mine), NULL, err);
  if (st != TR_OK) file_free(&f->store);
  return st;
}
