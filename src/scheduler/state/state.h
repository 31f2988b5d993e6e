/* The scheduler's state and how it changes. One thread owns all of it; nothing here locks, waits or talks to the
 * network.
 *
 * What: accounts, their keys and deployments; running queries with stages and tasks; leases; workers. Queries that have
 * ended live in the database only, so memory depends on what is running and on nothing else.
 *
 * Durable (journal.h): everything a reply promised, which is accounts, keys, deployments, accepted queries, results of
 * tasks, ends of queries. Volatile: leases and workers. After a restart a worker's next call names the tasks it runs
 * and thereby takes its leases up again; for `grace_ms` stages that may have been leased before are not given out anew.
 *
 * Failing writes: a change goes on in memory, tr_state_commit fails, and the caller throws the state away for the one
 * that the database has (tr_state_reload). So a reply is sent only for what is on disk, and memory never runs ahead.
 *
 * Time is given by the caller: `now` in milliseconds of a monotonic clock, `wall` in milliseconds since 1970.
 */
#pragma once
#include "base/text.h"
#include "scheduler/auth/auth.h"
#include "scheduler/auth/identity.h"
#include "scheduler/aws_record.h"
#include "scheduler/scale/prices.h"
#include "scheduler/state/journal.h"
#include "scheduler/state/name_map.h"
#include "scheduler/state/spec.h"

struct tr_clock {
  int64_t now, wall;
};

struct tr_state_options {
  int64_t lease_ms;     /* 15,000 */
  int64_t grace_ms;     /* 6,000: twice what a worker lets pass between two calls, and some */
  int64_t worker_ms;    /* a worker that is silent for so long is gone; 60,000 */
  int64_t lambda_ms;    /* the same of a function's worker, which may be frozen at any time, and of one
                           that was told to end; 10,000 */
  int64_t keep_ms;      /* queries that have ended are kept for so long; 30 days */
  int64_t backoff_ms;   /* before a second attempt; then 4 times, then 16 times as long. 250 */
  int64_t target_ms;    /* capacity asks for as many workers as end the work at hand in this time; 30,000 */
  int32_t max_attempts; /* 4 */
  int32_t max_same;     /* the same error so often is the user's; 3 */
  int32_t max_running;  /* queries of an account at a time; 1,000 */
  int32_t max_workers;  /* of a deployment; 10,000 */
};
extern const struct tr_state_options tr_state_options_default;

struct tr_account {
  char id[TR_ID_BYTES], name[65];
  int64_t created;
  int32_t running;
};

struct tr_key {
  char id[TR_ID_BYTES], hash[TR_HASH_BYTES], name[65];
  struct tr_account *account;
  int64_t created, revoked; /* revoked 0 = good */
};

/* What the workers of a deployment cost, by minute since 1970 (spend.h). */
#define TR_SPEND_MINUTES 60
struct tr_spend {
  int64_t minute;                   /* the last one with an entry */
  double now;                       /* of that minute so far */
  double minutes[TR_SPEND_MINUTES]; /* minute % TR_SPEND_MINUTES */
};

/* What was used since the last commit. */
struct tr_usage {
  int64_t queries, tasks, rows, bytes;
  double seconds, usd;
};

struct tr_deployment {
  char id[TR_ID_BYTES], hash[TR_HASH_BYTES], name[65], full_name[TR_ID_BYTES + 66];
  struct tr_account *account;
  int64_t created;
  struct tr_query *first, *last; /* its running queries in the order of acceptance */
  struct tr_query *turn;         /* where the next lease looks first */
  struct tr_name_map workers;
  int64_t n_ready, n_leased, n_large;     /* tasks */
  int64_t n_slow;                         /* leased ones that a second worker may have */
  struct tr_task *large;                  /* those that are LARGE */
  int64_t n_left;                         /* tasks of its queries that are not done */
  double task_seconds;                    /* moving mean; 0 = none seen */
  char external_id[TR_EXTERNAL_ID_BYTES]; /* what the scheduler shows when it takes the role on AWS */
  struct tr_aws_record *aws;              /* NULL = not on AWS */
  int64_t aws_version;                    /* changes with `aws`; unique in the process */
  double row_seconds;                     /* the same of core-seconds per input row, of the reference */
  double pace[TR_PRICE_SLOTS];            /* of each kind, measured: scaling.h. 0 = not yet */
  int8_t reference;                       /* the kind that others are measured by; -1 = none yet */
  struct tr_spend spend;
  struct tr_usage used;
  double usd_per_query; /* the most that a query may cost; 0 = no cap */
  bool spot;            /* its instances are asked for at spot prices */
};

