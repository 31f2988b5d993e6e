/* Python's Rel: a plan node. Making nodes, running them, explaining them. */
#include "bindings.h"
#include "data/kern/group/group.h"

static struct tr_rel *rel_of(PyObject *self) { return ((struct tr_py_rel *)self)->r; }

static void rel_dealloc(PyObject *self) {
  struct tr_rel *r = rel_of(self);
  atomic_fetch_sub(&r->handles, 1);
  tr_rel_unref(r);
  Py_TYPE(self)->tp_free(self);
}

PyObject *tr_client_wrap_rel(struct tr_rel *r) {
  struct tr_py_rel *self = PyObject_New(struct tr_py_rel, &tr_client_rel_type);
  if (!self) {
    tr_rel_unref(r);
    return NULL;
  }
  self->r = r;
  atomic_fetch_add(&r->handles, 1);
  return (PyObject *)self;
}

static PyObject *get_n_cols(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromLong(rel_of(self)->n_cols);
}
static PyObject *get_n_rows(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromLongLong(rel_of(self)->n_rows);
}
static PyObject *get_kind(PyObject *self, void *unused) {
  (void)unused;
  return PyUnicode_InternFromString(tr_rel_kind_name((enum tr_rel_kind)rel_of(self)->kind));
}

static PyObject *rel_schema(PyObject *self, PyObject *arg) {
  const struct tr_rel *r = rel_of(self);
  long i = PyLong_AsLong(arg);
  if (i < 0 || i >= r->n_cols)
    return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_IndexError, "column %ld of %d", i, r->n_cols);
  PyObject *name = tr_client_dtype_name(r->cols[i].dtype);
  return name ? Py_BuildValue("NOO", name, r->cols[i].maybe_null ? Py_True : Py_False,
                              r->cols[i].unsettled ? Py_True : Py_False)
              : NULL;
}

/* need: None or a tuple of positions; gives a bool array (free), or NULL with *all set or an exception. */
static bool *need_arg(PyObject *arg, const struct tr_rel *r, bool *all) {
  *all = arg == NULL || arg == Py_None;
  if (*all) return NULL;
  PyObject *fast = PySequence_Fast(arg, "need must be a sequence of column positions");
  bool *need = fast ? calloc((size_t)r->n_cols + 1, sizeof *need) : NULL;
  if (fast && !need) PyErr_NoMemory();
  for (Py_ssize_t i = 0; need && i < PySequence_Fast_GET_SIZE(fast); i++) {
    long at = PyLong_AsLong(PySequence_Fast_GET_ITEM(fast, i));
    if (at >= 0 && at < r->n_cols) {
      need[at] = true;
      continue;
    }
    if (!PyErr_Occurred()) PyErr_Format(PyExc_IndexError, "column %ld of %d", at, r->n_cols);
    free(need);
    need = NULL;
  }
  Py_XDECREF(fast);
  return need;
}

static PyObject *runner; /* who computes instead of this process; NULL = nobody */

static PyObject *rel_run_here(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  bool all;
  bool *need = need_arg(n ? args[0] : NULL, rel_of(self), &all);
  if (!need && !all) return NULL;
  struct tr_frame *f = NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_client_run(&call.ctx, rel_of(self), need, &f, &call.err);
  tr_client_end(&call);
  free(need);
  return st == TR_OK ? tr_client_wrap_frame(f) : tr_client_raise(st, &call.err);
}

static bool is_at_hand(PyObject *self, PyObject *need_seq, bool *yes) {
  bool all;
  bool *need = need_arg(need_seq, rel_of(self), &all);
  if (!need && !all) return false;
  Py_BEGIN_ALLOW_THREADS *yes = tr_exec_is_kept(rel_of(self), need);
  Py_END_ALLOW_THREADS free(need);
  return true;
}

