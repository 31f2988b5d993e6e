/* FileMetaData: the footer's Thrift structures into arena arrays.
 *
 * Every count is bounded by the footer's size (thrift_int.h), every offset by the file's, so that nothing behind this
 * point has to doubt them again. What the reader does not need is skipped.
 */
#include "data/format/parquet/parquet_int.h"
#include <string.h>

enum { MAX_ELEMENTS = 1 << 20, MAX_CHUNKS = 1 << 26 };

struct footer {
  struct pq_thrift t;
  struct tr_parquet_file *file;
  struct tr_parquet_file_int *in;
  struct tr_error *err;
  enum tr_status st;
  int64_t *row_group_rows;
};

static void give_up(struct footer *p, enum tr_status st) {
  if (p->st == TR_OK) p->st = st;
  p->t.bad = true;
  p->t.p = p->t.end;
}

static void invalid(struct footer *p, const char *what) {
  if (p->st != TR_OK) return;
  give_up(p,
          tr_fail(p->err, TR_EXC_ARROW_INVALID, "Could not open Parquet input source '%s': %s", p->file->path, what));
}

static void *arena_array(struct footer *p, int64_t n, size_t size) {
  void *a = tr_arena_alloc(&p->in->arena, (size_t)(n > 0 ? n : 1) * size);
  if (!a) give_up(p, tr_fail_memory(p->err, (size_t)n * size));
  return a;
}

static void read_time_unit(struct pq_thrift *t, struct pq_element *e) {
  struct pq_field f = {0, 0};
  while (pq_thrift_field(t, &f)) {
    if (f.id >= 1 && f.id <= 3) e->time_unit = f.id == 1 ? TR_MS : f.id == 2 ? TR_US : TR_NS;
    pq_thrift_skip(t, &f);
  }
}

static void read_logical_body(struct pq_thrift *t, struct pq_element *e) {
  struct pq_field f = {0, 0};
  while (pq_thrift_field(t, &f)) {
    if (e->logical == PQ_L_INTEGER && f.id == 1) e->int_bits = (int)pq_thrift_int(t, &f);
    else if (e->logical == PQ_L_INTEGER && f.id == 2) e->int_signed = pq_thrift_int(t, &f) != 0;
    else if (e->logical == PQ_L_TIMESTAMP && f.id == 1) e->time_utc = pq_thrift_int(t, &f) != 0;
    else if (e->logical == PQ_L_TIMESTAMP && f.id == 2 && f.type == PQ_T_STRUCT) read_time_unit(t, e);
    else pq_thrift_skip(t, &f);
  }
}

static void read_logical(struct pq_thrift *t, struct pq_element *e) {
  struct pq_field f = {0, 0};
  while (pq_thrift_field(t, &f)) {
    if (!pq_thrift_is_struct(t, &f)) continue;
    e->logical = f.id;
    read_logical_body(t, e);
  }
}

static void read_element(struct footer *p, struct pq_element *e) {
  struct pq_thrift *t = &p->t;
  struct pq_field f = {0, 0};
  struct pq_bytes b = {(const uint8_t *)"", 0};
  e->type = -1;
  e->converted = PQ_CONV_NONE;
  e->time_unit = -1;
  e->repetition = PQ_REQUIRED;
  while (pq_thrift_field(t, &f)) {
    switch (f.id) {
    case 1: e->type = pq_thrift_i32(t, &f); break;
    case 3: e->repetition = pq_thrift_i32(t, &f); break;
    case 4: b = pq_thrift_binary(t, &f); break;
    case 5: e->n_children = pq_thrift_i32(t, &f); break;
    case 6: e->converted = pq_thrift_i32(t, &f); break;
    case 10:
      if (pq_thrift_is_struct(t, &f)) read_logical(t, e);
      break;
    default: pq_thrift_skip(t, &f);
    }
  }
  if (t->bad) return;
  if (e->n_children > 0) e->type = -1;
  else if (e->type >= PQ_N_TYPES || e->type < -1) invalid(p, "a schema element has an unknown type");
  if (e->n_children < 0) invalid(p, "a schema element has a negative number of children");
  e->name = tr_arena_strndup(&p->in->arena, (const char *)b.ptr, (size_t)b.len);
  if (!e->name) give_up(p, tr_fail_memory(p->err, (size_t)b.len));
}

static void read_schema(struct footer *p, const struct pq_field *f) {
  int64_t n = pq_thrift_list(&p->t, f, PQ_T_STRUCT);
  if (p->in->elements || n > MAX_ELEMENTS) {
    invalid(p, "the schema is too large or given twice");
    return;
  }
  struct pq_element *e = arena_array(p, n, sizeof *e);
  if (!e) return;
  int leaves = 0;
  for (int64_t i = 0; i < n && !p->t.bad; i++) {
    read_element(p, &e[i]);
    if (i > 0 && e[i].n_children == 0) leaves++;
  }
  p->in->elements = e;
  p->in->n_elements = (int)n;
  p->in->n_leaves = leaves;
}

