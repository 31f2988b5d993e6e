/* Python's Frame and Array: data that left a plan, and data on its way in. */
#include "bindings.h"
#include "data/col/arrow.h"

/* Foreign memory held by a Python buffer; may be released on a thread without the GIL. */
static void release_view(void *arg) {
  PyGILState_STATE g = PyGILState_Ensure();
  PyBuffer_Release(arg);
  free(arg);
  PyGILState_Release(g);
}

static struct tr_array *array_of(PyObject *self) { return ((struct tr_py_array *)self)->a; }
static struct tr_frame *frame_of(PyObject *self) { return ((struct tr_py_frame *)self)->f; }

static void array_dealloc(PyObject *self) {
  tr_array_unref(array_of(self));
  Py_TYPE(self)->tp_free(self);
}

static void frame_dealloc(PyObject *self) {
  tr_frame_unref(frame_of(self));
  Py_TYPE(self)->tp_free(self);
}

PyObject *tr_client_wrap_array(struct tr_array *a) {
  struct tr_py_array *self = PyObject_New(struct tr_py_array, &tr_client_array_type);
  if (!self) tr_array_unref(a);
  else self->a = a;
  return (PyObject *)self;
}

PyObject *tr_client_wrap_frame(struct tr_frame *f) {
  struct tr_py_frame *self = PyObject_New(struct tr_py_frame, &tr_client_frame_type);
  if (!self) tr_frame_unref(f);
  else self->f = f;
  return (PyObject *)self;
}

/* The buffer protocol shows values (or codes of a dictionary) as plain bytes, read-only. */
static int array_getbuffer(PyObject *self, Py_buffer *view, int flags) {
  struct tr_array *a = array_of(self);
  Py_ssize_t width = a->enc == TR_DICT ? 4 : tr_dtype_width(a->dtype);
  return PyBuffer_FillInfo(view, self, tr_array_data(a), a->length * width, 1, flags);
}
static PyBufferProcs array_buffer = {array_getbuffer, NULL};

static PyObject *array_dtype(PyObject *self, void *unused) {
  (void)unused;
  return tr_client_dtype_name(array_of(self)->dtype);
}
static PyObject *array_is_dict(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(array_of(self)->enc == TR_DICT);
}
static PyObject *array_dict(PyObject *self, void *unused) {
  (void)unused;
  struct tr_array *d = array_of(self)->dict;
  if (!d) Py_RETURN_NONE;
  return tr_client_wrap_array(tr_array_ref(d));
}
static PyObject *array_nbytes(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromLongLong(tr_array_nbytes(array_of(self)));
}
static PyObject *array_nulls(PyObject *self, void *unused) {
  (void)unused;
  struct tr_array *a = array_of(self);
  int64_t n;
  Py_BEGIN_ALLOW_THREADS n = tr_array_null_count(a);
  Py_END_ALLOW_THREADS return PyLong_FromLongLong(n);
}
/* Who lent the values: what array() was given, when no operator has made new ones since. */
static PyObject *array_lender(PyObject *self, void *unused) {
  (void)unused;
  struct tr_buffer *data = array_of(self)->data;
  PyObject *lender = data->release == release_view ? ((Py_buffer *)data->release_arg)->obj : NULL;
  return Py_NewRef(lender ? lender : Py_None);
}
static PyObject *array_address(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromVoidPtr(tr_array_data(array_of(self)));
}

static void free_schema(PyObject *capsule) {
  struct ArrowSchema *s = PyCapsule_GetPointer(capsule, "arrow_schema");
  if (s->release) s->release(s);
  free(s);
}
static void free_array(PyObject *capsule) {
  struct ArrowArray *a = PyCapsule_GetPointer(capsule, "arrow_array");
  if (a->release) a->release(a);
  free(a);
}

