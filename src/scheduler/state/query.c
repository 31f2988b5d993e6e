/* Queries from acceptance to their end: see state.h. A stage is shut until all its inputs are complete, then open; a
 * query ends with its last stage. */
#include "base/json_text.h"
#include "base/mem.h"
#include "scheduler/scale/scaling.h"
#include "scheduler/scale/spend.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const tr_query_state_names[] = {"queued", "running", "done", "failed", "cancelled"};

void tr_query_touch(struct tr_query *q) { q->version++; }

static bool no_memory(struct tr_state *s, struct tr_fault *fault) {
  s->broken = true;
  return tr_fault_set(fault, 503, "no_memory", "the scheduler has no memory left; try again");
}

static bool build_stage(struct tr_query *q, int no) {
  struct tr_query_stage *stage = &q->stages[no];
  const struct tr_spec_stage *spec = &q->spec.stages[no];
  *stage = (struct tr_query_stage){.query = q, .spec = spec, .no = no};
  for (int i = 0; i < spec->n_inputs; i++) stage->waiting += spec->inputs[i].stage >= 0;
  stage->tasks = tr_arena_alloc(&q->arena, sizeof *stage->tasks * (size_t)spec->n_tasks);
  stage->part_rows = tr_arena_alloc(&q->arena, sizeof(int64_t) * (size_t)spec->n_parts);
  stage->part_bytes = tr_arena_alloc(&q->arena, sizeof(int64_t) * (size_t)spec->n_parts);
  if (!stage->tasks || !stage->part_rows || !stage->part_bytes) return false;
  for (int t = 0; t < spec->n_tasks; t++) {
    stage->tasks[t].stage = stage;
    stage->tasks[t].lost_attempt = 0;
  }
  return true;
}

/* A query with its arena and spec gets stages, tasks and a place among the others. */
static bool build(struct tr_state *s, struct tr_query *q) {
  q->stages = tr_arena_alloc(&q->arena, sizeof *q->stages * (size_t)q->spec.n_stages);
  if (!q->stages || !tr_name_map_put(&s->queries, q->id, q)) return false;
  struct tr_deployment *d = q->deployment;
  q->prev = d->last;
  if (d->last) d->last->next = q;
  else d->first = q;
  d->last = q;
  d->account->running++;
  for (int i = 0; i < q->spec.n_stages; i++) {
    if (!build_stage(q, i)) return false;
    d->n_left += q->spec.stages[i].n_tasks;
  }
  q->stages_left = q->spec.n_stages;
  return true;
}

void tr_query_free(struct tr_state *s, struct tr_query *q) {
  struct tr_deployment *d = q->deployment;
  for (int i = 0; q->stages && i < q->spec.n_stages; i++) {
    struct tr_query_stage *stage = &q->stages[i];
    for (int t = 0; stage->tasks && t < stage->spec->n_tasks; t++) {
      struct tr_task *task = &stage->tasks[t];
      if (task->state != TR_TASK_WAITING && task->state != TR_TASK_DONE) tr_task_set(s, task, TR_TASK_WAITING);
    }
    if (stage->spec) d->n_left -= stage->spec->n_tasks - stage->n_done;
  }
  if (d->turn == q) d->turn = q->next;
  if (q->prev) q->prev->next = q->next;
  else d->first = q->next;
  if (q->next) q->next->prev = q->prev;
  else d->last = q->prev;
  d->account->running--;
  tr_name_map_remove(&s->queries, q->id);
  tr_arena_free(&q->arena);
  free(q);
}

static struct tr_query *query_new(struct tr_deployment *d) {
  struct tr_query *q = calloc(1, sizeof *q);
  if (!q) return NULL;
  tr_arena_init(&q->arena);
  q->deployment = d;
  q->version = 1;
  return q;
}

