/* Inside of the launchers: the books of a deployment, and calls on their way. See launch.h. */
#pragma once
#include "net/aws_call.h"
#include "scheduler/launch/launch.h"
#include "scheduler/scale/scale.h"
#include <pthread.h>

enum {
  LAUNCH_CALLS = 50,         /* launching calls of a kind under way at a time */
  LAUNCH_TASKS_PER_CALL = 10, /* RunTask's own limit */
  LAUNCH_BATCHES = 32,
  LAUNCH_RETRY_MS = 1000,    /* after a failure; then twice as long each time … */
  LAUNCH_RETRY_MOST_MS = 60000, /* … up to a minute */
  LAUNCH_UNSEEN_MS = 120000, /* a function or task that has not asked for work by then has failed */
  LAUNCH_BOOT_MS = 300000,   /* the same of an instance */
  LAUNCH_LOST_MS = 20000,    /* after a drained worker's last sign its instance is ended all the same */
  LAUNCH_NAME = 33
};

/* What goes wrong, since when. n = 0: nothing. */
struct launch_trouble {
  char code[80], text[600];
  int32_t n;                 /* in a row */
  int64_t since, last;       /* wall */
  int64_t since_now, retry_at; /* monotonic */
};

struct launch_batch {
  int64_t at;
  int32_t n;
};

/* One kind of worker: a function, the tasks, or the group. */
struct launch_kind {
  char name[LAUNCH_NAME];
  enum tr_scale_launcher launcher;
  int32_t function; /* which of the record's */
  int32_t waiting;  /* to be asked for when a call is free */
  int32_t asking;   /* by calls under way */
  int32_t calls;    /* under way */
  struct launch_batch unseen[LAUNCH_BATCHES]; /* functions: invoked, not seen yet; oldest first */
  int32_t n_unseen;
  int32_t starting; /* all of these, and instances on their way: as of the last look */
  int64_t starting_since; /* monotonic; 0 = none */
  int32_t running, busy, draining;
  struct launch_trouble trouble;
};

enum launch_phase { LAUNCH_STARTING, LAUNCH_SEEN, LAUNCH_ENDING };

/* An ECS task or an EC2 instance. */
struct launch_instance {
  char id[TR_INSTANCE_BYTES];
  int32_t kind;
  enum launch_phase phase;
  bool draining;  /* its worker was told to end */
  bool listed;    /* in the last description */
  bool calling;   /* its end is being asked for */
  int64_t since;  /* of the phase */
  int64_t seen;   /* its worker's last call */
};

struct launch_session {
  struct tr_aws_keys keys; /* access_key NULL = none */
  int64_t until;           /* monotonic: may be used until then */
  bool asking;
  struct launch_trouble trouble;
};

/* The autoscaling group as AWS tells it. */
struct launch_group {
  bool known, asking, setting;
  int32_t desired, max;
  int64_t described, changes; /* changes: calls that change it; a description asked for before one is old */
};

struct launch_tasks {
  bool asking;
  int64_t described;
};

enum { LAUNCH_METRICS = 16 };
struct launch_metric {
  char name[60], kind[LAUNCH_NAME];
  double value; /* sum of the last five minutes, or mean */
  bool told;
};
struct launch_metrics {
  bool asking, known;
  int64_t asked, at; /* monotonic of the question, wall of the answer */
  int64_t wanted;    /* somebody looked at the health then; monotonic */
  int32_t n;
  struct launch_metric list[LAUNCH_METRICS];
  struct launch_trouble trouble;
};

/* What a managed deployment has to have made before workers can be started. */
struct launch_making {
  int32_t step, sub; /* step < 0: all is there */
  int64_t again_at;  /* AWS is still busy with the last one; monotonic */
  bool asking;
  struct launch_trouble trouble;
};

struct launch_deployment {
  char id[TR_ID_BYTES];
  int64_t version; /* of the record these books are for */
  struct launch_session session;
  int32_t n_kinds;
  struct launch_kind kinds[TR_SCALE_KINDS];
  struct tr_name_map instances;
  struct launch_group group;
  struct launch_tasks tasks;
  struct launch_making making;
  struct launch_metrics metrics;
  struct tr_scale_view view; /* of the last look */
  const char *why;
  bool alive; /* found in the state by this look */
};

struct launch_call;
typedef void (*launch_apply)(struct tr_launch *l, struct launch_deployment *d, struct launch_call *c,
                             struct tr_state *s, struct tr_clock at);

