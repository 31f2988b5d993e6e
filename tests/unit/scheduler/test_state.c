/* The scheduler's state machine: every way a task and a query can go. */
#include "fixture.h"

static const char *lease_of(const char *query, int stage, int task, int64_t attempt) {
  static char text[4][80];
  static int turn;
  char *out = text[turn++ % 4];
  snprintf(out, sizeof text[0], "%s/%d/%d/%lld", query, stage, task, (long long)attempt);
  return out;
}

static int lines(const char *s) {
  int n = 0;
  for (; *s; s++) n += *s == '\n';
  return n;
}

static void a_query_runs_to_its_end(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 3, 2);
  char id[TR_ID_BYTES];
  memcpy(id, q->id, sizeof id);
  assert_int_equal(lines(fixture_lease(f, "w", 10)), 3);
  assert_int_equal(q->state, TR_QUERY_RUNNING);
  assert_int_equal(lines(fixture_lease(f, "w", 10)), 0);
  fixture_done(f, lease_of(id, 0, 1, 1), 5);
  fixture_done(f, lease_of(id, 0, 0, 1), 5);
  assert_int_equal(f->d->n_ready, 0);
  fixture_done(f, lease_of(id, 0, 2, 1), 5);
  assert_int_equal(f->d->n_ready, 2);
  assert_int_equal(q->stages[0].part_rows[0], 9);
  assert_int_equal(q->stages[0].part_rows[1], 6);
  assert_int_equal(lines(fixture_lease(f, "w", 10)), 2);
  fixture_done(f, lease_of(id, 1, 0, 1), 9);
  fixture_done(f, lease_of(id, 1, 1, 1), 6);
  assert_int_equal(lines(fixture_lease(f, "w", 10)), 1);
  assert_string_equal(fixture_final(f, id), "");
  fixture_done(f, lease_of(id, 2, 0, 1), 15);
  assert_non_null(strstr(fixture_final(f, id), "\"state\":\"done\""));
  assert_non_null(strstr(fixture_final(f, id), "\"result\":[{\"task\":0,\"attempt\":1,\"rows\":15}]"));
  assert_null(tr_name_map_get(&f->s->queries, id));
  assert_int_equal(f->d->n_left, 0);
  fixture_commit(f);
}

static void a_lease_that_runs_out_goes_to_another(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 1);
  fixture_lease(f, "a", 1);
  fixture_pass(f, 14999);
  assert_int_equal(f->d->n_leased, 1);
  assert_true(tr_lease_renew(f->s, fixture_worker(f, "a"), lease_of(q->id, 0, 0, 1), f->at));
  fixture_pass(f, 14999);
  assert_int_equal(f->d->n_leased, 1);
  fixture_pass(f, 2);
  assert_int_equal(f->d->n_leased, 0);
  assert_string_equal(fixture_lease(f, "b", 1), "");
  fixture_pass(f, 250);
  assert_string_equal(strrchr(fixture_lease(f, "b", 1), '/'), "/2\n");
  /* The first was only slow: the task is done, whoever says so. */
  assert_false(tr_lease_renew(f->s, fixture_worker(f, "a"), lease_of(q->id, 0, 0, 1), f->at));
  fixture_done(f, lease_of(q->id, 0, 0, 1), 4);
  assert_int_equal(q->stages[0].n_done, 1);
  assert_int_equal(q->stages[0].tasks[0].attempt, 1);
  assert_false(tr_lease_renew(f->s, fixture_worker(f, "b"), lease_of(q->id, 0, 0, 2), f->at));
  fixture_done(f, lease_of(q->id, 0, 0, 2), 4);
  assert_int_equal(q->stages[0].rows, 4);
}

static void four_lost_workers_are_enough(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 1);
  char id[TR_ID_BYTES];
  memcpy(id, q->id, sizeof id);
  for (int i = 0; i < 4; i++) {
    assert_string_equal(fixture_final(f, id), "");
    assert_int_equal(lines(fixture_lease(f, "a", 1)), 1);
    fixture_pass(f, 15001);
    fixture_pass(f, 5000);
  }
  assert_non_null(strstr(fixture_final(f, id), "\"state\":\"failed\""));
  assert_non_null(strstr(fixture_final(f, id), "WorkerLost"));
  assert_int_equal(f->d->n_left, 0);
}

