/* Stores for Python: whole objects by key. See data/store/store.h. */
#include "bindings_store.h"
#include "base/mem.h"
#include "bindings.h"
#include <errno.h>
#include <sys/mman.h>

enum { MOST_BYTES = 0x40000000 }; /* of an object that becomes a bytes object: 1 GiB */

bool tr_client_options_arg(PyObject *dict, struct tr_store_option **out, int *n) {
  *out = NULL;
  *n = 0;
  if (dict == Py_None) return true;
  if (!PyDict_Check(dict)) {
    PyErr_Format(PyExc_TypeError, "storage options must be a dict, not %s", Py_TYPE(dict)->tp_name);
    return false;
  }
  struct tr_store_option *list = calloc((size_t)PyDict_GET_SIZE(dict) + 1, sizeof *list);
  if (!list) return PyErr_NoMemory() != NULL;
  PyObject *name, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict, &at, &name, &value); ++*n) {
    list[*n] = (struct tr_store_option){PyUnicode_AsUTF8(name), PyUnicode_AsUTF8(value)};
    if (list[*n].name && list[*n].value) continue;
    free(list);
    return false;
  }
  *out = list;
  return true;
}

static struct tr_store *store_of(PyObject *self) { return ((struct tr_py_store *)self)->s; }

static int store_init(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"url", "options", NULL};
  const char *url;
  PyObject *options = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|O", names, &url, &options)) return -1;
  struct tr_store_option *list;
  int n;
  if (!tr_client_options_arg(options, &list, &n)) return -1;
  struct tr_store *s = NULL;
  struct tr_error err;
  enum tr_status st = tr_store_open(url, list, n, &s, &err);
  free(list);
  if (st != TR_OK) {
    tr_client_raise(st, &err);
    return -1;
  }
  tr_store_unref(store_of(self));
  ((struct tr_py_store *)self)->s = s;
  return 0;
}

static void store_dealloc(PyObject *self) {
  tr_store_unref(store_of(self));
  Py_TYPE(self)->tp_free(self);
}

static PyObject *store_repr(PyObject *self) {
  return PyUnicode_FromFormat("Store('%s')", store_of(self) ? tr_store_url(store_of(self)) : "");
}

/* Large pages for the inside of fresh memory: touching it page by page costs about as much as a local network. */
static void advise_huge(char *memory, size_t bytes) {
  enum { HUGE_PAGE = 2 << 20 };
  uintptr_t begin = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
  uintptr_t end = ((uintptr_t)memory + bytes) & ~(uintptr_t)(HUGE_PAGE - 1);
  if (end > begin) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

/* Straight into the bytes object: a copy would cost as much as the network. */
static PyObject *store_get(PyObject *self, PyObject *arg) {
  const char *key = PyUnicode_AsUTF8(arg);
  if (!key) return NULL;
  struct tr_object o;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_store_stat(store_of(self), key, &call.ctx, &o, &call.err);
  if (st == TR_OK && o.size > MOST_BYTES)
    st = tr_fail(&call.err, TR_EXC_VALUE, "%s/%s has %lld bytes: too many for a bytes object",
                 tr_store_url(store_of(self)), key, (long long)o.size);
  tr_client_end(&call);
  if (st != TR_OK) return tr_client_raise(st, &call.err);
  PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)o.size);
  if (!out) return NULL;
  advise_huge(PyBytes_AS_STRING(out), (size_t)o.size);
  const struct tr_range all = {.bytes = o.size, .to = PyBytes_AS_STRING(out)};
  tr_client_begin(&call);
  st = tr_store_read(store_of(self), key, o.etag[0] ? o.etag : NULL, &all, 1, &call.ctx, &call.err);
  tr_client_end(&call);
  if (st == TR_OK) return out;
  Py_DECREF(out);
  return tr_client_raise(st, &call.err);
}

static PyObject *put(PyObject *self, PyObject *args, enum tr_put_mode mode) {
  const char *key;
  Py_buffer data;
  if (!PyArg_ParseTuple(args, "sy*", &key, &data)) return NULL;
  struct tr_put what = {.data = data.buf, .bytes = (size_t)data.len, .mode = mode};
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_store_put(store_of(self), key, &what, &call.ctx, &call.err);
  tr_client_end(&call);
  PyBuffer_Release(&data);
  bool lost = st == TR_ERROR && mode == TR_PUT_IF_ABSENT && call.err.exc == TR_EXC_OS && call.err.os_errno == EEXIST;
  if (st != TR_OK && !lost) return tr_client_raise(st, &call.err);
  return PyBool_FromLong(!lost);
}

static PyObject *store_put(PyObject *self, PyObject *args) { return put(self, args, TR_PUT_ANY); }
static PyObject *store_put_if_absent(PyObject *self, PyObject *args) { return put(self, args, TR_PUT_IF_ABSENT); }

static PyObject *store_delete(PyObject *self, PyObject *arg) {
  const char *key = PyUnicode_AsUTF8(arg);
  if (!key) return NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_store_remove(store_of(self), key, &call.ctx, &call.err);
  tr_client_end(&call);
  return st == TR_OK ? Py_NewRef(Py_None) : tr_client_raise(st, &call.err);
}

static PyObject *store_stat(PyObject *self, PyObject *arg) {
  const char *key = PyUnicode_AsUTF8(arg);
  if (!key) return NULL;
  struct tr_object o;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_store_stat(store_of(self), key, &call.ctx, &o, &call.err);
  tr_client_end(&call);
  return st == TR_OK ? Py_BuildValue("Ls", (long long)o.size, o.etag) : tr_client_raise(st, &call.err);
}

