/* Tasks given out, renewed, taken back and reported: see state.h. All leases last equally long, so a list to whose end
 * new and renewed ones go is sorted by their ends. */
#include "base/hash.h"
#include "base/json_text.h"
#include "scheduler/scale/scaling.h"
#include "scheduler/scale/spend.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUTS = 2, TEXT = 400 }; /* cuts: a task that so often ran until its function's time was over is for others */

static bool is_function(const struct tr_worker *w) { return strncmp(w->kind, "lambda", 6) == 0; }

static void unlink_leased(struct tr_state *s, struct tr_task *t) {
  if (t->prev) t->prev->next = t->next;
  else s->leased_first = t->next;
  if (t->next) t->next->prev = t->prev;
  else s->leased_last = t->prev;
  t->next = t->prev = NULL;
}

static void append_leased(struct tr_state *s, struct tr_task *t) {
  t->prev = s->leased_last;
  t->next = NULL;
  if (t->prev) t->prev->next = t;
  else s->leased_first = t;
  s->leased_last = t;
}

static void unlink_backoff(struct tr_state *s, struct tr_task *t) {
  struct tr_task **at = &s->backoff_first;
  while (*at != t) at = &(*at)->next;
  *at = t->next;
  t->next = NULL;
}

static void unlink_large(struct tr_task *t) {
  struct tr_deployment *d = t->stage->query->deployment;
  if (t->prev) t->prev->next = t->next;
  else d->large = t->next;
  if (t->next) t->next->prev = t->prev;
  t->next = t->prev = NULL;
  d->n_large--;
}

static void link_large(struct tr_task *t) {
  struct tr_deployment *d = t->stage->query->deployment;
  t->prev = NULL;
  t->next = d->large;
  if (t->next) t->next->prev = t;
  d->large = t;
  d->n_large++;
}

static void queue_retry(struct tr_query_stage *stage, struct tr_task *t) {
  if (t->queued || t - stage->tasks >= stage->fresh) return;
  t->queued = true;
  t->retry = NULL;
  if (stage->retry_last) stage->retry_last->retry = t;
  else stage->retry_first = t;
  stage->retry_last = t;
}

static void count_ready(struct tr_query_stage *stage, int step) {
  stage->n_ready += step;
  stage->query->n_ready += step;
  stage->query->deployment->n_ready += step;
}

static void count_leased(struct tr_query_stage *stage, int step) {
  stage->n_leased += step;
  stage->query->n_leased += step;
  stage->query->deployment->n_leased += step;
}

void tr_task_set(struct tr_state *s, struct tr_task *t, enum tr_task_state state) {
  struct tr_query_stage *stage = t->stage;
  if (t->state == TR_TASK_READY) count_ready(stage, -1);
  if (t->state == TR_TASK_BACKOFF) unlink_backoff(s, t);
  if (t->state == TR_TASK_LARGE) unlink_large(t);
  if (state == TR_TASK_READY && (t->memory || t->outlasts)) state = TR_TASK_LARGE;
  if (t->state == TR_TASK_LEASED) {
    unlink_leased(s, t);
    count_leased(stage, -1);
    tr_copy_drop(t);
    tr_copy_calm(t);
    if (t->worker) t->worker->n_leases--;
    t->worker = NULL;
  }
  t->state = (uint8_t)state;
  if (state == TR_TASK_READY) {
    count_ready(stage, 1);
    queue_retry(stage, t);
  }
  if (state == TR_TASK_LARGE) {
    t->until = 0; /* to be looked at with the next tick */
    link_large(t);
  }
  if (state == TR_TASK_LEASED) {
    append_leased(s, t);
    count_leased(stage, 1);
  }
  if (state == TR_TASK_BACKOFF) {
    t->next = s->backoff_first;
    s->backoff_first = t;
  }
}

