/* Workers on AWS have no secret of ours: they prove which role they run under, and get a token for it.
 *
 * The proof is a request to STS, GetCallerIdentity, that the worker signed and that the scheduler sends. STS says whose
 * signature it is. The worker signs two headers more: which scheduler the proof is for (so that it is of no use at
 * another one) and a nonce of that scheduler's, five minutes old at most (so that an old proof is of no use). The URL
 * is one of a few (a made-up STS would say anything), the body is always the same and not taken from the worker.
 *
 * Nonces and tokens are kept nowhere: an HMAC under this scheduler's key says that they are its own. Everything here is
 * pure; who sends the request is launch/.
 */
#pragma once
#include "scheduler/auth/auth.h"

#define TR_SERVER_SECRET_BYTES 65 /* 32 random bytes as hex */
#define TR_EXTERNAL_ID_BYTES   23 /* 16 random bytes as base64url */
#define TR_NONCE_TEXT_BYTES    96
#define TR_WORKER_TOKEN_BYTES  320
#define TR_STS_BODY            "Action=GetCallerIdentity&Version=2011-06-15"

enum { TR_NONCE_SECONDS = 300, TR_WORKER_TOKEN_SECONDS = 3600, TR_PROOF_HEADERS = 12 };

struct tr_fault;

struct tr_server_secrets {
  char id[TR_SERVER_SECRET_BYTES]; /* the scheduler's name in proofs; no secret */
  char key[TR_SERVER_SECRET_BYTES];
};

TR_MUST_USE enum tr_status tr_server_secret_new(char out[TR_SERVER_SECRET_BYTES], struct tr_error *err);
TR_MUST_USE enum tr_status tr_external_id_new(char out[TR_EXTERNAL_ID_BYTES], struct tr_error *err);

TR_MUST_USE enum tr_status tr_nonce_new(const char *key, const char *deployment, int64_t now_s,
                                        char out[TR_NONCE_TEXT_BYTES], struct tr_error *err);
/* Whether it is of this scheduler, for this deployment, and young enough. */
bool tr_nonce_holds(const char *key, const char *deployment, int64_t now_s, const char *nonce);

struct tr_worker_token {
  char deployment[TR_ID_BYTES], role[65];
  int64_t expires_s;
};
/* "trw_" and something with a dot in it, which the tokens of deployments do not have. */
TR_MUST_USE enum tr_status tr_worker_token_new(const char *key, const struct tr_worker_token *t,
                                               char out[TR_WORKER_TOKEN_BYTES], struct tr_error *err);
bool tr_worker_token_read(const char *key, const char *text, int64_t now_s, struct tr_worker_token *out);

/* A proof as it came. Names are in lower case, everything is borrowed. */
struct tr_proof {
  const char *url;
  int32_t n;
  struct {
    const char *name, *value;
  } headers[TR_PROOF_HEADERS];
};

/* What a proof must be for. */
struct tr_proof_rules {
  const struct tr_server_secrets *secrets;
  const char *deployment, *region;
  const char *sts_endpoint; /* allowed besides AWS' own; NULL = none */
  int64_t now_s;
};
/* Whether the request may be sent; else a 403 that says why. */
bool tr_proof_check(const struct tr_proof *p, const struct tr_proof_rules *rules, struct tr_fault *fault);

/* What STS said: the role of an assumed-role ARN and its account. False with a 403 when the body says something else.
 */
bool tr_proof_read_reply(const void *body, size_t n, char account[13], char role[65], struct tr_fault *fault);
