// The windows of a weight gradient, for kernels of every precision. Included once per instruction set.

// Where the windows of a run of output pixels begin.
typedef struct {
  int32_t tops[HG_GRADIENT_PIXELS], lefts[HG_GRADIENT_PIXELS];
  int64_t corners[HG_GRADIENT_PIXELS];  // from input, of channel 0
} hg_gradient_windows;

HG_INLINE void hg_gradient_find(const hg_weight_gradient *d, int64_t pixel, int count, hg_gradient_windows *w) {
  int64_t image = pixel / ((int64_t)d->output_height * d->output_width);
  int y = (int)(pixel / d->output_width % d->output_height), x = (int)(pixel % d->output_width);
  for (int i = 0; i < count; i++) {
    w->tops[i] = y * d->stride_height - d->padding_top;
    w->lefts[i] = x * d->stride_width - d->padding_left;
    w->corners[i] = ((image * d->height + w->tops[i]) * d->width + w->lefts[i]) * d->input_stride;
    if (++x == d->output_width) {
      x = 0;
      if (++y == d->output_height) y = 0, image++;
    }
  }
}
