extension Int {
  /// The least multiple of `unit` that is not less; both are positive.
  @inlinable package func roundedUp(to unit: Int) -> Int { (self + unit - 1) / unit * unit }

  /// How many parts of at most `size` it takes to cover this many; both are positive.
  @inlinable package func divided(by size: Int) -> Int { (self + size - 1) / size }
}
