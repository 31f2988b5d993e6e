/* The dialect, and what the first lines of a file say: names, width, where the data begins. Follows
 * TextReader._get_header and mangle_dupe_names of pandas. */
#include "base/mem.h"
#include "data/format/csv/csv_int.h"
#include <stdio.h>
#include <stdlib.h>

void tr_csv_read_options_init(struct tr_csv_read_options *opt) {
  memset(opt, 0, sizeof *opt);
  opt->sep = ',';
  opt->quote = '"';
  opt->decimal = '.';
  opt->double_quote = true;
  opt->skip_blank_lines = true;
  opt->n_rows = -1;
  opt->keep_default_na = true;
  opt->na_filter = true;
  opt->low_memory = true;
}

enum tr_status tr_csv_dialect_make(const struct tr_csv_read_options *opt, struct tr_csv_dialect *d,
                                   struct tr_error *err) {
  *d = (struct tr_csv_dialect){.sep = opt->sep,
                               .quote = opt->quote,
                               .decimal = opt->decimal,
                               .thousands = opt->thousands,
                               .comment = opt->comment,
                               .escape = opt->escape,
                               .has_quote = opt->quote != 0,
                               .double_quote = opt->double_quote,
                               .skip_blank = opt->skip_blank_lines,
                               .skip_space = opt->skip_initial_space};
  const char marks[] = {opt->sep, opt->quote, opt->comment, opt->escape, opt->decimal, opt->thousands};
  for (size_t i = 0; i < sizeof marks; i++) {
    if ((uint8_t)marks[i] >= 128 || marks[i] == '\n' || marks[i] == '\r' || (i == 0 && marks[i] == 0)) {
      return tr_unsupported(err, "read_csv: separators, quotes and marks other than plain ASCII");
    }
    for (size_t j = 0; j < i && i < 4; j++) {
      if (marks[i] && marks[i] == marks[j]) return tr_unsupported(err, "read_csv: one character with two meanings");
    }
  }
  const bool digits = (opt->decimal >= '0' && opt->decimal <= '9') || (opt->thousands >= '0' && opt->thousands <= '9');
  if (digits || !opt->decimal || opt->decimal == opt->thousands || strchr("+-eE \t", opt->decimal) ||
      (opt->thousands && strchr("+-eE \t", opt->thousands))) {
    return tr_unsupported(err, "read_csv: this decimal or thousands mark");
  }
  if (opt->sep == ' ' && opt->skip_initial_space)
    return tr_unsupported(err, "read_csv: skipinitialspace with spaces between fields");
  if (opt->skip_footer) return tr_unsupported(err, "read_csv: skipfooter");
  d->slow = d->comment || d->escape || d->skip_space || !d->double_quote;
  d->irregular['\n'] = d->irregular['\r'] = 1;
  if (d->skip_blank) d->irregular[' '] = d->irregular['\t'] = 1;
  d->irregular[(uint8_t)d->sep] = 0;
  return TR_OK;
}

void tr_csv_names_free(char **names, int n) {
  for (int i = 0; names && i < n; i++) free(names[i]);
  free(names);
}

static char *copy_text(const char *s, size_t n) {
  char *p = malloc(n + 1);
  if (p) {
    memcpy(p, s, n);
    p[n] = 0;
  }
  return p;
}

static bool is_among(char **names, int n, const char *s) {
  for (int i = 0; i < n; i++) {
    if (strcmp(names[i], s) == 0) return true;
  }
  return false;
}

struct name_count {
  char *name;
  int64_t count;
};

static struct name_count *count_of(struct name_count *counts, int *n, const char *name, bool add) {
  for (int i = 0; i < *n; i++) {
    if (strcmp(counts[i].name, name) == 0) return &counts[i];
  }
  if (!add) return NULL;
  counts[*n].name = copy_text(name, strlen(name));
  counts[*n].count = 0;
  return counts[*n].name ? &counts[(*n)++] : NULL;
}

/* mangle_dupe_names of pandas.io.common: named columns first, then the unnamed ones. */
static enum tr_status mangle(char **names, const bool *unnamed, int n, bool *changed, struct tr_error *err) {
  enum tr_status st = tr_fail_memory(err, (size_t)n);
  int n_counts = 0;
  struct name_count *counts = calloc(2 * (size_t)n + 1, sizeof *counts);
  if (!counts) return st;
  for (int k = 0; k < 2 * n; k++) {
    int i = k % n;
    if (unnamed[i] != (k >= n)) continue;
    struct name_count *c = count_of(counts, &n_counts, names[i], true);
    if (!c) goto done;
    char *col = copy_text(names[i], strlen(names[i]));
    if (!col) goto done;
    *changed |= c->count > 0;
    for (int64_t cur = c->count; cur > 0;) {
      c->count = cur + 1;
      size_t size = strlen(names[i]) + 24;
      free(col);
      col = malloc(size);
      if (!col) goto done;
      snprintf(col, size, "%s.%lld", names[i], (long long)cur);
      if (is_among(names, n, col)) {
        cur++;
      } else {
        struct name_count *other = count_of(counts, &n_counts, col, false);
        cur = other ? other->count : 0;
      }
    }
    free(names[i]);
    names[i] = col;
    c = count_of(counts, &n_counts, col, true);
    if (!c) goto done;
    c->count++;
  }
  st = TR_OK;
done:
  for (int i = 0; i < n_counts; i++) free(counts[i].name);
  free(counts);
  return st;
}

