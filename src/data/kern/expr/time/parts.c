/* Parts of dates: year, month, … of datetimes, days, seconds, … of timedeltas, and datetimes assembled from parts. The
 * parts are int32 (days: int64) in which the least value marks NaT. */
#include "data/kern/expr/civil_int.h"
#include "data/kern/expr/time/time_int.h"

static inline int32_t day_of_year(int32_t days) {
  return days - tr_days_from_civil(tr_civil_from_days(days).year, 1, 1) + 1;
}

static inline int32_t days_in_month(int32_t days) {
  struct tr_civil c = tr_civil_from_days(days);
  return tr_days_in_month(c.year, c.month);
}

static inline bool is_month_end(int32_t days) {
  struct tr_civil c = tr_civil_from_days(days);
  return c.day == tr_days_in_month(c.year, c.month);
}

enum { DAY_BLOCK = 256 };

/* floor(x / per_day) of a block; NaT and days beyond the calendar give day 0. True when there was a NaT. */
static inline bool days_per(const int64_t *restrict a, int64_t n, int64_t per_day, int32_t *restrict days,
                            struct tr_call *c) {
  int64_t nulls = 0, far = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t q = a[i] / per_day, rest = a[i] - q * per_day, d = q + (rest >> 63);
    const bool ok = (d <= TR_MAX_CIVIL_DAYS) & (d >= -TR_MAX_CIVIL_DAYS), null = a[i] == TR_NAT;
    nulls += null;
    far += !ok & !null;
    days[i] = ok & !null ? (int32_t)d : 0;
  }
  if (nulls) c->saw |= TR_SAW_NULL;
  if (far) c->saw |= TR_SAW_REFUSE;
  return nulls > 0;
}

/* The divisor as a constant, which costs a multiplication instead of a division. */
static bool days_of(const int64_t *a, int64_t n, int64_t per_day, int32_t *days, struct tr_call *c) {
  switch (per_day) {
  case INT64_C(86400): return days_per(a, n, INT64_C(86400), days, c);
  case INT64_C(86400000): return days_per(a, n, INT64_C(86400000), days, c);
  case INT64_C(86400000000): return days_per(a, n, INT64_C(86400000000), days, c);
  default: return days_per(a, n, INT64_C(86400000000000), days, c);
  }
}

#define R    int32_t
#define MARK INT32_MIN
#define NAME part_year
#define EXPR tr_civil_from_days(days).year
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_month
#define EXPR tr_civil_from_days(days).month
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_day
#define EXPR tr_civil_from_days(days).day
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_dayofweek
#define EXPR tr_day_of_week(days)
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_dayofyear
#define EXPR day_of_year(days)
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_quarter
#define EXPR (tr_civil_from_days(days).month + 2) / 3
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_days_in_month
#define EXPR days_in_month(days)
#include "data/kern/expr/time/civil_part.tmpl.h"
#undef R
#undef MARK
#define R    uint8_t
#define MARK 0
#define NAME part_is_leap_year
#define EXPR tr_is_leap(tr_civil_from_days(days).year)
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_is_month_start
#define EXPR tr_civil_from_days(days).day == 1
#include "data/kern/expr/time/civil_part.tmpl.h"
#define NAME part_is_month_end
#define EXPR is_month_end(days)
#include "data/kern/expr/time/civil_part.tmpl.h"
#undef R
#undef MARK

#define U          s
#define PER_SECOND INT64_C(1)
#include "data/kern/expr/time/unit.tmpl.h"
#define U          ms
#define PER_SECOND INT64_C(1000)
#include "data/kern/expr/time/unit.tmpl.h"
#define U          us
#define PER_SECOND INT64_C(1000000)
#include "data/kern/expr/time/unit.tmpl.h"
#define U          ns
#define PER_SECOND INT64_C(1000000000)
#include "data/kern/expr/time/unit.tmpl.h"

#define ALL(f) \
  { f, f, f, f }
