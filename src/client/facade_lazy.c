/* Lazy objects: the Native base type, the `_mgr` descriptor, and building pandas objects without a manager.
 *
 * `_mgr` on NDFrame is a non-data descriptor: instance dicts win over it, so it is asked only by objects that have
 * no manager yet. It runs Native.materialize at most once per Native, whatever the number of threads and of pandas
 * objects over it: the result is kept as the Native's pin (a manager nobody writes to, which makes pandas copy before
 * it writes), and each object gets a shallow copy of it. Waiting threads release the GIL and stay interruptible.
 */
#include "facade.h"
#include <pthread.h>
#include <structmember.h>
#include <time.h>

struct tr_client_state tr_client = {.mode = TR_MODE_AUTO, .min_rows = 100000, .min_bytes = (Py_ssize_t)16 << 20};
struct tr_client_names tr_str;

struct native {
  PyObject_HEAD PyObject *pin; /* the manager made by materialize, or the pandas manager that was ingested */
  unsigned long owner;         /* thread that runs materialize now, 0 when none */
  unsigned forks;              /* value of fork_count when owner was set: after a fork the owner is gone */
};

static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wait_cond = PTHREAD_COND_INITIALIZER;
static unsigned fork_count;

static void forked_child(void) {
  fork_count++;
  pthread_mutex_init(&wait_lock, NULL);
  pthread_cond_init(&wait_cond, NULL);
}

/* Waits without the GIL until some materialisation ends or 50 ms have gone. -1 when a signal handler raised. */
static int wait_for_owner(void) {
  Py_BEGIN_ALLOW_THREADS struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 50 * 1000 * 1000;
  if (until.tv_nsec >= 1000 * 1000 * 1000) {
    until.tv_nsec -= 1000 * 1000 * 1000;
    until.tv_sec++;
  }
  pthread_mutex_lock(&wait_lock);
  pthread_cond_timedwait(&wait_cond, &wait_lock, &until);
  pthread_mutex_unlock(&wait_lock);
  Py_END_ALLOW_THREADS return PyErr_CheckSignals();
}

static void wake_waiters(void) {
  pthread_mutex_lock(&wait_lock);
  pthread_cond_broadcast(&wait_cond);
  pthread_mutex_unlock(&wait_lock);
}

/* An AttributeError that leaves a descriptor makes Python call __getattr__, which would run the plan again. */
static void hide_attribute_error(void) {
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  if (trace) PyException_SetTraceback(value, trace);
  PyErr_Format(PyExc_RuntimeError, "terality: %S", value);
  PyObject *type2, *value2, *trace2;
  PyErr_Fetch(&type2, &value2, &trace2);
  PyErr_NormalizeException(&type2, &value2, &trace2);
  PyException_SetCause(value2, value); /* takes value */
  PyErr_Restore(type2, value2, trace2);
  Py_XDECREF(type);
  Py_XDECREF(trace);
}

/* Gives the Native's pin (new reference), materialising it at most once. */
static PyObject *native_pin(struct native *native) {
  unsigned long me = PyThread_get_thread_ident();
  while (!tr_client_is_set(native->pin) && native->owner && native->forks == fork_count) {
    if (native->owner == me) {
      PyErr_SetString(PyExc_RuntimeError, "terality: an object was materialised by its own materialisation");
      return NULL;
    }
    if (wait_for_owner() < 0) return NULL;
  }
  if (tr_client_is_set(native->pin)) return Py_NewRef(native->pin);
  native->owner = me;
  native->forks = fork_count;
  Py_INCREF(native);
  PyObject *mgr = PyObject_CallMethodNoArgs((PyObject *)native, tr_str.materialize);
  if (mgr && !tr_client_is_set(native->pin)) {
    Py_XDECREF(native->pin);
    native->pin = Py_NewRef(mgr);
  }
  native->owner = 0;
  wake_waiters();
  tr_client.materialised++;
  Py_DECREF(native);
  return mgr;
}

/* mgr.copy(deep=False): another manager over the same arrays, which registers itself with their references. */
static PyObject *shallow_copy(PyObject *mgr) {
  static PyObject *kwnames;
  if (!kwnames && !(kwnames = PyTuple_Pack(1, tr_str.deep))) return NULL;
  PyObject *args[2] = {mgr, Py_False};
  return PyObject_VectorcallMethod(tr_str.copy, args, 1, kwnames);
}

