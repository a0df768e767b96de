import HGNet
import HGNetCore
import HGNetVision

/// One picture of a request, in the form in which it came.
package enum PictureInput: Sendable {
  /// The bytes of a JPEG, PNG, WebP or BMP file.
  case encoded(BlobSlice)
  /// Decoded pixels, to which the recipe applies.
  case pixels(Image)
  /// What the network takes.
  case prepared(PreparedPicture)

  /// What the network sees of it.
  ///
  /// - Throws: as decoding and the recipe's transforms.
  func prepared(recipe: Recipe, pixelLimit: Int) throws(HGNetError) -> PreparedPicture {
    switch self {
    case .prepared(let picture): picture
    case .pixels(let image): try PreparedPicture(image, applying: recipe.transforms)
    case .encoded(let bytes):
      try PreparedPicture(
        Image(decoding: bytes, style: recipe.decodingStyle, pixelLimit: pixelLimit), applying: recipe.transforms)
    }
  }
}
