// Updates of parameters by their gradients: one pass over dense arrays of float32.
//
// Elementwise, so that any cut into ranges gives the same bits. The gradient is read as scale * gradient (clipping, or
// the mean over accumulated steps) and is not changed. decay_l2 and decay_l1 add l2 * w + l1 * sign(w) to it (coupled
// decay). Arrays do not overlap.
#pragma once
#include <stdint.h>

// What is done to a gradient before it is used.
typedef struct {
  float scale;
  float decay_l2;
  float decay_l1;
} hg_gradient_rule;

// w -= rate * g.
void hg_optimizer_sgd(float *_Nonnull weights, const float *_Nonnull gradient, int64_t count, float rate,
                      hg_gradient_rule rule);

// v = momentum * v + g; w -= rate * v, or with nesterov w -= rate * (g + momentum * v).
void hg_optimizer_momentum(float *_Nonnull weights, const float *_Nonnull gradient, float *_Nonnull velocity,
                           int64_t count, float rate, float momentum, int32_t nesterov, hg_gradient_rule rule);

// w *= keep; m = beta1 * m + (1 - beta1) * g; s = beta2 * s + (1 - beta2) * g * g;
// w -= rate * m / (sqrt(s) + epsilon). rate and epsilon carry the correction for the first steps.
void hg_optimizer_adamw(float *_Nonnull weights, const float *_Nonnull gradient, float *_Nonnull first,
                        float *_Nonnull second, int64_t count, float rate, float keep, float beta1, float beta2,
                        float epsilon, hg_gradient_rule rule);

// average = decay * average + (1 - decay) * value.
void hg_optimizer_average(float *_Nonnull average, const float *_Nonnull values, int64_t count, float decay,
                          float complement);

// The sum of squares in double, in a fixed order.
double hg_sum_of_squares(const float *_Nonnull values, int64_t count);
