/* The rule of scale.h: what it must do in plain cases, what must hold for any view whatever, and that it settles. */
#include "scheduler/scale/scale.h"
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int64_t gib = 1 << 30;

/* Prices and starts as the page on AWS has them: Lambda of one vCPU, Fargate of 4, a spot instance of 8. */
static struct tr_scale_kind lambda(void) {
  return (struct tr_scale_kind){.name = "lambda-small",
                                .launcher = TR_SCALE_LAMBDA,
                                .cores = 1,
                                .memory = 1769 << 20,
                                .usd_per_hour = 0.083,
                                .start_s = 0.5,
                                .idle_s = 2,
                                .max = 1000,
                                .burst = 1000,
                                .burst_per_s = 100};
}

static struct tr_scale_kind large_lambda(void) {
  struct tr_scale_kind k = lambda();
  strcpy(k.name, "lambda-large");
  k.cores = 5.79;
  k.memory = 10 * gib;
  k.usd_per_hour = 0.083 * 5.79;
  return k;
}

static struct tr_scale_kind fargate(void) {
  return (struct tr_scale_kind){.name = "ecs",
                                .launcher = TR_SCALE_ECS,
                                .cores = 4,
                                .memory = 16 * gib,
                                .usd_per_hour = 0.16,
                                .start_s = 35,
                                .idle_s = 60,
                                .max = 500,
                                .burst = 100,
                                .burst_per_s = 20};
}

static struct tr_scale_kind spot(void) {
  return (struct tr_scale_kind){.name = "ec2",
                                .launcher = TR_SCALE_EC2,
                                .cores = 8,
                                .memory = 16 * gib,
                                .usd_per_hour = 0.12,
                                .start_s = 30,
                                .idle_s = 60,
                                .max = 10000,
                                .burst = 10000,
                                .burst_per_s = 1000};
}

/* Lambda first, spot second, Fargate third. */
enum { L, E, F };
static struct tr_scale_view view_of(double core_seconds, int32_t tasks) {
  return (struct tr_scale_view){.core_seconds_left = core_seconds,
                                .tasks_left = tasks,
                                .tasks_open = tasks,
                                .target_s = 30,
                                .max_workers = 10000,
                                .usd_left_queries = -1,
                                .n_kinds = 3,
                                .kinds = {lambda(), spot(), fargate()}};
}

static struct tr_scale_orders decide(const struct tr_scale_view *v) {
  struct tr_scale_orders out;
  tr_scale_decide(v, &out);
  return out;
}

static void little_work_is_lambdas(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 500);
  struct tr_scale_orders o = decide(&v);
  /* 3000 core-seconds in 30 s are 100 cores. They end before an instance is up. */
  assert_int_equal(o.kinds[L].launch, 100);
  assert_int_equal(o.kinds[E].launch, 0);
  assert_int_equal(o.kinds[F].launch, 0);
  assert_string_equal(o.why, "work");
}

static void no_more_workers_than_tasks(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 7);
  assert_int_equal(decide(&v).kinds[L].launch, 7);
}

static void a_long_target_waits_for_the_cheap_kind(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(12000, 2000);
  v.target_s = 60;
  struct tr_scale_orders o = decide(&v);
  /* 30 s to start, 30 s to work: 400 cores at a sixth of the price of functions, starts and idle ends included. */
  assert_int_equal(o.kinds[L].launch, 0);
  assert_int_equal(o.kinds[E].launch, 50);
  v.kinds[E].starting = 50;
  v.kinds[E].starting_for_s = 10;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch + o.kinds[E].launch, 0);
  v.kinds[E].starting = 0;
  v.kinds[E].max = 10; /* not enough of them */
  assert_true(decide(&v).kinds[L].launch > 0);
}

static void unknown_work_is_some_work(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(0, 5);
  assert_int_equal(decide(&v).kinds[L].launch, 1);
  v.tasks_open = 0;
  assert_int_equal(decide(&v).kinds[L].launch, 1);
}

