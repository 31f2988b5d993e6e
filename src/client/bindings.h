/* The engine as Python sees it: types Expr, Rel, Frame, Array and functions that make them.
 *
 * Thin on purpose: every call checks its arguments, calls one function of the engine and wraps the result. Statuses
 * become Python exceptions in one place (tr_client_raise). The GIL is released around whatever touches data, and around
 * everything that takes the executor's lock.
 */
#pragma once
#define PY_SSIZE_T_CLEAN
#include "data/exec/exec.h"
#include "data/kern/expr/eval.h"
#include <Python.h>

struct tr_py_expr {
  PyObject_HEAD struct tr_expr *e;
};
struct tr_py_rel {
  PyObject_HEAD struct tr_rel *r;
};
struct tr_py_frame {
  PyObject_HEAD struct tr_frame *f;
};
struct tr_py_array {
  PyObject_HEAD struct tr_array *a;
};

extern PyTypeObject tr_client_expr_type, tr_client_rel_type, tr_client_frame_type, tr_client_array_type,
    tr_client_store_type;
extern PyMethodDef tr_client_expr_functions[], tr_client_rel_functions[], tr_client_array_functions[],
    tr_client_io_functions[], tr_client_codec_functions[], tr_client_seal_functions[], tr_client_remote_functions[],
    tr_client_store_functions[];

/* Sets the Python exception for a status that is not TR_OK; returns NULL. Keeps an exception that is already set
 * (Ctrl-C). */
PyObject *tr_client_raise(enum tr_status st, const struct tr_error *err);

/* A query's context: options of the module, cancellation by signals. Lives on the caller's stack. */
struct tr_py_call {
  struct tr_ctx ctx;
  struct tr_error err;
  PyThreadState *saved;
  struct tr_outside outside; /* what set_outside was given, in the context's words */
};
/* Computes r as set_execution says: itself or, under codec=True, what its text decodes to (then nothing is kept on r).
 * Without the GIL. */
TR_MUST_USE enum tr_status tr_client_run(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                                         struct tr_error *err);
/* The second way (bindings_codec.c). */
TR_MUST_USE enum tr_status tr_client_run_decoded(struct tr_ctx *ctx, struct tr_rel *r, const bool *need,
                                                 struct tr_frame **out, struct tr_error *err);
/* In stages, with about task_rows rows in a task (bindings_stages.c). */
TR_MUST_USE enum tr_status tr_client_run_staged(struct tr_ctx *ctx, struct tr_rel *r, const bool *need,
                                                int64_t task_rows, struct tr_frame **out, struct tr_error *err);
/* Prepares ctx and releases the GIL. */
void tr_client_begin(struct tr_py_call *call);
/* Takes the GIL again. */
void tr_client_end(struct tr_py_call *call);

/* These take the reference they wrap (also on failure). */
PyObject *tr_client_wrap_expr(struct tr_expr *e);
PyObject *tr_client_wrap_rel(struct tr_rel *r);
PyObject *tr_client_wrap_frame(struct tr_frame *f);
PyObject *tr_client_wrap_array(struct tr_array *a);

/* dtype names: tr_dtype_name's, and "category[ordered]". */
PyObject *tr_client_dtype_name(struct tr_dtype t);
/* false with ValueError set. */
bool tr_client_dtype_arg(PyObject *name, struct tr_dtype *out);
/* Fills a scalar from a Python value of a dtype (None = missing; datetimes as int64 ticks). Text borrows from value. */
bool tr_client_scalar_arg(PyObject *value, struct tr_dtype t, struct tr_scalar *out);
/* Borrowed C strings of a list or tuple of str, in a malloc'ed array (freed with free); NULL with an exception set. */
const char **tr_client_strings_arg(PyObject *seq, int *n);
