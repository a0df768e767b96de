import HGNetCore

/// The numbers that a program computes with: one type for weights, activations and what is kept of sums.
///
/// An engine says layer by layer what it does not compute at a precision; see `Engine.refusal(of:in:at:)`.
package enum Precision: String, Hashable, Sendable, CaseIterable {
  /// IEEE 754 binary32 throughout; an engine may compute with more.
  case float32
}
