/* Coding of one column type. Holes: NAME, T, IMAGE(v) (order-preserving u64), MISSING(v).
 * Instantiates range_NAME (extremes of the images, whether a value is missing; not with NO_RANGE) and codes_NAME. */
#ifndef NO_RANGE
static void TR_JOIN(range_, NAME)(const void *data, int64_t begin, int64_t end, struct range *r) {
  const T *v = data;
  uint64_t lo = r->lo, hi = r->hi;
  bool missing = r->missing;
  for (int64_t i = begin; i < end; i++) {
    if (MISSING(v[i])) {
      missing = true;
      continue;
    }
    uint64_t x = IMAGE(v[i]);
    lo = x < lo ? x : lo;
    hi = x > hi ? x : hi;
  }
  r->lo = lo;
  r->hi = hi;
  r->missing = missing;
}
#endif

static void TR_JOIN(codes_, NAME)(const struct tr_group_key *k, int64_t begin, int n, uint64_t card, bool first,
                                  bool drop, uint64_t *out) {
  const T *v = (const T *)k->data + begin;
  uint64_t base = k->base, absent = k->span + 1;
  if (!k->has_missing) {
    if (first) {
      for (int i = 0; i < n; i++) out[i] = IMAGE(v[i]) - base;
    } else if (!drop) {
      for (int i = 0; i < n; i++) out[i] = out[i] * card + (IMAGE(v[i]) - base);
    } else {
      for (int i = 0; i < n; i++)
        out[i] = out[i] == TR_GROUP_DROP ? TR_GROUP_DROP : out[i] * card + (IMAGE(v[i]) - base);
    }
  } else if (!drop) {
    for (int i = 0; i < n; i++) {
      uint64_t c = MISSING(v[i]) ? absent : IMAGE(v[i]) - base;
      out[i] = first ? c : out[i] * card + c;
    }
  } else {
    for (int i = 0; i < n; i++) {
      if (MISSING(v[i])) out[i] = TR_GROUP_DROP;
      else if (first) out[i] = IMAGE(v[i]) - base;
      else if (out[i] != TR_GROUP_DROP) out[i] = out[i] * card + (IMAGE(v[i]) - base);
    }
  }
}
#undef NAME
#undef T
#undef IMAGE
#undef MISSING
#undef NO_RANGE
