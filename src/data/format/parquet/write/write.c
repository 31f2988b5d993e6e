/* tr_parquet_write: row groups and columns are encoded in parallel; whoever finishes a chunk writes all chunks whose
 * turn has come, so that writing overlaps encoding and few encoded chunks wait in memory.
 *
 * The file is written under a temporary name beside the target and renamed over it at the end. Symbolic links are
 * followed and the mode of a replaced file is kept, as if it had been written in place. Only where the folder takes no
 * new file, or the target is no regular file, is it written directly.
 */
#include "data/format/parquet/write/encode_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_GROUP_ROWS = 1 << 20 };

struct sink {
  const char *path;         /* as given, for errors */
  char target[PATH_MAX];    /* links followed */
  char temporary[PATH_MAX]; /* "" = written directly */
  int fd;
  int64_t size;
  struct tr_store_writer *object; /* in place of all that */
};

struct write {
  const struct tr_frame *frame;
  struct pq_target *targets;
  struct pq_encoder *encoders;
  struct pq_written *chunks;
  int64_t *offsets, *rows_of;
  int64_t n_chunks, row_group_rows, next;
  int n_row_groups, n_cols, codec_id;
  pthread_mutex_t lock; /* of sink, next and the chunks' `ready` */
  bool writing;
  struct sink sink;
  size_t targets_bytes, encoders_bytes, chunks_bytes, offsets_bytes, rows_bytes;
  int threads;
};

static enum tr_status sink_put(struct sink *s, const void *data, size_t n, struct tr_error *err) {
  const uint8_t *p = data;
  if (s->object) {
    s->size += (int64_t)n;
    return tr_store_writer_add(s->object, data, n, err);
  }
  while (n > 0) {
    ssize_t done = write(s->fd, p, n < (1u << 30) ? n : 1u << 30);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return tr_fail_os(err, errno, "%s", s->path);
    p += done;
    n -= (size_t)done;
    s->size += done;
  }
  return TR_OK;
}

static bool temporary_name(struct sink *s) {
  static _Atomic unsigned counter;
  const char *slash = strrchr(s->target, '/');
  int folder = slash ? (int)(slash - s->target) + 1 : 0;
  int n = snprintf(s->temporary, sizeof s->temporary, "%.*s.terality-%ld-%u.tmp", folder, s->target, (long)getpid(),
                   counter++);
  return n > 0 && n < (int)sizeof s->temporary;
}

