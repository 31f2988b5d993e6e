/* One elementwise function of two arguments, either of which may be constant. Holes: NAME, TX, TY, R, EXPR over x and
 * y. */
static void NAME(struct tr_call *c) {
  const TX *restrict a = c->in[0].p;
  const TY *restrict b = c->in[1].p;
  R *restrict out = c->out;
  const int64_t n = c->n;
  if (c->in[1].is_const) {
    const TY y = *b;
    for (int64_t i = 0; i < n; i++) {
      const TX x = a[i];
      out[i] = (R)(EXPR);
    }
  } else if (c->in[0].is_const) {
    const TX x = *a;
    for (int64_t i = 0; i < n; i++) {
      const TY y = b[i];
      out[i] = (R)(EXPR);
    }
  } else {
    for (int64_t i = 0; i < n; i++) {
      const TX x = a[i];
      const TY y = b[i];
      out[i] = (R)(EXPR);
    }
  }
}
#undef NAME
#undef EXPR