/* Names from the fields of the header record. */
static enum tr_status names_from_fields(const char *text, const uint32_t *beg, const uint32_t *end, int n,
                                        struct tr_csv_head *h, struct tr_error *err) {
  enum tr_status st = TR_OK;
  bool *unnamed = calloc((size_t)n + 1, sizeof *unnamed);
  h->names = calloc((size_t)n + 1, sizeof *h->names);
  if (!h->names || !unnamed) {
    free(unnamed);
    return tr_fail_memory(err, (size_t)n * sizeof *h->names);
  }
  h->n_names = n;
  for (int i = 0; i < n; i++) {
    size_t size = end[i] - beg[i];
    char spare[40];
    const char *s = text + beg[i];
    unnamed[i] = size == 0;
    if (size == 0) {
      size = (size_t)snprintf(spare, sizeof spare, "Unnamed: %d", i);
      s = spare;
    }
    if (memchr(s, 0, size)) TR_GOTO(st, tr_unsupported(err, "read_csv: a zero byte in a column name"));
    h->names[i] = copy_text(s, size);
    if (!h->names[i]) TR_GOTO(st, tr_fail_memory(err, size));
  }
  TR_GOTO(st, mangle(h->names, unnamed, n, &h->mangled, err));
done:
  free(unnamed);
  return st;
}

static enum tr_status names_from_option(const struct tr_csv_read_options *opt, struct tr_csv_head *h,
                                        struct tr_error *err) {
  h->names = calloc((size_t)opt->n_names + 1, sizeof *h->names);
  if (!h->names) return tr_fail_memory(err, (size_t)opt->n_names);
  h->n_names = opt->n_names;
  for (int i = 0; i < opt->n_names; i++) {
    h->names[i] = copy_text(opt->names[i], strlen(opt->names[i]));
    if (!h->names[i]) return tr_fail_memory(err, strlen(opt->names[i]));
    if (is_among(h->names, i, opt->names[i])) return tr_unsupported(err, "read_csv: duplicate names");
  }
  return TR_OK;
}

static enum tr_status names_by_number(int n, struct tr_csv_head *h, struct tr_error *err) {
  h->names = calloc((size_t)n + 1, sizeof *h->names);
  if (!h->names) return tr_fail_memory(err, (size_t)n);
  h->n_names = n;
  for (int i = 0; i < n; i++) {
    char s[24];
    h->names[i] = copy_text(s, (size_t)snprintf(s, sizeof s, "%d", i));
    if (!h->names[i]) return tr_fail_memory(err, sizeof s);
  }
  return TR_OK;
}

enum step { DONE, NEED_MORE };

/* Everything up to the first data record lies in text[0, len). */
struct try_head {
  char *text;
  uint32_t len, pos;
  bool eof;
  int64_t lines;
  uint32_t *beg, *end;
  int max_fields;
};

enum tr_status tr_csv_record_error(enum tr_csv_record r, int64_t lines, struct tr_error *err) {
  if (r == TR_CSV_OPEN_QUOTE) {
    return tr_fail(err, TR_EXC_PARSER, "Error tokenizing data. C error: EOF inside string starting at row %lld",
                   (long long)lines);
  }
  if (r == TR_CSV_OPEN_ESCAPE) {
    return tr_fail(err, TR_EXC_PARSER, "Error tokenizing data. C error: EOF following escape character");
  }
  return tr_unsupported(err, "read_csv: a blank line that ends in a carriage return only");
}

/* The next row; blank and comment lines before it are passed. *r is ROW, END or MORE. */
static enum tr_status next_row(const struct tr_csv_dialect *d, struct try_head *t, struct tr_csv_record_out *out,
                               enum tr_csv_record *r, struct tr_error *err) {
  for (;;) {
    *out = (struct tr_csv_record_out){.beg = t->beg, .end = t->end, .max_fields = t->max_fields};
    *r = tr_csv_record_slow(d, t->text, t->pos, t->len, t->eof, out);
    if (*r == TR_CSV_SKIP) {
      t->pos = out->next;
      t->lines++;
      continue;
    }
    if (*r == TR_CSV_ROW || *r == TR_CSV_END || *r == TR_CSV_MORE) return TR_OK;
    return tr_csv_record_error(*r, t->lines, err);
  }
}

static enum tr_status skip_rows(const struct tr_csv_dialect *d, int64_t n, struct try_head *t, bool *more,
                                struct tr_error *err) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t next;
    enum tr_csv_record r = tr_csv_skip_line(d, t->text, t->pos, t->len, t->eof, &next);
    if (r == TR_CSV_END) return TR_OK;
    if (r == TR_CSV_ODD) return tr_unsupported(err, "read_csv: skiprows with carriage returns");
    if (r == TR_CSV_MORE) {
      *more = true;
      return TR_OK;
    }
    t->pos = next;
    t->lines++;
  }
  return TR_OK;
}

