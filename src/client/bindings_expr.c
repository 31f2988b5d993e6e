/* Python's Expr: an immutable expression over the columns of one relation. */
#include "bindings.h"

static void expr_dealloc(PyObject *self) {
  tr_expr_unref(((struct tr_py_expr *)self)->e);
  Py_TYPE(self)->tp_free(self);
}

PyObject *tr_client_wrap_expr(struct tr_expr *e) {
  struct tr_py_expr *self = PyObject_New(struct tr_py_expr, &tr_client_expr_type);
  if (!self) tr_expr_unref(e);
  else self->e = e;
  return (PyObject *)self;
}

static struct tr_expr *expr_of(PyObject *self) { return ((struct tr_py_expr *)self)->e; }

static PyObject *get_dtype(PyObject *self, void *unused) {
  (void)unused;
  return tr_client_dtype_name(expr_of(self)->dtype);
}

static PyObject *get_maybe_null(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(expr_of(self)->maybe_null);
}

static PyObject *get_op(PyObject *self, void *unused) {
  (void)unused;
  return PyUnicode_InternFromString(tr_expr_op_name((enum tr_expr_op)expr_of(self)->op));
}

static PyObject *get_column(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromLong(expr_of(self)->op == TR_OP_COL ? expr_of(self)->column : -1);
}

static PyObject *get_depends(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(expr_of(self)->dtype_depends_on_data);
}

static PyObject *get_may_raise(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(expr_of(self)->may_raise);
}

static PyObject *get_may_refuse(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(expr_of(self)->may_refuse);
}

static PyObject *expr_repr(PyObject *self) {
  char buf[2000];
  tr_expr_print(expr_of(self), NULL, buf, sizeof buf);
  return PyUnicode_DecodeUTF8(buf, (Py_ssize_t)strlen(buf), "replace");
}

static PyObject *expr_equals(PyObject *self, PyObject *other) {
  if (!PyObject_TypeCheck(other, &tr_client_expr_type)) Py_RETURN_FALSE;
  return PyBool_FromLong(tr_expr_eq(expr_of(self), expr_of(other)));
}

static PyObject *expr_substitute(PyObject *self, PyObject *arg) {
  PyObject *fast = PySequence_Fast(arg, "a list of Expr is needed");
  if (!fast) return NULL;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(fast);
  bool ok = tr_expr_max_column(expr_of(self)) < n;
  for (Py_ssize_t i = 0; ok && i < n; i++)
    ok = PyObject_TypeCheck(PySequence_Fast_GET_ITEM(fast, i), &tr_client_expr_type);
  if (!ok) {
    Py_DECREF(fast);
    return PyErr_Format(PyExc_ValueError, "substitute needs an Expr for every column that is read");
  }
  struct tr_expr **subst = malloc(sizeof *subst * (size_t)(n + 1)), *out = NULL;
  struct tr_error err;
  PyObject *result = NULL;
  for (Py_ssize_t i = 0; i < n; i++) subst[i] = expr_of(PySequence_Fast_GET_ITEM(fast, i));
  enum tr_status st = tr_expr_substitute(expr_of(self), subst, &out, &err);
  result = st == TR_OK ? tr_client_wrap_expr(out) : tr_client_raise(st, &err);
  free(subst);
  Py_DECREF(fast);
  return result;
}

static PyGetSetDef expr_getset[] = {{"dtype", get_dtype, NULL, "dtype name", NULL},
                                    {"maybe_null", get_maybe_null, NULL, "a value may be missing", NULL},
                                    {"op", get_op, NULL, "operation name", NULL},
                                    {"column", get_column, NULL, "column position of a COL, else -1", NULL},
                                    {"dtype_depends_on_data", get_depends, NULL, "dtype is settled by the data", NULL},
                                    {"may_raise", get_may_raise, NULL, "pandas raises for some values", NULL},
                                    {"may_refuse", get_may_refuse, NULL, "some values are left to pandas", NULL},
                                    {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef expr_methods[] = {
    {"equals", expr_equals, METH_O, "Same tree."},
    {"substitute", expr_substitute, METH_O, "substitute(exprs): COL i becomes exprs[i]."},
    {NULL, NULL, 0, NULL}};

PyTypeObject tr_client_expr_type = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Expr",
                                    .tp_basicsize = sizeof(struct tr_py_expr),
                                    .tp_dealloc = expr_dealloc,
                                    .tp_repr = expr_repr,
                                    .tp_flags = Py_TPFLAGS_DEFAULT,
                                    .tp_doc = "An expression over the columns of one relation.",
                                    .tp_getset = expr_getset,
                                    .tp_methods = expr_methods};

static PyObject *make_col(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 2 || !PyObject_TypeCheck(args[0], &tr_client_rel_type)) {
    PyErr_SetString(PyExc_TypeError, "col(rel, position)");
    return NULL;
  }
  const struct tr_rel *r = ((struct tr_py_rel *)args[0])->r;
  long at = PyLong_AsLong(args[1]);
  if (at < 0 || at >= r->n_cols)
    return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_IndexError, "column %ld of %d", at, r->n_cols);
  struct tr_expr *e;
  struct tr_error err;
  enum tr_status st = tr_expr_col((int32_t)at, r->cols[at].dtype, r->cols[at].maybe_null, &e, &err);
  return st == TR_OK ? tr_client_wrap_expr(e) : tr_client_raise(st, &err);
}