static PyObject *stat_object(PyObject *self, PyObject *args) {
  const char *url;
  PyObject *dict = Py_None;
  struct tr_store_option *list;
  int n;
  (void)self;
  if (!PyArg_ParseTuple(args, "s|O", &url, &dict) || !tr_client_options_arg(dict, &list, &n)) return NULL;
  struct tr_store *store = NULL;
  struct tr_object o;
  char *key = NULL;
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_store_open_object(url, list, n, &store, &key, &call.err);
  if (st == TR_OK) st = tr_store_stat(store, key, &call.ctx, &o, &call.err);
  tr_store_unref(store);
  tr_client_end(&call);
  free(key);
  free(list);
  return st == TR_OK ? Py_BuildValue("Ls", (long long)o.size, o.etag) : tr_client_raise(st, &call.err);
}

PyMethodDef tr_client_store_functions[] = {
    {"stat_object", stat_object, METH_VARARGS,
     "stat_object(url, options=None)\n\n(bytes, etag) of the object at a path or URL."},
    {NULL, NULL, 0, NULL}};

struct listing {
  struct tr_object *objects;
  size_t n, room;
};

static enum tr_status visit(void *arg, const struct tr_object *o, struct tr_error *err) {
  struct listing *l = arg;
  if (l->n == l->room) {
    size_t room = l->room ? 2 * l->room : 64;
    struct tr_object *grown = realloc(l->objects, sizeof *grown * room);
    if (!grown) return tr_fail_memory(err, sizeof *grown * room);
    l->objects = grown;
    l->room = room;
  }
  l->objects[l->n] = *o;
  l->objects[l->n].key = strdup(o->key);
  if (!l->objects[l->n].key) return tr_fail_memory(err, strlen(o->key));
  l->n++;
  return TR_OK;
}

/* Pairs of a key and what `entry` makes of the object. */
static PyObject *list_pairs(PyObject *self, PyObject *arg, char delimiter,
                            PyObject *(*entry)(const struct tr_object *o)) {
  const char *prefix = PyUnicode_AsUTF8(arg);
  if (!prefix) return NULL;
  struct listing found = {0};
  struct tr_py_call call;
  tr_client_begin(&call);
  enum tr_status st = tr_store_list(store_of(self), prefix, delimiter, &call.ctx, visit, &found, &call.err);
  tr_client_end(&call);
  PyObject *out = st == TR_OK ? PyList_New((Py_ssize_t)found.n) : tr_client_raise(st, &call.err);
  for (size_t i = 0; i < found.n; i++) {
    PyObject *pair = out ? entry(&found.objects[i]) : NULL;
    if (pair) PyList_SET_ITEM(out, (Py_ssize_t)i, pair);
    else Py_CLEAR(out);
    free(found.objects[i].key);
  }
  free(found.objects);
  return out;
}

static PyObject *key_and_size(const struct tr_object *o) { return Py_BuildValue("sL", o->key, (long long)o->size); }
static PyObject *key_and_kind(const struct tr_object *o) {
  return Py_BuildValue("sN", o->key, PyBool_FromLong(o->prefix));
}

static PyObject *store_list(PyObject *self, PyObject *arg) { return list_pairs(self, arg, 0, key_and_size); }
static PyObject *store_list_folder(PyObject *self, PyObject *arg) { return list_pairs(self, arg, '/', key_and_kind); }

static PyObject *store_make(PyObject *self, PyObject *unused) {
  struct tr_py_call call;
  (void)unused;
  tr_client_begin(&call);
  enum tr_status st = tr_store_make(store_of(self), &call.ctx, &call.err);
  tr_client_end(&call);
  return st == TR_OK ? Py_NewRef(Py_None) : tr_client_raise(st, &call.err);
}

struct tr_store *tr_client_store_arg(PyObject *value) {
  if (PyObject_TypeCheck(value, &tr_client_store_type) && store_of(value)) return store_of(value);
  PyErr_Format(PyExc_TypeError, "expected a Store, not %s", Py_TYPE(value)->tp_name);
  return NULL;
}

static PyMethodDef store_methods[] = {
    {"get", store_get, METH_O, "get(key)\n\nThe object as bytes; FileNotFoundError when there is none."},
    {"stat", store_stat, METH_O, "stat(key)\n\n(bytes, etag) of an object."},
    {"put", store_put, METH_VARARGS, "put(key, data)\n\nWrites an object whole."},
    {"put_if_absent", store_put_if_absent, METH_VARARGS,
     "put_if_absent(key, data)\n\nWrites it unless there is one; tells whether it did."},
    {"delete", store_delete, METH_O, "delete(key)\n\nRemoves an object; none is no error."},
    {"list", store_list, METH_O, "list(prefix)\n\n(key, bytes) of all objects whose keys begin so."},
    {"list_folder", store_list_folder, METH_O,
     "list_folder(prefix)\n\n(key, is_prefix); keys below a further '/' are told once, as prefix."},
    {"make", store_make, METH_NOARGS, "make()\n\nMakes the bucket, container or folder where there is none."},
    {NULL, NULL, 0, NULL}};

PyTypeObject tr_client_store_type = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "terality._engine.Store",
                                     .tp_basicsize = sizeof(struct tr_py_store),
                                     .tp_dealloc = store_dealloc,
                                     .tp_repr = store_repr,
                                     .tp_flags = Py_TPFLAGS_DEFAULT,
                                     .tp_doc = "Store(url, options=None)\n\nA folder, bucket or container.",
                                     .tp_new = PyType_GenericNew,
                                     .tp_init = store_init,
                                     .tp_methods = store_methods};
