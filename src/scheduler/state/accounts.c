/* Accounts, keys and deployments: see state.h. Each lives in a map by id and in the database; their hashes are in
 * tr_auth, where the server's threads look. */
#include "scheduler/state/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ACCOUNTS = 10000, MAX_KEYS = 1000, MAX_DEPLOYMENTS = 1000 };

static bool no_memory(struct tr_state *s, struct tr_fault *fault) {
  s->broken = true;
  return tr_fault_set(fault, 503, "no_memory", "the scheduler has no memory left; try again");
}

static void full_name(struct tr_deployment *d) {
  snprintf(d->full_name, sizeof d->full_name, "%s/%s", d->account->id, d->name);
}

static bool keep_account(struct tr_state *s, struct tr_account *a) {
  return tr_name_map_put(&s->accounts, a->id, a) && tr_name_map_put(&s->account_names, a->name, a);
}

static bool keep_key(struct tr_state *s, struct tr_key *k) {
  struct tr_identity who = {k->revoked ? TR_WHO_REVOKED : TR_WHO_USER, "", ""};
  memcpy(who.account, k->account->id, sizeof who.account);
  return tr_name_map_put(&s->keys, k->id, k) && tr_auth_put(s->auth, k->hash, &who);
}

static bool keep_deployment(struct tr_state *s, struct tr_deployment *d) {
  struct tr_identity who = {TR_WHO_WORKER, "", ""};
  memcpy(who.account, d->account->id, sizeof who.account);
  memcpy(who.deployment, d->id, sizeof who.deployment);
  d->aws_version = ++s->versions;
  full_name(d);
  return tr_name_map_put(&s->deployments, d->id, d) && tr_name_map_put(&s->deployment_names, d->full_name, d) &&
         tr_auth_put(s->auth, d->hash, &who);
}

bool tr_account_add(struct tr_state *s, const char *name, struct tr_clock at, struct tr_account **out,
                    struct tr_fault *fault) {
  if (tr_name_map_get(&s->account_names, name))
    return tr_fault_set(fault, 409, "exists", "there is an account named %s", name);
  if (s->accounts.n >= MAX_ACCOUNTS) return tr_fault_set(fault, 429, "limit", "at most %d accounts", MAX_ACCOUNTS);
  struct tr_account *a = calloc(1, sizeof *a);
  if (!a || tr_auth_new_id('a', a->id, NULL) != TR_OK) {
    free(a);
    return no_memory(s, fault);
  }
  snprintf(a->name, sizeof a->name, "%s", name);
  a->created = at.wall;
  if (!keep_account(s, a)) return no_memory(s, fault);
  tr_journal_write(s->journal, TR_JOURNAL_ADD_ACCOUNT, "tti", a->id, a->name, a->created);
  *out = a;
  return true;
}

static int64_t keys_of(const struct tr_state *s, const struct tr_account *account) {
  int64_t n = 0;
  size_t i = 0;
  for (const struct tr_key *k; (k = tr_name_map_next(&s->keys, &i));) n += k->account == account;
  return n;
}

bool tr_key_add(struct tr_state *s, struct tr_account *account, const char *name, struct tr_clock at,
                struct tr_key **out, char secret[TR_SECRET_MAX], struct tr_fault *fault) {
  if (keys_of(s, account) >= MAX_KEYS)
    return tr_fault_set(fault, 429, "limit", "an account has at most %d keys, revoked ones included", MAX_KEYS);
  struct tr_key *k = calloc(1, sizeof *k);
  if (!k || tr_auth_new_id('k', k->id, NULL) != TR_OK || tr_auth_new_secret("trk_", secret, NULL) != TR_OK ||
      tr_auth_hash(secret, k->hash, NULL) != TR_OK) {
    free(k);
    return no_memory(s, fault);
  }
  snprintf(k->name, sizeof k->name, "%s", name);
  k->account = account;
  k->created = at.wall;
  if (!keep_key(s, k)) return no_memory(s, fault);
  tr_journal_write(s->journal, TR_JOURNAL_ADD_KEY, "tttti", k->id, account->id, k->name, k->hash, k->created);
  *out = k;
  return true;
}

bool tr_key_revoke(struct tr_state *s, struct tr_key *key, struct tr_clock at, struct tr_fault *fault) {
  if (key->revoked) return tr_fault_set(fault, 409, "revoked", "key %s was revoked before", key->id);
  key->revoked = at.wall;
  tr_journal_write(s->journal, TR_JOURNAL_REVOKE_KEY, "ti", key->id, key->revoked);
  return keep_key(s, key) || no_memory(s, fault);
}

