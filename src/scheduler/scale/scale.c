/* The rule of scale.h, in the order in which it is applied:
 *
 *   1. What may be had at all: kinds that can run the largest task, whose launcher works, within every cap.
 *   2. The kind that is up first gets what the work needs now: core-seconds left / target seconds.
 *   3. Of the others the cheapest gets what will still be left when it is up, then the next one what that one may not
 *      have. A cheaper kind is only worth waiting for when it then works long enough to pay for its own start and idle
 *      end.
 *   4. The dearer kinds drain, core for core, as cheaper ones register, unless what is there ends in time anyway; and
 *      all at once when their next tasks would end after everything else is done.
 *   5. Idle workers that later work needs stay for as long as it would take to have them again.
 *
 * Need shrinks while work is done, and nothing is drained for that: idle workers end after a while. A need of less than
 * a tenth of what there is changes nothing. So estimates that waver do not make workers come and go.
 */
#include "scheduler/scale/scale.h"
#include <math.h>
#include <string.h>

static const double cheaper = 1.2;    /* so many times cheaper is worth a change of kind */
static const double slack = 0.1;      /* of what there is: smaller needs are noise */
static const double slow_task = 2;    /* so many times as long as the mean takes one of the slower tasks */
static const double stuck_starts = 4; /* a start that takes so many times as long as usual is not counted on … */
static const double stuck_s = 30;     /* … plus this */
static const double fast_share =
    0.25; /* of all places are the fast kind's when the cheap one wants more than there are */

struct kind {
  const struct tr_scale_kind *k;
  double power; /* of one worker, in cores of those that the work is counted in */
  double price; /* of such a core for an hour */
  bool able;    /* can run the tasks, if it comes up */
  bool usable;  /* and nothing speaks against launching many */
  bool stuck;   /* what is starting will perhaps never come */
  int32_t launch, drain;
};

struct plan {
  const struct tr_scale_view *view;
  struct kind kinds[TR_SCALE_KINDS];
  int32_t n;
  int fast; /* the kind that is up first; -1 = none is usable */
  double work, target;
  int32_t open, left;    /* tasks */
  double later;          /* work of tasks that are not open */
  double task;           /* core-seconds of an open one */
  double next, at_hand;  /* of the one that the next free worker will get, and of all of its kind that are left */
  int32_t places;        /* free under the cap on workers */
  double money;          /* for launches of now */
  const char *money_cap; /* the cap that makes it so little */
  const char *capped;    /* the cap that a need ran into */
};

static double at_least(double a, double b) { return a > b ? a : b; }
static double at_most(double a, double b) { return a < b ? a : b; }
static int32_t whole(double x) { return x <= 0 ? 0 : x >= 1e9 ? 1000000000 : (int32_t)x; }

static double rest_of_start(const struct kind *a) { return at_least(0, a->k->start_s - a->k->starting_for_s); }
static int32_t present(const struct tr_scale_kind *k) { return k->running + k->starting + k->draining; }
static int32_t coming(const struct kind *a) { return a->stuck ? 0 : a->k->starting; }

/* What one worker will cost at least: its start, work for the target time, its idle end. */
static double price_of_one(const struct plan *p, const struct kind *a, double start_s) {
  return a->k->usd_per_hour / 3600 * (start_s + p->target + a->k->idle_s);
}

static void count_money(struct plan *p) {
  const struct tr_scale_view *v = p->view;
  p->money = INFINITY;
  p->money_cap = "cap_hour";
  if (v->usd_per_hour_max > 0) p->money = v->usd_per_hour_max - v->usd_this_hour;
  if (v->usd_left_queries >= 0 && v->usd_left_queries < p->money) {
    p->money = v->usd_left_queries;
    p->money_cap = "cap_query";
  }
  for (int i = 0; i < p->n; i++) p->money -= price_of_one(p, &p->kinds[i], 0) * present(p->kinds[i].k);
  p->money = at_least(0, p->money);
}

static bool fits(const struct tr_scale_view *v, const struct tr_scale_kind *k) {
  return v->task_memory <= 0 || k->memory >= v->task_memory;
}

static bool can_run(const struct tr_scale_view *v, const struct tr_scale_kind *k) {
  if (k->max <= 0 || k->cores <= 0) return false;
  if (k->launcher == TR_SCALE_LAMBDA && v->tasks_long > 0 && v->tasks_long >= v->tasks_open) return false;
  if (fits(v, k) || (v->tasks_large > 0 && v->tasks_large < v->tasks_open)) return true;
  /* When nothing is large enough the largest has to try. */
  for (int i = 0; i < v->n_kinds && i < TR_SCALE_KINDS; i++)
    if (v->kinds[i].max > 0 && v->kinds[i].cores > 0 && v->kinds[i].memory > k->memory) return false;
  return true;
}