bool tr_query_add(struct tr_state *s, struct tr_deployment *d, const char *plan, const char *manifest,
                  const struct tr_spec *spec, struct tr_clock at, struct tr_query **out, struct tr_fault *fault) {
  if (d->account->running >= s->options.max_running)
    return tr_fault_set(fault, 429, "limit", "%d queries of this account are running: wait for one, or cancel it",
                        d->account->running);
  struct tr_text text = {0};
  tr_spec_print(spec, &text);
  struct tr_query *q = query_new(d);
  struct tr_error err;
  if (!q || tr_text_check(&text, NULL) != TR_OK || tr_auth_new_id('q', q->id, NULL) != TR_OK ||
      tr_spec_parse(text.data, &q->arena, &q->spec, &err) != TR_OK) {
    if (q) tr_arena_free(&q->arena);
    free(q);
    tr_text_free(&text);
    return no_memory(s, fault);
  }
  q->created = at.wall;
  bool built = build(s, q);
  if (built) {
    tr_journal_write(s->journal, TR_JOURNAL_ADD_QUERY, "tttittt", q->id, d->account->id, d->id, q->created, manifest,
                     plan, text.data);
    for (int i = 0; i < q->spec.n_stages; i++)
      if (q->stages[i].waiting == 0) tr_query_stage_open(s, &q->stages[i]);
    d->used.queries++;
    s->counters.queries_accepted++;
    *out = q;
  }
  tr_text_free(&text);
  return built || no_memory(s, fault);
}

static void print_stage(const struct tr_query_stage *stage, struct tr_text *out) {
  tr_text_add_str(out, "{\"role\":");
  tr_text_add_json(out, stage->spec->role);
  tr_text_add_format(out, ",\"tasks\":%d,\"done\":%d,\"running\":%d,\"rows\":%lld,\"bytes\":%lld,\"seconds\":%.3f}",
                     stage->spec->n_tasks, stage->n_done, stage->n_leased, (long long)stage->rows,
                     (long long)stage->bytes, stage->seconds);
}

static void print_result(const struct tr_query_stage *stage, struct tr_text *out) {
  tr_text_add_str(out, ",\"result\":[");
  for (int t = 0; t < stage->spec->n_tasks; t++) {
    tr_text_add_str(out, t ? ",{\"task\":" : "{\"task\":");
    tr_text_add_int(out, t);
    tr_text_add_str(out, ",\"attempt\":");
    tr_text_add_int(out, stage->tasks[t].attempt);
    tr_text_add_str(out, ",\"rows\":");
    tr_text_add_int(out, stage->tasks[t].rows);
    tr_text_add_char(out, '}');
  }
  tr_text_add_char(out, ']');
}

static void print_error(const struct tr_query_error *e, struct tr_text *out) {
  tr_text_add_str(out, ",\"error\":{\"class\":");
  tr_text_add_json(out, e->class);
  if (e->text) {
    tr_text_add_str(out, ",\"message\":");
    tr_text_add_json(out, e->text);
  }
  if (e->sealed) {
    tr_text_add_str(out, ",\"sealed\":");
    tr_text_add_json(out, e->sealed);
  }
  if (e->stage >= 0) tr_text_add_format(out, ",\"stage\":%d,\"task\":%d", e->stage, e->task);
  tr_text_add_char(out, '}');
}

void tr_query_print(const struct tr_query *q, enum tr_query_state state, const struct tr_query_error *error,
                    int64_t finished, struct tr_text *out) {
  tr_text_add_format(out, "{\"query\":\"%s\",\"deployment\":\"%s\",\"state\":\"%s\",\"version\":%lld", q->id,
                     q->deployment->id, tr_query_state_names[state], (long long)q->version);
  tr_text_add_format(out, ",\"created\":%lld,\"started\":%lld,\"finished\":%lld,\"stages\":[", (long long)q->created,
                     (long long)q->started, (long long)finished);
  for (int i = 0; i < q->spec.n_stages; i++) {
    if (i) tr_text_add_char(out, ',');
    print_stage(&q->stages[i], out);
  }
  tr_text_add_format(out, "],\"cost_usd\":%.6f,\"s3_gets\":%lld,\"s3_puts\":%lld", q->usd + q->usd_flight,
                     (long long)q->gets, (long long)q->puts);
  if (state == TR_QUERY_DONE) print_result(&q->stages[q->spec.n_stages - 1], out);
  if (error) print_error(error, out);
  tr_text_add_char(out, '}');
}