/* LARGE: ready, for workers with more memory than it has failed for, or with more time than functions have. */
enum tr_task_state { TR_TASK_WAITING, TR_TASK_READY, TR_TASK_LARGE, TR_TASK_BACKOFF, TR_TASK_LEASED, TR_TASK_DONE };

struct tr_task {
  struct tr_query_stage *stage;
  struct tr_task *next, *prev; /* among the leased, among those in backoff, or among the large of the deployment */
  struct tr_task *retry;       /* queue of its stage */
  struct tr_worker *worker;    /* that holds the lease */
  int64_t until;               /* end of the lease or of the backoff; of a large one: when to look for workers again */
  int64_t since;               /* when the lease was given */
  struct tr_worker *copy;      /* that has a second lease (straggler.c); NULL = nobody */
  int64_t attempt;             /* of the lease, or of the last one; of a done task: the one that won */
  int64_t given;               /* the last one given out by this run of the scheduler */
  int64_t lost_attempt;        /* its object is gone: the next attempt replaces it; 0 = none */
  int64_t rows, bytes;
  double core_seconds; /* of a done task */
  double usd;          /* of all its attempts */
  int64_t memory;      /* the budget of a worker that it has failed for, the largest; 0 = of none */
  uint64_t error;      /* what the last failure looked like */
  uint8_t state, failures, same, copies;
  uint8_t slot;  /* the kind of worker that did it (prices.h); 0 after a restart */
  uint8_t cut;   /* so often it ran until its function's time was over */
  bool outlasts; /* so no function gets it any more */
  bool queued;   /* in the retry queue, perhaps in vain */
  bool slow;     /* a second worker may have it */
};

/* What done tasks of a stage took on one kind of worker. */
struct tr_measure {
  double core_seconds;
  int64_t rows; /* that they read */
};

struct tr_query_stage {
  struct tr_query *query;
  const struct tr_spec_stage *spec;
  struct tr_task *tasks;
  int32_t no, n_done, n_ready, n_leased;
  int32_t waiting; /* inputs that are not complete */
  int32_t fresh;   /* tasks from here on were not given out since the stage became ready */
  bool held;       /* was ready before a restart: wait for its workers */
  struct tr_task *retry_first, *retry_last;
  int64_t rows, bytes;
  double seconds; /* of done tasks */
  struct tr_measure by[TR_PRICE_SLOTS];
  double expected_row;             /* core-seconds of a row, as it was expected before any task was done; 0 = unknown */
  double rows_in, rows_out;        /* of the whole stage, as scaling.c estimates them */
  int64_t *part_rows, *part_bytes; /* of all done tasks, per part */
};

enum tr_query_state { TR_QUERY_QUEUED, TR_QUERY_RUNNING, TR_QUERY_DONE, TR_QUERY_FAILED, TR_QUERY_CANCELLED };
extern const char *const tr_query_state_names[];

struct tr_query {
  char id[TR_ID_BYTES];
  struct tr_deployment *deployment;
  struct tr_query *next, *prev;
  struct tr_arena arena; /* the spec, stages and tasks */
  struct tr_spec spec;
  struct tr_query_stage *stages;
  enum tr_query_state state;
  int32_t stages_left;
  int64_t created, started; /* wall */
  int64_t version;          /* grows with every change that a client may see */
  int64_t n_ready, n_leased;
  double usd;                             /* of tasks that have ended; spend.h */
  double usd_flight, flight_core_seconds; /* of running tasks, as of the last look */
  int64_t gets, puts;                     /* requests to S3, estimated */
};

#define TR_INSTANCE_BYTES 201

struct tr_worker {
  char id[65], kind[33], instance[TR_INSTANCE_BYTES]; /* instance: "" = not told */
  struct tr_deployment *deployment;
  int64_t seen, since, memory; /* since: first call */
  int32_t cores, n_leases;
  int32_t slot;            /* of its kind in prices.h */
  int64_t idle_from;       /* has had no lease since then; 0 = has one (launch/) */
  int64_t stay_ms;         /* told to stay so long without a lease; 0 = as its own settings say */
  struct tr_task *copy_of; /* it has a second lease of; NULL = of none. Counts in n_leases */
  int64_t copy_attempt, copy_since, copy_until;
  bool drain, told;             /* told: an answer has said so */
  bool counted;                 /* as one that was started (launch/) */
  bool start_paid;              /* its start is in the deployment's costs */
  double usd_per_hour, start_s; /* prices.h; 0 when it is not on AWS */
};

struct tr_state_counters {
  int64_t queries_accepted, queries_done, queries_failed, queries_cancelled;
  int64_t tasks_done, tasks_failed, tasks_cut, leases, leases_expired, leases_adopted, copies, reloads;
  double usd;
};

