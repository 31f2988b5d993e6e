/* Options of the reader, made ready: the texts that mean missing, true and false, and the columns that are wanted. */
#include "base/float_text.h"
#include "base/mem.h"
#include "data/format/csv/reader_int.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static enum tr_status add_text(struct tr_csv_texts *t, const char *s, struct tr_error *err) {
  return tr_csv_texts_add(t, s, strlen(s), err);
}

static enum tr_status add_na_number(struct tr_csv_reader *r, double v, struct tr_error *err) {
  void *p = r->na_numbers;
  TR_TRY(tr_mem_realloc(&p, (size_t)r->n_na_numbers * sizeof v, (size_t)(r->n_na_numbers + 1) * sizeof v, err));
  r->na_numbers = p;
  r->na_numbers[r->n_na_numbers++] = v;
  return TR_OK;
}

/* pandas takes "999" for 999 and "999.0" as well, and in float columns for every way to write it. */
static enum tr_status add_user_na(struct tr_csv_reader *r, const char *s, struct tr_error *err) {
  TR_TRY(add_text(&r->na, s, err));
  const size_t n = strlen(s);
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '_' || (uint8_t)s[i] >= 128 || s[i] <= ' ') {
      if (strpbrk(s, "0123456789") || strpbrk(s, "iI")) return tr_unsupported(err, "read_csv: na_values %s", s);
      return TR_OK;
    }
  }
  double v;
  if (!tr_float_parse(s, (int64_t)n, &v) || isnan(v)) return TR_OK;
  TR_TRY(add_na_number(r, v, err));
  if (isinf(v) || v != floor(v)) return TR_OK;
  if (fabs(v) > 9e15) return tr_unsupported(err, "read_csv: na_values %s", s);
  char text[48];
  snprintf(text, sizeof text, "%lld", (long long)v);
  TR_TRY(add_text(&r->na, text, err));
  snprintf(text, sizeof text, "%lld.0", (long long)v);
  return add_text(&r->na, text, err);
}

static bool is_number(const struct tr_csv_reader *r, const char *s, uint32_t n) {
  int64_t i;
  double f;
  return tr_csv_parse_int(&r->dialect, s, n, &i) != TR_CSV_INT_NO || tr_csv_parse_float(&r->dialect, s, n, &f);
}

static enum tr_status add_bools(struct tr_csv_reader *r, struct tr_csv_texts *t, const char *const *texts, int n,
                                struct tr_error *err) {
  for (int i = 0; i < n; i++) {
    if (is_number(r, texts[i], (uint32_t)strlen(texts[i])))
      return tr_unsupported(err, "read_csv: true_values or false_values that are numbers");
    TR_TRY(add_text(t, texts[i], err));
  }
  return TR_OK;
}

enum tr_status tr_csv_texts_make(struct tr_csv_reader *r, struct tr_error *err) {
  static const char *const missing[] = {"-1.#IND", "1.#QNAN", "1.#IND", "-1.#QNAN", "#N/A N/A", "#N/A", "N/A",
                                        "n/a",     "NA",      "<NA>",   "#NA",      "NULL",     "null", "NaN",
                                        "-NaN",    "nan",     "-nan",   "",         "None"};
  const struct tr_csv_read_options *o = r->opt;
  if (o->na_filter) {
    for (size_t i = 0; o->keep_default_na && i < sizeof missing / sizeof *missing; i++)
      TR_TRY(add_text(&r->na, missing[i], err));
    for (int i = 0; i < o->n_na_values; i++) TR_TRY(add_user_na(r, o->na_values[i], err));
  }
  for (int i = 0; i < r->na.n; i++) r->na_first |= is_number(r, r->na.text[i], (uint32_t)r->na.size[i]);
  TR_TRY(add_bools(r, &r->yes, o->true_values, o->n_true_values, err));
  return add_bools(r, &r->no, o->false_values, o->n_false_values, err);
}

static int find_name(char **names, int n, const char *name) {
  for (int i = 0; i < n; i++) {
    if (strcmp(names[i], name) == 0) return i;
  }
  return -1;
}

