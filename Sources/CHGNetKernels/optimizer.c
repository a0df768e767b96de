// Updates of parameters; see CHGNetOptimizer.h. The loops are bound by memory, so the compiler's own vectors suffice.
#include <math.h>

#include "CHGNetOptimizer.h"

// has_l1 is a constant: signs are rarely wanted, and taking them costs more than the rest.
static inline float ruled(float gradient, float weight, hg_gradient_rule rule, const int has_l1) {
  const float slope = gradient * rule.scale + rule.decay_l2 * weight;
  return has_l1 ? slope + rule.decay_l1 * (float)((weight > 0) - (weight < 0)) : slope;
}

static inline void sgd(float *restrict w, const float *restrict g, int64_t count, float rate, hg_gradient_rule rule,
                       const int has_l1) {
  for (int64_t i = 0; i < count; i++) w[i] -= rate * ruled(g[i], w[i], rule, has_l1);
}

void hg_optimizer_sgd(float *weights, const float *gradient, int64_t count, float rate, hg_gradient_rule rule) {
  if (rule.decay_l1 != 0)
    sgd(weights, gradient, count, rate, rule, 1);
  else
    sgd(weights, gradient, count, rate, rule, 0);
}

static inline void move(float *restrict w, const float *restrict g, float *restrict v, int64_t count, float rate,
                        float momentum, hg_gradient_rule rule, const int nesterov, const int has_l1) {
  for (int64_t i = 0; i < count; i++) {
    const float slope = ruled(g[i], w[i], rule, has_l1), speed = momentum * v[i] + slope;
    v[i] = speed;
    w[i] -= rate * (nesterov ? slope + momentum * speed : speed);
  }
}

void hg_optimizer_momentum(float *weights, const float *gradient, float *velocity, int64_t count, float rate,
                           float momentum, int32_t nesterov, hg_gradient_rule rule) {
  if (rule.decay_l1 != 0)
    move(weights, gradient, velocity, count, rate, momentum, rule, nesterov != 0, 1);
  else if (nesterov)
    move(weights, gradient, velocity, count, rate, momentum, rule, 1, 0);
  else
    move(weights, gradient, velocity, count, rate, momentum, rule, 0, 0);
}

static inline void adamw(float *restrict w, const float *restrict g, float *restrict m, float *restrict s, int64_t count,
                         float rate, float keep, float beta1, float beta2, float epsilon, hg_gradient_rule rule,
                         const int has_l1) {
  for (int64_t i = 0; i < count; i++) {
    const float slope = ruled(g[i], w[i], rule, has_l1);
    const float mean = beta1 * m[i] + (1 - beta1) * slope, square = beta2 * s[i] + (1 - beta2) * slope * slope;
    m[i] = mean;
    s[i] = square;
    w[i] = w[i] * keep - rate * (mean / (sqrtf(square) + epsilon));
  }
}

void hg_optimizer_adamw(float *weights, const float *gradient, float *first, float *second, int64_t count, float rate,
                        float keep, float beta1, float beta2, float epsilon, hg_gradient_rule rule) {
  if (rule.decay_l1 != 0)
    adamw(weights, gradient, first, second, count, rate, keep, beta1, beta2, epsilon, rule, 1);
  else
    adamw(weights, gradient, first, second, count, rate, keep, beta1, beta2, epsilon, rule, 0);
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