static PyObject *array_to_arrow(PyObject *self, PyObject *unused) {
  (void)unused;
  struct tr_array *a = array_of(self);
  if (a->dtype.kind != TR_STR) return PyErr_Format(PyExc_TypeError, "only text crosses as Arrow");
  struct ArrowSchema *schema = calloc(1, sizeof *schema);
  struct ArrowArray *array = calloc(1, sizeof *array);
  struct tr_py_call call;
  if (!schema || !array) {
    free(schema);
    free(array);
    return PyErr_NoMemory();
  }
  tr_client_begin(&call);
  enum tr_status st = tr_arrow_export_text(&call.ctx, a, schema, array, &call.err);
  tr_client_end(&call);
  PyObject *s = PyCapsule_New(schema, "arrow_schema", free_schema),
           *v = PyCapsule_New(array, "arrow_array", free_array);
  PyObject *out = st == TR_OK ? PyTuple_Pack(2, s, v) : tr_client_raise(st, &call.err);
  Py_XDECREF(s);
  Py_XDECREF(v);
  return out;
}

static Py_ssize_t array_len(PyObject *self) { return array_of(self)->length; }
static PySequenceMethods array_sequence = {.sq_length = array_len};
static PyGetSetDef array_getset[] = {
    {"dtype", array_dtype, NULL, "dtype name", NULL},
    {"is_dict", array_is_dict, NULL, "has codes and a dictionary", NULL},
    {"dict", array_dict, NULL, "the dictionary or None", NULL},
    {"nbytes", array_nbytes, NULL, "bytes of its buffers", NULL},
    {"null_count", array_nulls, NULL, "number of missing values", NULL},
    {"lender", array_lender, NULL, "the object whose memory the values are, or None", NULL},
    {"address", array_address, NULL, "address of the first value", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef array_methods[] = {
    {"to_arrow", array_to_arrow, METH_NOARGS, "to_arrow()\n\n(schema, array) capsules of a large_string array."},
    {NULL, NULL, 0, NULL}};
PyTypeObject tr_client_array_type = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Array",
                                     .tp_basicsize = sizeof(struct tr_py_array),
                                     .tp_dealloc = array_dealloc,
                                     .tp_flags = Py_TPFLAGS_DEFAULT,
                                     .tp_as_buffer = &array_buffer,
                                     .tp_as_sequence = &array_sequence,
                                     .tp_doc = "One column of data in the engine.",
                                     .tp_getset = array_getset,
                                     .tp_methods = array_methods};

static PyObject *frame_rows(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromLongLong(frame_of(self)->n_rows);
}
static PyObject *frame_width(PyObject *self, void *unused) {
  (void)unused;
  return PyLong_FromLong(frame_of(self)->n_cols);
}
static PyObject *frame_col(PyObject *self, PyObject *arg) {
  long i = PyLong_AsLong(arg);
  struct tr_frame *f = frame_of(self);
  if (i < 0 || i >= f->n_cols)
    return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_IndexError, "column %ld of %d", i, f->n_cols);
  if (!f->cols[i]) return PyErr_Format(PyExc_LookupError, "column %ld was not computed", i);
  return tr_client_wrap_array(tr_array_ref(f->cols[i]));
}
static PyGetSetDef frame_getset[] = {{"n_rows", frame_rows, NULL, "rows", NULL},
                                     {"n_cols", frame_width, NULL, "columns", NULL},
                                     {NULL, NULL, NULL, NULL, NULL}};
static PyMethodDef frame_methods[] = {{"col", frame_col, METH_O, "col(i): the Array of column i."},
                                      {NULL, NULL, 0, NULL}};
PyTypeObject tr_client_frame_type = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Frame",
                                     .tp_basicsize = sizeof(struct tr_py_frame),
                                     .tp_dealloc = frame_dealloc,
                                     .tp_flags = Py_TPFLAGS_DEFAULT,
                                     .tp_doc = "Columns of one length, computed.",
                                     .tp_getset = frame_getset,
                                     .tp_methods = frame_methods};

static struct tr_array *import_buffer(PyObject *obj, struct tr_dtype t) {
  Py_buffer *view = malloc(sizeof *view);
  struct tr_buffer *b;
  struct tr_array *a;
  struct tr_error err;
  if (!view || PyObject_GetBuffer(obj, view, PyBUF_SIMPLE) < 0) {
    free(view);
    return NULL;
  }
  enum tr_status st = tr_buffer_foreign(view->buf, view->len, release_view, view, &b, &err);
  if (st != TR_OK) {
    release_view(view);
    return (struct tr_array *)tr_client_raise(st, &err);
  }
  int width = t.kind == TR_STR ? 4 : tr_dtype_width(t);
  st = tr_array_from_buffer(t.kind == TR_STR ? tr_dtype_of(TR_I32) : t, view->len / width, b, &a, &err);
  return st == TR_OK ? a : (struct tr_array *)tr_client_raise(st, &err);
}

