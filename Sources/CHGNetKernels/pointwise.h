// Functions of one number, HG_FUNCTION_…: the value and the gradient. Included once per instruction set.

HG_INLINE double hg_pointwise_value(int function, double x) {
  switch (function) {
    case HG_FUNCTION_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
  }
}

// The gradient of the result times the derivative; kept is the result or the input, as Pointwise.swift says.
HG_INLINE hg_vector hg_pointwise_gradient(int function, hg_vector gradient, hg_vector kept) {
  switch (function) {
    case HG_FUNCTION_SIGMOID: return gradient * kept * (hg_splat(1) - kept);
    default: return gradient;
  }
}
