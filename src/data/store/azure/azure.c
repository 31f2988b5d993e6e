/* Azure Blob, and Data Lake Gen2 through its blob endpoint: the operations of the store. See store_int.h for their
 * contract. Nothing is repeated here; the retry filter in front does that. An upload is a random text that its blocks'
 * ids begin with, so that two uploads of one key do not mix; blocks never committed are dropped by the service.
 */
#include "base/mem.h"
#include "data/store/azure/azure_int.h"
#include "net/xml.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tr_status az_make(struct tr_store *store, struct tr_ctx *ctx, struct tr_error *err) {
  struct azure *s = (struct azure *)store;
  struct az_call c;
  struct tr_http_reply reply;
  char code[80];
  az_call_begin(&c, "PUT", NULL);
  az_call_query(&c, "restype", "container");
  enum tr_status st = az_call_send(s, &c, NULL, 0, AZ_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) {
    az_error_code(&reply, code, sizeof code);
    if (strcmp(code, "ContainerAlreadyExists") != 0) st = az_failure(s, NULL, &reply, false, err);
  }
  tr_http_reply_free(&reply);
  az_call_free(&c);
  return st;
}

static enum tr_status az_stat(struct tr_store *store, const char *key, struct tr_ctx *ctx, struct tr_object *out,
                              struct tr_error *err) {
  struct azure *s = (struct azure *)store;
  struct az_call c;
  struct tr_http_reply reply;
  az_call_begin(&c, "HEAD", key);
  enum tr_status st = az_call_send(s, &c, NULL, 0, AZ_SHORT_MS, ctx, &reply, err);
  const char *folder = st == TR_OK ? tr_http_reply_header(&reply, "x-ms-meta-hdi_isfolder") : NULL;
  if (st == TR_OK && reply.status >= 300) {
    st = az_failure(s, key, &reply, false, err);
  } else if (folder && strcmp(folder, "true") == 0) { /* a folder of Data Lake Gen2 */
    st = tr_fail_os(err, ENOENT, "%s/%s", s->store.url, key);
  } else if (st == TR_OK) {
    const char *length = tr_http_reply_header(&reply, "content-length");
    const char *modified = tr_http_reply_header(&reply, "last-modified");
    out->size = length ? strtoll(length, NULL, 10) : 0;
    out->modified_ns = modified ? tr_time_parse(modified) : 0;
    tr_http_io_etag(&reply, out->etag);
  }
  tr_http_reply_free(&reply);
  az_call_free(&c);
  return st;
}