bool tr_deployment_add(struct tr_state *s, struct tr_account *account, const char *name, struct tr_clock at,
                       struct tr_deployment **out, char token[TR_SECRET_MAX], struct tr_fault *fault) {
  if (tr_deployment_find(s, account, name))
    return tr_fault_set(fault, 409, "exists", "there is a deployment named %s", name);
  if (s->deployments.n >= MAX_DEPLOYMENTS)
    return tr_fault_set(fault, 429, "limit", "at most %d deployments", MAX_DEPLOYMENTS);
  struct tr_deployment *d = calloc(1, sizeof *d);
  if (!d || tr_auth_new_id('d', d->id, NULL) != TR_OK || tr_auth_new_secret("trw_", token, NULL) != TR_OK ||
      tr_auth_hash(token, d->hash, NULL) != TR_OK || tr_external_id_new(d->external_id, NULL) != TR_OK) {
    free(d);
    return no_memory(s, fault);
  }
  snprintf(d->name, sizeof d->name, "%s", name);
  d->account = account;
  d->reference = -1;
  d->created = at.wall;
  if (!keep_deployment(s, d)) return no_memory(s, fault);
  tr_journal_write(s->journal, TR_JOURNAL_ADD_DEPLOYMENT, "ttttit", d->id, account->id, d->name, d->hash, d->created,
                   d->external_id);
  *out = d;
  return true;
}

static void free_workers(struct tr_deployment *d) {
  size_t i = 0;
  for (struct tr_worker *w; (w = tr_name_map_next(&d->workers, &i));) free(w);
  tr_name_map_free(&d->workers);
}

/* What others look at of the record: the server's threads at the roles whose workers may prove themselves, costs at
 * caps and prices. */
static bool publish(struct tr_state *s, struct tr_deployment *d) {
  d->usd_per_query = d->aws ? d->aws->limits.usd_per_query : 0;
  d->spot = d->aws && d->aws->ec2.group && d->aws->ec2.spot;
  if (!d->aws) tr_auth_remove_roles(s->auth, d->id);
  return !d->aws || tr_auth_put_roles(s->auth, d->id, d->account->id, d->aws->roles, d->aws->n_roles);
}

bool tr_deployment_set_aws(struct tr_state *s, struct tr_deployment *d, struct tr_aws_record *record,
                           struct tr_fault *fault) {
  struct tr_text text = {0};
  /* Other caps alone leave everything where it is: what was asked for under the old ones still comes. */
  if (!tr_aws_record_same_place(d->aws, record)) d->aws_version = ++s->versions;
  tr_aws_record_free(d->aws);
  d->aws = record;
  if (record) tr_aws_record_print(record, &text);
  bool good = tr_text_check(&text, NULL) == TR_OK && publish(s, d);
  if (good && record) tr_journal_write(s->journal, TR_JOURNAL_PUT_AWS, "tt", d->id, text.data);
  else if (good) tr_journal_write(s->journal, TR_JOURNAL_DROP_AWS, "t", d->id);
  tr_text_free(&text);
  return good || no_memory(s, fault);
}

void tr_deployment_write_usage(struct tr_state *s, struct tr_deployment *d, struct tr_clock at) {
  const struct tr_usage *u = &d->used;
  char day[16];
  time_t seconds = (time_t)(at.wall / 1000);
  struct tm utc;
  if (!u->queries && !u->tasks && u->usd <= 0) return;
  gmtime_r(&seconds, &utc);
  strftime(day, sizeof day, "%Y-%m-%d", &utc);
  tr_journal_write(s->journal, TR_JOURNAL_PUT_USAGE, "tttiidiid", d->account->id, d->id, day, u->queries, u->tasks,
                   u->seconds, u->rows, u->bytes, u->usd);
  d->used = (struct tr_usage){0};
}

bool tr_deployment_drop(struct tr_state *s, struct tr_deployment *d, struct tr_clock at, struct tr_fault *fault) {
  if (d->first)
    return tr_fault_set(fault, 409, "busy", "deployment %s has running queries; cancel them first", d->name);
  tr_deployment_write_usage(s, d, at);
  tr_auth_remove(s->auth, d->hash);
  tr_auth_remove_roles(s->auth, d->id);
  tr_name_map_remove(&s->deployments, d->id);
  tr_name_map_remove(&s->deployment_names, d->full_name);
  tr_journal_write(s->journal, TR_JOURNAL_DROP_DEPLOYMENT, "t", d->id);
  free_workers(d);
  tr_aws_record_free(d->aws);
  free(d);
  return true;
}

struct tr_deployment *tr_deployment_find(const struct tr_state *s, const struct tr_account *account, const char *name) {
  char full[sizeof((struct tr_deployment *)0)->full_name];
  if (strlen(name) > 64) return NULL;
  snprintf(full, sizeof full, "%s/%s", account->id, name);
  struct tr_deployment *d = tr_name_map_get(&s->deployment_names, full);
  if (!d) d = tr_name_map_get(&s->deployments, name);
  return d && d->account == account ? d : NULL;
}

