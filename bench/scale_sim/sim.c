/* A discrete-event simulation of one query on AWS, whose workers are started and drained by the very tr_scale_decide
 * of the scheduler. Reads runs from stdin, one a line, and prints a JSON object for each:
 *
 *   NAME SHAPE BYTES POLICY QUOTA TARGET_S TIMELINE
 *   SHAPE: scan, join, sort; POLICY: lambda, ec2, fargate, mix (lambda and ec2), mix+fargate; QUOTA: times AWS' default
 *   limits; TIMELINE: 0 or 1
 *
 * Nothing here was measured on AWS. Constants have their source beside them: [V] read in a public source, [M] computed
 * from published raw data, [R] from memory, [A] assumed; docs/autoscaling.md discusses them. Prices and start-up times
 * are those of src/scheduler/scale/prices.c.
 *
 * What is left out: spot interruptions, failures, speculation, other users of the account, days on which AWS is slow.
 */
#include "scheduler/scale/prices.h"
#include "scheduler/scale/scale.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_STAGES = 8, N_KINDS = 3, LAMBDA = 0, EC2 = 1, FARGATE = 2, MAX_WORKERS = 400000 };

static const double mb = 1e6;
static const double lambda_net = 75 * 1e6;   /* bytes a second of a function, sustained, both ways [M] */
static const double ec2_net = 312 * 1e6;     /* of c7g.2xlarge: 2.5 Gbit/s base line [R] */
static const double fargate_net = 312 * 1e6; /* of a task of 4 cores [A] */
static const double lambda_life_s = 870;     /* of the 15 minutes that a call may take [V] */
static const double get_per_s = 5500;        /* of one S3 partition [V] */
static const double put_per_s = 3500;        /* [V] */
static const double partitions = 16;         /* that the bucket has grown to [A]; a new one has 1 */
static const double get_latency_s = 0.03;    /* first byte of a GET, median [M] */
static const double gets_at_a_time = 16;     /* of one task [A] */
static const double range_bytes = 12e6;      /* of a GET of a source: AWS advises 8 to 16 MB [V] */
static const double segment_bytes = 1e6;     /* of a shuffle, at least (design) */
static const double task_bytes = 512e6;      /* of a scan (design: 256 to 512 MB) */
static const double most_tasks = 30000;      /* of a stage */
static const double prior_core_s = 1e-8;     /* a byte, before anything is measured: what scaling.c starts with */
static const double noise = 0.2;             /* of task times: sigma of their logarithm [A] */
static const double start_noise = 0.25;      /* of start-up times, either way [A] */

struct stage {
  const char *name;
  int tasks, after[2]; /* stages that must be done before; -1 = none */
  double bytes;        /* read by one task */
  double net_bytes;    /* read and written by one task */
  double core_rate;    /* bytes a second of one core */
  double gets, puts;   /* of one task */
  int given, done;
  double expected;              /* core-seconds of a task, as stages before it tell */
  double core_seconds[N_KINDS]; /* of done tasks, by the kind that did them */
  int by[N_KINDS];
};

enum worker_state { STARTING, IDLE, BUSY, GONE };
struct worker {
  int kind, stage;
  enum worker_state state;
  bool drain;
  int stamp; /* of the idle spell */
  double born, busy_from, idle_from;
};

struct event {
  double at;
  int worker, stamp; /* stamp -1: its start or its task ends; otherwise the end of that idle spell */
};

