/* What AWS asks for, and how soon it delivers: the one table that the estimates of spend.h, the decisions of scaling.h
 * and the simulator of bench/scale_sim stand on. Nothing in it was measured by us on AWS; docs/autoscaling.md lists
 * every figure with its source.
 *
 * Prices are of us-east-1, arm64, Linux, as published in November 2026, without free tiers, discounts, taxes and what
 * is paid whatever runs (the bucket's bytes, logs). x86-64 is a quarter dearer on Lambda and Fargate. Other regions
 * differ.
 */
#pragma once
#include "scheduler/scale/scale.h"

struct tr_prices {
  double lambda_gb_second, lambda_call;
  double fargate_core_hour, fargate_gb_hour;
  double ec2_core_hour, ec2_spot_core_hour; /* compute-optimised, 2 GB a core (c7g) */
  double s3_get, s3_put;                    /* each */
};
extern const struct tr_prices tr_prices;

/* Dollars an hour of one running worker. `kind` as workers report it; kinds that are none of AWS' cost nothing.
 * memory: bytes that the function, task or instance has. */
double tr_price_of_worker(const char *kind, double cores, int64_t memory, bool spot);
/* Fills name, launcher, cores, memory, price, start, idle end and burst; the rest is zero. cores <= 0: Lambda's share
 * for that memory. False for a kind that is none of AWS'. */
bool tr_price_kind(const char *kind, double cores, int64_t memory, bool spot, struct tr_scale_kind *out);
/* The workers' own rule: an idle one ends by itself after so long unless it is told to stay. */
double tr_price_own_idle(enum tr_scale_launcher launcher);
/* The kinds that AWS has, numbered from 1; 0 = none of them. */
enum { TR_PRICE_SLOTS = 5 };
int tr_price_slot(const char *kind);
/* So many times as long as on a function takes a core of this kind, taken before it has been measured. */
double tr_price_pace(int slot);
/* Cores of a function with so much memory. */
double tr_lambda_cores(int64_t memory);
