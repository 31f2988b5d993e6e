/* What queries and deployments cost, and the view of them that scaling decides on. Prices in these tests are AWS' own
 * published ones, written out again. */
#include "fixture.h"
#include "scheduler/scale/prices.h"
#include "scheduler/scale/scaling.h"
#include "scheduler/scale/spend.h"
#include <math.h>

/* A function of 1,769 MB for a second, on arm64. */
static const double lambda_second = 1769.0 / 1024 * 0.0000133334;

static struct tr_worker *lambda_worker(struct fixture *f, const char *name) {
  return tr_worker_seen(f->s, f->d, name, "lambda-small", NULL, 1, 1 << 30, f->at, &f->fault);
}

static struct tr_report leased_by(struct fixture *f, struct tr_worker *w) {
  struct tr_text out = {0};
  assert_int_equal(tr_lease_give(f->s, w, 1, f->at, &out), 1);
  char lease[100];
  const char *at = strstr(tr_text_str(&out), "\"lease\":\"") + strlen("\"lease\":\"");
  snprintf(lease, sizeof lease, "%.*s", (int)strcspn(at, "\""), at);
  tr_text_free(&out);
  struct tr_report r = fixture_report(lease);
  r.by = w;
  return r;
}

static void done(struct fixture *f, struct tr_report *r, double seconds, int64_t rows) {
  int64_t counts[4] = {rows, rows, rows, rows}, bytes[4] = {10 * rows, 10 * rows, 10 * rows, 10 * rows};
  const struct tr_query *q = tr_name_map_get(&f->s->queries, r->query);
  r->ok = true;
  r->seconds = seconds;
  r->segments = (struct tr_segments){counts, bytes, q->spec.stages[r->stage].n_parts};
  r->rows = rows * r->segments.n;
  tr_report_apply(f->s, r, f->at);
}

static void near(double a, double b) {
  if (fabs(a - b) > 1e-9 + 1e-6 * fabs(b)) print_error("%.9f is not %.9f\n", a, b);
  assert_true(fabs(a - b) <= 1e-9 + 1e-6 * fabs(b));
}

static void prices(void **state) {
  (void)state;
  struct tr_scale_kind k;
  assert_int_equal(tr_price_slot("local"), 0);
  assert_true(tr_price_pace(tr_price_slot("ec2")) > 1 && tr_price_pace(tr_price_slot("lambda-large")) == 1);
  near(tr_price_of_worker("local", 8, 1 << 30, false), 0);
  near(tr_price_of_worker("lambda-small", 1, 1769ll << 20, false), 1769.0 / 1024 * 0.0000133334 * 3600);
  near(tr_price_of_worker("ecs", 4, 16ll << 30, false), 4 * 0.03238 + 16 * 0.00356);
  assert_true(tr_price_kind("lambda-large", 0, 10240ll << 20, false, &k));
  near(k.cores, 10240.0 / 1769);
  assert_false(tr_price_kind("ray", 4, 1 << 30, false, &k));
  /* The page on AWS: a core-hour of Lambda is 2.3 times one of EC2, some 6 times one of spot. */
  double lambda = tr_price_of_worker("lambda-small", 1, 1769ll << 20, false);
  assert_true(fabs(lambda / tr_price_of_worker("ec2", 1, 0, false) - 2.3) < 0.1);
  assert_true(fabs(lambda / tr_price_of_worker("ec2", 1, 0, true) - 5.6) < 0.2);
}

static void a_task_costs_its_seconds_and_requests(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 4, 3);
  struct tr_report r = leased_by(f, lambda_worker(f, "w1"));
  done(f, &r, 10, 5);
  near(q->usd, 10 * lambda_second + 1 * 0.0004e-3 + 2 * 0.005e-3);
  assert_int_equal(q->gets, 1);
  assert_int_equal(q->puts, 2);
  /* Reported again, and by somebody who did not lease it: nothing more. */
  double usd = q->usd;
  tr_report_apply(f->s, &r, f->at);
  near(q->usd, usd);
  fixture_commit(f);
  char id[TR_ID_BYTES];
  snprintf(id, sizeof id, "%s", q->id);
  fixture_restart(f);
  q = tr_name_map_get(&f->s->queries, id);
  near(q->usd, usd);
  assert_int_equal(q->gets, 1);
  assert_int_equal(q->puts, 2);
  near(q->stages[0].by[0].core_seconds, 10); /* by whom is forgotten */
  tr_query_cancel(f->s, q, f->at);
  assert_non_null(strstr(fixture_final(f, id), "\"cost_usd\":0.000"));
  char expected[40];
  snprintf(expected, sizeof expected, "\"cost_usd\":%.6f", usd);
  assert_non_null(strstr(fixture_final(f, id), expected));
}

static void consumers_pay_a_request_for_each_producer(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 4, 3);
  struct tr_worker *w = lambda_worker(f, "w1");
  for (int i = 0; i < 4; i++) {
    struct tr_report r = leased_by(f, w);
    done(f, &r, 1, 5);
  }
  int64_t gets = q->gets;
  struct tr_report r = leased_by(f, w);
  assert_int_equal(r.stage, 1);
  done(f, &r, 1, 5);
  assert_int_equal(q->gets - gets, 4 + 1);
}