static void what_functions_cannot_do_is_for_others(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 4);
  v.tasks_large = v.tasks_long = 4;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 0);
  assert_true(o.kinds[E].launch + o.kinds[F].launch > 0);
  /* Functions are there and have enough to do, and one task waits for somebody else. */
  v.core_seconds_left = 10;
  v.tasks_large = v.tasks_long = 1;
  v.kinds[L].running = v.kinds[L].busy = 3;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 0);
  assert_int_equal(o.kinds[E].launch + o.kinds[F].launch, 1);
  v.kinds[E].starting = 1;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch + o.kinds[E].launch + o.kinds[F].launch, 0);
  /* When there is nobody else there is nothing to do. */
  v.kinds[E] = v.kinds[F] = (struct tr_scale_kind){0};
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 0);
}

static void much_work_is_both(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 1000);
  /* 1000 functions do 29,500 core-seconds before instances are up at 30 s; 970,500 are left: 32,350 cores. */
  assert_int_equal(o.kinds[E].launch, 4044);
  assert_int_equal(o.kinds[F].launch, 0);
  v = view_of(1e7, 100000);
  v.kinds[E].max = 3000;
  o = decide(&v);
  assert_int_equal(o.kinds[E].launch, 3000);
  assert_true(o.kinds[F].launch > 0); /* what spot may not have */
}

static void dear_drains_as_cheap_comes(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  v.kinds[L].running = 1000;
  v.kinds[E].starting = 4044;
  v.kinds[E].starting_for_s = 20;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 0);
  assert_int_equal(o.kinds[L].launch, 0);
  v.kinds[E].running = 50;
  v.kinds[E].starting -= 50;
  o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 400); /* 50 x 8 cores */
  v.kinds[L].running = 600;
  v.kinds[L].draining = 400;
  o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 0);
  assert_int_equal(o.kinds[L].launch, 0);
  v.kinds[E].running = 4044;
  v.kinds[E].starting = 0;
  assert_int_equal(decide(&v).kinds[L].drain, 600);
}

static void nothing_drains_for_a_work_that_shrinks(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(10, 5);
  v.kinds[L].running = 100;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].drain + o.kinds[L].launch, 0);
  assert_string_equal(o.why, "steady");
}

static void without_work_nothing_happens(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(0, 0);
  v.kinds[L].running = v.kinds[E].running = 10;
  struct tr_scale_orders o = decide(&v);
  for (int i = 0; i < 3; i++) assert_int_equal(o.kinds[i].launch + o.kinds[i].drain, 0);
  assert_string_equal(o.why, "idle");
}

static void stop_drains_all(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 1000);
  v.stop = true;
  v.kinds[L].running = 3;
  v.kinds[E].running = 2;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 3);
  assert_int_equal(o.kinds[E].drain, 2);
  assert_int_equal(o.kinds[L].launch + o.kinds[E].launch, 0);
  assert_string_equal(o.why, "stop");
}

static void workers_are_capped(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  v.max_workers = 200;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].launch + o.kinds[E].launch + o.kinds[F].launch, 200);
  /* Instances have eight times the cores of a place: they get the most of them. */
  assert_int_equal(o.kinds[L].launch, 50);
  assert_int_equal(o.kinds[E].launch, 150);
  v.kinds[L].running = 50;
  v.kinds[E].running = 150;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch + o.kinds[E].launch, 0);
  assert_string_equal(o.why, "cap_workers");
  assert_int_equal(o.kinds[L].drain, 50);
}

static void functions_make_room_for_instances(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  v.max_workers = 200;
  v.kinds[L].running = 200;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 150);
  v.kinds[L].running = 50;
  v.kinds[L].draining = 150;
  o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 0);
  v.kinds[L].draining = 0;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 0);
  assert_int_equal(o.kinds[E].launch, 150);
}

static void dollars_are_capped(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 500);
  v.usd_per_hour_max = 1;
  v.usd_this_hour = 0.99;
  struct tr_scale_orders o = decide(&v);
  /* One function for 32.5 s is $0.00075: a cent is 13 of them. */
  assert_int_equal(o.kinds[L].launch, 13);
  v.usd_this_hour = 0.9999;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 0);
  assert_string_equal(o.why, "cap_hour");
  v.kinds[L].running = 5;
  v.usd_this_hour = 1;
  o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 5);
  v.usd_this_hour = 0;
  v.usd_left_queries = 0;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch + o.kinds[L].drain, 0);
  assert_string_equal(o.why, "cap_query");
}

