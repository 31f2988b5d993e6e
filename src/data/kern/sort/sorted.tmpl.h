/* Is one stretch ascending? Holes: T, GONE(v), NAME(x). */
static int NAME(ascends)(const struct tr_array *a, int64_t begin, int64_t end) {
  const T *v = tr_array_data(a);
  int down = 0, equal = 0;
  for (int64_t i = begin; i < end; i++) down |= GONE(v[i]);
  for (int64_t i = begin > 0 ? begin : 1; i < end; i++) {
    down |= v[i - 1] > v[i];
    equal |= v[i - 1] == v[i];
  }
  return down ? 0 : equal ? 1 : 2;
}