static void remove_key(PyObject *dict, PyObject *key) {
  if (PyDict_Contains(dict, key) == 1 && PyDict_DelItem(dict, key) < 0) PyErr_Clear();
}

static void forget_axes(PyObject *dict) {
  remove_key(dict, tr_str.kept_columns);
  remove_key(dict, tr_str.kept_index);
}

/* Removes the handle from an object that keeps its manager. */
static void forget_native(PyObject *dict) {
  forget_axes(dict);
  remove_key(dict, tr_str.native);
  remove_key(dict, tr_str.seal);
}

PyObject *tr_client_axis(PyObject *obj, PyObject *key) {
  PyObject *dict = PyObject_GenericGetDict(obj, NULL), *native = NULL, *axis = NULL, *view = NULL;
  if (dict && (view = Py_XNewRef(PyDict_GetItemWithError(dict, key)))) {
    Py_DECREF(dict);
    return view;
  }
  if (dict && (native = PyObject_GenericGetAttr(obj, tr_str.native)))
    axis = key == tr_str.kept_columns ? PyObject_GetAttrString(native, "columns")
                                      : PyObject_CallMethod(native, "index", NULL);
  if (axis && (view = PyObject_CallMethodNoArgs(axis, tr_str.view))) {
    PyObject *stored = Py_XNewRef(PyDict_SetDefault(dict, key, view));
    Py_SETREF(view, stored);
  }
  Py_XDECREF(dict);
  Py_XDECREF(native);
  Py_XDECREF(axis);
  return view;
}

/* Puts the Index objects that the user may already hold into the manager, and forgets them. */
static int use_kept_axes(PyObject *dict, PyObject *mgr) {
  PyObject *keys[2] = {tr_str.kept_columns, tr_str.kept_index};
  int rc = 0;
  for (int i = 0; rc == 0 && i < 2; i++) {
    PyObject *kept = PyDict_GetItemWithError(dict, keys[i]);
    if (!kept) continue;
    PyObject *axes = PyObject_GetAttr(mgr, tr_str.axes);
    Py_ssize_t n = axes && PyList_Check(axes) ? PyList_GET_SIZE(axes) : 0;
    rc = n == 0 || (i == 0 && n == 1) ? 0 : PyList_SetItem(axes, i == 0 ? 0 : n - 1, Py_NewRef(kept));
    Py_XDECREF(axes);
  }
  return PyErr_Occurred() ? -1 : rc;
}

/* Stores `_mgr` and its seal in obj's dict; gives what the dict holds afterwards (another thread may have won). */
static PyObject *store_manager(PyObject *obj, PyObject *mgr) {
  PyObject *dict = PyObject_GenericGetDict(obj, NULL), *seal = NULL, *stored = NULL;
  if (dict && use_kept_axes(dict, mgr) == 0 && (seal = tr_client_seal_new(mgr)) &&
      PyDict_SetItem(dict, tr_str.seal, seal) == 0)
    stored = Py_XNewRef(PyDict_SetDefault(dict, tr_str.mgr, mgr));
  if (stored) forget_axes(dict);
  Py_XDECREF(dict);
  Py_XDECREF(seal);
  return stored;
}

/* native.given_to(obj): it may want to know when pandas asks whether it can write in place. */
static int tell_given(PyObject *native, PyObject *obj) {
  PyObject *done = PyObject_CallMethodOneArg(native, tr_str.given_to, obj);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

static PyObject *mgr_get(PyObject *self, PyObject *obj, PyObject *type) {
  (void)type;
  if (!obj) return Py_NewRef(self);
  PyObject *native = PyObject_GenericGetAttr(obj, tr_str.native), *pin = NULL, *mgr = NULL, *stored = NULL;
  if (!native) return NULL;
  if (!PyObject_TypeCheck(native, &tr_client_native_type)) {
    Py_DECREF(native);
    return PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute '_mgr'", Py_TYPE(obj)->tp_name);
  }
  if ((pin = native_pin((struct native *)native)) && (mgr = shallow_copy(pin))) stored = store_manager(obj, mgr);
  if (stored && tell_given(native, obj) < 0) Py_CLEAR(stored);
  if (!stored) hide_attribute_error();
  Py_DECREF(native);
  Py_XDECREF(pin);
  Py_XDECREF(mgr);
  return stored;
}

PyTypeObject tr_client_mgr_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.LazyManager",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Non-data descriptor that fills `_mgr` of a lazy object on first need.",
    .tp_new = PyType_GenericNew,
    .tp_descr_get = mgr_get,
};

