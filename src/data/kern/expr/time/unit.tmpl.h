/* The parts of datetimes and timedeltas of one unit. Holes: U (suffix), PER_SECOND. */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define PER_DAY    (PER_SECOND * 86400)
#define R          int32_t
#define MARK       INT32_MIN
#define ANY_DAY    1
#define NAME       CAT(hour_, U)
#define EXPR       in_day / (PER_SECOND * 3600)
#include "data/kern/expr/time/part.tmpl.h"
#define NAME CAT(minute_, U)
#define EXPR in_day / (PER_SECOND * 60) % 60
#include "data/kern/expr/time/part.tmpl.h"
#define NAME CAT(second_, U)
#define EXPR in_day / PER_SECOND % 60
#include "data/kern/expr/time/part.tmpl.h"
#define NAME CAT(microsecond_, U)
#define EXPR in_day % PER_SECOND * 1000000 / PER_SECOND
#include "data/kern/expr/time/part.tmpl.h"
#define NAME CAT(nanosecond_, U)
#define EXPR PER_SECOND == 1000000000 ? in_day % 1000 : 0
#include "data/kern/expr/time/part.tmpl.h"
#undef ANY_DAY
#define ANY_DAY 1
#define NAME    CAT(td_seconds_, U)
#define EXPR    in_day / PER_SECOND
#include "data/kern/expr/time/part.tmpl.h"
#define NAME CAT(td_microseconds_, U)
#define EXPR in_day % PER_SECOND * 1000000 / PER_SECOND
#include "data/kern/expr/time/part.tmpl.h"
#define NAME CAT(td_nanoseconds_, U)
#define EXPR PER_SECOND == 1000000000 ? in_day % 1000 : 0
#include "data/kern/expr/time/part.tmpl.h"
#undef ANY_DAY
#undef R
#undef MARK
#define ANY_DAY 1
#define R       int64_t
#define MARK    INT64_MIN
#define NAME    CAT(td_days_, U)
#define EXPR    q
#include "data/kern/expr/time/part.tmpl.h"
#undef ANY_DAY
#undef R
#undef MARK
#undef PER_DAY
#undef PER_SECOND
#undef U
#undef CAT
#undef CAT_