static void errors_are_tried_again_or_not(void **state) {
  struct fixture *f = *state;
  static const struct {
    const char *classes[4];
    bool retry;
    int attempts; /* until the query has failed */
  } cases[] = {{{"ValueError"}, false, 1},
               {{"OSError", "OSError", "OSError"}, true, 3},
               {{"OSError", "MemoryError", "OSError", "MemoryError"}, true, 4}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    char id[TR_ID_BYTES];
    memcpy(id, fixture_query(f, 2, 1)->id, sizeof id);
    for (int i = 0; i < cases[c].attempts; i++) {
      assert_string_equal(fixture_final(f, id), "");
      fixture_lease(f, "a", 2);
      fixture_fails(f, lease_of(id, 0, 0, i + 1), cases[c].classes[i], cases[c].retry);
      fixture_pass(f, 10000);
      if (*fixture_final(f, id) == 0)
        assert_true(tr_lease_renew(f->s, fixture_worker(f, "a"), lease_of(id, 0, 1, 1), f->at));
    }
    assert_non_null(strstr(fixture_final(f, id), "\"state\":\"failed\""));
    assert_non_null(strstr(fixture_final(f, id), cases[c].classes[cases[c].attempts - 1]));
    assert_int_equal(f->d->n_leased, 0);
  }
}

static void sealed_texts_tell_errors_apart(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 1);
  const char *const sealed[] = {"aaaaaaaaaaaaaaaaaaaaaa.1", "aaaaaaaaaaaaaaaaaaaaaa.2", "bbbbbbbbbbbbbbbbbbbbbb.1"};
  for (int i = 0; i < 3; i++) {
    fixture_lease(f, "a", 1);
    struct tr_report r = fixture_report(lease_of(q->id, 0, 0, i + 1));
    r.sealed = sealed[i];
    tr_report_apply(f->s, &r, f->at);
    fixture_pass(f, 10000);
    assert_int_equal(q->stages[0].tasks[0].same, i == 1 ? 2 : 1);
  }
}

static void a_task_handed_back_costs_no_attempt(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 1, 1);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(lines(fixture_lease(f, "a", 1)), 1);
    struct tr_report r = fixture_report(lease_of(q->id, 0, 0, i + 1));
    r.returned = true;
    tr_report_apply(f->s, &r, f->at);
    assert_int_equal(f->d->n_ready, 1);
  }
}

/* Takes a lease and hands it back, for the worker's time was over. False when there was none. */
static bool run_out_of_time(struct fixture *f, const char *worker) {
  assert_false(f->d->n_ready && !tr_lease_ready(fixture_worker(f, worker)));
  const char *given = fixture_lease(f, worker, 1);
  if (!*given) return false;
  struct tr_report r = fixture_report(given);
  r.returned = true;
  r.seconds = 800;
  r.by = fixture_worker(f, worker);
  tr_report_apply(f->s, &r, f->at);
  return true;
}

static void a_task_too_long_for_functions_ends_the_query(void **state) {
  struct fixture *f = *state;
  char id[TR_ID_BYTES];
  memcpy(id, fixture_query(f, 1, 1)->id, sizeof id);
  for (int i = 0; i < 3; i++) {
    assert_true(run_out_of_time(f, "f1"));
    assert_int_equal(f->d->n_ready, 1);
  }
  assert_true(run_out_of_time(f, "f2"));
  const char *final = fixture_final(f, id);
  assert_non_null(strstr(final, "\"state\":\"failed\""));
  assert_non_null(strstr(final, "TaskTooLong"));
  assert_non_null(strstr(final, "task 0 of stage 0 (scan) ran in 4 functions until their time was over"));
  assert_int_equal(f->d->n_ready + f->d->n_large + f->d->n_leased, 0);
}

static void a_task_too_long_for_functions_goes_to_others(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 2, 1);
  assert_int_equal(lines(fixture_lease(f, "other", 1)), 1);
  for (int i = 0; i < 2; i++) assert_true(run_out_of_time(f, "f1"));
  assert_int_equal(f->d->n_ready, 0);
  assert_int_equal(f->d->n_large, 1);
  for (int i = 0; i < 10; i++) assert_false(run_out_of_time(f, "f2"));
  assert_false(tr_lease_ready(fixture_worker(f, "f2")));
  fixture_done(f, lease_of(q->id, 0, 0, 1), 4);
  assert_true(tr_lease_ready(fixture_worker(f, "other")));
  assert_int_equal(lines(fixture_lease(f, "other", 2)), 1);
  assert_int_equal(f->d->n_large + f->d->n_ready, 0);
  fixture_done(f, lease_of(q->id, 0, 1, 3), 4);
  assert_true(run_out_of_time(f, "f1")); /* of the next stage */
}

