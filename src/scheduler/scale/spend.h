/* What queries and deployments cost, estimated: prices.h tells how far that goes.
 *
 * A query costs what its tasks cost, those that failed or were lost too: seconds on a worker times the worker's price,
 * and the requests that a task makes to S3 (a GET per piece or producer that it reads, a PUT for what it writes and one
 * for the commit). That is kept with the tasks, the query and the account's usage, all durable. A deployment costs what
 * its workers cost, working or idle, from their start; that is kept by the minute for an hour, and is what the cap on
 * dollars per hour looks at. Workers that are not on AWS (local, ray) cost nothing.
 */
#pragma once
#include "scheduler/state/state.h"

/* Dollars a second of this worker. NULL = nobody. */
double tr_spend_rate(const struct tr_worker *w);
/* A task that is leased has ended, well or not, after `seconds` of work. Requests are counted when `ran`. */
void tr_spend_task(struct tr_state *s, struct tr_task *t, const struct tr_worker *w, double seconds, bool ran);
/* The same of a task that the database gave back. */
void tr_spend_reload(const struct tr_task *t);
/* Of the running task: its share of the worker's time since it was leased. */
double tr_spend_flight_seconds(const struct tr_task *t, struct tr_clock at);
/* Once a second: what workers cost, what running tasks have cost so far; queries over their cap fail. Gives when to
 * come again. */
int64_t tr_spend_tick(struct tr_state *s, struct tr_clock at);
/* Of the last 60 minutes. */
double tr_spend_hour(const struct tr_deployment *d, struct tr_clock at);
TR_MUST_USE enum tr_status tr_spend_load(struct tr_state *s, struct tr_clock at, struct tr_error *err);
