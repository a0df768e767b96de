import HGNetCore
import HGNetVision
import Testing

@Suite("Pictures on their way into a batch")
struct PreparedPictureTests {
  private let transforms: [Transform] = [
    .resizeShort(40, interpolation: .bicubic, backend: .pillow), .centerCrop(Size(height: 33, width: 37)),
    .normalize(scale: 1.0 / 255, mean: [0.485, 0.456, 0.406], standardDeviation: [0.229, 0.224, 0.225]),
  ]

  private func image(_ seed: Int) throws -> Image {
    try Image(
      size: Size(height: 50 + seed, width: 61),
      pixels: (0..<((50 + seed) * 61 * 3)).map { UInt8(truncatingIfNeeded: $0 &* (seed * 2 + 1) >> 3) })
  }

  @Test("Each form has the bits of the tensor at its place, whatever the threads", arguments: [1, 3])
  func places(threads: Int) throws {
    var expected: [Float] = []
    var pictures: [PreparedPicture] = []
    for seed in 0..<5 {
      let tensor = try Transform.tensor(from: image(seed), applying: transforms)
      expected += tensor.values
      switch seed % 3 {
      case 0: pictures.append(try PreparedPicture(image(seed), applying: transforms))
      case 1: pictures.append(.numbers(tensor))
      default:
        let (values, pixels) = (tensor.values, 33 * 37)
        let planes = (0..<3 * pixels).map { values[$0 % pixels * 3 + $0 / pixels] }
        // The planes of a picture are a part of those of a batch.
        pictures.append(.planes(([-1, -2] + planes + [-3])[2..<2 + planes.count], Size(height: 33, width: 37)))
      }
      #expect(pictures[seed].shape == [33, 37, 3])
      #expect(try pictures[seed].tensor().values == tensor.values)
    }
    let batch = Tensor(shape: [5, 33, 37, 3]) { pictures.write(into: $0, pool: ThreadPool(count: threads)) }
    #expect(batch.values == expected)
  }

  @Test("A normalisation that is none is refused before there is a batch")
  func normalization() throws {
    let image = try image(0)
    for steps in [
      [Transform.normalize(scale: 1, mean: [0, 0], standardDeviation: [1, 1, 1])],
      [.normalize(scale: 1, mean: [0, 0, 0], standardDeviation: [1, 1, 1]), .centerCrop(Size(8))],
    ] {
      #expect(throws: HGNetError.self) { try PreparedPicture(image, applying: steps) }
    }
  }
}
