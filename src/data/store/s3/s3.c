/* S3 and what speaks like it: the operations of the store. See store_int.h for their contract.
 *
 * Nothing is repeated here: an answer that may be another one later is EAGAIN, and the retry filter in front does the
 * rest. Conditions are S3's own: If-None-Match: * and If-Match on PUT, If-Match on GET.
 */
#include "base/mem.h"
#include "data/store/s3/s3_int.h"
#include "net/url.h"
#include "net/xml.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tr_status s3_make(struct tr_store *store, struct tr_ctx *ctx, struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  char body[200] = "", code[64];
  if (!s->endpoint && strcmp(s->region, "us-east-1") != 0)
    snprintf(body, sizeof body,
             "<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>",
             s->region);
  s3_call_begin(&c, "PUT", NULL);
  enum tr_status st = s3_call_send(s, &c, body, strlen(body), S3_LONG_MS, ctx, &reply, err);
  bool there = st == TR_OK && reply.status == 409 &&
               tr_xml_find(reply.body, reply.body_bytes, "Code", code, sizeof code) &&
               (strcmp(code, "BucketAlreadyOwnedByYou") == 0 || strcmp(code, "BucketAlreadyExists") == 0);
  if (st == TR_OK && reply.status >= 300 && !there) st = s3_failure(s, NULL, &reply, false, err);
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