static struct tr_task *pop_ready(struct tr_query_stage *stage) {
  for (struct tr_task *t; (t = stage->retry_first);) {
    stage->retry_first = t->retry;
    if (!t->retry) stage->retry_last = NULL;
    t->queued = false;
    if (t->state == TR_TASK_READY) return t;
  }
  while (stage->fresh < stage->spec->n_tasks) {
    struct tr_task *t = &stage->tasks[stage->fresh++];
    if (t->state == TR_TASK_READY) return t;
  }
  return NULL;
}

/* Queries take turns, so that a small one does not wait for the end of a large one. */
static struct tr_task *next_task(struct tr_deployment *d) {
  if (!d->n_ready) return NULL;
  struct tr_query *q = d->turn ? d->turn : d->first;
  while (!q->n_ready) q = q->next ? q->next : d->first;
  d->turn = q->next;
  for (int i = 0; i < q->spec.n_stages; i++)
    if (q->stages[i].n_ready) return pop_ready(&q->stages[i]);
  return NULL;
}

/* Whether a budget is enough larger than one that a task has failed for. Of workers of a kind, which may have a little
 * more or less, none is; one of a kind with twice that as memory is, though machines see some per cent less of theirs.
 */
static bool is_larger(int64_t budget, int64_t failed) { return budget >= failed + failed / 10; }

/* Whether the worker is one for tasks that have failed for so much memory, or for want of time. */
static bool may_have(const struct tr_worker *w, int64_t memory, bool outlasts) {
  return (!memory || is_larger(w->memory, memory)) && !(outlasts && is_function(w));
}

static struct tr_task *large_for(const struct tr_worker *w) {
  for (struct tr_task *t = w->deployment->large; t; t = t->next)
    if (may_have(w, t->memory, t->outlasts)) return t;
  return NULL;
}

bool tr_lease_ready(const struct tr_worker *w) {
  const struct tr_deployment *d = w->deployment;
  return d->n_ready || (d->n_slow && !w->n_leases) || large_for(w);
}

/* What the task will read of an input, at most: which task of its branch it is, where a CONCAT has branches, the worker
 * knows. Who made it, it finds in the bucket: the commits say. */
static void print_input(const struct tr_query_stage *stage, const struct tr_spec_input *in, int task,
                        struct tr_text *out) {
  if (in->stage < 0) {
    tr_text_add_str(out, "{\"stage\":-1}");
    return;
  }
  const struct tr_query_stage *from = &stage->query->stages[in->stage];
  int64_t rows = from->rows, bytes = from->bytes;
  if (in->mode == TR_INPUT_SHUFFLE && from->spec->n_parts == stage->spec->n_tasks) {
    rows = from->part_rows[task];
    bytes = from->part_bytes[task];
  } else if (in->mode == TR_INPUT_SAME && from->spec->n_tasks == stage->spec->n_tasks) {
    rows = from->tasks[task].rows;
    bytes = from->tasks[task].bytes;
  }
  tr_text_add_format(out, "{\"stage\":%d,\"rows\":%lld,\"bytes\":%lld}", in->stage, (long long)rows, (long long)bytes);
}

/* Which rows of all rows the task has. */
static void print_position(const struct tr_query_stage *stage, int task, struct tr_text *out) {
  const struct tr_spec_stage *spec = stage->spec;
  int64_t before = 0, rows, total;
  if (spec->base == TR_SPEC_NO_ROWS) return;
  if (spec->base == TR_SPEC_ROWS) {
    before = spec->first_row[task];
    rows = spec->first_row[task + 1] - before;
    total = spec->first_row[spec->n_tasks];
  } else {
    const struct tr_query_stage *base = &stage->query->stages[spec->base];
    for (int t = 0; t < task; t++) before += base->tasks[t].rows;
    rows = base->tasks[task].rows;
    total = base->rows;
  }
  tr_text_add_format(out, ",\"row_offset\":%lld,\"rows\":%lld,\"total_rows\":%lld", (long long)before, (long long)rows,
                     (long long)total);
}