static PyObject *rel_run(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  bool at_hand = true;
  if (runner && !is_at_hand(self, n ? args[0] : Py_None, &at_hand)) return NULL;
  if (at_hand) return rel_run_here(self, args, n);
  PyObject *call[] = {NULL, self, n ? args[0] : Py_None};
  PyObject *given = Py_NewRef(runner);
  PyObject *frame = PyObject_Vectorcall(given, call + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
  Py_DECREF(given);
  if (frame && !PyObject_TypeCheck(frame, &tr_client_frame_type)) {
    PyErr_Format(PyExc_TypeError, "the runner gave a %s, not a Frame", Py_TYPE(frame)->tp_name);
    Py_CLEAR(frame);
  }
  return frame;
}

static PyObject *set_runner(PyObject *self, PyObject *arg) {
  (void)self;
  PyObject *old = runner;
  runner = arg == Py_None ? NULL : Py_NewRef(arg);
  Py_XDECREF(old);
  Py_RETURN_NONE;
}

static PyObject *rel_detach(PyObject *self, PyObject *arg) {
  bool all;
  bool *need = need_arg(arg, rel_of(self), &all);
  if (!need && !all) return NULL;
  struct tr_rel *r = NULL;
  struct tr_error err;
  enum tr_status st;
  Py_BEGIN_ALLOW_THREADS st = tr_exec_detach(rel_of(self), need, &r, &err);
  Py_END_ALLOW_THREADS free(need);
  return st == TR_OK ? tr_client_wrap_rel(r) : tr_client_raise(st, &err);
}

static PyObject *rel_attach(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  if (n != 2 || !PyObject_TypeCheck(args[1], &tr_client_frame_type))
    return PyErr_Format(PyExc_TypeError, "attach(need, frame)");
  bool all;
  bool *need = need_arg(args[0], rel_of(self), &all);
  if (!need && !all) return NULL;
  struct tr_frame *result = ((struct tr_py_frame *)args[1])->f, *f = NULL;
  struct tr_error err;
  enum tr_status st;
  Py_BEGIN_ALLOW_THREADS st = tr_exec_attach(rel_of(self), need, result, &f, &err);
  Py_END_ALLOW_THREADS free(need);
  return st == TR_OK ? tr_client_wrap_frame(f) : tr_client_raise(st, &err);
}

static PyObject *rel_is_kept(PyObject *self, PyObject *arg) {
  bool yes;
  return is_at_hand(self, arg, &yes) ? PyBool_FromLong(yes) : NULL;
}

static PyObject *rel_drop(PyObject *self, PyObject *unused) {
  (void)unused;
  Py_BEGIN_ALLOW_THREADS tr_exec_drop_kept(rel_of(self));
  Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static const char *const agg_names[TR_N_AGGS] = {
    "size",   "count",    "sum",   "prod", "mean",    "min", "max", "std",    "var",    "sem",  "skew",
    "median", "quantile", "first", "last", "nunique", "any", "all", "idxmin", "idxmax", "corr", "nth"};
static const char *const window_names[TR_N_WINDOWS] = {
    "cumsum",   "cumprod",  "cummin",     "cummax",     "cumcount", "shift", "diff", "rank_average",
    "rank_min", "rank_max", "rank_first", "rank_dense", "ngroup",   "ffill", "bfill"};

static const char *item_name(int kind, int fn) {
  if (kind == TR_ITEM_WINDOW) return fn < TR_N_WINDOWS ? window_names[fn] : "?";
  return fn < TR_N_AGGS ? agg_names[fn] : "?";
}

static int find_name(const char *const *names, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(names[i], name) == 0) return i;
  return -1;
}

static PyObject *explain_as_made(PyObject *self) {
  int64_t n = tr_rel_print(rel_of(self), item_name, NULL, 0);
  char *buf = malloc((size_t)n + 1);
  if (!buf) return PyErr_NoMemory();
  tr_rel_print(rel_of(self), item_name, buf, n + 1);
  PyObject *text = PyUnicode_DecodeUTF8(buf, (Py_ssize_t)n, "replace");
  free(buf);
  return text;
}

static PyObject *rel_explain(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"optimised", "need", NULL};
  PyObject *wanted = Py_None;
  int optimised = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pO", names, &optimised, &wanted)) return NULL;
  if (!optimised) return explain_as_made(self);
  bool all;
  bool *need = need_arg(wanted, rel_of(self), &all);
  if (!need && !all) return NULL;
  char *buf;
  struct tr_error err;
  enum tr_status st;
  Py_BEGIN_ALLOW_THREADS st = tr_exec_explain(rel_of(self), need, item_name, &buf, &err);
  Py_END_ALLOW_THREADS free(need);
  if (st != TR_OK) return tr_client_raise(st, &err);
  PyObject *text = PyUnicode_DecodeUTF8(buf, (Py_ssize_t)strlen(buf), "replace");
  free(buf);
  return text;
}

