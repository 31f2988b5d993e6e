/* The plan decoder on any bytes, over sources as the text itself describes them. What it takes is written and read
 * again: the second text and the second plan must be those of the first. */
#include "../../unit/plan_codec/plan_sources.h"
#include "base/mem.h"
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_plan: %s\n", what);
  abort();
}

static void same_print(const struct tr_rel *a, const struct tr_rel *b) {
  static char one[20000], two[20000];
  require(tr_rel_print(a, NULL, one, sizeof one) == tr_rel_print(b, NULL, two, sizeof two),
          "prints of different length");
  require(strcmp(one, two) == 0, "prints differ");
}

static void check_again(const struct tr_rel *r) {
  char *text, *again;
  struct tr_rel **sources, **same, *copy;
  struct tr_error err;
  int n, n_same;
  require(tr_plan_encode(r, &text, &sources, &n, &err) == TR_OK, "what was decoded is not encoded");
  enum tr_status st = tr_plan_decode(text, (int64_t)strlen(text), NULL, sources, n, &copy, &err);
  if (st != TR_OK) fprintf(stderr, "%s\n%s\n", text, err.text);
  require(st == TR_OK, "what was encoded is not decoded");
  require(tr_plan_encode(copy, &again, &same, &n_same, &err) == TR_OK, "the copy is not encoded");
  require(n == n_same && strcmp(text, again) == 0, "texts differ");
  for (int i = 0; i < n; i++) require(sources[i] == same[i], "sources differ");
  same_print(r, copy);
  tr_rel_unref(copy);
  tr_plan_sources_free(sources, n);
  tr_plan_sources_free(same, n_same);
  free(text);
  free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct tr_plan_limits limits = {
      .bytes = 1 << 16, .nodes = 60, .exprs = 200, .depth = 12, .columns = 200, .list = 300, .size = 3000};
  struct tr_rel *sources[PLAN_MAX_SOURCES], *r;
  struct tr_error err = {0};
  size_t used = tr_mem_used();
  int n = plan_sources((const char *)data, size, sources);
  enum tr_status st = tr_plan_decode((const char *)data, (int64_t)size, &limits, sources, n, &r, &err);
  require((st == TR_OK) == (r != NULL), "status and result disagree");
  require(st == TR_OK || (st == TR_ERROR && err.exc == TR_EXC_VALUE && strncmp(err.text, "plan: ", 6) == 0),
          "an error of another kind");
  if (r) check_again(r);
  tr_rel_unref(r);
  for (int i = 0; i < n; i++) tr_rel_unref(sources[i]);
  require(tr_mem_used() == used, "memory is lost");
  return 0;
}
