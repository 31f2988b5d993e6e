/* Errors, contexts and options of the engine's bindings, and their registration. See bindings.h. */
#include "base/mem.h"
#include "bindings_store.h"
#include "engine_bindings.h"
#include "facade.h"
#include <errno.h>

static struct {
  int threads;
  int64_t morsel_rows;
  int hash_zero, no_optimise, codec;
  int64_t stages; /* > 0: run in stages, so many rows in a task */
} settings;

static PyObject *class_of(const char *module, const char *name) {
  PyObject *m = PyImport_ImportModule(module);
  PyObject *c = m ? PyObject_GetAttrString(m, name) : NULL;
  Py_XDECREF(m);
  return c;
}

static PyObject *exception_class(enum tr_exc exc) {
  switch (exc) {
  case TR_EXC_VALUE: return Py_NewRef(PyExc_ValueError);
  case TR_EXC_TYPE: return Py_NewRef(PyExc_TypeError);
  case TR_EXC_KEY: return Py_NewRef(PyExc_KeyError);
  case TR_EXC_INDEX: return Py_NewRef(PyExc_IndexError);
  case TR_EXC_MEMORY: return Py_NewRef(PyExc_MemoryError);
  case TR_EXC_OS: return Py_NewRef(PyExc_OSError);
  case TR_EXC_OVERFLOW: return Py_NewRef(PyExc_OverflowError);
  case TR_EXC_PARSER: return class_of("pandas.errors", "ParserError");
  case TR_EXC_EMPTY_DATA: return class_of("pandas.errors", "EmptyDataError");
  case TR_EXC_MERGE: return class_of("pandas.errors", "MergeError");
  case TR_EXC_ARROW_INVALID: return class_of("pyarrow.lib", "ArrowInvalid");
  default: return Py_NewRef(PyExc_RuntimeError);
  }
}

static PyObject *raise_os(const struct tr_error *err) {
  /* A store that did not answer well, however often it was asked: what Python makes of EAGAIN speaks of something else.
   */
  if (err->os_errno == EAGAIN) {
    PyErr_SetString(PyExc_ConnectionError, err->text);
    return NULL;
  }
  const char *strerror_text = strerror(err->os_errno);
  PyObject *e = PyObject_CallFunction(PyExc_OSError, "iss", err->os_errno, strerror_text, err->text);
  if (e) {
    PyErr_SetObject((PyObject *)Py_TYPE(e), e);
    Py_DECREF(e);
  }
  return NULL;
}

PyObject *tr_client_raise(enum tr_status st, const struct tr_error *err) {
  if (PyErr_Occurred()) return NULL;
  if (st == TR_CANCELLED) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    return NULL;
  }
  PyObject *text = PyUnicode_DecodeUTF8(err->text, (Py_ssize_t)strlen(err->text), "replace");
  PyObject *cls = NULL;
  if (!text) return NULL;
  if (st == TR_UNSUPPORTED)
    cls = tr_client.fallback_exc ? Py_NewRef(tr_client.fallback_exc) : Py_NewRef(PyExc_NotImplementedError);
  else if (err->exc == TR_EXC_OS && err->os_errno) {
    Py_DECREF(text);
    return raise_os(err);
  } else if (err->exc == TR_EXC_UNICODE) cls = Py_NewRef(PyExc_ValueError);
  else cls = exception_class(err->exc);
  if (cls) PyErr_SetObject(cls, text);
  Py_XDECREF(cls);
  Py_DECREF(text);
  return NULL;
}

/* Runs on the calling thread between morsels, without the GIL. */
static bool poll_signals(void *arg) {
  struct tr_py_call *call = arg;
  PyEval_RestoreThread(call->saved);
  bool stop = PyErr_CheckSignals() != 0;
  call->saved = PyEval_SaveThread();
  return stop;
}

static PyObject *outside_function; /* set_outside's; NULL = none */

/* Calls outside_function; gives its Array (new reference) or None, NULL with an exception. */
static PyObject *ask_python(const struct tr_expr *e, struct tr_array *const *args, const char *why) {
  PyObject *arrays = PyTuple_New(e->n_args);
  for (int k = 0; arrays && k < e->n_args; k++) {
    PyObject *a = tr_client_wrap_array(tr_array_ref(args[k]));
    if (!a) Py_CLEAR(arrays);
    else PyTuple_SET_ITEM(arrays, k, a);
  }
  if (!arrays) return NULL;
  return PyObject_CallFunction(outside_function, "sN(LL)zzs", tr_expr_op_name((enum tr_expr_op)e->op), arrays,
                               (long long)e->params[0], (long long)e->params[1], e->text, e->text2, why);
}

