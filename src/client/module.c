/* terality._engine: the module. Registers the facade's types and functions, the settings that the Python side hands
 * over at install, and the engine's bindings. */
#include "engine_bindings.h"
#include "facade.h"

static const struct {
  PyObject **slot;
  const char *text;
} interned[] = {
    {&tr_str.native, "_tr_native"},
    {&tr_str.seal, "_tr_seal"},
    {&tr_str.mgr, "_mgr"},
    {&tr_str.attrs, "_attrs"},
    {&tr_str.flags, "_flags"},
    {&tr_str.name, "_name"},
    {&tr_str.obj_ref, "_obj"},
    {&tr_str.allows, "_allows_duplicate_labels"},
    {&tr_str.copy, "copy"},
    {&tr_str.materialize, "materialize"},
    {&tr_str.deep, "deep"},
    {&tr_str.blocks, "blocks"},
    {&tr_str.axes, "axes"},
    {&tr_str.values, "values"},
    {&tr_str.range, "_range"},
    {&tr_str.names, "_names"},
    {&tr_str.view, "view"},
    {&tr_str.kept_columns, "_tr_columns"},
    {&tr_str.kept_index, "_tr_index"},
    {&tr_str.given_to, "given_to"},
    {&tr_str.nbytes, "nbytes"},
    {&tr_str.inplace, "inplace"},
};

static void keep(PyObject **slot, PyObject *value) {
  PyObject *old = *slot;
  *slot = value && value != Py_None ? Py_NewRef(value) : NULL;
  Py_XDECREF(old);
}

/* configure(frame_type, series_type, flags_type, fallback, on_fallback, on_chained, internal, user, transparent,
 * passing, on_load) */
static PyObject *configure(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *frame, *series, *flags, *exc, *on_fallback, *on_chained, *internal, *user, *transparent, *passing, *on_load;
  if (!PyArg_ParseTuple(args, "O!O!O!OOOO!O!O!O!O", &PyType_Type, &frame, &PyType_Type, &series, &PyType_Type, &flags,
                        &exc, &on_fallback, &on_chained, &PyTuple_Type, &internal, &PyTuple_Type, &user, &PySet_Type,
                        &transparent, &PyTuple_Type, &passing, &on_load))
    return NULL;
  keep((PyObject **)&tr_client.frame_type, frame);
  keep((PyObject **)&tr_client.series_type, series);
  keep((PyObject **)&tr_client.flags_type, flags);
  keep(&tr_client.fallback_exc, exc);
  keep(&tr_client.on_fallback, on_fallback);
  keep(&tr_client.on_chained, on_chained);
  keep(&tr_client.internal, internal);
  keep(&tr_client.user, user);
  keep(&tr_client.transparent, transparent);
  keep(&tr_client.passing, passing);
  keep(&tr_client.on_load, on_load);
  Py_RETURN_NONE;
}

/* set_mode(mode, min_rows, min_bytes) */
static PyObject *set_mode(PyObject *module, PyObject *args) {
  (void)module;
  int mode;
  Py_ssize_t rows, bytes;
  if (!PyArg_ParseTuple(args, "inn", &mode, &rows, &bytes)) return NULL;
  if (mode < TR_MODE_OFF || mode > TR_MODE_STRICT) return PyErr_Format(PyExc_ValueError, "no such mode: %d", mode);
  tr_client.mode = (enum tr_client_mode)mode;
  tr_client.min_rows = rows;
  tr_client.min_bytes = bytes;
  Py_RETURN_NONE;
}

static PyObject *caller_is_internal(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyBool_FromLong(tr_client_caller_is_internal());
}

static PyObject *materialised(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromUnsignedLongLong(tr_client.materialised);
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_VARARGS, "Hands over pandas' classes and the Python hooks; called once by install."},
    {"set_mode", set_mode, METH_VARARGS, "set_mode(mode, min_rows, min_bytes)"},
    {"caller_is_internal", caller_is_internal, METH_NOARGS, "Is the calling code pandas' or terality's own?"},
    {"materialised", materialised, METH_NOARGS, "Number of plans run to give pandas a manager."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "terality._engine",
    .m_doc = "The compiled part of terality: pandas' lazy objects and the engine.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__engine(void) {
  static const struct {
    const char *name;
    PyTypeObject *type;
  } types[] = {
      {"Native", &tr_client_native_type}, {"LazyManager", &tr_client_mgr_type}, {"Seal", &tr_client_seal_type},
      {"Method", &tr_client_method_type}, {"Member", &tr_client_member_type},
  };
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  bool ok = tr_client_lazy_init() == 0 && PyModule_AddFunctions(module, tr_client_lazy_functions) == 0;
  for (size_t i = 0; ok && i < sizeof interned / sizeof interned[0]; i++)
    ok = *interned[i].slot || (*interned[i].slot = PyUnicode_InternFromString(interned[i].text));
  for (size_t i = 0; ok && i < sizeof types / sizeof types[0]; i++)
    ok = PyType_Ready(types[i].type) == 0 &&
         PyModule_AddObjectRef(module, types[i].name, (PyObject *)types[i].type) == 0;
  if (!ok || tr_client_add_engine(module) < 0) Py_CLEAR(module);
  return module;
}
