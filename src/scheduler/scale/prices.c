/* See prices.h. Each figure has its source; [V] was read in a public source, [R] is from memory and wants a check. */
#include "scheduler/scale/prices.h"
#include <stdio.h>
#include <string.h>

const struct tr_prices tr_prices = {
    /* aws.amazon.com/lambda/pricing: 0.0000133334 a GB-second of arm64, 0.20 a million calls [V] */
    .lambda_gb_second = 0.0000133334,
    .lambda_call = 0.20e-6,
    /* aws.amazon.com/fargate/pricing: Linux on arm64 [V]; seconds, at least a minute */
    .fargate_core_hour = 0.03238,
    .fargate_gb_hour = 0.00356,
    /* c7g.2xlarge on demand at 0.29 for 8 cores [R]; spot varies by the hour, taken as 0.12 [R]; at least a minute */
    .ec2_core_hour = 0.0363,
    .ec2_spot_core_hour = 0.015,
    /* aws.amazon.com/s3/pricing: Standard, 0.0004 and 0.005 a thousand [V] */
    .s3_get = 0.0004e-3,
    .s3_put = 0.005e-3,
};

static const double gb = 1024.0 * 1024 * 1024;

/* 1,769 MB are one core, the largest (10,240 MB) has six at most [V]. */
double tr_lambda_cores(int64_t memory) {
  double cores = (double)memory / (1769.0 * 1024 * 1024);
  return cores > 6 ? 6 : cores;
}

int tr_price_slot(const char *kind) {
  static const char *const names[TR_PRICE_SLOTS] = {"", "lambda-small", "lambda-large", "ecs", "ec2"};
  for (int i = 1; i < TR_PRICE_SLOTS; i++)
    if (strcmp(kind, names[i]) == 0) return i;
  return 0;
}

/* An instance of 8 cores has half as much network for a core as a function of one: 39 and 75 MB/s. What waits for the
 * network takes 1.9 times as long there and what computes as long; 1.4 is between. */
double tr_price_pace(int slot) { return slot == 4 ? 1.4 : 1; }

static bool is_lambda(const char *kind) { return strncmp(kind, "lambda", 6) == 0; }

double tr_price_of_worker(const char *kind, double cores, int64_t memory, bool spot) {
  const struct tr_prices *p = &tr_prices;
  if (is_lambda(kind)) return p->lambda_gb_second * 3600 * (double)memory / gb;
  if (strcmp(kind, "ecs") == 0) return p->fargate_core_hour * cores + p->fargate_gb_hour * (double)memory / gb;
  if (strcmp(kind, "ec2") == 0) return cores * (spot ? p->ec2_spot_core_hour : p->ec2_core_hour);
  return 0;
}

double tr_price_own_idle(enum tr_scale_launcher launcher) { return launcher == TR_SCALE_LAMBDA ? 2 : 60; }

bool tr_price_kind(const char *kind, double cores, int64_t memory, bool spot, struct tr_scale_kind *out) {
  bool lambda = is_lambda(kind), ecs = strcmp(kind, "ecs") == 0;
  if (!lambda && !ecs && strcmp(kind, "ec2") != 0) return false;
  if (lambda && cores <= 0) cores = tr_lambda_cores(memory);
  *out = (struct tr_scale_kind){.launcher = lambda ? TR_SCALE_LAMBDA
                                            : ecs  ? TR_SCALE_ECS
                                                   : TR_SCALE_EC2,
                                .cores = cores,
                                .memory = memory,
                                .pace = tr_price_pace(tr_price_slot(kind)),
                                .usd_per_hour = tr_price_of_worker(kind, cores, memory, spot)};
  snprintf(out->name, sizeof out->name, "%s", kind);
  out->idle_s = tr_price_own_idle(out->launcher);
  if (lambda) {
    /* A cold start of a small native runtime is tens of ms [V]; the call and the first lease come on top. A function
     * grows by 1,000 environments in 10 s [V]. */
    out->start_s = 0.5;
    out->burst = 1000;
    out->burst_per_s = 100;
  } else if (ecs) {
    /* 53 to 62 s with a 413 MB image [V], of which the interface is 10; ours is some 20 MB. RunTask: 100 tasks, then
     * 20 a second [V]. */
    out->start_s = 35;
    out->burst = 100;
    out->burst_per_s = 20;
  } else {
    /* RunInstances to a shell 25.8 s [V]; the group's own step and fetching the worker come on top. Of instances an
     * account may start 1,000 at once, then 2 a second [V]. */
    out->start_s = 40;
    out->burst = 1000;
    out->burst_per_s = 2;
  }
  return true;
}
