/* Page compression: snappy, gzip (members may be concatenated) and zstd. Sizes are exact or the page is corrupt. */
#include "data/format/parquet/decode_int.h"
#include <libdeflate.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

void pq_codec_free(struct pq_codec *c) {
  libdeflate_free_decompressor(c->inflate);
  libdeflate_free_compressor(c->deflate);
  ZSTD_freeDCtx(c->unzstd);
  ZSTD_freeCCtx(c->zstd);
  memset(c, 0, sizeof *c);
}

static bool gunzip(struct pq_codec *c, const uint8_t *in, size_t n, uint8_t *out, size_t out_n) {
  if (!c->inflate) c->inflate = libdeflate_alloc_decompressor();
  if (!c->inflate) return false;
  do {
    size_t used = 0, made = 0;
    if (libdeflate_gzip_decompress_ex(c->inflate, in, n, out, out_n, &used, &made) != LIBDEFLATE_SUCCESS || used == 0)
      return false;
    in += used;
    n -= used;
    out += made;
    out_n -= made;
  } while (n > 0);
  return out_n == 0;
}

bool pq_decompress(struct pq_codec *c, int codec, const uint8_t *in, size_t n, uint8_t *out, size_t out_n) {
  switch (codec) {
  case PQ_C_NONE:
    if (n != out_n) return false;
    memcpy(out, in, n);
    return true;
  case PQ_C_SNAPPY: return pq_unsnap(in, n, out, out_n);
  case PQ_C_GZIP: return gunzip(c, in, n, out, out_n);
  case PQ_C_ZSTD:
    if (!c->unzstd) c->unzstd = ZSTD_createDCtx();
    return c->unzstd && ZSTD_decompressDCtx(c->unzstd, out, out_n, in, n) == out_n;
  default: return false;
  }
}

size_t pq_compress_bound(int codec, size_t n) {
  switch (codec) {
  case PQ_C_SNAPPY: return snappy_max_compressed_length(n);
  case PQ_C_GZIP: return libdeflate_gzip_compress_bound(NULL, n);
  case PQ_C_ZSTD: return ZSTD_compressBound(n);
  default: return n;
  }
}

size_t pq_compress(struct pq_codec *c, int codec, int level, const uint8_t *in, size_t n, uint8_t *out, size_t room) {
  size_t made = room;
  switch (codec) {
  case PQ_C_NONE: memcpy(out, in, n); return n;
  case PQ_C_SNAPPY: return snappy_compress((const char *)in, n, (char *)out, &made) == SNAPPY_OK ? made : 0;
  case PQ_C_GZIP:
    if (!c->deflate) c->deflate = libdeflate_alloc_compressor(level > 0 && level <= 12 ? level : 6);
    return c->deflate ? libdeflate_gzip_compress(c->deflate, in, n, out, room) : 0;
  case PQ_C_ZSTD:
    if (!c->zstd) c->zstd = ZSTD_createCCtx();
    made = c->zstd ? ZSTD_compressCCtx(c->zstd, out, room, in, n, level ? level : 1) : 0;
    return ZSTD_isError(made) ? 0 : made;
  default: return 0;
  }
}