static void end_flight(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  tr_spend_task(s, t, t->worker, tr_spend_flight_seconds(t, at), false);
  if (t->copy) tr_spend_task(s, t, t->copy, tr_copy_seconds(t, at), false);
}

/* What still runs of a query that ends has cost something too. */
static void end_flights(struct tr_state *s, struct tr_query *q, struct tr_clock at) {
  q->usd_flight = 0;
  for (int i = 0; i < q->spec.n_stages && q->n_leased; i++) {
    struct tr_query_stage *stage = &q->stages[i];
    for (int t = 0; t < stage->spec->n_tasks && stage->n_leased; t++)
      if (stage->tasks[t].state == TR_TASK_LEASED) end_flight(s, &stage->tasks[t], at);
  }
}

/* What a client will see from now on is written beside the query; the query leaves memory. */
static void finish(struct tr_state *s, struct tr_query *q, enum tr_query_state state,
                   const struct tr_query_error *error, struct tr_clock at) {
  struct tr_text final = {0};
  tr_query_touch(q);
  end_flights(s, q, at);
  tr_query_print(q, state, error, at.wall, &final);
  if (tr_text_check(&final, NULL) != TR_OK) s->broken = true;
  tr_journal_write(s->journal, TR_JOURNAL_FINISH_QUERY, "ttitd", q->id, tr_query_state_names[state], at.wall,
                   tr_text_str(&final), q->usd);
  tr_journal_write(s->journal, TR_JOURNAL_DROP_TASKS, "t", q->id);
  tr_text_free(&final);
  tr_query_free(s, q);
}

void tr_query_cancel(struct tr_state *s, struct tr_query *q, struct tr_clock at) {
  s->counters.queries_cancelled++;
  finish(s, q, TR_QUERY_CANCELLED, NULL, at);
}

void tr_query_fail(struct tr_state *s, struct tr_query *q, const struct tr_query_error *error, struct tr_clock at) {
  s->counters.queries_failed++;
  finish(s, q, TR_QUERY_FAILED, error, at);
}

void tr_query_stage_open(struct tr_state *s, struct tr_query_stage *stage) {
  stage->fresh = 0;
  stage->held = false;
  for (int t = 0; t < stage->spec->n_tasks; t++)
    if (stage->tasks[t].state == TR_TASK_WAITING) tr_task_set(s, &stage->tasks[t], TR_TASK_READY);
}

void tr_query_stage_shut(struct tr_state *s, struct tr_query_stage *stage) {
  for (int t = 0; t < stage->spec->n_tasks; t++)
    if (stage->tasks[t].state == TR_TASK_READY || stage->tasks[t].state == TR_TASK_LARGE)
      tr_task_set(s, &stage->tasks[t], TR_TASK_WAITING);
}

/* Calls for each input of a later stage that reads this one. */
static void tell_consumers(struct tr_state *s, struct tr_query_stage *stage, int step) {
  struct tr_query *q = stage->query;
  for (int c = stage->no + 1; c < q->spec.n_stages; c++) {
    struct tr_query_stage *consumer = &q->stages[c];
    int before = consumer->waiting;
    for (int i = 0; i < consumer->spec->n_inputs; i++)
      if (consumer->spec->inputs[i].stage == stage->no) consumer->waiting += step;
    if (before && !consumer->waiting) tr_query_stage_open(s, consumer);
    if (!before && consumer->waiting) tr_query_stage_shut(s, consumer);
  }
}

static void count_segments(struct tr_query_stage *stage, const struct tr_segments *segments, int sign) {
  for (int i = 0; i < segments->n && i < stage->spec->n_parts; i++) {
    stage->part_rows[i] += sign * segments->rows[i];
    stage->part_bytes[i] += sign * segments->bytes[i];
  }
}

/* Rows, then bytes of all parts, as they stand in the database. */
static struct tr_segments segments_of_blob(const void *blob, size_t bytes) {
  int32_t n = (int32_t)(bytes / (2 * sizeof(int64_t)));
  const int64_t *p = blob;
  return (struct tr_segments){p, p ? p + n : NULL, n};
}

