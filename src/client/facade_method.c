/* Method: the callable that stands in for a pandas function and decides, in C, who serves a call.
 *
 * It adds no Python frame, so pandas' warning levels, `query` locals and reference-count checks see what they would
 * see without us (the in-place methods excepted, whose check the wrapper makes itself, because pandas' function no
 * longer receives the only reference). It binds like a function, answers unknown attributes from the function it
 * stands for, and counts its calls.
 */
#include "facade.h"
#include <structmember.h>
#include <time.h>

struct method {
  PyObject_HEAD vectorcallfunc vectorcall;
  PyObject *fn;      /* pandas' function */
  PyObject *handler; /* ours, or NULL */
  PyObject *name;    /* "DataFrame.sort_values" */
  PyObject *owner;   /* the class or module it is installed in */
  PyObject *subject_attr;
  PyObject *dict;
  PyObject *weakrefs;
  int subject;           /* enum tr_client_subject */
  int chained;           /* enum tr_client_chained */
  Py_ssize_t inplace_at; /* position of `inplace` among the arguments incl. self, -1: keyword only */
  long long natives, fallbacks, nanoseconds;
};

int tr_client_note_fallback(PyObject *name, PyObject *reason, PyObject *subject, bool carries) {
  if (!tr_client.on_fallback) return 0;
  PyObject *args[4] = {name, reason ? reason : Py_None, subject ? subject : Py_None, carries ? Py_True : Py_False};
  PyObject *done = PyObject_Vectorcall(tr_client.on_fallback, args, 4, NULL);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

/* The hook stays until it has succeeded once: threads that come meanwhile wait on Python's import lock. */
int tr_client_load(void) {
  if (!tr_client.on_load) return 0;
  PyObject *load = Py_NewRef(tr_client.on_load), *done = PyObject_CallNoArgs(load);
  if (done && tr_client.on_load == load) Py_CLEAR(tr_client.on_load);
  Py_DECREF(load);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

PyObject *tr_client_take_fallback(void) {
  if (!tr_client.fallback_exc || !PyErr_ExceptionMatches(tr_client.fallback_exc)) return NULL;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  PyObject *text = value ? PyObject_Str(value) : NULL;
  if (!text) {
    PyErr_Clear();
    text = PyUnicode_FromString("not supported");
  }
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  return text;
}

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The object whose Native decides, new reference; NULL without an exception when there is none of an exact type. A
 * wrapper may stand in another class too, for which it is pandas' function. */
static PyObject *find_subject(const struct method *m, PyObject *const *args, Py_ssize_t nargs) {
  if (nargs == 0 || m->subject >= TR_SUBJECT_ARGS) return NULL;
  if (m->subject == TR_SUBJECT_SELF) {
    bool ours = tr_client_is_exact(args[0]) && (PyObject *)Py_TYPE(args[0]) == m->owner;
    return ours ? Py_NewRef(args[0]) : NULL;
  }
  if ((PyObject *)Py_TYPE(args[0]) != m->owner) return NULL;
  PyObject *obj = PyObject_GenericGetAttr(args[0], m->subject_attr);
  if (!obj) PyErr_Clear();
  else if (!tr_client_is_exact(obj)) Py_CLEAR(obj);
  return obj;
}

static enum tr_client_verdict decide(const struct method *m, PyObject *subject, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kwnames) {
  Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
  if (tr_client.mode == TR_MODE_OFF) return TR_VERDICT_PANDAS;
  if (m->subject == TR_SUBJECT_ALWAYS) return TR_VERDICT_ELIGIBLE;
  if (m->subject == TR_SUBJECT_ARGS) return tr_client_verdict_args(args, n);
  if (!subject) return TR_VERDICT_PANDAS;
  enum tr_client_verdict best = tr_client_verdict_of(subject);
  if (best == TR_VERDICT_CARRIES || n < 2) return best;
  enum tr_client_verdict others = tr_client_verdict_args(args + 1, n - 1);
  return others != TR_VERDICT_PANDAS ? others : best;
}

/* Does this call ask for `inplace`? */
static bool wants_inplace(const struct method *m, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
  if (m->chained == TR_CHAINED_ALWAYS) return true;
  for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++)
    if (PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, i), tr_str.inplace) == 0) return args[nargs + i] == Py_True;
  return m->inplace_at > 0 && nargs > m->inplace_at && args[m->inplace_at] == Py_True;
}