static enum tr_status az_put(struct tr_store *store, const char *key, struct tr_put *put, struct tr_ctx *ctx,
                             struct tr_error *err) {
  struct azure *s = (struct azure *)store;
  struct az_call c;
  struct tr_http_reply reply;
  az_call_begin(&c, "PUT", key);
  if (put->mode == TR_PUT_IF_ABSENT) az_call_header(&c, "if-none-match", "*");
  if (put->mode == TR_PUT_IF_MATCH) az_call_header(&c, "if-match", put->etag);
  az_call_header(&c, "x-ms-blob-type", "BlockBlob");
  enum tr_status st = az_call_send(s, &c, put->data, put->bytes, AZ_LONG_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = az_failure(s, key, &reply, put->mode == TR_PUT_IF_ABSENT, err);
  else if (st == TR_OK) tr_http_io_etag(&reply, put->new_etag);
  tr_http_reply_free(&reply);
  az_call_free(&c);
  return st;
}

static enum tr_status az_remove(struct tr_store *store, const char *key, struct tr_ctx *ctx, struct tr_error *err) {
  struct azure *s = (struct azure *)store;
  struct az_call c;
  struct tr_http_reply reply;
  char code[80];
  az_call_begin(&c, "DELETE", key);
  enum tr_status st = az_call_send(s, &c, NULL, 0, AZ_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) {
    az_error_code(&reply, code, sizeof code);
    if (reply.status != 404 || strcmp(code, "ContainerNotFound") == 0) st = az_failure(s, key, &reply, false, err);
  }
  tr_http_reply_free(&reply);
  az_call_free(&c);
  return st;
}

/* --- listing --- */

struct listing {
  struct azure *s;
  struct tr_page *page;
  struct tr_object current;
  bool folder;
  char *key; /* of `current`; in the page's arena */
};

TR_MUST_USE static enum tr_status end_entry(struct listing *l, bool prefix, struct tr_error *err) {
  struct tr_object *o, made = l->current;
  const char *key = l->key;
  bool hidden = !key || !*key || l->folder;
  l->current = (struct tr_object){0};
  l->key = NULL;
  l->folder = false;
  if (hidden) return TR_OK;
  TR_TRY(tr_page_add(l->page, key, strlen(key), &o, err));
  made.key = o->key;
  made.prefix = prefix;
  *o = made;
  return TR_OK;
}

static enum tr_status list_element(void *arg, const char *parent, const char *name, const char *text,
                                   struct tr_error *err) {
  struct listing *l = arg;
  bool of_blob = strcmp(parent, "Blob") == 0, of_prefix = strcmp(parent, "BlobPrefix") == 0;
  size_t root = strlen(l->s->root);
  if ((of_blob || of_prefix) && strcmp(name, "Name") == 0) {
    if (strncmp(text, l->s->root, root) != 0) return TR_OK;
    l->key = tr_arena_strndup(&l->page->arena, text + root, strlen(text + root));
    if (!l->key) return tr_fail_memory(err, strlen(text));
  } else if (strcmp(name, "Content-Length") == 0) {
    l->current.size = strtoll(text, NULL, 10);
  } else if (strcmp(name, "Etag") == 0) {
    snprintf(l->current.etag, sizeof l->current.etag, *text == '"' ? "%s" : "\"%s\"", text);
  } else if (strcmp(name, "Last-Modified") == 0) {
    l->current.modified_ns = tr_time_parse(text);
  } else if (strcmp(name, "hdi_isfolder") == 0) {
    l->folder = strcmp(text, "true") == 0;
  } else if (strcmp(name, "NextMarker") == 0 && *text) {
    l->page->next = tr_arena_strndup(&l->page->arena, text, strlen(text));
    if (!l->page->next) return tr_fail_memory(err, strlen(text));
  } else if (strcmp(name, "Blob") == 0 || strcmp(name, "BlobPrefix") == 0) {
    return end_entry(l, name[4] != 0, err);
  }
  return TR_OK;
}

static enum tr_status az_list(struct tr_store *store, const char *prefix, char delimiter, const char *from,
                              struct tr_ctx *ctx, struct tr_page *page, struct tr_error *err) {
  struct azure *s = (struct azure *)store;
  struct az_call c;
  struct tr_http_reply reply;
  struct listing l = {.s = s, .page = page};
  struct tr_text whole = {0};
  char delimiter_text[2] = {delimiter, 0};
  tr_text_add_format(&whole, "%s%s", s->root, prefix);
  az_call_begin(&c, "GET", NULL);
  az_call_query(&c, "comp", "list");
  if (delimiter) az_call_query(&c, "delimiter", delimiter_text);
  az_call_query(&c, "include", "metadata");
  if (from) az_call_query(&c, "marker", from);
  if (whole.length) az_call_query(&c, "prefix", whole.data);
  az_call_query(&c, "restype", "container");
  memset(&reply, 0, sizeof reply);
  enum tr_status st = tr_text_check(&whole, err);
  if (st == TR_OK) st = az_call_send(s, &c, NULL, 0, AZ_SHORT_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = az_failure(s, NULL, &reply, false, err);
  else if (st == TR_OK) st = tr_xml_walk(reply.body, reply.body_bytes, list_element, &l, err);
  tr_text_free(&whole);
  tr_http_reply_free(&reply);
  az_call_free(&c);
  return st;
}

/* --- uploads --- */

static enum tr_status az_upload_begin(struct tr_store *store, const char *key, char **upload, struct tr_error *err) {
  uint8_t random[8];
  (void)store, (void)key;
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  char *text = malloc(TR_HEX_SIZE(sizeof random));
  if (!text) return tr_fail_memory(err, sizeof random);
  tr_hex_encode(random, sizeof random, text);
  *upload = text;
  return TR_OK;
}

/* Ids of one blob's blocks must have one length. */
static void block_id(const char *upload, int number, char out[64]) {
  char text[40];
  int n = snprintf(text, sizeof text, "%.16s-%05d", upload, number);
  tr_base64_encode(text, (size_t)n, out);
}

static enum tr_status az_upload_end(struct tr_store *store, const char *key, const char *upload,
                                    const char (*etags)[TR_ETAG_SIZE], int n_parts, struct tr_ctx *ctx,
                                    char etag_out[TR_ETAG_SIZE], struct tr_error *err) {
  struct azure *s = (struct azure *)store;
  struct az_call c;
  struct tr_http_reply reply;
  struct tr_text body = {0};
  char id[64];
  (void)etags;
  tr_text_add_str(&body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
  for (int i = 0; i < n_parts; i++) {
    block_id(upload, i + 1, id);
    tr_text_add_format(&body, "<Latest>%s</Latest>", id);
  }
  tr_text_add_str(&body, "</BlockList>");
  az_call_begin(&c, "PUT", key);
  az_call_query(&c, "comp", "blocklist");
  memset(&reply, 0, sizeof reply);
  enum tr_status st = tr_text_check(&body, err);
  if (st == TR_OK) st = az_call_send(s, &c, body.data, body.length, AZ_LONG_MS, ctx, &reply, err);
  if (st == TR_OK && reply.status >= 300) st = az_failure(s, key, &reply, false, err);
  else if (st == TR_OK) tr_http_io_etag(&reply, etag_out);
  tr_text_free(&body);
  tr_http_reply_free(&reply);
  az_call_free(&c);
  return st;
}

static void az_upload_abort(struct tr_store *store, const char *key, const char *upload) {
  (void)store, (void)key, (void)upload;
}

/* --- bytes under way --- */

TR_MUST_USE static enum tr_status sign_io(struct azure *s, const struct tr_store_io *io, struct az_call *c,
                                          struct tr_http_request *request, struct tr_error *err) {
  bool reads = io->kind == TR_IO_READ;
  char id[64];
  if (reads) {
    tr_http_io_range(io, c->range);
    az_call_header(c, "range", c->range);
    if (io->etag) az_call_header(c, "if-match", io->etag);
  } else {
    block_id(io->upload, io->number, id);
    az_call_query(c, "blockid", id);
    az_call_query(c, "comp", "block");
  }
  return az_call_sign(s, c, reads ? NULL : io->data, reads ? 0 : io->bytes, request, err);
}

static enum tr_status io_failure(struct tr_store *store, const char *key, const struct tr_http_reply *reply,
                                 struct tr_error *err) {
  return az_failure((struct azure *)store, key, reply, false, err);
}

static void az_submit(struct tr_store *store, struct tr_store_io *io) {
  struct azure *s = (struct azure *)store;
  struct tr_http_request request;
  struct tr_error err;
  struct az_call c;
  az_call_begin(&c, io->kind == TR_IO_READ ? "GET" : "PUT", io->key);
  enum tr_status st = sign_io(s, io, &c, &request, &err);
  if (st == TR_OK) st = tr_http_io_start(store, io, s->http, &request, io_failure, &err);
  az_call_free(&c);
  if (st != TR_OK) io->done(io, st, &err);
}

static void az_free(struct tr_store *store) {
  struct azure *s = (struct azure *)store;
  if (s->key) tr_crypto_wipe(s->key, s->key_room);
  tr_mem_free(s->key, s->key_room);
  if (s->sas) tr_crypto_wipe(s->sas, strlen(s->sas));
  free(s->sas);
  free(s->account);
  free(s->endpoint);
  free(s->container);
  free(s->root);
  free(s);
}

static const struct tr_store_ops OPS = {az_make,   az_stat,           az_put,        az_list,
                                        az_remove, az_upload_begin,   az_upload_end, az_upload_abort,
                                        az_submit, tr_http_io_cancel, az_free};

/* "container[@host]/root" */
TR_MUST_USE static enum tr_status set_up(struct azure *s, const char *rest, const struct tr_store_option *options,
                                         int n, struct tr_error *err) {
  size_t authority = strcspn(rest, "/"), container = strcspn(rest, "@/");
  const char *root = rest + authority + (rest[authority] == '/');
  size_t length = strlen(root);
  while (length && root[length - 1] == '/') length--;
  if (!container || strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789-$") < container)
    return tr_fail(err, TR_EXC_VALUE, "%s: not the name of a container", s->store.url);
  s->container = strndup(rest, container);
  s->root = calloc(1, length + 2);
  char *host = rest[container] == '@' ? strndup(rest + container + 1, authority - container - 1) : strdup("");
  enum tr_status st = s->container && s->root && host ? TR_OK : tr_fail_memory(err, length);
  if (st == TR_OK) {
    memcpy(s->root, root, length);
    if (length) s->root[length] = '/';
    st = az_identify(s, host, options, n, err);
  }
  free(host);
  return st == TR_OK ? tr_http_shared(&s->http, err) : st;
}

enum tr_status tr_azure_store_open(const char *scheme, const char *rest, const struct tr_store_option *options, int n,
                                   struct tr_store **out, struct tr_error *err) {
  struct azure *s = calloc(1, sizeof *s);
  char *url = malloc(strlen(scheme) + strlen(rest) + 4);
  if (!s || !url) {
    free(s);
    free(url);
    return tr_fail_memory(err, strlen(rest));
  }
  sprintf(url, "%s://%s", scheme, rest);
  for (size_t end = strlen(url); url[end - 1] == '/' && end > strlen(scheme) + 4; end--) url[end - 1] = 0;
  enum tr_status st = tr_store_init(&s->store, &OPS, url, NULL, err);
  s->store.remote = true;
  if (st == TR_OK) st = set_up(s, rest, options, n, err);
  if (st != TR_OK) {
    free(url);
    az_free(&s->store);
    return st;
  }
  *out = &s->store;
  return TR_OK;
}
