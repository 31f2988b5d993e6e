/* The scheduler's API without HTTP, on any requests. An input is lines: the head of a request, then its body.
 *
 *   METHOD PATH?PARAMETERS WHO VERSION
 *   body
 *
 * WHO is one of a (admin), u (user), w (worker), t (a worker that proved its role "r"), x (wrong), - (nobody). A line
 * "." ends a body; "~N" lets N milliseconds pass. In a head or body "$Q" is the last query that was accepted, "$D" the
 * deployment's id, "$S" the scheduler's, "$N" a nonce of its. Whatever comes, every answer has a known status and is
 * JSON, a refused request leaves the counts of the state alone, and the counts stay true. Nobody talks to AWS here: a
 * proof that would be sent to STS is answered with 503. */
#include "base/mem.h"
#include "net/crypto.h"
#include "scheduler/api/api.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
  struct tr_auth *auth;
  struct tr_state *s;
  struct tr_clock at;
  char user[TR_SECRET_MAX], worker[TR_SECRET_MAX], proved[TR_WORKER_TOKEN_BYTES];
  char query[TR_ID_BYTES], deployment[TR_ID_BYTES], nonce[TR_NONCE_TEXT_BYTES];
} f;

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_api: %s\n", what);
  abort();
}

static void start(void) {
  struct tr_error err;
  struct tr_fault fault;
  struct tr_account *account;
  struct tr_deployment *d = NULL;
  struct tr_key *key;
  char hash[TR_HASH_BYTES];
  f.at = (struct tr_clock){1000, 1700000000000};
  require(tr_auth_new(&f.auth, &err) == TR_OK && tr_auth_hash("admin", hash, &err) == TR_OK &&
              tr_auth_put(f.auth, hash, &(struct tr_identity){TR_WHO_ADMIN, "", ""}),
          "no keys");
  require(tr_state_open(":memory:", &tr_state_options_default, f.auth, f.at, &f.s, &err) == TR_OK, "no state");
  require(tr_account_add(f.s, "acc", f.at, &account, &fault) &&
              tr_key_add(f.s, account, "k", f.at, &key, f.user, &fault) &&
              tr_deployment_add(f.s, account, "d", f.at, &d, f.worker, &fault),
          "no account");
  memcpy(f.query, "q0", 3);
  memcpy(f.deployment, d->id, sizeof f.deployment);
  struct tr_worker_token token = {.role = "r", .expires_s = INT64_MAX};
  memcpy(token.deployment, d->id, sizeof token.deployment);
  require(tr_nonce_new(f.s->secrets.key, d->id, f.at.wall / 1000, f.nonce, &err) == TR_OK &&
              tr_worker_token_new(f.s->secrets.key, &token, f.proved, &err) == TR_OK,
          "no nonce");
}

static void end(void) {
  struct tr_error err;
  require(tr_state_commit(f.s, f.at, &err) == TR_OK, "no commit");
  tr_state_close(f.s);
  tr_auth_free(f.auth);
}

static const char *named(char letter) {
  switch (letter) {
  case 'Q': return f.query;
  case 'D': return f.deployment;
  case 'S': return f.s->secrets.id;
  case 'N': return f.nonce;
  default: return NULL;
  }
}

/* The input with $Q and the like replaced. */
static char *with_names(const char *s, size_t n, size_t *out_n) {
  char *out = malloc(n * (TR_NONCE_TEXT_BYTES / 2 + 1) + 1);
  size_t k = 0;
  require(out != NULL, "no memory");
  for (size_t i = 0; i < n; i++) {
    const char *name = i + 1 < n && s[i] == '$' ? named(s[i + 1]) : NULL;
    if (name) {
      k += (size_t)sprintf(out + k, "%s", name);
      i++;
    } else {
      out[k++] = s[i];
    }
  }
  out[k] = 0;
  *out_n = k;
  return out;
}