static void lost_and_failed_attempts_cost_too(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 2, 1);
  struct tr_report r = leased_by(f, lambda_worker(f, "w1"));
  fixture_pass(f, 3000);
  r.class = "OSError";
  tr_report_apply(f->s, &r, f->at);
  near(q->usd, 3 * lambda_second);
  leased_by(f, lambda_worker(f, "w2"));
  fixture_pass(f, f->s->options.lease_ms);
  near(q->usd, (3 + 15) * lambda_second);
}

static void usage_is_durable(void **state) {
  struct fixture *f = *state;
  fixture_query(f, 2, 1);
  struct tr_report r = leased_by(f, lambda_worker(f, "w1"));
  done(f, &r, 100, 5);
  fixture_commit(f);
  fixture_restart(f);
  struct tr_journal_row *row =
      tr_journal_read(f->s->journal, TR_JOURNAL_USAGE, "ttt", f->account->id, "0000-00-00", "");
  assert_true(tr_journal_next(row));
  near(tr_row_double(row, 6), 100 * lambda_second + 0.0004e-3 + 2 * 0.005e-3);
  tr_journal_end(row);
}

/* Second by second, as the loop does. */
static void pass_seconds(struct fixture *f, int n) {
  for (int i = 0; i < n; i++) {
    lambda_worker(f, "w1");
    fixture_pass(f, 1000);
  }
}

static void a_deployment_costs_what_its_workers_cost(void **state) {
  struct fixture *f = *state;
  f->at.wall -= f->at.wall % 60000;
  lambda_worker(f, "w1");
  pass_seconds(f, 90);
  near(tr_spend_hour(f->d, f->at), 90.5 * lambda_second); /* and half a second of start */
  fixture_commit(f);
  fixture_restart(f); /* the minute that is not over is lost */
  near(tr_spend_hour(f->d, f->at), 59.5 * lambda_second);
  f->at.wall += 59 * 60000;
  near(tr_spend_hour(f->d, f->at), 0);
}

static void a_query_over_its_cap_fails(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 4, 1);
  char id[TR_ID_BYTES];
  snprintf(id, sizeof id, "%s", q->id);
  f->d->usd_per_query = 0.001;
  struct tr_report r = leased_by(f, lambda_worker(f, "w1"));
  done(f, &r, 40, 5); /* $0.00092 */
  leased_by(f, lambda_worker(f, "w1"));
  fixture_pass(f, 2000);
  assert_non_null(tr_name_map_get(&f->s->queries, id));
  fixture_pass(f, 2000);
  assert_null(tr_name_map_get(&f->s->queries, id));
  assert_non_null(strstr(fixture_final(f, id), "SpendCapError"));
  assert_non_null(strstr(fixture_final(f, id), "$0.001 a query"));
  near(f->s->counters.usd, 44 * lambda_second + 0.0004e-3 + 2 * 0.005e-3);
}

static struct tr_scale_view view_of(struct fixture *f, double usd_per_query) {
  struct tr_scaling_settings settings = {.max_workers = 100, .usd_per_query = usd_per_query, .n_kinds = 2};
  struct tr_scale_view view;
  tr_price_kind("lambda-small", 0, 1769ll << 20, false, &settings.kinds[0]);
  tr_price_kind("ec2", 8, 16ll << 30, true, &settings.kinds[1]);
  settings.kinds[1].starting = 3;
  tr_scaling_view(f->s, f->d, &settings, f->at, &view);
  return view;
}

static void the_view_counts(void **state) {
  struct fixture *f = *state;
  fixture_query(f, 4, 3);
  lambda_worker(f, "idle");
  lambda_worker(f, "drained")->drain = true;
  leased_by(f, lambda_worker(f, "busy"));
  tr_worker_seen(f->s, f->d, "elsewhere", "local", NULL, 1, 1 << 30, f->at, &f->fault);
  struct tr_scale_view v = view_of(f, 0);
  assert_int_equal(v.tasks_left, 8);
  assert_int_equal(v.tasks_open, 4);
  assert_int_equal(v.kinds[0].running, 2);
  assert_int_equal(v.kinds[0].busy, 1);
  assert_int_equal(v.kinds[0].draining, 1);
  assert_int_equal(v.kinds[1].running, 0);
  assert_int_equal(v.kinds[1].starting, 3);
  assert_true(v.usd_left_queries < 0);
  near(v.target_s, 30);
  assert_true(v.core_seconds_left > 0);
}