struct tr_state {
  struct tr_state_options options;
  struct tr_journal *journal;
  struct tr_auth *auth;     /* borrowed */
  struct tr_launch *launch; /* borrowed: who talks to AWS for the state; NULL = nobody */
  struct tr_server_secrets secrets;
  struct tr_name_map accounts, account_names, keys, deployments, deployment_names, queries;
  struct tr_task *leased_first, *leased_last; /* by end of the lease */
  struct tr_task *backoff_first;              /* in no order; few */
  int64_t epoch_base;                         /* attempts of this run of the scheduler are above it */
  int64_t epoch_room;                         /* reloads left before the base must be written again */
  int64_t grace_until;                        /* 0 = over */
  int64_t versions;                           /* the last aws_version given */
  int64_t swept;                              /* when silent workers and old queries were looked for */
  int64_t copied_at;                          /* when tr_copy_tick looked last */
  int64_t spent_at;                           /* when tr_spend_tick looked last */
  bool broken;                                /* memory ran out in the middle of a change */
  struct tr_state_counters counters;
};

/* What a reply that is no 2xx says. */
struct tr_fault {
  int status; /* 0 = none */
  const char *code;
  char text[1200];
};
/* Fills and returns false. */
bool tr_fault_set(struct tr_fault *fault, int status, const char *code, const char *text, ...) TR_PRINTF(4, 5);

/* Opens the database and reads it. Takes nothing; auth is borrowed and filled. */
TR_MUST_USE enum tr_status tr_state_open(const char *path, const struct tr_state_options *options, struct tr_auth *auth,
                                         struct tr_clock at, struct tr_state **out, struct tr_error *err);
void tr_state_close(struct tr_state *s);
/* Ends a turn: usage is written, everything is on disk. On failure the state must be reloaded. */
TR_MUST_USE enum tr_status tr_state_commit(struct tr_state *s, struct tr_clock at, struct tr_error *err);
/* Throws away what is in memory and not on disk. */
TR_MUST_USE enum tr_status tr_state_reload(struct tr_state *s, struct tr_clock at, struct tr_error *err);
/* Leases that ran out, backoffs that are over, the end of the grace, silent workers. Gives when to come again. */
int64_t tr_state_tick(struct tr_state *s, struct tr_clock at);

/* accounts.c. The secrets are given once and not kept. */
bool tr_account_add(struct tr_state *s, const char *name, struct tr_clock at, struct tr_account **out,
                    struct tr_fault *fault);
bool tr_key_add(struct tr_state *s, struct tr_account *account, const char *name, struct tr_clock at,
                struct tr_key **out, char secret[TR_SECRET_MAX], struct tr_fault *fault);
bool tr_key_revoke(struct tr_state *s, struct tr_key *key, struct tr_clock at, struct tr_fault *fault);
bool tr_deployment_add(struct tr_state *s, struct tr_account *account, const char *name, struct tr_clock at,
                       struct tr_deployment **out, char token[TR_SECRET_MAX], struct tr_fault *fault);
/* Takes `record`; NULL = not on AWS any more. */
bool tr_deployment_set_aws(struct tr_state *s, struct tr_deployment *d, struct tr_aws_record *record,
                           struct tr_fault *fault);
bool tr_deployment_drop(struct tr_state *s, struct tr_deployment *d, struct tr_clock at, struct tr_fault *fault);
/* Writes what it has used since the last commit. */
void tr_deployment_write_usage(struct tr_state *s, struct tr_deployment *d, struct tr_clock at);
/* By id or name, of this account only; NULL. */
struct tr_deployment *tr_deployment_find(const struct tr_state *s, const struct tr_account *account, const char *name);
/* Puts what the database has into the maps. */
TR_MUST_USE enum tr_status tr_accounts_load(struct tr_state *s, struct tr_error *err);
void tr_accounts_free(struct tr_state *s);

/* query.c */
bool tr_query_add(struct tr_state *s, struct tr_deployment *d, const char *plan, const char *manifest,
                  const struct tr_spec *spec, struct tr_clock at, struct tr_query **out, struct tr_fault *fault);
/* Ends a query that runs; drops it from memory. */
void tr_query_cancel(struct tr_state *s, struct tr_query *q, struct tr_clock at);
struct tr_query_error {
  const char *class, *sealed, *text; /* sealed may be NULL */
  int32_t stage, task;               /* -1 = none */
};
void tr_query_fail(struct tr_state *s, struct tr_query *q, const struct tr_query_error *error, struct tr_clock at);
/* The JSON that clients see. */
void tr_query_print(const struct tr_query *q, enum tr_query_state state, const struct tr_query_error *error,
                    int64_t finished, struct tr_text *out);