/* usecols: which fields are wanted. */
static enum tr_status mark_used(const struct tr_csv_reader *r, bool *used, struct tr_error *err) {
  const struct tr_csv_read_options *o = r->opt;
  const char *missing = NULL;
  for (int i = 0; i < r->head.width; i++) used[i] = o->use_columns == NULL;
  if (!o->use_columns) return TR_OK;
  if (o->n_use_columns == 0) return tr_unsupported(err, "read_csv: usecols=[]");
  if (o->header < 0) return tr_unsupported(err, "read_csv: usecols without a header");
  for (int i = 0; i < o->n_use_columns; i++) {
    int k = find_name(r->head.names, r->head.n_names, o->use_columns[i]);
    if (k >= 0) {
      used[k] = true;
    } else if (missing && strcmp(missing, o->use_columns[i]) != 0) {
      return tr_unsupported(err, "read_csv: usecols with several unknown names");
    } else {
      missing = o->use_columns[i];
    }
  }
  if (!missing) return TR_OK;
  for (const char *p = missing; *p; p++) {
    if (*p < ' ' || *p == '\'' || *p == '\\' || *p == 127)
      return tr_unsupported(err, "read_csv: usecols with an unknown name");
  }
  return tr_fail(err, TR_EXC_VALUE, "Usecols do not match columns, columns expected but not found: ['%s']", missing);
}

static enum tr_status check_parse_dates(const struct tr_csv_reader *r, const bool *used, struct tr_error *err) {
  const char *missing = NULL;
  for (int i = 0; i < r->opt->n_column_options; i++) {
    const struct tr_csv_column_option *o = &r->opt->column_options[i];
    if (o->has_dtype && r->head.mangled) return tr_unsupported(err, "read_csv: dtype with repeated names");
    if (!o->parse_date) continue;
    if (o->has_dtype) return tr_unsupported(err, "read_csv: dtype and parse_dates for one column");
    int k = find_name(r->head.names, r->head.n_names, o->name);
    if (k >= 0 && used[k]) continue;
    if (missing && strcmp(missing, o->name) != 0)
      return tr_unsupported(err, "read_csv: parse_dates with several unknown names");
    missing = o->name;
  }
  if (!missing) return TR_OK;
  return tr_fail(err, TR_EXC_VALUE, "Missing column provided to 'parse_dates': '%s'", missing);
}

static enum tr_status way_of_option(const struct tr_csv_column_option *o, enum tr_csv_way *way, struct tr_error *err) {
  if (!o) return TR_OK;
  if (o->parse_date) *way = TR_CSV_AS_DATE;
  if (!o->has_dtype) return TR_OK;
  const int k = o->dtype.kind;
  if (k == TR_BOOL) {
    *way = TR_CSV_AS_BOOL;
  } else if (tr_kind_is_float(k)) {
    *way = TR_CSV_AS_FLOAT;
  } else if (k == TR_STR || k == TR_CATEGORY) {
    *way = TR_CSV_AS_DICT;
  } else if (!tr_kind_is_int(k)) {
    return tr_fail(err, TR_EXC_TYPE,
                   "the dtype %s is not supported for parsing, pass this column using parse_dates instead",
                   tr_dtype_name(o->dtype));
  }
  return TR_OK;
}

enum tr_status tr_csv_columns_make(struct tr_csv_reader *r, struct tr_error *err) {
  const int width = r->head.width;
  enum tr_status st = TR_OK;
  void *p, *used = NULL;
  for (int i = 0; i < r->head.n_names; i++) {
    const char *s = r->head.names[i];
    if (!tr_csv_utf8_valid(s, strlen(s))) return tr_unsupported(err, "read_csv: a column name that is not UTF-8");
  }
  TR_GOTO(st, tr_mem_alloc((size_t)width * sizeof(bool), &used, err));
  TR_GOTO(st, mark_used(r, used, err));
  TR_GOTO(st, check_parse_dates(r, used, err));
  TR_GOTO(st, tr_mem_calloc((size_t)width * sizeof *r->cols, &p, err));
  r->cols = p;
  for (int i = 0; i < width; i++) {
    if (!((bool *)used)[i]) continue;
    struct tr_csv_column *c = &r->cols[r->n_cols++];
    c->field = i;
    c->name = r->head.names[i];
    c->todo = true;
    c->way = TR_CSV_AS_NUMBER;
    for (int k = 0; k < r->opt->n_column_options; k++) {
      if (strcmp(r->opt->column_options[k].name, c->name) == 0) c->option = &r->opt->column_options[k];
    }
    TR_GOTO(st, way_of_option(c->option, &c->way, err));
  }
done:
  tr_mem_free(used, (size_t)width * sizeof(bool));
  return st;
}