static void a_failing_launcher_is_passed_over(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 500);
  v.kinds[L].failing_for_s = 5;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[E].launch, 13); /* 100 cores */
  assert_true(o.kinds[L].launch <= 1);     /* a try */
  v.n_kinds = 1;
  o = decide(&v);
  assert_int_equal(o.kinds[L].launch, 1);
  v.kinds[L].starting = 1;
  assert_int_equal(decide(&v).kinds[L].launch, 0);
}

static void starts_that_never_end_are_passed_over(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  v.kinds[L].max = 0;
  v.kinds[E].starting = 4000;
  v.kinds[E].starting_for_s = 100;
  assert_int_equal(decide(&v).kinds[F].launch, 0);
  v.kinds[E].starting_for_s = 200;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[E].launch, 0);
  assert_int_equal(o.kinds[F].launch, 100); /* its burst */
}

static void large_tasks_get_large_workers(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 500);
  v.kinds[2] = large_lambda();
  v.task_memory = 4 * gib;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[0].launch, 0);
  assert_int_equal(o.kinds[2].launch, 18); /* 100 cores of 5.79 */
  v.task_memory = 400 * gib;               /* nobody has it: the largest tries */
  o = decide(&v);
  assert_int_equal(o.kinds[0].launch, 0);
  assert_true(o.kinds[1].launch > 0);
}

static void a_few_large_tasks_get_a_few_large_workers(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(3000, 500);
  v.kinds[2] = large_lambda();
  v.task_memory = 4 * gib;
  v.tasks_large = 3;
  struct tr_scale_orders o = decide(&v);
  /* 3 tasks of 6 core-seconds: one will do. The rest of the 100 cores are small. */
  assert_int_equal(o.kinds[2].launch, 1);
  assert_int_equal(o.kinds[0].launch, 95);
  /* Small ones that have nothing else to do are no help. */
  v = view_of(10, 2);
  v.kinds[2] = large_lambda();
  v.kinds[0].running = 50;
  v.task_memory = 4 * gib;
  v.tasks_large = 2;
  o = decide(&v);
  assert_int_equal(o.kinds[2].launch, 1);
  assert_int_equal(o.kinds[0].launch, 0);
  v.kinds[2].running = 1;
  assert_int_equal(decide(&v).kinds[2].launch, 0);
}

/* Instances are there for the rest and would have functions go, but only the large one of these has the memory. */
static void the_large_one_stays_for_the_large_task(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  v.kinds[2] = large_lambda();
  v.kinds[2].memory = 32 * gib;
  v.kinds[E].running = 4044;
  v.kinds[2].running = 3;
  v.task_memory = 20 * gib;
  v.tasks_large = 2;
  assert_int_equal(decide(&v).kinds[2].drain, 1);
  v.tasks_large = 0;
  v.task_memory = 0;
  assert_int_equal(decide(&v).kinds[2].drain, 3);
}

static void large_functions_help_when_small_ones_are_too_few(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(60000, 5000);
  v.kinds[2] = large_lambda();
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[0].launch, 0);
  assert_int_equal(o.kinds[2].launch, 346); /* 2000 cores of 5.79 */
  v.core_seconds_left = 30000;
  o = decide(&v);
  assert_int_equal(o.kinds[0].launch, 1000);
  assert_int_equal(o.kinds[2].launch, 0);
}

static void bursts_are_limited(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(60000, 5000);
  v.n_kinds = 1;
  v.kinds[L].burst = 100;
  v.kinds[L].burst_per_s = 10;
  assert_int_equal(decide(&v).kinds[L].launch, 100);
  v.kinds[L].starting = 100;
  v.kinds[L].starting_for_s = 0.2;
  assert_int_equal(decide(&v).kinds[L].launch, 2);
}

static void a_slow_core_counts_for_less(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(1e6, 100000);
  v.kinds[E].pace = 2;
  struct tr_scale_orders o = decide(&v);
  /* As above 970,500 core-seconds are left when instances are up, each of which is now worth 4 cores. One has to work
   * for 51 s to pay for 30 s of start and 60 of idle end: 0.03 x 90 / (0.083 - 0.03). */
  assert_int_equal(o.kinds[L].launch, 1000);
  assert_int_equal(o.kinds[E].launch, 4763);
  /* At pace 6 an hour of a function's work costs $0.09 there: no reason to let functions go. */
  v.kinds[E].pace = 6;
  v.kinds[L].running = 1000;
  v.kinds[E].running = 1000;
  assert_int_equal(decide(&v).kinds[L].drain, 0);
}

