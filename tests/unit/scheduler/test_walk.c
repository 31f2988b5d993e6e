/* A random life of the scheduler: queries come and are cancelled, workers lease, report, fail, lie and vanish, memory
 * and disk fail, the scheduler restarts. After each step every count must be what counting gives; at the end every
 * query ends well once the workers behave. */
#include "fixture.h"

static uint64_t random_state;
static int64_t second_leases, large_tasks; /* seen: they must come up at all */

static uint64_t below(uint64_t n) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return (random_state >> 33) % n;
}

static void check_stage(const struct tr_query_stage *stage, int64_t *ready, int64_t *leased, int64_t *left) {
  int64_t done = 0, mine_ready = 0, mine_leased = 0, rows = 0;
  for (int t = 0; t < stage->spec->n_tasks; t++) {
    const struct tr_task *task = &stage->tasks[t];
    done += task->state == TR_TASK_DONE;
    mine_ready += task->state == TR_TASK_READY;
    mine_leased += task->state == TR_TASK_LEASED;
    if (task->state == TR_TASK_DONE) rows += task->rows;
    if (task->state == TR_TASK_READY || task->state == TR_TASK_LARGE) assert_true(!stage->waiting && !stage->held);
    if (task->state == TR_TASK_READY) assert_int_equal(task->memory, 0);
  }
  int64_t part_rows = 0;
  for (int p = 0; p < stage->spec->n_parts; p++) part_rows += stage->part_rows[p];
  assert_int_equal(stage->n_done, done);
  assert_int_equal(stage->n_ready, mine_ready);
  assert_int_equal(stage->n_leased, mine_leased);
  assert_int_equal(stage->rows, rows);
  assert_int_equal(part_rows, rows);
  *ready += mine_ready;
  *leased += mine_leased;
  *left += stage->spec->n_tasks - done;
}

static void check_query(const struct tr_query *q) {
  int64_t ready = 0, leased = 0, left = 0, incomplete = 0;
  for (int i = 0; i < q->spec.n_stages; i++) {
    const struct tr_query_stage *stage = &q->stages[i];
    int waiting = 0;
    for (int k = 0; k < stage->spec->n_inputs; k++) {
      const struct tr_query_stage *from = &q->stages[stage->spec->inputs[k].stage];
      waiting += from->n_done < from->spec->n_tasks;
    }
    assert_int_equal(stage->waiting, waiting);
    incomplete += stage->n_done < stage->spec->n_tasks;
    check_stage(stage, &ready, &leased, &left);
  }
  assert_int_equal(q->stages_left, incomplete);
  assert_int_equal(q->n_ready, ready);
  assert_int_equal(q->n_leased, leased);
}

static void check_all(const struct fixture *f) {
  int64_t ready = 0, leased = 0, running = 0, in_list = 0, of_workers = 0;
  for (const struct tr_query *q = f->d->first; q; q = q->next) {
    check_query(q);
    ready += q->n_ready;
    leased += q->n_leased;
    running++;
  }
  int64_t last = 0;
  for (const struct tr_task *t = f->s->leased_first; t; t = t->next, in_list++) {
    assert_true(t->until >= last);
    last = t->until;
  }
  int64_t large = 0;
  for (const struct tr_task *t = f->d->large; t; t = t->next, large++) {
    assert_int_equal(t->state, TR_TASK_LARGE);
    assert_true((t->memory > 0 || t->outlasts) && (!t->next || t->next->prev == t));
  }
  assert_int_equal(f->d->n_large, large);
  large_tasks += large;
  size_t i = 0;
  for (const struct tr_worker *w; (w = tr_name_map_next(&f->d->workers, &i));) {
    of_workers += w->n_leases - (w->copy_of != NULL);
    second_leases += w->copy_of != NULL;
    if (w->copy_of) assert_true(w->copy_of->copy == w && w->copy_of->state == TR_TASK_LEASED);
  }
  int64_t slow = 0;
  for (const struct tr_task *t = f->s->leased_first; t; t = t->next) {
    slow += t->slow;
    assert_true(!t->copy || (t->copy->copy_of == t && !t->slow && t->given >= t->copy->copy_attempt));
  }
  assert_int_equal(f->d->n_slow, slow);
  assert_int_equal(f->d->n_ready, ready);
  assert_int_equal(f->d->n_leased, leased);
  assert_int_equal(in_list, leased);
  assert_int_equal(of_workers, leased);
  assert_int_equal(f->account->running, running);
  assert_int_equal(f->s->queries.n, running);
}

/* What the simulated workers hold. */
struct held {
  char leases[4000][80];
  int n;
};

static const char *worker_name(void) {
  static char name[8];
  snprintf(name, sizeof name, "%c%d", below(3) ? 'm' : 'f', (int)below(5));
  return name;
}

