/* The worker: asks the scheduler for tasks, runs them (data/exec/task.h) against the deployment's store, reports.
 *
 * Two threads. The talker owns the conversation with the scheduler: one call reports what is done, renews what runs and
 * asks for more; with nothing to do it is a long poll. The runner runs one task after another with all cores. A task or
 * two are held ahead, so that the cores do not wait for the network.
 *
 * Nothing of data leaves but into the store. What a report says of an error is its class and its sealed text.
 */
#pragma once
#include "base/pool.h"
#include "base/text.h"
#include "data/exec/task.h"
#include "data/store/store.h"
#include "net/aws.h"
#include "net/crypto.h"
#include "net/http.h"
#include <pthread.h>

struct tr_worker_settings {
  char scheduler[512];             /* URL without path */
  char token[512];                 /* of the deployment; "" = the worker proves who it is */
  char deployment[65], region[33]; /* may be "" */
  char instance[201];              /* what the platform calls this worker; "" = nothing */
  char store[1024];
  char ca_file[512]; /* "" = the system's */
  char name[65], kind[33];
  int64_t renew_ms;      /* between two calls while a task runs; 2,000 */
  int64_t idle_ms;       /* a shift ends after so long without a task; 0 = never */
  int64_t patience_ms;   /* a shift ends when the scheduler does not answer for so long */
  int64_t grace_ms;      /* after being told to end what runs is handed back; 0 = when told once more */
  enum tr_aws_only only; /* where keys come from */
  bool die_with_parent;
  bool metrics; /* a line per task on stdout */
};

/* Where settings are looked up by name. */
struct tr_worker_lookup {
  const char *(*value)(const void *arg, const char *name);
  const void *arg;
  const char *where; /* for error texts: " in /etc/…" or "" */
  bool tokens;       /* a token may stand there */
};

/* From the environment and arguments. TR_EXC_VALUE naming what is missing or wrong. */
TR_MUST_USE enum tr_status tr_worker_settings_read(int argc, char **argv, struct tr_worker_settings *out,
                                                   struct tr_error *err);
/* From the environment of a Lambda function, which has no arguments. */
TR_MUST_USE enum tr_status tr_worker_settings_lambda(struct tr_worker_settings *out, struct tr_error *err);
/* From where only the owner of the account writes; what is in environment and arguments means nothing. May start the
 * program anew, with an environment of nothing but what the platform says. `place` is "ecs" or "ec2". */
TR_MUST_USE enum tr_status tr_worker_settings_fixed(const char *place, char **argv, struct tr_worker_settings *out,
                                                    struct tr_error *err);
/* "--fixed PLACE" as the first arguments; NULL when they are not. */
const char *tr_worker_fixed_place(int argc, char **argv);
/* What all ways of starting a worker have in common. */
TR_MUST_USE enum tr_status tr_worker_settings_begin(struct tr_worker_settings *out, struct tr_error *err);
/* Watches for a notice that the spot instance will be taken away, and drains. For the rest of the process' life. */
TR_MUST_USE enum tr_status tr_worker_watch_spot(struct tr_error *err);
/* Whether a platform may call a worker so. */
bool tr_worker_instance_fits(const char *id);
/* The settings that have names in `from`, over what `out` says. */
TR_MUST_USE enum tr_status tr_worker_settings_take(const struct tr_worker_lookup *from, struct tr_worker_settings *out,
                                                   struct tr_error *err);

/* ---- audit.c: what was sent to the scheduler, for `terality audit` */
struct tr_audit {
  const struct tr_worker_settings *settings; /* borrowed */
  struct tr_store *store;                    /* borrowed */
  pthread_mutex_t lock;
  /* Under the lock: lines that are not in the store yet, when and on which day the first of them came. */
  struct tr_text lines;
  int64_t first_ms;
  char day[11];
};
void tr_audit_open(struct tr_audit *a, const struct tr_worker_settings *settings, struct tr_store *store);
void tr_audit_close(struct tr_audit *a);
/* Any thread. `body` may be NULL. */
void tr_audit_note(struct tr_audit *a, const char *method, const char *path, const char *body);
/* Whether there is enough to write, or it has waited long enough. */
bool tr_audit_due(struct tr_audit *a);
/* Writes what there is. A failure is told on stderr and the lines stay. */
void tr_audit_write(struct tr_audit *a, int64_t within_ms);

/* ---- link.c: calls of the scheduler */
struct tr_link {
  struct tr_http *http;
  struct tr_audit *audit;                    /* borrowed */
  const struct tr_worker_settings *settings; /* borrowed */
  pthread_mutex_t lock;                      /* of what follows */
  char authorization[600];                   /* "" = there is no token yet */
  struct tr_aws_identity *identity;          /* NULL = the token was given, and holds */
  int64_t token_until_s, renew_at_s;         /* CLOCK_BOOTTIME */
};
enum tr_link_outcome {
  TR_LINK_OK,
  TR_LINK_AGAIN,  /* no answer, or 5xx: the same call may be made again */
  TR_LINK_REFUSED /* the scheduler does not want this worker, or what it said */
};
TR_MUST_USE enum tr_status tr_link_open(const struct tr_worker_settings *settings, struct tr_audit *audit,
                                        struct tr_link *out, struct tr_error *err);
