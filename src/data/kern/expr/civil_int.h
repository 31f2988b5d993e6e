/* Dates from day numbers (days since 1970-01-01, proleptic Gregorian) and back; Hinnant's "chrono-compatible low-level
 * date algorithms", in 32-bit arithmetic. Days must lie within +-700 million. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { TR_MAX_CIVIL_DAYS = 700000000 };

struct tr_civil {
  int32_t year, month, day;
};

static inline struct tr_civil tr_civil_from_days(int32_t days) {
  const int32_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
  const uint32_t doe = (uint32_t)(z - era * 146097);
  const uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  struct tr_civil c;
  c.day = (int32_t)(doy - (153 * mp + 2) / 5 + 1);
  c.month = (int32_t)(mp < 10 ? mp + 3 : mp - 9);
  c.year = (int32_t)yoe + era * 400 + (c.month <= 2);
  return c;
}

static inline int32_t tr_days_from_civil(int32_t year, int32_t month, int32_t day) {
  const int32_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
  const uint32_t yoe = (uint32_t)(y - era * 400);
  const uint32_t doy = (153u * (uint32_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + (uint32_t)day - 1;
  return era * 146097 + (int32_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

static inline bool tr_is_leap(int32_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static inline int32_t tr_days_in_month(int32_t y, int32_t m) {
  return m == 2 ? 28 + tr_is_leap(y) : 30 + ((m + (m > 7)) & 1);
}
/* Monday = 0. */
static inline int32_t tr_day_of_week(int32_t days) {
  int32_t w = (days + 3) % 7;
  return w < 0 ? w + 7 : w;
}
