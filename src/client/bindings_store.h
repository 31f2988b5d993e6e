/* Python's Store and storage options, for the bindings that read and write objects. */
#pragma once
#include "bindings.h"
#include "data/store/store.h"

struct tr_py_store {
  PyObject_HEAD struct tr_store *s;
};
extern PyTypeObject tr_client_store_type;

/* The store in a Python Store (borrowed); NULL with TypeError. */
struct tr_store *tr_client_store_arg(PyObject *value);

/* A dict of texts (None: none) as options in a malloc'ed list (free with free()) that borrows from it; false with an
 * exception set. */
bool tr_client_options_arg(PyObject *dict, struct tr_store_option **out, int *n);