static void put_task(struct tr_state *s, const struct tr_task *t, double seconds, const void *blob, size_t bytes) {
  const struct tr_query_stage *stage = t->stage;
  tr_journal_write(s->journal, TR_JOURNAL_PUT_TASK, "tiiiiiiidbddii", stage->query->id, (int64_t)stage->no,
                   (int64_t)(t - stage->tasks), (int64_t)(t->state == TR_TASK_DONE), t->attempt, (int64_t)t->failures,
                   t->rows, t->bytes, seconds, blob, bytes, t->core_seconds, t->usd, t->memory, (int64_t)t->outlasts);
}

static void count_done(struct tr_task *t, double seconds, int sign) {
  struct tr_query_stage *stage = t->stage;
  stage->n_done += sign;
  stage->rows += sign * t->rows;
  stage->bytes += sign * t->bytes;
  stage->seconds += sign * seconds;
  stage->query->deployment->n_left -= sign;
}

/* Later tasks are taken to cost what the last ones did. */
static void learn(struct tr_task *t, double seconds) {
  struct tr_deployment *d = t->stage->query->deployment;
  d->task_seconds = d->task_seconds > 0 ? 0.95 * d->task_seconds + 0.05 * seconds : seconds;
  tr_scaling_learn(t);
}

void tr_task_done(struct tr_state *s, struct tr_task *t, const struct tr_task_result *result, struct tr_clock at) {
  struct tr_query_stage *stage = t->stage;
  struct tr_query *q = stage->query;
  struct tr_deployment *d = q->deployment;
  const struct tr_segments *segments = &result->segments;
  size_t half = sizeof(int64_t) * (size_t)segments->n;
  void *blob;
  if (tr_mem_alloc(2 * half + 1, &blob, NULL) != TR_OK) {
    s->broken = true;
    return;
  }
  if (half) {
    memcpy(blob, segments->rows, half);
    memcpy((char *)blob + half, segments->bytes, half);
  }
  tr_task_set(s, t, TR_TASK_DONE);
  t->attempt = result->attempt;
  t->lost_attempt = 0;
  t->rows = result->rows;
  t->core_seconds = result->core_seconds;
  t->slot = (uint8_t)result->slot;
  t->bytes = 0;
  for (int i = 0; i < segments->n; i++) t->bytes += segments->bytes[i];
  put_task(s, t, result->seconds, blob, 2 * half);
  tr_mem_free(blob, 2 * half + 1);
  count_done(t, result->seconds, 1);
  count_segments(stage, segments, 1);
  learn(t, result->seconds);
  d->used.tasks++;
  d->used.rows += result->rows;
  d->used.bytes += t->bytes;
  d->used.seconds += result->seconds;
  s->counters.tasks_done++;
  tr_query_touch(q);
  if (stage->n_done < stage->spec->n_tasks) return;
  tell_consumers(s, stage, -1);
  if (--q->stages_left) return;
  s->counters.queries_done++;
  finish(s, q, TR_QUERY_DONE, NULL, at);
}

void tr_task_lost(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  struct tr_query_stage *stage = t->stage;
  (void)at;
  if (stage->n_done == stage->spec->n_tasks) {
    stage->query->stages_left++;
    tell_consumers(s, stage, 1);
  }
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_SEGMENTS, "tii", stage->query->id,
                                               (int64_t)stage->no, (int64_t)(t - stage->tasks));
  if (tr_journal_next(row)) {
    size_t bytes;
    const void *blob = tr_row_blob(row, 0, &bytes);
    struct tr_segments segments = segments_of_blob(blob, bytes);
    count_segments(stage, &segments, -1);
    tr_journal_end(row);
  }
  count_done(t, 0, -1);
  tr_scaling_count(t, -1);
  t->lost_attempt = t->attempt;
  tr_task_set(s, t, stage->waiting || stage->held ? TR_TASK_WAITING : TR_TASK_READY);
  put_task(s, t, 0, NULL, 0);
  tr_query_touch(stage->query);
}

