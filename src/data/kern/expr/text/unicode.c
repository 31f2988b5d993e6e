/* Character properties through utf8proc, which pyarrow uses too, in a newer version: code points unassigned in ours,
 * and the few whose case mapping came later, are reported as unknown. Compared over all code points with pyarrow 26. */
#include "data/kern/expr/text/unicode_int.h"
#include <utf8proc.h>

int32_t tr_cp_upper(int32_t cp) { return utf8proc_toupper(cp); }
int32_t tr_cp_lower(int32_t cp) { return utf8proc_tolower(cp); }

bool tr_cp_is_alpha(int32_t cp) {
  utf8proc_category_t c = utf8proc_category(cp);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool tr_cp_is_digit(int32_t cp) {
  utf8proc_category_t c = utf8proc_category(cp);
  return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NO;
}

bool tr_cp_is_cased(int32_t cp) {
  utf8proc_category_t c = utf8proc_category(cp);
  return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT ||
         utf8proc_toupper(cp) != cp || utf8proc_tolower(cp) != cp;
}

bool tr_cp_is_space(int32_t cp) {
  return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
         (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool tr_cp_unknown(int32_t cp) {
  switch (cp) {
  case 0x19b:
  case 0x264:
  case 0x277:
  case 0x27c:
  case 0x295:
  case 0xa7d3:
  case 0xa7d5:
  case 0xab4b:
  case 0xab4c: return true;
  default: return cp >= 0x80 && utf8proc_category(cp) == UTF8PROC_CATEGORY_CN;
  }
}