bool tr_client_is_lazy(PyObject *obj) {
  PyObject *native = PyObject_GenericGetAttr(obj, tr_str.native), *dict = NULL;
  bool lazy = false;
  if (native && native != Py_None && (dict = PyObject_GenericGetDict(obj, NULL)))
    lazy = PyDict_GetItemWithError(dict, tr_str.mgr) == NULL;
  Py_XDECREF(native);
  Py_XDECREF(dict);
  PyErr_Clear();
  return lazy;
}

int tr_client_live(PyObject *obj, PyObject **native) {
  *native = NULL;
  PyObject *found = PyObject_GenericGetAttr(obj, tr_str.native);
  if (!found) return -1;
  if (found == Py_None) {
    Py_DECREF(found);
    return 0;
  }
  PyObject *dict = PyObject_GenericGetDict(obj, NULL);
  if (!dict) {
    Py_DECREF(found);
    return -1;
  }
  PyObject *mgr = PyDict_GetItemWithError(dict, tr_str.mgr);
  PyObject *seal = mgr ? PyDict_GetItemWithError(dict, tr_str.seal) : NULL;
  if (!mgr || (seal && tr_client_seal_holds(seal, mgr))) {
    *native = found;
  } else {
    forget_native(dict);
    Py_DECREF(found);
  }
  Py_DECREF(dict);
  return 0;
}

/* A Flags object as `Flags(obj, allows_duplicate_labels=True)` would make it. */
static PyObject *new_flags(PyObject *obj) {
  PyObject *flags = tr_client.flags_type->tp_alloc(tr_client.flags_type, 0), *ref = PyWeakref_NewRef(obj, NULL);
  if (!flags || !ref || PyObject_GenericSetAttr(flags, tr_str.allows, Py_True) < 0 ||
      PyObject_GenericSetAttr(flags, tr_str.obj_ref, ref) < 0)
    Py_CLEAR(flags);
  Py_XDECREF(ref);
  return flags;
}

static PyObject *wrap(PyTypeObject *type, PyObject *native) {
  if (!type) return PyErr_Format(PyExc_RuntimeError, "terality is not installed");
  if (!PyObject_TypeCheck(native, &tr_client_native_type))
    return PyErr_Format(PyExc_TypeError, "expected a Native, not %s", Py_TYPE(native)->tp_name);
  PyObject *obj = type->tp_alloc(type, 0), *flags = NULL, *attrs = NULL, *name = NULL;
  bool ok = obj && (flags = new_flags(obj)) && (attrs = PyDict_New()) &&
            PyObject_GenericSetAttr(obj, tr_str.attrs, attrs) == 0 &&
            PyObject_GenericSetAttr(obj, tr_str.flags, flags) == 0 &&
            PyObject_GenericSetAttr(obj, tr_str.native, native) == 0;
  if (ok && type == tr_client.series_type)
    ok = (name = PyObject_GetAttrString(native, "name")) && PyObject_GenericSetAttr(obj, tr_str.name, name) == 0;
  if (!ok) Py_CLEAR(obj);
  Py_XDECREF(flags);
  Py_XDECREF(attrs);
  Py_XDECREF(name);
  return obj;
}

static PyObject *wrap_frame(PyObject *module, PyObject *native) {
  (void)module;
  return wrap(tr_client.frame_type, native);
}

static PyObject *wrap_series(PyObject *module, PyObject *native) {
  (void)module;
  return wrap(tr_client.series_type, native);
}

static PyObject *live_native(PyObject *module, PyObject *obj) {
  (void)module;
  PyObject *native = NULL;
  if (!tr_client_is_exact(obj)) Py_RETURN_NONE;
  if (tr_client_live(obj, &native) < 0) return NULL;
  return native ? native : Py_NewRef(Py_None);
}

static PyObject *is_lazy(PyObject *module, PyObject *obj) {
  (void)module;
  return PyBool_FromLong(tr_client_is_exact(obj) && tr_client_is_lazy(obj));
}

