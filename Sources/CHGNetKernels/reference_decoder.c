// The definition of every kernel of a decoder in plain scalar C with sums in double.
#include <math.h>
#include <string.h>

#include "CHGNetKernels.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// The weight of a token for a query: what the forward pass keeps, or will keep.
static void attention_weights(const hg_attention *d, int64_t image, int32_t channel, int32_t row, float *weights) {
  const float *query = d->queries + (image * d->query_count + row) * d->query_stride + channel;
  double largest = -INFINITY, sum = 0;
  for (int pass = 0; pass < 3; pass++)
    for (int32_t t = 0; t < d->token_count; t++) {
      const float *key = d->keys + (image * d->token_count + t) * d->key_stride + channel;
      double product = 0;
      for (int32_t c = 0; c < d->head_size; c++) product += (double)query[c] * key[c];
      product *= d->scale;
      if (pass == 0) largest = fmax(largest, product);
      if (pass == 1) sum += exp(product - largest);
      if (pass == 2) weights[t] = (float)(exp(product - largest) / sum);
    }
}

static void attention(const void *descriptor, int32_t task, float *scratch) {
  const hg_attention *d = descriptor;
  const int64_t image = task / d->heads;
  const int32_t channel = task % d->heads * d->head_size;
  for (int32_t row = 0; row < d->query_count; row++) {
    const int64_t index = ((int64_t)task * d->query_count + row) * d->token_count;
    float *weights = d->weights ? d->weights + index : scratch;
    attention_weights(d, image, channel, row, weights);
    for (int32_t c = 0; c < d->head_size; c++) {
      double sum = 0;
      for (int32_t t = 0; t < d->token_count; t++)
        sum += (double)weights[t] * (d->mask ? d->mask[index + t] : 1) *
               d->values[(image * d->token_count + t) * d->value_stride + channel + c];
      d->output[(image * d->query_count + row) * d->output_stride + channel + c] = (float)sum;
    }
  }
}

static void attention_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_attention *d = descriptor;
  const int64_t image = task / d->heads;
  const int32_t channel = task % d->heads * d->head_size;
  for (int32_t row = 0; row < d->query_count; row++) {
    const int64_t index = ((int64_t)task * d->query_count + row) * d->token_count;
    const int64_t pixel = image * d->query_count + row;
    const float *gradient = d->output + pixel * d->output_stride + channel, *weights = d->weights + index;
    double mean = 0;
    for (int pass = 0; pass < 2; pass++)
      for (int32_t t = 0; t < d->token_count; t++) {
        const int64_t token = image * d->token_count + t;
        const double mask = d->mask ? d->mask[index + t] : 1;
        double product = 0;
        for (int32_t c = 0; c < d->head_size; c++)
          product += (double)gradient[c] * d->values[token * d->value_stride + channel + c];
        product *= mask;
        if (pass == 0) {
          mean += product * weights[t];
          continue;
        }
        const double slope = d->scale * weights[t] * (product - mean);
        for (int32_t c = channel; c < channel + d->head_size; c++) {
          if (d->value_gradient)
            d->value_gradient[token * d->value_gradient_stride + c] += (float)(weights[t] * mask * gradient[c - channel]);
          if (d->query_gradient)
            d->query_gradient[pixel * d->query_gradient_stride + c] += (float)(slope * d->keys[token * d->key_stride + c]);
          if (d->key_gradient)
            d->key_gradient[token * d->key_gradient_stride + c] += (float)(slope * d->queries[pixel * d->query_stride + c]);
        }
      }
  }
}

static void layer_normalization(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_layer_normalization *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++) {
    const float *x = d->input + row * d->input_stride;
    double sum = 0, squares = 0;
    for (int32_t c = 0; c < d->channels; c++) sum += x[c];
    const double mean = sum / d->channels;
    for (int32_t c = 0; c < d->channels; c++) squares += (x[c] - mean) * (x[c] - mean);
    const double factor = 1 / sqrt(squares / d->channels + d->epsilon);
    for (int32_t c = 0; c < d->channels; c++)
      d->output[row * d->output_stride + c] = (float)((x[c] - mean) * factor * d->weight[c] + d->bias[c]);
    if (d->statistics) d->statistics[2 * row] = (float)mean, d->statistics[2 * row + 1] = (float)factor;
  }
}

