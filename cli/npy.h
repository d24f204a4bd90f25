#pragma once
// NumPy's .npy files: format versions 1 to 3, little endian, C or Fortran order (which is brought into C order). f16,
// f32, f64, integers and bool are NumPy's own; bf16 and the 8-bit floats have no NumPy name and travel as their bits in
// u2 and u1; what Python's ml_dtypes writes of them (V2; V1 or f1) is read too. Source: the NPY format description in
// NumPy's documentation.

#include <string>

#include "quern/host.h"

namespace quern::cli {

// The array of `path`, whose elements are `wanted` (an argument of the program named `name`). Throws Error for a file
// that cannot be read, is no .npy file, or holds another dtype.
HostArray read_npy(const std::string& path, DType wanted, const std::string& name);

// Throws Error with the system's reason.
void write_npy(const std::string& path, const HostArray& array);

}  // namespace quern::cli
