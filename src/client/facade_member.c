/* Member: the data descriptor that stands in for a property (or Cython AxisProperty) of a pandas class.
 *
 * Schema members (columns, shape, dtypes, …) answer from the Native of an object that has no manager yet and are
 * never a fallback; other members (DatetimeProperties.year, DataFrame.T) behave like a call without arguments. On
 * the class it gives the descriptor it stands for, so `DataFrame.shape` is still pandas' property.
 */
#include "facade.h"
#include <structmember.h>
#include <time.h>

struct member {
  PyObject_HEAD PyObject *descr; /* pandas' descriptor */
  PyObject *handler;             /* handler(self) for reading, or NULL */
  PyObject *setter;              /* setter(self, value) for writing, or NULL */
  PyObject *axis;                /* tr_str.kept_columns or kept_index when the member is an axis, or NULL */
  PyObject *name, *owner, *subject_attr;
  int schema; /* 1: answers from the schema of unmaterialised objects only, never counted as fallback */
  long long natives, fallbacks, nanoseconds;
};

static PyObject *ask_pandas(struct member *m, PyObject *obj, PyObject *type) {
  descrgetfunc get = Py_TYPE(m->descr)->tp_descr_get;
  return get ? get(m->descr, obj, type) : Py_NewRef(m->descr);
}

/* The pandas object that decides, new reference, or NULL without an exception. */
static PyObject *subject_of(struct member *m, PyObject *obj) {
  if (!m->subject_attr) return tr_client_is_exact(obj) ? Py_NewRef(obj) : NULL;
  if ((PyObject *)Py_TYPE(obj) != m->owner) return NULL;
  PyObject *subject = PyObject_GenericGetAttr(obj, m->subject_attr);
  if (!subject) PyErr_Clear();
  else if (!tr_client_is_exact(subject)) Py_CLEAR(subject);
  return subject;
}

/* Calls handler(args…); NULL without an exception means: let pandas answer; *reason says why (new reference). */
static PyObject *ask_handler(struct member *m, PyObject *handler, PyObject *const *args, size_t n, PyObject **reason) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  PyObject *result = PyObject_Vectorcall(handler, args, n, NULL);
  clock_gettime(CLOCK_MONOTONIC, &b);
  if (result == Py_NotImplemented) Py_CLEAR(result);
  else if (!result) *reason = tr_client_take_fallback();
  if (result && (!m->schema || !tr_client_caller_is_internal())) {
    m->natives++;
    m->nanoseconds += (b.tv_sec - a.tv_sec) * 1000000000LL + (b.tv_nsec - a.tv_nsec);
  }
  return result;
}

static PyObject *get_from_schema(struct member *m, PyObject *subject, PyObject *obj, PyObject *type) {
  PyObject *result = NULL, *reason = NULL;
  if (m->axis) {
    result = tr_client_axis(subject, m->axis);
    if (!result) reason = tr_client_take_fallback();
    else if (!tr_client_caller_is_internal()) m->natives++;
  } else if (tr_client_is_set(m->handler)) {
    result = ask_handler(m, m->handler, &obj, 1, &reason);
  }
  Py_XDECREF(reason);
  return result || PyErr_Occurred() ? result : ask_pandas(m, obj, type);
}

static PyObject *get_as_call(struct member *m, PyObject *subject, PyObject *obj, PyObject *type) {
  enum tr_client_verdict verdict = tr_client_verdict_of(subject);
  if (verdict == TR_VERDICT_PANDAS || tr_client_caller_is_internal()) return ask_pandas(m, obj, type);
  PyObject *result = NULL, *reason = NULL;
  if (tr_client_load() < 0) return NULL;
  if (tr_client_is_set(m->handler)) result = ask_handler(m, m->handler, &obj, 1, &reason);
  if (result || PyErr_Occurred()) return result;
  m->fallbacks++;
  int noted = tr_client_note_fallback(m->name, reason, subject, verdict == TR_VERDICT_CARRIES);
  Py_XDECREF(reason);
  return noted < 0 ? NULL : ask_pandas(m, obj, type);
}

static PyObject *member_get(PyObject *self, PyObject *obj, PyObject *type) {
  struct member *m = (struct member *)self;
  if (!obj || obj == Py_None || tr_client.mode == TR_MODE_OFF) return ask_pandas(m, obj, type);
  PyObject *subject = subject_of(m, obj), *result;
  if (!subject) result = ask_pandas(m, obj, type);
  else if (!m->schema) result = get_as_call(m, subject, obj, type);
  else result = tr_client_is_lazy(subject) ? get_from_schema(m, subject, obj, type) : ask_pandas(m, obj, type);
  Py_XDECREF(subject);
  return result;
}