static void read_statistics(struct pq_thrift *t, struct pq_chunk *c) {
  struct pq_field f = {0, 0};
  while (pq_thrift_field(t, &f)) {
    switch (f.id) {
    case 1: c->max_old = pq_thrift_binary(t, &f); break;
    case 2: c->min_old = pq_thrift_binary(t, &f); break;
    case 3:
      c->null_count = pq_thrift_int(t, &f);
      c->has_null_count = true;
      break;
    case 5: c->max = pq_thrift_binary(t, &f); break;
    case 6: c->min = pq_thrift_binary(t, &f); break;
    default: pq_thrift_skip(t, &f);
    }
  }
}

static void read_encodings(struct pq_thrift *t, const struct pq_field *f, struct pq_chunk *c) {
  int64_t n = pq_thrift_list(t, f, PQ_T_I32);
  for (int64_t i = 0; i < n && !t->bad; i++) {
    int64_t e = pq_thrift_elem_int(t);
    c->encodings |= 1u << (e >= 0 && e < 31 ? e : 31);
  }
}

static void read_chunk_data(struct pq_thrift *t, struct pq_chunk *c) {
  struct pq_field f = {0, 0};
  int64_t data = -1, dictionary = -1;
  c->type = -1;
  while (pq_thrift_field(t, &f)) {
    int64_t v;
    switch (f.id) {
    case 1:
      v = pq_thrift_int(t, &f);
      c->type = (int8_t)(v >= 0 && v < PQ_N_TYPES ? v : -1);
      break;
    case 2: read_encodings(t, &f, c); break;
    case 4:
      v = pq_thrift_int(t, &f);
      c->codec = (int8_t)(v >= 0 && v < 100 ? v : 100);
      break;
    case 5: c->n_values = pq_thrift_int(t, &f); break;
    case 6: c->uncompressed = pq_thrift_int(t, &f); break;
    case 7: c->size = pq_thrift_int(t, &f); break;
    case 9: data = pq_thrift_int(t, &f); break;
    case 11: dictionary = pq_thrift_int(t, &f); break;
    case 12:
      if (pq_thrift_is_struct(t, &f)) read_statistics(t, c);
      break;
    default: pq_thrift_skip(t, &f);
    }
  }
  c->begin = dictionary > 0 && dictionary < data ? dictionary : data;
}

static void read_chunk(struct footer *p, struct pq_chunk *c) {
  struct pq_field f = {0, 0};
  bool seen = false;
  while (pq_thrift_field(&p->t, &f)) {
    if (f.id == 1) {
      c->external = true;
      pq_thrift_skip(&p->t, &f);
    } else if (f.id == 3 && pq_thrift_is_struct(&p->t, &f)) {
      read_chunk_data(&p->t, c);
      seen = true;
    } else if (f.id != 3) {
      pq_thrift_skip(&p->t, &f);
    }
  }
  if (p->t.bad) return;
  if (!seen) invalid(p, "a column chunk has no metadata");
  else if (c->begin < 0 || c->size < 0 || c->begin > p->in->size || c->size > p->in->size - c->begin)
    invalid(p, "a column chunk lies outside of the file");
  else if (c->n_values < 0 || c->uncompressed < 0) invalid(p, "a column chunk has a negative size");
}

static void read_row_group(struct footer *p, int64_t g) {
  struct pq_field f = {0, 0};
  struct pq_thrift *t = &p->t;
  bool columns = false;
  int64_t rows = -1;
  while (pq_thrift_field(t, &f)) {
    if (f.id == 1) {
      int64_t n = pq_thrift_list(t, &f, PQ_T_STRUCT);
      if (n != p->in->n_leaves || columns) invalid(p, "a row group does not have the schema's number of columns");
      columns = true;
      for (int64_t i = 0; i < n && !t->bad; i++) read_chunk(p, &p->in->chunks[g * p->in->n_leaves + i]);
    } else if (f.id == 3) {
      rows = pq_thrift_int(t, &f);
    } else {
      pq_thrift_skip(t, &f);
    }
  }
  if (t->bad) return;
  if (!columns || rows < 0) invalid(p, "a row group without columns or number of rows");
  p->row_group_rows[g] = rows;
}