static void work_left_is_measured(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 4, 4);
  struct tr_worker *w = tr_worker_seen(f->s, f->d, "w1", "ec2", NULL, 8, 1 << 30, f->at, &f->fault);
  /* The first stage: 8 cores, 2 s a task, 4 x 25 rows out of each. An instance's core is taken to be worth 1 / 1.4. */
  for (int i = 0; i < 2; i++) {
    struct tr_report r = leased_by(f, w);
    done(f, &r, 2, 25);
  }
  /* Two more tasks of 16 core-seconds. Of rows so far only what was written is known; the tasks of the second stage
   * are taken to read twice as much in the end, at the price of a row by default, and 0.02 s each. */
  double second = 400 * 1e-6 + 4 * 0.02, third = 400 * 1e-6 + 0.02;
  near(tr_scaling_left(q), 2 * 16 / 1.4 + second + third);
  for (int i = 0; i < 2; i++) {
    struct tr_report r = leased_by(f, w);
    done(f, &r, 2, 25);
  }
  struct tr_report r = leased_by(f, w);
  assert_int_equal(r.stage, 1);
  done(f, &r, 1, 30);
  /* 8 core-seconds for its 100 rows; 300 are left. It wrote 30, so the last stage will read 120, at what rows cost now:
   * 0.08 each. */
  near(tr_scaling_left(q), (24 + 120 * 0.08) / 1.4 + 0.02);
  /* Of that, what waits for the second stage is for later; its own tasks are the open ones. */
  struct tr_scale_view v = view_of(f, 0);
  near(v.core_seconds_later, 120 * 0.08 / 1.4 + 0.02);
  near(v.task_core_seconds, 24 / 1.4 / 3);
  near(v.kinds[1].pace, 1.4);
}

static void what_was_expected_counts_at_first(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 4);
  struct tr_worker *w = lambda_worker(f, "w1");
  f->d->row_seconds = 0.01;
  struct tr_report r = leased_by(f, w);
  done(f, &r, 1, 100); /* 100 rows for each task of the second stage */
  r = leased_by(f, w);
  assert_int_equal(r.stage, 1);
  done(f, &r, 5, 1);
  /* 0.05 a row instead of the 0.01 that was expected, which still stands for a twentieth of the 400 rows: 0.2 of 20. */
  double row = (5 + 0.2) / (100 + 20);
  near(view_of(f, 0).task_core_seconds, 300 * row / 3);
  assert_true(q->stages[1].expected_row > 0);
}

/* Instances take three times as long for a row as functions do. */
static void kinds_are_compared(void **state) {
  struct fixture *f = *state;
  struct tr_worker *function = lambda_worker(f, "w1");
  struct tr_worker *instance = tr_worker_seen(f->s, f->d, "w2", "ec2", NULL, 8, 1 << 30, f->at, &f->fault);
  struct tr_query *q = fixture_query(f, 1, 200);
  int64_t counts[200], bytes[200];
  for (int i = 0; i < 200; i++) counts[i] = bytes[i] = 100;
  struct tr_report r = leased_by(f, function);
  r.ok = true;
  r.seconds = 1;
  r.segments = (struct tr_segments){counts, bytes, 200};
  tr_report_apply(f->s, &r, f->at);
  for (int i = 0; i < 180; i++) {
    r = leased_by(f, i % 2 ? instance : function);
    assert_int_equal(r.stage, 1);
    done(f, &r, i % 2 ? 3.0 * 4 / 8 : 4, 1);
  }
  struct tr_scale_view v = view_of(f, 0);
  near(v.kinds[0].pace, 1);
  assert_true(v.kinds[1].pace > 2.5 && v.kinds[1].pace < 3.01);
  /* 20 tasks of 4 core-seconds of a function, whoever does them; the last stage reads 200 rows at 0.04. */
  double left = 20 * 4 + 200 * 0.04;
  assert_true(fabs(v.core_seconds_left / left - 1) < 0.1);
  (void)q;
}

static void ten_thousand_workers_are_counted(void **state) {
  struct fixture *f = *state;
  char name[20];
  struct tr_query *q = fixture_query(f, 30000, 1);
  for (int i = 0; i < 10000; i++) {
    snprintf(name, sizeof name, "w%d", i);
    leased_by(f, lambda_worker(f, name));
  }
  struct tr_scale_view v = view_of(f, 0);
  assert_int_equal(v.kinds[0].running, 10000);
  assert_int_equal(v.kinds[0].busy, 10000);
  for (int i = 0; i < 5; i++) fixture_pass(f, 1000);
  near(q->usd_flight, 10000 * 5 * lambda_second);
  near(tr_spend_hour(f->d, f->at), 10000 * 5.5 * lambda_second);
}

static void money_left_is_per_query(void **state) {
  struct fixture *f = *state;
  struct tr_query *a = fixture_query(f, 4, 1), *b = fixture_query(f, 4, 1);
  a->usd = 3;
  b->usd = 7;
  near(view_of(f, 5).usd_left_queries, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(prices),
      cmocka_unit_test_setup_teardown(a_task_costs_its_seconds_and_requests, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(consumers_pay_a_request_for_each_producer, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(lost_and_failed_attempts_cost_too, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(usage_is_durable, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_deployment_costs_what_its_workers_cost, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_query_over_its_cap_fails, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(the_view_counts, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(work_left_is_measured, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(what_was_expected_counts_at_first, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(kinds_are_compared, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(ten_thousand_workers_are_counted, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(money_left_is_per_query, fixture_up, fixture_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
