/* See identity.h. What is signed by our key begins with a word that says what it is, so that a nonce is no token. */
#include "scheduler/auth/identity.h"
#include "base/text.h"
#include "net/crypto.h"
#include "net/url.h"
#include "net/xml.h"
#include "scheduler/state/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAC_TEXT = TR_BASE64_SIZE(TR_SHA256_BYTES) };

enum tr_status tr_server_secret_new(char out[TR_SERVER_SECRET_BYTES], struct tr_error *err) {
  uint8_t random[32];
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  tr_hex_encode(random, sizeof random, out);
  tr_crypto_wipe(random, sizeof random);
  return TR_OK;
}

enum tr_status tr_external_id_new(char out[TR_EXTERNAL_ID_BYTES], struct tr_error *err) {
  uint8_t random[16];
  TR_TRY(tr_crypto_random(random, sizeof random, err));
  tr_base64url_encode(random, sizeof random, out);
  return TR_OK;
}

TR_MUST_USE static enum tr_status mac(const char *key, const char *text, char out[MAC_TEXT], struct tr_error *err) {
  uint8_t digest[TR_SHA256_BYTES];
  TR_TRY(tr_crypto_hmac_sha256(key, strlen(key), text, strlen(text), digest, err));
  tr_base64url_encode(digest, sizeof digest, out);
  return TR_OK;
}

static bool mac_is(const char *key, const char *text, const char *told) {
  char right[MAC_TEXT];
  return *key && mac(key, text, right, NULL) == TR_OK && strlen(told) == strlen(right) &&
         tr_crypto_equal(right, told, strlen(right));
}

enum tr_status tr_nonce_new(const char *key, const char *deployment, int64_t now_s, char out[TR_NONCE_TEXT_BYTES],
                            struct tr_error *err) {
  char random[TR_EXTERNAL_ID_BYTES], text[160], sign[MAC_TEXT];
  TR_TRY(tr_external_id_new(random, err));
  snprintf(text, sizeof text, "nonce %s %lld.%s", deployment, (long long)now_s, random);
  TR_TRY(mac(key, text, sign, err));
  snprintf(out, TR_NONCE_TEXT_BYTES, "%lld.%s.%s", (long long)now_s, random, sign);
  return TR_OK;
}

bool tr_nonce_holds(const char *key, const char *deployment, int64_t now_s, const char *nonce) {
  char text[160];
  const char *dot = strrchr(nonce, '.');
  if (!dot || strlen(nonce) >= TR_NONCE_TEXT_BYTES) return false;
  snprintf(text, sizeof text, "nonce %s %.*s", deployment, (int)(dot - nonce), nonce);
  int64_t made = strtoll(nonce, NULL, 10);
  return mac_is(key, text, dot + 1) && made <= now_s + 5 && now_s - made <= TR_NONCE_SECONDS;
}

enum tr_status tr_worker_token_new(const char *key, const struct tr_worker_token *t, char out[TR_WORKER_TOKEN_BYTES],
                                   struct tr_error *err) {
  char text[160], sign[MAC_TEXT], coded[TR_BASE64_SIZE(sizeof text)];
  int n = snprintf(text, sizeof text, "worker %s %s %lld", t->deployment, t->role, (long long)t->expires_s);
  TR_TRY(mac(key, text, sign, err));
  tr_base64url_encode(text, (size_t)n, coded);
  snprintf(out, TR_WORKER_TOKEN_BYTES, "trw_%s.%s", coded, sign);
  return TR_OK;
}

bool tr_worker_token_read(const char *key, const char *token, int64_t now_s, struct tr_worker_token *out) {
  const char *dot = strchr(token, '.');
  char text[TR_WORKER_TOKEN_BYTES];
  size_t n = 0;
  long long expires = 0;
  if (!dot || strncmp(token, "trw_", 4) != 0 || strlen(token) >= TR_WORKER_TOKEN_BYTES ||
      tr_base64url_decode(token + 4, (size_t)(dot - token - 4), (uint8_t *)text, &n, NULL) != TR_OK)
    return false;
  text[n] = 0;
  if (strlen(text) != n || !mac_is(key, text, dot + 1)) return false;
  if (sscanf(text, "worker %23s %64s %lld", out->deployment, out->role, &expires) != 3) return false;
  out->expires_s = expires;
  return expires > now_s;
}

static bool refuse(struct tr_fault *fault, const char *why) {
  return tr_fault_set(fault, 403, "identity_refused", "%s", why);
}

static const char *header(const struct tr_proof *p, const char *name) {
  for (int i = 0; i < p->n; i++)
    if (strcmp(p->headers[i].name, name) == 0) return p->headers[i].value;
  return NULL;
}

/* The URL letter by letter: a host is not compared in parts, which is where such checks go wrong. */
static bool url_is_allowed(const struct tr_proof *p, const struct tr_proof_rules *rules) {
  char regional[100];
  const char *end = strncmp(rules->region, "cn-", 3) == 0 ? ".cn" : "";
  snprintf(regional, sizeof regional, "https://sts.%s.amazonaws.com%s", rules->region, end);
  const char *const allowed[] = {regional, "https://sts.amazonaws.com", rules->sts_endpoint};
  for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
    if (!allowed[i]) continue;
    size_t n = strlen(allowed[i]);
    while (n && allowed[i][n - 1] == '/') n--;
    if (strncmp(p->url, allowed[i], n) == 0 && (!p->url[n] || strcmp(p->url + n, "/") == 0)) return true;
  }
  return false;
}

