/* Float to integer as pandas' astype: NaN and inf are an error, so is a negative for an unsigned target; a value out
 * of range is left to pandas (C leaves it open). Holes: TX, R, NAME, LOW and HIGH (exclusive bounds), IS_UNSIGNED. */
static void NAME(struct tr_call *c) {
  const TX *restrict a = c->in[0].p;
  R *restrict out = c->out;
  const int64_t n = c->n;
  int64_t inside = 0, negative = 0, wild = 0;
  for (int64_t i = 0; i < n; i++) {
    const TX x = a[i];
    const bool ok = (x > (TX)(LOW)) & (x < (TX)(HIGH));
    inside += ok;
    out[i] = (R)(ok ? x : (TX)0);
  }
  if (inside < n || IS_UNSIGNED) {
    for (int64_t i = 0; i < n; i++) {
      wild += !(a[i] - a[i] == 0);
      negative += a[i] < 0;
    }
  }
  if (wild) c->saw |= TR_SAW_NONFINITE;
  else if (IS_UNSIGNED && negative) c->saw |= TR_SAW_NEGATIVE;
  else if (inside < n) c->saw |= TR_SAW_REFUSE;
}
#undef NAME
#undef R
#undef LOW
#undef HIGH
#undef IS_UNSIGNED
