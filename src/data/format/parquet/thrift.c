/* Thrift compact protocol: see thrift_int.h. */
#include "data/format/parquet/thrift_int.h"
#include <string.h>

enum { MAX_DEPTH = 32 };

static void fault(struct pq_thrift *t, bool short_input) {
  if (!t->bad) t->short_input = short_input;
  t->bad = true;
  t->p = t->end;
}

static uint8_t next_byte(struct pq_thrift *t) {
  if (t->p >= t->end) {
    fault(t, true);
    return 0;
  }
  return *t->p++;
}

static uint64_t varint(struct pq_thrift *t) {
  uint64_t v = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    uint8_t b = next_byte(t);
    if (shift == 63 && b > 1) break;
    v |= (uint64_t)(b & 127) << shift;
    if (b < 128) return t->bad ? 0 : v;
  }
  fault(t, false);
  return 0;
}

static int64_t zigzag(struct pq_thrift *t) {
  uint64_t v = varint(t);
  return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

bool pq_thrift_field(struct pq_thrift *t, struct pq_field *f) {
  uint8_t b = next_byte(t);
  if (t->bad || (b & 15) == PQ_T_STOP) return false;
  f->type = b & 15;
  if (b >> 4) {
    f->id += b >> 4;
  } else {
    int64_t id = zigzag(t);
    if (id < 0 || id > 32767) {
      fault(t, false);
      return false;
    }
    f->id = (int)id;
  }
  if (f->type > PQ_T_STRUCT || f->id > 65536) {
    fault(t, false);
    return false;
  }
  return !t->bad;
}

int64_t pq_thrift_int(struct pq_thrift *t, const struct pq_field *f) {
  switch (f->type) {
  case PQ_T_TRUE: return 1;
  case PQ_T_FALSE: return 0;
  case PQ_T_BYTE: return (int8_t)next_byte(t);
  case PQ_T_I16:
  case PQ_T_I32:
  case PQ_T_I64: return zigzag(t);
  default: pq_thrift_skip(t, f); return 0;
  }
}

int32_t pq_thrift_i32(struct pq_thrift *t, const struct pq_field *f) {
  int64_t v = pq_thrift_int(t, f);
  if (v < INT32_MIN || v > INT32_MAX) {
    fault(t, false);
    return 0;
  }
  return (int32_t)v;
}

struct pq_bytes pq_thrift_elem_binary(struct pq_thrift *t) {
  uint64_t n = varint(t);
  if (n > (uint64_t)(t->end - t->p)) {
    fault(t, true);
    return (struct pq_bytes){NULL, 0};
  }
  struct pq_bytes b = {t->p, (int64_t)n};
  t->p += n;
  return b;
}

struct pq_bytes pq_thrift_binary(struct pq_thrift *t, const struct pq_field *f) {
  if (f->type == PQ_T_BINARY) return pq_thrift_elem_binary(t);
  fault(t, false);
  return (struct pq_bytes){NULL, 0};
}

int64_t pq_thrift_elem_int(struct pq_thrift *t) { return zigzag(t); }

static int64_t list_header(struct pq_thrift *t, int *elem) {
  uint8_t b = next_byte(t);
  uint64_t n = b >> 4;
  *elem = b & 15;
  if (n == 15) n = varint(t);
  if (n > (uint64_t)(t->end - t->p)) {
    fault(t, true);
    return 0;
  }
  return (int64_t)n;
}

int64_t pq_thrift_list(struct pq_thrift *t, const struct pq_field *f, int elem) {
  if (f->type != PQ_T_LIST) {
    fault(t, false);
    return 0;
  }
  int got;
  int64_t n = list_header(t, &got);
  if (n && got != elem) {
    fault(t, false);
    return 0;
  }
  return n;
}

static void skip_value(struct pq_thrift *t, int type, bool in_list, int depth);

static void skip_many(struct pq_thrift *t, int64_t n, int key, int value, int depth) {
  for (int64_t i = 0; i < n && !t->bad; i++) {
    if (key) skip_value(t, key, true, depth);
    skip_value(t, value, true, depth);
  }
}

static void skip_value(struct pq_thrift *t, int type, bool in_list, int depth) {
  if (depth > MAX_DEPTH) {
    fault(t, false);
    return;
  }
  int elem;
  struct pq_field f = {0, 0};
  switch (type) {
  case PQ_T_TRUE:
  case PQ_T_FALSE:
    if (in_list) next_byte(t);
    break;
  case PQ_T_BYTE: next_byte(t); break;
  case PQ_T_I16:
  case PQ_T_I32:
  case PQ_T_I64: varint(t); break;
  case PQ_T_DOUBLE:
    if (t->end - t->p < 8) fault(t, true);
    else t->p += 8;
    break;
  case PQ_T_BINARY: pq_thrift_elem_binary(t); break;
  case PQ_T_LIST:
  case PQ_T_SET: {
    int64_t n = list_header(t, &elem);
    skip_many(t, n, 0, elem, depth + 1);
    break;
  }
  case PQ_T_MAP: {
    uint64_t n = varint(t);
    if (!n) break;
    elem = next_byte(t);
    if (n > (uint64_t)(t->end - t->p)) fault(t, true);
    else skip_many(t, (int64_t)n, elem >> 4, elem & 15, depth + 1);
    break;
  }
  case PQ_T_STRUCT:
    while (pq_thrift_field(t, &f)) skip_value(t, f.type, false, depth + 1);
    break;
  default: fault(t, false);
  }
}

void pq_thrift_skip(struct pq_thrift *t, const struct pq_field *f) { skip_value(t, f->type, false, 0); }

bool pq_thrift_is_struct(struct pq_thrift *t, const struct pq_field *f) {
  if (f->type == PQ_T_STRUCT) return true;
  pq_thrift_skip(t, f);
  return false;
}

void pq_out_free(struct pq_out *o) {
  tr_mem_free(o->data, o->capacity);
  *o = (struct pq_out){0};
}

uint8_t *pq_out_reserve(struct pq_out *o, size_t n) {
  if (o->failed) return NULL;
  if (!o->data || n > o->capacity - o->size) {
    size_t want = o->capacity < 512 ? 1024 : o->capacity * 2;
    if (want < o->size + n) want = o->size + n;
    if (tr_mem_realloc((void **)&o->data, o->capacity, want, NULL) != TR_OK) {
      o->failed = true;
      return NULL;
    }
    o->capacity = want;
  }
  return o->data + o->size;
}

void pq_out_bytes(struct pq_out *o, const void *p, size_t n) {
  uint8_t *to = pq_out_reserve(o, n);
  if (!to || !n) return;
  memcpy(to, p, n);
  o->size += n;
}

void pq_out_byte(struct pq_out *o, uint8_t b) { pq_out_bytes(o, &b, 1); }

void pq_out_varint(struct pq_out *o, uint64_t v) {
  while (v >= 128) {
    pq_out_byte(o, (uint8_t)(v | 128));
    v >>= 7;
  }
  pq_out_byte(o, (uint8_t)v);
}

void pq_put_elem_int(struct pq_out *o, int64_t v) { pq_out_varint(o, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63)); }