static bool host_is_the_urls(const struct tr_proof *p) {
  struct tr_url url;
  struct tr_text host = {0};
  const char *told = header(p, "host");
  if (!told || tr_url_parse(p->url, &url, NULL) != TR_OK) return false;
  tr_url_add_authority(&host, &url);
  bool good = strcmp(tr_text_str(&host), told) == 0;
  tr_text_free(&host);
  return good;
}

/* Is the name one of "a;b;c"? */
static bool is_listed(const char *list, size_t n, const char *name) {
  for (size_t at = 0; at < n;) {
    size_t length = strcspn(list + at, ";, ");
    if (length == strlen(name) && strncmp(list + at, name, length) == 0) return true;
    at += length + 1;
  }
  return false;
}

/* Every header is one that we know, and signed. */
static bool check_headers(const struct tr_proof *p, struct tr_fault *fault) {
  static const char *const needed[] = {
      "authorization",   "host", "content-type", "x-amz-date", "x-amz-security-token", "x-terality-server",
      "x-terality-nonce"};
  static const char *const also[] = {"x-amz-content-sha256"};
  const size_t n_needed = sizeof needed / sizeof *needed;
  for (size_t i = 0; i < n_needed; i++)
    if (!header(p, needed[i]))
      return tr_fault_set(fault, 403, "identity_refused", "the header %s is missing", needed[i]);
  const char *list = strstr(header(p, "authorization"), "SignedHeaders=");
  size_t n = list ? strcspn(list += strlen("SignedHeaders="), ", ") : 0;
  if (!list || strstr(list, "SignedHeaders=")) return refuse(fault, "the signature has not one list of signed headers");
  for (int i = 0; i < p->n; i++) {
    const char *name = p->headers[i].name;
    bool known = strcmp(name, also[0]) == 0;
    for (size_t k = 0; k < n_needed; k++) known |= strcmp(name, needed[k]) == 0;
    if (!known) return tr_fault_set(fault, 403, "identity_refused", "the header %.40s has no place in a proof", name);
    if (strcmp(name, "authorization") != 0 && !is_listed(list, n, name))
      return tr_fault_set(fault, 403, "identity_refused", "the header %s is not signed", name);
  }
  return true;
}

/* "AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/sts/aws4_request, …" */
static bool check_scope(const struct tr_proof *p, const struct tr_proof_rules *rules, struct tr_fault *fault) {
  const char *text = header(p, "authorization");
  char scope[100];
  static const char begin[] = "AWS4-HMAC-SHA256 Credential=";
  if (strncmp(text, begin, sizeof begin - 1) != 0) return refuse(fault, "the signature is not AWS4-HMAC-SHA256");
  const char *end = strchr(text, ','), *place = strchr(text + sizeof begin - 1, '/');
  place = place ? strchr(place + 1, '/') : NULL;
  bool global = strncmp(p->url, "https://sts.amazonaws.com", 25) == 0;
  snprintf(scope, sizeof scope, "/%s/sts/aws4_request", global ? "us-east-1" : rules->region);
  if (end && place && (size_t)(end - place) == strlen(scope) && strncmp(place, scope, strlen(scope)) == 0) return true;
  return tr_fault_set(fault, 403, "identity_refused", "the signature is not for %s", scope + 1);
}

bool tr_proof_check(const struct tr_proof *p, const struct tr_proof_rules *rules, struct tr_fault *fault) {
  if (!url_is_allowed(p, rules))
    return tr_fault_set(fault, 403, "identity_refused", "%.100s is no STS of region %s", p->url, rules->region);
  if (!check_headers(p, fault) || !check_scope(p, rules, fault)) return false;
  if (!host_is_the_urls(p)) return refuse(fault, "the header host is not that of the URL");
  if (strcmp(header(p, "content-type"), "application/x-www-form-urlencoded") != 0)
    return refuse(fault, "the header content-type is not application/x-www-form-urlencoded");
  if (strcmp(header(p, "x-terality-server"), rules->secrets->id) != 0)
    return refuse(fault, "the proof is for another scheduler");
  if (!tr_nonce_holds(rules->secrets->key, rules->deployment, rules->now_s, header(p, "x-terality-nonce")))
    return refuse(fault, "the nonce is not one of this scheduler and deployment, or older than five minutes");
  return true;
}

/* "arn:aws:sts::123456789012:assumed-role/ROLE/SESSION" */
bool tr_proof_read_reply(const void *body, size_t n, char account[13], char role[65], struct tr_fault *fault) {
  char arn[400], told[20];
  if (!tr_xml_find(body, n, "Arn", arn, sizeof arn) || !tr_xml_find(body, n, "Account", told, sizeof told))
    return refuse(fault, "the reply of STS names no identity");
  const char *at = strstr(arn, ":sts::");
  if (strncmp(arn, "arn:aws", 7) != 0 || !at || strlen(at) < 6 + 12 + 14 || strncmp(at + 18, ":assumed-role/", 14) != 0)
    return tr_fault_set(fault, 403, "identity_refused", "%.200s is no role", arn);
  const char *name = at + 32;
  size_t length = strcspn(name, "/");
  if (!length || length > 64 || name[length] != '/' || strlen(told) != 12 || strncmp(at + 6, told, 12) != 0)
    return tr_fault_set(fault, 403, "identity_refused", "%.200s is no role", arn);
  memcpy(account, told, 13);
  memcpy(role, name, length);
  role[length] = 0;
  return true;
}
