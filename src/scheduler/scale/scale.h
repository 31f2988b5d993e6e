/* How many workers of which kind: a pure function of counts, so that the scheduler and bench/scale_sim run the very
 * same code. Nothing here reads a clock, keeps state or knows AWS.
 *
 * The rule (docs/autoscaling.md): enough workers to end the work at hand in the target time; the fast and dear kind at
 * once, the slow and cheap kind for what will still be left when it is up; the dear one drains as the cheap one comes.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* How what is measured is weighed against what was expected; the simulator weighs with the same. */
static const double tr_scale_known_share = 0.05; /* what was expected counts as so much of the stage's rows */
static const double tr_scale_pace_step = 0.05;   /* what one task changes of the pace of its kind, at most */

enum tr_scale_launcher { TR_SCALE_LAMBDA, TR_SCALE_ECS, TR_SCALE_EC2 };
#define TR_SCALE_KINDS 8

/* One kind of worker that a deployment can start. */
struct tr_scale_kind {
  char name[33]; /* as the workers report it: "lambda-small", "ecs", "ec2" */
  enum tr_scale_launcher launcher;
  double cores;        /* of one worker; Lambda has fractions */
  int64_t memory;      /* bytes of one worker */
  double usd_per_hour; /* of one running worker */
  double pace;         /* its cores take so many times as long as those that core_seconds_left is counted in; 0 = 1 */
  double start_s;      /* from the call until it asks for work */
  double idle_s;       /* an idle worker ends after so long when nothing is to come */
  int32_t max;         /* of this kind at a time; 0 = cannot be started now */
  int32_t burst;       /* so many may be asked for at once … */
  double burst_per_s;  /* … and so many more per second */
  int32_t running;     /* have asked for work, not draining */
  int32_t busy;        /* of those, with a lease */
  int32_t draining;
  int32_t starting;      /* asked for, not seen yet */
  double starting_for_s; /* how long the oldest of them has been; 0 = none */
  double failing_for_s;  /* launch calls have failed for so long; 0 = they work */
};

struct tr_scale_view {
  double core_seconds_left;  /* of all accepted queries */
  double core_seconds_later; /* of those, in tasks that cannot run before others have ended */
  double task_core_seconds;  /* of a whole task, of those that can run now: the mean */
  int32_t tasks_left;        /* not done */
  int32_t tasks_open;        /* ready or leased: what workers could run now */
  int32_t tasks_large;       /* of those: need task_memory; 0 while task_memory is not = all */
  int32_t tasks_long;        /* of those: outlast a function's time, and are for the other kinds */
  int64_t task_memory;       /* that a worker must have for them; 0 = any */
  double target_s;
  int32_t max_workers;                    /* of the deployment */
  double usd_this_hour, usd_per_hour_max; /* spent in the last 60 minutes; max 0 = no cap */
  double usd_left_queries;                /* what all running queries may still spend; < 0 = no cap */
  bool stop;                              /* deployment is going away: drain everything */
  int32_t n_kinds;
  struct tr_scale_kind kinds[TR_SCALE_KINDS];
};

/* What to do about one kind. */
struct tr_scale_order {
  int32_t launch; /* so many more than running + starting */
  int32_t drain;  /* so many of the running ones, idle ones first */
  double stay_s;  /* one that is idle for so long is to end; at least the kind's idle_s */
};

struct tr_scale_orders {
  struct tr_scale_order kinds[TR_SCALE_KINDS]; /* as in the view */
  const char
      *why; /* a word for people and logs: "work", "idle", "cap_hour", "cap_query", "cap_workers", "steady", "stop" */
};

void tr_scale_decide(const struct tr_scale_view *view, struct tr_scale_orders *out);
