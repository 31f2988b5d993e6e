/* One part of a time. Holes: NAME, R, MARK (result of NaT), EXPR over `days` (int32), `q` (days, int64) and `in_day`
 * (ticks since midnight), PER_DAY, ANY_DAY (1: the part does not need the calendar, so no day is too far). */
static void NAME(struct tr_call *c) {
  const int64_t *restrict a = c->in[0].p;
  R *restrict out = c->out;
  const int64_t n = c->n;
  int64_t nulls = 0, wild = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t x = a[i];
    int64_t q = x / (PER_DAY), in_day = x - q * (PER_DAY);
    q += in_day >> 63;
    in_day += in_day >> 63 & (PER_DAY);
    const bool null = x == TR_NAT, far = (q > TR_MAX_CIVIL_DAYS) | (q < -TR_MAX_CIVIL_DAYS);
    const int32_t days = far ? 0 : (int32_t)q;
    nulls += null;
    wild += far & !null;
    (void)days, (void)in_day;
    out[i] = null ? (MARK) : (R)(EXPR);
  }
  if (nulls) c->saw |= TR_SAW_NULL;
  if (wild && !(ANY_DAY)) c->saw |= TR_SAW_REFUSE;
}
#undef NAME
#undef EXPR