/* What the tasks had before the restart. */
static void load_tasks(struct tr_state *s, struct tr_query *q) {
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_TASKS_OF, "t", q->id);
  while (tr_journal_next(row)) {
    int64_t no = tr_row_int(row, 0), task = tr_row_int(row, 1);
    if (no < 0 || no >= q->spec.n_stages || task < 0 || task >= q->spec.stages[no].n_tasks) continue;
    struct tr_task *t = &q->stages[no].tasks[task];
    t->attempt = tr_row_int(row, 3);
    t->failures = (uint8_t)tr_row_int(row, 4);
    t->core_seconds = tr_row_double(row, 9);
    t->usd = tr_row_double(row, 10);
    t->memory = tr_row_int(row, 11);
    t->outlasts = tr_row_int(row, 12) != 0;
    if (!tr_row_int(row, 2)) {
      tr_spend_reload(t);
      continue;
    }
    size_t bytes;
    const void *blob = tr_row_blob(row, 8, &bytes);
    struct tr_segments segments = segments_of_blob(blob, bytes);
    t->rows = tr_row_int(row, 5);
    t->bytes = tr_row_int(row, 6);
    t->state = TR_TASK_DONE;
    tr_spend_reload(t);
    count_done(t, tr_row_double(row, 7), 1);
    count_segments(t->stage, &segments, 1);
  }
}

static enum tr_status load_query(struct tr_state *s, struct tr_journal_row *row, struct tr_error *err) {
  struct tr_deployment *d = tr_name_map_get(&s->deployments, tr_row_text(row, 1));
  struct tr_query *q = d ? query_new(d) : NULL;
  if (!q) return d ? tr_fail_memory(err, sizeof *q) : TR_OK;
  snprintf(q->id, sizeof q->id, "%s", tr_row_text(row, 0));
  q->state = strcmp(tr_row_text(row, 2), "running") == 0 ? TR_QUERY_RUNNING : TR_QUERY_QUEUED;
  q->created = tr_row_int(row, 3);
  q->started = tr_row_int(row, 4);
  enum tr_status st = tr_spec_parse(tr_row_text(row, 6), &q->arena, &q->spec, err);
  if (st != TR_OK) {
    tr_arena_free(&q->arena);
    free(q);
    return st;
  }
  return build(s, q) ? TR_OK : tr_fail_memory(err, 0);
}

static void resume(struct tr_state *s, struct tr_query *q) {
  load_tasks(s, q);
  /* A client that waits has seen a version of before; starting anew must not look older than what it saw. */
  q->version = q->started ? s->epoch_base + 1 : 1;
  for (int i = 0; i < q->spec.n_stages; i++) {
    struct tr_query_stage *stage = &q->stages[i];
    q->version += stage->n_done;
    for (int32_t t = 0; t < stage->spec->n_tasks; t++)
      if (stage->tasks[t].state == TR_TASK_DONE) tr_scaling_count(&stage->tasks[t], 1);
    if (stage->n_done < stage->spec->n_tasks) continue;
    q->stages_left--;
    tell_consumers(s, stage, -1);
  }
  for (int i = 0; i < q->spec.n_stages; i++) {
    struct tr_query_stage *stage = &q->stages[i];
    if (stage->waiting || stage->n_done == stage->spec->n_tasks) continue;
    stage->held = q->state == TR_QUERY_RUNNING && s->options.grace_ms > 0;
    if (stage->held) tr_query_stage_shut(s, stage);
    else tr_query_stage_open(s, stage);
  }
}

enum tr_status tr_queries_load(struct tr_state *s, struct tr_clock at, struct tr_error *err) {
  (void)at;
  struct tr_journal_row *row = tr_journal_read(s->journal, TR_JOURNAL_RUNNING_QUERIES, "");
  while (tr_journal_next(row)) {
    enum tr_status st = load_query(s, row, err);
    if (st == TR_OK) continue;
    tr_journal_end(row);
    return st;
  }
  size_t i = 0;
  for (struct tr_query *q; (q = tr_name_map_next(&s->queries, &i));) resume(s, q);
  return TR_OK;
}