/* attach(obj, native): obj keeps its manager and from now on carries native, sealed to what the manager holds. */
static PyObject *attach(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
  (void)module;
  if (nargs != 2 || !PyObject_TypeCheck(args[1], &tr_client_native_type))
    return PyErr_Format(PyExc_TypeError, "attach(obj, native)");
  PyObject *mgr = PyObject_GetAttr(args[0], tr_str.mgr), *seal = NULL, *dict = NULL;
  bool ok = mgr && (seal = tr_client_seal_new(mgr)) && (dict = PyObject_GenericGetDict(args[0], NULL)) &&
            PyDict_SetItem(dict, tr_str.seal, seal) == 0 && PyDict_SetItem(dict, tr_str.native, args[1]) == 0;
  Py_XDECREF(mgr);
  Py_XDECREF(seal);
  Py_XDECREF(dict);
  if (!ok) return NULL;
  Py_RETURN_NONE;
}

/* replace(obj, native): obj becomes lazy over native; its manager, if any, is forgotten. */
static PyObject *replace(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
  (void)module;
  if (nargs != 2 || !PyObject_TypeCheck(args[1], &tr_client_native_type))
    return PyErr_Format(PyExc_TypeError, "replace(obj, native)");
  PyObject *dict = PyObject_GenericGetDict(args[0], NULL);
  if (!dict) return NULL;
  int rc = PyDict_SetItem(dict, tr_str.native, args[1]);
  forget_axes(dict);
  remove_key(dict, tr_str.mgr);
  remove_key(dict, tr_str.seal);
  Py_DECREF(dict);
  if (rc < 0) return NULL;
  Py_RETURN_NONE;
}

/* drop(obj): obj forgets its Native; a lazy one is materialised first. */
static PyObject *drop(PyObject *module, PyObject *obj) {
  (void)module;
  PyObject *mgr = PyObject_GetAttr(obj, tr_str.mgr);
  if (!mgr) return NULL;
  Py_DECREF(mgr);
  PyObject *dict = PyObject_GenericGetDict(obj, NULL);
  if (!dict) return NULL;
  forget_native(dict);
  Py_DECREF(dict);
  Py_RETURN_NONE;
}

PyMethodDef tr_client_lazy_functions[] = {
    {"wrap_frame", wrap_frame, METH_O, "wrap_frame(native)\n--\n\nA lazy pandas.DataFrame over native."},
    {"wrap_series", wrap_series, METH_O,
     "wrap_series(native)\n--\n\nA lazy pandas.Series over native, named native.name."},
    {"live_native", live_native, METH_O, "live_native(obj)\n--\n\nThe Native that still describes obj, or None."},
    {"is_lazy", is_lazy, METH_O, "is_lazy(obj)\n--\n\nTrue when obj carries a Native and has no manager yet."},
    {"attach", (PyCFunction)(void (*)(void))attach, METH_FASTCALL,
     "attach(obj, native)\n--\n\nobj keeps its manager and carries native until the manager changes."},
    {"replace", (PyCFunction)(void (*)(void))replace, METH_FASTCALL,
     "replace(obj, native)\n--\n\nobj becomes lazy over native, in place."},
    {"drop", drop, METH_O, "drop(obj)\n--\n\nMaterialises obj if needed and forgets its Native."},
    {NULL, NULL, 0, NULL},
};

static int native_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(((struct native *)self)->pin);
  return 0;
}

static int native_clear(PyObject *self) {
  Py_CLEAR(((struct native *)self)->pin);
  return 0;
}

static void native_dealloc(PyObject *self) {
  PyObject_GC_UnTrack(self);
  native_clear(self);
  Py_TYPE(self)->tp_free(self);
}

static PyMemberDef native_members[] = {
    {"pin", T_OBJECT, offsetof(struct native, pin), 0,
     "The manager this Native made or was made from (None before): shared, never written to."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject tr_client_native_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Native",
    .tp_basicsize = sizeof(struct native),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Base of everything a lazy pandas object can stand for (see terality.native).",
    .tp_new = PyType_GenericNew,
    .tp_traverse = native_traverse,
    .tp_clear = native_clear,
    .tp_dealloc = native_dealloc,
    .tp_members = native_members,
};

int tr_client_lazy_init(void) {
  static bool hooked;
  if (!hooked && pthread_atfork(NULL, NULL, forked_child) != 0) {
    PyErr_NoMemory();
    return -1;
  }
  hooked = true;
  return 0;
}