static void read_view(const struct tr_scale_view *v, struct plan *p) {
  *p = (struct plan){.view = v, .fast = -1, .left = v->tasks_left, .places = v->max_workers};
  p->n = v->n_kinds < TR_SCALE_KINDS ? v->n_kinds : TR_SCALE_KINDS;
  p->target = at_least(1, v->target_s);
  /* Tasks of which nothing is known are some work. */
  p->work = p->left > 0 ? at_least(v->core_seconds_left, 1e-3) : 0;
  p->open = v->tasks_open > 0 ? v->tasks_open : 1;
  p->later = at_most(p->work, at_least(0, v->core_seconds_later));
  p->task = p->next = at_least(v->task_core_seconds, (p->work - p->later) / p->open);
  for (int i = 0; i < p->n; i++) {
    const struct tr_scale_kind *k = &v->kinds[i];
    struct kind *a = &p->kinds[i];
    a->k = k;
    a->power = k->pace > 0 ? k->cores / k->pace : k->cores;
    a->price = k->cores > 0 ? k->usd_per_hour / a->power : INFINITY;
    a->stuck = k->starting > 0 && k->starting_for_s > stuck_starts * k->start_s + stuck_s;
    a->able = can_run(v, k);
    a->usable = a->able && !a->stuck && k->failing_for_s <= 0;
    p->places -= present(k);
  }
  int32_t busy = 0;
  for (int i = 0; i < p->n; i++) busy += v->kinds[i].busy;
  p->at_hand = p->work - p->later;
  if (busy >= p->open && p->left > p->open) {
    p->next = p->later / (p->left - p->open);
    p->at_hand = p->later;
  }
  if (p->places < 0) p->places = 0;
  count_money(p);
}

static bool replaces(const struct kind *a, const struct kind *b) { return a->price * cheaper <= b->price; }

/* Whether a cheaper kind is up nearly as soon. */
static bool outdone(const struct plan *p, const struct kind *b) {
  for (int i = 0; i < p->n; i++) {
    const struct kind *a = &p->kinds[i];
    if (a->usable && replaces(a, b) && a->k->start_s <= 2 * b->k->start_s) return true;
  }
  return false;
}

static bool same_start(const struct kind *a, const struct kind *b) {
  return fabs(a->k->start_s - b->k->start_s) < 1 && !replaces(a, b) && !replaces(b, a);
}

static int find_fast(const struct plan *p) {
  int best = -1;
  for (int i = 0; i < p->n; i++) {
    const struct kind *a = &p->kinds[i];
    if (!a->usable || outdone(p, a)) continue;
    if (best < 0 || a->k->start_s < p->kinds[best].k->start_s) best = i;
  }
  return best;
}

/* Cores and workers that there are in `t` seconds, as things stand and are planned; without those that kind `by`
 * replaces, if one is named. */
static double cores_in(const struct plan *p, double t, const struct kind *by, double *workers) {
  double cores = 0;
  *workers = 0;
  for (int i = 0; i < p->n; i++) {
    const struct kind *a = &p->kinds[i];
    if (by && replaces(by, a)) continue;
    double n = a->k->running + (rest_of_start(a) <= t ? coming(a) : 0) + (a->k->start_s <= t ? a->launch : 0);
    *workers += n;
    cores += n * a->power;
  }
  return cores;
}

/* For how long the slower tasks of those that run now go on when no other is left to be given out. */
static double tail(const struct plan *p) {
  double longest = 0;
  for (int i = 0; i < p->n; i++)
    if (p->kinds[i].k->running || p->kinds[i].launch)
      longest = at_least(longest, slow_task * p->task / p->kinds[i].power);
  return longest;
}

/* Core-seconds left in `t` seconds. Work of later stages waits for the last tasks of the present ones. */
static double left_in(const struct plan *p, double t) {
  double done = 0, workers = 0;
  for (int i = 0; i < p->n; i++) {
    const struct kind *a = &p->kinds[i];
    double starting = coming(a) * at_least(0, t - rest_of_start(a)),
           planned = a->launch * at_least(0, t - a->k->start_s);
    workers += a->k->running + coming(a) + a->launch;
    done += a->power * (a->k->running * t + starting + planned);
  }
  /* Workers without a task do nothing. */
  if (workers > p->open) done *= p->open / workers;
  double now = p->work - p->later, waits = done / t * tail(p);
  if (p->later > 0 && done > now) done = at_least(now, done - waits);
  return at_least(0, p->work - done);
}

