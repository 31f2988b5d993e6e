/* Accounts, keys, deployments, usage. */
#include "scheduler/api/api_int.h"
#include <string.h>
#include <time.h>

bool tr_api_named_prepare(struct tr_api_call *call) {
  struct tr_fields f;
  const char *name, *account = NULL;
  bool ok = tr_fields_begin(&f, call->body, "the body", &call->fault) &&
            tr_fields_text(&f, "name", false, TR_RULE_NAME, 64, &name) &&
            tr_fields_text(&f, "account", true, TR_RULE_NAME, 64, &account) && tr_fields_end(&f);
  if (ok && account) memcpy(call->text_params[1], account, strlen(account) + 1);
  return ok;
}

static const char *name_of(const struct tr_api_call *call) {
  return json_string_value(json_object_get(call->body, "name"));
}

/* Of a user: the own account. Of the admin: the one named. */
struct tr_account *tr_api_account(struct tr_state *s, struct tr_api_call *call) {
  const char *named = call->text_params[1];
  struct tr_account *a = NULL;
  if (call->who.kind == TR_WHO_ADMIN) {
    if (!*named) {
      tr_fault_set(&call->fault, 400, "no_account", "the admin key is nobody's: say whose with \"account\"");
      return NULL;
    }
    a = tr_name_map_get(&s->accounts, named);
    if (!a) a = tr_name_map_get(&s->account_names, named);
  } else {
    a = tr_name_map_get(&s->accounts, call->who.account);
    if (a && *named && strcmp(named, a->id) != 0 && strcmp(named, a->name) != 0) a = NULL;
  }
  if (!a) tr_fault_set(&call->fault, 404, "no_account", "no such account");
  return a;
}

static void print_key(const struct tr_key *k, const char *secret, struct tr_text *out) {
  tr_text_add_format(out, "{\"id\":\"%s\",\"account\":\"%s\",\"name\":\"%s\",\"created\":%lld,\"revoked\":%lld", k->id,
                     k->account->id, k->name, (long long)k->created, (long long)k->revoked);
  if (secret) tr_text_add_format(out, ",\"key\":\"%s\"", secret);
  tr_text_add_char(out, '}');
}

bool tr_api_accounts_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  struct tr_account *a;
  struct tr_key *k;
  char secret[TR_SECRET_MAX];
  (void)last;
  if (*call->text_params[1]) {
    tr_fault_set(&call->fault, 400, "invalid_body", "the body: \"account\" has no place here");
    return tr_api_refuse(call);
  }
  if (!tr_account_add(s, name_of(call), at, &a, &call->fault) ||
      !tr_key_add(s, a, "first", at, &k, secret, &call->fault))
    return tr_api_refuse(call);
  tr_text_add_format(&call->reply, "{\"id\":\"%s\",\"name\":\"%s\",\"created\":%lld,\"key\":", a->id, a->name,
                     (long long)a->created);
  print_key(k, secret, &call->reply);
  tr_text_add_char(&call->reply, '}');
  return tr_api_answer(call, 201);
}

bool tr_api_accounts_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  size_t i = 0;
  const char *comma = "";
  (void)at;
  (void)last;
  tr_text_add_str(&call->reply, "{\"accounts\":[");
  for (const struct tr_account *a; (a = tr_name_map_next(&s->accounts, &i)); comma = ",")
    tr_text_add_format(&call->reply, "%s{\"id\":\"%s\",\"name\":\"%s\",\"created\":%lld}", comma, a->id, a->name,
                       (long long)a->created);
  tr_text_add_str(&call->reply, "]}");
  return tr_api_answer(call, 200);
}

bool tr_api_keys_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  struct tr_key *k;
  char secret[TR_SECRET_MAX];
  (void)last;
  struct tr_account *a = tr_api_account(s, call);
  if (!a || !tr_key_add(s, a, name_of(call), at, &k, secret, &call->fault)) return tr_api_refuse(call);
  print_key(k, secret, &call->reply);
  return tr_api_answer(call, 201);
}

bool tr_api_keys_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  size_t i = 0;
  const char *comma = "";
  (void)at;
  (void)last;
  const struct tr_account *a = tr_api_account(s, call);
  if (!a) return tr_api_refuse(call);
  tr_text_add_str(&call->reply, "{\"keys\":[");
  for (const struct tr_key *k; (k = tr_name_map_next(&s->keys, &i));) {
    if (k->account != a) continue;
    tr_text_add_str(&call->reply, comma);
    print_key(k, NULL, &call->reply);
    comma = ",";
  }
  tr_text_add_str(&call->reply, "]}");
  return tr_api_answer(call, 200);
}

