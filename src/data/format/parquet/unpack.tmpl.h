/* Unpacks groups of 8 values of W bits each. Holes: W (0..32). Reads up to 7 bytes past the groups. */
#define PQ_PASTE2(a, b) a##b
#define PQ_PASTE(a, b)  PQ_PASTE2(a, b)
static void PQ_PASTE(unpack_, W)(const uint8_t *restrict p, int64_t groups, uint32_t *restrict out) {
  const uint64_t mask = (1ull << W) - 1;
  for (int64_t g = 0; g < groups; g++, p += W, out += 8) {
#if W <= 8
    uint64_t v;
    memcpy(&v, p, 8);
    for (int i = 0; i < 8; i++) out[i] = (uint32_t)(v >> (i * W) & mask);
#elif W <= 15 || W == 16
    uint64_t v, w;
    memcpy(&v, p, 8);
    memcpy(&w, p + (4 * W >> 3), 8);
    for (int i = 0; i < 4; i++) out[i] = (uint32_t)(v >> (i * W) & mask);
    for (int i = 0; i < 4; i++) out[i + 4] = (uint32_t)(w >> (i * W + (4 * W & 7)) & mask);
#else
    for (int i = 0; i < 8; i++) {
      uint64_t v;
      memcpy(&v, p + (i * W >> 3), 8);
      out[i] = (uint32_t)(v >> (i * W & 7) & mask);
    }
#endif
  }
}
#undef PQ_PASTE
#undef PQ_PASTE2
#undef W
