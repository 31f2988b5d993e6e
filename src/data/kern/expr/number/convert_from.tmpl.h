/* Plain conversions of one number type to every other one. Holes: TX, S, IS_FLOAT, LEAST (optional: the mark of a
 * missing value). Floats are converted to floats only. */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define EXPR       x
#define NAME       CAT(to_f32_, S)
#define R          float
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#define EXPR x
#define NAME CAT(to_f64_, S)
#define R    double
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#define EXPR x != 0
#define NAME CAT(to_bool_, S)
#define R    uint8_t
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#if !IS_FLOAT
#define EXPR x
#define NAME CAT(to_8_, S)
#define R    uint8_t
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#define EXPR x
#define NAME CAT(to_16_, S)
#define R    uint16_t
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#define EXPR x
#define NAME CAT(to_32_, S)
#define R    uint32_t
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#define EXPR x
#define NAME CAT(to_64_, S)
#define R    uint64_t
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#ifdef LEAST
#define EXPR x == LEAST ? (double)NAN : (double)x
#define NAME CAT(unmark_, S)
#define R    double
#include "data/kern/expr/number/unary.tmpl.h"
#undef R
#undef LEAST
#endif
#endif
#undef TX
#undef S
#undef IS_FLOAT
#undef CAT
#undef CAT_
