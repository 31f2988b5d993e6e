/* Columns of a file: which pandas dtype each gets, why one cannot be read, and its statistics.
 *
 * The rules are pyarrow's (what pandas.read_parquet gives): the logical type decides, ARROW:schema turns int64 into
 * timedelta and text into category, integers with missing values become float64. Columns that would be `object`, or
 * of a dtype we do not have, are marked unsupported with a reason; the file stays readable otherwise.
 */
#include "data/format/parquet/parquet_int.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {"BOOLEAN", "INT32",  "INT64",      "INT96",
                                         "FLOAT",   "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"};

static const char *const codec_names[] = {"none", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"};
static const char *const encoding_names[] = {"PLAIN",
                                             "1",
                                             "PLAIN_DICTIONARY",
                                             "RLE",
                                             "BIT_PACKED",
                                             "DELTA_BINARY_PACKED",
                                             "DELTA_LENGTH_BYTE_ARRAY",
                                             "DELTA_BYTE_ARRAY",
                                             "RLE_DICTIONARY",
                                             "BYTE_STREAM_SPLIT"};

static const char *name_of(const char *const *names, int n, int i) { return i >= 0 && i < n ? names[i] : "unknown"; }

static enum tr_status refuse(struct tr_parquet_file *f, struct tr_parquet_column *c, struct tr_error *err,
                             const char *why) {
  if (c->reason) return TR_OK;
  c->reason = tr_arena_strndup(&f->internal->arena, why, strlen(why));
  return c->reason ? TR_OK : tr_fail_memory(err, strlen(why));
}

/* Elements and leaves below element i (itself included when it is a leaf). False when the tree runs past the end. */
static bool subtree(const struct tr_parquet_file_int *in, int i, int *next, int *leaves) {
  int64_t open = 1;
  for (*leaves = 0; open > 0; i++) {
    if (i >= in->n_elements) return false;
    if (in->elements[i].n_children == 0) ++*leaves;
    open += in->elements[i].n_children - 1;
  }
  *next = i;
  return true;
}

static void set(struct pq_column *c, enum pq_convert convert, struct tr_dtype dtype) {
  c->convert = convert;
  c->base = dtype;
}

static const char *resolve_integer(struct pq_column *c, const struct pq_element *e) {
  int bits = e->type == PQ_INT32 ? 32 : 64;
  bool is_signed = true;
  if (e->logical == PQ_L_INTEGER) {
    bits = e->int_bits;
    is_signed = e->int_signed;
  } else if (e->converted >= PQ_CONV_UINT_8 && e->converted <= PQ_CONV_INT_64) {
    is_signed = e->converted >= PQ_CONV_INT_8;
    bits = 8 << (e->converted - (is_signed ? PQ_CONV_INT_8 : PQ_CONV_UINT_8));
  } else if (e->logical || e->converted != PQ_CONV_NONE) {
    return "a date, time, decimal or other logical type has no native dtype";
  }
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64) return "an integer type of odd width";
  if ((bits == 64) != (e->type == PQ_INT64)) return "an integer type that does not fit its physical type";
  int step = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
  set(c, (enum pq_convert)((is_signed ? PQ_AS_I8 : PQ_AS_U8) + step),
      tr_dtype_of((enum tr_kind)((is_signed ? TR_I8 : TR_U8) + step)));
  return NULL;
}

static const char *resolve_time(struct pq_column *c, const struct pq_element *e) {
  enum tr_unit unit = TR_US;
  if (e->type != PQ_INT64) return "a timestamp that is not INT64";
  if (e->logical == PQ_L_TIMESTAMP) {
    if (e->time_utc) return "timestamps with a time zone have no native dtype";
    if (e->time_unit < 0) return "a timestamp of unknown unit";
    unit = (enum tr_unit)e->time_unit;
  } else if (e->converted == PQ_CONV_TIMESTAMP_MILLIS) {
    unit = TR_MS;
  }
  set(c, PQ_AS_I64, tr_dtype_unit(TR_DATETIME, unit));
  return NULL;
}