static void print_pieces(const struct tr_spec_stage *spec, int task, struct tr_text *out) {
  tr_text_add_str(out, ",\"pieces\":[");
  for (int i = spec->first_piece[task]; i < spec->first_piece[task + 1]; i++)
    tr_text_add_format(out, "%s{\"source\":%d,\"from\":%lld,\"to\":%lld}", i > spec->first_piece[task] ? "," : "",
                       spec->pieces[i].source, (long long)spec->pieces[i].from, (long long)spec->pieces[i].to);
  tr_text_add_char(out, ']');
}

static void print_task(const struct tr_task *t, int64_t attempt, const struct tr_worker *w, struct tr_text *out) {
  const struct tr_query_stage *stage = t->stage;
  const char *query = stage->query->id;
  int task = (int)(t - stage->tasks);
  tr_text_add_format(out, "{\"lease\":\"%s/%d/%d/%lld\",\"query\":\"%s\",\"stage\":%d,\"task\":%d,\"attempt\":%lld",
                     query, stage->no, task, (long long)attempt, query, stage->no, task, (long long)attempt);
  if (t->lost_attempt) tr_text_add_format(out, ",\"replaces\":%lld", (long long)t->lost_attempt);
  tr_text_add_str(out, ",\"fragment\":");
  tr_text_add_str(out, stage->spec->fragment);
  tr_text_add_str(out, ",\"inputs\":[");
  for (int i = 0; i < stage->spec->n_inputs; i++) {
    if (i) tr_text_add_char(out, ',');
    print_input(stage, &stage->spec->inputs[i], task, out);
  }
  tr_text_add_char(out, ']');
  if (stage->spec->first_piece) print_pieces(stage->spec, task, out);
  print_position(stage, task, out);
  tr_text_add_format(out, ",\"memory_bytes\":%lld}", (long long)w->memory);
}

static void start(struct tr_state *s, struct tr_query *q, struct tr_clock at) {
  if (q->state != TR_QUERY_QUEUED) return;
  q->state = TR_QUERY_RUNNING;
  q->started = at.wall;
  tr_journal_write(s->journal, TR_JOURNAL_START_QUERY, "ti", q->id, at.wall);
  tr_query_touch(q);
}

static void take_lease(struct tr_state *s, struct tr_task *t, struct tr_worker *w, int64_t attempt,
                       struct tr_clock at) {
  t->until = at.now + s->options.lease_ms;
  t->since = at.now;
  tr_task_set(s, t, TR_TASK_LEASED);
  t->attempt = attempt;
  if (attempt > t->given) t->given = attempt;
  t->worker = w;
  w->n_leases++;
  w->idle_from = 0;
  start(s, t->stage->query, at);
}

static int64_t next_attempt(const struct tr_state *s, struct tr_task *t) {
  if (t->given < t->attempt) t->given = t->attempt;
  if (t->given < s->epoch_base) t->given = s->epoch_base;
  return ++t->given;
}

/* A worker that has nothing to do tries a task that another one has had for long. */
static int32_t give_copy(struct tr_state *s, struct tr_worker *w, struct tr_clock at, struct tr_text *out) {
  for (struct tr_task *t = s->leased_first; t; t = t->next) {
    if (!t->slow || t->stage->query->deployment != w->deployment) continue;
    tr_copy_give(t, w, next_attempt(s, t), at.now + s->options.lease_ms, at);
    print_task(t, t->given, w, out);
    s->counters.leases++;
    s->counters.copies++;
    return 1;
  }
  return 0;
}

