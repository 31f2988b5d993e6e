/* Sealing for Python: plans and texts under a deployment's key. See meta/plan/codec_seal.h. */
#include "bindings.h"
#include "data/exec/seal_key.h"

static bool key_arg(const Py_buffer *key, struct tr_seal_hooks *hooks) {
  if (key->len != TR_KEY_BYTES) {
    PyErr_Format(PyExc_ValueError, "a key of %zd bytes, not %d", key->len, TR_KEY_BYTES);
    return false;
  }
  *hooks = tr_seal_key_hooks(key->buf);
  return true;
}

typedef enum tr_status (*plan_fn)(const char *text, size_t n, const struct tr_seal_hooks *hooks, char **out,
                                  struct tr_error *err);

static PyObject *change_plan(PyObject *args, plan_fn change) {
  const char *text;
  Py_ssize_t n;
  Py_buffer key;
  if (!PyArg_ParseTuple(args, "s#y*", &text, &n, &key)) return NULL;
  struct tr_seal_hooks hooks;
  struct tr_error err;
  char *out = NULL;
  PyObject *result = NULL;
  if (key_arg(&key, &hooks)) {
    enum tr_status st = change(text, (size_t)n, &hooks, &out, &err);
    result = st == TR_OK ? PyUnicode_FromString(out) : tr_client_raise(st, &err);
  }
  free(out);
  PyBuffer_Release(&key);
  return result;
}

static PyObject *seal_plan(PyObject *self, PyObject *args) {
  (void)self;
  return change_plan(args, tr_plan_seal);
}

static PyObject *unseal_plan(PyObject *self, PyObject *args) {
  (void)self;
  return change_plan(args, tr_plan_unseal);
}

static PyObject *seal_bytes(PyObject *self, PyObject *args) {
  Py_buffer bytes, key;
  (void)self;
  if (!PyArg_ParseTuple(args, "y*y*", &bytes, &key)) return NULL;
  struct tr_seal_hooks hooks;
  struct tr_error err;
  char *out = NULL;
  PyObject *result = NULL;
  if (key_arg(&key, &hooks)) {
    enum tr_status st = tr_seal_bytes(bytes.buf, (size_t)bytes.len, &hooks, &out, &err);
    result = st == TR_OK ? PyUnicode_FromString(out) : tr_client_raise(st, &err);
  }
  free(out);
  PyBuffer_Release(&bytes);
  PyBuffer_Release(&key);
  return result;
}

static PyObject *unseal_bytes(PyObject *self, PyObject *args) {
  const char *sealed;
  Py_ssize_t len;
  Py_buffer key;
  (void)self;
  if (!PyArg_ParseTuple(args, "s#y*", &sealed, &len, &key)) return NULL;
  struct tr_seal_hooks hooks;
  struct tr_error err;
  char *out = NULL;
  size_t n;
  PyObject *result = NULL;
  if (key_arg(&key, &hooks)) {
    enum tr_status st = tr_unseal_bytes(sealed, (size_t)len, &hooks, &out, &n, &err);
    result = st == TR_OK ? PyBytes_FromStringAndSize(out, (Py_ssize_t)n) : tr_client_raise(st, &err);
  }
  free(out);
  PyBuffer_Release(&key);
  return result;
}

PyMethodDef tr_client_seal_functions[] = {
    {"seal_plan", seal_plan, METH_VARARGS,
     "seal_plan(text, key)\n\nThe text of encode_plan with every value in it sealed under a key of 32 bytes."},
    {"unseal_plan", unseal_plan, METH_VARARGS, "unseal_plan(text, key)\n\nAnd back; ValueError when it was changed."},
    {"seal_bytes", seal_bytes, METH_VARARGS, "seal_bytes(data, key)\n\nAny bytes as sealed text."},
    {"unseal_bytes", unseal_bytes, METH_VARARGS, "unseal_bytes(text, key)\n\nAnd back; ValueError when changed."},
    {NULL, NULL, 0, NULL}};
