/* Tasks that a worker's memory is too small for: who gets them next, what is asked for, how a query ends that nobody
 * can run. */
#include "fixture.h"
#include "scheduler/scale/scaling.h"

static const int64_t mib = 1 << 20;

static struct tr_worker *sized(struct fixture *f, const char *name, int64_t memory) {
  return tr_worker_seen(f->s, f->d, name, "local", NULL, 2, memory, f->at, &f->fault);
}

/* The lease of one task, in a static text; "" = none. */
static const char *lease(struct fixture *f, struct tr_worker *w) {
  static char names[4][100];
  static int turn;
  struct tr_text out = {0};
  char *name = names[turn++ % 4];
  *name = 0;
  if (tr_lease_give(f->s, w, 1, f->at, &out)) {
    const char *at = strstr(tr_text_str(&out), "\"lease\":\"") + strlen("\"lease\":\"");
    snprintf(name, sizeof names[0], "%.*s", (int)strcspn(at, "\""), at);
  }
  tr_text_free(&out);
  return name;
}

static void too_small(struct fixture *f, struct tr_worker *w, const char *name) {
  struct tr_report r = fixture_report(name);
  r.class = "MemoryError";
  r.sealed = "aaaaaaaaaaaaaaaaaaaaaa.1";
  r.by = w;
  tr_report_apply(f->s, &r, f->at);
}

static void only_larger_workers_get_it_again(void **state) {
  struct fixture *f = *state;
  fixture_query(f, 1, 1);
  struct tr_worker *small = sized(f, "small", 100 * mib), *same = sized(f, "same", 105 * mib),
                   *large = sized(f, "large", 1000 * mib);
  too_small(f, small, lease(f, small));
  fixture_pass(f, 10000);
  assert_int_equal(f->d->n_large, 1);
  assert_int_equal(f->d->n_ready, 0);
  assert_false(tr_lease_ready(small));
  assert_string_equal(lease(f, small), "");
  assert_string_equal(lease(f, same), ""); /* hardly more is not more */
  assert_true(tr_lease_ready(large));
  fixture_done(f, lease(f, large), 1);
  assert_int_equal(f->d->n_large, 0);
  assert_string_not_equal(lease(f, small), ""); /* the next stage is anybody's */
}

static void a_query_that_nobody_can_run_fails(void **state) {
  struct fixture *f = *state;
  char id[TR_ID_BYTES];
  memcpy(id, fixture_query(f, 1, 1)->id, sizeof id);
  struct tr_worker *small = sized(f, "small", 100 * mib), *large = sized(f, "large", 1000 * mib);
  too_small(f, small, lease(f, small));
  for (int i = 0; i < 3; i++) {
    fixture_pass(f, 10000);
    assert_string_equal(fixture_final(f, id), "");
    sized(f, "small", 100 * mib);
    assert_string_equal(lease(f, small), "");
    large = sized(f, "large", 1000 * mib);
    too_small(f, large, lease(f, large));
  }
  const char *final = fixture_final(f, id);
  assert_non_null(strstr(final, "\"class\":\"MemoryError\""));
  assert_non_null(strstr(final, "task 0 of stage 0 (scan) does not fit into a memory budget of 1048576000 bytes"));
  assert_non_null(strstr(final, "TERALITY_MEMORY_BUDGET"));
  assert_int_equal(f->d->n_large, 0);
}

static void they_count_as_work(void **state) {
  struct fixture *f = *state;
  fixture_query(f, 3, 1);
  struct tr_worker *small = sized(f, "small", 100 * mib);
  sized(f, "large", 1000 * mib);
  for (int i = 0; i < 3; i++) too_small(f, small, lease(f, small));
  fixture_pass(f, 10000);
  assert_int_equal(f->d->n_large, 3);
  assert_int_equal(tr_workers_wanted(f->s, f->d), 3);
}

static void the_large_worker_may_leave(void **state) {
  struct fixture *f = *state;
  char id[TR_ID_BYTES];
  memcpy(id, fixture_query(f, 2, 1)->id, sizeof id);
  struct tr_worker *small = sized(f, "small", 100 * mib);
  sized(f, "large", 1000 * mib);
  too_small(f, small, lease(f, small));
  fixture_pass(f, 10000);
  assert_int_equal(f->d->n_large, 1);
  for (int i = 0; i < 12 && !*fixture_final(f, id); i++) {
    assert_true(i < 11);
    sized(f, "small", 100 * mib);
    fixture_pass(f, 30000);
  }
  assert_non_null(strstr(fixture_final(f, id), "does not fit into a memory budget of 104857600 bytes"));
  assert_int_equal(f->d->n_large + f->d->n_ready + f->d->n_leased, 0);
}

