/* Between codec_encode.c and codec_decode*.c: names of enumerators, defaults, which node takes what, and text forms of
 * values (codec_text.c). */
#pragma once
#include "base/arena.h"
#include "meta/plan/codec.h"
#include <jansson.h>

/* A function of AGGREGATE and WINDOW items: its name in plans and how many expressions it reads. */
struct tr_codec_fn {
  const char *name;
  int n_inputs;
};
extern const struct tr_codec_fn tr_codec_aggs[TR_PLAN_N_AGGS], tr_codec_windows[TR_PLAN_N_WINDOWS];

enum { TR_CODEC_N_ITEM_KINDS = 3, TR_CODEC_N_HOWS = 7, TR_CODEC_N_KEEPS = 3, TR_CODEC_N_NA_OPTIONS = 3 };
extern const char *const tr_codec_item_kinds[TR_CODEC_N_ITEM_KINDS],
    *const tr_codec_hows[TR_CODEC_N_HOWS], *const tr_codec_keeps[TR_CODEC_N_KEEPS],
                                               *const tr_codec_na_options[TR_CODEC_N_NA_OPTIONS];

/* Options, in their order in the text. A node writes those its kind reads and that differ from tr_codec_defaults. */
enum tr_codec_option {
  TR_CODEC_HOW,
  TR_CODEC_SORT,
  TR_CODEC_DROPNA,
  TR_CODEC_NA_FIRST,
  TR_CODEC_TAIL,
  TR_CODEC_KEEP,
  TR_CODEC_WHOLE,
  TR_CODEC_START,
  TR_CODEC_STOP,
  TR_CODEC_STEP,
  TR_CODEC_N_OPTIONS
};
extern const char *const tr_codec_options[TR_CODEC_N_OPTIONS];
extern const struct tr_rel_options tr_codec_defaults;

static inline bool tr_codec_has_option(enum tr_rel_kind kind, enum tr_codec_option option) {
  static const unsigned has[TR_N_RELS] = {
      [TR_REL_AGGREGATE] = 1u << TR_CODEC_SORT | 1u << TR_CODEC_DROPNA | 1u << TR_CODEC_WHOLE,
      [TR_REL_WINDOW] = 1u << TR_CODEC_SORT | 1u << TR_CODEC_DROPNA | 1u << TR_CODEC_WHOLE,
      [TR_REL_GROUP_HEAD] =
          1u << TR_CODEC_DROPNA | 1u << TR_CODEC_NA_FIRST | 1u << TR_CODEC_TAIL | 1u << TR_CODEC_START,
      [TR_REL_JOIN] = 1u << TR_CODEC_HOW | 1u << TR_CODEC_SORT,
      [TR_REL_SORT] = 1u << TR_CODEC_NA_FIRST | 1u << TR_CODEC_STOP,
      [TR_REL_SLICE] = 1u << TR_CODEC_START | 1u << TR_CODEC_STOP | 1u << TR_CODEC_STEP,
      [TR_REL_DISTINCT] = 1u << TR_CODEC_KEEP};
  return has[kind] >> option & 1;
}
/* Pointers into the struct: the flag (or NULL), the number (or NULL). */
bool *tr_codec_flag(struct tr_rel_options *o, enum tr_codec_option option);
int64_t *tr_codec_number(struct tr_rel_options *o, enum tr_codec_option option);

static inline bool tr_codec_is_source(int kind) { return kind == TR_REL_FRAME || kind == TR_REL_PARQUET; }

/* tr_dtype_name's names, and "category[ordered]". */
const char *tr_codec_dtype_name(struct tr_dtype t);
bool tr_codec_dtype_parse(const char *name, struct tr_dtype *out);

/* Hexadecimal floats, every bit: "0x1.8p+1", "-0x0p+0", "inf", "nan", "nan:fff8000000000000" for any but the usual NaN.
 * Parsing takes exactly what printing gives. */
#define TR_CODEC_FLOAT_MAX 32
void tr_codec_float_print(double v, char out[TR_CODEC_FLOAT_MAX]);
bool tr_codec_float_parse(const char *s, double *out);
/* Decimal integers of a kind, in its range, spelt as printf does. */
bool tr_codec_int_parse(const char *s, enum tr_kind kind, struct tr_scalar *out);

/* Whether JSON can hold these bytes as a string that jansson takes: UTF-8 without NUL. */
bool tr_codec_is_json_text(const char *s, int64_t n);
/* Writes 4 * ((n + 2) / 3) characters. */
void tr_codec_base64_encode(const char *s, int64_t n, char *out);
/* Strict: padded, no other characters. out has room for n / 4 * 3 bytes. Gives the bytes written, or -1. */
int64_t tr_codec_base64_decode(const char *s, int64_t n, char *out);

/* A plan being decoded (codec_decode.c, codec_decode_expr.c). `path` says where we are, for errors. */
struct tr_decoder {
  struct tr_plan_limits limits;
  struct tr_rel *const *sources;
  int n_sources, n_exprs, n_nodes;
  struct tr_expr **exprs;
  int64_t *expr_size; /* operations, shared ones counted at every use */
  int32_t *expr_depth;
  bool *expr_used;
  struct tr_rel **nodes;
  int32_t *node_depth;
  bool *node_used, *source_used;
  int64_t size;          /* spent of limits.size */
  struct tr_arena arena; /* short-lived lists and texts */
  struct tr_error *err;
  char path[120];
};

TR_MUST_USE enum tr_status tr_decode_fault(struct tr_decoder *d, const char *text, ...) TR_PRINTF(2, 3);
/* Memory that lives until decoding ends. */
TR_MUST_USE enum tr_status tr_decode_alloc(struct tr_decoder *d, size_t bytes, void *out);
/* Fails unless v is an object whose keys are all in `keys` (NULL-terminated). */
TR_MUST_USE enum tr_status tr_decode_object(struct tr_decoder *d, const json_t *v, const char *const *keys);
/* Field `key` of object o; missing gives the value that *out already has (or *out NULL for strings and arrays). Ranges
 * are inclusive. */
TR_MUST_USE enum tr_status tr_decode_int(struct tr_decoder *d, const json_t *o, const char *key, int64_t low,
                                         int64_t high, int64_t *out);
TR_MUST_USE enum tr_status tr_decode_bool(struct tr_decoder *d, const json_t *o, const char *key, bool *out);
TR_MUST_USE enum tr_status tr_decode_string(struct tr_decoder *d, const json_t *o, const char *key, const char **out);
TR_MUST_USE enum tr_status tr_decode_array(struct tr_decoder *d, const json_t *o, const char *key, int64_t most,
                                           const json_t **out, int *n);
/* A dtype by name; a missing one is a fault. */
TR_MUST_USE enum tr_status tr_decode_dtype(struct tr_decoder *d, const json_t *o, const char *key,
                                           struct tr_dtype *out);
/* Turns "not native" and refusals of a constructor into faults that name the place; keeps what is no fault of the text.
 */
TR_MUST_USE enum tr_status tr_decode_made(struct tr_decoder *d, enum tr_status st);
/* Makes d->exprs. */
TR_MUST_USE enum tr_status tr_decode_exprs(struct tr_decoder *d, const json_t *list);
