/* Routing: does a call go to the engine, and is the caller a user?
 *
 * An object goes native when it carries a live Native; in auto mode also when pandas made it and it is long or big; in
 * native and strict mode always. Only exact DataFrames and Series: subclasses stay untouched pandas. Code of pandas
 * and of terality itself that calls wrapped methods gets pandas' own path, so that nothing is counted twice and
 * pandas' internals see what they expect; code objects registered as transparent, and numpy's functions, which call the
 * method of their argument, pass the question to their caller.
 */
#include "facade.h"

enum { MAX_ELEMENTS = 256 };

/* Bytes of a block's values. Text is taken as 16 bytes a row: asking Arrow costs more than a small call. */
static Py_ssize_t block_bytes(PyObject *values, Py_ssize_t rows) {
  if (strcmp(Py_TYPE(values)->tp_name, "numpy.ndarray") != 0) return 16 * rows;
  PyObject *nbytes = PyObject_GetAttr(values, tr_str.nbytes);
  Py_ssize_t n = nbytes ? PyLong_AsSsize_t(nbytes) : -1;
  Py_XDECREF(nbytes);
  return n;
}

/* Length of the last axis: a RangeIndex answers by its range, without a Python frame. */
static Py_ssize_t axis_length(PyObject *axes) {
  if (!PyList_Check(axes) || PyList_GET_SIZE(axes) == 0) return 0;
  PyObject *axis = PyList_GET_ITEM(axes, PyList_GET_SIZE(axes) - 1);
  PyObject *range = PyObject_GenericGetAttr(axis, tr_str.range);
  if (!range) {
    PyErr_Clear();
    return PyObject_Size(axis);
  }
  Py_ssize_t n = PyObject_Size(range);
  Py_DECREF(range);
  return n;
}

static bool blocks_reach(PyObject *blocks, Py_ssize_t rows) {
  Py_ssize_t total = 0;
  for (Py_ssize_t i = 0; PyTuple_Check(blocks) && i < PyTuple_GET_SIZE(blocks) && total < tr_client.min_bytes; i++) {
    PyObject *values = PyObject_GetAttr(PyTuple_GET_ITEM(blocks, i), tr_str.values);
    Py_ssize_t n = values ? block_bytes(values, rows) : -1;
    Py_XDECREF(values);
    if (n < 0) return false;
    total += n;
  }
  return total >= tr_client.min_bytes;
}

/* Is the pandas-made obj long or big enough for auto mode? Never fails. */
static bool is_large(PyObject *obj) {
  bool large = false;
  PyObject *mgr = PyObject_GenericGetAttr(obj, tr_str.mgr), *axes = NULL, *blocks = NULL;
  if (mgr && (axes = PyObject_GetAttr(mgr, tr_str.axes))) {
    Py_ssize_t rows = axis_length(axes);
    large = rows >= tr_client.min_rows;
    if (!large && rows > 0 && (blocks = PyObject_GetAttr(mgr, tr_str.blocks))) large = blocks_reach(blocks, rows);
  }
  Py_XDECREF(mgr);
  Py_XDECREF(axes);
  Py_XDECREF(blocks);
  if (PyErr_Occurred()) PyErr_Clear();
  return large;
}

enum tr_client_verdict tr_client_verdict_of(PyObject *obj) {
  PyObject *native = NULL;
  if (!tr_client_is_exact(obj)) return TR_VERDICT_PANDAS;
  if (tr_client_live(obj, &native) < 0) PyErr_Clear();
  if (native) {
    Py_DECREF(native);
    return TR_VERDICT_CARRIES;
  }
  if (tr_client.mode != TR_MODE_AUTO) return tr_client.mode == TR_MODE_OFF ? TR_VERDICT_PANDAS : TR_VERDICT_ELIGIBLE;
  return is_large(obj) ? TR_VERDICT_ELIGIBLE : TR_VERDICT_PANDAS;
}

static enum tr_client_verdict verdict_of_elements(PyObject *arg) {
  enum tr_client_verdict best = TR_VERDICT_PANDAS;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(arg);
  for (Py_ssize_t i = 0; i < n && i < MAX_ELEMENTS && best != TR_VERDICT_CARRIES; i++) {
    PyObject *item = PySequence_Fast_ITEMS(arg)[i];
    enum tr_client_verdict one = tr_client_is_exact(item) ? tr_client_verdict_of(item) : TR_VERDICT_PANDAS;
    if (one == TR_VERDICT_CARRIES || best == TR_VERDICT_PANDAS) best = one;
  }
  return best;
}

static enum tr_client_verdict verdict_of_values(PyObject *dict) {
  enum tr_client_verdict best = TR_VERDICT_PANDAS;
  PyObject *key, *item;
  Py_ssize_t pos = 0;
  for (int i = 0; i < MAX_ELEMENTS && best != TR_VERDICT_CARRIES && PyDict_Next(dict, &pos, &key, &item); i++)
    if (tr_client_is_exact(item)) {
      Py_INCREF(item);
      enum tr_client_verdict one = tr_client_verdict_of(item);
      Py_DECREF(item);
      if (one != TR_VERDICT_PANDAS) best = one;
    }
  return best;
}

enum tr_client_verdict tr_client_verdict_args(PyObject *const *args, Py_ssize_t n) {
  enum tr_client_verdict best = TR_VERDICT_PANDAS;
  for (Py_ssize_t i = 0; i < n && best != TR_VERDICT_CARRIES; i++) {
    PyObject *arg = args[i];
    enum tr_client_verdict one = TR_VERDICT_PANDAS;
    if (tr_client_is_exact(arg)) one = tr_client_verdict_of(arg);
    else if (PyList_CheckExact(arg) || PyTuple_CheckExact(arg)) one = verdict_of_elements(arg);
    else if (PyDict_CheckExact(arg)) one = verdict_of_values(arg);
    if (one != TR_VERDICT_PANDAS && best != TR_VERDICT_CARRIES) best = one;
  }
  return best;
}

static bool starts_with_any(PyObject *text, PyObject *prefixes) {
  for (Py_ssize_t i = 0; prefixes && PyTuple_Check(prefixes) && i < PyTuple_GET_SIZE(prefixes); i++)
    if (PyUnicode_Tailmatch(text, PyTuple_GET_ITEM(prefixes, i), 0, PY_SSIZE_T_MAX, -1) == 1) return true;
  return false;
}

bool tr_client_caller_is_internal(void) {
  PyFrameObject *frame = PyEval_GetFrame();
  bool internal = false, transparent = true;
  Py_XINCREF(frame);
  while (frame && transparent) {
    PyCodeObject *code = PyFrame_GetCode(frame);
    transparent = (tr_client.transparent && PySet_Contains(tr_client.transparent, (PyObject *)code) == 1) ||
                  starts_with_any(code->co_filename, tr_client.passing);
    if (!transparent)
      internal =
          starts_with_any(code->co_filename, tr_client.internal) && !starts_with_any(code->co_filename, tr_client.user);
    Py_DECREF(code);
    PyFrameObject *back = transparent ? PyFrame_GetBack(frame) : NULL;
    Py_DECREF(frame);
    frame = back;
  }
  Py_XDECREF(frame);
  if (PyErr_Occurred()) PyErr_Clear();
  return internal;
}
