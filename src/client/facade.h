/* The facade: how pandas' own objects become lazy, and who serves a call.
 *
 * What: declarations shared by the facade_*.c files and module.c. A lazy object is a real pandas DataFrame or
 * Series without `_mgr` in its __dict__; it carries a Native (`_tr_native`), and once pandas has seen its manager,
 * a Seal (`_tr_seal`) that tells whether that manager is still the one the Native gave.
 * Why in C: a Python frame between user and pandas changes warning levels, `query` locals and reference counts.
 * Guarantees: an object pandas made costs one attribute look-up more per wrapped call; everything here runs under
 * the GIL and is safe in a forked child.
 */
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

enum tr_client_mode { TR_MODE_OFF = 0, TR_MODE_AUTO, TR_MODE_NATIVE, TR_MODE_STRICT };

/* Where a wrapped callable finds the pandas object that decides: its self, an attribute of it, or its arguments; ALWAYS
 * is for readers; SCHEMA is self, but only while it has no manager yet (len). */
enum tr_client_subject { TR_SUBJECT_SELF = 0, TR_SUBJECT_ATTR, TR_SUBJECT_ARGS, TR_SUBJECT_ALWAYS, TR_SUBJECT_SCHEMA };

/* Which of pandas' chained-assignment checks a callable makes. */
enum tr_client_chained {
  TR_CHAINED_NONE = 0,
  TR_CHAINED_SETITEM,
  TR_CHAINED_INDEXER,
  TR_CHAINED_INPLACE,
  TR_CHAINED_ALWAYS
};

/* Whose turn a call is. */
enum tr_client_verdict { TR_VERDICT_PANDAS = 0, TR_VERDICT_CARRIES, TR_VERDICT_ELIGIBLE };

/* What is set once by terality.install (all references strong, NULL until then). */
struct tr_client_state {
  enum tr_client_mode mode;
  Py_ssize_t min_rows;  /* auto mode: a pandas-made object this long goes native … */
  Py_ssize_t min_bytes; /* … or this big */
  PyTypeObject *frame_type, *series_type, *flags_type;
  PyObject *fallback_exc; /* terality.registry.Fallback */
  PyObject *on_fallback;  /* callable(name, reason, subject, carries): announces, raises in strict mode */
  PyObject *on_chained;   /* callable(kind, obj): pandas' chained-assignment warning */
  PyObject *internal;     /* tuple of path prefixes whose code is no user of ours */
  PyObject *user;         /* tuple of path prefixes below those that are users all the same (pandas' tests) */
  PyObject *transparent;  /* set of code objects that only pass a call on */
  PyObject *passing;      /* tuple of path prefixes whose code only passes a call on (numpy) */
  PyObject *on_load;      /* callable(): imports the handlers; called once, before the first call that may be native */
  uint64_t materialised;  /* managers made by Native.materialize */
};
extern struct tr_client_state tr_client;

/* Interned attribute names. */
struct tr_client_names {
  PyObject *native, *seal, *mgr, *attrs, *flags, *name, *obj_ref, *allows, *materialize, *copy, *deep, *blocks, *axes,
      *values, *range, *names, *view, *kept_columns, *kept_index, *given_to, *nbytes, *inplace;
};
extern struct tr_client_names tr_str;

extern PyTypeObject tr_client_native_type, tr_client_mgr_type, tr_client_seal_type, tr_client_method_type,
    tr_client_member_type;

static inline bool tr_client_is_exact(PyObject *obj) {
  return Py_TYPE(obj) == tr_client.frame_type || Py_TYPE(obj) == tr_client.series_type;
}

/* A slot set from Python may hold None. */
static inline bool tr_client_is_set(PyObject *slot) { return slot && slot != Py_None; }

/* facade_lazy.c */
/* Gives in *native (new reference, or NULL) the Native that still describes obj; drops one whose seal is broken. */
int tr_client_live(PyObject *obj, PyObject **native);
/* Gives obj's own Index of a lazy object: a view of the Native's, kept until its manager holds it. key is
 * tr_str.kept_columns or kept_index. New reference. */
PyObject *tr_client_axis(PyObject *obj, PyObject *key);
/* True when obj carries a Native and pandas has not seen its manager yet. Never fails. */
bool tr_client_is_lazy(PyObject *obj);
/* Module functions wrap_frame, wrap_series, live_native, attach, replace, is_lazy, drop: see their docstrings. */
extern PyMethodDef tr_client_lazy_functions[];
int tr_client_lazy_init(void);

/* facade_seal.c */
/* Gives a new Seal over a manager (borrowed), NULL with an exception on failure. */
PyObject *tr_client_seal_new(PyObject *mgr);
/* Does mgr (borrowed) still hold exactly what the seal saw? Never fails: any error counts as broken. */
bool tr_client_seal_holds(PyObject *seal, PyObject *mgr);

/* facade_route.c */
enum tr_client_verdict tr_client_verdict_args(PyObject *const *args, Py_ssize_t n);
enum tr_client_verdict tr_client_verdict_of(PyObject *obj);
/* Does the running Python code belong to pandas or to us (then the call is not counted and stays pandas')? */
bool tr_client_caller_is_internal(void);

/* facade_method.c */
/* Calls tr_client.on_fallback; -1 when it raised (strict mode). All arguments borrowed, reason may be NULL. */
int tr_client_note_fallback(PyObject *name, PyObject *reason, PyObject *subject, bool carries);
/* Imports the handlers before their first use; -1 with an exception. */
int tr_client_load(void);
/* If the pending exception is Fallback, takes it and gives its text (new reference); otherwise NULL. */
PyObject *tr_client_take_fallback(void);