static PyObject *make_array(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  struct tr_dtype t;
  if (n != 2) return PyErr_Format(PyExc_TypeError, "array(buffer, dtype)");
  if (!tr_client_dtype_arg(args[1], &t)) return NULL;
  if (t.kind == TR_STR || t.kind == TR_CATEGORY)
    return PyErr_Format(PyExc_TypeError, "array() makes fixed-width columns");
  struct tr_array *a = import_buffer(args[0], t);
  return a ? tr_client_wrap_array(a) : NULL;
}

static PyObject *make_category(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 3 || !PyObject_TypeCheck(args[1], &tr_client_array_type))
    return PyErr_Format(PyExc_TypeError, "category(int32 codes, categories, ordered)");
  struct tr_dtype t = {.kind = TR_CATEGORY, .ordered = PyObject_IsTrue(args[2]) == 1};
  struct tr_array *codes = import_buffer(args[0], tr_dtype_of(TR_I32)), *out;
  struct tr_error err;
  if (!codes) return NULL;
  enum tr_status st = tr_array_new_dict(t, 0, array_of(args[1]), &out, &err);
  if (st == TR_OK) {
    tr_buffer_unref(out->data);
    out->data = tr_buffer_ref(codes->data);
    out->length = codes->length;
    out->null_count = -1;
  }
  tr_array_unref(codes);
  return st == TR_OK ? tr_client_wrap_array(out) : tr_client_raise(st, &err);
}

static PyObject *make_text(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 2) return PyErr_Format(PyExc_TypeError, "text(schema_capsule, array_capsule)");
  struct ArrowSchema *schema = PyCapsule_GetPointer(args[0], "arrow_schema");
  struct ArrowArray *array = schema ? PyCapsule_GetPointer(args[1], "arrow_array") : NULL;
  struct tr_array *out;
  struct tr_py_call call;
  if (!array) return NULL;
  tr_client_begin(&call);
  enum tr_status st = tr_arrow_import_text(&call.ctx, schema, array, &out, &call.err);
  tr_client_end(&call);
  return st == TR_OK ? tr_client_wrap_array(out) : tr_client_raise(st, &call.err);
}

static PyObject *encode_text(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 2 || !PyObject_TypeCheck(args[0], &tr_client_array_type))
    return PyErr_Format(PyExc_TypeError, "encode(array, max_distinct)");
  long long most = PyLong_AsLongLong(args[1]);
  struct tr_array *out = NULL;
  struct tr_py_call call;
  if (most < 0) return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "max_distinct < 0");
  tr_client_begin(&call);
  enum tr_status st = tr_array_encode(&call.ctx, array_of(args[0]), most, &out, &call.err);
  tr_client_end(&call);
  if (st != TR_OK) return tr_client_raise(st, &call.err);
  if (!out) Py_RETURN_NONE;
  return tr_client_wrap_array(out);
}

static PyObject *make_frame(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  if (n != 2 || !PyTuple_Check(args[1])) return PyErr_Format(PyExc_TypeError, "frame(n_rows, (arrays…))");
  int n_cols = (int)PyTuple_GET_SIZE(args[1]);
  int64_t rows = PyLong_AsLongLong(args[0]);
  struct tr_array **cols = malloc(sizeof *cols * (size_t)(n_cols + 1));
  struct tr_frame *f;
  struct tr_error err;
  if (!cols) return PyErr_NoMemory();
  for (int i = 0; i < n_cols; i++) {
    PyObject *a = PyTuple_GET_ITEM(args[1], i);
    bool ok = PyObject_TypeCheck(a, &tr_client_array_type) && array_of(a)->length == rows;
    if (!ok) {
      free(cols);
      return PyErr_Format(PyExc_ValueError, "column %d is not an Array of %lld rows", i, (long long)rows);
    }
    cols[i] = array_of(a);
  }
  enum tr_status st = tr_frame_new(rows, n_cols, cols, &f, &err);
  free(cols);
  return st == TR_OK ? tr_client_wrap_frame(f) : tr_client_raise(st, &err);
}