void tr_query_touch(struct tr_query *q);
TR_MUST_USE enum tr_status tr_queries_load(struct tr_state *s, struct tr_clock at, struct tr_error *err);
void tr_query_free(struct tr_state *s, struct tr_query *q);
/* A task has its result: counts, and whatever becomes ready by it. May end and free the query. */
struct tr_segments {
  const int64_t *rows, *bytes; /* one per part of the stage */
  int32_t n;
};
struct tr_task_result {
  int64_t attempt, rows;
  double seconds, core_seconds;
  int32_t slot; /* the kind of worker */
  struct tr_segments segments;
};
void tr_task_done(struct tr_state *s, struct tr_task *t, const struct tr_task_result *result, struct tr_clock at);
/* The object of a done task is gone: it runs again, and whoever reads it waits. */
void tr_task_lost(struct tr_state *s, struct tr_task *t, struct tr_clock at);

/* lease.c */
struct tr_report {
  char query[TR_ID_BYTES];
  int32_t stage, task;
  int64_t attempt;
  bool ok, retry, returned; /* returned: handed back, nobody's fault */
  int64_t winner;           /* attempt whose commit the bucket has, when ok */
  int64_t rows;
  double seconds; /* of a task handed back: > 0 = it ran so long, until its worker's time was over */
  struct tr_segments segments;
  const char *class, *sealed, *text; /* of a failure */
  int32_t lost_stage, lost_task;     /* an input object that is gone; -1 = none */
  int64_t lost_attempt;
  const struct tr_worker *by; /* NULL = nobody that is known */
};
/* False with a fault when a report names what cannot be; reports of queries that have ended are taken and ignored. */
bool tr_report_check(const struct tr_state *s, const struct tr_deployment *d, const struct tr_report *r,
                     struct tr_fault *fault);
/* A checked report. */
void tr_report_apply(struct tr_state *s, const struct tr_report *r, struct tr_clock at);
/* A lease as workers name it: q…/stage/task/attempt. False when it cannot be one. */
bool tr_lease_parse(const char *text, char query[TR_ID_BYTES], int32_t *stage, int32_t *task, int64_t *attempt);
/* The worker says that it runs this: the lease lives on, or is taken up after a restart. False: it should stop. */
bool tr_lease_renew(struct tr_state *s, struct tr_worker *w, const char *lease, struct tr_clock at);
/* Whether there is a task that this worker could be given now. */
bool tr_lease_ready(const struct tr_worker *w);
/* Gives out up to `want` tasks as JSON objects, comma after comma. Returns how many. */
int32_t tr_lease_give(struct tr_state *s, struct tr_worker *w, int32_t want, struct tr_clock at, struct tr_text *out);
/* The worker of this name, made when it is new. NULL with a fault. */
struct tr_worker *tr_worker_seen(struct tr_state *s, struct tr_deployment *d, const char *id, const char *kind,
                                 const char *instance, int32_t cores, int64_t memory, struct tr_clock at,
                                 struct tr_fault *fault);
void tr_worker_gone(struct tr_state *s, struct tr_worker *w);
/* Leases that ran out, backoffs and the grace that are over. */
void tr_leases_tick(struct tr_state *s, struct tr_clock at);
/* Fails queries with tasks that no worker has, or will have, the memory for. */
void tr_lease_look_at_large(struct tr_state *s, struct tr_deployment *d, struct tr_clock at);
/* Workers that would end the work at hand in target_ms. */
int64_t tr_workers_wanted(const struct tr_state *s, const struct tr_deployment *d);

/* straggler.c. A second lease of a task that is leased. */
void tr_copy_give(struct tr_task *t, struct tr_worker *w, int64_t attempt, int64_t until, struct tr_clock at);
/* The second lease is over; its worker hears of it with its next call. */
void tr_copy_drop(struct tr_task *t);
/* No second worker is to have it any more. */
void tr_copy_calm(struct tr_task *t);
bool tr_copy_is(const struct tr_task *t, int64_t attempt);
/* How long the second worker has been at it: its share of its time. */
double tr_copy_seconds(const struct tr_task *t, struct tr_clock at);
/* Looks for stragglers, and for second leases that have run out. */
void tr_copy_tick(struct tr_state *s, struct tr_clock at);

/* Between query.c and lease.c: a change of a task's state keeps every count and list true. A lease or backoff takes its
 * end from t->until, which for leases never is before that of an older one. */
void tr_task_set(struct tr_state *s, struct tr_task *t, enum tr_task_state state);
/* Its tasks may be given out from now on, or not any more. */
void tr_query_stage_open(struct tr_state *s, struct tr_query_stage *stage);
void tr_query_stage_shut(struct tr_state *s, struct tr_query_stage *stage);
