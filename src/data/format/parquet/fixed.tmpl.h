/* PLAIN values of one stored type to one array type. Holes: NAME, SRC (stored), MID (logical integer type), DST. */
static void NAME(const uint8_t *restrict src, int64_t n, void *restrict dst) {
  DST *restrict out = dst;
  for (int64_t i = 0; i < n; i++) {
    SRC v;
    memcpy(&v, src + i * (int64_t)sizeof v, sizeof v);
    out[i] = (DST)(MID)v;
  }
}
#undef NAME
#undef SRC
#undef MID
#undef DST
