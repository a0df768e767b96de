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

// Where the window of a pixel of the result begins; what lies above or left of the picture is a very large number.
struct Window {
  uint row, column, first;
};

// Found once for all taps, since divisions take long.
Window window(uint pixel) {
  const uint area = p.outHeight * p.outWidth, picture = pixel / area, place = pixel - picture * area;
  const uint outRow = place / p.outWidth, outColumn = place - outRow * p.outWidth;
  Window window;
  // Past the last pixel no row is inside.
  window.row = pixel < p.rows ? outRow * p.strideHeight - p.top : 0x80000000u;
  window.column = outColumn * p.strideWidth - p.left;
  window.first = (picture * p.height + window.row) * p.width + window.column;
  return window;
}

// The value at a tap; zero outside of the picture.
STORED gathered(Window window, Tap tap) {
  if (window.row + tap.row >= p.height || window.column + tap.column >= p.width) return STORED(0);
  return x[p.xOffset + (window.first + tap.row * p.width + tap.column) * p.xStride + tap.channel];
}
