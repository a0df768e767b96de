#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Changes a parameter w by its gradient x, or the average w by the parameter x; b and y are its moments. r holds a factor
// of the gradient where IS_CLIPPED says so. The numbers stand in the places of others.
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0;
// 0: SGD. 1: momentum, with Nesterov's look ahead where IS_NESTEROV says so. 2: AdamW. 3: the average.
const uint IS_NESTEROV = 1, IS_CLIPPED = 2;
#define RATE p.scale
#define GRADIENT_SCALE p.shift
#define DECAY_L2 uintBitsToFloat(p.height)
#define DECAY_L1 uintBitsToFloat(p.width)
#define MOMENTUM uintBitsToFloat(p.top)
#define BETA_1 uintBitsToFloat(p.top)
#define BETA_2 uintBitsToFloat(p.left)
#define EPSILON uintBitsToFloat(p.kernelHeight)
#define KEEP uintBitsToFloat(p.kernelWidth)

void main() {
  const uint index = flatIndex();
  if (index >= p.rows) return;
  const float weight = w[index];
  if (KIND == 3) {
    w[index] = RATE * weight + GRADIENT_SCALE * x[index];
    return;
  }
  const float scale = (p.flags & IS_CLIPPED) != 0 ? GRADIENT_SCALE * r[0] : GRADIENT_SCALE;
  const float slope = x[index] * scale + DECAY_L2 * weight + DECAY_L1 * sign(weight);
  if (KIND == 0) w[index] = weight - RATE * slope;
  if (KIND == 1) {
    const float speed = MOMENTUM * b[index] + slope;
    b[index] = speed;
    w[index] = weight - RATE * ((p.flags & IS_NESTEROV) != 0 ? slope + MOMENTUM * speed : speed);
  }
  if (KIND == 2) {
    const float mean = BETA_1 * b[index] + (1 - BETA_1) * slope;
    const float square = BETA_2 * y[index] + (1 - BETA_2) * slope * slope;
    b[index] = mean;
    y[index] = square;
    w[index] = weight * KEEP - RATE * (mean / (sqrt(square) + EPSILON));
  }
}
