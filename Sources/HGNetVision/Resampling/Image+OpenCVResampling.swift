import CHGNetKernels
import HGNetCore
import HGNetPlatform

/// For each output position of one axis: the first input position and the weights, with 11 fractional bits.
///
/// Source: OpenCV, `modules/imgproc/src/resize.cpp`.
private struct OpenCVWeights {
  var offsets: [Int32] = []
  var weights: [Int16] = []

  /// Output positions per input position, inverted twice as OpenCV does.
  static func scale(from sourceCount: Int, to targetCount: Int) -> Double {
    1 / (Double(targetCount) / Double(sourceCount))
  }

  /// - Parameters:
  ///   - kept: the output positions that are wanted.
  ///   - taps: the number of weights per position, 2, 4 or 8.
  ///   - clampsLinear: whether a linear position beyond the border takes the border pixel alone (columns), instead of
  ///     the border pixel twice with both weights (rows).
  ///   - isArea: whether linear weights follow the area rule for pictures that grow.
  ///   - function: the weights for a fraction in 0 ..< 1.
  init(
    from sourceCount: Int, to targetCount: Int, kept: Range<Int>, taps: Int, clampsLinear: Bool = false,
    isArea: Bool = false,
    _ function: (Float) -> [Float]
  ) {
    let scale = OpenCVWeights.scale(from: sourceCount, to: targetCount)
    offsets.reserveCapacity(kept.count)
    weights.reserveCapacity(kept.count * taps)
    for target in kept {
      var place: Int
      var fraction: Float
      if isArea {
        let inverse = Double(targetCount) / Double(sourceCount)
        place = Int((Double(target) * scale).rounded(.down))
        fraction = Float(Double(target + 1) - Double(place + 1) * inverse)
        fraction = fraction <= 0 ? 0 : fraction - fraction.rounded(.down)
      } else {
        let center = Float((Double(target) + 0.5) * scale - 0.5)
        place = Int(center.rounded(.down))
        fraction = center - Float(place)
      }
      if clampsLinear {
        if place < 0 { (place, fraction) = (0, 0) }
        if place >= sourceCount - 1 { (place, fraction) = (sourceCount - 1, 0) }
      }
      offsets.append(Int32(place - (taps / 2 - 1)))
      for weight in function(fraction) {
        weights.append(Int16(clamping: Int((weight * 2048).rounded(.toNearestOrEven))))
      }
    }
  }

  static func linear(_ fraction: Float) -> [Float] { [1 - fraction, fraction] }

  static func cubic(_ fraction: Float) -> [Float] {
    let a: Float = -0.75
    let far = fraction + 1
    let near = 1 - fraction
    let first = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    let second = ((a + 2) * fraction - (a + 3)) * fraction * fraction + 1
    let third = ((a + 2) * near - (a + 3)) * near * near + 1
    return [first, second, third, 1 - first - second - third]
  }

  static func lanczos(_ fraction: Float) -> [Float] {
    if fraction < Float.ulpOfOne { return [0, 0, 0, 1, 0, 0, 0, 0] }
    // sin(angle + k·5π/4) from the sine and cosine of the first angle.
    let diagonal = 0.70710678118654752440
    let turns: [(Double, Double)] = [
      (1, 0), (-diagonal, -diagonal), (0, 1), (diagonal, -diagonal), (-1, 0), (diagonal, diagonal), (0, -1),
      (-diagonal, diagonal),
    ]
    let start = -Double(fraction + 3) * .pi * 0.25
    let (sine, cosine) = (sin(start), cos(start))
    var sum: Float = 0
    var weights: [Float] = []
    for (tap, turn) in turns.enumerated() {
      let distance = fraction + 3 - Float(tap)
      let angle = -Double(distance) * .pi * 0.25
      let weight =
        abs(distance) <= 1e-6 ? Float(1e30) : Float((turn.0 * sine + turn.1 * cosine) / (angle * angle))
      weights.append(weight)
      sum += weight
    }
    let scale = 1 / sum
    return weights.map { $0 * scale }
  }
}

/// A few rows of sums, computed once and kept while output rows need them.
private struct SumRows: ~Copyable {
  private let base: UnsafeMutablePointer<Int32>
  private let stride: Int
  private var numbers: [Int]

