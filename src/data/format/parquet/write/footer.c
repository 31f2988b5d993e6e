/* FileMetaData for a finished file: schema, row groups, statistics, key-value metadata, column orders. */
#include "data/format/parquet/write/encode_int.h"
#include <string.h>

static void put_logical(struct pq_out *o, int *last, struct tr_dtype d) {
  int in_union = 0, in_type = 0, in_unit = 0;
  if (d.kind == TR_STR) {
    pq_put_header(o, last, 10, PQ_T_STRUCT);
    pq_put_header(o, &in_union, PQ_L_STRING, PQ_T_STRUCT);
  } else if (d.kind == TR_DATETIME) {
    int unit = d.unit == TR_NS ? 3 : d.unit == TR_US ? 2 : 1;
    pq_put_header(o, last, 10, PQ_T_STRUCT);
    pq_put_header(o, &in_union, PQ_L_TIMESTAMP, PQ_T_STRUCT);
    pq_put_bool(o, &in_type, 1, false);
    pq_put_header(o, &in_type, 2, PQ_T_STRUCT);
    pq_put_header(o, &in_unit, unit, PQ_T_STRUCT);
    pq_put_stop(o);
    pq_put_stop(o);
  } else if (tr_kind_is_int(d.kind) && d.kind != TR_I32 && d.kind != TR_I64) {
    pq_put_header(o, last, 10, PQ_T_STRUCT);
    pq_put_header(o, &in_union, PQ_L_INTEGER, PQ_T_STRUCT);
    pq_put_byte(o, &in_type, 1, (int8_t)(8 * tr_dtype_width(d)));
    pq_put_bool(o, &in_type, 2, tr_kind_is_signed(d.kind));
  } else {
    return;
  }
  pq_put_stop(o);
  pq_put_stop(o);
}

static int converted_of(struct tr_dtype d) {
  switch (d.kind) {
  case TR_STR: return PQ_CONV_UTF8;
  case TR_I8: return PQ_CONV_INT_8;
  case TR_I16: return PQ_CONV_INT_8 + 1;
  case TR_U8: return PQ_CONV_UINT_8;
  case TR_U16: return PQ_CONV_UINT_8 + 1;
  case TR_U32: return PQ_CONV_UINT_8 + 2;
  case TR_U64: return PQ_CONV_UINT_8 + 3;
  default: return PQ_CONV_NONE;
  }
}

static void put_schema(struct pq_out *o, const struct pq_footer *f) {
  int last = 0;
  pq_put_int(o, &last, 3, PQ_T_I32, PQ_REQUIRED);
  pq_put_binary(o, &last, 4, "schema", 6);
  pq_put_int(o, &last, 5, PQ_T_I32, f->n_cols);
  pq_put_stop(o);
  for (int i = 0; i < f->n_cols; i++) {
    const struct pq_target *t = &f->targets[i];
    int converted = converted_of(t->dtype);
    last = 0;
    pq_put_int(o, &last, 1, PQ_T_I32, t->type);
    pq_put_int(o, &last, 3, PQ_T_I32, PQ_OPTIONAL);
    pq_put_binary(o, &last, 4, t->name, strlen(t->name));
    if (converted != PQ_CONV_NONE) pq_put_int(o, &last, 6, PQ_T_I32, converted);
    put_logical(o, &last, t->dtype);
    pq_put_stop(o);
  }
}

static void put_statistics(struct pq_out *o, int *last, const struct pq_written *w) {
  int inner = 0;
  pq_put_header(o, last, 12, PQ_T_STRUCT);
  pq_put_int(o, &inner, 3, PQ_T_I64, w->null_count);
  if (w->has_min_max) {
    pq_put_binary(o, &inner, 5, w->max.data, w->max.size);
    pq_put_binary(o, &inner, 6, w->min.data, w->min.size);
    pq_put_bool(o, &inner, 7, true);
    pq_put_bool(o, &inner, 8, true);
  }
  pq_put_stop(o);
}