static void idle_workers_stay_for_later_work(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(8000, 1000);
  v.tasks_open = 1; /* the last task of a stage */
  v.core_seconds_later = 7990;
  v.kinds[E].running = 10;
  v.kinds[E].busy = 1;
  v.kinds[E].burst_per_s = 2;
  /* As long as their start takes: 30 s, and 5 for their number. All of them would be busy for 100 s. */
  assert_int_equal((int)decide(&v).kinds[E].stay_s, 60 + 35);
  v.kinds[E].burst_per_s = 0.01;
  assert_int_equal((int)(decide(&v).kinds[E].stay_s + 0.5), 60 + 100);
  v.kinds[E].busy = 10;
  assert_int_equal((int)decide(&v).kinds[E].stay_s, 60);
  v.kinds[E].busy = 0;
  v.core_seconds_later = 0;
  assert_int_equal((int)decide(&v).kinds[E].stay_s, 60);
  v.tasks_left = v.tasks_open = 0;
  assert_int_equal((int)decide(&v).kinds[E].stay_s, 60);
  assert_int_equal((int)decide(&v).kinds[L].stay_s, 2);
}

static void cheap_ones_come_while_the_last_tasks_run(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(11000, 2000);
  /* 1000 functions have tasks of 20 s, half done; they are all of the stage. 1000 core-seconds are for later. */
  v.tasks_open = v.kinds[L].running = v.kinds[L].busy = 1000;
  v.task_core_seconds = 20;
  v.core_seconds_later = 1000;
  assert_int_equal(decide(&v).kinds[E].launch, 0); /* would not pay */
  v.core_seconds_left = 60000;
  v.core_seconds_later = 50000;
  struct tr_scale_orders o = decide(&v);
  /* In 30 s functions alone would do half of all, were it not for the slowest task, which takes 40 s. */
  assert_int_equal(o.kinds[E].launch, 208); /* 50,000 core-seconds in 30 s, 8 cores each */
}

static void who_would_hold_up_the_others_goes(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(20000, 400);
  /* Tasks of 50 s on a function, 6 s on an instance: 50 instances have done all in 50 s, a slow function in 100. */
  v.task_core_seconds = 50;
  v.kinds[E].running = v.kinds[E].busy = 50;
  v.kinds[L].running = v.kinds[L].busy = 4;
  struct tr_scale_orders o = decide(&v);
  assert_int_equal(o.kinds[L].drain, 4);
  assert_int_equal(o.kinds[L].launch, 0);
  v.task_core_seconds = 5;
  v.tasks_left = v.tasks_open = 4000;
  assert_int_equal(decide(&v).kinds[L].drain, 0);
}

static void a_single_instance_does_little_work_for_less(void **state) {
  (void)state;
  struct tr_scale_view v = view_of(2000, 100);
  v.target_s = 600;
  struct tr_scale_orders o = decide(&v);
  /* 3.6 cores would do, which is less than half an instance; it does all in 250 s. With start and end that is $0.0113,
   * the functions' 2000 core-seconds are $0.046. */
  assert_int_equal(o.kinds[E].launch, 1);
  assert_int_equal(o.kinds[L].launch, 0);
}

/* Random views. */
static uint64_t random_state;

static uint64_t below(uint64_t n) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return (random_state >> 33) % n;
}

static double unit(void) { return (double)below(1 << 30) / (1 << 30); }
/* Of very different sizes, zero among them. */
static double size(double most) { return below(8) == 0 ? 0 : most * pow(10, -9 * unit()); }
static int32_t count(double most) { return (int32_t)size(most); }

static struct tr_scale_kind random_kind(void) {
  struct tr_scale_kind known[] = {lambda(), large_lambda(), fargate(), spot()}, k = known[below(4)];
  if (below(3) == 0) k.start_s *= 4 * unit();
  if (below(3) == 0) k.usd_per_hour *= 4 * unit();
  if (below(3) == 0) k.cores *= 4 * unit();
  if (below(3) == 0) k.burst = count(1000);
  k.max = below(6) ? count(20000) : 0;
  k.running = below(2) ? 0 : count(k.max + 10);
  k.busy = (int32_t)below((uint64_t)k.running + 1);
  k.draining = below(3) ? 0 : count(100);
  k.starting = below(2) ? 0 : count(k.max + 10);
  k.starting_for_s = k.starting ? size(500) : 0;
  k.failing_for_s = below(5) ? 0 : size(1000);
  k.pace = below(2) ? 0 : 4 * unit();
  return k;
}