/* Opens the temporary file, or the target itself where that is the only way. */
static enum tr_status sink_open(struct sink *s, const char *path, struct tr_error *err) {
  struct stat st;
  s->path = path;
  s->fd = -1;
  s->temporary[0] = 0;
  bool exists = stat(path, &st) == 0;
  if (!exists && errno != ENOENT) return tr_fail_os(err, errno, "%s", path);
  if (exists && S_ISDIR(st.st_mode)) return tr_fail_os(err, EISDIR, "%s", path);
  if (exists && access(path, W_OK) != 0) return tr_fail_os(err, errno, "%s", path);
  bool direct = (exists && !S_ISREG(st.st_mode)) ||
                !(exists ? realpath(path, s->target) != NULL : strlen(path) < sizeof s->target);
  if (!exists && !direct) memcpy(s->target, path, strlen(path) + 1);
  if (!exists) {
    struct stat link;
    direct |= lstat(path, &link) == 0; /* a link to a file that is not there yet */
  }
  for (int tries = 0; !direct && s->fd < 0 && tries < 100; tries++) {
    if (!temporary_name(s)) break;
    s->fd = open(s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (s->fd < 0 && errno != EEXIST) break;
  }
  if (s->fd >= 0) {
    if (exists) (void)!fchmod(s->fd, st.st_mode & 07777);
    return TR_OK;
  }
  int why = errno;
  s->temporary[0] = 0;
  if (!direct && !(exists && (why == EACCES || why == EPERM || why == EROFS))) return tr_fail_os(err, why, "%s", path);
  s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return s->fd < 0 ? tr_fail_os(err, errno, "%s", path) : TR_OK;
}

static enum tr_status sink_commit(struct sink *s, struct tr_error *err) {
  int fd = s->fd;
  s->fd = -1;
  if (s->object) {
    struct tr_store_writer *object = s->object;
    s->object = NULL;
    return tr_store_writer_commit(object, NULL, NULL, err);
  }
  if (close(fd) != 0) return tr_fail_os(err, errno, "%s", s->path);
  if (s->temporary[0] && rename(s->temporary, s->target) != 0) return tr_fail_os(err, errno, "%s", s->path);
  s->temporary[0] = 0;
  return TR_OK;
}

static void sink_drop(struct sink *s) {
  tr_store_writer_abort(s->object);
  if (s->fd >= 0) close(s->fd);
  if (s->temporary[0]) unlink(s->temporary);
}

static enum tr_status choose_target(struct pq_target *t, struct tr_array *a, const char *name, struct tr_error *err) {
  t->name = name;
  t->array = a;
  t->dtype = a->dtype.kind == TR_CATEGORY ? a->dict->dtype : a->dtype;
  t->text = t->dtype.kind == TR_STR;
  t->category = t->text && a->dtype.kind == TR_CATEGORY;
  switch (t->dtype.kind) {
  case TR_BOOL: t->type = PQ_BOOLEAN; break;
  case TR_I8:
  case TR_I16:
  case TR_I32:
  case TR_U8:
  case TR_U16:
  case TR_U32: t->type = PQ_INT32; break;
  case TR_F32: t->type = PQ_FLOAT; break;
  case TR_F64: t->type = PQ_DOUBLE; break;
  case TR_STR: t->type = PQ_BYTE_ARRAY; break;
  case TR_I64:
  case TR_U64:
  case TR_DATETIME:
  case TR_TIMEDELTA: t->type = PQ_INT64; break;
  default: return tr_unsupported(err, "writing column '%s' of dtype %s to Parquet", name, tr_dtype_name(a->dtype));
  }
  return TR_OK;
}

static enum tr_status prepare(struct write *w, struct tr_ctx *ctx, const char *const *names,
                              const struct tr_parquet_write_options *opt, struct tr_error *err) {
  const struct tr_frame *f = w->frame;
  w->n_cols = f->n_cols;
  w->row_group_rows = opt && opt->row_group_rows > 0 ? opt->row_group_rows : ROW_GROUP_ROWS;
  int64_t groups = f->n_rows ? (f->n_rows - 1) / w->row_group_rows + 1 : 0;
  if (groups > INT32_MAX || (f->n_cols && groups > (1 << 26) / f->n_cols))
    return tr_unsupported(err, "writing %lld row groups to one Parquet file", (long long)groups);
  w->n_row_groups = (int)groups;
  w->n_chunks = groups * f->n_cols;
  w->targets_bytes = (size_t)(f->n_cols + 1) * sizeof *w->targets;
  w->encoders_bytes = (size_t)ctx->threads * sizeof *w->encoders;
  w->chunks_bytes = (size_t)(w->n_chunks + 1) * sizeof *w->chunks;
  w->offsets_bytes = (size_t)(w->n_chunks + 1) * sizeof *w->offsets;
  w->rows_bytes = (size_t)(groups + 1) * sizeof *w->rows_of;
  TR_TRY(tr_mem_calloc(w->targets_bytes, (void **)&w->targets, err));
  TR_TRY(tr_mem_calloc(w->encoders_bytes, (void **)&w->encoders, err));
  w->threads = ctx->threads;
  TR_TRY(tr_mem_calloc(w->chunks_bytes, (void **)&w->chunks, err));
  TR_TRY(tr_mem_calloc(w->offsets_bytes, (void **)&w->offsets, err));
  TR_TRY(tr_mem_calloc(w->rows_bytes, (void **)&w->rows_of, err));
  static const int ids[] = {[TR_CODEC_NONE] = PQ_C_NONE,
                            [TR_CODEC_SNAPPY] = PQ_C_SNAPPY,
                            [TR_CODEC_GZIP] = PQ_C_GZIP,
                            [TR_CODEC_ZSTD] = PQ_C_ZSTD};
  w->codec_id = opt ? ids[opt->codec] : PQ_C_SNAPPY;
  for (int t = 0; t < ctx->threads; t++) {
    w->encoders[t].codec_id = w->codec_id;
    w->encoders[t].codec_level = opt ? opt->codec_level : 0;
  }
  for (int i = 0; i < f->n_cols; i++) TR_TRY(choose_target(&w->targets[i], f->cols[i], names[i], err));
  for (int64_t g = 0; g < groups; g++) {
    int64_t left = f->n_rows - g * w->row_group_rows;
    w->rows_of[g] = left < w->row_group_rows ? left : w->row_group_rows;
  }
  return TR_OK;
}

/* Writes chunks that are ready and whose turn it is, unless another thread does. Keeps their metadata, frees their
 * bytes. */
static enum tr_status flush(struct write *w, struct tr_error *err) {
  enum tr_status st = TR_OK;
  pthread_mutex_lock(&w->lock);
  while (!w->writing && st == TR_OK && w->next < w->n_chunks && w->chunks[w->next].ready) {
    struct pq_written *c = &w->chunks[w->next];
    w->writing = true;
    w->offsets[w->next] = w->sink.size;
    pthread_mutex_unlock(&w->lock);
    st = sink_put(&w->sink, c->out.data, c->out.size, err);
    size_t size = c->out.size;
    pq_out_free(&c->out);
    c->out.size = size;
    pthread_mutex_lock(&w->lock);
    w->writing = false;
    w->next++;
  }
  pthread_mutex_unlock(&w->lock);
  return st;
}

static enum tr_status encode_task(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct write *w = arg;
  for (int64_t i = begin; i < end; i++) {
    int64_t g = i / w->n_cols;
    struct pq_written *c = &w->chunks[i];
    TR_TRY(pq_encode_chunk(&w->encoders[thread], &w->targets[i % w->n_cols], g * w->row_group_rows, w->rows_of[g], c,
                           err));
    pthread_mutex_lock(&w->lock);
    c->ready = true;
    pthread_mutex_unlock(&w->lock);
    TR_TRY(flush(w, err));
  }
  return TR_OK;
}

static bool needs_arrow_schema(const struct tr_frame *f) {
  for (int i = 0; i < f->n_cols; i++) {
    struct tr_dtype d = f->cols[i]->dtype;
    if (d.kind == TR_CATEGORY) d = f->cols[i]->dict->dtype.kind == TR_STR ? d : f->cols[i]->dict->dtype;
    if (d.kind == TR_CATEGORY || d.kind == TR_TIMEDELTA || d.kind == TR_STR) return true;
  }
  return false;
}

static enum tr_status write_footer(struct write *w, const char *const *names,
                                   const struct tr_parquet_write_options *opt, struct tr_error *err) {
  struct pq_footer f = {.targets = w->targets,
                        .n_cols = w->n_cols,
                        .n_row_groups = w->n_row_groups,
                        .codec_id = w->codec_id,
                        .n_rows = w->frame->n_rows,
                        .chunks = w->chunks,
                        .offsets = w->offsets,
                        .frame = w->frame,
                        .names = names,
                        .pandas_metadata = opt ? opt->pandas_metadata : NULL,
                        .created_by = opt ? opt->created_by : NULL,
                        .arrow_schema = needs_arrow_schema(w->frame)};
  struct pq_out o = {0};
  pq_put_footer(&o, &f, w->rows_of);
  uint32_t n = (uint32_t)o.size;
  pq_out_bytes(&o, &n, 4);
  pq_out_bytes(&o, "PAR1", 4);
  enum tr_status st = o.failed                 ? tr_fail_memory(err, o.size)
                      : o.size - 8 > INT32_MAX ? tr_unsupported(err, "a Parquet footer of more than 2 GiB")
                                               : sink_put(&w->sink, o.data, o.size, err);
  pq_out_free(&o);
  return st;
}

static void drop(struct write *w) {
  sink_drop(&w->sink);
  for (int t = 0; w->encoders && t < w->threads; t++) pq_encoder_free(&w->encoders[t]);
  for (int64_t i = 0; w->chunks && i < w->n_chunks; i++) pq_written_free(&w->chunks[i]);
  tr_mem_free(w->targets, w->targets_bytes);
  tr_mem_free(w->encoders, w->encoders_bytes);
  tr_mem_free(w->chunks, w->chunks_bytes);
  tr_mem_free(w->offsets, w->offsets_bytes);
  tr_mem_free(w->rows_of, w->rows_bytes);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

enum tr_status tr_parquet_write(struct tr_ctx *ctx, const char *path, const struct tr_frame *f,
                                const char *const *names, const struct tr_parquet_write_options *opt,
                                struct tr_error *err) {
  struct write *w = calloc(1, sizeof *w);
  if (!w) return tr_fail_memory(err, sizeof *w);
  pthread_mutex_init(&w->lock, NULL);
  w->frame = f;
  w->sink.fd = -1;
  enum tr_status st;
  TR_GOTO(st, prepare(w, ctx, names, opt, err));
  if (opt && opt->store) TR_GOTO(st, tr_store_writer_new(opt->store, path, &w->sink.object, err));
  else TR_GOTO(st, sink_open(&w->sink, path, err));
  TR_GOTO(st, sink_put(&w->sink, "PAR1", 4, err));
  TR_GOTO(st, tr_parallel_for(ctx, w->n_chunks, 1, encode_task, w, err));
  TR_GOTO(st, write_footer(w, names, opt, err));
  TR_GOTO(st, sink_commit(&w->sink, err));
done:
  drop(w);
  return st;
}