/* For how long a worker of kind a must work in the place of one of kind b before it has paid for its start and end. */
static double pays_after(const struct kind *a, const struct kind *b) {
  return (a->k->start_s + a->k->idle_s) * a->price / (b->price - a->price);
}

/* The most cores of a kind that cheaper ones leave it; all when none of them is there. */
static double cores_allowed(const struct plan *p, const struct kind *b, double want) {
  double most = at_most(b->k->max, p->view->max_workers) * b->power, replaced = 0;
  for (int i = 0; i < p->n; i++)
    if (replaces(&p->kinds[i], b)) replaced += p->kinds[i].power * p->kinds[i].k->running;
  return replaced > 0 ? at_least(0, at_most(want, most) - replaced) : want;
}

/* Whether a worker of this kind would end a task, a slow one too, before those that are there have ended all. */
static bool helps(const struct plan *p, const struct kind *a, double cores) {
  return cores <= 0 || a->k->start_s + slow_task * p->next / a->power < p->at_hand / cores;
}

/* How many workers of kind a the need of now asks for, before any cap. */
static double need_now(const struct plan *p, const struct kind *a) {
  double workers, want = p->work / p->target, have = cores_in(p, a->k->start_s + 1, NULL, &workers);
  if (!helps(p, a, have)) return 0;
  double need = at_most(want - have, cores_allowed(p, a, want) - a->power * (a->k->running + coming(a)));
  if (have > 0 && need < slack * have) return 0;
  int32_t open = p->open - (a->k->launcher == TR_SCALE_LAMBDA ? p->view->tasks_long : 0);
  return at_most(ceil(need / a->power), open - workers);
}

/* Whether a single worker of kind a does `work` for less than kind b, its start and idle end included. */
static bool one_pays(const struct plan *p, const struct kind *a, const struct kind *b, double work) {
  double busy = work / a->power;
  return busy <= p->target && (busy + a->k->start_s + a->k->idle_s) * a->power * a->price < work * b->price;
}

/* How many the need asks for that will still be there when kind a is up. */
static double need_later(const struct plan *p, const struct kind *a) {
  const struct kind *fast = p->fast >= 0 ? &p->kinds[p->fast] : NULL, *by = NULL;
  double workers, start = a->k->start_s, left = left_in(p, start), span = p->target;
  if (left <= 0) return 0;
  if (fast && replaces(a, fast)) {
    double pays = pays_after(a, fast), cores = cores_in(p, start, NULL, &workers);
    if (cores > 0 && left / cores < pays) return 0;
    if (span - start >= start) span -= start;
    span = at_least(span, pays);
    by = a;
  }
  /* What is asked for counts, however long it takes: another kind that is up sooner is no better. */
  double have = cores_in(p, INFINITY, by, &workers), want = left / span;
  double need = at_most(want - have, cores_allowed(p, a, want) - a->power * (a->k->running + coming(a)));
  if (have > 0 && need < slack * have) return 0;
  double n = floor(need / a->power + 0.5);
  if (n < 1 && fast && replaces(a, fast) && one_pays(p, a, fast, left)) n = 1;
  return at_most(n, p->left - workers);
}

/* How many of kind a may be launched now, whatever the need. */
static int32_t room_for(const struct plan *p, const struct kind *a, double places) {
  const struct tr_scale_kind *k = a->k;
  double room = at_most((double)k->max - present(k) - a->launch, places);
  double burst = k->burst + k->burst_per_s * at_least(0, k->starting_for_s) - k->starting - a->launch;
  double one = price_of_one(p, a, k->start_s);
  if (one > 0) room = at_most(room, p->money / one);
  return whole(at_most(room, burst));
}

static void launch(struct plan *p, struct kind *a, int32_t n) {
  a->launch += n;
  p->places -= n;
  p->money = at_least(0, p->money - n * price_of_one(p, a, a->k->start_s));
}

/* Launches up to `n`; remembers the cap that did not let it. */
static void launch_up_to(struct plan *p, struct kind *a, double n) {
  if (n < 1) return;
  int32_t room = room_for(p, a, p->places);
  if (room < n && room == room_for(p, a, INFINITY)) {
    double money = p->money;
    p->money = INFINITY;
    if (room_for(p, a, p->places) > room) p->capped = p->money_cap;
    p->money = money;
  } else if (room < n) {
    p->capped = "cap_workers";
  }
  launch(p, a, n < room ? whole(n) : room);
}

