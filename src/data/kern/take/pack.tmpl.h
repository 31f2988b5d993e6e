/* Packing a column of W into rows as P (no wider), and back. Holes: W, P (unsigned types), NAME(x).
 * Frame of reference: packed = value - base in W's modular arithmetic. */

/* Gives the OR of all bits that did not fit. */
static uint64_t NAME(pack)(const void *src, int64_t n, uint64_t base, uint8_t *rows, int64_t stride) {
  const W *s = src;
  W b = (W)base, lost = 0;
  for (int64_t i = 0; i < n; i++) {
    W v = (W)(s[i] - b);
    P p = (P)v;
    lost |= (W)(v ^ p);
    memcpy(rows + i * stride, &p, sizeof p);
  }
  return lost;
}

static void NAME(unpack)(const uint8_t *rows, int64_t stride, int64_t n, uint64_t base, void *out) {
  W *o = out;
  W b = (W)base;
  for (int64_t i = 0; i < n; i++) {
    P p;
    memcpy(&p, rows + i * stride, sizeof p);
    o[i] = (W)(p + b);
  }
}