bool tr_api_keys_revoke(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)last;
  struct tr_key *k = tr_name_map_get(&s->keys, call->id);
  if (k && call->who.kind != TR_WHO_ADMIN && strcmp(k->account->id, call->who.account) != 0) k = NULL;
  if (!k) {
    tr_fault_set(&call->fault, 404, "no_key", "no key %s in this account", call->id);
    return tr_api_refuse(call);
  }
  if (!tr_key_revoke(s, k, at, &call->fault)) return tr_api_refuse(call);
  print_key(k, NULL, &call->reply);
  return tr_api_answer(call, 200);
}

static void print_deployment(const struct tr_deployment *d, const char *token, struct tr_text *out) {
  tr_text_add_format(
      out, "{\"id\":\"%s\",\"name\":\"%s\",\"created\":%lld,\"workers\":%zu,\"external_id\":\"%s\",\"aws\":%s", d->id,
      d->name, (long long)d->created, d->workers.n, d->external_id, d->aws ? "true" : "false");
  if (token) tr_text_add_format(out, ",\"token\":\"%s\"", token);
  tr_text_add_char(out, '}');
}

bool tr_api_deployments_add(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  struct tr_deployment *d;
  char token[TR_SECRET_MAX];
  (void)last;
  struct tr_account *a = tr_api_account(s, call);
  if (!a || !tr_deployment_add(s, a, name_of(call), at, &d, token, &call->fault)) return tr_api_refuse(call);
  print_deployment(d, token, &call->reply);
  return tr_api_answer(call, 201);
}

bool tr_api_deployments_list(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  size_t i = 0;
  const char *comma = "";
  (void)at;
  (void)last;
  const struct tr_account *a = tr_api_account(s, call);
  if (!a) return tr_api_refuse(call);
  tr_text_add_str(&call->reply, "{\"deployments\":[");
  for (const struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    if (d->account != a) continue;
    tr_text_add_str(&call->reply, comma);
    print_deployment(d, NULL, &call->reply);
    comma = ",";
  }
  tr_text_add_str(&call->reply, "]}");
  return tr_api_answer(call, 200);
}

bool tr_api_deployments_get(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)at;
  (void)last;
  const struct tr_account *a = tr_api_account(s, call);
  const struct tr_deployment *d = a ? tr_deployment_find(s, a, call->id) : NULL;
  if (a && !d) tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s in this account", call->id);
  if (!d) return tr_api_refuse(call);
  print_deployment(d, NULL, &call->reply);
  return tr_api_answer(call, 200);
}

bool tr_api_deployments_drop(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  (void)last;
  const struct tr_account *a = tr_api_account(s, call);
  struct tr_deployment *d = a ? tr_deployment_find(s, a, call->id) : NULL;
  if (a && !d) tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s in this account", call->id);
  if (!d || !tr_deployment_drop(s, d, at, &call->fault)) return tr_api_refuse(call);
  tr_text_add_str(&call->reply, "{}");
  return tr_api_answer(call, 200);
}

bool tr_api_usage(struct tr_state *s, struct tr_api_call *call, struct tr_clock at, bool last) {
  const char *comma = "";
  char since[16];
  time_t month = (time_t)(at.wall / 1000) - (time_t)call->limit * 24 * 3600;
  struct tm utc;
  (void)last;
  const struct tr_account *a = tr_api_account(s, call);
  const char *named = call->text_params[0];
  const struct tr_deployment *d = a && *named ? tr_deployment_find(s, a, named) : NULL;
  if (a && *named && !d) tr_fault_set(&call->fault, 404, "no_deployment", "no deployment %s in this account", named);
  if (!a || (*named && !d)) return tr_api_refuse(call);
  gmtime_r(&month, &utc);
  strftime(since, sizeof since, "%Y-%m-%d", &utc);
  tr_text_add_format(&call->reply, "{\"account\":\"%s\",", a->id);
  if (d) tr_text_add_format(&call->reply, "\"deployment\":\"%s\",", d->id);
  tr_text_add_str(&call->reply, "\"days\":[");
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_USAGE, "ttt", a->id, since, d ? d->id : "");
  for (; tr_journal_next(row); comma = ",")
    tr_text_add_format(&call->reply,
                       "%s{\"day\":\"%s\",\"queries\":%lld,\"tasks\":%lld,\"seconds\":%.3f,\"rows\":%lld,"
                       "\"bytes\":%lld,\"cost_usd\":%.6f}",
                       comma, tr_row_text(row, 0), (long long)tr_row_int(row, 1), (long long)tr_row_int(row, 2),
                       tr_row_double(row, 3), (long long)tr_row_int(row, 4), (long long)tr_row_int(row, 5),
                       tr_row_double(row, 6));
  tr_text_add_str(&call->reply, "]}");
  return tr_api_answer(call, 200);
}
