extension Orientation {
  /// The orientation in a TIFF block of EXIF tags, or nil when the block is broken or has no such tag.
  ///
  /// As OpenCV reads it: only the first directory, the value as 16 bits whatever its type says, and `upright` for a
  /// value outside 1 … 8.
  init?(tags: Bytes) {
    let isBigEndian: Bool
    if tags.has("MM\0*") {
      isBigEndian = true
    } else if tags.has("II*\0") {
      isBigEndian = false
    } else {
      return nil
    }
    guard let directory = tags.integer32(at: 4, isBigEndian: isBigEndian),
      let entries = tags.integer16(at: directory, isBigEndian: isBigEndian)
    else { return nil }
    for index in 0..<entries {
      let entry = directory + 2 + 12 * index
      guard let tag = tags.integer16(at: entry, isBigEndian: isBigEndian) else { return nil }
      guard tag == 0x0112 else { continue }
      guard let value = tags.integer16(at: entry + 8, isBigEndian: isBigEndian) else { return nil }
      self = Orientation(rawValue: value) ?? .upright
      return
    }
    return nil
  }

  /// The orientation of a JPEG file: the first EXIF segment before the first scan that has the tag.
  init(jpeg: Bytes) {
    var offset = 2
    while let marker = jpeg.integer16(at: offset, isBigEndian: true) {
      if marker == 0xFFFF {
        offset += 1
        continue
      }
      // Start of scan or end of picture, or no marker at all.
      guard marker >= 0xFFC0, marker != 0xFFDA, marker != 0xFFD9,
        let length = jpeg.integer16(at: offset + 2, isBigEndian: true), length >= 2
      else { break }
      if marker == 0xFFE1, jpeg.has("Exif\0\0", at: offset + 4),
        let found = Orientation(tags: jpeg.slice(from: offset + 10, count: length - 8))
      {
        self = found
        return
      }
      offset += 2 + length
    }
    self = .upright
  }

  /// The orientation of a PNG file: its `eXIf` chunk, wherever it stands.
  init(png: Bytes) {
    var offset = 8
    while let length = png.integer32(at: offset, isBigEndian: true) {
      if png.has("eXIf", at: offset + 4), let found = Orientation(tags: png.slice(from: offset + 8, count: length)) {
        self = found
        return
      }
      offset += 12 + length
    }
    self = .upright
  }
}