static int member_set(PyObject *self, PyObject *obj, PyObject *value) {
  struct member *m = (struct member *)self;
  PyObject *subject = tr_client_is_set(m->setter) && value && tr_client.mode != TR_MODE_OFF ? subject_of(m, obj) : NULL;
  if (subject && tr_client_verdict_of(subject) == TR_VERDICT_CARRIES && !tr_client_caller_is_internal()) {
    PyObject *args[2] = {obj, value}, *reason = NULL;
    PyObject *done = ask_handler(m, m->setter, args, 2, &reason);
    if (!done && !PyErr_Occurred()) {
      m->fallbacks++;
      if (tr_client_note_fallback(m->name, reason, subject, true) == 0) Py_CLEAR(subject);
    }
    Py_XDECREF(reason);
    bool served = done != NULL;
    Py_XDECREF(done);
    if (served || PyErr_Occurred()) {
      Py_XDECREF(subject);
      return served ? 0 : -1;
    }
  }
  Py_XDECREF(subject);
  descrsetfunc set = Py_TYPE(m->descr)->tp_descr_set;
  if (set) return set(m->descr, obj, value);
  PyErr_Format(PyExc_AttributeError, "can't set attribute");
  return -1;
}

static PyObject *member_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"descr", "name", "owner", "subject_attr", "schema", "axis", NULL};
  PyObject *descr, *name, *owner, *subject_attr = Py_None, *axis = Py_None;
  int schema = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OUO|OpO", names, &descr, &name, &owner, &subject_attr, &schema,
                                   &axis))
    return NULL;
  struct member *m = (struct member *)type->tp_alloc(type, 0);
  if (!m) return NULL;
  m->descr = Py_NewRef(descr);
  m->name = Py_NewRef(name);
  m->owner = Py_NewRef(owner);
  m->subject_attr = subject_attr == Py_None ? NULL : Py_NewRef(subject_attr);
  if (axis != Py_None)
    m->axis = Py_NewRef(PyObject_RichCompareBool(axis, tr_str.kept_columns, Py_EQ) == 1 ? tr_str.kept_columns
                                                                                        : tr_str.kept_index);
  m->schema = schema;
  return (PyObject *)m;
}

/* Attributes that are not ours (__doc__, fget, …) are those of pandas' descriptor. */
static PyObject *member_getattro(PyObject *self, PyObject *name) {
  PyObject *found = PyObject_GenericGetAttr(self, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_GetAttr(((struct member *)self)->descr, name);
}

static PyObject *member_get_doc(PyObject *self, void *unused) {
  (void)unused;
  return PyObject_GetAttrString(((struct member *)self)->descr, "__doc__");
}

static PyObject *member_reset(PyObject *self, PyObject *unused) {
  (void)unused;
  struct member *m = (struct member *)self;
  m->natives = m->fallbacks = m->nanoseconds = 0;
  Py_RETURN_NONE;
}

static int member_traverse(PyObject *self, visitproc visit, void *arg) {
  struct member *m = (struct member *)self;
  Py_VISIT(m->descr);
  Py_VISIT(m->handler);
  Py_VISIT(m->setter);
  Py_VISIT(m->owner);
  return 0;
}

static int member_clear(PyObject *self) {
  struct member *m = (struct member *)self;
  Py_CLEAR(m->descr);
  Py_CLEAR(m->handler);
  Py_CLEAR(m->setter);
  Py_CLEAR(m->owner);
  return 0;
}

static void member_dealloc(PyObject *self) {
  struct member *m = (struct member *)self;
  PyObject_GC_UnTrack(self);
  member_clear(self);
  Py_CLEAR(m->axis);
  Py_CLEAR(m->name);
  Py_CLEAR(m->subject_attr);
  Py_TYPE(self)->tp_free(self);
}

static PyMemberDef member_members[] = {
    {"__wrapped__", T_OBJECT, offsetof(struct member, descr), READONLY, "pandas' own descriptor"},
    {"handler", T_OBJECT, offsetof(struct member, handler), 0, "handler(self), or None"},
    {"setter", T_OBJECT, offsetof(struct member, setter), 0, "setter(self, value), or None"},
    {"label", T_OBJECT, offsetof(struct member, name), READONLY, "class and name"},
    {"schema", T_INT, offsetof(struct member, schema), READONLY, "1 when answered from the schema"},
    {"natives", T_LONGLONG, offsetof(struct member, natives), READONLY, "reads served natively"},
    {"fallbacks", T_LONGLONG, offsetof(struct member, fallbacks), READONLY, "reads served by pandas"},
    {"nanoseconds", T_LONGLONG, offsetof(struct member, nanoseconds), READONLY, "time in the handler"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef member_getset[] = {
    {"__doc__", member_get_doc, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef member_methods[] = {
    {"reset", member_reset, METH_NOARGS, "reset()\n--\n\nSets the counters to zero."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject tr_client_member_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Member",
    .tp_basicsize = sizeof(struct member),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = member_new,
    .tp_descr_get = member_get,
    .tp_descr_set = member_set,
    .tp_getattro = member_getattro,
    .tp_traverse = member_traverse,
    .tp_clear = member_clear,
    .tp_dealloc = member_dealloc,
    .tp_members = member_members,
    .tp_getset = member_getset,
    .tp_methods = member_methods,
};
