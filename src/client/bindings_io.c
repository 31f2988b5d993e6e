/* Readers and writers as Python functions. */
#include "bindings.h"
#include "bindings_store.h"
#include "data/format/csv/csv.h"

static PyObject *strings_tuple(char *const *s, int n) {
  PyObject *t = PyTuple_New(n);
  for (int i = 0; t && i < n; i++) {
    PyObject *u = PyUnicode_DecodeUTF8(s[i], (Py_ssize_t)strlen(s[i]), "surrogateescape");
    if (!u) {
      Py_CLEAR(t);
      break;
    }
    PyTuple_SET_ITEM(t, i, u);
  }
  return t;
}

/* The stores of n paths: a tuple of Store or None, or None; false with an exception. *out is freed by the caller. */
static bool stores_arg(PyObject *value, int n, struct tr_store ***out) {
  *out = NULL;
  if (!value || value == Py_None) return true;
  if (!PyTuple_Check(value) || PyTuple_GET_SIZE(value) != n) {
    PyErr_SetString(PyExc_TypeError, "stores: a tuple with one entry per path");
    return false;
  }
  struct tr_store **stores = calloc((size_t)n, sizeof *stores);
  if (!stores) return PyErr_NoMemory() != NULL;
  *out = stores;
  for (int i = 0; i < n; i++) {
    PyObject *one = PyTuple_GET_ITEM(value, i);
    if (one != Py_None && !(stores[i] = tr_client_store_arg(one))) return false;
  }
  return true;
}

/* A Store or None; false with an exception. */
static bool store_or_none(PyObject *value, struct tr_store **out) {
  *out = NULL;
  return !value || value == Py_None || (*out = tr_client_store_arg(value)) != NULL;
}

static PyObject *open_parquet(PyObject *self, PyObject *args) {
  (void)self;
  int n;
  PyObject *list, *store_list = NULL;
  struct tr_store **stores = NULL;
  if (!PyArg_ParseTuple(args, "O|O", &list, &store_list)) return NULL;
  const char **paths = tr_client_strings_arg(list, &n);
  if (!paths) return NULL;
  if (n == 0) PyErr_SetString(PyExc_ValueError, "no files");
  if (n == 0 || !stores_arg(store_list, n, &stores)) {
    free(paths);
    free(stores);
    return NULL;
  }
  struct tr_rel *r = NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_exec_parquet_objects(stores, paths, n, &call.ctx, &r, &call.err);
  tr_client_end(&call);
  free(paths);
  free(stores);
  if (st != TR_OK) return tr_client_raise(st, &call.err);
  const struct tr_parquet_source *s = r->source;
  const struct tr_parquet_file *f = s->files[0];
  PyObject *cols = PyTuple_New(f->n_cols);
  for (int i = 0; cols && i < f->n_cols; i++) {
    bool maybe_object = false;
    for (int k = 0; k < s->n_files; k++) maybe_object |= s->files[k]->cols[i].maybe_object;
    PyObject *c = Py_BuildValue("szN", f->cols[i].name, tr_parquet_refusal(s->files, s->n_files, i),
                                PyBool_FromLong(maybe_object));
    if (!c) Py_CLEAR(cols);
    else PyTuple_SET_ITEM(cols, i, c);
  }
  PyObject *meta = f->pandas_metadata
                       ? PyUnicode_DecodeUTF8(f->pandas_metadata, (Py_ssize_t)strlen(f->pandas_metadata), "replace")
                       : Py_NewRef(Py_None);
  PyObject *rel = tr_client_wrap_rel(r);
  PyObject *out = cols && meta && rel ? PyTuple_Pack(3, rel, cols, meta) : NULL;
  Py_XDECREF(cols);
  Py_XDECREF(meta);
  Py_XDECREF(rel);
  return out;
}