static struct tr_scale_view random_view(void) {
  struct tr_scale_view v = {.core_seconds_left = size(1e9),
                            .tasks_left = count(1e6),
                            .target_s = size(1000),
                            .max_workers = count(20000),
                            .usd_this_hour = size(50),
                            .usd_per_hour_max = below(2) ? 0 : size(100),
                            .usd_left_queries = below(2) ? -1 : size(100),
                            .stop = below(50) == 0,
                            .n_kinds = (int32_t)below(TR_SCALE_KINDS + 1)};
  v.tasks_open = (int32_t)below((uint64_t)v.tasks_left + 1);
  if (below(2)) v.core_seconds_later = v.core_seconds_left * unit() * 1.1;
  if (below(2)) v.task_core_seconds = size(1000);
  if (below(3) == 0) v.task_memory = (int64_t)size(64e9);
  if (v.task_memory && below(2)) v.tasks_large = (int32_t)below((uint64_t)v.tasks_open + 1);
  if (below(3) == 0) v.tasks_long = (int32_t)below((uint64_t)v.tasks_open + 1);
  for (int i = 0; i < v.n_kinds; i++) v.kinds[i] = random_kind();
  return v;
}

static int64_t present(const struct tr_scale_kind *k) { return (int64_t)k->running + k->starting + k->draining; }

static int64_t launched(const struct tr_scale_orders *o) {
  int64_t n = 0;
  for (int i = 0; i < TR_SCALE_KINDS; i++) n += o->kinds[i].launch;
  return n;
}

/* What the launches will cost for certain: their start, the least they are paid for, their idle end. */
static double certain_usd(const struct tr_scale_view *v, const struct tr_scale_orders *o) {
  double usd = 0;
  for (int i = 0; i < v->n_kinds; i++)
    usd += o->kinds[i].launch * v->kinds[i].usd_per_hour / 3600 * (v->kinds[i].start_s + v->kinds[i].idle_s);
  return usd;
}

static bool could_launch(const struct tr_scale_view *v) {
  int64_t all = 0;
  double cheapest = INFINITY;
  bool some = false;
  if (v->stop || v->tasks_left <= 0) return false;
  for (int i = 0; i < v->n_kinds; i++) {
    const struct tr_scale_kind *k = &v->kinds[i];
    all += present(k);
    if (k->burst < 1) return false; /* there will be more in a second */
    if (k->max <= 0 || k->cores <= 0 || k->failing_for_s > 0) continue;
    if (v->task_memory > k->memory) continue;
    if (v->tasks_long > 0 && k->launcher == TR_SCALE_LAMBDA) continue;
    some = true;
    cheapest = fmin(cheapest, k->usd_per_hour / 3600 * (k->start_s + fmax(1, v->target_s) + k->idle_s));
  }
  bool paid = (v->usd_per_hour_max <= 0 || v->usd_this_hour + cheapest <= v->usd_per_hour_max) &&
              (v->usd_left_queries < 0 || v->usd_left_queries >= cheapest);
  return some && all == 0 && v->max_workers > 0 && paid;
}

/* For people who look into a failure. */
static void print_view(const struct tr_scale_view *v, const struct tr_scale_orders *o) {
  print_message("work %g (%g later, tasks of %g), tasks %d (%d open) of %lld bytes, target %g, workers <= %d, hour %g "
                "of %g, queries %g: %s\n",
                v->core_seconds_left, v->core_seconds_later, v->task_core_seconds, v->tasks_left, v->tasks_open,
                (long long)v->task_memory, v->target_s, v->max_workers, v->usd_this_hour, v->usd_per_hour_max,
                v->usd_left_queries, o->why);
  for (int i = 0; i < v->n_kinds; i++) {
    const struct tr_scale_kind *k = &v->kinds[i];
    print_message(
        "%s: %g cores, pace %g, $%g/h, start %g, idle %g, max %d, burst %d + %g/s; running %d draining %d starting %d "
        "(%g s) failing %g s: launch %d drain %d\n",
        k->name, k->cores, k->pace, k->usd_per_hour, k->start_s, k->idle_s, k->max, k->burst, k->burst_per_s,
        k->running, k->draining, k->starting, k->starting_for_s, k->failing_for_s, o->kinds[i].launch,
        o->kinds[i].drain);
  }
}