/* tr_outside.compute. An exception stays set and is what tr_client_raise raises; None is the refusal as it was. */
static enum tr_status compute_outside(void *arg, const struct tr_expr *e, struct tr_array *const *args, int64_t n_rows,
                                      const char *why, struct tr_array **out, struct tr_error *err) {
  struct tr_py_call *call = arg;
  enum tr_status st = TR_OK;
  (void)n_rows;
  PyEval_RestoreThread(call->saved);
  PyObject *result = outside_function ? ask_python(e, args, why) : Py_NewRef(Py_None);
  if (!result) st = tr_fail(err, TR_EXC_RUNTIME, "pandas failed");
  else if (PyObject_TypeCheck(result, &tr_client_array_type)) *out = tr_array_ref(((struct tr_py_array *)result)->a);
  else st = tr_unsupported(err, "%s", why);
  Py_XDECREF(result);
  call->saved = PyEval_SaveThread();
  return st;
}

static PyObject *set_outside(PyObject *self, PyObject *function) {
  (void)self;
  Py_XSETREF(outside_function, function == Py_None ? NULL : Py_NewRef(function));
  Py_RETURN_NONE;
}

void tr_client_begin(struct tr_py_call *call) {
  tr_ctx_init(&call->ctx);
  if (settings.threads > 0) call->ctx.threads = settings.threads;
  if (settings.morsel_rows > 0) call->ctx.morsel_rows = settings.morsel_rows;
  call->ctx.hash_zero = settings.hash_zero != 0;
  call->ctx.optimise = !settings.no_optimise;
  call->ctx.poll = poll_signals;
  call->ctx.poll_arg = call;
  call->outside = (struct tr_outside){compute_outside, call};
  call->ctx.outside = &call->outside;
  memset(&call->err, 0, sizeof call->err);
  call->saved = PyEval_SaveThread();
}

enum tr_status tr_client_run(struct tr_ctx *ctx, struct tr_rel *r, const bool *need, struct tr_frame **out,
                             struct tr_error *err) {
  if (settings.stages && !tr_exec_is_kept(r, need))
    return tr_client_run_staged(ctx, r, need, settings.stages, out, err);
  if (settings.codec && !tr_exec_is_kept(r, need)) return tr_client_run_decoded(ctx, r, need, out, err);
  return tr_exec_run(ctx, r, need, out, err);
}

void tr_client_end(struct tr_py_call *call) { PyEval_RestoreThread(call->saved); }

PyObject *tr_client_dtype_name(struct tr_dtype t) {
  if (t.kind == TR_CATEGORY && t.ordered) return PyUnicode_InternFromString("category[ordered]");
  return PyUnicode_InternFromString(tr_dtype_name(t));
}

bool tr_client_dtype_arg(PyObject *name, struct tr_dtype *out) {
  const char *s = PyUnicode_AsUTF8(name);
  if (!s) return false;
  if (strcmp(s, "category[ordered]") == 0) {
    *out = (struct tr_dtype){.kind = TR_CATEGORY, .ordered = 1};
    return true;
  }
  if (tr_dtype_parse(s, out)) return true;
  PyErr_Format(PyExc_ValueError, "unknown dtype %R", name);
  return false;
}

bool tr_client_scalar_arg(PyObject *value, struct tr_dtype t, struct tr_scalar *out) {
  memset(out, 0, sizeof *out);
  out->dtype = t;
  if (value == Py_None) {
    out->is_null = true;
    return true;
  }
  if (t.kind == TR_STR || t.kind == TR_CATEGORY) {
    Py_ssize_t n;
    out->s.ptr = PyUnicode_AsUTF8AndSize(value, &n);
    out->s.len = n;
    return out->s.ptr != NULL;
  }
  if (tr_kind_is_float(t.kind)) {
    out->f = PyFloat_AsDouble(value);
    return !(out->f == -1.0 && PyErr_Occurred());
  }
  if (tr_kind_is_int(t.kind) && !tr_kind_is_signed(t.kind)) {
    out->u = PyLong_AsUnsignedLongLong(value);
    return !(out->u == UINT64_MAX && PyErr_Occurred());
  }
  out->i = PyLong_AsLongLong(value);
  return !(out->i == -1 && PyErr_Occurred());
}

