/* Inside of the Azure Blob store: a container and a prefix in it, and requests to it. */
#pragma once
#include "data/store/http_io.h"
#include "net/crypto.h"

enum { AZ_LONG_MS = 120000, AZ_SHORT_MS = 30000, AZ_HEADERS = 12, AZ_QUERY = 8 };

struct azure {
  struct tr_store store;
  struct tr_http *http;
  char *account, *endpoint, *container, *root; /* root "" or ending in '/' */
  char *sas;                                   /* without '?'; NULL = none */
  uint8_t *key;                                /* decoded account key; NULL = none */
  size_t key_bytes, key_room;
};

/* A request being put together. az_call_free in any case. */
struct az_call {
  const char *method, *key; /* key NULL: the container */
  struct tr_text url, path, authorization;
  struct {
    const char *name, *value;
  } query[AZ_QUERY]; /* in the order of names */
  int n_query;
  struct tr_http_header headers[AZ_HEADERS];
  int n_headers;
  char date[40], range[80];
};

void az_call_begin(struct az_call *c, const char *method, const char *key);
void az_call_query(struct az_call *c, const char *name, const char *value);
void az_call_header(struct az_call *c, const char *name, const char *value);
TR_MUST_USE enum tr_status az_call_sign(struct azure *s, struct az_call *c, const void *body, size_t bytes,
                                        struct tr_http_request *request, struct tr_error *err);
void az_call_free(struct az_call *c);
TR_MUST_USE enum tr_status az_call_send(struct azure *s, struct az_call *c, const void *body, size_t bytes,
                                        int64_t deadline_ms, struct tr_ctx *ctx, struct tr_http_reply *reply,
                                        struct tr_error *err);
TR_MUST_USE enum tr_status az_failure(const struct azure *s, const char *key, const struct tr_http_reply *reply,
                                      bool if_absent, struct tr_error *err);
/* The code of a failure, "" when none is given. */
void az_error_code(const struct tr_http_reply *reply, char *out, size_t size);
/* From options and environment: account, endpoint, key, SAS. */
TR_MUST_USE enum tr_status az_identify(struct azure *s, const char *host, const struct tr_store_option *options, int n,
                                       struct tr_error *err);
