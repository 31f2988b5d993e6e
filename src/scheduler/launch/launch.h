/* Who talks to AWS for the scheduler: starts and ends workers, asks STS who a worker is, reads CloudWatch.
 *
 * The state's thread calls everything here; nothing blocks. What is to be done becomes signed calls on the HTTP
 * client's thread; their answers come into a queue, `wake` wakes the loop, and tr_launch_take changes the books. Twice
 * a second or so tr_launch_plan looks at every deployment with an AWS record: a view (scaling.h), the decision
 * (scale/scale.h), and its orders as calls. The books are memory, by deployment: who was asked for and not seen yet,
 * what failed since when. ECS tasks are in the database too, because no call of the minimal grade lists them;
 * autoscaling groups are asked.
 *
 * A call that fails costs no work: tasks wait, other kinds of workers take them. It is told on stderr when it begins
 * and ends, in /metrics and in the deployment's health, and tried again after a second, two, … a minute.
 */
#pragma once
#include "scheduler/state/state.h"

struct tr_launch;

struct tr_launch_options {
  const char *aws_endpoint; /* for all services; NULL = AWS' own. Copied, as the next */
  const char *sts_endpoint; /* allowed for proofs of identity besides AWS' own; NULL = none */
  void (*wake)(void *arg);  /* any thread */
  void *arg;
};

TR_MUST_USE enum tr_status tr_launch_new(const struct tr_launch_options *options, struct tr_launch **out,
                                         struct tr_error *err);
/* Cancels what is under way. NULL is allowed. */
void tr_launch_free(struct tr_launch *l);
/* Takes the answers that have come. */
void tr_launch_take(struct tr_launch *l, struct tr_state *s, struct tr_clock at);
/* Looks, decides, calls. Gives when to come again. */
int64_t tr_launch_plan(struct tr_launch *l, struct tr_state *s, struct tr_clock at);

/* The health of a deployment as JSON: GET /v1/deployments/{id}/health. Metrics that are old are asked for. */
void tr_launch_print_health(struct tr_launch *l, const struct tr_state *s, const struct tr_deployment *d,
                            struct tr_clock at, struct tr_text *out);
/* For /metrics. */
void tr_launch_print_metrics(const struct tr_launch *l, struct tr_text *out);

/* Asks STS about a proof that tr_proof_check let pass. Gives a ticket, 0 with a fault when there are too many. `l` may
 * be NULL here and below: then nobody asks. */
int64_t tr_launch_ask_sts(struct tr_launch *l, const struct tr_proof *p, struct tr_clock at, struct tr_fault *fault);
const char *tr_launch_sts_endpoint(const struct tr_launch *l);
/* Whether the answer to it is there. */
bool tr_launch_sts_ready(const struct tr_launch *l, int64_t ticket);
/* Takes the answer: who it is, or a fault. False when the ticket is unknown. */
struct tr_sts_answer {
  bool known;
  char account[13], role[65];
  struct tr_fault fault;
};
bool tr_launch_take_sts(struct tr_launch *l, int64_t ticket, struct tr_sts_answer *out);