/* A failed HEAD has no body, so the cause is asked for by a GET of nothing. */
TR_MUST_USE static enum tr_status explain_head(struct s3 *s, const char *key, struct tr_ctx *ctx,
                                               struct tr_error *err) {
  struct s3_call c;
  struct tr_http_reply reply;
  s3_call_begin(&c, "GET", key);
  s3_call_header(&c, "range", "bytes=0-0");
  enum tr_status st = s3_call_send(s, &c, NULL, 0, S3_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = s3_failure(s, key, &reply, false, err);
  else if (st == TR_OK) st = tr_fail_os(err, EAGAIN, "%s/%s: HEAD fails where GET works", s->store.url, key);
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

static enum tr_status s3_stat(struct tr_store *store, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                              struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  s3_call_begin(&c, "HEAD", key);
  enum tr_status st = s3_call_send(s, &c, NULL, 0, S3_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) {
    st = explain_head(s, key, ctx, err);
  } else if (st == TR_OK) {
    const char *length = tr_http_reply_header(&reply, "content-length");
    const char *modified = tr_http_reply_header(&reply, "last-modified");
    out->size = length ? strtoll(length, NULL, 10) : 0;
    out->modified_ns = modified ? tr_time_parse(modified) : 0;
    tr_http_io_etag(&reply, out->etag);
  }
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

static enum tr_status s3_put(struct tr_store *store, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                             struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  s3_call_begin(&c, "PUT", key);
  if (put->mode == TR_PUT_IF_ABSENT) s3_call_header(&c, "if-none-match", "*");
  if (put->mode == TR_PUT_IF_MATCH) s3_call_header(&c, "if-match", put->etag);
  enum tr_status st = s3_call_send(s, &c, put->data, put->bytes, S3_LONG_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = s3_failure(s, key, &reply, put->mode == TR_PUT_IF_ABSENT, err);
  else if (st == TR_OK) tr_http_io_etag(&reply, put->new_etag);
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

static enum tr_status s3_remove(struct tr_store *store, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  s3_call_begin(&c, "DELETE", key);
  enum tr_status st = s3_call_send(s, &c, NULL, 0, S3_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) {
    st = s3_failure(s, key, &reply, false, err);
    char code[64];
    bool bucket = tr_xml_find(reply.body, reply.body_bytes, "Code", code, sizeof code) && !strcmp(code, "NoSuchBucket");
    if (reply.status == 404 && !bucket) st = TR_OK;
  }
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

/* --- listing --- */

struct listing {
  struct s3 *s;
  struct tr_page *page;
  bool escaped, more;
  struct tr_text text;
  struct tr_object current;
  char *key; /* of `current`; in the page's arena */
};

/* A key as listed, without the root in front. */
TR_MUST_USE static enum tr_status take_key(struct listing *l, const char *text, struct tr_error *err) {
  tr_text_clear(&l->text);
  if (!l->escaped) {
    tr_text_add_str(&l->text, text);
  } else {
    char *copy = tr_arena_strndup(&l->page->arena, text, strlen(text));
    if (!copy) return tr_fail_memory(err, strlen(text));
    for (char *p = copy; *p; p++)
      if (*p == '+') *p = ' ';
    tr_url_unescape(&l->text, copy, strlen(copy));
  }
  TR_TRY(tr_text_check(&l->text, err));
  const char *found = tr_text_str(&l->text);
  size_t root = strlen(l->s->root);
  bool inside = strncmp(found, l->s->root, root) == 0;
  l->key = inside ? tr_arena_strndup(&l->page->arena, found + root, l->text.length - root) : NULL;
  return inside && !l->key ? tr_fail_memory(err, l->text.length) : TR_OK;
}

static enum tr_status list_element(void *arg, const char *parent, const char *name, const char *text,
                                   struct tr_error *err) {
  struct listing *l = arg;
  bool in_object = strcmp(parent, "Contents") == 0, in_prefix = strcmp(parent, "CommonPrefixes") == 0;
  if (strcmp(name, "EncodingType") == 0) l->escaped = strcmp(text, "url") == 0;
  else if (strcmp(name, "IsTruncated") == 0) l->more = strcmp(text, "true") == 0;
  else if (strcmp(name, "NextContinuationToken") == 0) {
    if (!(l->page->next = tr_arena_strndup(&l->page->arena, text, strlen(text))))
      return tr_fail_memory(err, strlen(text));
  } else if ((in_object && strcmp(name, "Key") == 0) || (in_prefix && strcmp(name, "Prefix") == 0)) {
    return take_key(l, text, err);
  } else if (in_object && strcmp(name, "Size") == 0) {
    l->current.size = strtoll(text, NULL, 10);
  } else if (in_object && strcmp(name, "ETag") == 0) {
    snprintf(l->current.etag, sizeof l->current.etag, "%s", text);
  } else if (in_object && strcmp(name, "LastModified") == 0) {
    l->current.modified_ns = tr_time_parse(text);
  } else if (strcmp(name, "Contents") == 0 || strcmp(name, "CommonPrefixes") == 0) {
    struct tr_object *o;
    struct tr_object made = l->current;
    made.key = l->key;
    made.prefix = name[2] == 'm';
    l->current = (struct tr_object){0};
    l->key = NULL;
    if (!made.key || !*made.key) return TR_OK; /* the root itself, as some tools make it */
    TR_TRY(tr_page_add(l->page, made.key, strlen(made.key), &o, err));
    made.key = o->key;
    *o = made;
  }
  return TR_OK;
}

static enum tr_status s3_list(struct tr_store *store, const char *prefix, char delimiter, const char *from,
                              struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  struct listing l = {.s = s, .page = page};
  struct tr_text whole = {0};
  tr_text_add_format(&whole, "%s%s", s->root, prefix);
  s3_call_begin(&c, "GET", NULL);
  if (from) s3_call_query(&c, "continuation-token", from);
  if (delimiter) s3_call_query(&c, "delimiter", (char[]){delimiter, 0});
  s3_call_query(&c, "encoding-type", "url");
  s3_call_query(&c, "list-type", "2");
  s3_call_query(&c, "prefix", tr_text_str(&whole));
  memset(&reply, 0, sizeof reply);
  enum tr_status st = tr_text_check(&whole, err);
  if (st == TR_OK) st = s3_call_send(s, &c, NULL, 0, S3_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = s3_failure(s, NULL, &reply, false, err);
  /* The encoding is told after the keys by some servers, so it is looked for first. */
  char encoding[16];
  if (st == TR_OK)
    l.escaped = tr_xml_find(reply.body, reply.body_bytes, "EncodingType", encoding, sizeof encoding) &&
                strcmp(encoding, "url") == 0;
  if (st == TR_OK) st = tr_xml_walk(reply.body, reply.body_bytes, list_element, &l, err);
  if (!l.more) page->next = NULL;
  tr_text_free(&l.text);
  tr_text_free(&whole);
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

/* --- uploads --- */

static enum tr_status s3_upload_begin(struct tr_store *store, const char *key, char **upload, struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  char id[2048];
  s3_call_begin(&c, "POST", key);
  tr_text_add_str(&c.query, "uploads=");
  enum tr_status st = s3_call_send(s, &c, NULL, 0, S3_SHORT_MS, NULL, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = s3_failure(s, key, &reply, false, err);
  else if (st == TR_OK && !tr_xml_find(reply.body, reply.body_bytes, "UploadId", id, sizeof id))
    st = tr_fail_os(err, EAGAIN, "%s/%s: the store began no upload", s->store.url, key);
  else if (st == TR_OK && !(*upload = strdup(id))) st = tr_fail_memory(err, strlen(id));
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

static enum tr_status s3_upload_end(struct tr_store *store, const char *key, const char *upload,
                                    const char (*etags)[TR_ETAG_SIZE], int n_parts, struct tr_ctx *ctx,
                                    char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  struct tr_text body = {0};
  char code[64];
  tr_text_add_str(&body, "<CompleteMultipartUpload>");
  for (int i = 0; i < n_parts; i++)
    tr_text_add_format(&body, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i + 1, etags[i]);
  tr_text_add_str(&body, "</CompleteMultipartUpload>");
  s3_call_begin(&c, "POST", key);
  s3_call_query(&c, "uploadId", upload);
  memset(&reply, 0, sizeof reply);
  enum tr_status st = tr_text_check(&body, err);
  if (st == TR_OK) st = s3_call_send(s, &c, body.data, body.length, S3_LONG_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = s3_failure(s, key, &reply, false, err);
  else if (st == TR_OK && tr_xml_find(reply.body, reply.body_bytes, "Code", code, sizeof code))
    st = tr_fail_os(err, EAGAIN, "%s/%s: the upload was not completed (%s)", s->store.url, key, code); /* 200 <Error> */
  else if (st == TR_OK) tr_xml_find(reply.body, reply.body_bytes, "ETag", etag_out, TR_ETAG_SIZE);
  tr_text_free(&body);
  tr_http_reply_free(&reply);
  s3_call_free(&c);
  return st;
}

static void s3_upload_abort(struct tr_store *store, const char *key, const char *upload) {
  struct s3 *s = (struct s3 *)store;
  struct s3_call c;
  struct tr_http_reply reply;
  s3_call_begin(&c, "DELETE", key);
  s3_call_query(&c, "uploadId", upload);
  (void)!s3_call_send(s, &c, NULL, 0, S3_SHORT_MS, NULL, &reply, NULL);
  tr_http_reply_free(&reply);
  s3_call_free(&c);
}

/* --- bytes under way --- */

TR_MUST_USE static enum tr_status sign_io(struct s3 *s, const struct tr_store_io *io, struct s3_call *c,
                                          struct tr_http_request *request, struct tr_error *err) {
  bool reads = io->kind == TR_IO_READ;
  char number[16];
  if (reads) {
    tr_http_io_range(io, c->range);
    s3_call_header(c, "range", c->range);
    if (io->etag) s3_call_header(c, "if-match", io->etag);
  } else {
    snprintf(number, sizeof number, "%d", io->number);
    s3_call_query(c, "partNumber", number);
    s3_call_query(c, "uploadId", io->upload);
  }
  return s3_call_sign(s, c, reads ? NULL : io->data, reads ? 0 : io->bytes, request, err);
}

static enum tr_status io_failure(struct tr_store *store, const char *key, const struct tr_http_reply *reply,
                                 struct tr_error *err) {
  return s3_failure((struct s3 *)store, key, reply, false, err);
}

static void s3_submit(struct tr_store *store, struct tr_store_io *io) {
  struct s3 *s = (struct s3 *)store;
  struct tr_http_request request;
  struct tr_error err;
  struct s3_call c;
  s3_call_begin(&c, io->kind == TR_IO_READ ? "GET" : "PUT", io->key);
  enum tr_status st = sign_io(s, io, &c, &request, &err);
  if (st == TR_OK) st = tr_http_io_start(store, io, s->http, &request, io_failure, &err);
  s3_call_free(&c);
  if (st != TR_OK) io->done(io, st, &err);
}

static void s3_free(struct tr_store *store) {
  struct s3 *s = (struct s3 *)store;
  tr_aws_identity_free(s->identity);
  free(s->bucket);
  free(s->root);
  free(s->endpoint);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

static const struct tr_store_ops OPS = {s3_make,   s3_stat,           s3_put,        s3_list,
                                        s3_remove, s3_upload_begin,   s3_upload_end, s3_upload_abort,
                                        s3_submit, tr_http_io_cancel, s3_free};

TR_MUST_USE static enum tr_status set_endpoint(struct s3 *s, const struct tr_store_option *options, int n,
                                               struct tr_error *err) {
  const char *endpoint = tr_aws_identity_endpoint(s->identity),
             *style = tr_store_option(options, n, "addressing_style");
  const char *region = tr_aws_identity_region(s->identity);
  struct tr_url url;
  snprintf(s->region, sizeof s->region, "%s", region ? region : "us-east-1");
  s->secure = true;
  s->path_style = endpoint != NULL || strchr(s->bucket, '.');
  if (style && strcmp(style, "auto") != 0) s->path_style = strcmp(style, "path") == 0;
  if (!endpoint) return TR_OK;
  TR_TRY(tr_url_parse(endpoint, &url, err));
  s->secure = url.scheme_length == 5;
  size_t length = (size_t)(url.path - endpoint);
  if (url.path_length > 1) return tr_fail(err, TR_EXC_VALUE, "an S3 endpoint has no path: %s", endpoint);
  s->endpoint = strndup(endpoint, length);
  return s->endpoint ? TR_OK : tr_fail_memory(err, length);
}

TR_MUST_USE static enum tr_status set_up(struct s3 *s, const char *rest, const struct tr_store_option *options, int n,
                                         struct tr_error *err) {
  size_t bucket = strcspn(rest, "/");
  const char *anonymous = tr_store_option(options, n, "anonymous"), *only = tr_store_option(options, n, "credentials");
  const struct tr_aws_options who = {.access_key = tr_store_option(options, n, "access_key"),
                                     .secret_key = tr_store_option(options, n, "secret_key"),
                                     .session_token = tr_store_option(options, n, "session_token"),
                                     .profile = tr_store_option(options, n, "profile"),
                                     .region = tr_store_option(options, n, "region"),
                                     .endpoint = tr_store_option(options, n, "endpoint"),
                                     .anonymous = anonymous && strcmp(anonymous, "true") == 0,
                                     .only = !only                            ? TR_AWS_ANY
                                             : strcmp(only, "container") == 0 ? TR_AWS_CONTAINER
                                                                              : TR_AWS_INSTANCE};
  if (only && strcmp(only, "container") != 0 && strcmp(only, "instance") != 0)
    return tr_fail(err, TR_EXC_VALUE, "the store's option credentials is container or instance, not %s", only);
  if (!bucket || bucket > 255 ||
      strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") < bucket)
    return tr_fail(err, TR_EXC_VALUE, "s3://%s: not the name of a bucket", rest);
  const char *root = rest + bucket + (rest[bucket] == '/');
  size_t length = strlen(root);
  while (length && root[length - 1] == '/') length--;
  s->bucket = strndup(rest, bucket);
  s->root = calloc(1, length + 2);
  if (!s->bucket || !s->root) return tr_fail_memory(err, strlen(rest));
  memcpy(s->root, root, length);
  if (length) s->root[length] = '/';
  TR_TRY(tr_http_shared(&s->http, err));
  TR_TRY(tr_aws_identity_new(&who, "S3", &s->identity, err));
  return set_endpoint(s, options, n, err);
}

enum tr_status tr_s3_store_open(const char *rest, const struct tr_store_option *options, int n, struct tr_store **out,
                                struct tr_error *err) {
  struct s3 *s = calloc(1, sizeof *s);
  char *url = malloc(strlen(rest) + 6);
  if (!s || !url) {
    free(s);
    free(url);
    return tr_fail_memory(err, strlen(rest));
  }
  sprintf(url, "s3://%s", rest);
  for (size_t end = strlen(url); url[end - 1] == '/' && end > 6; end--) url[end - 1] = 0;
  pthread_mutex_init(&s->lock, NULL);
  enum tr_status st = tr_store_init(&s->store, &OPS, url, NULL, err);
  s->store.remote = true;
  if (st == TR_OK) st = set_up(s, rest, options, n, err);
  if (st != TR_OK) {
    free(url);
    s3_free(&s->store);
    return st;
  }
  *out = &s->store;
  return TR_OK;
}
