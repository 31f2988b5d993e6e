/* Text from datetimes: names of days and months as dictionary codes, and strftime for the formats whose meaning does
 * not depend on a locale. */
#include "data/kern/expr/civil_int.h"
#include "data/kern/expr/text/out_int.h"

static const char *const day_names[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
static const char *const month_names[] = {"January", "February", "March",     "April",   "May",      "June",
                                          "July",    "August",   "September", "October", "November", "December"};

struct names {
  const struct tr_expr *e;
  struct tr_array *x;
  int32_t *codes;
  struct tr_text_out out;
};

static int64_t split(const struct tr_array *x, int64_t v, int64_t *in_day) {
  const int64_t day = 86400 * tr_unit_per_second((enum tr_unit)x->dtype.unit);
  int64_t q = v / day, r = v % day;
  if (r < 0) q--, r += day;
  *in_day = r;
  return q;
}

static enum tr_status name_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  const struct names *s = arg;
  const int64_t *x = tr_array_data(s->x);
  for (int64_t i = begin; i < end; i++) {
    int64_t in_day, days = split(s->x, x[i], &in_day);
    if (x[i] == TR_NAT) {
      s->codes[i] = -1;
      continue;
    }
    if (days > TR_MAX_CIVIL_DAYS || days < -TR_MAX_CIVIL_DAYS) return tr_unsupported(err, "dates that far away");
    s->codes[i] =
        s->e->op == TR_OP_DT_DAY_NAME ? tr_day_of_week((int32_t)days) : tr_civil_from_days((int32_t)days).month - 1;
  }
  return TR_OK;
}

static char *number(char *o, int digits, int64_t v) {
  for (int i = digits - 1; i >= 0; i--, v /= 10) o[i] = (char)('0' + v % 10);
  return o + digits;
}

static char *word(char *o, const char *s, size_t n) {
  memcpy(o, s, n);
  return o + n;
}

static char *field(char *o, char f, struct tr_civil c, int64_t days, int64_t sec, int64_t us) {
  const int32_t d = (int32_t)days, h = (int32_t)(sec / 3600);
  const char *day = day_names[tr_day_of_week(d)], *month = month_names[c.month - 1];
  switch (f) {
  case 'Y': return number(o, 4, c.year);
  case 'y': return number(o, 2, c.year % 100);
  case 'm': return number(o, 2, c.month);
  case 'd': return number(o, 2, c.day);
  case 'H': return number(o, 2, h);
  case 'I': return number(o, 2, h % 12 == 0 ? 12 : h % 12);
  case 'M': return number(o, 2, sec / 60 % 60);
  case 'S': return number(o, 2, sec % 60);
  case 'f': return number(o, 6, us);
  case 'j': return number(o, 3, d - tr_days_from_civil(c.year, 1, 1) + 1);
  case 'p': return word(o, h < 12 ? "AM" : "PM", 2);
  case 'A': return word(o, day, strlen(day));
  case 'a': return word(o, day, 3);
  case 'B': return word(o, month, strlen(month));
  case 'b': return word(o, month, 3);
  default: return word(o, &f, 1);
  }
}

static enum tr_status strftime_morsel(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  struct names *s = arg;
  const int64_t *x = tr_array_data(s->x), per = tr_unit_per_second((enum tr_unit)s->x->dtype.unit);
  const int64_t most = (int64_t)strlen(s->e->text) * 5 + 16;
  for (int64_t i = begin; i < end; i++) {
    char *room, *o;
    if (x[i] == TR_NAT) {
      tr_text_out_null(&s->out, i);
      continue;
    }
    int64_t in_day, days = split(s->x, x[i], &in_day);
    if (days < -719162 || days > 2932896) return tr_unsupported(err, "strftime of years beyond 1 to 9999");
    TR_TRY(tr_text_out_room(&s->out, thread, most, &room, err));
    struct tr_civil c = tr_civil_from_days((int32_t)days);
    int64_t sec = in_day / per, us = per >= 1000000 ? in_day % per / (per / 1000000) : in_day % per * (1000000 / per);
    o = room;
    for (const char *f = s->e->text; *f; f++) {
      if (*f == '%') o = field(o, *++f, c, days, sec, us);
      else *o++ = *f;
    }
    tr_text_out_put(&s->out, thread, i, room, o - room);
  }
  return TR_OK;
}

static enum tr_status spelled(struct tr_ctx *ctx, struct names *s, struct tr_array **out, struct tr_error *err) {
  TR_TRY(tr_text_out_init(ctx, &s->out, s->x->length, err));
  enum tr_status st = tr_parallel_for(ctx, s->x->length, tr_grain(ctx), strftime_morsel, s, err);
  tr_text_out_drop(&s->out);
  if (st == TR_OK) *out = s->out.array;
  else tr_array_unref(s->out.array);
  return st;
}

enum tr_status tr_whole_datetime_names(struct tr_ctx *ctx, const struct tr_expr *e, struct tr_array *x,
                                       struct tr_array **out, struct tr_error *err) {
  struct names s = {.e = e, .x = x};
  struct tr_array *dict = NULL;
  *out = NULL;
  if (e->op == TR_OP_DT_STRFTIME) return spelled(ctx, &s, out, err);
  bool days = e->op == TR_OP_DT_DAY_NAME;
  TR_TRY(tr_text_dictionary(days ? day_names : month_names, days ? 7 : 12, &dict, err));
  enum tr_status st = tr_array_new_dict(tr_dtype_of(TR_STR), x->length, dict, out, err);
  tr_array_unref(dict);
  if (st != TR_OK) return st;
  s.codes = tr_array_data(*out);
  st = tr_parallel_for(ctx, x->length, tr_grain(ctx), name_morsel, &s, err);
  if (st != TR_OK) {
    tr_array_unref(*out);
    *out = NULL;
  }
  return st;
}
