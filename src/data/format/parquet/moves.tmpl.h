/* Moves of values of one width. Holes: T, GATHER, SPREAD (names). */
static void GATHER(const uint32_t *restrict ids, int64_t n, const T *restrict dict, T *restrict out) {
  for (int64_t i = 0; i < n; i++) out[i] = dict[ids[i]];
}

/* From the back; stops where the rest is dense already. */
static void SPREAD(T *out, const uint8_t *valid, int64_t n, int64_t n_valid, const void *null) {
  T none;
  memcpy(&none, null, sizeof none);
  for (int64_t i = n - 1, j = n_valid; i >= 0 && j <= i; i--) {
    j -= valid[i];
    out[i] = valid[i] ? out[j] : none;
  }
}
#undef T
#undef GATHER
#undef SPREAD