static PyGetSetDef rel_getset[] = {{"n_cols", get_n_cols, NULL, "columns", NULL},
                                   {"n_rows", get_n_rows, NULL, "rows, -1 = unknown until run", NULL},
                                   {"kind", get_kind, NULL, "node kind", NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef rel_methods[] = {
    {"schema", rel_schema, METH_O, "schema(i)\n\n(dtype name, maybe_null, unsettled) of column i."},
    {"run", (PyCFunction)(void (*)(void))rel_run, METH_FASTCALL,
     "run(need=None)\n\nComputes the columns at positions need as a Frame, here or where set_runner says."},
    {"run_here", (PyCFunction)(void (*)(void))rel_run_here, METH_FASTCALL,
     "run_here(need=None)\n\nThe same, in this process whatever set_runner says."},
    {"detach", rel_detach, METH_O,
     "detach(need)\n\nWhat a run of the columns at positions need would compute, as a rewritten plan of its own: its "
     "root has exactly these columns, what is at hand is a FRAME."},
    {"attach", (PyCFunction)(void (*)(void))rel_attach, METH_FASTCALL,
     "attach(need, frame)\n\nTakes the result of the detached plan as this node's; gives what run(need) would."},
    {"is_kept", rel_is_kept, METH_O, "is_kept(need)\n\nWhether these columns are at hand."},
    {"drop_kept", rel_drop, METH_NOARGS, "drop_kept()\n\nForgets the kept result."},
    {"explain", (PyCFunction)(void (*)(void))rel_explain, METH_VARARGS | METH_KEYWORDS,
     "explain(optimised=False, need=None)\n\nThe plan as text: as it was made, or as it would run for the columns at "
     "positions need."},
    {NULL, NULL, 0, NULL}};
PyTypeObject tr_client_rel_type = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Rel",
                                   .tp_basicsize = sizeof(struct tr_py_rel),
                                   .tp_dealloc = rel_dealloc,
                                   .tp_flags = Py_TPFLAGS_DEFAULT,
                                   .tp_doc = "A node of a plan.",
                                   .tp_getset = rel_getset,
                                   .tp_methods = rel_methods};

static PyObject *make_frame_source(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 2 || !PyObject_TypeCheck(args[0], &tr_client_frame_type))
    return PyErr_Format(PyExc_TypeError, "source(frame, name)");
  const char *name = PyUnicode_AsUTF8(args[1]);
  struct tr_rel *r;
  struct tr_error err;
  if (!name) return NULL;
  enum tr_status st;
  Py_BEGIN_ALLOW_THREADS st = tr_exec_frame_source(((struct tr_py_frame *)args[0])->f, name, &r, &err);
  Py_END_ALLOW_THREADS return st == TR_OK ? tr_client_wrap_rel(r) : tr_client_raise(st, &err);
}

/* One item: (kind "agg"|"window"|"transform", fn name, expr, expr2, param, q, skipna, descending, pct, na_option,
 * dtype, unsettled) */
