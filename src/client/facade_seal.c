/* Seal: is the manager that pandas was given still the one the engine made?
 *
 * pandas has no version counter, and its in-place writes keep the manager object. With every array pinned by a
 * shallow copy, each regular write replaces at least one object of this list: the manager, its tuple of blocks, each
 * axis and its names, each block's values and what those values store their data in. The seal keeps all of them and compares by
 * identity, in time proportional to the number of blocks. Raw writes through `.array[...]` are not seen (nor by pandas).
 */
#include "facade.h"

static const char *const storage_names[] = {"_ndarray", "_pa_array", "_data", "_mask", "_dtype"};
enum { N_STORAGE = sizeof storage_names / sizeof storage_names[0] };
static PyObject *storage_str[N_STORAGE];

struct seal {
  PyObject_HEAD
  PyObject *parts; /* tuple: manager, blocks, axes…, per block values and storages */
};

static bool is_numpy(PyObject *values)
{
  return strcmp(Py_TYPE(values)->tp_name, "numpy.ndarray") == 0;
}

/* Appends the storages of an extension array; absent ones are marked by None. */
static int append_storages(PyObject *list, PyObject *values)
{
  for (int i = 0; i < N_STORAGE; i++) {
    PyObject *part = NULL;
    if (!storage_str[i] && !(storage_str[i] = PyUnicode_InternFromString(storage_names[i])))
      return -1;
    part = PyObject_GenericGetAttr(values, storage_str[i]);
    if (!part) {
      PyErr_Clear();
      part = Py_NewRef(Py_None);
    }
    int rc = PyList_Append(list, part);
    Py_DECREF(part);
    if (rc < 0)
      return -1;
  }
  return 0;
}

/* Appends an axis and its names, which pandas changes in place. */
static int append_axis(PyObject *list, PyObject *axis)
{
  if (PyList_Append(list, axis) < 0)
    return -1;
  PyObject *names = PyObject_GenericGetAttr(axis, tr_str.names); /* a MultiIndex has a list of them */
  int rc = 0;
  if (names && PyList_Check(names)) {
    for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(names); i++)
      rc = PyList_Append(list, PyList_GET_ITEM(names, i));
  } else {
    PyErr_Clear();
    PyObject *name = PyObject_GenericGetAttr(axis, tr_str.name);
    if (!name)
      PyErr_Clear();
    rc = PyList_Append(list, name ? name : Py_None);
    Py_XDECREF(name);
  }
  Py_XDECREF(names);
  return rc;
}

static int append_block(PyObject *list, PyObject *block)
{
  PyObject *values = PyObject_GetAttr(block, tr_str.values);
  if (!values)
    return -1;
  int rc = PyList_Append(list, values);
  if (rc == 0 && !is_numpy(values))
    rc = append_storages(list, values);
  Py_DECREF(values);
  return rc;
}

/* Lists the identities of a manager, in a fixed order. */
static PyObject *list_parts(PyObject *mgr)
{
  PyObject *list = PyList_New(0), *blocks = NULL, *axes = NULL, *fixed = NULL;
  int rc = -1;
  if (!list || PyList_Append(list, mgr) < 0 || !(blocks = PyObject_GetAttr(mgr, tr_str.blocks)) ||
      PyList_Append(list, blocks) < 0 || !(axes = PyObject_GetAttr(mgr, tr_str.axes)) || !PyList_Check(axes) ||
      !PyTuple_Check(blocks))
    goto done;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(axes); i++)
    if (append_axis(list, PyList_GET_ITEM(axes, i)) < 0)
      goto done;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(blocks); i++)
    if (append_block(list, PyTuple_GET_ITEM(blocks, i)) < 0)
      goto done;
  rc = 0;
done:
  Py_XDECREF(blocks);
  Py_XDECREF(axes);
  if (rc == 0)
    fixed = PyList_AsTuple(list);
  else if (!PyErr_Occurred())
    PyErr_SetString(PyExc_TypeError, "not a pandas manager");
  Py_XDECREF(list);
  return fixed;
}

PyObject *tr_client_seal_new(PyObject *mgr)
{
  PyObject *parts = list_parts(mgr);
  if (!parts)
    return NULL;
  struct seal *self = PyObject_GC_New(struct seal, &tr_client_seal_type);
  if (!self) {
    Py_DECREF(parts);
    return NULL;
  }
  self->parts = parts;
  PyObject_GC_Track((PyObject *)self);
  return (PyObject *)self;
}

bool tr_client_seal_holds(PyObject *seal, PyObject *mgr)
{
  if (Py_TYPE(seal) != &tr_client_seal_type)
    return false;
  PyObject *saved = ((struct seal *)seal)->parts;
  if (!saved || PyTuple_GET_ITEM(saved, 0) != mgr)
    return false;
  PyObject *now = list_parts(mgr);
  if (!now) {
    PyErr_Clear();
    return false;
  }
  Py_ssize_t n = PyTuple_GET_SIZE(saved);
  bool same = PyTuple_GET_SIZE(now) == n;
  for (Py_ssize_t i = 0; same && i < n; i++)
    same = PyTuple_GET_ITEM(saved, i) == PyTuple_GET_ITEM(now, i);
  Py_DECREF(now);
  return same;
}

static int seal_traverse(PyObject *self, visitproc visit, void *arg)
{
  Py_VISIT(((struct seal *)self)->parts);
  return 0;
}

static int seal_clear(PyObject *self)
{
  Py_CLEAR(((struct seal *)self)->parts);
  return 0;
}

static void seal_dealloc(PyObject *self)
{
  PyObject_GC_UnTrack(self);
  seal_clear(self);
  PyObject_GC_Del(self);
}

PyTypeObject tr_client_seal_type = {
  PyVarObject_HEAD_INIT(NULL, 0)
  .tp_name = "terality._engine.Seal",
  .tp_basicsize = sizeof(struct seal),
  .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
  .tp_doc = "Identities of a handed-out manager; tells whether it was changed since.",
  .tp_traverse = seal_traverse,
  .tp_clear = seal_clear,
  .tp_dealloc = seal_dealloc,
};
