/* Thrift compact protocol, as much as Parquet needs: a bounded reader and an appending writer.
 *
 * The reader never passes `end`: the first fault sets `bad`, moves p to end, and every later read gives 0, so callers
 * check `bad` once at the end of a structure. Counts of lists are at most the bytes left, which bounds every loop.
 */
#pragma once
#include "base/mem.h"
#include "base/status.h"

enum pq_ttype {
  PQ_T_STOP,
  PQ_T_TRUE,
  PQ_T_FALSE,
  PQ_T_BYTE,
  PQ_T_I16,
  PQ_T_I32,
  PQ_T_I64,
  PQ_T_DOUBLE,
  PQ_T_BINARY,
  PQ_T_LIST,
  PQ_T_SET,
  PQ_T_MAP,
  PQ_T_STRUCT
};

struct pq_thrift {
  const uint8_t *p, *end;
  bool bad;
  bool short_input; /* the fault was the end of the input */
};

struct pq_field {
  int id, type;
};

struct pq_bytes {
  const uint8_t *ptr;
  int64_t len;
};

static inline struct pq_thrift pq_thrift_open(const uint8_t *p, size_t n) {
  return (struct pq_thrift){.p = p, .end = p + n};
}
/* Next field of a structure; f->id is the previous one's (0 at the start). False at the stop byte or a fault. */
bool pq_thrift_field(struct pq_thrift *t, struct pq_field *f);
/* Value of an integer field of any width; booleans carry theirs in the field header. Other types are skipped, giving 0.
 */
int64_t pq_thrift_int(struct pq_thrift *t, const struct pq_field *f);
/* The same for values that must fit 32 bits: others are faults. */
int32_t pq_thrift_i32(struct pq_thrift *t, const struct pq_field *f);
struct pq_bytes pq_thrift_binary(struct pq_thrift *t, const struct pq_field *f);
/* Number of elements of a list field whose elements have type `elem`; a list of another type is a fault. */
int64_t pq_thrift_list(struct pq_thrift *t, const struct pq_field *f, int elem);
/* An integer or text that is a list element. */
int64_t pq_thrift_elem_int(struct pq_thrift *t);
struct pq_bytes pq_thrift_elem_binary(struct pq_thrift *t);
void pq_thrift_skip(struct pq_thrift *t, const struct pq_field *f);
/* True when the field is a structure; otherwise the field is skipped. */
bool pq_thrift_is_struct(struct pq_thrift *t, const struct pq_field *f);

/* Growing bytes. After a failed growth `failed` is set and everything is ignored. */
struct pq_out {
  uint8_t *data;
  size_t size, capacity;
  bool failed;
};

void pq_out_free(struct pq_out *o);
/* Room for n more bytes at the end, or NULL. Does not change size. */
uint8_t *pq_out_reserve(struct pq_out *o, size_t n);
void pq_out_bytes(struct pq_out *o, const void *p, size_t n);
void pq_out_byte(struct pq_out *o, uint8_t b);
void pq_out_varint(struct pq_out *o, uint64_t v);

/* Writer: *last is the previous field's id in this structure (0 at the start). */
void pq_put_header(struct pq_out *o, int *last, int id, int type);
void pq_put_int(struct pq_out *o, int *last, int id, int type, int64_t v); /* type PQ_T_I16, _I32, _I64 */
void pq_put_bool(struct pq_out *o, int *last, int id, bool v);
void pq_put_byte(struct pq_out *o, int *last, int id, int8_t v);
void pq_put_binary(struct pq_out *o, int *last, int id, const void *p, size_t n);
void pq_put_list(struct pq_out *o, int *last, int id, int elem, size_t n);
void pq_put_elem_int(struct pq_out *o, int64_t v);
void pq_put_elem_binary(struct pq_out *o, const void *p, size_t n);
static inline void pq_put_stop(struct pq_out *o) { pq_out_byte(o, 0); }
