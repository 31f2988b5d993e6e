/* Blocks: the engine's own format of frames, for what tasks exchange, for results and for uploaded frames.
 *
 *   object   "TRBLOCK1", segments, index, tail
 *   segment  frames, one after another; what one reader wants, so that one ranged read gets it
 *   frame    head (magic, sizes, XXH3 of all that follows), column descriptions, buffers
 *   index    offset, bytes and rows of each segment
 *   tail     offset and bytes of the index, XXH3 of the index, "TRBLOCK1"
 *
 * A frame is written column by column in the layout it has in memory; texts as sizes and bytes; dictionaries with their
 * codes, so that encodings survive. Each buffer is zstd or as it is, whichever pays. Columns that are not there (NULL
 * in a frame) are not there afterwards. All numbers are little endian.
 *
 * Reading trusts nothing: what is cut, changed or lies gives TR_EXC_VALUE naming the object and what is wrong.
 */
#pragma once
#include "data/col/col.h"

struct tr_block_segment {
  int64_t offset, bytes, rows;
};

struct tr_block_writer {
  uint8_t *bytes; /* tr_mem; `size` of `room` used */
  size_t size, room;
  struct tr_block_segment *segments;
  int n_segments, room_segments;
  bool compress;
};

TR_MUST_USE enum tr_status tr_block_begin(struct tr_block_writer *w, bool compress, struct tr_error *err);
/* Begins the next segment; every object has at least one. A segment may stay empty. */
TR_MUST_USE enum tr_status tr_block_segment(struct tr_block_writer *w, struct tr_error *err);
/* Adds rows to the current segment (borrows f); long frames are cut. */
TR_MUST_USE enum tr_status tr_block_add(struct tr_ctx *ctx, struct tr_block_writer *w, const struct tr_frame *f,
                                        struct tr_error *err);
/* Adds index and tail; then w->bytes[0 .. size) is the object. */
TR_MUST_USE enum tr_status tr_block_finish(struct tr_block_writer *w, struct tr_error *err);
void tr_block_drop(struct tr_block_writer *w);

/* Bytes at the end of an object that hold the tail. */
#define TR_BLOCK_TAIL_BYTES 32
/* Where the index lies: from the last TR_BLOCK_TAIL_BYTES bytes of an object of object_bytes. */
TR_MUST_USE enum tr_status tr_block_tail(const uint8_t *tail, int64_t object_bytes, const char *name,
                                         int64_t *index_offset, int64_t *index_bytes, struct tr_error *err);
/* Segments of the object (free with free()), from its index and tail. */
TR_MUST_USE enum tr_status tr_block_index(const uint8_t *index, int64_t index_bytes, const uint8_t *tail,
                                          const char *name, struct tr_block_segment **out, int *n,
                                          struct tr_error *err);

/* Frames of a segment, one after another. */
struct tr_block_cursor {
  const uint8_t *at;
  int64_t left;
  const char *name; /* of the object, for errors */
};
/* The next frame; columns c with need[c] false are not decoded (need NULL: all). *out NULL at the end. A frame of
 * another number of columns than n_cols is an error, unless n_cols is -1. */
TR_MUST_USE enum tr_status tr_block_next(struct tr_ctx *ctx, struct tr_block_cursor *cursor, const bool *need,
                                         int n_cols, struct tr_frame **out, struct tr_error *err);