#define UNITS(f) \
  { f##_s, f##_ms, f##_us, f##_ns }
static const tr_kernel date_parts[TR_OP_DT_IS_MONTH_END - TR_OP_DT_YEAR + 1][4] = {
    [TR_OP_DT_YEAR - TR_OP_DT_YEAR] = ALL(part_year),
    [TR_OP_DT_MONTH - TR_OP_DT_YEAR] = ALL(part_month),
    [TR_OP_DT_DAY - TR_OP_DT_YEAR] = ALL(part_day),
    [TR_OP_DT_HOUR - TR_OP_DT_YEAR] = UNITS(hour),
    [TR_OP_DT_MINUTE - TR_OP_DT_YEAR] = UNITS(minute),
    [TR_OP_DT_SECOND - TR_OP_DT_YEAR] = UNITS(second),
    [TR_OP_DT_MICROSECOND - TR_OP_DT_YEAR] = UNITS(microsecond),
    [TR_OP_DT_NANOSECOND - TR_OP_DT_YEAR] = UNITS(nanosecond),
    [TR_OP_DT_DAYOFWEEK - TR_OP_DT_YEAR] = ALL(part_dayofweek),
    [TR_OP_DT_DAYOFYEAR - TR_OP_DT_YEAR] = ALL(part_dayofyear),
    [TR_OP_DT_QUARTER - TR_OP_DT_YEAR] = ALL(part_quarter),
    [TR_OP_DT_DAYS_IN_MONTH - TR_OP_DT_YEAR] = ALL(part_days_in_month),
    [TR_OP_DT_IS_LEAP_YEAR - TR_OP_DT_YEAR] = ALL(part_is_leap_year),
    [TR_OP_DT_IS_MONTH_START - TR_OP_DT_YEAR] = ALL(part_is_month_start),
    [TR_OP_DT_IS_MONTH_END - TR_OP_DT_YEAR] = ALL(part_is_month_end),
};
static const tr_kernel span_parts[4][4] = {UNITS(td_days), UNITS(td_seconds), UNITS(td_microseconds),
                                           UNITS(td_nanoseconds)};

/* floor(seconds) + rest / ticks, as pandas; beyond 2^53 ticks it corrects further, which is left to it. */
static void total_seconds(struct tr_call *c) {
  const int64_t *restrict a = c->in[0].p;
  double *restrict out = c->out;
  const int64_t n = c->n, per = ((const int64_t *)c->state)[0], limit = (int64_t)1 << 53;
  for (int64_t i = 0; i < n; i++) {
    int64_t q = a[i] / per, r = a[i] % per;
    q -= r < 0;
    r += r < 0 ? per : 0;
    out[i] = a[i] == TR_NAT ? __builtin_nan("") : (double)q + (double)r / (double)per;
    if (a[i] != TR_NAT && (a[i] > limit || a[i] < -limit)) c->saw |= TR_SAW_REFUSE;
  }
}

static inline int64_t part(const struct tr_call *c, int k, int64_t i) {
  const int64_t *v = c->in[k].p;
  return v[c->in[k].is_const ? 0 : i];
}

/* Ticks of the parts after the date; false when a part is beyond int32 (pandas goes another way). */
static bool time_of_day(const struct tr_call *c, int64_t i, int64_t per, int64_t *ticks) {
  static const int64_t seconds[3] = {3600, 60, 1}, fractions[3] = {1000, 1000000, 1000000000};
  const int64_t set = c->e->params[0];
  int k = 3;
  int64_t sum = 0;
  for (int p = 3; p < 9; p++) {
    if (!(set >> p & 1)) continue;
    int64_t v = part(c, k++, i);
    if (v > INT32_MAX || v < INT32_MIN) return false;
    sum += p < 6 ? v * seconds[p - 3] * per : v * (per / fractions[p - 6]);
  }
  *ticks = sum;
  return true;
}

static void from_parts(struct tr_call *c) {
  int64_t *out = c->out;
  const int64_t per = tr_unit_per_second((enum tr_unit)c->e->dtype.unit);
  for (int64_t i = 0; i < c->n; i++) {
    const int64_t y = part(c, 0, i), m = part(c, 1, i), d = part(c, 2, i);
    int64_t ticks, v;
    out[i] = 0;
    bool ok = y >= 1 && y <= 9999 && m >= 1 && m <= 12 && d >= 1 && d <= tr_days_in_month((int32_t)y, (int32_t)m) &&
              time_of_day(c, i, per, &ticks);
    ok = ok &&
         !__builtin_mul_overflow((int64_t)tr_days_from_civil((int32_t)y, (int32_t)m, (int32_t)d), 86400 * per, &v) &&
         !__builtin_add_overflow(v, ticks, &out[i]);
    if (!ok) c->saw |= TR_SAW_REFUSE;
  }
}

bool tr_lower_time_parts(const struct tr_expr *e, struct tr_lower *lo) {
  lo->out_rep = tr_rep_of(e->dtype);
  for (int k = 0; k < e->n_args; k++) lo->rep[k] = TR_I64;
  if (e->op == TR_OP_TO_DATETIME_PARTS) {
    lo->kernel = from_parts;
  } else if (e->op >= TR_OP_DT_YEAR && e->op <= TR_OP_DT_IS_MONTH_END) {
    lo->kernel = date_parts[e->op - TR_OP_DT_YEAR][e->args[0]->dtype.unit];
    lo->marks_null = e->dtype.kind == TR_I32;
  } else if (e->op >= TR_OP_TD_DAYS && e->op <= TR_OP_TD_NANOSECONDS) {
    lo->kernel = span_parts[e->op - TR_OP_TD_DAYS][e->args[0]->dtype.unit];
    lo->marks_null = true;
  } else if (e->op == TR_OP_TD_TOTAL_SECONDS) {
    lo->kernel = total_seconds;
    lo->params[0] = tr_unit_per_second((enum tr_unit)e->args[0]->dtype.unit);
  }
  return lo->kernel != NULL;
}
