/* Writing ARROW:schema: an Arrow IPC schema message, built front to back as a FlatBuffer, then base64.
 *
 * FlatBuffers as used here: a table is preceded by its vtable; references are forward offsets that are filled in when
 * the child is written. Everything is aligned to 8, which is more than asked for and keeps the builder small.
 */
#include "data/format/parquet/parquet_int.h"
#include <string.h>

enum { T_INT = 2, T_FLOAT = 3, T_UTF8 = 5, T_BOOL = 6, T_TIMESTAMP = 10, T_DURATION = 18, T_LARGE_UTF8 = 20 };

struct fb_slot {
  int size;      /* 0 = absent; 1, 2, 4, 8 bytes; references are 4 */
  int64_t value; /* ignored for references */
};

static void pad(struct pq_out *o, size_t align) {
  while (!o->failed && o->size % align) pq_out_byte(o, 0);
}

static void patch(struct pq_out *o, size_t at, size_t target) {
  if (o->failed) return;
  uint32_t offset = (uint32_t)(target - at);
  memcpy(o->data + at, &offset, 4);
}

/* Writes vtable and table; positions of the slots go to `where`. Gives the table's position. */
static size_t table(struct pq_out *o, const struct fb_slot *slots, int n, size_t *where) {
  uint16_t vtable[16] = {(uint16_t)(4 + 2 * n), 0};
  uint16_t at = 4;
  for (int size = 8; size >= 1; size /= 2) {
    for (int i = 0; i < n; i++) {
      if (slots[i].size != size) continue;
      at = (uint16_t)((at + size - 1) / size * size);
      vtable[2 + i] = at;
      at = (uint16_t)(at + size);
    }
  }
  vtable[1] = at;
  pad(o, 8);
  size_t v = o->size;
  pq_out_bytes(o, vtable, (size_t)vtable[0]);
  pad(o, 8);
  size_t t = o->size;
  int32_t back = (int32_t)(t - v);
  uint8_t body[96] = {0};
  memcpy(body, &back, 4);
  for (int i = 0; i < n; i++) {
    if (!slots[i].size) continue;
    memcpy(body + vtable[2 + i], &slots[i].value, (size_t)slots[i].size);
    where[i] = t + vtable[2 + i];
  }
  pq_out_bytes(o, body, at);
  return t;
}

static size_t string(struct pq_out *o, const char *s) {
  pad(o, 8);
  size_t at = o->size;
  uint32_t n = (uint32_t)strlen(s);
  pq_out_bytes(o, &n, 4);
  pq_out_bytes(o, s, n + 1);
  return at;
}

/* A vector of n references, to be patched at the position given + 4 + 4 * i. */
static size_t vector(struct pq_out *o, uint32_t n) {
  pad(o, 8);
  size_t at = o->size;
  pq_out_bytes(o, &n, 4);
  for (uint32_t i = 0; i < n; i++) pq_out_bytes(o, "\0\0\0\0", 4);
  return at;
}

static int type_of(struct tr_dtype d) {
  if (tr_kind_is_int(d.kind)) return T_INT;
  if (tr_kind_is_float(d.kind)) return T_FLOAT;
  return d.kind == TR_BOOL        ? T_BOOL
         : d.kind == TR_DATETIME  ? T_TIMESTAMP
         : d.kind == TR_TIMEDELTA ? T_DURATION
                                  : T_UTF8;
}

static size_t int_table(struct pq_out *o, int bits, bool is_signed) {
  size_t where[2];
  return table(o, (struct fb_slot[]){{4, bits}, {1, is_signed}}, 2, where);
}

static size_t type_table(struct pq_out *o, struct tr_dtype d) {
  size_t where[2];
  switch (type_of(d)) {
  case T_INT: return int_table(o, 8 * tr_dtype_width(d), tr_kind_is_signed(d.kind));
  case T_FLOAT: return table(o, (struct fb_slot[]){{2, d.kind == TR_F64 ? 2 : 1}}, 1, where);
  case T_TIMESTAMP: return table(o, (struct fb_slot[]){{2, d.unit == TR_S ? TR_MS : d.unit}}, 1, where);
  case T_DURATION: return table(o, (struct fb_slot[]){{2, d.unit}}, 1, where);
  default: return table(o, NULL, 0, where);
  }
}

static size_t field(struct pq_out *o, const struct tr_array *a, const char *name) {
  bool category = a->dtype.kind == TR_CATEGORY && a->dict->dtype.kind == TR_STR;
  struct tr_dtype d = a->dtype.kind == TR_CATEGORY ? a->dict->dtype : a->dtype;
  size_t w[6] = {0}, e[3] = {0};
  int type = a->dtype.kind == TR_STR ? T_LARGE_UTF8 : type_of(d); /* as pandas has pyarrow write its str */
  size_t t = table(o, (struct fb_slot[]){{4, 0}, {1, 1}, {1, type}, {4, 0}, {category ? 4 : 0, 0}, {4, 0}}, 6, w);
  patch(o, w[0], string(o, name));
  patch(o, w[3], type_table(o, d));
  patch(o, w[5], vector(o, 0));
  if (category) {
    patch(o, w[4], table(o, (struct fb_slot[]){{8, 0}, {4, 0}, {1, a->dtype.ordered != 0}}, 3, e));
    int64_t n = a->dict->length;
    patch(o, e[1], int_table(o, n < 128 ? 8 : n < 32768 ? 16 : 32, true));
  }
  return t;
}

/* Arrow readers take the schema's own metadata for the file's: pandas' text has to stand in both places. */
static size_t pandas_pair(struct pq_out *o, const char *pandas_metadata) {
  size_t w[2] = {0};
  size_t pairs = vector(o, 1);
  patch(o, pairs + 4, table(o, (struct fb_slot[]){{4, 0}, {4, 0}}, 2, w));
  patch(o, w[0], string(o, "pandas"));
  patch(o, w[1], string(o, pandas_metadata));
  return pairs;
}

static void base64(struct pq_out *o, const uint8_t *p, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
    char text[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                    i + 2 < n ? digits[v & 63] : '='};
    pq_out_bytes(o, text, 4);
  }
}

void pq_arrow_schema_write(struct pq_out *o, const struct tr_frame *f, const char *const *names,
                           const char *pandas_metadata) {
  struct pq_out b = {0};
  size_t m[5] = {0}, s[3] = {0};
  pq_out_bytes(&b, "\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 12); /* marker, length, root */
  pq_out_bytes(&b, "\0\0\0\0", 4);
  /* Positions count from the root's offset, at 8; that is aligned to 8 too. */
  size_t message = table(&b, (struct fb_slot[]){{2, 4}, {1, 1}, {4, 0}, {8, 0}}, 4, m);
  patch(&b, 8, message);
  patch(&b, m[2], table(&b, (struct fb_slot[]){{0, 0}, {4, 0}, {pandas_metadata ? 4 : 0, 0}}, 3, s));
  if (pandas_metadata) patch(&b, s[2], pandas_pair(&b, pandas_metadata));
  size_t fields = vector(&b, (uint32_t)f->n_cols);
  patch(&b, s[1], fields);
  for (int i = 0; i < f->n_cols && !b.failed; i++)
    patch(&b, fields + 4 + 4 * (size_t)i, field(&b, f->cols[i], names[i]));
  pad(&b, 8);
  if (!b.failed) {
    uint32_t size = (uint32_t)(b.size - 8);
    memcpy(b.data + 4, &size, 4);
    base64(o, b.data, b.size);
  }
  o->failed |= b.failed;
  pq_out_free(&b);
}
