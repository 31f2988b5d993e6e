/* The six comparisons of one pair of types. Holes: TX, TY, S, and EQ_, LT_, LE_ over x and y. NE is the complement of
 * EQ (true for NaN and NaT); GT and GE exchange the sides in the caller. */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define R          uint8_t
#define NAME       CAT(eq_, S)
#define EXPR       EQ_
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(ne_, S)
#define EXPR !(EQ_)
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(lt_, S)
#define EXPR LT_
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(le_, S)
#define EXPR LE_
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(gt_, S)
#define EXPR GT_
#include "data/kern/expr/number/binary.tmpl.h"
#define NAME CAT(ge_, S)
#define EXPR GE_
#include "data/kern/expr/number/binary.tmpl.h"
#undef R
#undef TX
#undef TY
#undef S
#undef EQ_
#undef LT_
#undef LE_
#undef GT_
#undef GE_
#undef CAT
#undef CAT_