static bool item_arg(PyObject *t, struct tr_item *it, struct tr_dtype *dtype, bool *unsettled) {
  const char *kind, *fn;
  int expr, expr2, skipna, descending, pct, na_option, loose;
  long long param;
  double q;
  PyObject *dtype_name;
  if (!PyArg_ParseTuple(t, "ssiiLdpppiOp", &kind, &fn, &expr, &expr2, &param, &q, &skipna, &descending, &pct,
                        &na_option, &dtype_name, &loose))
    return false;
  int k = strcmp(kind, "agg") == 0 ? TR_ITEM_AGG : strcmp(kind, "window") == 0 ? TR_ITEM_WINDOW : TR_ITEM_TRANSFORM;
  int f = k == TR_ITEM_WINDOW ? find_name(window_names, TR_N_WINDOWS, fn) : find_name(agg_names, TR_N_AGGS, fn);
  if (f < 0) return PyErr_Format(PyExc_ValueError, "unknown function %s", fn) != NULL;
  *it = (struct tr_item){.kind = (uint8_t)k,
                         .fn = (uint8_t)f,
                         .skipna = skipna,
                         .descending = descending,
                         .pct = pct,
                         .na_option = (uint8_t)na_option,
                         .expr = (int16_t)expr,
                         .expr2 = (int16_t)expr2,
                         .param = param,
                         .q = q};
  *unsettled = loose;
  return tr_client_dtype_arg(dtype_name, dtype);
}

struct node_args {
  struct tr_rel **inputs;
  struct tr_expr **exprs;
  struct tr_item *items;
  struct tr_dtype *dtypes;
  bool *unsettled, *descending;
};

static bool node_lists(PyObject *inputs, PyObject *exprs, PyObject *items, PyObject *descending, struct tr_rel_spec *s,
                       struct node_args *a) {
  s->n_inputs = (int)PyTuple_GET_SIZE(inputs);
  s->n_exprs = (int)PyTuple_GET_SIZE(exprs);
  s->n_items = (int)PyTuple_GET_SIZE(items);
  a->inputs = calloc((size_t)s->n_inputs + 1, sizeof *a->inputs);
  a->exprs = calloc((size_t)s->n_exprs + 1, sizeof *a->exprs);
  a->items = calloc((size_t)s->n_items + 1, sizeof *a->items);
  a->dtypes = calloc((size_t)s->n_items + 1, sizeof *a->dtypes);
  a->unsettled = calloc((size_t)s->n_items + 1, sizeof(bool));
  a->descending = calloc((size_t)s->n_exprs + 1, sizeof(bool));
  if (!a->inputs || !a->exprs || !a->items || !a->dtypes || !a->unsettled || !a->descending)
    return PyErr_NoMemory() != NULL;
  for (int i = 0; i < s->n_inputs; i++) {
    PyObject *o = PyTuple_GET_ITEM(inputs, i);
    if (!PyObject_TypeCheck(o, &tr_client_rel_type))
      return PyErr_Format(PyExc_TypeError, "input %d is no Rel", i) != NULL;
    a->inputs[i] = rel_of(o);
  }
  for (int i = 0; i < s->n_exprs; i++) {
    PyObject *o = PyTuple_GET_ITEM(exprs, i);
    if (!PyObject_TypeCheck(o, &tr_client_expr_type))
      return PyErr_Format(PyExc_TypeError, "expression %d is no Expr", i) != NULL;
    a->exprs[i] = ((struct tr_py_expr *)o)->e;
  }
  for (int i = 0; i < s->n_items; i++)
    if (!item_arg(PyTuple_GET_ITEM(items, i), &a->items[i], &a->dtypes[i], &a->unsettled[i])) return false;
  for (int i = 0; i < s->n_exprs && i < PyTuple_GET_SIZE(descending); i++)
    a->descending[i] = PyObject_IsTrue(PyTuple_GET_ITEM(descending, i)) == 1;
  return true;
}

static int kind_of(const char *name) {
  for (int k = 0; k < TR_N_RELS; k++)
    if (strcmp(tr_rel_kind_name((enum tr_rel_kind)k), name) == 0) return k;
  return -1;
}

static int how_of(const char *name) {
  static const char *const hows[] = {"inner", "left", "right", "outer", "cross", "semi", "anti"};
  return find_name(hows, 7, name);
}

