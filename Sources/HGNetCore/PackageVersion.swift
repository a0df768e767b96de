/// The version of the package; `hgnet.h` has it, too, and `Scripts/check` compares them.
package enum PackageVersion {
  /// Major, minor and patch.
  package static let text = "0.2.0"
}