static void take(struct fixture *f, struct held *held) {
  const char *worker = worker_name();
  if (!fixture_worker(f, worker)) return;
  const char *given = fixture_lease(f, worker, 1 + (int)below(4));
  for (; *given && held->n < 4000; given += strcspn(given, "\n") + 1)
    snprintf(held->leases[held->n++], 80, "%.*s", (int)strcspn(given, "\n"), given);
}

static void lose(struct fixture *f, const char *lease) {
  struct tr_report r = fixture_report(lease);
  const struct tr_query *q = tr_name_map_get(&f->s->queries, r.query);
  if (!q || r.stage == 0) return;
  r.lost_stage = r.stage - 1;
  r.lost_task = (int32_t)below((uint64_t)q->spec.stages[r.lost_stage].n_tasks);
  r.lost_attempt = q->stages[r.lost_stage].tasks[r.lost_task].attempt;
  tr_report_apply(f->s, &r, f->at);
}

/* Too large for the worker that has it. */
static void too_large(struct fixture *f, const char *lease) {
  struct tr_report r = fixture_report(lease);
  const struct tr_query *q = tr_name_map_get(&f->s->queries, r.query);
  r.class = "MemoryError";
  r.by = q ? q->stages[r.stage].tasks[r.task].worker : NULL;
  tr_report_apply(f->s, &r, f->at);
}

static void report(struct fixture *f, struct held *held, bool good) {
  if (!held->n) return;
  int i = (int)below((uint64_t)held->n);
  const char *lease = held->leases[i];
  uint64_t how = good ? 0 : below(13);
  if (how < 7) fixture_done(f, lease, (int64_t)below(20));
  else if (how == 7) fixture_fails(f, lease, "OSError", true);
  else if (how == 8 && below(8) == 0) fixture_fails(f, lease, "ValueError", false);
  else if (how == 9) lose(f, lease);
  else if (how == 11) too_large(f, lease);
  else if (how == 10) {
    struct tr_report r = fixture_report(lease);
    r.returned = true;
    r.seconds = (double)below(2);
    tr_report_apply(f->s, &r, f->at);
  }
  /* Some are reported twice. */
  if (good || below(4)) memmove(held->leases[i], held->leases[--held->n], 80);
}

static void renew(struct fixture *f, struct held *held) {
  struct tr_worker *w = fixture_worker(f, worker_name());
  for (int i = 0; w && i < held->n; i++)
    if (below(2) && !tr_lease_renew(f->s, w, held->leases[i], f->at))
      memmove(held->leases[i], held->leases[--held->n], 80);
}

static void again(struct fixture *f) {
  f->account = tr_name_map_get(&f->s->account_names, "acc");
  f->d = tr_deployment_find(f->s, f->account, "dep");
}

static void commit(struct fixture *f) {
  struct tr_error err;
  tr_mem_fail_at(0);
  if (tr_state_commit(f->s, f->at, &err) == TR_OK) return;
  assert_int_equal(tr_state_reload(f->s, f->at, &err), TR_OK);
  again(f);
}

static void step(struct fixture *f, struct held *held) {
  uint64_t what = below(100);
  bool failing = below(50) == 0;
  if (failing && below(2)) tr_mem_fail_at(1 + (int64_t)below(10));
  else if (failing) tr_journal_fail_at(f->s->journal, 1 + (int)below(4));
  if (what < 4) fixture_query(f, 1 + (int)below(8), 1 + (int)below(5));
  else if (what < 35) take(f, held);
  else if (what < 75) report(f, held, false);
  else if (what < 85) renew(f, held);
  else if (what < 97) fixture_pass(f, (int64_t)below(what == 96 ? 20000 : what == 95 ? 5000 : 500));
  else if (what < 98 && f->d->first) tr_query_cancel(f->s, f->d->first, f->at);
  commit(f);
  tr_journal_fail_at(f->s->journal, 0);
  if (what == 99 && below(5) == 0) fixture_restart(f);
}

static void finish_all(struct fixture *f, struct held *held) {
  for (int i = 0; i < 200000 && f->d->first; i++) {
    take(f, held);
    report(f, held, true);
    if (i % 3 == 0) fixture_pass(f, 400);
    if (i % 8 == 7) commit(f); /* each one waits for the disk */
  }
  commit(f);
  assert_null(f->d->first);
}

static void walk(void **state) {
  struct fixture *f = *state;
  struct held *held = calloc(1, sizeof *held);
  for (int seed = 1; seed <= 6; seed++) {
    random_state = (uint64_t)seed;
    for (int i = 0; i < 1500; i++) {
      step(f, held);
      check_all(f);
    }
    finish_all(f, held);
    check_all(f);
    assert_int_equal(f->d->n_left, 0);
  }
  free(held);
  assert_true(second_leases > 20 && large_tasks > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(walk, fixture_up, fixture_down)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