static void layer_normalization_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_layer_normalization *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++) {
    const float *x = d->input + row * d->input_stride, *gradient = d->output + row * d->output_stride;
    const double mean = d->statistics[2 * row], factor = d->statistics[2 * row + 1];
    double sum = 0, product = 0;
    for (int32_t c = 0; c < d->channels; c++) {
      sum += (double)gradient[c] * d->weight[c];
      product += (double)gradient[c] * d->weight[c] * (x[c] - mean) * factor;
    }
    for (int32_t c = 0; c < d->channels; c++)
      d->input_gradient[row * d->input_gradient_stride + c] +=
          (float)(factor * ((double)gradient[c] * d->weight[c] - sum / d->channels -
                            (x[c] - mean) * factor * product / d->channels));
  }
}

static void layer_normalization_parameter_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_layer_normalization *d = descriptor;
  for (int32_t c = task * HG_PANEL; c < least((int64_t)(task + 1) * HG_PANEL, d->channels); c++) {
    double weight = 0, bias = 0;
    for (int64_t row = 0; row < d->rows; row++) {
      const double gradient = d->output[row * d->output_stride + c];
      bias += gradient;
      weight += gradient * ((double)d->input[row * d->input_stride + c] - d->statistics[2 * row]) * d->statistics[2 * row + 1];
    }
    if (d->weight_gradient) d->weight_gradient[c] += (float)weight;
    if (d->bias_gradient) d->bias_gradient[c] += (float)bias;
  }
}

// The row of an image that a column reads.
static int64_t group_row(const hg_group_product *d, int64_t image, int32_t column) {
  return image * d->groups + column / d->columns_per_group;
}

static void group_product(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_group_product *d = descriptor;
  for (int32_t k = 0; k < d->columns; k++) {
    double sum = d->bias[k];
    for (int64_t c = 0; c < d->channels; c++)
      sum += (double)d->input[group_row(d, task, k) * d->input_stride + c] * d->weight[(int64_t)k * d->channels + c];
    d->output[task * d->output_stride + k] = (float)sum;
  }
}

static void group_product_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_group_product *d = descriptor;
  for (int32_t k = 0; k < d->columns; k++)
    for (int64_t c = 0; c < d->channels; c++)
      d->input_gradient[group_row(d, task, k) * d->input_gradient_stride + c] +=
          d->weight[(int64_t)k * d->channels + c] * d->output[task * d->output_stride + k];
}

static void group_product_parameter_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_group_product *d = descriptor;
  for (int32_t image = 0; image < d->batch; image++) {
    const float gradient = d->output[image * d->output_stride + task];
    for (int64_t c = 0; c < d->channels && d->weight_gradient; c++)
      d->weight_gradient[(int64_t)task * d->channels + c] +=
          gradient * d->input[group_row(d, image, task) * d->input_stride + c];
    if (d->bias_gradient) d->bias_gradient[task] += gradient;
  }
}

static void repeat(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_repeat *d = descriptor;
  for (int64_t row = 0; row < d->count; row++)
    for (int32_t c = 0; c < d->channels; c++)
      d->output[(task * (int64_t)d->count + row) * d->output_stride + c] = d->rows[row * d->channels + c];
}

const hg_decoder_kernels hg_decoder_kernels_reference = {
    .attention = attention, .attention_gradient = attention_gradient, .layer_normalization = layer_normalization,
    .layer_normalization_gradient = layer_normalization_gradient,
    .layer_normalization_parameter_gradient = layer_normalization_parameter_gradient, .group_product = group_product,
    .group_product_gradient = group_product_gradient,
    .group_product_parameter_gradient = group_product_parameter_gradient, .repeat = repeat};