/* Whether the target leaves time to wait for a cheaper kind, of which enough may be had and which is cheaper with its
 * starts and idle ends as well: then nothing is gained by the fast kind. */
static bool can_wait(const struct plan *p) {
  const struct kind *fast = &p->kinds[p->fast];
  for (int i = 0; i < p->n; i++) {
    const struct kind *a = &p->kinds[i];
    double rest = p->target - a->k->start_s, cores = p->work / rest;
    if (!a->usable || !replaces(a, fast) || rest < a->k->start_s) continue;
    double usd = (p->work + cores * (a->k->start_s + a->k->idle_s)) * a->price;
    double workers = ceil(cores / a->power) - a->k->running - coming(a);
    if (usd < p->work * fast->price && room_for(p, a, p->places) >= workers) return true;
  }
  return false;
}

/* Of kinds that start alike: small workers, because they have more network for each core; large ones when the numbers
 * of small ones that may be had are not enough. */
static void launch_fast(struct plan *p) {
  struct kind *fast = &p->kinds[p->fast], *best = NULL;
  for (int i = 0; i < p->n; i++) {
    struct kind *a = &p->kinds[i];
    if (!a->usable || !same_start(a, fast)) continue;
    bool enough = room_for(p, a, p->places) >= need_now(p, a);
    bool best_enough = best && room_for(p, best, p->places) >= need_now(p, best);
    if (!best || (enough && (!best_enough || a->power < best->k->cores)) ||
        (!enough && !best_enough && a->power > best->k->cores))
      best = a;
  }
  launch_up_to(p, best, need_now(p, best));
  for (int i = 0; i < p->n; i++) {
    struct kind *a = &p->kinds[i];
    if (a->usable && a != best && same_start(a, fast)) launch_up_to(p, a, need_now(p, a));
  }
}

/* Tasks that need much memory, perhaps among others: workers of other kinds are of no use to them, however many there
 * are. */
static void launch_large(struct plan *p) {
  const struct tr_scale_view *v = p->view;
  struct kind *best = NULL;
  double there = 0, tasks = v->tasks_large > 0 ? v->tasks_large : p->open;
  if (v->task_memory <= 0) return;
  for (int i = 0; i < p->n; i++) {
    struct kind *a = &p->kinds[i];
    if (!fits(v, a->k)) continue;
    there += a->k->running + coming(a) + a->launch;
    if (a->usable && (!best || a->k->start_s < best->k->start_s)) best = a;
  }
  if (!best) return;
  double need = ceil(at_most(tasks, at_least(1, tasks * p->task / best->power / p->target)));
  launch_up_to(p, best, need - there);
}

/* Gives places of planned launches and of running workers of dearer kinds to kind a, which wants `n`. */
static void make_room(struct plan *p, const struct kind *a, double n) {
  double keep = fast_share * p->view->max_workers, lack = n - p->places;
  for (int i = 0; i < p->n && lack >= 1; i++) {
    struct kind *b = &p->kinds[i];
    if (!replaces(a, b) || a->power < b->power) continue;
    int32_t back = whole(at_most(at_most(lack, b->launch), b->launch + present(b->k) - keep));
    launch(p, b, -back);
    lack -= back;
    int32_t stay = b->k->running - b->drain;
    int32_t drain = whole(at_most(at_most(lack - b->k->draining, stay), stay - keep));
    b->drain += drain;
    lack -= drain;
  }
}

static void launch_cheap(struct plan *p) {
  bool seen[TR_SCALE_KINDS] = {false};
  for (int turn = 0; turn < p->n; turn++) {
    int next = -1;
    for (int i = 0; i < p->n; i++)
      if (!seen[i] && (next < 0 || p->kinds[i].price < p->kinds[next].price)) next = i;
    struct kind *a = &p->kinds[next];
    seen[next] = true;
    if (!a->able || a->stuck || a->launch) continue;
    if (p->fast >= 0 && same_start(a, &p->kinds[p->fast])) continue;
    double n = need_later(p, a);
    /* One call tells whether a launcher that failed works again. */
    if (!a->usable) n = a->k->starting ? 0 : at_most(n, 1);
    if (n > p->places && n >= 1) make_room(p, a, at_most(n, room_for(p, a, INFINITY)));
    launch_up_to(p, a, n);
  }
}