/* pandas' chained-assignment check. refs: references to obj when nothing but the running expression holds it. */
static int check_chained(PyObject *name, PyObject *obj, Py_ssize_t refs) {
  if (Py_REFCNT(obj) > refs || !tr_client.on_chained) return 0;
  PyObject *done = PyObject_CallFunctionObjArgs(tr_client.on_chained, name, obj, NULL);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

static PyObject *call_pandas(struct method *m, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
  Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  if (m->chained >= TR_CHAINED_INPLACE && nargs > 0 && Py_REFCNT(args[0]) <= 1 &&
      wants_inplace(m, args, nargs, kwnames) && check_chained(m->name, args[0], 1) < 0)
    return NULL;
  return PyObject_Vectorcall(m->fn, args, nargsf, kwnames);
}

static PyObject *call_fallback(struct method *m, PyObject *const *args, size_t nargsf, PyObject *kwnames,
                               PyObject *reason, bool carries) {
  PyObject *subject = find_subject(m, args, PyVectorcall_NARGS(nargsf));
  int noted = tr_client_note_fallback(m->name, reason, subject, carries);
  Py_XDECREF(subject); /* before pandas counts its references */
  m->fallbacks++;
  return noted < 0 ? NULL : call_pandas(m, args, nargsf, kwnames);
}

/* The check that pandas would have made, after a native write. Our own reference to the subject is counted in. */
static int check_native_write(struct method *m, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
  if (m->chained == TR_CHAINED_NONE || (m->chained >= TR_CHAINED_INPLACE && !wants_inplace(m, args, nargs, kwnames)))
    return 0;
  PyObject *subject = find_subject(m, args, nargs);
  int rc = subject ? check_chained(m->name, subject, 2) : 0;
  Py_XDECREF(subject);
  return rc;
}

static PyObject *call_native(struct method *m, PyObject *const *args, size_t nargsf, PyObject *kwnames, bool carries) {
  if (tr_client_load() < 0) return NULL;
  if (!tr_client_is_set(m->handler)) return call_fallback(m, args, nargsf, kwnames, NULL, carries);
  long long start = now_ns();
  PyObject *handler = Py_NewRef(m->handler), *reason = NULL;
  PyObject *result = PyObject_Vectorcall(handler, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
  Py_DECREF(handler);
  if (result == Py_NotImplemented) Py_CLEAR(result);
  else if (!result && !(reason = tr_client_take_fallback())) return NULL;
  if (!result) {
    result = call_fallback(m, args, nargsf, kwnames, reason, carries);
    Py_XDECREF(reason);
    return result;
  }
  m->natives++;
  m->nanoseconds += now_ns() - start;
  if (check_native_write(m, args, PyVectorcall_NARGS(nargsf), kwnames) < 0) Py_CLEAR(result);
  return result;
}

/* Length and the like: answered by the handler while there is no manager, whoever asks. */
static PyObject *call_schema(struct method *m, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
  if (tr_client.mode == TR_MODE_OFF || PyVectorcall_NARGS(nargsf) == 0 || !tr_client_is_set(m->handler) ||
      !tr_client_is_exact(args[0]) || !tr_client_is_lazy(args[0]))
    return PyObject_Vectorcall(m->fn, args, nargsf, kwnames);
  if (!tr_client_caller_is_internal()) m->natives++;
  return PyObject_Vectorcall(m->handler, args, nargsf & ~PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
}

static PyObject *method_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
  struct method *m = (struct method *)self;
  Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  if (m->subject == TR_SUBJECT_SCHEMA) return call_schema(m, args, nargsf, kwnames);
  PyObject *subject = find_subject(m, args, nargs);
  enum tr_client_verdict verdict = decide(m, subject, args, nargs, kwnames);
  Py_XDECREF(subject);
  if (verdict == TR_VERDICT_PANDAS || tr_client_caller_is_internal()) return call_pandas(m, args, nargsf, kwnames);
  return call_native(m, args, nargsf, kwnames, verdict == TR_VERDICT_CARRIES);
}

static PyObject *method_descr_get(PyObject *self, PyObject *obj, PyObject *type) {
  (void)type;
  return !obj || obj == Py_None ? Py_NewRef(self) : PyMethod_New(self, obj);
}

static PyObject *method_getattro(PyObject *self, PyObject *name) {
  PyObject *found = PyObject_GenericGetAttr(self, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError) || !((struct method *)self)->fn) return found;
  PyErr_Clear();
  return PyObject_GetAttr(((struct method *)self)->fn, name);
}

static PyObject *method_get_forwarded(PyObject *self, void *name) {
  PyObject *dict = ((struct method *)self)->dict, *own = NULL;
  if (dict && (own = PyDict_GetItemString(dict, name))) return Py_NewRef(own);
  return PyObject_GetAttrString(((struct method *)self)->fn, name);
}

static int method_set_forwarded(PyObject *self, PyObject *value, void *name) {
  struct method *m = (struct method *)self;
  if (!m->dict && !(m->dict = PyDict_New())) return -1;
  return value ? PyDict_SetItemString(m->dict, name, value) : PyDict_DelItemString(m->dict, name);
}

/* A wrapper equals what it wraps: pandas tells by comparing inherited methods whether two classes share one. */
static PyObject *method_compare(PyObject *self, PyObject *other, int op) {
  if (op != Py_EQ && op != Py_NE) Py_RETURN_NOTIMPLEMENTED;
  PyObject *fn = Py_TYPE(other) == &tr_client_method_type ? ((struct method *)other)->fn : other;
  return PyBool_FromLong((self == other || ((struct method *)self)->fn == fn) == (op == Py_EQ));
}

static Py_hash_t method_hash(PyObject *self) { return PyObject_Hash(((struct method *)self)->fn); }

static PyObject *method_repr(PyObject *self) { return PyObject_Repr(((struct method *)self)->fn); }

/* Pickles and copies by name: whoever loads it gets what the name means there, with or without terality. */
static PyObject *method_reduce(PyObject *self, PyObject *unused) {
  (void)unused;
  struct method *m = (struct method *)self;
  if (!PyType_Check(m->owner)) return PyObject_GetAttrString(m->fn, "__qualname__");
  PyObject *builtins = PyEval_GetBuiltins();
  PyObject *get = builtins ? PyDict_GetItemString(builtins, "getattr") : NULL;
  PyObject *attr = PyObject_GetAttrString(m->fn, "__name__");
  PyObject *out = get && attr ? Py_BuildValue("O(OO)", get, m->owner, attr) : NULL;
  Py_XDECREF(attr);
  return out;
}

static PyObject *method_reset(PyObject *self, PyObject *unused) {
  (void)unused;
  struct method *m = (struct method *)self;
  m->natives = m->fallbacks = m->nanoseconds = 0;
  Py_RETURN_NONE;
}

static PyObject *method_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"fn", "name", "owner", "subject", "subject_attr", "chained", "inplace_at", NULL};
  PyObject *fn, *name, *owner, *subject_attr = Py_None;
  int subject = TR_SUBJECT_SELF, chained = TR_CHAINED_NONE;
  Py_ssize_t inplace_at = -1;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OUO|iOin", names, &fn, &name, &owner, &subject, &subject_attr,
                                   &chained, &inplace_at))
    return NULL;
  struct method *m = (struct method *)type->tp_alloc(type, 0);
  if (!m) return NULL;
  m->vectorcall = method_vectorcall;
  m->fn = Py_NewRef(fn);
  m->name = Py_NewRef(name);
  m->owner = Py_NewRef(owner);
  m->subject = subject;
  m->chained = chained;
  m->inplace_at = inplace_at;
  if (subject_attr != Py_None) {
    m->subject_attr = Py_NewRef(subject_attr);
    PyUnicode_InternInPlace(&m->subject_attr);
  }
  return (PyObject *)m;
}