static void read_row_groups(struct footer *p, const struct pq_field *f) {
  int64_t n = pq_thrift_list(&p->t, f, PQ_T_STRUCT);
  if (p->t.bad) return;
  if (!p->in->elements || p->in->chunks || (p->in->n_leaves && n > MAX_CHUNKS / p->in->n_leaves)) {
    invalid(p, "the row groups are misplaced, too many or given twice");
    return;
  }
  /* A chunk takes at least 8 bytes of footer; a smaller footer is lying about its counts. */
  if (n * p->in->n_leaves > (int64_t)p->in->footer_size / 8) {
    invalid(p, "the footer is too small for its row groups");
    return;
  }
  p->in->chunks = arena_array(p, n * p->in->n_leaves, sizeof(struct pq_chunk));
  p->row_group_rows = arena_array(p, n, sizeof(int64_t));
  p->file->row_group_rows = p->row_group_rows;
  p->file->n_row_groups = (int)n;
  for (int64_t g = 0; g < n && !p->t.bad; g++) read_row_group(p, g);
}

static bool is_key(struct pq_bytes b, const char *key) {
  return b.len == (int64_t)strlen(key) && memcmp(b.ptr, key, (size_t)b.len) == 0;
}

static void read_key_values(struct footer *p, const struct pq_field *list) {
  int64_t n = pq_thrift_list(&p->t, list, PQ_T_STRUCT);
  for (int64_t i = 0; i < n && !p->t.bad; i++) {
    struct pq_field f = {0, 0};
    struct pq_bytes key = {NULL, 0}, value = {NULL, 0};
    while (pq_thrift_field(&p->t, &f)) {
      if (f.id == 1) key = pq_thrift_binary(&p->t, &f);
      else if (f.id == 2) value = pq_thrift_binary(&p->t, &f);
      else pq_thrift_skip(&p->t, &f);
    }
    if (p->t.bad || !key.ptr || !value.ptr) continue;
    if (is_key(key, "pandas")) p->in->pandas = value;
    else if (is_key(key, "ARROW:schema")) p->in->arrow_schema = value;
  }
}

static void read_column_orders(struct footer *p, const struct pq_field *list) {
  int64_t n = pq_thrift_list(&p->t, list, PQ_T_STRUCT);
  bool all = n == p->in->n_leaves;
  for (int64_t i = 0; i < n && !p->t.bad; i++) {
    struct pq_field f = {0, 0};
    bool type_order = false;
    while (pq_thrift_field(&p->t, &f)) {
      type_order |= f.id == 1;
      pq_thrift_skip(&p->t, &f);
    }
    all &= type_order;
  }
  p->in->has_order = all;
}

static void check_rows(struct footer *p) {
  int64_t sum = 0;
  for (int g = 0; g < p->file->n_row_groups && p->st == TR_OK; g++) {
    int64_t rows = p->row_group_rows[g];
    if (rows > INT64_MAX - sum) {
      invalid(p, "the number of rows overflows");
      return;
    }
    sum += rows;
    for (int l = 0; l < p->in->n_leaves; l++) {
      const struct pq_chunk *c = &p->in->chunks[(int64_t)g * p->in->n_leaves + l];
      if (c->has_null_count && (c->null_count < 0 || c->null_count > c->n_values))
        invalid(p, "a null count is impossible");
    }
  }
  /* Some writers leave the file's number at 0; pyarrow goes by the row groups too. */
  p->file->n_rows = sum;
}

enum tr_status pq_footer_parse(struct tr_parquet_file *file, struct tr_error *err) {
  struct tr_parquet_file_int *in = file->internal;
  struct footer p = {.t = pq_thrift_open(in->footer, in->footer_size), .file = file, .in = in, .err = err};
  struct pq_field f = {0, 0};
  file->n_rows = -1;
  bool row_groups = false;
  while (pq_thrift_field(&p.t, &f)) {
    switch (f.id) {
    case 2: read_schema(&p, &f); break;
    case 3: file->n_rows = pq_thrift_int(&p.t, &f); break;
    case 4:
      read_row_groups(&p, &f);
      row_groups = true;
      break;
    case 5: read_key_values(&p, &f); break;
    case 7: read_column_orders(&p, &f); break;
    case 8: invalid(&p, "the file is encrypted"); break;
    default: pq_thrift_skip(&p.t, &f);
    }
  }
  if (p.st != TR_OK) return p.st;
  if (p.t.bad)
    return tr_fail_os(err, 0, "Could not open Parquet input source '%s': Couldn't deserialize thrift: %s\n", file->path,
                      p.t.short_input ? "No more data to read." : "invalid data");
  if (!in->elements || in->n_elements < 1 || file->n_rows < 0 || !row_groups) invalid(&p, "the footer is incomplete");
  if (p.st == TR_OK) check_rows(&p);
  return p.st;
}