static void check_view(const struct tr_scale_view *v) {
  struct tr_scale_orders o = decide(v);
  int64_t all = launched(&o);
  assert_non_null(o.why);
  for (int i = 0; i < TR_SCALE_KINDS; i++) {
    const struct tr_scale_order *order = &o.kinds[i];
    assert_true(order->launch >= 0 && order->drain >= 0);
    if (i >= v->n_kinds) assert_true(!order->launch && !order->drain);
    else {
      const struct tr_scale_kind *k = &v->kinds[i];
      assert_true(order->drain <= k->running);
      assert_true(order->stay_s >= k->idle_s && order->stay_s < 1e9);
      assert_true(!order->launch || !order->drain);
      if (order->launch) assert_true(present(k) + order->launch <= k->max);
      if (order->launch) assert_true(order->launch <= k->burst + k->burst_per_s * k->starting_for_s);
      if (k->failing_for_s > 0) assert_true(order->launch <= 1);
      all += present(k);
    }
  }
  if (launched(&o)) {
    assert_true(all <= v->max_workers);
    assert_true(v->tasks_left > 0 && !v->stop);
    double usd = certain_usd(v, &o) * (1 - 1e-9);
    if (v->usd_per_hour_max > 0) assert_true(v->usd_this_hour + usd <= v->usd_per_hour_max);
    if (v->usd_left_queries >= 0) assert_true(usd <= v->usd_left_queries);
  }
  if (could_launch(v) && !launched(&o)) print_view(v, &o);
  if (could_launch(v)) assert_true(launched(&o) > 0);
}

static void any_view(void **state) {
  (void)state;
  for (int i = 0; i < 300000; i++) {
    random_state = (uint64_t)i;
    struct tr_scale_view v = random_view();
    check_view(&v);
  }
}

static double cores_launched(const struct tr_scale_view *v) {
  struct tr_scale_orders o = decide(v);
  double cores = 0;
  for (int i = 0; i < v->n_kinds; i++) cores += o.kinds[i].launch * v->kinds[i].cores;
  return cores;
}

/* A deployment at rest, by published prices: some of the kinds, nothing runs, money is no matter. */
static struct tr_scale_view view_at_rest(void) {
  struct tr_scale_view v = view_of(size(1e8), 1 + count(1e5));
  v.kinds[3] = large_lambda();
  v.n_kinds = 4;
  v.max_workers = 1 + count(20000);
  v.target_s = 1 + size(58); /* a longer one may wait for few cheap ones rather than have many dear ones now */
  for (int i = 0; i < 4; i++) v.kinds[i].max = below(3) ? v.kinds[i].max : 0;
  return v;
}

static void more_work_is_no_fewer_cores(void **state) {
  (void)state;
  for (int i = 0; i < 100000; i++) {
    random_state = (uint64_t)i;
    struct tr_scale_view v = view_at_rest();
    double before = cores_launched(&v), one = 8; /* a worker less of another kind is rounding */
    v.core_seconds_left *= 1 + 3 * unit();
    double after = cores_launched(&v);
    if (after + one < before) print_error("view %d: %g cores, then %g\n", i, before, after);
    assert_true(after + one >= before);
  }
}

/* Of one kind; of several, slow ones make up for the fast ones that there is no place for. */
static void a_higher_cap_is_no_fewer_workers(void **state) {
  (void)state;
  for (int i = 0; i < 100000; i++) {
    random_state = (uint64_t)i;
    struct tr_scale_view v = view_at_rest();
    v.kinds[0] = v.kinds[below(4)];
    v.n_kinds = 1;
    v.usd_per_hour_max = below(2) ? size(10) : 0;
    double before = cores_launched(&v);
    v.max_workers *= 2;
    v.usd_per_hour_max *= 2;
    assert_true(cores_launched(&v) >= before);
    v.kinds[0].max *= 2;
    v.kinds[0].burst *= 2;
    assert_true(cores_launched(&v) >= before);
  }
}

/* A deployment second by second: work shrinks by what runs, estimates waver by a tenth. */
struct course {
  struct tr_scale_view v;
  double work, up[TR_SCALE_KINDS][600]; /* workers that will be up in that second */
  int64_t launched, drained;
};