static int method_traverse(PyObject *self, visitproc visit, void *arg) {
  struct method *m = (struct method *)self;
  Py_VISIT(m->fn);
  Py_VISIT(m->handler);
  Py_VISIT(m->owner);
  Py_VISIT(m->dict);
  return 0;
}

static int method_clear(PyObject *self) {
  struct method *m = (struct method *)self;
  Py_CLEAR(m->fn);
  Py_CLEAR(m->handler);
  Py_CLEAR(m->owner);
  Py_CLEAR(m->dict);
  return 0;
}

static void method_dealloc(PyObject *self) {
  struct method *m = (struct method *)self;
  PyObject_GC_UnTrack(self);
  if (m->weakrefs) PyObject_ClearWeakRefs(self);
  method_clear(self);
  Py_CLEAR(m->name);
  Py_CLEAR(m->subject_attr);
  Py_TYPE(self)->tp_free(self);
}

static PyMemberDef method_members[] = {
    {"__wrapped__", T_OBJECT, offsetof(struct method, fn), READONLY, "pandas' own function"},
    {"handler", T_OBJECT, offsetof(struct method, handler), 0, "the native implementation, or None"},
    {"label", T_OBJECT, offsetof(struct method, name), READONLY, "class and name"},
    {"natives", T_LONGLONG, offsetof(struct method, natives), READONLY, "calls served natively"},
    {"fallbacks", T_LONGLONG, offsetof(struct method, fallbacks), READONLY, "calls served by pandas"},
    {"nanoseconds", T_LONGLONG, offsetof(struct method, nanoseconds), READONLY, "time in the native implementation"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef method_getset[] = {
    {"__doc__", method_get_forwarded, method_set_forwarded, NULL, "__doc__"},
    {"__name__", method_get_forwarded, method_set_forwarded, NULL, "__name__"},
    {"__qualname__", method_get_forwarded, method_set_forwarded, NULL, "__qualname__"},
    {"__module__", method_get_forwarded, method_set_forwarded, NULL, "__module__"},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef method_methods[] = {
    {"__reduce__", method_reduce, METH_NOARGS, NULL},
    {"reset", method_reset, METH_NOARGS, "reset()\n--\n\nSets the counters to zero."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject tr_client_method_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Method",
    .tp_basicsize = sizeof(struct method),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_vectorcall_offset = offsetof(struct method, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = method_new,
    .tp_descr_get = method_descr_get,
    .tp_getattro = method_getattro,
    .tp_setattro = PyObject_GenericSetAttr,
    .tp_repr = method_repr,
    .tp_richcompare = method_compare,
    .tp_hash = method_hash,
    .tp_traverse = method_traverse,
    .tp_clear = method_clear,
    .tp_dealloc = method_dealloc,
    .tp_dictoffset = offsetof(struct method, dict),
    .tp_weaklistoffset = offsetof(struct method, weakrefs),
    .tp_members = method_members,
    .tp_getset = method_getset,
    .tp_methods = method_methods,
};