int32_t tr_lease_give(struct tr_state *s, struct tr_worker *w, int32_t want, struct tr_clock at, struct tr_text *out) {
  struct tr_deployment *d = w->deployment;
  /* A fair share: what is ready is spread over all who work here, before anybody stores tasks up. */
  int64_t workers = d->workers.n ? (int64_t)d->workers.n : 1, fair = (d->n_ready + workers - 1) / workers;
  int32_t given = 0;
  if (w->drain) return 0;
  /* Few can run the large ones, so these come first. */
  for (struct tr_task *t; given < want; given++) {
    t = large_for(w);
    if (!t && (given >= fair || !(t = next_task(d)))) break;
    take_lease(s, t, w, next_attempt(s, t), at);
    if (given) tr_text_add_char(out, ',');
    print_task(t, t->attempt, w, out);
    s->counters.leases++;
  }
  if (!given && want > 0 && d->n_slow && !w->n_leases) return give_copy(s, w, at, out);
  return given;
}

/* A number of decimal digits up to `end`; false when it is none. */
static bool parse_number(const char **at, char end, int64_t most, int64_t *out) {
  char *stop;
  if (**at < '0' || **at > '9') return false;
  errno = 0;
  *out = strtoll(*at, &stop, 10);
  if (errno || *stop != end || *out > most) return false;
  *at = stop + (end != 0);
  return true;
}

bool tr_lease_parse(const char *text, char query[TR_ID_BYTES], int32_t *stage, int32_t *task, int64_t *attempt) {
  const char *slash = strchr(text, '/');
  int64_t a, b;
  if (!slash || slash == text || slash - text >= TR_ID_BYTES) return false;
  memcpy(query, text, (size_t)(slash - text));
  query[slash - text] = 0;
  const char *at = slash + 1;
  if (!parse_number(&at, '/', INT32_MAX, &a) || !parse_number(&at, '/', INT32_MAX, &b)) return false;
  *stage = (int32_t)a;
  *task = (int32_t)b;
  return parse_number(&at, 0, INT64_MAX / 4, attempt);
}

static struct tr_task *find_task(const struct tr_state *s, const struct tr_deployment *d, const char *query,
                                 int32_t stage, int32_t task) {
  const struct tr_query *q = tr_name_map_get(&s->queries, query);
  if (!q || q->deployment != d || stage < 0 || stage >= q->spec.n_stages) return NULL;
  return task >= 0 && task < q->spec.stages[stage].n_tasks ? &q->stages[stage].tasks[task] : NULL;
}

bool tr_lease_renew(struct tr_state *s, struct tr_worker *w, const char *lease, struct tr_clock at) {
  char query[TR_ID_BYTES];
  int32_t stage, task;
  int64_t attempt;
  if (!tr_lease_parse(lease, query, &stage, &task, &attempt)) return false;
  struct tr_task *t = find_task(s, w->deployment, query, stage, task);
  if (t && tr_copy_is(t, attempt)) {
    if (t->copy == w) w->copy_until = at.now + s->options.lease_ms;
    return true;
  }
  if (!t || t->state == TR_TASK_DONE || attempt < t->attempt) return false;
  if (t->state == TR_TASK_LEASED && (attempt != t->attempt || t->worker != w)) return attempt == t->attempt;
  if (t->state == TR_TASK_LEASED) {
    unlink_leased(s, t);
    t->until = at.now + s->options.lease_ms;
    append_leased(s, t);
    return true;
  }
  /* Lost by a restart, or by having been silent for too long: nobody else has it yet. */
  take_lease(s, t, w, attempt, at);
  s->counters.leases_adopted++;
  return true;
}

bool tr_report_check(const struct tr_state *s, const struct tr_deployment *d, const struct tr_report *r,
                     struct tr_fault *fault) {
  const struct tr_query *q = tr_name_map_get(&s->queries, r->query);
  if (!q) return true;
  if (q->deployment != d) return tr_fault_set(fault, 404, "no_query", "no query %s in this deployment", r->query);
  const struct tr_task *t = find_task(s, d, r->query, r->stage, r->task);
  if (!t)
    return tr_fault_set(fault, 400, "invalid_report", "query %s has no task %d in stage %d", r->query, r->task,
                        r->stage);
  if (r->ok && r->segments.n != t->stage->spec->n_parts)
    return tr_fault_set(fault, 400, "invalid_report", "stage %d of query %s has %d parts, the report %d", r->stage,
                        r->query, t->stage->spec->n_parts, r->segments.n);
  if (r->lost_stage >= 0 && !find_task(s, d, r->query, r->lost_stage, r->lost_task))
    return tr_fault_set(fault, 400, "invalid_report", "query %s has no task %d in stage %d", r->query, r->lost_task,
                        r->lost_stage);
  return true;
}