static const char *resolve_text(struct pq_column *c, const struct pq_element *e, const struct pq_arrow_field *a) {
  bool text = e->logical == PQ_L_STRING || e->logical == PQ_L_JSON ||
              (e->logical == PQ_L_NONE && (e->converted == PQ_CONV_UTF8 || e->converted == PQ_CONV_JSON));
  if (!text) return "bytes that are not text are objects in pandas";
  set(c, PQ_AS_TEXT, tr_dtype_of(TR_STR));
  if (a->known && a->dictionary) {
    c->category = true;
    c->base = tr_dtype_of(TR_CATEGORY);
    c->base.ordered = a->ordered;
  }
  return NULL;
}

/* Sets c's type, or gives the reason why there is none. */
static const char *resolve_type(struct pq_column *c, const struct pq_element *e, const struct pq_arrow_field *a) {
  bool plain = e->logical == PQ_L_NONE && e->converted == PQ_CONV_NONE;
  if (a->known && a->extension) return "an Arrow extension type has no native dtype";
  if (e->repetition == PQ_REPEATED) return "lists are objects in pandas";
  switch (e->type) {
  case PQ_BOOLEAN: set(c, PQ_AS_BOOL, tr_dtype_of(TR_BOOL)); return plain ? NULL : "a logical type over BOOLEAN";
  case PQ_FLOAT: set(c, PQ_AS_F32, tr_dtype_of(TR_F32)); return plain ? NULL : "a logical type over FLOAT";
  case PQ_DOUBLE: set(c, PQ_AS_F64, tr_dtype_of(TR_F64)); return plain ? NULL : "a logical type over DOUBLE";
  case PQ_INT96:
    set(c, PQ_AS_INT96, tr_dtype_unit(TR_DATETIME, TR_NS));
    return plain ? NULL : "a logical type over INT96";
  case PQ_BYTE_ARRAY: return resolve_text(c, e, a);
  case PQ_INT32:
  case PQ_INT64:
    if (a->known && a->duration && plain && e->type == PQ_INT64) {
      set(c, PQ_AS_I64, tr_dtype_unit(TR_TIMEDELTA, (enum tr_unit)a->unit));
      return NULL;
    }
    if (e->logical == PQ_L_TIMESTAMP ||
        (!e->logical && (e->converted == PQ_CONV_TIMESTAMP_MILLIS || e->converted == PQ_CONV_TIMESTAMP_MICROS)))
      return resolve_time(c, e);
    return resolve_integer(c, e);
  default: return "fixed-length bytes have no native dtype";
  }
}

/* What the row groups' metadata adds: encodings, codecs, missing values. */
static enum tr_status check_chunks(struct tr_parquet_file *f, int col, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  struct pq_column *c = &in->columns[col];
  struct tr_parquet_column *out = &f->cols[col];
  const uint32_t known =
      1u << PQ_PLAIN | 1u << PQ_PLAIN_DICTIONARY | 1u << PQ_RLE | 1u << PQ_BIT_PACKED | 1u << PQ_RLE_DICTIONARY;
  bool nulls = false, unknown = false;
  char text[200];
  for (int g = 0; g < f->n_row_groups; g++) {
    const struct pq_chunk *k = &in->chunks[(int64_t)g * in->n_leaves + c->leaf];
    text[0] = 0;
    if (k->type != c->type || k->n_values != f->row_group_rows[g])
      return tr_fail(err, TR_EXC_ARROW_INVALID,
                     "Parquet file '%s', row group %d, column '%s': the metadata contradicts the schema", f->path, g,
                     out->name);
    if (k->external) snprintf(text, sizeof text, "its data lies in another file");
    else if (k->codec != PQ_C_NONE && k->codec != PQ_C_SNAPPY && k->codec != PQ_C_GZIP && k->codec != PQ_C_ZSTD)
      snprintf(text, sizeof text, "compression codec %s is not supported", name_of(codec_names, 8, k->codec));
    else if (k->encodings & ~known)
      snprintf(text, sizeof text, "encoding %s is not supported",
               name_of(encoding_names, 10, __builtin_ctz(k->encodings & ~known)));
    if (text[0]) TR_TRY(refuse(f, out, err, text));
    nulls |= k->has_null_count && k->null_count > 0;
    unknown |= !k->has_null_count && k->n_values > 0;
  }
  if (!c->optional) return TR_OK;
  if (nulls && out->dtype.kind == TR_BOOL) return refuse(f, out, err, "bool with missing values is object in pandas");
  if (nulls && tr_kind_is_int(out->dtype.kind)) out->dtype = tr_dtype_of(TR_F64);
  else out->maybe_float = unknown && tr_kind_is_int(out->dtype.kind);
  out->maybe_object = unknown && out->dtype.kind == TR_BOOL;
  return TR_OK;
}

