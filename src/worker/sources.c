/* The sources of a query, as its manifest names them:
 *
 *   {"version":1,"sources":[
 *     {"kind":"parquet","objects":[{"url":"s3://bucket/key","etag":"…","size":1}…],"storage_options":"<sealed JSON>"},
 *     {"kind":"block","objects":[{"key":"uploads/…","etag":"…","size":1}…]}]}
 *
 * The order of sources is the plan's. Pieces are counted over the objects of a source: row groups, or segments. An
 * object that is not the one the client saw (etag, size) is an error that names it: the plan's counts are of that one.
 */
#include "base/mem.h"
#include "data/exec/exec.h"
#include "data/format/block/block.h"
#include "worker/worker.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct object {
  char *name; /* url or key */
  char etag[TR_ETAG_SIZE];
  int64_t size;
  struct tr_block_segment *segments;
  int n_segments;
};

struct source {
  bool parquet;
  struct object *objects;
  int n_objects;
  bool opened;
  struct tr_rel *rel; /* parquet */
  struct tr_store_option *options;
  json_t *option_values; /* holds the texts of options */
  int n_options;
};

struct tr_sources {
  struct tr_store *store;
  struct source *sources;
  int n;
};

static enum tr_status damaged(struct tr_error *err, const char *what) {
  return tr_fail(err, TR_EXC_VALUE, "the manifest of the query is damaged: %s", what);
}

static enum tr_status read_object(const json_t *o, bool parquet, struct object *out, struct tr_error *err) {
  const char *name = json_string_value(json_object_get(o, parquet ? "url" : "key"));
  const char *etag = json_string_value(json_object_get(o, "etag"));
  const json_t *size = json_object_get(o, "size");
  if (!name || !etag || strlen(etag) >= sizeof out->etag || !json_is_integer(size)) return damaged(err, "an object");
  if (!parquet && strncmp(name, "uploads/", 8) != 0) return damaged(err, "an upload that lies elsewhere");
  out->name = strdup(name);
  snprintf(out->etag, sizeof out->etag, "%s", etag);
  out->size = json_integer_value(size);
  return out->name ? TR_OK : tr_fail_memory(err, strlen(name));
}

static enum tr_status read_options(const char *sealed, const struct tr_seal_hooks *hooks, struct source *out,
                                   struct tr_error *err) {
  char *text;
  size_t n;
  TR_TRY(tr_unseal_bytes(sealed, strlen(sealed), hooks, &text, &n, err));
  out->option_values = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
  tr_crypto_wipe(text, n);
  free(text);
  if (!json_is_object(out->option_values)) return damaged(err, "storage options");
  out->options = calloc(json_object_size(out->option_values) + 1, sizeof *out->options);
  if (!out->options) return tr_fail_memory(err, n);
  const char *name;
  json_t *value;
  json_object_foreach(out->option_values, name, value) {
    if (!json_is_string(value)) return damaged(err, "a storage option");
    out->options[out->n_options++] = (struct tr_store_option){name, json_string_value(value)};
  }
  return TR_OK;
}

static enum tr_status read_source(const json_t *o, const struct tr_seal_hooks *hooks, struct source *out,
                                  struct tr_error *err) {
  const char *kind = json_string_value(json_object_get(o, "kind"));
  const json_t *objects = json_object_get(o, "objects"), *sealed = json_object_get(o, "storage_options");
  size_t n = json_array_size(objects);
  if (!kind || (strcmp(kind, "parquet") != 0 && strcmp(kind, "block") != 0) || n == 0) return damaged(err, "a source");
  out->parquet = kind[0] == 'p';
  out->objects = calloc(n, sizeof *out->objects);
  if (!out->objects) return tr_fail_memory(err, n);
  for (size_t i = 0; i < n; i++, out->n_objects++)
    TR_TRY(read_object(json_array_get(objects, i), out->parquet, &out->objects[i], err));
  return json_is_string(sealed) ? read_options(json_string_value(sealed), hooks, out, err) : TR_OK;
}

enum tr_status tr_sources_open(const char *manifest, size_t n, struct tr_store *store,
                               const struct tr_seal_hooks *hooks, struct tr_sources **out, struct tr_error *err) {
  json_t *root = json_loadb(manifest, n, JSON_REJECT_DUPLICATES, NULL);
  const json_t *list = json_object_get(root, "sources");
  struct tr_sources *s = calloc(1, sizeof *s);
  enum tr_status st = TR_OK;
  if (!s) TR_GOTO(st, tr_fail_memory(err, sizeof *s));
  s->store = store;
  if (json_integer_value(json_object_get(root, "version")) != 1 || !json_is_array(list))
    TR_GOTO(st, damaged(err, "its version"));
  s->sources = calloc(json_array_size(list) + 1, sizeof *s->sources);
  if (!s->sources) TR_GOTO(st, tr_fail_memory(err, n));
  for (size_t i = 0; i < json_array_size(list); i++, s->n++)
    TR_GOTO(st, read_source(json_array_get(list, i), hooks, &s->sources[i], err));
  *out = s;
  s = NULL;
done:
  /* A source that was half read is freed too. */
  if (s && s->sources && s->n < (int)json_array_size(list)) s->n++;
  tr_sources_free(s);
  json_decref(root);
  return st;
}

