/* What remote mode moves between this process and the bucket: frames as blocks, names of Parquet files, results. */
#include "base/mem.h"
#include "bindings_store.h"
#include "data/exec/bucket.h"

static PyObject *packed(const struct tr_block_writer *w) {
  PyObject *rows = PyList_New(w->n_segments), *result = NULL;
  for (int i = 0; rows && i < w->n_segments; i++) {
    PyObject *n = PyLong_FromLongLong(w->segments[i].rows);
    if (n) PyList_SET_ITEM(rows, i, n);
    else Py_CLEAR(rows);
  }
  if (rows) result = Py_BuildValue("y#N", (const char *)w->bytes, (Py_ssize_t)w->size, rows);
  return result;
}

static PyObject *encode_block(PyObject *self, PyObject *args) {
  PyObject *rel;
  long long piece_rows;
  (void)self;
  if (!PyArg_ParseTuple(args, "O!L", &tr_client_rel_type, &rel, &piece_rows)) return NULL;
  const struct tr_rel *r = ((struct tr_py_rel *)rel)->r;
  if (r->kind != TR_REL_FRAME || piece_rows < 1)
    return PyErr_Format(PyExc_ValueError, "encode_block(a FRAME, rows of a piece >= 1)");
  struct tr_block_writer w = {0};
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_bucket_pack(&call.ctx, r->source, piece_rows, &w, &call.err);
  tr_client_end(&call);
  PyObject *result = st == TR_OK ? packed(&w) : tr_client_raise(st, &call.err);
  tr_block_drop(&w);
  return result;
}

/* (path or URL, bytes, etag, whether the path still leads to it, [rows of each row group]) of one file. */
static PyObject *describe(const struct tr_parquet_file *f) {
  PyObject *rows = PyList_New(f->n_row_groups);
  for (int i = 0; rows && i < f->n_row_groups; i++) {
    PyObject *n = PyLong_FromLongLong(f->row_group_rows[i]);
    if (n) PyList_SET_ITEM(rows, i, n);
    else Py_CLEAR(rows);
  }
  return rows ? Py_BuildValue("sLsON", f->path, (long long)tr_parquet_size(f), tr_parquet_etag(f),
                              tr_parquet_in_place(f) ? Py_True : Py_False, rows)
              : NULL;
}

/* The files of a PARQUET node; NULL with an exception set. */
static const struct tr_parquet_source *parquet_arg(PyObject *arg) {
  if (PyObject_TypeCheck(arg, &tr_client_rel_type) && ((struct tr_py_rel *)arg)->r->kind == TR_REL_PARQUET)
    return ((struct tr_py_rel *)arg)->r->source;
  PyErr_SetString(PyExc_ValueError, "not a PARQUET");
  return NULL;
}

static PyObject *parquet_objects(PyObject *self, PyObject *arg) {
  (void)self;
  const struct tr_parquet_source *s = parquet_arg(arg);
  PyObject *list = s ? PyList_New(s->n_files) : NULL;
  struct tr_error err;
  for (int i = 0; list && i < s->n_files; i++) {
    enum tr_status st = tr_parquet_unchanged(s->files[i], &err);
    PyObject *one = st == TR_OK ? describe(s->files[i]) : tr_client_raise(st, &err);
    if (one) PyList_SET_ITEM(list, i, one);
    else Py_CLEAR(list);
  }
  return list;
}

static PyObject *parquet_bytes(PyObject *self, PyObject *args) {
  PyObject *rel;
  int i;
  (void)self;
  if (!PyArg_ParseTuple(args, "Oi", &rel, &i)) return NULL;
  const struct tr_parquet_source *s = parquet_arg(rel);
  if (!s) return NULL;
  if (i < 0 || i >= s->n_files) return PyErr_Format(PyExc_IndexError, "file %d of %d", i, s->n_files);
  const struct tr_parquet_file *f = s->files[i];
  PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)tr_parquet_size(f));
  if (!out) return NULL;
  struct tr_error err;
  enum tr_status st;
  char *to = PyBytes_AS_STRING(out);
  Py_BEGIN_ALLOW_THREADS st = tr_parquet_bytes(f, 0, to, (size_t)tr_parquet_size(f), &err);
  Py_END_ALLOW_THREADS if (st == TR_OK) return out;
  Py_DECREF(out);
  return tr_client_raise(st, &err);
}

static PyObject *read_result(PyObject *self, PyObject *args) {
  PyObject *store;
  const char *query;
  int stage, n_tasks;
  (void)self;
  if (!PyArg_ParseTuple(args, "O!sii", &tr_client_store_type, &store, &query, &stage, &n_tasks)) return NULL;
  struct tr_frame *f = NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  struct tr_bucket_store bucket = {.store = ((struct tr_py_store *)store)->s, .ctx = &call.ctx};
  struct tr_task_env env = {.ctx = &call.ctx, .bucket = tr_bucket_of_store(&bucket)};
  enum tr_status st = tr_task_read_result(&env, query, stage, n_tasks, &f, &call.err);
  tr_client_end(&call);
  return st == TR_OK ? tr_client_wrap_frame(f) : tr_client_raise(st, &call.err);
}

PyMethodDef tr_client_remote_functions[] = {
    {"encode_block", encode_block, METH_VARARGS,
     "encode_block(rel, piece_rows)\n\nThe frame of a FRAME node as a block object (bytes), and the rows of each of "
     "its "
     "pieces."},
    {"parquet_objects", parquet_objects, METH_O,
     "parquet_objects(rel)\n\n(path or URL, bytes, etag, whether the path still leads to it, [rows per row group]) of "
     "each file of a PARQUET node; an error when one is not what it was."},
    {"parquet_bytes", parquet_bytes, METH_VARARGS,
     "parquet_bytes(rel, i)\n\nThe whole of file i of a PARQUET node, as it was opened."},
    {"read_result", read_result, METH_VARARGS,
     "read_result(store, query, stage, n_tasks)\n\nThe rows that the last stage of a query wrote, as a Frame."},
    {NULL, NULL, 0, NULL}};
