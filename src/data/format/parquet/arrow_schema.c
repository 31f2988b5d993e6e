/* ARROW:schema, the Arrow schema that pyarrow keeps beside Parquet's: a base64 IPC message with a FlatBuffers table.
 *
 * We read from it what Parquet's own types cannot say: which int64 is a timedelta, which text is a category, which
 * field is an extension type. (A time zone shows in Parquet's own type too.) Only top-level fields matter. Every offset
 * is checked.
 */
#include "data/format/parquet/parquet_int.h"
#include <string.h>

enum { ARROW_DURATION = 18 };

struct flat {
  const uint8_t *data;
  size_t size;
};

static uint32_t flat_u32(const struct flat *b, size_t at) {
  uint32_t v = 0;
  if (at <= b->size && b->size - at >= 4) memcpy(&v, b->data + at, 4);
  return v;
}

static uint16_t flat_u16(const struct flat *b, size_t at) {
  uint16_t v = 0;
  if (at <= b->size && b->size - at >= 2) memcpy(&v, b->data + at, 2);
  return v;
}

static uint8_t flat_u8(const struct flat *b, size_t at) { return at < b->size ? b->data[at] : 0; }

/* Position of a table's field, 0 when absent. */
static size_t flat_slot(const struct flat *b, size_t table, unsigned slot) {
  if (!table || table >= b->size) return 0;
  int64_t vtable = (int64_t)table - (int32_t)flat_u32(b, table);
  if (vtable < 0 || vtable >= (int64_t)b->size) return 0;
  uint16_t bytes = flat_u16(b, (size_t)vtable);
  if (4 + 2 * slot + 2 > bytes) return 0;
  uint16_t at = flat_u16(b, (size_t)vtable + 4 + 2 * slot);
  return at && table + at < b->size ? table + at : 0;
}

/* Follows the offset stored at `at`. 0 when absent or outside. */
static size_t flat_follow(const struct flat *b, size_t at) {
  if (!at) return 0;
  uint32_t offset = flat_u32(b, at);
  return offset && at + offset < b->size ? at + offset : 0;
}

static const char *flat_string(const struct flat *b, size_t at, size_t *len) {
  size_t s = flat_follow(b, at);
  *len = flat_u32(b, s);
  if (!s || b->size - s < 4 || *len > b->size - s - 4) return NULL;
  return (const char *)b->data + s + 4;
}

static bool has_key(const struct flat *b, size_t field, const char *key) {
  size_t vector = flat_follow(b, flat_slot(b, field, 6));
  uint32_t n = vector ? flat_u32(b, vector) : 0;
  for (uint32_t i = 0; i < n && i < b->size / 4; i++) {
    size_t len = 0, pair = flat_follow(b, vector + 4 + 4 * (size_t)i);
    const char *name = flat_string(b, flat_slot(b, pair, 0), &len);
    if (name && len == strlen(key) && memcmp(name, key, len) == 0) return true;
  }
  return false;
}

static enum tr_status read_field(struct tr_parquet_file *f, const struct flat *b, size_t field,
                                 struct pq_arrow_field *out, struct tr_error *err) {
  static const char extension[] = "ARROW:extension:name";
  size_t len = 0;
  const char *name = flat_string(b, flat_slot(b, field, 0), &len);
  out->name = tr_arena_strndup(&f->internal->arena, name ? name : "", name ? len : 0);
  if (!out->name) return tr_fail_memory(err, len);
  size_t at = flat_slot(b, field, 2);
  int type = at ? flat_u8(b, at) : 0;
  size_t table = flat_follow(b, flat_slot(b, field, 3));
  size_t dictionary = flat_follow(b, flat_slot(b, field, 4));
  out->known = field != 0;
  out->extension = has_key(b, field, extension);
  if (dictionary) {
    out->dictionary = true;
    at = flat_slot(b, dictionary, 2);
    out->ordered = at && flat_u8(b, at);
  }
  if (type == ARROW_DURATION) {
    at = flat_slot(b, table, 0);
    unsigned unit = at ? flat_u16(b, at) : 1; /* milliseconds are the default */
    out->duration = unit <= TR_NS && !dictionary;
    out->unit = (int)unit;
  }
  return TR_OK;
}

static int base64_digit(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool base64_decode(struct pq_bytes in, uint8_t *out, size_t *n) {
  uint32_t bits = 0;
  int have = 0;
  *n = 0;
  for (int64_t i = 0; i < in.len && in.ptr[i] != '='; i++) {
    int d = base64_digit(in.ptr[i]);
    if (d < 0) return false;
    bits = bits << 6 | (uint32_t)d;
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[(*n)++] = (uint8_t)(bits >> have);
      bits &= (1u << have) - 1;
    }
  }
  return true;
}

enum tr_status pq_arrow_schema_read(struct tr_parquet_file *f, struct tr_error *err) {
  struct tr_parquet_file_int *in = f->internal;
  if (!in->arrow_schema.ptr || in->arrow_schema.len == 0) return TR_OK;
  uint8_t *bytes = tr_arena_alloc(&in->arena, (size_t)in->arrow_schema.len + 8);
  size_t n = 0;
  if (!bytes) return tr_fail_memory(err, (size_t)in->arrow_schema.len);
  bool good = base64_decode(in->arrow_schema, bytes, &n) && n >= 8;
  size_t skip = good && bytes[0] == 0xff && bytes[1] == 0xff && bytes[2] == 0xff && bytes[3] == 0xff ? 8 : 4;
  struct flat b = {good ? bytes + skip : bytes, good ? n - skip : 0};
  size_t schema = 0, fields = 0;
  if (good) {
    size_t message = flat_u32(&b, 0);
    size_t type = flat_slot(&b, message, 1);
    if (type && flat_u8(&b, type) == 1) schema = flat_follow(&b, flat_slot(&b, message, 2));
    fields = flat_follow(&b, flat_slot(&b, schema, 1));
  }
  uint32_t count = fields ? flat_u32(&b, fields) : 0;
  if (!schema || count > b.size / 4)
    return tr_fail(err, TR_EXC_ARROW_INVALID, "Parquet file '%s': the ARROW:schema metadata is damaged", f->path);
  in->arrow = tr_arena_alloc(&in->arena, (count + 1) * sizeof *in->arrow);
  if (!in->arrow) return tr_fail_memory(err, count * sizeof *in->arrow);
  in->n_arrow = (int)count;
  for (uint32_t i = 0; i < count; i++) {
    TR_TRY(read_field(f, &b, flat_follow(&b, fields + 4 + 4 * (size_t)i), &in->arrow[i], err));
  }
  return TR_OK;
}
