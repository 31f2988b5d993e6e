/* Account, endpoint, key and SAS of an Azure store: from the options, a connection string, the URL's host, or the
 * environment (AZURE_STORAGE_CONNECTION_STRING, _ACCOUNT_NAME or _ACCOUNT, _ACCOUNT_KEY or _KEY, _SAS_TOKEN). */
#include "base/mem.h"
#include "data/store/azure/azure_int.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The value of "Name=" in a connection string ("A=b;C=d"), malloc'ed; NULL when absent. */
static char *setting(const char *text, const char *name) {
  size_t n = strlen(name);
  for (const char *p = text; p && *p;) {
    size_t length = strcspn(p, ";");
    if (length > n && strncasecmp(p, name, n) == 0 && p[n] == '=') return strndup(p + n + 1, length - n - 1);
    p += length + (p[length] == ';');
  }
  return NULL;
}

static const char *environment(const char *name, const char *other) {
  const char *value = getenv(name);
  if (value && *value) return value;
  value = other ? getenv(other) : NULL;
  return value && *value ? value : NULL;
}

static char *copy(const char *s) { return s ? strdup(s) : NULL; }

/* "account.dfs.core.windows.net" names the account; data of Data Lake Gen2 is served as blobs too. */
static void from_host(const char *host, char **account, char **endpoint) {
  size_t n = strcspn(host, ".");
  if (!host[n]) return;
  const char *suffix = host + n + 1;
  if (strncmp(suffix, "dfs.", 4) == 0 || strncmp(suffix, "blob.", 5) == 0) suffix = strchr(suffix, '.') + 1;
  free(*account);
  free(*endpoint);
  *account = strndup(host, n);
  *endpoint = malloc(strlen(host) + 20);
  if (*endpoint) {
    strcpy(*endpoint, "https://");
    strncat(*endpoint, host, n);
    strcat(*endpoint, ".blob.");
    strcat(*endpoint, suffix);
  }
}

TR_MUST_USE static enum tr_status set_key(struct azure *s, const char *text, struct tr_error *err) {
  if (!text) return TR_OK;
  void *memory;
  s->key_room = strlen(text) + 1;
  TR_TRY(tr_mem_alloc(s->key_room, &memory, err));
  s->key = memory;
  if (tr_base64_decode(text, strlen(text), s->key, &s->key_bytes, NULL) != TR_OK)
    return tr_fail(err, TR_EXC_VALUE, "the key of the Azure storage account is no base64 text");
  return TR_OK;
}

/* https://account.blob.core.windows.net unless an endpoint is given. */
TR_MUST_USE static enum tr_status set_endpoint(struct azure *s, char *given, const char *suffix, const char *protocol,
                                               struct tr_error *err) {
  if (given) {
    for (size_t n = strlen(given); n && given[n - 1] == '/'; n--) given[n - 1] = 0;
    s->endpoint = given;
    return TR_OK;
  }
  struct tr_text t = {0};
  tr_text_add_format(&t, "%s://%s.blob.%s", protocol ? protocol : "https", s->account,
                     suffix ? suffix : "core.windows.net");
  enum tr_status st = tr_text_check(&t, err);
  if (st == TR_OK && !(s->endpoint = strdup(t.data))) st = tr_fail_memory(err, t.length);
  tr_text_free(&t);
  return st;
}

enum tr_status az_identify(struct azure *s, const char *host, const struct tr_store_option *options, int n,
                           struct tr_error *err) {
  const char *given = tr_store_option(options, n, "connection_string"),
             *anonymous = tr_store_option(options, n, "anonymous");
  const char *name = tr_store_option(options, n, "account_name"), *key = tr_store_option(options, n, "account_key");
  const char *sas = tr_store_option(options, n, "sas_token"), *line = given;
  bool open = anonymous && strcmp(anonymous, "true") == 0;
  if (!line && !name && !key && !sas) line = environment("AZURE_STORAGE_CONNECTION_STRING", NULL);
  if (!name && !line) name = environment("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT");
  if (!key && !sas && !line) key = environment("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY");
  if (!sas && !key && !line) sas = environment("AZURE_STORAGE_SAS_TOKEN", NULL);
  char *account = name ? copy(name) : setting(line, "AccountName"), *endpoint = setting(line, "BlobEndpoint");
  char *secret = key ? copy(key) : setting(line, "AccountKey"), *suffix = setting(line, "EndpointSuffix");
  char *token = sas ? copy(sas) : setting(line, "SharedAccessSignature");
  char *protocol = setting(line, "DefaultEndpointsProtocol");
  if (tr_store_option(options, n, "endpoint")) {
    free(endpoint);
    endpoint = copy(tr_store_option(options, n, "endpoint"));
  }
  if (*host) from_host(host, &account, &endpoint);
  enum tr_status st = TR_OK;
  if (!account)
    st = tr_fail(err, TR_EXC_VALUE, "%s: no Azure storage account is named (account_name, connection_string)",
                 s->store.url);
  s->account = account;
  if (st == TR_OK) st = set_endpoint(s, endpoint, suffix, protocol, err);
  else free(endpoint);
  if (st == TR_OK && !open) st = set_key(s, secret, err);
  if (token && !open) s->sas = strdup(*token == '?' ? token + 1 : token);
  if (secret) tr_crypto_wipe(secret, strlen(secret));
  free(secret);
  free(token);
  free(suffix);
  free(protocol);
  return st;
}
