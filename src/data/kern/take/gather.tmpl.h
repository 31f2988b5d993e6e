/* Gather and missing-fill of one block of rows, for one width. Holes: T (a type of that width), NAME(x). */

/* out[i] = src[rows[i]]; rows[0 .. known) may be read, which lies `known - n` entries past the block. */
static void NAME(gather)(const void *src, const uint32_t *rows, int64_t n, int64_t known, void *out) {
  const T *s = src;
  T *o = out;
  int64_t i = 0, hot = known - TR_GATHER_AHEAD < n ? known - TR_GATHER_AHEAD : n;
  for (; i < hot; i++) {
    __builtin_prefetch(s + rows[i + TR_GATHER_AHEAD]);
    o[i] = s[rows[i]];
  }
  for (; i < n; i++) o[i] = s[rows[i]];
}

/* The same without asking ahead: small or nearly sequential sources. */
static void NAME(gather_near)(const void *src, const uint32_t *rows, int64_t n, void *out) {
  const T *s = src;
  T *o = out;
  for (int64_t i = 0; i < n; i++) o[i] = s[rows[i]];
}

static void NAME(fill)(const uint32_t *rows, int64_t n, const void *null, void *out) {
  T *o = out;
  T none;
  memcpy(&none, null, sizeof none);
  for (int64_t i = 0; i < n; i++) o[i] = rows[i] == TR_NO_ROW ? none : o[i];
}