/* Copies of columns into one piece of memory, cut into pieces of bytes for the threads. */
struct stacking {
  struct tr_array **arrays;
  uint8_t *to;
  int64_t width; /* bytes of a column, the same for all */
};

static enum tr_status stack_range(void *arg, int thread, int64_t begin, int64_t end, struct tr_error *err) {
  (void)thread;
  (void)err;
  const struct stacking *s = arg;
  while (begin < end) {
    int64_t at = begin % s->width, n = s->width - at < end - begin ? s->width - at : end - begin;
    memcpy(s->to + begin, (const uint8_t *)tr_array_data(s->arrays[begin / s->width]) + at, (size_t)n);
    begin += n;
  }
  return TR_OK;
}

/* Borrowed arrays of a tuple, all of `width` bytes; NULL with an exception set. Freed with free. */
static struct tr_array **arrays_of_width(PyObject *tuple, int64_t width) {
  Py_ssize_t n = PyTuple_GET_SIZE(tuple);
  struct tr_array **arrays = malloc(sizeof(void *) * (size_t)(n + 1));
  if (!arrays) return (struct tr_array **)PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *item = PyTuple_GET_ITEM(tuple, i);
    struct tr_array *a = PyObject_TypeCheck(item, &tr_client_array_type) ? array_of(item) : NULL;
    if (!a || a->enc != TR_PLAIN || a->dtype.kind == TR_STR || a->length * tr_dtype_width(a->dtype) != width) {
      free(arrays);
      PyErr_Format(PyExc_ValueError, "column %zd is not a fixed-width Array of %lld bytes", i, (long long)width);
      return NULL;
    }
    arrays[i] = a;
  }
  return arrays;
}

static PyObject *stack_arrays(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  (void)self;
  enum { PIECE = 1 << 20 };
  if (n != 2 || !PyTuple_Check(args[1])) return PyErr_Format(PyExc_TypeError, "stack(memory, (arrays…))");
  Py_ssize_t n_cols = PyTuple_GET_SIZE(args[1]);
  Py_buffer view;
  if (PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) < 0) return NULL;
  struct stacking s = {.to = view.buf, .width = n_cols ? view.len / n_cols : 0};
  enum tr_status st = TR_OK;
  struct tr_py_call call;
  bool ok = s.width * n_cols == view.len && (s.arrays = arrays_of_width(args[1], s.width)) != NULL;
  if (!ok && !PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "memory of %zd bytes for %zd columns", view.len, n_cols);
  if (ok && view.len <= PIECE) {
    if (view.len) st = stack_range(&s, 0, 0, view.len, &call.err);
  } else if (ok) {
    tr_client_begin(&call);
    st = tr_parallel_for(&call.ctx, view.len, PIECE, stack_range, &s, &call.err);
    tr_client_end(&call);
  }
  if (ok) free(s.arrays);
  PyBuffer_Release(&view);
  if (!ok) return NULL;
  if (st != TR_OK) return tr_client_raise(st, &call.err);
  Py_RETURN_NONE;
}

PyMethodDef tr_client_array_functions[] = {{"array", (PyCFunction)(void (*)(void))make_array, METH_FASTCALL,
                                            "array(buffer, dtype)\n\nA column over a Python buffer, zero-copy."},
                                           {"category", (PyCFunction)(void (*)(void))make_category, METH_FASTCALL,
                                            "category(codes, categories, ordered)\n\nint32 codes, -1 missing."},
                                           {"text", (PyCFunction)(void (*)(void))make_text, METH_FASTCALL,
                                            "text(schema, array)\n\nA text column over Arrow string capsules."},
                                           {"encode", (PyCFunction)(void (*)(void))encode_text, METH_FASTCALL,
                                            "encode(array, max_distinct)\n\nDictionary-encoded text, or None."},
                                           {"stack", (PyCFunction)(void (*)(void))stack_arrays, METH_FASTCALL,
                                            "stack(memory, arrays)\n\nCopies fixed-width Arrays one after another into "
                                            "a writable, contiguous buffer that they fill."},
                                           {"frame", (PyCFunction)(void (*)(void))make_frame, METH_FASTCALL,
                                            "frame(n_rows, arrays)\n\nA Frame of equally long Arrays."},
                                           {NULL, NULL, 0, NULL}};
