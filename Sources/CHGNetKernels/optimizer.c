// Updates of parameters; see CHGNetOptimizer.h. The loops are bound by memory, so the compiler's own vectors suffice.
#include <math.h>

#include "CHGNetOptimizer.h"

static inline float ruled(float gradient, float weight, hg_gradient_rule rule) {
  float sign = (float)((weight > 0) - (weight < 0));
  return gradient * rule.scale + rule.decay_l2 * weight + rule.decay_l1 * sign;
}

void hg_optimizer_sgd(float *weights, const float *gradient, int64_t count, float rate, hg_gradient_rule rule) {
  float *restrict w = weights;
  const float *restrict g = gradient;
  for (int64_t i = 0; i < count; i++) w[i] -= rate * ruled(g[i], w[i], rule);
}

void hg_optimizer_momentum(float *weights, const float *gradient, float *velocity, int64_t count, float rate,
                           float momentum, int32_t nesterov, hg_gradient_rule rule) {
  float *restrict w = weights;
  const float *restrict g = gradient;
  float *restrict v = velocity;
  if (nesterov) {
    for (int64_t i = 0; i < count; i++) {
      float slope = ruled(g[i], w[i], rule);
      float speed = momentum * v[i] + slope;
      v[i] = speed;
      w[i] -= rate * (slope + momentum * speed);
    }
  } else {
    for (int64_t i = 0; i < count; i++) {
      float speed = momentum * v[i] + ruled(g[i], w[i], rule);
      v[i] = speed;
      w[i] -= rate * speed;
    }
  }
}

void hg_optimizer_adamw(float *weights, const float *gradient, float *first, float *second, int64_t count, float rate,
                        float keep, float beta1, float beta2, float epsilon, hg_gradient_rule rule) {
  float *restrict w = weights;
  const float *restrict g = gradient;
  float *restrict m = first;
  float *restrict s = second;
  for (int64_t i = 0; i < count; i++) {
    float slope = ruled(g[i], w[i], rule);
    float mean = beta1 * m[i] + (1 - beta1) * slope;
    float square = beta2 * s[i] + (1 - beta2) * slope * slope;
    m[i] = mean;
    s[i] = square;
    w[i] = w[i] * keep - rate * (mean / (sqrtf(square) + epsilon));
  }
}

void hg_optimizer_average(float *average, const float *values, int64_t count, float decay, float complement) {
  float *restrict a = average;
  const float *restrict v = values;
  for (int64_t i = 0; i < count; i++) a[i] = decay * a[i] + complement * v[i];
}

double hg_sum_of_squares(const float *values, int64_t count) {
  double lanes[8] = {0};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int lane = 0; lane < 8; lane++) lanes[lane] += (double)values[i + lane] * (double)values[i + lane];
  }
  for (int lane = 0; i < count; i++, lane++) lanes[lane] += (double)values[i] * (double)values[i];
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}
