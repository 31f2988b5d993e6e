/* Tasks that take far longer than their siblings: who gets them a second time, and what becomes of the two attempts. */
#include "fixture.h"
#include "scheduler/scale/spend.h"

/* Eight tasks, of which six took half a second and two are still with worker "slow". */
struct tail {
  struct tr_query *q;
  char id[TR_ID_BYTES], held[2][80];
};

static struct tail tail_of(struct fixture *f, int done) {
  struct tail t = {.q = fixture_query(f, 8, 1)};
  memcpy(t.id, t.q->id, sizeof t.id);
  for (int i = 0; i < done; i++) fixture_done(f, fixture_lease(f, "fast", 1), 1);
  for (int i = 0; i < 2; i++) {
    const char *name = fixture_lease(f, "slow", 1);
    snprintf(t.held[i], sizeof t.held[i], "%.*s", (int)strcspn(name, "\n"), name);
  }
  return t;
}

/* Seconds in which both workers say that they are there, and hold what they hold. */
static void live(struct fixture *f, const struct tail *t, int seconds) {
  for (int i = 0; i < seconds; i++) {
    fixture_pass(f, 1000);
    for (int k = 0; k < 2; k++) tr_lease_renew(f->s, fixture_worker(f, "slow"), t->held[k], f->at);
    fixture_worker(f, "fast");
  }
}

static const char *second_of(struct fixture *f) {
  static char name[80];
  const char *given = fixture_lease(f, "fast", 2);
  snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "\n"), given);
  return name;
}

/* A tail of which "fast" tries one too: that lease is `second`, of 80 bytes. */
static struct tail tail_with_second(struct fixture *f, char *second) {
  struct tail t = tail_of(f, 6);
  live(f, &t, 4);
  snprintf(second, 80, "%s", second_of(f));
  return t;
}

static void the_second_attempt_may_win(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 6);
  live(f, &t, 2);
  assert_string_equal(second_of(f), ""); /* not yet: 1.5 times half a second, and two for patience */
  live(f, &t, 2);
  struct tr_worker *fast = fixture_worker(f, "fast"), *slow = fixture_worker(f, "slow");
  assert_true(tr_lease_ready(fast));
  assert_false(tr_lease_ready(slow));
  const char *second = second_of(f);
  assert_string_equal(strrchr(second, '/'), "/2");
  assert_int_equal(fast->n_leases, 1);
  assert_string_not_equal(fixture_lease(f, "other", 1), second); /* the other one is as slow */
  fixture_done(f, second, 1);
  assert_int_equal(t.q->stages[0].n_done, 7);
  assert_int_equal(fast->n_leases, 0);
  assert_int_equal(slow->n_leases, 1);
  /* The first hears that it need not go on. */
  char first[80];
  snprintf(first, sizeof first, "%.*s/1", (int)(strrchr(second, '/') - second), second);
  assert_false(tr_lease_renew(f->s, slow, first, f->at));
  fixture_done(f, first, 1); /* or had been done at the same time */
  assert_int_equal(t.q->stages[0].n_done, 7);
}

static void the_first_attempt_may_win(void **state) {
  struct fixture *f = *state;
  char second[80];
  struct tail t = tail_with_second(f, second);
  struct tr_worker *fast = fixture_worker(f, "fast");
  assert_true(tr_lease_renew(f->s, fast, second, f->at));
  for (int k = 0; k < 2; k++) fixture_done(f, t.held[k], 1);
  assert_int_equal(t.q->stages[0].n_done, 8);
  assert_int_equal(fast->n_leases, 0);
  assert_false(tr_lease_renew(f->s, fast, second, f->at));
}

static void the_second_takes_over_from_the_first(void **state) {
  struct fixture *f = *state;
  char second[80];
  struct tail t = tail_with_second(f, second);
  struct tr_worker *fast = fixture_worker(f, "fast");
  /* The first is never heard of again. */
  for (int i = 0; i < 20; i++) {
    fixture_pass(f, 1000);
    assert_true(tr_lease_renew(f->s, fixture_worker(f, "fast"), second, f->at));
  }
  assert_int_equal(fast->n_leases, 1);
  assert_null(fast->copy_of);
  assert_int_equal(f->s->counters.leases_expired, 2);
  fixture_done(f, second, 1);
  assert_int_equal(t.q->stages[0].n_done, 7);
  assert_int_equal(fast->n_leases, 0);
}

