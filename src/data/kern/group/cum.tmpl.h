/* Running values over blocks of rows. Holes: NAME, T, MISSING(v), ABSENT, ADD(a, b); FLOATING: sums may be compensated.
 * state and lost: one T per group; a row of no group gives ABSENT. */
static void TR_JOIN(cum_, NAME)(enum tr_window fn, bool kahan, const T *x, const uint32_t *ids, int n, T *state,
                                T *lost, T *out) {
  (void)kahan;
  (void)lost;
  for (int i = 0; i < n; i++) {
    uint32_t g = ids ? ids[i] : 0;
    if (g == TR_NO_GROUP || MISSING(x[i])) {
      out[i] = ABSENT;
      if (!ids && fn == TR_WIN_CUMSUM) state[0] = ADD(state[0], 0); /* numpy adds 0 there: -0.0 becomes 0.0 */
      continue;
    }
    T *s = &state[g];
    switch (fn) {
    case TR_WIN_CUMSUM:
#ifdef FLOATING
      if (kahan) {
        T y = x[i] - lost[g], t = *s + y;
        lost[g] = t - *s - y;
        *s = t;
        break;
      }
#endif
      *s = ADD(*s, x[i]);
      break;
    case TR_WIN_CUMPROD: *s = (T)(*s * x[i]); break;
    case TR_WIN_CUMMIN: *s = *s < x[i] ? *s : *s == x[i] && ids ? *s : x[i]; break;
    default: *s = *s > x[i] ? *s : *s == x[i] && ids ? *s : x[i];
    }
    out[i] = *s;
  }
}

static void TR_JOIN(start_, NAME)(enum tr_window fn, T zero, T lowest, T highest, T *state, T *lost, int64_t n_groups) {
  T v = fn == TR_WIN_CUMSUM ? zero : fn == TR_WIN_CUMPROD ? 1 : fn == TR_WIN_CUMMIN ? highest : lowest;
  for (int64_t g = 0; g < n_groups; g++) {
    state[g] = v;
    lost[g] = 0;
  }
}
#undef NAME
#undef T
#undef MISSING
#undef ABSENT
#undef ADD
#undef FLOATING
