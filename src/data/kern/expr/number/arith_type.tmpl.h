/* Arithmetic of one number type. Holes: T, U (unsigned of the same width, or T for floats), S (suffix), IS_FLOAT. */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define TX         T
#define TY         T
#define R          T
#define NAME       CAT(add_, S)
#define EXPR       (U) x + (U)y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(sub_, S)
#define EXPR (U) x - (U)y
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(mul_, S)
#define EXPR (W) x *(W)y
#include "data/kern/expr/number/binary.tmpl.h"
#if IS_FLOAT
#define NAME CAT(truediv_, S)
#define EXPR x / y
#include "data/kern/expr/number/binary.tmpl.h"
#endif
#define NAME CAT(neg_, S)
#if IS_FLOAT
#define EXPR -x
#else
#define EXPR (U)0 - (U)x
#endif
#include "data/kern/expr/number/unary.tmpl.h"
#undef TX
#undef TY
#undef R
#undef T
#undef U
#undef W
#undef S
#undef IS_FLOAT
#undef CAT
#undef CAT_