/* The second lease becomes the only one. */
static void promote(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  struct tr_worker *w = t->copy;
  unlink_leased(s, t);
  if (t->worker) t->worker->n_leases--;
  w->copy_of = NULL;
  t->copy = NULL;
  t->worker = w; /* in whose count it is already */
  t->attempt = w->copy_attempt;
  t->since = w->copy_since;
  t->until = at.now + s->options.lease_ms;
  append_leased(s, t);
}

/* Goes back to be given out again, at once or after a while; unless a second worker has it. */
static void put_back(struct tr_state *s, struct tr_task *t, int64_t delay, struct tr_clock at) {
  if (t->copy) {
    promote(s, t, at);
  } else if (delay > 0) {
    t->until = at.now + delay;
    tr_task_set(s, t, TR_TASK_BACKOFF);
  } else {
    tr_task_set(s, t, t->stage->waiting || t->stage->held ? TR_TASK_WAITING : TR_TASK_READY);
  }
}

static void write_failure(struct tr_state *s, const struct tr_task *t) {
  const struct tr_query_stage *stage = t->stage;
  tr_journal_write(s->journal, TR_JOURNAL_PUT_TASK, "tiiiiiiidbddii", stage->query->id, (int64_t)stage->no,
                   (int64_t)(t - stage->tasks), (int64_t)0, t->attempt, (int64_t)t->failures, (int64_t)0, (int64_t)0,
                   0.0, NULL, (size_t)0, 0.0, t->usd, t->memory, (int64_t)t->outlasts);
}

/* One failure more. The query may end and be freed. */
static void failed(struct tr_state *s, struct tr_task *t, bool give_up, const struct tr_query_error *error,
                   struct tr_clock at) {
  t->failures++;
  s->counters.tasks_failed++;
  if (give_up || t->failures >= s->options.max_attempts) {
    struct tr_query_error whole = *error;
    whole.stage = t->stage->no;
    whole.task = (int32_t)(t - t->stage->tasks);
    tr_query_fail(s, t->stage->query, &whole, at);
    return;
  }
  write_failure(s, t);
  tr_query_touch(t->stage->query);
  put_back(s, t, s->options.backoff_ms << (2 * (t->failures - 1)), at);
}

/* Whether there is a worker, or may be one, that has enough more memory than the task has failed for, and time. */
static bool larger_exists(const struct tr_deployment *d, int64_t memory, bool outlasts) {
  const struct tr_aws_record *r = d->aws;
  size_t at = 0;
  for (const struct tr_worker *w; (w = tr_name_map_next(&d->workers, &at));)
    if (!w->drain && may_have(w, memory, outlasts)) return true;
  if (!r || !r->limits.workers) return false;
  int64_t most = r->ecs.cluster ? r->ecs.memory_mb : 0;
  if (r->ec2.group && r->ec2.memory_mb > most) most = r->ec2.memory_mb;
  for (int i = 0; i < r->n_functions && !outlasts; i++)
    if (r->functions[i].memory_mb > most) most = r->functions[i].memory_mb;
  return most && most << 20 >= memory * TR_MEMORY_OF_BUDGET;
}

static void say_too_large(const struct tr_task *t, int64_t memory, char text[TEXT]) {
  const struct tr_query_stage *stage = t->stage;
  snprintf(
      text, TEXT,
      "task %d of stage %d (%s) does not fit into a memory budget of %lld bytes, and this deployment has no workers "
      "with a larger one: give it larger functions, tasks or instances (elsewhere TERALITY_MEMORY_BUDGET), or cut "
      "the data into more files or row groups",
      (int)(t - stage->tasks), stage->no, stage->spec->role, (long long)memory);
}