static void when_nobody_else_is_left_a_long_task_ends_the_query(void **state) {
  struct fixture *f = *state;
  char id[TR_ID_BYTES];
  memcpy(id, fixture_query(f, 1, 1)->id, sizeof id);
  fixture_worker(f, "other");
  for (int i = 0; i < 2; i++) assert_true(run_out_of_time(f, "f1"));
  assert_int_equal(f->d->n_large, 1);
  fixture_worker(f, "other")->drain = true;
  for (int i = 0; i < 40 && f->d->n_left; i++) fixture_pass(f, 5000);
  assert_non_null(strstr(fixture_final(f, id), "TaskTooLong"));
}

static void cancel_ends_leases(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 4, 1);
  char id[TR_ID_BYTES];
  memcpy(id, q->id, sizeof id);
  fixture_lease(f, "a", 2);
  tr_query_cancel(f->s, q, f->at);
  assert_non_null(strstr(fixture_final(f, id), "\"state\":\"cancelled\""));
  assert_false(tr_lease_renew(f->s, fixture_worker(f, "a"), lease_of(id, 0, 0, 1), f->at));
  fixture_done(f, lease_of(id, 0, 0, 1), 4);
  assert_string_equal(fixture_lease(f, "a", 2), "");
  assert_int_equal(f->d->n_leased + f->d->n_ready + f->d->n_left, 0);
  assert_int_equal(fixture_worker(f, "a")->n_leases, 0);
  fixture_commit(f);
}

static void a_restart_goes_on(void **state) {
  struct fixture *f = *state;
  char id[TR_ID_BYTES];
  memcpy(id, fixture_query(f, 4, 1)->id, sizeof id);
  fixture_lease(f, "a", 3);
  fixture_done(f, lease_of(id, 0, 1, 1), 7);
  fixture_commit(f);
  fixture_restart(f);
  struct tr_query *q = tr_name_map_get(&f->s->queries, id);
  assert_non_null(q);
  assert_int_equal(q->stages[0].n_done, 1);
  assert_int_equal(q->stages[0].part_rows[0], 7);
  /* Tasks 0 and 2 may be running somewhere: nothing is given out until their workers had time to say so. */
  assert_string_equal(fixture_lease(f, "b", 4), "");
  assert_true(tr_lease_renew(f->s, fixture_worker(f, "a"), lease_of(id, 0, 0, 1), f->at));
  assert_int_equal(f->s->counters.leases_adopted, 1);
  fixture_pass(f, 6000);
  const char *given = fixture_lease(f, "b", 4);
  assert_int_equal(lines(given), 1 + (f->d->n_ready == 0));
  fixture_lease(f, "b", 4);
  assert_int_equal(f->d->n_leased, 3);
  assert_true(q->stages[0].tasks[2].attempt > 1000);
  assert_int_equal(q->stages[0].tasks[0].attempt, 1);
  /* The worker of before comes back late with a task that another has by now: its result counts. */
  fixture_done(f, lease_of(id, 0, 2, 1), 3);
  assert_int_equal(q->stages[0].n_done, 2);
}

static void a_restart_does_not_hold_what_nobody_has(void **state) {
  struct fixture *f = *state;
  fixture_query(f, 4, 1);
  fixture_commit(f);
  fixture_restart(f);
  assert_int_equal(lines(fixture_lease(f, "b", 4)), 4);
}

static void attempts_never_repeat(void **state) {
  struct fixture *f = *state;
  char id[TR_ID_BYTES];
  int64_t last = 0;
  memcpy(id, fixture_query(f, 1, 1)->id, sizeof id);
  for (int i = 0; i < 6; i++) {
    struct tr_error err;
    fixture_pass(f, 6000);
    assert_int_equal(lines(fixture_lease(f, "w", 1)), 1);
    struct tr_query *q = tr_name_map_get(&f->s->queries, id);
    assert_true(q->stages[0].tasks[0].attempt > last);
    last = q->stages[0].tasks[0].attempt;
    fixture_commit(f);
    if (i % 2) fixture_restart(f);
    else assert_int_equal(tr_state_reload(f->s, f->at, &err), TR_OK);
    f->d = tr_deployment_find(f->s, tr_name_map_get(&f->s->account_names, "acc"), "dep");
  }
}