void tr_sources_free(struct tr_sources *s) {
  if (!s) return;
  for (int i = 0; s->sources && i < s->n; i++) {
    struct source *source = &s->sources[i];
    for (int k = 0; source->objects && k < source->n_objects; k++) {
      free(source->objects[k].name);
      free(source->objects[k].segments);
    }
    free(source->objects);
    free(source->options);
    json_decref(source->option_values);
    tr_rel_unref(source->rel);
  }
  free(s->sources);
  free(s);
}

static enum tr_status changed(const struct object *o, struct tr_error *err) {
  return tr_fail_os(err, ESTALE, "%s was changed since the query began", o->name);
}

/* Where the files of a source lie: a store and a key, or, with a store of NULL, a path of this machine. */
struct places {
  struct tr_store **stores;
  char **keys;
  const char **paths; /* key or path */
};

/* The object is still what the client saw. */
static enum tr_status find_parquet(const struct source *source, int i, struct tr_ctx *ctx, struct places *to,
                                   struct tr_error *err) {
  const struct object *o = &source->objects[i];
  struct tr_object now;
  TR_TRY(tr_store_open_object(o->name, source->options, source->n_options, &to->stores[i], &to->keys[i], err));
  TR_TRY(tr_store_stat(to->stores[i], to->keys[i], ctx, &now, err));
  if (now.size != o->size || strcmp(now.etag, o->etag) != 0) return changed(o, err);
  to->paths[i] = to->keys[i];
  if (tr_store_is_remote_url(o->name)) return TR_OK;
  tr_store_unref(to->stores[i]);
  to->stores[i] = NULL;
  to->paths[i] = o->name;
  return TR_OK;
}

static enum tr_status open_parquet(struct source *source, struct tr_ctx *ctx, struct tr_error *err) {
  size_t n = (size_t)source->n_objects;
  struct places to = {calloc(n, sizeof *to.stores), calloc(n, sizeof *to.keys), calloc(n, sizeof *to.paths)};
  enum tr_status st = to.stores && to.keys && to.paths ? TR_OK : tr_fail_memory(err, n * sizeof *to.keys);
  for (int i = 0; st == TR_OK && i < source->n_objects; i++) st = find_parquet(source, i, ctx, &to, err);
  if (st == TR_OK) st = tr_exec_parquet_objects(to.stores, to.paths, source->n_objects, ctx, &source->rel, err);
  for (size_t i = 0; i < n; i++) {
    if (to.stores) tr_store_unref(to.stores[i]);
    if (to.keys) free(to.keys[i]);
  }
  free(to.stores);
  free(to.keys);
  free(to.paths);
  return st;
}

static enum tr_status open_block(struct tr_store *store, struct object *o, struct tr_ctx *ctx, struct tr_error *err) {
  uint8_t tail[TR_BLOCK_TAIL_BYTES];
  int64_t offset, bytes;
  void *index = NULL;
  if (o->size < TR_BLOCK_TAIL_BYTES) return tr_fail(err, TR_EXC_VALUE, "%s is no block", o->name);
  struct tr_range range = {o->size - TR_BLOCK_TAIL_BYTES, TR_BLOCK_TAIL_BYTES, tail};
  TR_TRY(tr_store_read(store, o->name, o->etag, &range, 1, ctx, err));
  TR_TRY(tr_block_tail(tail, o->size, o->name, &offset, &bytes, err));
  TR_TRY(tr_mem_alloc((size_t)bytes, &index, err));
  struct tr_range whole = {offset, bytes, index};
  enum tr_status st = tr_store_read(store, o->name, o->etag, &whole, 1, ctx, err);
  if (st == TR_OK) st = tr_block_index(index, bytes, tail, o->name, &o->segments, &o->n_segments, err);
  tr_mem_free(index, (size_t)bytes);
  return st;
}

static enum tr_status open_source(struct tr_sources *s, struct source *source, struct tr_ctx *ctx,
                                  struct tr_error *err) {
  if (source->opened) return TR_OK;
  if (source->parquet) TR_TRY(open_parquet(source, ctx, err));
  for (int i = 0; !source->parquet && i < source->n_objects; i++)
    if (!source->objects[i].segments) TR_TRY(open_block(s->store, &source->objects[i], ctx, err));
  source->opened = true;
  return TR_OK;
}

struct frames {
  struct tr_frame **list;
  int n, room;
};

