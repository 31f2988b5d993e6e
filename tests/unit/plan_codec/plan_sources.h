/* Sources as a plan's text describes them, so that it can be decoded without the data it was made over. For tests and
 * the fuzz target. */
#pragma once
#include "meta/plan/codec.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_MAX_SOURCES 8

static inline void plan_release_nothing(void *source) { (void)source; }

static inline struct tr_rel *plan_source(const json_t *o) {
  struct tr_rel_col cols[64] = {0};
  const json_t *list = json_object_get(o, "cols"), *rows = json_object_get(o, "rows");
  const char *kind = json_string_value(json_object_get(o, "kind"));
  int n = (int)json_array_size(list);
  if (n > 64) return NULL;
  for (int i = 0; i < n; i++) {
    const json_t *c = json_array_get(list, (size_t)i);
    const char *name = json_string_value(json_object_get(c, "dtype"));
    if (!name) return NULL;
    if (strcmp(name, "category[ordered]") == 0) cols[i].dtype = (struct tr_dtype){.kind = TR_CATEGORY, .ordered = 1};
    else if (!tr_dtype_parse(name, &cols[i].dtype)) return NULL;
    cols[i].maybe_null = json_is_true(json_object_get(c, "null"));
    cols[i].unsettled = json_is_true(json_object_get(c, "unsettled"));
  }
  struct tr_rel *r;
  enum tr_rel_kind k = kind && strcmp(kind, "PARQUET") == 0 ? TR_REL_PARQUET : TR_REL_FRAME;
  int64_t n_rows = json_is_integer(rows) ? json_integer_value(rows) : -1;
  return tr_rel_source(k, cols, n, n_rows, NULL, plan_release_nothing, "given", &r, NULL) == TR_OK ? r : NULL;
}

/* Gives at most PLAN_MAX_SOURCES sources; 0 when the text describes none. */
static inline int plan_sources(const char *text, size_t len, struct tr_rel **out) {
  json_t *root = json_loadb(text, len, 0, NULL);
  const json_t *list = json_object_get(root, "sources");
  int n = 0;
  for (size_t i = 0; i < json_array_size(list) && n < PLAN_MAX_SOURCES; i++, n++) {
    out[n] = plan_source(json_array_get(list, i));
    if (!out[n]) break;
  }
  json_decref(root);
  return n;
}
