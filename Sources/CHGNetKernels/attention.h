// Attention, layer normalisation and grouped products for one instruction set; vector.h comes before.

HG_INLINE float hg_attention_sum(hg_vector x) {
  float lanes[HG_LANES], sum = 0;
  hg_store(lanes, x);
  for (int i = 0; i < HG_LANES; i++) sum += lanes[i];
  return sum;
}

HG_INLINE float hg_dot(const float *a, const float *b, int count) {
  hg_vector first = {0}, second = {0};
  int i = 0;
  for (; i + 2 * HG_LANES <= count; i += 2 * HG_LANES) {
    first += hg_load(a + i) * hg_load(b + i);
    second += hg_load(a + i + HG_LANES) * hg_load(b + i + HG_LANES);
  }
  float sum = hg_attention_sum(first + second);
  for (; i < count; i++) sum += a[i] * b[i];
  return sum;
}

// target += factor * source
HG_INLINE void hg_add_scaled(float *target, const float *source, float factor, int count) {
  const hg_vector f = hg_splat(factor);
  int i = 0;
  for (; i + HG_LANES <= count; i += HG_LANES) hg_store(target + i, hg_load(target + i) + f * hg_load(source + i));
  for (; i < count; i++) target[i] += factor * source[i];
}

static void HG_NAME(hg_attention)(const void *descriptor, int32_t task, float *scratch) {
  const hg_attention *d = descriptor;
  const int64_t image = task / d->heads;
  const int channel = task % d->heads * d->head_size, tokens = d->token_count;
  const float *keys = d->keys + image * tokens * d->key_stride + channel;
  const float *values = d->values + image * tokens * d->value_stride + channel;
  for (int row = 0; row < d->query_count; row++) {
    const int64_t index = ((int64_t)task * d->query_count + row) * tokens;
    const float *query = d->queries + (image * d->query_count + row) * d->query_stride + channel;
    float *weights = d->weights ? d->weights + index : scratch;
    float largest = -__builtin_inff();
    for (int t = 0; t < tokens; t++) {
      weights[t] = d->scale * hg_dot(query, keys + t * d->key_stride, d->head_size);
      if (weights[t] > largest) largest = weights[t];
    }
    float sum = 0;
    for (int t = 0; t < tokens; t++) sum += weights[t] = expf(weights[t] - largest);
    const float share = 1 / sum;
    float *output = d->output + (image * d->query_count + row) * d->output_stride + channel;
    for (int c = 0; c < d->head_size; c++) output[c] = 0;
    for (int t = 0; t < tokens; t++) {
      weights[t] *= share;
      const float kept = d->mask ? weights[t] * d->mask[index + t] : weights[t];
      hg_add_scaled(output, values + t * d->value_stride, kept, d->head_size);
    }
  }
}

static void HG_NAME(hg_attention_gradient)(const void *descriptor, int32_t task, float *scratch) {
  const hg_attention *d = descriptor;
  const int64_t image = task / d->heads;
  const int channel = task % d->heads * d->head_size, tokens = d->token_count;
  const float *keys = d->keys + image * tokens * d->key_stride + channel;
  const float *values = d->values + image * tokens * d->value_stride + channel;
  for (int row = 0; row < d->query_count; row++) {
    const int64_t index = ((int64_t)task * d->query_count + row) * tokens, pixel = image * d->query_count + row;
    const float *query = d->queries + pixel * d->query_stride + channel;
    const float *gradient = d->output + pixel * d->output_stride + channel;
    const float *weights = d->weights + index;
    float mean = 0;
    for (int t = 0; t < tokens; t++) {
      const float mask = d->mask ? d->mask[index + t] : 1;
      scratch[t] = hg_dot(gradient, values + t * d->value_stride, d->head_size) * mask;
      mean += scratch[t] * weights[t];
      if (d->value_gradient)
        hg_add_scaled(d->value_gradient + (image * tokens + t) * d->value_gradient_stride + channel, gradient,
                      weights[t] * mask, d->head_size);
    }
    for (int t = 0; t < tokens; t++) {
      const float slope = d->scale * weights[t] * (scratch[t] - mean);
      if (d->query_gradient)
        hg_add_scaled(d->query_gradient + pixel * d->query_gradient_stride + channel, keys + t * d->key_stride, slope,
                      d->head_size);
      if (d->key_gradient)
        hg_add_scaled(d->key_gradient + (image * tokens + t) * d->key_gradient_stride + channel, query, slope,
                      d->head_size);
    }
  }
}

