/* Membership of one number type. Holes: T, W (T widened to 64 bits), NAME, IS_NULL(x), IS_FLOAT (defined for floats).
 */
static void NAME(struct tr_call *c) {
  const struct set *s = c->state;
  const T *a = c->in[0].p;
  uint8_t *out = c->out;
  for (int64_t i = 0; i < c->n; i++) {
    const T x = a[i];
    if (IS_NULL(x)) out[i] = s->has_null;
#ifdef IS_FLOAT
    else out[i] = has_number(s, double_key((double)x));
#else
    else out[i] = has_number(s, s->as_double ? double_key((double)x) : (uint64_t)(W)x);
#endif
  }
}
#undef T
#undef W
#undef NAME
#undef IS_NULL
#undef IS_FLOAT