static void put_chunk(struct pq_out *o, const struct pq_footer *f, const struct pq_target *t,
                      const struct pq_written *w, int64_t offset) {
  bool dictionary = w->dictionary_size > 0;
  int last = 0, inner = 0;
  pq_put_int(o, &last, 2, PQ_T_I64, 0);
  pq_put_header(o, &last, 3, PQ_T_STRUCT);
  pq_put_int(o, &inner, 1, PQ_T_I32, t->type);
  pq_put_list(o, &inner, 2, PQ_T_I32, dictionary ? 3 : 2);
  pq_put_elem_int(o, PQ_PLAIN);
  pq_put_elem_int(o, PQ_RLE);
  if (dictionary) pq_put_elem_int(o, PQ_RLE_DICTIONARY);
  pq_put_list(o, &inner, 3, PQ_T_BINARY, 1);
  pq_put_elem_binary(o, t->name, strlen(t->name));
  pq_put_int(o, &inner, 4, PQ_T_I32, f->codec_id);
  pq_put_int(o, &inner, 5, PQ_T_I64, w->n_rows);
  pq_put_int(o, &inner, 6, PQ_T_I64, w->uncompressed);
  pq_put_int(o, &inner, 7, PQ_T_I64, (int64_t)w->out.size);
  pq_put_int(o, &inner, 9, PQ_T_I64, offset + w->dictionary_size);
  if (dictionary) pq_put_int(o, &inner, 11, PQ_T_I64, offset);
  put_statistics(o, &inner, w);
  pq_put_stop(o);
  pq_put_stop(o);
}

static void put_row_groups(struct pq_out *o, const struct pq_footer *f, const int64_t *rows_of) {
  for (int g = 0; g < f->n_row_groups; g++) {
    const struct pq_written *w = f->chunks + (int64_t)g * f->n_cols;
    const int64_t *offsets = f->offsets + (int64_t)g * f->n_cols;
    int64_t uncompressed = 0, stored = 0;
    int last = 0;
    pq_put_list(o, &last, 1, PQ_T_STRUCT, (size_t)f->n_cols);
    for (int i = 0; i < f->n_cols; i++) {
      put_chunk(o, f, &f->targets[i], &w[i], offsets[i]);
      uncompressed += w[i].uncompressed;
      stored += (int64_t)w[i].out.size;
    }
    pq_put_int(o, &last, 2, PQ_T_I64, uncompressed);
    pq_put_int(o, &last, 3, PQ_T_I64, rows_of[g]);
    if (f->n_cols) pq_put_int(o, &last, 5, PQ_T_I64, offsets[0]);
    pq_put_int(o, &last, 6, PQ_T_I64, stored);
    pq_put_int(o, &last, 7, PQ_T_I16, g < 32768 ? g : 0);
    pq_put_stop(o);
  }
}

static void put_key_value(struct pq_out *o, const char *key, const void *value, size_t n) {
  int last = 0;
  pq_put_binary(o, &last, 1, key, strlen(key));
  pq_put_binary(o, &last, 2, value, n);
  pq_put_stop(o);
}

void pq_put_footer(struct pq_out *o, const struct pq_footer *f, const int64_t *rows_of) {
  int last = 0;
  pq_put_int(o, &last, 1, PQ_T_I32, 2);
  pq_put_list(o, &last, 2, PQ_T_STRUCT, (size_t)f->n_cols + 1);
  put_schema(o, f);
  pq_put_int(o, &last, 3, PQ_T_I64, f->n_rows);
  pq_put_list(o, &last, 4, PQ_T_STRUCT, (size_t)f->n_row_groups);
  put_row_groups(o, f, rows_of);
  size_t pairs = (f->pandas_metadata != NULL) + (size_t)f->arrow_schema;
  if (pairs) pq_put_list(o, &last, 5, PQ_T_STRUCT, pairs);
  if (f->pandas_metadata) put_key_value(o, "pandas", f->pandas_metadata, strlen(f->pandas_metadata));
  if (f->arrow_schema) {
    struct pq_out text = {0};
    pq_arrow_schema_write(&text, f->frame, f->names, f->pandas_metadata);
    put_key_value(o, "ARROW:schema", text.data, text.size);
    o->failed |= text.failed;
    pq_out_free(&text);
  }
  const char *by = f->created_by ? f->created_by : "terality version 0.1.0";
  pq_put_binary(o, &last, 6, by, strlen(by));
  pq_put_list(o, &last, 7, PQ_T_STRUCT, (size_t)f->n_cols);
  for (int i = 0; i < f->n_cols; i++) {
    int inner = 0;
    pq_put_header(o, &inner, 1, PQ_T_STRUCT); /* TypeDefinedOrder */
    pq_put_stop(o);
    pq_put_stop(o);
  }
  pq_put_stop(o);
}
