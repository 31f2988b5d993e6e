/* Reading a block of a column as TO. Holes: BLOCK_NAME, TO, ABSENT (a missing value), UNSIGNED_64(v). */
const TO *BLOCK_NAME(const struct tr_array *a, int64_t begin, int n, TO *space) {
  const void *data = tr_array_data(a);
  if (a->enc == TR_DICT) {
    const int32_t *codes = (const int32_t *)data + begin;
    const struct tr_view *texts = a->dict->dtype.kind == TR_STR ? tr_array_views(a->dict) : NULL;
    for (int i = 0; i < n; i++) {
      space[i] = codes[i] < 0                   ? ABSENT
                 : a->dtype.kind == TR_CATEGORY ? (TO)codes[i]
                                                : (TO)(texts && texts[codes[i]].size > 0);
    }
    return space;
  }
  switch (a->dtype.kind) {
  case TR_BOOL:
  case TR_U8:
    for (int i = 0; i < n; i++) space[i] = (TO)((const uint8_t *)data)[begin + i];
    break;
  case TR_I8:
    for (int i = 0; i < n; i++) space[i] = (TO)((const int8_t *)data)[begin + i];
    break;
  case TR_I16:
    for (int i = 0; i < n; i++) space[i] = (TO)((const int16_t *)data)[begin + i];
    break;
  case TR_U16:
    for (int i = 0; i < n; i++) space[i] = (TO)((const uint16_t *)data)[begin + i];
    break;
  case TR_I32:
    for (int i = 0; i < n; i++) space[i] = (TO)((const int32_t *)data)[begin + i];
    break;
  case TR_U32:
    for (int i = 0; i < n; i++) space[i] = (TO)((const uint32_t *)data)[begin + i];
    break;
  case TR_U64:
    for (int i = 0; i < n; i++) space[i] = UNSIGNED_64(((const uint64_t *)data)[begin + i]);
    break;
  case TR_F32:
    for (int i = 0; i < n; i++) space[i] = (TO)((const float *)data)[begin + i];
    break;
  case TR_STR:
    for (int i = 0; i < n; i++) {
      int32_t size = ((const struct tr_view *)data)[begin + i].size;
      space[i] = size < 0 ? ABSENT : (TO)(size > 0);
    }
    break;
  case TR_F64:
    if (sizeof(TO) == sizeof(double) && (TO)0.5 != 0) return (const TO *)data + begin;
    for (int i = 0; i < n; i++) space[i] = (TO)((const double *)data)[begin + i];
    break;
  case TR_I64:
    if ((TO)0.5 == 0) return (const TO *)data + begin;
    for (int i = 0; i < n; i++) space[i] = (TO)((const int64_t *)data)[begin + i];
    break;
  default: /* times */
    if ((TO)0.5 == 0) return (const TO *)data + begin;
    for (int i = 0; i < n; i++) {
      int64_t v = ((const int64_t *)data)[begin + i];
      space[i] = v == TR_NAT ? ABSENT : (TO)v;
    }
  }
  return space;
}
#undef BLOCK_NAME
#undef TO
#undef ABSENT
#undef UNSIGNED_64