static void a_second_attempt_that_fails_costs_nothing(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 6);
  for (int i = 0; i < 2; i++) {
    live(f, &t, 4);
    fixture_fails(f, second_of(f), "OSError", true);
    assert_int_equal(f->d->n_leased, 2);
    fixture_fails(f, second_of(f), "OSError", true); /* of the other one */
  }
  live(f, &t, 4);
  assert_string_equal(second_of(f), ""); /* twice is enough */
  assert_int_equal(t.q->stages[0].tasks[7].failures, 0);
  for (int k = 0; k < 2; k++) fixture_done(f, t.held[k], 1);
  assert_int_equal(t.q->stages[0].n_done, 8);
}

static void a_first_attempt_that_fails_leaves_the_second(void **state) {
  struct fixture *f = *state;
  char second[80];
  struct tail t = tail_with_second(f, second);
  for (int k = 0; k < 2; k++) fixture_fails(f, t.held[k], "OSError", true);
  assert_int_equal(f->d->n_leased, 1);
  assert_true(tr_lease_renew(f->s, fixture_worker(f, "fast"), second, f->at));
  fixture_fails(f, second, "OSError", true);
  assert_int_equal(f->d->n_leased, 0);
  fixture_pass(f, 10000);
  /* What is given out next has a number of its own. */
  const char *third = fixture_lease(f, "fast", 1), *other = strrchr(third, '/');
  assert_true(strcmp(other, "/2\n") == 0 || strcmp(other, "/3\n") == 0);
  assert_string_not_equal(third, second);
}

static void the_second_worker_may_go_too(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 6);
  live(f, &t, 4);
  struct tr_worker *fast = fixture_worker(f, "fast");
  second_of(f);
  assert_int_equal(fast->n_leases, 1);
  live(f, &t, 20);
  assert_int_equal(fast->n_leases, 0);
  assert_int_equal(f->d->n_leased, 2);
  tr_query_cancel(f->s, t.q, f->at);
  assert_int_equal(f->d->n_slow + f->d->n_leased, 0);
}

static void only_when_the_stage_is_nearly_done(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 5);
  fixture_lease(f, "third", 1);
  live(f, &t, 10);
  assert_int_equal(f->d->n_slow, 0);
  assert_string_equal(second_of(f), "");
}

/* A function would only be cut off once more. */
static void a_task_that_outlasts_functions_is_left_alone(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 6);
  for (int k = 6; k < 8; k++) t.q->stages[0].tasks[k].outlasts = true;
  live(f, &t, 10);
  assert_int_equal(f->d->n_slow, 0);
  assert_string_equal(fixture_lease(f, "function", 1), "");
}

/* What idle workers are ended by: a task begins and ends between two looks. */
static void a_lease_ends_being_idle(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 6);
  struct tr_worker *fast = fixture_worker(f, "fast"), *other = fixture_worker(f, "other");
  live(f, &t, 4);
  fast->idle_from = other->idle_from = 1;
  fixture_done(f, second_of(f), 1);
  assert_int_equal(fast->idle_from, 0);
  assert_int_equal(other->idle_from, 1);
  fixture_query(f, 1, 1);
  fixture_done(f, fixture_lease(f, "other", 1), 1);
  assert_int_equal(other->idle_from, 0);
}

/* Both are paid for. */
static void two_attempts_cost_two(void **state) {
  struct fixture *f = *state;
  struct tail t = tail_of(f, 6);
  live(f, &t, 4);
  const char *second = second_of(f);
  struct tr_worker *fast = fixture_worker(f, "fast"), *slow = fixture_worker(f, "slow");
  fast->usd_per_hour = 3600;
  slow->usd_per_hour = 36000;
  fixture_pass(f, 3000);
  struct tr_report r = fixture_report(second);
  int64_t one[1] = {1};
  double before = t.q->usd;
  r.ok = true;
  r.by = fast;
  r.seconds = 3;
  r.segments = (struct tr_segments){one, one, 1};
  tr_report_apply(f->s, &r, f->at);
  /* 3 s at $1, half of 7 s (it has two tasks) at $10, and requests. */
  assert_true(t.q->usd - before > 3 + 35 && t.q->usd - before < 3 + 35.01);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_second_attempt_may_win, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(the_first_attempt_may_win, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(the_second_takes_over_from_the_first, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_second_attempt_that_fails_costs_nothing, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_first_attempt_that_fails_leaves_the_second, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(the_second_worker_may_go_too, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(only_when_the_stage_is_nearly_done, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_task_that_outlasts_functions_is_left_alone, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(a_lease_ends_being_idle, fixture_up, fixture_down),
      cmocka_unit_test_setup_teardown(two_attempts_cost_two, fixture_up, fixture_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