static void a_lost_input_makes_it_wait(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 1);
  struct tr_worker *small = sized(f, "small", 100 * mib);
  sized(f, "large", 1000 * mib);
  fixture_done(f, lease(f, small), 1);
  too_small(f, small, lease(f, small));
  fixture_pass(f, 10000);
  assert_int_equal(f->d->n_large, 1);
  tr_task_lost(f->s, &q->stages[0].tasks[0], f->at);
  assert_int_equal(f->d->n_large, 0);
  fixture_done(f, lease(f, small), 1);
  assert_int_equal(f->d->n_large, 1);
  assert_string_equal(lease(f, small), "");
  tr_query_cancel(f->s, q, f->at);
  assert_int_equal(f->d->n_large, 0);
  assert_null(f->d->large);
}

static const char record[] =
    "{\"region\":\"eu-west-1\",\"account\":\"123456789012\",\"role_arn\":\"arn:aws:iam::123456789012:role/x\","
    "\"access\":\"minimal\",\"worker_roles\":[\"w\"],\"lambda\":{\"functions\":[{\"name\":\"s\",\"kind\":"
    "\"lambda-small\",\"memory_mb\":1769},{\"name\":\"l\",\"kind\":\"lambda-large\",\"memory_mb\":10240}]},"
    "\"limits\":{\"workers\":%d,\"usd_per_query\":0,\"usd_per_hour\":0},\"metrics_namespace\":\"t\"}";

static void settle(struct fixture *f, int workers) {
  char text[1000];
  snprintf(text, sizeof text, record, workers);
  struct tr_aws_record *r = tr_aws_record_parse(text, &f->fault);
  assert_non_null(r);
  assert_true(tr_deployment_set_aws(f->s, f->d, r, &f->fault));
}

/* Nobody large is there, but the deployment can start one: the view asks for it. */
static void the_view_asks_for_memory(void **state) {
  struct fixture *f = *state;
  struct tr_scaling_settings settings = {.max_workers = 100, .n_kinds = 1};
  struct tr_scale_view view;
  settle(f, 100);
  fixture_query(f, 3, 1);
  struct tr_worker *w = tr_worker_seen(f->s, f->d, "w", "lambda-small", NULL, 1, 1061 * mib, f->at, &f->fault);
  too_small(f, w, lease(f, w));
  fixture_pass(f, 300);
  tr_price_kind("lambda-small", 0, 1769 * mib, false, &settings.kinds[0]);
  tr_scaling_view(f->s, f->d, &settings, f->at, &view);
  assert_int_equal(view.tasks_large, 1);
  assert_int_equal(view.tasks_open, 3);
  assert_true(view.task_memory > 1769 * mib && view.task_memory < 10240 * mib);
  struct tr_worker *large = tr_worker_seen(f->s, f->d, "l", "lambda-large", NULL, 6, 6144 * mib, f->at, &f->fault);
  assert_non_null(strstr(lease(f, large), "/0/0/"));
  tr_scaling_view(f->s, f->d, &settings, f->at, &view);
  assert_int_equal(view.task_memory, 0);
}

static void what_it_needs_outlives_a_restart(void **state) {
  struct fixture *f = *state;
  fixture_query(f, 1, 1);
  struct tr_worker *small = sized(f, "small", 100 * mib);
  sized(f, "large", 1000 * mib);
  too_small(f, small, lease(f, small));
  fixture_commit(f);
  fixture_restart(f);
  small = sized(f, "small", 100 * mib);
  struct tr_worker *large = sized(f, "large", 1000 * mib);
  fixture_pass(f, 10000);
  assert_string_equal(lease(f, small), "");
  assert_string_not_equal(lease(f, large), "");
}

static void what_is_off_is_not_there(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 1);
  settle(f, 0);
  struct tr_worker *w = tr_worker_seen(f->s, f->d, "w", "lambda-small", NULL, 1, 1061 * mib, f->at, &f->fault);
  too_small(f, w, lease(f, w));
  fixture_pass(f, 10000);
  assert_int_equal(f->d->n_large, 0);
  assert_int_equal(f->d->n_ready, 1); /* as any error, three times */
  assert_int_equal(q->stages[0].tasks[0].memory, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(only_larger_workers_get_it_again, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_query_that_nobody_can_run_fails, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(they_count_as_work, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(the_large_worker_may_leave, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_lost_input_makes_it_wait, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(the_view_asks_for_memory, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(what_it_needs_outlives_a_restart, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(what_is_off_is_not_there, fixture_up, fixture_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