static void second(struct course *c, int now) {
  struct tr_scale_view *v = &c->v;
  for (int i = 0; i < v->n_kinds; i++) {
    struct tr_scale_kind *k = &v->kinds[i];
    int32_t n = (int32_t)c->up[i][now];
    k->running += n;
    k->starting -= n;
    k->starting_for_s = 0;
    for (int s = now + 1; s < 600; s++)
      if (c->up[i][s] > 0) {
        k->starting_for_s = fmax(0, k->start_s - (s - now));
        break;
      }
    c->work -= k->cores * k->running;
    k->draining = 0;
  }
  v->core_seconds_left = fmax(0, c->work * (0.9 + 0.2 * unit()));
  v->tasks_left = v->tasks_open = (int32_t)fmax(0, c->work / 10);
  struct tr_scale_orders o = decide(v);
  for (int i = 0; i < v->n_kinds; i++) {
    struct tr_scale_kind *k = &v->kinds[i];
    int up = now + (int)fmax(1, k->start_s);
    k->running -= o.kinds[i].drain;
    k->draining = o.kinds[i].drain;
    k->starting += o.kinds[i].launch;
    if (up < 600) c->up[i][up] += o.kinds[i].launch;
    c->launched += o.kinds[i].launch;
    c->drained += o.kinds[i].drain;
  }
}

static void wavering_estimates_make_no_waves(void **state) {
  (void)state;
  const double works[] = {1e3, 1e4, 1e5, 1e6, 1e7};
  for (int w = 0; w < 5; w++)
    for (int seed = 0; seed < 20; seed++) {
      static struct course c;
      c = (struct course){.v = view_of(works[w], 1000), .work = works[w]};
      random_state = (uint64_t)seed;
      for (int now = 0; now < 599 && c.work > 0; now++) second(&c, now);
      assert_true(c.work <= 0);
      int64_t ended = c.drained, there = 0, functions = c.v.kinds[L].running;
      for (int i = 0; i < c.v.n_kinds; i++) there += c.v.kinds[i].running + c.v.kinds[i].starting;
      assert_int_equal(c.launched, ended + there);
      /* Each function is started and drained once at most; of instances and tasks hardly any. */
      if (ended + functions > 1000 + 100)
        print_error("work %g, seed %d: %lld launched, %lld drained\n", works[w], seed, (long long)c.launched,
                    (long long)c.drained);
      assert_true(ended + functions <= 1000 + 100);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(little_work_is_lambdas),
      cmocka_unit_test(no_more_workers_than_tasks),
      cmocka_unit_test(what_functions_cannot_do_is_for_others),
      cmocka_unit_test(a_long_target_waits_for_the_cheap_kind),
      cmocka_unit_test(unknown_work_is_some_work),
      cmocka_unit_test(much_work_is_both),
      cmocka_unit_test(dear_drains_as_cheap_comes),
      cmocka_unit_test(nothing_drains_for_a_work_that_shrinks),
      cmocka_unit_test(without_work_nothing_happens),
      cmocka_unit_test(stop_drains_all),
      cmocka_unit_test(workers_are_capped),
      cmocka_unit_test(functions_make_room_for_instances),
      cmocka_unit_test(dollars_are_capped),
      cmocka_unit_test(a_failing_launcher_is_passed_over),
      cmocka_unit_test(starts_that_never_end_are_passed_over),
      cmocka_unit_test(large_tasks_get_large_workers),
      cmocka_unit_test(a_few_large_tasks_get_a_few_large_workers),
      cmocka_unit_test(the_large_one_stays_for_the_large_task),
      cmocka_unit_test(large_functions_help_when_small_ones_are_too_few),
      cmocka_unit_test(bursts_are_limited),
      cmocka_unit_test(a_slow_core_counts_for_less),
      cmocka_unit_test(idle_workers_stay_for_later_work),
      cmocka_unit_test(cheap_ones_come_while_the_last_tasks_run),
      cmocka_unit_test(who_would_hold_up_the_others_goes),
      cmocka_unit_test(a_single_instance_does_little_work_for_less),
      cmocka_unit_test(any_view),
      cmocka_unit_test(more_work_is_no_fewer_cores),
      cmocka_unit_test(a_higher_cap_is_no_fewer_workers),
      cmocka_unit_test(wavering_estimates_make_no_waves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
