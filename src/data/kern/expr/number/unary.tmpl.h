/* One elementwise function. Holes: NAME, TX (input), R (result), EXPR over x. */
static void NAME(struct tr_call *c) {
  const TX *restrict a = c->in[0].p;
  R *restrict out = c->out;
  const int64_t n = c->n;
  for (int64_t i = 0; i < n; i++) {
    const TX x = a[i];
    out[i] = (R)(EXPR);
  }
}
#undef NAME
#undef EXPR
