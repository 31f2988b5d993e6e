/* A frame of a block from any bytes; the checksum is made right, so that what it protects is reached. */
#include "base/mem.h"
#include "data/format/block/block_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_block: %s\n", what);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct tr_ctx ctx;
  struct tr_error err = {0};
  struct tr_frame *f;
  struct tr_frame_head head;
  if (size < sizeof head) return 0;
  tr_ctx_init(&ctx);
  ctx.threads = 1;
  tr_mem_set_budget(256 << 20);
  size_t used = tr_mem_used();
  uint8_t *copy = malloc(size);
  memcpy(copy, data, size);
  memcpy(&head, data, sizeof head);
  head.total = (int64_t)size;
  head.hash = XXH3_64bits_withSeed(copy + sizeof head, size - sizeof head, tr_frame_seed(&head));
  memcpy(copy, &head, sizeof head);
  struct tr_block_cursor c = {copy, (int64_t)size, "fuzz"};
  enum tr_status st = tr_block_next(&ctx, &c, NULL, -1, &f, &err);
  if (st == TR_OK) tr_frame_unref(f);
  else require(err.exc == TR_EXC_VALUE || err.exc == TR_EXC_MEMORY, "an error of another kind");
  free(copy);
  require(tr_mem_used() == used, "memory is lost");
  return 0;
}