static PyObject *make_lit(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  struct tr_dtype t;
  struct tr_scalar v;
  if (n != 3) {
    PyErr_SetString(PyExc_TypeError, "lit(value, dtype, weak)");
    return NULL;
  }
  if (!tr_client_dtype_arg(args[1], &t) || !tr_client_scalar_arg(args[0], t, &v)) return NULL;
  struct tr_expr *e;
  struct tr_error err;
  enum tr_status st = tr_expr_lit(&v, PyObject_IsTrue(args[2]) == 1, &e, &err);
  return st == TR_OK ? tr_client_wrap_expr(e) : tr_client_raise(st, &err);
}

/* list= values of one dtype, borrowed texts */
static bool list_arg(PyObject *seq, PyObject *dtype, struct tr_expr_params *p) {
  struct tr_dtype t;
  if (!tr_client_dtype_arg(dtype, &t)) return false;
  Py_ssize_t n = PySequence_Length(seq);
  if (n < 0) return false;
  struct tr_scalar *values = malloc(sizeof *values * (size_t)(n + 1));
  if (!values) return PyErr_NoMemory() != NULL;
  p->list = values;
  p->n_list = n;
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *v = PySequence_Fast_GET_ITEM(seq, i);
    if (!tr_client_scalar_arg(v, t, &values[i])) return false;
  }
  return true;
}

static bool params_arg(PyObject *seq, struct tr_expr_params *p) {
  if (!PyTuple_Check(seq) || PyTuple_GET_SIZE(seq) > 4) {
    PyErr_SetString(PyExc_TypeError, "params must be a tuple of at most 4 ints");
    return false;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(seq); i++) p->params[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(seq, i));
  return !PyErr_Occurred();
}

static PyObject *make_op(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"op", "args", "params", "text", "text2", "list", "list_dtype", "dtype", NULL};
  PyObject *op_args, *params = NULL, *list = NULL, *list_dtype = NULL, *dtype = NULL;
  const char *op_name;
  struct tr_expr_params p = {0};
  struct tr_expr *in[TR_EXPR_MAX_ARGS], *out;
  struct tr_error err;
  (void)self;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO!|OzzO!OO", names, &op_name, &PyTuple_Type, &op_args, &params,
                                   &p.text, &p.text2, &PyTuple_Type, &list, &list_dtype, &dtype))
    return NULL;
  int op = tr_expr_op_parse(op_name);
  Py_ssize_t n = PyTuple_GET_SIZE(op_args);
  if (op < 0 || n > TR_EXPR_MAX_ARGS)
    return PyErr_Format(PyExc_ValueError, "operation %s with %zd arguments", op_name, n);
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *a = PyTuple_GET_ITEM(op_args, i);
    if (!PyObject_TypeCheck(a, &tr_client_expr_type))
      return PyErr_Format(PyExc_TypeError, "argument %zd is no Expr", i);
    in[i] = expr_of(a);
  }
  if (params && params != Py_None && !params_arg(params, &p)) return NULL;
  if (dtype && dtype != Py_None && !tr_client_dtype_arg(dtype, &p.dtype)) return NULL;
  PyObject *result = NULL;
  if (!list || list_arg(list, list_dtype, &p)) {
    enum tr_status st = tr_expr_make((enum tr_expr_op)op, in, (int)n, &p, &out, &err);
    result = st == TR_OK ? tr_client_wrap_expr(out) : tr_client_raise(st, &err);
  }
  free((void *)p.list);
  return result;
}

PyMethodDef tr_client_expr_functions[] = {
    {"col", (PyCFunction)(void (*)(void))make_col, METH_FASTCALL, "col(rel, position)\n\nThe column as an Expr."},
    {"lit", (PyCFunction)(void (*)(void))make_lit, METH_FASTCALL,
     "lit(value, dtype, weak)\n\nA constant. None is the dtype's missing value; datetimes are int ticks; weak = a "
     "Python scalar."},
    {"op", (PyCFunction)(void (*)(void))make_op, METH_VARARGS | METH_KEYWORDS,
     "op(op, args, params=(), text=None, text2=None, list=(), list_dtype='', dtype='')\n\n"
     "An operation of meta/plan/expr.h. Raises Fallback where the engine has none for these dtypes."},
    {NULL, NULL, 0, NULL}};