void tr_link_close(struct tr_link *link);
/* `body` NULL = GET. Gives the reply's JSON. Cancelled by ctx: AGAIN. */
enum tr_link_outcome tr_link_call(struct tr_link *link, const char *path, const char *body, int64_t deadline_ms,
                                  struct tr_ctx *ctx, int *status, json_t **reply, struct tr_error *err);

/* One call as it is. Everything is borrowed. */
struct tr_link_message {
  const char *path, *body;   /* body NULL = GET */
  const char *authorization; /* NULL = none */
  const char *noted;         /* what the audit keeps of the body; NULL = the body */
  int64_t deadline_ms;
};
enum tr_link_outcome tr_link_send(struct tr_link *link, const struct tr_link_message *message, struct tr_ctx *ctx,
                                  int *status, json_t **reply, struct tr_error *err);

/* ---- identity.c: the token of a worker that proves its role */
TR_MUST_USE enum tr_status tr_identity_open(struct tr_link *link, struct tr_error *err);
/* Under the link's lock: sees to it that there is a token. */
enum tr_link_outcome tr_identity_ensure(struct tr_link *link, struct tr_ctx *ctx, int *status, struct tr_error *err);

/* ---- sources.c: the manifest of a query, and reading its sources */
struct tr_sources;
/* `manifest` is the JSON of uploads/manifest-<id>. The store is borrowed. */
TR_MUST_USE enum tr_status tr_sources_open(const char *manifest, size_t n, struct tr_store *store,
                                           const struct tr_seal_hooks *hooks, struct tr_sources **out,
                                           struct tr_error *err);
void tr_sources_free(struct tr_sources *s);
/* For struct tr_task_env. */
struct tr_task_sources tr_sources_reader(struct tr_sources *s);

/* ---- runner.c: one task */
struct tr_runner {
  struct tr_link *link;   /* borrowed */
  struct tr_store *store; /* borrowed */
  char deployment[64];
  bool has_key;
  uint8_t key[TR_KEY_BYTES];
  struct tr_seal_hooks hooks;
  struct tr_runner_query *queries; /* latest first */
  /* Of the task that runs: the producer whose object was not there. */
  int64_t lost_stage, lost_task, lost_attempt;
};
void tr_runner_close(struct tr_runner *r);
/* Runs a leased task. Gives its report as JSON text (free()); NULL when it was cancelled. */
char *tr_runner_run(struct tr_runner *r, struct tr_ctx *ctx, const json_t *task);

/* ---- metrics.c */
/* Prints the line of a task; `before` is what stores had done when it began, `report` NULL when it was stopped. */
void tr_metrics_log(const struct tr_worker_settings *s, const char *deployment, const json_t *task, const char *report,
                    double seconds, const struct tr_store_totals *before);

/* ---- talker.c */
struct tr_worker;

/* From the start of work until the worker is idle, told to end, or out of time. The scheduler knows each by its name.
 */
struct tr_worker_shift {
  char name[65];
  char instance[201]; /* what the platform calls it; "" = nothing */
  /* When it must be over, by both clocks: a machine that was frozen may have lost time in the one, and the other may
   * be set. The earlier counts. 0 = never. */
  int64_t wall_ms, steady_ms;
  /* What came of it. */
  int64_t n_tasks;
  const char *end; /* "idle", "drained", "deadline" */
};
/* A shift that must be over in `total_ms`. */
void tr_worker_shift_limit(struct tr_worker_shift *shift, int64_t total_ms);

/* Opens store and link and starts the thread that runs tasks. One per process. `settings` is borrowed. */
TR_MUST_USE enum tr_status tr_worker_open(const struct tr_worker_settings *settings, struct tr_worker **out,
                                          struct tr_error *err);
/* Works for a shift. Reports that could not be sent are sent in the next one. */
TR_MUST_USE enum tr_status tr_worker_work(struct tr_worker *w, struct tr_worker_shift *shift, struct tr_error *err);
/* The process was frozen meanwhile: connections that may have died unseen are given up. */
void tr_worker_thaw(struct tr_worker *w);
void tr_worker_close(struct tr_worker *w);
/* One shift without an end in time. */
TR_MUST_USE enum tr_status tr_worker_run(const struct tr_worker_settings *settings, struct tr_error *err);
/* Takes no more tasks, finishes what runs, hands back the rest. A second call stops what runs. Any thread. */
void tr_worker_drain(void);
bool tr_worker_is_drained(void);

/* ---- lambda.c: the worker as bootstrap of an AWS Lambda function */
/* Where the runtime API is, NULL when this is no Lambda environment. */
const char *tr_lambda_api(void);
/* Serves invocations until told to end; each is a wake-up call for one shift. Gives the exit status. */
int tr_lambda_run(const char *api);
