/* Snappy decompression (format: github.com/google/snappy, format_description.txt; no framing, as Parquet has it).
 *
 * Our own because the C library copies each element, of texts often a few bytes, by a call of memmove, which was a
 * sixth of reading a column of texts. Here whole 16-byte words are copied where there is room for them and what is too
 * much is written over by the next element; within 16 bytes of either end copies are exact. Compression stays the
 * library's.
 */
#include "data/format/parquet/decode_int.h"
#include <string.h>

enum { WORD = 16 };

/* The length that the block says it has; NULL when it is no number of 32 bits. */
static const uint8_t *length_of(const uint8_t *in, const uint8_t *end, uint64_t *length) {
  *length = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    if (in == end) return NULL;
    uint8_t b = *in++;
    *length |= (uint64_t)(b & 127) << shift;
    if (b < 128) return *length <= UINT32_MAX ? in : NULL;
  }
  return NULL;
}

/* `length` bytes from `offset` bytes before, which may be fewer: then they repeat. */
static inline void repeat(uint8_t *out, size_t offset, size_t length, const uint8_t *out_end) {
  const uint8_t *from = out - offset;
  if (offset >= WORD && (size_t)(out_end - out) >= length + WORD) {
    for (size_t i = 0; i < length; i += WORD) memcpy(out + i, from + i, WORD);
    return;
  }
  if (offset >= WORD / 2 && (size_t)(out_end - out) >= length + WORD / 2) {
    for (size_t i = 0; i < length; i += WORD / 2) memcpy(out + i, from + i, WORD / 2);
    return;
  }
  /* Twice as much each time: what lies between `from` and the end is whole periods. */
  while (length > offset) {
    memcpy(out, from, offset);
    out += offset;
    length -= offset;
    offset *= 2;
  }
  memcpy(out, from, length);
}

/* Any literal, exactly: its length is in the tag or, above 60, in so many bytes more behind it. Gives where it ends. */
static const uint8_t *long_literal(const uint8_t *in, const uint8_t *end, size_t length, uint8_t **out,
                                   const uint8_t *out_end) {
  if (length > 60) {
    size_t bytes = length - 60;
    uint32_t little = 0;
    if ((size_t)(end - in) < bytes) return NULL;
    memcpy(&little, in, bytes);
    length = (size_t)little + 1;
    in += bytes;
  }
  if ((size_t)(end - in) < length || (size_t)(out_end - *out) < length) return NULL;
  memcpy(*out, in, length);
  *out += length;
  return in + length;
}

bool pq_unsnap(const uint8_t *in, size_t n, uint8_t *out, size_t out_n) {
  const uint8_t *end = in + n, *const begin = out, *const out_end = out + out_n;
  uint64_t said;
  in = length_of(in, end, &said);
  if (!in || said != out_n) return false;
  while (in < end) {
    uint32_t tag = *in++, kind = tag & 3, offset = 0;
    size_t length = (tag >> 2) + 1;
    if (kind == 0) {
      if (length <= WORD && end - in >= WORD && out_end - out >= WORD) {
        memcpy(out, in, WORD);
        out += length;
        in += length;
      } else if (!(in = long_literal(in, end, length, &out, out_end))) {
        return false;
      }
      continue;
    }
    size_t bytes = kind == 3 ? 4 : kind; /* of the offset */
    if ((size_t)(end - in) < bytes) return false;
    if (kind == 1) {
      length = (tag >> 2 & 7) + 4;
      offset = (tag >> 5) << 8 | *in;
    } else if (kind == 2) {
      offset = in[0] | (uint32_t)in[1] << 8;
    } else {
      memcpy(&offset, in, 4);
    }
    in += bytes;
    if (offset == 0 || offset > (size_t)(out - begin) || length > (size_t)(out_end - out)) return false;
    repeat(out, offset, length, out_end);
    out += length;
  }
  return out == out_end;
}