static void HG_NAME(hg_layer_normalization)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_layer_normalization *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  const int64_t end = first + d->rows_per_task < d->rows ? first + d->rows_per_task : d->rows;
  for (int64_t row = first; row < end; row++) {
    const float *x = d->input + row * d->input_stride;
    float *y = d->output + row * d->output_stride;
    double sum = 0, squares = 0;
    for (int c = 0; c < d->channels; c++) sum += (double)x[c];
    const double mean = sum / d->channels;
    for (int c = 0; c < d->channels; c++) squares += ((double)x[c] - mean) * ((double)x[c] - mean);
    const float shift = (float)mean, factor = (float)(1 / __builtin_sqrt(squares / d->channels + (double)d->epsilon));
    for (int c = 0; c < d->channels; c++) y[c] = (x[c] - shift) * factor * d->weight[c] + d->bias[c];
    if (d->statistics) d->statistics[2 * row] = shift, d->statistics[2 * row + 1] = factor;
  }
}

static void HG_NAME(hg_layer_normalization_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_layer_normalization *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  const int64_t end = first + d->rows_per_task < d->rows ? first + d->rows_per_task : d->rows;
  for (int64_t row = first; row < end; row++) {
    const float *x = d->input + row * d->input_stride, *dy = d->output + row * d->output_stride;
    float *dx = d->input_gradient + row * d->input_gradient_stride;
    const float mean = d->statistics[2 * row], factor = d->statistics[2 * row + 1];
    double sum = 0, product = 0;
    for (int c = 0; c < d->channels; c++) {
      const double slope = (double)dy[c] * (double)d->weight[c];
      sum += slope;
      product += slope * (double)((x[c] - mean) * factor);
    }
    const float shift = (float)(sum / d->channels), tilt = (float)(product / d->channels);
    for (int c = 0; c < d->channels; c++)
      dx[c] += factor * (dy[c] * d->weight[c] - shift - (x[c] - mean) * factor * tilt);
  }
}

static void HG_NAME(hg_layer_normalization_parameter_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_layer_normalization *d = descriptor;
  const int first = task * HG_PANEL, end = first + HG_PANEL < d->channels ? first + HG_PANEL : d->channels;
  for (int c = first; c < end; c++) {
    double weight = 0, bias = 0;
    for (int64_t row = 0; row < d->rows; row++) {
      const double dy = (double)d->output[row * d->output_stride + c];
      bias += dy;
      weight += dy * (double)((d->input[row * d->input_stride + c] - d->statistics[2 * row]) * d->statistics[2 * row + 1]);
    }
    if (d->weight_gradient) d->weight_gradient[c] += (float)weight;
    if (d->bias_gradient) d->bias_gradient[c] += (float)bias;
  }
}

static void HG_NAME(hg_group_product)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_group_product *d = descriptor;
  for (int k = 0; k < d->columns; k++) {
    const float *row = d->input + ((int64_t)task * d->groups + k / d->columns_per_group) * d->input_stride;
    d->output[task * d->output_stride + k] = d->bias[k] + hg_dot(row, d->weight + (int64_t)k * d->channels, d->channels);
  }
}

static void HG_NAME(hg_group_product_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_group_product *d = descriptor;
  for (int k = 0; k < d->columns; k++)
    hg_add_scaled(d->input_gradient + ((int64_t)task * d->groups + k / d->columns_per_group) * d->input_gradient_stride,
                  d->weight + (int64_t)k * d->channels, d->output[task * d->output_stride + k], d->channels);
}

static void HG_NAME(hg_group_product_parameter_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_group_product *d = descriptor;
  for (int image = 0; image < d->batch; image++) {
    const float gradient = d->output[image * d->output_stride + task];
    const float *row = d->input + ((int64_t)image * d->groups + task / d->columns_per_group) * d->input_stride;
    if (d->weight_gradient) hg_add_scaled(d->weight_gradient + (int64_t)task * d->channels, row, gradient, d->channels);
    if (d->bias_gradient) d->bias_gradient[task] += gradient;
  }
}

static void HG_NAME(hg_repeat)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_repeat *d = descriptor;
  for (int row = 0; row < d->count; row++)
    __builtin_memcpy(d->output + ((int64_t)task * d->count + row) * d->output_stride, d->rows + (int64_t)row * d->channels,
                     sizeof(float) * (size_t)d->channels);
}

const hg_decoder_kernels HG_NAME(hg_decoder_kernels) = {
    .attention = HG_NAME(hg_attention), .attention_gradient = HG_NAME(hg_attention_gradient),
    .layer_normalization = HG_NAME(hg_layer_normalization),
    .layer_normalization_gradient = HG_NAME(hg_layer_normalization_gradient),
    .layer_normalization_parameter_gradient = HG_NAME(hg_layer_normalization_parameter_gradient),
    .group_product = HG_NAME(hg_group_product), .group_product_gradient = HG_NAME(hg_group_product_gradient),
    .group_product_parameter_gradient = HG_NAME(hg_group_product_parameter_gradient), .repeat = HG_NAME(hg_repeat)};