/* A call under way, then its answer. */
struct launch_call {
  struct launch_call *next;
  struct tr_launch *l;
  char deployment[TR_ID_BYTES];
  int64_t version;
  launch_apply apply;
  int32_t kind, n;
  int64_t changes;
  char subject[TR_INSTANCE_BYTES];
  struct tr_aws_answer answer;
};

struct launch_sts; /* a proof at STS */

struct launch_counters {
  int64_t started, failed, ended, sessions, sts_asked, sts_refused;
};

struct tr_launch {
  struct tr_http *http;
  struct tr_aws_client *aws;
  char *sts_endpoint;
  void (*wake)(void *arg);
  void *wake_arg;
  pthread_mutex_t lock; /* answers */
  struct launch_call *answers, **answers_end;
  struct launch_own *own; /* the scheduler's own keys */
  struct tr_name_map deployments;
  struct launch_sts *sts;
  int64_t tickets;
  int64_t planned; /* monotonic */
  int64_t looked_ms; /* how long apart two looks are at least */
  struct launch_counters counters;
};

/* launch.c. The answer comes to `apply`, unless the record has changed meanwhile. Gives the call so that its fields can
 * be filled before it is sent; NULL without memory. */
struct launch_call *launch_call_new(struct tr_launch *l, const struct launch_deployment *d, launch_apply apply);
/* Sends with the session's keys, which must hold. */
void launch_call_send(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                      const char *service, const char *action, struct tr_aws_call *call);
/* The common forms: query protocol, and JSON with a target. The body is freed. */
void launch_call_query(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                       const char *service, const char *action, struct tr_text *body);
void launch_call_json(struct launch_call *c, const struct launch_deployment *d, const struct tr_aws_record *r,
                      const char *action, struct tr_text *body);
/* The `done` of calls: puts the answer into the queue. Any thread. */
void launch_call_done(void *arg, struct tr_aws_answer *answer);
void launch_call_free(struct launch_call *c);

/* Books of trouble. `what` is for the log: "lambda-small of deployment d…". */
void launch_trouble_add(struct launch_trouble *t, const struct launch_deployment *d, const char *what,
                        const char *code, const char *text, struct tr_clock at);
void launch_trouble_end(struct launch_trouble *t, const struct launch_deployment *d, const char *what);
/* After any answer of AWS': keys that are no good are thrown away. */
void launch_note_answer(struct launch_deployment *d, const struct tr_aws_answer *answer);

/* session.c: whether calls can be made; if not, it is being seen to. */
bool launch_session_ready(struct tr_launch *l, struct launch_deployment *d, const struct tr_deployment *of,
                          struct tr_clock at);
TR_MUST_USE enum tr_status launch_own_new(struct tr_launch *l, struct launch_own **out, struct tr_error *err);
void launch_own_stop(struct launch_own *o);
void launch_own_free(struct launch_own *o);

/* kinds */
void launch_lambda_step(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                        const struct tr_aws_record *r, struct tr_clock at);
void launch_ecs_step(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                     const struct tr_aws_record *r, struct tr_clock at);
void launch_ec2_step(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k,
                     const struct tr_aws_record *r, struct tr_clock at);
bool launch_ecs_owns(const struct tr_aws_record *r, const char *instance);
/* A launching call of `n` workers went wrong; one went well. */
void launch_kind_failed(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k, int32_t n,
                        const struct tr_aws_answer *answer, struct tr_clock at);
void launch_kind_worked(struct tr_launch *l, struct launch_deployment *d, struct launch_kind *k, int32_t n);
struct launch_instance *launch_instance_add(struct launch_deployment *d, const char *id, int32_t kind, int64_t since);
void launch_instance_drop(struct launch_deployment *d, struct launch_instance *i);

/* managed.c: makes and updates what the record asks for, step by step; true when all is there. */
bool launch_managed_step(struct tr_launch *l, struct launch_deployment *d, const struct tr_aws_record *r,
                         struct tr_clock at);
/* metrics.c */
void launch_metrics_step(struct tr_launch *l, struct launch_deployment *d, const struct tr_deployment *of,
                         struct tr_clock at);
/* sts.c */
void launch_sts_free_all(struct tr_launch *l);
void launch_sts_tick(struct tr_launch *l, struct tr_clock at);
