/* The parts of datetimes and timedeltas of one unit. Holes: U (suffix), PER_SECOND. */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define PER_DAY (PER_SECOND * 86400)
#define R int32_t
#define MARK INT32_MIN
#define ANY_DAY 0
#define NAME CAT(year_, U)
#define EXPR tr_civil_from_days(days).year
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(month_, U)
#define EXPR tr_civil_from_days(days).month
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(day_, U)
#define EXPR tr_civil_from_days(days).day
#include "data/kern/expr/time_part.tmpl.h"
#undef ANY_DAY
#define ANY_DAY 1
#define NAME CAT(hour_, U)
#define EXPR in_day / (PER_SECOND * 3600)
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(minute_, U)
#define EXPR in_day / (PER_SECOND * 60) % 60
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(second_, U)
#define EXPR in_day / PER_SECOND % 60
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(microsecond_, U)
#define EXPR in_day % PER_SECOND * 1000000 / PER_SECOND
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(nanosecond_, U)
#define EXPR PER_SECOND == 1000000000 ? in_day % 1000 : 0
#include "data/kern/expr/time_part.tmpl.h"
#undef ANY_DAY
#define ANY_DAY 0
#define NAME CAT(dayofweek_, U)
#define EXPR tr_day_of_week(days)
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(dayofyear_, U)
#define EXPR day_of_year(days)
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(quarter_, U)
#define EXPR (tr_civil_from_days(days).month + 2) / 3
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(days_in_month_, U)
#define EXPR days_in_month(days)
#include "data/kern/expr/time_part.tmpl.h"
#undef ANY_DAY
#define ANY_DAY 1
#define NAME CAT(td_seconds_, U)
#define EXPR in_day / PER_SECOND
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(td_microseconds_, U)
#define EXPR in_day % PER_SECOND * 1000000 / PER_SECOND
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(td_nanoseconds_, U)
#define EXPR PER_SECOND == 1000000000 ? in_day % 1000 : 0
#include "data/kern/expr/time_part.tmpl.h"
#undef ANY_DAY
#undef R
#undef MARK
#define ANY_DAY 0
#define R uint8_t
#define MARK 0
#define NAME CAT(is_leap_year_, U)
#define EXPR tr_is_leap(tr_civil_from_days(days).year)
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(is_month_start_, U)
#define EXPR tr_civil_from_days(days).day == 1
#include "data/kern/expr/time_part.tmpl.h"
#define NAME CAT(is_month_end_, U)
#define EXPR is_month_end(days)
#include "data/kern/expr/time_part.tmpl.h"
#undef ANY_DAY
#undef R
#undef MARK
#define ANY_DAY 1
#define R int64_t
#define MARK INT64_MIN
#define NAME CAT(td_days_, U)
#define EXPR q
#include "data/kern/expr/time_part.tmpl.h"
#undef ANY_DAY
#undef R
#undef MARK
#undef PER_DAY
#undef PER_SECOND
#undef U
#undef CAT
#undef CAT_