static enum tr_status resolve_column(struct tr_parquet_file *f, int col, int element, int leaf, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  const struct pq_element *e = &in->elements[element];
  const struct pq_arrow_field none = {.known = false};
  const struct pq_arrow_field *a = &none;
  struct pq_column *c = &in->columns[col];
  struct tr_parquet_column *out = &f->cols[col];
  out->name = e->name;
  c->element = element;
  c->leaf = e->n_children == 0 ? leaf : -1;
  c->type = e->type;
  c->optional = e->repetition == PQ_OPTIONAL;
  if (in->arrow && in->n_arrow == f->n_cols && strcmp(in->arrow[col].name, e->name) == 0) a = &in->arrow[col];
  if (c->leaf < 0 || e->type < 0) {
    return refuse(f, out, err, "nested columns (lists, structs, maps) are objects in pandas");
  }
  const char *why = resolve_type(c, e, a);
  out->dtype = c->base;
  if (why) {
    char text[200];
    snprintf(text, sizeof text, "%s (%s)", why, type_names[e->type]);
    TR_TRY(refuse(f, out, err, text));
  } else if (c->category && f->n_rows == 0) {
    TR_TRY(refuse(f, out, err, "categories of a file without rows are objects in pandas"));
  }
  if (!why) TR_TRY(check_chunks(f, col, err));
  out->supported = out->reason == NULL;
  return TR_OK;
}

static bool stat_bytes(struct pq_bytes b, int n) { return b.ptr && b.len == n; }

static struct tr_scalar integer_scalar(const struct pq_column *c, struct tr_dtype dtype, const uint8_t *p) {
  struct tr_scalar s = {.dtype = dtype};
  int64_t v;
  if (c->type == PQ_INT32) {
    int32_t w;
    memcpy(&w, p, 4);
    v = c->convert == PQ_AS_U32   ? (int64_t)(uint32_t)w
        : c->convert == PQ_AS_U16 ? (uint16_t)w
        : c->convert == PQ_AS_U8  ? (uint8_t)w
                                  : w;
  } else {
    memcpy(&v, p, 8);
  }
  if (dtype.kind == TR_F64) s.f = c->convert == PQ_AS_U64 ? (double)(uint64_t)v : (double)v;
  else s.i = v;
  return s;
}

static bool float_scalars(const struct pq_column *c, struct tr_parquet_stats *s, struct pq_bytes lo,
                          struct pq_bytes hi) {
  if (c->type == PQ_FLOAT) {
    float a, b;
    memcpy(&a, lo.ptr, 4);
    memcpy(&b, hi.ptr, 4);
    s->min.f = a;
    s->max.f = b;
  } else {
    memcpy(&s->min.f, lo.ptr, 8);
    memcpy(&s->max.f, hi.ptr, 8);
  }
  /* The format's rules: NaN makes both meaningless; zeros may stand for either sign. */
  if (isnan(s->min.f) || isnan(s->max.f)) return false;
  if (s->min.f == 0) s->min.f = -0.0;
  if (s->max.f == 0) s->max.f = 0.0;
  return true;
}