static void what_is_not_written_did_not_happen(void **state) {
  struct fixture *f = *state;
  struct tr_error err;
  char id[TR_ID_BYTES];
  memcpy(id, fixture_query(f, 2, 1)->id, sizeof id);
  fixture_lease(f, "a", 2);
  fixture_commit(f);
  tr_journal_fail_at(f->s->journal, 1);
  fixture_done(f, lease_of(id, 0, 0, 1), 7);
  fixture_query(f, 3, 1);
  assert_int_equal(tr_state_commit(f->s, f->at, &err), TR_ERROR);
  assert_non_null(strstr(err.text, "database"));
  assert_int_equal(tr_state_reload(f->s, f->at, &err), TR_OK);
  f->account = tr_name_map_get(&f->s->account_names, "acc");
  f->d = tr_deployment_find(f->s, f->account, "dep");
  assert_int_equal(f->s->queries.n, 1);
  struct tr_query *q = tr_name_map_get(&f->s->queries, id);
  assert_int_equal(q->stages[0].n_done, 0);
  /* The worker sends its report again. */
  fixture_done(f, lease_of(id, 0, 0, 1), 7);
  fixture_commit(f);
  assert_int_equal(q->stages[0].n_done, 1);
}

static void a_lost_object_is_made_again(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 2, 2);
  fixture_lease(f, "a", 2);
  fixture_done(f, lease_of(q->id, 0, 0, 1), 4);
  fixture_done(f, lease_of(q->id, 0, 1, 1), 6);
  assert_int_equal(lines(fixture_lease(f, "a", 1)), 1);
  struct tr_report r = fixture_report(lease_of(q->id, 1, 0, 1));
  r.lost_stage = 0;
  r.lost_task = 1;
  r.lost_attempt = 1;
  tr_report_apply(f->s, &r, f->at);
  assert_int_equal(q->stages[0].n_done, 1);
  assert_int_equal(q->stages[0].part_rows[0], 2);
  assert_int_equal(f->d->n_ready, 1);
  /* The other consumer finds the same; the producer runs once. */
  assert_string_equal(strstr(fixture_lease(f, "a", 4), "/0/1/"), "/0/1/2\n");
  /* The old commit is no answer. */
  struct tr_report old = fixture_report(lease_of(q->id, 0, 1, 2));
  int64_t two[2] = {3, 3};
  old.ok = true;
  old.winner = 1;
  old.segments = (struct tr_segments){two, two, 2};
  tr_report_apply(f->s, &old, f->at);
  assert_int_equal(q->stages[0].n_done, 1);
  fixture_done(f, lease_of(q->id, 0, 1, 2), 6);
  assert_int_equal(q->stages[0].part_rows[0], 5);
  assert_int_equal(f->d->n_ready, 2);
  fixture_commit(f);
}

static void tasks_are_shared_fairly(void **state) {
  struct fixture *f = *state;
  fixture_worker(f, "a");
  fixture_worker(f, "b");
  fixture_worker(f, "c");
  fixture_query(f, 6, 1);
  assert_int_equal(lines(fixture_lease(f, "a", 10)), 2);
  struct tr_query *second = fixture_query(f, 2, 1);
  /* Two queries take turns. */
  const char *given = fixture_lease(f, "b", 2);
  assert_non_null(strstr(given, second->id));
  assert_non_null(strstr(given, f->d->first->id));
  fixture_worker(f, "c")->drain = true;
  assert_string_equal(fixture_lease(f, "c", 2), "");
}

static void positions_come_from_the_base(void **state) {
  struct fixture *f = *state;
  struct tr_spec_input same = {0, TR_INPUT_SAME};
  int64_t rows[4] = {0, 10, 30, 60};
  struct tr_spec_stage stages[2] = {
      {.role = "scan", .fragment = "{}", .n_tasks = 3, .n_parts = 1, .base = TR_SPEC_ROWS, .first_row = rows},
      {.role = "slice", .fragment = "{}", .n_tasks = 3, .n_parts = 1, .n_inputs = 1, .inputs = &same, .base = 0}};
  struct tr_spec spec = {2, stages};
  struct tr_query *q;
  struct tr_text out = {0};
  assert_true(tr_query_add(f->s, f->d, "{}", "m1", &spec, f->at, &q, &f->fault));
  assert_int_equal(tr_lease_give(f->s, fixture_worker(f, "a"), 3, f->at, &out), 3);
  assert_non_null(strstr(out.data, "\"row_offset\":30,\"rows\":30,\"total_rows\":60"));
  for (int i = 0; i < 3; i++) fixture_done(f, lease_of(q->id, 0, i, 1), 3 + i);
  tr_text_clear(&out);
  tr_lease_give(f->s, fixture_worker(f, "a"), 3, f->at, &out);
  assert_non_null(strstr(out.data, "\"inputs\":[{\"stage\":0,\"rows\":5,\"bytes\":50}],"
                                   "\"row_offset\":7,\"rows\":5,\"total_rows\":12"));
  tr_text_free(&out);
}