static int64_t count_all(void) {
  int64_t n = (int64_t)(f.s->accounts.n + f.s->keys.n + f.s->deployments.n + f.s->queries.n) * 1000003;
  size_t i = 0;
  for (const struct tr_deployment *d; (d = tr_name_map_next(&f.s->deployments, &i));) {
    int64_t ready = 0, leased = 0;
    for (const struct tr_query *q = d->first; q; q = q->next) {
      ready += q->n_ready;
      leased += q->n_leased;
    }
    require(ready == d->n_ready && leased == d->n_leased, "counts are not what counting gives");
    n += d->n_ready * 7 + d->n_leased * 11 + d->n_left * 13 + (int64_t)d->workers.n * 17;
  }
  return n;
}

static void check_reply(struct tr_api_call *call, int64_t before) {
  static const int statuses[] = {200, 201, 400, 401, 403, 404, 405, 409, 413, 426, 429, 503};
  bool known = false;
  tr_api_finish(call, "0123456789abcdef");
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) known |= call->status == statuses[i];
  require(known, "a status that is none of ours");
  if (call->status >= 400) require(count_all() == before, "a refused request changed something");
  if (strcmp(call->type, "application/json") != 0) return;
  json_t *reply = json_loadb(call->reply.data, call->reply.length, JSON_REJECT_DUPLICATES, NULL);
  require(reply != NULL, "a reply that is no JSON");
  const char *query = json_string_value(json_object_get(reply, "query"));
  if (query && call->status == 201) snprintf(f.query, sizeof f.query, "%s", query);
  json_decref(reply);
}

static void request(char *head, const char *body, size_t n) {
  struct tr_api_call call;
  struct tr_api_head h = {0};
  char bearer[600], *save = NULL;
  h.method = strtok_r(head, " ", &save);
  char *target = strtok_r(NULL, " ", &save);
  const char *who = strtok_r(NULL, " ", &save);
  h.version = strtok_r(NULL, " ", &save);
  if (!h.method || !target) return;
  h.path = strtok_r(target, "?", &save);
  if (!h.path) return;
  for (char *p; (p = strtok_r(NULL, "&", &save));)
    for (int i = 0; i < TR_PARAMS; i++) {
      size_t k = strlen(tr_api_param_names[i]);
      if (strncmp(p, tr_api_param_names[i], k) == 0 && p[k] == '=') h.params[i] = p + k + 1;
    }
  const char *key = !who          ? ""
                    : *who == 'a' ? "admin"
                    : *who == 'u' ? f.user
                    : *who == 'w' ? f.worker
                    : *who == 't' ? f.proved
                                  : who;
  snprintf(bearer, sizeof bearer, "Bearer %s", key);
  if (who && *who != '-') h.authorization = bearer;
  int64_t before = count_all(), most = tr_api_admit(f.auth, &h, &call);
  if (!call.status && (int64_t)n <= most) tr_api_prepare(&call, body, n);
  else if (!call.status) tr_api_prepare(&call, "", 0);
  call.arrived = f.at.now;
  if (!call.status && !tr_api_run(f.s, &call, f.at, false)) {
    require(tr_api_wake(f.s, &call) <= f.at.now + 30000, "a poll that never ends");
    require(tr_api_run(f.s, &call, f.at, true), "a last run that parks");
  }
  check_reply(&call, before);
  tr_api_call_drop(&call);
}

static void pass(const char *ms) {
  int64_t n = strtoll(ms, NULL, 10);
  f.at.now += n < 0 || n > 100000 ? 1000 : n;
  tr_state_tick(f.s, f.at);
  count_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *at = (const char *)data, *stop = at + size;
  if (size > 200000) return 0;
  start();
  for (int i = 0; at < stop && i < 100; i++) {
    const char *line = memchr(at, '\n', (size_t)(stop - at));
    size_t n, n_body, n_head = (size_t)((line ? line : stop) - at);
    char *head = with_names(at, n_head, &n);
    at = line ? line + 1 : stop;
    const char *dot = at < stop ? memmem(at, (size_t)(stop - at), "\n.\n", 3) : NULL;
    if (*head == '~') {
      pass(head + 1);
      free(head);
      continue;
    }
    const char *body_end = dot ? dot : stop;
    char *body = with_names(at, (size_t)(body_end - at), &n_body);
    at = dot ? dot + 3 : stop;
    request(head, body, n_body);
    free(head);
    free(body);
  }
  end();
  return 0;
}
