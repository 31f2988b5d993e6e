/* Floats to text and back, exactly and without the C locale.
 *
 * Printing gives the shortest text that reads back as the same value, in Python's spelling (repr): "1.0", "1e-05",
 * "1e+16", "inf", "-inf", "nan". Parsing is correctly rounded. A C++ leaf over double-conversion and fast_float;
 * nothing here allocates or throws. (pandas.read_csv's own parser rounds differently: see data/format/csv.)
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that any of the printers may write; no terminator is written. */
#define TR_FLOAT_TEXT_MAX 32

/* Writes repr(float(v)) to out; gives the number of bytes. */
int tr_float_repr(double v, char out[TR_FLOAT_TEXT_MAX]);
/* Writes str(numpy.float32(v)) of numpy 2.4: the shortest text that reads back as the same float32, in exponent form
 * from 1e6 up ("1e+06") and below 1e-4. */
int tr_float32_repr(float v, char out[TR_FLOAT_TEXT_MAX]);
/* Correctly rounded value of the n bytes at s, which must be all number: optional sign, digits with at most one
 * point, optional exponent; or inf, infinity, nan in any case with optional sign. No spaces, no underscores.
 * Values beyond the range give +-inf or +-0 as Python's float() does. False (and *out untouched) when it is no number.
 */
bool tr_float_parse(const char *s, int64_t n, double *out);

#ifdef __cplusplus
}
#endif
