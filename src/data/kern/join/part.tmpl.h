/* One form of key. Holes: T (type in memory), RAW(v) (uint64, equal for equal keys), NAME(x). */

static void NAME(scan)(const struct tr_part *p, int64_t begin, int64_t end, uint64_t *low, uint64_t *high) {
  const T *s = p->src;
  uint64_t lo = *low, hi = *high;
  for (int64_t i = begin; i < end; i++) {
    uint64_t v = RAW(s[i]);
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
  }
  *low = lo;
  *high = hi;
}

/* out = out * (limit + 1) + min(value - low, limit); wraps to out = value - low where limit is UINT64_MAX. */
static void NAME(encode)(const struct tr_part *p, int64_t begin, int64_t n, uint64_t low, uint64_t limit, bool first,
                         uint64_t *out) {
  const T *s = (const T *)p->src + begin;
  if (first) {
    for (int64_t i = 0; i < n; i++) {
      uint64_t v = RAW(s[i]) - low;
      out[i] = v < limit ? v : limit;
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      uint64_t v = RAW(s[i]) - low;
      out[i] = out[i] * (limit + 1) + (v < limit ? v : limit);
    }
  }
}