/* Width and names against each other, once the first data row has n_fields fields (-1: there is no data row). */
static enum tr_status settle(const struct tr_csv_read_options *opt, int header_fields, int n_fields,
                             struct tr_csv_head *h, struct tr_error *err) {
  h->any_width = opt->use_columns != NULL;
  if (n_fields >= 0 && n_fields < header_fields) n_fields = header_fields; /* padded */
  if (opt->names) {
    if (opt->use_columns) return tr_unsupported(err, "read_csv: names with usecols");
    TR_TRY(names_from_option(opt, h, err));
    if (opt->header < 0 && n_fields >= 0 && n_fields < opt->n_names) n_fields = opt->n_names;
  } else if (opt->header < 0) {
    TR_TRY(names_by_number(n_fields < 0 ? 0 : n_fields, h, err));
  }
  h->width = n_fields < 0 ? h->n_names : n_fields;
  if (h->width == 0) return tr_fail(err, TR_EXC_EMPTY_DATA, "No columns to parse from file");
  if (h->width > h->n_names)
    return tr_unsupported(err, "read_csv: rows with more fields than the header (the first become the index)");
  if (h->width < h->n_names) return tr_unsupported(err, "read_csv: more names than fields");
  return TR_OK;
}

static enum tr_status try_once(const struct tr_csv_dialect *d, const struct tr_csv_read_options *opt,
                               struct try_head *t, enum step *step, struct tr_csv_head *h, struct tr_error *err) {
  bool more = false;
  *step = NEED_MORE;
  if (t->len >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0) t->pos = 3;
  TR_TRY(skip_rows(d, opt->skip_rows, t, &more, err));
  if (more) return TR_OK;
  struct tr_csv_record_out out;
  enum tr_csv_record r;
  int header_fields = 0;
  for (int64_t i = 0; i <= opt->header; i++) {
    TR_TRY(next_row(d, t, &out, &r, err));
    if (r == TR_CSV_MORE) return TR_OK;
    if (r == TR_CSV_END) {
      *step = DONE;
      if (i == 0) return tr_fail(err, TR_EXC_EMPTY_DATA, "No columns to parse from file");
      return tr_fail(err, TR_EXC_PARSER, "Passed header=%lld but only %lld lines in file", (long long)opt->header,
                     (long long)i);
    }
    if (out.n_fields > t->max_fields) return tr_unsupported(err, "read_csv: more than %d columns", t->max_fields);
    header_fields = out.n_fields;
    if (i == opt->header && !opt->names) {
      tr_csv_names_free(h->names, h->n_names);
      h->names = NULL;
      TR_TRY(names_from_fields(t->text, t->beg, t->end, out.n_fields, h, err));
    }
    t->pos = out.next;
    t->lines++;
  }
  TR_TRY(next_row(d, t, &out, &r, err));
  if (r == TR_CSV_MORE) return TR_OK;
  *step = DONE;
  h->data_begin = r == TR_CSV_END ? t->len : t->pos;
  h->lines = t->lines;
  return settle(opt, header_fields, r == TR_CSV_ROW ? out.n_fields : -1, h, err);
}

enum { HEAD_BYTES = 1 << 16, MAX_FIELDS = 1 << 16 };

enum tr_status tr_csv_head_read(const struct tr_csv_file *f, const struct tr_csv_dialect *d,
                                const struct tr_csv_read_options *opt, struct tr_csv_head *h, struct tr_error *err) {
  *h = (struct tr_csv_head){0};
  struct tr_csv_text_buffer buffer = {0};
  void *fields = NULL;
  enum step step = NEED_MORE;
  enum tr_status st = TR_OK;
  TR_GOTO(st, tr_mem_alloc(2 * MAX_FIELDS * sizeof(uint32_t), &fields, err));
  for (int64_t want = HEAD_BYTES; step != DONE; want *= 4) {
    int64_t n = want < f->size ? want : f->size;
    if (n > INT32_MAX) TR_GOTO(st, tr_unsupported(err, "read_csv: a record of more than 2 GiB"));
    TR_GOTO(st, tr_csv_buffer_reserve(&buffer, (size_t)n, err));
    TR_GOTO(st, tr_csv_pread(f, 0, n, buffer.data + TR_CSV_PAD, err));
    struct try_head t = {.text = buffer.data + TR_CSV_PAD,
                         .len = (uint32_t)n,
                         .eof = n == f->size,
                         .beg = fields,
                         .end = (uint32_t *)fields + MAX_FIELDS,
                         .max_fields = MAX_FIELDS};
    TR_GOTO(st, try_once(d, opt, &t, &step, h, err));
  }
done:
  tr_mem_free(fields, 2 * MAX_FIELDS * sizeof(uint32_t));
  tr_csv_buffer_drop(&buffer);
  if (st != TR_OK) {
    tr_csv_names_free(h->names, h->n_names);
    h->names = NULL;
  }
  return st;
}