static enum tr_status add_frame(struct frames *to, struct tr_frame *f, struct tr_error *err) {
  if (to->n == to->room) {
    int room = to->room ? to->room * 2 : 16;
    struct tr_frame **list = realloc(to->list, sizeof *list * (size_t)room);
    if (!list) {
      tr_frame_unref(f);
      return tr_fail_memory(err, sizeof *list * (size_t)room);
    }
    to->list = list;
    to->room = room;
  }
  to->list[to->n++] = f;
  return TR_OK;
}

/* Frames of segments [from, to) of one object: they lie one after another. */
static enum tr_status read_segments(struct tr_store *store, struct tr_ctx *ctx, const struct object *o, int64_t from,
                                    int64_t to, const bool *need, struct frames *out, struct tr_error *err) {
  int64_t begin = o->segments[from].offset, bytes = o->segments[to - 1].offset + o->segments[to - 1].bytes - begin;
  void *data;
  if (!bytes) return TR_OK;
  TR_TRY(tr_mem_alloc((size_t)bytes, &data, err));
  struct tr_range range = {begin, bytes, data};
  enum tr_status st = tr_store_read(store, o->name, o->etag, &range, 1, ctx, err);
  struct tr_block_cursor at = {data, bytes, o->name};
  while (st == TR_OK && at.left) {
    struct tr_frame *f;
    st = tr_block_next(ctx, &at, need, -1, &f, err);
    if (st == TR_OK && f) st = add_frame(out, f, err);
  }
  tr_mem_free(data, (size_t)bytes);
  return st;
}

static enum tr_status join_frames(struct tr_ctx *ctx, const struct frames *in, struct tr_frame **out,
                                  struct tr_error *err) {
  int64_t n_rows = 0;
  int n_cols = in->list[0]->n_cols;
  struct tr_array **cols = calloc((size_t)n_cols + 1, sizeof *cols), **parts = calloc((size_t)in->n, sizeof *parts);
  enum tr_status st = cols && parts ? TR_OK : tr_fail_memory(err, sizeof *cols * (size_t)n_cols);
  for (int i = 0; i < in->n; i++) n_rows += in->list[i]->n_rows;
  for (int c = 0; c < n_cols && st == TR_OK; c++) {
    for (int i = 0; i < in->n; i++) parts[i] = in->list[i]->cols[c];
    if (parts[0]) st = tr_array_concat(ctx, parts, in->n, &cols[c], err);
  }
  if (st == TR_OK) st = tr_frame_new(n_rows, n_cols, cols, out, err);
  for (int c = 0; cols && c < n_cols; c++) tr_array_unref(cols[c]);
  free(cols);
  free(parts);
  return st;
}

static enum tr_status read_blocks(struct tr_sources *s, struct tr_ctx *ctx, const struct source *source, int64_t from,
                                  int64_t to, const bool *need, struct tr_frame **out, struct tr_error *err) {
  struct frames list = {0};
  enum tr_status st = TR_OK;
  int64_t first = 0;
  for (int i = 0; st == TR_OK && i < source->n_objects; i++) {
    const struct object *o = &source->objects[i];
    int64_t a = from > first ? from - first : 0, b = to - first < o->n_segments ? to - first : o->n_segments;
    if (a < b) st = read_segments(s->store, ctx, o, a, b, need, &list, err);
    first += o->n_segments;
  }
  if (st == TR_OK && to > first)
    st = tr_fail(err, TR_EXC_VALUE, "pieces %lld to %lld of %lld were asked for", (long long)from, (long long)to,
                 (long long)first);
  if (st == TR_OK && !list.n) st = tr_fail(err, TR_EXC_VALUE, "%s holds no frame", source->objects[0].name);
  if (st == TR_OK) st = join_frames(ctx, &list, out, err);
  for (int i = 0; i < list.n; i++) tr_frame_unref(list.list[i]);
  free(list.list);
  return st;
}

static enum tr_status read_pieces(void *arg, struct tr_ctx *ctx, int32_t no, int32_t from, int32_t to, const bool *need,
                                  struct tr_frame **out, struct tr_error *err) {
  struct tr_sources *s = arg;
  int64_t n = 0;
  if (no < 0 || no >= s->n) return damaged(err, "a source is missing");
  struct source *source = &s->sources[no];
  TR_TRY(open_source(s, source, ctx, err));
  if (source->parquet) {
    const struct tr_parquet_source *p = source->rel->source;
    for (int f = 0; f < p->n_files; f++) n += p->files[f]->n_row_groups;
    return tr_exec_read_row_groups(ctx, source->rel, from, to < 0 ? (int32_t)n : to, need, out, err);
  }
  for (int i = 0; i < source->n_objects; i++) n += source->objects[i].n_segments;
  return read_blocks(s, ctx, source, from, to < 0 ? n : to, need, out, err);
}

struct tr_task_sources tr_sources_reader(struct tr_sources *s) {
  return (struct tr_task_sources){s, read_pieces};
}