static PyObject *write_parquet(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"path", "frame", "names", "codec", "pandas_metadata", "row_group_rows", "store", NULL};
  static const char *const codecs[] = {"none", "snappy", "gzip", "zstd"};
  const char *path, *codec = "snappy";
  struct tr_parquet_write_options opt = {0};
  PyObject *frame, *name_list, *store = NULL;
  long long rows = 0;
  (void)self;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO!O|szLO", names, &path, &tr_client_frame_type, &frame, &name_list,
                                   &codec, &opt.pandas_metadata, &rows, &store) ||
      !store_or_none(store, &opt.store))
    return NULL;
  int n, c = -1;
  for (int i = 0; i < 4; i++)
    if (strcmp(codecs[i], codec) == 0) c = i;
  if (c < 0) return PyErr_Format(PyExc_ValueError, "unknown codec %s", codec);
  opt.codec = (enum tr_codec)c;
  opt.row_group_rows = rows;
  const char **columns = tr_client_strings_arg(name_list, &n);
  if (!columns) return NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_parquet_write(&call.ctx, path, ((struct tr_py_frame *)frame)->f, columns, &opt, &call.err);
  tr_client_end(&call);
  free(columns);
  if (st != TR_OK) return tr_client_raise(st, &call.err);
  Py_RETURN_NONE;
}

static bool char_option(PyObject *options, const char *key, char *out) {
  PyObject *v = PyDict_GetItemString(options, key);
  if (!v) return true;
  if (v == Py_None) {
    *out = 0;
    return true;
  }
  const char *s = PyUnicode_AsUTF8(v);
  if (!s) return false;
  *out = s[0];
  return true;
}

static bool bool_option(PyObject *options, const char *key, bool *out) {
  PyObject *v = PyDict_GetItemString(options, key);
  if (v) *out = PyObject_IsTrue(v) == 1;
  return !PyErr_Occurred();
}

static bool int_option(PyObject *options, const char *key, int64_t *out) {
  PyObject *v = PyDict_GetItemString(options, key);
  if (v) *out = PyLong_AsLongLong(v);
  return !PyErr_Occurred();
}

static bool strings_option(PyObject *options, const char *key, const char *const **out, int *n) {
  PyObject *v = PyDict_GetItemString(options, key);
  if (!v || v == Py_None) return true;
  *out = tr_client_strings_arg(v, n);
  return *out != NULL;
}

/* column_options: dict name -> dtype name, or "parse_date" */
static bool column_options(PyObject *options, struct tr_csv_read_options *o) {
  PyObject *v = PyDict_GetItemString(options, "columns"), *key, *value;
  Py_ssize_t pos = 0;
  if (!v) return true;
  struct tr_csv_column_option *c = calloc((size_t)PyDict_Size(v) + 1, sizeof *c);
  if (!c) return PyErr_NoMemory() != NULL;
  o->column_options = c;
  while (PyDict_Next(v, &pos, &key, &value)) {
    struct tr_csv_column_option *it = &c[o->n_column_options++];
    it->name = PyUnicode_AsUTF8(key);
    if (!it->name) return false;
    it->parse_date = PyUnicode_CompareWithASCIIString(value, "parse_date") == 0;
    if (it->parse_date) continue;
    it->has_dtype = true;
    if (!tr_client_dtype_arg(value, &it->dtype)) return false;
  }
  return true;
}

static bool read_options(PyObject *options, struct tr_csv_read_options *o) {
  tr_csv_read_options_init(o);
  return char_option(options, "sep", &o->sep) && char_option(options, "quote", &o->quote) &&
         char_option(options, "decimal", &o->decimal) && char_option(options, "thousands", &o->thousands) &&
         char_option(options, "comment", &o->comment) && char_option(options, "escape", &o->escape) &&
         bool_option(options, "double_quote", &o->double_quote) &&
         bool_option(options, "skip_blank_lines", &o->skip_blank_lines) &&
         bool_option(options, "skip_initial_space", &o->skip_initial_space) &&
         bool_option(options, "keep_default_na", &o->keep_default_na) &&
         bool_option(options, "na_filter", &o->na_filter) && bool_option(options, "low_memory", &o->low_memory) &&
         int_option(options, "header", &o->header) && int_option(options, "skip_rows", &o->skip_rows) &&
         int_option(options, "skip_footer", &o->skip_footer) && int_option(options, "n_rows", &o->n_rows) &&
         strings_option(options, "names", &o->names, &o->n_names) &&
         strings_option(options, "use_columns", &o->use_columns, &o->n_use_columns) &&
         strings_option(options, "na_values", &o->na_values, &o->n_na_values) &&
         strings_option(options, "true_values", &o->true_values, &o->n_true_values) &&
         strings_option(options, "false_values", &o->false_values, &o->n_false_values) && column_options(options, o);
}