  /// Makes room for `count` rows of `width` pixels, with spare places behind each.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded`.
  init(count: Int, width: Int) throws(HGNetError) {
    stride = 3 * width + 8
    base = try MemoryBlock.allocate(byteCount: count * stride * 4, for: "rows of a picture that is resized")
      .bindMemory(to: Int32.self, capacity: count * stride)
    base.initialize(repeating: 0, count: count * stride)
    numbers = Array(repeating: -1, count: count)
  }

  deinit { free(base) }

  /// The memory of the rows `wanted`, in that order; `fill` computes those that are not there yet.
  mutating func rows(
    _ wanted: [Int], fill: (_ number: Int, _ target: UnsafeMutablePointer<Int32>) -> Void
  ) -> [UnsafePointer<Int32>?] {
    wanted.map { number in
      var place = numbers.firstIndex(of: number)
      if place == nil, let free = numbers.firstIndex(where: { !wanted.contains($0) }) {
        numbers[free] = number
        fill(number, base + free * stride)
        place = free
      }
      return UnsafePointer(base + (place ?? 0) * stride)
    }
  }
}

extension Image {
  /// OpenCV's `cv2.resize`.
  func resizedLikeOpenCV(
    to size: Size, window: Augmentation.Window, interpolation: Interpolation
  ) throws(HGNetError) -> Image {
    let scaleX = OpenCVWeights.scale(from: width, to: size.width)
    let scaleY = OpenCVWeights.scale(from: height, to: size.height)
    let cell = Size(height: Int(scaleY.rounded()), width: Int(scaleX.rounded()))
    let isWhole = abs(scaleX - Double(cell.width)) < .ulpOfOne && abs(scaleY - Double(cell.height)) < .ulpOfOne
    switch interpolation {
    case .nearest:
      let last = (height - 1, width - 1)
      return try picked(
        rows: window.rows.map { min(Int(Double($0) * scaleY), last.0) },
        columns: window.columns.map { min(Int(Double($0) * scaleX), last.1) })
    case .bilinear:
      // Halving both sides is the mean of four pixels.
      if isWhole, cell == Size(2) { return try meansOfCells(cell, window: window) }
      return try resizedLinearly(to: size, window: window, isArea: false)
    case .area:
      guard scaleX >= 1, scaleY >= 1 else { return try resizedLinearly(to: size, window: window, isArea: true) }
      return isWhole ? try meansOfCells(cell, window: window) : try meansOfAreas(to: size, window: window)
    case .bicubic:
      return try resized(to: size, window: window, taps: 4, OpenCVWeights.cubic)
    case .lanczos:
      return try resized(to: size, window: window, taps: 8, OpenCVWeights.lanczos)
    case .box, .hamming:
      throw HGNetError(
        .invalidArgument, "the backend cv2 has no interpolation \(interpolation.rawValue); use area or pil")
    }
  }

  private func resizedLinearly(
    to whole: Size, window: Augmentation.Window, isArea: Bool
  ) throws(HGNetError) -> Image {
    let size = window.size
    let columns = OpenCVWeights(
      from: width, to: whole.width, kept: window.columns, taps: 2, clampsLinear: true, isArea: isArea,
      OpenCVWeights.linear)
    let rows = OpenCVWeights(
      from: height, to: whole.height, kept: window.rows, taps: 2, isArea: isArea, OpenCVWeights.linear)
    var sums = try SumRows(count: 2, width: size.width)
    let (source, stride, lastRow) = (storage, width * 3, height - 1)
    return try Image(size: size) { (target) throws(HGNetError) in
      for row in 0..<size.height {
        let first = Int(rows.offsets[row])
        let lines = sums.rows([min(max(first, 0), lastRow), min(max(first + 1, 0), lastRow)]) { number, line in
          hg_resample_linear_row_u8(
            source.base + number * stride, line, Int64(size.width), columns.offsets, columns.weights)
        }
        hg_resample_linear_blend_u8(
          lines[0], lines[1], target.baseAddress.map { $0 + 3 * row * size.width }, Int64(3 * size.width),
          Int32(rows.weights[2 * row]), Int32(rows.weights[2 * row + 1]))
      }
    }
  }

