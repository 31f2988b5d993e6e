// Floats to text and back: see float_text.h. double-conversion prints, fast_float parses.
#include "base/float_text.h"
#include <cmath>
#include <cstring>
#include <double-conversion/double-conversion.h>
#include <fast_float/fast_float.h>

namespace {

using double_conversion::DoubleToStringConverter;

// Digits and decimal point position (value = 0.d1d2d3… * 10^point) in exponent form, or with all digits written out.
int lay_out(bool negative, bool exponent_form, const char *digits, int n, int point, char *out) {
  char *p = out;
  if (negative) *p++ = '-';
  const int exponent = point - 1;
  if (exponent_form) {
    *p++ = digits[0];
    if (n > 1) {
      *p++ = '.';
      std::memcpy(p, digits + 1, static_cast<size_t>(n - 1));
      p += n - 1;
    }
    *p++ = 'e';
    *p++ = exponent < 0 ? '-' : '+';
    int e = exponent < 0 ? -exponent : exponent;
    if (e >= 100) {
      *p++ = static_cast<char>('0' + e / 100);
      e %= 100;
    }
    *p++ = static_cast<char>('0' + e / 10);
    *p++ = static_cast<char>('0' + e % 10);
    return static_cast<int>(p - out);
  }
  if (point <= 0) {
    *p++ = '0';
    *p++ = '.';
    for (int i = point; i < 0; i++) *p++ = '0';
    std::memcpy(p, digits, static_cast<size_t>(n));
    return static_cast<int>(p + n - out);
  }
  const int whole = n < point ? n : point;
  std::memcpy(p, digits, static_cast<size_t>(whole));
  p += whole;
  for (int i = whole; i < point; i++) *p++ = '0';
  *p++ = '.';
  if (n > point) {
    std::memcpy(p, digits + point, static_cast<size_t>(n - point));
    p += n - point;
  } else {
    *p++ = '0';
  }
  return static_cast<int>(p - out);
}

int special(double v, char *out) {
  if (std::isnan(v)) {
    std::memcpy(out, "nan", 3);
    return 3;
  }
  const char *text = v < 0 ? "-inf" : "inf";
  const int n = v < 0 ? 4 : 3;
  std::memcpy(out, text, static_cast<size_t>(n));
  return n;
}

} // namespace

extern "C" int tr_float_repr(double v, char out[TR_FLOAT_TEXT_MAX]) {
  if (!std::isfinite(v)) return special(v, out);
  char digits[DoubleToStringConverter::kBase10MaximalLength + 1];
  bool negative;
  int n, point;
  DoubleToStringConverter::DoubleToAscii(v, DoubleToStringConverter::SHORTEST, 0, digits, sizeof digits, &negative, &n,
                                         &point);
  return lay_out(negative, point < -3 || point > 16, digits, n, point, out);
}

extern "C" int tr_float32_repr(float v, char out[TR_FLOAT_TEXT_MAX]) {
  if (!std::isfinite(v)) return special(static_cast<double>(v), out);
  char digits[DoubleToStringConverter::kBase10MaximalLength + 1];
  bool negative;
  int n, point;
  DoubleToStringConverter::DoubleToAscii(static_cast<double>(v), DoubleToStringConverter::SHORTEST_SINGLE, 0, digits,
                                         sizeof digits, &negative, &n, &point);
  // numpy's rule looks at the value, not at its digits: float32(1e-4) is a little less and prints as 1e-04.
  const double size = std::fabs(static_cast<double>(v));
  return lay_out(negative, size != 0 && (size < 1e-4 || size >= 1e6), digits, n, point, out);
}

extern "C" bool tr_float_parse(const char *s, int64_t n, double *out) {
  const char *end = s + n;
  if (n > 0 && *s == '+') {
    s++;
    if (s == end || *s == '-' || *s == '+') return false;
  }
  double v;
  const auto r = fast_float::from_chars(s, end, v);
  if (r.ptr != end || s == end) return false;
  if (r.ec != std::errc() && r.ec != std::errc::result_out_of_range) return false;
  *out = v;
  return true;
}