/* The budget was too small: workers with more memory get the task, if there are any. True when that is settled. */
static bool ask_for_memory(struct tr_state *s, const struct tr_report *r, struct tr_task *t, struct tr_clock at) {
  int64_t memory = r->by ? r->by->memory : 0;
  if (!r->retry || strcmp(r->class, "MemoryError") != 0 || memory <= 0) return false;
  if (memory < t->memory || !larger_exists(t->stage->query->deployment, memory, t->outlasts)) return false;
  t->memory = memory;
  t->same = 0; /* with another budget it is another attempt */
  failed(s, t, false, &(struct tr_query_error){r->class, r->sealed, NULL, 0, 0}, at);
  return true;
}

static void fail_too_long(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  const struct tr_query_stage *stage = t->stage;
  char text[TEXT];
  snprintf(text, sizeof text,
           "task %d of stage %d (%s) ran in %d functions until their time was over, and this deployment has no other "
           "workers: cut the data into smaller pieces (target_rows), or give it tasks (ECS) or instances (EC2)",
           (int)(t - stage->tasks), stage->no, stage->spec->role, t->cut);
  struct tr_query_error error = {"TaskTooLong", NULL, text, stage->no, (int32_t)(t - stage->tasks)};
  tr_query_fail(s, stage->query, &error, at);
}

/* It ran until its function's time was over. That may be because it began late, but not again and again: then it waits
 * for a worker that has time, and when there will be none the query fails, rather than begin anew for ever. */
static void out_of_time(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  t->cut++;
  s->counters.tasks_cut++;
  if (t->cut >= CUTS && larger_exists(t->stage->query->deployment, t->memory, true)) t->outlasts = true;
  if (!t->outlasts && t->cut >= s->options.max_attempts) {
    fail_too_long(s, t, at);
    return;
  }
  if (t->outlasts) write_failure(s, t);
  put_back(s, t, 0, at);
}

/* Who could have run the large ones may be gone, for good. */
void tr_lease_look_at_large(struct tr_state *s, struct tr_deployment *d, struct tr_clock at) {
  char text[TEXT];
  for (struct tr_task *t = d->large; t; t = t->next) {
    if (t->until && t->until > at.now) continue;
    if (!t->until || larger_exists(d, t->memory, t->outlasts)) {
      t->until = at.now + s->options.worker_ms;
      continue;
    }
    if (t->outlasts) {
      fail_too_long(s, t, at);
      return;
    }
    say_too_large(t, t->memory, text);
    struct tr_query_error error = {"MemoryError", NULL, text, t->stage->no, (int32_t)(t - t->stage->tasks)};
    tr_query_fail(s, t->stage->query, &error, at);
    return; /* the list is another one now */
  }
}

/* Equal errors have equal class and equal id of the sealed text (before its dot); the rest of a seal is random. */
static uint64_t error_print(const struct tr_report *r) {
  size_t n = r->sealed ? strcspn(r->sealed, ".") : 0;
  uint64_t h = tr_hash_mix(tr_hash_bytes(r->class, strlen(r->class)), n ? tr_hash_bytes(r->sealed, n) : 1);
  return h ? h : 1;
}

static bool is_current(const struct tr_task *t, int64_t attempt) {
  if (t->state == TR_TASK_DONE) return false;
  return t->state == TR_TASK_LEASED ? t->attempt == attempt : attempt > t->attempt && attempt > t->given;
}

static void lose_input(struct tr_state *s, const struct tr_report *r, struct tr_task *t, struct tr_clock at) {
  struct tr_query *q = t->stage->query;
  struct tr_task *lost = &q->stages[r->lost_stage].tasks[r->lost_task];
  if (lost->state == TR_TASK_DONE && lost->attempt == r->lost_attempt) {
    if (++lost->failures >= s->options.max_attempts) {
      struct tr_query_error error = {r->class, r->sealed, "what a task wrote was lost again and again", r->lost_stage,
                                     r->lost_task};
      tr_query_fail(s, q, &error, at);
      return;
    }
    tr_task_lost(s, lost, at);
  }
  put_back(s, t, 0, at);
}

