/* One part of a date. Holes: NAME, R, MARK (result of NaT), EXPR over `days` (int32). A block of times becomes day
 * numbers first, so that the calendar's 32-bit arithmetic runs in a loop of its own, which vectorises. */
static void NAME(struct tr_call *c) {
  const int64_t *restrict a = c->in[0].p;
  R *restrict out = c->out;
  const int64_t per_day = 86400 * tr_unit_per_second((enum tr_unit)c->e->args[0]->dtype.unit);
  int32_t block[DAY_BLOCK];
  for (int64_t at = 0; at < c->n; at += DAY_BLOCK) {
    const int64_t n = c->n - at < DAY_BLOCK ? c->n - at : DAY_BLOCK;
    const bool nulls = days_of(a + at, n, per_day, block, c);
    for (int64_t i = 0; i < n; i++) {
      const int32_t days = block[i];
      out[at + i] = (R)(EXPR);
    }
    if (!nulls) continue;
    for (int64_t i = 0; i < n; i++)
      if (a[at + i] == TR_NAT) out[at + i] = MARK;
  }
}
#undef NAME
#undef EXPR
