/* Least and largest of dense values. Holes: NAME, T, IS_FLOAT. */
static bool NAME(const void *restrict values, int64_t n, T *low, T *high) {
  const T *restrict v = values;
  if (n == 0) return false;
  T lo = v[0], hi = v[0];
  for (int64_t i = 1; i < n; i++) {
    lo = v[i] < lo ? v[i] : lo;
    hi = v[i] > hi ? v[i] : hi;
  }
#if IS_FLOAT
  /* Readers may compare zeros by their bits: -0 is the lower one. */
  if (lo == 0) lo = (T)-0.0;
  if (hi == 0) hi = (T)0.0;
#endif
  *low = lo;
  *high = hi;
  return true;
}
#undef NAME
#undef T
#undef IS_FLOAT
