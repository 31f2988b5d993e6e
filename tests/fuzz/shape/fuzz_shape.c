/* Any bytes as a plan: sealed and unsealed again where they are one, and decoded to a shape. */
#include "../../unit/plan_seal/toy_crypto.h"
#include "base/mem.h"
#include "meta/plan/shape.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_shape: %s\n", what);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct tr_plan_limits limits = {
      .bytes = 1 << 18, .nodes = 60, .exprs = 200, .depth = 12, .columns = 200, .list = 300, .size = 3000};
  struct tr_error err = {0};
  struct tr_shape shape;
  size_t used = tr_mem_used();
  char *sealed, *back, *text = malloc(size + 1); /* exact size, so that reading past the end is seen */
  memcpy(text, data, size);
  if (tr_plan_seal(text, size, &toy_hooks, &sealed, &err) == TR_OK) {
    if (tr_plan_unseal(sealed, strlen(sealed), &toy_hooks, &back, &err) == TR_OK) free(back);
    if (tr_shape_decode(sealed, strlen(sealed), &limits, &shape, &err) == TR_OK) tr_shape_drop(&shape);
    else require(strncmp(err.text, "plan: ", 6) == 0, "an error of another kind");
    free(sealed);
  }
  if (tr_plan_unseal(text, size, &toy_hooks, &back, &err) == TR_OK) free(back);
  if (tr_shape_decode(text, size, &limits, &shape, &err) == TR_OK) tr_shape_drop(&shape);
  free(text);
  require(tr_mem_used() == used, "memory is lost");
  return 0;
}