static void apply_failure(struct tr_state *s, const struct tr_report *r, struct tr_task *t, struct tr_clock at) {
  if (tr_copy_is(t, r->attempt)) tr_copy_drop(t); /* the first is still at it */
  if (!is_current(t, r->attempt)) return;
  if (t->state != TR_TASK_LEASED) t->attempt = r->attempt;
  if (r->returned) {
    if (r->seconds > 0) out_of_time(s, t, at);
    else put_back(s, t, 0, at);
    return;
  }
  if (r->lost_stage >= 0) {
    lose_input(s, r, t, at);
    return;
  }
  if (ask_for_memory(s, r, t, at)) return;
  char text[TEXT];
  uint64_t print = error_print(r);
  t->same = t->error == print ? t->same + 1 : 1;
  t->error = print;
  struct tr_query_error error = {r->class, r->sealed, r->text, 0, 0};
  if (strcmp(r->class, "MemoryError") == 0 && r->by) {
    say_too_large(t, r->by->memory, text);
    error.text = text;
  }
  failed(s, t, !r->retry || t->same >= s->options.max_same, &error, at);
}

/* What an attempt cost is counted once: by its report, or when its lease ran out. A lease of before a restart could not
 * run out. */
static void charge(struct tr_state *s, const struct tr_report *r, struct tr_task *t, struct tr_clock at) {
  bool current = t->state == TR_TASK_LEASED && t->attempt == r->attempt, copy = tr_copy_is(t, r->attempt);
  bool ran = !r->returned || r->seconds > 0;
  if (!ran || (!current && !copy && r->attempt > s->epoch_base)) return;
  double flight = copy ? tr_copy_seconds(t, at) : tr_spend_flight_seconds(t, at);
  tr_spend_task(s, t, r->by, r->ok || !(current || copy) ? r->seconds : flight, r->ok);
  if (!r->ok || !t->copy) return;
  /* Of two that ran one was in vain. */
  if (copy) tr_spend_task(s, t, t->worker, tr_spend_flight_seconds(t, at), false);
  else tr_spend_task(s, t, t->copy, tr_copy_seconds(t, at), false);
}

void tr_report_apply(struct tr_state *s, const struct tr_report *r, struct tr_clock at) {
  const struct tr_query *q = tr_name_map_get(&s->queries, r->query);
  if (!q) return;
  struct tr_task *t = &q->stages[r->stage].tasks[r->task];
  charge(s, r, t, at);
  if (!r->ok) apply_failure(s, r, t, at);
  else if (t->state != TR_TASK_DONE && r->winner != t->lost_attempt)
    tr_task_done(s, t,
                 &(struct tr_task_result){.attempt = r->winner,
                                          .rows = r->rows,
                                          .seconds = r->seconds,
                                          .core_seconds = r->seconds * (r->by ? r->by->cores : 1),
                                          .slot = r->by ? r->by->slot : 0,
                                          .segments = r->segments},
                 at);
}

static void expire(struct tr_state *s, struct tr_task *t, struct tr_clock at) {
  char text[160];
  snprintf(text, sizeof text, "the task was given to %d workers and none of them reported back", t->failures + 1);
  struct tr_query_error error = {"WorkerLost", NULL, text, 0, 0};
  s->counters.leases_expired++;
  tr_spend_task(s, t, t->worker, tr_spend_flight_seconds(t, at), false);
  failed(s, t, false, &error, at);
}

static void end_grace(struct tr_state *s) {
  size_t i = 0;
  s->grace_until = 0;
  for (struct tr_query *q; (q = tr_name_map_next(&s->queries, &i));)
    for (int k = 0; k < q->spec.n_stages; k++)
      if (q->stages[k].held) {
        q->stages[k].held = false;
        if (!q->stages[k].waiting) tr_query_stage_open(s, &q->stages[k]);
      }
}

