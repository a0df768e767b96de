// Where a thread is in the taps and channels of a window, and what it finds there.
struct Tap {
  uint channel, row, column;
};

void advance(inout Tap tap, uint values) {
  tap.channel += values;
  while (tap.channel >= p.channels) {
    tap.channel -= p.channels;
    if (++tap.column == p.kernelWidth) { tap.column = 0; tap.row++; }
  }
}

// The value of a pixel of the result; zero outside of the picture.
STORED gathered(uint pixel, Tap tap) {
  const uint area = p.outHeight * p.outWidth, picture = pixel / area, place = pixel - picture * area;
  const uint outRow = place / p.outWidth, outColumn = place - outRow * p.outWidth;
  const uint inRow = outRow * p.strideHeight + tap.row - p.top;
  const uint inColumn = outColumn * p.strideWidth + tap.column - p.left;
  // A negative number is a very large one.
  if (inRow >= p.height || inColumn >= p.width) return STORED(0);
  return x[p.xOffset + ((picture * p.height + inRow) * p.width + inColumn) * p.xStride + tap.channel];
}