  /// Cubic and Lanczos: the same two passes with more taps.
  private func resized(
    to whole: Size, window: Augmentation.Window, taps: Int, _ function: (Float) -> [Float]
  ) throws(HGNetError) -> Image {
    let size = window.size
    let columns = OpenCVWeights(from: width, to: whole.width, kept: window.columns, taps: taps, function)
    let rows = OpenCVWeights(from: height, to: whole.height, kept: window.rows, taps: taps, function)
    var sums = try SumRows(count: taps, width: size.width)
    let (source, stride, lastRow, sourceWidth) = (storage, width * 3, height - 1, width)
    let count = 3 * size.width
    // Whole vectors of eight of the whole row are summed in floating point, what is left over in integers.
    let vectorCount = taps == 4 ? min(max(3 * whole.width / 8 * 8 - 3 * window.left, 0), count) : 0
    return try Image(size: size) { (target) throws(HGNetError) in
      rows.weights.withUnsafeBufferPointer { weights in
        for row in 0..<size.height {
          let first = Int(rows.offsets[row])
          let wanted = (first..<(first + taps)).map { min(max($0, 0), lastRow) }
          let lines = sums.rows(wanted) { number, line in
            hg_resample_taps_row_u8(
              source.base + number * stride, Int64(sourceWidth), line, Int64(size.width), columns.offsets,
              columns.weights, Int64(taps))
          }
          let into = target.baseAddress.map { $0 + row * count }
          let weight = weights.baseAddress.map { $0 + row * taps }
          if taps == 4 { hg_resample_cubic_sum_u8(lines, into, Int64(vectorCount), weight) }
          hg_resample_taps_sum_u8(lines, into, Int64(vectorCount), Int64(count), weight, Int64(taps))
        }
      }
    }
  }

  /// The area rule where each output pixel covers a whole number of input pixels.
  private func meansOfCells(_ cell: Size, window: Augmentation.Window) throws(HGNetError) -> Image {
    let (source, stride, size) = (storage, width * 3, window.size)
    return try Image(size: size) { (target) throws(HGNetError) in
      for row in 0..<size.height {
        hg_resample_cells_u8(
          source.base + (window.top + row) * cell.height * stride + 3 * window.left * cell.width, Int64(stride),
          target.baseAddress.map { $0 + 3 * row * size.width },
          Int64(size.width), Int64(cell.height), Int64(cell.width))
      }
    }
  }

  /// The area rule for any reduction: sums in single precision, in OpenCV's order.
  private func meansOfAreas(to whole: Size, window: Augmentation.Window) throws(HGNetError) -> Image {
    let size = window.size
    let columns = AreaTable(from: width, to: whole.width, kept: window.columns)
    let rows = AreaTable(from: height, to: whole.height, kept: window.rows)
    let (source, stride, count) = (storage, width * 3, 3 * size.width)
    return try Image(size: size) { (target) throws(HGNetError) in
      var line = [Float](repeating: 0, count: count)
      var sum = [Float](repeating: 0, count: count)
      var current = 0
      for (place, weight) in zip(rows.places, rows.weights) {
        let row = Int(place.first)
        for index in line.indices { line[index] = 0 }
        hg_resample_area_row_u8(
          source.base + Int(place.count) * stride, &line, columns.places, columns.weights, Int64(columns.places.count))
        if row != current {
          hg_resample_area_store_u8(sum, target.baseAddress.map { $0 + current * count }, Int64(count))
          for index in sum.indices { sum[index] = 0 }
          current = row
        }
        hg_resample_area_add(line, &sum, Int64(count), weight)
      }
      hg_resample_area_store_u8(sum, target.baseAddress.map { $0 + current * count }, Int64(count))
    }
  }
}

/// For one axis: which input position adds to which output position (`first` is the output, counted from the first that
/// is kept, `count` the input), and with what weight.
private struct AreaTable {
  private(set) var places: [hg_resample_window] = []
  private(set) var weights: [Float] = []

  init(from sourceCount: Int, to targetCount: Int, kept: Range<Int>) {
    let scale = OpenCVWeights.scale(from: sourceCount, to: targetCount)
    for target in kept {
      let start = Double(target) * scale
      let end = start + scale
      let cell = min(scale, Double(sourceCount) - start)
      let last = min(Int(end.rounded(.down)), sourceCount - 1)
      let first = min(Int(start.rounded(.up)), last)
      func add(_ source: Int, _ weight: Double) {
        places.append(hg_resample_window(first: Int32(target - kept.lowerBound), count: Int32(source)))
        weights.append(Float(weight))
      }
      // A sliver of less than a thousandth of a pixel does not count.
      if Double(first) - start > 1e-3 { add(first - 1, (Double(first) - start) / cell) }
      for source in first..<last { add(source, 1 / cell) }
      if end - Double(last) > 1e-3 { add(last, min(min(end - Double(last), 1), cell) / cell) }
    }
  }
}