void tr_leases_tick(struct tr_state *s, struct tr_clock at) {
  while (s->leased_first && s->leased_first->until <= at.now) expire(s, s->leased_first, at);
  for (struct tr_task *t = s->backoff_first, *next; t; t = next) {
    next = t->next;
    if (t->until <= at.now) put_back(s, t, 0, at);
  }
  if (s->grace_until && s->grace_until <= at.now) end_grace(s);
}

/* Memory that a function is paid for, which is more than its worker sees. */
static int64_t memory_of_function(const struct tr_worker *w) {
  const struct tr_aws_record *r = w->deployment->aws;
  for (int i = 0; r && i < r->n_functions; i++)
    if (strcmp(r->functions[i].kind, w->kind) == 0) return (int64_t)r->functions[i].memory_mb << 20;
  return (strcmp(w->kind, "lambda-large") == 0 ? 10240ll : 1769ll) << 20;
}

/* By the deployment's record; of instances, which may be of several types, by what the worker says. */
static void price(struct tr_worker *w) {
  struct tr_scale_kind k = {0};
  const struct tr_aws_record *r = w->deployment->aws;
  double cores = w->cores;
  int64_t memory = w->memory;
  if (strncmp(w->kind, "lambda", 6) == 0) {
    memory = memory_of_function(w);
    cores = 0;
  } else if (strcmp(w->kind, "ecs") == 0 && r && r->ecs.cluster) {
    memory = (int64_t)r->ecs.memory_mb << 20;
    cores = r->ecs.cpu / 1024.0;
  }
  tr_price_kind(w->kind, cores, memory, w->deployment->spot, &k);
  w->usd_per_hour = k.usd_per_hour;
  w->start_s = k.start_s;
}

struct tr_worker *tr_worker_seen(struct tr_state *s, struct tr_deployment *d, const char *id, const char *kind,
                                 const char *instance, int32_t cores, int64_t memory, struct tr_clock at,
                                 struct tr_fault *fault) {
  struct tr_worker *w = tr_name_map_get(&d->workers, id);
  if (!w) {
    if (d->workers.n >= (size_t)s->options.max_workers) {
      tr_fault_set(fault, 429, "limit", "deployment %s has %zu workers, more are not taken", d->name, d->workers.n);
      return NULL;
    }
    w = calloc(1, sizeof *w);
    if (w) snprintf(w->id, sizeof w->id, "%s", id);
    if (!w || !tr_name_map_put(&d->workers, w->id, w)) {
      free(w);
      tr_fault_set(fault, 503, "no_memory", "the scheduler has no memory left; try again");
      return NULL;
    }
    w->deployment = d;
    w->since = at.now;
  }
  /* Functions that were thawed go on under their name, for another call. */
  if (instance && strcmp(w->instance, instance) != 0) {
    snprintf(w->instance, sizeof w->instance, "%s", instance);
    w->counted = false;
  }
  snprintf(w->kind, sizeof w->kind, "%s", kind);
  w->slot = tr_price_slot(kind);
  w->cores = cores;
  w->memory = memory;
  price(w);
  w->seen = at.now;
  return w;
}

void tr_worker_gone(struct tr_state *s, struct tr_worker *w) {
  (void)s;
  tr_name_map_remove(&w->deployment->workers, w->id);
  free(w);
}

int64_t tr_workers_wanted(const struct tr_state *s, const struct tr_deployment *d) {
  int64_t at_hand = d->n_ready + d->n_large + d->n_leased;
  if (!at_hand) return d->n_left ? 1 : 0;
  if (d->task_seconds <= 0) return at_hand;
  double ends_in_time = (double)d->n_left * d->task_seconds * 1000 / (double)s->options.target_ms;
  int64_t n = (int64_t)ends_in_time + 1;
  return n < at_hand ? n : at_hand;
}
