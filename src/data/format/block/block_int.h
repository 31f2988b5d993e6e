/* Layout of blocks: see block.h. */
#pragma once
#include "data/format/block/block.h"

#define TR_BLOCK_MAGIC "TRBLOCK1"
enum { TR_BLOCK_MAGIC_BYTES = 8, TR_FRAME_MAGIC = 0x52465254 /* "TRFR" */ };

/* Head of a frame; `total` counts from here, `hash` is of all behind it, seeded with the numbers in it. */
struct tr_frame_head {
  uint32_t magic, n_cols;
  int64_t n_rows, total;
  uint64_t hash;
};
_Static_assert(sizeof(struct tr_frame_head) == 32, "written as it is");
static inline uint64_t tr_frame_seed(const struct tr_frame_head *h) {
  return (uint64_t)h->n_rows * 0x9e3779b97f4a7c15u ^ (uint64_t)h->total << 20 ^ h->n_cols;
}

enum tr_column_form { TR_COLUMN_ABSENT, TR_COLUMN_FIXED, TR_COLUMN_TEXT, TR_COLUMN_DICT };

/* Description of a column; a DICT's is followed by that of its dictionary. Buffers follow all descriptions, in their
 * order: FIXED values; TEXT sizes (int32, -1 = missing), bytes; DICT codes, then the dictionary's buffers. */
struct tr_column_head {
  uint8_t form, kind, unit, ordered, sorted, pad[3];
  int64_t length;
};
_Static_assert(sizeof(struct tr_column_head) == 16, "written as it is");

/* Before each buffer. stored == raw: as it is; less: zstd. */
struct tr_buffer_head {
  int64_t raw, stored;
};

struct tr_block_end {
  int64_t index_offset, index_bytes;
  uint64_t hash;
  char magic[TR_BLOCK_MAGIC_BYTES];
};
_Static_assert(sizeof(struct tr_block_end) == TR_BLOCK_TAIL_BYTES, "written as it is");