static void free_read_options(struct tr_csv_read_options *o) {
  free((void *)o->names);
  free((void *)o->use_columns);
  free((void *)o->na_values);
  free((void *)o->true_values);
  free((void *)o->false_values);
  free((void *)o->column_options);
}

static PyObject *read_csv(PyObject *self, PyObject *args) {
  (void)self;
  const char *path;
  PyObject *options, *store = NULL, *out = NULL;
  struct tr_csv_read_options o;
  if (!PyArg_ParseTuple(args, "sO!|O", &path, &PyDict_Type, &options, &store)) return NULL;
  memset(&o, 0, sizeof o);
  if (read_options(options, &o) && store_or_none(store, &o.store)) {
    struct tr_frame *f = NULL;
    char **names = NULL;
    struct tr_py_call call;
    tr_client_begin(&call);
    enum tr_status st = tr_csv_read(&call.ctx, path, &o, &f, &names, &call.err);
    tr_client_end(&call);
    if (st != TR_OK) out = tr_client_raise(st, &call.err);
    else {
      int n = f->n_cols;
      PyObject *frame = tr_client_wrap_frame(f), *labels = strings_tuple(names, n);
      out = frame && labels ? PyTuple_Pack(2, frame, labels) : NULL;
      Py_XDECREF(frame);
      Py_XDECREF(labels);
      tr_csv_names_free(names, n);
    }
  }
  free_read_options(&o);
  return out;
}

static PyObject *write_csv(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"path",    "frame",          "names",           "sep",    "quote",
                          "quoting", "na_rep",         "line_terminator", "header", "append",
                          "n_index", "quote_newlines", "store",           NULL};
  const char *path, *sep = ",", *quote = "\"";
  struct tr_csv_write_options opt;
  PyObject *frame, *name_list, *store = NULL;
  int header = 1, append = 0, quote_newlines = 1, n;
  (void)self;
  tr_csv_write_options_init(&opt);
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO!O|ssissppipO", names, &path, &tr_client_frame_type, &frame,
                                   &name_list, &sep, &quote, &opt.quoting, &opt.na_rep, &opt.line_terminator, &header,
                                   &append, &opt.n_index, &quote_newlines, &store) ||
      !store_or_none(store, &opt.store))
    return NULL;
  opt.sep = sep[0];
  opt.quote = quote[0];
  opt.header = header;
  opt.append = append;
  opt.quote_newlines = quote_newlines;
  const char **columns = tr_client_strings_arg(name_list, &n);
  if (!columns) return NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_csv_write(&call.ctx, path, ((struct tr_py_frame *)frame)->f, columns, &opt, &call.err);
  tr_client_end(&call);
  free(columns);
  if (st != TR_OK) return tr_client_raise(st, &call.err);
  Py_RETURN_NONE;
}

PyMethodDef tr_client_io_functions[] = {
    {"open_parquet", open_parquet, METH_VARARGS,
     "open_parquet(paths, stores=None)\n\nstores: per path None or the Store it is a key of. (Rel, ((name, None or "
     "reason it cannot be read, reading tells whether it is object), …), "
     "pandas metadata or None). The Rel's "
     "last column is the row number."},
    {"write_parquet", (PyCFunction)(void (*)(void))write_parquet, METH_VARARGS | METH_KEYWORDS,
     "write_parquet(path, frame, names, codec='snappy', pandas_metadata=None, row_group_rows=0, store=None)"},
    {"read_csv", read_csv, METH_VARARGS,
     "read_csv(path, options, store=None)\n\n(Frame, names); options are tr_csv_read_options' fields by name."},
    {"write_csv", (PyCFunction)(void (*)(void))write_csv, METH_VARARGS | METH_KEYWORDS,
     "write_csv(path, frame, names, sep=',', quote='\"', quoting=0, na_rep='', line_terminator='\\n', header=True, "
     "append=False, n_index=0, quote_newlines=True, store=None)"},
    {NULL, NULL, 0, NULL}};