/* Work is never left lying while there is a place and money for one worker; what functions cannot do neither. */
static void launch_any(struct plan *p) {
  bool function = false, other = false;
  for (int i = 0; i < p->n; i++) {
    const struct kind *a = &p->kinds[i];
    if (!a->k->running && !coming(a) && !a->launch) continue;
    if (a->k->launcher == TR_SCALE_LAMBDA) function = true;
    else other = true;
  }
  if (other || (function && p->view->tasks_long <= 0)) return;
  for (int i = 0; i < p->n; i++)
    if (p->kinds[i].usable && !(function && p->kinds[i].k->launcher == TR_SCALE_LAMBDA) &&
        room_for(p, &p->kinds[i], p->places)) {
      launch(p, &p->kinds[i], 1);
      return;
    }
}

/* Cores of running workers that are cheaper than those of kind b. */
static double cheaper_cores(const struct plan *p, const struct kind *b) {
  double cores = 0;
  for (int i = 0; i < p->n; i++)
    if (replaces(&p->kinds[i], b)) cores += p->kinds[i].power * p->kinds[i].k->running;
  return cores;
}

/* Dear workers whose next task would only end when the cheap ones have long ended all: they would hold up everybody. */
static void drain_slow(struct plan *p) {
  for (int i = 0; i < p->n; i++) {
    struct kind *b = &p->kinds[i];
    double cores = cheaper_cores(p, b);
    if (!b->k->running || cores <= 0 || slow_task * p->next / b->power <= p->at_hand / cores) continue;
    b->drain = b->k->running;
    b->launch = 0;
  }
}

/* The dear ones go, core for core, as the cheap ones come; unless all together end the work in time. */
static void drain_dear(struct plan *p) {
  double workers, want = p->work / p->target * (1 + slack), cores = cores_in(p, 0, NULL, &workers);
  if (cores <= 0 || p->work / cores < p->target) return;
  for (int i = 0; i < p->n; i++) {
    struct kind *b = &p->kinds[i];
    double allowed = cores_allowed(p, b, INFINITY);
    if (allowed == INFINITY || b->power <= 0) continue;
    int32_t surplus = whole(b->k->running - ceil(cores_allowed(p, b, want) / b->power));
    if (surplus > b->drain) b->drain = surplus;
    if (b->drain > 0) b->launch = 0;
  }
}

/* Those that large tasks need stay. */
static void keep_large(struct plan *p) {
  int32_t keep = p->view->task_memory > 0 ? p->view->tasks_large : 0;
  for (int i = 0; i < p->n && keep > 0; i++) {
    struct kind *a = &p->kinds[i];
    if (!fits(p->view, a->k)) continue;
    int32_t most = a->k->running > keep ? a->k->running - keep : 0;
    if (a->drain > most) a->drain = most;
    keep -= a->k->running - a->drain;
  }
}

/* How long idle workers stay. Those that later work needs stay for as long as it would take to have them again, but no
 * longer than that work will keep them busy, so that waiting costs no more than working. */
static double stay(const struct plan *p, const struct kind *a) {
  const struct tr_scale_kind *k = a->k;
  double workers, cores = cores_in(p, 0, NULL, &workers);
  if (k->running <= k->busy || cores <= 0) return k->idle_s;
  double again = k->start_s + (k->burst_per_s > 0 ? k->running / k->burst_per_s : 0);
  return k->idle_s + at_most(again, p->later / cores);
}

static void drain_all(const struct plan *p, struct tr_scale_orders *out, const char *why) {
  for (int i = 0; i < p->n; i++) out->kinds[i].drain = p->kinds[i].k->running;
  out->why = why;
}

void tr_scale_decide(const struct tr_scale_view *view, struct tr_scale_orders *out) {
  struct plan p;
  *out = (struct tr_scale_orders){.why = "steady"};
  read_view(view, &p);
  for (int i = 0; i < p.n; i++) out->kinds[i].stay_s = p.kinds[i].k->idle_s;
  if (view->stop) {
    drain_all(&p, out, "stop");
    return;
  }
  if (view->usd_per_hour_max > 0 && view->usd_this_hour >= view->usd_per_hour_max) {
    drain_all(&p, out, "cap_hour");
    return;
  }
  if (p.work <= 0) {
    out->why = "idle";
    return;
  }
  p.fast = find_fast(&p);
  launch_large(&p);
  if (p.fast >= 0 && !can_wait(&p)) launch_fast(&p);
  launch_cheap(&p);
  launch_any(&p);
  drain_dear(&p);
  drain_slow(&p);
  keep_large(&p);
  bool launches = false;
  for (int i = 0; i < p.n; i++) {
    out->kinds[i] = (struct tr_scale_order){p.kinds[i].launch, p.kinds[i].drain, stay(&p, &p.kinds[i])};
    launches |= p.kinds[i].launch > 0;
  }
  if (launches) out->why = "work";
  else if (p.capped) out->why = p.capped;
}