static bool fill_min_max(const struct tr_parquet_file *f, int col, const struct pq_chunk *k,
                         struct tr_parquet_stats *s) {
  const struct pq_column *c = &f->internal->columns[col];
  struct tr_dtype dtype = f->cols[col].dtype;
  bool is_unsigned = c->convert >= PQ_AS_U8 && c->convert <= PQ_AS_U64;
  struct pq_bytes lo = k->min, hi = k->max;
  if (!f->internal->has_order) lo.ptr = hi.ptr = NULL;
  if ((!lo.ptr || !hi.ptr) && !is_unsigned && c->type != PQ_BYTE_ARRAY) {
    lo = k->min_old;
    hi = k->max_old;
  }
  s->min.dtype = s->max.dtype = dtype;
  switch (c->type) {
  case PQ_BOOLEAN:
    if (!stat_bytes(lo, 1) || !stat_bytes(hi, 1)) return false;
    s->min.i = lo.ptr[0] != 0;
    s->max.i = hi.ptr[0] != 0;
    return true;
  case PQ_INT32:
  case PQ_INT64: {
    int n = c->type == PQ_INT32 ? 4 : 8;
    if (!stat_bytes(lo, n) || !stat_bytes(hi, n)) return false;
    s->min = integer_scalar(c, dtype, lo.ptr);
    s->max = integer_scalar(c, dtype, hi.ptr);
    return true;
  }
  case PQ_FLOAT:
  case PQ_DOUBLE: {
    int n = c->type == PQ_FLOAT ? 4 : 8;
    return stat_bytes(lo, n) && stat_bytes(hi, n) && float_scalars(c, s, lo, hi);
  }
  case PQ_BYTE_ARRAY:
    if (!lo.ptr || !hi.ptr || dtype.kind != TR_STR) return false;
    s->min.s.ptr = (const char *)lo.ptr;
    s->min.s.len = lo.len;
    s->max.s.ptr = (const char *)hi.ptr;
    s->max.s.len = hi.len;
    return true;
  default: return false;
  }
}

static void fill_stats(struct tr_parquet_file *f) {
  for (int g = 0; g < f->n_row_groups; g++) {
    for (int col = 0; col < f->n_cols; col++) {
      const struct pq_column *c = &f->internal->columns[col];
      if (!f->cols[col].supported) continue;
      const struct pq_chunk *k = &f->internal->chunks[(int64_t)g * f->internal->n_leaves + c->leaf];
      struct tr_parquet_stats *s = &f->stats[(int64_t)g * f->n_cols + col];
      s->has_null_count = k->has_null_count || !c->optional;
      s->null_count = c->optional ? k->null_count : 0;
      s->has_min_max = fill_min_max(f, col, k, s);
    }
  }
}

enum tr_status pq_schema_resolve(struct tr_parquet_file *f, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  f->n_cols = in->elements[0].n_children;
  int next = 1, leaf = 0;
  bool fits = f->n_cols < in->n_elements;
  if (fits) {
    f->cols = tr_arena_alloc(&in->arena, (size_t)(f->n_cols + 1) * sizeof *f->cols);
    in->columns = tr_arena_alloc(&in->arena, (size_t)(f->n_cols + 1) * sizeof *in->columns);
    f->stats = tr_arena_alloc(&in->arena, ((size_t)f->n_cols * (size_t)f->n_row_groups + 1) * sizeof *f->stats);
    if (!f->cols || !in->columns || !f->stats) return tr_fail_memory(err, (size_t)f->n_cols * sizeof *f->stats);
  }
  for (int col = 0; fits && col < f->n_cols; col++) {
    int element = next, leaves = 0;
    fits = subtree(in, element, &next, &leaves);
    if (fits) TR_TRY(resolve_column(f, col, element, leaf, err));
    leaf += leaves;
  }
  if (!fits || next != in->n_elements)
    return tr_fail(err, TR_EXC_ARROW_INVALID, "Could not open Parquet input source '%s': the schema is not a tree",
                   f->path);
  fill_stats(f);
  return TR_OK;
}