static void reports_that_cannot_be_are_refused(void **state) {
  struct fixture *f = *state;
  struct tr_query *q = fixture_query(f, 2, 2);
  int64_t one = 1;
  struct tr_report r = fixture_report(lease_of(q->id, 7, 0, 1));
  assert_false(tr_report_check(f->s, f->d, &r, &f->fault));
  r.stage = 0;
  r.ok = true;
  r.segments = (struct tr_segments){&one, &one, 1};
  assert_false(tr_report_check(f->s, f->d, &r, &f->fault));
  assert_non_null(strstr(f->fault.text, "2 parts, the report 1"));
  r = fixture_report(lease_of("q0", 7, 0, 1));
  assert_true(tr_report_check(f->s, f->d, &r, &f->fault));
}

static void keys_and_their_ends(void **state) {
  struct fixture *f = *state;
  struct tr_key *k;
  char secret[TR_SECRET_MAX];
  assert_true(tr_key_add(f->s, f->account, "mine", f->at, &k, secret, &f->fault));
  fixture_commit(f);
  assert_int_equal(tr_auth_find(f->auth, secret).kind, TR_WHO_USER);
  fixture_restart(f);
  struct tr_identity who = tr_auth_find(f->auth, secret);
  assert_int_equal(who.kind, TR_WHO_USER);
  assert_string_equal(who.account, f->account->id);
  size_t i = 0;
  k = tr_name_map_next(&f->s->keys, &i);
  assert_true(tr_key_revoke(f->s, k, f->at, &f->fault));
  assert_false(tr_key_revoke(f->s, k, f->at, &f->fault));
  assert_int_equal(tr_auth_find(f->auth, secret).kind, TR_WHO_REVOKED);
  fixture_commit(f);
  fixture_restart(f);
  assert_int_equal(tr_auth_find(f->auth, secret).kind, TR_WHO_REVOKED);
  assert_int_equal(tr_auth_find(f->auth, "trk_no").kind, TR_WHO_NOBODY);
}

static void capacity_follows_the_work(void **state) {
  struct fixture *f = *state;
  assert_int_equal(tr_workers_wanted(f->s, f->d), 0);
  struct tr_query *q = fixture_query(f, 8, 1);
  assert_int_equal(tr_workers_wanted(f->s, f->d), 8);
  fixture_lease(f, "a", 8);
  for (int i = 0; i < 4; i++) fixture_done(f, lease_of(q->id, 0, i, 1), 1);
  assert_int_equal(tr_workers_wanted(f->s, f->d), 1);
  f->d->task_seconds = 20;
  assert_int_equal(tr_workers_wanted(f->s, f->d), 4);
  tr_query_cancel(f->s, q, f->at);
  fixture_pass(f, 60001);
  fixture_pass(f, 1);
  assert_int_equal(f->d->workers.n, 0);
}

static void limits_hold(void **state) {
  struct fixture *f = *state;
  f->s->options.max_running = 2;
  assert_non_null(fixture_query(f, 1, 1));
  assert_non_null(fixture_query(f, 1, 1));
  assert_null(fixture_query(f, 1, 1));
  assert_int_equal(f->fault.status, 429);
  assert_false(tr_deployment_drop(f->s, f->d, f->at, &f->fault));
  assert_int_equal(f->fault.status, 409);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)
  const struct CMUnitTest tests[] = {
      CASE(a_query_runs_to_its_end),
      CASE(a_lease_that_runs_out_goes_to_another),
      CASE(four_lost_workers_are_enough),
      CASE(errors_are_tried_again_or_not),
      CASE(sealed_texts_tell_errors_apart),
      CASE(a_task_handed_back_costs_no_attempt),
      CASE(a_task_too_long_for_functions_ends_the_query),
      CASE(a_task_too_long_for_functions_goes_to_others),
      CASE(when_nobody_else_is_left_a_long_task_ends_the_query),
      CASE(cancel_ends_leases),
      CASE(a_restart_goes_on),
      CASE(a_restart_does_not_hold_what_nobody_has),
      CASE(attempts_never_repeat),
      CASE(what_is_not_written_did_not_happen),
      CASE(a_lost_object_is_made_again),
      CASE(tasks_are_shared_fairly),
      CASE(positions_come_from_the_base),
      CASE(reports_that_cannot_be_are_refused),
      CASE(keys_and_their_ends),
      CASE(capacity_follows_the_work),
      CASE(limits_hold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
