// `import HGNetExport` is enough for a program that exports.
@_exported import HGNet
