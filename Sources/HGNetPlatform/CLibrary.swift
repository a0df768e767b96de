// Whoever imports this module sees the C library of the system: files, clocks, signals, the functions of <math.h>.
//
// The attribute is underscored, yet the only way to pass on what Swift adds to C here: `errno`, `open` with a mode, the
// masks of `stat`, `exp` of a Float. A module of C headers has none of these.
#if canImport(Glibc)
  @_exported import Glibc
#elseif canImport(Musl)
  @_exported import Musl
#elseif canImport(Darwin)
  @_exported import Darwin
#endif
