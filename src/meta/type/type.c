#include "meta/type/type.h"
#include <string.h>

static const struct {
  const char *name;
  uint8_t width;
} kinds[TR_N_KINDS] = {
    [TR_BOOL] = {"bool", 1},           [TR_I8] = {"int8", 1},
    [TR_I16] = {"int16", 2},           [TR_I32] = {"int32", 4},
    [TR_I64] = {"int64", 8},           [TR_U8] = {"uint8", 1},
    [TR_U16] = {"uint16", 2},          [TR_U32] = {"uint32", 4},
    [TR_U64] = {"uint64", 8},          [TR_F32] = {"float32", 4},
    [TR_F64] = {"float64", 8},         [TR_STR] = {"str", 16},
    [TR_DATETIME] = {"datetime64", 8}, [TR_TIMEDELTA] = {"timedelta64", 8},
    [TR_CATEGORY] = {"category", 4},
};

static const char *const datetime_names[] = {"datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]"};
static const char *const timedelta_names[] = {"timedelta64[s]", "timedelta64[ms]", "timedelta64[us]",
                                              "timedelta64[ns]"};

int tr_dtype_width(struct tr_dtype t) { return kinds[t.kind].width; }

const char *tr_dtype_name(struct tr_dtype t) {
  if (t.kind == TR_DATETIME) return datetime_names[t.unit];
  if (t.kind == TR_TIMEDELTA) return timedelta_names[t.unit];
  return kinds[t.kind].name;
}

bool tr_dtype_parse(const char *name, struct tr_dtype *out) {
  for (int k = 0; k < TR_N_KINDS; k++) {
    int units = tr_kind_is_time(k) ? 4 : 1;
    for (int u = 0; u < units; u++) {
      struct tr_dtype t = {.kind = (uint8_t)k, .unit = (uint8_t)u};
      if (strcmp(tr_dtype_name(t), name) == 0) {
        *out = t;
        return true;
      }
    }
  }
  return false;
}

int64_t tr_unit_per_second(enum tr_unit u) {
  static const int64_t per[] = {1, 1000, 1000000, 1000000000};
  return per[u];
}

/* Smallest signed kind that holds unsigned kind u, or TR_F64 for uint64. */
static enum tr_kind signed_above(enum tr_kind u) {
  return u == TR_U8 ? TR_I16 : u == TR_U16 ? TR_I32 : u == TR_U32 ? TR_I64 : TR_F64;
}

static enum tr_kind common_int(enum tr_kind a, enum tr_kind b) {
  if (tr_kind_is_signed(a) == tr_kind_is_signed(b)) return a > b ? a : b;
  enum tr_kind s = tr_kind_is_signed(a) ? a : b, u = tr_kind_is_signed(a) ? b : a;
  enum tr_kind up = signed_above(u);
  return up == TR_F64 ? TR_F64 : s > up ? s : up;
}

enum tr_kind tr_kind_common(enum tr_kind a, enum tr_kind b) {
  if (a == b || b == TR_BOOL) return a;
  if (a == TR_BOOL) return b;
  if (tr_kind_is_int(a) && tr_kind_is_int(b)) return common_int(a, b);
  if (a == TR_F64 || b == TR_F64) return TR_F64;
  enum tr_kind i = a == TR_F32 ? b : a;
  return i == TR_I8 || i == TR_U8 || i == TR_I16 || i == TR_U16 || i == TR_F32 ? TR_F32 : TR_F64;
}
