/* One form of key. Holes: T (type in memory), RAW(v) (order-preserving uint64 of a present value), GONE(v) (is
 * missing), NAME(x). */

static void NAME(scan)(const void *src, int64_t begin, int64_t end, struct tr_piece_range *r) {
  const T *s = src;
  uint64_t low = r->low, high = r->high, gone = 0;
  for (int64_t i = begin; i < end; i++) {
    uint64_t v = RAW(s[i]), g = GONE(s[i]);
    uint64_t lo = g ? UINT64_MAX : v, hi = g ? 0 : v;
    low = lo < low ? lo : low;
    high = hi > high ? hi : high;
    gone |= g;
  }
  r->low = low;
  r->high = high;
  r->missing |= gone != 0;
}

static void NAME(encode)(const struct tr_piece *p, const uint32_t *rows, int64_t begin, int64_t n, uint64_t *out) {
  const T *s = p->src;
  const uint64_t missing = p->missing, flip = p->descending ? UINT64_MAX : 0;
  /* base - v == ~(v - base) + 1, so that one loop serves both directions */
  const uint64_t base = p->base, lift = p->lift + (p->descending ? 1 : 0);
  if (rows) {
    for (int64_t i = 0; i < n; i++) {
      T v = s[rows[i]];
      out[i] = GONE(v) ? missing : ((RAW(v) - base) ^ flip) + lift;
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      T v = s[begin + i];
      out[i] = GONE(v) ? missing : ((RAW(v) - base) ^ flip) + lift;
    }
  }
}
