/* What module.c needs from the engine's bindings: one call that adds their functions and types to the module. */
#pragma once
#include <Python.h>

/* Adds the engine's names to `terality._engine`; 0, or -1 with an exception set. */
int tr_client_add_engine(PyObject *module);
