/* Seal: is the manager that pandas was given still the one the engine made?
 *
 * pandas has no version counter, and its in-place writes keep the manager object. With every array pinned by a
 * shallow copy, each regular write replaces at least one object of this list: the manager, its tuple of blocks, each
 * axis and its names, each block's values and what those values store their data in. The seal keeps all of them and
 * compares by identity, in time proportional to the number of blocks. Raw writes through `.array[...]` are not seen
 * (nor by pandas).
 */
#include "facade.h"

static const char *const storage_names[] = {"_ndarray", "_pa_array", "_data", "_mask", "_dtype"};
enum { N_STORAGE = sizeof storage_names / sizeof storage_names[0] };
static PyObject *storage_str[N_STORAGE];

struct seal {
  PyObject_HEAD PyObject *parts; /* tuple: manager, blocks, axes…, per block values and storages */
};

/* The parts of a manager are walked in a fixed order, either collected (saved == NULL) or compared with `saved`. */
struct walk {
  PyObject *collected; /* list */
  PyObject *saved;     /* tuple */
  Py_ssize_t at;
};

/* One part (borrowed; NULL stands for absent). 0 to go on, -1 to stop: changed, or an exception is set. */
static int visit_part(struct walk *w, PyObject *part) {
  if (!part) part = Py_None;
  if (!w->saved) return PyList_Append(w->collected, part);
  bool same = w->at < PyTuple_GET_SIZE(w->saved) && PyTuple_GET_ITEM(w->saved, w->at) == part;
  w->at++;
  return same ? 0 : -1;
}

/* An attribute that may be absent: no exception is made for it. */
static int visit_attr(struct walk *w, PyObject *obj, PyObject *name) {
  PyObject *part = NULL;
#if PY_VERSION_HEX >= 0x030D0000
  if (PyObject_GetOptionalAttr(obj, name, &part) < 0) return -1;
#else
  if (_PyObject_LookupAttr(obj, name, &part) < 0) return -1;
#endif
  int rc = visit_part(w, part);
  Py_XDECREF(part);
  return rc;
}

/* A block's values, and what an extension array stores its data in. */
static int visit_block(struct walk *w, PyObject *block) {
  PyObject *values = PyObject_GetAttr(block, tr_str.values);
  int rc = values ? visit_part(w, values) : -1;
  bool storages = rc == 0 && strcmp(Py_TYPE(values)->tp_name, "numpy.ndarray") != 0;
  for (int i = 0; storages && rc == 0 && i < N_STORAGE; i++)
    rc = storage_str[i] || (storage_str[i] = PyUnicode_InternFromString(storage_names[i]))
             ? visit_attr(w, values, storage_str[i])
             : -1;
  Py_XDECREF(values);
  return rc;
}

/* An axis and its names, which pandas changes in place; a MultiIndex has a list of them. */
static int visit_axis(struct walk *w, PyObject *axis) {
  PyObject *names = NULL;
  int rc = visit_part(w, axis);
  if (rc < 0) return rc;
  if (!(names = PyObject_GenericGetAttr(axis, tr_str.names))) {
    PyErr_Clear();
    return visit_attr(w, axis, tr_str.name);
  }
  for (Py_ssize_t i = 0; PyList_Check(names) && rc == 0 && i < PyList_GET_SIZE(names); i++)
    rc = visit_part(w, PyList_GET_ITEM(names, i));
  Py_DECREF(names);
  return rc;
}

static int visit_manager(struct walk *w, PyObject *mgr) {
  PyObject *blocks = NULL, *axes = NULL;
  int rc = visit_part(w, mgr);
  if (rc == 0 && (!(blocks = PyObject_GetAttr(mgr, tr_str.blocks)) || !(axes = PyObject_GetAttr(mgr, tr_str.axes))))
    rc = -1;
  if (rc == 0 && (!PyTuple_Check(blocks) || !PyList_Check(axes))) {
    PyErr_SetString(PyExc_TypeError, "not a pandas manager");
    rc = -1;
  }
  if (rc == 0) rc = visit_part(w, blocks);
  for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(axes); i++) rc = visit_axis(w, PyList_GET_ITEM(axes, i));
  for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_GET_SIZE(blocks); i++) rc = visit_block(w, PyTuple_GET_ITEM(blocks, i));
  Py_XDECREF(blocks);
  Py_XDECREF(axes);
  return rc;
}

PyObject *tr_client_seal_new(PyObject *mgr) {
  struct walk w = {.collected = PyList_New(0)};
  PyObject *parts = w.collected && visit_manager(&w, mgr) == 0 ? PyList_AsTuple(w.collected) : NULL;
  Py_XDECREF(w.collected);
  if (!parts) return NULL;
  struct seal *self = PyObject_GC_New(struct seal, &tr_client_seal_type);
  if (!self) {
    Py_DECREF(parts);
    return NULL;
  }
  self->parts = parts;
  PyObject_GC_Track((PyObject *)self);
  return (PyObject *)self;
}

bool tr_client_seal_holds(PyObject *seal, PyObject *mgr) {
  if (Py_TYPE(seal) != &tr_client_seal_type || !((struct seal *)seal)->parts) return false;
  struct walk w = {.saved = Py_NewRef(((struct seal *)seal)->parts)};
  bool holds = visit_manager(&w, mgr) == 0 && w.at == PyTuple_GET_SIZE(w.saved);
  Py_DECREF(w.saved);
  if (PyErr_Occurred()) PyErr_Clear();
  return holds;
}

static int seal_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(((struct seal *)self)->parts);
  return 0;
}

static int seal_clear(PyObject *self) {
  Py_CLEAR(((struct seal *)self)->parts);
  return 0;
}

static void seal_dealloc(PyObject *self) {
  PyObject_GC_UnTrack(self);
  seal_clear(self);
  PyObject_GC_Del(self);
}

PyTypeObject tr_client_seal_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Seal",
    .tp_basicsize = sizeof(struct seal),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Identities of a handed-out manager; tells whether it was changed since.",
    .tp_traverse = seal_traverse,
    .tp_clear = seal_clear,
    .tp_dealloc = seal_dealloc,
};