void pq_put_header(struct pq_out *o, int *last, int id, int type) {
  int delta = id - *last;
  if (delta > 0 && delta < 16) {
    pq_out_byte(o, (uint8_t)(delta << 4 | type));
  } else {
    pq_out_byte(o, (uint8_t)type);
    pq_put_elem_int(o, id);
  }
  *last = id;
}

void pq_put_int(struct pq_out *o, int *last, int id, int type, int64_t v) {
  pq_put_header(o, last, id, type);
  pq_put_elem_int(o, v);
}

void pq_put_bool(struct pq_out *o, int *last, int id, bool v) {
  pq_put_header(o, last, id, v ? PQ_T_TRUE : PQ_T_FALSE);
}

void pq_put_byte(struct pq_out *o, int *last, int id, int8_t v) {
  pq_put_header(o, last, id, PQ_T_BYTE);
  pq_out_byte(o, (uint8_t)v);
}

void pq_put_elem_binary(struct pq_out *o, const void *p, size_t n) {
  pq_out_varint(o, n);
  pq_out_bytes(o, p, n);
}

void pq_put_binary(struct pq_out *o, int *last, int id, const void *p, size_t n) {
  pq_put_header(o, last, id, PQ_T_BINARY);
  pq_put_elem_binary(o, p, n);
}

void pq_put_list(struct pq_out *o, int *last, int id, int elem, size_t n) {
  pq_put_header(o, last, id, PQ_T_LIST);
  if (n < 15) {
    pq_out_byte(o, (uint8_t)(n << 4 | (unsigned)elem));
  } else {
    pq_out_byte(o, (uint8_t)(0xf0 | elem));
    pq_out_varint(o, n);
  }
}