static PyObject *make_node(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"kind",     "inputs", "exprs", "n_keys", "items", "descending", "how",  "sort", "dropna",
                          "na_first", "tail",   "keep",  "whole",  "start", "stop",       "step", NULL};
  const char *kind, *how = "inner";
  PyObject *inputs, *none = PyTuple_New(0), *exprs = none, *items = none, *descending = none;
  int n_keys = 0, sort = 0, dropna = 0, na_first = 0, tail = 0, keep = 0, whole = 0;
  long long start = 0, stop = -1, step = 1;
  (void)self;
  struct tr_rel_spec s = {0};
  struct node_args a = {0};
  PyObject *result = NULL;
  if (!none ||
      !PyArg_ParseTupleAndKeywords(args, kwargs, "sO!|O!iO!O!sppppipLLL", names, &kind, &PyTuple_Type, &inputs,
                                   &PyTuple_Type, &exprs, &n_keys, &PyTuple_Type, &items, &PyTuple_Type, &descending,
                                   &how, &sort, &dropna, &na_first, &tail, &keep, &whole, &start, &stop, &step))
    goto done;
  int k = kind_of(kind), h = how_of(how);
  if (k < 0 || h < 0) {
    PyErr_Format(PyExc_ValueError, "unknown node %s or join %s", kind, how);
    goto done;
  }
  if (!node_lists(inputs, exprs, items, descending, &s, &a)) goto done;
  s.kind = (enum tr_rel_kind)k;
  s.inputs = a.inputs;
  s.exprs = a.exprs;
  s.n_keys = n_keys;
  s.items = a.items;
  s.item_dtypes = a.dtypes;
  s.item_unsettled = a.unsettled;
  s.descending = a.descending;
  s.opt = (struct tr_rel_options){.how = (uint8_t)h,
                                  .sort = sort,
                                  .dropna = dropna,
                                  .na_first = na_first,
                                  .tail = tail,
                                  .keep = (uint8_t)keep,
                                  .whole = whole,
                                  .start = start,
                                  .stop = stop,
                                  .step = step};
  struct tr_rel *r;
  struct tr_error err;
  enum tr_status st = tr_rel_make(&s, &r, &err);
  result = st == TR_OK ? tr_client_wrap_rel(r) : tr_client_raise(st, &err);
done:
  Py_XDECREF(none);
  free(a.inputs);
  free(a.exprs);
  free(a.items);
  free(a.dtypes);
  free(a.unsettled);
  free(a.descending);
  return result;
}

static PyObject *agg_dtype(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 3) return PyErr_Format(PyExc_TypeError, "agg_dtype(fn, dtype, whole)");
  const char *fn = PyUnicode_AsUTF8(args[0]);
  struct tr_dtype t, out;
  struct tr_error err;
  if (!fn || !tr_client_dtype_arg(args[1], &t)) return NULL;
  int f = find_name(agg_names, TR_N_AGGS, fn);
  if (f < 0) return PyErr_Format(PyExc_ValueError, "unknown aggregate %s", fn);
  enum tr_status st = tr_agg_dtype((enum tr_agg)f, t, PyObject_IsTrue(args[2]) == 1, &out, &err);
  return st == TR_OK ? tr_client_dtype_name(out) : tr_client_raise(st, &err);
}

PyMethodDef tr_client_rel_functions[] = {
    {"set_runner", set_runner, METH_O,
     "set_runner(function)\n\nfunction(rel, need) gives the Frame of every run from now on; None = this process."},
    {"source", (PyCFunction)(void (*)(void))make_frame_source, METH_FASTCALL,
     "source(frame, name)\n\nA leaf over a Frame."},
    {"node", (PyCFunction)(void (*)(void))make_node, METH_VARARGS | METH_KEYWORDS,
     "node(kind, inputs, exprs=(), n_keys=0, items=(), descending=(), how='inner', sort=False, dropna=False, "
     "na_first=False,\n"
     "     tail=False, keep=0, whole=False, start=0, stop=-1, step=1)\n\nAn inner node; see src/meta/plan/rel.h."},
    {"agg_dtype", (PyCFunction)(void (*)(void))agg_dtype, METH_FASTCALL,
     "agg_dtype(fn, dtype, whole)\n\nResult dtype of an aggregate; raises Fallback where there is no native one."},
    {NULL, NULL, 0, NULL}};
