/// The numbers that a network computes with: one type for weights, activations and what is kept of sums.
///
/// At each precision the results have the same bits for any number of threads and in every place of a batch. Those of two
/// processors agree to the rounding of the precision: about 1e-6 of the largest logit in float32, 1e-3 in float16, 1e-2 in bfloat16.
/// In int8 they have the same bits where the processors compute the same layers in bytes.
public enum Precision: String, Hashable, Sendable, CaseIterable {
  /// IEEE 754 binary32 throughout; an engine may compute with more.
  case float32
  /// Weights and activations are the upper halves of float32 values, rounded to nearest, ties to even; sums and what
  /// follows them are float32. Pictures and logits stay float32.
  case bfloat16
  /// Weights and activations are IEEE 754 binary16, sums and what follows them float32; of GPUs only. Pictures and logits
  /// cross as float32. Numbers beyond 65504 become infinite, which the networks of the families are far from.
  case float16
  /// Weights are signed and activations unsigned bytes with a scale, sums are exact 32-bit integers, and what follows them
  /// is float32; what has no implementation in bytes is computed in float32 between conversions. Pictures and logits stay
  /// float32. Needs weights that `hgnet quantize` has made.
  case int8
}

/// How training divides its arithmetic between float32 and bfloat16; the names are PaddleClas' (`AMP.level`).
///
/// Parameters, their gradients, the optimiser's state, statistics, reductions and losses are float32 at each level, and so
/// are sums of products. The same bits come out for any number of threads.
public enum MixedPrecision: String, Hashable, Sendable, CaseIterable {
  /// Convolutions multiply in bfloat16; results of layers and their gradients are kept in it. What a normalisation reads, the
  /// sums of the convolution before it, stays float32.
  case o1 = "O1"
  /// The sums that a normalisation reads are kept in bfloat16, too: half the memory.
  case o2 = "O2"
}

/// What a caller may ask for: a precision, or the fastest.
public enum PrecisionChoice: String, Hashable, Sendable, CaseIterable {
  case float32, bfloat16, float16, int8
  /// The fastest that the device has for the weights.
  case auto

  /// The precision; nil for the fastest.
  public var precision: Precision? { Precision(rawValue: rawValue) }
}