static void text_of(struct tr_journal_row *row, int column, char *out, size_t room) {
  snprintf(out, room, "%s", tr_row_text(row, column));
}

static bool load_account(struct tr_state *s, struct tr_journal_row *row) {
  struct tr_account *a = calloc(1, sizeof *a);
  if (!a) return false;
  text_of(row, 0, a->id, sizeof a->id);
  text_of(row, 1, a->name, sizeof a->name);
  a->created = tr_row_int(row, 2);
  return keep_account(s, a);
}

static bool load_key(struct tr_state *s, struct tr_journal_row *row) {
  struct tr_key *k = calloc(1, sizeof *k);
  if (!k) return false;
  text_of(row, 0, k->id, sizeof k->id);
  text_of(row, 2, k->name, sizeof k->name);
  text_of(row, 3, k->hash, sizeof k->hash);
  k->account = tr_name_map_get(&s->accounts, tr_row_text(row, 1));
  k->created = tr_row_int(row, 4);
  k->revoked = tr_row_int(row, 5);
  if (k->account) return keep_key(s, k);
  free(k);
  return true;
}

static bool load_deployment(struct tr_state *s, struct tr_journal_row *row) {
  struct tr_deployment *d = calloc(1, sizeof *d);
  if (!d) return false;
  d->reference = -1;
  text_of(row, 0, d->id, sizeof d->id);
  text_of(row, 2, d->name, sizeof d->name);
  text_of(row, 3, d->hash, sizeof d->hash);
  d->account = tr_name_map_get(&s->accounts, tr_row_text(row, 1));
  d->created = tr_row_int(row, 4);
  text_of(row, 5, d->external_id, sizeof d->external_id);
  if (d->account) return keep_deployment(s, d);
  free(d);
  return true;
}

/* Deployments of releases that knew nothing of AWS. */
TR_MUST_USE static enum tr_status issue_external_ids(struct tr_state *s, struct tr_error *err) {
  size_t i = 0;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    if (*d->external_id) continue;
    TR_TRY(tr_external_id_new(d->external_id, err));
    tr_journal_write(s->journal, TR_JOURNAL_SET_EXTERNAL_ID, "tt", d->id, d->external_id);
  }
  return TR_OK;
}

TR_MUST_USE static enum tr_status load_aws(struct tr_state *s, struct tr_error *err) {
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_ALL_AWS, "");
  struct tr_fault fault = {0};
  while (tr_journal_next(row)) {
    struct tr_deployment *d = tr_name_map_get(&s->deployments, tr_row_text(row, 0));
    if (!d) continue;
    d->aws = tr_aws_record_parse(tr_row_text(row, 1), &fault);
    if (d->aws && publish(s, d)) continue;
    tr_journal_end(row);
    return tr_fail(err, TR_EXC_VALUE, "AWS settings of deployment %s: %s", d->id,
                   *fault.text ? fault.text : "no memory");
  }
  return TR_OK;
}

enum tr_status tr_accounts_load(struct tr_state *s, struct tr_error *err) {
  static const struct {
    enum tr_journal_statement statement;
    bool (*load)(struct tr_state *, struct tr_journal_row *);
  } tables[] = {{TR_JOURNAL_ALL_ACCOUNTS, load_account},
                {TR_JOURNAL_ALL_KEYS, load_key},
                {TR_JOURNAL_ALL_DEPLOYMENTS, load_deployment}};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    struct tr_journal_row *row = tr_journal_read(s->journal, tables[i].statement, "");
    while (tr_journal_next(row)) {
      if (tables[i].load(s, row)) continue;
      tr_journal_end(row);
      return tr_fail_memory(err, 0);
    }
  }
  TR_TRY(issue_external_ids(s, err));
  return load_aws(s, err);
}

void tr_accounts_free(struct tr_state *s) {
  size_t i = 0;
  for (struct tr_deployment *d; (d = tr_name_map_next(&s->deployments, &i));) {
    free_workers(d);
    tr_aws_record_free(d->aws);
    free(d);
  }
  i = 0;
  for (struct tr_key *k; (k = tr_name_map_next(&s->keys, &i));) free(k);
  i = 0;
  for (struct tr_account *a; (a = tr_name_map_next(&s->accounts, &i));) free(a);
  tr_name_map_free(&s->deployments);
  tr_name_map_free(&s->deployment_names);
  tr_name_map_free(&s->keys);
  tr_name_map_free(&s->accounts);
  tr_name_map_free(&s->account_names);
  tr_auth_clear(s->auth);
}
