// Functions of one number, HG_FUNCTION_…, by their definition.

static inline double pointwise_value(int function, double x) {
  switch (function) {
    case HG_FUNCTION_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
  }
}

static inline double pointwise_gradient(int function, double gradient, double kept) {
  switch (function) {
    case HG_FUNCTION_SIGMOID: return gradient * kept * (1 - kept);
    default: return gradient;
  }
}
