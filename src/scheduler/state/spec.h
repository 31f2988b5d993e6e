/* How a query is cut: stages, what each reads, the tasks of each. The scheduler keeps it as JSON text beside the query
 * and reads it back after a restart, so that a release which would cut otherwise does not disturb a running query.
 *
 * Fragments are opaque JSON: the worker's business.
 */
#pragma once
#include "base/arena.h"
#include "base/text.h"

enum tr_input_mode {
  TR_INPUT_SAME,      /* task p (of a branch, where a CONCAT is cut into branches) reads what task p wrote */
  TR_INPUT_SHUFFLE,   /* task p (the same) reads segment p of every producer */
  TR_INPUT_BROADCAST, /* each task reads everything */
  TR_INPUT_ROWS,      /* each task reads some rows of everything */
  TR_INPUT_MODES
};
extern const char *const tr_input_mode_names[TR_INPUT_MODES];

struct tr_spec_input {
  int32_t stage; /* an earlier one; -1 = a source, read whole */
  enum tr_input_mode mode;
};

/* Part of a source: its pieces [from, to). */
struct tr_spec_piece {
  int32_t source;
  int64_t from, to;
};

struct tr_spec_stage {
  const char *role;     /* for people */
  const char *fragment; /* JSON object */
  int32_t n_tasks, n_parts, n_inputs;
  struct tr_spec_input *inputs;
  /* Pieces of task t: pieces[first_piece[t] .. first_piece[t + 1]); NULL when the stage reads no source. */
  int32_t *first_piece;
  struct tr_spec_piece *pieces;
  /* What tells a task which rows of all rows it has: the row counts of that stage's tasks, which has as many and is one
   * of the inputs; TR_SPEC_ROWS: first_row[task], n_tasks + 1 long; TR_SPEC_NO_ROWS: it need not know. */
  int32_t base;
  int64_t *first_row;
  int64_t source_rows; /* of all its pieces */
};

struct tr_spec {
  int32_t n_stages;
  struct tr_spec_stage *stages; /* producers before consumers; the last one makes the result */
};

enum { TR_SPEC_ROWS = -1, TR_SPEC_NO_ROWS = -2 };
enum { TR_SPEC_STAGES = 4096, TR_SPEC_TASKS = 100000, TR_SPEC_PARTS = 65536 };

/* Refuses (TR_EXC_VALUE) what no run could finish: inputs that are not earlier, counts out of range, SAME and SHUFFLE
 * from more tasks or parts than there are tasks to read them. */
TR_MUST_USE enum tr_status tr_spec_check(const struct tr_spec *spec, struct tr_error *err);
void tr_spec_print(const struct tr_spec *spec, struct tr_text *out);
/* Everything lives in the arena. */
TR_MUST_USE enum tr_status tr_spec_parse(const char *text, struct tr_arena *arena, struct tr_spec *out,
                                         struct tr_error *err);
