#include "kernels/math.h"

#include "kernels/math_inline.h"

namespace mrs::kernels {

float Exp(float x) { return math::Exp(x); }
float Tanh(float x) { return math::Tanh(x); }
float Erf(float x) { return math::Erf(x); }
double Log(double x) { return math::Log(x); }
void SinCos(double x, double* sine, double* cosine) { math::SinCos(x, sine, cosine); }

}  // namespace mrs::kernels
