import HGNet
import HGNetCore
import HGNetVision

/// One picture of a request, in the form in which it came.
package enum PictureInput: Sendable {
  /// The bytes of a JPEG, PNG, WebP or BMP file.
  case encoded(BlobSlice)
  /// Decoded pixels, to which the recipe applies.
  case pixels(Image)
  /// What the network takes, `[H, W, 3]`.
  case tensor(Tensor)

  /// What the network sees of it, `[H, W, 3]`.
  ///
  /// - Throws: as decoding and the recipe's transforms.
  func tensor(recipe: Recipe, pixelLimit: Int) throws(HGNetError) -> Tensor {
    switch self {
    case .tensor(let tensor): tensor
    case .pixels(let image): try Transform.tensor(from: image, applying: recipe.transforms)
    case .encoded(let bytes):
      try Transform.tensor(
        from: Image(decoding: bytes, style: recipe.decodingStyle, pixelLimit: pixelLimit), applying: recipe.transforms)
    }
  }
}
