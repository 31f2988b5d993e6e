/* Plans as text for Python, and running a plan detached and through its text: a test configuration that
 * finds what travelling loses. */
#include "bindings.h"
#include "data/kern/group/group.h"
#include "meta/plan/codec.h"

_Static_assert((int)TR_PLAN_N_AGGS == TR_N_AGGS, "a new aggregate needs a name in meta/plan/codec_text.c");
_Static_assert((int)TR_PLAN_N_WINDOWS == TR_N_WINDOWS, "a new window function needs a name in meta/plan/codec_text.c");

static PyObject *encode_plan(PyObject *self, PyObject *arg) {
  (void)self;
  if (!PyObject_TypeCheck(arg, &tr_client_rel_type)) return PyErr_Format(PyExc_TypeError, "encode_plan(rel)");
  char *text;
  struct tr_rel **sources;
  struct tr_error err;
  int n;
  enum tr_status st = tr_plan_encode(((struct tr_py_rel *)arg)->r, &text, &sources, &n, &err);
  if (st != TR_OK) return tr_client_raise(st, &err);
  PyObject *tuple = PyTuple_New(n), *result = NULL;
  for (int i = 0; tuple && i < n; i++) {
    PyObject *source = tr_client_wrap_rel(tr_rel_ref(sources[i]));
    if (!source) Py_CLEAR(tuple);
    else PyTuple_SET_ITEM(tuple, i, source);
  }
  if (tuple) result = Py_BuildValue("sN", text, tuple);
  tr_plan_sources_free(sources, n);
  free(text);
  return result;
}

static PyObject *decode_plan(PyObject *self, PyObject *args) {
  const char *text;
  Py_ssize_t len;
  PyObject *tuple;
  (void)self;
  if (!PyArg_ParseTuple(args, "s#O!", &text, &len, &PyTuple_Type, &tuple)) return NULL;
  Py_ssize_t n = PyTuple_GET_SIZE(tuple);
  struct tr_rel **sources = calloc((size_t)n + 1, sizeof *sources), *r;
  if (!sources) return PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *o = PyTuple_GET_ITEM(tuple, i);
    if (!PyObject_TypeCheck(o, &tr_client_rel_type)) {
      free(sources);
      return PyErr_Format(PyExc_TypeError, "source %zd is no Rel", i);
    }
    sources[i] = ((struct tr_py_rel *)o)->r;
  }
  struct tr_error err;
  enum tr_status st = tr_plan_decode(text, len, NULL, sources, (int)n, &r, &err);
  free(sources);
  return st == TR_OK ? tr_client_wrap_rel(r) : tr_client_raise(st, &err);
}

enum tr_status tr_client_run_decoded(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                                     struct tr_error *err) {
  char *text = NULL;
  struct tr_rel **sources = NULL, *detached = NULL, *copy = NULL;
  struct tr_frame *result = NULL;
  int n = 0;
  enum tr_status st;
  *out = NULL;
  TR_GOTO(st, tr_exec_detach(r, need, &detached, err));
  TR_GOTO(st, tr_plan_encode(detached, &text, &sources, &n, err));
  TR_GOTO(st, tr_plan_decode(text, (int64_t)strlen(text), NULL, sources, n, &copy, err));
  TR_GOTO(st, tr_exec_run(ctx, copy, NULL, &result, err));
  st = tr_exec_attach(r, need, result, out, err);
done:
  tr_frame_unref(result);
  tr_rel_unref(copy);
  tr_rel_unref(detached);
  tr_plan_sources_free(sources, n);
  free(text);
  return st;
}

PyMethodDef tr_client_codec_functions[] = {
    {"encode_plan", encode_plan, METH_O,
     "encode_plan(rel)\n\nThe plan as (JSON text, tuple of its source Rels); see src/meta/plan/codec.h."},
    {"decode_plan", decode_plan, METH_VARARGS,
     "decode_plan(text, sources)\n\nThe Rel of such a text over a tuple of sources like those."},
    {NULL, NULL, 0, NULL}};