struct sim {
  struct stage stages[MAX_STAGES];
  int n_stages;
  struct tr_scale_kind kinds[N_KINDS];
  double tokens[N_KINDS]; /* launches that AWS takes now */
  double target, quota, max_workers;
  struct worker *workers;
  int n_workers;
  struct event *heap;
  int n_events, room;
  int running[N_KINDS], busy[N_KINDS], draining[N_KINDS], starting[N_KINDS], launched[N_KINDS], drained[N_KINDS];
  int *idle[N_KINDS], n_idle[N_KINDS];
  double busy_from[N_KINDS]; /* sum over the busy ones */
  int first_there;           /* workers before it are gone */
  double now, gets_free, puts_free, gets, puts, usd[N_KINDS];
  double last_rate;       /* core-seconds a byte of the stages so far */
  double pace[N_KINDS];   /* core-seconds of this kind for one of the reference */
  double stay_s[N_KINDS]; /* as the rule said last */
  int reference;          /* the kind whose pace is 1: the first that was measured; -1 = none yet */
  int peak, decisions;
  double decide_s;
  bool timeline;
  int lines;
};

static uint64_t hash(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

/* The same for every policy: of what, not of when. */
static double unit(uint64_t a, uint64_t b) {
  return (double)(hash(a * 0x9e3779b97f4a7c15ull + b + 1) >> 11) / 9007199254740992.0;
}

static double normal(uint64_t a, uint64_t b) {
  return sqrt(-2 * log(unit(a, 2 * b) + 1e-300)) * cos(6.283185307179586 * unit(a, 2 * b + 1));
}

static void push(struct sim *s, double at, int worker, int stamp) {
  if (s->n_events == s->room) {
    s->room = s->room ? 2 * s->room : 1024;
    s->heap = realloc(s->heap, sizeof *s->heap * (size_t)s->room);
    if (!s->heap) abort();
  }
  int i = s->n_events++;
  for (; i && s->heap[(i - 1) / 2].at > at; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
  s->heap[i] = (struct event){at, worker, stamp};
}

static struct event pop(struct sim *s) {
  struct event top = s->heap[0], last = s->heap[--s->n_events];
  int i = 0;
  for (int child; (child = 2 * i + 1) < s->n_events; i = child) {
    if (child + 1 < s->n_events && s->heap[child + 1].at < s->heap[child].at) child++;
    if (s->heap[child].at >= last.at) break;
    s->heap[i] = s->heap[child];
  }
  s->heap[i] = last;
  return top;
}

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }

static void add_stage(struct sim *s, struct stage stage) { s->stages[s->n_stages++] = stage; }

static int scan_tasks(double bytes) { return (int)most(1, least(most_tasks, ceil(bytes / task_bytes))); }

/* Producers and consumers of a shuffle of so many bytes: segments of a megabyte at least. */
static int shuffle_tasks(double bytes) {
  return (int)most(1, least(least(scan_tasks(bytes), 10000), sqrt(bytes / segment_bytes)));
}

/* Writes `bytes` by `from` tasks of the last stage; a stage in between when a request for each pair would cost more
 * than reading and writing everything once more. Gives the GETs of each of `to` consumers. */
static double shuffle(struct sim *s, double bytes, int from, int to) {
  double pairs = (double)from * to, extra_usd = 2 * bytes / (75 * mb) * 1769 / 1024 * tr_prices.lambda_gb_second;
  s->stages[s->n_stages - 1].puts += 1;
  if (pairs * tr_prices.s3_get < extra_usd && pairs / (get_per_s * partitions) < s->target) return from;
  int last = s->n_stages - 1, fan = (int)most(1, sqrt(to));
  add_stage(s, (struct stage){.name = "combine",
                              .tasks = from,
                              .after = {last, -1},
                              .bytes = bytes / from,
                              .net_bytes = 2 * bytes / from,
                              .core_rate = 150 * mb, /* copies [A] */
                              .gets = fan + 1,
                              .puts = 2});
  return (double)from / fan + 1;
}

static void make_scan(struct sim *s, double bytes) {
  int n = scan_tasks(bytes);
  add_stage(s, (struct stage){.name = "scan",
                              .tasks = n,
                              .after = {-1, -1},
                              .bytes = bytes / n,
                              .net_bytes = bytes / n,
                              .core_rate = 60 * mb, /* S3-bound, one arm core [V] */
                              .gets = ceil(bytes / n / range_bytes),
                              .puts = 2});
  add_stage(s, (struct stage){.name = "result",
                              .tasks = 1,
                              .after = {0, -1},
                              .bytes = 1e4 * n,
                              .net_bytes = 1e4 * n,
                              .core_rate = 60 * mb,
                              .gets = n,
                              .puts = 2});
}

/* A large table, and one of a quarter of it; half of their bytes are needed. */
static void make_join(struct sim *s, double bytes) {
  double kept = 0.5 * bytes;
  int n = shuffle_tasks(kept), m = scan_tasks(bytes) < 4 * n ? scan_tasks(bytes) : 4 * n;
  double left = 0.8 * bytes / m, right = 0.2 * bytes / (m / 4 + 1);
  add_stage(s, (struct stage){.name = "right",
                              .tasks = m / 4 + 1,
                              .after = {-1, -1},
                              .bytes = right,
                              .net_bytes = 1.5 * right,
                              .core_rate = 45 * mb /* [A] */,
                              .gets = ceil(right / range_bytes),
                              .puts = 2});
  add_stage(s, (struct stage){.name = "left",
                              .tasks = m,
                              .after = {-1, -1},
                              .bytes = left,
                              .net_bytes = 1.5 * left,
                              .core_rate = 45 * mb,
                              .gets = ceil(left / range_bytes),
                              .puts = 1});
  double gets = shuffle(s, kept, m, n);
  add_stage(s, (struct stage){.name = "join",
                              .tasks = n,
                              .after = {s->n_stages - 1, 0},
                              .bytes = kept / n,
                              .net_bytes = 1.2 * kept / n,
                              .core_rate = 40 * mb /* [A] */,
                              .gets = 1.25 * gets,
                              .puts = 2});
}

static void make_sort(struct sim *s, double bytes) {
  int m = scan_tasks(bytes), n = shuffle_tasks(bytes);
  if (m > 4 * n) m = 4 * n;
  add_stage(s, (struct stage){.name = "sample",
                              .tasks = m / 16 + 1,
                              .after = {-1, -1},
                              .bytes = 0.01 * bytes / (m / 16 + 1),
                              .net_bytes = 0.01 * bytes / (m / 16 + 1),
                              .core_rate = 60 * mb,
                              .gets = ceil(0.01 * bytes / (m / 16 + 1) / mb),
                              .puts = 2});
  add_stage(s, (struct stage){.name = "split",
                              .tasks = m,
                              .after = {0, -1},
                              .bytes = bytes / m,
                              .net_bytes = 2 * bytes / m,
                              .core_rate = 40 * mb /* [A] */,
                              .gets = ceil(bytes / m / range_bytes),
                              .puts = 1});
  double gets = shuffle(s, bytes, m, n);
  add_stage(s, (struct stage){.name = "merge",
                              .tasks = n,
                              .after = {s->n_stages - 1, -1},
                              .bytes = bytes / n,
                              .net_bytes = 2 * bytes / n,
                              .core_rate = 40 * mb,
                              .gets = gets,
                              .puts = 2 + ceil(bytes / n / (100 * mb))});
}

static bool stage_waits(const struct sim *s, const struct stage *stage) {
  for (int i = 0; i < 2; i++)
    if (stage->after[i] >= 0 && s->stages[stage->after[i]].done < s->stages[stage->after[i]].tasks) return true;
  return false;
}

static bool stage_open(const struct sim *s, const struct stage *stage) {
  return !stage_waits(s, stage) && stage->given < stage->tasks;
}

static bool finished(const struct sim *s) {
  return s->stages[s->n_stages - 1].done == s->stages[s->n_stages - 1].tasks;
}

static double net_of(int kind) { return kind == LAMBDA ? lambda_net : kind == EC2 ? ec2_net : fargate_net; }

/* S3 serves so many requests a second, whoever asks: when the last of these is served. */
static double served(double *free_at, double now, double n, double per_s) {
  *free_at = most(*free_at, now) + n / per_s;
  return *free_at;
}

/* When a task that begins now ends. */
static double end_of(struct sim *s, struct worker *w, int stage_no, int task) {
  struct stage *stage = &s->stages[stage_no];
  double cpu = stage->bytes / stage->core_rate / s->kinds[w->kind].cores, net = stage->net_bytes / net_of(w->kind);
  double work = most(cpu, net) * exp(noise * normal((uint64_t)stage_no + 17, (uint64_t)task)) + 2 * get_latency_s +
                stage->gets * get_latency_s / gets_at_a_time;
  double gets = served(&s->gets_free, s->now, stage->gets, get_per_s * partitions);
  double puts = served(&s->puts_free, s->now, stage->puts, put_per_s * partitions);
  s->gets += stage->gets;
  s->puts += stage->puts;
  return most(s->now + work, most(gets, puts));
}

static void bill(struct sim *s, const struct worker *w, double until) {
  double seconds = until - w->born;
  if (w->kind == LAMBDA) s->usd[LAMBDA] += tr_prices.lambda_call;
  else seconds = most(60, seconds); /* the least that is paid for [V] */
  s->usd[w->kind] += seconds / 3600 * s->kinds[w->kind].usd_per_hour;
}

static void leave(struct sim *s, int id) {
  struct worker *w = &s->workers[id];
  bill(s, w, s->now);
  if (w->drain) s->draining[w->kind]--;
  else s->running[w->kind]--;
  w->state = GONE;
}

static void rest(struct sim *s, int id) {
  struct worker *w = &s->workers[id];
  w->state = IDLE;
  w->stamp++;
  w->idle_from = s->now;
  s->idle[w->kind][s->n_idle[w->kind]++] = id;
  push(s, s->now + s->kinds[w->kind].idle_s, id, w->stamp);
}

/* Gives the worker a task, or lets it rest. */
static void give(struct sim *s, int id) {
  struct worker *w = &s->workers[id];
  if (w->drain || (w->kind == LAMBDA && s->now - w->born > lambda_life_s)) {
    leave(s, id);
    return;
  }
  for (int i = 0; i < s->n_stages; i++) {
    if (!stage_open(s, &s->stages[i])) continue;
    w->state = BUSY;
    w->stage = i;
    w->busy_from = s->now;
    s->busy[w->kind]++;
    s->busy_from[w->kind] += s->now;
    push(s, end_of(s, w, i, s->stages[i].given++), id, -1);
    return;
  }
  rest(s, id);
}

/* Workers that rest get what has become open; those with most cores first. */
static void wake_all(struct sim *s) {
  static const int order[N_KINDS] = {EC2, FARGATE, LAMBDA};
  for (int k = 0; k < N_KINDS; k++) {
    int kind = order[k], n = s->n_idle[kind], *list = s->idle[kind];
    bool open = false;
    for (int i = 0; i < s->n_stages; i++) open |= stage_open(s, &s->stages[i]);
    if (!open) return;
    s->n_idle[kind] = 0;
    for (int i = 0; i < n; i++)
      if (s->workers[list[i]].state == IDLE) {
        int id = list[i];
        bool any = false;
        for (int j = 0; j < s->n_stages; j++) any |= stage_open(s, &s->stages[j]);
        if (any) give(s, id);
        else s->idle[kind][s->n_idle[kind]++] = id; /* its idle spell goes on */
      }
  }
}

/* Core-seconds of the reference for a task of this stage, as its done tasks tell; without those of one kind. */
static double task_seconds(const struct sim *s, const struct stage *stage, int without) {
  double seconds = 0;
  int n = stage->done;
  for (int k = 0; k < N_KINDS; k++) {
    if (k == without) n -= stage->by[k];
    else seconds += stage->core_seconds[k] / s->pace[k];
  }
  return n ? seconds / n : 0;
}

/* What scaling.c learns from a done task. */
static void measure(struct sim *s, struct stage *stage, const struct worker *w) {
  int k = w->kind;
  if (stage->done == 1) stage->expected = stage->bytes * s->last_rate;
  stage->core_seconds[k] += (s->now - w->busy_from) * s->kinds[k].cores;
  stage->by[k]++;
  if (s->reference < 0) s->reference = k;
  double others = task_seconds(s, stage, k), weight = tr_scale_pace_step * (stage->done - stage->by[k]) / stage->done;
  if (k != s->reference && others > 0)
    s->pace[k] += (stage->core_seconds[k] / stage->by[k] / others - s->pace[k]) * weight;
  s->last_rate = task_seconds(s, stage, -1) / stage->bytes;
}

static void task_done(struct sim *s, int id) {
  struct worker *w = &s->workers[id];
  struct stage *stage = &s->stages[w->stage];
  stage->done++;
  measure(s, stage, w);
  s->busy[w->kind]--;
  s->busy_from[w->kind] -= w->busy_from;
  if (finished(s)) {
    rest(s, id);
    return;
  }
  give(s, id);
  if (stage->done == stage->tasks) wake_all(s);
}

static void happen(struct sim *s, struct event e) {
  struct worker *w = &s->workers[e.worker];
  s->now = e.at;
  if (e.stamp >= 0) {
    if (w->state != IDLE || w->stamp != e.stamp) return;
    if (s->now + 1e-6 >= w->idle_from + s->stay_s[w->kind]) leave(s, e.worker);
    else push(s, least(s->now + 1, w->idle_from + s->stay_s[w->kind]), e.worker, e.stamp);
  } else if (w->state == STARTING) {
    s->starting[w->kind]--;
    s->running[w->kind]++;
    give(s, e.worker);
  } else if (w->state == BUSY) {
    task_done(s, e.worker);
  }
}

/* Core-seconds of a task: what done ones took, and what was expected, which counts as much as a twentieth of all. */
static double expected_task(const struct sim *s, const struct stage *stage) {
  if (!stage->done) return stage->bytes * (s->last_rate > 0 ? s->last_rate : prior_core_s);
  double measured = task_seconds(s, stage, -1), weight = stage->expected > 0 ? tr_scale_known_share * stage->tasks : 0;
  return (measured * stage->done + stage->expected * weight) / (stage->done + weight);
}

/* Fills what the view has of work. */
static void view_work(const struct sim *s, struct tr_scale_view *v) {
  double open = 0;
  for (int i = 0; i < s->n_stages; i++) {
    const struct stage *stage = &s->stages[i];
    int tasks = stage->tasks - stage->done;
    double left = expected_task(s, stage) * tasks;
    v->tasks_left += tasks;
    v->core_seconds_left += left;
    if (stage_waits(s, stage)) v->core_seconds_later += left;
    else open += left, v->tasks_open += tasks;
  }
  if (v->tasks_open) v->task_core_seconds = open / v->tasks_open;
}

/* Of what runs, so much is done. */
static double work_flying(const struct sim *s) {
  double flying = 0;
  for (int k = 0; k < N_KINDS; k++) flying += (s->busy[k] * s->now - s->busy_from[k]) * s->kinds[k].cores / s->pace[k];
  return flying;
}

static void make_view(struct sim *s, struct tr_scale_view *v) {
  double oldest[N_KINDS] = {0};
  *v = (struct tr_scale_view){
      .target_s = s->target, .max_workers = (int32_t)s->max_workers, .usd_left_queries = -1, .n_kinds = N_KINDS};
  while (s->first_there < s->n_workers && s->workers[s->first_there].state == GONE) s->first_there++;
  int unseen = s->starting[0] + s->starting[1] + s->starting[2];
  for (int i = s->first_there; i < s->n_workers && unseen; i++)
    if (s->workers[i].state == STARTING) {
      unseen--;
      oldest[s->workers[i].kind] = most(oldest[s->workers[i].kind], s->now - s->workers[i].born);
    }
  view_work(s, v);
  v->core_seconds_left -= least(work_flying(s), 0.9 * v->core_seconds_left);
  for (int k = 0; k < N_KINDS; k++) {
    struct tr_scale_kind *kind = &v->kinds[k];
    *kind = s->kinds[k];
    kind->pace = s->pace[k];
    kind->running = s->running[k];
    kind->busy = s->busy[k];
    kind->draining = s->draining[k];
    kind->starting = s->starting[k];
    kind->starting_for_s = oldest[k];
    /* What AWS takes now; the count of those that are starting is no limit of its own. */
    kind->burst = (int32_t)s->tokens[k] + s->starting[k];
    kind->burst_per_s = 0;
  }
}

static void launch(struct sim *s, int kind, int n) {
  s->tokens[kind] -= n;
  for (int i = 0; i < n && s->n_workers < MAX_WORKERS; i++) {
    int id = s->n_workers++;
    double start =
        s->kinds[kind].start_s * (1 + start_noise * (2 * unit((uint64_t)kind + 99, (uint64_t)s->launched[kind]) - 1));
    s->workers[id] = (struct worker){.kind = kind, .state = STARTING, .born = s->now};
    s->starting[kind]++;
    s->launched[kind]++;
    push(s, s->now + start, id, -1);
  }
}

static void drain(struct sim *s, int kind, int n) {
  s->drained[kind] += n;
  for (int pass = 0; pass < 2; pass++)
    for (int i = s->first_there; i < s->n_workers && n; i++) {
      struct worker *w = &s->workers[i];
      if (w->kind != kind || w->drain || w->state != (pass ? BUSY : IDLE)) continue;
      w->drain = true;
      s->running[kind]--;
      s->draining[kind]++;
      if (w->state == IDLE) leave(s, i);
      n--;
    }
}

static void print_point(struct sim *s) {
  printf("%s[%.0f,%.0f,%.0f,%.0f]", s->lines++ ? "," : "", s->now,
         (s->running[LAMBDA] + s->draining[LAMBDA]) * s->kinds[LAMBDA].cores,
         (s->running[EC2] + s->draining[EC2]) * s->kinds[EC2].cores,
         (s->running[FARGATE] + s->draining[FARGATE]) * s->kinds[FARGATE].cores);
}

static void decide(struct sim *s, double step) {
  struct tr_scale_view view;
  struct tr_scale_orders orders;
  for (int k = 0; k < N_KINDS; k++)
    s->tokens[k] = least(s->kinds[k].burst * s->quota, s->tokens[k] + step * s->kinds[k].burst_per_s * s->quota);
  make_view(s, &view);
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  tr_scale_decide(&view, &orders);
  clock_gettime(CLOCK_MONOTONIC, &b);
  s->decide_s += (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
  s->decisions++;
  int all = 0;
  for (int k = 0; k < N_KINDS; k++) {
    launch(s, k, orders.kinds[k].launch);
    drain(s, k, orders.kinds[k].drain);
    s->stay_s[k] = orders.kinds[k].stay_s;
    all += s->running[k] + s->draining[k] + s->starting[k];
  }
  if (all > s->peak) s->peak = all;
  if (s->timeline) print_point(s);
}

static void set_policy(struct sim *s, const char *policy) {
  tr_price_kind("lambda-small", 0, 1769ll << 20, false, &s->kinds[LAMBDA]);
  tr_price_kind("ec2", 8, 16ll << 30, true, &s->kinds[EC2]);
  tr_price_kind("ecs", 4, 16ll << 30, false, &s->kinds[FARGATE]);
  int32_t all = (int32_t)s->max_workers;
  /* Concurrent functions by default 1,000 [V]; tasks and instances as many as the deployment allows. */
  bool mix = strcmp(policy, "mix") == 0, three = strcmp(policy, "mix+fargate") == 0;
  s->kinds[LAMBDA].max = mix || three || strcmp(policy, "lambda") == 0 ? (int32_t)(1000 * s->quota) : 0;
  s->kinds[EC2].max = mix || three || strcmp(policy, "ec2") == 0 ? all : 0;
  s->kinds[FARGATE].max = three || strcmp(policy, "fargate") == 0 ? all : 0;
  for (int k = 0; k < N_KINDS; k++) {
    s->tokens[k] = s->kinds[k].burst * s->quota;
    s->stay_s[k] = s->kinds[k].idle_s;
    s->pace[k] = s->kinds[k].pace;
  }
}

static void end_all(struct sim *s) {
  for (int i = 0; i < s->n_workers; i++) {
    struct worker *w = &s->workers[i];
    double idle = s->kinds[w->kind].idle_s;
    if (w->state == STARTING) bill(s, w, most(s->now, w->born + s->kinds[w->kind].start_s) + idle);
    else if (w->state != GONE) bill(s, w, s->now + (w->drain ? 0 : idle));
  }
}

static void print_result(const struct sim *s, const char *name, const char *shape, double bytes, const char *policy) {
  double requests = s->gets * tr_prices.s3_get + s->puts * tr_prices.s3_put;
  printf(
      "%s\"name\":\"%s\",\"shape\":\"%s\",\"bytes\":%.0f,\"policy\":\"%s\",\"quota\":%g,\"seconds\":%.3f,\"usd\":%.6f,",
      s->timeline ? "]," : "{", name, shape, bytes, policy, s->quota, s->now,
      s->usd[0] + s->usd[1] + s->usd[2] + requests);
  printf("\"usd_compute\":[%.6f,%.6f,%.6f],\"usd_requests\":%.6f,\"gets\":%.0f,\"puts\":%.0f,\"launched\":[%d,%d,%d],",
         s->usd[0], s->usd[1], s->usd[2], requests, s->gets, s->puts, s->launched[0], s->launched[1], s->launched[2]);
  printf("\"drained\":[%d,%d,%d],\"peak_workers\":%d,\"decisions\":%d,\"decide_us\":%.3f,\"stages\":[", s->drained[0],
         s->drained[1], s->drained[2], s->peak, s->decisions, 1e6 * s->decide_s / s->decisions);
  for (int i = 0; i < s->n_stages; i++) printf("%s[\"%s\",%d]", i ? "," : "", s->stages[i].name, s->stages[i].tasks);
  printf("]}\n");
}

static bool run(const char *name, const char *shape, double bytes, const char *policy, double quota, double target,
                bool timeline) {
  struct sim *s = calloc(1, sizeof *s);
  s->workers = calloc(MAX_WORKERS, sizeof *s->workers);
  for (int k = 0; k < N_KINDS; k++) s->idle[k] = calloc(MAX_WORKERS, sizeof(int));
  s->quota = quota;
  s->target = target;
  s->max_workers = 10000;
  s->timeline = timeline;
  s->reference = -1;
  set_policy(s, policy);
  if (strcmp(shape, "scan") == 0) make_scan(s, bytes);
  else if (strcmp(shape, "join") == 0) make_join(s, bytes);
  else make_sort(s, bytes);
  if (timeline) printf("{\"timeline\":[");
  double step = 1, limit = 30 * 24 * 3600;
  for (double at = 0; !finished(s) && at < limit; at += step) {
    while (s->n_events && s->heap[0].at <= at && !finished(s)) happen(s, pop(s));
    if (finished(s)) break;
    s->now = at;
    decide(s, step);
  }
  bool good = finished(s);
  end_all(s);
  print_result(s, name, shape, bytes, policy);
  for (int k = 0; k < N_KINDS; k++) free(s->idle[k]);
  free(s->workers);
  free(s->heap);
  free(s);
  return good;
}

int main(void) {
  char name[64], shape[16], policy[16];
  double bytes, quota, target;
  int timeline;
  while (scanf("%63s %15s %lf %15s %lf %lf %d", name, shape, &bytes, policy, &quota, &target, &timeline) == 7)
    if (!run(name, shape, bytes, policy, quota, target, timeline != 0)) {
      fprintf(stderr, "%s by %s does not end\n", name, policy);
      return 1;
    }
  return 0;
}