const char **tr_client_strings_arg(PyObject *seq, int *n) {
  PyObject *fast = PySequence_Fast(seq, "a list of str is needed");
  if (!fast) return NULL;
  *n = (int)PySequence_Fast_GET_SIZE(fast);
  const char **s = malloc(sizeof *s * (size_t)(*n + 1));
  if (!s) PyErr_NoMemory();
  for (int i = 0; s && i < *n; i++) {
    s[i] = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(fast, i));
    if (!s[i]) {
      free(s);
      s = NULL;
    }
  }
  Py_DECREF(fast); /* the caller keeps seq, hence the texts, alive */
  return s;
}

static PyObject *set_execution(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"threads", "morsel_rows", "hash_zero", "optimise", "codec", "stages", NULL};
  int threads = 0, hash_zero = 0, optimise = 1, codec = 0;
  long long morsel_rows = 0, stages = 0;
  (void)self;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|iLpppL", names, &threads, &morsel_rows, &hash_zero, &optimise,
                                   &codec, &stages))
    return NULL;
  if (threads < 0 || threads > TR_MAX_THREADS || morsel_rows < 0 || stages < 0)
    return PyErr_Format(PyExc_ValueError, "threads must be 0..%d and morsel_rows >= 0", TR_MAX_THREADS);
  settings.threads = threads;
  settings.morsel_rows = morsel_rows;
  settings.hash_zero = hash_zero;
  settings.no_optimise = !optimise;
  settings.codec = codec;
  settings.stages = stages;
  Py_RETURN_NONE;
}

static PyObject *memory(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return Py_BuildValue("{s:n,s:n,s:n}", "budget", (Py_ssize_t)tr_mem_budget(), "used", (Py_ssize_t)tr_mem_used(),
                       "peak", (Py_ssize_t)tr_mem_peak());
}

static PyObject *set_memory_budget(PyObject *self, PyObject *arg) {
  (void)self;
  size_t n = PyLong_AsSize_t(arg);
  if (n == (size_t)-1 && PyErr_Occurred()) return NULL;
  tr_mem_set_budget(n);
  Py_RETURN_NONE;
}

static PyObject *trim_memory(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  tr_mem_trim();
  Py_RETURN_NONE;
}

static PyMethodDef engine_functions[] = {
    {"set_execution", (PyCFunction)(void (*)(void))set_execution, METH_VARARGS | METH_KEYWORDS,
     "set_execution(threads=0, morsel_rows=0, hash_zero=False, optimise=True, codec=False, stages=0)\n\n"
     "How queries run from now on; 0 = default; codec = through the plan's text; "
     "stages > 0: cut into stages, so many rows in a task. For tests."},
    {"set_outside", set_outside, METH_O,
     "set_outside(function)\n\nfunction(op, arrays, params, text, text2, why) computes as an Array what the engine "
     "refuses in the middle of a run; it gives None to leave it refused. None = nobody."},
    {"memory", memory, METH_NOARGS, "memory()\n\nBytes: budget, used and peak of the engine's allocator."},
    {"set_memory_budget", set_memory_budget, METH_O,
     "set_memory_budget(bytes)\n\n0 = default (60 % of the cgroup or machine)."},
    {"trim_memory", trim_memory, METH_NOARGS,
     "trim_memory()\n\nGives cached free memory back to the operating system."},
    {NULL, NULL, 0, NULL}};

int tr_client_add_engine(PyObject *module) {
  struct tr_error err;
  enum tr_status st = tr_mem_check_environment(&err);
  if (st == TR_OK) st = tr_pool_check_environment(&err);
  if (st != TR_OK) return tr_client_raise(st, &err), -1;
  PyTypeObject *types[] = {&tr_client_expr_type, &tr_client_rel_type, &tr_client_frame_type, &tr_client_array_type,
                           &tr_client_store_type};
  const char *names[] = {"Expr", "Rel", "Frame", "Array", "Store"};
  for (int i = 0; i < 5; i++) {
    if (PyType_Ready(types[i]) < 0) return -1;
    if (PyModule_AddObjectRef(module, names[i], (PyObject *)types[i]) < 0) return -1;
  }
  if (PyModule_AddFunctions(module, engine_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_expr_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_rel_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_array_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_io_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_codec_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_seal_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_remote_functions) < 0) return -1;
  if (PyModule_AddFunctions(module, tr_client_store_functions) < 0) return -1;
  return PyModule_AddIntConstant(module, "ENGINE_ABI", 1);
}
